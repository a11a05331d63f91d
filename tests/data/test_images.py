import os
from pathlib import Path

import numpy as np
import pytest

from nft_keras.data import DataError, load

NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data directory with a prepared cifar10 of 100 training and 20 test images, and those images and labels."""
    import tensorflow_datasets as tfds

    folder, rng = tmp_path_factory.mktemp("cifar"), np.random.default_rng(0)
    x, y = rng.integers(0, 256, (120, 32, 32, 3)).astype("uint8"), np.arange(120) % 10
    builder = tfds.builder("cifar10", data_dir=str(folder))

    def examples(rows):
        return ((f"{i:03d}", {"id": f"{i:03d}", "image": x[i], "label": int(y[i])}) for i in rows)

    def split_generators(*_):
        builder.info.features["label"].names = NAMES
        return {"train": examples(range(100)), "test": examples(range(100, 120))}

    builder._split_generators = split_generators
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return folder, x, y


@pytest.fixture(scope="module")
def prepared_mnist(tmp_path_factory):
    """A data directory with a prepared mnist of 120 training and 20 test images; the label is the first pixel."""
    import tensorflow_datasets as tfds

    folder, rng = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    x = rng.integers(0, 256, (140, 28, 28, 1)).astype("uint8")
    x[:, 0, 0, 0] = np.arange(140) % 10
    builder = tfds.builder("mnist", data_dir=str(folder))

    def examples(rows):
        return ((i, {"image": x[i], "label": int(x[i, 0, 0, 0])}) for i in rows)

    builder._split_generators = lambda *_: {"train": examples(range(120)), "test": examples(range(120, 140))}
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return folder, x


def in_order(x):
    return x[np.lexsort(x.reshape(len(x), -1).T)]


@pytest.mark.xdist_group("cifar")
def test_training_images_are_cut_in_40_to_10_class_by_class(prepared):
    folder, x, y = prepared
    dataset = load("cifar10", folder)
    assert dataset.train.x.shape == (80, 32, 32, 3)
    assert dataset.train.x.dtype == np.uint8
    assert dataset.class_names == tuple(NAMES)
    np.testing.assert_array_equal(np.bincount(dataset.train.y), [8] * 10)
    np.testing.assert_array_equal(np.bincount(dataset.valid.y), [2] * 10)
    np.testing.assert_array_equal(in_order(np.concatenate([dataset.train.x, dataset.valid.x])), in_order(x[:100]))
    np.testing.assert_array_equal(in_order(dataset.test.x), in_order(x[100:]))
    label_of = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    for part in (dataset.train, dataset.valid, dataset.test):
        assert [label_of[image.tobytes()] for image in part.x] == part.y.tolist()


@pytest.mark.xdist_group("cifar")
def test_mnist_is_cut_in_50_to_10_class_by_class(prepared_mnist):
    folder, x = prepared_mnist
    dataset = load("mnist", folder)
    assert dataset.train.x.shape == (100, 28, 28, 1) and dataset.train.x.dtype == np.uint8
    for part, count in ((dataset.train, 10), (dataset.valid, 2), (dataset.test, 2)):
        np.testing.assert_array_equal(np.bincount(part.y), [count] * 10)
        np.testing.assert_array_equal(part.x[:, 0, 0, 0], part.y)
    np.testing.assert_array_equal(in_order(np.concatenate([dataset.train.x, dataset.valid.x])), in_order(x[:120]))


@pytest.mark.xdist_group("cifar")
def test_the_cut_is_a_function_of_the_split_seed(prepared):
    folder, _, _ = prepared
    first, again, other = (load("cifar10", folder, split_seed=seed).train.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.xdist_group("cifar")
def test_a_damaged_directory_is_named(prepared, tmp_path):
    import shutil

    shutil.copytree(prepared[0] / "cifar10", tmp_path / "cifar10")
    record = next(tmp_path.rglob("cifar10-train.tfrecord*"))
    record.write_bytes(record.read_bytes()[:-1000])
    with pytest.raises(DataError, match="damaged.*delete it") as caught:
        load("cifar10", tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_without_files_and_network_the_error_says_where_to_put_them(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", unreachable)
    with pytest.raises(DataError, match="--data-dir") as caught:
        load("cifar10", tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.data
@pytest.mark.xdist_group("cifar")
def test_the_real_data_have_the_published_sizes():
    folder = Path(os.environ.get("NFT_DATA_DIR", ""))
    if not (folder / "cifar10").is_dir():
        pytest.skip("no prepared cifar10/ in $NFT_DATA_DIR")
    dataset = load("cifar10-n20", folder)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [40000, 10000, 10000]
    for part, count in ((dataset.train, 4000), (dataset.valid, 1000), (dataset.test, 1000)):
        np.testing.assert_array_equal(np.bincount(part.y), [count] * 10)
