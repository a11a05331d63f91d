import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nft_keras import DevelopmentalPlan, FriendlyModel
from nft_keras.backend import keras_internals
from nft_keras.data import Part
from nft_keras.data.batches import in_graph
from tests.algorithm_1 import Dense, cross_entropy, friendly_training

FEATURES, CLASSES = 6, 3


def dense(outputs, dropout=0.0, batch_norm=False, inputs=FEATURES):
    x = h = keras.Input((inputs,))
    h = layers.Dense(8, activation="tanh")(h)
    if batch_norm:
        h = layers.BatchNormalization(momentum=0.9)(h)
    if dropout:
        h = layers.Dropout(dropout)(h)
    return keras.Model(x, layers.Dense(outputs)(h))


def conditioned(label_shape=(), dtype="int32"):
    x, y = keras.Input((FEATURES,)), keras.Input(label_shape, dtype=dtype)
    one_hot = y if label_shape == (CLASSES,) else keras.ops.one_hot(keras.ops.reshape(y, (-1,)), CLASSES)
    h = layers.Dense(8, activation="tanh")(layers.Concatenate()([x, one_hot]))
    return keras.Model([x, y], layers.Dense(FEATURES)(h))


def examples(n=40):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, FEATURES)).astype("float32"), rng.integers(CLASSES, size=n).astype("int32")


def friendly(classifier=None, auxiliary=None, metrics=("accuracy",), **arguments):
    named = ("penalty", "phases", "classifier_mode", "auxiliary_fraction", "seed")
    of_model = {name: arguments.pop(name) for name in named if name in arguments}
    model = FriendlyModel(classifier or dense(CLASSES), auxiliary or dense(FEATURES), **of_model)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        auxiliary_optimizer=keras.optimizers.Adam(0.02),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=list(metrics),
        **arguments,
    )
    return model


def fit(model, *data, epochs=5, plan=None, callbacks=(), **kwargs):
    plan = plan or DevelopmentalPlan(eta_max=2.0, simplification_epochs=4)
    kwargs = {"batch_size": 16, "shuffle": False, "verbose": 0, **kwargs}
    if len(data) == 1:
        del kwargs["batch_size"]
    return model.fit(*data, epochs=epochs, callbacks=[plan, *callbacks], **kwargs).history


def values(variables):
    return [v.numpy() for v in variables]


def assert_close(ours, theirs, relative=1e-4):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=relative, atol=relative * np.abs(b).max())


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


