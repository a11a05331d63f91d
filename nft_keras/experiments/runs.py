"""Finished trials, read back from their folders."""

import csv
import dataclasses
import json
from pathlib import Path

import yaml

from nft_keras.experiments.schema import RecipeError


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished trial.

    Attributes:
        folder: `pathlib.Path`.
        config: content of config.yaml.
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
        """The rows of history.csv, {column: str}."""
        with open(self.folder / "history.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def read(folder):
    """The finished trial in a folder.

    Raises:
        OSError, ValueError: if there is none, or it is damaged.
    """
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(error) from error
    return Run(folder, config, json.loads((folder / "result.json").read_text(encoding="utf-8")))


def find(folders):
    """The finished trials below some folders.

    Args:
        folders: iterable of paths.

    Returns:
        list of `Run`.

    Raises:
        RecipeError: if there is none, or one is damaged.
    """
    found = []
    for path in sorted({p for folder in folders for p in Path(folder).rglob("result.json")}):
        try:
            found.append(read(path.parent))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{path}: not a finished trial of ours: {error}") from None
    if not found:
        raise RecipeError(f"no result.json below {', '.join(map(str, folders))}: nothing to report")
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
