"""The public names: what an editor, a type checker and `dir` know of them."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nft_keras


def test_dir_shows_the_public_names_alone():
    assert dir(nft_keras) == sorted(nft_keras.__all__)
    assert nft_keras.__version__ == importlib.metadata.version("nft_keras")


PUBLIC = (
    *("nft", "ft", "eef", "base", "laws", "auxiliaries", "classifiers", "backbone", "layers", "optimizers"),
    *("data", "data.batches", "data.features.augment", "data.features.encoder", "data.sources.tables"),
    *("experiments", "experiments.runs", "experiments.classifier_file", "experiments.recipe.reading"),
    *("cli.predict", "cli.export"),
)
USES = """\
reveal_type(nft_keras.auxiliaries.mlp(2)) # Model
reveal_type(nft_keras.classifiers.fc_a((2,), 2)) # Model
reveal_type(nft_keras.data.load("csv", "folder", path="t.csv", train_size=5)) # Dataset
reveal_type(nft_keras.experiments.run("imdb", seeds=[0])) # list[dict[str, Any]]
reveal_type(nft_keras.experiments.report([])) # str
reveal_type(nft_keras.optimizers.Adam(1e-3, l2=0.1)) # Adam
reveal_type(nft_keras.DevelopmentalPlan(1.0, 2).eta(3)) # float
"""


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["pyright", "mypy"])
def test_a_type_checker_resolves_every_public_name(checker, tmp_path):
    names = [name for name in nft_keras.__all__ if name != "__version__"]
    lines = ["import nft_keras", *(f"import nft_keras.{module}" for module in PUBLIC)]
    lines += [f"from nft_keras import {', '.join(names)}", *(f"reveal_type({name})" for name in names)]
    (tmp_path / "names.py").write_text("\n".join(lines) + f"\nreveal_type(nft_keras.__version__)\n{USES}")
    python = {"pyright": "--pythonpath", "mypy": "--python-executable"}[checker]
    command = [sys.executable, "-m", checker, python, sys.executable, "names.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line for line in done.stdout.splitlines() if "Type of" in line or "Revealed type" in line]
    types = [re.sub(r"^(nft_keras\.\S*\.)?", "", re.search(r'is "(.*)"', line)[1]) for line in found]
    assert len(types) == len(names) + 1 + USES.count("reveal_type") and "Unknown" not in types
    # To mypy all of Keras, which does not say that it has types, is Any.
    unknown = {"Any"} if checker == "mypy" else set()
    for got, wanted in zip(types[len(names) + 1 :], re.findall("# (.*)", USES), strict=True):
        assert got in {wanted} | unknown


def public(node):
    """The public functions of a module's or a class's syntax tree, those of its public classes too."""
    for child in node.body:
        name = getattr(child, "name", "_")
        if isinstance(child, ast.ClassDef) and name[0] != "_":
            yield from public(child)
        elif isinstance(child, ast.FunctionDef) and (name[0] != "_" or name == "__init__"):
            yield child


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_function_says_its_types(module):
    source = Path(importlib.util.find_spec(f"nft_keras.{module}").origin).read_text(encoding="utf-8")
    for function in public(ast.parse(source)):
        of = function.args
        arguments = [*of.args, *of.kwonlyargs, *filter(None, (of.vararg, of.kwarg))]
        silent = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        assert not silent and function.returns, f"{function.name}: {', '.join(silent)}"


@pytest.mark.parametrize(
    "started, is_ours",
    [
        (["python", "-m", "nft_keras.run", "imdb"], True),
        (["python", "-X", "dev", "-m", "nft_keras", "run"], True),
        (["python", "/somewhere/bin/nft-keras", "run"], True),
        (["python", "-m", "mine", "nft_keras"], False),
        (["python", "-m", "mine.nft_keras"], False),
        (["python", "train.py"], False),
        (["python", "-m"], False),
        (["python"], False),
    ],
)
def test_a_package_of_the_user_that_is_run_by_m_is_not_taken_for_a_command_of_ours(started, is_ours):
    assert nft_keras._is_our_command(started) == is_ours
