"""Data of the user's own: what tables, arrays and images have in common, that is where they are, classes and parts."""

import os
import re
from pathlib import Path
from typing import Annotated

import numpy as np

from nft_keras.data import DataError, split

Fraction = Annotated[float, "> 0 and < 1"]
PARTS = ("train", "valid", "test")


def located(data_dir, path):
    """A `pathlib.Path` that is there.

    Args:
        data_dir: the directory that a relative `path` starts from.
        path: str.

    Raises:
        DataError: if it is not there.
    """
    path = Path(data_dir) / os.path.expanduser(path)
    try:
        exists = path.exists()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not exists:
        raise DataError(f"no {path}; a relative path starts from the data directory (--data-dir)")
    return path


def classes(where, labels):
    """Makes class indices of labels.

    Args:
        where: the file or folder, for messages.
        labels: list of arrays of str or int, one for each part.

    Returns:
        Sorted names of the classes, a tuple of str; and a list of int32 arrays, the class indices of each part.

    Raises:
        DataError: if all examples are of one class.
    """
    names, y = np.unique(np.concatenate(labels), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{where}: at least two classes are needed, {len(y)} examples are of {len(names)}")
    ends = np.cumsum([len(some) for some in labels])[:-1]
    return tuple(str(name) for name in names), np.split(y.astype("int32"), ends)


def cut_fold(where, part, names, fold, seed):
    """Cuts a fold off, the K-th of N test parts in which each example is once, class by class in proportion.

    Args:
        where: the file or folder, for messages.
        part: a `Part`.
        names: tuple of str, of the classes.
        fold: str, "K-of-N".
        seed: int; the same for all folds.

    Returns:
        Two `Part`s, the others and the fold.

    Raises:
        DataError: if it is no such text, or a class has fewer examples than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    number, of = map(int, match.groups()) if (match := re.fullmatch(r"(\d{1,4})-of-(\d{1,4})", fold)) else (0, 0)
    if not 1 <= number <= of or of < 2:
        raise DataError(f"{where}: fold should be K-of-N, as 1-of-5, got {fold!r}")
    for i, count in enumerate(np.bincount(part.y, minlength=len(names))):
        if count < of:
            raise DataError(f"{where}: class {names[i]} has {count} examples, fewer than {of} folds")
    folds = StratifiedKFold(of, shuffle=True, random_state=seed).split(part.y, part.y)
    others, rows = list(folds)[number - 1]
    return part[others], part[rows]


def complete(where, parts, names, valid_fraction, test_fraction, seed, fold=None):
    """Cuts the parts that are not there off the training part, class by class in proportion, and checks all of them.

    Args:
        where: the file or folder, for messages.
        parts: {name: `Part`}, with "train".
        names: tuple of str, of the classes.
        valid_fraction, test_fraction: of the examples in the training part as given.
        seed: int.
        fold: "K-of-N", which of N test parts is cut off, of 1/N of the examples; None: one of test_fraction.

    Returns:
        `parts`, with all of `PARTS`.

    Raises:
        DataError: if one of them is empty, or the training part lacks a class; for a fold of data with a test part.
    """
    n, train = len(parts["train"]), parts["train"]
    if fold is not None:
        if "test" in parts:
            raise DataError(f"{where} has a test part of its own: it is not cut into folds")
        train, parts["test"] = cut_fold(where, train, names, fold, seed)
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
    for which in PARTS:
        if not len(parts[which]):
            raise DataError(f"{where}: the {which} part is empty")
    if absent := [names[i] for i in sorted(set(range(len(names))) - set(parts["train"].y.tolist()))]:
        raise DataError(f"{where}: the training part has no example of class {', '.join(absent[:5])}")
    return parts
