"""What Keras documents of `fit`, callbacks and optimizers, beside `keras.Model` itself: in classic epochs, and where
the classifier trains on the output of an auxiliary network that does not change.

On TensorFlow here; tests/backend/test_backends.py runs the same file on the other back ends.
"""

import functools
import re

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from keras import layers

from nft_keras import (
    DevelopmentalPlan,
    EasyExamplesFirst,
    EasyExamplesPlan,
    FriendlyModel,
    FriendlyTraining,
    PerturbationPlan,
)
from nft_keras._fit_data import text_among
from nft_keras.auxiliaries import mlp

N, FEATURES, CLASSES, EPOCHS = 36, 5, 3, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, FEATURES)).astype("float32")
Y = RNG.integers(CLASSES, size=N).astype("int32")
WEIGHTS = RNG.uniform(0.5, 2.0, size=N).astype("float32")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def classifier(outputs=CLASSES):
    return keras.Sequential([keras.Input((FEATURES,)), layers.Dense(8, "tanh"), layers.Dense(outputs)])


def fixed():
    """An auxiliary network that alters the data and is not trained."""
    network = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(FEATURES, kernel_initializer="orthogonal")])
    network.trainable = False
    return network


def adam():
    return keras.optimizers.Adam(0.01)


def sgd():
    """One to which, other than to Adam, the size of a gradient matters."""
    return keras.optimizers.SGD(0.05, momentum=0.9)


FIT = {
    "batch_size": dict(batch_size=7),
    "class_weight": dict(class_weight={0: 1.0, 1: 3.0, 2: 0.5}),
    "sample_weight": dict(sample_weight=WEIGHTS),
    "validation_data": dict(validation_data=(X[:9] + 1, Y[:9])),
    "weights of validation_data": dict(validation_data=(X[:9] + 1, Y[:9], WEIGHTS[:9])),
    "validation_split": dict(validation_split=0.25),
    "validation_split with weights": dict(validation_split=0.25, sample_weight=WEIGHTS),
    "validation_freq": dict(validation_data=(X[:9] + 1, Y[:9]), validation_freq=2),
    "validation_steps": dict(validation_data=(X[:9] + 1, Y[:9]), validation_batch_size=2, validation_steps=3),
    "initial_epoch": dict(initial_epoch=2),
    "steps_per_epoch": dict(steps_per_epoch=2, batch_size=9),
    "shuffle": dict(shuffle=True),
}


def schedule(index, rate):
    return rate * 0.5**index


CALLBACKS = {
    "EarlyStopping": lambda folder: keras.callbacks.EarlyStopping("loss", patience=0, min_delta=0.05),
    "EarlyStopping restores": lambda folder: keras.callbacks.EarlyStopping(
        "loss", patience=0, mode="max", restore_best_weights=True
    ),
    "ReduceLROnPlateau": lambda folder: keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.2),
    "LearningRateScheduler": lambda folder: keras.callbacks.LearningRateScheduler(schedule),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(folder / "m.weights.h5", save_weights_only=True),
    "ModelCheckpoint of all": lambda folder: keras.callbacks.ModelCheckpoint(folder / "m.keras"),
    "CSVLogger": lambda folder: keras.callbacks.CSVLogger(folder / "log.csv"),
    "TerminateOnNaN": lambda folder: keras.callbacks.TerminateOnNaN(),
    "SwapEMAWeights": lambda folder: keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
    "LambdaCallback": lambda folder: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs["loss"]),
    "BackupAndRestore": lambda folder: keras.callbacks.BackupAndRestore(folder / "backup"),
}

OPTIMIZERS = {
    "weight_decay": lambda: keras.optimizers.Adam(0.01, weight_decay=0.1),
    "clipnorm": lambda: keras.optimizers.Adam(0.01, clipnorm=0.01),
    "clipvalue": lambda: keras.optimizers.SGD(0.1, clipvalue=0.001),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.01),
    "use_ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2),
    "gradient_accumulation_steps": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "loss_scale_factor": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=8.0),
    "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    "a schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    **{
        name: lambda name=name: getattr(keras.optimizers, name)(0.01)
        for name in ("Adadelta", "Adafactor", "Adagrad", "Adamax", "AdamW", "Ftrl", "Lamb", "Lion", "Nadam", "RMSprop")
    },
}


def check(optimizer=sgd, callback=None, folder=None, metrics=("accuracy",), classic=True, **arguments):
    """Trains a classifier by Keras and in a model of ours, and compares weights and logs.

    Args:
        optimizer: function that makes one.
        callback: function of a folder that makes one.
        classic: whether to compare classic epochs too, in which the step is Keras' own.
        **arguments: of `fit`.
    """
    network = classifier()
    start, altered = network.get_weights(), fixed()

    def train(model, x, *plan, **compiled):
        network.set_weights(start)
        keras.utils.set_random_seed(1)
        # Op by op: to trace the graphs would take longer than to run them.
        model.compile(optimizer(), loss=CROSS_ENTROPY, metrics=list(metrics), run_eagerly=True, **compiled)
        own = [callback(folder)] if callback else []
        keywords = {"epochs": EPOCHS, "shuffle": False, "verbose": 0, **arguments}
        history = model.fit(x, Y, callbacks=[*own, *plan], **keywords).history
        return history, network.get_weights()

    x_altered = keras.ops.convert_to_numpy(altered(X))
    on_fixed_s = FriendlyModel(network, altered, phases="batch")
    plan = DevelopmentalPlan(0.0, EPOCHS, first_simplified_epoch=1)
    pairs = [((network, x_altered), (on_fixed_s, X, plan))]
    if classic:
        pairs.append(((network, X), (FriendlyModel(network, mlp(FEATURES)), X, DevelopmentalPlan(1.0, 0))))
    for theirs, ours in pairs:
        (logs, weights), (our_logs, our_weights) = train(*theirs), train(*ours, auxiliary_optimizer="sgd")
        for name in logs:
            if "validation_split" not in arguments or not name.startswith("val_"):  # that is on unaltered data
                close(our_logs[name], logs[name], name)
        for got, want in zip(our_weights, weights, strict=True):
            close(got, want, "weights")


