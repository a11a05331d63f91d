"""New inputs for a classifier: files of the user's, read and prepared as its training data were."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from nft_keras._checks import listed
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.features.columns import Columns
from nft_keras.data.features.images import Images
from nft_keras.data.features.texts import Texts, TfIdf
from nft_keras.data.features.vectors import Vectors
from nft_keras.data.io.table import Form, column, is_table, read_table


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Examples, ready for a classifier.

    Attributes:
        names: list, what each is called: the line where it ends, an image's path, or its number in an array.
        x: what `nft_keras.data.Part` calls x.
        beside: list of str, what stands in another column of each; None where none was asked for.
    """

    names: list
    x: Any
    beside: list[str] | None = None


def read_inputs(how: Any, path: Path, beside: str | None = None, skipped: list[str] | None = None) -> Inputs:
    """The examples of a file or a folder of images.

    Args:
        how: the preprocessing, an object of `nft_keras.data.features.preprocessing`.
        path: `pathlib.Path`; an .npz file where the training data were arrays or images.
        beside: name of another column of the table to keep.
        skipped: list; rows and images that cannot be used are left out, and what is wrong with each is appended to it.

    Raises:
        DataError: if the file cannot be used, naming the line and the column.
    """
    if not os.path.exists(path):
        raise DataError(f"no file or folder {path}")
    arrays = path.suffix.lower() == ".npz" and not path.is_dir()
    if beside and (arrays or isinstance(how, Images)):
        raise DataError(f"{path} has no column {beside!r}: it is no table")
    if arrays:
        return Inputs(*of_arrays(how, path)[:2])
    if isinstance(how, Images):
        return Inputs(*_of_images(how, *how.read(path), skipped))
    names, inputs = how.read(path, skipped, beside) if isinstance(how, Vectors) else how.read(path, skipped)
    cells = cells_of(how, path, names, beside, skipped) if beside else None
    x = how.transform(inputs)
    _say_unknown(path, how, names, x)
    return Inputs(names, x, cells)


def _say_unknown(path, how, names, x):
    """Says on stderr which new texts have no word of the vocabulary."""
    encoders, start = list(how.of.values()) if isinstance(how, Columns) else [how], 0
    for encoder in encoders:
        width = encoder.input_shape[0] if encoder is how else len(encoder.parts)
        if isinstance(encoder, TfIdf):
            counts = x[:, start : start + width].getnnz(axis=1)
            if unknown := [names[i] for i in np.flatnonzero(counts == 0)]:
                of = f"{len(unknown):,} of {len(names):,} texts have none of the {width:,} words of the training part"
                say(f"{path}: {of}: {listed(unknown)}")
        start += width


def together(parts: list[Inputs]) -> Inputs:
    """The examples of several files, one after the other."""
    xs = [part.x for part in parts]
    x = xs[0] if len(xs) == 1 else scipy.sparse.vstack(xs) if scipy.sparse.issparse(xs[0]) else np.concatenate(xs)
    beside = None if parts[0].beside is None else [cell for part in parts for cell in part.beside]
    return Inputs([name for part in parts for name in part.names], x, beside)


def of_arrays(how, path, task="classification"):
    """Numbers, x and labels (None without) of an .npz file, see `nft_keras.data.sources.arrays.new_examples`."""
    from nft_keras.data.sources.arrays import new_examples

    if not isinstance(how, Images | Vectors):
        raise DataError(f"{path}: the classifier was not trained on arrays; it takes a table, or texts")
    x, labels = new_examples(path, task)
    dtype = np.dtype("uint8" if isinstance(how, Images) else how.dtype)
    if x.shape[1:] != how.input_shape or (x.dtype == np.uint8) != (dtype == np.uint8):
        got = f"{x.dtype} {x.shape[1:]}"
        raise DataError(f"{path}: an example should be {dtype} {how.input_shape}, as in training, got {got}")
    return list(range(len(x))), x, labels


def _of_images(how, names, files, skipped):
    """Names and pixels of images; without a list to append to, one that cannot be read is an error."""
    if skipped is None:
        return names, how.transform(files)
    good, images = [], []
    for name, file in zip(names, files, strict=True):
        try:
            images.append(how.transform([file]))
            good.append(name)
        except DataError as error:
            skipped.append(str(error))
    return good, np.concatenate([np.empty((0, *how.input_shape), "uint8"), *images])


def cells_of(how, path, lines, name, skipped=None):
    """What stands in a column of a table in some lines."""
    form = how.form_of(path) if isinstance(how, Columns) else Form()
    columns = [how.column] if isinstance(how, Texts) else list(getattr(how, "of", ()))
    if (isinstance(how, Texts) or len(columns) == 1) and not is_table(path, columns[0], form):
        raise DataError(f"{path} holds a text in each line and no column {name!r}; a .csv file has columns")
    table = read_table(path, form, text=(name,), skipped=None if skipped is None else [], numbers=())
    column(path, table.frame.columns, name)
    cells = dict(zip(table.lines, table.frame[name], strict=True))
    return [cells[line] for line in lines]
