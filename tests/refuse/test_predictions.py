"""Trials' files that were edited, and predictions as an attacker's classes and columns would make them."""

import csv
import io
import json
import os
import re
import sys

import keras
import numpy as np
import pytest

from nft_keras._text import in_markdown, without_formula
from nft_keras.cli import evaluate, export, predict
from nft_keras.data.targets import Target
from nft_keras.experiments.evaluation import evaluation_of
from tests.refuse.conftest import command, tree

NUMBER = {"kind": "number", "parts": ["value"], "median": 0.0, "mean": 0.0, "scale": 1.0}
COLUMNS = {"class_names": ["a", "b"], "kind": "columns", "columns": {"u": NUMBER, "v": NUMBER}}
IMAGES = {"class_names": ["a", "b"], "kind": "images", "height": 4, "width": 4, "channels": 3, "resize": "stretch"}
HOSTILE = ("=cmd()", "<script>|\x1b[2J\u202e")


@pytest.fixture
def trial(tmp_path):
    """Makes the folder of a trial: a linear classifier of two classes, and its preprocessing."""

    def make(config, weights=(1.0, -1.0)):
        shape = (4, 4, 3) if config["kind"] == "images" else (2,)
        layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2, use_bias=False)]
        model = keras.Sequential(layers)
        model.set_weights([np.tile(np.array(weights, "float32"), (int(np.prod(shape)), 1))])
        folder = tmp_path / "trial"
        folder.mkdir(exist_ok=True)
        model.save(folder / "classifier.keras")
        (folder / "preprocessing.json").write_text(json.dumps(config))
        (tmp_path / "t.csv").write_text("u,v,label\n1,2,a\n-3,1,b\n")
        (tmp_path / "pictures").mkdir(exist_ok=True)
        return folder

    return make


def picture(folder):
    from PIL import Image

    Image.new("RGB", (8, 8), (200, 0, 0)).save(folder / "pictures" / "0.png")
    return folder / "pictures"


EDITED = {
    "a terabyte of height": (IMAGES | {"height": 10**9}, r"is for inputs \(1000000000, 4, 3\) and 2 classes"),
    "a height beyond int64": (IMAGES | {"height": 10**30}, r"is for inputs \(10{30}, 4, 3\)"),
    "a million channels": (IMAGES | {"channels": 10**6}, r"is for inputs \(4, 4, 1000000\)"),
    "no height": (IMAGES | {"height": 0}, "height must be a whole number >= 1, got 0"),
    "a third class": (IMAGES | {"class_names": ["a", "b", "c"]}, r"and 3 classes, the classifier has \(\(4, 4, 3\), "),
    "a class twice": (IMAGES | {"class_names": ["a", "a"]}, "class_names must be a list of different names"),
    "classes that are letters": (IMAGES | {"class_names": "ab"}, "class_names must be a list of different names"),
    "vectors of a terabyte": (
        {"class_names": ["a", "b"], "kind": "vectors", "shape": [10**12], "dtype": "float32"},
        r"is for inputs \(1000000000000,\)",
    ),
    "embeddings of a terabyte": (
        {"class_names": ["a", "b"], "kind": "embeddings", "encoder": "/", "fingerprint": "", "dimension": 10**12}
        | {"column": "t"},
        r"is for inputs \(1000000000000,\)",
    ),
    "a column too few": (COLUMNS | {"columns": {"u": NUMBER}}, r"is for inputs \(1,\)"),
    "a separator of two": (COLUMNS | {"form": {"separator": "ab"}}, "separator must be one character, got 'ab'"),
    "a separator that is a number": (COLUMNS | {"form": {"separator": 1}}, "separator must be one character, got 1"),
    "a decimal mark of its own": (COLUMNS | {"form": {"decimal": [","]}}, "decimal must be a point or a comma"),
    "an encoding that is none": (COLUMNS | {"form": {"encoding": {}}}, "encoding must be a name, got {}"),
    "a category twice": (
        COLUMNS | {"columns": {"u": {"kind": "category", "levels": ["x", "x"], "missing": False}}},
        "levels must be a list of different words",
    ),
    "weights of words that are infinite": (
        {"class_names": ["a", "b"], "kind": "tfidf", "column": "t", "idf": {"x": 1.0, "y": float("inf")}},
        "idf must be finite numbers",
    ),
}


