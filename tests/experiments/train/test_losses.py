import csv
import dataclasses
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import balanced_accuracy_score

from nft_keras import data
from nft_keras.cli import run
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.train.losses import (
    BalancedError,
    SmoothedCrossentropy,
    class_of,
    class_weights,
    crossentropy,
)
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


SGD = ["training.optimizer=sgd", "methods.nft.auxiliary_optimizer.optimizer=sgd", "training.label_smoothing=0"]


@pytest.mark.parametrize("method", ["ct", "eef", "ft", "nft"])
def test_weights_of_two_are_twice_the_loss_of_every_method(recipe, tmp_path, method):
    """With SGD: half the learning rate takes the factor back, and in Eq. 4 twice eta keeps it the same."""
    heavy = ["training.class_weight={'0': 2, '1': 2, '2': 2}", "training.learning_rate=0.05"]
    plain = ["training.learning_rate=0.1"]
    if method == "nft":
        heavy += ["methods.nft.plan.eta_max=20", "methods.nft.auxiliary_optimizer.learning_rate=0.05"]
        plain += ["methods.nft.plan.eta_max=10", "methods.nft.auxiliary_optimizer.learning_rate=0.1"]
    rows = []
    for name, settings in (("heavy", heavy), ("plain", plain)):
        (trial,) = load_recipe(recipe, [*SGD, *settings], methods=[method])
        run_trial(trial, data.load(**trial.dataset), tmp_path / name, lambda logs: None)
        with open(tmp_path / name / trial.folder / "history.csv", newline="") as file:
            rows.append(
                [{k: float(row[k]) for k in ("loss", "valid_loss", "valid_error")} for row in csv.DictReader(file)]
            )
    for weighted, unweighted in zip(*rows, strict=True):
        assert weighted["loss"] == pytest.approx(2 * unweighted["loss"], rel=1e-4)
        assert weighted["valid_loss"] == pytest.approx(unweighted["valid_loss"], rel=1e-4)  # as Keras' validation


@pytest.mark.parametrize("method", ["ct", "eef", "ft", "nft"])
def test_weights_of_examples_train_as_those_of_their_classes_do_and_with_them(recipe, tmp_path, method):
    of_class = np.array([4.0, 0.5, 1.0])
    trained = []
    for name, here, in_recipe in (("recipe", 1.0, of_class), ("data", of_class, 1.0), ("both", 2.0, of_class / 2)):
        factors = [float(factor) for factor in np.broadcast_to(in_recipe, 3)]
        setting = [f"training.class_weight={dict(enumerate(factors))}"] if set(factors) != {1.0} else []
        (trial,) = load_recipe(recipe, [*SGD, *setting], methods=[method])
        dataset = data.load(**trial.dataset)
        if name != "recipe":
            weights = np.broadcast_to(here, 3)[dataset.train.y].astype("float32")
            dataset = dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, weights=weights))
        run_trial(trial, dataset, tmp_path / name, lambda logs: None)
        trained.append(keras.saving.load_model(tmp_path / name / trial.folder / "classifier.keras").get_weights())
        plain = trained[0]
    for weights in trained[1:]:
        for a, b in zip(weights, plain, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_loss_of_shares_of_classes_is_the_mean_of_the_classes_by_their_shares():
    rng = np.random.default_rng(0)
    logits, shares = rng.normal(size=(7, 4)), rng.dirichlet(np.ones(4), 7)
    for smoothing in (0.0, 0.2):
        of_classes = np.stack([smoothed(logits, np.full(7, c), smoothing) for c in range(4)], 1)
        loss = crossentropy(smoothing, mixed=True)
        assert float(loss(shares, logits)) == pytest.approx((shares * of_classes).sum(1).mean(), rel=1e-5)
        assert float(loss(shares.argmax(1), logits)) == pytest.approx(
            smoothed(logits, shares.argmax(1), smoothing).mean(), rel=1e-5
        )
    assert class_of(shares, logits).numpy().tolist() == shares.argmax(1).tolist()


@pytest.mark.parametrize("name", ["mix-up", "cut-mix"])
@pytest.mark.parametrize("method", ["ct", "nft"])
def test_a_trial_with_mixed_labels_trains_and_counts_errors_on_real_ones(tmp_path, method, name):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.integers(0, 60, (90, 8, 8, 1)) + 60 * y[:, None, None, None]).astype("uint8")
    np.savez(tmp_path / "images.npz", x=x, y=y)
    of_nft = "{plan: {eta_max: 10, simplification_epochs: 3}, auxiliary: {name: unet, filters: 2, depth: 1}}"
    path = tmp_path / "r.yaml"
    path.write_text(
        f"dataset: {{name: npz, path: {tmp_path / 'images.npz'}}}\nclassifiers: {{fc-a: {{units: 8}}}}\n"
        f"methods: {{{method}: {of_nft if method == 'nft' else ''}}}\nseeds: [0]\nselection_metric: balanced_error\n"
        f"training: {{epochs: 30, batch_size: 8, learning_rate: 0.01, augment: [{name}], class_weight: balanced}}\n"
    )
    (trial,) = load_recipe(path)
    result = run_trial(trial, data.load(**trial.dataset), tmp_path / "out", lambda logs: None)
    assert result["test_error"] < 20


