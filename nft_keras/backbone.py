"""A classifier on a network that is there already: a model of keras.applications, a .keras file, a keras-hub preset.

What it is to be told, a recipe's `classifiers: {backbone: {...}}`, are the arguments of `backbone`.
"""

import contextlib
import os
import re
import sys
import warnings

import keras
import numpy as np
from keras import layers

from nft_keras._checks import suggest
from nft_keras.layers import dense, output_dtype
from nft_keras.places import layers_of


class BackboneError(ValueError):
    """A backbone that cannot be had or used as it is asked for; the message says what to do."""


def backbone(
    input_shape: tuple[int, int, int],
    num_classes: int,
    model: str = "MobileNetV3Small",
    weights: str | None = None,
    trainable: bool = False,
    trainable_from: int | None = None,
) -> keras.Model:
    """The features of a network that is there already, pooled, with logits on top.

    Images in [0, 1] are scaled to what a model of keras.applications or a preset was trained with; to a .keras file of
    yours they come as they are. Of a backbone whose weights were trained batch norm stays frozen, in inference mode, as
    Keras' guide to fine-tuning has it.

    Args:
        input_shape: tuple (height, width, channels), 3 channels or 1, which a model of keras.applications or a preset
            sees three times.
        num_classes: int, number of logits.
        model: a name in `keras.applications`; the path of a .keras file, whose output is taken for features; or a
            preset of keras-hub, its name or its folder. A relative path starts from the working directory.
        weights: of a name, "imagenet" (default), "none", or a file of weights without the top; of a preset its own, or
            "none". A .keras file brings its own.
        trainable: bool, whether the backbone is trained from the start.
        trainable_from: int >= 1, or None: in a recipe the epoch from which a frozen backbone is trained too, with the
            optimizer's state made anew.

    Returns:
        A `keras.Model` (batch, *input_shape) -> (batch, num_classes), in which the backbone is a layer.

    Raises:
        BackboneError: for a model or weights that cannot be had or do not fit, or for settings that contradict.
        ValueError: if input_shape is not that of an image, or too small.
    """
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise ValueError(f"backbone needs images (height, width, 1 or 3), got {tuple(input_shape)}")
    if trainable and trainable_from is not None:
        raise BackboneError("trainable_from is for a backbone that is frozen at first, got trainable: true too")
    if weights == "none" and not trainable and trainable_from is None:
        raise BackboneError("weights: none leaves a frozen backbone random; give trainable: true, or weights")
    if model.endswith(".keras"):
        network, prepare = _of_file(model, weights, input_shape), lambda x: x
    elif model in _applications():
        network, prepare = _application(model, weights, (*input_shape[:2], 3)), _three_channels(_scaling(model))
    else:
        network, scaling = _preset(model, weights, (*input_shape[:2], 3))
        prepare = _three_channels(scaling)
    network.trainable = False
    inputs = keras.Input(input_shape)
    features = network(prepare(inputs))
    pooling = {3: layers.GlobalAveragePooling1D, 4: layers.GlobalAveragePooling2D}
    if len(features.shape) in pooling:
        features = pooling[len(features.shape)]()(features)
    classifier = keras.Model(inputs, dense(features, num_classes, dtype=output_dtype()), name="backbone")
    if trainable:
        unfreeze(classifier, weights != "none")
    return classifier


def unfreeze(classifier: keras.Model, trained: bool = True) -> None:
    """Makes the backbone of a classifier trainable.

    Args:
        classifier: `keras.Model` of `backbone`.
        trained: bool, whether its weights were trained before: batch norm then stays frozen, in inference mode.
    """
    network = network_in(classifier)
    network.trainable = True
    # To call it with training=False would not do: in a model Keras overrides that in training.
    for layer in layers_of(network) if trained else ():
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def network_in(classifier: keras.Model) -> keras.Model:
    """The backbone of a classifier of `backbone`."""
    return next(layer for layer in classifier.layers if isinstance(layer, keras.Model))


def _applications():
    """The names of models in `keras.applications`."""
    return [name for name, value in vars(keras.applications).items() if callable(value) and name[0].isupper()]


