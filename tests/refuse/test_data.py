"""Data as an attacker or a tired person would give them, through the command line and through Python.

No loader of the package unpacks a tar, nor anything else, to the disk: tensorflow-datasets does, for what it downloaded
itself. What tests/data tries loader by loader is not tried again here.
"""

import dataclasses
import gzip
import json
import lzma
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import yaml

from nft_keras import data
from nft_keras.cli import run
from nft_keras.data import DataError
from nft_keras.data.io.origins import WINES as FILE
from nft_keras.data.sources import larochelle
from tests.data.features.checkpoints import write_checkpoint
from tests.refuse import traps
from tests.refuse.conftest import command, tree

SIZES = (20, 10, 30)
RECIPE = "classifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\nseeds: [0]\n"
X = traps.npy("(50, 2)", bytes(800))
ROWS = "a,label\n" + "".join(f"{i},{i % 2}\n" for i in range(20))


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The sets of Larochelle et al. with few examples, no network, and a working directory to keep clean."""
    for name in larochelle._SETS:
        monkeypatch.setitem(data.SPECS, name, dataclasses.replace(data.SPECS[name], sizes=SIZES))
    monkeypatch.setattr(larochelle, "_FOLDERS", ("http://127.0.0.1:9",))
    for protocol in ("http", "https"):
        monkeypatch.setenv(f"{protocol}_proxy", "http://127.0.0.1:9")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def check_refused(tmp_path, dataset, named, message):
    """A data set must be refused by `load` and by the command line, and nothing be written but where it may be."""
    folder, recipe = tmp_path / "data", tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"dataset": dataset}) + RECIPE)
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        data.load(**dataset, data_dir=folder)
    code, _, lines = command([recipe, "--data-dir", folder, "--out", tmp_path / "out"], "data files")
    assert code == 2 and 1 <= len(lines) <= 2
    for text in (str(caught.value), lines[-1]):
        assert re.search(message, text) and named in text, text
        assert len(text.splitlines()) == 1
    allowed = str(folder / "nft_keras")
    assert {path: stat for path, stat in tree(tmp_path).items() if not path.startswith(allowed)} == before


def table(text):
    return lambda folder: (folder / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)


CSV = {"name": "csv", "path": "t.csv"}
TABLES = {
    "a label of 5000 digits": (
        table(ROWS + "1," + "9" * 5000 + "\n"),
        CSV,
        "t.csv:22: column 'label' has a name of 5,000 characters, more than 1,000",
    ),
    "a cell of 200 kB": (table(ROWS + "a" * 200_000 + ",1\n"), CSV, r"t.csv:22: .* number, got 'a{40}\.\.\.'"),
    "a label of 1 MB": (table(ROWS + f"1,{'z' * 10**6}\n" * 2), CSV, "t.csv:22: column .* 1,000,000 characters"),
    "a name of 1 MB": (table("c" * 10**6 + ROWS), CSV, "t.csv:1: a column has a name of 1,000,001 characters"),
    "zeros": (table(ROWS.encode() + bytes(1000)), CSV, "t.csv:22: 1 cells"),
    "escapes": (table(ROWS + "\x1b[2J,1\n"), CSV, r"t.csv:22: column 'a' should be .* got '\\x1b\[2J'"),
    "half of utf-16": (table(ROWS.encode("utf-16")[:-1]), CSV, r"t.csv:\d+ is not UTF-8 .*truncated data"),
    "an npz": (lambda folder: traps.npz(folder / "t.csv", x=X, y=traps.labels()), CSV, "t.csv is a ZIP archive"),
    "half of a gzip": (table(gzip.compress(ROWS.encode())[:-9]), CSV, "t.csv cannot be read: Compressed file ended"),
    "half of a Parquet file": (table(b"PAR1" + bytes(99)), CSV, "t.csv is no CSV, and cannot be read as"),
    "a pipe": (lambda folder: os.mkfifo(folder / "t.csv"), CSV, "t.csv is not a file"),
    "a folder": (lambda folder: (folder / "t.csv").mkdir(), CSV, "t.csv is a folder; data set csv takes a file"),
    "a loop": (lambda folder: (folder / "t.csv").symlink_to("t.csv"), CSV, "no .*t.csv; a relative path"),
    "one class": (table(ROWS.replace(",1\n", ",0\n")), CSV, "t.csv: at least two classes"),
    "an empty part": (table(ROWS), CSV | {"valid_fraction": 0.01}, "t.csv: 0.01 of 20 examples for the valid part"),
    "a home that is none": (lambda folder: None, CSV | {"path": "~nobody-here/t.csv"}, "no .*t.csv; a relative path"),
    "a name too long": (lambda folder: None, CSV | {"path": "t.csv" * 99}, "t.csv cannot be read: File name too long"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_bad_table_is_refused(tmp_path, kind):
    make, dataset, message = TABLES[kind]
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    check_refused(tmp_path, dataset, "t.csv", message)


def a_trap(marker):
    """A pickle that writes a file when it is read."""

    class Trap:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    return Trap()


def spoilt(how, compression=zipfile.ZIP_STORED):
    """Writes an .npz whose bytes were changed by `how`, a function of a bytearray."""

    def make(path):
        content = bytearray(traps.npz(path, compression, x=X, y=traps.labels()).read_bytes())
        path.write_bytes(how(content) or content)

    return make


def flip(content):
    content[100:110] = bytes(b ^ 255 for b in content[100:110])


def in_directory(offset, value):
    """Changes a byte of every entry of a zip's directory."""

    def change(content):
        for match in list(re.finditer(b"PK\x01\x02", content)):
            content[match.start() + offset] = value

    return change


