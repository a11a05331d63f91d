"""The pages of docs/ say what the package does: settings, error messages and examples are compared with it."""

import contextlib
import dataclasses
import doctest
import importlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from nft_keras import cli, data
from nft_keras._registry import Registry
from nft_keras.experiments.recipe import settings
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports import reference
from nft_keras.experiments.reports.tables import write_report
from tests.test_wheel import COMMANDS

DOCS = Path(__file__).parents[1] / "docs"
_spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
hooks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hooks)

NFT = "methods.nft."
PLACES = {
    "Keys": ("mnist-rot", "zzz"),
    "Dataset": ("mnist-rot", "dataset.zzz"),
    "nft": ("mnist-rot", NFT + "zzz"),
    "Plan of nft": ("mnist-rot", NFT + "plan.zzz"),
    "Auxiliary network: unet": ("mnist-rot", NFT + "auxiliary.zzz"),
    "Auxiliary network: mlp": ("imdb", NFT + "auxiliary.zzz"),
    "Optimizer": ("mnist-rot", NFT + "auxiliary_optimizer.zzz"),
    "ft": ("mnist-rot", "methods.ft.zzz"),
    "Plan of ft": ("mnist-rot", "methods.ft.plan.zzz"),
    "eef": ("mnist-rot", "methods.eef.zzz"),
    "Plan of eef": ("mnist-rot", "methods.eef.plan.zzz"),
    "Training": ("mnist-rot", "training.zzz"),
}


def sections(page):
    """{heading: text below it, up to the next heading} of a page with what is generated in it."""
    parts = re.split(r"^##+ (.*)$", hooks.filled((DOCS / page).read_text(encoding="utf-8")), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text):
    """The first column of the tables in a text."""
    return re.findall(r"^\| `([^`]+)`", text, re.M)


def allowed(name, *overrides):
    """The keys that the recipe reader says there are where it meets one that there is not."""
    with pytest.raises(RecipeError, match="unknown key; allowed: ") as error:
        load_recipe(name, overrides)
    return re.search(r"allowed: ([\w, ]+)", str(error.value))[1].split(", ")


@pytest.mark.parametrize("heading, place", PLACES.items())
def test_the_reference_has_exactly_the_keys_that_the_reader_allows(heading, place):
    name, key = place
    own = data.find(name).options if heading == "Dataset" else ()
    assert rows(sections("recipes.md")[heading]) == [key for key in allowed(name, f"{key}=1") if key not in own]


def test_every_data_set_is_in_the_table_with_its_options():
    text = sections("data.md")
    table = hooks.filled((DOCS / "data.md").read_text(encoding="utf-8")).partition("##")[0]
    assert rows(table) == list(data.SPECS)
    common = set(allowed("two-moons", "dataset.zzz=1")) - set(data.find("two-moons").options)
    for name in data.SPECS:
        own = set(allowed("two-moons", f"dataset.name={name}", "dataset.noise=1", "dataset.zzz=1")) - common
        described = {key for heading, below in text.items() if name in heading.split(", ") for key in rows(below)}
        assert described == own


def test_every_classifier_and_method_is_there():
    assert rows(sections("recipes.md")["Classifiers"]) == list(settings.CLASSIFIERS)
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} == set(settings.METHODS)


def test_the_defaults_in_the_reference_are_the_reader_s(tmp_path):
    (tmp_path / "bare.yaml").write_text("dataset: digits-back-image\nclassifiers: [fc-a]\nmethods: [ct]\n")
    (trial, *_) = load_recipe(tmp_path / "bare.yaml")
    lines = re.findall(r"^\| `(\w+)` +\|.*?\| (\S+) +\|", sections("recipes.md")["Training"], re.M)
    read = dataclasses.asdict(trial.training)
    assert dict(lines) == {key: "-" if value is None else f"`{value}`" for key, value in read.items()}


