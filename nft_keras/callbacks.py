"""Callbacks that show altered data: pictures, a plan's curves, a film; and whether altered data are easier."""

import base64
import io
import math
import os
import sys
import tempfile
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nft_keras import backend
from nft_keras._checks import whole_number
from nft_keras._fit_data import is_dataset, rows_of
from nft_keras.backend import tensorflow_for_data
from nft_keras.base import SimplifyingModel
from nft_keras.places import layers_of

# So many training examples are enough to see whether the altered ones are easier, and cost next to nothing.
COMPARED = 100
MOMENTS = 6  # epochs of a picture
FIRST, FRAMES = 10, 60  # epochs of a film: all at first, where data change most, and so many in all, about


class Picture(keras.callbacks.Callback):
    """Keeps something of each epoch and draws it when training ends: into a file, or below the cell of a notebook.

    A training that goes on with `initial_epoch` adds to it. `FriendlyModel.fit` calls pictures before the plan, which
    drops what they show, wherever in the list they stand.

    Args:
        path: of the file; its folder is made. None: it is shown in the notebook.
        needed: bool, whether it would be for nothing without a path and outside a notebook.

    Attributes:
        kept: {epoch from 1: what a subclass keeps of it}.

    Raises:
        ValueError: for a path of another suffix, or if it would be for nothing.
    """

    suffixes = (".png", ".pdf", ".svg")

    def __init__(self, path, needed=True):
        super().__init__()
        self.path, self.kept = None if path is None else Path(path), {}
        self._drawn = needed or path is not None
        if path is None and needed and not _in_notebook():
            raise ValueError(f"{type(self).__name__} needs a path, which only a notebook does without")
        if path is not None and self.path.suffix not in self.suffixes:
            allowed = " or ".join(self.suffixes)
            raise ValueError(f"the path of {type(self).__name__} must end with {allowed}, got {str(path)!r}")

    def draw(self):
        """The Matplotlib Figure of what was kept."""
        raise NotImplementedError

    def on_epoch_begin(self, epoch, logs=None):
        """Forgets epochs that are trained anew."""
        self.kept = {gamma: kept for gamma, kept in self.kept.items() if gamma <= epoch}

    def on_train_end(self, logs=None):
        """Writes or shows what was kept, if anything was."""
        if self.kept and self._drawn:
            self.output()

    def output(self):
        """Writes the figure, or shows it."""
        _put(self.draw(), self.path)


