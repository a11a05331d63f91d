import pickle
import zipfile

import numpy as np
import pytest

from nft_keras.data import DataError, load
from tests.data.sources.own import parts


def arrays(n=50, shape=(4,), dtype="float64"):
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (n, *shape)).astype(dtype)
    return x, np.arange(n) % 5


def test_npz_x_and_y_are_cut_class_by_class(tmp_path):
    x, y = arrays()
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y.astype("uint8")[:, None])
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


@pytest.mark.parametrize(
    "train, valid, test",
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("Train", "DEV", "test"),
        ("train", "Valid", "TEST"),
    ],
)
def test_the_parts_of_an_npz_have_the_names_that_people_give_them(tmp_path, train, valid, test):
    given = {train: arrays(20), valid: arrays(10), test: arrays(15)}
    np.savez(
        tmp_path / "a.npz",
        **{f"{axis}_{of}": a for of, both in given.items() for axis, a in zip("xY", both, strict=True)},
    )
    for part, (x, _) in zip(parts(load("npz", tmp_path, path="a.npz")), given.values(), strict=True):
        np.testing.assert_array_equal(part.x, x)


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
    "one class": ({"x": X, "y": np.ones(50, int)}, "two classes are needed, all of 50 examples are of class 1"),
    "objects": ({"x": X, "y": Y.astype(object)}, "y.npy cannot be read: it holds pickled Python objects"),
    "shapes": ({"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y}, r"x_train is float32 \(4,\), of x_test"),
    "no training part": ({"x": X, "y": Y, "x_test": X, "y_test": Y}, "has x_test but no x_train"),
    "weights": (
        {"x": X, "y": Y, "sample_weight": Y},
        "a.npz has sample_weight; wanted .* no weights or groups either$",
    ),
    "more": ({"x_train": X, "y_train": Y, "x_extra": X, "groups": Y}, "a.npz has x_extra, groups; wanted are x, y or"),
    "both": ({"x_train": X, "y_train": Y, "x": X, "y": Y}, "a.npz has x, y; wanted are"),
    "two": (
        {"x_train": X, "y_train": Y, "x_val": X, "y_val": Y, "x_dev": X},
        "has x_val and x_dev, two arrays for one",
    ),
    "half a part": ({"x_train": X, "y_train": Y, "y_test": Y}, "has no array x_test"),
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
