"""Texts: the IMDB reviews of Maas et al. (2011)."""

from pathlib import Path
from typing import Annotated

from nft_keras.data import Dataset, Part, split
from nft_keras.data.features.texts import TfIdf
from nft_keras.data.io.prepared import open_prepared


def imdb(data_dir: Path, split_seed: int, num_words: Annotated[int, ">= 1"] = 20000) -> Dataset:
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
    return Dataset(*parts, 2, f"tensorflow-datasets {info.full_name}", ("negative", "positive"), features)