class SimplificationPicture(Picture):
    """Shows a few images x, the change delta and what the classifier sees, x + delta, after some epochs of the plan.

    It is for `FriendlyModel` and `FriendlyTraining`; of a training that alters nothing there is no picture. Friendly
    Training alters an example the less, the more there are in its minibatch: what is shown is of a minibatch of x.

    Args:
        x: array (n, height, width) or (n, height, width, channels) of a few images, with 1 or 3 channels.
        y: their labels; needed if x is altered by them.
        path: of the file, PNG, PDF or SVG, that is written when training ends. None: it is shown in a notebook, unless
            there is a log_dir.
        epochs: iterable of ints >= 1, the epochs after which the images are kept; None: six, spread over the plan.
        log_dir: folder for TensorBoard, where x, delta and x + delta come one above the other after each of these
            epochs. `LOGS/train` is the run that `keras.callbacks.TensorBoard(LOGS)` writes: they are added to it.

    Raises:
        ValueError: for x of another shape, and for neither path nor log_dir outside a notebook; when training begins,
            for another kind of model.

    Example:

        plan = DevelopmentalPlan(eta_max=20.0, simplification_epochs=8)
        picture = SimplificationPicture(x[:6], y[:6], "simplification.png")
        model.fit(x, y, epochs=12, callbacks=[plan, picture])
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        path: str | os.PathLike | None = None,
        epochs: Iterable[int] | None = None,
        log_dir: str | os.PathLike | None = None,
    ) -> None:
        super().__init__(path, needed=log_dir is None)
        self.x, self.y, self.log_dir = np.asarray(x), y, log_dir
        self.epochs = None if epochs is None else tuple(epochs)
        if self.x.ndim not in (3, 4) or (self.x.ndim == 4 and self.x.shape[3] not in (1, 3)):
            raise ValueError(f"SimplificationPicture shows images of 1 or 3 channels, got x of shape {self.x.shape}")

    def on_train_begin(self, logs=None):
        """Chooses the epochs."""
        alters = isinstance(self.model, SimplifyingModel) and type(self.model).simplify is not SimplifyingModel.simplify
        if not alters:
            raise ValueError(f"SimplificationPicture needs a model that alters data, got a {type(self.model).__name__}")
        if self.model.alters is not None:
            raise ValueError(
                f"SimplificationPicture shows x that is altered itself, the model alters {self.model.alters!r}"
            )
        last = min(_plan_length(self.model), self.params["epochs"])
        self._shown, self._writer = self.epochs or moments(last, MOMENTS), None

    def on_epoch_end(self, epoch, logs=None):
        """Keeps what the images are like now."""
        if epoch + 1 in self._shown and self.model.simplifying:
            self.kept[epoch + 1] = altered = _with_channels(seen(self.model, self.x, self.y))
            if self.log_dir is not None:
                self._log(epoch + 1, altered)

    def _log(self, gamma, altered):
        from nft_keras.pictures import image_rows

        summary = tensorflow_for_data().summary
        self._writer = self._writer or summary.create_file_writer(str(self.log_dir))
        with self._writer.as_default():
            summary.image("x, delta, x + delta", image_rows(_with_channels(self.x), altered)[None], step=gamma)
        self._writer.flush()

    def draw(self):
        """The figure, a row for each image."""
        from nft_keras.pictures import simplification

        kept = {"gammas": list(self.kept), "simplified": list(self.kept.values())}
        return simplification({"x": _with_channels(self.x), **kept})


class DecisionFilm(Picture):
    """Shows how the classifier divides the plane, and the points as it sees them, epoch by epoch: a film and a still.

    It is for points in the plane and any Keras model with an output per class, a plain one too.

    Args:
        x: array (n, 2).
        y: their labels, class indices or one-hot.
        path: of the animated GIF that is written when training ends; six of its epochs come as a PNG of the same name.
            None: both are shown in a notebook.
        every: int >= 1, the epochs from one frame to the next after the tenth; None: for about sixty frames.

    Raises:
        ValueError: for x of another shape, every out of its range, another suffix of the path, or no path outside a
            notebook; in training, for a model without an output per class.

    Example:

        plan = DevelopmentalPlan(eta_max=20.0, simplification_epochs=200)
        model.fit(x, y, epochs=250, callbacks=[plan, DecisionFilm(x, y, "moons.gif")])
    """

    suffixes = (".gif",)

    def __init__(self, x: Any, y: Any, path: str | os.PathLike | None = None, every: int | None = None) -> None:
        super().__init__(path)
        self.x, self.y = np.asarray(x, "float32"), np.asarray(y)
        if self.x.ndim != 2 or self.x.shape[1] != 2:
            raise ValueError(f"DecisionFilm shows points in the plane, got x of shape {self.x.shape}")
        if every is not None:
            every = whole_number("every", every, least=1)
        self.every = every
        self.grid = grid_around(self.x)

    def on_train_begin(self, logs=None):
        """Chooses the epochs."""
        self._every = self.every or max(1, self.params["epochs"] // FRAMES)

    def on_epoch_end(self, epoch, logs=None):
        """Keeps a frame."""
        gamma, last = epoch + 1, self.params["epochs"]
        if gamma <= FIRST or gamma % self._every == 0 or gamma == last:
            self.kept[gamma] = (seen(self.model, self.x, self.y), classes_on(self.model, self.grid))

    def draw(self):
        """The figure of up to six epochs: of the plan, and the last one."""
        from nft_keras.pictures import decisions

        last = max(self.kept)
        wanted = moments(min(_plan_length(self.model), last), MOMENTS - 1) or moments(last, MOMENTS)
        nearest = (min(self.kept, key=lambda gamma: abs(gamma - moment)) for moment in (*wanted, last))
        return decisions(self._arrays(dict.fromkeys(nearest)))

    def output(self):
        """Writes film and figure, or shows them."""
        from nft_keras.pictures import decision_film

        with tempfile.TemporaryDirectory() as folder:
            path = self.path or Path(folder, "film.gif")
            path.parent.mkdir(parents=True, exist_ok=True)
            decision_film(self._arrays(self.kept), path)
            if not self.path:
                from IPython.display import HTML, display

                content = base64.b64encode(path.read_bytes()).decode()
                display(HTML(f'<img alt="decision boundary, epoch by epoch" src="data:image/gif;base64,{content}">'))
        _put(self.draw(), self.path and self.path.with_suffix(".png"))

    def _arrays(self, gammas):
        points, boundaries = zip(*(self.kept[gamma] for gamma in gammas), strict=True)
        y = self.y.argmax(1) if self.y.ndim == 2 and self.y.shape[1] > 1 else self.y.reshape(-1)
        arrays = {"gammas": list(gammas), "simplified": points, "boundary": boundaries}
        return {"x": self.x, "y": y, "grid": self.grid, **arrays}


class PlanCurve(Picture):
    """Draws eta, the perturbation and the losses epoch by epoch, with the end of the plan marked.

    Args:
        path: of the file, PNG, PDF or SVG, that is written when training ends. None: it is shown in a notebook.

    Raises:
        ValueError: for a path of another suffix, or none outside a notebook.

    Example:

        plan = DevelopmentalPlan(eta_max=20.0, simplification_epochs=8)
        model.fit(x, y, epochs=12, validation_data=(x_valid, y_valid), callbacks=[plan, PlanCurve("plan.png")])
    """

    def __init__(self, path: str | os.PathLike | None = None) -> None:
        super().__init__(path)

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the logs."""
        self.kept[epoch + 1] = {name: float(value) for name, value in (logs or {}).items()}

    def draw(self):
        """The figure, a panel for each of what the logs have."""
        from nft_keras.pictures import plan_curves

        over = _plan_length(self.model)
        return plan_curves(self.kept, over if 1 < over <= max(self.kept) else None)


