"""The command line: python -m nft_keras predict CLASSIFIER INPUT applies a trial's classifier to new data."""

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

from nft_keras.cli.options import Parser, run_command
from nft_keras.data import DataError
from nft_keras.data.features import preprocessing
from nft_keras.data.features.inputs import read_inputs
from nft_keras.experiments.classifier_file import ExportError, probabilities
from nft_keras.experiments.files import atomic_write


def predict(folder: str | os.PathLike, path: str | os.PathLike) -> list[dict[str, Any]]:
    """Classifies what is in a file, prepared as the training data of the classifier were.

    Args:
        folder: folder of a finished trial, OUT/RECIPE/CLASSIFIER/METHOD/seed-N.
        path: for a classifier of images an image or a folder of images; for one of numbers a CSV file with the columns
            of the training data; for one of texts a CSV file with their column, or any other file with a text per line.

    Returns:
        A list of dicts, one per example: `input`, an image's path below `path` or the line where the example ends;
        `class`, the name of the most probable class; `probability`, its probability; `probabilities`, {name: float}
        of every class.

    Raises:
        DataError: if the input cannot be used, naming file and line, or preprocessing.json is missing or damaged.
        ExportError: if there is no classifier, or it is damaged.

    Example:

            predict("runs/imdb/fc-b/nft/seed-0", "reviews.txt")[0]["class"]  # "positive"
    """
    how, class_names = preprocessing.load(folder)
    inputs = read_inputs(how, Path(path))
    rows = []
    for name, of_classes in zip(inputs.names, probabilities(folder, how, class_names, inputs.x), strict=True):
        best = int(of_classes.argmax())
        of_classes = dict(zip(class_names, (float(f"{p:.7g}") for p in of_classes), strict=True))
        chosen = class_names[best]
        rows.append({"input": name, "class": chosen, "probability": of_classes[chosen], "probabilities": of_classes})
    return rows


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras predict", description="Apply a trial's classifier to new data.")
    p.add_argument("classifier", type=Path, metavar="CLASSIFIER", help="OUT/RECIPE/CLASSIFIER/METHOD/seed-N")
    p.add_argument(
        "input", type=Path, metavar="INPUT", help="an image or a folder of them, a CSV file, a text per line"
    )
    p.add_argument("--out", type=Path, metavar="FILE", help="where the predictions go (default: standard output)")
    p.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="default csv")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Prints or writes the predictions, a row per example."""
    return run_command((DataError, ExportError), _predict, parser().parse_args(arguments))


def _predict(options):
    if options.out and os.path.lexists(options.out):
        raise DataError(f"{options.out} is there already; remove it, or choose another --out")
    rows = predict(options.classifier, options.input)
    write = {"csv": _write_csv, "jsonl": _write_jsonl}[options.format]
    if not options.out:
        return write(rows, sys.stdout)
    try:
        with atomic_write(options.out) as path, open(path, "w", encoding="utf-8", newline="") as file:
            write(rows, file)
    except OSError as error:
        raise DataError(f"{options.out} cannot be written: {error.strerror or error}") from error


def _write_csv(rows, file):
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["input", "class", "probability", *(f"probability({name})" for name in rows[0]["probabilities"])])
    for row in rows:
        writer.writerow([row["input"], row["class"], row["probability"], *row["probabilities"].values()])


def _write_jsonl(rows, file):
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
