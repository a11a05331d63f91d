import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nft_keras.data import DataError, load
from nft_keras.data.io import origins

NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()
HUMAN = {"worse": "worse_label", "aggre": "aggre_label", **{f"random{i}": f"random_label{i}" for i in (1, 2, 3)}}
# Percent of the 50,000 training labels that are wrong (Wei et al. 2022, Table 1).
PUBLISHED = {"worse": 40.21, "aggre": 9.03, "random1": 17.23, "random2": 18.12, "random3": 17.64}


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


def human_labels(y):
    """Labels by the names of cifar10_n, of 100 images: 10, 30, 50, 70 and 90 of them wrong, each time otherwise."""
    lot = np.arange(100) // 10
    return {name: (y + (k + 1) * (lot <= 2 * k)) % 10 for k, name in enumerate(HUMAN.values())}


@pytest.fixture(scope="module")
def human_files(tmp_path_factory):
    """A data directory with the three files of labels that the error asks for, and 100 + 20 images with their labels.

    tensorflow-datasets prepares its cifar10_n from them, as from the published ones.
    """
    folder, rng = tmp_path_factory.mktemp("human"), np.random.default_rng(0)
    x, y = rng.integers(0, 256, (120, 32, 32, 3)).astype("uint8"), np.arange(120) % 10
    images = folder / "images" / "cifar-10-batches-bin"
    images.mkdir(parents=True)
    (images / "batches.meta.txt").write_text("\n".join(NAMES))
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for file, rows in zip(files, np.arange(120).reshape(6, 20), strict=True):
        records = np.concatenate([y[rows, None], x[rows].transpose(0, 3, 1, 2).reshape(20, -1)], axis=1)
        (images / file).write_bytes(records.astype("uint8").tobytes())
    manual = folder / "downloads" / "manual"
    manual.mkdir(parents=True)
    order, given = rng.permutation(100), {"clean_label": y[:100], **human_labels(y[:100])}
    np.save(manual / "image_order_c10.npy", order)
    # In the published files aggre_label is before worse_label.
    columns = ("clean_label", "aggre_label", "worse_label", "random_label1", "random_label2", "random_label3")
    np.save(manual / "CIFAR-10_human_ordered.npy", {name: given[name][order] for name in columns})
    (manual / "side_info_cifar10N.csv").write_text("range,id,s,id,s,id,s\n" + "0,1,2,3,4,5,6\n" * 10)
    page = (Path(__file__).parents[3] / "docs" / "reference" / "data-sets.md").read_text(encoding="utf-8")
    (program,) = re.findall(r'^```bash\npython -c "\n(.*?)"\n```', page, re.M | re.S)
    assert "CIFAR-10_human_annotations.csv into" in origins.by_hand("cifar10_n", folder)
    subprocess.run([sys.executable, "-c", program], cwd=manual, check=True)
    assert origins.by_hand("cifar10_n", folder) == ""
    return folder, x, y


@pytest.fixture
def human(human_files, monkeypatch):
    """`human_files`, with the images in place of their download."""
    import tensorflow_datasets as tfds

    from nft_keras.data.io import prepared as module

    folder = human_files[0]
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda *_: folder / "images")
    monkeypatch.setattr(module, "_reach", lambda host: None)
    return human_files


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
@pytest.mark.parametrize("labels", HUMAN)
def test_training_and_validation_labels_are_people_s_and_test_labels_the_images_own(human, labels):
    folder, x, y = human
    dataset = load("cifar10-human", folder, labels=labels)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [80, 20, 20]
    assert dataset.class_names == tuple(NAMES)
    given = human_labels(y[:100])[HUMAN[labels]]
    number_of = {image.tobytes(): i for i, image in enumerate(x)}
    rows = [[number_of[image.tobytes()] for image in part.x] for part in (dataset.train, dataset.valid, dataset.test)]
    np.testing.assert_array_equal(sorted(rows[0] + rows[1]), np.arange(100))
    np.testing.assert_array_equal(dataset.train.y, given[rows[0]])
    np.testing.assert_array_equal(dataset.valid.y, given[rows[1]])
    np.testing.assert_array_equal(dataset.test.y, y[rows[2]])
    np.testing.assert_allclose(np.bincount(dataset.valid.y, minlength=10), np.bincount(given) / 5, atol=1)
    differ = 100 * np.mean(dataset.train.y != y[rows[0]])
    said = f"{labels} labels: {differ:.1f} % of 80 training labels differ from CIFAR-10's own"
    assert dataset.provenance == f"tensorflow-datasets cifar10_n/1.0.4, {said}"


@pytest.mark.xdist_group("cifar")
def test_people_s_labels_are_the_worse_ones_unless_asked_and_may_be_permuted_on_top(human):
    folder, _, _ = human
    default, worse = (load("cifar10-human", folder, **options).train.y for options in ({}, {"labels": "worse"}))
    np.testing.assert_array_equal(default, worse)
    noisy = load("cifar10-human", folder, train_size=40, label_noise=0.5)
    assert noisy.provenance.endswith("differ from CIFAR-10's own, 50 % of the train labels permuted")
    clean = load("cifar10-human", folder, train_size=40)
    assert 0 < np.sum(noisy.train.y != clean.train.y) <= 20
    np.testing.assert_array_equal(np.bincount(noisy.train.y), np.bincount(clean.train.y))
    with pytest.raises(DataError, match="labels must be one of worse, aggre, random1, .*, got 'clean'"):
        load("cifar10-human", folder, labels="clean")


def test_without_people_s_labels_one_line_says_which_files_to_put_where(tmp_path, capsys):
    from nft_keras.cli.data import main

    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    (manual / "image_order_c10.npy").touch()
    wanted = f"put CIFAR-10_human_annotations.csv, side_info_cifar10N.csv into {manual}"
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert wanted in capsys.readouterr().out
    with pytest.raises(DataError, match=f"no prepared cifar10_n/ in {tmp_path}.*{wanted}") as caught:
        load("cifar10-human", tmp_path)
    assert "\n" not in str(caught.value) and "github.com/UCSC-REAL/cifar-10-100n" in str(caught.value)


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


@pytest.mark.data
@pytest.mark.xdist_group("cifar")
@pytest.mark.parametrize("labels", ["worse", "aggre", "random2"])
def test_people_s_real_labels_are_wrong_as_often_as_published(labels):
    folder = Path(os.environ.get("NFT_DATA_DIR", ""))
    if not (folder / "cifar10_n").is_dir():
        pytest.skip("no prepared cifar10_n/ in $NFT_DATA_DIR")
    dataset = load("cifar10-human", folder, labels=labels)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [40000, 10000, 10000]
    (wrong,) = re.findall(r"labels: ([\d.]+) % of 40,000 training labels differ", dataset.provenance)
    assert float(wrong) == pytest.approx(PUBLISHED[labels], abs=0.5)
    np.testing.assert_allclose(np.bincount(dataset.train.y), 4 * np.bincount(dataset.valid.y), atol=4)
    np.testing.assert_array_equal(np.bincount(dataset.test.y), [1000] * 10)
