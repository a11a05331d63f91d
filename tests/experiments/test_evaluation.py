import csv
import json

import numpy as np
import pytest
from PIL import Image

from nft_keras.data.targets import Target
from nft_keras.experiments.evaluation import evaluation_of

# Four examples of a, three of b, one of c; what was predicted: a a b a, b a b, a.
Y = np.array([0, 0, 0, 0, 1, 1, 1, 2])
P = np.array(
    [
        [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1],
        [0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.3, 0.4, 0.3], [0.6, 0.2, 0.2],
    ]
)  # fmt: skip


def of_classes(names, *of):
    return evaluation_of(Target("classification", names), *of)


@pytest.fixture
def evaluation():
    return of_classes(("a", "b, really", "c"), Y, P, [f"{i}.png" for i in range(8)])


def test_the_confusion_matrix_counts_labels_in_rows_and_predictions_in_columns(evaluation):
    assert evaluation.confusion.tolist() == [[3, 1, 0], [1, 2, 0], [1, 0, 0]]


def test_a_class_has_its_precision_recall_and_f1(evaluation):
    a, b, c = evaluation.classes
    assert a == {"class": "a", "precision": 60.0, "recall": 75.0, "f1": pytest.approx(66.6667), "examples": 4}
    assert b == {"class": "b, really", "f1": 66.6667, "precision": 66.6667, "recall": 66.6667, "examples": 3}
    assert c == {"class": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 1}


def test_the_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there(evaluation):
    assert evaluation.summary["balanced_accuracy"] == pytest.approx(100 * (3 / 4 + 2 / 3 + 0) / 3, abs=1e-3)
    without = of_classes(evaluation.class_names, Y[:7], P[:7], range(7))
    assert without.summary["balanced_accuracy"] == pytest.approx(100 * (3 / 4 + 2 / 3) / 2, abs=1e-3)
    assert (evaluation.summary["error"], evaluation.summary["examples"]) == (37.5, 8)


def test_the_calibration_error_compares_the_share_of_right_ones_with_their_probability(evaluation):
    # Bins of 1/15: 0.4 alone; 0.5 alone; 0.6 three times, one of which is right; 0.7; 0.8; 0.9, which is wrong.
    expected = abs(1 - 0.4) + abs(1 - 0.5) + abs(1 - 3 * 0.6) + abs(1 - 0.7) + abs(1 - 0.8) + abs(0 - 0.9)
    assert evaluation.summary["calibration_error"] == pytest.approx(100 * expected / 8, abs=1e-3)
    rng, n = np.random.default_rng(0), 40_000
    sure = rng.uniform(0.5, 1, n)
    right = rng.random(n) < sure
    calibrated = of_classes(("a", "b"), np.where(right, 0, 1), np.stack([sure, 1 - sure], 1), range(n))
    assert calibrated.summary["calibration_error"] < 1


def test_the_worst_are_the_wrong_ones_by_name_the_least_probable_label_first(evaluation):
    assert [(row["input"], row["label"], row["predicted"]) for row in evaluation.worst] == [
        ("5.png", "b, really", "a"), ("7.png", "c", "a"), ("2.png", "a", "b, really"),
    ]  # fmt: skip
    assert evaluation.worst[0]["probability"] == 0.05 and evaluation.worst[0]["of_predicted"] == 0.9


def test_all_that_are_wrong_are_listed():
    n = 300
    wrong = of_classes(("a", "b"), np.zeros(n, int), np.tile([0.2, 0.8], (n, 1)), range(n))
    quantity = evaluation_of(PRICE, np.zeros((n, 1)), np.arange(n)[:, None] + 1000.0, range(n))
    several = evaluation_of(Target("multi-label", ("a", "b")), np.ones((n, 2)), np.zeros((n, 2)), range(n))
    assert len(wrong.worst) == len(several.worst) == n and [row["input"] for row in quantity.worst] == [*range(n)][::-1]


