"""Seconds per epoch of every cell of a recipe, from ten minibatches: python -m bench.recipe_cost RECIPE.yaml

Every cell is trained for three short epochs, the third of which has altered data and, with FT, every perturbation
step. What is measured is training alone, without validation and files, scaled to the recipe's training set.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from nft_keras import data  # noqa: E402
from nft_keras.backend import fuse_loops  # noqa: E402
from nft_keras.data.batches import batches  # noqa: E402
from nft_keras.experiments.methods import METHODS  # noqa: E402
from nft_keras.experiments.recipe.reading import load_recipe  # noqa: E402
from nft_keras.experiments.reports.tables import markdown  # noqa: E402
from nft_keras.experiments.train import trial as trials  # noqa: E402

STEPS = 10
MEASURED_EPOCH = 3
# With this law the third epoch has altered data as the first ones have: FT takes every perturbation step.
PLAN = ("simplification_epochs=4", "law=math.floor")
# What costs EEF most is an epoch on all examples.
PLANS = {"eef": ("simplification_epochs=0",)}


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.began, self.seconds = {}, {}

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self.began[epoch + 1] = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Stops it."""
        self.seconds[epoch + 1] = time.monotonic() - self.began[epoch + 1]


def main():
    """Prints a Markdown table for each recipe: a row per classifier, a column per method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", type=Path, nargs="+", metavar="RECIPE.yaml")
    parser.add_argument("--data-dir", type=Path, help="as for nft_keras.run")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these of the recipe's methods")
    options = parser.parse_args()
    for path in options.recipes:
        print(
            f"\n{path}: seconds per epoch (NFT while it simplifies, FT with all its perturbation steps)\n", flush=True
        )
        rows = cost(path, options.data_dir, options.methods)
        methods = list(next(iter(rows.values())))
        table = [[classifier, *(f"{float(f'{row[m]:.2g}'):g}" for m in methods)] for classifier, row in rows.items()]
        print(markdown(["classifier", *(m.upper() for m in methods)], table), flush=True)


def cost(path, data_dir, methods):
    """{classifier: {method: seconds per epoch}} of a recipe."""
    selected = load_recipe(path, methods=methods, seeds=[0])
    fuse_loops()  # as the programs do
    dataset = data.load(**selected[0].dataset, data_dir=data_dir)
    kinds = {trial.method: trial.kind for trial in selected if METHODS[trial.kind].has_plan}
    changes = [f"methods.{name}.plan.simplification_ratio=null" for name in kinds]
    changes += [f"methods.{name}.plan.{change}" for name, kind in kinds.items() for change in PLANS.get(kind, PLAN)]
    rows = {}
    for trial in load_recipe(path, changes, methods, seeds=[0], allow_code=True):
        row = rows.setdefault(trial.classifier, {})
        if trial.method not in row:
            row[trial.method] = seconds_per_epoch(trial, dataset)
    return rows


def seconds_per_epoch(trial, dataset):
    """The seconds of one epoch on all of the data set, from `STEPS` minibatches."""
    keras.utils.set_random_seed(0)
    part = dataset.train[: STEPS * trial.training.batch_size]
    few = data.Dataset(part, part, part, dataset.num_classes, dataset.provenance, dataset.class_names)
    model, plan = trials.build_method(trial, trials.build_classifier(trial, few), few)
    clock = Clock()
    train = batches(part, trial.training.batch_size, 0, tf.Variable(0))
    model.fit(train, epochs=3, verbose=0, callbacks=[clock, plan])
    return clock.seconds[MEASURED_EPOCH] * len(dataset.train) / len(part)


if __name__ == "__main__":
    main()
