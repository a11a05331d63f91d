"""What makes vectors of the columns of a table, see `preprocessing`.

Of each kind of column there is a class: `parse(table, name)` gives the values of all rows; `fit(values)`, on those of
the training part, what is needed to make numbers of them; `transform(values)` the numbers, those left out that are the
same in all of the training part.
"""

import dataclasses
import math
import re
from typing import ClassVar

import numpy as np

from nft_keras._checks import listed
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.features.texts import TfIdf, lines_of
from nft_keras.data.io.table import CellError, Form, column, is_table, is_utf8, read_table, usable

TRUE, FALSE = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0")
# How a column may write its dates, and what pandas calls it.
DATES = {
    r"\d{4}-\d\d-\d\d([ T].+)?": "ISO8601",
    r"\d{4}/\d\d?/\d\d?": "%Y/%m/%d",
    r"\d\d?\.\d\d?\.\d{4}": "%d.%m.%Y",
    r"\d\d?\.\d\d?\.\d{4} \d\d?:\d\d": "%d.%m.%Y %H:%M",
    r"\d\d?\.\d\d?\.\d{4} \d\d?:\d\d:\d\d": "%d.%m.%Y %H:%M:%S",
}
A_DATE = "a date as 2024-05-31, 2024/05/31 or 31.05.2024"
_LARGEST = np.finfo("float32").max
# So many deviations from 0, float32 does not tell a thousandth of one.
_IN_FLOAT32 = 1e-3 / np.finfo("float32").eps


@dataclasses.dataclass(frozen=True)
class Number:
    """A column of numbers, standardised on the training part; a missing one is the median, and told.

    Attributes:
        parts: tuple of str, of what `transform` gives: "value", "missing" (1 where a number is missing).
        median, mean, scale: float; a number x becomes (x - mean) / scale.
    """

    parts: tuple
    median: float
    mean: float
    scale: float
    kind: ClassVar = "number"

    @classmethod
    def parse(cls, table, name):
        """float64 array (rows,), NaN where a value is missing.

        Raises:
            DataError: naming line and column of a cell that is none.
        """
        return numbers(table, name)

    @classmethod
    def fit(cls, values):
        """See the module.

        Args:
            values: float64 array (n,), NaN where a value is missing.

        Raises:
            ValueError: for numbers that are too large to be standardised.
        """
        from sklearn.preprocessing import StandardScaler

        there = values[~np.isnan(values)]
        median = float(np.median(there)) if len(there) else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            scaler = StandardScaler().fit(np.where(np.isnan(values), median, values)[:, None])
        if not np.isfinite(scaler.var_).all():
            raise ValueError("its values are too large to be standardised")
        self = cls((), median, float(scaler.mean_[0]), float(scaler.scale_[0]))
        varying = (part for part, numbers in self._all(values).items() if np.ptp(numbers))
        return dataclasses.replace(self, parts=tuple(varying))

    def transform(self, values):
        """float64 (n, parts) of values (n,)."""
        numbers = self._all(values)
        return np.stack([numbers[part] for part in self.parts], axis=1)

    def describe(self):
        """What it is to a reader."""
        marked = f", missing ones counted as {self.median:.4g} and marked" if "missing" in self.parts else ""
        if "value" not in self.parts:
            return f"{self.median:.4g} wherever it is there{marked}"
        return f"mean {self.mean:.4g}, deviation {self.scale:.4g}{marked}"

    def _all(self, values):
        missing = np.isnan(values)
        value = (np.where(missing, self.median, values) - self.mean) / self.scale
        return {"value": value, "missing": missing.astype("float64")}

    to_config = dataclasses.asdict

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        median, mean, scale = (float(config.get(key, 0.0)) for key in ("median", "mean", "scale"))
        if not (math.isfinite(median) and math.isfinite(mean) and math.isfinite(scale) and scale > 0):
            raise ValueError("median and mean must be finite numbers, scale one above 0")
        self = cls(tuple(map(str, config.get("parts", ["value"]))), median, mean, scale)
        if unknown := sorted(set(self.parts) - set(self._all(np.zeros(1)))) or not self.parts:
            raise ValueError(f"parts must be some of {', '.join(self._all(np.zeros(1)))}, got {unknown or 'none'}")
        return self


