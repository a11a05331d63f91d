import csv
import dataclasses
import math
import types

import keras
import numpy as np
import pytest

from nft_keras import data
from nft_keras.base import warn
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.methods.nft import DevelopmentalPlanSettings, NFTSettings, UnetSettings
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.settings import TrainingSettings
from nft_keras.experiments.recipe.trial import Trial
from nft_keras.experiments.train import size
from nft_keras.experiments.train import trial as trials
from nft_keras.experiments.train.callbacks import TrainingError
from nft_keras.experiments.train.trial import _check_shares, learning_rate, run_trial


@pytest.fixture
def trial():
    method = NFTSettings(DevelopmentalPlanSettings(simplification_ratio=0.7), UnetSettings())
    training = TrainingSettings(learning_rate=0.1, epochs=250, schedule="constant-then-cosine", constant_ratio=0.7)
    return Trial("name", {"name": "cifar10"}, "resnet18", None, "nft", method, training, "after-drop", 0, False, 0)


def test_a_warning_says_which_trial_it_is_of(trial, caplog):
    for varied in (None, ("dataset.label_noise", 0.4)):
        with trials.warnings_named(dataclasses.replace(trial, varied=varied)):
            warn("half of %s is left", "100 %")
    warn("no trial's")
    names = ("resnet18 NFT seed 0", "resnet18 NFT dataset.label_noise=0.4 seed 0")
    assert caplog.messages == [*(f"{name}: half of 100 % is left" for name in names), "no trial's"]


def test_the_published_schedule_of_resnet18(trial):
    rates = {gamma: learning_rate(trial, gamma) for gamma in range(1, 251)}
    assert trial.simplification_epochs == 175
    assert {rates[gamma] for gamma in range(1, 176)} == {0.1}
    assert rates[176] == pytest.approx(0.01)
    for gamma in range(176, 251):
        assert rates[gamma] == pytest.approx(0.005 * (1 + math.cos(math.pi * (gamma - 176) / 75)))


# Learning rates of 0.8 in five epochs, by hand: cos(pi/5) = 0.809017, cos(2 pi/5) = 0.309017; cos(pi/3) = 0.5.
SCHEDULES = [
    ("constant", None, [0.8, 0.8, 0.8, 0.8, 0.8]),
    ("cosine", None, [0.8, 0.7236068, 0.5236068, 0.2763932, 0.0763932]),
    ("constant-then-cosine", 0.4, [0.8, 0.8, 0.08, 0.06, 0.02]),
    ("constant-then-cosine", 0.5, [0.8, 0.8, 0.8, 0.08, 0.04]),
    ("constant-then-cosine", 0.99, [0.8, 0.8, 0.8, 0.8, 0.08]),
    ("constant-then-cosine", 1.0, [0.8, 0.8, 0.8, 0.8, 0.8]),
    ("constant-then-cosine", 0.0, [0.08, 0.07236068, 0.05236068, 0.02763932, 0.00763932]),
]


@pytest.mark.parametrize("schedule, ratio, expected", SCHEDULES)
@pytest.mark.parametrize("length", [0, 3])
def test_the_learning_rate_of_an_epoch_is_that_of_its_schedule_whatever_the_method_does(
    trial, schedule, ratio, expected, length
):
    training = TrainingSettings(learning_rate=0.8, epochs=5, schedule=schedule, constant_ratio=ratio)
    settings = dataclasses.replace(trial.method_settings, plan=DevelopmentalPlanSettings(simplification_epochs=length))
    changed = dataclasses.replace(trial, training=training, method_settings=settings)
    assert [learning_rate(changed, gamma) for gamma in range(1, 6)] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "epochs, length, selection, first", [(5, 3, "after-drop", 4), (5, 3, "all", 1), (1, 1, "after-drop", 1)]
)
def test_the_best_epoch_is_sought_after_the_last_one_with_altered_data(trial, epochs, length, selection, first):
    plan = DevelopmentalPlanSettings(simplification_epochs=length)
    settings = dataclasses.replace(trial.method_settings, plan=plan)
    training = TrainingSettings(epochs=epochs)
    changed = dataclasses.replace(trial, method_settings=settings, training=training, selection=selection)
    assert changed.first_eligible == first


def test_a_method_that_fills_replicas_is_refused_a_last_minibatch_that_is_too_small(trial, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "mine", dataclasses.replace(METHODS["ct"], fills_replicas=True))
    mine = dataclasses.replace(trial, method="mine", training=TrainingSettings(batch_size=5))
    dataset, strategy = types.SimpleNamespace(train=range(11)), types.SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(TrainingError, match="5 leaves 1 of 11 examples for 2 replicas .*, which mine cannot share"):
        _check_shares(mine, dataset, tmp_path, strategy)


# 300 examples: the last of five minibatches has 44.
SHORT_STEPS = """\
dataset: {name: two-moons}
classifiers: {fc-a: {units: 5}}
methods:
  ct:
  eef: {plan: {simplification_epochs: 3}}
  ft: {plan: {max_steps: 3, simplification_epochs: 3}}
  nft:
    plan: {eta_max: 20, simplification_epochs: 3}
    auxiliary: {name: mlp, hidden: 8, label_conditioned: true}
training: {epochs: 4, batch_size: 64, learning_rate: 0.02}
test_every: 2
seeds: [0]
"""


@pytest.mark.parametrize("method", ["ct", "eef", "ft", "nft"])
def test_short_steps_in_one_call_give_the_bits_of_one_step_at_a_time(tmp_path, monkeypatch, method):
    (tmp_path / "short.yaml").write_text(SHORT_STEPS)
    (trial,) = load_recipe(tmp_path / "short.yaml", methods=[method])
    dataset, outcomes, models = data.load(**trial.dataset), [], []
    compiled = keras.Model.compile
    monkeypatch.setattr(keras.Model, "compile", lambda self, *a, **k: models.append(self) or compiled(self, *a, **k))
    for few in (size._FEW_OPERATIONS, 0):
        monkeypatch.setattr(size, "_FEW_OPERATIONS", few)
        folder = tmp_path / str(few)
        result = run_trial(trial, dataset, folder, lambda logs: None)
        classifier = keras.saving.load_model(folder / trial.folder / "classifier.keras")
        with open(folder / trial.folder / "history.csv", newline="") as file:
            rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
        outcomes.append((rows, result["test_error"], result["last_test_error"], classifier.get_weights()))
        assert models[0].steps_per_execution == (trials.AT_ONCE if few else 1)
        models.clear()
    (*at_once, weights), (*one_by_one, expected) = outcomes
    assert at_once == one_by_one
    assert [row["phase"] for row in at_once[0]].count("classic") < 4 or method == "ct"
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))
