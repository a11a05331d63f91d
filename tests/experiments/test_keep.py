import csv
import gzip
import json

import pytest

from nft_keras.cli import report
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports.tables import write_recipe, write_report
from nft_keras.experiments.runs import finished
from tests.experiments.finished import finish

RECIPE = """\
name: small
dataset: two-moons
classifiers: [fc-a]
methods: [ct]
training: {epochs: 2}
seeds: [0, 1]
vary: {training.batch_size: [16, 32]}
"""
HISTORY = "epoch,phase,loss,test_error,seconds\r\n1,classic,0.5,,0.1\r\n2,classic,{loss},{error},0.1\r\n"


@pytest.fixture
def run(tmp_path):
    """The folder of a recipe's run, with a trial that was not among the last run's."""
    (tmp_path / "small.yaml").write_text(RECIPE)
    trials = load_recipe(tmp_path / "small.yaml")
    for i, trial in enumerate(trials):
        folder = finish(tmp_path / "runs", trial, float(i), varied=trial.variation)
        (folder / "history.csv").write_bytes(HISTORY.format(loss=0.25 + i, error=i).encode())
    finish(tmp_path / "runs", load_recipe(tmp_path / "small.yaml", seeds=[7])[0], 9.0)
    write_report("small", finished(trials, tmp_path / "runs"), tmp_path / "runs")
    write_recipe(RECIPE, [], tmp_path / "runs", "small")
    (tmp_path / "runs/small/reference.json").write_text("[]\n")
    return tmp_path / "runs" / "small"


def kept(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_kept_of_a_run_is_its_files_and_the_histories_of_the_trials_of_its_results(run, tmp_path, capsys):
    assert report.main([str(run), "--keep", str(tmp_path / "kept")]) == 0
    files = kept(tmp_path / "kept")
    assert sorted(files) == ["histories.csv.gz", "recipe.yaml", "reference.json", "report.md", "results.json"]
    for name in sorted(files)[1:]:
        assert files[name] == (run / name).read_bytes()
    rows = list(csv.DictReader(gzip.decompress(files["histories.csv.gz"]).decode().splitlines()))
    assert list(rows[0]) == "variation classifier method seed epoch phase loss test_error seconds".split()
    last = [(row["variation"], row["method"], row["seed"], row["loss"], row["test_error"]) for row in rows[1::2]]
    expected = [(f"training.batch_size={size}", "ct", seed) for size in (16, 32) for seed in "01"]
    assert last == [(*trial, str(0.25 + i), str(i)) for i, trial in enumerate(expected)]
    assert [row["epoch"] for row in rows] == ["1", "2"] * 4


def test_what_is_kept_twice_has_the_same_bytes_and_no_reference_of_before(run, tmp_path):
    for folder in ("a", "b"):
        assert report.main([str(run), "--keep", str(tmp_path / folder)]) == 0
    assert kept(tmp_path / "a") == kept(tmp_path / "b")
    (run / "reference.json").unlink()
    assert report.main([str(run), "--keep", str(tmp_path / "a")]) == 0
    before = kept(tmp_path / "b")
    del before["reference.json"]
    assert kept(tmp_path / "a") == before


def test_what_is_kept_does_not_say_whose_home_it_was_run_in(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = "/home/me/data/t.csv"
    (run / "recipe.yaml").write_text(f"# run with --set dataset.path={path}\n{RECIPE}")
    (run / "reference.json").write_text(json.dumps([{"dataset": {"path": path, "other": "/home/mended/t.csv"}}]))
    assert report.main([str(run), "--keep", str(tmp_path / "kept")]) == 0
    files = kept(tmp_path / "kept")
    assert files["recipe.yaml"].startswith(b"# run with --set dataset.path=~/data/t.csv\n")
    (reference,) = json.loads(files["reference.json"])
    assert reference == {"dataset": {"path": "~/data/t.csv", "other": "/home/mended/t.csv"}}
    assert not [name for name, content in files.items() if b"/home/me/" in content]


def test_a_run_whose_histories_are_gone_is_refused_before_anything_is_written(run, tmp_path, capsys):
    (result, *_) = json.loads((run / "results.json").read_text())
    (run / result["varied"] / "fc-a/ct/seed-0/history.csv").unlink()
    assert report.main([str(run), "--keep", str(tmp_path / "kept")]) == 2
    error = capsys.readouterr().err
    assert "history.csv: cannot be read: No such file" in error and error.count("\n") == 1
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("more", [["elsewhere"], ["--out", "elsewhere"]])
def test_one_run_is_kept_at_a_time(run, tmp_path, capsys, more):
    assert report.main([str(run), *more, "--keep", str(tmp_path / "kept")]) == 2
    assert capsys.readouterr().err == "--keep takes the folder of one recipe's run, OUT/RECIPE, and no --out\n"


def test_a_folder_that_cannot_be_written_to_names_the_option(run, capsys):
    assert report.main([str(run), "--keep", "/proc/x"]) == 2
    assert capsys.readouterr().err.endswith("; choose another --keep\n")
