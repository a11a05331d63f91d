"""The wheel in an environment that has nothing of the checkout, only the packages that nft_keras depends on."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("nft_keras", "recipes", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
COMMANDS = ("recipes", "run", "sweep", "report", "figures", "attack", "predict", "export", "data")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that runs Python with the wheel alone, in an empty folder, and where the package is."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout, environment, empty = (folder / name for name in ("checkout", "environment", "empty"))
    checkout.mkdir(), empty.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", checkout]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    (own,) = environment.glob("lib/*/site-packages")
    (own / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments):
        command = [python, *map(str, arguments)]
        return subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True)

    where = run("-c", "import importlib.util as i; print(i.find_spec('nft_keras').origin)").stdout
    assert Path(where).parent == own / "nft_keras"
    return run, own / "nft_keras"


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