FORMS = {
    "as printed": {},
    "as coded": {"first_simplified_epoch": 1, "classifier_mode": "training"},
    "classifier in training mode": {"classifier_mode": "training"},
    "simplified from epoch 1": {"first_simplified_epoch": 1},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("penalty", ["sum", "mean"])
@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_five_epochs_agree_with_algorithm_1_in_numpy(phases, penalty, form):
    x, y = examples()
    first = FORMS[form].get("first_simplified_epoch", 2)
    mode = FORMS[form].get("classifier_mode", "inference")
    model = friendly(dense(CLASSES, batch_norm=True), penalty=penalty, phases=phases, classifier_mode=mode)
    auxiliary = model.auxiliary
    f, s = Dense(model.classifier.get_weights(), 0.01), Dense(auxiliary.get_weights(), 0.02)
    plan = DevelopmentalPlan(2.0, 4, first_simplified_epoch=first)
    history = fit(model, x, y, plan=plan)
    expected = friendly_training(f, s, x.astype("float64"), y, 16, 5, 4, 2.0, penalty, phases, **FORMS[form])
    assert_close(model.classifier.get_weights(), f.weights)
    assert_close(auxiliary.get_weights(), s.weights)
    for name, series in expected.items():
        np.testing.assert_allclose(history[name], series, rtol=1e-4)
    np.testing.assert_allclose(history["eta"], [0, 2 * (1 - 4 / 9), 2 * (1 - 1 / 9), 2, 2], rtol=1e-6)


class Seen(keras.callbacks.Callback):
    """Which minibatches theta was updated on in each epoch, by the first number of each."""

    def __init__(self, model):
        super().__init__()
        self.epochs, update = {}, model.update_auxiliary

        def noting(x, y, sample_weight=None):
            self.epochs.setdefault(self.gamma, []).append(float(keras.ops.convert_to_numpy(x)[0, 0]))
            return update(x, y, sample_weight)

        model.update_auxiliary = noting

    def on_epoch_begin(self, epoch, logs=None):
        self.gamma = epoch + 1


def test_theta_is_updated_on_a_sample_of_the_minibatches_as_algorithm_1_in_numpy():
    x, y = examples(72)
    model = friendly(auxiliary_fraction=0.4, seed=5)
    auxiliary, n = model.auxiliary, 5
    f, s = Dense(model.classifier.get_weights(), 0.01), Dense(auxiliary.get_weights(), 0.02)
    history = fit(model, x, y)
    chosen = {gamma: np.random.default_rng((5, gamma)).choice(n, 2, replace=False) for gamma in (2, 3, 4)}
    assert len({tuple(sorted(each)) for each in chosen.values()}) > 1

    def sampled(gamma, start):
        return start // 16 in chosen.get(gamma, ())

    expected = friendly_training(f, s, x.astype("float64"), y, 16, 5, 4, 2.0, "sum", "epoch", sampled=sampled)
    assert_close(model.classifier.get_weights(), f.weights)
    assert_close(auxiliary.get_weights(), s.weights)
    for name, series in expected.items():
        np.testing.assert_allclose(history[name], series, rtol=1e-4)


def samples(x, y, epochs=8, **kwargs):
    """The minibatches that theta is updated on, {gamma: [first number of each]}."""
    model = friendly(auxiliary_fraction=0.3, run_eagerly=True, **kwargs)
    seen = Seen(model)
    fit(model, x, y, epochs=epochs, batch_size=8, plan=DevelopmentalPlan(1.0, 9), callbacks=[seen])
    return seen.epochs


def test_each_epoch_has_a_sample_of_its_own_and_the_same_seed_the_same_ones():
    x, y = examples(80)
    first = samples(x, y, seed=1)
    assert list(first) == [2, 3, 4, 5, 6, 7, 8]
    assert all(len(each) == 3 and set(each) < set(x[::8, 0]) for each in first.values())
    assert len({tuple(each) for each in first.values()}) > 3
    assert samples(x, y, seed=1) == first != samples(x, y, seed=2)
    keras.utils.set_random_seed(3)
    drawn = samples(x, y)
    keras.utils.set_random_seed(3)
    assert samples(x, y) == drawn != samples(x, y)
    assert samples(x[:8], y[:8], seed=1, epochs=3) == {2: [x[0, 0]], 3: [x[0, 0]]}  # at least one


def test_all_kinds_of_data_have_the_same_sample():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16]

    x, y = examples(72)
    dataset, weights = tf.data.Dataset.from_tensor_slices((x, y)).batch(16), []
    for data, kwargs in (
        ((x, y), {}),
        ((dataset,), {}),
        ((Batches(),), {}),
        ((Batches(workers=2, use_multiprocessing=False),), {}),
        ((dataset.filter(lambda x, y: True).repeat(),), {"steps_per_epoch": 5}),
        ((x, y), {"class_weight": dict.fromkeys(range(CLASSES), 1.0)}),
    ):
        keras.utils.set_random_seed(0)
        model = friendly(auxiliary_fraction=0.4)
        fit(model, *data, epochs=3, **kwargs)
        assert model.auxiliary_optimizer.iterations == 4 and model.optimizer.iterations == 15
        weights.append([*model.get_weights(), *model.auxiliary.get_weights()])
    for other in weights[1:]:
        assert_close(other, weights[0], 1e-6)
    with pytest.raises(ValueError, match="0.4 samples .* this _FilterDataset does not .* steps_per_epoch"):
        fit(friendly(auxiliary_fraction=0.4), dataset.filter(lambda x, y: True))
    distributed = tf.distribute.OneDeviceStrategy("CPU:0").distribute_datasets_from_function(lambda _: dataset)
    with pytest.raises(ValueError, match="0.4 leaves minibatches out, which a DistributedDatasetsFromFunction cannot"):
        fit(friendly(auxiliary_fraction=0.4), distributed)


@pytest.mark.parametrize(
    "settings, given, match",
    [
        ({}, {"class_weight": {0: 2.0, 1: 1.0, 2: 1.0}}, "fit takes no class_weight with .*: give their Part weights"),
        ({}, {"steps_per_epoch": 2}, "fit takes no steps_per_epoch with .*: an epoch is a pass over all of them"),
        ({"auxiliary_fraction": 0.5}, {}, "0.5 leaves minibatches out, which a InGraph cannot do"),
    ],
)
def test_what_minibatches_in_the_graph_cannot_follow_is_refused(settings, given, match):
    with pytest.raises(ValueError, match=match):
        fit(friendly(**settings), in_graph(Part(*examples()), 8), **given)


