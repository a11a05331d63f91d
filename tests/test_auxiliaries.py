import keras
import numpy as np
import pytest
import tensorflow as tf

from nft_keras.auxiliaries import mlp, unet
from nft_keras.layers import FusedBatchNormalization


def double_conv(inputs, middle, outputs):
    return 9 * inputs * middle + 4 * middle + 9 * middle * outputs + 4 * outputs


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (27, 31, 1), (13, 8, 2), (5, 4, 1)])
@pytest.mark.parametrize("depth", [1, 2])
def test_unet_gives_the_shape_it_takes_even_an_odd_one(shape, depth):
    model = unet(shape, filters=4, depth=depth)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    assert model(x).shape == x.shape


def test_unet_has_the_widths_of_footnote_6():
    f = 64
    depth_1 = double_conv(1, f, f) + double_conv(f, f, f) + double_conv(2 * f, f, f) + f + 1
    assert unet((28, 28, 1), depth=1).count_params() == depth_1
    depth_2 = (
        double_conv(1, f, f)
        + double_conv(f, 2 * f, 2 * f)
        + double_conv(2 * f, 2 * f, 2 * f)
        + double_conv(4 * f, 2 * f, f)
        + double_conv(2 * f, f, f)
        + (f + 1)
    )
    assert unet((28, 28, 1), depth=2).count_params() == depth_2


def test_mlp_is_one_hidden_layer():
    assert mlp(20, hidden=7).count_params() == 20 * 7 + 7 + 7 * 20 + 20


@pytest.mark.parametrize("build", [lambda: unet((8, 8, 1), 4, 1, num_classes=3), lambda: mlp(8, 4, num_classes=3)])
def test_the_output_is_linear_and_depends_on_the_label_where_there_is_one(build):
    model = build()
    assert model.layers[-1].activation is keras.activations.linear
    x = np.ones((3, *model.output_shape[1:]), "float32")
    outputs = np.array(model([x, np.array([0, 1, 2])]))
    assert outputs.shape == x.shape and len(np.unique(outputs.reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize("build", [lambda: unet((9, 8, 1), 4, 2, num_classes=3), lambda: mlp(8, 4)])
def test_a_saved_network_gives_the_same_output(build, tmp_path):
    model = build()
    model.save(tmp_path / "auxiliary.keras")
    loaded = keras.saving.load_model(tmp_path / "auxiliary.keras")
    inputs = [np.ones((2, *i.shape[1:]), i.dtype) for i in model.inputs]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "build", [lambda n: unet((9, 8, 2), 4, 2, n, residual=True), lambda n: mlp(5, 4, n, residual=True)]
)
def test_a_residual_network_starts_as_the_identity_and_can_leave_it(build, num_classes):
    model = build(num_classes)
    x = np.random.default_rng(0).normal(size=(3, *model.output_shape[1:])).astype("float32")
    inputs = [x, np.array([0, 1, 2])] if num_classes else x
    np.testing.assert_array_equal(model(inputs), x)
    model.layers[-2].set_weights([np.ones_like(w) for w in model.layers[-2].get_weights()])
    assert not np.allclose(model(inputs), x)


def test_shapes_that_are_no_images_or_too_small_are_refused():
    with pytest.raises(ValueError, match=r"needs input_shape \(height, width, channels\), got \(784,\)"):
        unet((784,))
    with pytest.raises(ValueError, match="depth 3 needs images of at least 8x8, got 7x9"):
        unet((7, 9, 1), depth=3)


@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("mixed_bfloat16", 2e-2), ("mixed_float16", 2e-3)])
def test_batch_norm_in_one_kernel_is_keras_batch_norm(policy, tolerance):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(1, 2, size=(2, 4, 3, 5)), rng.uniform(0.5, 2, size=(4, 5))
    outputs, gradients, statistics = [], [], []
    for layer_class in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = layer_class(momentum=0.9, epsilon=1e-5, dtype=policy)
        layer.build(x.shape)
        layer.set_weights(list(weights))
        images = tf.constant(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(images)
            trained = layer(images, training=True)
            loss = tf.reduce_sum(tf.square(tf.cast(trained, "float32")) * tf.cast(images, "float32"))
        gradients.append(tape.gradient(loss, [images, *(v.value for v in layer.trainable_variables)]))
        outputs.append([trained, layer(images, training=False)])
        statistics.append([layer.moving_mean, layer.moving_variance])
    for keras_values, fused_values in (outputs, gradients, statistics):
        for expected, got in zip(keras_values, fused_values, strict=True):
            assert got.dtype == expected.dtype
            expected, got = (np.array(keras.ops.cast(v, "float32")) for v in (expected, got))
            np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())
