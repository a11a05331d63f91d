"""Text data sets: the IMDB reviews of Maas et al. (2011) as TF-IDF features."""

from typing import Annotated

import numpy as np

from nft_keras.data import Dataset, Part, split
from nft_keras.data.prepared import open_prepared


def imdb(data_dir, split_seed, num_words: Annotated[int, ">= 1"] = 20000):
    """Polarity of film reviews: tensorflow-datasets' imdb_reviews as TF-IDF features (Section 3.2).

    Args:
        data_dir: a directory with a prepared `imdb_reviews/`; without one the reviews are downloaded into it.
        split_seed: int, seed of the stratified cut of the 25,000 training reviews into 20,000 and 5,000.
        num_words: size of the vocabulary, the most frequent words of the 20,000 training reviews.

    Returns:
        A `Dataset` whose x are `scipy.sparse.csr_matrix` (n, num_words) float32.

    Raises:
        DataError: if the reviews are neither in data_dir nor to be had from the network, or are damaged.
    """
    *parts, info = open_prepared("imdb_reviews", data_dir)
    texts, test = (Part(part["text"], part["label"].astype("int32")) for part in parts)
    train, valid = split(texts, 20000 * len(texts) // 25000, split_seed)
    features = TfIdf(num_words).fit(train.x)
    parts = (Part(features.transform(part.x), part.y) for part in (train, valid, test))
    return Dataset(*parts, 2, f"tensorflow-datasets {info.full_name}", ("negative", "positive"))


class TfIdf:
    """TF-IDF features: tf = 1 + ln(count), idf = ln(N / df); a word is a maximal run of word characters, lower-cased.

    Args:
        num_words: the vocabulary's size; the most frequent words of the texts it is fitted on.
    """

    def __init__(self, num_words):
        from sklearn.feature_extraction.text import CountVectorizer

        self.counts = CountVectorizer(max_features=num_words, token_pattern=r"\w+", dtype=np.float32)

    def fit(self, texts):
        """Chooses the vocabulary and counts document frequencies on `texts`, an iterable of str; returns self."""
        counts = self.counts.fit_transform(texts)
        document_frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        self.idf = np.log(counts.shape[0] / document_frequency).astype("float32")
        return self

    def transform(self, texts):
        """Features of `texts`: `scipy.sparse.csr_matrix` (n, words of the vocabulary) of float32."""
        features = self.counts.transform(texts)
        features.data = (1 + np.log(features.data)) * self.idf[features.indices]
        return features
