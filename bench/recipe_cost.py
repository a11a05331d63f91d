"""Seconds per epoch of every cell of a recipe, from a few minibatches: python bench/recipe_cost.py RECIPE.yaml

Every cell is trained for four short epochs. The second one is taken for FT, with the most perturbation steps that it
takes, the third one for the others, with NFT's data altered; it is scaled to the recipe's own training set.
"""

import argparse
import csv
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from nft_keras import data  # noqa: E402
from nft_keras.experiments.recipe import load_recipe  # noqa: E402
from nft_keras.experiments.report import markdown  # noqa: E402

STEPS = 10


def main():
    """Prints a Markdown table: a row per classifier, a column per method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", type=Path, nargs="+", metavar="RECIPE.yaml")
    parser.add_argument("--data-dir", type=Path, help="as for nft_keras.run")
    options = parser.parse_args()
    for path in options.recipes:
        print(
            f"\n{path}: seconds per epoch (NFT while it simplifies, FT with all its perturbation steps)\n", flush=True
        )
        rows = cost(path, options.data_dir)
        methods = list(next(iter(rows.values())))
        table = [[classifier, *(f"{float(f'{row[m]:.2g}'):g}" for m in methods)] for classifier, row in rows.items()]
        print(markdown(["classifier", *(m.upper() for m in methods)], table), flush=True)


def cost(path, data_dir):
    """{classifier: {method: seconds per epoch}} of a recipe."""
    from nft_keras.experiments.trial import run_trial

    first = load_recipe(path)[0]
    full = data.load(**first.dataset, data_dir=data_dir)
    batch_size = first.training.batch_size
    few = data.Dataset(
        full.train[: STEPS * batch_size],
        full.valid[:1],
        full.test[:1],
        full.num_classes,
        full.provenance,
        full.class_names,
    )
    plans = {"ft": ["simplification_ratio=0.75", "law=math.floor"], "nft": ["simplification_ratio=0.75"]}
    methods = {trial.method for trial in load_recipe(path)}
    changes = [f"methods.{m}.plan.{change}" for m in methods for change in plans.get(m, ())]
    rows = {}
    for trial in load_recipe(path, [*changes, "training.epochs=4"], seeds=[0]):
        row = rows.setdefault(trial.classifier, {})
        if trial.method not in row:
            with tempfile.TemporaryDirectory() as out:
                run_trial(trial, few, out, lambda logs: None)
                with open(Path(out, trial.folder, "history.csv"), newline="", encoding="utf-8") as file:
                    history = list(csv.DictReader(file))
            epoch = 1 if trial.method == "ft" else 2
            row[trial.method] = float(history[epoch]["seconds"]) * len(full.train) / (STEPS * batch_size)
    return rows


if __name__ == "__main__":
    main()
