"""What makes a file's content the input of a classifier: the same classes prepare training data and new inputs.

Each class has `transform(inputs)`, which gives what `nft_keras.data.Part` calls x; `read(path)`, which reads such
inputs from a file of the user's, where it is a table or a text also `read(path, skipped)`, without what cannot be used;
`layers()`, which does the same to numbers inside a network; `to_config()` and `from_config(config)`, to JSON and back
without loss.
"""

import json
import os
from pathlib import Path

import numpy as np

from nft_keras import _manifest
from nft_keras.data import DataError
from nft_keras.data.features.columns import Columns
from nft_keras.data.features.images import Images
from nft_keras.data.features.texts import Embeddings, TfIdf
from nft_keras.data.features.vectors import Vectors
from nft_keras.data.targets import Target

FILE = "preprocessing.json"
KINDS = {"images": Images, "columns": Columns, "vectors": Vectors, "tfidf": TfIdf, "embeddings": Embeddings}


def of_arrays(x):
    """The preprocessing of examples that come as an array: of bytes (n, height, width, 1 or 3) those of images.

    Args:
        x: array (n, ...), uint8 or float32.
    """
    shape = x.shape[1:]
    if x.dtype == np.uint8 and len(shape) == 3 and shape[-1] in (1, 3):
        return Images(*shape)
    return Vectors(shape, str(x.dtype))


def to_config(dataset):
    """What is needed to prepare new inputs and to name what is predicted, for preprocessing.json.

    Args:
        dataset: a `nft_keras.data.Dataset` with a preprocessing.

    Returns:
        dict of JSON's types.
    """
    preprocessing = dataset.preprocessing
    kind = next(name for name, cls in KINDS.items() if type(preprocessing) is cls)
    return {**dataset.target.to_config(), "kind": kind, **preprocessing.to_config()}


def load(folder):
    """The preprocessing of a trial.

    Args:
        folder: `pathlib.Path`, the trial's folder.

    Returns:
        preprocessing: an object of one of the classes of this module.
        target: `nft_keras.data.targets.Target`, what the classifier's outputs say.

    Raises:
        DataError: if there is none, or it is damaged, naming the file.
    """
    path = Path(folder, FILE)
    if os.path.isfile(folder):
        raise DataError(f"{folder} is a file; give the folder of the trial, {Path(folder).parent}")
    try:
        _manifest.check_listed(folder, FILE)
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not os.path.exists(Path(folder, "result.json")):
            raise DataError(
                f"{folder} is not the folder of a finished trial, as OUT/RECIPE/CLASSIFIER/METHOD/seed-N"
            ) from None
        raise DataError(
            f"no {path}: run the trial again, its data set has no preprocessing or it is an old one"
        ) from None
    except _manifest.DamagedError as error:
        raise DataError(str(error)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from error
    try:
        if config["kind"] not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {config['kind']!r}")
        return KINDS[config["kind"]].from_config(config), Target.from_config(config)
    except KeyError as error:
        raise DataError(f"{path} has no key {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: {error}") from error
