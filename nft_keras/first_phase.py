"""The first phase of an epoch: theta is updated on a sample of the minibatches (Algorithm 1, lines 5 to 9)."""

import math
from typing import Any

import keras
import numpy as np

from nft_keras import backend
from nft_keras.backend import keras_internals
from nft_keras.places import number_of_examples

# The arguments of `fit` that say what data are read, and how.
READS = ("x", "y", "batch_size", "shuffle", "class_weight", "sample_weight", "steps_per_epoch")


class AuxiliaryTraining(keras_internals.Model):
    """The first phase as a Keras model, so that Keras' own `fit` reads and batches the data of both phases alike."""

    def __init__(self, friendly: keras.Model) -> None:
        super().__init__()
        self._aside = keras_internals.Untracked(friendly=friendly)
        self._auxiliary_loss = keras.metrics.Mean("auxiliary_loss")
        self.built = True
        self.compile(
            optimizer="sgd",  # never used, but Keras wants one
            run_eagerly=friendly.run_eagerly,
            steps_per_execution=friendly.steps_per_execution,
            jit_compile=friendly.jit_compile,
        )

    def networks(self) -> list[keras.Model]:
        """The networks of the model, which a step reads."""
        return self._aside.friendly.networks()

    @backend.step
    def train_step(self, data: Any) -> dict:
        """One minibatch (x, y[, sample_weight]) of the auxiliary network's pass; returns the logs."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        eq_4 = self._aside.friendly.update_auxiliary(x, y, sample_weight)
        self._auxiliary_loss.update_state(eq_4 * backend.num_replicas(), number_of_examples(x))
        return self.get_metrics_result()

    def carried_variables(self) -> list:
        """Variables that a training step needs beside those that Keras knows of."""
        friendly = self._aside.friendly
        return [*friendly.trainable_variables, *friendly.non_trainable_variables, *friendly.metrics_variables]


class FirstPhase(keras.callbacks.Callback):
    """Updates theta on a pass over the data before the classifier's pass begins (Algorithm 1, lines 5 to 9).

    Args:
        training: `AuxiliaryTraining`.
        given: dict, the arguments of `fit`, of which `READS` count.
        fraction, seed: `FriendlyModel`'s auxiliary_fraction and seed.
        log: `keras.metrics.Mean`, of the pass' loss.

    Raises:
        ValueError: if not all minibatches are to be taken, and their number is not known.
    """

    def __init__(
        self, training: AuxiliaryTraining, given: dict, fraction: float, seed: int | None, log: keras.metrics.Mean
    ) -> None:
        super().__init__()
        self.training, self.fraction, self.seed, self.log = training, fraction, seed, log
        self.data = {name: given[name] for name in READS}
        self.number = keras_internals.number_of_minibatches(self.data) if fraction < 1 else None
        if fraction < 1 and self.number is None:
            raise ValueError(
                f"auxiliary_fraction={fraction} samples minibatches, and this {type(given['x']).__name__} does not say "
                "how many there are: give steps_per_epoch"
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Makes the pass by a `fit` of its own: how data are read and batched is then Keras' affair in both phases."""
        if self.model.simplifying and self.model.updates_auxiliary:
            data = self.data
            if self.fraction < 1:
                chosen = sample(self.number, self.fraction, self.seed, epoch + 1)
                data = {"x": keras_internals.SomeMinibatches(data, chosen)}
            history = self.training.fit(**data, verbose=0).history
            self.log.update_state(history["auxiliary_loss"][-1])
        if self.model.auxiliary is None:
            self.training = None  # it was dropped, and this holds its memory


def sample(number: int, fraction: float, seed: int, gamma: int) -> np.ndarray:
    """The minibatches that theta is updated on in epoch gamma, each as likely as any other.

    Args:
        number: int >= 1, the minibatches of a pass over the data.
        fraction: float in (0, 1], the share of them to take, rounded, at least one.
        seed, gamma: ints >= 0; the sample is a function of them, so that training may stop and go on.

    Returns:
        bool array (number,), whether each is taken.
    """
    chosen = np.zeros(number, bool)
    count = max(math.floor(fraction * number + 0.5), 1)
    chosen[np.random.default_rng((seed, gamma)).choice(number, count, replace=False)] = True
    return chosen
