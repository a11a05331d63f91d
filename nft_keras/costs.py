"""What training costs: floating-point operations, counted from the networks.

A forward pass costs 2 operations for each weight of a kernel and each place where it is applied, as a pixel or a step
of a sequence; a backward pass as much for the gradient of the inputs, and again for that of the weights: 3 f for an
example in a classic epoch, where f is the classifier's forward pass. What has no kernel is left out, as normalization.
"""

import math

import keras
from keras import layers

from nft_keras.backend import keras_internals

_AT_OUTPUTS = (
    *(layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D),
    *(layers.SeparableConv1D, layers.SeparableConv2D),
)
_AT_INPUTS = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
# Layers and operations that multiply tensors without a kernel.
_PRODUCTS = ("AdditiveAttention", "Attention", "Dot", "Einsum", "Inner", "Matmul", "Outer", "Tensordot")
_OF_SEQUENCES = (layers.LSTM, layers.GRU, layers.SimpleRNN)


def by_layer(network: keras.Model) -> list[int]:
    """Operations of a forward pass per example, of each layer that has kernels, as often as it is called.

    Raises:
        ValueError: if the network has a layer that is not understood, or of which the size is not fixed.
    """
    calls = keras_internals.calls(network)
    if calls is None:
        raise ValueError(
            f"the operations of a {type(network).__name__} cannot be counted: it is not a functional model"
        )
    counts = []
    for operation, given, gives in calls:
        if isinstance(operation, keras.Model):
            counts += by_layer(operation)
            own = [tensor.shape for tensor in operation.inputs]
            if [shape[1:] for shape in own] != [shape[1:] for shape in given]:
                raise ValueError(f"the network {operation.name!r}, made for {own}, is called on {given}")
        elif type(operation).__name__ in _PRODUCTS:
            kind = type(operation).__name__
            raise ValueError(f"the operations of {operation.name!r}, a {kind}, cannot be counted")
        elif isinstance(operation, layers.Layer) and (count := _of_layer(operation, given, gives)):
            counts.append(count)
    return counts


def forward(network: keras.Model) -> int:
    """Operations of a forward pass per example; raises as `by_layer` does."""
    return sum(by_layer(network))


def classic_step(f: int) -> int:
    """Operations of a classic step per example, of a classifier whose forward pass takes f."""
    return 3 * f


def simplified_step(phases: str, f: int, s: int, before: int = 0, seen: int = 0, fraction: float = 1.0) -> float:
    """Operations of both phases of NFT per example, of an auxiliary network whose forward pass takes s.

    They are (3 s + 2 f) for theta, on a fraction of the examples, and (s + 3 f) for w; with phases="joint" one forward
    pass serves both. Where the output of a layer is altered, up to which a pass takes `before`, each phase finds it out
    by a pass of its own, which takes `seen`, and the gradient of theta does not go on to what comes before.
    """
    if phases == "joint":
        return 3 * s + 3 * f + seen
    return fraction * (3 * s + 2 * f + seen - before) + s + 3 * f + seen


def _of_layer(layer, given, gives):
    """Operations of a call of a layer, with the shapes that it is given and gives; 0 of one without kernels."""
    kernels = [weight for weight in layer.weights if len(weight.shape) > 1 and weight.name != "bias"]
    if not kernels or isinstance(layer, layers.Embedding):
        return 0
    plain = not getattr(layer, "lora_enabled", False) and not getattr(layer, "quantization_mode", None)
    plain = plain and _home_of_call(layer).startswith("keras.")
    if isinstance(layer, _AT_INPUTS) and plain:
        places = _places(layer, given[0])
    elif isinstance(layer, _AT_OUTPUTS) and plain:
        places = _places(layer, gives[0])
    elif isinstance(layer, _OF_SEQUENCES):
        places = given[0][1:2]
    else:
        raise ValueError(f"the operations of the layer {layer.name!r}, a {type(layer).__name__}, cannot be counted")
    if None in places:
        raise ValueError(
            f"the operations of the layer {layer.name!r} depend on the size of its input, which is not fixed"
        )
    return 2 * sum(math.prod(kernel.shape) for kernel in kernels) * math.prod(places)


def _home_of_call(layer):
    """The module of the class that says what the layer computes."""
    return next(cls.__module__ for cls in type(layer).__mro__ if "call" in vars(cls))


def _places(layer, shape):
    """The lengths of the axes that are neither the batch's nor those of channels."""
    return shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