AFRESH = {
    "Adam": adam,
    **{name: OPTIMIZERS[name] for name in ("LossScaleOptimizer", "gradient_accumulation_steps", "use_ema")},
    "MultiOptimizer": lambda: keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(adam())),
}
if hasattr(keras.optimizers, "ScheduleFreeAdamW"):  # not in every Keras
    AFRESH["ScheduleFreeAdamW"] = lambda: keras.optimizers.ScheduleFreeAdamW(0.01)


def close(got, want, what):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=what)


@pytest.mark.parametrize("argument", FIT)
def test_fit_takes_the_arguments_of_keras(argument):
    check(**FIT[argument])


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_work_as_ever(name, tmp_path):
    optimizer = OPTIMIZERS["use_ema"] if name == "SwapEMAWeights" else sgd
    check(optimizer, CALLBACKS[name], tmp_path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_work_as_ever(name):
    check(OPTIMIZERS[name], classic=False)


@pytest.mark.parametrize("metrics", [["accuracy", "sparse_categorical_crossentropy"], []])
def test_metrics_work_as_ever(metrics):
    check(metrics=metrics)


METHODS = {
    "NFT": lambda: (
        FriendlyModel(classifier(), mlp(FEATURES)),
        DevelopmentalPlan(1.0, 3),
        {"auxiliary_optimizer": "sgd"},
    ),
    "FT": lambda: (FriendlyTraining(classifier(), 0.1, 0.9), PerturbationPlan(2, 3), {}),
    "EEF": lambda: (EasyExamplesFirst(classifier()), EasyExamplesPlan(simplification_epochs=3), {}),
}


@pytest.mark.parametrize("method", METHODS)
def test_arguments_may_stand_in_their_order(method):
    model, plan, compiled = METHODS[method]()
    model.compile("sgd", loss=CROSS_ENTROPY, **compiled)
    history = model.fit(X, Y, 16, 2, 0, [plan]).history
    assert len(history["loss"]) == 2


@pytest.mark.parametrize("method", METHODS)
def test_what_is_exported_is_the_classifier(method, tmp_path):
    model, plan, compiled = METHODS[method]()
    model.compile("sgd", loss=CROSS_ENTROPY, **compiled)
    model.fit(X, Y, batch_size=18, verbose=0, callbacks=[plan])
    if keras.backend.backend() == "torch":
        pytest.skip("Keras exports a SavedModel from TensorFlow and JAX")
    import tensorflow as tf

    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(X), model.classifier.predict(X, verbose=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_classifier_with_steps_of_its_own_is_refused(method):
    class Own(keras.Model):
        def call(self, x):
            return x

        def compute_loss(self, *args, **kwargs):
            return keras.ops.zeros(())

    kind = type(METHODS[method]()[0])
    arguments = {"NFT": (mlp(FEATURES),), "FT": (0.1, 0.9), "EEF": ()}[method]
    with pytest.raises(ValueError, match="a Own, has a compute_loss of its own, which would not be called"):
        kind(Own(), *arguments)


def test_networks_that_train_a_layer_together_are_refused():
    shared = layers.Dense(FEATURES)
    x = keras.Input((FEATURES,))
    network = keras.Model(x, layers.Dense(CLASSES)(shared(x)))
    with pytest.raises(ValueError, match="theta and w must be apart, but both networks train .*kernel"):
        FriendlyModel(network, keras.Model(x, shared(x)))


class Crash(keras.callbacks.Callback):
    """A power cut as an epoch begins."""

    def __init__(self, index):
        super().__init__()
        self.index = index

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.index:
            raise InterruptedError


@pytest.mark.parametrize("index", [2, 3, 5])
@pytest.mark.parametrize("how", [("epoch",), ("joint",), ("epoch", 0.5), ("epoch", 1.0, "training", 1)])
def test_backup_and_restore_goes_on_exactly_before_and_after_the_drop(index, how, tmp_path):
    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(InterruptedError):
        six_epochs([backup(), Crash(index)], *how)
    for got, want in zip(six_epochs([backup()], *how), undisturbed(*how), strict=True):
        close(got, want, "weights")


def test_any_data_gives_a_sample_of_its_minibatches():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return X[9 * i : 9 * i + 9], Y[9 * i : 9 * i + 9]

    weights = []
    kinds = [(X, Y), (tf.data.Dataset.from_tensor_slices((X, Y)).batch(9),), (Batches(),)]
    if keras.backend.backend() == "torch":
        import torch

        rows = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
        kinds.append((torch.utils.data.DataLoader(rows, batch_size=9),))
    for data in kinds:
        keras.utils.set_random_seed(3)
        model = FriendlyModel(classifier(), mlp(FEATURES), auxiliary_fraction=0.5)
        model.compile(adam(), adam(), loss=CROSS_ENTROPY)
        keywords = {"epochs": 3, "shuffle": False, "verbose": 0, **({"batch_size": 9} if len(data) == 2 else {})}
        model.fit(*data, callbacks=[DevelopmentalPlan(1.0, 4)], **keywords)
        assert int(model.auxiliary_optimizer.iterations) == 4 and int(model.optimizer.iterations) == 12
        weights.append(model.auxiliary.get_weights())
    for other in weights[1:]:
        for got, want in zip(other, weights[0], strict=True):
            close(got, want, "weights")


def six_epochs(callbacks, phases, fraction=1.0, mode="inference", first=2):
    """The weights after a training of which the first half is on altered data."""
    keras.utils.set_random_seed(3)
    model = FriendlyModel(classifier(), mlp(FEATURES), "sum", phases, mode, fraction)
    model.compile(adam(), adam(), loss=CROSS_ENTROPY)
    plan = DevelopmentalPlan(1.0, 3, first_simplified_epoch=first)
    model.fit(X, Y, batch_size=9, epochs=6, shuffle=False, verbose=0, callbacks=[*callbacks, plan])
    return model.get_weights()


@functools.cache
def undisturbed(*how):
    """What several tests compare with, trained once."""
    return six_epochs([], *how)


def test_weights_stored_after_the_drop_are_loaded_into_a_new_model(tmp_path):
    models = [FriendlyModel(classifier(), mlp(FEATURES)) for _ in range(2)]
    for model in models:
        model.compile(adam(), adam(), loss=CROSS_ENTROPY)
    models[0].fit(X, Y, batch_size=18, epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1.0, 2)])
    models[0].save_weights(tmp_path / "m.weights.h5")
    models[1].load_weights(tmp_path / "m.weights.h5")
    assert models[1].auxiliary is None
    for got, want in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
