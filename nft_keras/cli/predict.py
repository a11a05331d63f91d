"""The command line: python -m nft_keras predict CLASSIFIER INPUT applies a trial's classifier to new data."""

import argparse
import csv
import dataclasses
import functools
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nft_keras._text import say, visible, without_formula
from nft_keras.cli.options import Parser, path_in, path_out, run_command
from nft_keras.data import DataError
from nft_keras.data.features.images import Images, readable
from nft_keras.data.features.inputs import read_inputs, together
from nft_keras.data.targets import separator_of
from nft_keras.experiments.classifier_file import ExportError, load_prepared, outputs_of
from nft_keras.experiments.files import atomic_write

_NAMED = 20  # rows and images that are left out, one by one


def predict(
    folder: str | os.PathLike,
    path: str | os.PathLike,
    *more: str | os.PathLike,
    id: str | None = None,
    skipped: list[str] | None = None,
) -> list[dict[str, Any]]:
    """What a trial's classifier says of what is in files, prepared as its training data were.

    Args:
        folder: folder of a finished trial, OUT/RECIPE/CLASSIFIER/METHOD/seed-N.
        path: for a classifier of images an image or a folder of images; for one of numbers a CSV file with the columns
            of the training data; for one of texts a CSV file with their column, or any other file with a text per line;
            for one of images or arrays also an .npz file with the array x.
        *more: further ones.
        id: name of another column of the tables, to carry along.
        skipped: a list; rows and images that cannot be used are left out, and what is wrong with each is appended to
            it. None: the first one is an error.

    Returns:
        A list of dicts, one per example: `input`, an image's path below `path`, the line where the example ends or its
        number in the array, of several files with the file before it; `id`, what stands in that column, if it is asked
        for. Of classes `class`, the name of the most probable one; `probability`, its probability; `probabilities`,
        {name: float} of every class. Of several labels `labels`, a list of the names of those with a probability of
        0.5 or more, and `probabilities` of all. Of a quantity `predicted`, in its unit. All of them are None
        where the classifier gives no finite numbers.

    Raises:
        DataError: if the input cannot be used, naming file and line, or preprocessing.json is missing or damaged.
        ExportError: if there is no classifier, or it is damaged.

    Example:

            predict("runs/imdb/fc-b/nft/seed-0", "reviews.txt")[0]["class"]  # "positive"
    """
    classifier, how, target = load_prepared(folder)
    paths = [Path(each) for each in (path, *more)]
    parts = [read_inputs(how, each, id, skipped) for each in paths]
    if more:
        parts = [
            dataclasses.replace(part, names=[_named(how, each, name) for name in part.names])
            for each, part in zip(paths, parts, strict=True)
        ]
    inputs = together(parts)
    if not inputs.names:
        raise DataError(f"nothing can be used of {', '.join(map(str, paths))}: {skipped[0]}")
    said = target.predictions(outputs_of(classifier, inputs.x))
    beside = [{"id": cell} for cell in inputs.beside] if id else [{}] * len(said)
    return [{"input": name, **id, **_said(target, of)} for name, id, of in zip(inputs.names, beside, said, strict=True)]


def _said(target, predicted):
    """What is predicted of an example, by name; None where it is no finite number."""
    finite = bool(np.isfinite(predicted).all())
    if target.task == "regression":
        return {"predicted": target.rounded(predicted[0]) if finite else None}
    by_name = {name: float(f"{number:.7g}") for name, number in zip(target.names, predicted, strict=True)}
    if not finite:
        by_name = dict.fromkeys(by_name)
    if target.task == "multi-label":
        there = [name for name, number in zip(target.names, predicted, strict=True) if number >= 0.5]
        return {"labels": there if finite else None, "probabilities": by_name}
    chosen = target.names[int(predicted.argmax())]
    return {"class": chosen if finite else None, "probability": by_name[chosen], "probabilities": by_name}


def _named(how, path, name):
    """What an example of one of several files is called."""
    if isinstance(how, Images) and isinstance(name, str):
        return f"{readable(path)}/{name}" if path.is_dir() else readable(path)
    return f"{readable(path)}:{name}"


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras predict", description="Apply a trial's classifier to new data.")
    p.add_argument("classifier", type=path_in, metavar="CLASSIFIER", help="OUT/RECIPE/CLASSIFIER/METHOD/seed-N")
    what = "images or folders of them, CSV files, files with a text per line, .npz files"
    p.add_argument("input", type=path_in, nargs="+", metavar="INPUT", help=what)
    p.add_argument("--id", metavar="NAME", help="another column of the tables, to carry along")
    p.add_argument("--skip-bad", action="store_true", help="leave out rows and images that cannot be used")
    p.add_argument("--out", type=path_out, metavar="FILE", help="where the predictions go (default: standard output)")
    p.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="default csv")
    p.add_argument(
        "--quote-formulas",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="in CSV, an apostrophe before text that a spreadsheet would compute, as =1+1 (default)",
    )
    return p


def main(arguments: list[str] | None = None) -> int:
    """Prints or writes the predictions, a row per example."""
    return run_command((DataError, ExportError), _predict, parser().parse_args(arguments))


def _predict(options):
    if options.out and os.path.lexists(options.out):
        raise DataError(f"{options.out} is there already; remove it, or choose another --out")
    skipped = [] if options.skip_bad else None
    rows = predict(options.classifier, *options.input, id=options.id, skipped=skipped)
    if skipped:
        say(f"skipped {len(skipped)} of {len(skipped) + len(rows)}:")
        for what in skipped[:_NAMED]:
            say(what)
        if len(skipped) > _NAMED:
            say(f"and {len(skipped) - _NAMED} more")
    said = next(key for key in ("class", "labels", "predicted") if key in rows[0])
    if lost := [row["input"] for row in rows if row[said] is None]:
        say(f"{len(lost)} of {len(rows)} predictions are no finite numbers and left empty, the first that of {lost[0]}")
    write = functools.partial(_write_csv, quote=options.quote_formulas) if options.format == "csv" else _write_jsonl
    if not options.out:
        return _print(write, rows)
    try:
        with atomic_write(options.out) as path, open(path, "w", encoding="utf-8", newline="") as file:
            write(rows, file)
    except OSError as error:
        raise DataError(f"{options.out} cannot be written: {error.strerror or error}") from error


def _print(write, rows):
    """Writes to standard output; on a terminal nothing of it counts as a command to the terminal."""
    if not sys.stdout.isatty():
        return write(rows, sys.stdout)
    text = io.StringIO()
    write(rows, text)
    print(*map(visible, text.getvalue().splitlines()), sep="\n")


def _write_csv(rows, file, quote):
    cell_of = without_formula if quote else (lambda cell: cell)
    writer = csv.writer(file, lineterminator="\n")
    if "labels" in rows[0]:
        mark = separator_of(rows[0]["probabilities"])
        rows = [{**row, "labels": None if row["labels"] is None else mark.join(row["labels"])} for row in rows]
    head = [name for name in rows[0] if name != "probabilities"]
    writer.writerow([*head, *(f"probability({name})" for name in rows[0].get("probabilities", ()))])
    for row in rows:
        writer.writerow([*(cell_of(row[name]) for name in head), *row.get("probabilities", {}).values()])


def _write_jsonl(rows, file):
    file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