def test_after_the_drop_a_step_is_a_classic_step():
    x, y = examples(320)
    model = friendly(dense(CLASSES, dropout=0.5, batch_norm=True))
    fit(model, x, y, epochs=4)
    plain = dense(CLASSES, dropout=0.5, batch_norm=True)
    plain.compile(optimizer=keras.optimizers.Adam(0.01), loss=model.loss, metrics=["accuracy"])
    plain.optimizer.build(plain.trainable_variables)
    for theirs, ours in zip(plain.variables, model.classifier.variables, strict=True):
        theirs.assign(ours)
    for theirs, ours in zip(plain.optimizer.variables, model.optimizer.variables, strict=True):
        theirs.assign(ours)
    classic = plain.fit(x, y, batch_size=16, shuffle=False, verbose=0).history
    history = fit(model, x, y, initial_epoch=4)
    assert_same(model.classifier.get_weights(), plain.get_weights())
    assert history["loss"] == classic["loss"] and history["accuracy"] == classic["accuracy"]


def test_a_plan_that_never_simplifies_is_classic_training():
    x, y = examples()
    for epochs in (0, 1):
        keras.utils.set_random_seed(1)
        model = friendly(dense(CLASSES, dropout=0.5))
        fit(model, x, y, plan=DevelopmentalPlan(1.0, epochs), epochs=3)
        keras.utils.set_random_seed(1)
        plain = dense(CLASSES, dropout=0.5)
        plain.compile(optimizer=keras.optimizers.Adam(0.01), loss=model.loss)
        plain.fit(x, y, batch_size=16, shuffle=False, epochs=3, verbose=0)
        assert_same(model.get_weights(), plain.get_weights())


def test_a_model_without_auxiliary_network_logs_what_its_classifier_alone_would():
    x, y = examples()
    plain, model = dense(CLASSES), FriendlyModel(dense(CLASSES), None)
    for each in (plain, model):
        each.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    classic = plain.fit(x, y, epochs=2, verbose=0, validation_data=(x, y)).history
    assert list(fit(model, x, y, plan=DevelopmentalPlan(1.0, 0), validation_data=(x, y))) == list(classic)


def test_the_first_phase_leaves_all_of_the_classifier_alone():
    x, y = examples()
    model = friendly(dense(CLASSES, dropout=0.5, batch_norm=True))
    before, theta = values(model.classifier.variables), model.auxiliary.get_weights()
    model.simplifying = True
    model._auxiliary_training().fit(x, y, batch_size=16, verbose=0)
    assert_same(values(model.classifier.variables), before)
    assert not any(np.array_equal(a, b) for a, b in zip(model.auxiliary.get_weights(), theta, strict=True))


def test_the_second_phase_leaves_all_of_the_auxiliary_network_alone():
    x, y = examples()
    model = friendly(auxiliary=dense(FEATURES, dropout=0.5, batch_norm=True))
    before, w = values(model.auxiliary.variables), model.classifier.get_weights()
    model.simplifying = True
    model.train_step((tf.constant(x), tf.constant(y)))
    assert_same(values(model.auxiliary.variables), before)
    assert not any(np.array_equal(a, b) for a, b in zip(model.classifier.get_weights(), w, strict=True))


def test_to_keras_the_model_is_its_classifier():
    x, y = examples()
    model = friendly()
    fit(model, x, y, epochs=3)
    assert_same(model.get_weights(), model.classifier.get_weights())
    np.testing.assert_array_equal(model(x), model.classifier(x))
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.classifier.predict(x, verbose=0))
    model.classifier.compile(loss=model.loss, metrics=["accuracy"])
    assert model.evaluate(x, y, verbose=0) == model.classifier.evaluate(x, y, verbose=0)
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss", "accuracy"}


def test_validation_is_on_unaltered_data_and_has_no_training_logs():
    x, y = examples()
    model = friendly(dense(CLASSES))
    history = fit(model, x, y, epochs=3, validation_data=(x, y))
    assert {name for name in history if name.startswith("val_")} == {"val_loss", "val_accuracy"}
    logits = model.classifier.predict(x, verbose=0)
    assert history["val_accuracy"][-1] == pytest.approx(np.mean(logits.argmax(1) == y))