@pytest.mark.parametrize("data", ["arrays", "a generator"])
def test_an_auxiliary_network_that_is_not_built_trains(phases, data):
    network = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(FEATURES)])
    model = FriendlyModel(keras.Sequential([layers.Dense(CLASSES)]), network, phases=phases)
    model.compile(adam(), adam(), loss=CROSS_ENTROPY)
    given = (X, Y) if data == "arrays" else (((X, Y) for _ in range(9)),)
    if data == "a generator" and phases == "epoch":
        with pytest.raises(ValueError, match="reads the data twice"):
            model.fit(*given, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)])
        return
    steps = {"steps_per_epoch": 2} if data == "a generator" else {"batch_size": 18}
    model.fit(X, Y, batch_size=18, epochs=1, verbose=0, callbacks=[DevelopmentalPlan(1.0, 4)])
    before = [weight.copy() for weight in network.get_weights()]
    keywords = {"initial_epoch": 1, "epochs": 3, "verbose": 0, **steps}
    history = model.fit(*given, callbacks=[DevelopmentalPlan(1.0, 4)], **keywords).history
    assert any((a != b).any() for a, b in zip(before, network.get_weights(), strict=True))
    assert np.isfinite(history["auxiliary_loss"]).all()


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_an_auxiliary_network_that_is_frozen_alters_the_data_and_stays_and_that_is_said(phases, caplog):
    network = fixed()
    before = network.get_weights()
    model = FriendlyModel(classifier(), network, phases=phases)
    model.compile(adam(), adam(), loss=CROSS_ENTROPY)
    history = model.fit(X, Y, batch_size=18, epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)]).history
    assert history["perturbation"][1] > 0 and "no trainable weights" in caplog.text
    for got, want in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


