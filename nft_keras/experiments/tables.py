"""Our figures beside the published ones: Table 1 and Table 2 of Marullo et al. (2022) from the folders of trials."""

import dataclasses
import json
from pathlib import Path

import yaml

from nft_keras.experiments.recipe import load_recipe, shipped_recipes
from nft_keras.experiments.report import mean_std

METHODS = ("ct", "eef", "ft", "nft")
NOT_SETTINGS = ("name", "seeds", "test_every", "deterministic", "vary")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of a table: a classifier on a data set.

    Attributes:
        classifier, dataset: names.
        published: {method: [mean, standard deviation] or None}.
        runs: {method: list of result.json contents} of our runs with exactly the recipe's settings.
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
        ours = {m: _mean(self.runs[m]) for m in METHODS}
        theirs = {m: (self.published.get(m) or [None])[0] for m in METHODS}
        texts = {
            m: f"{mean_std([r['test_error'] for r in runs])} ({len(runs)})" for m, runs in self.runs.items() if runs
        }
        printed = {m: f"{v[0]:.2f} ± {v[1]:.2f}" for m, v in self.published.items() if v}
        return {
            "classifier": self.classifier,
            "data": self.dataset + (" †" if generated else ""),
            **{m.upper(): _bold(texts.get(m), m, ours) for m in METHODS},
            "NFT - CT": _difference(ours),
            **{f"{m.upper()} published": _bold(printed.get(m), m, theirs) for m in METHODS},
            "NFT - CT published": _difference(theirs),
        }


def cells(runs):
    """The rows of the published tables, with those of our runs that have exactly the settings of our recipes.

    Args:
        runs: list of `nft_keras.experiments.runs.Run`.

    Returns:
        {name of the table: list of `Cell`}, and the list of the results that are none of these.
    """
    published = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    by_settings = {}
    for run in runs:
        by_settings.setdefault(_settings(run.config), {})[run.result["seed"]] = run.result
    used, tables = set(), {}
    for name, classifiers in published.items():
        tables[name] = []
        for classifier, datasets in classifiers.items():
            for dataset, figures in datasets.items():
                ours, missing = {m: [] for m in METHODS}, {}
                for trial in load_recipe(shipped_recipes() / f"{dataset}.yaml", classifiers=[classifier]):
                    settings = _settings(trial.config())
                    used.add(settings)
                    result = by_settings.get(settings, {}).get(trial.seed)
                    if result:
                        ours[trial.method].append(result)
                    else:
                        missing.setdefault(trial.method, []).append(trial.seed)
                tables[name].append(Cell(classifier, dataset, figures, ours, missing))
    others = [run.result for run in runs if _settings(run.config) not in used]
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


def _settings(config):
    """What makes two trials the same experiment: everything but the seed, the name, and what is only shown."""
    return json.dumps({k: v for k, v in config.items() if k not in NOT_SETTINGS}, sort_keys=True)


def _mean(runs):
    return sum(run["test_error"] for run in runs) / len(runs) if runs else None


def _bold(text, method, means):
    better = method != "ct" and None not in (means["ct"], means[method]) and means[method] < means["ct"]
    return "-" if text is None else f"**{text}**" if better else text


def _difference(means):
    return "-" if None in (means["ct"], means["nft"]) else f"{means['nft'] - means['ct']:+.2f}"
