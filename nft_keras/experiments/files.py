"""Files written whole: whoever reads one sees the old content or the new, never a part."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it takes `path`'s place, on disk.

    Args:
        path: `pathlib.Path` of the file to write; its suffixes are kept, its folder is made.

    Yields:
        `pathlib.Path` to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, dot, suffix = path.name.partition(".")
    handle, name = tempfile.mkstemp(prefix=f".{stem}-", suffix=dot + suffix, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask():
    """What the user keeps others from: a temporary file is its owner's alone, whatever that says."""
    mask = os.umask(0o077)  # to read it is to set it
    os.umask(mask)
    return mask


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a value of JSON's types."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_yaml(path: str | os.PathLike, value: Any) -> None:
    """Writes a value of YAML's types, keys in their order."""
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(value, sort_keys=False, width=120), encoding="utf-8")


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
    with atomic_write(path) as temporary:
        temporary.write_text(as_csv(rows, columns), encoding="utf-8", newline="")


def write_figure(figure: Any, *paths: str | os.PathLike) -> None:
    """Writes a Matplotlib Figure to files, in the format of each one's suffix."""
    for path in paths:
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=130)


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
        why = error.strerror or error
        raise OutputError(f"{folder} cannot be written to: {why}; choose another {option}") from error
