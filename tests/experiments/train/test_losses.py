import csv

import keras
import numpy as np
import pytest
from keras import ops

from nft_keras import data
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.losses import SmoothedCrossentropy, crossentropy
from nft_keras.experiments.train.trial import build_classifier, build_method, run_trial

RECIPE = """\
dataset: {name: npz, path: PATH}
classifiers: {fc-a: {units: 4}}
methods:
  ct:
  eef:
    plan: {first_fraction: 0.5, simplification_epochs: 2}
  ft:
    plan: {max_steps: 2, simplification_epochs: 2}
  nft:
    plan: {eta_max: 10, simplification_epochs: 2}
    auxiliary: {name: mlp, hidden: 3}
training: {epochs: 3, learning_rate: 0.01, label_smoothing: 0.2}
seeds: [0]
"""


def smoothed(logits, y, smoothing):
    """The cross-entropy of each example, in NumPy."""
    logits = np.asarray(logits, "float64")
    log_p = logits - logits.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    target = np.full(logits.shape, smoothing / logits.shape[1])
    target[np.arange(len(y)), y] += 1 - smoothing
    return -(target * log_p).sum(1)


@pytest.fixture
def recipe(tmp_path):
    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 40), ("valid", 30), ("test", 30)):
        y = np.arange(n) % 3
        arrays |= {f"x_{part}": (rng.normal(size=(n, 5)) + y[:, None]).astype("float32"), f"y_{part}": y}
    np.savez(tmp_path / "small.npz", **arrays)
    (tmp_path / "small.yaml").write_text(RECIPE.replace("PATH", str(tmp_path / "small.npz")))
    return tmp_path / "small.yaml"


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.75])
def test_the_loss_is_the_cross_entropy_of_smoothed_labels(smoothing):
    rng = np.random.default_rng(1)
    logits, y = rng.normal(size=(7, 4)).astype("float32") * 5, rng.integers(0, 4, 7)
    expected = smoothed(logits, y, smoothing)
    loss = crossentropy(smoothing)
    assert float(loss(y, logits)) == pytest.approx(expected.mean(), rel=1e-5)
    weights = np.arange(7.0)
    assert float(loss(y, logits, weights)) == pytest.approx((weights * expected).mean(), rel=1e-5)
    each = type(loss).from_config({**loss.get_config(), "reduction": "none"})
    np.testing.assert_allclose(ops.convert_to_numpy(each(y, logits)), expected, rtol=1e-5)


def test_the_smoothed_loss_survives_saving():
    loss = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(crossentropy(0.1)))
    assert isinstance(loss, SmoothedCrossentropy) and loss.label_smoothing == 0.1 and loss.from_logits


def test_a_step_goes_down_the_gradient_of_the_smoothed_loss(recipe):
    sgd = ["training.optimizer=sgd", "training.learning_rate=0.5"]
    (trial,) = load_recipe(recipe, sgd, methods=["ct"])
    dataset = data.load(**trial.dataset)
    model, _ = build_method(trial, build_classifier(trial, dataset), dataset)
    x, y = dataset.train.x, dataset.train.y
    features = keras.Model(model.classifier.input, model.classifier.layers[-2].output)(x).numpy().astype("float64")
    before, logits = model.classifier.layers[-1].get_weights(), ops.convert_to_numpy(model.classifier(x))
    loss = model.train_on_batch(x, y, return_dict=True)["loss"]
    assert loss == pytest.approx(smoothed(logits, y, 0.2).mean(), rel=1e-5)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    off = (p - (0.8 * np.eye(3)[y] + 0.2 / 3)) / len(y)
    kernel, bias = model.classifier.layers[-1].get_weights()
    np.testing.assert_allclose(kernel, before[0] - 0.5 * features.T @ off, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, before[1] - 0.5 * off.sum(0), rtol=1e-4, atol=1e-6)


def test_every_method_trains_on_smoothed_labels(recipe, tmp_path):
    for trial in load_recipe(recipe):
        dataset = data.load(**trial.dataset)
        result = run_trial(trial, dataset, tmp_path, lambda logs: None)
        assert best_valid_loss_apart(tmp_path / trial.folder, dataset, result) < 1e-5, trial.method


def best_valid_loss_apart(folder, dataset, result, smoothing=0.2):
    """How far the validation loss in the best epoch's row is from that of the kept classifier, in NumPy."""
    with open(folder / "history.csv", newline="") as file:
        row = list(csv.DictReader(file))[result["best_epoch"] - 1]
    logits = keras.saving.load_model(folder / "classifier.keras").predict(dataset.valid.x, verbose=0)
    return abs(smoothed(logits, dataset.valid.y, smoothing).mean() - float(row["valid_loss"]))
