"""Arrays kept in the data directory between runs: written whole or not at all, damaged ones made again."""

import contextlib
import os
import sys
import uuid

from nft_keras.data import DataError

try:
    import fcntl
except ImportError:  # Windows: two processes may do the same work there, each writes its file whole
    fcntl = None


def read(path, *names):
    """Arrays of a file that `write` wrote.

    Args:
        path: `pathlib.Path`.
        *names: names of the arrays.

    Returns:
        list of arrays, or None if there is no such file. A damaged file is removed, which is said on stderr.

    Raises:
        DataError: if the file may not be read.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # of a damaged file numpy and zipfile raise whatever they stumble over
        print(f"{path}: damaged ({error}), to be made again", file=sys.stderr)
        path.unlink(missing_ok=True)
        return None


def write(path, **arrays):
    """Writes arrays as a compressed npz file; a reader sees the old file, none, or the whole new one.

    Args:
        path: `pathlib.Path`; missing folders are made.
        **arrays: arrays by name.

    Raises:
        DataError: if the file cannot be written.
    """
    import numpy as np

    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                np.savez_compressed(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; choose another --data-dir") from error


@contextlib.contextmanager
def one_at_a_time(path, wait=True, option="--data-dir"):
    """Lets one process at a time through, so that the workers of a sweep do not all download or generate the same.

    Args:
        path: `pathlib.Path` of an empty file in the data directory to lock, made when missing and left where it is.
        wait: bool, whether to wait for the process that is through.
        option: the one that chooses the folder, for the error.

    Raises:
        BlockingIOError: if there is one and nobody wants to wait.
        DataError: if the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; choose another {option}") from error
    with file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
