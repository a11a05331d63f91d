"""A table of the user's own as a data set."""

import dataclasses
import itertools
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from nft_keras._checks import listed
from nft_keras._text import in_yaml, say
from nft_keras.data import DataError, Dataset, Part, located
from nft_keras.data.features.columns import KINDS, Category, Columns, Text, present
from nft_keras.data.features.kinds import kind_of, numbers_rows
from nft_keras.data.io.table import Form, column, read_table
from nft_keras.data.sources.labels import columns_of, in_units_of_training, of_tables, words
from nft_keras.data.sources.own import PARTS, Fraction, complete, part_of, published
from nft_keras.data.targets import SEPARATOR, Task

Kind = Literal["number", "category", "boolean", "date", "text", "drop"]

_REPEATED = 0.1  # of the rows of a part; a few are alike by chance


def csv_file(
    data_dir: Path,
    split_seed: int,
    path: str | None = None,
    label: str | tuple[str, ...] = "label",
    task: Task = "classification",
    label_separator: str = SEPARATOR,
    columns: dict[str, Kind] | None = None,
    text: str | tuple[str, ...] = (),
    drop: str | tuple[str, ...] = (),
    train: str | None = None,
    valid: str | None = None,
    test: str | None = None,
    split: str | None = None,
    group: str | None = None,
    weight: str | None = None,
    separator: Literal[",", ";", "|", "tab"] | None = None,
    decimal: Literal[".", ","] | None = None,
    encoding: str | None = None,
    max_categories: Annotated[int, ">= 1"] = 100,
    num_words: Annotated[int, ">= 1"] = 20000,
    valid_fraction: Fraction = 0.2,
    test_fraction: Fraction = 0.2,
    fold: str | None = None,
) -> Dataset:
    """A table: CSV with a header, packed by gzip or not, Parquet or Excel. Numbers, categories, dates, missing values.

    What is fitted is fitted on the training part. A number is standardised, a missing one is the median, which a column
    of its own tells; a category is one-hot, a missing one a category of its own and one that the training part does not
    have 0 in all; a date is its days and where it lies in year, week and day; text is TF-IDF features. What is the same
    in all of the training part is left out.

    Args:
        data_dir: the directory that a relative path starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the file, where there is one.
        label: name of the column of labels, text or whole numbers; of a quantity numbers. Several labels are a column
            of 0 and 1 for each, or one that names those of an example.
        task: what is learnt: one class of each example, several labels at once, or a quantity.
        label_separator: what is between several labels in one column.
        columns: what columns are, where their cells do not show it: `{age: number, zip: category, id: drop}`.
        text: names of columns of text.
        drop: names of columns to leave out.
        train, valid, test: a file for each part, instead of `path`; what is not given is cut off the training part.
        split: name of a column that says of each row to which part it belongs: train, valid or test.
        group: name of a column; rows that are equal in it come into the same part.
        weight: name of a column of numbers >= 0, what the loss of each row is multiplied by in training, in units of
            their mean there; errors count every row once.
        separator: between the cells of a row; left out: as the file shows.
        decimal: the point of numbers; left out: as the file shows.
        encoding: of the file, one of Python's; left out: UTF-8.
        max_categories: the most frequent ones of a column, others are as unseen ones.
        num_words: size of the vocabulary of each column of text, the most frequent words of the training part.
        valid_fraction, test_fraction: of all rows; the rest is the training part.
        fold: K-of-N, which of N test parts is left out, instead of test_fraction; `folds` in a recipe says all of them.

    Returns:
        A `Dataset` whose x are float32 (n, features), with text `scipy.sparse.csr_matrix`.

    Raises:
        DataError: if a file cannot be read or used, naming the line and the column.
    """
    files = _files(data_dir, path, train, valid, test)
    where, form = files["train"], Form("\t" if separator == "tab" else separator, decimal, encoding)
    labels, kinds = _uses(task, label, columns, text, drop, {"split": split, "group": group, "weight": weight})
    numbers = [*(labels if task == "regression" else []), *([weight] if weight else [])]
    own = [name for name in (*labels, split, group, weight) if name]
    tables = {"train": _read(where, form, kinds, own, numbers)}
    kinds = {**kinds, **_kinds(tables["train"], [*own, *kinds])}
    kinds = {name: kinds[name] for name in tables["train"].frame.columns if kinds.get(name, "drop") != "drop"}
    if not kinds:
        raise DataError(f"{where} has no column but the label to learn from")
    for which in list(files)[1:]:
        tables[which] = _read(files[which], form, kinds, own, numbers)
    names, ys = of_tables(where, task, list(tables.values()), label, label_separator)
    parsed = [{name: KINDS[kind].parse(table, name) for name, kind in kinds.items()} for table in tables.values()]
    values = {name: np.concatenate([of[name] for of in parsed]) for name in kinds} if len(parsed) > 1 else parsed[0]
    groups = np.concatenate([words(table, group) for table in tables.values()]) if group else None
    rows = complete(where, _parts(tables, ys, split), names, valid_fraction, test_fraction, split_seed, groups, fold)
    if group:
        _refuse_shared(where, group, {which: set(groups[part.x].tolist()) for which, part in rows.items()})
    _say_repeated(where, values, {which: part.x for which, part in rows.items()})
    if tables["train"].decimal == ",":
        form = dataclasses.replace(form, before=",")
    rows, unit = in_units_of_training(where, task, names, rows)
    features = _fit(where, kinds, values, rows["train"].x, form, max_categories, num_words)
    for table, of in zip(tables.values(), parsed, strict=True):
        features.check(table, of)
    weights = np.concatenate([present(table, weight, least=0) for table in tables.values()]) if weight else None
    called = np.array([_called(table, line, len(tables)) for table in tables.values() for line in table.lines])
    train, valid, test = (
        Part(features.transform({name: of[part.x] for name, of in values.items()}), part.y, called[part.x])
        for part in (rows[which] for which in PARTS)
    )
    if weight:
        train = dataclasses.replace(train, weights=_in_units_of_their_mean(where, weight, weights[rows["train"].x]))
    of_files = ", ".join(published(data_dir, file) for file in files.values())
    provenance = f"{of_files}, {sum(map(len, ys)):,} rows: {_counted(features)}"
    return Dataset(train, valid, test, len(names), provenance, names, features, task, unit)


