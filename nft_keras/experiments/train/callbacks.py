"""Callbacks that keep what a trial shows: its history, its best classifier, and pictures of the simplified data."""

import contextlib
import csv
import errno
import io
import time

import keras
import numpy as np

from nft_keras._manifest import DamagedError
from nft_keras._text import say
from nft_keras.backend import tensorflow_for_data
from nft_keras.backend.keras_internals import saved
from nft_keras.base import SimplifyingModel
from nft_keras.callbacks import MOMENTS, SimplificationPicture, classes_on, grid_around, moments, seen
from nft_keras.data import scaled
from nft_keras.experiments.files import write_figure, write_text, write_whole
from nft_keras.experiments.selection import rank, rounded
from nft_keras.experiments.train.backup import SNAPSHOT
from nft_keras.experiments.train.too_large import too_large

EXAMPLES = 6


class BestClassifier(keras.callbacks.Callback):
    """Keeps the classifier of the best epoch (`nft_keras.experiments.selection`; of equals the first) as its own file.

    Args:
        backup: `nft_keras.experiments.train.backup.Backup`, for a file of each epoch that was the best when it ended.
        first_epoch: int, the first epoch (from 1) that may be chosen.
        metric: of `nft_keras.experiments.selection.METRICS`.

    Attributes:
        epoch: int, the best epoch so far; None before.
        valid: {"valid_error": float in percent, "valid_loss": ...}, what the epoch is chosen by and those two.
    """

    def __init__(self, backup, first_epoch, metric="error"):
        super().__init__()
        self.backup, self.first_epoch, self.metric = backup, first_epoch, metric
        self.epoch, self.valid = None, {}

    def on_epoch_end(self, epoch, logs=None):
        """Saves the classifier if it is the best so far."""
        names = dict.fromkeys(("error", "loss", self.metric))
        valid = {f"valid_{name}": rounded(name, logs[f"val_{name}"]) for name in names}
        better = self.epoch is None or rank(self.metric, valid) < rank(self.metric, self.valid)
        if epoch + 1 >= self.first_epoch and better:
            self.epoch, self.valid = epoch + 1, valid
            self.backup.write(self.name, saved(self.model.classifier.save, self.name))

    @property
    def name(self):
        """The name of the best epoch's file."""
        return f"best-{self.epoch}.keras"

    def publish(self, path):
        """Writes the best epoch's classifier.

        Args:
            path: `pathlib.Path` of the file.

        Raises:
            DamagedError, OSError: if it is not what was kept.
        """
        self.backup.check(self.name)
        write_whole(path, (self.backup.folder / self.name).read_bytes())


class TestError(keras.callbacks.Callback):
    """Adds the error on the test set to the logs, as `test_error`: to be shown, never to choose by.

    Args:
        data: the test set as minibatches.
        every: int, epochs between two evaluations.
    """

    def __init__(self, data, every):
        super().__init__()
        self.data, self.every = data, every

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates the classifier."""
        if (epoch + 1) % self.every == 0:
            logs["test_error"] = self.model.evaluate(self.data, verbose=0, return_dict=True)["error"]


class History(keras.callbacks.Callback):
    """Writes a CSV row per epoch: errors in percent, epochs from 1; what a method does not have stays empty.

    Args:
        path: `pathlib.Path` of the file.
        also: {column: name in the logs}, columns beside `COLUMNS`.

    Attributes:
        rows: list of lists of str, the header and a row for each finished epoch.
    """

    COLUMNS = {
        "loss": "loss",
        "error": "error",
        "valid_loss": "val_loss",
        "valid_error": "val_error",
        "test_error": "test_error",
        "auxiliary_loss": "auxiliary_loss",
        "perturbation": "perturbation",
        "relative_perturbation": "relative_perturbation",
        "loss_reduction": "loss_reduction",
        "perturbation_steps": "perturbation_steps",
        "eta": "eta",
    }

    def __init__(self, path, also=None):
        super().__init__()
        self.path, self.columns = path, {**self.COLUMNS, **(also or {})}
        self.rows = [["epoch", "phase", *self.columns, "seconds"]]

    def on_train_begin(self, logs=None):
        """Writes what there is."""
        self._write()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch's row."""
        phase = "simplified" if self.model.simplifying else "classic"
        values = [f"{float(logs[name]):.6g}" if name in logs else "" for name in self.columns.values()]
        self.rows.append([str(epoch + 1), phase, *values, f"{time.monotonic() - self.began:.3f}"])
        self._write()

    def _write(self):
        text = io.StringIO()
        csv.writer(text).writerows(self.rows)
        write_text(self.path, text.getvalue())


class TensorBoard(keras.callbacks.Callback):
    """Writes an epoch's logs for TensorBoard, as a single run: Keras' callback makes two, and their names longer.

    Args:
        folder: `pathlib.Path`, the run's.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder, self.tensorflow = folder, tensorflow_for_data()
        with self._telling():
            self.writer = self.tensorflow.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's numbers, and the learning rate with which it began."""
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        with self._telling(), self.writer.as_default(epoch + 1):
            for name, value in {**logs, "learning_rate": rate}.items():
                self.tensorflow.summary.scalar(name, float(value))
            self.writer.flush()

    @contextlib.contextmanager
    def _telling(self):
        """Raises what TensorFlow says of a file as the error of a file."""
        try:
            yield
        except self.tensorflow.errors.OpError as error:
            what = error.message.partition("\n")[0].rpartition("; ")[2]
            raise OSError(errno.EIO, what, str(self.folder)) from error


