"""The networks of `nft_keras.classifiers` and `nft_keras.auxiliaries` in PyTorch, and a copy of their weights.

Ordinary modules in PyTorch's own layout (channels first), written after footnotes 5 and 6 of Marullo et al. (2022).
"""

import math

import torch
from torch import nn
from torch.nn import functional


def cnn_a(size=28, classes=10):
    """CNN-A for images of one channel; dropout as in `nft_keras.classifiers.cnn_a`."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()),
        *(nn.Linear(64 * ((size - 4) // 2) ** 2, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, classes)),
    )


def fc_b(features, classes, units=(2500, 2000, 1500, 1000, 500)):
    """FC-B for `features` numbers, whatever the shape that they come in."""
    blocks, before = [nn.Flatten()], features
    for n in units:
        blocks += [nn.Linear(before, n), nn.BatchNorm1d(n), nn.ReLU()]
        before = n
    return nn.Sequential(*blocks, nn.Linear(before, classes))


def fc_a(features, classes, units=10):
    """FC-A for `features` numbers, whatever the shape that they come in."""
    return nn.Sequential(nn.Flatten(), nn.Linear(features, units), nn.Tanh(), nn.Linear(units, classes))


class UNet(nn.Module):
    """The U-Net of `nft_keras.auxiliaries.unet`, without labels."""

    def __init__(self, filters=64, depth=2, channels=1):
        super().__init__()
        maps = [filters * 2 ** min(level, depth - 1) for level in range(depth + 1)]
        self.first = _double_conv(channels, filters, filters)
        self.down = nn.ModuleList(_double_conv(a, b, b) for a, b in zip(maps, maps[1:], strict=False))
        self.up = nn.ModuleList()
        before = maps[-1]
        for level in reversed(range(depth)):
            after = filters * 2 ** max(level - 1, 0)
            self.up.append(_double_conv(before + maps[level], (before + maps[level]) // 2, after))
            before = after
        self.last = nn.Conv2d(before, channels, 1)

    def forward(self, x):
        """x (batch, channels, height, width) to the same shape."""
        skips = [self.first(x)]
        for block in self.down:
            skips.append(block(functional.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = functional.pad(x, (0, skip.shape[3] - x.shape[3], 0, skip.shape[2] - x.shape[2]))
            x = block(torch.cat([skip, x], 1))
        return self.last(x)


class MLP(nn.Module):
    """The label-conditioned auxiliary network for vectors: x and the one-hot label, ReLU units, linear output."""

    label_conditioned = True

    def __init__(self, features, classes, hidden=256):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(nn.Linear(features + classes, hidden), nn.ReLU(), nn.Linear(hidden, features))

    def forward(self, x, y):
        """x (batch, features) and y, class indices (batch,), to the shape of x."""
        return self.layers(torch.cat([x, functional.one_hot(y, self.classes).to(x.dtype)], 1))


def copy_weights(network, module):
    """Gives a PyTorch module the weights of the Keras network of the same architecture.

    Raises:
        ValueError: if they are not of the same architecture.
    """
    import keras

    theirs = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d)]
    ours = [layer for layer in network.layers if layer.weights]
    for layer, m in zip(ours, theirs, strict=True):
        weights = [torch.from_numpy(w.copy()) for w in layer.get_weights()]
        if isinstance(m, nn.Conv2d):
            weights[0] = weights[0].permute(3, 2, 0, 1)
        elif isinstance(m, nn.Linear):
            flattened = layer.input._keras_history.operation
            if isinstance(flattened, keras.layers.Flatten):
                *image, channels = flattened.input.shape[1:]
                by_channel = weights[0].reshape(math.prod(image), channels, -1).transpose(0, 1)
                weights[0] = by_channel.reshape(weights[0].shape)
            weights[0] = weights[0].T
        names = ("weight", "bias", "running_mean", "running_var")
        with torch.no_grad():
            for name, weight in zip(names, weights, strict=False):
                getattr(m, name).copy_(weight)


def _double_conv(before, middle, after):
    convolutions = []
    for a, b in ((before, middle), (middle, after)):
        convolutions += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*convolutions)