def _application(name, weights, shape):
    weights = {None: "imagenet", "none": None}.get(weights, weights)
    if weights not in (None, "imagenet"):
        weights = _existing(weights, "weights")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # that weights of another image size are taken
            return getattr(keras.applications, name)(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:  # of a download or a damaged file Keras raises whatever it stumbles over
        if weights is None or "nput size must be" in str(error):
            raise
        url = re.search(r"https?://[^\s:]+\.h5", str(error))
        if url:
            folder = os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "models")
            what = f"cannot be downloaded: run once with network, put {url[0]} into {folder}, or give weights: FILE"
            raise BackboneError(f"the weights of {name} {what}") from error
        raise BackboneError(f"weights: {weights} does not fit {name} without its top: {_first_line(error)}") from error


def _scaling(name):
    """The layers that scale images in [0, 1] as a model of keras.applications wants them, a list.

    Its `preprocess_input` is a scale and an offset for each channel, of which some have the blue one first.
    """
    preprocess = sys.modules[getattr(keras.applications, name).__module__].preprocess_input
    black, white, red = (
        preprocess(np.array(pixel, "float64").reshape(1, 1, 1, 3))[0, 0, 0]
        for pixel in ((0, 0, 0), (255, 255, 255), (255, 0, 0))
    )
    flipped = [_flipped] if np.argmax(np.abs(red - black)) else []
    return [*flipped, layers.Rescaling((white - black).tolist(), black.tolist())]


def _flipped(x):
    return keras.ops.flip(x, -1)


def _three_channels(scaling):
    """A function of images in [0, 1], grey ones too."""

    def prepare(x):
        x = layers.Concatenate()([x, x, x]) if x.shape[-1] == 1 else x
        for layer in scaling:
            x = layer(x)
        return x

    return prepare


def _of_file(path, weights, shape):
    if weights is not None:
        raise BackboneError(f"{path} brings its own weights, got weights: {weights}")
    path = _existing(path, "model")
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a damaged file Keras raises whatever it stumbles over
        raise BackboneError(f"model: {path} cannot be loaded: {_first_line(error)}") from error
    takes, gives = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
    if not all(isinstance(each, tuple) and len(each) in lengths for each, lengths in ((takes, (4,)), (gives, (2, 4)))):
        raise BackboneError(f"model: {path} should map images to features, it maps {takes} to {gives}")
    if any(a not in (None, b) for a, b in zip(takes[1:], shape, strict=True)):
        raise BackboneError(f"model: {path} takes images of {takes[1:]}, those of the data set are {tuple(shape)}")
    return network


def _preset(name, weights, shape):
    """The backbone of a keras-hub preset, a model of Keras' own layers where it can be, and its scaling."""
    if weights not in (None, "none"):
        raise BackboneError(f"the preset {name} has weights of its own, or weights: none; got {weights}")
    import keras_hub

    folder = os.path.expanduser(name)
    if not (os.path.isdir(folder) or "://" in name or name in keras_hub.models.Backbone.presets):
        raise BackboneError(
            f"model: {name!r} is no model of keras.applications, no .keras file and no preset of keras-hub"
            f"{suggest(name, _applications())}"
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            network = keras_hub.models.Backbone.from_preset(folder, load_weights=weights is None, image_shape=shape)
            converter = keras_hub.layers.ImageConverter.from_preset(folder)
    except Exception as error:  # whatever the host of presets, or a damaged folder, makes it stumble over
        why = f"{type(error).__name__}: {_first_line(error)[:80]}"
        what = "run once with network, or give model: FOLDER of a preset that was downloaded"
        raise BackboneError(f"the preset {name} cannot be had ({why}); {what}") from error
    if not all(isinstance(each, keras.KerasTensor) for each in (network.input, network.output)):
        raise BackboneError(f"the preset {name} should map images to features, it has several inputs or outputs")
    scale = np.broadcast_to(255.0 * np.array(1.0 if converter.scale is None else converter.scale), 3)
    offset = np.broadcast_to(np.array(0.0 if converter.offset is None else converter.offset), 3)
    return keras.Model(network.input, network.output), [layers.Rescaling(scale.tolist(), offset.tolist())]


def _existing(path, key):
    expanded = os.path.expanduser(path)
    if not os.path.isfile(expanded):
        raise BackboneError(f"{key}: no file {path}; a relative path starts from the working directory")
    return expanded


def _first_line(error):
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:300]
