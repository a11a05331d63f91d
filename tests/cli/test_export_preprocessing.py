"""`export --with-preprocessing`: what is deployed takes the numbers and pixels of files as they are."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from nft_keras import data
from nft_keras.cli.export import FORMATS, ExportError, _behind, export, main
from nft_keras.cli.predict import predict
from nft_keras.data.features.columns import Columns, Number
from nft_keras.data.features.images import Images
from tests.cli.test_export import RUNTIMES
from tests.cli.test_predict import loaded, probabilities

pytestmark = pytest.mark.xdist_group("predict")


def softmax(logits):
    exp = np.exp(logits.astype("float64"))
    return exp / exp.sum(1, keepdims=True)


def out(folder, name):
    return folder / FORMATS[name][0].rpartition("/")[2]


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_s_numbers_are_scaled_inside(trials, tmp_path, name):
    trial, folder = trials[0]["numbers"], trials[1]
    path = export(trial, name, out(tmp_path, name), with_preprocessing=True)
    table = np.genfromtxt(folder / "numbers.csv", delimiter=",", skip_header=1, usecols=(0, 2)).astype("float32")
    expected = probabilities(predict(trial, folder / "numbers.csv"))
    assert expected.std() > 1e-3
    # In float32 a column of 0 or 1 in thousandths, or of 1000, keeps five digits.
    np.testing.assert_allclose(softmax(RUNTIMES[name](path, table)), expected, atol=1e-4)
    said = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert said["class_names"] == ["a", "b"] and list(said["inputs"]["columns"]) == ["width", "height, in m"]


@pytest.mark.parametrize("name", FORMATS)
def test_pixels_are_scaled_inside(trials, tmp_path, name):
    trial, folder = trials[0]["images"], trials[1]
    path = export(trial, name, out(tmp_path, name), with_preprocessing=True)
    pixels = loaded(trial, folder).test.x
    expected = keras.saving.load_model(trial / "classifier.keras").predict(pixels / 255, verbose=0)
    np.testing.assert_allclose(RUNTIMES[name](path, pixels.astype("float32")), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["keras", "tf_saved_model"])
def test_images_of_any_size_are_resized_as_those_of_the_training(trials, tmp_path, name):
    from PIL import Image

    trial, test = trials[0]["images"], trials[1] / "pictures" / "test"
    path = export(trial, name, out(tmp_path, name), with_preprocessing=True)
    rows = predict(trial, test)
    images = np.stack([np.asarray(Image.open(test / row["input"])) for row in rows]).astype("float32")
    assert images.shape[1:] == (9, 7, 3)
    np.testing.assert_allclose(softmax(RUNTIMES[name](path, images)), probabilities(rows), atol=5e-3)


def test_behind_its_preprocessing_a_classifier_is_as_in_deployment():
    inside = [layers.Flatten(), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)]
    model = _behind(keras.Sequential([keras.Input((8, 8, 3)), *inside]), *Images(8, 8, 3).layers())
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 9, 7, 3)).astype("float32")
    before = model.get_weights()
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(pixels)), model.predict(pixels, verbose=0), atol=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_numbers_that_float32_does_not_tell_apart_are_told(capsys):
    Columns({"time": Number(("value",), 1.7e9, 1.7e9, 1000.0), "size": Number(("value",), 5.0, 5.0, 0.1)}).layers()
    said = capsys.readouterr().err
    assert said.startswith("column 'time': numbers of 1.7e+09 ± 1000 lose digits") and said.count("\n") == 1


def test_a_classifier_of_texts_is_exported_without(trials, tmp_path, capsys):
    trial = str(trials[0]["texts"])
    assert main([trial, "--format", "keras", "--with-preprocessing", "--out", str(tmp_path / "a.keras")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("no layer makes the inputs of column 'review', a text: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_lies_beside_is_not_overwritten(trials, tmp_path):
    (tmp_path / "a.keras.json").write_text("mine")
    with pytest.raises(ExportError, match="a.keras.json is there already"):
        export(trials[0]["numbers"], "keras", tmp_path / "a.keras", with_preprocessing=True)
    assert export(trials[0]["numbers"], "keras", tmp_path / "a.keras").exists()
    assert (tmp_path / "a.keras.json").read_text() == "mine"
    with pytest.raises(data.DataError, match="is not the folder of a finished trial"):
        export(tmp_path, "keras", tmp_path / "b.keras", with_preprocessing=True)