def test_a_setting_without_a_description_breaks_the_build(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Undescribed(settings.Optimizer):
        """One more setting."""

        nesterov: bool = False

    monkeypatch.setattr(settings, "Training", Undescribed)
    with pytest.raises(KeyError, match="nesterov"):
        hooks.filled("{{ settings Training }}")


REPORT = """\
# Ours

| classifier | method | test error (%) |
| ---------- | ------ | -------------- |
| cnn-a      | CT     | 1.25           |
| cnn-a      | FT     | 1.50           |
| cnn-a      | NFT    | 1.75           |

Data: generated.

| classifier | CT | FT | NFT | NFT - CT | CT published | FT published |
| ---------- | -- | -- | --- | -------- | ------------ | ------------ |
| fc-a       | 5  | 6  | 7   | 2        | 8            | 9            |
"""


def test_a_page_of_a_method_shows_its_results_beside_classic_training_and_no_others(tmp_path):
    assert "no reports" in hooks.results("ft", tmp_path)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "report.md").write_text(REPORT)
    text = hooks.results("ft", tmp_path)
    assert "### Ours" in text and "Data: generated." in text and "1.25" in text and "1.50" in text
    assert "1.75" not in text and "NFT" not in text
    assert re.findall(r"\| fc-a .*", text)[0].split() == "| fc-a | 5 | 6 | 8 | 9 |".split()
    assert all(line.strip("|- ") in hooks.results(None, tmp_path) for line in REPORT.splitlines()[2:])


@pytest.mark.parametrize("method", settings.METHODS)
def test_a_run_on_the_page_of_a_method_has_a_table_with_it(method):
    shown = dict(zip(*[iter(re.split(r"^### (.*)$", hooks.results(method), flags=re.M)[1:])] * 2, strict=True))
    assert shown
    for name, below in shown.items():
        assert re.search(rf"^\|.*\b{method.upper()}\b", below, re.M), name
        assert not re.search("^(Run|Machine|Version|Trials): ", below, re.M), name


def test_a_section_of_the_readme_has_the_links_of_the_page_it_is_on(tmp_path):
    (tmp_path / "README.md").write_text(
        "# x\n## A `b`, c\n[p](docs/data.md#parts) [m](docs/methods/ft.md) [r](results/README.md)"
        " [t](results/two/report.md) [n](notebooks/n.ipynb) [w](https://example.org/docs/)\n\n## Next\nother\n"
    )
    text = hooks.readme("A `b`, c", tmp_path / "README.md")
    assert hooks.linked(text, "methods/nft.md") == (
        "[p](../data.md#parts) [m](ft.md) [r](../results.md) [t](../results.md#two) n [w](https://example.org/docs/)"
    )
    assert hooks.linked(text, "index.md").startswith("[p](data.md#parts) [m](methods/ft.md) [r](results.md) ")
    with pytest.raises(KeyError):
        hooks.readme("A b", tmp_path / "README.md")


