"""A figure of ours: how far each method's test error is from CT's, and how sure that is."""

import dataclasses
import math
import statistics
import textwrap

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.reports.drawing import nothing_to_draw, styles
from nft_keras.experiments.reports.pairs import baseline, differences, errors_of, paired, taken_over
from nft_keras.experiments.reports.tables import mean_std
from nft_keras.experiments.runs import key_of

SURE = 0.95  # of a confidence interval
_ROW, _LINE, _AXIS = 0.27, 0.16, 0.55  # inches
_LABEL = 26  # characters of a method's name, at most
_EPOCHS = {"test_error": "best epoch", "last_test_error": "last epoch"}


def difference_figure(runs):
    """The mean of the differences to CT, seed by seed, with its confidence interval (Student's t) where there is one.

    A panel has the methods of a recipe's folder with one classifier and one value of what it varies; those of one
    folder share their axis. An interval is of that method alone, not of all that are compared; folds share training
    data, so that they have none, nor have a single seed and differences that are all equal.

    Args:
        runs: list of `nft_keras.experiments.runs.Run`; what `report --keep` has of a run is another folder.

    Returns:
        matplotlib Figure: filled marks for the best epoch's classifiers, hollow ones for the last epoch's, where all
        trials kept these; none of an error that is not finite.

    Raises:
        RecipeError: if no trial has one of CT beside it.
    """
    folders, panels = {}, []
    for run in runs:
        folders.setdefault((run.config["name"], run.recipe_folder), {})[key_of(run.result)] = run.result
    names = [name for name, _ in folders]
    for (name, folder), results in folders.items():
        results, by_panel = list(results.values()), {}
        classic, over = baseline(results), taken_over(results)
        for (varied, classifier, method), pairs in paired(results).items():
            by_panel.setdefault((varied, classifier), {})[method] = pairs
        of = name if names.count(name) == 1 else f"{name} in {folder}"
        for panel, by_method in by_panel.items():
            ordered = {method_title(method): by_method[method] for method in METHODS.ordered(by_method)}
            panels.append(Panel(", ".join(filter(None, (of, *panel))), method_title(classic), ordered, over, folder))
    if not panels:
        raise nothing_to_draw("runs of CT and another method in one recipe", "recipes/digits-back-image.yaml")
    looks = styles(run.result["method"] for run in runs)
    return draw(panels, {method_title(method): look for method, look in looks.items()})


@dataclasses.dataclass(frozen=True)
class Panel:
    """What a panel shows.

    Attributes:
        name: str, "" for none.
        classic: title of the method that the differences are to.
        by_method: {title: [(result, that of `classic`)]}, the first one at the top; results are dicts with
            `test_error`, and `last_test_error` where the last epoch is to be drawn too.
        over: "seeds", or what else the pairs are of, which then have no interval.
        axis: hashable; panels with the same one share their axis.
    """

    name: str
    classic: str
    by_method: dict
    over: str = "seeds"
    axis: object = None


def draw(panels, looks):
    """Differences to one method in each panel.

    Args:
        panels: list of `Panel`.
        looks: {title: how the method looks}, as of `styles`.

    Returns:
        matplotlib Figure.
    """
    longest = max(len(_short(name)) for panel in panels for name in panel.by_method)
    titles = [_title(panel, int(86 - 0.87 * longest)) for panel in panels]  # as wide as the axes
    heights = [
        _ROW * len(panel.by_method) + _LINE * len(title) + _AXIS for panel, title in zip(panels, titles, strict=True)
    ]
    figure, first = Figure(figsize=(7, sum(heights) + 0.6), layout="constrained"), {}
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, panel, title in zip(axes, panels, titles, strict=True):
        axis.set_title(_plain("\n".join(title)), fontsize=9, loc="left")
        _draw(axis, panel, looks)
        if first.setdefault(panel.axis, axis) is not axis:
            axis.sharex(first[panel.axis])
    for axis in first.values():
        axis.autoscale(axis="x")
    names, sure = {panel.classic for panel in panels}, f", mean and {100 * SURE:.0f} % interval"
    to = _short(names.pop()) if len(names) == 1 else "that of the method above"
    of_pairs = [(panel, pairs) for panel in panels for pairs in panel.by_method.values()]
    with_interval = any(_interval_of(panel, pairs, name) for panel, pairs in of_pairs for name in _kept(pairs))
    axes[-1].set_xlabel(_plain(f"test error - {to} (points){sure if with_interval else ''}; left of 0: better"))
    if any(_kept(pairs) == [*_EPOCHS] for _, pairs in of_pairs):
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


def _title(panel, width):
    """The lines of a title, of at most so many characters."""
    errors = [one["test_error"] for _, one in max(panel.by_method.values(), key=len)]
    over = panel.over if len(errors) != 1 or panel.over != "seeds" else "seed"
    name = f"{panel.name}: " if panel.name else ""
    error = f"{panel.classic} {mean_std(errors)} %, {len(errors)} {over}"
    return [name + error] if len(name + error) <= width else [*textwrap.wrap(name, width), *textwrap.wrap(error, width)]


def _draw(axis, panel, looks):
    """Draws a line for each method, the first one at the top."""
    axis.axvline(0, color="0.4", linewidth=1)
    for row, (method, pairs) in enumerate(panel.by_method.items()):
        kept = _kept(pairs)
        for name, below in zip(kept, (-0.16, 0.16) if len(kept) > 1 else (0,), strict=True):
            values, fill = differences(errors_of(pairs, name)), {} if name == "test_error" else {"mfc": "white"}
            look = {key: looks[method][key] for key in ("color", "marker")} | fill
            half = _interval_of(panel, pairs, name) or None  # of 0 there would be caps
            axis.errorbar(statistics.mean(values), row + below, xerr=half, capsize=2, linestyle="none", **look)
    most = max(map(len, panel.by_method.values()))
    few = {method: f" ({len(of)})" if len(of) < most else "" for method, of in panel.by_method.items()}
    labels = [_plain(f"{_short(name)}{n}") for name, n in few.items()]
    axis.set_yticks(range(len(labels)), labels, fontsize=8)
    axis.tick_params("x", labelsize=8)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)


def _interval_of(panel, pairs, name):
    return interval(differences(errors_of(pairs, name))) if panel.over == "seeds" else 0.0


def _kept(pairs):
    """The errors that all trials kept, and that are finite; those of earlier versions have none of the last epoch."""
    results = [result for pair in pairs for result in pair]
    return [name for name in _EPOCHS if all(math.isfinite(result.get(name, math.nan)) for result in results)]


def _short(name):
    return textwrap.shorten(str(name), _LABEL, placeholder="…") if " " in str(name) else str(name)[:_LABEL]


def _plain(text):
    """A text of which Matplotlib takes nothing for mathematics."""
    return text.replace("$", r"\$")
