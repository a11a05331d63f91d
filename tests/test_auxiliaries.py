import keras
import numpy as np
import pytest
import tensorflow as tf

from nft_keras import costs
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


@pytest.mark.parametrize("shape", [(28, 28, 1), (27, 31, 3), (9, 8, 2)])
@pytest.mark.parametrize("stem", [2, 3])
@pytest.mark.parametrize("num_classes", [None, 3])
def test_a_stem_folds_squares_of_pixels_into_channels_and_unfolds_them_at_the_end(shape, stem, num_classes):
    model = unet(shape, filters=4, depth=1, num_classes=num_classes, stem=stem)
    x, y = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32"), np.array([0, 2])
    given = [x, y] if num_classes else x
    assert model(given).shape == x.shape
    first, *_, last = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    padded = np.pad(x, [(0, 0), (0, -shape[0] % stem), (0, -shape[1] % stem), (0, 0)])
    n, height, width, channels = padded.shape
    squares = padded.reshape(n, height // stem, stem, width // stem, stem, channels).transpose(0, 1, 3, 2, 4, 5)
    squares = squares.reshape(n, height // stem, width // stem, -1)
    seen = np.array(keras.Model(model.input, first.input)(given))
    np.testing.assert_array_equal(seen[..., : squares.shape[-1]], squares)
    for label, maps in zip(y, seen[..., squares.shape[-1] :], strict=True):
        assert num_classes is None or (maps == np.eye(3)[label]).all()
    np.testing.assert_array_equal(keras.Model(last.output, model.output)(squares), x)
    assert last.activation is keras.activations.linear


def test_a_stem_of_2_takes_about_a_quarter_of_the_operations():
    whole, folded = (costs.forward(unet((28, 28, 1), stem=stem)) for stem in (1, 2))
    assert 0.24 < folded / whole < 0.27
    assert 0.24 < costs.forward(unet((27, 29, 1), stem=2)) / costs.forward(unet((27, 29, 1))) < 0.29


def test_without_a_stem_the_network_is_the_one_it_was():
    outputs = []
    for arguments in ({}, {"stem": 1}):
        keras.utils.set_random_seed(0)
        model = unet((9, 8, 1), 4, 2, num_classes=3, **arguments)
        outputs.append(np.array(model([np.ones((2, 9, 8, 1), "float32"), np.array([0, 1])])))
    np.testing.assert_array_equal(*outputs)


def test_mlp_is_one_hidden_layer():
    assert mlp(20, hidden=7).count_params() == 20 * 7 + 7 + 7 * 20 + 20


@pytest.mark.parametrize("given, name", [(((20,),), "input_dim"), ((20, [64, 32]), "hidden"), ((0,), "input_dim")])
def test_mlp_takes_whole_numbers_of_any_kind_and_says_what_it_wants(given, name):
    assert mlp(np.int64(3), np.float32(8)).input_shape == mlp(3.0, 8).input_shape == (None, 3)
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, got"):
        mlp(*given)


@pytest.mark.parametrize("build", [lambda: unet((8, 8, 1), 4, 1, num_classes=3), lambda: mlp(8, 4, num_classes=3)])
def test_the_output_is_linear_and_depends_on_the_label_where_there_is_one(build):
    model = build()
    assert model.layers[-1].activation is keras.activations.linear
    x = np.ones((3, *model.output_shape[1:]), "float32")
    outputs = np.array(model([x, np.array([0, 1, 2])]))
    assert outputs.shape == x.shape and len(np.unique(outputs.reshape(3, -1), axis=0)) == 3


@pytest.mark.parametrize(
    "build",
    [
        lambda: unet((9, 8, 1), 4, 2, num_classes=3),
        lambda: unet((9, 8, 1), 4, 1, num_classes=3, stem=2),
        lambda: mlp(8, 4),
    ],
)
def test_a_saved_network_gives_the_same_output(build, tmp_path):
    model = build()
    model.save(tmp_path / "auxiliary.keras")
    loaded = keras.saving.load_model(tmp_path / "auxiliary.keras")
    inputs = [np.ones((2, *i.shape[1:]), i.dtype) for i in model.inputs]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "build",
    [
        lambda n: unet((9, 8, 2), 4, 2, n, residual=True),
        lambda n: unet((9, 8, 2), 4, 1, n, residual=True, stem=2),
        lambda n: mlp(5, 4, n, residual=True),
    ],
)
def test_a_residual_network_starts_as_the_identity_and_can_leave_it(build, num_classes):
    model = build(num_classes)
    x = np.random.default_rng(0).normal(size=(3, *model.output_shape[1:])).astype("float32")
    inputs = [x, np.array([0, 1, 2])] if num_classes else x
    np.testing.assert_array_equal(model(inputs), x)
    of_g = [layer for layer in model.layers if layer.weights][-1]
    of_g.set_weights([np.ones_like(w) for w in of_g.get_weights()])
    assert not np.allclose(model(inputs), x)


def test_shapes_that_are_no_images_or_too_small_are_refused():
    with pytest.raises(ValueError, match=r"needs input_shape \(height, width, channels\), got \(784,\)"):
        unet((784,))
    with pytest.raises(ValueError, match="depth 3 needs images of at least 8x8, got 7x9"):
        unet((7, 9, 1), depth=3)
    with pytest.raises(ValueError, match="depth 2 and stem 3 needs images of at least 10x10, got 9x12"):
        unet((9, 12, 1), depth=2, stem=3)
    assert unet((10, 12, 1), 4, depth=2, stem=3).output_shape == (None, 10, 12, 1)


@pytest.mark.parametrize("name", ["filters", "depth", "stem", "num_classes"])
@pytest.mark.parametrize("value", [0, 1.5, "2"])
def test_what_is_no_whole_number_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, got {value!r}"):
        unet((9, 9, 1), **{name: value})


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
