"""Augmentation of image minibatches as pure functions of a seed, for `batches(..., augment=...)`."""

import dataclasses
from collections.abc import Callable
from typing import Any

PADDING = 4


def augmentation(chosen: dict[str, Any]) -> Callable | None:
    """A function of (images, two integers as a seed) that alters images at random, as `batches` takes it.

    Args:
        chosen: {name: settings}, dataclasses such as `nft_keras.experiments.recipe.settings.Flip`: what their `layer`
            names in `keras.layers`, with their fields as arguments; "crop-and-flip" is `crop_and_flip`. Applied in
            their order; those with `mixes_labels` are for `mixing`.

    Returns:
        The function, of float images in [0, 1]; None for none.
    """
    return _one_after_the_other(
        [
            crop_and_flip if name == "crop-and-flip" else _of_layer(of)
            for name, of in chosen.items()
            if not getattr(of, "mixes_labels", False)
        ]
    )


def mixing(chosen: dict[str, Any], num_classes: int) -> Callable | None:
    """A function of (images, labels, two integers as a seed) that mixes examples at random, as `batches` takes it.

    Args:
        chosen: as for `augmentation`; what has no `mixes_labels` is for that.
        num_classes: int.

    Returns:
        The function, of float images in [0, 1] and class indices (batch,). It returns images and the share of each
        class, float32 (batch, num_classes). None for none.
    """
    import tensorflow as tf

    of_both = _one_after_the_other([_of_layer(of) for of in chosen.values() if getattr(of, "mixes_labels", False)])

    def mix(images, labels, seed):
        mixed = of_both({"images": images, "labels": tf.one_hot(labels, num_classes)}, seed)
        return mixed["images"], mixed["labels"]

    return of_both and mix


def _one_after_the_other(steps):
    """One function of (data, seed) for several, each with a seed of its own; None for none."""
    import tensorflow as tf

    if len(steps) < 2:
        return next(iter(steps), None)

    def all_of_them(data, seed):
        for i, step in enumerate(steps):
            data = step(data, tf.random.experimental.stateless_fold_in(seed, i))
        return data

    return all_of_them


def _of_layer(settings):
    """A layer of Keras as a pure function of (images, or what holds them and their labels, seed)."""
    import keras
    import tensorflow as tf

    from nft_keras.backend import keras_internals

    # Whatever the policy of the training, images are float32 before they come to it.
    arguments = dataclasses.asdict(settings) | {"dtype": "float32"}
    if settings.layer in ("RandomContrast", "RandAugment"):
        arguments["value_range"] = (0, 1)
    layer = getattr(keras.layers, settings.layer)(**arguments)
    convert = tf.autograph.experimental.do_not_convert  # AutoGraph cannot, and says so at length
    return convert(lambda data, seed: keras_internals.layer_with_seed(layer, data, seed))


def crop_and_flip(images: Any, seed: Any) -> Any:
    """Random crop after zero padding by 4 on every side, then a horizontal flip of every other image on average.

    What the ResNet18 runs on CIFAR-10 use (He et al. 2016, Section 4.2): each image is shifted by up to 4 pixels up
    or down and left or right and mirrored with probability 1/2, independently of the others.

    Args:
        images: tensor or array (batch, height, width, channels) of any numeric dtype.
        seed: two integers; the same ones give the same result.

    Returns:
        Tensor of the shape and dtype of `images`.

    Raises:
        ValueError: if images do not have four axes.
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4:
        raise ValueError(f"crop_and_flip wants images (batch, height, width, channels), got shape {images.shape}")
    count, height, width, _ = tf.unstack(tf.shape(images))
    shifts = 2 * PADDING + 1
    draws = tf.random.stateless_uniform((3, count), seed, maxval=2 * shifts, dtype=tf.int32)[..., None]
    top, left, flip = draws[0] % shifts, draws[1] % shifts, draws[2] < shifts
    columns = tf.range(width)
    columns = left + tf.where(flip, columns[::-1], columns)
    padded = tf.pad(images, [[0, 0], [PADDING, PADDING], [PADDING, PADDING], [0, 0]])
    cropped = tf.gather(padded, top + tf.range(height), axis=1, batch_dims=1)
    return tf.ensure_shape(tf.gather(cropped, columns, axis=2, batch_dims=1), images.shape)
