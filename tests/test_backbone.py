"""A backbone: what it takes, that it is scaled, frozen and unfrozen as it is said, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from nft_keras import DevelopmentalPlan, FriendlyModel, mlp, unet
from nft_keras.backbone import BackboneError, _scaling, backbone, network_in, unfreeze
from nft_keras.costs import forward

RNG = np.random.default_rng(0)
X, Y = RNG.random((12, 8, 8, 3)).astype("float32"), np.arange(12, dtype="int32") % 3


def features(shape=(8, 8, 3), flat=False, end=()):
    """A small network up to its features, with weights as if it were trained."""
    inputs = x = keras.Input(shape)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    for layer in ([layers.GlobalMaxPooling2D()] if flat else []) + list(end):
        x = layer(x)
    network = keras.Model(inputs, x)
    network.set_weights([RNG.uniform(0.1, 1, weight.shape) for weight in network.get_weights()])
    return network


@pytest.fixture
def file(tmp_path):
    features().save(tmp_path / "own.keras")
    return str(tmp_path / "own.keras")


@pytest.mark.parametrize("flat", [False, True])
def test_the_logits_are_a_dense_layer_on_the_pooled_features(tmp_path, flat):
    own = features(flat=flat)
    own.save(tmp_path / "own.keras")
    classifier = backbone((8, 8, 3), 3, str(tmp_path / "own.keras"))
    pooled = own.predict(X, verbose=0)
    pooled = pooled if flat else pooled.mean((1, 2))
    kernel, bias = classifier.layers[-1].get_weights()
    np.testing.assert_allclose(classifier.predict(X, verbose=0), pooled @ kernel + bias, rtol=1e-4, atol=1e-5)
    assert classifier.layers[-1].activation is keras.activations.linear
    assert "nft_keras" not in classifier.to_json()


@pytest.mark.parametrize(
    "name", ["VGG16", "ResNet50", "ResNet50V2", "MobileNetV2", "MobileNetV3Small", "DenseNet121", "EfficientNetB0"]
)
def test_images_in_0_to_1_are_scaled_as_the_models_own_preprocessing_does(name):
    module = {
        "VGG16": keras.applications.vgg16,
        "ResNet50": keras.applications.resnet,
        "ResNet50V2": keras.applications.resnet_v2,
        "MobileNetV2": keras.applications.mobilenet_v2,
        "MobileNetV3Small": keras.applications.mobilenet_v3,
        "DenseNet121": keras.applications.densenet,
        "EfficientNetB0": keras.applications.efficientnet,
    }[name]
    scaled = X
    for layer in _scaling(name):
        scaled = layer(scaled)
    np.testing.assert_allclose(scaled, module.preprocess_input(255.0 * X), rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_a_model_of_keras_applications_trains_from_nothing_and_is_stored(tmp_path):
    classifier = backbone((32, 32, 3), 3, weights="none", trainable=True)
    network = network_in(classifier)
    assert network.output_shape == (None, 1, 1, 576) and forward(classifier) > forward(network) > 1e6
    x = RNG.random((6, 32, 32, 3)).astype("float32")
    before = [np.array(v) for v in network.variables]
    model = FriendlyModel(classifier, None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss)
    model.fit(x, Y[:6], epochs=1, verbose=0, callbacks=[DevelopmentalPlan(0.0, 0)])
    moved = [np.abs(a - np.array(b)).max() > 0 for a, b in zip(before, network.variables, strict=True)]
    assert np.mean(moved) > 0.9  # batch-norm statistics too: nothing was trained before
    classifier.save(tmp_path / "classifier.keras")
    again = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), classifier.predict(x, verbose=0), rtol=1e-5)


def test_grey_images_are_seen_as_coloured_ones():
    grey = backbone((32, 32, 1), 3, weights="none", trainable=True)
    coloured = backbone((32, 32, 3), 3, weights="none", trainable=True)
    coloured.set_weights(grey.get_weights())
    x = RNG.random((2, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(
        grey.predict(x, verbose=0), coloured.predict(np.repeat(x, 3, -1), verbose=0), rtol=1e-4, atol=1e-6
    )


def test_weights_of_a_model_of_keras_applications_may_come_from_a_file(tmp_path):
    network = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(32, 32, 3))
    network.save_weights(tmp_path / "small.weights.h5")
    classifier = backbone((32, 32, 3), 3, weights=str(tmp_path / "small.weights.h5"))
    for one, other in zip(network_in(classifier).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(BackboneError, match="small.weights.h5 does not fit MobileNetV2 without its top: "):
        backbone((32, 32, 3), 3, "MobileNetV2", str(tmp_path / "small.weights.h5"))


@pytest.mark.slow
def test_a_preset_of_keras_hub_may_be_a_folder(tmp_path):
    import keras_hub

    hub = keras_hub.models.VGGBackbone(stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 8])
    hub.save_to_preset(tmp_path / "preset")
    converter = keras_hub.layers.VGGImageConverter(image_size=(16, 16), scale=[0.01, 0.02, 0.03], offset=0.5)
    converter.save_to_preset(tmp_path / "preset")
    classifier = backbone((16, 16, 3), 3, str(tmp_path / "preset"))
    x = RNG.random((2, 16, 16, 3)).astype("float32")
    pooled = hub.predict(255 * x * [0.01, 0.02, 0.03] + 0.5, verbose=0).mean((1, 2))
    kernel, bias = classifier.layers[-1].get_weights()
    np.testing.assert_allclose(classifier.predict(x, verbose=0), pooled @ kernel + bias, rtol=1e-4, atol=1e-5)
    random = backbone((16, 16, 3), 3, str(tmp_path / "preset"), "none", trainable=True)
    assert any(
        (a != b).any()
        for a, b in zip(network_in(random).get_weights(), network_in(classifier).get_weights(), strict=True)
    )


def values(variables):
    return [np.array(v) for v in variables]


def moved(before, variables):
    return [bool(np.abs(a - np.array(b)).max() > 0) for a, b in zip(before, variables, strict=True)]


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_a_frozen_backbone_stands_still_and_an_unfrozen_one_is_trained_but_for_batch_norm(file, phases):
    classifier = backbone((8, 8, 3), 3, file)
    network, head = network_in(classifier), classifier.layers[-1]
    model = FriendlyModel(classifier, unet((8, 8, 3), filters=2, depth=1), phases=phases)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), auxiliary_optimizer=keras.optimizers.Adam(1e-2), loss=loss)
    before, of_head = values(network.variables), values(head.variables)
    plan = DevelopmentalPlan(10.0, 6)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[plan], batch_size=6)
    assert not any(moved(before, network.variables)) and all(moved(of_head, head.variables))
    of_theta = values(model.auxiliary_optimizer.variables)
    unfreeze(classifier)
    model.renew_training()
    assert not any(moved(of_theta, model.auxiliary_optimizer.variables))  # theta's optimizer goes on as it was
    assert int(model.optimizer.iterations) == 0
    model.fit(X, Y, epochs=8, initial_epoch=3, verbose=0, callbacks=[plan], batch_size=6)
    trained = [id(v) for v in network.trainable_variables]
    assert len(trained) == 2 and model.auxiliary is None
    assert moved(before, network.variables) == [id(v) in trained for v in network.variables]


REFUSED = {
    "both": ({"trainable": True, "trainable_from": 3}, "trainable_from is for a backbone that is frozen at first"),
    "random": ({"weights": "none"}, "weights: none leaves a frozen backbone random"),
    "no such model": (
        {"model": "MobileNetV3Smal"},
        "is no model of keras.applications, .* did you mean MobileNetV3Sma",
    ),
    "no file": ({"model": "nowhere.keras"}, "model: no file nowhere.keras; a relative path starts from the working"),
    "no weights": ({"weights": "nowhere.h5"}, "weights: no file nowhere.h5"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_had_or_contradicts_itself_is_refused_in_one_line(kind):
    settings, message = REFUSED[kind]
    with pytest.raises(BackboneError, match=message) as caught:
        backbone((32, 32, 3), 3, **settings)
    assert "\n" not in str(caught.value)


def test_a_file_that_does_not_fit_is_refused(tmp_path, file):
    for network, message in (
        (features((9, 9, 3)), r"takes images of \(9, 9, 3\), those of the data set are \(8, 8, 3\)"),
        (mlp(3, 2), r"should map images to features, it maps \(None, 3\)"),
        (features(end=[layers.Lambda(lambda x: 2 * x)]), "cannot be loaded: "),
    ):
        network.save(tmp_path / "other.keras")
        with pytest.raises(BackboneError, match=f"model: .*other.keras {message}"):
            backbone((8, 8, 3), 3, str(tmp_path / "other.keras"))
    with pytest.raises(BackboneError, match="own.keras brings its own weights, got weights: none"):
        backbone((8, 8, 3), 3, file, "none", trainable=True)
    (tmp_path / "damaged.keras").write_text("no zip")
    with pytest.raises(BackboneError, match="damaged.keras cannot be loaded"):
        backbone((8, 8, 3), 3, str(tmp_path / "damaged.keras"))
    with pytest.raises(ValueError, match=r"backbone needs images \(height, width, 1 or 3\), got \(5,\)"):
        backbone((5,), 3, file)


def test_weights_that_cannot_be_downloaded_are_told_with_what_to_put_where(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(BackboneError) as caught:
        backbone((32, 32, 3), 3, "MobileNetV2")
    assert "\n" not in str(caught.value)
    assert "the weights of MobileNetV2 cannot be downloaded: run once with network, put https://" in str(caught.value)
    assert f"no_top.h5 into {tmp_path}/models, or give weights: FILE" in str(caught.value)
