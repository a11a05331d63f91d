"""Floating-point operations of recipes, counted from the networks: python -m bench.paper_cost [RECIPE.yaml ...]

They are counted as `nft_keras.costs` says; what a method costs is said by its record, `nft_keras.experiments.methods`.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

from nft_keras import data  # noqa: E402
from nft_keras.costs import forward  # noqa: E402
from nft_keras.experiments.methods import METHODS  # noqa: E402
from nft_keras.experiments.methods.nft import build_auxiliary  # noqa: E402
from nft_keras.experiments.recipe.reading import load_recipe  # noqa: E402
from nft_keras.experiments.recipe.shipped import shipped_recipes  # noqa: E402
from nft_keras.experiments.reports.tables import markdown  # noqa: E402
from nft_keras.experiments.train import trial as trials  # noqa: E402

OTHERS = "others"  # what a recipe has beside the paper's methods: controls
COLUMNS = (*METHODS, "nft-as-coded", OTHERS)


def main(arguments=None):
    """Prints a Markdown table: a row per recipe and classifier, a column per method, in 10^15 operations, all seeds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", type=Path, nargs="*", metavar="RECIPE.yaml", help="default: all in recipes/")
    options = parser.parse_args(arguments)
    rows, total = [], 0.0
    for path in options.recipes or sorted(shipped_recipes().glob("*.yaml")):
        cells = {}
        seeds = len(load_recipe(path)) // len(load_recipe(path, seeds=[0]))
        for trial in load_recipe(path, seeds=[0]):
            by_method = cells.setdefault(trial.classifier, dict.fromkeys(COLUMNS, 0.0))
            by_method[trial.method if trial.method in by_method else OTHERS] += seeds * operations(trial)
        for classifier, by_method in cells.items():
            total += sum(by_method.values())
            texts = [f"{by_method[m] / 1e15:,.2g}" if by_method[m] else "-" for m in COLUMNS]
            rows.append([path.stem, classifier, *texts])
        keras.backend.clear_session()
    print(markdown(["recipe", "classifier", *(m if m == OTHERS else m.upper() for m in COLUMNS)], rows))
    print(f"\nin 10^15 operations, all seeds and variations; together {total / 1e15:,.0f}")


def operations(trial):
    """Operations of a whole trial, validation and test left out."""
    spec = data.find(trial.dataset["name"])
    n = trial.dataset["train_size"] or spec.sizes[0]
    f, s = _networks(trial, spec)
    return n * METHODS[trial.kind].operations(trial, f, s)


def _networks(trial, spec):
    """Operations of a forward pass of the classifier and of the auxiliary network, per example."""
    part = data.Part(_Shape(spec.input_shape), ())
    dataset = data.Dataset(part, part, part, spec.num_classes, "", ())
    auxiliary = getattr(trial.method_settings, "auxiliary", None)
    s = forward(build_auxiliary(auxiliary, dataset)) if auxiliary else 0
    return forward(trials.build_classifier(trial, dataset)), s


class _Shape:
    """Stands for the array of examples where only its shape is asked for."""

    def __init__(self, of_example):
        self.shape = (0, *of_example)


if __name__ == "__main__":
    main()
