"""The product of large dense layers, on TensorFlow."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from nft_keras import DevelopmentalPlan, FriendlyModel, FriendlyTraining, PerturbationPlan, mlp, optimizers
from nft_keras.backend import keras_internals
from nft_keras.backend import tensorflow as backend
from nft_keras.backend.tensorflow import product


@pytest.mark.parametrize("rows", [0, 3, 20])
@pytest.mark.parametrize("columns", [0, 4, 40])
def test_a_product_and_its_gradients_are_those_of_matrices(rows, columns):
    rng = np.random.default_rng(0)
    x, w, dy = rng.normal(size=(rows, 40)), rng.normal(size=(40, 5)), rng.normal(size=(rows, 5))
    x[:, columns:] = 0
    x, w, dy = (tf.constant(each, tf.float32) for each in (x, w, dy))

    @tf.function
    def of(x, w):
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = product(x, w)
        return y, *tape.gradient(y, [x, w], dy)

    x_, w_, dy_ = (each.numpy() for each in (x, w, dy))
    for ours, by_hand in zip(of(x, w), (x_ @ w_, dy_ @ w_.T, x_.T @ dy_), strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-5)


def classifier():
    return keras.Sequential([keras.Input((30,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(2)])


def ct():
    return FriendlyModel(classifier(), None), DevelopmentalPlan(0.0, 0)


def nft():
    return FriendlyModel(classifier(), mlp(30, 4, 2)), DevelopmentalPlan(1.0, 3)


def ft():
    return FriendlyTraining(classifier(), 0.1, 0.9), PerturbationPlan(3, 3)


def trained(make):
    """The classifier after epochs on altered and on real data, of which most columns are zero."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = np.zeros((40, 30), "float32"), rng.integers(2, size=40)
    x[:, ::3] = rng.normal(size=(40, 10))
    model, plan = make()
    also = {"auxiliary_optimizer": optimizers.Adam(0.01, l2=0.01)} if getattr(model, "auxiliary", None) else {}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # A large epsilon: of a gradient that is exactly zero Adam's first steps magnify what rounding leaves.
    model.compile(optimizers.Adam(0.01, l2=0.01, epsilon=0.1), loss=loss, steps_per_execution=2, **also)
    model.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[plan])
    return model.classifier


@pytest.mark.parametrize("make", [ct, nft, ft])
def test_large_networks_are_trained_as_small_ones_are(make, monkeypatch):
    small, products = trained(make), []
    monkeypatch.setattr(backend, "product", lambda x, w: products.append(x) or product(x, w))
    for limit in ("LARGE", "WIDE"):
        monkeypatch.setattr(keras_internals, limit, 1)
    large = trained(make)
    for a, b in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    there = len(products)
    large.predict(np.zeros((1, 30)), verbose=0)
    assert len(products) == there > 0


def test_networks_that_share_a_large_frozen_layer_are_trained(monkeypatch):
    monkeypatch.setattr(keras_internals, "WIDE", 1)
    x, y = np.ones((8, 30), "float32"), np.arange(8) % 2
    shared = keras.layers.Dense(30, trainable=False)
    networks = [keras.Sequential([keras.Input((30,)), shared, keras.layers.Dense(units)]) for units in (2, 30)]
    before, own = shared.get_weights(), shared.call
    model = FriendlyModel(*networks, phases="joint")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", auxiliary_optimizer="adam", loss=loss)
    model.simplifying = True
    with keras_internals.large_products(networks, lambda inputs, kernel: 2 * (inputs @ kernel)):
        once = shared(x)
    np.testing.assert_allclose(once, 2 * (x @ before[0]), rtol=1e-5, atol=1e-5)
    assert np.isfinite(model.train_on_batch(x, y, return_dict=True)["loss"])
    np.testing.assert_array_equal(shared.get_weights()[0], before[0])
    assert shared.call == own


@pytest.mark.parametrize("make", [ct, nft, ft])
def test_a_large_network_that_was_trained_and_is_gone_leaves_no_graph_behind(make, monkeypatch):
    monkeypatch.setattr(keras_internals, "WIDE", 1)

    def graphs():
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    trained(make)
    before = graphs()
    network = trained(make)
    assert network.count_params() and graphs() == before
