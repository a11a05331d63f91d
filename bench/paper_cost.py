"""Floating-point operations of recipes, counted from the networks: python -m bench.paper_cost [RECIPE.yaml ...]

A forward pass costs 2 operations per weight of a dense layer, and per weight and output pixel of a convolution; a
backward pass as much for the gradient of the inputs, and again for that of the weights. With f and s a forward pass of
classifier and auxiliary network, an example costs 3 f in a classic epoch; 3 s + 2 f and s + 3 f in the two phases of
NFT, 3 s + 3 f in both with `phases: joint`, s + 3 f in an altered epoch 1; 2 f for a step of FT's perturbation (an
upper bound: all examples take all tau steps); f for EEF's look at all losses.
"""

import argparse
import math
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402

from bench.floor import forward  # noqa: E402
from nft_keras import data  # noqa: E402
from nft_keras.base import LAWS, progress  # noqa: E402
from nft_keras.experiments import methods  # noqa: E402
from nft_keras.experiments.recipe.reading import load_recipe, shipped_recipes  # noqa: E402
from nft_keras.experiments.reports.tables import markdown  # noqa: E402
from nft_keras.experiments.train import trial as trials  # noqa: E402

METHODS = ("ct", "eef", "ft", "nft", "nft-as-coded")


def main():
    """Prints a Markdown table: a row per recipe and classifier, a column per method, in 10^15 operations, all seeds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", type=Path, nargs="*", metavar="RECIPE.yaml", help="default: all in recipes/")
    options = parser.parse_args()
    rows, total = [], 0.0
    for path in options.recipes or sorted(shipped_recipes().glob("*.yaml")):
        cells = {}
        seeds = len(load_recipe(path)) // len(load_recipe(path, seeds=[0]))
        for trial in load_recipe(path, seeds=[0]):
            by_method = cells.setdefault(trial.classifier, dict.fromkeys(METHODS, 0.0))
            by_method[trial.method] += seeds * operations(trial)
        for classifier, by_method in cells.items():
            total += sum(by_method.values())
            texts = [f"{by_method[m] / 1e15:,.2g}" if by_method[m] else "-" for m in METHODS]
            rows.append([path.stem, classifier, *texts])
        keras.backend.clear_session()
    print(markdown(["recipe", "classifier", *(m.upper() for m in METHODS)], rows))
    print(f"\nin 10^15 operations, all seeds and variations; together {total / 1e15:,.0f}")


def operations(trial):
    """Operations of a whole trial, validation and test left out."""
    spec = data.find(trial.dataset["name"])
    n = trial.dataset["train_size"] or spec.sizes[0]
    f, s = _networks(trial, spec)
    epochs, plan = trial.training.epochs, trial.method_settings.plan
    length = trial.simplification_epochs
    classic = 3 * f * epochs
    if trial.kind == "nft":
        extra = 3 * s if trial.method_settings.phases == "joint" else 4 * s + 2 * f
        first = s if length > 1 and plan.first_simplified_epoch == 1 else 0  # x~, and no update of theta
        return n * (classic + max(length - max(plan.first_simplified_epoch - 1, 1), 0) * extra + first)
    law = LAWS[plan.law]
    remaining = [1 - law(progress(gamma, length)) for gamma in range(1, epochs + 1)]
    if trial.kind == "ft":
        return n * (classic + 2 * f * sum(math.floor(plan.max_steps * share) for share in remaining))
    if trial.kind == "eef":
        hidden = [(1 - plan.first_fraction) * share for share in remaining]
        return n * sum(3 * f * (1 - h) + (f if h else 0) for h in hidden)
    return n * classic


def _networks(trial, spec):
    """Operations of a forward pass of the classifier and of the auxiliary network, per example."""
    part = data.Part(_Shape(spec.input_shape), ())
    dataset = data.Dataset(part, part, part, spec.num_classes, "", ())
    auxiliary = getattr(trial.method_settings, "auxiliary", None)
    s = forward(methods.build_auxiliary(auxiliary, dataset)) if auxiliary else 0
    return forward(trials.build_classifier(trial, dataset)), s


class _Shape:
    """Stands for the array of examples where only its shape is asked for."""

    def __init__(self, of_example):
        self.shape = (0, *of_example)


if __name__ == "__main__":
    main()
