"""New examples with labels, of the user's own: what a classifier is tested on."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nft_keras._checks import listed, suggest
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.features.columns import Columns, present, whole_number
from nft_keras.data.features.images import Images, readable
from nft_keras.data.features.inputs import Inputs, cells_of, of_arrays, read_inputs
from nft_keras.data.io.table import Form, read_table
from nft_keras.data.sources.folders import labelled_pictures, parts_alone
from nft_keras.data.sources.labels import FLAGS, columns_of, flag_in, labels_in, number_in
from nft_keras.data.targets import Target


def read_labelled(
    how: Any,
    path: Path,
    target: Target,
    label: str | Sequence[str],
    separator: str,
    labels: Path | None = None,
    file_column: str | None = None,
) -> tuple[Inputs, np.ndarray]:
    """Examples with their labels: columns of a table, folders or a table of images, or y of an .npz file.

    Args:
        how, path: as for `nft_keras.data.features.inputs.read_inputs`.
        target: `nft_keras.data.targets.Target`, of the classifier.
        label: name of the column, or of one of 0 and 1 for each label.
        separator: between several labels in one column.
        labels: a CSV file with the labels of images, instead of folders of classes; its column of labels is `label`
            where it has one of that name.
        file_column: its column of files, as for `nft_keras.data.sources.folders.image_folder`.

    Returns:
        The `Inputs`, and the labels as `nft_keras.data.Part` has them.

    Raises:
        DataError: as `read_inputs`, and for a label that the classifier does not know.
    """
    if path.suffix.lower() == ".npz" and path.is_file():
        names, x, y = of_arrays(how, path, target.task)
        if y is None:
            raise DataError(f"{path} has no labels: wanted are x and y, or x_test and y_test")
        if target.task == "classification":
            return Inputs(names, x), _classes(path, names, y.tolist(), target)
        if y.shape[1] != len(target.names):
            raise DataError(f"{path} has {y.shape[1]} labels for each example, the classifier {len(target.names)}")
        return Inputs(names, x), target.in_deviations(y)
    if isinstance(how, Images) and labels is not None:
        return _of_pictures(how, path, target, label, separator, labels, file_column)
    if isinstance(how, Images):
        inputs = read_inputs(how, path)
        if target.task != "classification":
            raise DataError(f"{path}: the folders of images are classes, and the classifier is one for {target.task}")
        if not path.is_dir():
            raise DataError(f"{path} is no folder: the images of a class should be in a folder of its name")
        if parts := parts_alone(path):
            every = f"all images of its parts, {listed(parts)}, are tested, those of the training too"
            say(f"{path}: {every}; one part alone is {path / parts[0]} or the like")
        return inputs, _classes(path, inputs.names, [Path(path, name).parent.name for name in inputs.names], target)
    return _of_table(how, path, target, label, separator)


def _of_pictures(how, path, target, label, separator, table, file_column):
    """Examples of images with the labels in a table."""
    pairs = labelled_pictures(path, table, file_column, label, target.task)
    files, cells = zip(*pairs, strict=True)
    names = [readable(file.relative_to(path)) for file in files]
    inputs = Inputs(names, how.transform(list(files), path))
    if target.task == "regression":
        return inputs, target.in_deviations(np.array(list(map(number_in, cells)))[:, None])
    if target.task == "multi-label":
        return inputs, _several(path, names, [labels_in(cell, separator) for cell in cells], target)
    return inputs, _classes(path, names, cells, target)


def _of_table(how, path, target, label, separator):
    """Examples of a table with the labels in its columns."""
    first, *others = columns_of(target.task, label)
    inputs = read_inputs(how, path, first)
    columns = {first: inputs.beside, **{name: cells_of(how, path, inputs.names, name) for name in others}}
    if not isinstance(label, str):
        flags = [_numbers(path, inputs.names, name, cells, flag_in, FLAGS) for name, cells in columns.items()]
        return inputs, np.stack(flags, axis=1).astype("float32")
    if target.task == "classification":
        return inputs, _classes(path, inputs.names, inputs.beside, target)
    if target.task == "multi-label":
        return inputs, _several(path, inputs.names, [labels_in(cell, separator) for cell in inputs.beside], target)
    of_columns = isinstance(how, Columns)
    numbers = (*how.names("number"), label) if of_columns else (label,)
    table = read_table(path, how.form_of(path) if of_columns else Form(), numbers=numbers)
    values = dict(zip(table.lines, present(table, label), strict=True))
    return inputs, target.in_deviations(np.array([values[line] for line in inputs.names])[:, None])


def _classes(path, names, labels, target):
    """int32 array of class indices."""
    indices = {name: i for i, name in enumerate(target.names)}
    labels = [_as_class(str(each), indices) for each in labels]
    for name, of in zip(names, labels, strict=True):
        if of not in indices:
            raise _unknown(path, name, "class", of, target, "classes")
    return np.array([indices[of] for of in labels], "int32")


def _several(path, names, labels, target):
    """float32 array (n, labels) of 0 and 1, of sets of labels."""
    known = set(target.names)
    for name, of in zip(names, labels, strict=True):
        if unknown := sorted(of - known):
            raise _unknown(path, name, "label", unknown[0], target, "labels")
    return np.array([[name in of for name in target.names] for of in labels], "float32")


def _unknown(path, name, what, got, target, whats):
    there_are = ", ".join(target.names[:10]) + (", ..." if len(target.names) > 10 else "") + suggest(got, target.names)
    return DataError(f"{path}:{name}: the classifier has no {what} {got!r}; its {whats} are {there_are}")


def _numbers(path, names, column, cells, read, wanted):
    """float64 array of what a function reads in cells, NaN where one is none."""
    values = np.array([read(cell.strip()) for cell in cells], "float64")
    if (wrong := np.isnan(values)).any():
        row = int(wrong.argmax())
        raise DataError(f"{path}:{names[row]}: column {column!r} should be {wanted}, got {cells[row].strip()[:40]!r}")
    return values


def _as_class(label, classes):
    """A label as classes are called: whole numbers without a point or zeros in front, where all of a table are such."""
    forms = (label, label.strip(), re.sub(r"^(-?)0+(?=\d+$)", r"\1", whole_number(label.strip())))
    return next((form for form in forms if form in classes), label.strip())
