"""Reads tables: text with separators, Parquet, Excel; what is wrong with one is told with file, line and column."""

import array
import collections
import csv
import dataclasses
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from nft_keras._checks import shown, suggest
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.io import decimals

# No line of a table or a text is longer; a file without line ends (zeros, another format) must not be read into the
# memory.
LONGEST_LINE = 1 << 26
# No column, class or group is called anything longer; numpy takes as much for every row as for the longest.
LONGEST_NAME = 1000
# What a cell without a value holds.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "?")
SEPARATORS = ",;\t|"
_SUFFIXES = (".csv", ".tsv", ".parquet", ".xlsx", ".xlsm")
# What reading a damaged file raises.
_DAMAGED = (OSError, EOFError, zlib.error)
_LOOKED_AT = 50  # rows, to see how a file is written
_CODE = re.compile(r"0\d+\s*")
_FORMATS = {
    b"PAR1": "parquet",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of an old Excel",
    b"%PDF": "a PDF document",
    b"SQLi": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"BZh": "packed by bzip2",
    b"\xfd7zX": "packed by xz",
}


@dataclasses.dataclass(frozen=True)
class Form:
    """How a text file writes a table; None: as the file's first rows show.

    Attributes:
        separator: str of one character, between the cells of a row.
        decimal: "." or ",".
        encoding: name of one of Python's codecs; None: UTF-8, or UTF-16 where the file begins with its mark.
        before: of a new file, the decimal mark of those of the training, where it leaves open what a mark is.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    before: str | None = None

    def __post_init__(self):
        """Refuses what none of them may be with a ValueError."""
        if not (self.separator is None or (isinstance(self.separator, str) and len(self.separator) == 1)):
            raise ValueError(f"separator must be one character, got {shown(self.separator)}")
        for name in ("decimal", "before"):
            if getattr(self, name) not in (None, ".", ","):
                raise ValueError(f"{name} must be a point or a comma, got {shown(getattr(self, name))}")
        if not isinstance(self.encoding, str | None):
            raise ValueError(f"encoding must be a name, got {shown(self.encoding)}")


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        path: `pathlib.Path` of the file.
        frame: `pandas.DataFrame`: columns of numbers where all cells hold one, else of stripped text; NaN where a value
            is missing. Columns that were read as text are as they are in the file.
        lines: ints, the line of the file where each row ends; of a file without lines the number of the row.
        unnamed: int, how many columns without a name were left out.
        decimal: "." or ",", the decimal mark.
        codes: {column: a cell of it} where digits begin with a 0, which is lost where they are read as a number.
    """

    path: Path
    frame: object
    lines: Sequence[int]
    unnamed: int = 0
    decimal: str = "."
    codes: dict = dataclasses.field(default_factory=dict)

    def where(self, row):
        """`path:line` of a row."""
        return f"{self.path}:{self.lines[row]}"

    def without(self, rows):
        """The table without some rows, an array of their numbers."""
        import numpy as np

        kept = np.delete(np.arange(len(self.lines)), rows)
        frame = self.frame.iloc[kept].reset_index(drop=True)
        return dataclasses.replace(self, frame=frame, lines=[self.lines[row] for row in kept])


class CellError(DataError):
    """What is wrong with cells of a table.

    Attributes:
        rows: int array, the rows that they are in.
        messages: list of str, one for each.
    """

    def __init__(self, rows, messages):
        super().__init__(messages[0])
        self.rows, self.messages = rows, messages


def usable(table, use, skipped=None):
    """What a function makes of a table, and the table.

    Args:
        table: `Table`.
        use: function of it, which may raise a `CellError`.
        skipped: list; the rows of a `CellError` are then left out, and its messages appended. None: it is raised.

    Returns:
        The table, or what is left of it, and what `use` made of that.
    """
    while True:
        try:
            return table, use(table)
        except CellError as error:
            if skipped is None:
                raise
            skipped += error.messages
            table = table.without(error.rows)


