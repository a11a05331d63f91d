"""Finished trials, read back from their folders."""

import csv
import dataclasses
import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nft_keras import _manifest
from nft_keras._manifest import DamagedError
from nft_keras.data import noise_in_name
from nft_keras.data.io.fingerprint import differ
from nft_keras.experiments.files import as_json, write_whole
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import Document, RecipeError
from nft_keras.experiments.recipe.trial import Trial
from nft_keras.experiments.train.backup import Backup

if TYPE_CHECKING:
    import numpy as np

CHANGED = "# run with --set "  # with which a recipe.yaml begins that the command line has changed
# Keys of config.yaml that do not affect training, or are redundant.
_NOT_SETTINGS = ("name", "seeds", "test_every", "deterministic", "vary", "fingerprint")
# What the manifest of a finished trial lists beside result.json: what a trial writes, and nothing else does.
_LISTED = ("config.yaml", "history.csv", "classifier.keras", "preprocessing.json", "snapshots.npz")
_LISTED += ("simplification.png", "figure-1.png", "test/[!.]*")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished trial.

    Attributes:
        folder: `pathlib.Path`; of one that is kept in results.json alone, where it would be.
        config: content of config.yaml, see `read_config`.
        result: content of result.json.
    """

    folder: Path
    config: dict
    result: dict

    @property
    def kind(self) -> str:
        """The method's name in `METHODS`, whatever the recipe calls it."""
        return self.result.get("is", self.result["method"])

    @property
    def recipe_folder(self) -> Path:
        """The folder of the recipe's run, OUT/RECIPE, resolved."""
        varied_classifier_method = filter(None, key_of(self.result)[:-1])
        return self.folder.resolve().parents[len(list(varied_classifier_method))]

    @property
    def simplification_epochs(self) -> int:
        """gamma_max_simp, the last epoch with altered data; 0 where none is."""
        altered = [int(row["epoch"]) for row in self.rows() if row["phase"] == "simplified"]
        return max(altered, default=0)

    def drop_summary(self) -> dict[str, Any] | None:
        """What the data were like until the auxiliary network was dropped, from the history; None where none was.

        Returns:
            dict: relative_perturbation, float, of the last simplified epoch; harder_epochs and simplified_epochs, ints:
            in how many of how many epochs altered data were harder than real ones (left out where that was not seen).
        """
        rows = [row for row in self.rows() if row["phase"] == "simplified" and row.get("relative_perturbation")]
        if not rows:
            return None
        reductions = [float(row["loss_reduction"]) for row in rows if row["loss_reduction"] not in ("", "nan")]
        seen = {"harder_epochs": sum(r < 0 for r in reductions), "simplified_epochs": len(reductions)}
        return {"relative_perturbation": float(rows[-1]["relative_perturbation"]), **(seen if reductions else {})}

    def rows(self) -> list[dict[str, str]]:
        """The rows of history.csv, {column: str}.

        Raises:
            RecipeError: if it cannot be read.
        """
        path = self.folder / "history.csv"
        try:
            _manifest.check_listed(self.folder, path.name)
            with open(path, newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
        except (DamagedError, csv.Error, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: {error}") from None

    def snapshots(self) -> dict[str, "np.ndarray"]:
        """The arrays of snapshots.npz.

        Raises:
            RecipeError: if they cannot be read.
        """
        import numpy as np

        path = self.folder / "snapshots.npz"
        try:
            _manifest.check_listed(self.folder, path.name)
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except MemoryError:
            raise
        except Exception as error:  # of a damaged file numpy and zipfile raise whatever they stumble over
            raise RecipeError(f"{path}: {error}") from None


def read(folder: Path) -> Run:
    """The finished trial in a folder.

    Raises:
        OSError, ValueError: if there is none, or it is damaged.
    """
    _manifest.check_listed(folder, "config.yaml", "result.json")
    config = read_config(folder / "config.yaml")
    return Run(folder, config, json.loads((folder / "result.json").read_text(encoding="utf-8")))


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a trial's config.yaml; settings that are newer than the file have their defaults.

    Args:
        path: the file.

    Raises:
        RecipeError: if it cannot be read.
    """
    try:
        (trial,) = load_recipe(path, allow_code=None)
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


def find(folders: Iterable[str | os.PathLike]) -> list[Run]:
    """The finished trials below some folders, but for the points of their sweeps.

    A folder with results.json and recipe.yaml, and no trials below it, stands for the trials of that report.

    Args:
        folders: list of paths.

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
    for path in sorted({path for folder in folders for path in Path(folder).rglob("results.json")}):
        if path.with_name("recipe.yaml").exists() and not any(p.is_relative_to(path.parent) for p in paths):
            found += _kept(path)
    if not found:
        raise RecipeError(f"no result.json below {', '.join(map(str, folders))}: nothing to report")
    return found


def settings(config: dict[str, Any]) -> str:
    """What makes two trials the same experiment: everything but the seed, names, and what is only shown.

    The method is called what it is, and label noise that the data set's name stands for is said as such.

    Args:
        config: content of config.yaml.

    Returns:
        str, JSON.
    """
    methods = {own.get("is", name): _without(own, "is") for name, own in config["methods"].items()}
    name, noise = noise_of(config["dataset"])
    dataset = config["dataset"] | {"name": name, "label_noise": noise}
    return json.dumps(_without(config | {"methods": methods, "dataset": dataset}, *_NOT_SETTINGS), sort_keys=True)


def noise_of(dataset: dict[str, Any]) -> tuple[str, float]:
    """The name and the label noise of a trial's data set, ("cifar10", 0.1) also where the name is cifar10-n10."""
    name, noise = noise_in_name(dataset["name"])
    return name, noise or dataset.get("label_noise")


def experiments(runs: Iterable[Run]) -> dict[str, dict[int, Run]]:
    """Runs that differ in their seed alone, together; of several with one seed the first.

    Args:
        runs: iterable of `Run`.

    Returns:
        {what `settings` returns: {seed: `Run`}}; of the same settings on other data, as fingerprints say, the
        fingerprint is behind what `settings` returns.
    """
    found, known = {}, {}
    for run in runs:
        key, mine = settings(run.config), run.config.get("fingerprint")
        if any(differ(one, mine) for one in known.setdefault(key, [])):
            key = f"{key} {mine}"
        known.setdefault(key, []).append(mine)
        found.setdefault(key, {}).setdefault(run.result["seed"], run)
    return found


def key_of(result: dict[str, Any]) -> tuple[str, str, str, int]:
    """The `Trial.key` of the trial of a result.

    Args:
        result: content of result.json.
    """
    return result.get("varied", ""), result["classifier"], result["method"], result["seed"]


def finished(trials: Iterable[Trial], out: str | os.PathLike) -> list[dict[str, Any]]:
    """Those of the trials that were run to their end with exactly their present settings, and are whole.

    Args:
        trials: iterable of `nft_keras.experiments.recipe.trial.Trial`.
        out: the output folder.

    Returns:
        list of result.json contents.
    """
    return [result for result, _ in (outcome(trial, out) for trial in trials) if result]


def outcome(trial: Trial, out: str | os.PathLike) -> tuple[dict[str, Any] | None, str | None]:
    """What a trial gave.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        out: the output folder.

    Returns:
        The content of result.json, None if the trial is not finished with its present settings; and what is wrong with
        its files and what to do, None if nothing is.
    """
    folder = Path(out, trial.folder)
    config, result = folder / "config.yaml", folder / "result.json"
    if os.path.lexists(result) and not os.path.lexists(config):
        return None, f"{config} is gone; {_manifest.AGAIN}"
    try:
        os.stat(result)
        run = read(folder)
        _manifest.check(folder, _manifest.read(folder))
        os.stat(folder / "classifier.keras")
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except OSError as error:
        return None, f"{error.filename} cannot be read: {error.strerror}; fix that, and the same command resumes"
    except ValueError as error:
        return None, str(error) if os.path.lexists(folder / _manifest.FILE) else None
    return (None if next(_differences(run.config, trial.config()), None) else run.result), None


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Writes files.json, which has length and digest of a trial's files, and as the last result.json.

    Args:
        folder: the trial's, with everything else in it.
        result: content of result.json.
    """
    content = as_json(result).encode()
    paths = [path for pattern in _LISTED for path in sorted(folder.glob(pattern))]
    files = {path.relative_to(folder).as_posix(): _manifest.entry(path.read_bytes()) for path in paths}
    # Nobody looks at the manifest before there is the result, by which a trial is finished.
    write_whole(folder / _manifest.FILE, _manifest.seal({"files": {**files, "result.json": _manifest.entry(content)}}))
    write_whole(folder / "result.json", content)


def check_free(
    trial: Trial,
    out: str | os.PathLike,
    advice: str = "choose another --out, or discard it with --fresh",
    data_alone: bool = False,
) -> None:
    """Refuses a trial whose folder holds one with other settings: those of its checkpoint, if there is one.

    What is damaged there does not stand against it; whoever reads it says so.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        out: the output folder.
        advice: what the error says to do.
        data_alone: whether only one with the same settings, on other data, is refused.

    Raises:
        RecipeError: naming the first setting that differs, or saying that the user's data have changed.
    """
    folder = Path(out, trial.folder)
    try:
        there = _settings_in(folder, trial.config())
    except RecipeError as error:
        if data_alone:
            return
        raise RecipeError(f"{error}; {advice}") from None
    except (DamagedError, OSError):
        return
    differences = [] if there is None else [*_differences(there, trial.config())]
    if data_alone and [key for key, _, _ in differences] != ["fingerprint"]:
        return
    for key, before, now in differences:
        differs = f"{key}: {before} there, {now} now"
        if key == "fingerprint":
            raise RecipeError(f"{folder} holds a trial on other data, which have changed ({differs}); {advice}")
        raise RecipeError(f"{folder} holds a trial with other settings ({differs}); {advice}")


def _settings_in(folder, expected):
    """The settings of the trial in a folder, as config.yaml has them; None if there is none, or the expected ones."""
    path, state = folder / "config.yaml", None
    if os.path.lexists(folder / "result.json"):
        _manifest.check_listed(folder, path.name)
    else:
        state, _ = Backup(folder).latest()
    if state and state.get("config") == expected:
        return None
    if state and "config" in state:
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary, path.name)
            copy.write_text(yaml.safe_dump(state["config"]), encoding="utf-8")
            return read_config(copy)
    if os.path.lexists(path):
        return read_config(path)
    if state:
        raise RecipeError(f"{folder} holds a trial with unknown settings: it has no {path.name}")
    return None


def _differences(there, now):
    """(key, there, now) of the settings that are not the same, fingerprints as far as they can be compared."""
    there, now = dict(flatten(there)), dict(flatten(now))
    for key in dict.fromkeys((*now, *there)):
        one, other = there.get(key), now.get(key)
        if differ(one, other) if key == "fingerprint" else one != other:
            yield key, one, other


def flatten(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(key.key, value) of every leaf of a mapping of mappings."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def trials_as_run(recipe: Path, results: Iterable[dict[str, Any]]) -> list[Trial]:
    """The trials of a recipe.yaml as it was run, with the changes of the command line, in its order.

    Args:
        recipe: the file, which begins with the changes if there were any.
        results: contents of result.json, whose seeds are taken.

    Raises:
        OSError, ValueError: if it cannot be read, or is no recipe here.
    """
    first = recipe.read_text(encoding="utf-8").partition("\n")[0]
    overrides = shlex.split(first.removeprefix(CHANGED)) if first.startswith(CHANGED) else ()
    seeds = sorted({result["seed"] for result in results})
    return load_recipe(recipe, overrides, seeds=seeds, allow_code=None)


def _kept(path):
    """The trials whose results are kept in a results.json beside their recipe."""
    recipe = path.with_name("recipe.yaml")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        trials = trials_as_run(recipe, results)
        trials = [dataclasses.replace(trial, recipe=path.parent.name) for trial in trials]
        trials = {trial.key: trial for trial in trials}
        of_results = [(trials[key_of(result)], result) for result in results]
        return [Run(path.parent.parent / trial.folder, trial.config(), result) for trial, result in of_results]
    except KeyError as error:
        raise RecipeError(f"{path}: not results of {recipe}: {error} is missing") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RecipeError(f"{path}: not results of {recipe}: {error}") from None


def _without(mapping, *keys):
    return {key: value for key, value in mapping.items() if key not in keys}


def _of_sweep(path):
    return path.match("sweep/point-*/*/*/*/result.json")
