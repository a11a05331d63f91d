"""The command line: python -m nft_keras export FOLDER --format FORMAT writes a trial's classifier for deployment."""

import argparse
import contextlib
import importlib.util
import os
import shutil
import uuid
import warnings
from pathlib import Path

import numpy as np

from nft_keras.backend import MODULES, backend_name
from nft_keras.cli.options import Parser, path_in, path_out, run_command
from nft_keras.data import DataError
from nft_keras.experiments.classifier_file import ExportError, compute_in_float32, load_classifier, load_prepared
from nft_keras.experiments.files import atomic_write, write_json

# Where a format goes in the trial's folder, and the packages that it needs beyond those of nft_keras.
FORMATS = {
    "keras": ("export/classifier.keras", ()),
    "tf_saved_model": ("export/saved_model", ()),
    "litert": ("export/classifier.tflite", ()),
    "onnx": ("export/classifier.onnx", ("onnx", "tf2onnx")),
}
IN_FLOAT32 = ("litert", "onnx")
# The back ends that write a format; each reads the classifiers of all.
WRITERS = {
    "keras": tuple(MODULES),
    "tf_saved_model": ("tensorflow", "jax"),
    "litert": ("tensorflow",),
    "onnx": ("tensorflow",),
}


def export(
    folder: str | os.PathLike, format: str, out: str | os.PathLike | None = None, with_preprocessing: bool = False
) -> Path:
    """Writes a trial's classifier alone, without anything of the auxiliary network or of an optimizer.

    Its input is what the trial trained on: preprocessing.json beside it says how that is made, images divided by 255.
    Its outputs are logits, or a quantity in standard deviations from its mean. LiteRT and ONNX compute in float32, also
    after training in mixed precision.

    Args:
        folder: folder of a finished trial, OUT/RECIPE/CLASSIFIER/METHOD/seed-N.
        format: "keras", "tf_saved_model", "litert" or "onnx".
        out: the file, or for "tf_saved_model" the folder, to write; default in `folder / "export"`.
        with_preprocessing: whether it takes numbers or pixels 0 to 255 as they are, which its first layers scale, and
            images of any size for "keras" and "tf_saved_model" (where they are not padded or cropped), and gives a
            quantity in its unit; and whether beside it OUT.json has the names of the classes, in the order of the
            outputs, and what the inputs are.

    Returns:
        `pathlib.Path` of what was written.

    Raises:
        ExportError: for an unknown format, one that Keras' back end does not write, a folder without a classifier,
            something that is there at `out` already, a missing package, or if the file cannot be written.
        DataError: if the preprocessing is missing, damaged, or of texts.

    Example:

            export("runs/imdb/fc-b/nft/seed-0", "onnx", "polarity.onnx")
    """
    if format not in FORMATS:
        raise ExportError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    default, packages = FORMATS[format]
    out = Path(out) if out else Path(folder, default)
    suffix = Path(default).suffix
    if suffix and out.suffix != suffix:
        raise ExportError(f"{out}: the name of a file for {format} ends in {suffix}")
    beside = out.with_name(f"{out.name}.json")
    for there in (out, *([beside] if with_preprocessing else [])):
        if os.path.lexists(there):
            raise ExportError(f"{there} is there already; remove it, or choose another --out")
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ExportError(f"{format} needs {' and '.join(missing)}: pip install 'nft_keras[export]'")
    if backend_name() not in WRITERS[format]:
        raise ExportError(f"{format} needs KERAS_BACKEND={' or '.join(WRITERS[format])}, got {backend_name()}")
    prepared = load_prepared(folder) if with_preprocessing else (load_classifier(folder), None, None)
    classifier, how, target = prepared
    if format in IN_FLOAT32:
        compute_in_float32(classifier)  # neither format has the mixed precisions' operations in full
    if how:
        any_size = format == "keras" or (format == "tf_saved_model" and backend_name() == "tensorflow")
        try:
            after = target.layers()
        except ValueError as error:
            raise ExportError(f"{error}: export it without its preprocessing") from error
        classifier = _behind(classifier, *how.layers(any_size), after)
    try:
        with _whole_folder(out) if format == "tf_saved_model" else atomic_write(out) as temporary:
            _write(classifier, format, temporary)
        if how:
            outputs = "the quantity" if target.task == "regression" else "logits"
            write_json(beside, {**target.to_config(), "outputs": outputs, "inputs": how.to_config()})
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    return out


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras export", description="Write a trial's classifier for deployment, and nothing else.")
    p.add_argument("folder", type=path_in, metavar="FOLDER", help="OUT/RECIPE/CLASSIFIER/METHOD/seed-N")
    p.add_argument("--format", required=True, choices=FORMATS)
    p.add_argument(
        "--with-preprocessing",
        action="store_true",
        help="with layers that scale numbers and images, and the names of the classes in OUT.json",
    )
    p.add_argument("--out", type=path_out, help="file or folder to write (default: in FOLDER/export)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Exports a classifier and prints where it went."""
    options = parser().parse_args(arguments)
    return run_command((DataError, ExportError), _export, options)


def _export(options):
    print(export(options.folder, options.format, options.out, options.with_preprocessing))


def _behind(classifier, layers, shape, after=()):
    """A classifier behind layers that prepare its inputs, and before those that bring its outputs into their unit."""
    import keras

    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    # Keras' Resizing would have the classifier in training mode behind it.
    x = classifier(x, training=False)
    for layer in after:
        x = layer(x)
    return keras.Model(inputs, x, name="classifier_with_preprocessing")


def _write(classifier, format, path):
    if format == "keras":
        return classifier.save(path)
    if format in IN_FLOAT32:
        classifier(np.zeros((1, *classifier.input_shape[1:]), "float32"))  # Keras exports no ONNX of a model not called
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras asks numpy for the names that tf2onnx misses
        classifier.export(path, format=format, verbose=False)


@contextlib.contextmanager
def _whole_folder(path):
    """A temporary folder beside `path`; when the block ends well it takes `path`'s name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir()  # as the umask says, where tempfile's would be for their owner alone
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