def read_table(path, form=Form(), text=(), words=(), skipped=None, numbers=None):
    """Reads a table whole.

    Args:
        path: `pathlib.Path`; of what kind it is, and whether gzip packed it, its first bytes say.
        form: `Form`, for text.
        text: names of columns whose cells are kept as they are, an empty one too.
        words: names of columns that are not read as numbers whatever they hold.
        skipped: list; a row that is longer or shorter than the header is left out, and what is wrong appended to it.
        numbers: names of the columns whose numbers show what the decimal mark is; None: all but `text` and `words`.

    Returns:
        A `Table`.

    Raises:
        DataError: if the file cannot be read, naming the line.
    """
    kind = _kind(path)
    if kind == "parquet":
        return _whole(path, _parquet, text, words, extra="parquet")
    if kind == _FORMATS[b"PK\x03\x04"] and path.suffix.lower() in (".xlsx", ".xlsm"):
        return _whole(path, _excel, text, words, extra="excel")
    if kind:
        raise DataError(f"{path} is {kind}, no CSV; save the table as CSV or Parquet")
    return _of_text(path, form, text, words, skipped, numbers)


def read_rows(path, form=Form(), skipped=None):
    """Reads a text table row by row: a header, quotes where a cell has a separator, a quote or a line break in it.

    pandas fills up rows that are too short and does not know where in the file a row stands.

    Args:
        path: `pathlib.Path`.
        form: `Form`.
        skipped: as for `read_table`.

    Yields:
        First the header, a list of str; then (line, cells) for every row: the number of the line in the file where
        the row ends, and a list of str as long as the header. Empty lines are left out.

    Raises:
        DataError: if the file cannot be read or decoded, or has a row that is longer or shorter than the header.
    """
    if kind := _kind(path):
        raise DataError(f"{path} is {'a Parquet file' if kind == 'parquet' else kind}; save the table as CSV")
    csv.field_size_limit(LONGEST_LINE)  # a long text in a cell is no mistake
    try:
        with open_text(path, form.encoding) as file:
            delimiter = form.separator or separator(path, form)
            rows = csv.reader(_lines(path, file), delimiter=delimiter, strict=True, skipinitialspace=True)
            try:
                yield from _rows(path, rows, skipped)
            except csv.Error as error:
                hint = '; a quote inside a quoted cell is written twice, ""' if "expected after" in str(error) else ""
                raise DataError(f"{path}:{rows.line_num}: {error}{hint}") from error
            except UnicodeError as error:
                line, why = rows.line_num + 1, getattr(error, "reason", error)
                if isinstance(error, UnicodeDecodeError):
                    line += error.object[: error.start].count(b"\n")
                hint = "save it as UTF-8, or say its `encoding` in the recipe, often cp1252 or latin-1"
                raise DataError(f"{path}:{line} is not {form.encoding or 'UTF-8'} ({why}); {hint}") from error
    except _DAMAGED as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def open_text(path, encoding=None):
    """A text file, packed by gzip or not, opened for reading with its line ends as they are.

    Raises:
        DataError: for an encoding that Python does not have.
    """
    opened = gzip.open if _first_bytes(path).startswith(b"\x1f\x8b") else open
    try:
        with opened(path, "rb") as file:
            start = file.read(4)
    except _DAMAGED:  # what is wrong is said when the rows are read
        start = b""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif encoding is None or start.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    try:
        return opened(path, "rt", encoding=encoding, newline="")
    except (LookupError, ValueError):
        raise DataError(f"{path}: encoding should be one of Python's, as utf-8 or latin-1, got {encoding!r}") from None


def is_utf8(path):
    """Whether a text file is UTF-8 from its first byte to its last."""
    try:
        with open_text(path) as file:
            return all(True for _ in iter(lambda: file.read(1 << 20), ""))
    except (UnicodeError, *_DAMAGED):
        return False


def separator(path, form=Form()):
    """What separates the cells of a text table: the mark that cuts its first rows into most and equally many."""
    with open_text(path, form.encoding) as file:
        try:
            start = [line for _, line in zip(range(_LOOKED_AT), _lines(path, file), strict=False)]
        except (UnicodeError, *_DAMAGED):  # where it is wrong is said when the rows are read
            start = []

    def cells(mark):
        rows = csv.reader(start, delimiter=mark)
        try:
            counts = [len(row) for row in rows if row] or [1]
        except csv.Error:
            counts = [1]
        return counts[0] > 1 and len(set(counts)) == 1, counts[0], mark == ","

    return max(SEPARATORS, key=cells)


def is_table(path, name, form=Form()):
    """Whether a file is a table by its name, or has a column of that name; any other is text, line by line."""
    if any(suffix.lower() in _SUFFIXES for suffix in path.suffixes[-2:]):
        return True
    try:
        return name in next(read_rows(path, form))
    except DataError:
        return False


