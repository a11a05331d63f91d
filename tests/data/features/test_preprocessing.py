import json
import math
import re

import numpy as np
import pytest
import scipy.sparse

from nft_keras.data import DataError, Dataset, Part, load
from nft_keras.data.features import preprocessing
from nft_keras.data.features.columns import Boolean, Category, Columns, Date, Number, Text
from nft_keras.data.features.images import Images
from nft_keras.data.features.preprocessing import of_arrays
from nft_keras.data.features.texts import Embeddings, TfIdf
from nft_keras.data.features.vectors import Vectors
from nft_keras.data.targets import Target
from tests.data.features.checkpoints import SENTENCES, write_checkpoint

RNG = np.random.default_rng(0)
TEXTS = ["A good, GOOD film!", "a bad film; très bad bad", "it's 5 of 10", "good? no.\nbad", "𝐀 İ ſ"]
OF = {"b": Number, "a, ü": Boolean, "when": Date, "what": Category}
VALUES = {
    "b": np.append(RNG.normal(1e3, 1 / 3, 19), np.nan),
    "a, ü": RNG.integers(0, 2, 20).astype(float),
    "when": RNG.uniform(15e3, 2e4, 20),
    "what": RNG.choice(["x", "y, z", None], 20),
}
KINDS = {
    "images": (Images(8, 5, 3, "pad"), None),
    "columns": (Columns({name: cls.fit(VALUES[name]) for name, cls in OF.items()}), VALUES),
    "columns of text": (Columns({"review": Text(9, "review").fit(TEXTS)}), {"review": TEXTS}),
    "vectors": (Vectors((2, 3)), RNG.normal(0, 1, (4, 6))),
    "bytes": (Vectors((4,), "uint8"), RNG.integers(0, 256, (3, 4)).astype(float)),
    "tfidf": (TfIdf(9, "review").fit(TEXTS), [*TEXTS, "unknown words", "good good"]),
}


@pytest.fixture
def folder(tmp_path):
    """Writes what a trial's folder holds of a preprocessing."""

    def write(how, class_names=("no", "yes")):
        part = Part(np.empty((0, *how.input_shape)), np.empty(0, int))
        config = preprocessing.to_config(Dataset(part, part, part, 2, "made up", class_names, how))
        (tmp_path / preprocessing.FILE).write_text(json.dumps(config))
        (tmp_path / "result.json").write_text("{}")
        return tmp_path

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_back_transforms_bit_by_bit_as_before(folder, kind, tmp_path):
    how, inputs = KINDS[kind]
    if kind == "images":
        from PIL import Image

        inputs = [tmp_path / "a.png"]
        Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype="uint8")).save(inputs[0])
    again, target = preprocessing.load(folder(how))
    assert target == Target("classification", ("no", "yes")) and again.input_shape == how.input_shape
    before, after = how.transform(inputs), again.transform(inputs)
    assert before.dtype == after.dtype and before.shape == (
        len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs),
        *how.input_shape,
    )
    if scipy.sparse.issparse(before):
        before, after = before.toarray(), after.toarray()
    np.testing.assert_array_equal(before, after)


def test_tf_idf_after_a_round_trip_is_the_published_one(folder):
    again, _ = preprocessing.load(folder(TfIdf(100).fit(TEXTS)))
    words = sorted({word for text in TEXTS for word in re.findall(r"\w+", text.lower())})
    bags = [re.findall(r"\w+", text.lower()) for text in TEXTS]
    df = [sum(word in bag for bag in bags) for word in words]
    rows = [
        [
            (1 + math.log(bag.count(w))) * math.log(len(TEXTS) / n) if w in bag else 0
            for w, n in zip(words, df, strict=True)
        ]
        for bag in bags
    ]
    np.testing.assert_allclose(again.transform(TEXTS).toarray(), rows, rtol=1e-6)


def test_sentences_are_embedded_by_the_encoder_of_the_training_data_and_no_other(folder, tmp_path):
    from nft_keras.data.features.encoder import SentenceEncoder, fingerprint

    directory = tmp_path / "encoder"
    write_checkpoint(directory, "bert")
    how, _ = preprocessing.load(folder(Embeddings(str(directory), fingerprint(directory), 16, "description")))
    np.testing.assert_array_equal(how.transform(SENTENCES), SentenceEncoder(directory).encode(SENTENCES))
    write_checkpoint(directory, "bert", seed=1)
    with pytest.raises(DataError, match="encoder is not the one of the training data .*preprocessing.json"):
        how.transform(SENTENCES)
    directory.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="no sentence encoder in .*preprocessing.json it is called encoder"):
        how.transform(SENTENCES)