@pytest.mark.parametrize("phases", ["epoch", "batch"])
def test_arrays_datasets_and_pydatasets_train_alike(phases):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16]

    x, y = examples()
    weights = []
    for data in ((x, y), (tf.data.Dataset.from_tensor_slices((x, y)).batch(16),), (Batches(),)):
        keras.utils.set_random_seed(0)
        model = friendly(phases=phases)
        fit(model, *data)
        weights.append(model.get_weights())
    assert_close(weights[1], weights[0], 1e-6)
    assert_close(weights[2], weights[0], 1e-6)


def test_steps_per_epoch_counts_each_pass():
    x, y = examples()
    model = friendly()
    fit(model, tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat(), steps_per_epoch=3, epochs=3)
    assert model.optimizer.iterations == 9 and model.auxiliary_optimizer.iterations == 6


def test_a_generator_is_refused_where_data_are_read_twice():
    def generator():
        while True:
            yield examples(16)

    with pytest.raises(ValueError, match='phases="batch"'):
        fit(friendly(), generator())
    history = fit(friendly(phases="batch"), generator(), steps_per_epoch=2)
    assert len(history["loss"]) == 5


def test_validation_split_keeps_the_auxiliary_network_off_the_validation_examples():
    x, y = examples()
    histories, weights = [], []
    for data, kwargs in (
        ((x, y), {"validation_split": 0.25}),
        ((x[:30], y[:30]), {"validation_data": (x[30:], y[30:])}),
    ):
        keras.utils.set_random_seed(0)
        model = friendly()
        auxiliary = model.auxiliary
        histories.append(fit(model, *data, **kwargs))
        weights.append(auxiliary.get_weights())
    assert histories[0] == histories[1]
    with pytest.raises(
        ValueError, match="Training data contains 40 samples, which is not sufficient .*`validation_split=0.999`"
    ):
        fit(friendly(), x, y, validation_split=0.999)
    with pytest.raises(ValueError, match="validation_split"):
        fit(friendly(), tf.data.Dataset.from_tensors((x, y)), validation_split=0.25)
    assert_same(*weights)


@pytest.mark.parametrize("phases", ["epoch", "joint"])
def test_class_and_sample_weights_weigh_the_data_loss_alike_and_never_the_penalty(phases):
    x, y = examples()
    class_weight = {0: 0.0, 1: 2.0, 2: 0.5}
    runs = []
    for kwargs in ({"class_weight": class_weight}, {"sample_weight": np.array([class_weight[k] for k in y])}):
        keras.utils.set_random_seed(0)
        model = friendly(phases=phases)
        auxiliary = model.auxiliary
        fit(model, x, y, **kwargs)
        runs.append([*model.get_weights(), *auxiliary.get_weights()])
    assert_close(runs[0], runs[1], 1e-6)

    model = friendly(phases="batch")
    model.simplifying = True
    model.eta.assign(3.0)
    penalty = 3.0 * np.mean(np.sum((np.array(model.simplify(x)) - x) ** 2, axis=1))
    eq_4 = model.update_auxiliary(tf.constant(x), tf.constant(y), tf.zeros(len(x)))
    assert float(eq_4) == pytest.approx(penalty, rel=1e-5)


@pytest.mark.parametrize(
    "phases, label_shape, dtype, labels",
    [
        ("epoch", (), "int32", "index"),
        ("batch", (1,), "int32", "index"),
        ("joint", (CLASSES,), "float32", "index"),
        ("batch", (), "int32", "one-hot"),
    ],
)
def test_a_label_conditioned_auxiliary_network_sees_the_labels_while_simplifying(phases, label_shape, dtype, labels):
    x, y = examples()
    model = friendly(auxiliary=conditioned(label_shape, dtype), phases=phases)
    if labels == "one-hot":
        y = keras.utils.to_categorical(y, CLASSES)
        model.compile("adam", "sgd", loss="mse")
    history = fit(model, x, y, epochs=3)
    assert history["perturbation"][1] > 0
    different = np.roll(y, 1, axis=0)
    assert not np.allclose(model.simplify(x, y), model.simplify(x, different))
    with pytest.raises(ValueError, match="label-conditioned"):
        model.simplify(x)


