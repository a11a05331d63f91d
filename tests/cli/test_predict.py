import csv
import json

import keras
import numpy as np
import pytest
import scipy.sparse
import yaml

from nft_keras import data
from nft_keras.cli.export import ExportError
from nft_keras.cli.predict import main, predict
from tests.backend.features import able, command

pytestmark = pytest.mark.xdist_group("predict")


def own(trial, x):
    """The classifier's own probabilities on arrays as it trained on them."""
    x = x.toarray() if scipy.sparse.issparse(x) else x
    x = x.astype("float32") / 255 if x.dtype == np.uint8 else x
    logits = keras.saving.load_model(trial / "classifier.keras").predict(x, verbose=0).astype("float64")
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def loaded(trial, folder):
    return data.load(**yaml.safe_load((trial / "config.yaml").read_text())["dataset"], data_dir=folder)


def probabilities(rows):
    return np.array([list(row["probabilities"].values()) for row in rows])


def test_images_are_classified_as_those_of_the_test_part(trials):
    (trial, folder), test = (trials[0]["images"], trials[1]), trials[1] / "pictures" / "test"
    dataset, rows = loaded(trial, folder), predict(trial, test)
    assert [row["input"] for row in rows] == sorted(path.relative_to(test).as_posix() for path in test.rglob("*.png"))
    expected = own(trial, dataset.test.x)
    np.testing.assert_allclose(probabilities(rows), expected, atol=1e-6)
    assert [row["class"] for row in rows] == [("dark", "light")[i] for i in expected.argmax(1)]
    np.testing.assert_allclose([row["probability"] for row in rows], expected.max(1), atol=1e-6)
    (alone,) = predict(trial, test / "light" / "3.png")
    assert alone["input"] == "3.png"
    assert alone["probabilities"] == pytest.approx(rows[8]["probabilities"], abs=1e-6)


def sorted_like(values, keys):
    return values[np.argsort(keys)]


