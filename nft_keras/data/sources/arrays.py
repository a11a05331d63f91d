"""An .npz file of the user's own as a data set."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from nft_keras.data import DataError, Dataset, Part, located
from nft_keras.data.features.preprocessing import of_arrays
from nft_keras.data.sources.labels import in_units_of_training
from nft_keras.data.sources.own import PARTS, Fraction, classes, complete, part_of, published
from nft_keras.data.targets import Task

# numpy reads a header whole before it looks how long it is; one of numbers has some hundred bytes.
_LONGEST_HEADER = 10_000
# A larger array that was packed this much is a trap and no data: deflate gets 1030 out of zeros and of little else.
_LARGEST_PACKED, _PACKED = 1 << 28, 500


def npz_file(
    data_dir: Path,
    split_seed: int,
    path: str,
    task: Task = "classification",
    valid_fraction: Fraction = 0.2,
    test_fraction: Fraction = 0.2,
    fold: str | None = None,
) -> Dataset:
    """An .npz file with the arrays x and y, or x_train and y_train and, if there are, _valid and _test.

    The validation part may be called _val, _validation or _dev too, the others _training and _testing, whatever their
    case. Any other array is refused.

    Args:
        data_dir: the directory that a relative `path` starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the file. x is (n, ...), any real numbers; of dtype uint8 it is taken for pixels in 0..255, and for
            grey images if it is (n, height, width). y is (n,), integers or text; of several labels (n, labels) of 0 and
            1, of a quantity (n,) numbers. Nothing is unpickled.
        task: what is learnt: one class of each example, several labels at once, or a quantity.
        valid_fraction, test_fraction: of x, for the parts that the file does not have.
        fold: K-of-N, which of N test parts is left out, instead of test_fraction; `folds` in a recipe says all of them.

    Returns:
        A `Dataset` whose x are float32, or uint8 if they are in the file.

    Raises:
        DataError: if the file cannot be read or used, naming the array.
    """
    path = located(data_dir, path)
    arrays = _arrays(path)
    names = _names(path, arrays)
    xs = [_features(path, x, _array(path, arrays[x])) for x, _ in names.values()]
    ys = [_labels(path, y, _array(path, arrays[y]), task) for _, y in names.values()]
    for (x_name, y_name), x, y in zip(names.values(), xs, ys, strict=True):
        if len(x) != len(y):
            raise DataError(f"{path}: {x_name} has {len(x)} examples, {y_name} has {len(y)}")
        if (x.shape[1:], x.dtype) != (xs[0].shape[1:], xs[0].dtype):
            kinds = f"{xs[0].dtype} {xs[0].shape[1:]}, of {x_name} {x.dtype} {x.shape[1:]}"
            raise DataError(f"{path}: an example of {next(iter(names.values()))[0]} is {kinds}; they should be alike")
    class_names, ys = classes(path, ys) if task == "classification" else (_names_of_outputs(path, task, ys), ys)
    parts = {which: Part(x, y) for which, x, y in zip(names, xs, ys, strict=True)}
    parts = complete(path, parts, class_names, valid_fraction, test_fraction, split_seed, fold=fold)
    parts, unit = in_units_of_training(path, task, class_names, parts)
    provenance = f"{published(data_dir, path)}, {sum(map(len, ys)):,} examples"
    parts = [parts[which] for which in PARTS]
    return Dataset(*parts, len(class_names), provenance, class_names, of_arrays(xs[0]), task, unit)


def _names(path, arrays):
    """{part: (name of x, name of y)}, the training part first."""
    found, others = {}, []
    for name in arrays:
        axis, which = _meant(name)
        if axis not in ("x", "y") or which is None:
            others.append(name)
        elif (which, axis) in found:
            raise DataError(f"{path} has {found[which, axis]} and {name}, two arrays for one; keep one of them")
        else:
            found[which, axis] = name
    parts = [which for which in PARTS if {(which, "x"), (which, "y")} & found.keys()]
    if parts and "train" not in parts:
        name = next(name for (which, _), name in found.items() if which)
        raise DataError(f"{path} has {name} but no x_train; name the training part x_train and y_train")
    parts = parts or [""]
    wanted = "wanted are x, y or x_train, y_train and _valid and _test of both"
    for which, axis in ((which, axis) for which in parts for axis in "xy"):
        if (which, axis) not in found:
            name = "_".join(filter(None, (axis, which)))
            raise DataError(f"{path} has no array {name}; {wanted}, it has {', '.join(arrays) or 'none'}")
    if others := others + [name for (which, _), name in found.items() if which not in parts]:
        raise DataError(f"{path} has {', '.join(others)}; {wanted}: nothing else is used, no weights or groups either")
    return {which or "train": (found[which, "x"], found[which, "y"]) for which in parts}


def new_examples(path, task="classification"):
    """x, and y where there is one, of a file without a split: the arrays x and y, else x_test and y_test.

    Args:
        path: `pathlib.Path`.
        task: of `npz_file`.

    Returns:
        x as `npz_file` gives it; labels, (n,) integers or text, of other tasks float64 (n, outputs), or None.

    Raises:
        DataError: as `npz_file`.
    """
    arrays = _arrays(path)
    found = {_meant(name): name for name in arrays}
    which = next((which for which in ("", "test") if ("x", which) in found), None)
    if which is None:
        raise DataError(f"{path} has no array x, nor x_test; it has {', '.join(arrays) or 'none'}")
    of_x, of_y = found["x", which], found.get(("y", which))
    x = _features(path, of_x, _array(path, arrays[of_x]))
    if not len(x):
        raise DataError(f"{path}: {of_x} has no examples")
    if of_y is None:
        return x, None
    y = _labels(path, of_y, _array(path, arrays[of_y]), task)
    if len(x) != len(y):
        raise DataError(f"{path}: {of_x} has {len(x)} examples, {of_y} has {len(y)}")
    return x, y


def _meant(name):
    """("x" or "y", the part or "" for all) that an array of a name holds; ("x", None) and the like for no part."""
    axis, _, of = name.lower().partition("_")
    return axis, part_of(of) if of else ""


def _arrays(path):
    """{name: `zipfile.ZipInfo`} of the arrays in an .npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise DataError(f"{path} is not an .npz file of numpy.savez ({error}); pickles are not read") from error
    return {member.filename.removesuffix(".npy"): member for member in members if member.filename.endswith(".npy")}


