"""What makes a file's content the input of a classifier: the same classes prepare training data and new inputs.

Each class (those of texts are in `nft_keras.data.sources.text`) has `transform(inputs)`, which gives what
`nft_keras.data.Part` calls x; `read(path)`, which reads such inputs from a file of the user's; `to_config()` and
`from_config(config)`, to JSON and back without loss.
"""

import array
import contextlib
import dataclasses
import json
import logging
import math
import os
import threading
import warnings
from pathlib import Path

import numpy as np

from nft_keras.data import DataError
from nft_keras.data.io.table import column, number_in, read_table
from nft_keras.data.sources.text import Embeddings, TfIdf

FILE = "preprocessing.json"
# Pillow's decoders of photographs; others start programs (EPS) or are of no use here.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# Images of more pixels are decoded one after the other: all threads at once would take gigabytes.
_LARGE_IMAGE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Images:
    """Image files as bytes, which `nft_keras.data.batches` divides by 255.

    Attributes:
        height, width: in pixels; every image is resized to them, bilinearly.
        channels: 3 for colours, 1 for grey.
    """

    height: int
    width: int
    channels: int

    @property
    def input_shape(self):
        """Shape of one example."""
        return self.height, self.width, self.channels

    def read(self, path):
        """The images of a file or a folder and the folders in it; what starts with a dot is left out.

        Args:
            path: `pathlib.Path`.

        Returns:
            names: list of str, each file's path below `path`.
            files: list of `pathlib.Path`, for `transform`.

        Raises:
            DataError: if there are none.
        """
        if not path.is_dir():
            return [path.name], [path]
        names = (file.relative_to(path) for file in sorted(path.rglob("*")) if file.is_file())
        names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        if not names:
            raise DataError(f"{path} holds no images")
        return [os.fsencode(name.as_posix()).decode("utf-8", "replace") for name in names], [path / n for n in names]

    def transform(self, files, root=None):
        """Reads images: PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM, with at most 8 bits per channel.

        Args:
            files: list of `pathlib.Path`.
            root: `pathlib.Path` of a folder that all of them are in, to name them by their paths in it.

        Returns:
            uint8 array (n, height, width, channels).

        Raises:
            DataError: naming every file that cannot be read as an image.
        """
        from concurrent.futures import ThreadPoolExecutor

        from PIL import Image

        images = np.empty((len(files), *self.input_shape), "uint8")
        alone = threading.Lock()
        logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong is said below
        with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            results = list(pool.map(lambda i: _read_image(files[i], images[i], alone), range(len(files))))
        wrong = [(file, what) for file, what in zip(files, results, strict=True) if what]
        if wrong:
            named = ", ".join(f"{file.relative_to(root) if root else file} ({what})" for file, what in wrong)
            where = f"{root}: " if root else ""
            raise DataError(f"{where}{len(wrong)} of {len(files)} files cannot be read as images: {named}")
        return images

    to_config = dataclasses.asdict

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        return cls(**{field.name: _whole(config, field.name) for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class Columns:
    """Numeric columns of a table, standardised.

    Attributes:
        names: tuple of str.
        mean, scale: float64 arrays (columns,); a column x becomes (x - mean) / scale.
    """

    names: tuple
    mean: np.ndarray
    scale: np.ndarray

    @property
    def input_shape(self):
        """Shape of one example."""
        return (len(self.names),)

    @classmethod
    def fit(cls, path, x, names):
        """Mean 0 and standard deviation 1 on x; a column that is constant there becomes 0, with a warning.

        Args:
            path: the file, for messages.
            x: float64 array (n, columns).
            names: list of str.

        Raises:
            DataError: naming a column whose values are too large.
        """
        from sklearn.preprocessing import StandardScaler

        with np.errstate(over="ignore", invalid="ignore"):
            scaler = StandardScaler().fit(x)
        if not np.isfinite(scaler.var_).all():
            name = names[int(np.argmin(np.isfinite(scaler.var_)))]
            raise DataError(f"{path}: the values of column {name!r} are too large to be standardised")
        if constant := [name for name, spread in zip(names, np.ptp(x, axis=0), strict=True) if not spread]:
            listed = ", ".join(constant[:5]) + (f" and {len(constant) - 5} more" if len(constant) > 5 else "")
            warnings.warn(f"{path}: constant in the training part and of no use: column {listed}", stacklevel=2)
        return cls(tuple(names), scaler.mean_, scaler.scale_)

    def read(self, path):
        """These columns of a CSV file, in whatever order; others are left alone.

        Args:
            path: `pathlib.Path`.

        Returns:
            lines: list of int, the line where each row ends.
            numbers: float64 array (n, columns), for `transform`.

        Raises:
            DataError: if the file cannot be used, naming the line and the column.
        """
        rows = read_table(path)
        header = next(rows)
        lines, numbers = _numbers(path, header, rows, [column(path, header, name) for name in self.names])
        self.check(path, lines, numbers)
        return lines, numbers

    def check(self, path, lines, numbers):
        """Refuses numbers that are not finite once they are standardised.

        Args:
            path, lines: where the rows come from, for the error.
            numbers: float64 array (n, columns).

        Raises:
            DataError: naming the line and the column.
        """
        with np.errstate(over="ignore"):
            row, wrong = np.nonzero(~np.isfinite(self.transform(numbers)))
        if len(row):
            name, value = self.names[wrong[0]], numbers[row[0], wrong[0]]
            raise DataError(f"{path}:{lines[row[0]]}: column {name!r} is too large to be standardised, got {value:g}")

    def transform(self, numbers):
        """float32 (n, columns) of numbers (n, columns)."""
        return ((numbers - self.mean) / self.scale).astype("float32")

    def to_config(self):
        """{"columns": {name: {"mean": ..., "scale": ...}}}."""
        of_columns = zip(self.mean.tolist(), self.scale.tolist(), strict=True)
        of_columns = [{"mean": mean, "scale": scale} for mean, scale in of_columns]
        return {"columns": dict(zip(self.names, of_columns, strict=True))}

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        columns = config["columns"]
        mean, scale = (np.array([float(of[key]) for of in columns.values()]) for key in ("mean", "scale"))
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("a mean must be a finite number, a scale one above 0")
        return cls(tuple(columns), mean, scale)


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Numbers as they are; in a CSV file a row holds an example, flattened with its last axis fastest.

    Attributes:
        shape: tuple of int, of one example.
        dtype: "float32", or "uint8" for numbers 0 to 255 that `nft_keras.data.batches` divides by 255.
    """

    shape: tuple
    dtype: str = "float32"

    @property
    def input_shape(self):
        """Shape of one example."""
        return self.shape

    def read(self, path):
        """All the columns of a CSV file; what its header calls them does not matter. Else as `Columns.read`."""
        rows = read_table(path)
        header = next(rows)
        if all(_is_number(name) for name in header):
            raise DataError(f"{path}: the first line should name the columns, got numbers: {', '.join(header[:5])}")
        if len(header) != math.prod(self.shape):
            raise DataError(f"{path} has {len(header)} columns; an example is {math.prod(self.shape)} numbers")
        lines, numbers = _numbers(path, header, rows, range(len(header)))
        if self.dtype == "uint8":
            wanted, fits = "a whole number from 0 to 255", np.isin(numbers, range(256))
        else:
            wanted, fits = "a number that float32 holds", np.abs(numbers) <= np.finfo("float32").max
        row, wrong = np.nonzero(~fits)
        if len(row):
            where, got = f"{path}:{lines[row[0]]}: column {header[wrong[0]]!r}", numbers[row[0], wrong[0]]
            raise DataError(f"{where} should be {wanted}, got {got:g}")
        return lines, numbers

    def transform(self, numbers):
        """(n, *shape) of dtype `dtype` of numbers (n, columns)."""
        return numbers.astype(self.dtype).reshape(len(numbers), *self.shape)

    def to_config(self):
        """{"shape": [...], "dtype": ...}."""
        return {"shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        if config["dtype"] not in ("float32", "uint8"):
            raise ValueError(f"dtype must be float32 or uint8, got {config['dtype']!r}")
        return cls(tuple(_whole({"shape": n}, "shape") for n in config["shape"]), config["dtype"])


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
    return {"class_names": list(dataset.class_names), "kind": kind, **preprocessing.to_config()}


def load(folder):
    """The preprocessing of a trial.

    Args:
        folder: `pathlib.Path`, the trial's folder.

    Returns:
        preprocessing: an object of one of the classes of this module.
        class_names: tuple of str.

    Raises:
        DataError: if there is none, or it is damaged, naming the file.
    """
    path = Path(folder, FILE)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not os.path.exists(Path(folder, "result.json")):
            raise DataError(
                f"{folder} is not the folder of a finished trial, as OUT/RECIPE/CLASSIFIER/METHOD/seed-N"
            ) from None
        raise DataError(
            f"no {path}: run the trial again, its data set has no preprocessing or it is an old one"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from error
    try:
        if config["kind"] not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {config['kind']!r}")
        return KINDS[config["kind"]].from_config(config), tuple(map(str, config["class_names"]))
    except KeyError as error:
        raise DataError(f"{path} has no key {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: {error}") from error


def _read_image(file, out, alone):
    """Reads an image into an array (height, width, channels); returns what is wrong with it, None if nothing is.

    `alone` is the lock of those who decode a large one.
    """
    from PIL import Image

    height, width, channels = out.shape
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            return "not a file"
        with Image.open(file, formats=_FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                return f"{image.mode}, more than 8 bits per channel"
            with alone if math.prod(image.size) > _LARGE_IMAGE else contextlib.nullcontext():
                image = image.convert("L" if channels == 1 else "RGB")
                image = image.resize((width, height), Image.Resampling.BILINEAR)
    except Image.UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # of a damaged file Pillow's decoders raise whatever they stumble over
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    out[:] = np.asarray(image).reshape(out.shape)
    return None


def _numbers(path, header, rows, places):
    """(lines, float64 array) of some columns of the rows of a table."""
    lines, numbers = [], array.array("d")
    for line, row in rows:
        lines.append(line)
        numbers.extend(number_in(path, line, header[i], row[i]) for i in places)
    if not lines:
        raise DataError(f"{path} has no rows, only a header")
    return lines, np.frombuffer(numbers).reshape(len(lines), -1)


def _whole(config, key):
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} must be a whole number >= 1, got {value!r}")
    return value


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
