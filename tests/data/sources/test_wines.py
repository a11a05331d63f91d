import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest

from nft_keras.data import DataError, load
from nft_keras.data.features.encoder import SentenceEncoder
from nft_keras.data.features.texts import TfIdf
from nft_keras.data.io.origins import WINES
from nft_keras.data.sources import wines
from tests.data.features.checkpoints import write_checkpoint

WORDS = 'ripe plum dry oak tannins cherry, crisp "old vine" long earthy café'.split()
N = 260


def reviews(seed=0):
    """(texts, points) of made-up reviews; the last two texts are the same."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 30))) + f" {i}" for i in range(N - 1)]
    return [*texts, texts[-1]], rng.integers(80, 101, N)


@pytest.fixture
def folder(tmp_path):
    """A data directory with a short file in Kaggle's columns."""
    with open(tmp_path / WINES, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", "country", "description", "points", "title"])
        for i, (text, points) in enumerate(zip(*reviews(), strict=True)):
            writer.writerow([i, "", text, points, f"wine\n{i}"])
    return tmp_path


def parts(dataset):
    return dataset.train, dataset.valid, dataset.test


def test_a_shorter_file_is_cut_in_the_published_proportions_class_by_class(folder):
    dataset = load("wines", folder, features="tfidf")
    sizes = [len(part) for part in parts(dataset)]
    assert sizes == [N * 70000 // 129971, N * 30000 // 129971, N - sum(sizes[:2])]
    good = np.mean(reviews()[1] >= 90)
    for part in parts(dataset):
        assert part.y.mean() == pytest.approx(good, abs=1 / len(part))
    again, other = (load("wines", folder, features="tfidf", split_seed=seed).train.y for seed in (0, 1))
    np.testing.assert_array_equal(dataset.train.y, again)
    assert (dataset.train.y != other).any()


def test_tf_idf_features_are_fitted_on_the_training_reviews_and_labels_are_90_points(folder):
    dataset = load("wines", folder, features="tfidf", num_words=15)
    texts, points = map(np.array, reviews())
    words = sorted(set(" ".join(texts).lower().replace(",", " ").replace('"', " ").split()))
    assert dataset.train.x.shape[1] == 15 < len(words)
    # The texts of the parts are not in the data set: the split is the one of anything else with the same labels.
    rows = [part.x for part in wines._cut(wines.Part(np.arange(N), (points >= 90).astype("int32")), 0)]
    assert sorted(np.concatenate(rows)) == list(range(N))
    features = TfIdf(15).fit(texts[rows[0]])
    for part, of_part in zip(parts(dataset), rows, strict=True):
        np.testing.assert_array_equal(part.x.toarray(), features.transform(texts[of_part]).toarray())
        np.testing.assert_array_equal(part.y, points[of_part] >= 90)


def test_embeddings_are_those_of_the_encoder_and_kept_for_the_next_time(folder, monkeypatch):
    monkeypatch.setattr(wines, "_LOT", 100)
    write_checkpoint(folder / "encoder", "bert")
    dataset = load("wines", folder, encoder="encoder")
    texts, points = map(np.array, reviews())
    rows = [part.x for part in wines._cut(wines.Part(np.arange(N), (points >= 90).astype("int32")), 0)]
    # The same wherever the encoder lies.
    assert re.search(r", embedded by encoder \(sha256 [0-9a-f]{12}\)$", dataset.provenance)
    encoder = SentenceEncoder(folder / "encoder")
    for part, of_part in zip(parts(dataset), rows, strict=True):
        assert part.x.dtype == np.float32
        np.testing.assert_allclose(part.x, encoder.encode(list(texts[of_part])), atol=1e-5)

    made = []
    monkeypatch.setattr(wines, "SentenceEncoder", lambda directory: made.append(directory) or encoder)
    again = load("wines", folder, encoder=str(folder / "encoder"))
    np.testing.assert_array_equal(again.train.x, dataset.train.x)
    assert not made and again.provenance == dataset.provenance
    next((folder / "nft_keras").glob("embeddings-*.npz")).unlink()
    again = load("wines", folder, encoder="encoder")
    np.testing.assert_allclose(again.train.x, dataset.train.x, atol=1e-5)
    assert len(made) == 1


def test_other_weights_or_other_reviews_are_embedded_anew(folder):
    write_checkpoint(folder / "encoder", "bert", seed=1)
    first = load("wines", folder, encoder="encoder").train.x
    write_checkpoint(folder / "encoder", "bert", seed=2)
    second = load("wines", folder, encoder="encoder").train.x
    assert np.abs(first - second).max() > 0.1
    file = folder / WINES
    file.write_text(file.read_text(encoding="utf-8").replace("plum", "oak"), encoding="utf-8")
    assert np.abs(second - load("wines", folder, encoder="encoder").train.x).max() > 0.1


def test_without_weights_the_error_names_a_directory_to_pass_and_the_choice_without(folder, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    with pytest.raises(DataError, match="paraphrase-distilroberta-base-v1.*encoder: DIRECTORY.*features: tfidf"):
        load("wines", folder)
    with pytest.raises(DataError, match="no sentence encoder in .*nowhere: pass a directory"):
        load("wines", folder, encoder="nowhere")


def test_without_the_file_the_error_says_where_to_get_it_and_where_to_put_it(tmp_path):
    with pytest.raises(DataError, match="winemag-data-130k-v2.csv.*kaggle.com/.*wine-reviews.*--data-dir") as caught:
        load("wines", tmp_path, features="tfidf")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"description,points\n", "no reviews"),
        (b"id,points\n1,90\n", "no column 'description'; it has id, points"),
        (b"description,points\ngood,95\nbad,?\n", r"csv:3: points should be a whole number from 0 to 100, got '\?'"),
        (b"description,points\ngood,95\nbad\n", "csv:3: 1 cells, the header has 2 columns"),
        (b"description,points\ngood,95\ncaf\xe9,80\n", "csv:3 is not UTF-8 "),
        (b"description,points\ngood,95\nbad,80\n", "cannot draw 1 of 2 examples"),
    ],
)
def test_a_damaged_file_is_named_with_the_line(tmp_path, content, message):
    (tmp_path / WINES).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load("wines", tmp_path, features="tfidf")


@pytest.mark.data
def test_the_real_reviews_load():
    folder = Path(os.environ.get("NFT_DATA_DIR", ""))
    if not (folder / WINES).exists():
        pytest.skip(f"no {WINES} in $NFT_DATA_DIR")
    with open(folder / WINES, encoding="utf-8", newline="") as file:
        points = np.array([int(row["points"]) for row in csv.DictReader(file)])
    dataset = load("wines", folder, features="tfidf")
    y = np.concatenate([part.y for part in parts(dataset)])
    assert len(y) == len(points)
    assert y.sum() == np.sum(points >= 90)
    assert len(dataset.train) == 70000 * len(points) // 129971
