"""The classifier.keras of a trial, as whoever exports, applies or attacks the classifier reads it."""

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nft_keras import _manifest
from nft_keras.backend import import_tensorflow_quietly
from nft_keras.data import DataError, Part
from nft_keras.data.features import preprocessing

if TYPE_CHECKING:
    import keras
    import numpy as np
    import scipy.sparse

    from nft_keras.data.targets import Target

_BATCH = 250


class ExportError(ValueError):
    """What keeps a classifier from being exported or loaded; the message says what to do."""


def load_classifier(folder: str | os.PathLike) -> "keras.Model":
    """The classifier of a trial, not compiled; code in its file (a Lambda layer) is refused.

    Args:
        folder: folder of a finished trial.

    Returns:
        `keras.Model`.

    Raises:
        ExportError: if there is none, or its file is damaged.
    """
    path = Path(folder, "classifier.keras")
    if not os.path.isfile(path):
        raise ExportError(f"no {path}: wanted is the folder of a finished trial, OUT/RECIPE/CLASSIFIER/METHOD/seed-N")
    try:
        _manifest.check_listed(folder, path.name)
    except (_manifest.DamagedError, OSError) as error:
        raise ExportError(str(error)) from None
    if not zipfile.is_zipfile(path):
        raise ExportError(f"{path} is not a classifier that can be loaded: no .keras file, or cut short")

    import_tensorflow_quietly()
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a damaged file Keras raises whatever it stumbles over
        what = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise ExportError(f"{path} is not a classifier that can be loaded: {what}") from error


def load_prepared(folder: str | os.PathLike) -> "tuple[keras.Model, Any, Target]":
    """A trial's classifier with what prepares its inputs, before any input is read: their sizes are the classifier's.

    Args:
        folder: folder of a finished trial.

    Returns:
        The classifier, not compiled; the preprocessing and the `nft_keras.data.targets.Target`, as
        `nft_keras.data.features.preprocessing.load` gives them.

    Raises:
        ExportError: if there is no classifier, or its file is damaged.
        DataError: if the preprocessing is missing, damaged, or not the classifier's.
    """
    how, target = preprocessing.load(folder)
    classifier = load_classifier(folder)
    shapes = tuple(getattr(classifier, name, ())[1:] for name in ("input_shape", "output_shape"))
    if shapes != (how.input_shape, (len(target.names),)):
        of = "classes" if target.task == "classification" else "outputs"
        made = f"{how.input_shape} and {len(target.names)} {of}"
        raise DataError(f"{Path(folder, preprocessing.FILE)} is for inputs {made}, the classifier has {shapes}")
    return classifier, how, target


def outputs_of(classifier: "keras.Model", x: "np.ndarray | scipy.sparse.csr_matrix") -> "np.ndarray":
    """The outputs of a classifier, logits or a quantity: float64 array (n, outputs)."""
    import numpy as np

    from nft_keras.data.batches import batches

    part = Part(x, np.zeros(x.shape[0], "int32"))
    return classifier.predict(batches(part, _BATCH), verbose=0).astype("float64")


def compute_in_float32(classifier: "keras.Model") -> None:
    """Makes every layer of a classifier compute in float32, in place.

    Args:
        classifier: `keras.Model`, of any precision; its weights are float32 already.
    """
    import keras

    for layer in classifier.layers:
        if isinstance(layer, keras.Model):
            compute_in_float32(layer)
        layer.dtype_policy = "float32"
