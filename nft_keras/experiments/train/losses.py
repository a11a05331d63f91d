"""The loss that classifiers are trained with."""

import keras
from keras import ops


def crossentropy(label_smoothing):
    """The cross-entropy of logits and class indices, with smoothed labels or without.

    Args:
        label_smoothing: float in [0, 1).

    Returns:
        `keras.losses.Loss`.
    """
    if label_smoothing:
        return SmoothedCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@keras.saving.register_keras_serializable("nft_keras")
class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """`keras.losses.CategoricalCrossentropy` of class indices: Keras' own loss of these smoothes no labels.

    Of C classes that of the label has the target 1 - label_smoothing + label_smoothing / C, each other one
    label_smoothing / C.

    Args:
        **kwargs: `keras.losses.CategoricalCrossentropy`'s.
    """

    def __init__(self, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """The loss of each example, (batch,); y_true: class indices (batch,)."""
        indices = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return super().call(ops.one_hot(indices, y_pred.shape[-1]), y_pred)
