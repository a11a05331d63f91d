"""The same classifier trained by several methods, from the same weights and data order, compared seed by seed."""

import dataclasses
import math
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from nft_keras._checks import number, one_of, shown, whole_number
from nft_keras._fit_data import is_dataset, rows_of, with_rows
from nft_keras.base import Plan, SimplifyingModel, as_list, warn
from nft_keras.eef import EasyExamplesPlan
from nft_keras.places import layers_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Arguments of `fit` that `compare` does not pass on, and what to do instead.
_NOT_OF_FIT = {
    "callbacks": "a method returns its own, with the model",
    "sample_weight": "class_weight weighs the examples of a class",
    "validation_split": "give validation_data",
    "shuffle": "it orders the examples itself",
}


def compare(
    methods: Mapping[str, Callable[[], Any]],
    x: Any,
    y: Any,
    *,
    test_data: tuple[Any, Any],
    validation_data: Any = None,
    epochs: int = 1,
    batch_size: int = 32,
    seeds: Iterable[int] = range(3),
    monitor: str = "val_loss",
    mode: str = "auto",
    verbose: int = 1,
    **kwargs: Any,
) -> "PairedTable":
    """Trains a classifier by each method with each seed, and sets the test errors side by side.

    With a seed all methods start from the weights that the first one starts from, and see the examples in the same
    order, which is a function of seed and epoch alone. With `validation_data` the epoch with the best `monitor` counts,
    of equals the one with the lower validation loss, among those after the method's plan: its weights are restored, as
    by `EarlyStopping`, which nothing stops here. Without them the last epoch counts. No method may be chosen by the
    test data.

    Args:
        methods: {name: function}; the differences are to the first one. A function without arguments builds everything
            anew; it returns a compiled model, which is the classifier itself or has it (`FriendlyModel`,
            `FriendlyTraining`, `EasyExamplesFirst`), or a tuple of the model and callbacks, its plan among them.
        x, y: arrays, the training examples; of several inputs x is a dict, list or tuple of arrays, which may be
            sparse. y are class indices or one-hot; soft ones, as of mixup, are trained on too.
        test_data: (x, y), arrays like these.
        validation_data: as `fit` takes it.
        epochs, batch_size: int >= 1.
        seeds: iterable of different ints >= 0.
        monitor, mode: as `keras.callbacks.EarlyStopping` takes them.
        verbose: 1 prints a line for each training, 0 nothing.
        **kwargs: of every `fit`, such as `class_weight`.

    Returns:
        A `PairedTable`; `print` it, or make it the last line of a notebook's cell; `figure()` draws the differences.

    Raises:
        ValueError: for no arrays, labels that are neither class indices nor one-hot, no methods or seeds, arguments out
            of range or of `fit` that are none of `compare`, a method that returns something else or what it returned
            before, a classifier without an output per class, two that have not the same weights, and a plan after which
            no epoch is left to choose from.

    Example:

        def classic():
            classifier = build()  # your function, with a new keras.Model
            classifier.compile("adam", loss, metrics=["accuracy"])
            return classifier

        def friendly():
            model = FriendlyModel(build(), unet((28, 28, 1)), penalty="mean")
            model.compile("adam", auxiliary_optimizer="adam", loss=loss, metrics=["accuracy"])
            return model, DevelopmentalPlan(eta_max=500.0, simplification_epochs=15)

        print(compare({"CT": classic, "NFT": friendly}, x, y, validation_data=valid, test_data=test, epochs=30))
    """
    if is_dataset(x) or isinstance(x, keras.utils.PyDataset):
        raise ValueError(f"compare orders the examples itself: x and y must be arrays, got a {type(x).__name__}")
    methods, seeds = _methods(methods), _seeds(seeds)
    if not methods or not seeds:
        raise ValueError(f"compare needs methods and seeds, got {len(methods)} and {len(seeds)}")
    epochs, batch_size = (
        whole_number(name, value, least=1) for name, value in (("epochs", epochs), ("batch_size", batch_size))
    )
    one_of("mode", mode, ("auto", "min", "max"))
    for name in kwargs:
        if name in _NOT_OF_FIT:
            raise ValueError(f"compare takes no {name}: {_NOT_OF_FIT[name]}")
    data = _arrays(x, y, test_data, validation_data)
    fit = {"epochs": epochs, "validation_data": data.get("validation_data", validation_data), **kwargs}
    trainings, met, optimizers = [], weakref.WeakSet(), {}
    for seed in seeds:
        weights = None
        for name, make in methods.items():
            model, callbacks = _made(name, make, seed, data, met)
            if name not in optimizers:
                optimizers[name] = keras.optimizers.serialize(model.optimizer)
                _warn_of_another_optimizer(optimizers, name)
            weights = _start_from(weights, model, name, next(iter(methods)))
            last = _last_of_plan(name, callbacks, epochs, chosen=validation_data is not None)
            best = _best_epoch(last, epochs, monitor, mode) if validation_data is not None else None
            training = _train(model, *data[""], batch_size, seed, callbacks, best, data["test_data"], fit)
            trainings.append({"method": name, "seed": seed, **training})
            if verbose:
                line = "{method} seed {seed}: test error {test_error:.2f} %, epoch {epoch}"
                line += "; {not_finite}" if "not_finite" in training else ""
                print(line.format(**trainings[-1]))
    return PairedTable(trainings)


