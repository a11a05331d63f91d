"""Quantities and several labels at once, from tables, arrays and pictures."""

import numpy as np
import pytest
from PIL import Image

from nft_keras.data import DataError, load

N = 60


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=N), 200 + 50 * rng.normal(size=N)


def write(path, head, *columns):
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + "\n")


def values(dataset):
    """{name of an example: its quantity in its unit}, of all parts."""
    parts = [getattr(dataset, part) for part in ("train", "valid", "test")]
    return {
        name: float(dataset.target.in_its_unit(y)[0])
        for part in parts
        for name, y in zip(part.names, part.y, strict=True)
    }


def test_a_quantity_is_in_standard_deviations_from_its_mean_in_the_training_part(rows, tmp_path):
    x, price = rows
    write(tmp_path / "t.csv", "x,price", x, price)
    dataset = load("csv", tmp_path, path="t.csv", label="price", task="regression")
    assert (dataset.task, dataset.class_names, dataset.num_classes) == ("regression", ("price",), 1)
    assert dataset.train.y.dtype == "float32" and dataset.train.y.shape == (36, 1)
    assert values(dataset) == pytest.approx(dict(zip(range(2, N + 2), price, strict=True)), rel=1e-5)
    train = [price[line - 2] for line in dataset.train.names]
    assert dataset.unit == pytest.approx((np.mean(train), np.std(train)))
    assert dataset.train.y.mean() == pytest.approx(0, abs=1e-6) and dataset.train.y.std() == pytest.approx(1, abs=1e-6)


def test_a_quantity_has_the_decimal_mark_of_its_file(rows, tmp_path):
    x, price = rows
    text = "x;price\n" + "\n".join(f"{a:.4f};{b:.4f}" for a, b in zip(x, price, strict=True)).replace(".", ",")
    (tmp_path / "t.csv").write_text(text + "\n")
    dataset = load("csv", tmp_path, path="t.csv", label="price", task="regression")
    assert values(dataset) == pytest.approx(dict(zip(range(2, N + 2), price, strict=True)), rel=1e-4)


TAGS = ("red", "big", "old")


@pytest.fixture
def flags():
    return np.random.default_rng(1).random((N, 3)) < 0.4


def of_lines(dataset):
    """{line: the labels of its example}, of all parts."""
    parts = [getattr(dataset, part) for part in ("train", "valid", "test")]
    names = dataset.class_names
    return {
        line: {name for name, there in zip(names, y, strict=True) if there}
        for part in parts
        for line, y in zip(part.names.tolist(), part.y, strict=True)
    }


def test_several_labels_are_columns_of_0_and_1_or_one_column_that_names_them(rows, flags, tmp_path):
    named = {line: {tag for tag, there in zip(TAGS, row, strict=True) if there} for line, row in enumerate(flags, 2)}
    words = [["no", "TRUE"], ["false", "yes"], ["0", "1"]]
    columns = [[words[i][flag] for flag in flags[:, i].astype(int)] for i in range(3)]
    write(tmp_path / "flags.csv", "x,red,big,old", rows[0], *columns)
    write(tmp_path / "tags.csv", "x,tags", rows[0], ["; ".join(of) for of in named.values()])
    of_flags = load("csv", tmp_path, path="flags.csv", label=TAGS, task="multi-label")
    of_tags = load("csv", tmp_path, path="tags.csv", label="tags", task="multi-label", label_separator=";")
    assert of_flags.class_names == TAGS and of_tags.class_names == ("big", "old", "red")
    assert of_lines(of_flags) == of_lines(of_tags) == named
    assert of_tags.train.y.dtype == "float32" and of_tags.train.y.shape == (36, 3)
    assert set(np.unique(of_tags.train.y)) == {0, 1} and of_tags.input_shape == (1,)


def test_arrays_have_labels_of_both_kinds(rows, flags, tmp_path):
    x, price = rows
    np.savez(tmp_path / "price.npz", x=x[:, None], y=price)
    np.savez(tmp_path / "tags.npz", x_train=x[:40, None], y_train=flags[:40], x_test=x[40:, None], y_test=flags[40:])
    dataset = load("npz", tmp_path, path="price.npz", task="regression")
    found = [dataset.target.in_its_unit(part.y)[:, 0] for part in (dataset.train, dataset.valid, dataset.test)]
    np.testing.assert_allclose(np.sort(np.concatenate(found)), np.sort(price), rtol=1e-5)
    dataset = load("npz", tmp_path, path="tags.npz", task="multi-label")
    assert dataset.class_names == ("0", "1", "2") and dataset.test.y.tolist() == flags[40:].tolist()


