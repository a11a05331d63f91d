import os

import numpy as np
import pandas as pd
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


def test_height_and_width_may_differ_and_what_is_kept_of_a_picture_is_the_users_choice(images):
    dataset = load("image-folder", images.parent, path="pictures", image_size=[6, 9], resize="pad")
    assert dataset.input_shape == (6, 9, 3) and (dataset.train.x == 0).all(-1).any()
    with pytest.raises(DataError, match=r"image_size should be one number, or height and width, got \[6, 9, 3\]"):
        load("image-folder", images.parent, path="pictures", image_size=[6, 9, 3])


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


def copied(images, names):
    """A folder with a copy of the images under each name."""
    import shutil

    folder = images.parent / "copies"
    for name in names:
        shutil.copytree(images, folder / name)
    return folder


@pytest.mark.parametrize("valid", ["val", "valid", "validation", "dev", "Val", "VALIDATION"])
@pytest.mark.parametrize("train, test", [("train", "test"), ("Training", "TESTING")])
def test_the_parts_have_the_names_that_people_give_them(images, train, valid, test):
    folder = copied(images, (train, valid, test))
    next((folder / valid).glob("*/*.png")).unlink()
    dataset = load("image-folder", folder, path=".", image_size=4)
    assert [len(part) for part in parts(dataset)] == [30, 29, 30]
    assert dataset.class_names == ("leaf", "rose", "sky")


REFUSED = {
    ("train", "val", "dev"): "two folders for the valid part, dev and val; keep one",
    ("Train", "train", "test"): "two folders for the train part",
    ("train", "test", "drafts"): r"folders of parts \(test, train\) beside others \(drafts\)",
    ("val", "test"): "has test, val but no folder train",
}


@pytest.mark.parametrize("names", REFUSED)
def test_folders_that_are_not_clearly_parts_or_classes_are_refused(images, names):
    with pytest.raises(DataError, match=REFUSED[names]):
        load("image-folder", copied(images, names), path=".", image_size=4)


def test_a_class_may_be_called_train(images):
    (images / "sky").rename(images / "train")
    assert load("image-folder", images.parent, path="pictures").class_names == ("leaf", "rose", "train")


def test_pictures_without_folders_of_classes_are_no_classes(images):
    import shutil

    for part in ("train", "val"):
        shutil.copytree(images / "sky", images.parent / "flat" / part)
    wanted = "flat/train holds files but no folders: wanted is a folder of pictures for each class"
    with pytest.raises(DataError, match=wanted):
        load("image-folder", images.parent, path="flat")


def test_a_class_of_one_picture_is_named(images):
    from PIL import Image

    (images / "night").mkdir()
    Image.new("RGB", (4, 4)).save(images / "night" / "a.png")
    with pytest.raises(DataError, match=r"one example of class night; at least two"):
        load("image-folder", images.parent, path="pictures")


def test_what_is_no_picture_is_left_out_and_said(images, capsys):
    plain = load("image-folder", images.parent, path="pictures", image_size=4)
    assert "left out" not in capsys.readouterr().err
    for name in ("README", "labels.csv", "sky/notes.txt", "rose/Thumbs.db", "leaf/a.md", "leaf/empty.json"):
        write(images / name, "" if "empty" in name else "not a picture")
    write(images / "__MACOSX" / "._a.png", "what a Mac puts into archives")
    with_others = load("image-folder", images.parent, path="pictures", image_size=4)
    np.testing.assert_array_equal(with_others.train.x, plain.train.x)
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert said == [
        f"{images}: 2 files are left out, in no folder of a class: README, labels.csv",
        f"{images}: 3 files are left out, no picture: leaf/a.md, leaf/empty.json, sky/notes.txt",
    ]


def test_what_is_no_file_is_not_waited_for(images):
    import os

    os.mkfifo(images / "sky" / "pipe")
    with pytest.raises(DataError, match=r"1 of 31 files cannot be read as images: sky/pipe \(not a file\)"):
        load("image-folder", images.parent, path="pictures")


def test_predict_leaves_out_what_training_does(images, capsys):
    how = load("image-folder", images.parent, path="pictures", image_size=4).preprocessing
    capsys.readouterr()
    for name in ("README", "sky/notes.txt"):
        write(images / name, "not a picture")
    names, files = how.read(images)
    assert len(names) == len(files) == 30 and names[0] == "leaf/1.png"
    assert capsys.readouterr().err == f"{images}: 2 files are left out, no picture: README, sky/notes.txt\n"
    write(images / "odd" / "only.txt", "not a picture")
    with pytest.raises(DataError, match="odd holds no images"):
        how.read(images / "odd")