@pytest.mark.parametrize("kind", EDITED)
def test_an_edited_preprocessing_is_refused_before_anything_is_read_by_it(trial, tmp_path, kind):
    config, message = EDITED[kind]
    folder = trial(config if config["kind"] == "images" else COLUMNS)
    (folder / "preprocessing.json").write_text(json.dumps(config))
    of_images = config["kind"] == "images"
    inputs, before = picture(tmp_path) if of_images else tmp_path / "t.csv", tree(tmp_path)
    runs = [(predict.main, [folder, inputs]), (evaluate.main, [folder, inputs])]
    runs += [(export.main, [folder, "--format", "keras", "--with-preprocessing"])]
    for main, arguments in runs:
        code, out, lines = command(arguments, "models", main)
        assert code == 2 and not out and len(lines) == 1 and str(folder / "preprocessing.json") in lines[0]
        assert re.search(message, lines[0]), lines[0]
    assert tree(tmp_path) == before


@pytest.mark.parametrize("weights", [(np.nan, 1.0), (np.inf, -np.inf), (3e38, 3e38)])
def test_predictions_that_are_no_finite_numbers_are_told_and_left_empty(trial, tmp_path, weights):
    folder = trial(COLUMNS, weights)
    code, out, lines = command([folder, tmp_path / "t.csv", "--format", "jsonl"], "told", predict.main)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    lost = [row["input"] for row in rows if row["class"] is None]
    assert (
        code == 0
        and lost
        and lines == [f"{len(lost)} of 2 predictions are no finite numbers and left empty, the first that of {lost[0]}"]
    )
    assert all(set(row["probabilities"].values()) == {None} for row in rows if row["input"] in lost)
    _, out, _ = command([folder, tmp_path / "t.csv"], "told", predict.main)
    assert [row[1:] for row in csv.reader(out.splitlines()) if row[0] == str(lost[0])] == [["", "", "", ""]]
    code, out, _ = command([folder, tmp_path / "t.csv", "--out", tmp_path / "seen"], "told", evaluate.main)
    assert code == 0 and f"; {len(lost)} predictions are no finite numbers, and count as wrong" in out
    summary = json.loads((tmp_path / "seen" / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["not_finite"] == len(lost) and summary["error"] >= 50.0 * len(lost)


def test_what_is_not_finite_is_wrong_and_of_no_class():
    probabilities = np.array([[np.nan, np.nan], [0.25, 0.75]])
    evaluation = evaluation_of(Target("classification", ("a", "b")), np.array([0, 1]), probabilities, range(2))
    assert evaluation.confusion.tolist() == [[0, 0], [0, 1]]
    assert evaluation.summary == {
        "examples": 2, "error": 50.0, "balanced_accuracy": 50.0, "calibration_error": 12.5, "not_finite": 1,
    }  # fmt: skip
    wrong = {"input": 0, "label": "a", "predicted": "", "probability": 0.0, "of_predicted": 0.0}
    assert evaluation.worst == [wrong]


def test_of_several_labels_what_is_not_finite_is_wrong_and_of_a_quantity_left_out(tmp_path):
    labels = evaluation_of(
        Target("multi-label", ("a", "b")), np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[np.inf, 1], [1, 1]]), range(2)
    )
    assert labels.summary["error"] == 50.0 and labels.worst[0]["predicted"] == ""
    target, y = Target("regression", ("price",), 10.0, 2.0), np.array([[1.0], [2.0]])
    quantity = evaluation_of(target, y, np.array([[np.nan], [14.0]]), range(2))
    assert quantity.summary["mae"] == 0.0 and [row["input"] for row in quantity.worst] == [1]
    for name, evaluation in (("labels", labels), ("quantity", quantity)):
        assert evaluation.summary["not_finite"] == 1 and "1 predictions are no finite numbers" in str(evaluation)
        evaluation.write(tmp_path / name)
        json.loads((tmp_path / name / "summary.json").read_text(), parse_constant=pytest.fail)