def moments(last, n):
    """At most n epochs from 2 to last, evenly spread; none if there are none."""
    return sorted({int(gamma) for gamma in np.linspace(2, last, n).round()}) if last > 1 else []


def seen(model, x, y=None):
    """Examples as the classifier sees them in training now, altered or as they are: a float32 array."""
    if isinstance(model, SimplifyingModel) and model.simplifying and model.alters is None:
        with backend.inference():
            x = model.simplify(x, y)
    return keras.ops.convert_to_numpy(x).astype("float32")


def grid_around(x):
    """Points of the plane around points x (n, 2), a float32 array (150, 150, 2)."""
    low, high = x.min(0) - 0.7, x.max(0) + 0.7
    return np.stack(np.meshgrid(*np.linspace(low, high, 150).T), axis=-1).astype("float32")


def classes_on(model, grid):
    """The most probable class on a grid (g, g, 2) in the plane, a uint8 array (g, g).

    Raises:
        ValueError: if the model has not an output per class.
    """
    parts = np.array_split(grid.reshape(-1, 2), 6)
    with backend.inference():
        outputs = np.concatenate([keras.ops.convert_to_numpy(model(part, training=False)) for part in parts])
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"a picture of the plane needs an output per class, the model has one of {outputs.shape}")
    return outputs.argmax(1).reshape(grid.shape[:2]).astype("uint8")


def _plan_length(model):
    """The last epoch of the plan that a model follows; 0 without one."""
    plan = model.plan if isinstance(model, SimplifyingModel) else None
    return plan.simplification_epochs if plan else 0


def _with_channels(images):
    return images if images.ndim == 4 else images[..., None]


def _put(figure, path):
    """Writes a figure, or shows it below a notebook's cell."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        return
    from IPython.display import Image, display

    content = io.BytesIO()
    figure.savefig(content, dpi=110)
    display(Image(content.getvalue()))


def _in_notebook():
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


class Comparison(keras.callbacks.Callback):
    """Sees whether altered data are easier for the classifier as it is when the pass that updates it begins.

    Logs `loss_reduction`, the classifier's loss on some examples minus that on their altered forms, both networks in
    inference mode; 0 in an epoch on unaltered data, NaN where no examples can be had beside the training, as over
    several devices.

    Args:
        examples: (x, y), or None.
        log: `nft_keras.metrics.Number`, the metric that is assigned.
    """

    def __init__(self, examples: tuple | None, log: keras.metrics.Metric) -> None:
        super().__init__()
        self.examples, self.log = examples, log

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Compares the two losses."""
        reduction = 0.0
        if self.model.simplifying:
            reduction = self._reduction(*self.examples) if self.examples else math.nan
        self.log.variable.assign(reduction)

    def _reduction(self, x, y):
        with backend.inference():
            original = self.model.place.original(self.model, x)
            losses = [
                self.model.unlogged_loss(x, y, self.model.classify(x, original, each))
                for each in (original, self.model.simplify(x, y))
            ]
        return float(losses[0]) - float(losses[1])


def some_examples(given: dict, classifier: keras.Model) -> tuple | None:
    """A few examples (x, y) out of the data that `fit` is given; of an iterator they are put back.

    Args:
        given: the arguments of `fit`, by name; `x` may be replaced.
        classifier: `keras.Model`, which may take so many examples alone.

    Returns:
        x and y, cut to the first `COMPARED` examples, or as many as the classifier takes; None where they cannot be had
        beside the training, or a pass over them would change the classifier's state.

    Raises:
        ValueError: for examples that are in no minibatches.
    """
    if any(getattr(layer, "stateful", False) for layer in layers_of(classifier)):
        return None
    x, y = given["x"], given["y"]
    if isinstance(x, types.GeneratorType):
        first = next(x, None)
        given["x"] = x if first is None else _put_back(first, x)
        x, y = _x_y(first)
    elif isinstance(x, keras.utils.PyDataset):
        x, y = _x_y(x[0])
    elif is_dataset(x):
        if (first := next(iter(x), None)) is None:
            raise ValueError("fit needs examples, x has none")
        x, y = _x_y(first)
    arrays = [array for array in keras.tree.flatten((x, y)) if array is not None]
    if not arrays or not all(hasattr(array, "shape") for array in arrays):
        return None
    if not all(len(array.shape) for array in arrays):  # TensorFlow's shape () counts as true
        raise ValueError(f"fit needs minibatches, {type(given['x']).__name__} has single examples, not in .batch(32)")
    taken = [each.shape[0] for each in getattr(classifier, "inputs", None) or () if each.shape[0]]
    return rows_of((x, y), slice(min([COMPARED, *taken])))


def _x_y(minibatch):
    return (None, None) if minibatch is None else keras.utils.unpack_x_y_sample_weight(minibatch)[:2]


def _put_back(first, rest):
    yield first
    yield from rest
