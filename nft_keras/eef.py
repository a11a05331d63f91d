"""Easy Examples First: the classifier sees the examples of lowest loss only, and more of them every epoch."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from nft_keras import backend
from nft_keras._checks import number, whole_number
from nft_keras._fit_data import is_dataset, rows_of, with_rows
from nft_keras.backend import keras_internals, tensorflow_for_data, untuned
from nft_keras.base import Plan, SimplifyingModel, as_list
from nft_keras.places import any_tensor

if TYPE_CHECKING:
    import tensorflow as tf


@keras.saving.register_keras_serializable("nft_keras")
class EasyExamplesFirst(SimplifyingModel):
    """Easy Examples First (EEF): the classifier sees the easiest examples only, and more of them every epoch.

    An `EasyExamplesPlan` chooses them and makes minibatches of them. Keras' `fit` wants the same number of minibatches
    every epoch: those that are too many are empty, and a training step passes over them.

    Args:
        classifier: `keras.Model`, maps x to predictions.

    Raises:
        TypeError: if the classifier is not a `keras.Model`.

    Example:

        plan = EasyExamplesPlan(first_fraction=0.2, simplification_epochs=100)
        model = EasyExamplesFirst(classifier)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(x, y, epochs=200, callbacks=[plan])
    """

    @backend.step
    def train_step(self, data: Any) -> dict:
        """One minibatch (x, y[, sample_weight]), nothing if it is empty; returns the logs."""
        if not self.simplifying:
            return backend.keras_step(self, data)
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return backend.unless_empty(
            any_tensor(x), lambda data: backend.keras_step(self, data), self.get_metrics_result, data
        )

    def _prepare_fit(self, given):
        """Gives Keras the minibatches of the plan, which takes its examples from arrays that `fit` is given."""
        super()._prepare_fit(given)
        plan = next(each for each in as_list(given["callbacks"]) if isinstance(each, EasyExamplesPlan))
        plan.class_weight = given["class_weight"]
        if given["shuffle"] not in (True, False):
            raise ValueError(f"the plan shuffles examples: shuffle must be True or False, got {given['shuffle']!r}")
        shuffle, given["shuffle"] = given["shuffle"], False  # the plan does it
        if plan.made(given["x"]):
            _check_steps(plan, given["x"], given["steps_per_epoch"])
            if keras_internals.is_cached(given["x"]):
                raise ValueError("minibatches of an EasyExamplesPlan must not be cached: in each epoch they are others")
            return
        arrays = [each for each in keras.tree.flatten((given["x"], given["y"])) if each is not None]
        other = next((each for each in arrays if not hasattr(each, "shape") or hasattr(each, "row_splits")), None)
        if other is not None:
            raise ValueError(
                "the plan chooses among examples: give fit arrays x and y, or plan.minibatches(batch_size), got "
                f"{type(other).__name__}"
            )
        if given["validation_split"] and given["validation_data"] is None:
            keras_internals.split_for_validation(given)
        plan.choose_among(*(given[name] for name in ("x", "y", "sample_weight") if given[name] is not None))
        minibatches = plan.minibatches(given["batch_size"] or 32, shuffle=shuffle)
        _check_steps(plan, minibatches, given["steps_per_epoch"])
        validation_batch_size = given["validation_batch_size"] or given["batch_size"]
        given.update(x=minibatches, y=None, sample_weight=None, batch_size=None)
        given["validation_batch_size"] = validation_batch_size


class EasyExamplesPlan(Plan):
    """Chooses the examples that `EasyExamplesFirst` sees: those with the lowest loss at the beginning of the epoch.

    In epoch gamma these are the fraction 1 - (1 - first_fraction) (1 - law(progress)) of the training examples; with
    the quadratic law the temporal dynamics are those of Friendly Training. Section 3.1 of Marullo et al. (2022) says no
    more of this method than that it sorts the data with the temporal dynamics of FT: the formula, and first_fraction,
    are our reading. The loss of an example is the compiled one, of a minibatch of it alone, times its weight, without
    what layers add to it (activity regularizers).

    Args:
        examples: all training examples: arrays (x, y[, sample_weight]), or a `tf.data.Dataset` of them, one by one, in
            the same order at every reading. None: the arrays that `fit` is given.
        n: int, the number of examples; None with arrays.
        first_fraction: float in (0, 1], p0, the fraction that is seen in the first epoch.
        simplification_epochs: int >= 0, gamma_max_simp, the first epoch in which all examples are seen.
        law: as for `DevelopmentalPlan`.

    Attributes:
        kept: bool array (n,), the examples that are seen in this epoch; of a `tf.data.Dataset` a `tf.Variable`.

    Raises:
        ValueError: for arguments outside these ranges, when training begins with another model, and in the first epoch
            if there are not n examples.
    """

    model_class = EasyExamplesFirst

    def __init__(
        self,
        examples: "tuple | tf.data.Dataset | None" = None,
        n: int | None = None,
        first_fraction: float = 0.2,
        simplification_epochs: int | None = None,
        law: str | Callable[[float], float] = "quadratic",
    ) -> None:
        super().__init__(simplification_epochs, law)
        self.first_fraction = number("first_fraction", first_fraction, "in (0, 1]", lambda p: 0 < p <= 1, float)
        if n is not None:
            n = whole_number("n", n, least=1)
        self.n, self._told, self.class_weight = n, n, None
        self.examples = self._made = None
        if is_dataset(examples):
            if n is None:
                raise ValueError("EasyExamplesPlan needs n, the number of examples of a dataset")
            self.examples = examples
            self.kept = tensorflow_for_data().Variable(np.ones(n, bool), trainable=False)
        elif examples is not None:
            self.choose_among(*examples)

    def choose_among(self, *arrays: Any) -> None:
        """Takes other examples: arrays x, y and, where there are some, sample weights."""
        arrays = with_rows(arrays)
        n, *others = (each.shape[0] for each in keras.tree.flatten(arrays) if each is not None)
        if any(other != n for other in others):
            raise ValueError(
                f"x, y and weights must have as many examples each, got {', '.join(map(str, (n, *others)))}"
            )
        if self._told not in (None, n):
            raise ValueError(f"EasyExamplesPlan was told of n={self._told} examples, there are {n}")
        # A list of inputs would be a minibatch of several things.
        arrays = tuple(tuple(each) if isinstance(each, list) else each for each in arrays)
        self.examples, self.n, self.kept = arrays, n, np.ones(n, bool)

    def count(self, gamma: int) -> int:
        """The number of examples that are seen in epoch gamma (an int >= 1)."""
        share = 1 - (1 - self.first_fraction) * (1 - self.fraction(gamma))
        return max(1, math.floor(share * self.n + 1e-9))

    def alters(self) -> bool:
        """Whether examples are left out in some epoch."""
        return self.count(1) < self.n

    def minibatches(
        self, batch_size: int, seed: int | None = None, shuffle: bool = True
    ) -> "keras.utils.PyDataset | tf.data.Dataset":
        """Minibatches of the kept examples, reshuffled every epoch, then empty ones: as many as there are of all.

        Args:
            batch_size: int.
            seed: int, of the shuffling.
            shuffle: bool, whether to shuffle.

        Returns:
            A `keras.utils.PyDataset` of arrays, else a `tf.data.Dataset`.
        """
        if not is_dataset(self.examples):
            self._made = _Minibatches(self, batch_size, seed, shuffle)
            return self._made
        tf = tensorflow_for_data()

        def is_kept(i, example):
            return self.kept[i]

        def without_number(i, example):
            return example

        def emptied(*batch):
            return keras.tree.map_structure(lambda a: a[:0], batch)

        kept = self.examples.enumerate().filter(is_kept).map(without_number)
        empty = self.examples.batch(1).take(1).map(emptied)
        steps = math.ceil(self.n / batch_size)
        kept = kept.shuffle(self.n, seed) if shuffle else kept
        self._made = kept.batch(batch_size).concatenate(empty.repeat()).take(steps)
        return untuned(self._made.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2))

    def takes(self, minibatches: Any) -> None:
        """Lets `fit` have minibatches that somebody else makes of the examples that are `kept`."""
        self._made = minibatches

    def made(self, x: Any) -> bool:
        """Whether what `fit` is given are the plan's minibatches, or made of them."""
        return x is self._made or (hasattr(x, "element_spec") and keras_internals.is_made_of(x, self._made))

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Refuses a model that cannot follow the plan."""
        super().on_train_begin(logs)
        self._losses_of = backend.compiled(self.model, lambda *data: losses_of_examples(self.model, *data))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the examples with the lowest loss."""
        count, kept = self.count(epoch + 1), np.ones(self.n, bool)
        if count < self.n:
            kept[np.argsort(self._losses(), kind="stable")[count:]] = False
        if is_dataset(self.examples):
            self.kept.assign(kept)
        else:
            self.kept = kept
        self.model.simplifying = count < self.n

    def _losses(self):
        """The loss of each example for the classifier as it is now."""
        losses = np.concatenate([ops.convert_to_numpy(self._losses_of(*minibatch)) for minibatch in self._in_order()])
        if len(losses) != self.n:
            raise ValueError(f"EasyExamplesPlan was told of n={self.n} examples, there are {len(losses)}")
        return losses

    def _in_order(self):
        """Minibatches (x, y[, sample_weight]) of all examples; the first one builds what is not built yet."""
        for i, minibatch in enumerate(self._all_minibatches()):
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(minibatch)
            if self.class_weight is not None:
                sample_weight = keras_internals.sample_weights(y, self.class_weight)
            if not i:
                x_1, y_1, weight_1 = rows_of((x, y, sample_weight), slice(1))
                self.model.unlogged_loss(x_1, y_1, self.model(x_1, training=False), weight_1)
            yield (x, y) if sample_weight is None else (x, y, sample_weight)

    def _all_minibatches(self):
        if is_dataset(self.examples):
            return self.examples.batch(250).as_numpy_iterator()
        return (rows_of(self.examples, slice(i, i + 250)) for i in range(0, self.n, 250))


