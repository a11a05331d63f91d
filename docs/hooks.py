"""What the pages show that is made when they are built: settings, data sets, the commands' help, our results.

A line `{{ name argument }}` of a page is replaced by what the function of that name in `GENERATED` returns, Markdown.
What is to be read in the repository too stands in the page, between two comments; `python docs/hooks.py` makes it anew.
The argument is the rest of the line.
"""

import dataclasses
import importlib
import inspect
import json
import os
import posixpath
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import yaml

from nft_keras import data
from nft_keras._registry import imported
from nft_keras.experiments.recipe import reading as recipe
from nft_keras.experiments.recipe import settings
from nft_keras.experiments.reports.tables import markdown, mean_std, p_value

ROOT = Path(__file__).parents[1]
# What a docstring says of an argument's type and range; the tables have a column for that.
_TYPE = re.compile(r"^(int|float|bool|ints|str)( (>=?) \S+?| in [\[(][^\])]*[\])])?[,;] ")


def on_page_markdown(text, page, config, files):
    """MkDocs' event: the text of a page with what is generated in it."""
    return linked(filled(text), page.file.src_uri)


def filled(text):
    """The text with its lines `{{ name argument }}` replaced.

    Raises:
        KeyError: for a name or an argument that there is not, or a setting without a description.
    """
    return re.sub(r"^\{\{ (\S+)(?: (.+))? \}\}$", lambda m: GENERATED[m[1]](*filter(None, [m[2]])), text, flags=re.M)


def linked(text, page):
    """The text with the README's links as a page of docs/ has them, and without those to what is not in docs/.

    Args:
        text: Markdown, of the page and of the README.
        page: path of the page below docs/.
    """

    def link(found):
        name, to = found.groups()
        report = re.fullmatch(r"results/(.*)/report\.md", to)
        to = f"docs/results.md#{report[1]}" if report else to.replace("results/README.md", "docs/results.md")
        return f"[{name}]({posixpath.relpath(to, f'docs/{page}/..')})" if to.startswith("docs/") else name

    return re.sub(r"\[([^][]*)\]\(((?:docs|notebooks|results)/[^)]*)\)", link, text)


def keys():
    """The top-level keys of a recipe."""
    return markdown(["key", "meaning"], [[f"`{key}`", _cell(meaning)] for key, meaning in recipe.KEYS.items()])


def settings_table(name):
    """The settings of a dataclass of `nft_keras.experiments.recipe.settings`."""
    dataclass = getattr(settings, name)
    meanings = _meanings(dataclass)
    hints = typing.get_type_hints(dataclass, include_extras=True)
    rows = [_row(f.name, hints[f.name], f.default, meanings[f.name]) for f in dataclasses.fields(dataclass)]
    return _table(rows) if rows else "It has none of its own."


def classifiers():
    """The classifiers and their settings."""
    rows = []
    for name, classifier in settings.CLASSIFIERS.items():
        function = imported(classifier.build)
        fields = {f.name: f.default for f in dataclasses.fields(classifier.settings)}
        own = "; ".join(f"`{key}: {_yaml(value)}`" for key, value in fields.items())
        rows.append([f"`{name}`", _summary(function), own or "-"])
    return markdown(["name", "network", "settings and their defaults"], rows)


def load_options():
    """The options that every data set has."""
    options = inspect.signature(data.load, eval_str=True).parameters
    options = {k: p for k, p in options.items() if k not in ("name", "data_dir", "options")}
    return _options(options, data.load)


def data_sets():
    """The registry as a table."""
    rows = []
    for name, spec in data.SPECS.items():
        shape = "x".join(map(str, spec.input_shape or ())) or "by file"
        sizes = " / ".join(f"{size:,}" for size in spec.sizes or ()) or "by file"
        rows.append([f"`{name}`", _cell(spec.summary), shape, str(spec.num_classes or "by file"), sizes])
    return markdown(["name", "what it is", "shape", "classes", "train / valid / test"], rows)


def data_options():
    """The options of the data sets that have some of their own, alike ones together."""
    names = {}
    for name, spec in data.SPECS.items():
        if spec.options:
            names.setdefault(_options(spec.options, spec.function), []).append(name)
    return "\n\n".join(f"### {', '.join(alike)}\n\n{table}" for table, alike in names.items())


