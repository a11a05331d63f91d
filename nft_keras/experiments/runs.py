"""Finished trials, read back from their folders."""

import csv
import dataclasses
import json
import os
from pathlib import Path

from nft_keras.experiments.recipe import load_recipe
from nft_keras.experiments.schema import Document, RecipeError

# Of a trial's config.yaml what does not change its training, or says a second time what does.
_NOT_SETTINGS = ("name", "seeds", "test_every", "deterministic", "vary")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished trial.

    Attributes:
        folder: `pathlib.Path`.
        config: content of config.yaml, see `read_config`.
        result: content of result.json.
    """

    folder: Path
    config: dict
    result: dict

    @property
    def simplification_epochs(self):
        """gamma_max_simp, the last epoch with altered data; 0 where none is."""
        altered = [int(row["epoch"]) for row in self.rows() if row["phase"] == "simplified"]
        return max(altered, default=0)

    def rows(self):
        """The rows of history.csv, {column: str}.

        Raises:
            RecipeError: if it cannot be read.
        """
        path = self.folder / "history.csv"
        try:
            with open(path, newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None


def read(folder):
    """The finished trial in a folder.

    Raises:
        OSError, ValueError: if there is none, or it is damaged.
    """
    config = read_config(folder / "config.yaml")
    return Run(folder, config, json.loads((folder / "result.json").read_text(encoding="utf-8")))


def read_config(path):
    """The content of a trial's config.yaml; settings that are newer than the file have their defaults.

    Args:
        path: the file.

    Raises:
        RecipeError: if it cannot be read.
    """
    try:
        (trial,) = load_recipe(path)
    except ValueError:  # of a method or a data set that is not installed any more
        return Document(path).values
    config, training = trial.config(), trial.training
    if training.schedule == "cosine" and trial.simplification_epochs > 1:
        if "label_smoothing" not in (Document(path).values.get("training") or {}):
            # Before there was that setting, cosine began at the end of the plan where data were altered.
            plan = trial.method_settings.plan
            ratio = plan.simplification_ratio or plan.simplification_epochs / training.epochs
            config["training"] |= {"schedule": "constant-then-cosine", "constant_ratio": ratio}
    return config


def find(folders):
    """The finished trials below some folders, but for the points of their sweeps.

    Args:
        folders: iterable of paths.

    Returns:
        list of `Run`.

    Raises:
        RecipeError: if there is none, or one is damaged.
    """
    found = []
    paths = {p for folder in folders for p in Path(folder).rglob("result.json") if not _of_sweep(p.relative_to(folder))}
    for path in sorted(paths):
        try:
            found.append(read(path.parent))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{path}: not a finished trial of ours: {error}") from None
    if not found:
        raise RecipeError(f"no result.json below {', '.join(map(str, folders))}: nothing to report")
    return found


def settings(config):
    """What makes two trials the same experiment: everything but the seed, the name, and what is only shown.

    Args:
        config: content of config.yaml.

    Returns:
        str, JSON.
    """
    return json.dumps({k: v for k, v in config.items() if k not in _NOT_SETTINGS}, sort_keys=True)


def experiments(runs):
    """Runs that differ in their seed alone, together; of several with one seed the first.

    Args:
        runs: iterable of `Run`.

    Returns:
        {what `settings` returns: {seed: `Run`}}.
    """
    found = {}
    for run in runs:
        found.setdefault(settings(run.config), {}).setdefault(run.result["seed"], run)
    return found


def finished(trials, out):
    """Those of the trials that were run to their end with exactly their present settings.

    Args:
        trials: iterable of `nft_keras.experiments.settings.Trial`.
        out: the output folder.

    Returns:
        list of result.json contents.
    """
    results = []
    for trial in trials:
        try:
            run = read(Path(out, trial.folder))
        except (OSError, ValueError):
            continue
        if run.config == trial.config():
            results.append(run.result)
    return results


def check_free(trial, out, advice="choose another --out, or discard it with --fresh"):
    """Refuses a trial whose folder holds one with other settings.

    Args:
        trial: `nft_keras.experiments.settings.Trial`.
        out: the output folder.
        advice: what the error says to do.

    Raises:
        RecipeError: naming the first setting that differs.
    """
    path = Path(out, trial.folder, "config.yaml")
    if not os.path.lexists(path):
        return
    try:
        there = read_config(path)
    except RecipeError as error:
        raise RecipeError(f"{error}; {advice}") from None
    before, now = (dict(flat(config)) for config in (there, trial.config()))
    for key in (*now, *before):
        if before.get(key) != now.get(key):
            differs = f"{key}: {before.get(key)} there, {now.get(key)} now"
            raise RecipeError(f"{path.parent} holds a trial with other settings ({differs}); {advice}")


def flat(config, prefix=""):
    """(key.key, value) of every leaf of a mapping of mappings."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _of_sweep(path):
    return path.match("sweep/point-*/*/*/*/result.json")