class Boolean(Number):
    """A column of true and false (or yes and no, 1 and 0), read as 1 and 0; else as `Number`."""

    kind = "boolean"

    @classmethod
    def parse(cls, table, name):
        """As `Number.parse`."""
        cells = table.frame[name]
        if cells.dtype.kind in "biuf":
            cells = cells.astype("float64").map(str, na_action="ignore")
        words = cells.str.lower()
        values = words.map({**dict.fromkeys(TRUE, 1.0), **dict.fromkeys(FALSE, 0.0)}).to_numpy("float64")
        _refuse(table, name, np.isnan(values) & words.notna().to_numpy(), "true or false, yes or no")
        return values


class Date(Number):
    """A column of dates: days since 1970 as a `Number`, and where in the year, the week and the day they are.

    Each of these three is the sine and the cosine of an angle, which is 0 where the date is missing.
    """

    kind = "date"

    @classmethod
    def parse(cls, table, name):
        """As `Number.parse`, in days since 1970-01-01 (UTC)."""
        import pandas as pd

        cells = table.frame[name]
        if pd.api.types.is_datetime64_any_dtype(cells):
            times = pd.to_datetime(cells, utc=True)
        else:
            cells = cells.astype(object).map(str, na_action="ignore")
            times = pd.to_datetime(cells, format=date_format(cells) or "ISO8601", utc=True, errors="coerce")
            wrong = times.isna().to_numpy() & cells.notna().to_numpy()
            _refuse(table, name, wrong, A_DATE)
        return ((times - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)).to_numpy("float64")

    def describe(self):
        """As `Number.describe`."""
        turns = [part.removeprefix("sin ") for part in self.parts if part.startswith("sin ")]
        marked = ", a missing one marked" if "missing" in self.parts else ""
        return f"days since 1970{f', place in the {listed(turns)}' if turns else ''}{marked}"

    def _all(self, values):
        import pandas as pd

        missing = np.isnan(values)
        seconds = np.round(86400 * np.where(missing, 0.0, values)).astype("int64")
        times = pd.DatetimeIndex(seconds.astype("datetime64[s]"))
        turns = {"year": (times.day_of_year - 1) / 365.25, "week": times.day_of_week / 7, "day": values % 1}
        found = super()._all(values)
        for name, turn in turns.items():
            angle = 2 * np.pi * np.where(missing, 0.0, turn)
            found |= {f"sin {name}": np.sin(angle), f"cos {name}": np.cos(angle)}
        return found


@dataclasses.dataclass(frozen=True)
class Category:
    """A column of categories, one-hot; one that the training part does not have (or too rarely) is 0 in all.

    Attributes:
        levels: tuple of str.
        missing: bool, whether a missing one is a category of its own.
    """

    levels: tuple
    missing: bool = False
    kind: ClassVar = "category"

    @property
    def parts(self):
        """Names of what `transform` gives."""
        return (*self.levels, *(["missing"] if self.missing else []))

    @classmethod
    def parse(cls, table, name):
        """Object array (rows,) of str, None where a value is missing."""
        cells = table.frame[name]
        if cells.dtype.kind in "biuf":
            cells = cells.map(lambda value: f"{value:.15g}" if isinstance(value, float) else str(value), "ignore")
        return np.array([None if cell != cell else whole_number(cell) for cell in cells.astype(object)], dtype=object)

    @classmethod
    def fit(cls, values, most=100):
        """See the module.

        Args:
            values: as `parse` gives them.
            most: int, how many categories at most, the most frequent ones.
        """
        import pandas as pd

        counts = pd.Series(values, dtype=object).value_counts()
        missing = counts.sum() < len(values)
        if len(counts) + missing < 2:
            return cls(())
        levels = sorted(counts.index, key=lambda level: (-counts[level], level))[:most]
        return cls(tuple(sorted(levels)), bool(missing))

    def transform(self, values):
        """float64 (n, parts) of values (n,)."""
        import pandas as pd

        places = pd.Index(self.levels, dtype=object).get_indexer(values)
        x = np.zeros((len(values), len(self.parts)))
        there = places >= 0
        x[there, places[there]] = 1.0
        if self.missing:
            x[:, -1] = [value is None for value in values]
        return x

    def describe(self):
        """As `Number.describe`."""
        return f"{len(self.levels)}: {listed(self.levels)}{'; missing' if self.missing else ''}"

    to_config = dataclasses.asdict

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        levels, missing = config["levels"], config["missing"]
        if not isinstance(levels, list) or len(set(map(str, levels))) < len(levels) or not isinstance(missing, bool):
            raise ValueError("levels must be a list of different words, missing true or false")
        return cls(tuple(map(str, levels)), missing)


