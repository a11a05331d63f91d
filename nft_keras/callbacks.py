"""Callbacks that say what altered data are like: whether they are easier, and whether they come back."""

import keras

from nft_keras.base import as_floats, is_dataset

# Of the variance of the data: with more than that still altered at the drop, the classifier meets other data.
MOST_LEFT = 0.1
# So many training examples are enough to see whether the altered ones are easier, and cost next to nothing.
COMPARED = 100


class Comparison(keras.callbacks.Callback):
    """Sees whether altered data are easier for the classifier as it is when the pass that updates it begins.

    Logs `loss_reduction`, the classifier's loss on some examples minus that on their altered forms, both networks in
    inference mode; 0 in an epoch on unaltered data.

    Args:
        x, y: the data that `fit` is given.
    """

    def __init__(self, x, y):
        super().__init__()
        self.examples = some_examples(x, y)

    def on_epoch_begin(self, epoch, logs=None):
        """Compares the two losses."""
        wanted = self.model.simplifying and self.examples is not None
        self.model._loss_reduction.variable.assign(self._reduction(*self.examples) if wanted else 0.0)

    def _reduction(self, x, y):
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


def at_the_drop(relative_perturbation, reductions):
    """What is to be known of a plan that is over.

    Args:
        relative_perturbation: float, of the last simplified epoch.
        reductions: list of floats, `loss_reduction` of the simplified epochs.

    Returns:
        list of str, a sentence each: none if the data came back and were easier.
    """
    lines = []
    if relative_perturbation > MOST_LEFT:
        lines.append(
            f"the perturbation is still {relative_perturbation:.0%} of the variance of the data as the auxiliary "
            "network is dropped: the classifier now meets other data; try a larger learning rate of the auxiliary "
            "network, a larger eta_max, more epochs, or a larger network"
        )
    harder = sum(reduction < 0 for reduction in reductions)
    if 2 * harder > len(reductions):
        lines.append(
            f"in {harder} of {len(reductions)} simplified epochs the classifier's loss was higher on altered data than "
            "on real data: they were not easier but strange"
        )
    return lines
