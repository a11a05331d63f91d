"""What makes arrays of numbers as they are, see `preprocessing`."""

import dataclasses
import math

import numpy as np

from nft_keras._checks import whole
from nft_keras.data import DataError
from nft_keras.data.features.columns import present
from nft_keras.data.io.table import CellError, column, read_table, usable


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
        """All the columns of a table; what its header calls them does not matter. Else as `Columns.read`.

        Args:
            path, skipped: as for `Columns.read`.
            beside: name of a column that is none of the example's; None: there is no such.
        """
        table = read_table(path, text=(beside,) if beside else (), skipped=skipped)
        header = list(table.frame.columns)
        if all(_is_number(name) for name in header):
            raise DataError(f"{path}: the first line should name the columns, got numbers: {', '.join(header[:5])}")
        if beside:
            del header[column(path, header, beside)]
        if len(header) != math.prod(self.shape):
            more = f" beside {beside!r}" if beside else ""
            raise DataError(f"{path} has {len(header)} columns{more}; an example is {math.prod(self.shape)} numbers")
        table, numbers = usable(table, lambda table: self._numbers(table, header), skipped)
        return list(table.lines), numbers

    def _numbers(self, table, header):
        """float64 array (n, columns) of a table."""
        numbers = np.stack([present(table, name) for name in header], axis=1)
        if self.dtype == "uint8":
            wanted, fits = "a whole number from 0 to 255", np.isin(numbers, range(256))
        else:
            wanted, fits = "a number that float32 holds", np.abs(numbers) <= np.finfo("float32").max
        rows = np.flatnonzero(~fits.all(axis=1))
        if len(rows):
            wrong = [int(np.argmin(fits[row])) for row in rows]
            messages = [
                f"{table.where(row)}: column {header[i]!r} should be {wanted}, got {numbers[row, i]:g}"
                for row, i in zip(rows, wrong, strict=True)
            ]
            raise CellError(rows, messages)
        return numbers

    def layers(self, any_size=True):
        """Keras layers that prepare numbers (batch, *shape), and the shape of their input."""
        from keras import layers

        return [layers.Rescaling(1 / 255)] if self.dtype == "uint8" else [], self.input_shape

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
        return cls(tuple(whole({"shape": n}, "shape") for n in config["shape"]), config["dtype"])


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
