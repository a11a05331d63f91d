"""Every recipe that we ship, trained for two steps an epoch on a few random examples of the right shape."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_matrix

from nft_keras import data
from nft_keras.experiments.recipe import load_recipe
from nft_keras.experiments.runs import find, finished
from nft_keras.experiments.trial import run_trial
from tests.experiments.test_recipe import RECIPES

BATCH = 2


@pytest.fixture
def eager():
    """Op by op: to trace the graphs of a hundred pairs of networks would take longer than to run them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def few_examples(dataset):
    """Two minibatches of random examples of a data set's shape; vectors have 30 numbers instead of thousands."""
    spec, rng = data.find(dataset["name"]), np.random.default_rng(0)
    shape = spec.input_shape if len(spec.input_shape) == 3 or spec.input_shape == (2,) else (30,)
    parts = []
    for _ in range(3):
        x = rng.random((2 * BATCH, *shape), "float32")
        x = csr_matrix(x) if dataset["name"] == "imdb" else x
        parts.append(data.Part(x, rng.integers(0, spec.num_classes, 2 * BATCH).astype("int32")))
    return data.Dataset(*parts, spec.num_classes, "random", tuple(map(str, range(spec.num_classes))))


def shortened(trial):
    """A trial of three epochs of two steps, the data altered up to the second, and of two steps of perturbation."""
    training = dataclasses.replace(trial.training, epochs=3, batch_size=BATCH)
    settings = trial.method_settings
    if trial.method != "ct":
        plan = dataclasses.replace(settings.plan, simplification_epochs=2, simplification_ratio=None)
        plan = dataclasses.replace(plan, max_steps=2) if trial.method == "ft" else plan
        settings = dataclasses.replace(settings, plan=plan)
    return dataclasses.replace(trial, training=training, method_settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_cell_trains_and_leaves_its_result(path, tmp_path, eager):
    by_cell = {(t.classifier, t.method): t for t in load_recipe(path, seeds=[0])}
    trials = [shortened(trial) for trial in by_cell.values()]
    for trial in trials:
        phases = []
        result = run_trial(trial, few_examples(trial.dataset), tmp_path, lambda logs, p=phases: p.append(logs))
        assert result["method"] == trial.method and 0 <= result["test_error"] <= 100
        simplifying = {"ct": [0, 0, 0], "nft": [0, 1, 0], "ft": [1, 0, 0], "eef": [1, 0, 0]}[trial.method]
        assert [logs["simplifying"] for logs in phases] == simplifying
        assert all(np.isfinite(logs["loss"]) for logs in phases)
    assert len(finished(trials, tmp_path)) == len(find([tmp_path])) == len(trials)
