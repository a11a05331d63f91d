import math
import re
from collections import Counter

import numpy as np
import pytest
import scipy.sparse

from nft_keras.data import DataError, load
from nft_keras.data.features.texts import TfIdf
from tests.reviews import prepare

TEXTS = ["A good, GOOD film!", "a bad film; très bad bad", "it's 5 of 10", "good? no.\nbad"]


def by_hand(texts, train, words):
    bags = [Counter(re.findall(r"\w+", text.lower())) for text in train]
    df = {word: sum(word in bag for bag in bags) for word in words}
    rows = []
    for text in texts:
        bag = Counter(re.findall(r"\w+", text.lower()))
        rows.append([(1 + math.log(bag[w])) * math.log(len(train) / df[w]) if bag[w] else 0 for w in words])
    return np.array(rows)


def test_features_are_the_published_tf_idf():
    features = TfIdf(6).fit(TEXTS)
    words = features.counts.get_feature_names_out()
    total = Counter(word for text in TEXTS for word in re.findall(r"\w+", text.lower()))
    assert {"bad", "good", "film", "a"} <= set(words) and len(words) == 6
    assert min(total[w] for w in words) >= max(count for word, count in total.items() if word not in words)
    unseen = ["good good good bad", "unknown words"]
    for texts in (TEXTS, unseen):
        found = features.transform(texts)
        assert scipy.sparse.issparse(found) and found.dtype == np.float32
        np.testing.assert_allclose(found.toarray(), by_hand(texts, TEXTS, words), rtol=1e-6)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A prepared imdb_reviews of 50 training and 20 test reviews."""
    folder = tmp_path_factory.mktemp("data")
    prepare(folder)
    return folder


@pytest.mark.xdist_group("imdb")
def test_imdb_comes_from_a_prepared_directory_and_stays_sparse(reviews):
    dataset = load("imdb", reviews, num_words=50)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [40, 10, 20]
    for part in (dataset.train, dataset.valid, dataset.test):
        assert scipy.sparse.issparse(part.x) and np.bincount(part.y).tolist() == [len(part) // 2] * 2
    assert dataset.provenance.startswith("tensorflow-datasets imdb_reviews/plain_text")


@pytest.mark.xdist_group("imdb")
def test_the_vocabulary_knows_the_training_reviews_only(reviews):
    dataset = load("imdb", reviews, num_words=50)
    assert dataset.input_shape == (9,)  # train, film, word0 to word6, and not the word "test"


def test_without_reviews_and_network_the_error_says_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="no prepared imdb_reviews/ in .*--data-dir") as caught:
        load("imdb", tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