class Snapshots(keras.callbacks.Callback):
    """Keeps the simplified data of a few moments of the plan in snapshots.npz, and draws them when training ends.

    The file holds `gammas` (m,), `x` (n, ...), `y` (n,), `simplified` (m, n, ...), and for points in the plane `grid`
    (g, g, 2) and `boundary` (m, g, g), the classifier's most probable class on the grid.

    Args:
        folder: `pathlib.Path` of the trial.
        backup: its `nft_keras.experiments.train.backup.Backup`, for a file of each moment until training ends.
        x, y: the examples to show, with their labels.
        gammas: the epochs (from 1) after which they are shown.
        draw: function of these arrays, {name: array}, that returns the Matplotlib Figure of them.
        picture: name of the PNG.
    """

    def __init__(self, folder, backup, x, y, gammas, draw, picture):
        super().__init__()
        self.folder, self.backup, self.x, self.y, self.gammas = folder, backup, x, y, gammas
        self.draw, self.picture = draw, picture
        self.grid = grid_around(x) if x.ndim == 2 and x.shape[1] == 2 else None

    def on_epoch_end(self, epoch, logs=None):
        """Keeps what the epoch's data look like to the classifier."""
        if epoch + 1 not in self.gammas:
            return
        arrays = {"simplified": seen(self.model, self.x, self.y)}
        if self.grid is not None:
            arrays["boundary"] = classes_on(self.model, self.grid)
        self.backup.write(f"{SNAPSHOT}{epoch + 1}.npz", _npz(arrays))

    def on_train_end(self, logs=None):
        """Writes snapshots.npz and the picture."""
        kept = dict(filter(all, ((gamma, self._moment(gamma)) for gamma in self.gammas)))
        arrays = {"gammas": list(kept), "x": self.x, "y": self.y}
        arrays |= {name: [moment[name] for moment in kept.values()] for name in next(iter(kept.values()), ())}
        if self.grid is not None:
            arrays["grid"] = self.grid
        write_whole(self.folder / "snapshots.npz", _npz(arrays))
        write_figure(self.draw(arrays), self.folder / self.picture)

    def _moment(self, gamma):
        """The arrays of a moment; None if there are none, which is said if there were some."""
        name = f"{SNAPSHOT}{gamma}.npz"
        if name not in self.backup.files:
            return None
        try:
            self.backup.check(name)
        except (DamagedError, FileNotFoundError):
            say(f"{self.backup.folder / name} is damaged; the pictures go without it")
            return None
        with np.load(self.backup.folder / name, allow_pickle=False) as arrays:
            return dict(arrays)


def _npz(arrays):
    """Arrays as the content of a compressed npz file."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getbuffer()


class StopAtNaN(keras.callbacks.Callback):
    """Ends the training when a loss is not a number any more, before anything is kept of that epoch.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`, something of which may be too large.
        dataset: its `nft_keras.data.Dataset`, None where it is not known.

    Raises:
        TrainingError: naming the epoch, and what to lower.
    """

    def __init__(self, trial, dataset=None):
        super().__init__()
        self.trial, self.dataset = trial, dataset

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the epoch's losses."""
        for name in ("auxiliary_loss", "loss", "val_loss"):
            if not np.isfinite(logs.get(name, 0.0)):
                lower = too_large(self.trial, logs, self.dataset)
                raise TrainingError(f"{name} is {logs[name]} in epoch {epoch + 1}; lower {lower}")


class AverageStatistics(keras.callbacks.Callback):
    """Before validation gives all replicas the mean of the batch-norm statistics that each has for itself till then."""

    def on_test_begin(self, logs=None):
        """Averages them, of both networks."""
        from nft_keras.backend.distribution import average  # of TensorFlow, which JAX does without

        networks = self.model.networks()
        statistics = [v for network in networks for v in network.non_trainable_variables if "float" in v.dtype]
        average(self.model.distribute_strategy, statistics)


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says in which epoch, why, and what to do."""


def pictures(trial, model, dataset, folder, backup):
    """The callbacks that show how a trial simplifies its data: for images and for points in the plane."""
    from nft_keras.pictures import decisions, simplification

    shape, last = dataset.input_shape, trial.simplification_epochs
    if last < 2 or type(model).simplify is SimplifyingModel.simplify:
        return []
    if shape == (2,) and dataset.task == "classification":
        gammas = [*moments(last, MOMENTS - 1), trial.training.epochs]
        part = dataset.train
        return [Snapshots(folder, backup, part.x, part.y, gammas, decisions, "figure-1.png")]
    if len(shape) != 3:
        return []
    part = dataset.train[:EXAMPLES]
    x = scaled(part.x)
    return [
        Snapshots(folder, backup, x, part.y, moments(last, MOMENTS), simplification, "simplification.png"),
        SimplificationPicture(x, part.y, epochs=range(2, last + 1, max(1, last // 10)), log_dir=folder / "tensorboard"),
    ]