def missing_value(cell):
    """What is wrong with a cell that may not be missing, for a message; None if nothing is."""
    if not cell:
        return "is empty: fill it in, or leave the row out"
    return f"holds {cell!r}, which stands for a missing value: rename it" if cell in MISSING else None


def column(path, header, name):
    """Where a column of that name is in the header.

    Raises:
        DataError: if there is none, with the columns there are.
    """
    header = list(header)
    if name not in header:
        there_are = ", ".join(header[:20]) + (f" and {len(header) - 20} more" if len(header) > 20 else "")
        hint = suggest(name, header)
        if len(header) == 1 and (marks := [mark for mark in SEPARATORS if mark in header[0]]):
            hint = f"; the `separator` may be {marks[0]!r}"
        raise DataError(f"{path} has no column {name!r}; it has {there_are}{hint}"[:1000])
    return header.index(name)


def _kind(path):
    """What a file that is no text is, as its first bytes say; None for text."""
    start = _first_bytes(path)
    return next((kind for mark, kind in _FORMATS.items() if start.startswith(mark)), None)


def _first_bytes(path):
    if path.exists() and not (path.is_file() or path.is_dir()):  # to open a pipe is to wait
        raise DataError(f"{path} is not a file")
    try:
        with open(path, "rb") as file:
            return file.read(8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(path, file):
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{path}: not a table, it has a line of more than {LONGEST_LINE:,} characters")
        yield line


def _rows(path, rows, skipped):
    header = next((row for row in rows if row), None)
    if header is None:
        raise DataError(f"{path} is empty; its first line should name the columns")
    header = [name.strip() for name in header]
    _check_names(f"{path}:{rows.line_num}", header)
    yield header
    for row in rows:
        if row and len(row) != len(header):
            wrong = f"{path}:{rows.line_num}: {len(row)} cells, the header has {len(header)} columns"
            if skipped is None:
                raise DataError(wrong)
            skipped.append(wrong)
        elif row:
            yield rows.line_num, row


def _check_names(where, header):
    if (longest := max(map(len, header), default=0)) > LONGEST_NAME:
        raise DataError(f"{where}: a column has a name of {longest:,} characters, more than {LONGEST_NAME:,}")
    if twice := [name for name, count in collections.Counter(filter(None, header)).items() if count > 1]:
        raise DataError(f"{where}: two columns are called {shown(twice[0])}")


def _of_text(path, form, text, words, skipped, numbers):
    """A table of a text file: its rows are looked at one by one, then pandas reads them."""
    form = dataclasses.replace(form, separator=form.separator or separator(path, form))
    wrong = None if skipped is None else []
    rows = read_rows(path, form, wrong)
    header = next(rows)
    lines, codes, others = array.array("q"), {}, dict(enumerate(header))
    for line, cells in rows:
        lines.append(line)
        for i in [i for i in others if cells[i][:1] == "0" and _CODE.fullmatch(cells[i])]:
            codes[others.pop(i)] = cells[i].strip()
    if not lines and not wrong:
        raise DataError(f"{path} has no rows, only a header")
    if wrong:
        skipped += wrong

    def parsed(decimal, more=()):
        with open_text(path, form.encoding) if not wrong else _rewritten(path, form) as file:
            frame = _parsed(file, form, header, decimal, text, (*words, *more))
        # pandas parses a long file piece by piece: a column of numbers in some pieces only is read again as text.
        mixed = [name for name in frame.columns if frame[name].dtype == object and name not in (*text, *more)]
        return parsed(decimal, (*more, *mixed)) if mixed else frame

    frame = parsed(form.decimal or ".")
    shows = [name for name in (frame.columns if numbers is None else numbers) if name not in (*text, *words)]
    others = [name for name in frame.columns if name not in shows]
    left_open = form.decimal is None and form.separator != ","
    comma = left_open and decimals.decimal_comma(path, frame, others, form.before)
    if comma:
        frame = parsed(",")
    if comma or form.decimal == ",":
        decimals.refuse_points(path, frame, lines, others)
        frame = decimals.with_points(frame, others)
    elif left_open and form.before != "." and (few := decimals.like_thousands(frame, others, form.before)):
        decimals.refuse_thousands(path, parsed(".", tuple(few)), few, form.before)
    if len(frame) != len(lines):
        raise DataError(f"{path} has {len(lines):,} rows, of which {len(frame):,} can be read")
    decimal = "," if comma or form.decimal == "," else "."
    return dataclasses.replace(_tidy(path, frame, lines, text), decimal=decimal, codes=codes)


def _rewritten(path, form):
    """A text table without the rows that are longer or shorter than its header, as an open file."""
    rows, file = read_rows(path, form, []), io.StringIO()
    writer = csv.writer(file, delimiter=form.separator)
    writer.writerow(next(rows))
    writer.writerows(row for _, row in rows)
    file.seek(0)
    return file


def _parsed(file, form, header, decimal, text, words):
    import pandas as pd

    names = [name or f"\0{i}" for i, name in enumerate(header)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        return pd.read_csv(
            file, sep=form.separator, decimal=decimal, header=0, names=names, index_col=False, skipinitialspace=True,
            dtype={name: str for name in names if name in (*text, *words)}, keep_default_na=False,
            na_values={name: list(MISSING) for name in names if name not in text},
        )  # fmt: skip


def _whole(path, read, text, words, extra):
    """A table that pandas reads by itself, with the package of an extra."""
    try:
        header, frame = read(path, text)
    except ImportError as error:
        raise DataError(
            f"{path} is no CSV, and pandas needs a package to read it: pip install 'nft_keras[{extra}]', or save the "
            "table as CSV"
        ) from error
    except Exception as error:  # of a damaged file the readers raise whatever they stumble over
        what = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path} is no CSV, and cannot be read as what it looks like: {what}") from error
    if not len(frame):
        raise DataError(f"{path} has no rows")
    _check_names(path, header)
    first = 2 if extra == "excel" else 1
    frame.columns = [name or f"\0{i}" for i, name in enumerate(header)]
    for name in frame.columns:
        if name in (*text, *words):
            frame[name] = _as_words(frame[name]).fillna("" if name in text else float("nan"))
    found = {name: _code_in(frame[name]) for name in frame.columns if frame[name].dtype.kind == "O"}
    codes = {name: cell for name, cell in found.items() if cell}
    return dataclasses.replace(_tidy(path, frame, range(first, first + len(frame)), text), codes=codes)


def _parquet(path, text):
    """Names of the columns of a Parquet file, and a frame."""
    import pandas as pd

    frame = pd.read_parquet(path)
    if any(name is not None for name in frame.index.names):  # an index with a name is a column
        frame = frame.reset_index()
    return [str(name).strip() for name in frame.columns], frame


def _excel(path, text):
    """Names of the columns of the first sheet of an Excel file, and a frame; that there are more is said."""
    import pandas as pd

    with pd.ExcelFile(path) as file:
        if len(file.sheet_names) > 1:
            sheets = f"of {len(file.sheet_names)} sheets the first is read"
            say(f"{path}: {sheets}, {file.sheet_names[0]}")
        head = pd.read_excel(file, header=None, nrows=1, dtype=object, na_filter=False)
        header = ["" if cell is None else str(cell).strip() for cell in (head.iloc[0] if len(head) else ())]
        missing = {i: list(MISSING) for i, name in enumerate(header) if name not in text}
        frame = pd.read_excel(file, header=None, skiprows=1, keep_default_na=False, na_values=missing)
    return header, frame.reindex(columns=range(len(header)))


def _code_in(cells):
    """The first cell of a column whose digits begin with a 0, None if there is none."""
    return next((cell.strip() for cell in cells if isinstance(cell, str) and _CODE.fullmatch(cell)), None)


def _as_words(cells):
    """A column as text, whole numbers without a point."""
    import pandas as pd

    if pd.api.types.is_float_dtype(cells) and (cells.dropna() % 1 == 0).all():
        cells = cells.astype("Int64")
    return cells.astype(object).map(str, na_action="ignore").astype(object)


def _tidy(path, frame, lines, text):
    """A `Table` without columns that have no name, its text stripped."""
    import pandas as pd

    unnamed = [name for name in frame.columns if name.startswith(("\0", "Unnamed: "))]
    frame = frame.drop(columns=unnamed)
    for name in frame.columns:
        cells = frame[name]
        if name in text or cells.dtype.kind in "biufM" or isinstance(cells.dtype, pd.BooleanDtype):
            continue
        if pd.api.types.is_numeric_dtype(cells):
            frame[name] = cells.astype("float64")
        elif not pd.api.types.is_datetime64_any_dtype(cells):
            cells = _as_words(cells).str.strip()
            frame[name] = cells.mask(cells.isin(MISSING))
    return Table(path, frame, lines, len(unnamed))