class Unused(keras.Model):
    """A network with a layer that its output does not depend on."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = layers.Dense(FEATURES), layers.Dense(FEATURES)

    def build(self, shape):
        self.used.build(shape)
        self.unused.build(shape)

    def call(self, x):
        return self.used(x)


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_variable_without_a_gradient_stays(phases):
    network = Unused()
    network.build((None, FEATURES))
    before = network.unused.get_weights()
    model = FriendlyModel(classifier(), network, phases=phases)
    model.compile("sgd", "sgd", loss=CROSS_ENTROPY)
    model.fit(X, Y, batch_size=18, epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)])
    for got, want in zip(network.unused.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("by", ["fit", "train_on_batch"])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", AFRESH)
def test_what_changes_between_compile_and_the_first_step_is_trained_as_by_keras(name, frozen, by):
    network = classifier()
    start = network.get_weights()

    def train(model):
        network.layers[0].trainable = not frozen
        network.set_weights(start)
        model.compile(AFRESH[name](), loss=CROSS_ENTROPY, run_eagerly=True)
        network.layers[0].trainable = frozen
        network.set_weights([weight + 0.5 for weight in start])
        for _ in range(2):
            if by == "fit":
                model.fit(X, Y, batch_size=N, shuffle=False, verbose=0)
            else:
                model.train_on_batch(X, Y)
        return network.get_weights()

    moved = train(network)
    assert any((a != b + 0.5).any() for a, b in zip(moved, start, strict=True))
    for got, want in zip(train(FriendlyModel(network, None)), moved, strict=True):
        close(got, want, "weights")


@pytest.mark.parametrize("make", [EasyExamplesFirst, lambda network: FriendlyModel(network, mlp(FEATURES))])
def test_a_minibatch_before_compile_is_refused_as_by_keras(make):
    with pytest.raises(ValueError, match="must call `?compile"):
        make(classifier()).train_on_batch(X, Y)


def test_examples_that_are_in_no_minibatches_are_refused():
    model = FriendlyModel(classifier(), mlp(FEATURES))
    model.compile("sgd", "sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="fit needs minibatches, .* has single examples, not in .batch"):
        model.fit(tf.data.Dataset.from_tensor_slices((X, Y)), verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)])


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_a_scaled_loss_moves_w_and_theta_no_further(phases):
    network, auxiliary = classifier(), mlp(FEATURES)
    start = network.get_weights(), auxiliary.get_weights()

    def train(*factors):
        network.set_weights(start[0])
        auxiliary.set_weights(start[1])
        model = FriendlyModel(network, auxiliary, phases=phases)
        of_w, of_theta = (keras.optimizers.SGD(0.1, loss_scale_factor=factor) for factor in factors)
        model.compile(of_w, of_theta, loss=CROSS_ENTROPY, run_eagerly=True)
        model.simplifying = True
        model.train_on_batch(X, Y)
        return [*network.get_weights(), *auxiliary.get_weights()]

    plain = train(None, None)
    for factors in ((1024.0, None), (None, 1024.0), (1024.0, 1024.0)):
        for got, want in zip(train(*factors), plain, strict=True):
            close(got, want, f"loss_scale_factor of w and theta: {factors}")


def test_layers_that_are_unfrozen_between_compile_and_fit_are_trained():
    network, auxiliary = classifier(), mlp(FEATURES)
    network.layers[0].trainable = auxiliary.layers[1].trainable = False
    model = FriendlyModel(network, auxiliary)
    model.compile(adam(), adam(), loss=CROSS_ENTROPY)
    network.layers[0].trainable = auxiliary.layers[1].trainable = True
    before = [network.layers[0].get_weights()[0], auxiliary.layers[1].get_weights()[0]]
    model.fit(X, Y, batch_size=18, epochs=2, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)])
    after = [network.layers[0].get_weights()[0], auxiliary.layers[1].get_weights()[0]]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_the_losses_of_several_outputs_sum_to_the_loss(phases):
    x = keras.Input((FEATURES,))
    outputs = {"a": layers.Dense(CLASSES, name="a")(x), "b": layers.Dense(1, name="b")(x)}
    model = FriendlyModel(keras.Model(x, outputs), mlp(FEATURES), phases=phases)
    model.compile(adam(), adam(), loss={"a": CROSS_ENTROPY, "b": "mse"})
    y = {"a": Y, "b": X[:, :1]}
    # Keras' own means of the outputs' losses do not weight a last minibatch that is smaller.
    history = model.fit(X, y, batch_size=12, epochs=4, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)]).history
    close(np.array(history["a_loss"]) + history["b_loss"], history["loss"], phases)


def test_validation_split_cuts_labels_in_a_dictionary():
    x = keras.Input((FEATURES,))
    outputs = {"a": layers.Dense(CLASSES, name="a")(x), "b": layers.Dense(1, name="b")(x)}
    model = FriendlyModel(keras.Model(x, outputs), mlp(FEATURES))
    model.compile(adam(), adam(), loss={"a": CROSS_ENTROPY, "b": "mse"})
    y = {"a": Y, "b": X[:, :1]}
    history = model.fit(X, y, epochs=3, validation_split=0.25, verbose=0, callbacks=[DevelopmentalPlan(1.0, 2)]).history
    close(np.array(history["val_a_loss"]) + history["val_b_loss"], history["val_loss"], "validation")


def test_images_without_the_axis_of_their_channel_train_as_keras_takes_them():
    x = keras.Input((4, 4, 1))
    network = keras.Model(x, layers.Dense(CLASSES)(layers.Flatten()(x)))
    model = FriendlyModel(network, keras.Model(x, layers.Conv2D(1, 3, padding="same")(x)))
    model.compile(adam(), adam(), loss=CROSS_ENTROPY)
    images = RNG.normal(size=(N, 4, 4)).astype("float32")
    history = model.fit(images, Y, batch_size=18, epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)]).history
    assert model.simplify(images).shape == images.shape and history["perturbation"][1] > 0


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_what_layers_add_counts_in_every_loss_once(phases):
    class AddsOne(layers.Layer):
        def call(self, x):
            self.add_loss(1.0 + 0.0 * keras.ops.sum(x))
            return x

    def network(outputs, adds):
        x = keras.Input((FEATURES,))
        h = layers.Dense(outputs, kernel_initializer="ones")(x)
        return keras.Model(x, AddsOne()(h) if adds else h)

    histories = []
    for of_f, of_s in ((0, 0), (1, 0), (0, 1)):
        model = FriendlyModel(network(CLASSES, of_f), network(FEATURES, of_s), phases=phases)
        model.compile(keras.optimizers.SGD(1e-9), keras.optimizers.SGD(1e-9), loss=CROSS_ENTROPY)
        plan = DevelopmentalPlan(1e-6, 3)
        histories.append(model.fit(X, Y, shuffle=False, epochs=2, verbose=0, callbacks=[plan]).history)
    plain, of_f, of_s = ({name: np.array(logs) for name, logs in history.items()} for history in histories)
    close(of_f["loss"] - plain["loss"], [1.0, 1.0], phases)
    close(of_f["auxiliary_loss"] - plain["auxiliary_loss"], [0.0, 1.0], phases)
    close(of_s["loss"] - plain["loss"], [0.0, 0.0], phases)
    close(of_s["auxiliary_loss"] - plain["auxiliary_loss"], [0.0, 1.0], phases)


@pytest.mark.parametrize("kind", [FriendlyModel, FriendlyTraining, EasyExamplesFirst])
def test_half_precision_predictions_are_the_classifier_s(kind):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(8, dtype="float32"), layers.Dense(CLASSES)])
        arguments = {FriendlyModel: (mlp(FEATURES),), FriendlyTraining: (0.1, 0.9), EasyExamplesFirst: ()}[kind]
        model = kind(network, *arguments)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(model.predict(X * 1.0001, verbose=0), network.predict(X * 1.0001, verbose=0))


def losses():
    class Weighted(keras.losses.Loss):
        """A loss without `get_config`, whose constructor takes no name."""

        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def call(self, y, y_pred):
            return keras.ops.square(y - y_pred)[:, 0] * (1 + (self.weight - 1) * y[:, 0])

    binary, steps = (X[:, 0] > 0).astype("float32"), (X > 0).astype("int32")
    sequence = [keras.Input((FEATURES, 1)), layers.Conv1D(2, 1)]
    return {
        "a name": ([keras.Input((FEATURES,)), layers.Dense(1, "sigmoid")], "binary_crossentropy", X, binary),
        "a function": (
            [keras.Input((FEATURES,)), layers.Dense(1)],
            lambda y, p: keras.ops.mean(keras.ops.square(y - p), -1),
            X,
            binary,
        ),
        "a scalar": (
            [keras.Input((FEATURES,)), layers.Dense(1)],
            lambda y, p: keras.ops.mean(keras.ops.square(y - p)),
            X,
            binary[:, None],
        ),
        "a hinge": ([keras.Input((FEATURES,)), layers.Dense(1)], "hinge", X, binary[:, None]),
        "an own class": ([keras.Input((FEATURES,)), layers.Dense(1)], Weighted(50.0), X, binary[:, None]),
        "a label per step": (sequence, CROSS_ENTROPY, X[..., None], steps),
    }


@pytest.mark.parametrize("loss", losses())
@pytest.mark.parametrize("weighted", [False, True])
def test_the_easiest_examples_are_those_of_the_loss_that_keras_trains_with(loss, weighted):
    stack, loss, x, y = losses()[loss]
    network = keras.Sequential(stack)
    model = EasyExamplesFirst(network)
    for each in (network, model):
        each.compile("sgd", loss)
    weights = [WEIGHTS] if weighted else []
    plan = EasyExamplesPlan((x, y, *weights), first_fraction=0.25, simplification_epochs=4)
    plan.set_model(model)
    plan.on_train_begin()
    plan.on_epoch_begin(0)
    alone = [network.test_on_batch(*(array[i : i + 1] for array in (x, y, *weights))) for i in range(N)]
    assert set(np.flatnonzero(plan.kept)) == set(np.argsort(alone)[: N // 4])


def test_a_plan_of_easy_examples_takes_the_arrays_of_fit():
    networks = [classifier(), classifier()]
    networks[1].set_weights(networks[0].get_weights())
    histories = []
    for network, given in zip(networks, ("fit", "plan"), strict=True):
        model = EasyExamplesFirst(network)
        model.compile(adam(), CROSS_ENTROPY)
        plan = EasyExamplesPlan(None if given == "fit" else (X, Y), None, 0.25, 3)
        data = (
            dict(x=X, y=Y, batch_size=9, shuffle=False)
            if given == "fit"
            else dict(x=plan.minibatches(9, shuffle=False))
        )
        histories.append(model.fit(**data, epochs=4, verbose=0, callbacks=[plan]).history)
    close(histories[0]["loss"], histories[1]["loss"], "loss")
    for a, b in zip(networks[0].get_weights(), networks[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


WITH_PLAN = {
    "NFT": lambda network: (FriendlyModel(network, mlp(FEATURES, 8)), DevelopmentalPlan(1.0, 3)),
    "FT": lambda network: (FriendlyTraining(network, 1.0, 0.9), PerturbationPlan(4, 3)),
    "EEF": lambda network: (EasyExamplesFirst(network), EasyExamplesPlan(simplification_epochs=3)),
}
NO_ARRAYS = {
    "generator": lambda: (((X, Y) for _ in range(3)),),
    "list_iterator": lambda: (iter([(X, Y)]),),
    "TensorSliceDataset": lambda: (tf.data.Dataset.from_tensor_slices((X, Y)),),
    "float": lambda: (X.tolist(), Y),
}


@pytest.mark.parametrize("kind", NO_ARRAYS)
def test_minibatches_that_are_not_the_plan_s_are_refused(kind):
    model = EasyExamplesFirst(classifier())
    model.compile("sgd", CROSS_ENTROPY)
    said = rf"give fit arrays x and y, or plan.minibatches\(batch_size\), got _?{kind}"
    with pytest.raises(ValueError, match=said):
        model.fit(*NO_ARRAYS[kind](), verbose=0, callbacks=[EasyExamplesPlan((X, Y), None, 0.5, 3)])


@pytest.mark.parametrize("method", WITH_PLAN)
def test_no_examples_are_refused(method):
    model, plan = WITH_PLAN[method](classifier())
    model.compile("sgd", loss=CROSS_ENTROPY, **({"auxiliary_optimizer": "sgd"} if method == "NFT" else {}))
    with pytest.raises(ValueError, match="fit needs examples, x has none"):
        model.fit(X[:0], Y[:0], verbose=0, callbacks=[plan])
    if method != "EEF":
        model, plan = WITH_PLAN[method](classifier())
        model.compile("sgd", loss=CROSS_ENTROPY, **({"auxiliary_optimizer": "sgd"} if method == "NFT" else {}))
        with pytest.raises(ValueError, match="fit needs examples, x has none"):
            model.fit(tf.data.Dataset.from_tensor_slices((X[:0], Y[:0])).batch(4), verbose=0, callbacks=[plan])


@pytest.mark.parametrize("method", WITH_PLAN)
@pytest.mark.parametrize("labels", [["", "b"], [b"a", b"b"], [None, "a"], ["x", "y"]], ids=repr)
def test_labels_that_are_text_are_refused_wherever_they_stand(method, labels):
    model, plan = WITH_PLAN[method](classifier())
    model.compile("sgd", loss=CROSS_ENTROPY, **({"auxiliary_optimizer": "sgd"} if method == "NFT" else {}))
    text = next(label for label in labels if label is not None)
    indexed = pd.Series(labels, index=[8.5, 1.5])  # pandas 2 slices by labels there
    for y in (np.array(labels), np.array(labels, object), indexed, indexed.to_frame(), {"logits": np.array(labels)}):
        with pytest.raises(ValueError, match=re.escape(f"y has text, as {text!r}, where fit takes numbers")):
            model.fit(X[:2], y, verbose=0, callbacks=[plan])
        with pytest.raises(ValueError, match=re.escape(f"validation_data's y has text, as {text!r}, where fit takes")):
            model.fit(X[:2], Y[:2], verbose=0, callbacks=[plan], validation_data=(X[:2], y))


class PerOutput(keras.losses.Loss):
    """A loss of one's own."""

    def call(self, y, y_pred):
        return keras.ops.mean(keras.ops.square(y_pred), -1)