def header(text, body=b""):
    return lambda path: traps.npz(path, x=traps.npy("", body, header=text), y=traps.labels())


ARRAYS = {
    "a cut zip": (spoilt(lambda content: content[:400]), "is not an .npz file"),
    "a wrong checksum": (spoilt(flip), "x.npy cannot be read: Bad CRC-32"),
    "damaged lzma": (spoilt(flip, zipfile.ZIP_LZMA), "x.npy cannot be read: "),
    "damaged bzip2": (spoilt(flip, zipfile.ZIP_BZIP2), "x.npy cannot be read: "),
    "an unknown packing": (spoilt(in_directory(10, 77)), "x.npy cannot be read: That compression method"),
    "an unknown zip": (spoilt(in_directory(6, 99)), "is not an .npz file .*zip file version 9.9"),
    "encrypted": (spoilt(in_directory(8, 1)), "x.npy cannot be read: .* is encrypted"),
    "only entries that climb": (lambda path: traps.npz(path, **{"../x": X, "/etc/y": X}), "has no array x"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(a_trap(path.with_name("run")))), "pickles are not read"),
    "a pickle in a zip": (lambda path: np.savez(path, x=np.array([a_trap(path.with_name("run"))])), "has no array y"),
    "an object": (
        lambda path: np.savez(path, x=np.array([[a_trap(path.with_name("run"))]]), y=[0]),
        "x.npy cannot be read: it holds pickled",
    ),
    "a header of 62 MB": (
        lambda path: traps.npz(path, x=traps.npy("", header=b" " * 62_000_000, version=2), y=traps.labels()),
        "x.npy cannot be read: EOF: reading array header, expected 62000000 bytes",
    ),
    "no dictionary": (header(b"3\n"), "x.npy cannot be read: Header is not a dictionary"),
    "a list for a key": (header(b"{[]: 1}\n"), "x.npy cannot be read: unhashable"),
    "mixed keys": (header(b"{1: 2, 'a': 3}\n"), "x.npy cannot be read: '<' not supported"),
    "open brackets": (header(b"(" * 5000), "x.npy cannot be read: "),
    "no type": (lambda path: traps.npz(path, x=traps.npy("(50,)", descr="()"), y=traps.labels()), "x.npy cannot be re"),
    "a shape of true": (
        lambda path: traps.npz(path, x=traps.npy("(True, 1)", bytes(8)), y=traps.labels()),
        "x.npy cannot be read: an integer is required",
    ),
    "a negative shape": (lambda path: traps.npz(path, x=traps.npy("(-1,)"), y=traps.labels()), "promises -8 bytes"),
    "a shape beyond all": (
        lambda path: traps.npz(path, x=traps.npy(f"(0, {10**30})"), y=traps.labels()),
        "x.npy cannot be read: Python int too large",
    ),
    "text without letters": (
        lambda path: traps.npz(path, x=X, y=traps.npy("(50,)", descr="'<U0'")),
        "y.npy cannot be read: its header promises 0 bytes",
    ),
    "infinity": (lambda path: np.savez(path, x=np.full((9, 2), np.inf), y=np.arange(9)), "are not finite"),
    "labels that are fractions": (lambda path: np.savez(path, x=np.ones((50, 2)), y=np.full(50, 0.5)), "y should be"),
    "a folder": (lambda path: path.mkdir(), "is not an .npz file .*Is a directory"),
    "a loop": (lambda path: path.symlink_to(path.name), "no .*a.npz; a relative path"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_bad_npz_is_refused_and_no_code_of_it_runs(tmp_path, kind):
    make, message = ARRAYS[kind]
    path = tmp_path / "data" / "a.npz"
    path.parent.mkdir()
    make(path)
    check_refused(tmp_path, {"name": "npz", "path": "a.npz"}, "a.npz", message)
    assert not path.with_name("run").exists()


def picture(path, **how):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (200, 0, 0)).save(path, **how)
    return path


