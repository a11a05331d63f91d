"""Data of the user's own: what tables, arrays and images have in common, that is where they are, classes and parts."""

import collections
import os
import re
import warnings
from pathlib import Path
from typing import Annotated

import numpy as np

from nft_keras._checks import listed
from nft_keras._text import say
from nft_keras.data import DataError, split

Fraction = Annotated[float, "> 0 and < 1"]
PARTS = ("train", "valid", "test")
# Groups are cut into so many pieces, of which a part has some.
_PIECES = 20
# What people call them.
PART_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing"),
}


def part_of(name):
    """The part, one of `PARTS`, that a file, folder or array of this name holds, whatever its case; None if none."""
    return next((part for part, names in PART_NAMES.items() if name.strip().casefold() in names), None)


def published(data_dir, path):
    """What results and reports call a file or folder: its path in the data directory, or its name, no more of a home.

    Args:
        data_dir: the directory that a relative path starts from.
        path: `pathlib.Path`.
    """
    inside = Path(path).is_relative_to(data_dir) and Path(path) != Path(data_dir)
    called = Path(path).relative_to(data_dir) if inside else Path(Path(path).absolute().name)
    return os.fsencode(called.as_posix()).decode("utf-8", "replace")


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
        raise DataError(f"{where}: at least two classes are needed, all of {len(y)} examples are of class {names[0]}")
    names, ends = tuple(str(name) for name in names), np.cumsum([len(some) for some in labels])[:-1]
    alike = collections.Counter(name.lower() for name in names)
    if twice := [name for name in names if alike[name.lower()] > 1]:
        say(f"{where}: classes that differ only in capitals: {listed(twice)}")
    return names, np.split(y.astype("int32"), ends)


