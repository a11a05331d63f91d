import pickle
import zipfile

import numpy as np
import pytest

from nft_keras.data import DataError, load
from nft_keras.data.sources.text import TfIdf

PARTS = ("train", "valid", "test")


def parts(dataset):
    return [getattr(dataset, part) for part in PARTS]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


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
    "lone example": ("a,label\n" + ROWS + "1,2\n", {}, "t.csv: cannot draw .* least populated class"),
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


@pytest.mark.parametrize("name", ["csv", "npz", "image-folder"])
def test_a_path_is_needed_and_must_exist(tmp_path, name):
    with pytest.raises(DataError, match=f"data set {name} needs the option 'path'"):
        load(name, tmp_path)
    with pytest.raises(DataError, match=f"no {tmp_path / 'nothing'}; a relative path starts from the data directory"):
        load(name, tmp_path, path="nothing")


def arrays(n=50, shape=(4,), dtype="float64"):
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (n, *shape)).astype(dtype)
    return x, np.arange(n) % 5


def test_npz_x_and_y_are_cut_class_by_class(tmp_path):
    x, y = arrays()
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y.astype("uint8")[:, None], names=["unused"])
    dataset = load("npz", tmp_path, path="a.npz")
    assert [len(part) for part in parts(dataset)] == [30, 10, 10]
    assert dataset.train.x.dtype == np.float32
    assert dataset.class_names == ("0", "1", "2", "3", "4")
    label_of = {row.astype("float32").tobytes(): label for row, label in zip(x, y, strict=True)}
    for part in parts(dataset):
        assert part.y.dtype == np.int32
        assert [label_of[row.tobytes()] for row in part.x] == part.y.tolist()


def test_npz_in_the_form_of_keras_mnist_keeps_its_test_part_and_its_grey_images(tmp_path):
    x, y = arrays(50, (8, 8), "uint8")
    x_test, y_test = arrays(15, (8, 8), "uint8")
    names = np.array(["e", "d", "c", "b", "a"])
    np.savez(tmp_path / "a.npz", x_train=x, y_train=names[y], x_test=x_test, y_test=names[y_test])
    dataset = load("npz", tmp_path, path="a.npz", valid_fraction=0.4)
    assert [part.x.shape for part in parts(dataset)] == [(30, 8, 8, 1), (20, 8, 8, 1), (15, 8, 8, 1)]
    assert dataset.train.x.dtype == np.uint8
    assert dataset.class_names == ("a", "b", "c", "d", "e")
    np.testing.assert_array_equal(dataset.test.x[..., 0], x_test)
    np.testing.assert_array_equal(dataset.test.y, 4 - y_test)


def test_npz_with_all_three_parts_is_left_as_it_is(tmp_path):
    given = {which: arrays(n) for which, n in (("train", 20), ("valid", 10), ("test", 15))}
    pairs = [
        (f"{axis}_{which}", array) for which, both in given.items() for axis, array in zip("xy", both, strict=True)
    ]
    np.savez(tmp_path / "a.npz", **dict(pairs))
    for part, (x, y) in zip(parts(load("npz", tmp_path, path="a.npz")), given.values(), strict=True):
        np.testing.assert_array_equal(part.x, x)
        np.testing.assert_array_equal(part.y, y)


X, Y = arrays()
BAD_ARRAYS = {
    "no labels": ({"x": X}, "no array y; .* it has x$"),
    "no features": ({"images": X, "y": Y}, "no array x; .* it has images, y"),
    "lengths": ({"x": X, "y": Y[:-1]}, "x has 50 examples, y has 49"),
    "NaN": ({"x": np.where(np.arange(50)[:, None] == 7, np.nan, X), "y": Y}, "x has values .* first in example 7"),
    "too large": ({"x": X * 1e300, "y": Y}, "x has values that are not finite"),
    "text": ({"x": X.astype(str), "y": Y}, "x should be numbers"),
    "complex": ({"x": X + 1j, "y": Y}, "x should be numbers .*complex128"),
    "no axis": ({"x": X[:, 0], "y": Y}, r"x should be numbers .*\(50,\)"),
    "one-hot": ({"x": X, "y": np.eye(5)[Y]}, r"y should be \(n,\) integers or text, .*float64 \(50, 5\)"),
    "one class": ({"x": X, "y": np.ones(50, int)}, "at least two classes are needed, 50 examples are of 1"),
    "objects": ({"x": X, "y": Y.astype(object)}, "y.npy cannot be read: it holds pickled Python objects"),
    "shapes": ({"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y}, r"x_train is float32 \(4,\), of x_test"),
    "no training part": ({"x": X, "y": Y, "x_test": X, "y_test": Y}, "has x_test but no x_train"),
    "empty": ({"x_train": X, "y_train": Y, "x_test": X[:0], "y_test": Y[:0]}, "the test part is empty"),
    "unseen": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 3},
        "the training part has no example of class 5, 6, 7",
    ),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_an_npz_that_cannot_be_used_is_refused_by_array(tmp_path, kind):
    content, message = BAD_ARRAYS[kind]
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=message) as caught:
        load("npz", tmp_path, path="a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_dressed_as_npz_is_not_unpickled(tmp_path):
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="a.npz is not an .npz file .*pickles are not read"):
        load("npz", tmp_path, path="a.npz")
    np.savez(tmp_path / "b.npz", x=X, y=np.array([Trap()] * 50, dtype=object))
    with pytest.raises(DataError, match="y.npy cannot be read: it holds pickled"):
        load("npz", tmp_path, path="b.npz")


