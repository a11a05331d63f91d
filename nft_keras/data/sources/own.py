"""A file or folder of the user's own as a data set: a CSV table, an .npz of arrays, a folder of images."""

import array
import io
import math
import os
import re
import zipfile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from nft_keras.data import DataError, Dataset, Part, split
from nft_keras.data.features.preprocessing import Columns, Images, of_arrays
from nft_keras.data.io.table import column, number_in, read_table
from nft_keras.data.sources.text import TfIdf

Fraction = Annotated[float, "> 0 and < 1"]
_PARTS = ("train", "valid", "test")
# numpy reads a header whole before it looks how long it is; one of numbers has some hundred bytes.
_LONGEST_HEADER = 10_000
# A larger array that was packed this much is a trap and no data: deflate gets 1030 out of zeros and of little else.
_LARGEST_PACKED, _PACKED = 1 << 28, 500


def csv_file(
    data_dir: Path,
    split_seed: int,
    path: str,
    label: str = "label",
    text: str | None = None,
    drop: tuple[str, ...] = (),
    num_words: Annotated[int, ">= 1"] = 20000,
    valid_fraction: Fraction = 0.2,
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """A CSV file (UTF-8, commas, a header): its numeric columns, or one column of text as TF-IDF features.

    Numeric columns are standardised: mean 0 and standard deviation 1 on the training part. One that is constant there
    becomes 0, with a warning.

    Args:
        data_dir: the directory that a relative `path` starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the file.
        label: name of the column of labels, text or whole numbers.
        text: name of a column of text; the others are then ignored. None: every column but the label is numeric.
        drop: names of columns to leave out, such as one that numbers the rows.
        num_words: size of the vocabulary for `text`, the most frequent words of the training part.
        valid_fraction, test_fraction: of all rows; the rest is the training part.

    Returns:
        A `Dataset` whose x are float32 (n, columns), or for text `scipy.sparse.csr_matrix` (n, num_words) float32.

    Raises:
        DataError: if the file cannot be read or used, naming the line and the column.
    """
    path = _located(data_dir, path)
    rows = read_table(path)
    header = next(rows)
    place = column(path, header, label)
    out = {place, *(column(path, header, name) for name in drop)}
    columns = [i for i in range(len(header)) if i not in out] if text is None else [column(path, header, text)]
    if text is None and (not columns or "" in header):
        what = "no column but the label" if not columns else f"a column without a name, number {header.index('') + 1}"
        raise DataError(f"{path} has {what}; take an index column out (`drop` does for one with a name)")
    lines, labels, texts, numbers = [], [], [], array.array("d")
    for line, row in rows:
        if not row[place].strip():
            raise DataError(f"{path}:{line}: column {label!r} is empty")
        lines.append(line)
        labels.append(row[place].strip())
        if text is None:
            numbers.extend(number_in(path, line, header[i], row[i]) for i in columns)
        else:
            texts.append(row[columns[0]])
    x = np.frombuffer(numbers).reshape(len(labels), len(columns)) if text is None else np.array(texts, dtype=object)
    if all(re.fullmatch(r"-?\d{1,18}", name) for name in labels):
        labels = [int(name) for name in labels]
    names, (y,) = _classes(path, [np.array(labels)])
    parts = _complete(path, {"train": Part(x, y)}, names, valid_fraction, test_fraction, split_seed)
    if text is None:
        features = Columns.fit(path, parts["train"].x, [header[i] for i in columns])
        features.check(path, lines, x)
    else:
        features = _tf_idf(path, parts["train"].x, num_words, text)
    parts = [Part(features.transform(parts[which].x), parts[which].y) for which in _PARTS]
    return Dataset(*parts, len(names), f"{path}, {len(labels):,} rows", names, features)


def npz_file(
    data_dir: Path, split_seed: int, path: str, valid_fraction: Fraction = 0.2, test_fraction: Fraction = 0.2
) -> Dataset:
    """An .npz file with the arrays x and y, or x_train and y_train and, if there are, _valid and _test.

    Args:
        data_dir: the directory that a relative `path` starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the file. x is (n, ...), any real numbers; of dtype uint8 it is taken for pixels in 0..255, and for
            grey images if it is (n, height, width). y is (n,), integers or text. Nothing is unpickled.
        valid_fraction, test_fraction: of x, for the parts that the file does not have.

    Returns:
        A `Dataset` whose x are float32, or uint8 if they are in the file.

    Raises:
        DataError: if the file cannot be read or used, naming the array.
    """
    path = _located(data_dir, path)
    arrays = _arrays(path)
    suffixes = {which: f"_{which}" for which in _PARTS if f"x_{which}" in arrays}
    if "train" not in suffixes:
        for array in arrays:
            if array.endswith(tuple(f"_{which}" for which in _PARTS)):
                raise DataError(f"{path} has {array} but no x_train; name the training part x_train and y_train")
        suffixes = {"train": ""}
    for name in (axis + suffix for suffix in suffixes.values() for axis in "xy"):
        if name not in arrays:
            there_are = ", ".join(arrays) or "none"
            raise DataError(f"{path} has no array {name}; wanted are x, y or x_train, y_train, ..., it has {there_are}")
    xs = [_features(path, f"x{suffix}", _array(path, arrays[f"x{suffix}"])) for suffix in suffixes.values()]
    ys = [_labels(path, f"y{suffix}", _array(path, arrays[f"y{suffix}"])) for suffix in suffixes.values()]
    for suffix, x, y in zip(suffixes.values(), xs, ys, strict=True):
        if len(x) != len(y):
            raise DataError(f"{path}: x{suffix} has {len(x)} examples, y{suffix} has {len(y)}")
        if (x.shape[1:], x.dtype) != (xs[0].shape[1:], xs[0].dtype):
            kinds = f"{xs[0].dtype} {xs[0].shape[1:]}, of x{suffix} {x.dtype} {x.shape[1:]}"
            raise DataError(f"{path}: an example of x_train is {kinds}; they should be alike")
    names, ys = _classes(path, ys)
    parts = {which: Part(x, y) for which, x, y in zip(suffixes, xs, ys, strict=True)}
    parts = _complete(path, parts, names, valid_fraction, test_fraction, split_seed)
    parts, provenance = [parts[which] for which in _PARTS], f"{path}, {sum(map(len, ys)):,} examples"
    return Dataset(*parts, len(names), provenance, names, of_arrays(xs[0]))


def image_folder(
    data_dir: Path,
    split_seed: int,
    path: str,
    image_size: Annotated[int, ">= 1 and <= 4096"] = 32,
    channels: Literal[1, 3] = 3,
    valid_fraction: Fraction = 0.2,
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """A folder with one folder of images per class, or with folders train and, if there are, valid and test of such.

    Args:
        data_dir: the directory that a relative `path` starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the folder. Files whose names start with a dot are left out; every other one must be an image that
            Pillow reads (PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM) with at most 8 bits per channel.
        image_size: height and width, in pixels, that every image is resized to.
        channels: 3 for colours, 1 for grey.
        valid_fraction, test_fraction: of the images, for the parts that the folder does not have.

    Returns:
        A `Dataset` whose x are uint8 (n, image_size, image_size, channels).

    Raises:
        DataError: if there are no classes or images that cannot be read, naming every one of them.
    """
    path = _located(data_dir, path)
    inside = [entry for entry in _inside(path) if entry.is_dir()]
    roots = {folder.name: folder for folder in inside if folder.name in _PARTS}
    if "train" not in roots or len(roots) < len(inside):
        roots = {"train": path}
    files = {which: _by_class(root) for which, root in roots.items()}
    labels = {which: np.array([name for _, name in pairs], dtype=str) for which, pairs in files.items()}
    names, ys = _classes(path, list(labels.values()))
    preprocessing = Images(image_size, image_size, channels)
    images = preprocessing.transform([file for pairs in files.values() for file, _ in pairs], path)
    xs = np.split(images, np.cumsum([len(y) for y in ys])[:-1])
    parts = {which: Part(x, y) for which, x, y in zip(roots, xs, ys, strict=True)}
    parts = _complete(path, parts, names, valid_fraction, test_fraction, split_seed)
    parts = [parts[which] for which in _PARTS]
    return Dataset(*parts, len(names), f"{path}, {len(images):,} images", names, preprocessing)


def _located(data_dir, path):
    path = Path(data_dir) / os.path.expanduser(path)
    try:
        exists = path.exists()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not exists:
        raise DataError(f"no {path}; a relative path starts from the data directory (--data-dir)")
    return path


def _classes(where, labels):
    """Sorted names of the classes, and the class indices for each of several arrays of labels."""
    names, y = np.unique(np.concatenate(labels), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{where}: at least two classes are needed, {len(y)} examples are of {len(names)}")
    ends = np.cumsum([len(some) for some in labels])[:-1]
    return tuple(str(name) for name in names), np.split(y.astype("int32"), ends)


def _complete(where, parts, names, valid_fraction, test_fraction, seed):
    """Cuts the parts that are not there off the training part, and checks all of them."""
    n, train = len(parts["train"]), parts["train"]
    for which, fraction in (("test", test_fraction), ("valid", valid_fraction)):
        if which not in parts:
            size = round(fraction * n) if 0 < fraction < 1 else 0
            if not 0 < size < len(train):
                raise DataError(f"{where}: {fraction:g} of {n} examples for the {which} part leaves a part empty")
            try:
                train, parts[which] = split(train, len(train) - size, seed)
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
    parts["train"] = train
    for which in _PARTS:
        if not len(parts[which]):
            raise DataError(f"{where}: the {which} part is empty")
    if absent := [names[i] for i in sorted(set(range(len(names))) - set(parts["train"].y.tolist()))]:
        raise DataError(f"{where}: the training part has no example of class {', '.join(absent[:5])}")
    return parts


def _tf_idf(path, train, num_words, column):
    try:
        return TfIdf(num_words, column).fit(train)
    except ValueError as error:
        raise DataError(f"{path}: no words in the texts of the training part") from error


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


def _labels(path, name, y):
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind not in "biuU" or y.ndim != 1:
        raise DataError(f"{path}: {name} should be (n,) integers or text, a label each, got {y.dtype} {y.shape}")
    return y


def _inside(folder):
    """Sorted entries of a folder that are not hidden."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} is not a folder that can be read: {error.strerror or error}") from error


def _by_class(root):
    """(file, name of its folder) of every file in the folders of a folder."""
    pairs = []
    for folder in _inside(root):
        if folder.is_dir():
            found = _inside(folder)
            if not found:
                raise DataError(f"{folder} is empty, a class without examples")
            pairs.extend((file, folder.name) for file in found)
    return pairs