def test_pictures_have_labels_of_both_kinds_in_their_table(rows, flags, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(20):
        Image.new("L", (4, 4), 10 * i).save(folder / f"{i}.png")
    files = [f"{i}.png" for i in range(20)]
    write(folder / "ages.csv", "file,age", files, [3 * i for i in range(20)])
    tags = [" ".join(tag for tag, there in zip(TAGS, row, strict=True) if there) for row in flags[:20]]
    write(folder / "tags.csv", "file,tags", files, tags)
    of_ages = load("image-folder", tmp_path, path="pictures", labels="ages.csv", task="regression", image_size=4)
    of_tags = load(
        "image-folder", tmp_path, path="pictures", labels="tags.csv", task="multi-label", label_separator=" ",
        image_size=4,
    )  # fmt: skip
    for dataset, label in ((of_ages, lambda i: 3 * i), (of_tags, lambda i: set(tags[i].split()))):
        for x, name, y in zip(dataset.train.x, dataset.train.names, dataset.train.y, strict=True):
            i = int(name.removesuffix(".png"))
            assert x[0, 0, 0] == 10 * i
            if dataset is of_ages:
                assert dataset.target.in_its_unit(y)[0] == pytest.approx(label(i), abs=1e-4)
            else:
                assert {tag for tag, there in zip(dataset.class_names, y, strict=True) if there} == label(i)


def test_folds_groups_and_parts_of_the_user_s_hold_where_labels_are_no_classes(rows, flags, tmp_path):
    x, price = rows
    group = np.arange(N) // 3
    write(tmp_path / "t.csv", "x,price,who", x, price, group)
    options = dict(path="t.csv", label="price", task="regression", group="who")
    folds = [load("csv", tmp_path, fold=f"{k}-of-4", **options) for k in (1, 2, 3, 4)]
    tested = [set(dataset.test.names.tolist()) for dataset in folds]
    assert sum(map(len, tested)) == N and set().union(*tested) == set(range(2, N + 2))
    for dataset in folds:
        apart = [{(line - 2) // 3 for line in getattr(dataset, p).names.tolist()} for p in ("train", "valid", "test")]
        assert not (apart[0] & apart[1] or apart[0] & apart[2] or apart[1] & apart[2])
    part = ["train"] * 30 + ["valid"] * 15 + ["test"] * 15
    write(tmp_path / "split.csv", "x,price,part", x, price, part)
    dataset = load("csv", tmp_path, path="split.csv", label="price", task="regression", split="part", train_size=20)
    assert dataset.test.names.tolist() == list(range(47, 62)) and len(dataset.train) == 20
    assert dataset.unit == pytest.approx((price[:30].mean(), price[:30].std()))


@pytest.mark.parametrize(
    ("head", "column", "options", "message"),
    [
        ("price", [*range(59), "dear"], {}, "t.csv:61: column 'price' should be a finite number, got 'dear'"),
        ("price", [*range(59), ""], {}, "t.csv:61: column 'price' should be a finite number, got ''"),
        ("price", [3] * 60, {}, "'price' does not vary in the training part, or too little for its si"),
        ("price", [1e300 * i for i in range(60)], {}, "t.csv: the numbers of 'price' are too large"),
        ("tags", [*["a|b"] * 59, "NA"], {"task": "multi-label"}, "t.csv:61: column 'tags' holds 'NA', which stands fo"),
        ("price", range(60), {"label": ("price", "x")}, "label: should be one column, or with task: multi-label"),
        ("tags", ["a|b"] * 60, {"task": "multi-label", "label": ()}, "a list of some, got []"),
        ("a", [0] * 60, {"task": "multi-label", "label": ("a",)}, "the training part has no example with the label a"),
        ("tags", [""] * 60, {"task": "multi-label"}, "no example has a label"),
        ("tags", range(1000, 1060), {"task": "multi-label", "label_separator": ""}, "label_separator should be"),
        ("a", [*[1] * 30, *[0] * 29, 2], {"task": "multi-label", "label": ("a",)}, "t.csv:61: column 'a' should be 0"),
    ],
)
def test_labels_that_are_none_are_named(rows, tmp_path, head, column, options, message):
    write(tmp_path / "t.csv", f"x,{head}", rows[0], column)
    with pytest.raises(DataError) as refused:
        load("csv", tmp_path, **{"path": "t.csv", "label": head, "task": "regression", **options})
    assert message in str(refused.value)


def test_what_looks_like_no_labels_at_all_is_told(rows, tmp_path, capsys):
    write(tmp_path / "t.csv", "x,tags", rows[0], ["a;b", "b;c", "c"] * 20)
    load("csv", tmp_path, path="t.csv", label="tags", task="multi-label")
    assert capsys.readouterr().err == f"{tmp_path}/t.csv: no example has two labels, with '|' between them\n"
    write(tmp_path / "t.csv", "x,tags", rows[0], range(60))
    with pytest.raises(DataError, match="say `task: regression`, or make a class of each range of it"):
        load("csv", tmp_path, path="t.csv", label="x")
    with pytest.raises(DataError, match="task: regression needs a table, which `labels` names"):
        load("image-folder", tmp_path, path=".", task="regression")
    np.savez(tmp_path / "a.npz", x=np.ones((4, 2)), y=[[0, 2]] * 4)
    with pytest.raises(DataError, match=r"y should be \(n, labels\) of 0 and 1, got int64 \(4, 2\)"):
        load("npz", tmp_path, path="a.npz", task="multi-label")
    with pytest.raises(DataError, match=r"y should be \(n,\) finite numbers, a quantity each, got int64 \(4, 2\)"):
        load("npz", tmp_path, path="a.npz", task="regression")


def test_weights_and_labels_are_read_as_other_numbers_are(rows, tmp_path):
    x, price = rows
    write(tmp_path / "t.csv", "x,price,w", x, price, [f'"1,{i:03d}"' if i % 2 else 900 + i for i in range(N)])
    with pytest.raises(DataError, match="column 'w' should be a finite number, got '1,001'"):
        load("csv", tmp_path, path="t.csv", label="price", task="regression", weight="w")