@pytest.mark.parametrize("path", hooks.sources(), ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_what_is_generated_in_a_page_is_as_python_docs_hooks_makes_it(path):
    text = path.read_text(encoding="utf-8")
    assert hooks.rewritten(text) == text
    assert text.count("<!-- {{ ") == text.count("<!-- end -->") == hooks.rewritten(text).count("<!-- end -->")


def test_what_is_generated_in_a_page_is_made_anew_and_the_rest_left():
    mark = "<!-- {{ settings Optimizer }} -->"
    made = f"{mark}\n\n{hooks.settings_table('Optimizer')}\n\n<!-- end -->"
    assert hooks.rewritten(f"a\n{mark}\nold\n<!-- end -->\nb\n{made}\n") == f"a\n{made}\nb\n{made}\n"


@pytest.mark.parametrize(
    "path", sorted((DOCS.parent / "results").glob("*/results.json")), ids=lambda path: path.parent.name
)
def test_a_report_in_results_is_that_of_its_results(path, tmp_path):
    """Rewritten from results.json it is the same; it tells commit, machine and date, and no path of a machine."""
    text, results = (
        path.with_name("report.md").read_text(encoding="utf-8"),
        json.loads(path.read_text(encoding="utf-8")),
    )
    write_report(path.parent.name, results, tmp_path, reference.read(path.parent))
    assert (tmp_path / path.parent.name / "report.md").read_text(encoding="utf-8") == text
    for result in results:
        assert re.fullmatch(r"\d\.\d\.\d [0-9a-f]{7,}", result["environment"]["nft_keras"])
        assert not re.search(r"(^|[\s(])[/~]", result["provenance"])
    assert path.with_name("recipe.yaml").exists()


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("page", [*(f"methods/{method}.md" for method in settings.METHODS), "../README.md"])
def test_the_example_of_a_page_trains(page, tmp_path, monkeypatch):
    import numpy as np
    import tensorflow as tf

    from nft_keras.classifiers import fc_a

    monkeypatch.chdir(tmp_path)
    examples = tf.data.Dataset.from_tensor_slices((np.zeros((4, 28, 28, 1), "float32"), np.zeros(4, "int32")))
    names = {"classifier": fc_a((28, 28, 1), 2), "examples": examples}
    names["train"] = names["valid"] = examples.batch(2)
    (program,) = blocks(page, "python")
    short = re.sub(r"\bepochs=\d+", "epochs=3", re.sub(r"(simplification_epochs|max_steps)=\d+", r"\1=2", program))
    exec(short if "filters=" in short else short.replace(" unet(", " unet(filters=4, depth=1, "), names)
    assert Path("classifier.keras").exists() == (page != "methods/ct.md")
    assert len(names.get("model", names["classifier"]).history.epoch) == 3


def test_the_recipe_for_own_data_trains_on_a_table_beside_it(tmp_path, monkeypatch):
    (recipe,) = blocks("start.md", "yaml")
    (tmp_path / "mine.yaml").write_text(recipe)
    rows = "".join(f"{i % 7},{i * i % 11},{'odd' if i % 2 else 'even'}\n" for i in range(60))
    (tmp_path / "table.csv").write_text("a,b,kind\n" + rows)
    monkeypatch.chdir(tmp_path)
    command = "mine.yaml --data-dir . --seeds 0 --set training.epochs=4"
    assert f"`python -m nft_keras.run {' '.join(command.split()[:3])}`" in (DOCS / "start.md").read_text()
    run(f"python -m nft_keras.run {command}")
    assert len(list(tmp_path.rglob("result.json"))) == 2


@pytest.mark.parametrize("method", settings.METHODS)
def test_the_recipe_on_a_method_s_page_is_right(method, tmp_path):
    (methods,) = blocks(f"methods/{method}.md", "yaml")
    (tmp_path / "mine.yaml").write_text(f"dataset: digits-back-image\nclassifiers: [cnn-a]\n{methods}")
    assert {trial.method for trial in load_recipe(tmp_path / "mine.yaml")} == {method}


def test_the_recipe_that_the_reference_begins_with_is_right(tmp_path):
    (tmp_path / "mine.yaml").write_text(blocks("recipes.md", "yaml")[0])
    assert {trial.method for trial in load_recipe(tmp_path / "mine.yaml")} == {"ct", "nft"}


def test_the_variants_in_the_reference_are_as_the_text_says(tmp_path):
    (text,) = [block for block in blocks("recipes.md", "yaml") if "is: nft" in block]
    (tmp_path / "variants.yaml").write_text(text)
    ct, short, nft, joint = load_recipe(tmp_path / "variants.yaml", seeds=[0])
    assert (short.method, short.kind, joint.method, joint.kind) == ("ct-short", "ct", "nft-joint", "nft")
    assert (ct.training.epochs, short.training.epochs, joint.training) == (12, 6, nft.training)
    assert (nft.method_settings.plan.eta_max, joint.method_settings.plan.eta_max) == (20, 40)
    assert joint.method_settings.phases == "joint" and joint.method_settings.auxiliary == nft.method_settings.auxiliary
    changed = load_recipe(tmp_path / "variants.yaml", ["methods.nft-joint.plan.eta_max=10"], ["nft-joint"], seeds=[0])
    assert changed[0].method_settings.plan.eta_max == 10


def test_the_page_of_commands_has_them_all():
    assert set(COMMANDS) == set(cli.VERBS) - {"version"}
    on_page = re.findall(r"^\{\{ help (\w+) \}\}$", (DOCS / "commands.md").read_text(), re.M)
    assert set(on_page) == set(COMMANDS) - {"recipes"}
    assert hooks.command_help("predict").startswith("```text\nusage: nft-keras predict ")


def test_the_map_of_the_code_names_what_is_there():
    root = DOCS.parent
    text = (root / "CONTRIBUTING.md").read_text().partition("## The map of the code")[2].partition("\n\nImports")[0]
    paths = [path for first in re.findall(r"^\| (.*?) \|", text, re.M) for path in re.findall(r"`(.*?)`", first)]
    assert len(paths) > 15
    for path in paths:
        assert (root / path).exists() or (root / "nft_keras" / path).exists(), path
    there = {(root / path).resolve() if (root / path).exists() else root / "nft_keras" / path for path in paths}
    package = root / "nft_keras"
    rooms = {path for path in package.glob("*") if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {package / "__init__.py"} <= there


def blocks(page, language):
    """The code blocks of a page in a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\b.*\n((?:.*\n)*?)```", text, re.M)


# Error messages


def entries():
    """{heading: text} of the page of error messages, those of commands."""
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (.*)$", text.partition("\n## In a program\n")[0], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def broken_package(folder, monkeypatch):
    """Makes the package of docs/extend.md look installed, without its module."""
    info = folder / "rings_for_nft-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rings-for-nft\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nft_keras.datasets]\nrings = rings_for_nft:RINGS\n")
    monkeypatch.syspath_prepend(folder)
    declared = Registry("nft_keras.datasets", data.Spec, {})._declared
    monkeypatch.setitem(vars(data.SPECS), "_declared", declared)


def run(command):
    """What a command line, run in this process, says on stderr."""
    words = shlex.split(command)
    _, _, module, *arguments = words[words.index("python") :]
    main = cli.main if module == "nft_keras" else importlib.import_module(module).main
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main(arguments)
    assert bool(code) == bool(errors.getvalue())
    return errors.getvalue()


TRAINING = "python -m nft_keras.run two-moons --methods ct --seeds 0 --set training.epochs=2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which the trial that several entries begin with was run."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        assert run(TRAINING) == ""
    return folder


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("heading, text", entries().items(), ids=lambda value: value.partition("\n")[0])
def test_a_command_of_the_page_prints_the_message_below_it(heading, text, trained, tmp_path, monkeypatch):
    from nft_keras.data.io.cache import one_at_a_time

    if heading == "a package that is not installed":
        for package in ("onnx", "tf2onnx", "optuna"):
            monkeypatch.setitem(sys.modules, package, None)
    if heading == "a back end that does not train":
        monkeypatch.setattr("nft_keras.backend.backend_name", lambda: "numpy")
    if heading == "a package of yours that is broken":
        broken_package(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    if f"$ {TRAINING}\n" in text:
        shutil.copytree(trained / "runs", "runs")
    monkeypatch.setenv("NFT_DATA_DIR", str(tmp_path / "nothing"))
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    for language, title, block in re.findall(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```', text, re.M | re.S):
        if title:
            Path(title).write_text(block)
            continue
        assert language == "console"
        for command, message in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            in_use = one_at_a_time(Path("runs/two-moons/.lock")) if heading == "in use" else contextlib.nullcontext()
            with in_use:
                said = run(command)
            assert re.fullmatch(re.escape(message).replace(r"\.\.\.", ".*"), said), said


def test_a_program_of_the_page_raises_the_error_below_it():
    import keras
    import numpy as np

    from nft_keras import DevelopmentalPlan, FriendlyModel
    from nft_keras.auxiliaries import mlp

    names = {
        "keras": keras,
        "DevelopmentalPlan": DevelopmentalPlan,
        "FriendlyModel": FriendlyModel,
        "mlp": mlp,
        "classifier": keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")]),
        "auxiliary": mlp(2, hidden=4),
        "x": np.zeros((4, 2), "float32"),
        "y": np.zeros(4, "int32"),
    }
    program = "\n".join(blocks("troubleshooting.md", "pycon"))
    test = doctest.DocTestParser().get_doctest(program, names, "troubleshooting.md", None, 0)
    assert len(test.examples) > 10
    said = io.StringIO()
    assert doctest.DocTestRunner().run(test, out=said.write).failed == 0, said.getvalue()
