"""A figure of ours: how far each method's test error is from CT's, and how sure that is."""

import dataclasses
import statistics

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.reports.drawing import nothing_to_draw, styles
from nft_keras.experiments.reports.pairs import baseline, differences, errors_of, paired, taken_over
from nft_keras.experiments.reports.tables import mean_std
from nft_keras.experiments.runs import key_of

SURE = 0.95  # of a confidence interval
_ROW, _TITLE = 0.27, 0.62  # inches
_EPOCHS = {"test_error": "best epoch", "last_test_error": "last epoch"}


def difference_figure(runs):
    """The mean of the differences to CT, seed by seed, with its confidence interval (Student's t) where there is one.

    A panel has the methods of a recipe with one classifier and one value of what it varies. An interval is of that
    method alone, not of all that are compared; folds share training data, so that they have none.

    Args:
        runs: list of `nft_keras.experiments.runs.Run`.

    Returns:
        matplotlib Figure: filled marks for the best epoch's classifiers, hollow ones for the last epoch's, where all
        trials kept these.

    Raises:
        RecipeError: if no trial has one of CT beside it.
    """
    recipes, panels = {}, {}
    for run in runs:  # of several of one recipe with the same seed the first
        recipes.setdefault(run.config["name"], {}).setdefault(key_of(run.result), run.result)
    for recipe, results in recipes.items():
        results = list(results.values())
        classic, folds = baseline(results), taken_over(results) != "seeds"
        for (varied, classifier, method), pairs in paired(results).items():
            name = ", ".join(filter(None, (recipe, varied, classifier)))
            panels.setdefault(name, Panel(name, classic, {}, folds)).by_method[method] = pairs
    if not panels:
        raise nothing_to_draw("runs of CT and another method in one recipe", "recipes/digits-back-image.yaml")
    return draw(list(panels.values()), styles(run.result["method"] for run in runs))


@dataclasses.dataclass(frozen=True)
class Panel:
    """What a panel shows.

    Attributes:
        name: str, "" for none.
        classic: name of the method that the differences are to.
        by_method: {method: [(result, that of `classic`)]}; results are dicts with `test_error`, and `last_test_error`
            where the last epoch is to be drawn too.
        folds: bool, whether the pairs are of folds, which have no interval.
    """

    name: str
    classic: str
    by_method: dict
    folds: bool = False


def draw(panels, looks):
    """Differences to one method in each panel.

    Args:
        panels: list of `Panel`.
        looks: {method: how it looks}, as of `styles`.

    Returns:
        matplotlib Figure.
    """
    rows = [len(panel.by_method) for panel in panels]
    figure = Figure(figsize=(7, _ROW * sum(rows) + _TITLE * len(rows) + 0.8), layout="constrained")
    heights = [n + 1 for n in rows]
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel, looks)
    names = {panel.classic for panel in panels}
    to = method_title(names.pop()) if len(names) == 1 else "that of the method above"
    axes[-1].set_xlabel(f"test error - {to} (points), mean and {100 * SURE:.0f} % interval; left of 0: better")
    if any(_kept(pairs) == [*_EPOCHS] for panel in panels for pairs in panel.by_method.values()):
        fills = zip(_EPOCHS.values(), ("0.3", "white"), strict=True)
        of_epoch = [Line2D([], [], color="0.3", marker="o", linestyle="none", mfc=fill, label=t) for t, fill in fills]
        figure.legend(handles=of_epoch, loc="outside upper right", ncols=2, fontsize=8)
    return figure


def interval(values):
    """Half the length of the confidence interval of a mean: float, 0 for a single value, and where all are equal.

    Args:
        values: list of floats.
    """
    from scipy.stats import ttest_1samp

    if len(set(values)) < 2:
        return 0.0
    low, high = ttest_1samp(values, 0).confidence_interval(SURE)
    return float(high - low) / 2


def _draw(axis, panel, looks):
    """Draws a line for each method, the first one at the top."""
    by_method = {method: panel.by_method[method] for method in METHODS.ordered(panel.by_method)}
    errors = [one["test_error"] for _, one in max(by_method.values(), key=len)]
    over = "folds" if panel.folds else "seed" + "s" * (len(errors) != 1)
    title = f"{panel.name}{': ' * bool(panel.name)}{method_title(panel.classic)} {mean_std(errors)} %"
    axis.set_title(f"{title}, {len(errors)} {over}", fontsize=9, loc="left")
    axis.axvline(0, color="0.4", linewidth=1)
    for row, (method, pairs) in enumerate(by_method.items()):
        kept = _kept(pairs)
        for name, below in zip(kept, (-0.16, 0.16) if len(kept) > 1 else (0,), strict=True):
            values, fill = differences(errors_of(pairs, name)), {} if name == "test_error" else {"mfc": "white"}
            look = {key: looks[method][key] for key in ("color", "marker")} | fill
            half = 0 if panel.folds else interval(values)
            axis.errorbar(statistics.mean(values), row + below, xerr=half, capsize=2, linestyle="none", **look)
    few = {method: f" ({len(of)})" if len(of) < len(errors) else "" for method, of in by_method.items()}
    axis.set_yticks(range(len(by_method)), [f"{method_title(name)}{n}" for name, n in few.items()], fontsize=8)
    axis.set_ylim(len(by_method) - 0.4, -0.6)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)


def _kept(pairs):
    """The errors that all trials kept; those of earlier versions have none of the last epoch."""
    return [name for name in _EPOCHS if all(name in result for pair in pairs for result in pair)]