@pytest.mark.parametrize("method", WITH_PLAN)
@pytest.mark.parametrize("reduction", [None, "none"])
@pytest.mark.parametrize("kind", [keras.losses.SparseCategoricalCrossentropy, PerOutput])
def test_a_loss_of_each_example_by_itself_is_refused_by_compile(method, reduction, kind):
    model, _ = WITH_PLAN[method](classifier())
    auxiliary = {"auxiliary_optimizer": "sgd"} if method == "NFT" else {}
    loss = kind(reduction=reduction)
    allowed = "must be one of ('sum_over_batch_size', 'mean', 'mean_with_sample_weight', 'sum'), got "
    for given in (loss, [loss], {"a": CROSS_ENTROPY, "b": loss}, {"a": ["mse", loss], "b": None}):
        with pytest.raises(ValueError, match=re.escape(f"reduction of {kind.__name__} {allowed}{reduction!r}")):
            model.compile("sgd", loss=given, **auxiliary)
        assert not model.compiled


@pytest.mark.parametrize("method", WITH_PLAN)
def test_any_other_loss_is_taken_by_compile(method, tmp_path):
    model, _ = WITH_PLAN[method](classifier())
    auxiliary = {"auxiliary_optimizer": "sgd"} if method == "NFT" else {}
    reductions = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum")
    losses = [kind(reduction=each) for kind in (keras.losses.Hinge, PerOutput) for each in reductions]
    for loss in (*losses, None, "mse", keras.losses.mean_squared_error, [None, CROSS_ENTROPY], {"a": "mse", "b": None}):
        model.compile("sgd", loss=loss, **auxiliary)
    model.compile("sgd", loss=CROSS_ENTROPY, **auxiliary)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").compiled


