"""Easy Examples First: the classifier sees the examples of lowest loss only, and more of them every epoch."""

import math

import keras
import numpy as np
from keras import ops

from nft_keras import backend
from nft_keras._checks import number
from nft_keras.backend import tensorflow_for_data, untuned
from nft_keras.base import Plan, SimplifyingModel


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

        plan = EasyExamplesPlan((x, y), len(x), first_fraction=0.2, simplification_epochs=100)
        model = EasyExamplesFirst(classifier)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(plan.minibatches(32), epochs=200, callbacks=[plan])
    """

    @backend.step
    def train_step(self, data):
        """One minibatch (x, y[, sample_weight]), nothing if it is empty; returns the logs."""
        if not self.simplifying:
            return backend.keras_step(self, data)
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return backend.unless_empty(x, lambda data: backend.keras_step(self, data), self.get_metrics_result, data)


class EasyExamplesPlan(Plan):
    """Chooses the examples that `EasyExamplesFirst` sees: those with the lowest loss at the beginning of the epoch.

    In epoch gamma these are the fraction 1 - (1 - first_fraction) (1 - law(progress)) of the training examples; with
    the quadratic law the temporal dynamics are those of Friendly Training. Section 3.1 of Marullo et al. (2022) says no
    more of this method than that it sorts the data with the temporal dynamics of FT: the formula, and first_fraction,
    are our reading.

    Args:
        examples: all training examples: arrays (x, y), or a `tf.data.Dataset` of them, one by one, in the same order at
            every reading.
        n: int, the number of examples.
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

    def __init__(self, examples, n, first_fraction, simplification_epochs, law="quadratic"):
        super().__init__(simplification_epochs, law)
        self.first_fraction = number("first_fraction", first_fraction, "in (0, 1]", lambda p: 0 < p <= 1, float)
        self.examples = examples
        self.n = number("n", n, "a whole number >= 1", lambda n: n >= 1 and not n % 1, int)
        self.kept = np.ones(self.n, bool)
        if not self._has_arrays:
            self.kept = tensorflow_for_data().Variable(self.kept, trainable=False)

    @property
    def _has_arrays(self):
        return isinstance(self.examples, (tuple, list))

    def count(self, gamma):
        """The number of examples that are seen in epoch gamma (an int >= 1)."""
        share = 1 - (1 - self.first_fraction) * (1 - self.fraction(gamma))
        return max(1, math.floor(share * self.n + 1e-9))

    def alters(self):
        """Whether examples are left out in some epoch."""
        return self.count(1) < self.n

    def minibatches(self, batch_size, seed=None):
        """Minibatches of the kept examples, reshuffled every epoch, then empty ones: as many as there are of all.

        Args:
            batch_size: int.
            seed: int, of the shuffling.

        Returns:
            A `keras.utils.PyDataset` of arrays, else a `tf.data.Dataset`.
        """
        if self._has_arrays:
            return _Minibatches(self, batch_size, seed)
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
        padded = kept.shuffle(self.n, seed).batch(batch_size).concatenate(empty.repeat()).take(steps)
        return untuned(padded.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2))

    def on_train_begin(self, logs=None):
        """Refuses a model that cannot follow the plan."""
        super().on_train_begin(logs)
        self._predict = backend.predictor(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        """Keeps the examples with the lowest loss."""
        count, kept = self.count(epoch + 1), np.ones(self.n, bool)
        if count < self.n:
            kept[np.argsort(self._losses(), kind="stable")[count:]] = False
        if self._has_arrays:
            self.kept = kept
        else:
            self.kept.assign(kept)
        self.model.simplifying = count < self.n

    def _losses(self):
        """The loss of each example for the classifier as it is now."""
        loss = keras.losses.get(self.model.loss)
        if isinstance(loss, keras.losses.Loss):  # a function has no reduction
            loss = type(loss).from_config({**loss.get_config(), "reduction": "none"})
        if self._has_arrays:
            x, y = self.examples
            minibatches = ((x[i : i + 250], y[i : i + 250]) for i in range(0, len(x), 250))
        else:
            minibatches = self.examples.batch(250).as_numpy_iterator()
        losses = np.concatenate([ops.convert_to_numpy(loss(y, self._predict(x))) for x, y in minibatches])
        if len(losses) != self.n:
            raise ValueError(f"EasyExamplesPlan was told of n={self.n} examples, there are {len(losses)}")
        return losses


class _Minibatches(keras.utils.PyDataset):
    """Minibatches of the examples that a plan keeps, reshuffled every epoch, then empty ones, as many as of all.

    Args:
        plan: `EasyExamplesPlan` of arrays.
        batch_size, seed: as of `EasyExamplesPlan.minibatches`.
    """

    def __init__(self, plan, batch_size, seed):
        super().__init__()
        self._plan, self._batch_size, self._random = plan, batch_size, np.random.default_rng(seed)
        self._order = np.arange(
            len(plan.examples[0])
        )  # Keras looks at the first minibatch before the first epoch begins

    def __len__(self):
        return math.ceil(self._plan.n / self._batch_size)

    def __getitem__(self, i):
        rows = self._order[i * self._batch_size : (i + 1) * self._batch_size]
        return tuple(array[rows] for array in self._plan.examples)

    def on_epoch_begin(self):
        self._order = self._random.permutation(np.flatnonzero(self._plan.kept))


EasyExamplesFirst.plan_class = EasyExamplesPlan
