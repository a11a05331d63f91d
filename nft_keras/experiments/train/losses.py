"""The loss that classifiers are trained with, its weights, and a metric that their best epoch may be chosen by."""

import dataclasses

import keras
import numpy as np
from keras import ops

from nft_keras._checks import suggest


def class_of(y, y_pred):
    """Class indices, int32 (batch,), of labels: of such, or of the share of each class (batch, num_classes).

    Args:
        y: the labels.
        y_pred: logits (batch, num_classes).
    """
    if len(y.shape) == 2 and y.shape[-1] == y_pred.shape[-1]:
        return ops.cast(ops.argmax(y, -1), "int32")
    return ops.cast(ops.reshape(y, (-1,)), "int32")


def crossentropy(label_smoothing, mixed=False):
    """The cross-entropy of logits and class indices, with smoothed labels or without.

    Args:
        label_smoothing: float in [0, 1).
        mixed: bool, whether some labels are the share of each class.

    Returns:
        `keras.losses.Loss`.
    """
    if label_smoothing or mixed:
        return SmoothedCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def binary_crossentropy(label_smoothing, mixed=False):
    """The cross-entropy of logits and labels of 0 and 1, averaged over the labels; arguments as of `crossentropy`."""
    return keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)


def squared_error(label_smoothing, mixed=False):
    """The squared error of a quantity, whose labels are neither smoothed nor mixed."""
    return keras.losses.MeanSquaredError()


def error(y, y_pred):
    """Errors in percent: 100 where the largest logit is not the label's, else 0.

    Args:
        y: labels, as of `class_of`.
        y_pred: logits (batch, num_classes).

    Returns:
        float tensor (batch,).
    """
    wrong = ops.not_equal(ops.cast(ops.argmax(y_pred, -1), "int32"), class_of(y, y_pred))
    return 100.0 * ops.cast(wrong, "float32")


def label_error(y, y_pred):
    """The share of wrong labels of each example, in percent.

    Args:
        y: labels (batch, labels) of 0 and 1.
        y_pred: logits (batch, labels).

    Returns:
        float tensor (batch,).
    """
    wrong = ops.not_equal(y_pred >= 0, y > 0.5)
    return 100.0 * ops.mean(ops.cast(wrong, "float32"), -1)


def unexplained(y, y_pred):
    """Squared errors of a quantity in percent of its variance in the training part.

    Args:
        y, y_pred: (batch, 1), in standard deviations from its mean, of the training part.

    Returns:
        float tensor (batch,).
    """
    return 100.0 * ops.square(ops.cast(y_pred, "float32") - ops.cast(y, "float32"))[:, 0]


def class_weights(setting, dataset):
    """What the loss of each class's examples is multiplied by.

    Args:
        setting: `class_weight` of `TrainingSettings`.
        dataset: the `nft_keras.data.Dataset`.

    Returns:
        {class index: float} as `fit` takes it, or None.

    Raises:
        ValueError: for the name of a class that there is not, and where all weights are 0.
    """
    if setting is None:
        return None
    weights, names = dict.fromkeys(range(dataset.num_classes), 1.0), dataset.class_names
    if setting == "balanced":
        from sklearn.utils.class_weight import compute_class_weight

        present = np.unique(dataset.train.y)
        balanced = compute_class_weight("balanced", classes=present, y=dataset.train.y)
        return weights | dict(zip(present.tolist(), balanced.tolist(), strict=True))
    for name in setting:
        if name not in names:
            there_are = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "") + suggest(name, names)
            raise ValueError(f"training.class_weight: there is no class {name!r}; there are {there_are}")
    weights |= {names.index(name): weight for name, weight in setting.items()}
    if not any(weights.values()):
        raise ValueError("training.class_weight: one class at least should have a weight above 0, all have 0")
    return weights


def weighted(setting, dataset):
    """A data set, and the `class_weight` of `fit` on it, which Keras does not take beside weights of examples.

    Args:
        setting, dataset: as for `class_weights`.

    Returns:
        A `nft_keras.data.Dataset`, whose examples' weights have those of their classes in them; and None, or where the
        examples have no weights `class_weights`.
    """
    of_classes, train = class_weights(setting, dataset), dataset.train
    if of_classes is None or train.weights is None:
        return dataset, of_classes
    factors = np.array([of_classes[i] for i in range(dataset.num_classes)], "float32")
    train = dataclasses.replace(train, weights=train.weights * factors[train.y])
    return dataclasses.replace(dataset, train=train), None


@keras.saving.register_keras_serializable("nft_keras")
class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """`keras.losses.CategoricalCrossentropy` of class indices, too: Keras' own loss of these does not smooth labels.

    Of C classes that of the label has the target 1 - label_smoothing + label_smoothing / C, each other one
    label_smoothing / C.

    Args:
        **kwargs: `keras.losses.CategoricalCrossentropy`'s.
    """

    def __init__(self, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """The loss of each example, (batch,); y_true: class indices (batch,), or the share of each class."""
        if len(y_true.shape) != 2 or y_true.shape[-1] != y_pred.shape[-1]:
            y_true = ops.one_hot(class_of(y_true, y_pred), y_pred.shape[-1])
        return super().call(y_true, y_pred)


class BalancedError(keras.metrics.Metric):
    """The mean over the classes of the error in each, in percent; a class without examples does not count.

    Args:
        num_classes: int.
    """

    def __init__(self, num_classes, name="balanced_error"):
        super().__init__(name=name, dtype="float32")
        self.wrong, self.number = (self.add_variable((num_classes,), "zeros", name=of) for of in ("wrong", "number"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a minibatch: labels, as of `class_of`, and logits (batch, num_classes); weights do not count."""
        y_true = class_of(y_true, y_pred)
        of_class = ops.one_hot(y_true, y_pred.shape[-1], dtype="float32")
        wrong = ops.cast(ops.not_equal(ops.cast(ops.argmax(y_pred, -1), "int32"), y_true), "float32")
        self.number.assign(self.number + ops.sum(of_class, 0))
        self.wrong.assign(self.wrong + ops.sum(of_class * wrong[:, None], 0))

    def result(self):
        """The balanced error so far."""
        there = ops.cast(self.number > 0, "float32")
        of_classes = self.wrong / ops.maximum(self.number, 1.0)
        return 100.0 * ops.sum(of_classes) / ops.maximum(ops.sum(there), 1.0)
