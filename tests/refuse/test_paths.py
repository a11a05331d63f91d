"""Paths that no file can have, and an environment that lacks what is usually there."""

import importlib
import os
import pwd

import pytest

from nft_keras import data
from nft_keras.data import DataError
from tests.experiments.recipe.test_recipe import GOOD
from tests.refuse.conftest import command, tree

COMMANDS = {
    "run": ["r.yaml", "--out", "PATH"],
    "run a recipe": ["PATH"],
    "run on data": ["r.yaml", "--data-dir", "PATH"],
    "sweep": ["PATH"],
    "report": ["PATH"],
    "report to": [".", "--keep", "PATH"],
    "figures": ["1", "PATH"],
    "attack": ["PATH"],
    "predict": ["PATH", "x"],
    "predict of": [".", "PATH"],
    "evaluate": ["PATH", "x"],
    "export": ["PATH", "--format", "keras"],
    "data": ["list", "--data-dir", "PATH"],
    "data of": ["show", "two-moons", "--out", "PATH"],
}
WRITTEN = ("run", "run on data", "report to", "data", "data of")


def refused(tmp_path, monkeypatch, capsys, name, path):
    """What a command says on stderr, one line, of a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(GOOD)
    before = tree(tmp_path)
    main = importlib.import_module(f"nft_keras.cli.{name.split()[0]}").main
    with pytest.raises(SystemExit) as ended:
        main([path if word == "PATH" else word for word in COMMANDS[name]])
    out, error = capsys.readouterr()
    assert ended.value.code == 2 and not out and error.count("\n") == 1 and error.endswith("--help\n")
    assert tree(tmp_path) == before
    return error


@pytest.mark.parametrize("path", ["a\0b", "a" * 300, "é" * 150, "a/" * 3000], ids=["zero", "long", "letters", "deep"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_that_nothing_can_have_is_refused_by_every_command(tmp_path, monkeypatch, capsys, name, path):
    error = refused(tmp_path, monkeypatch, capsys, name, path)
    assert "no file or folder can be called" in error and len(error) < 300


@pytest.mark.parametrize("name", WRITTEN)
def test_a_path_that_is_no_utf_8_is_not_written_to(tmp_path, monkeypatch, capsys, name):
    assert r"should be UTF-8, got 'a\udcff'" in refused(tmp_path, monkeypatch, capsys, name, "a\udcff")


def test_without_a_home_the_data_directory_is_asked_for(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "NFT_DATA_DIR", "KERAS_BACKEND", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(*_):
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    (tmp_path / "r.yaml").write_text("dataset: imdb\nclassifiers: [fc-a]\nmethods: [ct]\nseeds: [0]\n")
    assert os.path.expanduser("~") == "~"
    message = "no home directory to keep data sets in: set NFT_DATA_DIR, or give --data-dir"
    with pytest.raises(DataError, match=message):
        data.load("two-moons")
    assert len(data.load("two-moons", tmp_path).train) == 300
    listing = importlib.import_module("nft_keras.cli.data").main
    assert command(["list"], "again", listing)[::2] == (2, [message])
    assert command(["list", "--data-dir", tmp_path], "again", listing)[0] == 0
    code, _, lines = command([tmp_path / "r.yaml", "--out", tmp_path / "out"], "again")
    assert (code, lines) == (2, [message])
    assert command([tmp_path / "r.yaml", "--dry-run"], "again")[0] == 0
