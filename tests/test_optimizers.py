import gc

import keras
import numpy as np
import pytest

from nft_keras import optimizers


def minimise(optimizer, start, gradient, steps=5):
    w = keras.Variable(start)
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(gradient(w.numpy()))], [w])
    return w.numpy()


@pytest.mark.parametrize("name, rate", [("Adam", 0.01), ("SGD", 0.1)])
def test_l2_is_the_gradient_of_half_the_squared_norm(name, rate):
    start = np.array([1.0, -2.0, 0.5], "float32")
    l2 = 0.3
    with_l2 = minimise(getattr(optimizers, name)(rate, l2=l2), start, lambda w: np.sin(w))
    by_hand = minimise(getattr(keras.optimizers, name)(rate), start, lambda w: np.sin(w) + l2 * w)
    np.testing.assert_allclose(with_l2, by_hand, rtol=1e-6)


@pytest.mark.parametrize("l2", [-1.0, float("nan"), "0.1"])
def test_l2_out_of_range_is_refused(l2):
    with pytest.raises(ValueError, match="l2 must be a finite number >= 0, got"):
        optimizers.SGD(0.1, l2=l2)


def test_without_l2_the_step_is_that_of_keras():
    start = np.array([1.0, -2.0, 0.5], "float32")
    for amsgrad in (False, True):
        ours, theirs = optimizers.Adam(0.01, amsgrad=amsgrad), keras.optimizers.Adam(0.01, amsgrad=amsgrad)
        np.testing.assert_allclose(minimise(ours, start, np.cos), minimise(theirs, start, np.cos), rtol=1e-6)
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4)


def test_decoupled_weight_decay_stays_available():
    start = np.array([1.0, -2.0, 0.5], "float32")
    decayed = minimise(optimizers.Adam(0.01, weight_decay=0.1), start, np.cos)
    theirs = minimise(keras.optimizers.AdamW(0.01, weight_decay=0.1), start, np.cos)
    np.testing.assert_allclose(decayed, theirs, rtol=1e-6)


def test_a_saved_optimizer_keeps_its_l2():
    optimizer = optimizers.SGD(0.1, momentum=0.9, l2=0.5)
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(loaded) is optimizers.SGD and loaded.l2 == 0.5 and loaded.momentum == 0.9


@pytest.mark.parametrize("optimizer", [optimizers.Adam, optimizers.SGD])
def test_a_trained_model_that_is_gone_leaves_no_graph_behind(optimizer):
    def graphs():
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    def train():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(optimizer(0.1), "mse")
        model.train_on_batch(np.zeros((4, 3)), np.zeros((4, 2)))
        return graphs()

    train()
    before = graphs()
    assert train() > before
    assert graphs() == before