def _array(path, member):
    """Reads an array; nothing is allocated that the file has no bytes for."""
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        if member.file_size > max(_LARGEST_PACKED, _PACKED * member.compress_size):
            raise ValueError(f"{member.file_size:,} bytes are promised by {member.compress_size:,}, hardly any data")
        with zipfile.ZipFile(path) as archive:
            with archive.open(member) as file:
                start = io.BytesIO(file.read(_LONGEST_HEADER))
            version = np.lib.format.read_magic(start)
            if version not in versions:
                raise ValueError(f"its format version {version} is not for plain numbers or text")
            shape, _, dtype = versions[version](start)
            if dtype.hasobject:
                raise ValueError("it holds pickled Python objects, which are not read")
            promised, there = math.prod(shape) * dtype.itemsize, member.file_size - start.tell()
            if promised != there or not dtype.itemsize:
                raise ValueError(f"its header promises {promised:,} bytes, {there:,} are there")
            with archive.open(member) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # of a damaged file numpy and zipfile raise whatever they stumble over
        what = str(error) or type(error).__name__
        raise DataError(f"{path}: {member.filename} cannot be read: {what}") from error


def _features(path, name, x):
    if x.dtype.kind not in "biuf" or x.ndim < 2 or not math.prod(x.shape[1:]):
        raise DataError(f"{path}: {name} should be numbers (n, ...), got {x.dtype} {x.shape}")
    if x.dtype == np.uint8:
        return x[..., None] if x.ndim == 3 else x
    with np.errstate(over="ignore"):
        x = x.astype("float32")
    if not np.isfinite(x).all():
        row = int(np.argmin(np.isfinite(x.reshape(len(x), -1)).all(axis=1)))
        raise DataError(f"{path}: {name} has values that are not finite numbers, the first in example {row}")
    return x


def _labels(path, name, y, task):
    """The labels in an array: (n,) of classes, else float64 (n, outputs)."""
    got = f"{y.dtype} {y.shape}"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if task == "classification":
        if y.dtype.kind not in "biuU" or y.ndim != 1:
            raise DataError(f"{path}: {name} should be (n,) integers or text, a label each, got {got}")
        return y
    if task == "regression":
        if y.dtype.kind not in "biuf" or y.ndim != 1 or not np.isfinite(y).all():
            raise DataError(f"{path}: {name} should be (n,) finite numbers, a quantity each, got {got}")
        return y[:, None].astype("float64")
    y = y[:, None] if y.ndim == 1 else y
    if y.dtype.kind not in "biuf" or y.ndim != 2 or not np.isin(y, (0, 1)).all():
        raise DataError(f"{path}: {name} should be (n, labels) of 0 and 1, got {got}")
    return y.astype("float64")


def _names_of_outputs(path, task, ys):
    """Names of what arrays of labels do not name: "y" of a quantity, numbers of labels."""
    if len(numbers := {y.shape[1] for y in ys}) > 1:
        raise DataError(f"{path}: examples have {' and '.join(map(str, sorted(numbers)))} labels; they should be alike")
    return ("y",) if task == "regression" else tuple(map(str, range(numbers.pop())))
