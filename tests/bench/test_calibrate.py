import dataclasses

import numpy as np
import pytest

from bench import calibrate
from bench.__main__ import main
from nft_keras import data
from nft_keras.cli import run
from nft_keras.data.sources import larochelle
from nft_keras.experiments.recipe.reading import load_recipe


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Sets of a few images, of which the classes are told by their brightness."""

    def draw(n, rng, data_dir):
        y = rng.permutation(np.arange(n, dtype="int32") % 2)
        return rng.integers(0, 128, (n, 28, 28, 1), "uint8") + 100 * y[:, None, None, None].astype("uint8"), y

    for name in ("convex", "rectangles-image"):
        monkeypatch.setitem(data.SPECS, name, dataclasses.replace(data.SPECS[name], sizes=(60, 30, 30)))
        monkeypatch.setitem(larochelle._SETS, name, dataclasses.replace(larochelle._SETS[name], draw=draw))


def rows(text):
    """The rows of a Markdown table, [[cell]]."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def calibration(folder, *arguments):
    return main(["calibrate", *arguments, "--data-dir", str(folder), "--out", str(folder / "out")])


def test_a_row_has_our_error_the_published_one_and_their_relative_difference(tmp_path, capsys):
    assert calibration(tmp_path, "convex", "--classifiers", "svm", "fc-a", "--epochs", "2") == 0
    found = rows(capsys.readouterr().out.partition("## Generated data sets")[2])
    assert [row[:3] for row in found] == [["convex", "svm", "-"], ["convex", "fc-a", "2"]]
    for _, _, _, ours, published, difference in found:
        assert float(difference.split()[0]) == pytest.approx(100 * (float(ours) / float(published) - 1), abs=0.51)
    assert found[0][3:5] == ["0.00", "19.13"] and found[1][4] == "33.91"


def test_what_is_finished_is_not_trained_again(tmp_path, capsys):
    choice = ("convex", "rectangles-image", "--classifiers", "svm", "fc-a", "--epochs", "1")
    assert calibration(tmp_path, *choice) == 0
    table = rows(capsys.readouterr().out.partition("## Generated data sets")[2])
    kept = [*tmp_path.rglob("result.json"), *tmp_path.rglob("svm/*.json")]
    written = [path.stat().st_mtime_ns for path in kept]
    assert len(table) == len(kept) == 4
    for show in ((), ("--show",)):
        assert calibration(tmp_path, *choice, *show) == 0
        assert rows(capsys.readouterr().out.partition("## Generated data sets")[2]) == table
    assert [path.stat().st_mtime_ns for path in kept] == written


def test_another_version_of_the_generator_starts_anew(tmp_path, capsys, monkeypatch):
    assert calibration(tmp_path, "convex", "--classifiers", "svm") == 0
    monkeypatch.setitem(larochelle._SETS, "convex", dataclasses.replace(larochelle._SETS["convex"], version=99))
    capsys.readouterr()
    assert calibration(tmp_path, "convex", "--classifiers", "svm", "--show") == 0
    assert rows(capsys.readouterr().out) == []


def test_a_failed_training_ends_it_with_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate.run, "main", lambda arguments: 1)
    assert calibration(tmp_path, "convex", "--classifiers", "fc-a") == 1


def test_the_networks_are_trained_as_the_recipes_say(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(calibrate.run, "main", lambda arguments: asked.append(arguments) or 0)
    assert calibration(tmp_path, *calibrate.PUBLISHED, "--classifiers", "cnn-a") == 0
    options = [run.parser().parse_args(arguments) for arguments in asked]
    assert {str(path) for each in options for path in each.recipe} == set(calibrate.PUBLISHED)
    for each in options:
        (trial,) = load_recipe(*each.recipe, each.set, each.methods, each.classifiers, each.seeds)
        assert (trial.training.epochs, trial.training.batch_size) == (200, 32)
        assert (trial.classifier, trial.method, trial.dataset["source"]) == ("cnn-a", "ct", "generated")


def test_an_unknown_set_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["calibrate", "mnist"])
    assert "unknown set 'mnist'; the sets are mnist-rot, mnist-back-image" in capsys.readouterr().err