def test_callbacks_of_keras_see_ordinary_epochs(tmp_path):
    x, y = examples()
    model = friendly()
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=1),
        keras.callbacks.TensorBoard(tmp_path / "tensorboard"),
        keras.callbacks.CSVLogger(tmp_path / "history.csv"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 / (epoch + 1)),
    ]
    seen = []
    callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch)))
    history = fit(model, x, y, epochs=6, validation_data=(x, y), callbacks=callbacks)
    assert seen == [0, 1, 2] * 6
    lines = (tmp_path / "history.csv").read_text().splitlines()
    columns = lines[0].split(",")
    assert len(lines) == 7 and {"eta", "perturbation", "auxiliary_loss", "val_loss"} <= set(columns)
    logged = [float(line.split(",")[columns.index("eta")]) for line in lines[1:]]
    np.testing.assert_allclose(logged, history["eta"])
    assert len(list(tmp_path.glob("*.weights.h5"))) == 6 and (tmp_path / "best.keras").exists()
    assert min(history["val_loss"]) == pytest.approx(model.evaluate(x, y, verbose=0)[0], rel=1e-5)


@pytest.mark.parametrize("stopped_after, fraction", [(2, 1.0), (4, 1.0), (2, 0.4)])
def test_a_saved_model_goes_on_as_if_never_interrupted(tmp_path, stopped_after, fraction, recwarn):
    x, y = examples()
    keras.utils.set_random_seed(0)
    whole = friendly(auxiliary_fraction=fraction)
    fit(whole, x, y, epochs=6)
    keras.utils.set_random_seed(0)
    part = friendly(auxiliary_fraction=fraction)
    fit(part, x, y, epochs=stopped_after)
    part.save(tmp_path / "friendly.keras")
    loaded = keras.saving.load_model(tmp_path / "friendly.keras")
    assert isinstance(loaded, FriendlyModel) and loaded.penalty == "sum" and loaded.phases == "epoch"
    assert (loaded.auxiliary_fraction, loaded.seed) == (fraction, part.seed)
    assert (loaded.auxiliary is None) == (stopped_after == 4)
    fit(loaded, x, y, epochs=6, initial_epoch=stopped_after)
    assert_same(loaded.get_weights(), whole.get_weights())
    assert not [str(w.message) for w in recwarn if not issubclass(w.category, DeprecationWarning)]


def test_the_deployed_classifier_knows_nothing_of_its_training(tmp_path):
    model = friendly()
    fit(model, *examples(), epochs=3)
    model.classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert type(loaded) is type(model.classifier) and len(loaded.weights) == 4


@pytest.mark.parametrize(
    "phases, compile",
    [
        ("epoch", {"jit_compile": True}),
        ("joint", {"jit_compile": True}),
        ("batch", {"run_eagerly": True}),
        ("joint", {"run_eagerly": True}),
        ("epoch", {"steps_per_execution": 2}),
    ],
)
def test_ways_to_execute_give_the_same_weights(phases, compile):
    x, y = examples()
    weights = []
    for kwargs in ({}, compile):
        keras.utils.set_random_seed(0)
        model = friendly(phases=phases, **kwargs)
        fit(model, x, y)
        weights.append(model.get_weights())
    assert_close(weights[1], weights[0], 1e-5)


@pytest.mark.parametrize("phases", ["epoch", "joint"])
def test_mixed_float16_scales_both_losses_and_still_learns(phases):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x, y = examples()
        model = friendly(phases=phases)
        auxiliary = model.auxiliary
        before = auxiliary.get_weights()
        assert isinstance(model.auxiliary_optimizer, keras.optimizers.LossScaleOptimizer)
        history = fit(model, x, y, epochs=20, plan=DevelopmentalPlan(2.0, 19))
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["auxiliary_loss"]).all()
    assert not any(np.array_equal(a, b) for a, b in zip(auxiliary.get_weights(), before, strict=True))


def test_the_loss_is_scaled_as_the_classifier_s_own_policy_wants_it():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        classifier, auxiliary = dense(CLASSES), dense(FEATURES)
    finally:
        keras.config.set_dtype_policy("float32")
    model = FriendlyModel(classifier, auxiliary)
    model.compile("adam", "adam", loss="sparse_categorical_crossentropy")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(model.auxiliary_optimizer, keras.optimizers.LossScaleOptimizer)
    assert model.from_config(model.get_config()).dtype_policy.name == "mixed_float16"


def test_xla_is_not_chosen_for_an_auxiliary_network_that_it_cannot_compile(monkeypatch):
    monkeypatch.setattr(keras.Model, "_resolve_auto_jit_compile", lambda self: True)  # as on a GPU
    for supported, given, expected in ((False, {}, False), (True, {}, True), (False, {"jit_compile": True}, True)):
        auxiliary = dense(FEATURES)
        auxiliary.layers[1].supports_jit = supported
        model = FriendlyModel(dense(CLASSES), auxiliary)
        model.compile("adam", "adam", loss="sparse_categorical_crossentropy", **given)
        assert model.jit_compile == expected


