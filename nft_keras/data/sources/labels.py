"""The labels of the user's own data: a class, several labels or a quantity, from columns of tables and from cells."""

import dataclasses
import math
import re

import numpy as np

from nft_keras._checks import listed
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.features.columns import FALSE, TRUE, present, whole_number
from nft_keras.data.io.table import LONGEST_NAME, MISSING, missing_value
from nft_keras.data.sources.own import classes
from nft_keras.data.targets import Target

# So many different numbers are no names of classes, nor so many words names of labels.
_MOST_NAMES = 100
# A smaller deviation in units of the mean is what rounding leaves.
_LEAST_DEVIATION = 1e-12
FLAGS = "0 or 1, true or false, yes or no"


def columns_of(task, label):
    """The columns of labels, a list.

    Raises:
        DataError: for several where the task has one.
    """
    if isinstance(label, str):
        return [label]
    if task != "multi-label" or not label:
        raise DataError(f"label: should be one column, or with task: multi-label a list of some, got {list(label)}")
    return list(label)


def of_tables(where, task, tables, label, separator):
    """The labels in columns of tables, one table for each part or for all.

    Args:
        where: the file, for messages.
        task: one of `nft_keras.data.targets.Task`.
        tables: list of `nft_keras.data.io.table.Table`.
        label: name of the column, or, for several labels, of a column of 0 and 1 for each.
        separator: between labels in one column of them.

    Returns:
        Names, a tuple of str; and a list of the labels of each table: int32 (n,) of classes, float64 (n, names) else.

    Raises:
        DataError: naming the line and the column of a label that is none.
    """
    if not isinstance(label, str):
        return tuple(label), [np.stack([_flags(table, name) for name in label], axis=1) for table in tables]
    if task == "regression":
        return (label,), [present(table, label)[:, None] for table in tables]
    if task == "multi-label":
        return several(where, [words(table, label, empty=True).tolist() for table in tables], separator)
    return classes(where, _classes(where, [words(table, label) for table in tables], label))


def of_cells(where, task, cells, separator):
    """The labels of texts, as `of_tables`.

    Args:
        where: the folder, for messages.
        task: one of `nft_keras.data.targets.Task`.
        cells: list of lists of str, one for each part; numbers of a quantity.
        separator: between several labels.
    """
    if task == "regression":
        return ("label",), [np.array(list(map(number_in, part)))[:, None] for part in cells]
    if task == "multi-label":
        return several(where, cells, separator)
    return classes(where, [np.array(part, dtype=str) for part in cells])


def several(where, cells, separator):
    """Labels of texts that name several of them, or none.

    Args:
        where: the file or folder, for messages.
        cells: list of lists of str, one for each part.
        separator: str, between labels.

    Returns:
        Names, a sorted tuple of str; and a list of float64 arrays (n, names) of 0 and 1, one for each part.

    Raises:
        DataError: if there are no labels, or too many for labels, or nothing between them.
    """
    if not separator:
        raise DataError("label_separator should be one character or more, got ''")
    split = [[labels_in(cell, separator) for cell in part] for part in cells]
    examples = [of for part in split for of in part]
    names = tuple(sorted(set().union(*examples)))
    if not names:
        raise DataError(f"{where}: no example has a label")
    if len(names) > max(_MOST_NAMES, len(examples) / 5):
        what = f"{len(names):,} different labels in {len(examples):,} examples, as {names[0][:40]!r}"
        raise DataError(f"{where}: {what}; `label_separator` says what is between those of one, got {separator!r}")
    if max(map(len, examples)) < 2:
        say(f"{where}: no example has two labels, with {separator!r} between them")
    return names, [np.array([[name in of for name in names] for of in part], dtype="float64") for part in split]