def test_numbers_are_classified_as_in_training_whatever_the_order_of_the_columns(trials, tmp_path):
    trial, folder = trials[0]["numbers"], trials[1]
    dataset = loaded(trial, folder)
    x = np.concatenate([part.x for part in (dataset.train, dataset.valid, dataset.test)])
    with open(folder / "numbers.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    width = np.array([float(row["width"]) for row in table])
    rows = predict(trial, folder / "numbers.csv")
    assert [row["input"] for row in rows] == list(range(2, 42))
    # Standardised or not, the widths are in the same order; no two are alike.
    np.testing.assert_allclose(
        sorted_like(probabilities(rows), width), sorted_like(own(trial, x), x[:, 0]), rtol=0, atol=1e-6
    )
    with open(tmp_path / "other.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["note", "height, in m", "width"], extrasaction="ignore", restval="new")
        writer.writeheader()
        writer.writerows(table)
    assert predict(trial, tmp_path / "other.csv") == rows


def test_texts_are_classified_as_in_training_from_a_table_or_one_per_line(trials, tmp_path, capsys):
    trial, folder = trials[0]["texts"], trials[1]
    dataset = loaded(trial, folder)
    with open(folder / "texts.csv", encoding="utf-8", newline="") as file:
        texts = [row["review"] for row in csv.DictReader(file)]
    rows = predict(trial, folder / "texts.csv")
    everything = np.concatenate([own(trial, part.x) for part in (dataset.train, dataset.valid, dataset.test)])
    assert everything.std() > 1e-3
    np.testing.assert_allclose(np.sort(probabilities(rows)[:, 0]), np.sort(everything[:, 0]), rtol=0, atol=1e-6)
    (tmp_path / "texts.txt").write_text("\ufeff" + "\n\n".join(texts), encoding="utf-8")
    (tmp_path / "priced.csv").write_text("who;review;price\nme;good;1.234\nyou;bad;5\n", encoding="utf-8")
    assert [row["id"] for row in predict(trial, tmp_path / "priced.csv", id="who")] == ["me", "you"]
    lines = predict(trial, tmp_path / "texts.txt")
    assert [row.pop("input") for row in lines] == list(range(1, 80, 2))
    assert lines == [{key: row[key] for key in row if key != "input"} for row in rows]
    capsys.readouterr()
    (tmp_path / "strange.txt").write_text(f"{texts[0]}\nqqq\n", encoding="utf-8")
    predict(trial, tmp_path / "strange.txt")
    (said,) = capsys.readouterr().err.splitlines()
    assert "strange.txt: 1 of 2 texts have none of the " in said and said.endswith("words of the training part: 2")


def test_points_are_classified_from_a_table_of_as_many_columns(trials, tmp_path):
    trial, folder = trials[0]["moons"], trials[1]
    x = loaded(trial, folder).test.x[:20]
    np.savetxt(tmp_path / "points.csv", x, fmt="%.9g", delimiter=",", header="x,y", comments="")
    np.testing.assert_allclose(probabilities(predict(trial, tmp_path / "points.csv")), own(trial, x), atol=1e-6)


def test_the_command_writes_csv_or_json_lines(trials, tmp_path, capsys):
    trial, table = str(trials[0]["numbers"]), str(trials[1] / "numbers.csv")
    rows = predict(trial, table)
    assert main([trial, table]) == 0
    printed = capsys.readouterr().out
    assert main([trial, table, "--out", str(tmp_path / "a.csv")]) == 0
    assert (tmp_path / "a.csv").read_text() == printed
    header, *lines = csv.reader(printed.splitlines())
    assert header == ["input", "class", "probability", "probability(a)", "probability(b)"]
    assert lines == [
        [str(row["input"]), row["class"], str(row["probability"]), *map(str, row["probabilities"].values())]
        for row in rows
    ]
    assert main([trial, table, "--format", "jsonl"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert main([trial, table, "--out", str(tmp_path / "a.csv")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'a.csv'} is there already; remove it, or choose another --out\n"


def test_several_files_are_classified_as_each_alone_and_told_apart(trials, tmp_path):
    found, folder = trials
    table = (folder / "numbers.csv").read_text(encoding="utf-8").splitlines()
    paths = [tmp_path / "one.csv", tmp_path / "other.csv"]
    for path, lines in zip(paths, (table[:5], [table[0], *table[5:9]]), strict=True):
        path.write_text("\n".join(lines), encoding="utf-8")
    alone = [{**row, "input": f"{path}:{row['input']}"} for path in paths for row in predict(found["numbers"], path)]
    assert predict(found["numbers"], *paths) == alone and len(alone) == 8
    light, dark = folder / "pictures" / "test" / "light", folder / "pictures" / "test" / "dark" / "1.png"
    names = [row["input"] for row in predict(found["images"], light, dark)]
    assert names == [*(f"{light}/{i}.png" for i in range(5)), str(dark)]
    texts = predict(found["texts"], folder / "texts.csv", folder / "texts.csv")
    assert probabilities(texts[:40]).tolist() == probabilities(texts[40:]).tolist()


def test_another_column_is_carried_along(trials, tmp_path, capsys):
    found, folder = trials
    rows = predict(found["numbers"], folder / "numbers.csv", id="kind")
    assert [row["id"] for row in rows] == ["ab"[i % 2] for i in range(40)]
    assert [{k: v for k, v in row.items() if k != "id"} for row in rows] == predict(
        found["numbers"], folder / "numbers.csv"
    )
    (tmp_path / "points.csv").write_text("x,who,y\n0.5,me,-0.25\n")
    assert main([str(found["moons"]), str(tmp_path / "points.csv"), "--id", "who"]) == 0
    header, line = csv.reader(capsys.readouterr().out.splitlines())
    assert header[:3] == ["input", "id", "class"] and line[:2] == ["2", "me"]
    for name, path, message in (
        ("images", folder / "pictures" / "test", "has no column 'who': it is no table"),
        ("numbers", folder / "numbers.csv", "has no column 'who'; it has width, kind"),
    ):
        with pytest.raises(data.DataError, match=message):
            predict(found[name], path, id="who")


def test_an_npz_holds_arrays_as_those_of_the_training(trials, tmp_path):
    trial, folder = trials[0]["arrays"], trials[1]
    x = np.load(folder / "arrays.npz")["x"].astype("float32")
    rows = predict(trial, folder / "arrays.npz")
    assert [row["input"] for row in rows] == list(range(60))
    np.testing.assert_allclose(probabilities(rows), own(trial, x), atol=1e-6)
    pictures = loaded(trials[0]["images"], folder).test.x
    np.savez(tmp_path / "pictures.npz", x_test=pictures)
    np.testing.assert_allclose(
        probabilities(predict(trials[0]["images"], tmp_path / "pictures.npz")),
        own(trials[0]["images"], pictures),
        atol=1e-6,
    )
    for name, message in (("numbers", "was not trained on arrays"), ("moons", r"should be float32 \(2,\), as in")):
        with pytest.raises(data.DataError, match=message):
            predict(trials[0][name], folder / "arrays.npz")


def test_bad_rows_are_left_out_counted_and_named(trials, tmp_path, capsys):
    trial = str(trials[0]["numbers"])
    (tmp_path / "good.csv").write_text('width,"height, in m",name\n1000,1,a\n1001,0,e\n')
    bad = tmp_path / "bad.csv"
    bad.write_text('width,"height, in m",name\n1000,1,a\nx,1,b\n1000,2\n1e200,1,d\n1001,0,e\n')
    assert main([trial, str(bad)]) == 2
    capsys.readouterr()
    assert main([trial, str(bad), "--skip-bad", "--id", "name"]) == 0
    out, error = capsys.readouterr()
    first, *each = error.splitlines()
    assert first == "skipped 3 of 5:" and [line.split(": ")[0] for line in each] == [f"{bad}:{n}" for n in (4, 3, 5)]
    rows = list(csv.reader(out.splitlines()))[1:]
    assert [row[:2] for row in rows] == [["2", "a"], ["6", "e"]]
    assert [row[2:] for row in rows] == [[str(v) for v in (r["class"], r["probability"], *r["probabilities"].values())]
                                         for r in predict(trial, tmp_path / "good.csv")]  # fmt: skip
    assert main([trial, str(tmp_path / "good.csv"), "--skip-bad"]) == 0 and not capsys.readouterr().err
    bad.write_text('width,"height, in m"\nx,1\n')
    assert main([trial, str(bad), "--skip-bad"]) == 2
    assert capsys.readouterr().err.startswith(f"nothing can be used of {bad}: {bad}:2: column 'width'")


def test_bad_points_texts_and_pictures_are_left_out(trials, tmp_path):
    found, folder = trials
    (tmp_path / "points.csv").write_text("x,y\n1,1e39\n0.5,-0.25\n0.5\n")
    (tmp_path / "texts.csv").write_text("review,kind\na good film,1\nbad\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0.png").write_text("text")
    (tmp_path / "pictures" / "1.png").write_bytes((folder / "pictures" / "test" / "dark" / "1.png").read_bytes())
    for name, path, names, bad in (
        (
            "moons",
            "points.csv",
            [3],
            ["points.csv:4: 1 cells", "points.csv:2: column 'y' should be a number that float"],
        ),
        ("texts", "texts.csv", [2], ["texts.csv:3: 1 cells"]),
        ("images", "pictures", ["1.png"], ["0.png"]),
    ):
        skipped = []
        rows = predict(found[name], tmp_path / path, skipped=skipped)
        assert [row["input"] for row in rows] == names and len(skipped) == len(bad)
        assert all(part in message for part, message in zip(bad, skipped, strict=True)), skipped
    (dark,) = rows
    assert dark["probabilities"] == pytest.approx(
        predict(found["images"], folder / "pictures" / "test" / "dark" / "1.png")[0]["probabilities"], abs=1e-6
    )
    (tmp_path / "texts.csv").write_text("review,kind\nbad\n")
    with pytest.raises(data.DataError, match="nothing can be used of .*texts.csv:2: 1 cells"):
        predict(found["texts"], tmp_path / "texts.csv", skipped=[])


NUMBERS = 'width,"height, in m"\n1,2\n'
BAD = {
    "no such file": ("numbers", "in.csv", None, "no .*in.csv"),
    "missing column": ("numbers", "in.csv", "widht,height\n1,2\n", "in.csv has no column 'width'; .*mean widht"),
    "no number": ("numbers", "in.csv", NUMBERS + "3,tall\n", "in.csv:3: column 'height, in m' should be .*'tall'"),
    "huge number": ("numbers", "in.csv", NUMBERS + "3,1e200\n", "in.csv:3: column 'height, in m' is too large"),
    "short row": ("numbers", "in.csv", NUMBERS + "3\n", "in.csv:3: 1 cells, the header has 2 columns"),
    "no rows": ("numbers", "in.csv", 'width,"height, in m"\n', "in.csv has no rows, only a header"),
    "encoding": ("numbers", "in.csv", NUMBERS.encode() + b"\xff\n", "in.csv:3 is not UTF-8 "),
    "a folder": ("numbers", ".", None, "cannot be read: Is a directory"),
    "no header": ("moons", "in.csv", "1,2\n3,4\n", "in.csv: the first line should name the columns, got numbers: 1, 2"),
    "columns": ("moons", "in.csv", "x,y,z\n1,2,3\n", "in.csv has 3 columns; an example is 2 numbers"),
    "too large": ("moons", "in.csv", "x,y\n1,1e39\n", "in.csv:2: column 'y' should be a number that float32 holds"),
    "no text column": ("texts", "in.csv", "text\ngood\n", "in.csv has no column 'review'; it has text"),
    "text encoding": ("texts", "in.txt", b"gut\nsch\xf6n\n", "in.txt:2 is not UTF-8 .*save it as UTF-8"),
    "no text": ("texts", "in.txt", "\n \n", "in.txt is empty"),
    "no image": ("images", "in.png", "text", "cannot be read as an image: .*in.png .not an image."),
    "empty folder": ("images", ".", None, "holds no images"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_input_is_refused_before_anything_is_written(trials, tmp_path, capsys, kind):
    name, file, content, message = BAD[kind]
    (tmp_path / "input").mkdir()
    path = tmp_path / "input" / file
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert main([str(trials[0][name]), str(path), "--out", str(tmp_path / "out.csv")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and not captured.out
    with pytest.raises(data.DataError, match=message):
        predict(trials[0][name], path)
    assert not (tmp_path / "out.csv").exists()


def test_every_file_of_a_folder_that_is_no_image_is_named(trials, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_text("text")
    (tmp_path / "2.gif").write_text("text")
    (tmp_path / ".DS_Store").write_text("left out")
    with pytest.raises(data.DataError, match=r"2 of 2 files cannot be read as images: .*2.gif \(.*a/1.png \("):
        predict(trials[0]["images"], tmp_path)


def test_a_folder_without_a_whole_trial_is_refused(trials, tmp_path):
    table, trial = trials[1] / "numbers.csv", trials[0]["numbers"]
    with pytest.raises(data.DataError, match="is not the folder of a finished trial"):
        predict(tmp_path, table)
    with pytest.raises(data.DataError, match=f"classifier.keras is a file; give the folder of the trial, {trial}$"):
        predict(trial / "classifier.keras", table)
    config = json.loads((trial / "preprocessing.json").read_text())
    (tmp_path / "preprocessing.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match="no .*classifier.keras"):
        predict(tmp_path, table)
    (tmp_path / "classifier.keras").write_bytes((trial / "classifier.keras").read_bytes())
    assert predict(tmp_path, table) == predict(trial, table)
    del config["columns"]["width"]
    (tmp_path / "preprocessing.json").write_text(json.dumps(config))
    with pytest.raises(data.DataError, match=r"preprocessing.json is for inputs \(1,\) and 2 classes, the classifier"):
        predict(tmp_path, table)


@pytest.mark.parametrize("backend", able("`predict`"))
def test_every_back_end_predicts_what_the_classifier_does(trials, backend):
    found, folder = trials
    (folder / "point.csv").write_text("x,y\n0.5,-0.25\n")
    said = command("predict", found["moons"], folder / "point.csv", backend=backend)
    expected = own(found["moons"], np.array([[0.5, -0.25]], "float32"))
    np.testing.assert_allclose([float(p) for p in said.split(",")[3:]], expected[0], atol=1e-5)