def test_what_was_dropped_is_not_dropped_again(monkeypatch):
    renewed, model = [], friendly()
    monkeypatch.setattr(keras_internals, "renew_functions", renewed.append)
    for _ in range(3):
        model.drop_auxiliary()
    assert renewed == [model] and model.auxiliary is None and not model.simplifying


def test_train_on_batch_updates_theta_then_w():
    x, y = examples(16)
    model = friendly()
    auxiliary = model.auxiliary
    f, s = Dense(model.classifier.get_weights(), 0.01), Dense(auxiliary.get_weights(), 0.02)
    friendly_training(f, s, x.astype("float64"), y, 16, 3, 3, 2.0, "sum", "batch")
    plan = DevelopmentalPlan(2.0, 3)
    plan.set_model(model)
    for epoch in range(3):
        plan.on_epoch_begin(epoch)
        logs = model.train_on_batch(x, y, return_dict=True)
        assert (logs["auxiliary_loss"] > 0) == (epoch > 0)
    assert_close(model.get_weights(), f.weights)
    assert_close(auxiliary.get_weights(), s.weights)


def test_integer_images_are_simplified_as_floats():
    x = np.arange(2 * FEATURES, dtype="uint8").reshape(2, FEATURES)
    simplified = friendly().simplify(x)
    assert simplified.shape == x.shape and keras.backend.standardize_dtype(simplified.dtype) == "float32"


def test_the_mean_penalty_needs_no_fixed_size_of_images():
    x, y = np.random.default_rng(0).normal(size=(8, 5, 7, 1)).astype("float32"), np.arange(8) % CLASSES
    fixed = tf.data.Dataset.from_tensors((x, y))
    signature = tf.TensorSpec((None, None, None, 1)), tf.TensorSpec((None,), "int64")
    any_size = tf.data.Dataset.from_generator(lambda: [(x, y)], output_signature=signature)
    any_size = any_size.apply(tf.data.experimental.assert_cardinality(1))
    logs = []
    for dataset in (fixed, any_size):
        keras.utils.set_random_seed(0)
        image = keras.Input((None, None, 1))
        auxiliary = keras.Model(image, layers.Conv2D(1, 3, padding="same")(image))
        classifier = keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(image)))
        logs.append(fit(friendly(classifier, auxiliary, penalty="mean"), dataset, epochs=2))
    assert logs[0] == logs[1] and logs[0]["auxiliary_loss"][1] > 0


def test_forgetting_the_plan_is_an_error_that_says_so():
    x, y = examples()
    model = friendly()
    with pytest.raises(ValueError, match="DevelopmentalPlan"):
        model.fit(x, y)
    model.drop_auxiliary()
    model.fit(x, y, verbose=0)


def test_simplifying_again_after_the_drop_is_an_error_that_says_what_to_do():
    x, y = examples()
    model = friendly()
    fit(model, x, y)
    np.testing.assert_array_equal(model.simplify(x), x)
    with pytest.raises(ValueError, match="initial_epoch"):
        fit(model, x, y)


def test_wrong_arguments_are_named():
    classifier, auxiliary = dense(CLASSES), dense(FEATURES)
    with pytest.raises(ValueError, match="penalty must be one of .* got 'l1'"):
        FriendlyModel(classifier, auxiliary, penalty="l1")
    with pytest.raises(ValueError, match="phases must be one of .* got 'both'"):
        FriendlyModel(classifier, auxiliary, phases="both")
    for share in (0, 1.5, -0.1, float("nan"), "half", True):
        with pytest.raises(ValueError, match="auxiliary_fraction must be a number > 0 and <= 1, got"):
            FriendlyModel(classifier, auxiliary, auxiliary_fraction=share)
    for phases in ("batch", "joint"):
        with pytest.raises(ValueError, match=f"auxiliary_fraction must be 1 with phases='{phases}', .* got 0.5"):
            FriendlyModel(classifier, auxiliary, phases=phases, auxiliary_fraction=0.5)
    with pytest.raises(ValueError, match="seed must be a whole number >= 0, got -1"):
        FriendlyModel(classifier, auxiliary, auxiliary_fraction=0.5, seed=-1)
    with pytest.raises(TypeError, match="auxiliary must be a keras.Model, got 3"):
        FriendlyModel(classifier, 3)
    with pytest.raises(ValueError, match=r"must have the shape of x, got \(2, 5\) for x of \(2, 6\)"):
        FriendlyModel(classifier, dense(5)).simplify(np.zeros((2, FEATURES), "float32"))
    with pytest.raises(ValueError, match="auxiliary_optimizer"):
        FriendlyModel(classifier, auxiliary).compile("adam", loss="mse")
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="two objects"):
        FriendlyModel(classifier, auxiliary).compile(optimizer, optimizer, loss="mse")


