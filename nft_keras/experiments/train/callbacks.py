"""Callbacks that keep what a trial shows: its history, its best classifier, and pictures of the simplified data."""

import csv
import time

import keras
import numpy as np

from nft_keras.backend import tensorflow_for_data
from nft_keras.base import SimplifyingModel
from nft_keras.callbacks import MOMENTS, SimplificationPicture, classes_on, grid_around, moments, seen
from nft_keras.experiments.files import atomic_write, write_figure
from nft_keras.experiments.selection import rank, rounded
from nft_keras.experiments.train.too_large import too_large

EXAMPLES = 6


class BestClassifier(keras.callbacks.Callback):
    """Keeps the classifier of the best epoch (`nft_keras.experiments.selection`; of equals the first) as its own file.

    Args:
        folder: `pathlib.Path`, for the files, one for each epoch that was the best when it ended.
        first_epoch: int, the first epoch (from 1) that may be chosen.
        metric: of `nft_keras.experiments.selection.METRICS`.

    Attributes:
        epoch: int, the best epoch so far; None before.
        valid: {"valid_error": float in percent, "valid_loss": ...}, what the epoch is chosen by and those two.
    """

    def __init__(self, folder, first_epoch, metric="error"):
        super().__init__()
        self.folder, self.first_epoch, self.metric = folder, first_epoch, metric
        self.epoch, self.valid = None, {}

    def on_epoch_end(self, epoch, logs=None):
        """Saves the classifier if it is the best so far."""
        names = dict.fromkeys(("error", "loss", self.metric))
        valid = {f"valid_{name}": rounded(name, logs[f"val_{name}"]) for name in names}
        better = self.epoch is None or rank(self.metric, valid) < rank(self.metric, self.valid)
        if epoch + 1 >= self.first_epoch and better:
            self.epoch, self.valid = epoch + 1, valid
            with atomic_write(self.path) as temporary:
                self.model.classifier.save(temporary)

    @property
    def path(self):
        """The best epoch's file."""
        return self.folder / f"best-{self.epoch}.keras"

    def forget_others(self):
        """Removes the files of epochs that were the best once."""
        for path in self.folder.glob("best-*.keras"):
            if path != self.path:
                path.unlink()


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
        finished: int, the epochs that a training that is taken up again had finished; their rows stay.
        also: {column: name in the logs}, columns beside `COLUMNS`.
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

    def __init__(self, path, finished=0, also=None):
        super().__init__()
        self.path, self.finished, self.columns = path, finished, {**self.COLUMNS, **(also or {})}

    def on_train_begin(self, logs=None):
        """Writes the header, and the rows of finished epochs again."""
        rows = [["epoch", "phase", *self.columns, "seconds"]]
        if self.finished:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[: 1 + self.finished]
        with atomic_write(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Appends the epoch's row."""
        phase = "simplified" if self.model.simplifying else "classic"
        values = [f"{float(logs[name]):.6g}" if name in logs else "" for name in self.columns.values()]
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([epoch + 1, phase, *values, f"{time.monotonic() - self.began:.3f}"])


class TensorBoard(keras.callbacks.Callback):
    """Writes an epoch's logs for TensorBoard, as a single run: Keras' callback makes two, and their names longer.

    Args:
        folder: `pathlib.Path`, the run's.
    """

    def __init__(self, folder):
        super().__init__()
        self.summary = tensorflow_for_data().summary
        self.writer = self.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's numbers, and the learning rate with which it began."""
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        with self.writer.as_default(epoch + 1):
            for name, value in {**logs, "learning_rate": rate}.items():
                self.summary.scalar(name, float(value))
        self.writer.flush()


class Snapshots(keras.callbacks.Callback):
    """Keeps the simplified data of a few moments of the plan in snapshots.npz, and draws them when training ends.

    The file holds `gammas` (m,), `x` (n, ...), `y` (n,), `simplified` (m, n, ...), and for points in the plane `grid`
    (g, g, 2) and `boundary` (m, g, g), the classifier's most probable class on the grid.

    Args:
        folder: `pathlib.Path` of the trial; until training ends, each moment has a file of its own in its `backup/`.
        x, y: the examples to show, with their labels.
        gammas: the epochs (from 1) after which they are shown.
        draw: function of these arrays, {name: array}, that returns the Matplotlib Figure of them.
        picture: name of the PNG.
    """

    def __init__(self, folder, x, y, gammas, draw, picture):
        super().__init__()
        self.folder, self.x, self.y, self.gammas, self.draw, self.picture = folder, x, y, gammas, draw, picture
        self.grid = grid_around(x) if x.ndim == 2 and x.shape[1] == 2 else None

    def on_epoch_end(self, epoch, logs=None):
        """Keeps what the epoch's data look like to the classifier."""
        if epoch + 1 not in self.gammas:
            return
        arrays = {"simplified": seen(self.model, self.x, self.y)}
        if self.grid is not None:
            arrays["boundary"] = classes_on(self.model, self.grid)
        with atomic_write(self._moment(epoch + 1)) as temporary:
            np.savez_compressed(temporary, **arrays)

    def on_train_end(self, logs=None):
        """Writes snapshots.npz and the picture."""
        gammas = [gamma for gamma in self.gammas if self._moment(gamma).exists()]
        kept = [np.load(self._moment(gamma), allow_pickle=False) for gamma in gammas]
        arrays = {"gammas": gammas, "x": self.x, "y": self.y}
        arrays |= {name: [moment[name] for moment in kept] for name in (kept[0].files if kept else ())}
        if self.grid is not None:
            arrays["grid"] = self.grid
        with atomic_write(self.folder / "snapshots.npz") as temporary:
            np.savez_compressed(temporary, **arrays)
        write_figure(self.draw(arrays), self.folder / self.picture)

    def _moment(self, gamma):
        return self.folder / "backup" / f"snapshot-{gamma}.npz"


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


def pictures(trial, model, dataset, folder):
    """The callbacks that show how a trial simplifies its data: for images and for points in the plane."""
    from nft_keras.pictures import decisions, simplification

    shape, last = dataset.input_shape, trial.simplification_epochs
    if last < 2 or type(model).simplify is SimplifyingModel.simplify:
        return []
    if shape == (2,) and dataset.task == "classification":
        gammas = [*moments(last, MOMENTS - 1), trial.training.epochs]
        part = dataset.train
        return [Snapshots(folder, part.x, part.y, gammas, decisions, "figure-1.png")]
    if len(shape) != 3:
        return []
    part = dataset.train[:EXAMPLES]
    x = part.x / 255.0 if part.x.dtype == np.uint8 else part.x
    x = x.astype("float32")
    return [
        Snapshots(folder, x, part.y, moments(last, MOMENTS), simplification, "simplification.png"),
        SimplificationPicture(x, part.y, epochs=range(2, last + 1, max(1, last // 10)), log_dir=folder / "tensorboard"),
    ]
