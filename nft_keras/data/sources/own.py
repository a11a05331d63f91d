"""Data of the user's own: what tables, arrays and images have in common, that is where they are, classes and parts."""

import os
from pathlib import Path
from typing import Annotated

import numpy as np

from nft_keras.data import DataError, split

Fraction = Annotated[float, "> 0 and < 1"]
PARTS = ("train", "valid", "test")
# What people call them.
PART_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing"),
}


def part_of(name):
    """The part, one of `PARTS`, that a file, folder or array of this name holds, whatever its case; None if none."""
    return next((part for part, names in PART_NAMES.items() if name.casefold() in names), None)


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


def complete(where, parts, names, valid_fraction, test_fraction, seed):
    """Cuts the parts that are not there off the training part, class by class in proportion, and checks all of them.

    Args:
        where: the file or folder, for messages.
        parts: {name: `Part`}, with "train".
        names: tuple of str, of the classes.
        valid_fraction, test_fraction: of the examples in the training part as given.
        seed: int.

    Returns:
        `parts`, with all of `PARTS`.

    Raises:
        DataError: if one of them is empty, a class has too few examples to be cut, or the training part lacks one.
    """
    n, train = len(parts["train"]), parts["train"]
    for which, fraction in (("test", test_fraction), ("valid", valid_fraction)):
        if which not in parts:
            size = round(fraction * n) if 0 < fraction < 1 else 0
            if not 0 < size < len(train):
                raise DataError(f"{where}: {fraction:g} of {n} examples for the {which} part leaves a part empty")
            try:
                train, parts[which] = split(train, len(train) - size, seed)
            except DataError as error:
                few = _too_few(names, train.y, parts["train"].y)
                raise DataError(f"{where}: {few or error}") from error
    parts["train"] = train
    for which in PARTS:
        if not len(parts[which]):
            raise DataError(f"{where}: the {which} part is empty")
    if absent := [names[i] for i in sorted(set(range(len(names))) - set(parts["train"].y.tolist()))]:
        raise DataError(f"{where}: the training part has no example of class {', '.join(absent[:5])}")
    return parts


def _too_few(names, left, given):
    """Which classes cannot be cut any more, as one of their examples is left; None if there are none."""
    single = np.flatnonzero(np.bincount(left, minlength=len(names)) == 1)
    if not len(single):
        return None
    named = ", ".join(f"{names[i][:40]} ({np.sum(given == i)})" for i in single[:5])
    return f"too few examples of class {named}: each part that is cut off needs some; add more, or leave them out"