def test_regularization_of_each_network_reaches_that_network_only():
    x, y = examples(16)
    l2 = keras.regularizers.L2(0.5)
    inputs = keras.Input((FEATURES,))
    classifier = keras.Model(inputs, layers.Dense(CLASSES, kernel_regularizer=l2)(inputs))
    inputs = keras.Input((FEATURES,))
    auxiliary = keras.Model(inputs, layers.Dense(FEATURES, kernel_regularizer=l2)(inputs))
    model = friendly(classifier, auxiliary, phases="batch")
    fit(model, x, y, epochs=1)
    cross_entropy = model.loss(y, model(x))
    expected = float(cross_entropy) + 0.5 * float(np.sum(classifier.get_weights()[0] ** 2))
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(expected, rel=1e-5)


def test_with_several_outputs_their_losses_make_up_the_loss_in_simplified_epochs_too():
    x, y = examples(48)  # whole minibatches: Keras gives each of an output's means the same weight
    inputs = keras.Input((FEATURES,))
    outputs = {name: layers.Dense(CLASSES, name=name)(inputs) for name in "ab"}
    model = FriendlyModel(keras.Model(inputs, outputs), dense(FEATURES))
    loss = {name: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for name in "ab"}
    model.compile(keras.optimizers.Adam(0.01), auxiliary_optimizer=keras.optimizers.Adam(0.02), loss=loss)
    history = fit(model, x, {"a": y, "b": y})
    parts = np.add(history["a_loss"], history["b_loss"])
    assert max(history["perturbation"]) > 0
    np.testing.assert_allclose(history["loss"], parts, rtol=1e-5)


def test_the_relative_perturbation_of_data_far_from_zero_is_that_of_their_variance():
    x = (1e4 + np.random.default_rng(0).normal(size=(48, 6))).astype("float32")
    inputs = keras.Input((6,))
    further = keras.Model(inputs, layers.Rescaling(1.0, offset=0.5)(inputs))
    model = FriendlyModel(keras.Model(inputs, layers.Dense(CLASSES)(inputs)), further)
    model.compile("sgd", auxiliary_optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plan = DevelopmentalPlan(1.0, 3, first_simplified_epoch=1)
    history = model.fit(x, np.arange(48) % CLASSES, epochs=2, batch_size=16, verbose=0, callbacks=[plan]).history
    assert history["relative_perturbation"][0] == pytest.approx(0.25 / x.astype("float64").var(), rel=0.01)


def test_after_the_plan_no_loss_reduction_is_logged_of_it():
    model = FriendlyModel(dense(CLASSES), dense(FEATURES))
    model.compile("sgd", auxiliary_optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = examples()
    model.fit(x, y, epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)])
    assert model.fit(x, y, epochs=2, verbose=0).history["loss_reduction"] == [0, 0]


def test_the_drop_frees_theta_and_its_optimizer():
    model = friendly()
    there = [model.auxiliary, model.auxiliary_optimizer, *(v.value for v in model.auxiliary_optimizer.variables[2:])]
    there = [weakref.ref(each) for each in there]
    fit(model, *examples())
    gc.collect()
    assert [each() for each in there] == [None] * len(there)


def test_an_output_or_a_metric_called_like_a_log_of_the_model_is_refused():
    inputs = keras.Input((FEATURES,))
    outputs = {name: layers.Dense(CLASSES, name=name)(inputs) for name in ("main", "auxiliary")}
    model = FriendlyModel(keras.Model(inputs, outputs), dense(FEATURES))
    losses = dict.fromkeys(outputs, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = examples()
    model.compile("sgd", "sgd", loss=losses)
    with pytest.raises(ValueError, match="auxiliary_loss is a log of the model's own: give the output or the me"):
        model.fit(x, dict.fromkeys(outputs, y), verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)])
    for metrics in ({"metrics": [eta]}, {"metrics": (), "weighted_metrics": [eta]}):
        with pytest.raises(ValueError, match="eta is a log of the model's own"):
            fit(friendly(**metrics), x, y)
    with pytest.raises(ValueError, match="eta is a log of the model's own"):
        friendly(metrics=[eta]).evaluate(x, y, verbose=0)