def test_a_weight_is_that_of_the_class_by_its_name(recipe):
    (trial,) = load_recipe(recipe, ["training.class_weight={2: 5, 0: 0.5}"], methods=["ct"])
    dataset = data.load(**trial.dataset)
    assert class_weights(trial.training.class_weight, dataset) == {0: 0.5, 1: 1.0, 2: 5.0}
    y = np.array([0] * 6 + [1] * 3 + [2])
    uneven = dataclasses.replace(dataset, train=data.Part(np.zeros((10, 5)), y))
    assert class_weights("balanced", uneven) == pytest.approx({0: 10 / 18, 1: 10 / 9, 2: 10 / 3})
    assert class_weights(None, dataset) is None


@pytest.mark.parametrize(
    "setting, message",
    [
        ("{'3': 2}", "training.class_weight: there is no class '3'; there are '0', '1', '2'"),
        ("{0: 0, 1: 0, 2: 0}", "training.class_weight: one class at least should have a weight above 0, all have 0"),
        ("balance", "training.class_weight: unknown value 'balance'; allowed: balanced; did you mean balanced"),
        ("{0: -1}", "training.class_weight: must be >= 0, got -1.0"),
        ("{0: heavy}", "training.class_weight.0: should be a number, got the text 'heavy'"),
        ("{no: 2}", "training.class_weight: should have names as keys, got false; YAML reads yes, no"),
        ("[1, 2]", "training.class_weight: should be a mapping of names, got [1, 2]"),
    ],
)
def test_weights_that_are_none_are_refused_in_one_line(recipe, tmp_path, capsys, setting, message):
    assert run.main([str(recipe), "--out", str(tmp_path / "out"), "--set", f"training.class_weight={setting}"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_devices_share_no_minibatch_with_weights(recipe):
    with pytest.raises(RecipeError, match="distribute: not with training.class_weight; allowed: none"):
        load_recipe(recipe, ["training.class_weight=balanced", "distribute=mirrored"])
    with pytest.raises(RecipeError, match="distribute: not with dataset.weight; allowed: none"):
        load_recipe(recipe, ["dataset={name: csv, path: t.csv, weight: w}", "distribute=mirrored"])


def test_the_balanced_error_is_one_minus_scikit_learn_s_balanced_accuracy():
    rng = np.random.default_rng(0)
    y, logits = rng.choice(4, 90, p=[0.6, 0.2, 0.2, 0.0]), rng.normal(size=(90, 4)).astype("float32")
    metric = BalancedError(4)
    for rows in (slice(0, 50), slice(50, 90)):
        metric.update_state(y[rows], logits[rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class is predicted that has no example
        accuracy = balanced_accuracy_score(y, logits.argmax(1))
    assert float(metric.result()) == pytest.approx(100 * (1 - accuracy), rel=1e-5)


@pytest.mark.parametrize("metric", ["balanced_error", "loss"])
def test_the_best_epoch_is_the_one_of_the_lowest_selection_metric(recipe, tmp_path, metric):
    for trial in load_recipe(recipe, [f"selection_metric={metric}", "training.epochs=8"], methods=["ct", "nft"]):
        dataset = data.load(**trial.dataset)
        result = run_trial(trial, dataset, tmp_path, lambda logs: None)
        with open(tmp_path / trial.folder / "history.csv", newline="") as file:
            rows = [{k: float(v) for k, v in row.items() if k.startswith("valid_")} for row in csv.DictReader(file)]
        second = "valid_loss" if metric != "loss" else "valid_error"
        first = 1 if trial.method == "ct" else 3
        numbers = [(row[f"valid_{metric}"], row[second]) for row in rows[first - 1 :]]
        assert result["best_epoch"] == first + numbers.index(min(numbers))
        assert result[f"valid_{metric}"] == pytest.approx(min(numbers)[0], rel=1e-5)
        classifier = keras.saving.load_model(tmp_path / trial.folder / "classifier.keras")
        wrong = classifier.predict(dataset.valid.x, verbose=0).argmax(1) != dataset.valid.y
        if metric == "balanced_error":
            assert 100 * np.mean([wrong[dataset.valid.y == c].mean() for c in range(3)]) == pytest.approx(
                result["valid_balanced_error"], abs=1e-3
            )


def best_valid_loss_apart(folder, dataset, result, smoothing=0.2):
    """How far the validation loss in the best epoch's row is from that of the kept classifier, in NumPy."""
    with open(folder / "history.csv", newline="") as file:
        row = list(csv.DictReader(file))[result["best_epoch"] - 1]
    logits = keras.saving.load_model(folder / "classifier.keras").predict(dataset.valid.x, verbose=0)
    return abs(smoothed(logits, dataset.valid.y, smoothing).mean() - float(row["valid_loss"]))
