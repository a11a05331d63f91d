"""Pictures of altered data and of plans: functions of arrays that draw with Matplotlib, without the state of `pyplot`.

What a few functions call `kept` is a mapping of arrays, as in a trial's snapshots.npz: `gammas` (m,), the epochs; `x`
(n, ...) and `y` (n,), class indices; `simplified` (m, n, ...), what x was like after these epochs; for points in the
plane also `grid` (g, g, 2) and `boundary` (m, g, g), the classifier's most probable class there.
"""

import itertools

import matplotlib
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

CLASS_COLOURS = ("#d1495b", "#2e6f95")  # of two classes; more have those of a colour map
MARKERS = "o^sDvP*X"
# Logs that a plan's curves show beside the losses, and how they are called there.
CURVES = {
    "eta": r"$\eta$",
    "perturbation_steps": "steps of a perturbation",
    "relative_perturbation": "perturbation / variance of x",
    "perturbation": r"perturbation, mean $||\delta||^2$",
}


def simplification(kept):
    """A few images, a row each: x, then delta and x + delta at some epochs.

    Args:
        kept: see above; x of (n, height, width, channels), 1 or 3 channels.

    Returns:
        A Matplotlib Figure.
    """
    x, gammas = kept["x"], kept["gammas"]
    columns = 1 + 2 * len(gammas)
    figure = Figure(figsize=(0.8 * columns, 0.8 * len(x) + 0.5))
    axes = figure.subplots(len(x), columns, squeeze=False).T
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=1 - 0.5 / figure.get_figheight())
    figure.subplots_adjust(wspace=0.06, hspace=0.06)
    _images(axes[0], in_unit_range(x, x), "x")
    for i, (gamma, simplified) in enumerate(zip(gammas, kept["simplified"], strict=True)):
        delta = simplified - x
        scale = max(float(np.abs(delta).max()), 1e-6)
        _images(axes[1 + 2 * i], delta, f"δ, γ = {gamma}\n±{scale:.2f}", scale)
        _images(axes[2 + 2 * i], in_unit_range(simplified, x), f"x + δ\nγ = {gamma}")
    return figure


def image_rows(x, simplified):
    """x, delta (grey is no change) and simplified x one above the other, examples side by side.

    Args:
        x, simplified: float arrays (n, height, width, channels), 1 or 3 channels.

    Returns:
        float32 array (3 height, n width, channels) in [0, 1].
    """
    delta = simplified - x
    delta = 0.5 + delta / (2 * max(float(np.abs(delta).max()), 1e-6))
    rows = (in_unit_range(x, x), delta, in_unit_range(simplified, x))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows]).astype("float32")


def in_unit_range(images, x):
    """Images in [0, 1]: as they are where x is, else scaled by the range of x; what is outside is cut off."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 1.0)
    return ((images - low) / (high - low)).clip(0, 1)


def image_row(axes, images, label, scale=None):
    """Shows images side by side.

    Args:
        axes: as many Matplotlib axes as images.
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


def decisions(kept):
    """Figure 1 of Marullo et al. (2022): decision boundary and altered points after up to six epochs.

    Args:
        kept: see above.

    Returns:
        A Matplotlib Figure.
    """
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for axis in axes.flat[len(kept["gammas"]) :]:
        axis.axis("off")
    for i, axis in enumerate(axes.flat[: len(kept["gammas"])]):
        _decision(axis, kept, i)
    figure.supxlabel("$x_1$")
    figure.supylabel("$x_2$")
    return figure


def decision_film(kept, path, fps=8):
    """Writes the decision boundary and the altered points as an animated GIF, an epoch of `kept` a frame.

    Args:
        kept: see above.
        path: of the file.
        fps: int, frames per second; the first and the last one are held for a moment.
    """
    figure = Figure(figsize=(5.4, 4.4))
    axis = figure.add_axes((0.09, 0.08, 0.89, 0.84))
    last, film = len(kept["gammas"]) - 1, PillowWriter(fps)
    with film.saving(figure, path, dpi=72):
        for i in (*[0] * (fps // 2), *range(last), *[last] * (2 * fps)):
            axis.clear()
            _decision(axis, kept, i)
            film.grab_frame()


def _decision(axis, kept, i):
    """Draws the plane after the i-th epoch of `kept`."""
    grid, y, points = kept["grid"], kept["y"], kept["simplified"][i]
    num_classes = 1 + max(int(y.max()), int(np.max(kept["boundary"])))
    colours = CLASS_COLOURS
    if num_classes != 2:
        colours = matplotlib.colormaps["turbo"](np.linspace(0.1, 0.9, num_classes))
    colours = to_rgba_array(colours)[:, :3]
    levels = np.arange(num_classes + 1) - 0.5
    axis.contourf(grid[..., 0], grid[..., 1], kept["boundary"][i], levels=levels, colors=0.8 + 0.2 * colours)
    for label, (colour, marker) in enumerate(zip(colours, itertools.cycle(MARKERS), strict=False)):
        axis.scatter(*points[y == label].T, s=9, color=colour, marker=marker, linewidths=0)
    original = ", original data" if np.array_equal(points, kept["x"]) else ""
    axis.set_title(rf"$\gamma$ = {kept['gammas'][i]}{original}")
    axis.set(xlim=(grid[..., 0].min(), grid[..., 0].max()), ylim=(grid[..., 1].min(), grid[..., 1].max()))


def plan_curves(history, over=None):
    """eta, the perturbation and the losses, epoch by epoch: a panel for each that the logs have.

    Args:
        history: {epoch from 1: logs}.
        over: int, the last epoch of the plan, marked; None for no mark.

    Returns:
        A Matplotlib Figure.
    """
    names = {name for logs in history.values() for name in logs}
    curves = {name: title for name, title in CURVES.items() if name in names}
    if "relative_perturbation" in curves:
        curves.pop("perturbation", None)
    figure = Figure(figsize=(3.6 * (len(curves) + 1), 3), layout="constrained")
    *panels, losses = figure.subplots(1, len(curves) + 1, squeeze=False)[0]
    for axis, (name, title) in zip(panels, curves.items(), strict=True):
        # Of what is altered there is nothing to see where nothing is.
        shown = {gamma: logs[name] for gamma, logs in history.items() if name == "eta" or logs[name] > 0}
        axis.plot(shown.keys(), shown.values(), color="black", marker="." if len(shown) < 30 else None)
        axis.set_title(title, fontsize=10)
        if shown and name in ("relative_perturbation", "perturbation"):
            axis.set_yscale("log")
    for name, colour, label in (("loss", "black", "as trained on"), ("val_loss", "#c1121f", "validation")):
        if name in names:
            shown = {gamma: logs[name] for gamma, logs in history.items() if name in logs}
            losses.plot(shown.keys(), shown.values(), color=colour, label=label)
    losses.set_title("loss", fontsize=10)
    for axis in (*panels, losses):
        if over:
            axis.axvline(over, color="0.5", linestyle=":", label=f"the plan ends: epoch {over}")
        axis.set(xlabel=r"epoch $\gamma$", xlim=(min(history) - 0.5, max(history) + 0.5))
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    losses.legend(fontsize=8)
    return figure