def test_names_of_logs_that_there_are_not_are_free():
    x, y = examples()
    network = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(CLASSES, name="auxiliary")])
    model = friendly(network, metrics=())
    fit(model, x, y, epochs=5)
    model = FriendlyModel(network, None)
    model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=[eta])
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    assert history["eta"] == history["val_eta"] == [7.0]


def eta(y, y_pred):
    """A metric."""
    return keras.ops.zeros_like(y_pred[:, 0]) + 7.0


def test_a_loss_in_the_place_of_the_auxiliary_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer identifier: mse"):
        FriendlyModel(dense(CLASSES), None).compile("adam", "mse")


def test_the_compiled_loss_can_be_computed_without_x():
    x, y = examples()
    model = friendly()
    assert float(model.compute_loss(y=y, y_pred=model(x))) == pytest.approx(float(model.compute_loss(x, y, model(x))))


def test_a_table_of_labels_in_the_auxiliary_network_is_updated_with_w_too():
    x, y = keras.Input((FEATURES,)), keras.Input((), dtype="int32")
    of_label = layers.Embedding(CLASSES, 4)
    auxiliary = keras.Model([x, y], layers.Dense(FEATURES)(layers.Concatenate()([x, of_label(y)])))
    for scaled in (False, True):
        before = of_label.get_weights()[0]
        model = FriendlyModel(dense(CLASSES), auxiliary, phases="joint")
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)) if scaled else "sgd"
        model.compile(optimizer, "sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        fit(model, *examples(), epochs=3)
        assert np.abs(of_label.get_weights()[0] - before).max() > 0


@pytest.mark.parametrize("penalty", ["sum", "mean"])
@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_regularized_networks_learn_in_float64_as_by_hand(phases, penalty, floatx):
    x, y = examples(16)
    x, l2, eta, rate = x.astype(floatx), 0.125, 2.0, 0.125  # Keras rounds some to float32

    def linear(outputs):
        return keras.Sequential([keras.Input((FEATURES,)), layers.Dense(outputs, **regularized)])

    regularized = {"use_bias": False, "kernel_regularizer": keras.regularizers.L2(l2)}
    model = FriendlyModel(linear(CLASSES), linear(FEATURES), penalty, phases)
    auxiliary = model.auxiliary
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate), loss=loss)
    (w,), (theta,) = model.classifier.get_weights(), auxiliary.get_weights()
    # The first two epochs of a plan whose eta is all of eta_max from the second on: classic, then simplified.
    plan = DevelopmentalPlan(eta, 3, law=lambda progress: float(progress > 0))
    history = fit(model, x, y, epochs=2, plan=plan)

    def step_on_w(x):
        _, of_logits = cross_entropy(x @ w, y)
        return w - rate * (x.T @ of_logits + 2 * l2 * w)

    w = step_on_w(x)
    elements = FEATURES if penalty == "mean" else 1
    simplified = x @ theta
    delta = simplified - x
    value, of_logits = cross_entropy(simplified @ w, y)
    eq_4 = value + l2 * ((w**2).sum() + (theta**2).sum()) + eta * (delta**2).sum() / len(x) / elements
    of_simplified = of_logits @ w.T + 2 * eta * delta / len(x) / elements
    theta = theta - rate * (x.T @ of_simplified + 2 * l2 * theta)
    w = step_on_w(simplified if phases == "joint" else x @ theta)
    assert_close([*model.get_weights(), *auxiliary.get_weights()], [w, theta], 1e-12)
    assert history["auxiliary_loss"][1] == pytest.approx(eq_4, rel=1e-6)


def test_losses_that_the_auxiliary_network_adds_are_summed_as_keras_does():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(keras.ops.square(x), axis=1))  # one for each example
            return x

    x = keras.Input((FEATURES,))
    model = friendly(auxiliary=keras.Model(x, Adds()(x)))
    data = examples()
    eq_4, (_, _, _, loss) = model.eq_4(*data)
    assert float(eq_4 - loss) == pytest.approx(float(np.square(data[0]).mean(1).sum()), rel=1e-5)