def test_a_header_that_promises_more_than_the_file_holds_is_refused_before_anything_is_allocated(tmp_path):
    import tracemalloc

    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(800))
        archive.writestr("y.npy", b"")
    tracemalloc.start()
    with pytest.raises(DataError, match="x.npy cannot be read: its header promises 8,000,000,000,000,000 bytes, 800"):
        load("npz", tmp_path, path="a.npz")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_an_npz_that_was_cut_off_or_changed_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=X, y=Y)
    whole = (tmp_path / "a.npz").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:60] + bytes(40) + whole[100:], b""):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(DataError, match="a.npz"):
            load("npz", tmp_path, path="a.npz")


@pytest.fixture
def images(tmp_path):
    """A folder of 30 PNG files in three classes, one colour each; their sizes and modes differ."""
    from PIL import Image

    folder = tmp_path / "pictures"
    for i in range(30):
        kind, colour = [("sky", (0, 0, 204)), ("leaf", (0, 204, 0)), ("rose", (204, 0, 0))][i % 3]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (10 + i, 40 - i), colour)
        mode = ("RGB", "RGBA", "P")[i % 4 % 3]
        image.convert(mode).save(folder / kind / f"{i}.{'jpg' if mode == 'RGB' else 'png'}", quality=100)
    write(folder / ".DS_Store", "not an image")
    write(folder / "sky" / ".DS_Store", "not an image")
    return folder


def test_every_folder_of_images_is_a_class(images):
    dataset = load("image-folder", images.parent, path="pictures", image_size=12)
    assert dataset.class_names == ("leaf", "rose", "sky")
    assert [part.x.shape for part in parts(dataset)] == [(18, 12, 12, 3), (6, 12, 12, 3), (6, 12, 12, 3)]
    colours = np.array([(0, 204, 0), (204, 0, 0), (0, 0, 204)])
    for part in parts(dataset):
        assert part.x.dtype == np.uint8
        wanted = np.broadcast_to(colours[part.y][:, None, None], part.x.shape)
        np.testing.assert_allclose(part.x.astype(int), wanted, atol=2)


def test_images_are_made_grey_and_of_one_size(images):
    dataset = load("image-folder", images.parent, path="pictures", image_size=7, channels=1)
    assert dataset.input_shape == (7, 7, 1)
    luma = np.array([0.587, 0.299, 0.114]) * 204
    for image, label in zip(dataset.train.x, dataset.train.y, strict=True):
        np.testing.assert_allclose(image, luma[label], atol=2)


def test_folders_train_and_test_are_parts(images, tmp_path):
    import shutil

    for part in ("train", "test"):
        shutil.copytree(images, tmp_path / "both" / part)
    dataset = load("image-folder", tmp_path, path="both", image_size=4, valid_fraction=0.5)
    assert [len(part) for part in parts(dataset)] == [15, 15, 30]
    (tmp_path / "both" / "README.txt").write_text("beside the folders")
    beside = load("image-folder", tmp_path, path="both", image_size=4, valid_fraction=0.5)
    np.testing.assert_array_equal(beside.train.x, dataset.train.x)
    (tmp_path / "both" / "test" / "sky").rename(tmp_path / "both" / "test" / "water")
    with pytest.raises(DataError, match="the training part has no example of class water"):
        load("image-folder", tmp_path, path="both", image_size=4)


def test_every_file_that_is_no_image_is_named(images):
    from PIL import Image

    write(images / "sky" / "notes.txt", "blue")
    whole = next((images / "rose").glob("*.jpg"))
    (images / "rose" / "cut.jpg").write_bytes(whole.read_bytes()[:-200])
    Image.fromarray(np.full((4, 4), 4000, "uint16")).save(images / "leaf" / "deep.png")
    with pytest.raises(DataError, match="3 of 33 files") as caught:
        load("image-folder", images.parent, path="pictures")
    for name in ("sky/notes.txt (not an image)", "rose/cut.jpg (", "leaf/deep.png (I;16, more than 8 bits"):
        assert name in str(caught.value)


def test_folders_without_classes_are_refused(images, tmp_path):
    with pytest.raises(DataError, match="0 examples are of 0"):
        load("image-folder", tmp_path, path="pictures/sky")
    with pytest.raises(DataError, match="examples are of 1"):
        load("image-folder", tmp_path, path=".")
    (images / "sky" / "deeper").mkdir()
    with pytest.raises(DataError, match=r"1 of 31 files cannot be read as images: sky/deeper \(Is a directory\)"):
        load("image-folder", tmp_path, path="pictures")
    (images / "night").mkdir()
    with pytest.raises(DataError, match="night is empty, a class without examples"):
        load("image-folder", tmp_path, path="pictures")
    with pytest.raises(DataError, match="is not a folder"):
        load("image-folder", tmp_path, path="pictures/.DS_Store")
