import csv
import json

import numpy as np
import pytest

from nft_keras import data
from nft_keras.cli.evaluate import evaluate, main
from nft_keras.cli.predict import predict

pytestmark = pytest.mark.xdist_group("predict")


def test_a_trial_says_of_its_test_part_what_evaluate_says_of_the_same_files(trials):
    trial, test = trials[0]["images"], trials[1] / "pictures" / "test"
    evaluation, result = evaluate(trial, test), json.loads((trial / "result.json").read_text())
    assert json.loads((trial / "test" / "summary.json").read_text()) == pytest.approx(evaluation.summary, abs=1e-3)
    for name in ("error", "balanced_accuracy", "calibration_error"):
        assert result[f"test_{name}"] == pytest.approx(evaluation.summary[name], abs=1e-3)
    with open(trial / "test" / "worst.csv", newline="") as file:
        worst = [row["input"] for row in csv.DictReader(file)]
    assert len(worst) == round(len(evaluation.y) * result["test_error"] / 100)
    assert worst == [f"test/{row['input']}" for row in evaluation.worst]
    assert {path.name for path in (trial / "test").iterdir()} == {
        "summary.json", "classes.csv", "confusion.csv", "confusion.png", "worst.csv",
    }  # fmt: skip


def test_pictures_have_their_labels_in_folders_or_in_a_table(trials, tmp_path, capsys):
    trial, test = trials[0]["images"], trials[1] / "pictures" / "test"
    by_folder, table = evaluate(trial, test), tmp_path / "labels.csv"
    rows = "".join(f"{path.parent.name},{path.relative_to(test).as_posix()}\n" for path in test.rglob("*.png"))
    table.write_text(f"what,file\n{rows}")
    by_table = evaluate(trial, test, labels=table)
    assert by_table.summary == pytest.approx(by_folder.summary)
    assert sorted(map(str, by_table.names)) == sorted(map(str, by_folder.names))
    table.write_text(f"what,file\n{rows}cat,gone.png\n")
    assert main([str(trial), str(test), "--labels", str(table)]) == 2
    assert "1 of its pictures is not in" in capsys.readouterr().err
    table.write_text("what,file\n")
    assert main([str(trial), str(test), "--labels", str(table)]) == 2
    assert "has no rows, only a header" in capsys.readouterr().err
    assert main([str(trials[0]["numbers"]), str(trials[1] / "numbers.csv"), "--labels", str(table)]) == 2
    assert "a table of labels is for a folder of images" in capsys.readouterr().err
    assert main([str(trial), str(test), "--label", "what"]) == 2
    assert "'what' is a column of a table, and no table has the labels of these images" in capsys.readouterr().err
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 2, 4)), y=[0])
    assert main([str(trials[0]["arrays"]), str(tmp_path / "in.npz"), "--label", "y"]) == 2
    assert "has its labels in its array y" in capsys.readouterr().err


def test_that_a_folder_of_parts_is_tested_whole_is_said(trials, capsys):
    evaluation = evaluate(trials[0]["images"], trials[1] / "pictures")
    said = capsys.readouterr().err
    assert f"{trials[1] / 'pictures'}: all images of its parts, " in said and "those of the training too" in said
    assert len(evaluation.y) > len(evaluate(trials[0]["images"], trials[1] / "pictures" / "test").y)
    assert capsys.readouterr().err == ""


def test_the_rows_of_a_table_are_named_by_their_lines_in_the_test_part_too(trials):
    trial, table = trials[0]["numbers"], trials[1] / "numbers.csv"
    kinds = dict(enumerate((row["kind"] for row in csv.DictReader(table.open(newline=""))), 2))
    rows = predict(trial, table)
    wrong = {row["input"] for row in rows if row["class"] != kinds[row["input"]]}
    evaluation = evaluate(trial, table)
    assert evaluation.summary["error"] == 100 * len(wrong) / 40 and {row["input"] for row in evaluation.worst} == wrong
    test = data.load("csv", trials[1], path="numbers.csv", label="kind").test
    assert [kinds[line] for line in test.names.tolist()] == ["ab"[y] for y in test.y]
    with open(trial / "test" / "worst.csv", newline="") as file:
        worst = {int(row["input"]) for row in csv.DictReader(file)}
    assert worst == wrong & set(test.names.tolist())