def cut_fold(where, part, names, fold, seed, groups=None):
    """Cuts a fold off, the K-th of N test parts in which each example is once, class by class in proportion.

    Args:
        where: the file or folder, for messages.
        part: a `Part`.
        names: tuple of str, of the classes, if its labels are such.
        fold: str, "K-of-N".
        seed: int; the same for all folds.
        groups: array, of what rows of one group have in common, where the part's x are numbers of rows; they stay
            together.

    Returns:
        Two `Part`s, the others and the fold.

    Raises:
        DataError: if it is no such text, or a class has fewer examples than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    number, of = map(int, match.groups()) if (match := re.fullmatch(r"(\d{1,4})-of-(\d{1,4})", fold)) else (0, 0)
    if not 1 <= number <= of or of < 2:
        raise DataError(f"{where}: fold should be K-of-N, as 1-of-5, got {fold!r}")
    y = strata(part)
    for i, count in enumerate(np.bincount(y, minlength=len(names))):
        if count < of:
            which = f"class {names[i]} has" if part.y.ndim == 1 else "there are"
            raise DataError(f"{where}: {which} {count} examples, fewer than {of} folds")
    if groups is None:
        folds = StratifiedKFold(of, shuffle=True, random_state=seed).split(y, y)
    elif (there := len(np.unique(groups[part.x]))) < of:
        raise DataError(f"{where}: {there} groups cannot be cut into {of} folds")
    else:
        folds = StratifiedGroupKFold(of, shuffle=True, random_state=seed).split(y, y, groups[part.x])
    others, rows = list(folds)[number - 1]
    return part[others], part[rows]


def complete(where, parts, names, valid_fraction, test_fraction, seed, groups=None, fold=None):
    """Cuts the parts that are not there off the training part, and checks all of them.

    They are cut class by class in proportion; where a class has too few examples for that, at random, but for one of
    each class that stays in the training part, which is said. Where labels are no classes, at random.

    Args:
        where: the file or folder, for messages.
        parts: {name: `Part`}, with "train".
        names: tuple of str, of the classes, if its labels are such.
        valid_fraction, test_fraction: of the examples in the training part as given.
        seed: int.
        fold: "K-of-N", which of N test parts is cut off, of 1/N of the examples; None: one of test_fraction.
        groups: array (rows,) of what rows of one group have in common, of parts whose x are numbers of rows: they stay
            together, and sizes are met about. None: as above.

    Returns:
        `parts`, with all of `PARTS`.

    Raises:
        DataError: if one of them is empty, a class has one example, or the training part has none of one; for a fold of
            data with a test part.
    """
    n, train, few = len(parts["train"]), parts["train"], []
    names = names if train.y.ndim == 1 else ("",)
    if fold is not None:
        if "test" in parts:
            raise DataError(f"{where} has a test part of its own: it is not cut into folds")
        train, parts["test"] = cut_fold(where, train, names, fold, seed, groups)
    absent = [which for which in PARTS[:0:-1] if which not in parts]
    counts = np.bincount(strata(train), minlength=len(names))
    if absent and (single := [name for name, count in zip(names, counts, strict=True) if name and count == 1]):
        what = f"one example of class {listed(single)}; at least two are needed: leave it out, or join classes"
        if len(single) > n / 4:
            what = f"{len(names)} classes in {n} examples, {len(single)} of them with one: are these the labels?"
        raise DataError(f"{where}: {what}")
    for which in absent:
        fraction = valid_fraction if which == "valid" else test_fraction
        size = round(fraction * n) if 0 < fraction < 1 else 0
        if not 0 < size < len(train):
            raise DataError(f"{where}: {fraction:g} of {n} examples for the {which} part leaves a part empty")
        left = len(train) - size
        if groups is None:
            train, parts[which] = _by_class(train, left, seed, few)
        else:
            train, parts[which] = _by_group(where, train, size, seed, groups)
    if few:
        fewest = names[int(np.argmin(np.where(counts, counts, n + 1)))]
        why = f"too few examples (of class {fewest}: {min(few)})"
        say(f"{where}: the parts are not cut class by class, {why}")
    parts["train"] = train
    for which in PARTS:
        if not len(parts[which]):
            raise DataError(f"{where}: the {which} part is empty")
    if lacking := [names[i] for i in sorted(set(range(len(names))) - set(strata(parts["train"]).tolist()))]:
        raise DataError(f"{where}: the training part has no example of class {listed(lacking)}")
    for which in PARTS[1:]:
        if lacking := [names[i] for i in sorted(set(range(len(names))) - set(strata(parts[which]).tolist()))]:
            say(f"{where}: the {which} part has no example of class {listed(lacking)}: its figures are without it")
    return parts


def strata(part):
    """int array (n,) of what a `Part` is cut in proportion to: its classes, or the same for all where it has none."""
    return part.y if part.y.ndim == 1 else np.zeros(len(part), "int32")


def _by_group(where, part, size, seed, groups):
    """Two `Part`s whose x are numbers of rows, the second of about `size`; rows of a group stay together."""
    from sklearn.model_selection import StratifiedGroupKFold

    of_part = groups[part.x]
    names, counts = np.unique(of_part, return_counts=True)
    folds = min(len(names), _PIECES, int(np.bincount(strata(part)).max()))
    if folds < 2:
        largest = f"of the largest, {names[counts.argmax()]}, there are {counts.max():,} rows"
        what = f"{len(names)} groups cannot be cut so that {size:,} of {len(part):,} rows are apart"
        raise DataError(f"{where}: {what}; {largest}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of fewer rows than folds
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(part.x, strata(part), of_part)
        pieces = [rows for _, rows in cut if len(rows)]
    apart = pieces[:1]  # the parts have one piece at least
    for rows in pieces[1:-1]:
        so_far = sum(map(len, apart))
        if abs(so_far + len(rows) - size) < abs(so_far - size):
            apart.append(rows)
    apart = np.sort(np.concatenate(apart))
    return part[np.setdiff1d(np.arange(len(part)), apart)], part[apart]


def _by_class(part, size, seed, few):
    """As `split`; where a class is too small, at random, one of each class in the first part.

    `few` is a list that the fewest examples of a class are then added to.
    """
    try:
        return split(part, size, seed)
    except DataError:
        few.append(int(min(np.unique(part.y, return_counts=True)[1])))
    order = np.random.default_rng(seed).permutation(len(part))
    of_each = np.unique(part.y[order], return_index=True)[1]
    order = np.concatenate([order[of_each], np.delete(order, of_each)])
    return part[order[:size]], part[order[size:]]