def test_numbers_in_whatever_form_are_no_text():
    table = pd.Series([1, 0, 2], index=[8.5, 1.5, 1.5])
    arrays = (table, table.astype("category"), table.astype("Int64"), table.to_numpy(object), scipy.sparse.eye(3))
    arrays += (scipy.sparse.bsr_array(np.eye(3)), np.array(1), [np.int64(1)], [1, 2], keras.ops.ones(3), None)
    assert [text_among(y) for y in arrays] == [None] * len(arrays)


def test_a_fit_follows_one_plan():
    model = FriendlyModel(classifier(), mlp(FEATURES, 8))
    model.compile("sgd", auxiliary_optimizer="sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="fit follows one plan, got DevelopmentalPlan, DevelopmentalPlan"):
        model.fit(X, Y, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3), DevelopmentalPlan(2.0, 5)])


class Interrupted(keras.utils.PyDataset):
    """Minibatches; the one of a number, counted over the passes after the first two, is never had."""

    def __init__(self, at):
        super().__init__()
        self.at, self.passes, self.fetched = at, 0, 0

    def __len__(self):
        return 3

    def __getitem__(self, i):
        if self.passes > 2:
            self.fetched += 1
            if self.fetched == self.at:
                raise KeyboardInterrupt
        return X[12 * i : 12 * i + 12], Y[12 * i : 12 * i + 12]

    def on_epoch_begin(self):
        self.passes += 1


@pytest.mark.parametrize("at", [1, 2, 4, 5])
def test_an_interruption_before_a_step_leaves_both_networks(at):
    model = FriendlyModel(classifier(), mlp(FEATURES, 8))
    model.compile("sgd", auxiliary_optimizer="sgd", loss=CROSS_ENTROPY)
    data = Interrupted(at)
    with pytest.raises(BaseException, match="KeyboardInterrupt|^$"):
        model.fit(data, epochs=4, shuffle=False, verbose=0, callbacks=[DevelopmentalPlan(1.0, 4)])
    assert data.fetched == at
    for network in (model.classifier, model.auxiliary):
        assert np.isfinite(network.predict(X, verbose=0)).all()


def test_labels_of_several_classes_are_refused_by_friendly_training():
    model = FriendlyTraining(classifier(), 0.1, 0.9)
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    y = np.ones((N, CLASSES), "float32")
    with pytest.raises(ValueError, match=r"needs one class per example, got the labels \[1.0, 1.0, 1.0\]"):
        model.fit(X, y, verbose=0, callbacks=[PerturbationPlan(2, 3)])


def test_a_callback_that_moves_one_learning_rate_of_two_is_told(caplog):
    model = FriendlyModel(classifier(), mlp(FEATURES))
    model.compile("sgd", "sgd", loss=CROSS_ENTROPY)
    callbacks = [DevelopmentalPlan(1.0, 2), keras.callbacks.LearningRateScheduler(schedule)]
    model.fit(X, Y, batch_size=18, epochs=3, verbose=0, callbacks=callbacks)
    assert "LearningRateScheduler changes the learning rate of the classifier's optimizer alone" in caplog.text