def test_labels_stand_beside_points_texts_and_in_arrays(trials, tmp_path):
    found, folder = trials
    dataset = data.load("two-moons")
    points = [[*x, dataset.class_names[y]] for x, y in zip(dataset.test.x[:50], dataset.test.y, strict=False)]
    for name, columns in (("points", ["x", "y", "moon"]), ("bare", ["x", "y"])):
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([columns, *(row[: len(columns)] for row in points)])
    evaluation = evaluate(found["moons"], tmp_path / "points.csv", label="moon")
    np.testing.assert_array_equal(evaluation.y, dataset.test.y[:50])
    rows = predict(found["moons"], tmp_path / "bare.csv")
    assert [row["class"] for row in rows] == [evaluation.class_names[i] for i in evaluation.predicted]
    texts = evaluate(found["texts"], folder / "texts.csv")
    assert texts.y.tolist() == [i % 2 for i in range(40)]
    arrays = evaluate(found["arrays"], folder / "arrays.npz")
    assert arrays.y.tolist() == [i % 3 for i in range(60)] and list(arrays.names) == list(range(60))


def test_the_command_prints_the_classes_and_writes_the_rest(trials, tmp_path, capsys):
    trial, table, out = str(trials[0]["numbers"]), str(trials[1] / "numbers.csv"), tmp_path / "looked-at"
    assert main([trial, table]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("40 examples: error ") and "| class | precision (%) |" in printed
    assert main([trial, table, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{printed}written to {out}\n"
    assert json.loads((out / "summary.json").read_text()) == evaluate(trial, table).summary
    assert main([trial, table, "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"{out} is there already; remove it, or choose another --out\n"


NUMBERS = 'width,"height, in m",kind\n1000,1,a\n'
BAD = {
    "an unknown class": (
        "numbers",
        "in.csv",
        NUMBERS + "1000,1,A\n",
        "in.csv:3: the classifier has no class 'A'; .* a, b",
    ),
    "no label": ("numbers", "in.csv", NUMBERS.replace("kind", "sort"), "in.csv has no column 'kind'"),
    "no file": ("numbers", "in.csv", None, "no .*in.csv"),
    "texts without labels": ("texts", "in.txt", "good\n", "in.txt holds a text in each line and no column 'kind'"),
    "an image": ("images", "in.png", "text", "in.png is no folder|cannot be read as an image"),
    "points without labels": ("moons", "in.csv", "x,y\n1,2\n", "in.csv has no column 'label'; it has x, y"),
    "a table": ("arrays", "in.npz", None, "no .*in.npz"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_has_no_labels_is_refused_in_one_line(trials, tmp_path, capsys, kind):
    name, file, content, message = BAD[kind]
    if content is not None:
        (tmp_path / file).write_text(content)
    assert main([str(trials[0][name]), str(tmp_path / file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()
    with pytest.raises(data.DataError, match=message):
        evaluate(trials[0][name], tmp_path / file)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": np.zeros((3, 2, 4))}, "in.npz has no labels"),
        (
            {"x": np.zeros((3, 8)), "y": [0, 1, 2]},
            r"an example should be float32 \(2, 4\), as in training, got float32",
        ),
        ({"x": np.zeros((3, 2, 4)), "y": [0, 1]}, "x has 3 examples, y has 2"),
        ({"x": np.zeros((0, 2, 4)), "y": np.zeros(0, int)}, "in.npz: x has no examples"),
        ({"x": np.zeros((3, 2, 4)), "y": [0, 1, 7]}, "in.npz:2: the classifier has no class '7'"),
        ({"x_train": np.zeros((3, 2, 4)), "y_train": [0, 1, 2]}, "in.npz has no array x, nor x_test; it has x_train"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(trials, tmp_path, arrays, message):
    np.savez(tmp_path / "in.npz", **arrays)
    with pytest.raises(data.DataError, match=message):
        evaluate(trials[0]["arrays"], tmp_path / "in.npz")