def losses_of_examples(model: SimplifyingModel, x: Any, y: Any, sample_weight: Any = None) -> Any:
    """The compiled loss of each example: that of a minibatch of it alone, without what layers add to it.

    Args:
        model: compiled `SimplifyingModel`.
        x, y, sample_weight: a minibatch.

    Returns:
        A float tensor (batch,).
    """
    y_pred = model(x, training=False)
    keras_internals.forget_added_losses(model)  # of all these examples together
    masks = [keras_internals.mask_of(output) for output in keras.tree.flatten(y_pred)]

    def of_one(example):
        (y, y_pred, masks_there), *weight = keras.tree.map_structure(lambda each: ops.expand_dims(each, 0), example)
        there = iter(masks_there)
        for output, mask in zip(keras.tree.flatten(y_pred), masks, strict=True):
            keras_internals.with_mask(output, None if mask is None else next(there))
        return model.unlogged_loss(None, y, y_pred, *weight)

    data = (y, y_pred, [mask for mask in masks if mask is not None])
    return backend.of_each(of_one, (data,) if sample_weight is None else (data, sample_weight))


def _check_steps(plan, minibatches, steps):
    """Refuses epochs that are a part of a pass, and minibatches of which Keras would take as many as in the first."""
    try:
        number = len(minibatches)
    except TypeError:
        if minibatches is plan._made:  # distributed, or taken in the graph: all of them, in every epoch
            return
        raise ValueError(
            "an EasyExamplesPlan needs minibatches whose number is known: make no other ones of its own, by unbatch, "
            "rebatch, filter or repeat; minibatches(batch_size) makes them of any size"
        ) from None
    if steps not in (None, number):
        raise ValueError(
            f"with an EasyExamplesPlan an epoch is a pass over all of its {number} minibatches: leave "
            f"steps_per_epoch out, got {steps}"
        )


class _Minibatches(keras.utils.PyDataset):
    """Minibatches of the examples that a plan keeps, then empty ones, as many as of all.

    Args:
        plan: `EasyExamplesPlan` of arrays.
        batch_size, seed, shuffle: as of `EasyExamplesPlan.minibatches`.
    """

    def __init__(self, plan, batch_size, seed, shuffle):
        super().__init__()
        self._plan, self._batch_size, self._shuffle = plan, batch_size, shuffle
        self._random = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
        self._order = np.arange(plan.n)  # Keras looks at the first minibatch before the first epoch begins

    def __len__(self):
        return math.ceil(self._plan.n / self._batch_size)

    def __getitem__(self, i):
        return rows_of(self._plan.examples, self._order[i * self._batch_size : (i + 1) * self._batch_size])

    def on_epoch_begin(self):
        kept = np.flatnonzero(self._plan.kept)
        self._order = self._random.permutation(kept) if self._shuffle else kept


EasyExamplesFirst.plan_class = EasyExamplesPlan
