"""A table of the user's own as a data set."""

import array
import dataclasses
import re
from pathlib import Path
from typing import Annotated

import numpy as np

from nft_keras.data import DataError, Dataset, Part
from nft_keras.data.features.columns import Columns
from nft_keras.data.features.texts import TfIdf
from nft_keras.data.io.table import column, number_in, read_table
from nft_keras.data.sources.own import PARTS, Fraction, classes, complete, located


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
    fold: str | None = None,
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
        fold: K-of-N, which of N test parts is left out, instead of test_fraction; `folds` in a recipe says all of them.

    Returns:
        A `Dataset` whose x are float32 (n, columns), or for text `scipy.sparse.csr_matrix` (n, num_words) float32.

    Raises:
        DataError: if the file cannot be read or used, naming the line and the column.
    """
    path = located(data_dir, path)
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
    names, (y,) = classes(path, [np.array(labels)])
    parts = complete(
        path, {"train": Part(x, y, np.array(lines))}, names, valid_fraction, test_fraction, split_seed, fold
    )
    if text is None:
        features = Columns.fit(path, parts["train"].x, [header[i] for i in columns])
        features.check(path, lines, x)
    else:
        features = _tf_idf(path, parts["train"].x, num_words, text)
    parts = [dataclasses.replace(parts[which], x=features.transform(parts[which].x)) for which in PARTS]
    return Dataset(*parts, len(names), f"{path}, {len(labels):,} rows", names, features)


def _tf_idf(path, train, num_words, column):
    try:
        return TfIdf(num_words, column).fit(train)
    except ValueError as error:
        raise DataError(f"{path}: no words in the texts of the training part") from error