@dataclasses.dataclass(frozen=True, repr=False)
class PairedTable:
    """What `compare` found: as text, and in a notebook, a table of the test errors and of their paired differences.

    Attributes:
        trainings: list of dict, one for each training: method, seed; test_error in percent, of the epoch that counts,
            epoch, its number from 1; last_test_error, of the last epoch, where that is chosen; seconds of `fit`;
            history, the logs that it returned; not_finite, a text, where a loss or a prediction was infinite or nan:
            such a prediction counts as an error.
    """

    trainings: list[dict[str, Any]]

    def figure(self) -> "Figure":
        """Each method's mean difference to the first one with its 95 % confidence interval, a Matplotlib `Figure`.

        Filled marks are of the epoch that counts, hollow ones of the last epoch, where one was chosen. A notebook shows
        it as a picture once `matplotlib.pyplot` was imported.

        Raises:
            ValueError: if there is one method alone.
        """
        from nft_keras.experiments.reports.difference_figure import Panel, draw
        from nft_keras.experiments.reports.drawing import styles

        first, *others = of = self._by_method()
        if not others:
            raise ValueError(f"a figure of differences needs two methods, there is {first!r} alone")
        pairs = {str(name): list(zip(of[name], of[first], strict=True)) for name in others}
        looks = {str(name): look for name, look in styles(of).items()}
        return draw([Panel("", str(first), pairs)], looks)

    def _by_method(self):
        """{method: its trainings}, the first one first."""
        of = {}
        for training in self.trainings:
            of.setdefault(training["method"], []).append(training)
        return of

    def __str__(self):
        from nft_keras.experiments.reports.tables import epochs, markdown, mean_std, p_value

        first, *_ = of = self._by_method()
        chosen = "last_test_error" in self.trainings[0]
        rows = []
        for name, trainings in of.items():
            errors = [t["test_error"] for t in trainings]
            pairs = [(error, t["test_error"]) for error, t in zip(errors, of[first], strict=True)]
            differences = [round(error - other, 4) for error, other in pairs]
            better = f"{sum(d < 0 for d in differences)} of {len(differences)}"
            row = [str(name), mean_std(errors)]
            row += [mean_std(differences, "+"), better, p_value(pairs)] if name != first else ["-"] * 3
            if chosen:
                row += [epochs([t["epoch"] for t in trainings]), mean_std([t["last_test_error"] for t in trainings])]
            rows.append([*row, f"{np.mean([t['seconds'] for t in trainings]):.1f}"])
        head = ["method", "test error (%)", f"- {first} (points)", "seeds better", "p"]
        head += ["best epoch", "last epoch: test error (%)"] * chosen
        notes = ["{method} seed {seed}: {not_finite}.".format(**t) for t in self.trainings if "not_finite" in t]
        notes += ["A prediction that is not finite counts as an error."] * bool(notes)
        return "\n\n".join([markdown([*head, "s per run"], rows), *notes])

    __repr__ = __str__

    def _repr_markdown_(self):
        return str(self)


def _methods(methods):
    """The methods, each a function."""
    if not isinstance(methods, Mapping):
        raise ValueError(f"methods must be {{name: function}}, got a {type(methods).__name__}")
    for name, make in methods.items():
        if isinstance(make, keras.Model) or not callable(make):
            raise ValueError(f"{name} must be a function that builds a compiled model, got a {type(make).__name__}")
    return dict(methods)


def _seeds(seeds):
    """The seeds as ints, all different."""
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError(f"seeds must be several whole numbers, such as range(3), got {seeds!r}")
    allowed = "whole numbers from 0 to 2**32 - 1"
    seeds = [number("seeds", seed, allowed, lambda n: 0 <= n < 2**32 and not n % 1, int) for seed in seeds]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different ones, got {', '.join(map(str, seeds))}")
    return seeds


