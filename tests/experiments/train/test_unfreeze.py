"""A backbone that is frozen at first, in a recipe: every method, on every back end, and when a trial is broken off."""

import json

import keras
import numpy as np
import pytest
import yaml

from nft_keras.backbone import network_in
from nft_keras.cli import run
from tests.backend.features import last_line

METHODS = """\
methods:
  ct:
  eef: {plan: {first_fraction: 0.5, simplification_epochs: 3}}
  ft: {plan: {max_steps: 2, simplification_epochs: 3}, step: 0.5}
  nft:
    plan: {eta_max: 500, simplification_epochs: 3}
    auxiliary: {name: unet, filters: 2, depth: 1}
    auxiliary_optimizer: {learning_rate: 0.001}
training: {epochs: 4, batch_size: 16, learning_rate: 0.01}
seeds: [0]
"""


@pytest.fixture
def features(tmp_path):
    """A .keras file of a small network for grey images of 8x8 pixels, up to its features."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
    path = tmp_path / "features.keras"
    keras.Model(inputs, keras.layers.ReLU()(x)).save(path)
    return path


def kernels(folder):
    """The convolution's kernel in the classifier.keras of every method."""
    paths = {path.parent.parent.name: path for path in folder.rglob("classifier.keras")}
    return {name: network_in(keras.saving.load_model(path)).get_weights()[0] for name, path in paths.items()}


@pytest.mark.parametrize("trainable_from", [None, 2, 4])
def test_a_frozen_backbone_is_trained_from_its_epoch_on_with_every_method(tmp_path, features, trainable_from):
    rng = np.random.default_rng(0)
    y = np.arange(48) % 3
    np.savez(
        tmp_path / "a.npz", x=rng.integers(0, 99, (48, 8, 8), "uint8") + (50 * y[:, None, None]).astype("uint8"), y=y
    )
    settings = {"model": str(features), "trainable_from": trainable_from}
    text = yaml.safe_dump({"dataset": {"name": "npz", "path": "a.npz"}, "classifiers": {"backbone": settings}})
    (tmp_path / "mine.yaml").write_text(text + METHODS + "selection: all\n")
    assert run.main([str(tmp_path / "mine.yaml"), "--data-dir", str(tmp_path), "--out", str(tmp_path)]) == 0
    given = keras.saving.load_model(features).get_weights()[0]
    results = {path.parent.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("result.json")}
    assert len(results) == 4
    for method, kernel in kernels(tmp_path).items():
        best_epoch = results[method]["best_epoch"]
        trained = trainable_from is not None and best_epoch >= trainable_from
        assert (np.abs(kernel - given).max() > 0) == trained, (method, best_epoch)


@pytest.mark.slow
@pytest.mark.parametrize("backend, trainable_from", [("tensorflow", 2), ("tensorflow", 4), ("jax", 2), ("torch", 2)])
def test_a_trial_that_was_broken_off_before_or_after_goes_on_as_it_would_have(
    tmp_path, features, trainable_from, backend
):
    classifier = f"classifiers={{backbone: {{model: {features}, trainable_from: {trainable_from}}}}}"
    program = "tests.experiments.train.broken_off"
    found = json.loads(last_line("-m", program, tmp_path, classifier, "selection=all", backend=backend))
    for method, apart in found.items():
        assert apart == {"weights": 0.0, "unequal": [], "epochs": [3, 4, 5]}, (method, apart)


def test_weights_that_cannot_be_had_are_said_before_training(tmp_path, monkeypatch, capsys):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    np.savez(tmp_path / "a.npz", x=np.zeros((24, 32, 32, 3), "uint8"), y=np.arange(24) % 3)
    (tmp_path / "mine.yaml").write_text("dataset: {name: npz, path: a.npz}\nclassifiers: [backbone]\n" + METHODS)
    assert run.main([str(tmp_path / "mine.yaml"), "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("backbone: the weights of MobileNetV3Small cannot be downloaded: run once with network, put")
    assert not list((tmp_path / "out").rglob("config.yaml"))
