"""Reads CSV files; whatever is wrong with one is told with the file, the line and the column."""

import collections
import csv
import math
import re

from nft_keras._checks import suggest
from nft_keras.data import DataError

# No line of a table or a text is longer; a file without line ends (zeros, another format) must not be read into the
# memory.
LONGEST_LINE = 1 << 26


# pandas fills up rows that are too short, renames columns of one name and does not know where in the file a row stands.
def read_table(path, skipped=None):
    """Reads a CSV file: UTF-8, commas, a header, quotes where a cell has a comma, a quote or a line break in it.

    Args:
        path: `pathlib.Path`.
        skipped: list; a row that is longer or shorter than the header is left out, and what is wrong appended to it.

    Yields:
        First the header, a list of str; then (line, cells) for every row: the number of the line in the file where
        the row ends, and a list of str as long as the header. Empty lines are left out.

    Raises:
        DataError: if the file cannot be read, is not UTF-8, or has a row that is longer or shorter than the header.
    """
    csv.field_size_limit(LONGEST_LINE)  # a long text in a cell is no mistake
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(_lines(path, file), strict=True)
            try:
                yield from _rows(path, rows, skipped)
            except csv.Error as error:
                raise DataError(f"{path}:{rows.line_num}: {error}") from error
            except UnicodeDecodeError as error:
                after = f"after line {rows.line_num}"
                raise DataError(f"{path} is not UTF-8 {after} ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def column(path, header, name):
    """Where a column of that name is in the header.

    Raises:
        DataError: if there is none, with the columns there are.
    """
    if name not in header:
        if len(header) == 1 and (found := [mark for mark in ";\t|" if mark in header[0]]):
            raise DataError(f"{path}: {found[0]!r} separates its columns; write it with commas")
        there_are = ", ".join(header[:20]) + (f" and {len(header) - 20} more" if len(header) > 20 else "")
        raise DataError(f"{path} has no column {name!r}; it has {there_are}{suggest(name, header)}")
    return header.index(name)


def _lines(path, file):
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{path}: not a table, it has a line of more than {LONGEST_LINE:,} characters")
        yield line


def number_in(path, line, name, cell):
    """The number in a cell.

    Raises:
        DataError: if it is not a finite one, with the line and the name of the column.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        got = repr(cell if len(cell) <= 40 else f"{cell[:40]}...")
        advice = f"; of a column of text `text: {name}` makes features" if re.search("[^\\W\\d_]{2}.* ", cell) else ""
        raise DataError(f"{path}:{line}: column {name!r} should be a finite number, got {got}{advice}")
    return value


def skip(skipped, message):
    """Appends what is wrong with an example to a list, or refuses it where there is no list.

    Raises:
        DataError: with the message.
    """
    if skipped is None:
        raise DataError(message)
    skipped.append(message)


def _rows(path, rows, skipped):
    header = next((row for row in rows if row), None)
    if header is None:
        raise DataError(f"{path} is empty; its first line should name the columns")
    header = [name.strip() for name in header]
    if twice := [name for name, count in collections.Counter(header).items() if count > 1]:
        raise DataError(f"{path}:{rows.line_num}: two columns are called {twice[0]!r}")
    yield header
    for row in rows:
        if row and len(row) != len(header):
            skip(skipped, f"{path}:{rows.line_num}: {len(row)} cells, the header has {len(header)} columns")
        elif row:
            yield rows.line_num, row
