from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nft_keras.data import DataError, load
from nft_keras.data.sources.own import published
from tests.data.sources.own import parts


@pytest.mark.parametrize("name", ["csv", "npz", "image-folder"])
def test_a_path_is_needed_and_must_exist(tmp_path, name, monkeypatch):
    with pytest.raises(DataError, match=f"data set {name} needs the option 'path'"):
        load(name, tmp_path)
    with pytest.raises(DataError, match=f"no {tmp_path / 'nothing'}; a relative path starts from the data directory"):
        load(name, tmp_path, path="nothing")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("nothing").touch()
    with pytest.raises(DataError, match="it is in this folder: give --data-dir .$"):
        load(name, tmp_path, path="nothing")


@pytest.fixture
def folders(tmp_path):
    """22 examples of two classes as a table, as arrays and as images; each is one number, all different."""
    kinds = ["a"] * 12 + ["b"] * 10
    lines = "".join(f"{i},{kind}\n" for i, kind in enumerate(kinds))
    (tmp_path / "t.csv").write_text(f"number,label\n{lines}")
    np.savez(tmp_path / "t.npz", x=np.arange(22.0)[:, None], y=kinds)
    for i, kind in enumerate(kinds):
        (tmp_path / "images" / kind).mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), 10 * i).save(tmp_path / "images" / kind / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize(
    "name, options",
    [
        ("csv", {"path": "t.csv"}),
        ("npz", {"path": "t.npz"}),
        ("image-folder", {"path": "images", "image_size": 2, "channels": 1}),
        ("digits-back-image", {}),
    ],
)
def test_each_example_is_in_the_test_part_of_one_fold_and_in_no_other_part_of_it(folders, name, options):
    def examples(part):
        return [x.tobytes() for x in part.x] if part.names is None else part.names.tolist()

    everything = sorted(each for part in parts(load(name, folders, **options)) for each in examples(part))
    assert len(set(everything)) == len(everything)
    tests, counts = [], []
    for i in (1, 2, 3):
        dataset = load(name, folders, **options, fold=f"{i}-of-3")
        assert sorted(each for part in parts(dataset) for each in examples(part)) == everything
        assert len(dataset.valid) == (297 if name == "digits-back-image" else 4)
        tests += examples(dataset.test)
        counts.append(np.bincount(dataset.test.y))
    assert sorted(tests) == everything
    assert np.ptp(counts, axis=0).max() <= 1  # class by class in proportion


@pytest.mark.parametrize(
    "fold, message",
    [
        ("2", "t.csv: fold should be K-of-N, as 1-of-5, got '2'"),
        ("4-of-3", "t.csv: fold should be K-of-N, as 1-of-5, got '4-of-3'"),
        ("0-of-3", "fold should be K-of-N"),
        ("1-of-11", "t.csv: class b has 10 examples, fewer than 11 folds"),
    ],
)
def test_a_fold_that_cannot_be_is_refused(folders, fold, message):
    with pytest.raises(DataError, match=message):
        load("csv", folders, path="t.csv", fold=fold)


def test_data_with_a_test_part_are_not_cut_into_folds(folders):
    x, y = np.zeros((9, 2)), np.arange(9) % 2
    np.savez(folders / "split.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match="split.npz has a test part of its own: it is not cut into folds"):
        load("npz", folders, path="split.npz", fold="1-of-2")


@pytest.mark.parametrize(
    "path, called",
    [
        ("/home/me/data/t.csv", "t.csv"),
        ("/home/me/data/sub/t.csv", "sub/t.csv"),
        ("/home/me/elsewhere/t.csv", "t.csv"),
        ("/home/me/data", "data"),
        ("/home/me/data/a\udcff.csv", "a\ufffd.csv"),
    ],
)
def test_a_result_calls_a_file_by_no_more_than_its_place_in_the_data_directory(path, called):
    assert published("/home/me/data", Path(path)) == called


def test_classes_that_differ_only_in_capitals_are_said(tmp_path, capsys):
    (tmp_path / "t.csv").write_text(
        "a,label\n" + "".join(f"{i},{('Cat', 'cat', 'ss', 'ß')[i % 4]}\n" for i in range(4, 44))
    )
    assert load("csv", tmp_path, path="t.csv").class_names == ("Cat", "cat", "ss", "ß")
    assert capsys.readouterr().err == f"{tmp_path}/t.csv: classes that differ only in capitals: Cat, cat\n"


def test_a_part_without_a_class_is_said(tmp_path, capsys):
    rows = [f"{i},{'rare' if i < 2 else 'ab'[i % 2]}\n" for i in range(40)]
    (tmp_path / "t.csv").write_text("a,label\n" + "".join(rows))
    found = load("csv", tmp_path, path="t.csv")
    rare = found.class_names.index("rare")
    lacking = [which for which in ("valid", "test") if rare not in getattr(found, which).y]
    said = [line for line in capsys.readouterr().err.splitlines() if "has no example of class" in line]
    assert lacking and len(said) == len(lacking)
    for which, line in zip(lacking, said, strict=True):
        assert f"the {which} part has no example of class rare: its figures are without it" in line
