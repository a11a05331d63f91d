"""The classifier.keras of a trial, as whoever exports, applies or attacks the classifier reads it."""

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from nft_keras.backend import import_tensorflow_quietly

if TYPE_CHECKING:
    import keras


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
    if not zipfile.is_zipfile(path):
        raise ExportError(f"{path} is not a classifier that can be loaded: no .keras file, or cut short")

    import_tensorflow_quietly()
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a damaged file Keras raises whatever it stumbles over
        what = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise ExportError(f"{path} is not a classifier that can be loaded: {what}") from error


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
