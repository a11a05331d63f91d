import numpy as np
import pytest

from nft_keras.data import DataError, load
from nft_keras.data.features.texts import TfIdf
from tests.data.sources.own import parts, write


@pytest.fixture
def table(tmp_path):
    """A CSV file of 100 rows in three classes, and its numbers and labels."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 3, (100, 2)), np.array(["red", "amber", "blue", "red"] * 25)
    rows = [f"{a!r},{label} ,{b!r}" for (a, b), label in zip(x.tolist(), y, strict=True)]
    write(tmp_path / "table.csv", "\ufeffwidth,kind,height\r\n" + "\r\n".join(rows) + "\r\n\r\n")
    return tmp_path, x, y


def test_csv_numbers_are_standardised_on_the_training_part(table):
    folder, x, y = table
    dataset = load("csv", folder, path="table.csv", label="kind")
    assert [len(part) for part in parts(dataset)] == [60, 20, 20]
    assert dataset.class_names == ("amber", "blue", "red")
    np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.train.x.std(0), 1, atol=1e-6)
    # One affine map takes the file's rows to those of the three parts; it keeps the order of each column.
    got = np.concatenate([part.x for part in parts(dataset)])
    labels = np.concatenate([part.y for part in parts(dataset)])
    back, there = np.argsort(got[:, 0]), np.argsort(x[:, 0])
    slope, start = np.polyfit(x[there, 0], got[back, 0], 1)
    np.testing.assert_allclose(got[back, 0], start + slope * x[there, 0], atol=1e-5)
    np.testing.assert_array_equal(np.argsort(got[back, 1]), np.argsort(x[there, 1]))
    assert [dataset.class_names[label] for label in labels[back]] == list(y[there])
    for part in parts(dataset):
        np.testing.assert_array_equal(np.bincount(part.y) * 4 / len(part), [1, 1, 2])


def test_csv_fractions_and_seed_make_the_split(table):
    folder, _, _ = table
    options = {"path": str(folder / "table.csv"), "label": "kind", "valid_fraction": 0.1, "test_fraction": 0.3}
    first, again, other = (load("csv", "elsewhere", split_seed=seed, **options) for seed in (1, 1, 2))
    assert [len(part) for part in parts(first)] == [60, 10, 30]
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert (first.test.y != other.test.y).any()


def test_csv_columns_can_be_dropped(table):
    folder, _, _ = table
    dropped = load("csv", folder, path="table.csv", label="kind", drop=("height",))
    np.testing.assert_array_equal(dropped.train.x, load("csv", folder, path="table.csv", label="kind").train.x[:, :1])


def test_csv_labels_that_are_numbers_are_sorted_as_numbers(tmp_path):
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{i},{i % 11}\n" for i in range(110)))
    assert load("csv", tmp_path, path="t.csv").class_names == tuple(map(str, range(11)))


def test_csv_text_becomes_tf_idf_features_fitted_on_the_training_part(tmp_path):
    texts = [f'word{i} {"good" if i % 2 else "bad"}, "quoted"\nand more' for i in range(50)]
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    write(tmp_path / "t.csv", "id,review,label\n" + "".join(f"x,{text},{i % 2}\n" for i, text in enumerate(quoted)))
    dataset = load("csv", tmp_path, path="t.csv", text="review", num_words=5)
    assert [part.x.shape for part in parts(dataset)] == [(30, 5), (10, 5), (10, 5)]
    # good and bad are in half of the texts of every part, the other words of the vocabulary in all of them.
    features = TfIdf(5).fit([texts[i] for i in range(30)]).transform(texts[:2]).toarray()
    for part in parts(dataset):
        for row, label in zip(part.x.toarray(), part.y, strict=True):
            np.testing.assert_allclose(row, features[label], atol=1e-6)


def test_a_cell_of_a_csv_may_hold_a_long_text(tmp_path):
    write(tmp_path / "t.csv", "a,label\n" + "".join(f"{'long ' * 50_000} word{i % 2},{i % 2}\n" for i in range(20)))
    assert load("csv", tmp_path, path="t.csv", text="a").train.x.shape[1] == 3


def test_csv_columns_that_are_constant_are_reported_and_become_zero(tmp_path):
    write(tmp_path / "t.csv", "a,b,label\n" + "".join(f"{i},0.1,{i % 2}\n" for i in range(20)))
    with pytest.warns(UserWarning, match="t.csv: constant in the training part and of no use: column b"):
        dataset = load("csv", tmp_path, path="t.csv")
    np.testing.assert_allclose(dataset.train.x[:, 1], 0, atol=1e-6)


ROWS = "".join(f"{i},{i % 2}\n" for i in range(20))
BAD_TABLES = {
    "no such column": ("a,lable\n" + ROWS, {}, "no column 'label'; it has a, lable; did you mean lable?"),
    "text": ("a,label\n" + ROWS + "many,1\n", {}, "t.csv:22: column 'a' should be a finite number, got 'many'"),
    "words": ("a,label\n" + ROWS + "so many words,1\n", {}, "got 'so many words'; of a column of text `text: a`"),
    "semicolons": ("a;label\n1;0\n2;1\n", {}, "t.csv: ';' separates its columns; write it with commas"),
    "nothing to drop": ("a,label\n" + ROWS, {"drop": ("b",)}, "no column 'b'; it has a, label"),
    "missing": ("a,label\n" + ROWS + ",1\n", {}, "t.csv:22: column 'a' should be a finite number, got ''"),
    "NaN": ("a,label\n1,0\nnan,1\n" + ROWS, {}, "t.csv:3: column 'a' should be a finite number, got 'nan'"),
    "infinite": ("a,label\n1,0\n-inf,1\n" + ROWS, {}, "t.csv:3: .* got '-inf'"),
    "huge": ("a,label\n1e300,0\n-1e300,1\n" + ROWS, {}, "column 'a' are too large"),
    "huge in the test part": (f"a,label\n{ROWS * 5}1e300,1\n", {}, "t.csv:102: column 'a' is too large"),
    "no label": ("a,label\n1,\n" + ROWS, {}, "t.csv:2: column 'label' is empty"),
    "short row": ("a,label\n1\n" + ROWS, {}, "t.csv:2: 1 cells, the header has 2 columns"),
    "index column": (",label\n" + ROWS, {}, "a column without a name, number 1"),
    "nothing but labels": ("label\n1\n0\n", {}, "no column but the label"),
    "twice": ("a,a,label\n1,1,1\n", {}, "t.csv:1: two columns are called 'a'"),
    "one class": ("a,label\n" + ROWS.replace(",1", ",0"), {}, "at least two classes are needed, 20 examples are of 1"),
    "no rows": ("a,label\n", {}, "0 examples are of 0"),
    "empty": ("", {}, "is empty"),
    "lone example": ("a,label\n" + ROWS + "1,2\n", {}, r"t.csv: too few examples of class 2 \(1\)"),
    "no training part": ("a,label\n" + ROWS, {"valid_fraction": 0.5, "test_fraction": 0.5}, "leaves a part empty"),
    "no test part": ("a,label\n" + ROWS, {"test_fraction": 0.01}, "0.01 of 20 examples for the test part"),
    "no words": ("a,label\n" + "?!,0\n?!,1\n" * 10, {"text": "a"}, "t.csv: no words in the texts"),
    "quotes": ('a,label\n"1"2,0\n' + ROWS, {}, "t.csv:2: "),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_csv_that_cannot_be_used_is_refused_with_its_line_and_column(tmp_path, kind):
    content, options, message = BAD_TABLES[kind]
    write(tmp_path / "t.csv", content)
    with pytest.raises(DataError, match=message):
        load("csv", tmp_path, path="t.csv", **options)


def test_a_csv_in_another_encoding_is_refused_with_the_line(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,label\n1,0\n2,caf\xe9\n")
    with pytest.raises(DataError, match="t.csv is not UTF-8 after line .*save it as UTF-8"):
        load("csv", tmp_path, path="t.csv")