def _arrays(x, y, test_data, validation_data):
    """{"": (x, y), "test_data": (x, y), ...}, what there is of arrays, as Keras computes."""
    if not isinstance(test_data, (tuple, list)) or len(test_data) != 2:
        raise ValueError(f"test_data must be (x, y), got a {type(test_data).__name__}")
    given = {"": (x, y), "test_data": test_data}
    if isinstance(validation_data, (tuple, list)):
        if len(validation_data) not in (2, 3):
            raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), got {len(validation_data)}")
        given["validation_data"] = validation_data
    data = {}
    for name, (x, y, *weights) in given.items():
        labels = rows_of(y, slice(None)) if getattr(y, "shape", ()) else np.asarray(y)
        if not labels.ndim:
            raise ValueError(f"{_of('y', name)} must be an array of labels, got a {type(y).__name__}")
        data[name] = (_as_arrays(x), labels, *weights)
        _same_length(_of("x and y", name), *data[name][:2])
    return data


def _of(what, name):
    return f"{what} of {name}" if name else what


def _made(name, make, seed, data, met):
    """A method's model, built, and the callbacks of its `fit`, with the seed's random numbers."""
    keras.utils.set_random_seed(seed)
    made = make()
    model, *callbacks = made if isinstance(made, (tuple, list)) and made else (made,)
    if not isinstance(model, keras.Model):
        raise ValueError(f"{name} must return a compiled model, or one with callbacks, got a {type(model).__name__}")
    callbacks = as_list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback) or isinstance(callback, keras.callbacks.CallbackList):
            kind = type(callback).__name__
            raise ValueError(f"what {name} returns with the model must be keras.callbacks.Callback, got a {kind}")
    shape = model(rows_of(data[""][0], slice(1)), training=False).shape
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(f"compare counts errors of classes: {name} needs an output per class, it has one of {shape}")
    _check_new(name, model, callbacks, met)
    for which, (_, y, *_) in data.items():
        _check_labels(_of("y", which), y, shape[1])
    return model, callbacks


def _warn_of_another_optimizer(optimizers, name):
    """Says where a method's optimizer is not that of the first one: a difference may then be the optimizer's."""
    first = next(iter(optimizers))
    kinds, configs = ([optimizers[each][of] for each in (first, name)] for of in ("class_name", "config"))
    ours, theirs = configs
    if kinds[0] != kinds[1]:
        what = f"{kinds[0]} and {kinds[1]}"
    else:
        others = [key for key in ours if key != "name" and ours[key] != theirs.get(key)]
        what = ", ".join(f"{key} {_short(ours[key])} and {_short(theirs.get(key))}" for key in others)
    if what:
        warn("%s and %s have different optimizers (%s): a difference may be theirs", first, name, what)


def _short(value):
    return f"{value:g}" if isinstance(value, float) else shown(value)


def _check_new(name, model, callbacks, met):
    """Refuses a model, a trainable layer or a plan of an earlier training, which would go on."""
    networks = model.networks() if isinstance(model, SimplifyingModel) else [model]
    layers = [layer for network in networks for layer in layers_of(network) if layer.trainable_weights]
    parts = [model, *networks, *layers, *(callback for callback in callbacks if isinstance(callback, Plan))]
    for part in parts:
        if part in met:
            what = f"a {type(part).__name__} of an earlier training"
            raise ValueError(f"{name} must build everything anew each time, it returned {what}")
    met.update(parts)


def _check_labels(which, y, classes):
    """Refuses what is neither class indices nor a number per class."""
    per_class = y.shape[1:] == (classes,)
    if y.dtype.kind not in "biuf":
        text = (shown(label) for label in y.ravel().tolist() if isinstance(label, str | bytes))
        got = next(text, f"an array of {y.dtype}")
    elif not per_class and y.size != len(y):
        got = f"an array of shape {y.shape}"
    else:
        allowed = np.isfinite(y) if per_class else np.isin(y, np.arange(classes))
        if allowed.all():
            return
        got = y[~allowed][0]
    raise ValueError(f"{which} must be class indices 0 to {classes - 1}, or one-hot, got {got}")


def _start_from(weights, model, name, first):
    """Gives a model the weights to start from, its own if there are none yet, and returns them."""
    own = model.get_weights()
    if weights is None:
        return own
    if [w.shape for w in own] != [w.shape for w in weights]:
        raise ValueError(f"all methods must train the same classifier: the weights of {name} are not those of {first}")
    model.set_weights(weights)
    return weights


def _last_of_plan(name, callbacks, epochs, chosen):
    """The last epoch of a method's plan, 0 if there is none; one must be left to be chosen."""
    last = max((callback.simplification_epochs for callback in callbacks if isinstance(callback, Plan)), default=0)
    last = last if last > 1 else 0
    if last + chosen > epochs:
        raise ValueError(f"the plan of {name}, of {last} epochs, leaves none of epochs={epochs} to choose from")
    return last


def _best_epoch(last, epochs, monitor, mode):
    """The callback that restores the best epoch after the plan."""
    return _BestEpoch(monitor, mode=mode, patience=epochs, restore_best_weights=True, start_from_epoch=last)