def in_units_of_training(where, task, names, parts):
    """Parts whose labels are as `nft_keras.data.targets.Target` says, and the unit of a quantity.

    Args:
        where: the file or folder, for messages.
        task: one of `nft_keras.data.targets.Task`.
        names: tuple of str.
        parts: {name: `nft_keras.data.Part`}, a quantity in its own unit.

    Returns:
        parts, with float32 labels where they are no classes; (mean, standard deviation) of a quantity in "train".

    Raises:
        DataError: for a quantity that is the same in all of the training part, or too large.
    """
    if task == "classification":
        return parts, (0.0, 1.0)
    unit = (0.0, 1.0)
    if task == "regression":
        with np.errstate(over="ignore", invalid="ignore"):
            unit = float(parts["train"].y.mean()), float(parts["train"].y.std())
        if not np.isfinite(unit).all():
            raise DataError(f"{where}: the numbers of {names[0]!r} are too large")
        if unit[1] <= abs(unit[0]) * _LEAST_DEVIATION:
            raise DataError(f"{where}: {names[0]!r} does not vary in the training part, or too little for its size")
    target = Target(task, names, *unit)
    if task == "multi-label" and not (there := parts["train"].y.any(axis=0)).all():
        lacking = [name for name, has in zip(names, there, strict=True) if not has]
        raise DataError(f"{where}: the training part has no example with the label {listed(lacking)}")
    parts = {which: dataclasses.replace(part, y=target.in_deviations(part.y)) for which, part in parts.items()}
    return parts, unit


def labels_in(text, separator):
    """The set of labels that a text names; whole numbers without a point."""
    return {whole_number(word) for word in map(str.strip, text.split(separator)) if word}


def flag_in(text):
    """1.0 or 0.0 for one of `FLAGS`, else NaN."""
    return 1.0 if text.lower() in TRUE else 0.0 if text.lower() in FALSE else math.nan


def words(table, name, empty=False):
    """Array of str of a column that was read as text, of which none may be missing, or only an empty one."""
    found = table.frame[name].str.strip()
    if (lengths := found.str.len()).max() > LONGEST_NAME:
        what = f"{lengths.max():,} characters, more than {LONGEST_NAME:,}"
        raise DataError(f"{table.where(int(lengths.argmax()))}: column {name!r} has a name of {what}")
    found = found.to_numpy(dtype=str)
    if (wrong := np.isin(found, [word for word in MISSING if word or not empty])).any():
        row = int(wrong.argmax())
        raise DataError(f"{table.where(row)}: column {name!r} {missing_value(str(found[row]))}")
    return np.array([whole_number(word) for word in found.tolist()])


def is_number(text):
    """Whether a text is a number as people write one, with a point or a comma."""
    return len(text) < 30 and re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", text) is not None


def number_in(text, decimal="."):
    """The finite number that a text is, NaN if it is none.

    Args:
        text: str.
        decimal: "." or ",", its decimal mark.
    """
    other = "," if decimal == "." else "."
    number = float(text.replace(",", ".")) if is_number(text) and other not in text else math.nan
    return number if math.isfinite(number) else math.nan


def _flags(table, name):
    """float64 array of a column of `FLAGS` that was read as text."""
    found = words(table, name)
    values = np.array(list(map(flag_in, found.tolist())))
    if (wrong := np.isnan(values)).any():
        row = int(wrong.argmax())
        raise DataError(f"{table.where(row)}: column {name!r} should be {FLAGS}, got {str(found[row])[:40]!r}")
    return values


def _classes(where, columns, name):
    """Arrays of the labels in a column of some tables: int where all are whole numbers, none with a 0 first."""
    rows = sum(map(len, columns))
    different = set().union(*(labels.tolist() for labels in columns))
    whole = all(re.fullmatch(r"[+-]?\d{1,18}", label) for label in different)
    if len(different) > max(_MOST_NAMES, rows / 5) if whole else all(map(is_number, different)):
        raise DataError(
            f"{where}: column {name!r} has {len(different):,} different numbers in {rows:,} rows: a quantity, and no "
            "class; say `task: regression`, or make a class of each range of it"
        )
    codes = any(re.match(r"0\d", label) for label in different)
    return [labels.astype("int64") for labels in columns] if whole and not codes else columns