def test_byte_arrays_are_images_where_they_have_the_shape_of_one():
    assert of_arrays(np.zeros((2, 8, 9, 3), "uint8")) == Images(8, 9, 3)
    assert of_arrays(np.zeros((2, 8, 9, 1), "uint8")) == Images(8, 9, 1)
    assert of_arrays(np.zeros((2, 8, 9, 2), "uint8")) == Vectors((8, 9, 2), "uint8")
    assert of_arrays(np.zeros((2, 8, 9, 3), "float32")) == Vectors((8, 9, 3))


@pytest.mark.parametrize("name", ["two-moons", "digits-back-image", "csv", "csv of text", "npz", "image-folder"])
def test_every_data_set_says_what_made_its_examples(tmp_path, name):
    from PIL import Image

    options = {"csv": {"path": "t.csv"}, "csv of text": {"path": "t.csv", "text": "a"}, "npz": {"path": "a.npz"}}
    options["image-folder"] = {"path": "images", "image_size": 6}
    (tmp_path / "t.csv").write_text("a,label\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(20)))
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 3)), y=np.arange(20) % 2)
    for i in range(20):
        (tmp_path / "images" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 5), i).save(tmp_path / "images" / str(i % 2) / f"{i}.png")
    dataset = load(name.removesuffix(" of text"), tmp_path, **options.get(name, {}), train_size=10)
    assert dataset.preprocessing.input_shape == dataset.input_shape
    assert preprocessing.to_config(dataset)["class_names"] == list(dataset.class_names)


DAMAGED = {
    "no JSON": ("{", "is not readable JSON"),
    "a list": ("[]", "preprocessing.json: "),
    "no kind": ("{}", "has no key 'kind'"),
    "another kind": ('{"kind": "sound"}', "kind must be one of images, columns, .*, got 'sound'"),
    "no names": ('{"kind": "vectors", "shape": [2], "dtype": "float32"}', "has no key 'class_names'"),
    "no size": (
        '{"class_names": [], "kind": "images", "height": 0, "width": 1, "channels": 1}',
        "height must be .* got 0",
    ),
    "another task": (
        '{"class_names": ["a"], "task": "ranking", "kind": "vectors", "shape": [2], "dtype": "float32"}',
        "task must be one of classification, multi-label, regression, got 'ranking'",
    ),
    "a quantity without its scale": (
        '{"class_names": ["a"], "task": "regression", "mean": 1, "kind": "vectors", "shape": [2], "dtype": "float32"}',
        "has no key 'scale'",
    ),
    "a quantity of no width": (
        '{"class_names": ["a"], "task": "regression", "mean": 1, "scale": 0, "kind": "vectors", "shape": [2], '
        '"dtype": "float32"}',
        "scale one above 0",
    ),
    "no scale": ('{"class_names": [], "kind": "columns", "columns": {"a": {"mean": 1}}}', "scale one above 0"),
    "a part": (
        '{"class_names": [], "kind": "columns", "columns": {"a": {"mean": 1, "scale": 1, "parts": ["b"]}}}',
        "parts must be some of value, missing, got .'b'.",
    ),
    "a column": (
        '{"class_names": [], "kind": "columns", "columns": {"a": {"kind": "sound"}}}',
        "'a': kind must",
    ),
    "a level": (
        '{"class_names": [], "kind": "columns", "columns": {"a": {"kind": "category", "levels": 1, "missing": true}}}',
        "levels must be a list",
    ),
    "scale 0": (
        '{"class_names": [], "kind": "columns", "columns": {"a": {"mean": 1, "scale": 0}}}',
        "scale one above 0",
    ),
    "no words": ('{"class_names": [], "kind": "tfidf", "column": "a", "idf": [1, 2]}', "preprocessing.json: "),
    "objects": ('{"class_names": [], "kind": "vectors", "shape": [2], "dtype": "object"}', "got 'object'"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_refused_by_name(tmp_path, kind):
    content, message = DAMAGED[kind]
    (tmp_path / preprocessing.FILE).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        preprocessing.load(tmp_path)
    assert str(tmp_path / preprocessing.FILE) in str(caught.value)


def test_a_folder_without_one_is_told_from_one_that_is_no_trial(tmp_path):
    with pytest.raises(DataError, match="is not the folder of a finished trial"):
        preprocessing.load(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(DataError, match="no .*preprocessing.json: run the trial again"):
        preprocessing.load(tmp_path)
