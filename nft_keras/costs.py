"""What training costs: floating-point operations, counted from the networks.

A forward pass costs 2 operations for each weight of a kernel and each place where it is applied, as a pixel or a token;
a backward pass as much for the gradient of the inputs, and again for that of the weights: 3 f for an example in a
classic epoch, where f is the classifier's forward pass. Attention's own products, normalization and what else has no
kernel are left out.
"""

import math

import keras


def by_layer(network: keras.Model) -> list[int]:
    """Operations of a forward pass per example, of each layer that has kernels; a length that varies counts as 1.

    Raises:
        ValueError: if the network does not say what it is made of, as one of a class of its own.
    """
    if not getattr(network, "inputs", None):
        raise ValueError(
            f"the operations of a {type(network).__name__} cannot be counted: it is not a functional model"
        )
    counts = []
    for layer in network.layers:
        if isinstance(layer, keras.Model) and layer.inputs:
            counts += by_layer(layer)
        elif kernels := [weight for weight in layer.weights if "kernel" in weight.name]:
            counts.append(2 * sum(math.prod(kernel.shape) for kernel in kernels) * _places(layer))
    return counts


def forward(network: keras.Model) -> int:
    """Operations of a forward pass per example."""
    return sum(by_layer(network))


def classic_step(f: int) -> int:
    """Operations of a classic step per example, of a classifier whose forward pass takes f."""
    return 3 * f


def simplified_step(phases: str, f: int, s: int) -> int:
    """Operations of both phases of NFT per example, of an auxiliary network whose forward pass takes s.

    They are (3 s + 2 f) for theta and (s + 3 f) for w; with phases="joint" one forward pass serves both.
    """
    return 3 * s + 3 * f if phases == "joint" else 4 * s + 5 * f


def _places(layer):
    """The places of an example where a layer's kernels are applied."""
    if isinstance(layer, keras.layers.RNN):
        shape = layer.input.shape[1:2]
    elif getattr(layer, "data_format", None) == "channels_first":
        shape = layer.output.shape[2:]
    else:
        shape = layer.output.shape[1:-1]
    return math.prod(size or 1 for size in shape)