FORMS = {
    "a sparse matrix": scipy.sparse.csr_matrix,
    "a table": pd.DataFrame,
    "a tensor": keras.ops.convert_to_tensor,
    "a tensor of TensorFlow's": tf.constant,
    "a sparse tensor of TensorFlow's": tf.sparse.from_dense,
}


@pytest.mark.parametrize("method", WITH_PLAN)
@pytest.mark.parametrize("form", FORMS)
def test_x_in_another_form_trains_as_the_array_does(method, form):
    close(losses_on(method, FORMS[form](MANY_ZEROS)), losses_on_the_array(method), "loss")


MANY_ZEROS = np.where(X > 0.3, X, 0)


def losses_on(method, x):
    """The losses of four epochs, three of them on altered data."""
    keras.utils.set_random_seed(0)
    model, plan = WITH_PLAN[method](classifier())
    of_auxiliary = {"auxiliary_optimizer": "sgd"} if method == "NFT" else {}
    model.compile("sgd", loss=CROSS_ENTROPY, **of_auxiliary)
    arguments = {"batch_size": 12, "epochs": 4, "shuffle": False, "verbose": 0}
    return model.fit(x, Y, callbacks=[plan], **arguments).history["loss"]


@functools.cache
def losses_on_the_array(method):
    """What several tests compare with, trained once."""
    return losses_on(method, MANY_ZEROS)


def two_outputs():
    x = keras.Input((FEATURES,))
    network = keras.Model(x, {"a": layers.Dense(CLASSES, name="a")(x), "b": layers.Dense(1, name="b")(x)})
    return network, {"a": Y, "b": 3 * X[:, :1]}, {"a": CROSS_ENTROPY, "b": "mse"}


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_the_first_minibatch_may_come_without_fit(phases, built):
    network, y, losses = two_outputs()
    auxiliary = mlp(FEATURES, 8) if built else keras.Sequential([layers.Dense(FEATURES)])
    model = FriendlyModel(network, auxiliary, phases=phases)
    model.compile("sgd", auxiliary_optimizer="sgd", loss=losses)
    model.simplifying = True
    for _ in range(2):
        before = [] if not auxiliary.built else auxiliary.get_weights()
        logs = model.train_on_batch(X, y, return_dict=True)
        assert logs["a_loss"] + logs["b_loss"] == pytest.approx(logs["loss"], rel=1e-4)
    assert any((a != b).any() for a, b in zip(before, auxiliary.get_weights(), strict=True))


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_theta_learns_the_losses_of_all_outputs(phases):
    network, y, losses = two_outputs()
    auxiliary = mlp(FEATURES, 8)
    model = FriendlyModel(network, auxiliary, phases=phases)
    model.compile(keras.optimizers.SGD(0.0), auxiliary_optimizer=keras.optimizers.SGD(0.0), loss=losses)

    def loss(x):
        outputs = network(x)
        of_b = (y["b"] - keras.ops.convert_to_numpy(outputs["b"])) ** 2
        return float(CROSS_ENTROPY(Y, outputs["a"])) + float(of_b.mean())

    plan = DevelopmentalPlan(0.0, 3)
    history = model.fit(X, y, batch_size=N, epochs=3, verbose=0, shuffle=False, callbacks=[plan]).history
    assert history["auxiliary_loss"][1] == pytest.approx(loss(auxiliary(X)), rel=1e-4)
    assert history["loss_reduction"][1] == pytest.approx(loss(X) - loss(auxiliary(X)), rel=1e-3)
    for of_a, of_b, whole in zip(history["a_loss"], history["b_loss"], history["loss"], strict=True):
        assert of_a + of_b == pytest.approx(whole, rel=1e-4)


