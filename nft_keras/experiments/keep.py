"""What is kept of a recipe's run where its trials' folders are too large: report, results, recipe and histories."""

import gzip
import json
import os
import re
from pathlib import Path

from nft_keras.experiments.files import as_csv, atomic_write
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports import reference
from nft_keras.experiments.runs import Run

FILES = ("report.md", "results.json", "recipe.yaml")
HISTORIES = "histories.csv.gz"
TRIAL = ("variation", "classifier", "method", "seed")


def kept(run):
    """The files that are kept of a run.

    Args:
        run: the recipe's folder below an output folder, with the folders of the trials of its results.json.

    Returns:
        {name: bytes}: `FILES`, reference.json where there is one, and `HISTORIES`, a CSV of all rows of the trials'
        history.csv, with the columns `TRIAL` before them. The same trials give the same bytes. Paths in the user's home
        begin with ~, which a recipe takes too.

    Raises:
        RecipeError: if it is no such folder, or a trial's history is missing.
    """
    run = Path(run)
    missing = [name for name in FILES if not os.path.isfile(run / name)]
    if missing:
        raise RecipeError(f"{run} has no {missing[0]}: --keep takes what a run left of one recipe, OUT/RECIPE")
    there = [name for name in (*FILES, reference.FILE) if (run / name).is_file()]
    return {name: without_home((run / name).read_bytes()) for name in there} | {HISTORIES: _histories(run)}


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


def _histories(run):
    rows = []
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        keys = [(result.get("varied", ""), *(result[name] for name in TRIAL[1:])) for result in results]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        what = f"{type(error).__name__}: the same run writes it again"
        raise RecipeError(f"{run / 'results.json'} is damaged, {what}") from None
    for key in keys:
        trial = dict(zip(TRIAL, key, strict=True))
        folder = run / trial["variation"] / trial["classifier"] / trial["method"] / f"seed-{trial['seed']}"
        rows += [trial | row for row in Run(folder, {}, {}).rows()]
    return gzip.compress(as_csv(rows).encode(), mtime=0)
