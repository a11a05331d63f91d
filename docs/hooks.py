"""What is made when the pages are built: settings, data sets, the commands' help, our results, the notebooks as pages.

A line `{{ name argument }}` of a page is replaced by what the function of that name in `GENERATED` returns, Markdown.
What is to be read in the repository too stands in the page, between two comments; `python docs/hooks.py` makes it anew.
The argument is the rest of the line.
"""

import configparser
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
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.recipe import reading, settings
from nft_keras.experiments.reports.pairs import controls, differences
from nft_keras.experiments.reports.tables import markdown, mean_std, p_value

ROOT = Path(__file__).parents[1]
# What a docstring says of an argument's type and range; the lists of settings say it themselves.
_TYPE = re.compile(r"^(int|float|bool|ints|str)( (>=?) \S+?| in [\[(][^\])]*[\])])?[,;.] ")
_BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/"
)


def on_config(config):
    """MkDocs' event: links to the repository, if its address is known."""
    if url := repository():
        config.repo_url, config.repo_name = url, url.rpartition("/")[2]
        config.edit_uri = "edit/main/docs/"


def on_files(files, config):
    """MkDocs' event: a page for each report of our runs and for each notebook."""
    from mkdocs.structure.files import File, InclusionLevel

    for name, content in {**run_pages(), **notebook_pages()}.items():
        in_nav = InclusionLevel.UNDEFINED if name.startswith("notebooks/") else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, name, content=content, inclusion=in_nav))


def on_page_markdown(text, page, config, files):
    """MkDocs' event: the text of a page with what is generated in it."""
    text = linked(filled(text), page.file.src_uri, repository())
    return re.sub(r"(?<=\d) ± (?=\d)", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}", text)


def repository(path=ROOT / "setup.cfg"):
    """The address of the repository, `url` in setup.cfg; "" where none is set."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(path, encoding="utf-8")
    return config.get("metadata", "url", fallback="").rstrip("/")


def filled(text):
    """The text with its lines `{{ name argument }}` replaced.

    Raises:
        KeyError: for a name or an argument that there is not, or a setting without a description.
    """
    return re.sub(r"^\{\{ (\S+)(?: (.+))? \}\}$", lambda m: GENERATED[m[1]](*filter(None, [m[2]])), text, flags=re.M)


def linked(text, page, url):
    """The text of a page with its links out of docs/ as the site has them.

    Reports and notebooks are pages of the site, other files are in the repository; without its address the name stays.

    Args:
        text: Markdown, with links as they are right in the repository.
        page: path of the page below docs/.
        url: address of the repository, or "".
    """
    folder = posixpath.dirname(posixpath.join("docs", page))

    def link(found):
        name, to = found.groups()
        path, anchor = re.fullmatch("([^#]*)(.*)", posixpath.normpath(posixpath.join(folder, to))).groups()
        path = _page_of(path)
        if path.startswith("docs/"):
            return f"[{name}]({posixpath.relpath(path, folder)}{anchor})"
        return f"[{name}]({url}/blob/main/{path})" if url else name

    return re.sub(r"\[([^][]*)\]\((\.\./[^)]*)\)", link, text)


def _page_of(path):
    """The page that shows a file of the repository, or the file."""
    for file, page in {
        r"results/([\w-]+)/report\.md": r"docs/results/runs/\1.md",
        r"results/README\.md": "docs/results/index.md",
        r"notebooks/(\w+)\.ipynb": r"docs/notebooks/\1.md",
        r"notebooks": "docs/notebooks/index.md",
    }.items():
        if match := re.fullmatch(file, path):
            return match.expand(page)
    return path


def run_pages(folder=ROOT / "results"):
    """{path below docs/: Markdown} of the reports of our runs."""
    reports = sorted(folder.glob("*/report.md"))
    return {f"results/runs/{path.parent.name}.md": path.read_text(encoding="utf-8") for path in reports}


def notebook_pages(folder=ROOT / "notebooks"):
    """{path below docs/: content} of the notebooks as pages, with their pictures, and of the notebooks themselves."""
    from nbconvert import MarkdownExporter

    pages = {}
    for path in sorted(folder.glob("*.ipynb")):
        resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
        text, resources = MarkdownExporter().from_filename(path, resources)
        title, text = re.fullmatch(
            r"(.*?^# [^\n]*\n)(.*)", text.replace("![png]", "![Output of the cell above]"), re.S | re.M
        ).groups()
        pages[f"notebooks/{path.stem}.md"] = f"{title}\n[Download this notebook]({path.name})\n{text}"
        pages[f"notebooks/{path.name}"] = path.read_bytes()
        pages |= {f"notebooks/{name}": content for name, content in resources["outputs"].items()}
    return pages


def addressed(notebook, name, url):
    """A notebook with the repository's address in its first two cells: a badge that opens it in Colab, what to install.

    Args:
        notebook: nbformat notebook, altered in place and returned.
        name: its file's name.
        url: address of the repository, or "": no badge. Colab opens what is on GitHub.
    """
    text, install = notebook.cells[:2]
    text.source = re.sub(r"^\[!\[Open in Colab.*\n\n", "", text.source)
    if on_github := re.fullmatch(r"https://(github\.com/.+)", url):
        path = on_github[1].replace("github.com", "github", 1)
        text.source = f"{_BADGE}{path}/blob/main/notebooks/{name})\n\n{text.source}"
    install.source = re.sub(r'^REPOSITORY = ".*?"', f'REPOSITORY = "{url}"', install.source, flags=re.M)
    return notebook


def keys():
    """The top-level keys of a recipe."""
    return _definitions([name, _text(meaning)] for name, meaning in reading.KEYS.items())


def settings_of(name):
    """The settings that a dataclass holds, one that all methods share or that a method's module has."""
    modules = [settings, *(sys.modules[METHODS[method].settings.__module__] for method in METHODS)]
    dataclass = next(vars(module)[name] for module in modules if name in vars(module))
    meanings = _meanings(dataclass)
    hints = typing.get_type_hints(dataclass, include_extras=True)
    fields = dataclasses.fields(dataclass)
    return _definitions(_setting(f.name, hints[f.name], f.default, meanings[f.name]) for f in fields) or "It has none."


