"""A program: takes trials up again that were broken off, on whatever back end Keras has, and says how far apart they
end.

python -m tests.experiments.train.broken_off FOLDER [OVERRIDE ...] prints as JSON, for each method, how far its trial is
from one that was not broken off: {method: {"weights": d, "unequal": [...], "epochs": those after the break}}.
"""

import csv
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np

from nft_keras import data
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.ready import ready_backend
from nft_keras.experiments.train.trial import run_trial
from tests.experiments.finished import repeatable
from tests.small_trainings import ready_for_small_trainings

# A classifier with dropout, at work in both phases; the trials are broken off while the data are altered.
RECIPE = """\
name: broken
dataset: {name: npz, path: PATH}
classifiers: [cnn-a]
methods:
  ct:
  eef:
    plan: {first_fraction: 0.25, simplification_epochs: 4}
  ft:
    plan: {max_steps: 4, simplification_epochs: 4}
    step: 0.5
  nft:
    plan: {eta_max: 500, simplification_epochs: 4}
    auxiliary: {name: unet, filters: 2, depth: 1, label_conditioned: true}
    auxiliary_optimizer: {learning_rate: 0.001, weight_decay: 1.0e-4}
    classifier_mode: training
training: {epochs: 5, learning_rate: 0.001, weight_decay: 1.0e-4, batch_size: 16}
seeds: [3]
deterministic: true
"""


def write_recipe(folder):
    """The recipe, on images with something to learn; returns its path."""
    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 40), ("valid", 24), ("test", 24)):
        y = rng.integers(0, 3, n)
        x = rng.integers(0, 120, (n, 8, 8)) + 40 * y.reshape(-1, 1, 1)
        arrays |= {f"x_{part}": x.astype("uint8"), f"y_{part}": y}
    np.savez(folder / "small.npz", **arrays)
    path = folder / "broken.yaml"
    path.write_text(RECIPE.replace("PATH", str(folder / "small.npz")))
    return path


def outcome(folder):
    """Weights, history and result of a finished trial, without times."""
    with open(folder / "history.csv", newline="") as file:
        history = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    result = repeatable(json.loads((folder / "result.json").read_text()))
    return keras.saving.load_model(folder / "classifier.keras").get_weights(), history, result


def whole_and_broken(trial, dataset, folder):
    """Runs a trial in one go into `folder / "whole"`, and on from what a kill in its third epoch leaves in "broken".

    Returns:
        The epochs that were trained after that.
    """
    whole, broken, epochs = folder / "whole", folder / "broken", []

    def in_the_third_epoch(logs):
        if logs["epoch"] == 3:
            shutil.copytree(whole / trial.folder, broken / trial.folder)

    run_trial(trial, dataset, whole, in_the_third_epoch)
    run_trial(trial, dataset, broken, lambda logs: epochs.append(logs["epoch"]))
    return epochs


def broken_off(trial, dataset, folder):
    """How far a trial that was broken off in its third epoch and goes on is from one that was not."""
    epochs = whole_and_broken(trial, dataset, folder)
    (weights, *rest), (others, *other_rest) = (outcome(folder / name / trial.folder) for name in ("broken", "whole"))
    apart = max(float(np.abs(a - b).max()) for a, b in zip(weights, others, strict=True))
    names = ("history", "result")
    unequal = [name for name, a, b in zip(names, rest, other_rest, strict=True) if a != b]
    return {"weights": apart, "unequal": unequal, "epochs": epochs}


def main(folder, *overrides):
    """Prints how far the trials of every method are apart."""
    trials = load_recipe(write_recipe(folder), overrides)
    ready_backend(trials)
    dataset = data.load(**trials[0].dataset)
    print(json.dumps({trial.method: broken_off(trial, dataset, folder) for trial in trials}))


if __name__ == "__main__":
    ready_for_small_trainings()
    main(Path(sys.argv[1]), *sys.argv[2:])
