import dataclasses
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nft_keras import data
from nft_keras.data import DataError, load
from nft_keras.data.sources import generate, larochelle

NAMES = tuple(larochelle._SETS)
SIZES = (20, 10, 30)
MNIST = larochelle._mnist


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The five sets with few examples, from digits that carry their number, and no network."""
    for name in NAMES:
        monkeypatch.setitem(data.SPECS, name, dataclasses.replace(data.SPECS[name], sizes=SIZES))
    images = np.zeros((70, 28, 28), "uint8")
    images[:, 5:20, 5:20] = np.arange(70)[:, None, None]
    monkeypatch.setattr(larochelle, "_mnist", lambda data_dir: (images, np.arange(70, dtype="int32") % 10))
    monkeypatch.setattr(larochelle, "_FOLDERS", ("http://127.0.0.1:9",))


def tables(name, seed=0):
    """Images and labels like the published ones, row by row as in the files; those of mnist-rot are no bytes."""
    rng = np.random.default_rng(seed)
    x = (rng.random((60, 28, 28)) if name == "mnist-rot" else rng.integers(0, 256, (60, 28, 28)) / 255).round(6)
    x[:, 0] = 1
    y = rng.integers(0, data.SPECS[name].num_classes, 60)
    stored = x.swapaxes(1, 2) if larochelle._SETS[name].sideways else x
    lines = [" ".join(map(str, [*image.ravel(), label])) for image, label in zip(stored, y, strict=True)]
    return x, y, "\n".join(lines[:30]), "\n".join(lines[30:])


def archive(name, path, seed=0):
    """A zip like the published one; returns its images and labels."""
    what = larochelle._SETS[name]
    x, y, train, test = tables(name, seed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(what.train, train)
        file.writestr(what.test, test)
    return x, y


def check(dataset, x, y):
    assert dataset.provenance == "published files (Larochelle et al. 2007)"
    for part, start, end in ((dataset.train, 0, 20), (dataset.valid, 20, 30), (dataset.test, 30, 60)):
        rows = slice(start, end)
        found = part.x[..., 0] / 255 if part.x.dtype == "uint8" else part.x[..., 0]
        np.testing.assert_allclose(found, x[rows], atol=1e-6)
        np.testing.assert_array_equal(part.y, y[rows])
        assert part.y.dtype == "int32"


@pytest.mark.parametrize("name", NAMES)
def test_the_published_zip_in_the_data_directory_is_taken_and_its_images_stand_upright(tmp_path, name):
    x, y = archive(name, tmp_path / larochelle._SETS[name].archive)
    dataset = load(name, tmp_path)
    check(dataset, x, y)
    assert dataset.input_shape == (28, 28, 1)
    assert len(dataset.class_names) == dataset.num_classes


def test_published_values_that_are_no_bytes_stay_floats(tmp_path):
    for name, dtype in (("mnist-rot", "float32"), ("mnist-back-image", "uint8")):
        archive(name, tmp_path / larochelle._SETS[name].archive)
        assert load(name, tmp_path).train.x.dtype == dtype


@pytest.mark.parametrize("folder", ["", "mnist_rotation_new", "a/b"])
def test_the_tables_out_of_the_zip_will_do(tmp_path, folder):
    what = larochelle._SETS["mnist-rot"]
    x, y, train, test = tables("mnist-rot")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / what.train).write_text(train)
    with pytest.raises(DataError, match=f"{what.train} is there, but its companion {what.test} is not"):
        load("mnist-rot", tmp_path)
    (tmp_path / folder / what.test).write_text(test)
    check(load("mnist-rot", tmp_path, source="published"), x, y)


def test_of_two_convex_test_tables_that_of_the_published_folder_is_taken(tmp_path):
    x, y, train, test = tables("convex")
    (tmp_path / "convex" / "50k").mkdir(parents=True)
    (tmp_path / "convex" / "convex_train.amat").write_text(train)
    (tmp_path / "convex" / "convex_test.amat").write_text("another table")
    (tmp_path / "convex" / "50k" / "convex_test.amat").write_text(test)
    check(load("convex", tmp_path), x, y)


def test_published_files_are_parsed_once_and_again_only_when_they_change(tmp_path, capsys):
    path = tmp_path / "convex.zip"
    x, y = archive("convex", path)
    check(load("convex", tmp_path), x, y)
    assert "parsing convex.zip" in capsys.readouterr().err
    check(load("convex", tmp_path), x, y)
    assert capsys.readouterr().err == ""
    others = archive("convex", path, seed=1)
    check(load("convex", tmp_path), *others)
    path.unlink()
    check(load("convex", tmp_path, source="published"), *others)


def test_published_files_are_downloaded_where_they_are_missing(tmp_path, server, monkeypatch):
    x, y = archive("convex", tmp_path / "served.zip")
    body = (tmp_path / "served.zip").read_bytes()
    what = dataclasses.replace(larochelle._SETS["convex"], sha1=hashlib.sha1(body).hexdigest())
    monkeypatch.setitem(larochelle._SETS, "convex", what)
    monkeypatch.setattr(larochelle, "_FOLDERS", (server.url("nowhere"), server.url("data")))
    server.files["data/convex.zip"], server.breaks = body, [1000]
    check(load("convex", tmp_path), x, y)
    assert (tmp_path / "convex.zip").read_bytes() == body
    assert server.asked == [None, None, "bytes=1000-"]


def test_without_network_the_set_is_generated_which_one_line_and_the_provenance_say(tmp_path, capsys):
    dataset = load("convex", tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if "generated" in line]
    assert len(said) == 1 and "cannot be downloaded" in said[0] and "127.0.0.1:9/convex.zip" in said[0]
    assert dataset.provenance.startswith("generated after Larochelle et al. (2007)")
    assert "seed 0" in dataset.provenance and "harder for CNN-A" in dataset.provenance
    assert load("convex", tmp_path).provenance == dataset.provenance
    assert capsys.readouterr().err == ""


def test_who_insists_on_the_published_files_gets_them_or_an_error(tmp_path):
    load("convex", tmp_path, source="generated")
    with pytest.raises(DataError, match=f"convex: convex.zip cannot be downloaded.*put convex.zip into {tmp_path}"):
        load("convex", tmp_path, source="published")
    x, y = archive("convex", tmp_path / "convex.zip")
    check(load("convex", tmp_path), x, y)
    assert load("convex", tmp_path, source="generated").provenance.startswith("generated")


def test_a_published_file_that_is_damaged_is_an_error_and_never_replaced_in_silence(tmp_path):
    (tmp_path / "convex.zip").write_bytes(b"half a zip")
    with pytest.raises(DataError, match=r"convex\.zip/convex_train\.amat: cannot be read"):
        load("convex", tmp_path)


def test_who_wants_a_generated_set_gets_it_whatever_lies_there(tmp_path):
    (tmp_path / "convex_train.amat").write_text("its companion is not there")
    assert load("convex", tmp_path, source="generated").provenance.startswith("generated")


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(DataError, match="source must be one of auto, published, generated, got 'web'"):
        load("convex", tmp_path, source="web")


@pytest.mark.parametrize("name", NAMES)
def test_generated_sets_have_the_published_shape_and_do_not_depend_on_the_split_seed(tmp_path, name):
    dataset = load(name, tmp_path, source="generated")
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == list(SIZES)
    assert dataset.train.x.shape == (20, 28, 28, 1) and dataset.train.x.dtype == "uint8"
    shutil.rmtree(tmp_path / "nft_keras")
    again = load(name, tmp_path, source="generated", split_seed=5)
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(dataset, part).x, getattr(again, part).x)
        np.testing.assert_array_equal(getattr(dataset, part).y, getattr(again, part).y)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mnist")])
def test_no_digit_is_used_twice_and_each_keeps_its_label(tmp_path, monkeypatch, name):
    monkeypatch.setattr(generate, "digits", lambda ink, rng, **how: ink[..., None])
    dataset = load(name, tmp_path, source="generated")
    parts = dataset.train, dataset.valid, dataset.test
    numbers = np.concatenate([part.x.max((1, 2, 3)) for part in parts])
    assert len(set(numbers)) == 60
    np.testing.assert_array_equal(np.concatenate([part.y for part in parts]), numbers % 10)


def test_without_mnist_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(larochelle, "_mnist", MNIST)
    with pytest.raises(DataError, match=f"no prepared mnist/ in {tmp_path} and the download failed"):
        load("mnist-rot", tmp_path, source="generated")


def test_a_damaged_cache_is_generated_again(tmp_path, capsys):
    dataset = load("convex", tmp_path, source="generated")
    (cached,) = (tmp_path / "nft_keras").glob("*.npz")
    cached.write_bytes(cached.read_bytes()[:500])
    again = load("convex", tmp_path, source="generated")
    np.testing.assert_array_equal(dataset.test.x, again.test.x)
    assert capsys.readouterr().err.count("to be made again") == 1


def test_the_origin_says_what_a_load_would_do(tmp_path):
    def where():
        return data.SPECS["convex"].where("convex", tmp_path)

    assert where() == "download of 3.4 MB from www.iro.umontreal.ca, else generated"
    load("convex", tmp_path)
    assert where().startswith("generated before")
    archive("convex", tmp_path / "convex.zip")
    assert where() == f"published, {tmp_path / 'convex.zip'}"
    load("convex", tmp_path)
    (tmp_path / "convex.zip").unlink()
    assert where() == "published, parsed before"
    assert load("convex", tmp_path).provenance.startswith("published")


@pytest.mark.data
@pytest.mark.skipif("NFT_DATA_DIR" not in os.environ, reason="needs the prepared MNIST of $NFT_DATA_DIR")
def test_rotated_digits_of_mnist_look_like_the_published_ones(tmp_path, monkeypatch):
    """mnist-rot as published has mean 0.130 and standard deviation 0.297."""
    monkeypatch.undo()
    for name in NAMES:
        monkeypatch.setitem(data.SPECS, name, dataclasses.replace(data.SPECS[name], sizes=(1500, 200, 300)))
    (tmp_path / "mnist").symlink_to(Path(os.environ["NFT_DATA_DIR"]).resolve() / "mnist")
    dataset = load("mnist-rot", tmp_path, source="generated")
    x = dataset.train.x / 255
    assert x.mean() == pytest.approx(0.130, abs=0.005)
    assert x.std() == pytest.approx(0.297, abs=0.015)
    assert np.bincount(dataset.train.y, minlength=10).min() > 100