class Text(TfIdf):
    """A column of text as TF-IDF features."""

    kind = "text"

    @property
    def parts(self):
        """Names of what `transform` gives: the words."""
        return tuple(self.counts.get_feature_names_out())

    @classmethod
    def parse(cls, table, name):
        """Object array (rows,) of str."""
        return table.frame[name].astype(object).to_numpy()

    def describe(self):
        """As `Number.describe`."""
        return f"{len(self.parts):,} words: {listed(self.parts)}"


KINDS = {cls.kind: cls for cls in (Number, Boolean, Category, Date, Text)}


@dataclasses.dataclass(frozen=True)
class Columns:
    """Columns of a table as one vector.

    Attributes:
        of: {name: an object of one of `KINDS`'s classes}, in the order of the vector.
        form: `nft_keras.data.io.table.Form`, as the user gave it, and the decimal mark of the training's files where it
            is a comma.
    """

    of: dict
    form: Form = Form()

    @property
    def input_shape(self):
        """Shape of one example."""
        return (sum(len(encoder.parts) for encoder in self.of.values()),)

    def names(self, *kinds):
        """The columns of some kinds."""
        return tuple(name for name, encoder in self.of.items() if encoder.kind in kinds)

    def read(self, path, skipped=None):
        """These columns of a table, in whatever order; others are left alone. Of a column of text alone, any other
        text file will do too, a text per line.

        Args:
            path: `pathlib.Path`.
            skipped: list; rows that cannot be used are left out, and what is wrong with each is appended to it.

        Returns:
            lines: ints, the line where each row ends.
            values: {name: array (n,)}, for `transform`.

        Raises:
            DataError: if the file cannot be used, naming the line and the column.
        """
        if len(self.of) == 1 and self.names("text") and not is_table(path, *self.of, self.form):
            lines, texts = lines_of(path)
            return lines, {name: np.array(texts, dtype=object) for name in self.of}
        words, numbers = self.names("category", "boolean", "date"), self.names("number")
        table = read_table(path, self.form_of(path), self.names("text"), words, skipped, numbers)
        for name in self.of:
            column(path, table.frame.columns, name)

        def parsed(table):
            values = {name: encoder.parse(table, name) for name, encoder in self.of.items()}
            self.check(table, values)
            return values

        table, values = usable(table, parsed, skipped)
        self._say_unseen(path, values)
        return list(table.lines), values

    def form_of(self, path):
        """How a new file is read, which need not be encoded, nor have its decimal mark, as those of the training."""
        encoding = None if self.form.encoding and is_utf8(path) else self.form.encoding
        return dataclasses.replace(self.form, encoding=encoding, before=self.form.before or ".")

    def _say_unseen(self, path, values):
        """Says on stderr what new rows have that the training part has not: categories, and missing numbers."""
        for name in self.names("number"):
            missing = int(np.isnan(values[name]).sum())
            if missing and "missing" not in self.of[name].parts:
                of = f"{missing:,} of {len(values[name]):,} rows are empty, and none of the training part"
                say(f"{path}: column {name!r}: {of}: they get its median, {self.of[name].median:.4g}")
        for name in self.names("category"):
            known = {None, *self.of[name].levels}
            if unseen := [value for value in values[name] if value not in known]:
                of = f"{len(unseen):,} of {len(values[name]):,} rows"
                say(
                    f"{path}: column {name!r}: {of} have none of the {len(known) - 1} categories of the training part: "
                    f"{listed(sorted(set(unseen))[:5])}",
                )

    def check(self, table, values):
        """Refuses numbers that are not finite once they are standardised, naming line and column."""
        for name in self.names("number"):
            with np.errstate(over="ignore"):
                wrong = np.abs(self.of[name].transform(values[name])).max(axis=1) > _LARGEST
            if wrong.any():
                rows = np.flatnonzero(wrong)
                what = f"column {name!r} is too large to be standardised, got"
                raise CellError(rows, [f"{table.where(row)}: {what} {values[name][row]:g}" for row in rows])

    def transform(self, values):
        """float32 (n, *input_shape) of what `read` gives; `scipy.sparse.csr_matrix` where there is text."""
        import scipy.sparse

        blocks = [encoder.transform(values[name]) for name, encoder in self.of.items()]
        if self.names("text"):
            return scipy.sparse.csr_matrix(scipy.sparse.hstack(blocks), dtype="float32")
        return np.concatenate(blocks, axis=1, dtype="float32")

    def layers(self, any_size=True):
        """Keras layers that prepare numbers (batch, columns), in the columns' order, and the shape of their input.

        Raises:
            DataError: for columns that are more than numbers.
        """
        from keras import layers

        for name, encoder in self.of.items():
            if not isinstance(encoder, Number) or encoder.parts != ("value",):
                marked = " whose missing values are marked" if isinstance(encoder, Number) else ""
                raise DataError(
                    f"no layer makes the inputs of column {name!r}, a {encoder.kind}{marked}: of a table plain numbers "
                    "alone are prepared in an exported model; export it without --with-preprocessing"
                )
            if abs(encoder.mean) > _IN_FLOAT32 * encoder.scale:
                what = f"numbers of {encoder.mean:g} ± {encoder.scale:g} lose digits in float32, the exported inputs"
                say(f"column {name!r}: {what}: subtract {encoder.mean:g} before training")
        # Of a Normalization layer ONNX would want mean and variance as inputs.
        centred = layers.Rescaling(1.0, [-encoder.mean for encoder in self.of.values()])
        return [centred, layers.Rescaling([1 / encoder.scale for encoder in self.of.values()])], self.input_shape

    def to_config(self):
        """{"columns": {name: {"kind": ..., ...}}}, and "form" where the user gave it."""
        of = {name: {"kind": encoder.kind, **encoder.to_config()} for name, encoder in self.of.items()}
        form = {key: value for key, value in dataclasses.asdict(self.form).items() if value is not None}
        return {"columns": of, **({"form": form} if form else {})}

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        of = {}
        for name, settings in config["columns"].items():
            kind = settings.get("kind", "number")
            if kind not in KINDS:
                raise ValueError(f"column {name!r}: kind must be one of {', '.join(KINDS)}, got {kind!r}")
            of[str(name)] = KINDS[kind].from_config(settings)
        return cls(of, Form(**config.get("form", {})))


