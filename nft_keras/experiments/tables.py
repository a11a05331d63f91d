"""Our figures beside the published ones: Table 1 and Table 2 of Marullo et al. (2022) from the folders of trials."""

import dataclasses
from pathlib import Path

import yaml

from nft_keras.experiments.recipe import load_recipe, shipped_recipes
from nft_keras.experiments.report import mean_std
from nft_keras.experiments.runs import experiments, settings

PUBLISHED = ("ct", "eef", "ft", "nft")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of a table: a classifier on a data set.

    Attributes:
        classifier, dataset: names.
        published: {method: [mean, standard deviation] or None}.
        runs: {method: list of result.json contents} of our runs with exactly the recipe's settings, of any seed.
        missing: {method: list of int}, the seeds of the recipe that were not run.
    """

    classifier: str
    dataset: str
    published: dict
    runs: dict
    missing: dict

    def row(self):
        """The row's texts: ours, the published ones, and the difference NFT - CT of both."""
        generated = any("generated" in run["provenance"] for runs in self.runs.values() for run in runs)
        ours = {m: _mean(self.runs[m]) for m in PUBLISHED}
        theirs = {m: (self.published.get(m) or [None])[0] for m in PUBLISHED}
        texts = {
            m: f"{mean_std([r['test_error'] for r in runs])} ({len(runs)})" for m, runs in self.runs.items() if runs
        }
        printed = {m: f"{v[0]:.2f} ± {v[1]:.2f}" for m, v in self.published.items() if v}
        return {
            "classifier": self.classifier,
            "data": self.dataset + (" †" if generated else ""),
            **{m.upper(): _bold(texts.get(m), m, ours) for m in PUBLISHED},
            "NFT - CT": _difference(ours),
            **{f"{m.upper()} published": _bold(printed.get(m), m, theirs) for m in PUBLISHED},
            "NFT - CT published": _difference(theirs),
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
    for name, classifiers in published.items():
        tables[name] = []
        for classifier, datasets in classifiers.items():
            for dataset, figures in datasets.items():
                results, missing = {m: [] for m in PUBLISHED}, {}
                for trial in load_recipe(shipped_recipes() / f"{dataset}.yaml", classifiers=[classifier]):
                    experiment = settings(trial.config())
                    used.add(experiment)
                    by_seed = ours.get(experiment, {})
                    results[trial.method] = [by_seed[seed].result for seed in sorted(by_seed)]
                    if trial.seed not in by_seed:
                        missing.setdefault(trial.method, []).append(trial.seed)
                tables[name].append(Cell(classifier, dataset, figures, results, missing))
    others = [list(by_seed.values()) for experiment, by_seed in ours.items() if experiment not in used]
    return tables, others


def what_is_missing(rows):
    """The commands that would fill a table, a line each; the rows that are complete are left out."""
    lines = []
    for cell in rows:
        for method, seeds in cell.missing.items():
            lines.append(
                f"python -m nft_keras.run recipes/{cell.dataset}.yaml --classifiers {cell.classifier} "
                f"--methods {method} --seeds {' '.join(map(str, seeds))}"
            )
    return lines


def _mean(runs):
    return sum(run["test_error"] for run in runs) / len(runs) if runs else None


def _bold(text, method, means):
    better = method != "ct" and None not in (means["ct"], means[method]) and means[method] < means["ct"]
    return "-" if text is None else f"**{text}**" if better else text


def _difference(means):
    return "-" if None in (means["ct"], means["nft"]) else f"{means['nft'] - means['ct']:+.2f}"
