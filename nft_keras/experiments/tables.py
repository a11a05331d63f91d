"""Our figures beside the published ones: Table 1 and Table 2 of Marullo et al. (2022) from the folders of trials."""

import dataclasses
import json
from pathlib import Path

import yaml

from nft_keras.experiments.recipe import load_recipe, shipped_recipes
from nft_keras.experiments.report import mean_std
from nft_keras.experiments.schema import RecipeError

METHODS = ("ct", "eef", "ft", "nft")


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


def read_results(folders):
    """Finished trials below some folders.

    Args:
        folders: iterable of paths.

    Returns:
        list of (content of config.yaml, content of result.json).

    Raises:
        RecipeError: if there is no finished trial.
    """
    found = []
    for path in sorted({p for folder in folders for p in Path(folder).rglob("result.json")}):
        try:
            config = yaml.safe_load(path.with_name("config.yaml").read_text(encoding="utf-8"))
            found.append((config, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RecipeError(f"{path}: not a finished trial of ours: {error}") from None
    if not found:
        raise RecipeError(f"no result.json below {', '.join(map(str, folders))}: nothing to report")
    return found


def cells(results):
    """The rows of the published tables, with those of our runs that have exactly the settings of our recipes.

    Args:
        results: what `read_results` returns.

    Returns:
        {name of the table: list of `Cell`}, and the list of the results that are none of these.
    """
    published = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    by_settings = {}
    for config, result in results:
        by_settings.setdefault(_settings(config), {})[result["seed"]] = result
    used, tables = set(), {}
    for name, classifiers in published.items():
        tables[name] = []
        for classifier, datasets in classifiers.items():
            for dataset, figures in datasets.items():
                runs, missing = {m: [] for m in METHODS}, {}
                for trial in load_recipe(shipped_recipes() / f"{dataset}.yaml", classifiers=[classifier]):
                    settings = _settings(trial.config())
                    used.add(settings)
                    run = by_settings.get(settings, {}).get(trial.seed)
                    if run:
                        runs[trial.method].append(run)
                    else:
                        missing.setdefault(trial.method, []).append(trial.seed)
                tables[name].append(Cell(classifier, dataset, figures, runs, missing))
    others = [result for config, result in results if _settings(config) not in used]
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
    """What makes two trials the same experiment: everything but the seed."""
    return json.dumps({k: v for k, v in config.items() if k not in ("seeds", "name")}, sort_keys=True)


def _mean(runs):
    return sum(run["test_error"] for run in runs) / len(runs) if runs else None


def _bold(text, method, means):
    better = method != "ct" and None not in (means["ct"], means[method]) and means[method] < means["ct"]
    return "-" if text is None else f"**{text}**" if better else text


def _difference(means):
    return "-" if None in (means["ct"], means["nft"]) else f"{means['nft'] - means['ct']:+.2f}"
