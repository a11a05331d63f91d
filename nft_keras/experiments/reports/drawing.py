"""How figures of several methods are drawn: their colours, panels, and bars of deviations."""

import itertools
import statistics

from matplotlib.figure import Figure

from nft_keras.experiments.methods import METHODS, Style, method_title
from nft_keras.experiments.recipe.schema import RecipeError

# What a method without a style of its own gets in turn, so that sixty others differ in one of the three.
OTHER_COLOURS = ("#6a994e", "#9d4edd", "#e76f51", "#118ab2", "#8d6e63")
OTHER_MARKERS = ("v", "P", "X", "*")
OTHER_DASHES = ((0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def styles(methods):
    """How the lines of methods look: ours always the same, all others as they come in their order.

    Args:
        methods: iterable of the names of all methods of the runs, drawn or not, some of them several times.

    Returns:
        {name: keyword arguments of matplotlib}.
    """
    others = zip(*map(itertools.cycle, (OTHER_COLOURS, OTHER_MARKERS, OTHER_DASHES)), strict=True)
    looks = {}
    for method in METHODS.ordered(methods):
        own = METHODS[method].style if method in METHODS else None
        looks[method] = (own or Style(*next(others)))._asdict()
    return looks


def grid(n, x_label, y_label, share=False):
    """Panels side by side, two to a row from three on.

    Args:
        n: int >= 1, how many.
        x_label, y_label: of each.
        share: bool, whether all have the same range of y.

    Returns:
        A matplotlib Figure, and its n axes.
    """
    columns = min(n, 2)
    rows = -(-n // columns)
    size = (5.2 * columns, 3.6 * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share)
    for axis in axes.flat[n:]:
        axis.axis("off")
    for axis in axes.flat[:n]:
        axis.set(xlabel=x_label, ylabel=y_label)
        axis.grid(color="0.9")
    return figure, axes.flat[:n]


def error_bars(axis, method, positions, errors, look):
    """Draws a line through means, with bars of one standard deviation where there are several seeds.

    Args:
        axis: matplotlib axes.
        method: its name.
        positions: iterable of n numbers, where on the x axis.
        errors: n lists of errors, one per seed.
        look: of the method, as `styles` has it.
    """
    means = [statistics.mean(e) for e in errors]
    spread = [statistics.stdev(e) if len(e) > 1 else 0 for e in errors]
    seeds = sorted({len(e) for e in errors})
    label = f"{method_title(method)} ({'-'.join(map(str, seeds))} seed{'s' * (seeds != [1])})"
    axis.errorbar(list(positions), means, spread, capsize=3, label=label, **look)


def nothing_to_draw(what, recipe):
    """The error where no run fits a figure.

    Args:
        what: str, the runs that it takes.
        recipe: path of a recipe that has such.

    Returns:
        RecipeError.
    """
    return RecipeError(f"there is nothing to draw: it takes {what}, e.g. python -m nft_keras.run {recipe}")
