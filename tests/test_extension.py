"""A user's own package brings a data set, a classifier and a method, and nothing of ours is touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent / "extension"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("extension")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a command of ours where the package is installed."""
    folder = tmp_path_factory.mktemp("extension")
    source, site = folder / "source", folder / "site"
    subprocess.run(["cp", "-r", PACKAGE, source], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", site, source], check=True)
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (site, root)))}

    def run(module, *arguments):
        command = [sys.executable, "-m", "nft_keras", module, *map(str, arguments)]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


def test_a_recipe_trains_them(run, tmp_path):
    done = run("run", PACKAGE / "rings.yaml", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    results = {
        path.parts[-3]: json.loads(path.read_text()) for path in tmp_path.glob("rings/polynomial/*/*/result.json")
    }
    assert set(results) == {"ct", "noise"} and all(r["provenance"] == "generated: two rings" for r in results.values())
    assert all(r["test_error"] < 15 for r in results.values())
    # From the same weights and data in the same order, noise alone makes the first epochs different.
    losses = {m: _column(tmp_path / "rings" / "polynomial" / m / "seed-0" / "history.csv", "loss") for m in results}
    assert losses["ct"][0] != losses["noise"][0]
    assert "| polynomial | NOISE" in (tmp_path / "rings" / "report.md").read_text()


def test_the_commands_know_them(run, tmp_path):
    (line,) = [line for line in run("data", "list").stdout.splitlines() if line.startswith("rings ")]
    assert line.split() == ["rings", "2", "2", "200", "/", "100", "/", "400", "a", "file", "of", "yours"]
    assert run("data", "show", "rings", "--out", tmp_path / "rings.png").returncode == 0
    assert (tmp_path / "rings.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "setting, answer",
    [
        ("classifiers.polynomial.degree=9", "must be >= 1 and <= 5, got 9"),
        ("methods.noise.deviation=-1", "must be >= 0, got -1"),
        ("methods.noise.devation=1", "did you mean deviation?"),
        ("dataset.width=-1", "must be >= 0, got -1"),
        ("dataset={name: digits-back-image}", "polynomial takes vectors"),
    ],
)
def test_what_is_wrong_is_refused_as_ours_is(run, setting, answer):
    done = run("run", PACKAGE / "rings.yaml", "--dry-run", "--set", setting)
    assert done.returncode == 2 and answer in done.stderr and done.stderr.count("\n") == 1


def test_without_the_package_the_recipe_says_what_there_is():
    done = subprocess.run(
        [sys.executable, "-m", "nft_keras.run", PACKAGE / "rings.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "unknown data set 'rings'; allowed: two-moons" in done.stderr


def _column(path, name):
    head, *rows = (line.split(",") for line in path.read_text().splitlines())
    return [float(row[head.index(name)]) for row in rows]
