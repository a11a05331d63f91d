"""A figure of ours: how far each method's test error is from CT's, and how sure that is."""

import statistics

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.reports.drawing import nothing_to_draw, styles
from nft_keras.experiments.reports.pairs import baseline, differences, errors_of, paired, taken_over
from nft_keras.experiments.reports.tables import mean_std

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
    recipes, panels, folds = {}, {}, set()
    for run in runs:
        recipes.setdefault(run.config["name"], []).append(run.result)
    for recipe, results in recipes.items():
        for (varied, classifier, method), pairs in paired(results).items():
            panel = ", ".join(filter(None, (recipe, varied, classifier)))
            panels.setdefault(panel, {})[method] = pairs
            folds.update([panel] * (taken_over(results) != "seeds"))
    if not panels:
        raise nothing_to_draw("runs of CT and another method in one recipe", "recipes/digits-back-image.yaml")
    return draw(panels, baseline(run.result for run in runs), styles(run.result["method"] for run in runs), folds)


def draw(panels, classic, looks, folds=()):
    """Differences to one method, each panel with lines of others.

    Args:
        panels: {name: {method: [(result, that of the one method)]}}; results are dicts with `test_error`, and
            `last_test_error` where the last epoch is to be drawn too.
        classic: name of the one method.
        looks: {method: how it looks}, as of `styles`.
        folds: names of the panels whose pairs are of folds, which have no interval.

    Returns:
        matplotlib Figure.
    """
    rows = [len(by_method) for by_method in panels.values()]
    figure = Figure(figsize=(7, _ROW * sum(rows) + _TITLE * len(rows) + 0.8), layout="constrained")
    heights = [n + 1 for n in rows]
    axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, (name, by_method) in zip(axes, panels.items(), strict=True):
        errors = [one["test_error"] for _, one in max(by_method.values(), key=len)]
        over = "folds" if name in folds else "seed" + "s" * (len(errors) != 1)
        title = f"{name}{': ' * bool(name)}{method_title(classic)} {mean_std(errors)} %, {len(errors)} {over}"
        axis.set_title(title, fontsize=9, loc="left")
        _panel(axis, {method: by_method[method] for method in METHODS.ordered(by_method)}, looks, name in folds)
    shown = f"mean and {100 * SURE:.0f} % interval; left of 0: better"
    axes[-1].set_xlabel(f"test error - {method_title(classic)} (points), {shown}")
    if any(_kept(pairs) == [*_EPOCHS] for by_method in panels.values() for pairs in by_method.values()):
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


def _panel(axis, by_method, looks, folds):
    """Draws a line of the figure for each method, the first one at the top."""
    axis.axvline(0, color="0.4", linewidth=1)
    for row, (method, pairs) in enumerate(by_method.items()):
        kept = _kept(pairs)
        for name, below in zip(kept, (-0.16, 0.16) if len(kept) > 1 else (0,), strict=True):
            values, fill = differences(errors_of(pairs, name)), {} if name == "test_error" else {"mfc": "white"}
            look = {key: looks[method][key] for key in ("color", "marker")} | fill
            half = 0 if folds else interval(values)
            axis.errorbar(statistics.mean(values), row + below, xerr=half, capsize=2, linestyle="none", **look)
    most = max(map(len, by_method.values()))
    few = {method: f" ({len(of)})" if len(of) < most else "" for method, of in by_method.items()}
    axis.set_yticks(range(len(by_method)), [f"{method_title(name)}{n}" for name, n in few.items()], fontsize=8)
    axis.set_ylim(len(by_method) - 0.4, -0.6)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)


def _kept(pairs):
    """The errors that all trials kept; those of earlier versions have none of the last epoch."""
    return [name for name in _EPOCHS if all(name in result for pair in pairs for result in pair)]