def command_help(verb):
    """What a command answers to --help."""
    environment = {**os.environ, "XDG_CACHE_HOME": "~/.cache", "COLUMNS": "100"}
    environment.pop("NFT_DATA_DIR", None)
    command = [sys.executable, "-m", "nft_keras", verb, "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return f"```text\n{done.stdout.rstrip()}\n```"


def file(path):
    """A file of the repository."""
    language = {".py": "python", ".yaml": "yaml", ".toml": "toml"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


def backends(path=ROOT / "docs" / "backends.yaml"):
    """What each back end of Keras does, as the tests run by it."""
    features = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = [[feature, *("yes" if has else "-" for has in cells.values())] for feature, cells in features.items()]
    return markdown(["", *(f"`{name}`" for name in next(iter(features.values())))], rows)


def readme(heading, path=ROOT / "README.md"):
    """A section of the README, without its heading.

    Args:
        heading: of the section, in words.
        path: of the README.

    Raises:
        KeyError: if there is no section of that heading.
    """
    parts = re.split(r"^## (.*)$", path.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading].strip()


def results(method=None, folder=ROOT / "results"):
    """The reports of our runs.

    Args:
        method: a key of `METHODS`: of the tables what is about it and CT, of the rest the data alone, and no report
            without such a table. None: all.
        folder: where RUN/report.md are.
    """
    parts = []
    for path in sorted(folder.glob("*/report.md")):
        blocks = re.split(r"\n{2,}", path.read_text(encoding="utf-8").strip())
        if method:
            blocks = [block for block in blocks if not re.match("(Run|Machine|Version|Trials): ", block)]
        blocks = [_of_method(block, method) if block.startswith("|") else block for block in blocks]
        blocks = [re.sub(r"^#+", "###", block) for block in blocks if block]
        if any(block.startswith("|") for block in blocks):
            parts += blocks if blocks[0].startswith("#") else [f"### {path.parent.name}", *blocks]
    return "\n\n".join(parts) or "The folder `results/` held no reports when this page was built."


def bench(path=ROOT / "results" / "bench" / "bench.md"):
    """The tables of `python -m bench`, with the machine, below the page's headings."""
    _, _, text = path.read_text(encoding="utf-8").partition("\n")
    return re.sub(r"^##", "###", text.strip(), flags=re.M)


def summary(folder=ROOT / "results"):
    """The test errors of all our runs of CT beside other methods, a row for each classifier on a data set.

    "time" is how many times as long as CT's the training of NFT took.

    Args:
        folder: where RUN/results.json are; of runs that vary settings nothing is shown.
    """
    rows = []
    for path in sorted(folder.glob("*/results.json")):
        results = [r for r in json.loads(path.read_text(encoding="utf-8")) if "varied" not in r]
        for classifier in dict.fromkeys(r["classifier"] for r in results):
            of = {m: {r["seed"]: r for r in results if (r["classifier"], r["method"]) == (classifier, m)}
                  for m in settings.METHODS}  # fmt: skip
            seeds = of["nft"].keys() & of["ct"].keys()
            if seeds:
                errors = {m: {seed: r["test_error"] for seed, r in of[m].items()} for m in of}
                pairs = [(errors["nft"][seed], errors["ct"][seed]) for seed in sorted(seeds)]
                nft, ct = (sum(of[m][seed]["seconds"] for seed in seeds) for m in ("nft", "ct"))
                row = [f"[{path.parent.name}](results/{path.parent.name}/report.md)", classifier]
                row += [mean_std(list(by_seed.values())) if by_seed else "-" for by_seed in errors.values()]
                rows.append([*row, mean_std([a - b for a, b in pairs], "+"), p_value(pairs), f"{nft / ct:.1f}"])
    return markdown(["run", "classifier", *(m.upper() for m in settings.METHODS), "NFT - CT", "p", "time"], rows)


GENERATED = {
    "keys": keys,
    "settings": settings_table,
    "classifiers": classifiers,
    "load-options": load_options,
    "data-sets": data_sets,
    "data-options": data_options,
    "help": command_help,
    "file": file,
    "readme": readme,
    "backends": backends,
    "bench": bench,
    "results": results,
    "summary": summary,
}


def _of_method(table, method):
    """The rows of a Markdown table that are about a method and CT, or the columns if it has one for each method."""
    if method is None:
        return table
    head, rule, *rows = ([cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines())
    wanted = {"CT", method.upper()}
    if "method" in head:
        at = head.index("method")
        kept = [row for row in rows if row[at] in wanted]
        return markdown(head, kept) if any(row[at] == method.upper() for row in kept) else ""
    methods = {name.upper() for name in settings.METHODS}
    columns = [i for i, name in enumerate(head) if not (set(name.split()) & methods) - wanted]
    head, *rows = ([line[i] for i in columns] for line in (head, *rows))
    return markdown(head, rows)


def _options(parameters, function):
    meanings = _arguments(function)
    return _table([_row(name, p.annotation, p.default, meanings[name]) for name, p in parameters.items()])


def _table(rows):
    return markdown(["key", "allowed", "default", "meaning"], rows)


def _row(name, annotation, default, meaning):
    missing = default in (inspect.Parameter.empty, dataclasses.MISSING)
    return [f"`{name}`", _cell(_allowed(annotation)), "needed" if missing else _default(default), _cell(meaning)]


def _allowed(annotation):
    """What a type annotation allows, in the words of the recipe's errors."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return " ".join([_allowed(arguments[0]), *arguments[1:]])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_allowed(a) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is tuple:
        return f"list of {_allowed(arguments[0])}"
    if dataclasses.is_dataclass(annotation):
        return "mapping" + (f" ({annotation.name})" if hasattr(annotation, "name") else "")
    return {int: "whole number", float: "number", str: "text", bool: "true, false"}[annotation]


def _default(value):
    if value is None:
        return "-"
    return "its defaults" if dataclasses.is_dataclass(value) else f"`{_yaml(value)}`"


def _yaml(value):
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return settings.as_yaml(value)


def _cell(text):
    return text.replace("|", r"\|").replace("<", "&lt;")


def _summary(function):
    return inspect.getdoc(function).partition("\n")[0]


def _meanings(dataclass):
    """{field: meaning}: as the dataclass or one below it says, else as what it stands for does."""
    stands_for, own = {}, {}
    for cls in reversed(dataclass.__mro__[:-1]):
        for module, name in re.findall(r"`(nft_keras(?:\.\w+)*)\.(\w+)`", cls.__doc__):
            target = getattr(importlib.import_module(module), name)
            stands_for |= {} if inspect.ismodule(target) else _arguments(target)
        own |= _sections(inspect.cleandoc(cls.__doc__), "Attributes")
    return stands_for | own


def _arguments(function):
    """{argument: meaning} as a function's docstring says, or that of another in its module, "as of `other`"."""
    found, doc = {}, inspect.getdoc(function)
    for other in re.findall(r"as (?:of )?`(\w+)`", doc):
        found |= _arguments(getattr(inspect.getmodule(function), other))
    return found | _sections(doc, "Args")


def _sections(docstring, name):
    """{name: text} of a section of a Google style docstring."""
    section = re.search(rf"^{name}:\n((?:(?:    .*)?\n?)*)", docstring, re.M)
    entries = re.findall(r"^    (\S.*?): ((?:.*\n?(?:^ {8}.*\n?)*))", section[1] if section else "", re.M)
    texts = [(names.split(","), _TYPE.sub("", " ".join(text.split()))) for names, text in entries]
    return {name.strip(): text for names, text in texts for name in names}


def rewritten(text):
    """The text with what stands between `<!-- {{ name argument }} -->` and `<!-- end -->` made anew.

    So that it is to be read where the pages are not built; a test compares.
    """

    def anew(found):
        return f"{found[1]}\n\n{filled(found[2])}\n\n<!-- end -->"

    return re.sub(r"^(<!-- (\{\{ [^\n]+ \}\}) -->)$.*?^<!-- end -->$", anew, text, flags=re.M | re.S)


def sources():
    """The Markdown files in which something is made anew."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


if __name__ == "__main__":
    for path in sources():
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
