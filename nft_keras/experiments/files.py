"""Files written whole: whoever reads one sees the old content or the new, never a part."""

import csv
import errno
import glob
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

# What the name of a temporary file or folder begins with: in a trial's folder it is a leftover when a trial begins.
_TEMPORARY = ".nft-"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it takes `path`'s place, on disk.

    Args:
        path: `pathlib.Path` of the file to write; its suffixes are kept, its folder is made.

    Yields:
        `pathlib.Path` of an empty file to write to.
    """
    with _beside(path) as (_, temporary):
        yield temporary


def write_whole(path: str | os.PathLike, content: bytes | memoryview, before: Callable[[], Any] | None = None) -> None:
    """Writes bytes that are in memory.

    Args:
        path: as of `atomic_write`.
        content: the bytes.
        before: called when they are written, and have yet to take `path`'s place.

    Raises:
        OSError: saying how much was to be written, and how much room there is.
    """
    try:
        with _beside(path) as (handle, _):
            with open(handle, "wb", closefd=False) as file:
                file.write(content)
            if before:
                before()
    except OSError as error:
        what = f"{error.strerror or error} ({_megabytes(len(content))} to write{_room(path, error.errno)})"
        raise OSError(error.errno, what, str(path)) from error


@contextmanager
def _beside(path):
    """Handle and path of a temporary file, which takes `path`'s place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, dot, suffix = path.name.partition(".")
    handle, name = tempfile.mkstemp(prefix=f"{_TEMPORARY}{stem}-", suffix=dot + suffix, dir=path.parent)
    try:
        try:
            yield handle, Path(name)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask():
    """What the user keeps others from: a temporary file is its owner's alone, whatever that says."""
    mask = os.umask(0o077)  # to read it is to set it
    os.umask(mask)
    return mask


def _room(path, number):
    """How much room there is beside a file for which there was too little."""
    try:
        return f", {_megabytes(shutil.disk_usage(Path(path).parent).free)} free" if number in _NO_ROOM else ""
    except OSError:
        return ""


def _megabytes(size):
    return f"{size / 1e6:,.3f} MB"


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text in UTF-8."""
    write_whole(path, text.encode())


def as_json(value: Any) -> str:
    """A value of JSON's types as the text of a file."""
    return json.dumps(value, indent=2) + "\n"


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a value of JSON's types."""
    write_text(path, as_json(value))


def write_yaml(path: str | os.PathLike, value: Any) -> None:
    """Writes a value of YAML's types, keys in their order."""
    write_text(path, yaml.safe_dump(value, sort_keys=False, width=120))


def as_csv(rows: Collection[dict[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Rows as the text of a CSV file.

    Args:
        rows: list of {column: value}; what a row has not is left empty.
        columns: iterable of names, in their order; by default all that any row has.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or dict.fromkeys(name for row in rows for name in row))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_csv(path: str | os.PathLike, rows: Collection[dict[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Writes rows as `as_csv` makes them."""
    write_text(path, as_csv(rows, columns))


def write_figure(figure: Any, *paths: str | os.PathLike) -> None:
    """Writes a Matplotlib Figure to files, in the format of each one's suffix."""
    for path in map(Path, paths):
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix[1:], dpi=130)
        write_whole(path, content.getbuffer())


def clear_temporaries(folder: Path) -> None:
    """Removes what a process that was killed was writing, or discarding, in a folder in which no other writes."""
    for path in (*folder.glob(f"{_TEMPORARY}*"), *folder.parent.glob(f"{_TEMPORARY}{glob.escape(folder.name)}-*")):
        remove(path)


def discard(folder: Path) -> None:
    """Removes a folder at once: whoever looks sees all of it, or none. Of a link what it points to stays.

    Raises:
        OSError: if it cannot be removed.
    """
    if not os.path.lexists(folder):
        return
    gone = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{folder.name}-", dir=folder.parent))
    os.replace(folder, gone / "gone")
    remove(gone)


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class OutputError(ValueError):
    """An output folder that cannot be written to."""


@contextmanager
def writing_to(folder: Path, option: str = "--out") -> Iterator[None]:
    """Makes an output folder; what keeps the block from writing there is an error of one line.

    Args:
        folder: `pathlib.Path`.
        option: the one that chooses it, for the error.

    Raises:
        OutputError: saying what it is.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        what, advice = folder, f"choose another {option}"
        if error.errno in _NO_ROOM:
            what, advice = error.filename or folder, "make room, and the same command goes on"
        raise OutputError(f"{what} cannot be written to: {error.strerror or error}; {advice}") from error