IMAGES = {
    "of no size": (lambda path: traps.png(path, 0, 5), "not an image"),
    "cut": (lambda path: path.write_bytes(picture(path).read_bytes()[:45]), "truncated|unrecognized|broken"),
    "too large": (lambda path: traps.png(path, 10_000, 10_000), "100000000 pixels.* exceeds limit"),
    "a program (EPS)": (lambda path: picture(path, format="EPS"), "not an image"),
    "empty": (lambda path: path.write_bytes(b""), "not an image"),
    "a loop": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "a pipe": (lambda path: os.mkfifo(path), "not a file"),
    "a lost link": (lambda path: path.symlink_to("nowhere"), "No such file"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_bad_image_is_refused_by_name(tmp_path, kind):
    make, message = IMAGES[kind]
    folder = tmp_path / "data" / "pictures"
    for i in range(10):
        picture(folder / f"{i % 2}" / f"{i}.png")
    make(folder / "0" / "bad.png")
    dataset = {"name": "image-folder", "path": "pictures"}
    check_refused(tmp_path, dataset, str(folder), f"1 of 11 files .*0/bad.png .*({message})")


def rows(n, label=lambda i: i % 2, pixel="0"):
    return "".join(f"{pixel} " * 784 + f"{label(i)}\n" for i in range(n)).encode()


def convex(train, test=None, compression=zipfile.ZIP_DEFLATED, extra=()):
    """Writes convex.zip with the two tables."""

    def make(folder):
        with zipfile.ZipFile(folder / "convex.zip", "w", compression) as archive:
            archive.writestr("convex_train.amat", train)
            archive.writestr("50k/convex_test.amat", rows(30) if test is None else test)
            for name in extra:
                archive.writestr(name, "x")

    return make


def changed(make, how):
    def spoil(folder):
        make(folder)
        content = bytearray((folder / "convex.zip").read_bytes())
        (folder / "convex.zip").write_bytes(how(content) or content)

    return spoil


GOOD_CONVEX = convex(rows(30))
TABLES_IN_ZIP = {
    "cut": (changed(GOOD_CONVEX, lambda content: content[: len(content) // 2]), "cannot be read, damaged or cut short"),
    "damaged": (changed(GOOD_CONVEX, flip), "convex_train.amat"),
    "damaged lzma": (changed(convex(rows(30), compression=zipfile.ZIP_LZMA), flip), "cannot be read, damaged"),
    "a wrong checksum": (changed(convex(rows(30), compression=zipfile.ZIP_STORED), flip), "Bad CRC-32|not a number"),
    "encrypted": (changed(GOOD_CONVEX, in_directory(8, 1)), "is encrypted"),
    "an entry that climbs": (convex(rows(30), extra=["../../evil"]), r"leaves its folder: '\.\./\.\./evil'"),
    "an absolute entry": (convex(rows(30), extra=["/tmp/evil"]), "leaves its folder: '/tmp/evil'"),
    "NaN": (convex(rows(30, pixel="nan")), "line 1: pixel 1 is nan"),
    "infinity": (convex(rows(30, pixel="-inf")), "line 1: pixel 1 is -inf"),
    "a label out of range": (convex(rows(30, lambda i: 2)), "line 1: label 2 is none of 0 to 1"),
    "one class": (convex(rows(30, lambda i: 1)), "all examples of the training part are of one class"),
    "an empty part": (convex(rows(30), b""), "50k/convex_test.amat: 0 rows instead of the 30"),
    "not UTF-8": (convex(b"\xff\xfe" * 999), "line 1: 1 columns"),
    "images of another size": (convex(b"0 " * 100 + b"1\n"), "line 1: 101 columns instead of 785"),
    "a folder": (lambda folder: (folder / "convex.zip").mkdir(), "cannot be read, damaged .*Is a directory"),
}


@pytest.mark.parametrize("kind", TABLES_IN_ZIP)
def test_bad_published_files_are_refused(tmp_path, kind):
    make, message = TABLES_IN_ZIP[kind]
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    named = "published files" if kind == "one class" else "convex.zip"
    check_refused(tmp_path, {"name": "convex"}, named, message)


def reviews(folder, points=lambda i: 85 + i % 10, text="plum and oak"):
    lines = [f"{text} {i},{points(i)}\n" for i in range(40)]
    (folder / FILE).write_bytes(("description,points\n" + "".join(lines)).encode("latin-1"))


WINES = {
    "points of 5000 digits": (lambda folder: reviews(folder, lambda i: "9" * 5000), "csv:2: points should be a whole"),
    "points out of range": (lambda folder: reviews(folder, lambda i: 101), "csv:2: .* from 0 to 100, got '101'"),
    "negative points": (lambda folder: reviews(folder, lambda i: -90), "csv:2: .* got '-90'"),
    "NaN": (lambda folder: reviews(folder, lambda i: "nan"), "csv:2: .* got 'nan'"),
    "one class": (lambda folder: reviews(folder, lambda i: 95), "csv.*all examples of the training part are of one"),
    "latin-1": (lambda folder: reviews(folder, text="café"), "csv:2 is not UTF-8 "),
    "a folder": (lambda folder: (folder / FILE).mkdir(), "csv cannot be read: Is a directory"),
}


@pytest.mark.parametrize("kind", WINES)
def test_a_bad_file_of_reviews_is_refused(tmp_path, kind):
    make, message = WINES[kind]
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    check_refused(tmp_path, {"name": "wines", "features": "tfidf"}, FILE, message)


def configured(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def replaced(name, content):
    return lambda folder: (folder / name).write_bytes(content)


ENCODERS = {
    "a vocabulary of billions": (configured(vocab_size=10**10), r"word_embeddings.weight is .* makes it \(1000000"),
    "a million layers": (configured(num_hidden_layers=10**6), "no weights encoder.layer.999999."),
    "wide layers": (configured(intermediate_size=10**9), r"intermediate.dense.weight is .* makes it \(1000000000,"),
    "long sentences": (configured(max_position_embeddings=10**9), "position_embeddings.weight is "),
    "many segments": (configured(type_vocab_size=10**9), "token_type_embeddings.weight is "),
    "a size of true": (configured(num_hidden_layers=True), "num_hidden_layers must be an int >= 1, got True"),
    "nested JSON": (replaced("config.json", b"[" * 100_000), "config.json is not readable JSON"),
    "latin-1": (replaced("config.json", b'{"a": "\xe9"}'), "config.json is not readable JSON"),
    "a pickle": (replaced("model.safetensors", pickle.dumps({"x": 1})), "model.safetensors is damaged"),
    "a header of 10 GB": (
        replaced("model.safetensors", (10**10).to_bytes(8, "little") + b"{}"),
        "model.safetensors is damaged",
    ),
    "no text": (replaced("tokenizer.json", b"\xff\xfe"), "tokenizer.json is not a tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_bad_encoder_is_refused_by_file(tmp_path, kind):
    spoil, message = ENCODERS[kind]
    (tmp_path / "data").mkdir()
    reviews(tmp_path / "data")
    encoder = write_checkpoint(tmp_path / "data" / "encoder", "bert")
    spoil(encoder)
    check_refused(tmp_path, {"name": "wines", "encoder": "encoder"}, str(encoder), message)


@pytest.mark.parametrize(
    ("name", "builder"),
    [
        ("imdb", "imdb_reviews/plain_text/1.0.0"),
        ("cifar10", "cifar10/3.0.2"),
        ("cifar10-human", "cifar10_n/1.0.4"),
    ],
)
def test_a_damaged_prepared_set_is_refused(tmp_path, name, builder):
    folder = tmp_path / "data" / builder
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{")
    (folder / "features.json").write_text("{")
    check_refused(tmp_path, {"name": name}, builder.partition("/")[0], "damaged|download failed")


@pytest.mark.parametrize("content", [b"", b"PK", lzma.compress(b"x"), pickle.dumps({})], ids=len)
def test_a_damaged_cache_is_made_again_and_not_believed(tmp_path, content, capsys):
    path = tmp_path / "nft_keras" / f"convex-{larochelle._generated('convex')}"
    path.parent.mkdir()
    path.write_bytes(content)
    assert data.load("convex", tmp_path, source="generated").num_classes == 2
    assert f"{path}: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("below", ["locked", "locked/inside"])
@pytest.mark.parametrize("name", ["csv", "npz", "image-folder"])
def test_what_may_not_be_read_is_refused(tmp_path, name, below):
    path = tmp_path / "data" / "locked"
    path.mkdir(parents=True)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    try:
        check_refused(tmp_path, {"name": name, "path": below}, below, "Permission denied")
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize(
    "shape, change",
    [
        ((24, 5), "classifiers=[cnn-a]"),
        ((24, 5, 5), "classifiers=[cnn-a]"),
        ((24, 4, 4, 1), "classifiers=[cnn-a]"),
        ((24, 5), "methods.nft.auxiliary={name: unet}"),
        ((24, 8, 8, 1), "methods.nft.auxiliary={name: mlp}"),
        ((24, 8, 8, 1), "methods.nft.auxiliary={name: unet, depth: 9}"),
        ((24, 5), "training.augment=crop-and-flip"),
    ],
)
def test_examples_that_do_not_fit_the_networks_are_refused_before_training(tmp_path, capsys, shape, change):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=rng.random(shape, "float32"), y=np.arange(shape[0]) % 2)
    (tmp_path / "own.yaml").write_text(
        "dataset: {name: npz, path: own.npz}\nclassifiers: [fc-a]\nmethods:\n  nft:\n"
        "    plan: {eta_max: 5, simplification_epochs: 2}\n    auxiliary: {name: mlp, hidden: 4}\n"
        "training: {epochs: 3}\nseeds: [0]\n"
    )
    arguments = [tmp_path / "own.yaml", "--data-dir", tmp_path, "--out", tmp_path / "out", "--set", change]
    assert run.main(list(map(str, arguments))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"examples of shape {shape[1:]} do not fit" in error
