import contextlib
import errno
import fcntl
import threading

import filelock
import numpy as np
import pytest

from nft_keras.data import DataError
from nft_keras.data.io import cache


def test_arrays_come_back_as_they_were_and_no_other_file_is_left(tmp_path):
    path = tmp_path / "folder" / "file.npz"
    x = np.random.default_rng(0).random((5, 2)).astype("float32")
    cache.write(path, x=x, stamp=np.array("a:1"))
    stamp, again = cache.read(path, "stamp", "x")
    np.testing.assert_array_equal(again, x)
    assert again.dtype == "float32" and str(stamp) == "a:1"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_written(tmp_path):
    left, others = tmp_path / ".file.npz.5c0e", [tmp_path / ".file-2.npz.5c0e", tmp_path / ".mine"]
    for path in (left, *others):
        path.touch()
    cache.write(tmp_path / "file.npz", x=np.zeros(1))
    assert not left.exists() and all(path.exists() for path in others)


def test_what_is_not_there_is_none(tmp_path):
    assert cache.read(tmp_path / "file.npz", "x") is None


def test_too_little_memory_does_not_make_a_file_damaged(tmp_path, monkeypatch):
    path = tmp_path / "file.npz"
    cache.write(path, x=np.arange(1000))

    def load(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", load)
    with pytest.raises(MemoryError):
        cache.read(path, "x")
    assert path.exists()


@pytest.mark.parametrize("damage", ["empty", "text", "short", "flipped", "other arrays", "pickle"])
def test_a_damaged_file_is_said_removed_and_none(tmp_path, capsys, damage):
    path = tmp_path / "file.npz"
    cache.write(path, x=np.arange(1000))
    good = path.read_bytes()
    middle = len(good) // 2
    broken = {"empty": b"", "text": b"hello", "short": good[:middle]}
    broken["flipped"] = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
    if damage == "other arrays":
        cache.write(path, y=np.arange(1000))
    elif damage == "pickle":
        np.savez(path, x=np.array([{}], dtype=object))
    else:
        path.write_bytes(broken[damage])
    assert cache.read(path, "x") is None
    assert str(path) in capsys.readouterr().err
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    for attempt in (lambda path: cache.write(path, x=np.zeros(1)), lambda path: cache.one_at_a_time(path).__enter__()):
        with pytest.raises(DataError, match=f"cannot write {tmp_path}/file/x.*--data-dir"):
            attempt(tmp_path / "file" / "x")


@pytest.fixture(params=["locks", "no locks"])
def locks(request, monkeypatch):
    """A file system with locks, and one without."""

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param == "no locks":
        monkeypatch.setattr(fcntl, "flock", flock)
        return pytest.warns(UserWarning, match="this file system has no locks")
    return contextlib.nullcontext()


def test_only_one_at_a_time_passes(tmp_path, locks):
    path, order = tmp_path / "folder" / "lock", []

    def second():
        with cache.one_at_a_time(path):
            order.append("second")

    waiting = threading.Thread(target=second)
    with locks, cache.one_at_a_time(path):
        with pytest.raises(filelock.Timeout), cache.one_at_a_time(path, wait=False):
            pass
        waiting.start()
        waiting.join(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
