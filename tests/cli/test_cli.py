"""nft-keras VERB, and python -m nft_keras VERB."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nft_keras import cli
from nft_keras.cli import recipes
from nft_keras.experiments.recipe.shipped import shipped_names


def test_help_lists_every_verb_with_what_it_does(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    for verb, what in cli.VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(what)}$", printed, re.M)
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_comes_before_keras_is_imported(verb):
    command = [sys.executable, "-X", "importtime", "-m", "nft_keras", verb, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nft_keras.cli" in imported
    assert imported.isdisjoint({"keras", "tensorflow", "matplotlib", "sklearn"})


def test_a_misspelt_verb_is_one_line_that_says_which_was_meant(capsys):
    assert cli.main(["atack", "runs"]) == 2
    error = capsys.readouterr().err
    assert error == "'atack' is no verb of nft-keras; did you mean attack?; see nft-keras --help\n"
    assert cli.main(["train", "runs"]) == 2 and "did you mean" not in capsys.readouterr().err
    assert cli.main([]) == 2 and "usage: nft-keras VERB" in capsys.readouterr().err


BASH = """\
eval "$(register-python-argcomplete nft-keras)"
eval "$(activate-global-python-argcomplete --dest=-)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDS=($1) COMP_CWORD=$(($# - 1)) COMPREPLY=()
case $1 in nft-keras*) _python_argcomplete nft-keras ;; *) _python_argcomplete_global python ;; esac
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    "line, offered",
    [
        ("nft-keras ", {"--help", *cli.VERBS}),
        ("nft-keras re", {"recipes", "report"}),
        ("python -m nft_keras re", {"recipes", "report"}),
        ("nft-keras run --me", {"--methods"}),
        ("nft-keras run small/im", {"small/imdb", "small/imdb-forms"}),
        ("nft-keras run mine", {"mine.yaml"}),
        ("nft-keras sweep imdb --methods e", {"eef"}),
        ("nft-keras run imdb --classifiers res", {"resnet18"}),
        ("nft-keras data show two", {"two-moons"}),
        ("nft-keras export FOLDER --format k", {"keras"}),
        ("nft-keras figures figure-1", {"figure-1"}),
    ],
)
def test_bash_completes_what_may_stand_there(line, offered, tmp_path):
    pytest.importorskip("argcomplete", reason="needs the extra completion")
    (tmp_path / "mine.yaml").write_text("")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "--norc", "-c", BASH, "bash", line]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    found = set(map(str.strip, done.stdout.splitlines()))
    assert found - {"-h"} == offered, done.stderr


@pytest.mark.parametrize("word", ["version", "--version"])
def test_the_version_is_printed(word, capsys):
    assert cli.main([word]) == 0 and re.fullmatch(r"nft_keras \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_every_shipped_recipe_is_listed_with_its_first_sentence_and_its_cost(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["recipes"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for name, file in shipped_names().items():
        what, cost = recipes.described(file.read_text(encoding="utf-8"))
        assert " ".join(f"{name} {what} {cost.partition(': ')[2]}".split()) in " ".join(printed.split())


def test_the_first_sentence_and_the_cost_are_taken_from_a_recipe_s_head():
    head = "# A of Larochelle et al. (2007), cut down: recipes/c.yaml.\n# Cost, measured: 3 minutes\n# in all.\n"
    what, cost = recipes.described(f"{head}#   python -m x\nname: a\n# not this\n")
    assert what == "A of Larochelle et al. (2007), cut down" and cost == "Cost, measured: 3 minutes in all."


@pytest.mark.parametrize(
    "words, said",
    [
        ("run imdb --seedz 0", "nft-keras run: unrecognized arguments: --seedz 0; did you mean --seeds?; see "),
        ("export x --format onx", "nft-keras export: argument --format: invalid choice: 'onx' (choose from "),
        ("recipes -x", "nft-keras recipes: unrecognized arguments: -x; see nft-keras recipes --help"),
        ("sweep", "nft-keras sweep: the following arguments are required: RECIPE.yaml; see nft-keras sweep --help"),
    ],
)
def test_wrong_words_are_said_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words.split())
    line = capsys.readouterr().err
    assert line.startswith(said) and line.count("\n") == 1


@pytest.mark.parametrize("words", ["run r.yaml --dry-run", "run r.yaml", "sweep r.yaml --dry-run", "sweep r.yaml"])
def test_a_missing_file_is_said_before_tensorflow_starts_and_nothing_is_left_behind(tmp_path, words):
    (tmp_path / "r.yaml").write_text(
        "dataset: {name: csv, train: a.csv, test: b.csv}\nclassifiers: [fc-a]\nmethods: [ct]\ntraining: {epochs: 1}\n"
        "sweep: {training.learning_rate: [0.1, 0.01]}\n"
    )
    (tmp_path / "a.csv").write_text("a,label\n1,0\n")
    command = [sys.executable, "-X", "importtime", "-m", "nft_keras", *words.split(), "--data-dir", "."]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time")]
    assert done.returncode == 2 and said == ["no b.csv; a relative path starts from the data directory (--data-dir)"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "nft_keras.data" in imported and not imported & {"tensorflow", "keras"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "r.yaml"]
