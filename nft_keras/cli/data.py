"""`python -m nft_keras data`: what data sets there are and what they look like."""

import argparse
import collections
import math
import os
from pathlib import Path

from nft_keras._registry import RegistrationError
from nft_keras._text import visible
from nft_keras.cli.options import Parser, add_data_dir, path_out, run_command
from nft_keras.data import SPECS, DataError, default_data_dir, find, load
from nft_keras.data.features.columns import Columns
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports.tables import aligned

_ROWS, _COLUMNS = 5, 10
_OF_FILES = ("csv", "npz", "image-folder")


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras data", description=__doc__.partition(": ")[2])
    commands = p.add_subparsers(dest="command", required=True)
    shared = Parser(add_help=False)
    add_data_dir(shared)
    commands.add_parser("list", parents=[shared], help="every data set, its shape, classes, sizes and origin")
    show = commands.add_parser(
        "show", parents=[shared], help="draw examples of a data set with their labels, or list the columns of a table"
    )
    names = [name for name in SPECS if name not in _OF_FILES]
    what = show.add_argument("name", metavar="NAME", help=f"{', '.join(names)}, or a recipe on data of your own")
    what.completer = lambda **_: names
    show.add_argument("--out", type=path_out, metavar="FILE.png", help="the picture to write (default: NAME.png)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Lists the data sets, or draws one."""
    options = parser().parse_args(arguments)
    if options.command == "list":
        return run_command(DataError, _list, options.data_dir)
    out = options.out or Path(f"{Path(options.name).stem}.png")
    return run_command((DataError, RecipeError), _show, options.name, options.data_dir, out)


def _list(data_dir):
    """Prints the registry as a table."""
    data_dir = data_dir or default_data_dir()
    rows = [("name", "shape", "classes", "train / valid / test", "comes from")]
    for name in SPECS:
        try:
            spec = SPECS[name]
        except RegistrationError as error:
            rows.append((name, "-", "-", "-", str(error)))
            continue
        shape = "x".join(map(str, spec.input_shape or ())) or "by file"
        sizes = " / ".join(f"{size:,}" for size in spec.sizes or ()) or "by file"
        rows.append((name, shape, str(spec.num_classes or "by file"), sizes, _origin(name, data_dir)))
    for row in aligned(rows):
        print("  ".join(row).rstrip())


def _origin(name, data_dir):
    try:
        return SPECS[name].where(name, data_dir)
    except DataError as error:
        return str(error)


def _show(name, data_dir, out):
    """Draws the first training examples of a set of images, or the point cloud of one of points in the plane.

    Of a table of the user's own it prints what becomes of its columns.
    """
    settings = {"name": name}
    if name in _OF_FILES:
        raise DataError(f"{name} is a file of your own: give a recipe that names it, RECIPE.yaml")
    if Path(name).suffix in (".yaml", ".yml"):
        settings = load_recipe(name, allow_code=None)[0].dataset
        name = settings["name"]
    if (spec := find(name)) and spec.input_shape:
        _check_drawable(name, spec.input_shape)
    dataset = load(**settings, data_dir=data_dir)
    if isinstance(dataset.preprocessing, Columns):
        return _print_columns(dataset)
    _check_drawable(name, dataset.input_shape, dataset.task)
    if os.path.lexists(out):
        raise DataError(f"{out} is there already; remove it, or choose another --out")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_COLUMNS, 1.25 * _ROWS + 0.5), layout="constrained", facecolor="lightsteelblue")
    figure.suptitle(visible(f"{name}: {dataset.provenance}"), fontsize=10, parse_math=False)
    if dataset.input_shape == (2,):
        part, axes = dataset.train, figure.subplots()
        for label, class_name in enumerate(dataset.class_names):
            axes.scatter(*part.x[part.y == label].T, s=12, label=class_name)
        axes.legend()
    else:
        part = dataset.train[: _ROWS * _COLUMNS]
        rows = math.ceil(len(part) / _COLUMNS)
        figure.set_figheight(1.25 * rows + 0.5)
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, x, y in zip(grid, part.x, part.y, strict=False):
            most = 255 if x.dtype == "uint8" else 1
            axes.imshow(x.squeeze().clip(0, most), cmap="gray", vmin=0, vmax=most)
            axes.set_title(visible(_label(dataset, y)), fontsize=9, pad=3, parse_math=False)
    try:
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot write {out}: {error}") from error
    print(visible(f"{out}: {len(part)} of {len(dataset.train):,} training examples of {name}, {dataset.provenance}"))


def _print_columns(dataset):
    """Prints a table of the columns, the kind of each, its features, and what these are."""
    rows = [("column", "kind", "features", "")]
    for name, encoder in dataset.preprocessing.of.items():
        rows.append((name, encoder.kind, f"{len(encoder.parts):,}", encoder.describe()))
    for row in aligned(rows):
        print("  ".join(row).rstrip())
    train, valid, test = (f"{len(part):,}" for part in (dataset.train, dataset.valid, dataset.test))
    print(visible(dataset.provenance))
    said = f"{train} training, {valid} validation and {test} test examples; of the training: {_labels(dataset)}"
    print(visible(said))


def _label(dataset, y):
    """The label of one example as a text."""
    if dataset.task == "regression":
        return f"{float(dataset.target.in_its_unit(y[0])):.4g}"
    if dataset.task == "multi-label":
        return ", ".join(name for name, there in zip(dataset.class_names, y, strict=True) if there)
    return dataset.class_names[y]


def _labels(dataset):
    """What the labels of the training part are, in one line."""
    y, names = dataset.train.y, dataset.class_names
    if dataset.task == "regression":
        values = dataset.target.in_its_unit(y.astype("float64"))
        mean, scale = dataset.unit
        return f"{names[0]} from {values.min():.4g} to {values.max():.4g}, mean {mean:.4g}, deviation {scale:.4g}"
    if dataset.task == "multi-label":
        return ", ".join(f"{name} {int(count):,}" for name, count in zip(names, y.sum(0), strict=True))
    counts = collections.Counter(y.tolist())
    return ", ".join(f"{name} {counts[i]:,}" for i, name in enumerate(names))


def _check_drawable(name, shape, task="classification"):
    if len(shape) != 3 and (shape != (2,) or task != "classification"):
        raise DataError(f"{name} cannot be drawn, its examples are vectors of {shape[0]:,} numbers")