def test_a_picture_without_an_ending_is_one_and_one_that_pillow_cannot_read_is_named(images):
    next((images / "sky").glob("*.png")).rename(images / "sky" / "no_ending")
    assert sum(map(len, parts(load("image-folder", images.parent, path="pictures")))) == 30
    write(images / "sky" / "photo.HEIC", "some camera's")
    with pytest.raises(DataError, match=r"1 of 31 files cannot be read as images: sky/photo.HEIC \(not an image\)"):
        load("image-folder", images.parent, path="pictures")


def test_every_file_that_is_no_image_is_named(images):
    from PIL import Image

    write(images / "sky" / "notes.png", "blue")
    whole = next((images / "rose").glob("*.jpg"))
    (images / "rose" / "cut.jpg").write_bytes(whole.read_bytes()[:-200])
    Image.fromarray(np.full((4, 4), 4000, "uint16")).save(images / "leaf" / "deep.png")
    with pytest.raises(DataError, match="3 of 33 files") as caught:
        load("image-folder", images.parent, path="pictures")
    for name in ("sky/notes.png (not an image)", "rose/cut.jpg (", "leaf/deep.png (I;16, more than 8 bits"):
        assert name in str(caught.value)


def test_links_to_folders_are_followed_and_no_end_is_no_harm(images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (images / "rose").rename(tmp_path / "elsewhere" / "rose")
    (images / "rose").symlink_to(tmp_path / "elsewhere" / "rose")
    how = load("image-folder", tmp_path, path="pictures").preprocessing
    (images / "rose" / "back").symlink_to(images)
    names, _ = how.read(images)
    assert {name.partition("/")[0] for name in names} == {"leaf", "rose", "sky"} and len(set(names)) == len(names)


def test_names_that_are_no_utf8_are_shown_with_a_mark(images, tmp_path):
    odd = os.fsdecode(b"r\xf6te")
    (images / "rose").rename(images / odd)
    dataset = load("image-folder", tmp_path, path="pictures")
    assert "r\ufffdte" in dataset.class_names
    assert all(str(name).encode() for part in (dataset.train, dataset.valid, dataset.test) for name in part.names)


def test_folders_without_classes_are_refused(images, tmp_path):
    with pytest.raises(DataError, match="sky holds files but no folders"):
        load("image-folder", tmp_path, path="pictures/sky")
    with pytest.raises(DataError, match="has folders in it .leaf, rose, sky."):
        load("image-folder", tmp_path, path=".")
    (images / "sky" / "deeper").mkdir()
    with pytest.raises(DataError, match=r"sky has folders in it \(deeper\); the pictures"):
        load("image-folder", tmp_path, path="pictures")
    (images / "night").mkdir()
    with pytest.raises(DataError, match="night has no pictures, a class without examples"):
        load("image-folder", tmp_path, path="pictures")
    with pytest.raises(DataError, match="is not a folder"):
        load("image-folder", tmp_path, path="pictures/.DS_Store")


@pytest.fixture
def flat(images):
    """The same pictures in one folder, with a table of their labels in it; returns folder and rows."""
    folder, rows = images.parent / "flat", []
    folder.mkdir()
    for file in sorted(images.glob("*/[!.]*")):
        file.rename(folder / file.name)
        rows.append((file.name, file.parent.name))
    return folder, rows


def listed(path, rows, header="file,label"):
    return write(path, "\n".join([header, *(",".join(row) for row in rows)]) + "\n")


def sorted_pictures(dataset):
    return sorted((label, x.tobytes()) for part in parts(dataset) for x, label in zip(part.x, part.y, strict=True))


@pytest.mark.parametrize(
    "header, options, order",
    [
        ("file,label", {}, (0, 1)),
        ("id_code,diagnosis", {}, (0, 1)),
        ("label,file", {}, (1, 0)),
        ("kind,picture", {"file_column": "picture"}, (1, 0)),
        ("kind,picture", {"label_column": "kind"}, (1, 0)),
    ],
)
@pytest.mark.parametrize("ending", [True, False])
def test_labels_may_come_from_a_table(flat, images, header, options, order, ending, capsys):
    folder, rows = flat
    rows = [(name if ending else name.partition(".")[0], kind) for name, kind in rows]
    listed(folder / "labels.csv", [[row[i] for i in order] for row in rows], header)
    dataset = load("image-folder", folder.parent, path="flat", labels="labels.csv", image_size=12, **options)
    assert dataset.class_names == ("leaf", "rose", "sky")
    assert [len(part) for part in parts(dataset)] == [18, 6, 6]
    assert dataset.provenance == "flat, 30 images, labels of flat/labels.csv"
    assert "left out" not in capsys.readouterr().err
    for name, kind in flat[1]:
        (folder / name).rename(images / kind / name)
    assert sorted_pictures(dataset) == sorted_pictures(
        load("image-folder", images.parent, path="pictures", image_size=12)
    )


def test_what_a_table_does_not_list_is_left_out_and_said_and_what_is_missing_is_refused(flat, capsys):
    folder, rows = flat
    table = listed(folder.parent / "labels.csv", rows[2:])  # beside the folder
    options = {"data_dir": folder.parent, "path": "flat", "labels": "labels.csv", "image_size": 4}
    assert sum(map(len, parts(load("image-folder", **options)))) == 28
    names = ", ".join(sorted(name for name, _ in rows[:2]))
    said = f"{folder}: 2 files are left out, not in labels.csv or in no part: {names}"
    assert said in capsys.readouterr().err.splitlines()
    listed(table, [*rows, ("lost.png", "sky"), ("gone.png", "sky")])
    message = rf"2 of its pictures are not in {folder}: lost.png \(line 32\), gone.png \(line 33\)"
    with pytest.raises(DataError, match=message):
        load("image-folder", **options)


def test_a_table_leaves_folders_of_parts_as_they_are(flat):
    folder, rows = flat
    for i, (name, _) in enumerate(rows):
        part = ("train", "train", "val", "test")[i % 4]
        (folder / part).mkdir(exist_ok=True)
        (folder / name).rename(folder / part / name)
    listed(folder / "labels.csv", rows)
    dataset = load("image-folder", folder.parent, path="flat", labels="labels.csv", image_size=4)
    assert [len(part) for part in parts(dataset)] == [16, 7, 7]


TABLES = {
    "twice": (lambda rows: [*rows, rows[0]], "labels.csv:32: .* is there twice"),
    "a missing label": (lambda rows: [*rows, ("a.png", "NaN")], "labels.csv:32: column 'label' holds 'NaN', which"),
    "without a label": (lambda rows: [*rows, ("a.png", " ")], "labels.csv:32: column 'label' is empty"),
    "one class": (lambda rows: [(name, "sky") for name, _ in rows], "at least two classes"),
    "of one column": (None, "labels.csv has one column, 'file'"),
    "without a header": ("", r"labels.csv: its first line should name the columns, and names a picture, .*\.\w+"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_bad_table_of_labels_is_refused(flat, kind):
    folder, rows = flat
    change, message = TABLES[kind]
    listed(folder / "labels.csv", change(rows) if change else [("a.png",)], "file,label" if change else "file")
    if change == "":
        listed(folder / "labels.csv", rows[1:], ",".join(rows[0]))
    with pytest.raises(DataError, match=message):
        load("image-folder", folder.parent, path="flat", labels="labels.csv")


def test_a_table_of_names_without_endings_that_has_no_header_is_refused(flat):
    folder, rows = flat
    for (name, _), i in zip(rows, range(len(rows)), strict=True):
        (folder / name).rename(folder / f"{i}.png")
    first, *others = [(str(i), label) for i, (_, label) in enumerate(rows)]
    listed(folder / "labels.csv", others, ",".join(first))
    with pytest.raises(DataError, match="labels.csv: its first line should name the columns, and names a picture, 0"):
        load("image-folder", folder.parent, path="flat", labels="labels.csv")


def test_labels_in_a_table_are_whole_numbers_with_a_point_and_without_and_no_spreadsheet(flat):
    folder, rows = flat
    numbered = [(file, ("1", "1.0")[i % 2] if label == "sky" else "2") for i, (file, label) in enumerate(rows)]
    listed(folder / "labels.csv", numbered)
    assert load("image-folder", folder.parent, path="flat", labels="labels.csv").class_names == ("1", "2")
    pd.DataFrame(rows, columns=["file", "label"]).to_excel(folder.parent / "labels.xlsx", index=False)
    with pytest.raises(DataError, match="labels.xlsx is a ZIP archive or a spreadsheet; save the table as CSV"):
        load("image-folder", folder.parent, path="flat", labels="labels.xlsx")


def test_a_name_that_two_pictures_have_is_refused_and_columns_without_a_table_too(flat):
    folder, rows = flat
    (folder / "deeper").mkdir()
    (folder / "deeper" / "a.b.png").write_bytes((folder / rows[0][0]).read_bytes())
    (folder / "deeper" / "a.b.gif").write_bytes((folder / rows[0][0]).read_bytes())
    listed(folder / "labels.csv", [*rows, ("deeper/a.b", "sky")])
    with pytest.raises(DataError, match="labels.csv:32: 'deeper/a.b' may be deeper/a.b.gif and deeper/a.b.png"):
        load("image-folder", folder.parent, path="flat", labels="labels.csv")
    with pytest.raises(DataError, match="file_column and label_column are of a table"):
        load("image-folder", folder.parent, path="flat", file_column="a")
    with pytest.raises(DataError, match="no .*nothing.csv"):
        load("image-folder", folder.parent, path="flat", labels="nothing.csv")
