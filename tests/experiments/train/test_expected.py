"""What is said before a training of what it will take."""

import dataclasses
import itertools
import json

import keras
import numpy as np
import pytest

from nft_keras import data
from nft_keras.cli import run
from nft_keras.data import Dataset, Part
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import expected, trial
from nft_keras.experiments.train.callbacks import TrainingError
from nft_keras.experiments.train.screen import Screen
from nft_keras.experiments.train.together import groups
from tests.experiments.train.own_method import OWN, simplified_step

RECIPE = """\
dataset: {name: digits-back-image, train_size: 64, valid_size: 32, test_size: 32}
classifiers: [cnn-a]
methods:
  ct:
  nft:
    plan: {eta_max: 500, simplification_epochs: 3}
    auxiliary: {name: unet, filters: 2, depth: 1}
  ft: {plan: {max_steps: 4, simplification_epochs: 3}}
training: {epochs: 4, learning_rate: 0.001}
seeds: [0, 1]
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path / "mine.yaml"


def images(n_train, n_valid, size=28):
    """A data set of black images."""
    parts = [Part(np.zeros((n, size, size, 1), "uint8"), np.arange(n) % 10) for n in (n_train, n_valid, n_valid)]
    return Dataset(*parts, 10, "made up", tuple("0123456789"))


def test_expected_seconds_are_those_of_the_measured_steps_in_all_epochs(recipe, monkeypatch):
    # A forward pass of the classifier takes 20 s, of the auxiliary network 90 s.
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: 460.0 if model.simplifying else 60.0)
    said = expected.about
    trials = load_recipe(recipe, ["training.batch_size=16", "seeds=[0, 1]"], ["ct", "nft"])
    takes = expected.Expected(always=True)
    _, line = takes.lines(trials, images(160, 32))
    steps, validation = 10, 4 * 2 * 20
    ct = 4 * steps * 60 + validation
    nft, quarter = (2 * steps * (p * (3 * 90 + 2 * 20) + 90 + 60) + 2 * steps * 60 + validation for p in (1, 0.25))
    share = f"unet {100 * 2 * steps * 4 * 90 / nft:.0f} % of it"
    assert line == (
        f"cnn-a, expected on this machine: CT {said(ct)}, NFT {said(nft)} ({share}; auxiliary_fraction=0.25 would make "
        f"it {said(quarter)}); all 4 trials {said(2 * (ct + nft))}"
    )
    classic, simplified = (steps * step + validation / 4 for step in (60, 460))
    assert [takes.classic_share(trial) for trial in trials] == [1, 1, *[pytest.approx(classic / simplified)] * 2]


def test_operations_of_both_kinds_of_epochs_are_said_and_what_is_short_is_not_measured(recipe, monkeypatch):
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: pytest.fail("measured"))
    trials = load_recipe(recipe, ["methods.nft.auxiliary_fraction=0.5"])
    (line,) = expected.Expected().lines(trials, images(64, 32))
    f, s = 2 * (9 * 32 * 26**2 + 9 * 32 * 64 * 24**2 + 12 * 12 * 64 * 128 + 1280), 0
    for pixels, weights in ((28**2, 9 * 2 + 9 * 4), (14**2, 2 * 9 * 4), (28**2, 9 * 4 * 2 + 9 * 4 + 2)):
        s += 2 * pixels * weights
    simplified = 0.5 * (3 * s + 2 * f) + s + 3 * f
    assert line == (
        f"cnn-a, operations per example: classic epoch {3 * f / 1e6:.3g} million, "
        f"simplified NFT {simplified / 1e6:.3g} million ({simplified / 3 / f:.3g} times)"
    )
    assert expected.Expected().lines(load_recipe(recipe, methods=["ct"]), images(64, 32)) == []
    # What a recipe varies is named where it changes something.
    for varied, said in (("plan.eta_max: [1, 2]", 0), ("auxiliary_fraction: [0.1, 0.2]", 2)):
        trials = load_recipe(recipe, [f"vary={{methods.nft.{varied}}}"])
        (line,) = expected.Expected().lines(trials, images(64, 32))
        assert line.count("methods.nft.") == said and line.count(" NFT ") == max(said, 1)


@pytest.fixture
def own(recipe, monkeypatch):
    """A recipe with CT and a method that somebody else declares, `own_method.OWN`."""
    monkeypatch.setitem(METHODS, "own", OWN)
    recipe.write_text(RECIPE.replace("  ft: {plan: {max_steps: 4, ", "  own: {plan: {"))
    return load_recipe(recipe, ["training.batch_size=16"], ["ct", "own"])


def test_of_a_method_that_does_not_count_its_auxiliary_network_nothing_is_said(own, monkeypatch):
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: pytest.fail("measured"))
    for operations in (OWN.operations, None):
        monkeypatch.setitem(METHODS, "own", dataclasses.replace(OWN, operations=operations))
        takes = expected.Expected(always=True)
        assert takes.lines(own, images(160, 32)) == [] and {takes.classic_share(trial) for trial in own} == {1}


def test_of_a_method_that_counts_its_auxiliary_network_both_kinds_of_epochs_are_expected(own, monkeypatch):
    # A forward pass of the classifier takes 20 s, of the auxiliary network 85 s.
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: 460.0 if model.simplifying else 60.0)
    monkeypatch.setitem(METHODS, "own", dataclasses.replace(OWN, simplified_step=simplified_step))
    takes = expected.Expected(always=True)
    operations, line = takes.lines(own, images(160, 32))
    seconds, validation = 10 * (3 * 460 + 60), 4 * 2 * 20
    share = 10 * 3 * 4 * 85 / (seconds + validation)
    assert f"OWN {expected.about(seconds + validation)} (auxiliary network {100 * share:.0f} % of it)" in line
    assert "simplified OWN" in operations and takes.classic_share(own[-1]) == pytest.approx((60 + 4) / (460 + 4))


def test_a_method_of_somebody_elses_with_an_auxiliary_network_trains(own, recipe, tmp_path):
    changes = ["--methods", "own", "--seeds", "0", "--no-reference"]
    assert run.main([str(recipe), "--out", str(tmp_path / "out"), *changes]) == 0
    (result,) = (tmp_path / "out").rglob("result.json")
    assert json.loads(result.read_text())["epochs"] == 4


def test_what_another_data_set_of_the_shape_takes_is_neither_measured_nor_said_again(recipe, monkeypatch):
    measured = []
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: measured.append(model.simplifying) or 60.0)
    takes, trials = expected.Expected(always=True), load_recipe(recipe, methods=["ct", "nft"])
    assert len(takes.lines(trials, images(160, 32))) == 2 and takes.lines(trials, images(160, 32)) == []
    assert len(takes.lines(trials, images(320, 32))) == 1 and measured == [False, True]


@pytest.mark.parametrize("first, last", [(1, 200), (3, 200), (1, 2), (2, 2)])
def test_where_the_graph_takes_minibatches_passes_are_measured_each_in_an_epoch_of_its_kind(
    first, last, monkeypatch, caplog
):
    plan = {"first_simplified_epoch": first, "simplification_epochs": last, "simplification_ratio": "null"}
    changes = [f"methods.nft.plan.{key}={value}" for key, value in plan.items()]
    (trial,) = load_recipe("two-moons", changes, methods=["nft"], seeds=[0])
    moons, seen, clock = data.load("two-moons"), [], itertools.count()
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: pytest.fail("not in a pass"))
    monkeypatch.setattr(expected.time, "perf_counter", lambda: 3.0 * next(clock))

    class OnePass(expected._OnePass):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch)
            seen.append((epoch + 1, self.model.simplifying, self.model.updates_auxiliary))

    monkeypatch.setattr(expected, "_OnePass", OnePass)
    f, s = expected._of_passes(trial, moons, {})
    assert (
        seen[:2] == [(max(first, 2), True, True)] * 2 and [epoch[:2] for epoch in seen[2:]] == [(last + 2, False)] * 2
    )
    step = 3.0 * 64 / len(moons.train)  # a pass takes 3 s by this clock
    # A classic step: f forwards, and backwards twice that; a simplified one has 3 s + 2 f and s + 3 f.
    assert f == pytest.approx(step / 3) and s == pytest.approx(max((step - 5 * f) / 4, -f / 2))
    assert not [record for record in caplog.records if record.name != "tensorflow"]


@pytest.mark.parametrize("plan", ["simplification_epochs=1", "first_simplified_epoch=9"])
def test_of_a_plan_that_alters_nothing_classic_steps_are_measured(recipe, monkeypatch, plan):
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: 60.0 + 400.0 * model.simplifying)
    settings = [f"methods.nft.plan.{plan}", "training.epochs=9"]
    (trial,) = load_recipe(recipe, settings, methods=["nft"], seeds=[0])
    steps = {}
    assert expected._of_passes(trial, images(64, 32), steps) == (20.0, 0.0) and list(steps.values()) == [60.0]


def test_a_run_tells_the_screen_what_was_measured(recipe, tmp_path, monkeypatch):
    def stop(*given):
        raise TrainingError("stopped")

    shares = {}
    monkeypatch.setattr(expected, "STEPS", 0)
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: 460.0 if model.simplifying else 60.0)
    monkeypatch.setattr(Screen, "trial", lambda self, trial, share: shares.update({trial.method: share}))
    monkeypatch.setattr(trial, "run_trial", stop)
    assert run.main([str(recipe), "--out", str(tmp_path), "--seeds", "0", "--no-reference"]) == 1
    assert shares["ct"] == shares["ft"] == 1 and shares["nft"] == pytest.approx((60 + 10) / (460 + 10))


@pytest.mark.slow
def test_measuring_changes_no_bit_of_the_training(recipe, tmp_path, monkeypatch):
    measured, step = [], expected._step
    monkeypatch.setattr(expected, "_step", lambda *given: measured.append(step(*given)) or measured[-1])
    found = []
    for steps, out in ((10**9, tmp_path / "not"), (0, tmp_path / "measured")):
        monkeypatch.setattr(expected, "STEPS", steps)
        changes = ["--seeds", "0", "--no-reference", "--methods", "nft", "ft", "--set", "deterministic=true"]
        assert run.main([str(recipe), "--out", str(out), *changes]) == 0
        for method in ("nft", "ft"):
            folder = out / "mine" / "cnn-a" / method / "seed-0"
            rows = [line.rpartition(",")[0] for line in (folder / "history.csv").read_text().splitlines()]
            found.append((rows, keras.saving.load_model(folder / "classifier.keras").get_weights()))
    assert len(measured) == 2 and min(measured) > 0  # a classic step, which both have, and a simplified one
    for (rows, weights), (others, other_weights) in zip(found[:2], found[2:], strict=True):
        assert rows == others and len(rows) == 5 and rows[0].startswith("epoch")
        for a, b in zip(weights, other_weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_costs_are_printed_without_training(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: 460.0 if model.simplifying else 60.0)
    assert run.main([str(recipe), "--out", str(tmp_path / "out"), "--costs"]) == 0
    operations, seconds = capsys.readouterr().out.splitlines()
    assert operations.startswith("cnn-a, operations per example: ") and ", FT " in seconds
    assert seconds.startswith("cnn-a, expected on this machine: CT ") and "; all 6 trials " in seconds
    assert run.main([str(recipe), "--out", str(tmp_path / "out"), "--dry-run", "--costs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"# {operations}", f"# {seconds}"]
    assert sum(not line.startswith("#") for line in lines) == 6  # the trials
    assert not (tmp_path / "out").exists()


def test_trials_of_small_dense_networks_are_said_to_train_sooner_in_one_program(recipe, monkeypatch):
    monkeypatch.setattr(expected, "_step", lambda model, minibatch: 0.01)
    monkeypatch.setattr(groups.importlib.util, "find_spec", lambda name: None)

    def said(path, dataset, *overrides):
        lines = expected.Expected().lines(load_recipe(path, overrides), dataset)
        return [line for line in lines if "--vectorize" in line]

    moons = data.load("two-moons")
    (line,) = said("two-moons", moons)
    assert line == (
        "6 trials of small dense networks: KERAS_BACKEND=jax (pip install jax), and the same command with --vectorize, "
        "take about half of the time on a CPU, or less"
    )
    several = "seeds=[0, 1, 2]"
    assert not said("two-moons", moons, "seeds=[0, 1]")
    assert not said("two-moons", moons, "methods.eef.plan.simplification_ratio=0.5")  # which it does not train
    assert not said("two-moons", moons, "classifiers.fc-a.units=100000")
    assert not said(recipe, images(64, 32, size=8), "training.batch_size=1", several)


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "1 s"), (119, "119 s"), (150, "2.5 min"), (1860, "31 min"), (9000, "2.5 h"), (1e6, "12 days")],
)
def test_a_duration_is_said_in_its_largest_unit(seconds, text):
    assert expected.about(seconds) == text
