"""The command line: python -m nft_keras evaluate FOLDER INPUT tests a trial's classifier on labelled data."""

import argparse
import os
from pathlib import Path

from nft_keras import _manifest
from nft_keras.cli.options import Parser, path_in, path_out, run_command
from nft_keras.data import DataError
from nft_keras.data.features.images import Images
from nft_keras.data.sources.labelled import read_labelled
from nft_keras.data.targets import SEPARATOR
from nft_keras.experiments.classifier_file import ExportError, load_prepared, outputs_of
from nft_keras.experiments.evaluation import Evaluation, evaluation_of
from nft_keras.experiments.files import writing_to
from nft_keras.experiments.runs import read_config


def evaluate(
    folder: str | os.PathLike,
    path: str | os.PathLike,
    label: str | None = None,
    labels: str | os.PathLike | None = None,
) -> Evaluation:
    """How good a trial's classifier is on labelled examples, prepared as its training data were.

    Args:
        folder: folder of a finished trial, OUT/RECIPE/CLASSIFIER/METHOD/seed-N.
        path: what `predict` takes, with labels: a table with a column of them; a folder with a folder of images for
            each class, or of images and a table; an .npz file with y.
        label: the column; None: that of the training data (or those, of several labels), else "label".
        labels: a CSV file with the labels of images; None: of the name that it had in training, if the folder has it.

    Returns:
        An `Evaluation`; `print` it, or `write` it to a folder.

    Raises:
        DataError: if the input cannot be used, naming file and line, or preprocessing.json is missing or damaged.
        ExportError: if there is no classifier, or it is damaged.

    Example:

            evaluation = evaluate("runs/mine/fc-a/nft/seed-0", "labelled.csv")
            evaluation.summary["balanced_accuracy"]
            evaluation.write("looked-at")
    """
    classifier, how, target = load_prepared(folder)
    trained_on = _settings(folder)
    if labels is not None and not isinstance(how, Images):
        raise DataError(f"{path}: a table of labels is for a folder of images; of other data the input has its labels")
    if str(path).lower().endswith(".npz") and (label, labels) != (None, None):
        raise DataError(f"{path} has its labels in its array y: neither a column nor a table of them goes with it")
    path, labels = Path(path), _table_of_images(path, labels, trained_on)
    if isinstance(how, Images):
        if label is not None and labels is None:
            raise DataError(f"{path}: {label!r} is a column of a table, and no table has the labels of these images")
        columns = label or trained_on.get("label_column")
    else:
        columns = label or trained_on.get("label") or "label"
    separator = trained_on.get("label_separator") or SEPARATOR
    inputs, y = read_labelled(how, path, target, columns, separator, labels, trained_on.get("file_column"))
    return evaluation_of(target, y, target.predictions(outputs_of(classifier, inputs.x)), inputs.names)


def _table_of_images(path, labels, trained_on):
    """The path of the table with the labels of images, None where they are in folders of classes."""
    if labels is not None:
        return Path(labels)
    there = Path(path, trained_on.get("labels") or "")
    return there if there.is_file() and there != Path(path) else None


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras evaluate", description="Say how good a trial's classifier is on labelled data.")
    p.add_argument("classifier", type=path_in, metavar="CLASSIFIER", help="OUT/RECIPE/CLASSIFIER/METHOD/seed-N")
    what = "a table with labels, a folder of images for each class, an .npz file"
    p.add_argument("input", type=path_in, metavar="INPUT", help=what)
    p.add_argument("--label", metavar="NAME", help="the column of labels (default: that of the training data)")
    what = "of images in a folder: a CSV file with their labels (default: the one of training, if the folder has it)"
    p.add_argument("--labels", type=path_in, metavar="TABLE", help=what)
    what = "where the confusion matrix, the classes and the worst examples go"
    p.add_argument("--out", type=path_out, metavar="FOLDER", help=what)
    return p


def main(arguments: list[str] | None = None) -> int:
    """Prints how good the classifier is, and writes the rest."""
    return run_command((DataError, ExportError), _evaluate, parser().parse_args(arguments))


def _evaluate(options):
    if options.out and os.path.lexists(options.out):
        raise DataError(f"{options.out} is there already; remove it, or choose another --out")
    evaluation = evaluate(options.classifier, options.input, options.label, options.labels)
    print(evaluation)
    if options.out:
        with writing_to(options.out):
            evaluation.write(options.out)
        print(f"written to {options.out}")


def _settings(folder):
    """What a trial's config says of its data set; {} where there is no more than classifier and preprocessing."""
    try:
        _manifest.check_listed(folder, "config.yaml")
    except (_manifest.DamagedError, OSError) as error:
        raise DataError(str(error)) from error
    try:
        return read_config(Path(folder, "config.yaml"))["dataset"]
    except (ValueError, KeyError):
        return {}
