"""What the logs of a training show beside Keras' own."""

import math
from typing import Any

import keras
from keras import ops


class Number(keras.metrics.Metric):
    """A number that the logs show as it is.

    Attributes:
        variable: scalar float32 `keras.Variable`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.variable = keras.Variable(0.0, trainable=False, dtype="float32", name=name)

    def result(self) -> Any:
        """The number."""
        # A copy: JAX takes the memory of a variable's value back in the next step.
        return ops.copy(ops.convert_to_tensor(self.variable))

    def reset_state(self) -> None:
        """Keeps the number."""


class RelativePerturbation(keras.metrics.Metric):
    """The mean square of an element of delta, divided by the variance of the elements of x."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self.sums = [
            self.add_variable((), "zeros", name=of) for of in ("squared_change", "elements", "squares", "number")
        ]
        # Far from the mean, squares in float32 have no digits left for the variance.
        self.center = keras.Variable(0.0, trainable=False, dtype="float32", name="center")  # no sum over replicas

    def around(self, x: Any) -> None:
        """Says where elements lie, by some of them: x (batch, ...), or a list of several tensors."""
        means = [ops.mean(ops.cast(each, "float32")) for each in keras.tree.flatten(x)]
        self.center.assign(sum(means) / len(means))

    def reset_state(self) -> None:
        """Forgets what it was given, but for where elements lie."""
        for total in self.sums:
            total.assign(ops.zeros(total.shape, total.dtype))

    def update_state(self, altered: Any, x: Any) -> None:
        """Takes a minibatch x (batch, ...), or a list of several tensors, and its altered form."""
        for changed, original in zip(keras.tree.flatten(altered), keras.tree.flatten(x), strict=True):
            x = ops.cast(original, "float32")
            delta = ops.cast(changed, "float32") - x
            x = x - self.center
            values = (ops.sum(ops.square(delta)), ops.sum(x), ops.sum(ops.square(x)), math.prod(ops.shape(x)))
            for total, value in zip(self.sums, values, strict=True):
                total.assign(total + ops.cast(value, "float32"))

    def result(self) -> Any:
        """The quotient; 0 where nothing was altered."""
        change, elements, squares, number = (ops.convert_to_tensor(total) for total in self.sums)
        number = ops.maximum(number, 1.0)
        variance = squares / number - ops.square(elements / number)
        return ops.where(change == 0, 0.0, change / number / ops.maximum(variance, 1e-12))
