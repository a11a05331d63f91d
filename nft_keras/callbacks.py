"""Callbacks that say what altered data are like: whether they are easier, and whether they come back."""

import math

import keras

from nft_keras import backend
from nft_keras.base import as_floats, is_dataset

# So many training examples are enough to see whether the altered ones are easier, and cost next to nothing.
COMPARED = 100


class Comparison(keras.callbacks.Callback):
    """Sees whether altered data are easier for the classifier as it is when the pass that updates it begins.

    Logs `loss_reduction`, the classifier's loss on some examples minus that on their altered forms, both networks in
    inference mode; 0 in an epoch on unaltered data, NaN where no examples can be had beside the training, as from a
    generator or over several devices.

    Args:
        x, y: the data that `fit` is given.
    """

    def __init__(self, x, y):
        super().__init__()
        self.examples = some_examples(x, y)

    def on_epoch_begin(self, epoch, logs=None):
        """Compares the two losses."""
        reduction = 0.0
        if self.model.simplifying:
            reduction = self._reduction(*self.examples) if self.examples else math.nan
        # What was computed before the pass has also gone into Keras' means of the loss of each output.
        for metric in self.model.metrics:
            if metric is not self.model._auxiliary_loss:
                metric.reset_state()
        self.model._loss_reduction.variable.assign(reduction)

    def _reduction(self, x, y):
        with backend.inference():
            losses = [
                self.model.compute_loss(x, y, self.model(each, training=False), training=False)
                for each in (as_floats(x), self.model.simplify(x, y))
            ]
        return float(losses[0]) - float(losses[1])


def some_examples(x, y):
    """A few (x, y) out of what `fit` is given; None where they cannot be had without taking them away."""
    if is_dataset(x):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(next(iter(x)))
    elif isinstance(x, keras.utils.PyDataset):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x[0])
    elif not hasattr(x, "shape"):
        return None
    return keras.tree.map_structure(lambda array: array[:COMPARED], (x, y))
