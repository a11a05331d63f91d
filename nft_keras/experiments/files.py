"""Files written whole: whoever reads one sees the old content or the new, never a part."""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import yaml


@contextmanager
def atomic_write(path):
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
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_json(path, value):
    """Writes a value of JSON's types."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_yaml(path, value):
    """Writes a value of YAML's types, keys in their order."""
    with atomic_write(path) as temporary:
        temporary.write_text(yaml.safe_dump(value, sort_keys=False, width=120), encoding="utf-8")


def write_figure(figure, *paths):
    """Writes a Matplotlib Figure to files, in the format of each one's suffix."""
    for path in paths:
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=130)


class OutputError(ValueError):
    """An output folder that cannot be written to."""


@contextmanager
def writing_to(folder, option="--out"):
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
