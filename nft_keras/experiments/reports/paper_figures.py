"""Figures 1 and 3 to 6 of Marullo et al. (2022), drawn from finished trials of ours."""

import json

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nft_keras import pictures
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.reports.drawing import error_bars, grid, nothing_to_draw, styles
from nft_keras.experiments.reports.pairs import baseline
from nft_keras.experiments.runs import noise_of, settings

SENSITIVITY = {
    "methods.nft.plan.eta_max": r"$\eta_{max}$",
    "methods.nft.plan.simplification_ratio": r"$\gamma_{max\_simp}$ / $\gamma_{max}$",
    "methods.nft.auxiliary.filters": r"$n_f$ (feature maps)",
    "methods.nft.auxiliary_optimizer.learning_rate": r"$\beta$ (learning rate)",
}


def two_moons(runs):
    """Figure 1: decision boundary and simplified points at six moments, NFT, the first seed."""
    kept = [run for run in _kept(runs) if run.kind == "nft" and run.result["dataset"] == "two-moons"]
    if not kept:
        raise nothing_to_draw("a run of NFT on two-moons", "recipes/two-moons.yaml")
    return pictures.decisions(kept[0].snapshots())


def label_noise(runs):
    """Figure 3: test error against label noise, mean and standard deviation over seeds, a panel per classifier.

    A line has all runs that differ in noise and seed alone, also of other recipes; a panel has the lines of one recipe.
    """
    lines, recipes = {}, {}
    for run in runs:
        config = run.config["dataset"]
        dataset, noise = noise_of(config)
        line = settings(run.config | {"dataset": config | {"name": dataset, "label_noise": None}})
        errors = lines.setdefault(line, {}).setdefault(round(100 * noise, 6), {})
        errors.setdefault(run.result["seed"], run.result["test_error"])
        place = (run.config["name"], dataset, run.result["classifier"])
        recipes.setdefault(place, {}).setdefault(run.result["method"], {})[line] = lines[line]
    panels = {}
    for place, by_method in sorted(recipes.items(), key=lambda item: -len(item[1])):
        longest = {method: max(of, key=lambda line: len(of[line])) for method, of in by_method.items()}
        drawn = any(set(longest.values()) <= set(others.values()) for others in panels.values())
        if not drawn and any(len(lines[line]) > 1 for line in longest.values()):
            panels[place] = longest
    if not panels:
        raise nothing_to_draw("runs on one data set with different label noise", "recipes/cifar10-noise.yaml")
    looks = styles(run.result["method"] for run in runs)
    figure, axes = grid(len(panels), "label noise (% of the training labels)", "test error (%)")
    for axis, (place, by_method) in zip(axes, panels.items(), strict=True):
        for method in METHODS.ordered(by_method):
            noise, errors = zip(*sorted(lines[by_method[method]].items()), strict=True)
            error_bars(axis, method, noise, [list(by_seed.values()) for by_seed in errors], looks[method])
        axis.set_title(", ".join(place), fontsize=10)
        axis.legend()
    return figure