def test_names_of_classes_are_no_formulas_no_html_and_no_commands(trial, tmp_path, monkeypatch):
    folder = trial(COLUMNS | {"class_names": list(HOSTILE)})
    (tmp_path / "t.csv").write_text("u,v,id,label\n1,2,-5,=cmd()\n-3,1,@x,=cmd()\n")
    code, out, _ = command([folder, tmp_path / "t.csv", "--id", "id"], "told", predict.main)
    rows = list(csv.reader(io.StringIO(out)))[1:]
    assert [row[1:3] for row in rows] == [["-5", "'=cmd()"], ["'@x", HOSTILE[1]]]
    _, out, _ = command([folder, tmp_path / "t.csv", "--no-quote-formulas"], "told", predict.main)
    assert [row[1] for row in csv.reader(io.StringIO(out))][1:] == list(HOSTILE)
    _, out, _ = command([folder, tmp_path / "t.csv", "--format", "jsonl"], "told", predict.main)
    assert [json.loads(line)["class"] for line in out.splitlines()] == list(HOSTILE)
    code, out, _ = command([folder, tmp_path / "t.csv", "--out", tmp_path / "seen"], "told", evaluate.main)
    assert r"&lt;script\>\|\\x1b\[2J\\u202e" in out and "\x1b" not in out and "<" not in out
    for name in ("classes", "confusion", "worst"):
        cells = {cell for row in csv.reader((tmp_path / "seen" / f"{name}.csv").open(newline="")) for cell in row}
        assert "'=cmd()" in cells and "=cmd()" not in cells
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    assert predict.main([str(folder), str(tmp_path / "t.csv")]) == 0
    assert "\x1b" not in terminal.getvalue() and r"<script>|\x1b[2J\u202e" in terminal.getvalue()


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022, 0o002])
def test_what_is_written_is_as_private_as_the_umask_says(trial, tmp_path, umask):
    folder, before = trial(COLUMNS), os.umask(umask)
    try:
        command([folder, tmp_path / "t.csv", "--out", tmp_path / "out.csv"], "told", predict.main)
        command([folder, tmp_path / "t.csv", "--out", tmp_path / "seen"], "told", evaluate.main)
        command([folder, "--format", "tf_saved_model", "--out", tmp_path / "saved"], "told", export.main)
        command([folder, "--format", "keras", "--out", tmp_path / "c.keras"], "told", export.main)
    finally:
        assert os.umask(before) == umask
    files = [tmp_path / "out.csv", tmp_path / "c.keras", *(tmp_path / "seen").iterdir()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "seen", tmp_path / "saved")} == {0o777 & ~umask}


@pytest.mark.parametrize(
    "text, shown",
    [
        ("snake_case", "snake_case"),
        ("_a_", r"\_a\_"),
        ("**b** `c` [d](e) <i>&", r"\*\*b\*\* \`c\` \[d\](e) &lt;i\>&amp;"),
        ("a|b\\", r"a\|b\\"),
        ("two\nlines\r", "two lines"),
        ("\x1b]0;title\x07\x9b", r"\\x1b\]0;title\\x07\\x9b"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, shown):
    assert in_markdown(text) == shown


@pytest.mark.parametrize("cell", ["=1", "+a", "-a", "@a", "\t=1", "\r=1", "\uff1d1", "\uff0ba", "\uff0da", "\uff20a"])
def test_a_formula_is_quoted_and_a_number_is_none(cell):
    assert without_formula(cell) == f"'{cell}"
    assert [without_formula(other) for other in ("-1", "+1e3", -1, None, "a=1", "-inf")] == [
        "-1", "+1e3", -1, None, "a=1", "-inf",
    ]  # fmt: skip