def check_options(
    data_dir: Path,
    path: str | None,
    label: str | tuple[str, ...],
    task: Task,
    columns: dict[str, Kind] | None,
    text: str | tuple[str, ...],
    drop: str | tuple[str, ...],
    train: str | None,
    valid: str | None,
    test: str | None,
    split: str | None,
    group: str | None,
    weight: str | None,
    valid_fraction: float,
    test_fraction: float,
    fold: str | None,
    **others: Any,
) -> None:
    """Refuses options of `csv_file` that contradict each other, and files that are not there, before one is read.

    Args:
        data_dir, path, ..., **others: as for `csv_file`.

    Raises:
        DataError: naming them.
    """
    _files(data_dir, path, train, valid, test)
    _uses(task, label, columns, text, drop, {"split": split, "group": group, "weight": weight})
    if fold is not None and test:
        raise DataError("data set csv: test is a test part of its own: it is not cut into folds")
    cut = {} if valid or split else {"valid_fraction": valid_fraction}
    cut |= {} if test or split or fold is not None else {"test_fraction": test_fraction}
    if sum(cut.values()) >= 1:
        what = " and ".join(f"{name} {fraction:g}" for name, fraction in cut.items())
        raise DataError(f"data set csv: {what} leave no example to train on; together they should be below 1")


def _files(data_dir, path, train, valid, test):
    """{part: `pathlib.Path`}, "train" first."""
    if (path is None) == (train is None):
        got = "both" if path else "neither"
        raise DataError(
            f"data set csv needs the option 'path', or 'train' and, if there are, 'valid' and 'test'; got {got}"
        )
    given = {"train": train or path, "valid": valid, "test": test}
    if path and (valid or test):
        raise DataError("data set csv: valid and test go with train, not with path")
    files = {which: located(data_dir, name) for which, name in given.items() if name}
    for file in files.values():
        if file.is_dir():
            raise DataError(f"{file} is a folder; data set csv takes a file, image-folder a folder of images")
    return files


def _uses(task, label, columns, text, drop, others):
    """The columns of labels, and {column: kind} as the user says; a column has one use, `others` are those of one."""
    labels = columns_of(task, label)
    uses = [*(("label", name) for name in labels), *others.items()]
    text, drop = ((names,) if isinstance(names, str) else tuple(names) for names in (text, drop))
    uses = [*uses, *(("text", name) for name in text)]
    uses += [("drop", name) for name in drop] + [("columns", name) for name in columns or {}]
    seen = {}
    for use, name in uses:
        if name is not None and name in seen:
            raise DataError(f"data set csv: column {name!r} cannot be both {seen[name]} and {use}")
        seen[name] = use
    return labels, {**dict.fromkeys(text, "text"), **dict.fromkeys(drop, "drop"), **(columns or {})}


def _read(path, form, kinds, own, numbers):
    """A table that has all columns that are asked for; own ones are read as text, but numbers."""
    text = [name for name in own if name not in numbers]
    text += [name for name, kind in kinds.items() if kind == "text"]
    no_numbers = [name for name, kind in kinds.items() if kind in ("category", "boolean", "date", "drop")]
    table = read_table(path, form, text, no_numbers)
    for name in (*own, *kinds):
        column(path, table.frame.columns, name)
    return table


