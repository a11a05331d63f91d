"""Layers as the published settings have them: PyTorch's default initialization and batch-norm constants."""

import math
from typing import Any

import keras
from keras import initializers, layers, ops

from nft_keras.backend import keras_internals


def output_dtype() -> str:
    """The dtype of an output layer: of the weights, so that under mixed precision nothing of the output is lost."""
    return keras.config.dtype_policy().variable_dtype


def dense(
    x: keras.KerasTensor, units: int, activation: str | None = None, dtype: str | None = None
) -> keras.KerasTensor:
    """Applies a Dense layer, weights and biases uniform in +-1/sqrt(fan_in)."""
    return layers.Dense(units, activation=activation, dtype=dtype, **_uniform(x.shape[-1]))(x)


def conv(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    strides: int = 1,
    padding: str = "valid",
    activation: str | None = None,
    use_bias: bool = True,
    dtype: str | None = None,
) -> keras.KerasTensor:
    """Applies a Conv2D layer, weights and biases uniform in +-1/sqrt(fan_in)."""
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        activation=activation,
        use_bias=use_bias,
        dtype=dtype,
        **_uniform(size * size * x.shape[-1]),
    )(x)


def batch_norm(
    x: keras.KerasTensor, layer: type[layers.BatchNormalization] = layers.BatchNormalization
) -> keras.KerasTensor:
    """Applies batch normalization with momentum 0.9 (of the old value, as Keras counts) and epsilon 1e-5."""
    return layer(momentum=0.9, epsilon=1e-5)(x)


@keras.saving.register_keras_serializable("nft_keras")
class FusedBatchNormalization(layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of images in one TensorFlow kernel where there is one.

    Keras' own takes a pass over the maps for each operation, under mixed precision in float32. For auxiliary networks
    alone: the file of a classifier must load where nft_keras is not installed.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not self._can_be_fused(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        training = bool(training and self.trainable)
        outputs, mean, variance = keras_internals.fused_batch_norm(self, inputs, training)
        if training:
            # The kernel divides the variance by n - 1, Keras by n.
            n = ops.cast(ops.size(inputs) // inputs.shape[-1], "float32")
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance * (n - 1) / n)):
                moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs

    def _can_be_fused(self, inputs, mask):
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.renorm
            and not self.synchronized
            and mask is None
            and self.variable_dtype == "float32"
            and inputs.dtype in ("float32", "float16", "bfloat16")
        )


def _uniform(fan_in):
    bound = 1 / math.sqrt(fan_in)
    return {
        "kernel_initializer": initializers.RandomUniform(-bound, bound),
        "bias_initializer": initializers.RandomUniform(-bound, bound),
    }
