"""What makes arrays of numbers as they are, see `preprocessing`."""

import dataclasses
import math

import numpy as np

from nft_keras._checks import whole
from nft_keras.data import DataError
from nft_keras.data.features.columns import numbers_of
from nft_keras.data.io.table import column, read_table, skip


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

    def read(self, path, skipped=None, beside=None):
        """All the columns of a CSV file; what its header calls them does not matter. Else as `Columns.read`.

        Args:
            path, skipped: as for `Columns.read`.
            beside: name of a column that is none of the example's; None: there is no such.
        """
        rows = read_table(path, skipped)
        header = next(rows)
        if all(_is_number(name) for name in header):
            raise DataError(f"{path}: the first line should name the columns, got numbers: {', '.join(header[:5])}")
        other = {column(path, header, beside)} if beside else set()
        places = [place for place in range(len(header)) if place not in other]
        if len(places) != math.prod(self.shape):
            more = f" beside {beside!r}" if beside else ""
            raise DataError(f"{path} has {len(places)} columns{more}; an example is {math.prod(self.shape)} numbers")
        lines, numbers = numbers_of(path, header, rows, places, skipped)
        if self.dtype == "uint8":
            wanted, fits = "a whole number from 0 to 255", np.isin(numbers, range(256))
        else:
            wanted, fits = "a number that float32 holds", np.abs(numbers) <= np.finfo("float32").max
        for row in np.flatnonzero(~fits.all(axis=1)):
            wrong = int(np.argmin(fits[row]))
            where, got = f"{path}:{lines[row]}: column {header[places[wrong]]!r}", numbers[row, wrong]
            skip(skipped, f"{where} should be {wanted}, got {got:g}")
        return np.array(lines, int)[fits.all(axis=1)].tolist(), numbers[fits.all(axis=1)]

    def transform(self, numbers):
        """(n, *shape) of dtype `dtype` of numbers (n, columns)."""
        return numbers.astype(self.dtype).reshape(len(numbers), *self.shape)

    def layers(self, any_size=True):
        """Keras layers that prepare numbers (batch, *shape), and the shape of their input."""
        from keras import layers

        return [layers.Rescaling(1 / 255)] if self.dtype == "uint8" else [], self.input_shape

    def to_config(self):
        """{"shape": [...], "dtype": ...}."""
        return {"shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        if config["dtype"] not in ("float32", "uint8"):
            raise ValueError(f"dtype must be float32 or uint8, got {config['dtype']!r}")
        return cls(tuple(whole({"shape": n}, "shape") for n in config["shape"]), config["dtype"])


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
