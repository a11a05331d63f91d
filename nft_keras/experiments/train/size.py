"""What the size of networks says before they are trained: to a person, and of how their steps are made."""

import keras

from nft_keras import costs
from nft_keras.backend import backend_name
from nft_keras.experiments.methods import METHODS, method_title

_MANY_WEIGHTS, _MANY_OPERATIONS = 20_000_000, 1_000_000_000
# Forward passes on a minibatch of so few operations take about as long as what Python does for a step.
_FEW_OPERATIONS = 20_000_000
AT_ONCE = 64  # such steps in one call


def remarks(trial, model):
    """Lines on networks that are large for the images of a data set; none for most.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        model: the model that trains it, with its networks.

    Returns:
        list of str.
    """
    classifier, *auxiliaries = model.networks()
    shape = classifier.input_shape[1:]
    if len(shape) != 3:
        return []
    pixels, lines = f"images of {shape[0]}x{shape[1]} pixels", []
    dense = [layer for layer in classifier.layers if isinstance(layer, keras.layers.Dense)]
    if max((layer.count_params() for layer in dense), default=0) > _MANY_WEIGHTS:
        weights = classifier.count_params() / 1e6
        lines.append(
            f"{trial.classifier} has {weights:.1f} million weights on {pixels}; those of cnn-gap and backbone do not "
            "grow with the image"
        )
    try:
        f, s = costs.forward(classifier), sum(map(costs.forward, auxiliaries))
    except ValueError:  # they cannot be counted
        return lines
    operations = METHODS[trial.kind].operations
    if s > _MANY_OPERATIONS and operations is not None:
        times = operations(trial, f, s) / (costs.classic_step(f) * trial.training.epochs)
        lines.append(
            f"{trial.classifier} with {method_title(trial.method)} takes {times:.1f} times the operations of classic "
            f"training on {pixels}; an auxiliary network of fewer `filters`, or with `stem: 2`, takes fewer"
        )
    return lines


def short_steps(trial, model):
    """Whether a step of a trial takes no longer than what Keras and `tf.data` do beside it.

    By the size of the networks and of the minibatch, not by time: on every machine the same.

    Args:
        trial, model: as for `remarks`.
    """
    if backend_name() != "tensorflow" or trial.distribute != "none":
        return False
    try:
        return few_operations(trial, sum(map(costs.forward, model.networks())))
    except ValueError:  # they cannot be counted
        return False


def few_operations(trial, operations):
    """Whether forward passes of so many operations per example are few on a minibatch of a trial."""
    return operations * trial.training.batch_size <= _FEW_OPERATIONS
