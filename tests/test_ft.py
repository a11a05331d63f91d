import keras
import numpy as np
import pytest
import tensorflow as tf

from nft_keras import FriendlyTraining, PerturbationPlan
from tests.algorithm_1 import Dense, cross_entropy
from tests.test_nft import CLASSES, assert_close, assert_same, dense, examples, values


def friendly_training(classifier=None, step=2.0, confidence=0.6, **compile):
    model = FriendlyTraining(classifier or dense(CLASSES), step, confidence)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], **compile)
    return model


def perturb_by_hand(weights, x, y, step, confidence, max_steps):
    """One minibatch of Friendly Training in float64, example by example."""
    f = Dense(weights, 0.0)
    delta, steps = np.zeros_like(x), np.zeros(len(x), int)
    unfinished = list(range(len(x)))
    for _ in range(max_steps):
        logits, _ = f.forward(x + delta)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        unfinished = [i for i in unfinished if not (p[i].argmax() == y[i] and p[i, y[i]] > confidence)]
        if not unfinished:
            break
        logits, cache = f.forward((x + delta)[unfinished])
        _, gradient = cross_entropy(logits, y[unfinished])
        delta[unfinished] -= step * f.backward(cache, gradient)[1]
        steps[unfinished] += 1
    return x + delta, steps


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("max_steps, confidence", [(1, 0.4), (3, 0.4), (40, 0.6)])
def test_a_minibatch_is_perturbed_as_by_hand(max_steps, confidence, jit_compile):
    x, y = examples(24)
    model = friendly_training(confidence=confidence, jit_compile=jit_compile)
    model.max_steps.assign(max_steps)
    perturbed, steps = tf.function(model.perturb, jit_compile=jit_compile)(x, y)
    expected, expected_steps = perturb_by_hand(model.get_weights(), x.astype("float64"), y, 2.0, confidence, max_steps)
    np.testing.assert_array_equal(steps, expected_steps)
    assert_close([perturbed.numpy()], [expected], 1e-4)
    assert len(set(expected_steps)) > 1


def test_the_classifier_is_left_alone_while_perturbing():
    x, y = examples()
    model = friendly_training(dense(CLASSES, dropout=0.5, batch_norm=True))
    model.max_steps.assign(5)
    before = values(model.classifier.variables)
    first, _ = model.perturb(x, y)
    assert_same(values(model.classifier.variables), before)
    np.testing.assert_array_equal(first, model.perturb(x, y)[0])


def test_xla_compiles_the_perturbations_of_small_dense_classifiers_unless_compile_is_told_otherwise(monkeypatch):
    (x, y), compiled, function = examples(), [], tf.function

    def spy(*arguments, **keywords):
        compiled.append(keywords.get("jit_compile"))
        return function(*arguments, **keywords)

    monkeypatch.setattr(tf, "function", spy)
    other = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.LayerNormalization(), keras.layers.Dense(CLASSES)])
    weights = []
    for classifier, given in ((None, {}), (None, {"jit_compile": False}), (other, {})):
        keras.utils.set_random_seed(0)
        compiled.clear()
        model = friendly_training(classifier, **given)
        model.fit(x, y, epochs=1, verbose=0, callbacks=[PerturbationPlan(5, 4)])
        assert (True in compiled) == (classifier is not other and not given)
        weights.append(model.get_weights())
    assert_close(weights[0], weights[1], 1e-5)


def mean_of_a_minibatch(y, y_pred):
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True))


def seen_by_python(x):
    x = keras.ops.relu(x)
    tf.print("", end="")
    return x


