"""Reads .amat files, the text tables in which Larochelle et al. (2007) published their data, also out of a zip."""

import contextlib
import io
import itertools
import lzma
import zipfile
import zlib
from pathlib import PurePosixPath

import numpy as np

from nft_keras.data import DataError

PIXELS = 784
# A pixel is written with at most some twenty characters; a longer line is no row of such a table.
_LONGEST_LINE = 64 * (PIXELS + 1)
# Interpolation may overshoot [0, 1] a little; a table of 0..255 or of anything else is refused.
_OVERSHOOT = 0.1


def read(path, member, rows, num_classes):
    """Reads a table of 28x28 images: a row is 784 pixels in [0, 1] and a label, separated by blanks.

    Args:
        path: `pathlib.Path` of the .amat file, or of a zip that holds it. Nothing is unpacked to the disk.
        member: the table's path inside a zip, as published; it may have moved to another folder.
        rows: int, the number of rows it must have.
        num_classes: int; labels are integers in [0, num_classes).

    Returns:
        x: float32 array (rows, 784).
        y: int32 array (rows,).

    Raises:
        DataError: naming the file, the line where there is one, and what is wrong.
    """
    name = f"{path}/{member}" if path.suffix == ".zip" else str(path)
    x, y = np.empty((rows, PIXELS), "float32"), np.empty(rows, "int32")
    done = line = 0
    try:
        with _open(path, member) as file:
            # Slices of some 20 MB of text bound the memory: the tables unpack to 600 MB.
            while lines := list(itertools.islice(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 2000)):
                table, numbers = _parse(lines, line, name)
                line += len(lines)
                if done + len(table) > rows:
                    raise DataError(f"{name}: more than the {rows:,} rows that were published")
                _check(table, numbers, num_classes, name)
                x[done : done + len(table)] = table[:, :PIXELS]
                y[done : done + len(table)] = table[:, PIXELS]
                done += len(table)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise DataError(f"{name}: cannot be read, damaged or cut short ({error}); get it again") from error
    if done < rows:
        raise DataError(f"{name}: {done:,} rows instead of the {rows:,} that were published; get it again")
    return x, y


@contextlib.contextmanager
def _open(path, member):
    if path.suffix != ".zip":
        with open(path, "rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            if "\\" in name or ":" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(f"{path}: not a published archive, it has an entry that leaves its folder: {name!r}")
        ends = [f"/{member}", f"/{PurePosixPath(member).name}"]
        found = next((found for end in ends if (found := [name for name in names if f"/{name}".endswith(end)])), [])
        if len(found) != 1:
            raise DataError(f"{path}: {len(found)} entries {member} instead of one; it has {', '.join(names[:6])}")
        with archive.open(found[0]) as file:
            yield io.BufferedReader(file, 1 << 20)


def _parse(lines, before, name):
    """The rows of some lines (blank lines and # comments are none) and the number of the line of each row."""
    numbers = [before + i for i, text in enumerate(lines, 1) if text.strip() and not text.lstrip().startswith(b"#")]
    if not numbers:
        return np.empty((0, PIXELS + 1), "float32"), numbers
    try:
        table = np.loadtxt([text.decode("ascii") for text in lines], dtype="float32", ndmin=2)
        if table.shape == (len(numbers), PIXELS + 1):
            return table, numbers
    except ValueError:
        pass
    for number in numbers:
        text = lines[number - before - 1]
        values = text.split()
        if len(text) > _LONGEST_LINE or len(values) != PIXELS + 1:
            count = "too many" if len(text) > _LONGEST_LINE else len(values)
            raise DataError(f"{name}, line {number}: {count} columns instead of {PIXELS + 1}")
        for value in values:
            try:
                float(value)
            except ValueError:
                raise DataError(f"{name}, line {number}: {value[:20].decode('latin-1')!r} is not a number") from None
    raise DataError(f"{name}, lines {numbers[0]} to {numbers[-1]}: not a table of numbers")


def _check(table, numbers, num_classes, name):
    pixels, labels = table[:, :PIXELS], table[:, PIXELS]
    # Written so that NaN fails too.
    bad = ~((pixels >= -_OVERSHOOT) & (pixels <= 1 + _OVERSHOOT))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(f"{name}, line {numbers[row]}: pixel {column + 1} is {pixels[row, column]}, not in [0, 1]")
    bad = ~np.isin(labels, range(num_classes))
    if bad.any():
        row = bad.argmax()
        raise DataError(f"{name}, line {numbers[row]}: label {labels[row]:g} is none of 0 to {num_classes - 1}")
