"""Pictures of how one trial simplifies its data, drawn from its snapshots."""

import itertools

import matplotlib

matplotlib.use("Agg", force=False)

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.colors import to_rgba_array  # noqa: E402

from nft_keras.experiments.files import atomic_write  # noqa: E402

CLASS_COLOURS = ("#d1495b", "#2e6f95")  # of two classes; more have those of a colour map
MARKERS = "o^sDvP*X"


def two_moons(snapshots):
    """Figure 1 of Marullo et al. (2022): decision boundary and simplified points at moments of the plan.

    Args:
        snapshots: path of a trial's snapshots.npz.

    Returns:
        A matplotlib Figure.
    """
    kept = np.load(snapshots, allow_pickle=False)
    grid, y = kept["grid"], kept["y"]
    num_classes = 1 + max(int(y.max()), int(kept["boundary"].max()))
    colours = CLASS_COLOURS if num_classes == 2 else plt.get_cmap("turbo")(np.linspace(0.1, 0.9, num_classes))
    colours = to_rgba_array(colours)[:, :3]
    levels = np.arange(num_classes + 1) - 0.5
    figure, axes = plt.subplots(2, 3, figsize=(9, 5.4), layout="constrained", sharex=True, sharey=True)
    for axis in axes.flat[len(kept["gammas"]) :]:
        axis.axis("off")
    for axis, gamma, points, boundary in zip(
        axes.flat, kept["gammas"], kept["simplified"], kept["boundary"], strict=False
    ):
        axis.contourf(grid[..., 0], grid[..., 1], boundary, levels=levels, colors=0.8 + 0.2 * colours)
        for label, (colour, marker) in enumerate(zip(colours, itertools.cycle(MARKERS), strict=False)):
            axis.scatter(*points[y == label].T, s=9, color=colour, marker=marker, linewidths=0)
        axis.set_title(rf"$\gamma$ = {gamma}" + (", original data" if np.array_equal(points, kept["x"]) else ""))
        axis.set(xlim=(grid[..., 0].min(), grid[..., 0].max()), ylim=(grid[..., 1].min(), grid[..., 1].max()))
    figure.supxlabel("$x_1$")
    figure.supylabel("$x_2$")
    return figure


def simplifications(snapshots):
    """A few images, a row each: x, then delta and simplified x at moments of the plan.

    Args:
        snapshots: path of a trial's snapshots.npz.

    Returns:
        A matplotlib Figure.
    """
    kept = np.load(snapshots, allow_pickle=False)
    x, gammas = kept["x"], kept["gammas"]
    columns = 1 + 2 * len(gammas)
    figure, axes = plt.subplots(len(x), columns, figsize=(0.8 * columns, 0.8 * len(x) + 0.5), squeeze=False)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=1 - 0.5 / figure.get_figheight())
    figure.subplots_adjust(wspace=0.06, hspace=0.06)
    axes = axes.T
    _images(axes[0], x, "x")
    for i, (gamma, simplified) in enumerate(zip(gammas, kept["simplified"], strict=True)):
        delta = simplified - x
        scale = max(float(np.abs(delta).max()), 1e-6)
        _images(axes[1 + 2 * i], delta, f"δ, γ = {gamma}\n±{scale:.2f}", scale)
        _images(axes[2 + 2 * i], simplified, f"x + δ\nγ = {gamma}")
    return figure


def image_rows(x, simplified):
    """x, delta (grey is no change) and simplified x one above the other, examples side by side.

    Args:
        x, simplified: float arrays (n, height, width, channels), 1 or 3 channels, x in [0, 1].

    Returns:
        float32 array (3 height, n width, channels) in [0, 1].
    """
    delta = simplified - x
    delta = 0.5 + delta / (2 * max(float(np.abs(delta).max()), 1e-6))
    rows = [np.concatenate(list(row), axis=1) for row in (x, delta, simplified.clip(0, 1))]
    return np.concatenate(rows).astype("float32")


def image_row(axes, images, label, scale=None):
    """Shows images side by side.

    Args:
        axes: as many matplotlib axes as images.
        images: float array (n, height, width, channels), 1 or 3 channels.
        label: str, said at the left.
        scale: None for images in [0, 1]; a float for changes in [-scale, scale], middle grey where there is none.
    """
    _images(axes, images, "", scale)
    axes[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)


def _images(axes, images, title, scale=None):
    for axis, image in zip(axes, images, strict=True):
        if scale is None:
            axis.imshow(image.squeeze().clip(0, 1), cmap="gray", vmin=0, vmax=1)
        elif image.shape[-1] == 1:
            axis.imshow(image.squeeze(), cmap="gray", vmin=-scale, vmax=scale)
        else:
            axis.imshow(0.5 + image / (2 * scale))
        axis.set(xticks=[], yticks=[])
    axes[0].set_title(title, fontsize=8)


def save(figure, *paths):
    """Writes a figure to files, in the format of each one's suffix, and closes it."""
    for path in paths:
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=130)
    plt.close(figure)
