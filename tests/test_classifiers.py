import keras
import numpy as np
import pytest

from nft_keras import classifiers


def conv(size, inputs, outputs):
    return size * size * inputs * outputs + outputs


def dense(inputs, outputs):
    return inputs * outputs + outputs


FC_B = (2500, 2000, 1500, 1000, 500)


@pytest.mark.parametrize(
    "name, shape, parameters",
    [
        ("fc_a", (28, 28, 1), dense(784, 10) + dense(10, 10)),
        (
            "fc_b",
            (28, 28, 1),
            sum(dense(a, b) + 4 * b for a, b in zip((784, *FC_B), FC_B, strict=False)) + dense(500, 10),
        ),
        ("cnn_a", (28, 28, 1), conv(3, 1, 32) + conv(3, 32, 64) + dense(9216, 128) + dense(128, 10)),
        (
            "cnn_b",
            (28, 28, 1),
            conv(4, 1, 32) + conv(4, 32, 48) + conv(3, 48, 64) + conv(2, 64, 64) + dense(5184, 128) + dense(128, 10),
        ),
        # 11,173,962 trainable ones, the number known for this network, and two statistics for each of 4,800 maps.
        ("resnet18", (32, 32, 3), 11_173_962 + 2 * 4800),
    ],
)
def test_parameters_are_those_of_the_published_architecture(name, shape, parameters):
    model = getattr(classifiers, name)(shape, 10)
    assert model.output_shape == (None, 10)
    assert model.count_params() == parameters


@pytest.mark.parametrize("name, features", [("cnn_a", 9216), ("cnn_b", 5184)])
def test_flattened_features_are_those_of_footnote_5(name, features):
    model = getattr(classifiers, name)((28, 28, 1), 10)
    flatten = next(layer for layer in model.layers if isinstance(layer, keras.layers.Flatten))
    assert flatten.output.shape == (None, features)


@pytest.mark.parametrize("name", ["fc_a", "fc_b", "cnn_a", "cnn_b", "cnn_gap", "resnet18"])
def test_outputs_are_logits_and_the_file_needs_no_nft_keras(name, tmp_path):
    model = getattr(classifiers, name)((28, 28, 1), 3)
    assert model.layers[-1].activation is keras.activations.linear
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert "nft_keras" not in model.to_json()


def test_weights_and_biases_start_uniform_in_one_over_root_fan_in():
    model = classifiers.cnn_a((28, 28, 1), 10)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            bound = 1 / np.sqrt(np.prod(kernel.shape[:-1]))
            assert 0.9 * bound < np.abs(kernel).max() <= bound and 0.5 * bound < np.abs(bias).max() <= bound
            assert np.isclose(kernel.std(), bound / np.sqrt(3), rtol=0.15)


def test_fully_connected_ones_take_vectors_too():
    assert classifiers.fc_a((2,), 2, units=5).count_params() == dense(2, 5) + dense(5, 2)
    assert classifiers.fc_b((20,), 2, units=(4, 3)).output_shape == (None, 2)


@pytest.mark.parametrize("size", [16, 64, 224])
def test_the_weights_of_cnn_gap_do_not_grow_with_the_image(size):
    maps = (3, 32, 64, 128, 256)
    convolutions = sum(9 * a * b + 4 * b for a, b in zip(maps, maps[1:], strict=False))
    assert classifiers.cnn_gap((size, size + 5, 3), 7).count_params() == convolutions + dense(256, 7)
    assert classifiers.cnn_gap((4, 4, 1), 2, filters=[5]).count_params() == 9 * 5 + 4 * 5 + dense(5, 2)


@pytest.mark.parametrize("name, least", [("cnn_a", 6), ("cnn_b", 11), ("cnn_gap", 16), ("resnet18", 1)])
def test_the_smallest_images_are_said_in_words(name, least):
    build, called = getattr(classifiers, name), name.replace("_", "-")
    assert build((least, least, 1), 2).output_shape == (None, 2)
    if least > 1:
        message = f"{called} needs images of at least {least}x{least} pixels, got {least - 1}x{least + 1}"
        with pytest.raises(ValueError, match=message):
            build((least - 1, least + 1, 1), 2)
    with pytest.raises(ValueError, match=rf"{called} needs images \(height, width, channels\), got \(5,\)"):
        build((5,), 2)