def simplification(runs):
    """Figure 4: x, delta and x + delta for a few images, FT above NFT, a column per classifier.

    The moment is the first one that was kept, the end of the first epoch in which NFT alters the data; delta is scaled
    to its largest value, which is said.
    """
    kept, kinds, dataset = {}, {}, None
    for run in _kept(runs):
        key = (run.result["classifier"], run.result["method"])
        dataset = dataset or run.result["dataset"]
        snapshots = run.snapshots()
        if run.result["dataset"] == dataset and run.kind in ("ft", "nft") and snapshots["x"].ndim == 4:
            kept.setdefault(key, snapshots)
            kinds[key[1]] = run.kind
    if not kept:
        raise nothing_to_draw("runs of FT or NFT on images", "recipes/mnist-back-image.yaml --classifiers fc-a cnn-a")
    classifiers = CLASSIFIERS.ordered(classifier for classifier, _ in kept)
    methods = sorted(METHODS.ordered(kinds), key=kinds.get)
    n = len(next(iter(kept.values()))["x"])
    figure = Figure(figsize=(0.62 * n * len(classifiers) + 1.6, 2.25 * len(methods)), layout="constrained")
    blocks = figure.subfigures(len(methods), len(classifiers), squeeze=False)
    for (classifier, method), snapshots in kept.items():
        block = blocks[methods.index(method), classifiers.index(classifier)]
        x, simplified, gamma = snapshots["x"], snapshots["simplified"][0], snapshots["gammas"][0]
        scale = max(float(np.abs(simplified - x).max()), 1e-6)
        block.suptitle(rf"{method_title(method)}, {classifier}, $\gamma$ = {gamma}", fontsize=9)
        axes = block.subplots(3, n, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
        pictures.image_row(axes[0], x, "$x$")
        pictures.image_row(axes[1], simplified - x, rf"$\delta$ (±{scale:.2g})", scale)
        pictures.image_row(axes[2], simplified, r"$\tilde{x}$")
    return figure


def curves(runs):
    """Figure 5: training and test error epoch by epoch, CT and NFT, the first seed; the drop is marked.

    NFT under other names has lines of its own, as CT is the one that differences are to.
    Without test errors in the history (`test_every: 1` in the recipe) it shows validation errors and says so.
    """
    panels = {}
    for run in sorted(runs, key=lambda run: run.result["seed"]):
        key = (run.config["name"], run.result["dataset"], run.result.get("varied", ""), run.result["classifier"])
        panels.setdefault(key, {}).setdefault(run.result["method"], run)
    panels = {key: _ct_and_nft(by_method) for key, by_method in panels.items()}
    panels = {key: by_method for key, by_method in panels.items() if by_method}
    if not panels:
        what = "runs of CT and NFT with the same classifier of one recipe"
        raise nothing_to_draw(what, "recipes/mnist-back-image.yaml --set test_every=1")
    classifiers = CLASSIFIERS.ordered(classifier for *_, classifier in panels)
    panels = dict(sorted(panels.items(), key=lambda item: (item[0][:-1], classifiers.index(item[0][-1]))))
    looks = styles(run.result["method"] for run in runs)
    figure, axes = grid(len(panels), r"epoch $\gamma$", "error (%)")
    for axis, (key, by_method) in zip(axes, panels.items(), strict=True):
        for method, run in by_method.items():
            rows = run.rows()
            held_out = "test" if any(row.get("test_error") for row in rows) else "validation"
            columns = {"training": "error", "test": "test_error", "validation": "valid_error"}
            for part, dashes in (("training", "--"), (held_out, "-")):
                points = [(int(row["epoch"]), float(row[columns[part]])) for row in rows if row.get(columns[part])]
                line = looks[method] | {"linestyle": dashes, "markersize": 4, "markevery": 1 + len(points) // 25}
                axis.plot(*zip(*points, strict=True), label=f"{method_title(method)}, {part}", **line)
        drops = {run.simplification_epochs: len(run.rows()) for run in by_method.values() if run.kind == "nft"}
        for dropped in (gamma for gamma, epochs in drops.items() if 0 < gamma < epochs):
            axis.axvline(dropped, color="0.5", linestyle=":", linewidth=1.2, label=f"drop after epoch {dropped}")
        seeds = sorted({run.result["seed"] for run in by_method.values()})
        axis.set_title(", ".join(filter(None, key)) + f", seed {' and '.join(map(str, seeds))}", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(fontsize=8)
    return figure


def sensitivity(runs):
    """Figure 6: test error of NFT, one hyper-parameter changed at a time, mean and standard deviation over seeds.

    NFT under another name has lines of its own.
    """
    nft = {}
    for run in (run for run in runs if run.kind == "nft"):
        nft.setdefault(run.result["method"], []).append(run)
    nft = {method: nft[method] for method in METHODS.ordered(nft)}
    found = [(key, {m: curve for m, of in nft.items() if (curve := _one_changed(of, key))}) for key in SENSITIVITY]
    found = [(key, curves) for key, curves in found if curves]
    if not found:
        raise nothing_to_draw("runs of NFT that differ in one hyper-parameter", "recipes/small/sensitivity.yaml")
    looks = styles(run.result["method"] for run in runs)
    figure, axes = grid(len(found), "", "test error (%)", share=True)
    for axis, (key, curves) in zip(axes, found, strict=True):
        values = sorted({value for curve in curves.values() for value in curve})
        for method, curve in curves.items():
            error_bars(axis, method, map(values.index, curve), list(curve.values()), looks[method])
        axis.set_xticks(range(len(values)), [f"{value:g}" for value in values])
        if len(nft) > 1:
            axis.legend(fontsize=8)
        axis.set_xlabel(SENSITIVITY[key])
        axis.margins(x=0.15)
    return figure


FIGURES = {
    "figure-1": two_moons,
    "figure-3": label_noise,
    "figure-4": simplification,
    "figure-5": curves,
    "figure-6": sensitivity,
}


def _ct_and_nft(by_method):
    """Of {method: run} the CT that differences are to, and all NFT; {} where one of them is not there."""
    ct = baseline(run.result for run in by_method.values())
    nft = [method for method in METHODS.ordered(by_method) if by_method[method].kind == "nft"]
    return {method: by_method[method] for method in (ct, *nft)} if ct and nft else {}


def _kept(runs):
    """The runs that kept snapshots, the first seeds first."""
    return sorted((r for r in runs if (r.folder / "snapshots.npz").exists()), key=lambda run: run.result["seed"])


def _one_changed(runs, key):
    """{value of the setting: test errors} of the largest set of runs that differ in it (and the seed) alone."""
    alike = {}
    for run in runs:
        config = json.loads(settings(run.config))
        inner = config
        for part in key.split(".")[:-1]:
            inner = inner[part]
        value = inner.pop(key.split(".")[-1], None)
        if value is not None:
            errors = alike.setdefault(json.dumps(config, sort_keys=True), {}).setdefault(value, {})
            errors.setdefault(run.result["seed"], run.result["test_error"])
    values = max(alike.values(), key=len, default={})
    curve = {value: list(values[value].values()) for value in sorted(values)}
    return curve if len(curve) > 1 else {}
