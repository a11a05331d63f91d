"""Our figures beside the published ones: Tables 1 and 2 and Figure 3 of Marullo et al. (2022) from our runs."""

import dataclasses
import os
import statistics
from pathlib import Path

import yaml

from nft_keras.data.io.fingerprint import differ
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.shipped import shipped_recipes
from nft_keras.experiments.reports.tables import mean_std
from nft_keras.experiments.runs import experiments, noise_of, settings

# The recipe of a whole table; else each data set has its own.
RECIPES = {"Figure 3": "cifar10-noise"}
# The methods of a figure; a table has all that are published.
DRAWN = {"Figure 3": ("ct", "nft")}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of a table: a classifier on a data set.

    Attributes:
        classifier, dataset: names.
        published: {method: [mean, standard deviation], or [mean] of a figure}.
        runs: {method: list of result.json contents} of our runs with exactly the recipe's settings, of any seed.
        differences: {method: list of floats}, of their test errors to CT's, for the seeds that both have.
        missing: {method: list of int}, the seeds of the recipe that were not run.
        methods: names of those that the table has.
        command: what runs the row.
    """

    classifier: str
    dataset: str
    published: dict
    runs: dict
    differences: dict
    missing: dict
    methods: tuple
    command: str

    def row(self, variants=()):
        """The row's texts: ours, the published ones, and the differences to CT of NFT and its variants, seed by seed.

        Args:
            variants: names of our methods beside those of the table, to have columns too.
        """
        generated = any("generated" in run["provenance"] for runs in self.runs.values() for run in runs)
        shown = (*self.methods, *variants)
        ours = {m: statistics.mean(self.differences[m]) if self.differences.get(m) else None for m in shown}
        theirs = {m: self.published[m][0] - self.published["ct"][0] for m in self.methods if m in self.published}
        texts = {
            m: f"{mean_std([r['test_error'] for r in runs])} ({len(runs)})" for m, runs in self.runs.items() if runs
        }
        digits = min(map(len, self.published.values()))  # a figure's bars are read to one
        printed = {m: " ± ".join(f"{number:.{digits}f}" for number in v) for m, v in self.published.items()}
        return {
            "classifier": self.classifier,
            "data": self.dataset + (" †" if generated else ""),
            **{method_title(m): _bold(texts.get(m), ours[m]) for m in shown},
            **{f"{method_title(m)} - CT": _difference(ours[m]) for m in ("nft", *variants)},
            **{f"{method_title(m)} published": _bold(printed.get(m), theirs.get(m)) for m in self.methods},
            "NFT - CT published": _difference(theirs.get("nft"), digits),
        }


def cells(runs):
    """The rows of the published tables, with those of our runs that have exactly the settings of our recipes.

    Args:
        runs: list of `nft_keras.experiments.runs.Run`.

    Returns:
        {name of the table: list of `Cell`}, and the runs that are none of these: a list of runs for each experiment.
    """
    published = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    ours, used, tables = experiments(runs), set(), {}
    all_of = {}
    for run in runs:
        all_of.setdefault(settings(run.config), []).append(run)
    for name, classifiers in published.items():
        tables[name] = []
        methods = DRAWN.get(name) or tuple(method for method in METHODS if METHODS[method].published)
        for classifier, datasets in classifiers.items():
            for dataset, figures in datasets.items():
                found, missing, classic, recipe = {}, {}, [], RECIPES.get(name, dataset)
                command = f"python -m nft_keras.run recipes/{recipe}.yaml --classifiers {classifier}"
                for trial in load_recipe(shipped_recipes() / f"{recipe}.yaml", classifiers=[classifier]):
                    if noise_of(trial.dataset) != noise_of({"name": dataset, "label_noise": 0.0}):
                        continue
                    if trial.varied:
                        key, value = trial.varied
                        command = f"{command.partition(' --set')[0]} --set 'vary={{{key}: [{value}]}}'"
                    experiment = settings(trial.config())
                    used.add(experiment)
                    by_seed = ours.get(experiment, {})
                    found[trial.method] = [by_seed[seed] for seed in sorted(by_seed)]
                    if trial.method == "ct":
                        classic = all_of.get(experiment, [])
                    if trial.seed not in by_seed:
                        missing.setdefault(trial.method, []).append(trial.seed)
                results = {method: [run.result for run in of] for method, of in found.items()}
                beside = {method: _differences(of, classic) for method, of in found.items()}
                cell = Cell(classifier, dataset, figures, results, beside, missing, methods, command)
                tables[name].append(cell)
    others = [list(by_seed.values()) for experiment, by_seed in ours.items() if experiment not in used]
    return tables, others


def _differences(runs, classic):
    """The differences of runs' test errors to CT's with the same seed and data, of the same report where it has one."""
    found = []
    for run in runs:
        there = [
            each
            for each in classic
            if each.result["seed"] == run.result["seed"]
            and not differ(each.config.get("fingerprint"), run.config.get("fingerprint"))
        ]
        if there:
            nearest = max(there, key=lambda each: len(os.path.commonpath([each.folder, run.folder])))
            found.append(run.result["test_error"] - nearest.result["test_error"])
    return found


def what_is_missing(rows):
    """The commands that would fill a table, a line each; the rows that are complete are left out."""
    lines = []
    for cell in rows:
        for method, seeds in cell.missing.items():
            lines.append(f"{cell.command} --methods {method} --seeds {' '.join(map(str, seeds))}")
    return lines


def _bold(text, difference):
    better = difference is not None and difference < 0
    return "-" if text is None else f"**{text}**" if better else text


def _difference(difference, digits=2):
    return "-" if difference is None else f"{difference:+.{digits}f}"