@pytest.mark.parametrize(
    "of_layer, compiled",
    [
        ({}, {"loss": mean_of_a_minibatch}),
        ({}, {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")}),
        ({"activity_regularizer": keras.regularizers.L2(5.0)}, {}),
        ({"activation": seen_by_python}, {}),
    ],
    ids=["loss of a minibatch", "sum", "activity", "not for XLA"],
)
def test_what_looks_at_other_examples_or_is_not_for_xla_is_perturbed_as_without_it(of_layer, compiled):
    x, y = examples(24)
    weights = []
    for given in ({}, {"jit_compile": False}):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(5, **of_layer), keras.layers.Dense(CLASSES)]
        model = FriendlyTraining(keras.Sequential([keras.Input(x.shape[1:]), *layers]), 0.5, 0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(**{"optimizer": "adam", "loss": loss, **compiled, **given})
        steps = model.fit(x, y, epochs=3, verbose=0, callbacks=[PerturbationPlan(5, 4)]).history["perturbation_steps"]
        assert 0 < steps[0] < 5
        weights.append(model.get_weights())
    assert_close(*weights, 1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_are_on_the_mean_loss_whatever_reduction_the_loss_has(jit_compile):
    x, y = examples(24)
    perturbed = []
    for reduction in ("sum_over_batch_size", "sum"):
        keras.utils.set_random_seed(0)
        model = FriendlyTraining(dense(CLASSES), 2.0, 0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        model.compile("adam", loss, jit_compile=jit_compile)
        model.max_steps.assign(4)
        of, steps = model.perturb(x, y)
        assert len(set(steps.numpy())) > 1
        perturbed.append(of.numpy())
    assert_close(perturbed[:1], perturbed[1:], 1e-5)


def test_a_sum_beside_a_mean_is_refused_by_compile():
    model, losses = FriendlyTraining(dense(CLASSES), 0.5, 0.9), keras.losses.SparseCategoricalCrossentropy
    with pytest.raises(ValueError, match="all means, or all sums"):
        model.compile("adam", [losses(reduction="sum"), losses()])


@pytest.mark.parametrize("floatx, relative", [("float32", 1e-4), ("float64", 1e-12)], indirect=["floatx"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_loss_that_a_layer_adds_counts_as_that_of_the_examples_that_are_left(jit_compile, floatx, relative):
    x, y = examples(24)
    x = x.astype(floatx)
    l2, step = 5.0, 0.5
    of_activity, of_kernel = keras.regularizers.L2(l2), keras.regularizers.L2(0.1)
    layer = keras.layers.Dense(CLASSES, activity_regularizer=of_activity, kernel_regularizer=of_kernel)
    model = FriendlyTraining(keras.Sequential([keras.Input(x.shape[1:]), layer]), step, 0.4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=jit_compile)
    model.max_steps.assign(5)
    perturbed, steps = tf.function(model.perturb, jit_compile=jit_compile)(x, y)
    w, b = (v.astype("float64") for v in model.get_weights())
    expected, taken, left = x.astype("float64"), np.zeros(len(x), int), np.ones(len(x), bool)
    for _ in range(5):
        logits = expected @ w + b
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        left &= ~((p.argmax(1) == y) & (p[np.arange(len(y)), y] > 0.4))
        if not left.any():
            break
        gradient = (p - np.eye(CLASSES)[y] + 2 * l2 * logits) @ w.T / left.sum()
        expected[left] -= step * gradient[left]
        taken += left
    np.testing.assert_array_equal(steps, taken)
    assert len(set(taken)) > 1
    assert_close([perturbed.numpy()], [expected], relative)


def test_a_regularized_classifier_learns_in_float64_as_by_hand(floatx):
    x, y = examples(16)
    x, l2 = x.astype(floatx), 0.125
    layer = keras.layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(l2))
    model = FriendlyTraining(keras.Sequential([keras.Input(x.shape[1:]), layer]), 0.5, 0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.125), loss)
    model.max_steps.assign(3)
    perturbed = model.simplify(x, y).numpy()
    w, b = model.get_weights()
    _, of_logits = cross_entropy(perturbed @ w + b, y)
    model.fit(x, y, batch_size=16, epochs=1, verbose=0, callbacks=[PerturbationPlan(3, 10)])
    expected = [w - 0.125 * (perturbed.T @ of_logits + 2 * l2 * w), b - 0.125 * of_logits.sum(0)]
    assert np.abs(perturbed - x).max() > 0 and w.dtype == floatx
    assert_close(model.get_weights(), expected, 1e-12)


def test_tau_comes_down_to_0_with_the_square_of_what_is_left():
    plan = PerturbationPlan(max_steps=120, simplification_epochs=100)
    for gamma in range(1, 130):
        left = max(0, 99 - (gamma - 1))
        assert plan.steps(gamma) == 120 * left**2 // 99**2


def test_after_the_plan_training_is_classic():
    x, y = examples()
    model = friendly_training(dense(CLASSES, dropout=0.5))
    history = model.fit(x, y, epochs=5, verbose=0, callbacks=[PerturbationPlan(10, 4)]).history
    assert [p > 0 for p in history["perturbation"]] == [True, True, True, False, False]
    assert [p > 0 for p in history["perturbation_steps"]] == [True, True, True, False, False]
    keras.utils.set_random_seed(0)
    never = friendly_training(dense(CLASSES, dropout=0.5))
    never.fit(x, y, epochs=2, verbose=0, shuffle=False, callbacks=[PerturbationPlan(0, 4)])
    keras.utils.set_random_seed(0)
    plain = dense(CLASSES, dropout=0.5)
    plain.compile(keras.optimizers.Adam(0.01), never.loss)
    plain.fit(x, y, epochs=2, verbose=0, shuffle=False)
    assert_same(never.get_weights(), plain.get_weights())


def test_the_classifier_learns_from_the_perturbed_examples():
    x, y = examples(16)
    model = friendly_training()
    expected = Dense(model.get_weights(), 0.01)
    perturbed, _ = perturb_by_hand(model.get_weights(), x.astype("float64"), y, 2.0, 0.6, 8)
    logits, cache = expected.forward(perturbed)
    expected.update(expected.backward(cache, cross_entropy(logits, y)[1])[0])
    model.fit(x, y, batch_size=16, epochs=1, verbose=0, callbacks=[PerturbationPlan(8, 10)])
    assert_close(model.get_weights(), expected.weights)


def test_friendly_training_is_saved_and_goes_on(tmp_path):
    x, y = examples()
    plan = PerturbationPlan(10, 5)
    whole = friendly_training()
    whole.fit(x, y, epochs=4, verbose=0, shuffle=False, callbacks=[plan])
    keras.utils.set_random_seed(0)
    part = friendly_training()
    part.fit(x, y, epochs=2, verbose=0, shuffle=False, callbacks=[plan])
    part.save(tmp_path / "ft.keras")
    loaded = keras.saving.load_model(tmp_path / "ft.keras")
    loaded.fit(x, y, epochs=4, initial_epoch=2, verbose=0, shuffle=False, callbacks=[plan])
    assert_same(loaded.get_weights(), whole.get_weights())


def test_forgetting_the_plan_or_a_value_out_of_range_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="PerturbationPlan"):
        friendly_training().fit(*examples())
    with pytest.raises(ValueError, match="step must be a finite number > 0, got 0"):
        FriendlyTraining(dense(CLASSES), 0, 0.9)
    with pytest.raises(ValueError, match=r"confidence must be in \[0, 1\], got 98"):
        FriendlyTraining(dense(CLASSES), 0.1, 98)


def test_a_classifier_with_one_output_has_no_confidence_in_a_class():
    x, y = examples()
    model = friendly_training(dense(1))
    model.max_steps.assign(3)
    with pytest.raises(ValueError, match=r"needs an output per class, the classifier has one of .*1"):
        model.perturb(x, y)
