"""Callbacks that say what altered data are like: whether they are easier, and whether they come back."""

import math
import types

import keras

from nft_keras.base import as_floats, is_dataset

# So many training examples are enough to see whether the altered ones are easier, and cost next to nothing.
COMPARED = 100


class Comparison(keras.callbacks.Callback):
    """Sees whether altered data are easier for the classifier as it is when the pass that updates it begins.

    Logs `loss_reduction`, the classifier's loss on some examples minus that on their altered forms, both networks in
    inference mode; 0 in an epoch on unaltered data, NaN where no examples can be had beside the training, as over
    several devices.

    Args:
        examples: (x, y), or None.
    """

    def __init__(self, examples: tuple | None) -> None:
        super().__init__()
        self.examples = examples

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Compares the two losses."""
        reduction = 0.0
        if self.model.simplifying:
            reduction = self._reduction(*self.examples) if self.examples else math.nan
        self.model._loss_reduction.variable.assign(reduction)

    def _reduction(self, x, y):
        losses = [
            self.model.unlogged_loss(x, y, self.model(each, training=False))
            for each in (as_floats(x), self.model.simplify(x, y))
        ]
        return float(losses[0]) - float(losses[1])


def some_examples(given: dict) -> tuple | None:
    """A few examples (x, y) out of the data that `fit` is given; of an iterator they are put back.

    Args:
        given: the arguments of `fit`, by name; `x` may be replaced.

    Returns:
        x and y, cut to the first `COMPARED` examples; None where they cannot be had beside the training.
    """
    x, y = given["x"], given["y"]
    if isinstance(x, types.GeneratorType):
        first = next(x, None)
        given["x"] = x if first is None else _put_back(first, x)
        x, y = _x_y(first)
    elif isinstance(x, keras.utils.PyDataset):
        x, y = _x_y(x[0])
    elif is_dataset(x):
        x, y = _x_y(next(iter(x)))
    arrays = [array for array in keras.tree.flatten((x, y)) if array is not None]
    if not arrays or not all(hasattr(array, "shape") for array in arrays):
        return None
    return keras.tree.map_structure(_first_rows, (x, y))


def _x_y(minibatch):
    return (None, None) if minibatch is None else keras.utils.unpack_x_y_sample_weight(minibatch)[:2]


def _put_back(first, rest):
    yield first
    yield from rest


def _first_rows(array):
    rows = None if array is None else array[:COMPARED]
    return rows.toarray() if hasattr(rows, "toarray") else rows  # SciPy's sparse matrices