class _BestEpoch(keras.callbacks.EarlyStopping):
    """Of epochs that are equally good takes the one with the lower validation loss."""

    loss = math.inf

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the weights of the best epoch so far."""
        logs = logs or {}
        loss, tie = logs.get("val_loss", math.inf), self.best is not None and logs.get(self.monitor) == self.best
        if "val_loss" in logs:
            self.check(logs)
        super().on_epoch_end(epoch, logs)
        if tie and loss < self.loss:
            self.best_epoch, self.best_weights = epoch, self.model.get_weights()
        if self.best_epoch == epoch:
            self.loss = loss

    def check(self, logs):
        """Refuses to go on without what is monitored."""
        if self.monitor not in logs:
            raise ValueError(f"monitor must be one of {', '.join(logs)}, got {self.monitor!r}")


def _train(model, x, y, batch_size, seed, callbacks, best, test_data, fit):
    """One training; what `PairedTable` keeps of it."""
    plan = next((callback for callback in callbacks if isinstance(callback, EasyExamplesPlan)), None)
    data, last = _SeededMinibatches(x, y, batch_size, seed, plan), {}
    if plan is not None:
        if plan.examples is None:
            plan.choose_among(x, y)
        plan.takes(data)
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(data, "epoch", epoch))

    def ended(epoch, logs):
        last["seconds"] = time.monotonic() - began
        for name in ("auxiliary_loss", "loss", "val_loss"):
            if not np.isfinite(logs.get(name, 0.0)):
                last.setdefault("not_finite", f"its {name} is {logs[name]} in epoch {epoch + 1}")

    # The time before a film is drawn, the weights before those of the best epoch come back.
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=ended,
        on_train_end=lambda logs: last.update(weights=model.get_weights()),
    )
    callbacks = [count, keep, *callbacks, *([best] if best else [])]
    began = time.monotonic()
    history = model.fit(data, shuffle=False, verbose=0, callbacks=callbacks, **fit)
    if best:
        best.check(history.history)
    weights, training = last.pop("weights"), {"epoch": 1 + history.epoch[-1]}
    training["test_error"] = _error(model, *test_data, last)
    if best:
        if best.best_weights is not None:
            training["epoch"] = 1 + best.best_epoch
        model.set_weights(weights)
        training["last_test_error"] = _error(model, *test_data, last)
    return {**training, **last, "history": history.history}


class _SeededMinibatches(keras.utils.PyDataset):
    """Minibatches in an order that is a function of seed and epoch alone.

    Under an `EasyExamplesPlan` those of the examples that it keeps come, and then empty ones, as many as of all.
    """

    def __init__(self, x, y, batch_size, seed, plan):
        super().__init__()
        self.x, self.y, self.batch_size, self.seed, self.plan = x, y, batch_size, seed, plan
        self.epoch, self._order = 0, np.arange(len(y))  # Keras looks at the first minibatch before the first epoch

    def __len__(self):
        return math.ceil(len(self.y) / self.batch_size)

    def __getitem__(self, i):
        rows = self._order[i * self.batch_size : (i + 1) * self.batch_size]
        return rows_of((self.x, self.y), rows)

    def on_epoch_begin(self):
        """Orders the examples, at the beginning of each pass over them."""
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.y))
        self._order = order if self.plan is None else order[np.asarray(self.plan.kept)[order]]


def _as_arrays(x):
    """x as arrays: whole numbers, such as those of tokens, as they are, others as Keras computes."""

    def of(each):
        each = with_rows(each) if hasattr(each, "shape") else np.asarray(each)
        return each if np.issubdtype(each.dtype, np.integer) else each.astype(keras.config.floatx())

    if not all(hasattr(each, "shape") for each in keras.tree.flatten(x)):  # a list of numbers
        return of(x)
    return keras.tree.map_structure(of, tuple(x) if isinstance(x, list) else x)  # as Keras' own `fit` makes it


def _same_length(what, x, y):
    lengths = [each.shape[0] if each.shape else 0 for each in keras.tree.flatten(x)]
    if set(lengths) != {len(y)} or not len(y):
        wanted = "must have as many examples each" if len(y) else "must have examples"
        raise ValueError(f"{what} {wanted}, got {', '.join(map(str, lengths))} and {len(y)}")


def _error(model, x, y, seen):
    """Error in percent; predictions that are not finite count as errors, and are noted in what was seen."""
    labels = y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    predicted = model.predict(x, verbose=0)
    finite = np.isfinite(predicted).all(axis=1)
    if not finite.all():
        seen.setdefault("not_finite", "its predictions for test_data are not finite")
    return round(100 * float(np.mean((predicted.argmax(1) != labels) | ~finite)), 4)
