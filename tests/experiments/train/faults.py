"""A layer under a program's files: it sees each operation below a folder, and can let it fail.

And a recipe whose trials take no time, to be run on it.
"""

import builtins
import contextlib
import errno
import io
import json
import os
import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

EPOCHS = 3
RECIPE = """\
name: faults
dataset: {name: npz, path: PATH}
classifiers: {fc-a: {units: 2}}
methods:
  ct:
  eef:
    plan: {first_fraction: 0.5, simplification_epochs: 2}
  ft:
    plan: {max_steps: 2, simplification_epochs: 2}
    step: 0.5
  nft:
    plan: {eta_max: 5, simplification_epochs: 2}
    auxiliary: {name: mlp, hidden: 2}
training: {epochs: 3, learning_rate: 0.01, batch_size: 8}
selection: all
seeds: [0]
deterministic: true
"""


class Layer:
    """Sees every open, write, fsync, rename and removal of a file below a folder.

    Args:
        folder: `pathlib.Path`.

    Attributes:
        seen: {operation: None} in their order: what is done, to which file, in the how many-th epoch, and there the
            how many-th time.
    """

    def __init__(self, folder):
        self.folder, self.seen, self._epoch, self._times, self._idle = str(folder), {}, 0, {}, False

    def at(self, operation, path, half):
        """Is called before an operation; `half` does a part of it and takes it back when its result is called."""

    @contextlib.contextmanager
    def at_work(self):
        """A context of one run of the program."""
        self._times = {}
        replaced = [(builtins, "open", self._open), (io, "open", self._open), (os, "open", self._os_open)]
        replaced += [(os, "fsync", self._fsync), (os, "replace", self._replace)]
        replaced += [(os, name, self._removal(getattr(os, name))) for name in ("unlink", "rmdir")]
        before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
        self._real = {(module, name): function for module, name, function in before}
        for module, name, function in replaced:
            setattr(module, name, function)
        try:
            yield
        finally:
            for module, name, function in before:
                setattr(module, name, function)

    def meets(self, what, path, half=lambda: lambda: None):
        """An operation is about to be done."""
        path = _path(path)
        if self._idle or not path.startswith(self.folder):
            return
        name = re.sub(r"\.nft-(.*?)-[a-z0-9_]{8}", r"~\1", os.path.relpath(path, self.folder))
        key = what, name, self._epoch
        self._times[key] = self._times.get(key, 0) + 1
        operation, self._idle = (*key, self._times[key]), True
        try:
            self.at(operation, path, half)
        finally:
            self._idle = False

    def _open(self, file, mode="r", *args, **kwargs):
        path = _path(file)
        if not isinstance(file, int):
            self.meets("open", path)
        if self._idle or not path.startswith(self.folder) or not set(mode) & set("wax+"):
            return self._real[io, "open"](file, mode, *args, **kwargs)
        raw = _File(file, re.sub("[bt]", "", mode), kwargs.get("closefd", True))
        raw.path, raw.layer = path, self
        buffered = io.BufferedRandom(raw) if "+" in raw.mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, kwargs.get("encoding"), newline="")

    def _os_open(self, path, *args, **kwargs):
        self.meets("open", path)
        return self._real[os, "open"](path, *args, **kwargs)

    def _fsync(self, number):
        self.meets("fsync", number)

    def _replace(self, source, target):
        self.meets("rename", target)
        self._real[os, "replace"](source, target)
        self._epoch += Path(target).name == "state.json"

    def _removal(self, function):
        def remove(path, *args, **kwargs):
            self.meets("remove", path)
            return function(path, *args, **kwargs)

        return remove


def _path(file):
    """The path of a file, or of its number, as a str."""
    return os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.fspath(file)


class _File(io.FileIO):
    """A file whose writes the layer sees."""

    def write(self, content):
        self.layer.meets("write", self.path, lambda: self._half(content))
        return super().write(content)

    def _half(self, content):
        begin = self.tell()
        super().write(bytes(content)[: len(content) // 2])
        return lambda: (self.seek(begin), self.truncate())


class Kills(Layer):
    """Keeps what is on the disk at each operation: what a process leaves that is killed there.

    Attributes:
        states: {what is there beside temporary files: {path below the folder: content} of all}.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.states = {}

    def at(self, operation, path, half):
        """Keeps what is there, and what is there when half of it is done."""
        self.seen[operation] = None
        self._keep()
        take_back = half()
        self._keep()
        take_back()

    def _keep(self):
        root = Path(self.folder)
        files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        lasting = {path: content for path, content in files.items() if "tensorboard" not in path.parts}
        lasting = frozenset((str(p), content) for p, content in lasting.items() if not p.name.startswith("."))
        if len(files) >= len(self.states.get(lasting, ())):
            self.states[lasting] = files


class Errors(Layer):
    """Lets the first operation of a run fail that has not failed before, in turn for want of room and by the device.

    Args:
        folder: `pathlib.Path`.
        but: operations that are let pass.

    Attributes:
        fault: the text of the last run's error; None if there was none.
    """

    def __init__(self, folder, but=()):
        super().__init__(folder)
        self.but = but

    @contextlib.contextmanager
    def at_work(self):
        """A context of one run of the program."""
        self.fault, self._epoch = None, self._begun()
        with super().at_work():
            yield

    def at(self, operation, path, half):
        """Fails, or does not."""
        if self.fault or operation[0] == "remove" or operation in self.seen or operation in self.but:
            return
        self.seen[operation] = None
        number = (errno.ENOSPC, errno.EIO)[len(self.seen) % 2]
        self.fault = os.strerror(number)
        raise OSError(number, self.fault, path)

    def _begun(self):
        """The last finished epoch on the disk."""
        if any(Path(self.folder).rglob("result.json")):
            return EPOCHS
        return max((json.loads(path.read_text())["epoch"] for path in Path(self.folder).rglob("state.json")), default=0)


def write_recipe(folder):
    """The recipe, on eight points in the plane; returns its path."""
    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 8), ("valid", 4), ("test", 4)):
        y = np.arange(n) % 2
        arrays |= {f"x_{part}": (rng.normal(size=(n, 2)) + 2 * y[:, None]).astype("float32"), f"y_{part}": y}
    np.savez(folder / "points.npz", **arrays)
    path = folder / "faults.yaml"
    path.write_text(RECIPE.replace("PATH", str(folder / "points.npz")))
    return path


@contextlib.contextmanager
def made_quick(monkeypatch):
    """A context that leaves out of a trial what takes its time and writes nothing: compiling, drawing, shuffling."""
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.config import disable_op_determinism

    from nft_keras.experiments.train import callbacks, trial

    def batches(part, size, seed=None, epoch=None, augment=None, kept=None, **more):
        if kept is not None:
            return real(part, size, seed, epoch, augment, kept, **more)
        return tf.data.Dataset.from_tensor_slices((part.x, part.y)).batch(size)

    real = trial.batches
    monkeypatch.setattr(trial, "batches", batches)
    monkeypatch.setattr(trial, "outputs_of", lambda classifier, x: np.array(classifier(x)))
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **how: file.write(b"a picture"))
    monkeypatch.setattr(keras.backend, "clear_session", lambda: None)
    monkeypatch.setattr(trial, "check_fits", lambda trial, dataset: [])
    monkeypatch.setattr(callbacks, "classes_on", lambda model, grid: np.zeros(1))
    monkeypatch.setattr("nft_keras.pictures.decisions", lambda arrays: Figure())
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
    disable_op_determinism()