def classifiers():
    """The classifiers and their settings."""
    entries = []
    for name, classifier in CLASSIFIERS.items():
        own = [f"`{f.name}`; {_default(f.default)}" for f in dataclasses.fields(classifier.settings)]
        entries.append([name, *own, _text(_summary(imported(classifier.build)))])
    return _definitions(entries)


def augmentations():
    """What `training.augment` names, and the settings of each."""
    entries = []
    for choice in typing.get_args(settings.Augmentations):
        hints = typing.get_type_hints(choice, include_extras=True)
        fields = dataclasses.fields(choice)
        own = [f"`{f.name}`: {_text(_allowed(hints[f.name]))}; {_default(f.default)}" for f in fields]
        entries.append([choice.name, *own, _text(_summary(choice))])
    return _definitions(entries)


def methods():
    """The methods, with where their settings are."""
    own = {name: METHODS[name].has_plan for name in METHODS.own}
    return _definitions(
        [name, f"[settings](../methods/{name}.md#settings)" if own[name] else "without settings of its own"]
        for name in own
    )


def load_options():
    """The options that every data set has."""
    options = inspect.signature(data.load, eval_str=True).parameters
    options = {k: p for k, p in options.items() if k not in ("name", "data_dir", "options")}
    return _options(options, data.load)


def data_sets():
    """The registry."""
    entries = []
    for name, spec in data.SPECS.items():
        shape = " x ".join(map(str, spec.input_shape or ())) or "any shape"
        shape += " numbers" if len(spec.input_shape or ()) == 1 else ""
        sizes = " / ".join(f"{size:,}" for size in spec.sizes or ()) or "any number of"
        entries.append(
            [name, f"{shape}; {spec.num_classes or 'any number of'} classes; {sizes} examples", _text(spec.summary)]
        )
    return _definitions(entries)


