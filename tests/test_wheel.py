"""The wheel in environments without the checkout: with all that it depends on, and with as little as can be."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import trove_classifiers
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCES = ("nft_keras", "recipes", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
COMMANDS = ("recipes", "run", "sweep", "report", "figures", "attack", "predict", "evaluate", "export", "data")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("built")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", checkout]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return folder / "dist"


def environment(built, folder):
    """An environment with the wheel and nothing else; its Python, and where its packages are."""
    venv.create(folder, symlinks=True)
    python, (wheel,) = folder / "bin" / "python", built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    (packages,) = folder.glob("lib/*/site-packages")
    return python, packages


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A function that runs Python with the wheel and its dependencies, in an empty folder, and where the package is."""
    empty = tmp_path_factory.mktemp("empty")
    python, own = environment(built, tmp_path_factory.mktemp("wheel") / "environment")
    (own / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments):
        command = [python, *map(str, arguments)]
        return subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True)

    where = run("-c", "import importlib.util as i; print(i.find_spec('nft_keras').origin)").stdout
    assert Path(where).parent == own / "nft_keras"
    return run, own / "nft_keras"


def test_a_package_index_would_take_it(built):
    check = [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout + done.stderr
    (wheel,) = built.glob("*.whl")
    (metadata,) = importlib.metadata.distributions(name="nft_keras", path=[str(wheel)])
    of = metadata.metadata.get_all
    assert set(of("Classifier")) <= trove_classifiers.classifiers
    assert all(map(of, ("Author", "Keywords", "Project-URL", "License", "Summary", "Requires-Python")))


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_with_keras_and_a_back_end_alone_every_method_trains_saves_and_loads(backend, built, tmp_path):
    python, packages = environment(built, tmp_path / "environment")
    needed = requirements("keras", backend)
    for name in needed:
        link(importlib.metadata.distribution(name), packages)
    here = importlib.metadata.packages_distributions().items()
    absent = {module for module, of in here if not needed & set(map(canonicalize_name, of))} - {"nft_keras"}
    assert {"sklearn", "yaml", "matplotlib", "tensorflow" if backend == "jax" else "jax"} <= absent
    program = [python, "-I", ROOT / "tests" / "alone.py", tmp_path, "nft_keras", "keras", *absent]
    done = subprocess.run(program, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["backend"] == backend and said["importable"] == ["nft_keras", "keras"]
    for loss, difference in map(dict.values, said["methods"].values()):
        assert loss[-1] < loss[0] and difference < 1e-6
    assert set(said["methods"]) == {"nft", "ft", "eef"}


def requirements(*names):
    """Canonical names of all that is installed with some packages, theirs among them."""
    found, todo = set(), [Requirement(name) for name in names]
    while todo:
        wanted = todo.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if key not in found:
            found.add(key)
            extras = [{"extra": extra} for extra in ("", *wanted.extras)]
            further = map(Requirement, importlib.metadata.requires(wanted.name) or ())
            todo += [r for r in further if r.marker is None or any(map(r.marker.evaluate, extras))]
    return {name for name, _ in found}


def link(distribution, packages):
    """Puts a distribution among other packages, by links to its folders and files."""
    for file in distribution.files:
        if ".." not in file.parts and file.parts[0] != "__pycache__":
            is_package = distribution.locate_file(Path(file.parts[0], "__init__.py")).exists()
            path = Path(*file.parts[: 1 if is_package else 2])  # several share a namespace package
            (packages / path).parent.mkdir(exist_ok=True)
            if not (packages / path).exists():
                (packages / path).symlink_to(distribution.locate_file(path))


def test_it_brings_every_recipe(installed):
    _, package = installed
    assert _recipes(package) == _recipes(ROOT)


def test_its_description_is_the_readme_without_a_relative_link(installed):
    run, _ = installed
    done = run("-c", "import importlib.metadata as m; print(m.metadata('nft_keras').get_payload())")
    assert "model.fit(train, epochs=12" in done.stdout
    assert not re.search(r"\]\((?!https?:|#)", done.stdout)


def test_a_shipped_recipe_runs_from_an_empty_folder(installed):
    run, _ = installed
    done = run("-m", "nft_keras.run", "two-moons", "--seeds", 0, "--set", "training.epochs=3")
    assert done.returncode == 0, done.stderr
    table = done.stdout.split("\n\n")[0]
    assert [line.split()[1:4:2] for line in table.splitlines() if line.startswith("| fc-a")] == [
        ["fc-a", "CT"],
        ["fc-a", "NFT"],
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_help(installed, command):
    run, _ = installed
    done = run("-m", "nft_keras", command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"usage: nft-keras {command} ")


def test_what_the_user_asked_for_is_the_verb_run(installed):
    run, package = installed
    as_module, as_verb = run("-m", "nft_keras.run", "--help"), run("-m", "nft_keras", "run", "--help")
    assert as_module.returncode == 0 and as_module.stdout == as_verb.stdout
    script = Path(package).parents[3] / "bin" / "nft-keras"
    assert subprocess.run([script, "--help"], capture_output=True, text=True).stdout.startswith("usage: nft-keras VERB")


def _recipes(folder):
    return sorted(file.relative_to(folder).as_posix() for file in (folder / "recipes").rglob("*.yaml"))
