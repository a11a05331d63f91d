import csv
import gzip
import json
import statistics

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


def run_elsewhere(out, seeds, error, recipe=RECIPE, methods=None):
    """The folder of a run of the same recipe with other seeds."""
    (out.parent / "small.yaml").write_text(recipe)
    trials = load_recipe(out.parent / "small.yaml", methods=methods, seeds=seeds)
    for trial in trials:
        folder = finish(out, trial, error + trial.seed, varied=trial.variation)
        (folder / "history.csv").write_bytes(HISTORY.format(loss=1, error=error).encode())
    write_report("small", finished(trials, out), out)
    write_recipe(recipe, [], out, "small")
    (out / "small/reference.json").write_text(json.dumps([{"dataset": {"name": "two-moons"}, "varied": "", **LINEAR}]))
    return out / "small"


LINEAR = {"test_error": 12.0, "valid_error": 12.5, "C": 1.0, "converged": True, "seconds": 0.1}


def test_a_run_in_several_places_is_kept_as_one_in_one_place(run, tmp_path, capsys):
    later, last = (run_elsewhere(tmp_path / f"at-{seed}", [seed], 5.0) for seed in (3, 2))
    piece_by_piece, at_once = tmp_path / "first" / "small", tmp_path / "all" / "small"
    for folders in ([run], [piece_by_piece, later], [piece_by_piece, last]):
        assert report.main([*map(str, folders), "--keep", str(piece_by_piece)]) == 0
    assert report.main([*map(str, (run, last, later)), "--keep", str(at_once)]) == 0
    files = kept(piece_by_piece)
    assert files == kept(at_once)
    results = json.loads(files["results.json"])
    sizes = (f"training.batch_size={size}" for size in (16, 32))
    assert [(r["varied"], r["seed"]) for r in results] == [(size, seed) for size in sizes for seed in range(4)]
    rows = list(csv.DictReader(gzip.decompress(files["histories.csv.gz"]).decode().splitlines()))
    assert [row["seed"] for row in rows] == [seed for _ in range(2) for seed in "00112233"]
    text = files["report.md"].decode()
    assert text.startswith("# small\n") and "| 4 " in text and "logistic regression" in text
    assert json.loads(files["reference.json"])[0]["test_error"] == 12.0
    error = statistics.mean([0, 1, 7, 8])
    assert f"| {error:.2f} ± " in text


def test_methods_run_in_several_places_stand_as_the_recipe_has_them(tmp_path):
    recipe = RECIPE.replace("[ct]", "{ct: , ct-short: {is: ct, training: {epochs: 1}}}")
    folders = [run_elsewhere(tmp_path / f"{name}-{seed}", [seed], 5.0, recipe, [name]) for name, seed in AS_RUN]
    for order, to in ((folders, "kept"), (folders[::-1], "reversed")):
        assert report.main([*map(str, order), "--keep", str(tmp_path / to)]) == 0
    files = kept(tmp_path / "kept")
    assert files == kept(tmp_path / "reversed") | {"reference.json": files["reference.json"]}
    rows = csv.DictReader(gzip.decompress(files["histories.csv.gz"]).decode().splitlines())
    for trials in (json.loads(files["results.json"]), rows):
        order = dict.fromkeys((trial["method"], int(trial["seed"])) for trial in trials)
        assert list(order) == sorted(AS_RUN)


AS_RUN = [("ct-short", 1), ("ct", 1), ("ct-short", 0), ("ct", 0)]


def test_runs_that_do_not_go_together_are_refused_before_anything_is_written(run, tmp_path, capsys):
    same, other = run_elsewhere(tmp_path / "same", [1], 5.0), run_elsewhere(tmp_path / "other", [2], 5.0)
    write_recipe(f"# Said better.\n{RECIPE}", [], tmp_path / "other", "small")
    assert report.main([str(run), str(other), "--keep", str(tmp_path / "better")]) == 0
    assert (tmp_path / "better" / "recipe.yaml").read_text() == RECIPE
    write_recipe(RECIPE.replace("epochs: 2", "epochs: 3"), [], tmp_path / "other", "small")
    assert report.main([str(run), str(same), "--keep", str(tmp_path / "kept")]) == 2
    trial = "training.batch_size=16/fc-a/ct/seed-1"
    expected = f"{same} has another result of {trial} than a folder before it; leave one of them out\n"
    assert capsys.readouterr().err == expected
    assert report.main([str(run), str(other), "--keep", str(tmp_path / "kept")]) == 2
    expected = f"{other}/recipe.yaml is not {run}/recipe.yaml: --keep takes runs of one recipe\n"
    assert capsys.readouterr().err == expected
    write_recipe(RECIPE, ["training.learning_rate=0.1"], tmp_path / "other", "small")
    assert report.main([str(run), str(other), "--keep", str(tmp_path / "kept")]) == 2
    assert capsys.readouterr().err == expected
    for folder, known in ((run, 1), (same, 2)):
        results = json.loads((folder / "results.json").read_text())
        found = json.dumps([result | {"fingerprint": f"content:{known}"} for result in results])
        (folder / "results.json").write_text(found)
    assert report.main([str(run), str(same), "--keep", str(tmp_path / "kept")]) == 2
    assert "has trials on other data than a folder before it" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"a,b\n1,2\n"), gzip.compress(b"\xff")],
    ids=["empty", "no gzip", "no histories", "no text"],
)
def test_kept_histories_that_are_damaged_are_refused_in_one_line(run, tmp_path, capsys, content):
    assert report.main([str(run), "--keep", str(tmp_path / "kept")]) == 0
    capsys.readouterr()
    (tmp_path / "kept" / "histories.csv.gz").write_bytes(content)
    assert report.main([str(tmp_path / "kept"), "--keep", str(tmp_path / "again")]) == 2
    error = capsys.readouterr().err
    assert "histories.csv.gz is damaged" in error and error.count("\n") == 1
    assert not (tmp_path / "again").exists()


def test_what_is_kept_goes_to_a_folder_of_its_own(run, tmp_path, capsys):
    assert report.main([str(run), "--out", "elsewhere", "--keep", str(tmp_path / "kept")]) == 2
    assert capsys.readouterr().err == "--keep takes the folders of one recipe's run, OUT/RECIPE, and no --out\n"


def test_a_folder_that_cannot_be_written_to_names_the_option(run, capsys):
    assert report.main([str(run), "--keep", "/proc/x"]) == 2
    assert capsys.readouterr().err.endswith("; choose another --keep\n")


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"a: [", b"x: 2020-13-45", b"\xff\xfe\x00", b"methods: 3"])
def test_a_damaged_recipe_is_told_or_changes_nothing(run, tmp_path, capsys, content):
    (tmp_path / "small.yaml").write_text(RECIPE)
    other = run_elsewhere(tmp_path / "at-3", [3], 5.0)
    (run / "recipe.yaml").write_bytes(content)
    for folders in ([run], [run, other]):
        code = report.main([*map(str, folders), "--keep", str(tmp_path / "kept")])
        error = capsys.readouterr().err
        assert code == 0 or (code == 2 and error.count("\n") == 1 and "recipe.yaml" in error)
