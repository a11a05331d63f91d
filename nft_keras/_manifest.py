"""Length and digest of the files of a folder, kept in one of them, so that what is damaged is told when it is read."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = "files.json"
AGAIN = "train this trial again with --fresh"
Entry = dict[str, Any]


class DamagedError(ValueError):
    """A file that is not what was written; the message names it, and what to do."""


def entry(content: bytes | memoryview) -> Entry:
    """What is kept of a file's content: its length in bytes, and its SHA-256."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def seal(value: Mapping[str, Any]) -> bytes:
    """A mapping of JSON's types as the content of a file that has its own digest in it."""
    return json.dumps({**value, "seal": _digest(value)}, indent=1).encode()


def unseal(path: str | os.PathLike, advice: str = AGAIN) -> dict[str, Any]:
    """The mapping in a file that `seal` made; one that never had a seal is taken as it is.

    Args:
        path: the file.
        advice: what the error says to do.

    Raises:
        DamagedError: if it is no such file any more.
        OSError: if it cannot be read.
    """
    try:
        value = json.loads(Path(path).read_bytes())
        kept = value.pop("seal", None)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise DamagedError(f"{path} is damaged: it cannot be read as JSON; {advice}") from None
    if (kept is not None or "files" in value) and kept != _digest(value):
        raise DamagedError(f"{path} is damaged: its digest is not that of its content; {advice}")
    return value


def read(folder: str | os.PathLike) -> dict[str, Entry]:
    """{name: what `entry` gave} of the files that a folder's manifest lists; {} where there is none.

    Raises:
        DamagedError: if the manifest is damaged.
        OSError: if it cannot be read.
    """
    path = Path(folder, FILE)
    try:
        files = unseal(path, f"remove it to take the trial's files as they are, or {AGAIN}").get("files")
    except FileNotFoundError:
        return {}
    entries = files.values() if isinstance(files, dict) else [None]
    if not all(isinstance(each, dict) and {"bytes", "sha256"} <= each.keys() for each in entries):
        raise DamagedError(f"{path} is damaged: it lists no files; {AGAIN}")
    return files


def check(folder: str | os.PathLike, files: Mapping[str, Entry], names: Iterable[str] | None = None) -> None:
    """Compares files with what is listed of them; what is not listed is not looked at.

    Args:
        folder: where they are.
        files: {name: what `entry` gave}.
        names: those to look at; by default all, of which any may be gone.

    Raises:
        DamagedError: naming the first one that is not what was written.
        FileNotFoundError: if one of the names is not there.
        OSError: if one cannot be read.
    """
    listed = set(files).intersection(files if names is None else names)
    for name in sorted(listed):
        path = Path(folder, name)
        try:
            _compare(path, files[name])
        except FileNotFoundError:
            if names is not None:
                raise


def check_listed(folder: str | os.PathLike, *names: str) -> None:
    """Compares files of a folder that are there with its manifest, if it has one.

    Raises:
        DamagedError, OSError: as `check` and `read`.
    """
    check(folder, read(folder), [name for name in names if os.path.lexists(Path(folder, name))])


def _compare(path, listed):
    if (size := os.stat(path).st_size) != listed["bytes"]:
        raise DamagedError(f"{path} is damaged: it has {size:,} bytes, {listed['bytes']:,} were written; {AGAIN}")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != listed["sha256"]:
        raise DamagedError(f"{path} is damaged: its digest is not the one that was written; {AGAIN}")


def _digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
