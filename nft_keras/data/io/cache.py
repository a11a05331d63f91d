"""Arrays kept in the data directory between runs: written whole or not at all, damaged ones made again."""

import contextlib
import errno
import glob
import os
import uuid
import warnings

from nft_keras._text import say
from nft_keras.data import DataError

# What the name of a file ends with that stands in for a lock, and how long it does after its process was killed.
LEASE, LEASE_SECONDS = ".lease", 60.0
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


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
        say(f"{path}: damaged ({error}), to be made again")
        path.unlink(missing_ok=True)
        return None


def write(path, **arrays):
    """Writes arrays as a compressed npz file; a reader sees the old file, none, or the whole new one.

    What processes that were killed left of this file is removed.

    Args:
        path: `pathlib.Path`, which no other process writes meanwhile (`one_at_a_time`); missing folders are made.
        **arrays: arrays by name.

    Raises:
        DataError: if the file cannot be written.
    """
    import numpy as np

    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
            left.unlink(missing_ok=True)
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

    On a file system without locks a warning says so, and the file `path` + `LEASE` stands in for one, which its process
    keeps renewing.

    Args:
        path: `pathlib.Path` of an empty file in the data directory to lock, made when missing and left where it is.
        wait: bool, whether to wait for the process that is through.
        option: the one that chooses the folder, for the error.

    Raises:
        filelock.Timeout: if there is one and nobody wants to wait.
        DataError: if the file cannot be made.
    """
    from filelock import Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _acquired(path, wait)
    except Timeout:
        raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; choose another {option}") from error
    with held:
        yield


def _acquired(path, wait):
    from filelock import FileLock, SoftFileLease

    try:
        return FileLock(path, fallback_to_soft=False).acquire(poll_interval=0.01, blocking=wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    warnings.warn(f"{path.parent}: this file system has no locks; files *{LEASE} stand in for them", stacklevel=4)
    lease = SoftFileLease(path.with_name(path.name + LEASE), lease_duration=LEASE_SECONDS)
    return lease.acquire(blocking=wait)
