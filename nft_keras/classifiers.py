"""The classifiers of Section 3 of Marullo et al. (2022), footnote 5, fc_a, fc_b, cnn_a, cnn_b, resnet18; and cnn_gap.

Each is a function of the shape of one example and the number of classes that returns a `keras.Model` of standard Keras
layers with logits as output. Weights and biases start uniform in +-1/sqrt(fan_in), batch norm has momentum 0.9 and
epsilon 1e-5: PyTorch's defaults, which the published settings depend on. Vectors and images (height, width, channels)
are both taken by the fully connected ones.
"""

from collections.abc import Iterable

import keras
from keras import layers

from nft_keras.layers import batch_norm, conv, dense, output_dtype


def fc_a(input_shape: tuple[int, ...], num_classes: int, units: int = 10) -> keras.Model:
    """One hidden layer of tanh units (FC-A).

    Args:
        input_shape: tuple, shape of one example.
        num_classes: int, number of logits.
        units: int, hidden units.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes).
    """
    inputs = keras.Input(input_shape)
    x = dense(_flat(inputs), units, "tanh")
    return keras.Model(inputs, dense(x, num_classes, dtype=output_dtype()), name="fc_a")


def fc_b(
    input_shape: tuple[int, ...], num_classes: int, units: Iterable[int] = (2500, 2000, 1500, 1000, 500)
) -> keras.Model:
    """Five hidden layers, each Dense - BatchNormalization - ReLU (FC-B).

    Args:
        input_shape: tuple, shape of one example.
        num_classes: int, number of logits.
        units: ints, hidden units of each layer.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes).

    Raises:
        ValueError: if there is no hidden layer.
    """
    units = list(units)
    if not units:
        raise ValueError("fc_b needs units, those of one hidden layer at least, got none")
    inputs = keras.Input(input_shape)
    x = _flat(inputs)
    for n in units:
        x = layers.ReLU()(batch_norm(dense(x, n)))
    return keras.Model(inputs, dense(x, num_classes, dtype=output_dtype()), name="fc_b")


def cnn_a(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Two convolutions, max-pooling and 128 units (CNN-A); 9,216 features before them for 28x28 images.

    Args:
        input_shape: tuple (height, width, channels), at least 6x6.
        num_classes: int, number of logits.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes).

    Raises:
        ValueError: for smaller images.
    """
    _check_images("cnn-a", input_shape, 6)
    return _cnn("cnn_a", input_shape, num_classes, ((32, 3), (64, 3)))


def cnn_b(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Four convolutions, max-pooling and 128 units (CNN-B); 5,184 features before them for 28x28 images.

    Args:
        input_shape: tuple (height, width, channels), at least 11x11.
        num_classes: int, number of logits.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes).

    Raises:
        ValueError: for smaller images.
    """
    _check_images("cnn-b", input_shape, 11)
    return _cnn("cnn_b", input_shape, num_classes, ((32, 4), (48, 4), (64, 3), (64, 2)))


def cnn_gap(
    input_shape: tuple[int, int, int], num_classes: int, filters: Iterable[int] = (32, 64, 128, 256)
) -> keras.Model:
    """Convolutions with global average pooling, for images of 64 to 256 pixels: its weights do not grow with the image.

    A block for each number of filters: a 3x3 convolution, batch norm, ReLU, max-pooling. Not of the paper.

    Args:
        input_shape: tuple (height, width, channels), at least 16x16 with four blocks.
        num_classes: int, number of logits.
        filters: ints, maps of each block.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes).

    Raises:
        ValueError: for smaller images.
    """
    filters = tuple(filters)
    _check_images("cnn-gap", input_shape, 2 ** len(filters))
    inputs = x = keras.Input(input_shape)
    for maps in filters:
        x = layers.ReLU()(batch_norm(conv(x, maps, 3, padding="same", use_bias=False)))
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, dense(x, num_classes, dtype=output_dtype()), name="cnn_gap")


def resnet18(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """ResNet18 in its CIFAR form: a 3x3 stem of 64 maps, no max-pooling, stages of 64-128-256-512 maps.

    Args:
        input_shape: tuple (height, width, channels).
        num_classes: int, number of logits.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes).
    """
    _check_images("resnet18", input_shape, 1)
    inputs = keras.Input(input_shape)
    x = layers.ReLU()(batch_norm(_padded_conv(inputs, 64, 3)))
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(2):
            x = _residual_block(x, filters, strides=2 if stage and not block else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, dense(x, num_classes, dtype=output_dtype()), name="resnet18")


def _check_images(name, input_shape, least):
    """Refuses what are no images, or smaller ones than a network can take."""
    if len(input_shape) != 3:
        raise ValueError(f"{name} needs images (height, width, channels), got {tuple(input_shape)}")
    height, width, _ = input_shape
    if None not in (height, width) and min(height, width) < least:
        raise ValueError(f"{name} needs images of at least {least}x{least} pixels, got {height}x{width}")


def _cnn(name, input_shape, num_classes, convolutions):
    inputs = x = keras.Input(input_shape)
    for filters, size in convolutions:
        x = conv(x, filters, size, activation="relu")
    x = layers.Dropout(0.25)(layers.MaxPooling2D(2)(x))
    x = layers.Dropout(0.5)(dense(layers.Flatten()(x), 128, "relu"))
    return keras.Model(inputs, dense(x, num_classes, dtype=output_dtype()), name=name)


def _residual_block(x, filters, strides):
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = batch_norm(conv(x, filters, 1, strides, use_bias=False))
    x = layers.ReLU()(batch_norm(_padded_conv(x, filters, 3, strides)))
    x = batch_norm(_padded_conv(x, filters, 3))
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _padded_conv(x, filters, size, strides=1):
    # Keras pads a strided convolution at the bottom right only; the published networks pad all around.
    return conv(layers.ZeroPadding2D(size // 2)(x), filters, size, strides, use_bias=False)


def _flat(x):
    return layers.Flatten()(x) if len(x.shape) > 2 else x
