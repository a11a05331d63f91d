"""A folder of the user's own images as a data set."""

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from nft_keras._checks import listed
from nft_keras.data import DataError, Dataset, Part, located
from nft_keras.data.features.columns import whole_number
from nft_keras.data.features.images import Images, files_below, hidden, leave_out, only_pictures, readable
from nft_keras.data.io.table import column, missing_value, read_rows
from nft_keras.data.sources.labels import in_units_of_training, number_in, of_cells
from nft_keras.data.sources.own import PARTS, Fraction, complete, part_of, published
from nft_keras.data.targets import SEPARATOR, Task


def image_folder(
    data_dir: Path,
    split_seed: int,
    path: str,
    labels: str | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
    task: Task = "classification",
    label_separator: str = SEPARATOR,
    image_size: Annotated[int | tuple[int, ...], ">= 1 and <= 4096"] = 32,
    resize: Literal["stretch", "pad", "crop"] = "stretch",
    channels: Literal[1, 3] = 3,
    valid_fraction: Fraction = 0.2,
    test_fraction: Fraction = 0.2,
    fold: str | None = None,
) -> Dataset:
    """A folder with one folder of images per class, or with folders train and, if there are, valid and test of such.

    The validation part may be called val, validation or dev too, the others training and testing, whatever their case.
    With a table of labels there are no folders of classes, and there may be none of parts.

    Args:
        data_dir: the directory that a relative `path` starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the folder. Files that are no pictures, such as a readme, are left out, which is said; every picture must
            be one that Pillow reads (PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM) with at most 8 bits per
            channel. They are turned as their EXIF orientation says, and what is transparent is laid over white.
        labels: a CSV file with a row for each picture, in the data directory or in the folder. A picture is named by
            its path in the folder, or in that of its part, with or without its ending. Pictures that it does not list
            are left out, which is said.
        file_column, label_column: names of its columns; by default file and label, else the first two.
        task: what is learnt: one class of each picture, or, with a table of labels, several labels at once or a
            quantity.
        label_separator: what is between several labels in the table.
        image_size: in pixels, what every image is resized to: one number, or height and width.
        resize: what becomes of a picture of another aspect: "stretch" distorts it, "pad" puts black bands at two of its
            sides, "crop" cuts off what is too much at them.
        channels: 3 for colours, 1 for grey.
        valid_fraction, test_fraction: of the images, for the parts that the folder does not have.
        fold: K-of-N, which of N test parts is left out, instead of test_fraction; `folds` in a recipe says all of them.

    Returns:
        A `Dataset` whose x are uint8 (n, height, width, channels).

    Raises:
        DataError: if there are no classes, a picture of the table is not there, or images cannot be read, naming every
            one of these.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2:
        raise DataError(f"image-folder: image_size should be one number, or height and width, got {list(size)}")
    path = located(data_dir, path)
    roots = _roots(path)
    if labels is None:
        if file_column or label_column:
            raise DataError("image-folder: file_column and label_column are of a table, which `labels` names")
        if task != "classification":
            raise DataError(f"image-folder: task: {task} needs a table, which `labels` names: folders are of classes")
        files, of_table = {which: _by_class(root) for which, root in roots.items()}, ""
    else:
        table = _table(data_dir, path, labels)
        files = _by_table(path, roots, table, file_column, label_column, task)
        of_table = f", labels of {published(data_dir, table)}"
    names, ys = of_cells(path, task, [[label for _, label in pairs] for pairs in files.values()], label_separator)
    preprocessing = Images(*size, channels, resize)
    pictures = [file for pairs in files.values() for file, _ in pairs]
    images = preprocessing.transform(pictures, path)
    called, ends = [readable(file.relative_to(path)) for file in pictures], np.cumsum([len(y) for y in ys])[:-1]
    cut = zip(files, np.split(images, ends), ys, np.split(np.array(called), ends), strict=True)
    parts = {which: Part(*of) for which, *of in cut}
    parts = complete(path, parts, names, valid_fraction, test_fraction, split_seed, fold=fold)
    parts, unit = in_units_of_training(path, task, names, parts)
    parts = [parts[which] for which in PARTS]
    provenance = f"{published(data_dir, path)}, {len(images):,} images{of_table}"
    return Dataset(*parts, len(names), provenance, names, preprocessing, task, unit)


def labelled_pictures(path, table, file_column, label_column, task):
    """The pictures below a folder that a table names, with what it says of them.

    Args:
        path, table: `pathlib.Path` of the folder, and of a CSV file.
        file_column, label_column, task: as for `image_folder`.

    Returns:
        List of (file, label), labels as text.

    Raises:
        DataError: if the table cannot be used, or a picture of it is not there.
    """
    parts = _by_table(path, _roots(path), table, file_column, label_column, task)
    return [pair for pairs in parts.values() for pair in pairs]


def parts_alone(path):
    """The names of the folders in a folder if each is that of a part, as of a whole data set; else none."""
    names = [entry.name for entry in _inside(path) if entry.is_dir()]
    return names if len(names) > 1 and all(map(part_of, names)) else []


def _roots(path):
    """{part: its folder}, or the folder itself as that of the training part where it has none for parts."""
    folders = [entry for entry in _inside(path) if entry.is_dir()]
    parts = [folder for folder in folders if part_of(folder.name)]
    others = ", ".join(folder.name for folder in folders if folder not in parts)
    if not parts or (others and len(parts) == 1):  # a class, too, may be called train
        return {"train": path}
    roots, named = {}, ", ".join(folder.name for folder in parts)
    for folder in parts:
        other = roots.setdefault(part_of(folder.name), folder)
        if other != folder:
            raise DataError(
                f"{path} has two folders for the {part_of(folder.name)} part, {other.name} and {folder.name}; keep one"
            )
    if others:
        raise DataError(f"{path} has folders of parts ({named}) beside others ({others}); keep the ones or the others")
    if "train" not in roots:
        raise DataError(f"{path} has {named} but no folder train, the training part")
    return roots


def _inside(folder):
    """Sorted entries of a folder that are not hidden."""
    try:
        return sorted(entry for entry in folder.iterdir() if not hidden(entry.name))
    except OSError as error:
        raise DataError(f"{folder} is not a folder that can be read: {error.strerror or error}") from error


def _by_class(root):
    """(file, name of its folder) of every picture in the folders of a folder."""
    inside = _inside(root)
    folders = [entry for entry in inside if entry.is_dir()]
    if not folders:
        what = "holds files but no folders" if inside else "is empty"
        raise DataError(f"{root} {what}: wanted is a folder of pictures for each class, or `labels`, a table")
    leave_out([entry for entry in inside if entry not in folders], root, "in no folder of a class")
    found = {folder: _inside(folder) for folder in folders}
    kept = set(only_pictures([file for files in found.values() for file in files], root))
    for folder, files in found.items():
        if inner := [file.name for file in files if file.is_dir()]:
            raise DataError(f"{folder} has folders in it ({listed(inner)}); the pictures of a class lie in one folder")
        if kept.isdisjoint(files):
            raise DataError(f"{folder} has no pictures, a class without examples; remove it if it is none")
    return [(file, readable(Path(folder.name))) for folder, files in found.items() for file in files if file in kept]


def _table(data_dir, path, name):
    """The file that `labels` names."""
    inside = path / name
    return inside if inside.is_file() else located(data_dir, name)


def _by_table(path, roots, table, file_column, label_column, task):
    """{part: (file, label) of every row of a table}, for the parts that have rows."""
    found = only_pictures([file for file in files_below(path) if file != table], path)
    by_name = _by_name(found, {path, *roots.values()})
    header = next(read_rows(table))
    for name in header:
        unnamed = name == header[0] and file_column is None and "file" not in header
        if ("." in name or unnamed) and name.removeprefix("./") in by_name:
            raise DataError(f"{table}: its first line should name the columns, and names a picture, {name}")
    pairs, missing = {}, []
    for line, name, label in _rows(table, file_column, label_column, task):
        same = by_name.get(name.removeprefix("./"), [])
        if len(same) > 1:
            both = " and ".join(str(file.relative_to(path)) for file in same[:2])
            raise DataError(f"{table}:{line}: {name!r} may be {both}; write its path in {path}")
        if not same:
            missing.append(f"{name} (line {line})")
        elif same[0] in pairs:
            raise DataError(f"{table}:{line}: {name!r} is there twice")
        else:
            pairs[same[0]] = label
    if not pairs and not missing:
        raise DataError(f"{table} has no rows, only a header")
    if missing:
        more = ", ..." if len(missing) > 5 else ""
        of = f"{len(missing):,} of its pictures {'is' if len(missing) == 1 else 'are'} not in {path}"
        raise DataError(f"{table}: {of}: {', '.join(missing[:5])}{more}")
    parts = {
        which: [(f, label) for f, label in pairs.items() if f.is_relative_to(root)] for which, root in roots.items()
    }
    listed = {file for part in parts.values() for file, _ in part}
    leave_out([file for file in found if file not in listed], path, f"not in {table.name} or in no part")
    return {which: pairs for which, pairs in parts.items() if pairs or which == "train"}


def _by_name(files, roots):
    """{name: list of files}: a file is named by its path below a root that it is in, with or without its ending."""
    by_name = {}
    for file in files:
        for root in (root for root in roots if file.is_relative_to(root)):
            name = file.relative_to(root)
            for called in {name.as_posix(), name.with_suffix("").as_posix()}:
                by_name.setdefault(called, []).append(file)
    return by_name


def _rows(table, file_column, label_column, task):
    """(line, name of a picture, label) of every row of a table; of several labels there may be none."""
    rows = read_rows(table)
    header = next(rows)
    if len(header) < 2:
        raise DataError(f"{table} has one column, {header[0]!r}; wanted are one of files and one of labels")
    rest = [name for name in header if name not in (file_column, label_column)]
    for_file = file_column or ("file" if "file" in rest else rest[0])
    rest = [name for name in rest if name != for_file]
    for_label = label_column or ("label" if "label" in rest else rest[0])
    file, label = column(table, header, for_file), column(table, header, for_label)
    for line, row in rows:
        for place in (file, label):
            none = task == "multi-label" and place == label and not row[place].strip()
            if not none and (what := missing_value(row[place].strip())):
                raise DataError(f"{table}:{line}: column {header[place]!r} {what}")
        of_file = whole_number(row[label].strip())
        if task == "regression" and math.isnan(number_in(of_file)):
            raise DataError(f"{table}:{line}: column {header[label]!r} should be a finite number, got {of_file[:40]!r}")
        yield line, row[file].strip(), of_file
