"""Layers as the published settings have them: PyTorch's default initialization and batch-norm constants."""

import math

import keras
from keras import initializers, layers


def output_dtype():
    """The dtype of an output layer: of the weights, so that under mixed precision nothing of the output is lost."""
    return keras.config.dtype_policy().variable_dtype


def dense(x, units, activation=None, dtype=None):
    """Applies a Dense layer, weights and biases uniform in +-1/sqrt(fan_in)."""
    return layers.Dense(units, activation=activation, dtype=dtype, **_uniform(x.shape[-1]))(x)


def conv(x, filters, size, strides=1, padding="valid", activation=None, use_bias=True, dtype=None):
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


def batch_norm(x):
    """Applies BatchNormalization with momentum 0.9 (of the old value, as Keras counts) and epsilon 1e-5."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _uniform(fan_in):
    bound = 1 / math.sqrt(fan_in)
    return {
        "kernel_initializer": initializers.RandomUniform(-bound, bound),
        "bias_initializer": initializers.RandomUniform(-bound, bound),
    }