def test_easy_examples_are_those_of_all_outputs_and_of_inputs_in_a_dictionary():
    network, y, losses = two_outputs()
    x = keras.Input((FEATURES,), name="x")
    network = keras.Model({"x": x}, network(x))
    model, plan = EasyExamplesFirst(network), EasyExamplesPlan(first_fraction=0.25, simplification_epochs=3)
    model.compile(keras.optimizers.SGD(0.0), loss=losses)
    model.fit({"x": X}, y, epochs=1, verbose=0, callbacks=[plan])
    outputs = {name: keras.ops.convert_to_numpy(output) for name, output in network({"x": X}).items()}
    of_a = keras.ops.convert_to_numpy(
        keras.losses.sparse_categorical_crossentropy(Y, keras.ops.convert_to_tensor(outputs["a"]), from_logits=True)
    )
    of_examples = of_a + ((y["b"] - outputs["b"]) ** 2)[:, 0]
    assert set(np.flatnonzero(plan.kept)) == set(np.argsort(of_examples)[: N // 4])


@pytest.mark.parametrize("phases", ["batch", "joint"])
def test_masks_and_weights_of_steps_count_as_keras_counts_them(phases):
    tokens = np.where(np.arange(6) < 4, 1 + (np.arange(N)[:, None] + np.arange(6)) % 5, 0)
    labels, weights = tokens % CLASSES, RNG.uniform(0.5, 2.0, size=tokens.shape).astype("float32")
    x = keras.Input((6,))
    h = layers.Embedding(6, 4, mask_zero=True, name="embedding")(layers.Identity()(x))
    network = keras.Model(x, layers.Dense(CLASSES)(h))
    same = keras.Sequential([keras.Input((6, 4)), layers.Dense(4, kernel_initializer="identity")])
    same.trainable = False
    first, found = network.get_weights(), []
    for model in (network, FriendlyModel(network, same, phases=phases, alters="embedding")):
        network.set_weights(first)
        of_auxiliary = {"auxiliary_optimizer": "sgd"} if model is not network else {}
        model.compile("sgd", loss=CROSS_ENTROPY, weighted_metrics=["accuracy"], **of_auxiliary)
        plan = [DevelopmentalPlan(1.0, 3, first_simplified_epoch=1)] if model is not network else []
        arguments = {"sample_weight": weights, "epochs": 3, "batch_size": 12, "shuffle": False, "verbose": 0}
        history = model.fit(tokens, labels, callbacks=plan, **arguments).history
        found.append((history["loss"], network.get_weights(), history["accuracy"]))
    close(found[1][0], found[0][0], "loss")
    for got, want in zip(found[1][1], found[0][1], strict=True):
        close(got, want, "weights")
    if keras.backend.backend() != "jax":  # where keras.Model's metrics forget the mask
        close(found[1][2], found[0][2], "accuracy")


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="keras.Model does not train it either")
@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_a_stateful_classifier_of_fixed_minibatches_trains(phases):
    x = keras.Input((4, FEATURES), batch_size=12)
    network = keras.Model(x, layers.Dense(CLASSES)(layers.LSTM(4, stateful=True)(x)))
    s = keras.Input((4, FEATURES))
    model = FriendlyModel(network, keras.Model(s, layers.Dense(FEATURES)(s)), phases=phases)
    model.compile("sgd", auxiliary_optimizer="sgd", loss=CROSS_ENTROPY)
    sequences = np.repeat(X[:, None], 4, axis=1)
    plan = DevelopmentalPlan(1.0, 3)
    history = model.fit(sequences, Y, batch_size=12, epochs=4, verbose=0, callbacks=[plan]).history
    assert history["perturbation"][1] > 0 and np.isnan(history["loss_reduction"][1])


@pytest.mark.parametrize("form", [dict, list])
@pytest.mark.parametrize("method", ["NFT", "EEF"])
def test_losses_and_metrics_are_given_by_the_names_of_outputs(method, form):
    x, histories = keras.Input((FEATURES,)), []
    y = {"a": X[:, :1], "b": -X[:, 1:2]}
    for wrapped in (False, True):
        outputs = {name: layers.Dense(1, name=name, kernel_initializer="ones")(x) for name in y}
        model, plan, of_auxiliary = keras.Model(x, outputs if form is dict else list(outputs.values())), [], {}
        if wrapped and method == "NFT":
            model, plan = FriendlyModel(model, mlp(FEATURES, 8)), [DevelopmentalPlan(1.0, 0)]
            of_auxiliary = {"auxiliary_optimizer": "sgd"}
        elif wrapped:
            model, plan = EasyExamplesFirst(model), [EasyExamplesPlan(simplification_epochs=0)]
        metrics, weights = {"a": ["mae"], "b": ["mse"]}, {"a": 0.1, "b": 3.0}
        model.compile("sgd", loss={"a": "mse", "b": "mae"}, metrics=metrics, loss_weights=weights, **of_auxiliary)
        labels = y if form is dict else list(y.values())
        histories.append(model.fit(X, labels, epochs=2, shuffle=False, verbose=0, callbacks=plan).history)
    ours = {name: values for name, values in histories[1].items() if name in histories[0]}
    assert set(histories[0]) == set(ours) == {"loss", "a_loss", "b_loss", "a_mae", "b_mse"}
    for name, values in histories[0].items():
        close(values, ours[name], name)


def test_a_classifier_of_fixed_minibatches_is_compared_on_one():
    x = keras.Input((FEATURES,), batch_size=12)
    model = FriendlyModel(keras.Model(x, layers.Dense(CLASSES)(x)), mlp(FEATURES, 8))
    model.compile("sgd", auxiliary_optimizer="sgd", loss=CROSS_ENTROPY)
    history = model.fit(X, Y, batch_size=12, epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1.0, 3)]).history
    assert np.isfinite(history["loss_reduction"][1]) and history["loss_reduction"][1] != 0


def test_easy_examples_of_arrays_of_different_lengths_are_refused():
    model = EasyExamplesFirst(classifier())
    model.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match=f"as many examples each, got {N}, {N - 1}"):
        model.fit(X, Y[:-1], verbose=0, callbacks=[EasyExamplesPlan(simplification_epochs=3)])


def test_a_classifier_of_several_outputs_is_refused_by_friendly_training():
    with pytest.raises(ValueError, match="needs one output, the classifier has 2"):
        FriendlyTraining(two_outputs()[0], 1.0, 0.9)


def test_easy_examples_are_those_of_the_loss_that_masks_leave():
    tokens = np.where(np.arange(6) < 1 + np.arange(N)[:, None] % 6, 1 + (np.arange(N)[:, None] + np.arange(6)) % 5, 0)
    x, labels = keras.Input((6,)), tokens % CLASSES
    network = keras.Model(x, layers.Dense(CLASSES)(layers.Embedding(6, 4, mask_zero=True)(x)))
    model, plan = EasyExamplesFirst(network), EasyExamplesPlan(first_fraction=0.25, simplification_epochs=3)
    model.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
    model.fit(tokens, labels, epochs=1, verbose=0, callbacks=[plan])
    losses = [model.evaluate(tokens[i : i + 1], labels[i : i + 1], verbose=0) for i in range(N)]
    kept, left = (np.array(losses)[np.flatnonzero(plan.kept == which)] for which in (True, False))
    assert len(kept) == N // 4 and kept.max() <= left.min() + 1e-5