def data_options():
    """The options of the data sets that have some of their own, alike ones together."""
    names = {}
    for name, spec in data.SPECS.items():
        if spec.options:
            names.setdefault(_options(spec.options, spec.function), []).append(name)
    return "\n\n".join(f"### {', '.join(alike)}\n\n{options}" for options, alike in names.items())


def command_help(verb):
    """What a command answers to --help."""
    environment = {**os.environ, "XDG_CACHE_HOME": "~/.cache", "COLUMNS": "86"}
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


def readme(path=ROOT / "README.md"):
    """The README, its links as a page of docs/ has them."""
    return re.sub(r"\]\((?!\w+:|#)", "](../", path.read_text(encoding="utf-8").strip())


def bench(which, results=ROOT / "results"):
    """A section of what `python -m bench` printed, or, for "machine", what stands above the first.

    Args:
        which: its heading, or FOLDER/HEADING of another folder than bench/.
        results: where the folders are.
    """
    folder, _, heading = which.rpartition("/")
    text = (results / (folder or "bench") / "bench.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    sections = dict(zip(["machine", *parts[1::2]], [parts[0].partition("\n")[2], *parts[2::2]], strict=True))
    return sections[heading].strip()


def summary(folder=ROOT / "results"):
    """The test errors of all our runs of CT beside other methods, a row for each classifier on a data set.

    Args:
        folder: where RUN/results.json are; of runs that vary settings nothing is shown.
    """
    rows = []
    for run, classifier, of in _by_method(folder):
        if of["nft"].keys() & of["ct"].keys():
            others = [_mean(of[method]) for method in of if method not in ("ct", "nft")]
            rows.append([*_against_ct(run, classifier, of, "nft"), *others])
    others = [method.upper() for method in METHODS if method not in ("ct", "nft")]
    return markdown([*_head("nft"), *others], rows)


def against_ct(method, folder=ROOT / "results"):
    """The test errors of a method in our runs beside those of CT."""
    rows = []
    for run, classifier, of in _by_method(folder):
        if of[method].keys() & of["ct"].keys():
            rows.append(_against_ct(run, classifier, of, method))
    return markdown(_head(method), rows)


def against_controls(folder=ROOT / "results"):
    """The methods of our runs with controls beside CT, and those that are not CT beside each control, seed by seed.

    Args:
        folder: where RUN/results.json are.
    """
    paths = sorted(folder.glob("*/results.json"))
    runs = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    others = {run: controls(results) for run, results in runs.items()}
    names, rows = list(dict.fromkeys(name for of in others.values() for name in of)), []
    for run, results in runs.items():
        trials, kinds = {}, {r["method"]: r.get("is", r["method"]) for r in results}
        for r in results:
            trials.setdefault((r.get("varied", ""), r["classifier"], r["method"]), {})[r["seed"]] = r["test_error"]
        for (varied, classifier, method), of in trials.items() if others[run] else ():
            if method == "ct":
                continue
            row = [f"[{run}](../../results/{run}/report.md)", varied, classifier, method_title(method), str(len(of))]
            row.append(mean_std([*of.values()]))
            for name in ("ct", *names):
                beside = trials.get((varied, classifier, name), {})
                pairs = [(of[seed], beside[seed]) for seed in sorted(of.keys() & beside.keys())]
                pairs = [] if name != "ct" == kinds[method] else pairs
                row += [mean_std(differences(pairs), "+"), p_value(pairs)] if pairs else ["-", "-"]
            rows.append(row)
    keep = [i for i in range(len(rows[0]) if rows else 0) if i != 1 or any(row[1] for row in rows)]
    head = ["run", "varied", "classifier", "method", "seeds", "test error (%)"]
    for name in ("CT", *names):
        head += [f"- {name}", "p"]
    return markdown([head[i] for i in keep], [[row[i] for i in keep] for row in rows])


GENERATED = {
    "keys": keys,
    "settings": settings_of,
    "classifiers": classifiers,
    "augmentations": augmentations,
    "methods": methods,
    "load-options": load_options,
    "data-sets": data_sets,
    "data-options": data_options,
    "help": command_help,
    "file": file,
    "readme": readme,
    "backends": backends,
    "bench": bench,
    "summary": summary,
    "against-ct": against_ct,
    "against-controls": against_controls,
}


def _by_method(folder):
    """(run, classifier, {method: {seed: result}}) of all runs; none with a varied setting, or other epochs than CT."""
    for path in sorted(folder.glob("*/results.json")):
        results = [r for r in json.loads(path.read_text(encoding="utf-8")) if "varied" not in r]
        epochs = {r["classifier"]: r.get("epochs") for r in results if r["method"] == "ct"}
        for classifier in dict.fromkeys(r["classifier"] for r in results):
            of = {method: {} for method in METHODS}
            for result in results:
                alike = result.get("epochs") == epochs.get(classifier)
                if result["classifier"] == classifier and result["method"] in of and alike:
                    of[result["method"]][result["seed"]] = result
            yield path.parent.name, classifier, of


def _head(method):
    return ["run", "classifier", "CT", method.upper(), f"{method.upper()} - CT", "p", "time"]


def _mean(of):
    return mean_std([result["test_error"] for result in of.values()]) if of else "-"


def _against_ct(run, classifier, of, method):
    """A row below `_head`; difference, p and ratio of the training times are over the seeds that both have."""
    seeds = sorted(of[method].keys() & of["ct"].keys())
    pairs = [(of[method][seed]["test_error"], of["ct"][seed]["test_error"]) for seed in seeds]
    times = [sum(of[name][seed]["seconds"] for seed in seeds) for name in (method, "ct")]
    compared = [mean_std(differences(pairs), "+"), p_value(pairs), f"{times[0] / times[1]:.1f}"]
    run = f"[{run}](../../results/{run}/report.md)"
    return [run, classifier, _mean(of["ct"]), _mean(of[method]), *compared]


def _definitions(entries):
    """A definition list of entries (name, one or more texts)."""
    return "\n\n".join("\n".join([f"`{name}`", *(f":   {text}" for text in texts)]) for name, *texts in entries)


def _options(parameters, function):
    meanings = _arguments(function)
    return _definitions(_setting(name, p.annotation, p.default, meanings[name]) for name, p in parameters.items())


def _setting(name, annotation, default, meaning):
    return name, f"{_text(_allowed(annotation))}; {_default(default)}", _text(meaning)


def _allowed(annotation):
    """What a type annotation allows, in the words of the recipe's errors."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return " ".join([_allowed(arguments[0]), *arguments[1:]])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_allowed(a) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is dict and typing.get_origin(arguments[1]) in (typing.Union, types.UnionType):
        return f"list or mapping of {', '.join(f'`{choice.name}`' for choice in typing.get_args(arguments[1]))}"
    if origin is tuple:
        return f"list of {_allowed(arguments[0])}"
    if origin is dict:
        return f"mapping of names to {_allowed(arguments[1])}"
    if dataclasses.is_dataclass(annotation):
        return "mapping" + (f" ({annotation.name})" if hasattr(annotation, "name") else "")
    return {int: "whole number", float: "number", str: "text", bool: "true, false"}[annotation]


def _default(value):
    if value in (inspect.Parameter.empty, dataclasses.MISSING):
        return "needed"
    if value is None:
        return "optional"
    return "optional, with defaults" if dataclasses.is_dataclass(value) else f"default `{_yaml(value)}`"


def _yaml(value):
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return settings.as_yaml(value)


def _text(text):
    return text.replace("<", "&lt;")


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


def main():
    """Makes anew what is generated in the repository, from the code, from results/, and from `url` in setup.cfg."""
    import nbformat

    for path in sources():
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        nbformat.write(addressed(nbformat.read(path, as_version=4), path.name, repository()), path)


if __name__ == "__main__":
    main()
