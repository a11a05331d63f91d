"""Optimizers with weight decay as the published settings have it: L2 in the gradient, of every weight and bias."""

import math
from typing import Any

import keras

from nft_keras._checks import number
from nft_keras.backend import keras_internals


class _L2(keras_internals.WithoutAllReduce):
    """Adds l2 * w to the gradient of w before the optimizer's own rule (`weight_decay` of PyTorch's Adam and SGD)."""

    def __init__(self, *args: Any, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.l2 = number("l2", l2, "a finite number >= 0", lambda n: 0 <= n < math.inf, float)

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        if self.l2:
            gradient = gradient + self.l2 * keras.ops.cast(variable, gradient.dtype)
        self._rule(gradient, variable, learning_rate)

    def _rule(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("nft_keras")
class Adam(_L2, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with one more argument.

    Args:
        l2: float >= 0; l2 times a weight is added to its gradient, batch-norm weights and biases included. Keras' own
            `weight_decay` is decoupled from the gradient and stays available beside it.
        *args, **kwargs: `keras.optimizers.Adam`'s.

    Raises:
        ValueError: for an l2 that is not a finite number >= 0.
    """

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        at_once = self.l2 and not self.amsgrad and keras.backend.backend() == "tensorflow"
        if at_once and keras_internals.can_update_at_once(variable):
            keras_internals.apply_adam_with_l2(self, gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)

    def _rule(self, gradient, variable, learning_rate):
        if self.amsgrad or keras.backend.backend() != "tensorflow":
            return super()._rule(gradient, variable, learning_rate)
        keras_internals.apply_adam(self, gradient, variable, learning_rate)


@keras.saving.register_keras_serializable("nft_keras")
class SGD(_L2, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with one more argument.

    Args:
        l2: float >= 0; l2 times a weight is added to its gradient, batch-norm weights and biases included.
        *args, **kwargs: `keras.optimizers.SGD`'s.

    Raises:
        ValueError: for an l2 that is not a finite number >= 0.
    """