def _kinds(table, known):
    """{column: kind} of the columns of which the user says nothing; what is left out is said."""
    if table.unnamed:
        count = f"{table.unnamed} column{'s' * (table.unnamed > 1)}"
        say(f"{table.path}: left out, without a name: {count}")
    others = [name for name in table.frame.columns if name not in known]
    counting = [name for name in others if numbers_rows(table, name)]
    if counting and len(counting) < len(others):
        say(f"{table.path}: left out, the number of the row: column {listed(counting)}")
    kinds = {name: kind_of(table, name) for name in others if name not in counting or counting == others}
    for name in kinds:
        if kinds[name] == "number" and name in table.codes:
            what = f"has numbers that begin with 0, as {table.codes[name]}"
            say(
                f"{table.path}: column {name!r} {what}: if they are codes, say `columns: {in_yaml({name: 'category'})}`"
            )
    return kinds


def _called(table, line, tables):
    """What a row is called: its line, of several files with the file's name before it."""
    return line if tables == 1 else f"{table.path.name}:{line}"


def _say_repeated(where, values, rows):
    """Says how many rows of the other parts stand in the training part too, where they are many."""
    import pandas as pd

    codes = np.zeros(len(next(iter(values.values()))), "uint64")
    for of_column in values.values():
        codes = codes * np.uint64(1_000_003) ^ pd.util.hash_array(of_column)
    trained_on = np.unique(codes[rows["train"]])
    if 2 * len(trained_on) < len(rows["train"]):
        return  # of few words and whole numbers many rows are alike by chance
    for which in ("valid", "test"):
        number = int(np.isin(codes[rows[which]], trained_on).sum())
        if number > _REPEATED * len(rows[which]):
            of = f"{number:,} of {len(rows[which]):,} rows of the part {which} are the same as one of train"
            say(f"{where}: {of} in every feature: an error there says little of new rows")


def _in_units_of_their_mean(path, name, weights):
    if not weights.any():
        raise DataError(f"{path}: column {name!r}: every weight of the training part is 0")
    return (weights / weights.mean()).astype("float32")


def _parts(tables, ys, split):
    """{part: `Part` of row numbers, over all tables, and labels}, as files or a column say."""
    if split is None:
        ends = np.cumsum([0, *map(len, ys)])
        return {
            which: Part(np.arange(ends[i], ends[i + 1]), y) for i, (which, y) in enumerate(zip(tables, ys, strict=True))
        }
    if len(tables) > 1:
        raise DataError("data set csv: split goes with path, not with train, valid and test")
    (table,), (y,) = tables.values(), ys
    said = words(table, split)
    called = {word: part_of(word) for word in sorted(set(said.tolist()))}
    for word, which in called.items():
        if which is None:
            row = said.tolist().index(word)
            raise DataError(f"{table.where(row)}: column {split!r} should be train, valid or test, got {word!r}")
    parts = {which: np.flatnonzero([called[word] == which for word in said]) for which in PARTS}
    if not len(parts["train"]):
        raise DataError(f"{table.path}: column {split!r} has no row of train")
    return {which: Part(rows, y[rows]) for which, rows in parts.items() if len(rows)}


def _refuse_shared(where, name, groups):
    for first, second in itertools.combinations(groups, 2):
        if shared := sorted(groups[first] & groups[second]):
            raise DataError(f"{where}: column {name!r}: {listed(shared)} is in the {first} and in the {second} part")


def _fit(path, kinds, values, rows, form, max_categories, num_words):
    """`Columns` fitted on some rows; columns that are the same in all of them are left out, and said."""
    of = {}
    for name, kind in kinds.items():
        try:
            if kind == "text":
                of[name] = Text(num_words, name).fit(values[name][rows])
            elif kind == "category":
                of[name] = Category.fit(values[name][rows], max_categories)
            else:
                of[name] = KINDS[kind].fit(values[name][rows])
        except ValueError as error:
            what = "no words in the texts of the training part" if kind == "text" else error
            raise DataError(f"{path}: column {name!r}: {what}") from error
    if constant := [name for name, encoder in of.items() if not encoder.parts]:
        say(f"{path}: left out, the same in all of the training part: column {listed(constant)}")
    of = {name: encoder for name, encoder in of.items() if encoder.parts}
    if not of:
        raise DataError(f"{path}: every column but the label is the same in all of the training part")
    return Columns(of, form)


def _counted(features):
    """ "2 numbers, 1 category; 7 features"."""
    names = {"number": "numbers", "boolean": "booleans", "category": "categories", "date": "dates", "text": "texts"}
    counts = {kind: len(features.names(kind)) for kind in names}
    words = [f"{n} {names[kind] if n > 1 else kind}" for kind, n in counts.items() if n]
    return f"{', '.join(words)}; {features.input_shape[0]:,} feature{'s' * (features.input_shape[0] > 1)}"
