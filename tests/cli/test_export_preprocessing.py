"""`export --with-preprocessing`: what is deployed takes the numbers and pixels of files as they are."""

import json

import keras
import numpy as np
import pytest

from nft_keras import data
from nft_keras.cli.export import FORMATS, ExportError, export, main
from nft_keras.cli.predict import predict
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


def test_a_classifier_of_texts_is_exported_without(trials, tmp_path, capsys):
    trial = str(trials[0]["texts"])
    assert main([trial, "--format", "keras", "--with-preprocessing", "--out", str(tmp_path / "a.keras")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("no layer makes the inputs of column 'review', a text, ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_lies_beside_is_not_overwritten(trials, tmp_path):
    (tmp_path / "a.keras.json").write_text("mine")
    with pytest.raises(ExportError, match="a.keras.json is there already"):
        export(trials[0]["numbers"], "keras", tmp_path / "a.keras", with_preprocessing=True)
    assert export(trials[0]["numbers"], "keras", tmp_path / "a.keras").exists()
    assert (tmp_path / "a.keras.json").read_text() == "mine"
    with pytest.raises(data.DataError, match="is not the folder of a finished trial"):
        export(tmp_path, "keras", tmp_path / "b.keras", with_preprocessing=True)
