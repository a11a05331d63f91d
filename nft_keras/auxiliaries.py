"""The auxiliary networks s(x, theta) of Section 3 of Marullo et al. (2022): unet for images, mlp for vectors.

Both return a `keras.Model` with a linear output of the input's shape. With `num_classes` they are label-conditioned:
two inputs [x, y], y the class indices (batch,). Weights and biases start uniform in +-1/sqrt(fan_in), batch norm has
momentum 0.9 and epsilon 1e-5: PyTorch's defaults, which the published settings depend on.
"""

import re
from typing import Any

import keras
from keras import layers, ops

from nft_keras._checks import whole_number
from nft_keras.layers import FusedBatchNormalization, batch_norm, conv, dense, output_dtype


def unet(
    input_shape: tuple[int, int, int],
    filters: int = 64,
    depth: int = 2,
    num_classes: int | None = None,
    residual: bool = False,
    stem: int = 1,
) -> keras.Model:
    """A U-Net (Ronneberger et al. 2015) with bilinear upsampling, after footnote 6 of the paper.

    Two 3x3 convolutions make `filters` maps; `depth` times max-pooling and two convolutions double them (the last
    time their number stays); `depth` times bilinear upsampling, the skip connection and two convolutions lead back;
    a 1x1 convolution is the linear output. Each 3x3 convolution is followed by batch norm and ReLU.

    Args:
        input_shape: tuple (height, width, channels); any height and width of at least 2^depth, odd ones too.
        filters: int >= 1, n_f, the maps of the first level.
        depth: int >= 1, nu, the number of down-sampling blocks.
        num_classes: int, or None for a network that does not see the label. The label comes in as one constant map
            per class beside x.
        residual: bool; True gives s(x) = x + g(x) with g exactly zero at the start, an alternative of ours to the
            paper's form.
        stem: int >= 1; above 1 squares of stem x stem pixels become the channels of one before all of this, and the
            linear output is unfolded into them again: about 1/stem^2 of the operations, an alternative of ours to the
            paper's form. An image that such squares do not fill is padded with zeros.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, *input_shape), or with labels [x, y] -> (batch, *input_shape).

    Raises:
        ValueError: if input_shape is not that of an image, or too small for depth and stem, or another number is no
            whole number >= 1.
    """
    filters, depth, stem = (
        whole_number(name, value, least=1) for name, value in (("filters", filters), ("depth", depth), ("stem", stem))
    )
    if len(input_shape) != 3 or None in input_shape:
        raise ValueError(f"unet needs input_shape (height, width, channels), got {tuple(input_shape)}")
    height, width, channels = input_shape
    least, what = stem * (2**depth - 1) + 1, f"depth {depth}" + (f" and stem {stem}" if stem > 1 else "")
    if min(height, width) < least:
        raise ValueError(f"unet of {what} needs images of at least {least}x{least}, got {height}x{width}")
    missing = -height % stem, -width % stem
    inputs, image, x = _inputs(input_shape, num_classes, lambda x: _folded(x, stem, missing))
    x = _double_conv(x, filters, filters)
    skips = []
    for level in range(depth):
        skips.append(x)
        maps = filters * 2 ** min(level + 1, depth - 1)
        x = _double_conv(layers.MaxPooling2D(2)(x), maps, maps)
    for level in reversed(range(depth)):
        skip = skips[level]
        # In float32: TensorFlow's XLA cannot resize in float16.
        x = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32")(x)
        x = layers.ZeroPadding2D(((0, skip.shape[1] - x.shape[1]), (0, skip.shape[2] - x.shape[2])))(x)
        x = layers.Concatenate()([skip, x])
        x = _double_conv(x, x.shape[-1] // 2, filters * 2 ** max(level - 1, 0))
    if residual:
        g = layers.Conv2D(channels * stem**2, 1, kernel_initializer="zeros", dtype=output_dtype())(x)
        x = layers.Add(dtype=output_dtype())([image, _unfolded(g, stem, missing)])
    else:
        x = _unfolded(conv(x, channels * stem**2, 1, dtype=output_dtype()), stem, missing)
    return keras.Model(inputs, x, name="unet")


def _folded(x, stem, missing):
    """Squares of stem x stem pixels as channels, with rows and columns of zeros where so many are missing."""
    if any(missing):
        x = layers.ZeroPadding2D(((0, missing[0]), (0, missing[1])))(x)
    return x if stem == 1 else ops.space_to_depth(x, stem)


def _unfolded(x, stem, missing):
    """The image of `_folded`."""
    x = x if stem == 1 else ops.depth_to_space(x, stem)
    if any(missing):
        x = layers.Cropping2D(((0, missing[0]), (0, missing[1])), dtype=output_dtype())(x)
    return x


def mlp(input_dim: int, hidden: int = 256, num_classes: int | None = None, residual: bool = False) -> keras.Model:
    """One hidden layer of ReLU units and a linear output: the auxiliary network for vectors.

    Args:
        input_dim: int, number of features.
        hidden: int >= 1, hidden units.
        num_classes: int, or None for a network that does not see the label. The label comes in one-hot beside x.
        residual: bool; True gives s(x) = x + g(x) with g exactly zero at the start, an alternative of ours to the
            paper's form.

    Returns:
        A `keras.Model` (batch, input_dim) -> (batch, input_dim), or with labels [x, y] -> (batch, input_dim).

    Raises:
        ValueError: if input_dim, hidden or num_classes is no whole number >= 1.

    Example:

        mlp(30, hidden=64)
    """
    input_dim, hidden = (
        whole_number(name, value, least=1) for name, value in (("input_dim", input_dim), ("hidden", hidden))
    )
    inputs, features, x = _inputs((input_dim,), num_classes)
    x = dense(x, hidden, "relu")
    if residual:
        g = layers.Dense(input_dim, kernel_initializer="zeros", dtype=output_dtype())(x)
        x = layers.Add(dtype=output_dtype())([features, g])
    else:
        x = dense(x, input_dim, dtype=output_dtype())
    return keras.Model(inputs, x, name="mlp")


def _inputs(shape, num_classes, folded=lambda x: x):
    """The inputs, x alone, and x folded, with the one-hot label appended to its last axis where there is one."""
    image = keras.Input(shape, name="x")
    if num_classes is None:
        return image, image, folded(image)
    num_classes = whole_number("num_classes", num_classes, least=1)
    y = keras.Input((), dtype="int32", name="y")
    label, x = ops.one_hot(y, num_classes), folded(image)
    for length in reversed(x.shape[1:-1]):
        label = ops.repeat(ops.expand_dims(label, 1), length, 1)
    return [image, y], image, layers.Concatenate()([x, label])


def _double_conv(x, middle, filters):
    for n in (middle, filters):
        x = conv(x, n, 3, padding="same", use_bias=False)
        x = layers.ReLU()(batch_norm(x, FusedBatchNormalization))
    return x


def altered_by(auxiliary: keras.Model, x: Any, y: Any = None, training: bool = False) -> Any:
    """What an auxiliary network makes of x: s(x, theta).

    Args:
        auxiliary: the network; label-conditioned if it has one input more than x has tensors, or says so by
            `label_conditioned`.
        x: float tensor (batch, ...), or a list of several.
        y: labels of the minibatch; needed if it is label-conditioned.
        training: bool, the mode of the network.

    Returns:
        Tensors of the shapes and dtypes of x.

    Raises:
        ValueError: if labels are needed and missing, or the network's outputs are not as many, or not of these shapes.
    """
    tensors, inputs = keras.tree.flatten(x), getattr(auxiliary, "inputs", None)
    conditioned = len(inputs) == len(tensors) + 1 if inputs else getattr(auxiliary, "label_conditioned", False)
    given = [*tensors, labels_for(auxiliary, y)] if conditioned else x
    given = given[0] if isinstance(given, list) and len(given) == 1 else given  # as Keras wants a single input
    try:
        outputs = keras.tree.flatten(auxiliary(given, training=training))
    except ValueError as error:
        shapes = " and ".join(str(tuple(each.shape)) for each in keras.tree.flatten(given))
        said = [line for line in str(error).splitlines() if "expect" in line or "ncompatible" in line]
        what = re.sub(r"\x1b\[[0-9;]*m", "", said[-1] if said else str(error))
        raise ValueError(f"the auxiliary network does not take {shapes}: {what}") from error
    if len(outputs) != len(tensors):
        raise ValueError(
            f"the auxiliary network must have an output for each tensor of x, got {len(outputs)} for {len(tensors)}"
        )
    return keras.tree.pack_sequence_as(x, [_like(of, each) for of, each in zip(tensors, outputs, strict=True)])


def _like(x, output):
    """An output in the shape and dtype of x."""
    if len(output.shape) == len(x.shape) + 1 and output.shape[-1] == 1:
        output = ops.squeeze(output, -1)  # Keras, too, takes images without the axis of a single channel
    if len(output.shape) != len(x.shape) or any(
        a != b for a, b in zip(output.shape, x.shape, strict=True) if None not in (a, b)
    ):
        got = f"{tuple(output.shape)} for x of {tuple(x.shape)}"
        raise ValueError(f"the auxiliary network's output must have the shape of x, got {got}")
    return ops.cast(output, x.dtype)


def labels_for(auxiliary: keras.Model, y: Any) -> Any:
    """Labels in the form of a label-conditioned network's last input: class indices or one-hot.

    Args:
        auxiliary: the network.
        y: labels of a minibatch, class indices (batch,) or (batch, 1), or one-hot (batch, num_classes).

    Raises:
        ValueError: if there are none, or if they are several tensors.
    """
    if y is None:
        raise ValueError("the auxiliary network is label-conditioned: simplify needs the labels y too")
    if keras.tree.is_nested(y):
        raise ValueError(f"a label-conditioned auxiliary network takes a single tensor y, got a {type(y).__name__}")
    y = ops.convert_to_tensor(y)
    inputs = getattr(auxiliary, "inputs", None)
    if not inputs:
        return y
    wanted = tuple(inputs[-1].shape[1:])
    if len(y.shape) == 2 and y.shape[1] == 1:
        y = ops.squeeze(y, 1)
    if len(y.shape) == 2 and wanted in ((), (1,)):
        y = ops.argmax(y, axis=1)
    if len(y.shape) == 1 and len(wanted) == 1:
        y = ops.expand_dims(y, 1) if wanted == (1,) else ops.one_hot(ops.cast(y, "int32"), wanted[0])
    return y
