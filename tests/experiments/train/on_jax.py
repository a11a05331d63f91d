"""A program: trains small recipes on JAX one by one and together, and prints how far apart they are.

KERAS_BACKEND=jax python -m tests.experiments.train.on_jax FOLDER
"""

import csv
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

from nft_keras import data
from nft_keras.cli import run
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.reading import load_recipe
from tests.experiments.finished import repeatable
from tests.experiments.train.own_method import OWN
from tests.experiments.train.test_losses import best_valid_loss_apart
from tests.small_trainings import ready_for_small_trainings

DENSE = """\
name: dense
dataset: {name: npz, path: PATH}
classifiers: {fc-b: {units: [8, 6]}}
methods:
  ct: {training: {precision: mixed_bfloat16}}
  ft:
    plan: {max_steps: 3, simplification_epochs: 3}
    step: 0.5
  nft:
    plan: {eta_max: 10, simplification_epochs: 3}
    auxiliary: {name: mlp, hidden: 5}
    auxiliary_optimizer: {learning_rate: 0.01, weight_decay: 1.0e-4}
  nft-as-coded:
    is: nft
    plan: {first_simplified_epoch: 1}
    classifier_mode: training
  own:
    plan: {simplification_epochs: 3}
training:
  {epochs: 4, learning_rate: 0.01, weight_decay: 1.0e-4, batch_size: 16, label_smoothing: 0.1,
   schedule: constant-then-cosine, constant_ratio: 0.5}
seeds: [0, 1, 2]
test_every: 2
deterministic: true
vary:
  methods.nft.plan.eta_max: [10, 100]
"""
IMAGES = """\
name: images
dataset: {name: npz, path: PATH}
classifiers: [cnn-a]
methods:
  nft:
    plan: {eta_max: 10, simplification_epochs: 2}
    auxiliary: {name: unet, filters: 2, depth: 1, label_conditioned: true}
    auxiliary_optimizer: {learning_rate: 0.001}
    phases: batch
    penalty: mean
training: {epochs: 3, optimizer: sgd, learning_rate: 0.01, batch_size: 16}
seeds: [3]
vary:
  methods.nft.plan.simplification_epochs: [0, 2]
"""


def write_recipes(folder):
    """The two recipes, on examples with something to learn."""
    rng = np.random.default_rng(0)
    for name, text, shape, dtype in (("dense", DENSE, (6,), "float32"), ("images", IMAGES, (8, 8), "uint8")):
        y = rng.integers(0, 3, 96)
        x = rng.integers(0, 120, (96, *shape)) + 40 * y.reshape(-1, *(1 for _ in shape))
        x = x.astype(dtype) / (100 if dtype == "float32" else 1)
        parts = {"train": slice(0, 40), "valid": slice(40, 68), "test": slice(68, 96)}
        arrays = {f"{axis}_{part}": a[s] for axis, a in (("x", x.astype(dtype)), ("y", y)) for part, s in parts.items()}
        np.savez(folder / f"{name}.npz", **arrays)
        (folder / f"{name}.yaml").write_text(text.replace("PATH", str(folder / f"{name}.npz")))


def outcome(folder):
    """Weights, history and result of a finished trial, without times and what only a training alone sees."""
    with open(folder / "history.csv", newline="") as file:
        rows = [
            {k: v for k, v in row.items() if k not in ("seconds", "loss_reduction")} for row in csv.DictReader(file)
        ]
    result = repeatable(json.loads((folder / "result.json").read_text()))
    for name in ("drop", "valid_loss", "test_calibration_error"):  # that of the validation is in the history
        result.pop(name, None)
    return keras.saving.load_model(folder / "classifier.keras").get_weights(), rows, result


def apart(folder, other):
    """How far two trials are apart: the largest relative difference in weights and numbers of the history, and what
    else is not equal."""
    (weights, rows, result), (others, other_rows, other_result) = outcome(folder), outcome(other)
    weight = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(weights, others, strict=True))
    numbers, unequal = 0.0, [key for key in other_result if result.get(key) != other_result[key]]
    for row, expected in zip(rows, other_rows, strict=True):
        for key, text in expected.items():
            try:
                ours, theirs = float(row[key]), float(text)
                numbers = max(numbers, abs(ours - theirs) / max(abs(theirs), 1.0))
            except ValueError:
                unequal += [key] if row[key] != text else []
    return {"weights": weight, "history": numbers, "unequal": sorted(set(unequal))}


def main(folder):
    """Prints how far trials are apart, alone and together.

    It is {"trials": {folder: apart}, "smoothed": how far losses on smoothed labels are from NumPy's, "files": names in
    the folders of those together}.
    """
    METHODS["own"] = OWN
    write_recipes(folder)
    alone, together, found = folder / "alone", folder / "together", {}
    chosen = (
        ("dense", "--methods", "ct", "nft"),
        ("dense", "--methods", "ft", "nft-as-coded", "own", "--seeds", "1"),
        ("images",),
    )
    for name, *choice in chosen:
        assert run.main([str(folder / f"{name}.yaml"), "--out", str(alone), *choice]) == 0
    smoothed = []
    for name in ("dense", "images"):
        assert run.main([str(folder / f"{name}.yaml"), "--out", str(together), "--vectorize"]) == 0
        for trial in load_recipe(folder / f"{name}.yaml"):
            if (alone / trial.folder / "result.json").exists():
                found[str(trial.folder)] = apart(together / trial.folder, alone / trial.folder)
            if name == "dense" and trial.training.precision == "float32":
                of_trial, dataset = together / trial.folder, data.load(**trial.dataset)
                smoothed.append(best_valid_loss_apart(of_trial, dataset, outcome(of_trial)[2], smoothing=0.1))
    files = sorted({path.name for path in (together / "dense").rglob("seed-*/*")})
    print(json.dumps({"trials": found, "smoothed": smoothed, "files": files}))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    ready_for_small_trainings()
    main(Path(sys.argv[1]))