def test_everything_is_written(evaluation, tmp_path):
    evaluation.write(tmp_path / "test")
    tables = {path.stem: list(csv.reader(path.open(newline=""))) for path in (tmp_path / "test").glob("*.csv")}
    assert tables["confusion"] == [
        ["class", "a", "b, really", "c"], ["a", "3", "1", "0"], ["b, really", "1", "2", "0"], ["c", "1", "0", "0"],
    ]  # fmt: skip
    assert tables["classes"][1] == ["a", "60.0", "75.0", "66.6667", "4"]
    assert tables["worst"][1] == ["5.png", "b, really", "a", "0.05", "0.9"]
    assert json.loads((tmp_path / "test" / "summary.json").read_text()) == evaluation.summary
    assert Image.open(tmp_path / "test" / "confusion.png").size[0] > 300


PRICE = Target("regression", ("price",), 1000.0, 10.0)


def test_of_a_quantity_what_is_no_number_is_left_out_and_a_constant_has_no_r2():
    y = np.array([[0.0], [1.0], [-1.0]])
    evaluation = evaluation_of(PRICE, y, np.array([[1001.0], [1007.0], [np.nan]]), ["a", "b", "c"])
    differences = [1.0, -3.0]
    assert evaluation.summary["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(differences))), rel=1e-5)
    assert evaluation.summary["error"] == pytest.approx(100 * np.mean(np.square(differences)) / 100)
    assert evaluation.summary["not_finite"] == 1
    assert str(evaluation).endswith("; 1 predictions are no finite numbers, and left out")
    assert [row["input"] for row in evaluation.worst] == ["b", "a"]
    none = evaluation_of(PRICE, y, np.full((3, 1), np.nan), "abc")
    assert none.summary["rmse"] is None and none.worst == [] and "3 predictions" in str(none)
    same = evaluation_of(PRICE, np.full((3, 1), 0.1, "float32"), np.ones((3, 1)), "abc")
    assert same.summary["r2"] is None and "R²" not in str(same)


def test_of_several_labels_none_is_right_where_there_is_no_number():
    target = Target("multi-label", ("a|b", "c"))
    evaluation = evaluation_of(target, np.array([[0, 0], [1, 1]]), np.array([[np.nan, np.nan], [0.9, 0.8]]), "xy")
    assert evaluation.summary["error"] == 50 and evaluation.summary["exact_match"] == 50
    assert evaluation.worst == [{"input": "x", "wrong": 2, "labels": "", "predicted": ""}]
    assert evaluation._named([True, True]) == "a|b;c"


def test_a_single_label_has_the_measures_of_those_that_have_it():
    y, said = np.array([[1], [1], [0], [0], [0]]), np.array([[0.9], [0.2], [0.6], [0.1], [0.3]])
    evaluation = evaluation_of(Target("multi-label", ("spam",)), y, said, "abcde")
    assert evaluation.labels == [{"label": "spam", "precision": 50.0, "recall": 50.0, "f1": 50.0, "examples": 2}]
    never = evaluation_of(Target("multi-label", ("spam",)), y, np.zeros((5, 1)), "abcde")
    assert never.summary["mean_f1"] == 0 and never.labels[0]["recall"] == 0
    nowhere = evaluation_of(Target("multi-label", ("spam",)), np.zeros((5, 1)), np.zeros((5, 1)), "abcde")
    assert nowhere.labels[0]["examples"] == 0


def test_a_quantity_has_the_digits_that_its_network_computes():
    time = Target("regression", ("time",), 1.7e9, 96.0)
    assert time.rounded(1700000012.3456789) == 1700000012.34568
    assert Target("regression", ("mass",), 0.0, 1e-30).rounded(1.23456789e-30) == pytest.approx(1.234568e-30, rel=1e-6)
    with pytest.raises(ValueError, match="'time', 1.7e\\+09 ± 96, is no number for float32"):
        time.layers()


@pytest.mark.parametrize("n", [2, 25, 60])
def test_the_picture_has_a_cell_for_each_pair_of_classes_however_many(n):
    y = np.arange(n)
    names = tuple(f"$class {i} of a long name" for i in y)
    figure = of_classes(names, y, np.eye(n), y).picture()
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), np.eye(n))
    figure.canvas.draw() if hasattr(figure.canvas, "draw") else None


def test_a_class_that_is_called_class_does_not_hide_the_head_of_its_table(tmp_path):
    of_classes(("class", "b"), Y[:7], P[:7, :2], range(7)).write(tmp_path)
    rows = list(csv.reader((tmp_path / "confusion.csv").open(newline="")))
    assert rows == [["class", "class", "b"], ["class", "3", "1"], ["b", "1", "2"]]
