"""A fingerprint of files of the user's own, or of examples, which tells whether they have changed since a training."""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

# What is read whole: so many bytes in so many files take a second or less. Of more the size and the time of the last
# change stand for the content.
_MOST_BYTES, _MOST_FILES = 1 << 26, 2000
_LEFT_BY_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini")
_DEEPEST = 8  # a link may lead back up


def fingerprint(paths: Iterable[Path]) -> str | None:
    """A digest of the content of files, and of all files in folders; hidden ones are left out.

    Above 64 MiB or 2,000 files it is one of their sizes and times.

    Args:
        paths: iterable of `pathlib.Path`.

    Returns:
        "content:..." or "size-and-time:...", or None where something cannot be read: whoever loads it says so.
    """
    digest = hashlib.sha256()
    try:
        found = [(file, *entry) for path in paths for file, *entry in _files(path)]
        whole = len(found) <= _MOST_FILES and sum(status.st_size for _, _, status in found) <= _MOST_BYTES
        for file, name, status in found:
            read = whole and stat.S_ISREG(status.st_mode)  # of a pipe there would be no end
            of_file = hashlib.sha256(Path(file).read_bytes()).hexdigest() if read else status.st_mtime_ns
            digest.update(f"{os.fsencode(name)!r} {status.st_size} {of_file}\n".encode())
    except OSError:
        return None
    return f"{'content' if whole else 'size-and-time'}:{digest.hexdigest()[:16]}"


def of_examples(dataset: Any) -> str:
    """A digest of how many examples there are, of what shape, with which classes, and, of bytes, of all their pixels.

    Features with a point are left out: their last digit may be another one on another machine.

    Args:
        dataset: `nft_keras.data.Dataset`.

    Returns:
        "examples:...".
    """
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.valid, dataset.test):
        digest.update(f"{part.x.shape} {part.x.dtype} {part.y.shape}\n".encode())
        for array in (part.x, part.y):
            if isinstance(array, np.ndarray) and array.dtype.kind in "iu":
                digest.update(np.ascontiguousarray(array))
    return f"examples:{digest.hexdigest()[:16]}"


def differ(one: str | None, other: str | None) -> bool:
    """Whether fingerprints say that data are not the same; an unknown one, or two of different kinds, say nothing."""
    if one is None or other is None:
        return False
    return one != other and kind(one) == kind(other)


def kind(of: str) -> str:
    """What a fingerprint is of: "content", "size-and-time" or "examples"."""
    return of.partition(":")[0]


def hidden(name: str) -> bool:
    """Whether a name is that of what systems leave beside a user's files, as .DS_Store, __MACOSX or Thumbs.db."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _files(path):
    """(path, name, `os.stat_result`) of a file, or of those in a folder, in the order of their names."""
    if not os.path.isdir(path):
        return [(path, "", os.stat(path))]
    found, folders = [], [(path, "")]
    while folders:
        folder, name = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if hidden(entry.name):
                    continue
                if entry.is_dir():
                    folders += [(entry.path, f"{name}{entry.name}/")] if name.count("/") < _DEEPEST else []
                elif os.path.exists(entry.path):  # else a link that leads nowhere
                    found.append((entry.path, name + entry.name, entry.stat()))
    return sorted(found, key=lambda each: os.fsencode(each[1]))
