"""The time that a step cannot go below: operations over the rate of matrix products, Adam's bytes over the bandwidth.

Operations are counted as in `nft_keras.costs`; no gradient is counted that nobody needs: that of the data, and in
NFT's two phases those of the weights of the network that stays as it is.
"""

from nft_keras.costs import by_layer, forward

# Adam in one pass reads a weight, its gradient and two moments, and writes all but the gradient, in float32.
ADAM_BYTES = 7 * 4


def floor(classifier, auxiliary, batch_size, rate, bandwidth):
    """The floors of a classic step and of a step of each of NFT's two phases.

    Args:
        classifier, auxiliary: Keras networks.
        batch_size: int.
        rate: float, operations a second.
        bandwidth: float, bytes a second.

    Returns:
        {"classic", "first", "second": (operations, seconds)}.
    """
    f, f_1 = forward(classifier), _first(classifier)
    s, s_1 = forward(auxiliary), _first(auxiliary)
    w, theta = (sum(v.shape.num_elements() for v in net.trainable_variables) for net in (classifier, auxiliary))
    counts = {"classic": (3 * f - f_1, w), "first": (3 * s - s_1 + 2 * f, theta), "second": (s + 3 * f - f_1, w)}
    floors = {}
    for step, (operations, weights) in counts.items():
        operations *= batch_size
        floors[step] = operations, operations / rate + ADAM_BYTES * weights / bandwidth
    return floors


def friendly_floor(classifier, batch_size, rate, bandwidth, steps):
    """The floor of a step of FT whose perturbation takes so many steps with every example, in seconds."""
    f, f_1 = forward(classifier), _first(classifier)
    w = sum(v.shape.num_elements() for v in classifier.trainable_variables)
    return batch_size * (2 * f * steps + 3 * f - f_1) / rate + ADAM_BYTES * w / bandwidth


def _first(network):
    """Operations of the first layer with weights, forwards."""
    return by_layer(network)[0]