def numbers(table, name):
    """The numbers in a column: float64 array (rows,), NaN where one is missing.

    Raises:
        DataError: naming line and column of a cell that is no finite number.
    """
    import pandas as pd

    cells = table.frame[name]
    if cells.dtype.kind == "M":
        raise DataError(f"{table.where(0)}: column {name!r} should be a number, got a date")
    values = pd.to_numeric(cells, errors="coerce").to_numpy("float64", na_value=np.nan)
    there = cells.notna().to_numpy()
    _refuse(table, name, there & ~np.isfinite(values), "a finite number")
    return values


def present(table, name, least=-math.inf):
    """As `numbers`, of a column in which none may be missing, or below the least."""
    values = numbers(table, name)
    wanted = "a finite number" if least == -math.inf else f"a finite number >= {least:g}"
    _refuse(table, name, ~(values >= least), wanted)
    return values


def whole_number(word):
    """A word as it is, a whole number without a point: a table that lacks one of them writes 1 as 1.0."""
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", word)


def date_format(cells):
    """The format of `DATES` that all cells of a column (text, or missing) have; None if there is none."""
    there = cells.dropna()
    return next((how for pattern, how in DATES.items() if len(there) and there.str.fullmatch(pattern).all()), None)


def _refuse(table, name, wrong, wanted):
    """Names the first cell of a column that is not what was wanted."""
    if wrong.any():
        rows, what = np.flatnonzero(wrong), f"column {name!r} should be {wanted}, got"
        raise CellError(rows, [f"{table.where(row)}: {what} {_shown(table.frame[name].iloc[row])}" for row in rows])


def _shown(cell):
    cell = "" if cell != cell else str(cell)  # NaN is not itself
    return repr(cell if len(cell) <= 40 else f"{cell[:40]}...")
