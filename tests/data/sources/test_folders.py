import numpy as np
import pytest

from nft_keras.data import DataError, load
from tests.data.sources.own import parts, write


@pytest.fixture
def images(tmp_path):
    """A folder of 30 PNG files in three classes, one colour each; their sizes and modes differ."""
    from PIL import Image

    folder = tmp_path / "pictures"
    for i in range(30):
        kind, colour = [("sky", (0, 0, 204)), ("leaf", (0, 204, 0)), ("rose", (204, 0, 0))][i % 3]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (10 + i, 40 - i), colour)
        mode = ("RGB", "RGBA", "P")[i % 4 % 3]
        image.convert(mode).save(folder / kind / f"{i}.{'jpg' if mode == 'RGB' else 'png'}", quality=100)
    write(folder / ".DS_Store", "not an image")
    write(folder / "sky" / ".DS_Store", "not an image")
    return folder


def test_every_folder_of_images_is_a_class(images):
    dataset = load("image-folder", images.parent, path="pictures", image_size=12)
    assert dataset.class_names == ("leaf", "rose", "sky")
    assert [part.x.shape for part in parts(dataset)] == [(18, 12, 12, 3), (6, 12, 12, 3), (6, 12, 12, 3)]
    colours = np.array([(0, 204, 0), (204, 0, 0), (0, 0, 204)])
    for part in parts(dataset):
        assert part.x.dtype == np.uint8
        wanted = np.broadcast_to(colours[part.y][:, None, None], part.x.shape)
        np.testing.assert_allclose(part.x.astype(int), wanted, atol=2)


def test_images_are_made_grey_and_of_one_size(images):
    dataset = load("image-folder", images.parent, path="pictures", image_size=7, channels=1)
    assert dataset.input_shape == (7, 7, 1)
    luma = np.array([0.587, 0.299, 0.114]) * 204
    for image, label in zip(dataset.train.x, dataset.train.y, strict=True):
        np.testing.assert_allclose(image, luma[label], atol=2)


def test_folders_train_and_test_are_parts(images, tmp_path):
    import shutil

    for part in ("train", "test"):
        shutil.copytree(images, tmp_path / "both" / part)
    dataset = load("image-folder", tmp_path, path="both", image_size=4, valid_fraction=0.5)
    assert [len(part) for part in parts(dataset)] == [15, 15, 30]
    (tmp_path / "both" / "README.txt").write_text("beside the folders")
    beside = load("image-folder", tmp_path, path="both", image_size=4, valid_fraction=0.5)
    np.testing.assert_array_equal(beside.train.x, dataset.train.x)
    (tmp_path / "both" / "test" / "sky").rename(tmp_path / "both" / "test" / "water")
    with pytest.raises(DataError, match="the training part has no example of class water"):
        load("image-folder", tmp_path, path="both", image_size=4)


def test_every_file_that_is_no_image_is_named(images):
    from PIL import Image

    write(images / "sky" / "notes.txt", "blue")
    whole = next((images / "rose").glob("*.jpg"))
    (images / "rose" / "cut.jpg").write_bytes(whole.read_bytes()[:-200])
    Image.fromarray(np.full((4, 4), 4000, "uint16")).save(images / "leaf" / "deep.png")
    with pytest.raises(DataError, match="3 of 33 files") as caught:
        load("image-folder", images.parent, path="pictures")
    for name in ("sky/notes.txt (not an image)", "rose/cut.jpg (", "leaf/deep.png (I;16, more than 8 bits"):
        assert name in str(caught.value)


def test_folders_without_classes_are_refused(images, tmp_path):
    with pytest.raises(DataError, match="0 examples are of 0"):
        load("image-folder", tmp_path, path="pictures/sky")
    with pytest.raises(DataError, match="examples are of 1"):
        load("image-folder", tmp_path, path=".")
    (images / "sky" / "deeper").mkdir()
    with pytest.raises(DataError, match=r"1 of 31 files cannot be read as images: sky/deeper \(Is a directory\)"):
        load("image-folder", tmp_path, path="pictures")
    (images / "night").mkdir()
    with pytest.raises(DataError, match="night is empty, a class without examples"):
        load("image-folder", tmp_path, path="pictures")
    with pytest.raises(DataError, match="is not a folder"):
        load("image-folder", tmp_path, path="pictures/.DS_Store")
