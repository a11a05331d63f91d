"""What is kept of a recipe's run where its trials' folders are too large: report, results, recipe and histories."""

import csv
import gzip
import json
import os
import re
import tempfile
from pathlib import Path

import yaml

from nft_keras.data.io.fingerprint import differ
from nft_keras.experiments.files import as_csv, atomic_write, write_json
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports import reference
from nft_keras.experiments.reports.tables import write_report
from nft_keras.experiments.runs import CHANGED, Run, key_of, trials_as_run

FILES = ("report.md", "results.json", "recipe.yaml")
HISTORIES = "histories.csv.gz"
# The columns of `Trial.key`.
TRIAL = ("variation", "classifier", "method", "seed")


def kept(runs):
    """The files that are kept of a recipe's run.

    Args:
        runs: the recipe's folder below an output folder, with the folders of the trials of its results.json. Where it
            was run in several places, some seeds on another machine for one, the folder of each or what is kept of it.

    Returns:
        {name: bytes}: `FILES`, reference.json where there is one, and `HISTORIES`, a CSV of all rows of the trials'
        history.csv, with the columns `TRIAL` before them. The same trials give the same bytes. Paths in the user's home
        begin with ~, which a recipe takes too.

    Raises:
        RecipeError: if one is no such folder, a trial's history is missing, or what they have does not go together.
    """
    runs = list(map(Path, runs))
    for run in runs:
        missing = [name for name in FILES if not os.path.isfile(run / name)]
        if missing:
            raise RecipeError(f"{run} has no {missing[0]}: --keep takes what a run left of one recipe, OUT/RECIPE")
    histories = {}
    for run in runs:
        histories = _histories(run) | histories
    with tempfile.TemporaryDirectory() as temporary:
        folder = runs[0] if len(runs) == 1 else _together(runs, Path(temporary))
        there = [name for name in (*FILES, reference.FILE) if (folder / name).is_file()]
        files = {name: without_home((folder / name).read_bytes()) for name in there}
    order = _in_order(histories, runs[0])
    rows = [dict(zip(TRIAL, key, strict=True)) | row for key in order for row in histories[key]]
    return files | {HISTORIES: gzip.compress(as_csv(rows).encode(), mtime=0)}


def write(files, folder):
    """Writes the files into a folder; a reference.json that is not among them goes.

    Args:
        files: what `kept` returns.
        folder: `pathlib.Path`.
    """
    for name, content in files.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
    if reference.FILE not in files:
        (folder / reference.FILE).unlink(missing_ok=True)


def without_home(content):
    """A file's bytes, ~ instead of the user's home."""
    home = os.path.expanduser("~").rstrip("/")
    if not os.path.isabs(home):  # none, or the root
        return content
    return re.sub(rb"(?<![\w.~-])" + re.escape(os.fsencode(home)) + rb"(?![\w.-])", b"~", content)


def _together(runs, out):
    """The folder below `out` of a report on the trials of several folders."""
    recipes = [without_home((run / "recipe.yaml").read_bytes()) for run in runs]
    for run, recipe in zip(runs, recipes, strict=True):
        if _without_comments(run / "recipe.yaml", recipe) != _without_comments(runs[0] / "recipe.yaml", recipes[0]):
            what = f"{run / 'recipe.yaml'} is not {runs[0] / 'recipe.yaml'}"
            raise RecipeError(f"{what}: --keep takes runs of one recipe")
    results, entries, data = {}, {}, {}
    for run in runs:
        for key, result in _results(run):
            known = data.setdefault(key[0] if key[0].startswith("dataset.") else "", [])
            if any(differ(one, result.get("fingerprint")) for one in known):
                raise RecipeError(f"{run} has trials on other data than a folder before it; leave one of them out")
            known.append(result.get("fingerprint"))
            if results.setdefault(key, result) != result:
                trial = Path(*key[:-1], f"seed-{key[-1]}")
                raise RecipeError(f"{run} has another result of {trial} than a folder before it; leave one of them out")
        entries = {json.dumps(entry["dataset"]): entry for entry in reference.read(run)} | entries
    name, entries = runs[0].resolve().name, list(entries.values())
    write_report(name, [results[key] for key in _in_order(results, runs[0])], out, entries)
    (out / name / "recipe.yaml").write_bytes(recipes[0])
    if entries:
        write_json(out / name / reference.FILE, entries)
    return out / name


def _without_comments(path, recipe):
    """What a recipe says: changes made on the command line, which stand in a comment, and the settings below."""
    first, _, _ = recipe.partition(b"\n")
    try:
        return first if first.startswith(CHANGED.encode()) else b"", yaml.safe_load(recipe)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{path} is damaged, {type(error).__name__}: the same run writes it again") from None


def _results(run):
    """(key, result) of the content of results.json, see `key_of`."""
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        return [(key_of(result), result) for result in results]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        what = f"{type(error).__name__}: the same run writes it again"
        raise RecipeError(f"{run / 'results.json'} is damaged, {what}") from None


def _histories(run):
    """{trial: rows} of the trials in results.json, from their folders or where they are kept."""
    keys = [key for key, _ in _results(run)]
    if not (run / HISTORIES).is_file():
        folders = {key: run.joinpath(*key[:-1], f"seed-{key[-1]}") for key in keys}
        return {key: Run(folder, {}, {}).rows() for key, folder in folders.items()}
    found = {key: [] for key in keys}
    try:
        with gzip.open(run / HISTORIES, "rt", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                variation, classifier, method, seed = (row.pop(name) for name in TRIAL)
                found[variation, classifier, method, int(seed)].append(row)
    except (OSError, EOFError, ValueError, KeyError, csv.Error) as error:
        raise RecipeError(f"{run / HISTORIES} is damaged, {type(error).__name__}: {error}") from None
    if not all(found.values()):
        raise RecipeError(f"{run / HISTORIES} is damaged, it has not all trials of results.json")
    return found


def _in_order(keys, run):
    """Trials in the order of the recipe that was run, last those that it has not, as of a method not installed."""
    try:
        trials = trials_as_run(run / "recipe.yaml", [{"seed": key[-1]} for key in keys])
    except ValueError:
        trials = []
    rank = {trial.key: i for i, trial in enumerate(trials)}
    return sorted(keys, key=lambda key: (rank.get(key, len(rank)), key))
