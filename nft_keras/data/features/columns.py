"""What makes vectors of the columns of a table, see `preprocessing`."""

import array
import dataclasses
import warnings

import numpy as np

from nft_keras.data import DataError
from nft_keras.data.io.table import column, number_in, read_table, skip


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

    def read(self, path, skipped=None):
        """These columns of a CSV file, in whatever order; others are left alone.

        Args:
            path: `pathlib.Path`.
            skipped: list; rows that cannot be used are left out, and what is wrong with each is appended to it.

        Returns:
            lines: list of int, the line where each row ends.
            numbers: float64 array (n, columns), for `transform`.

        Raises:
            DataError: if the file cannot be used, naming the line and the column.
        """
        rows = read_table(path, skipped)
        header = next(rows)
        places = [column(path, header, name) for name in self.names]
        lines, numbers = numbers_of(path, header, rows, places, skipped)
        fit = self.check(path, lines, numbers, skipped)
        return np.array(lines, int)[fit].tolist(), numbers[fit]

    def check(self, path, lines, numbers, skipped=None):
        """Refuses numbers that are not finite once they are standardised.

        Args:
            path, lines: where the rows come from, for the error.
            numbers: float64 array (n, columns).
            skipped: list that is appended to instead.

        Returns:
            bool array (n,), the rows that can be used.

        Raises:
            DataError: naming the line and the column.
        """
        with np.errstate(over="ignore"):
            fits = np.isfinite(self.transform(numbers))
        for row in np.flatnonzero(~fits.all(axis=1)):
            wrong = int(np.argmin(fits[row]))
            name, value = self.names[wrong], numbers[row, wrong]
            skip(skipped, f"{path}:{lines[row]}: column {name!r} is too large to be standardised, got {value:g}")
        return fits.all(axis=1)

    def transform(self, numbers):
        """float32 (n, columns) of numbers (n, columns)."""
        return ((numbers - self.mean) / self.scale).astype("float32")

    def layers(self, any_size=True):
        """Keras layers that prepare numbers (batch, columns), in the order of `names`, and the shape of their input."""
        from keras import layers

        # Of a Normalization layer ONNX would want mean and variance as inputs.
        centred = layers.Rescaling(1.0, (-self.mean).tolist())
        return [centred, layers.Rescaling((1 / self.scale).tolist())], self.input_shape

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


def numbers_of(path, header, rows, places, skipped=None):
    """(lines, float64 array) of some columns of the rows of a table; `skipped` as for `Columns.read`."""
    lines, numbers = [], array.array("d")
    for line, row in rows:
        try:
            numbers.extend([number_in(path, line, header[i], row[i]) for i in places])
            lines.append(line)
        except DataError as error:
            skip(skipped, str(error))
    if not lines and not skipped:
        raise DataError(f"{path} has no rows, only a header")
    return lines, np.array(numbers).reshape(len(lines), len(places))
