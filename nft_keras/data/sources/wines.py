"""The wine reviews of Kaggle (Thoutt 2017), as sentence embeddings or TF-IDF features (Section 3.2)."""

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from nft_keras._text import say
from nft_keras.data import DataError, Dataset, Part, split
from nft_keras.data.features.encoder import SentenceEncoder, find_checkpoint, fingerprint
from nft_keras.data.features.texts import Embeddings, TfIdf
from nft_keras.data.io import cache
from nft_keras.data.io.origins import WINES
from nft_keras.data.io.table import column, read_rows

_TEXT = "description"
# Reviews that are embedded and cached together: an embedding that was broken off goes on after the last whole lot.
_LOT = 8192


def wines(
    data_dir: Path,
    split_seed: int,
    features: Literal["embeddings", "tfidf"] = "embeddings",
    encoder: str = "hf://sentence-transformers/paraphrase-distilroberta-base-v1",
    num_words: Annotated[int, ">= 1"] = 20000,
) -> Dataset:
    """Wine reviews: does the wine have 90 points or more? 70,000, 30,000 and 29,971 reviews.

    The paper gives the sizes of the parts but not who is in them: they are drawn class by class in proportion. Of a
    file with fewer than the 129,971 reviews each part is the same fraction. Reviews that are in the file twice stay.

    Args:
        data_dir: directory with Kaggle's winemag-data-130k-v2.csv.
        split_seed: int, seed of the split.
        features: "embeddings" of a frozen sentence encoder, or "tfidf", which needs no weights.
        encoder: a directory (relative to data_dir, or absolute) or hf:// handle of a sentence-transformers checkpoint,
            see `nft_keras.data.features.encoder`. The embeddings are kept in data_dir/nft_keras, by reviews and
            encoder.
        num_words: size of the vocabulary of the TF-IDF features, the most frequent words of the training reviews.

    Returns:
        A `Dataset` whose x are float32 (n, dimension of the encoder: 768), or for "tfidf" `scipy.sparse.csr_matrix`
        (n, num_words) float32.

    Raises:
        DataError: if the file or the encoder's weights are missing or damaged.
    """
    if features not in ("embeddings", "tfidf"):
        raise DataError(f"wines: features must be one of embeddings, tfidf, got {features!r}")
    path = Path(data_dir) / WINES
    texts, y = _reviews(path)
    provenance = f"Kaggle {WINES}, {len(y):,} reviews, "
    if features == "tfidf":
        x, provenance = np.array(texts, dtype=object), f"{provenance}TF-IDF"
    else:
        given = encoder
        if not given.startswith("hf://"):
            encoder = os.path.abspath(Path(data_dir) / os.path.expanduser(given))
        name = fingerprint(encoder)
        provenance += f"embedded by {given if given == name else f'{Path(given).name} (sha256 {name[:12]})'}"
        x = _embeddings(Path(data_dir), texts, encoder, name)
    train, valid, test = _cut(Part(x, y), split_seed)
    if features == "tfidf":
        preprocessing = TfIdf(num_words, _TEXT).fit(train.x)
        train, valid, test = (Part(preprocessing.transform(part.x), part.y) for part in (train, valid, test))
    else:
        preprocessing = Embeddings(encoder, name, x.shape[1], _TEXT)
    return Dataset(train, valid, test, 2, provenance, ("below 90 points", "90 points or more"), preprocessing)


def _cut(part, seed):
    train_size, valid_size = (size * len(part) // 129971 for size in (70000, 30000))
    train, rest = split(part, train_size, seed)
    return train, *split(rest, valid_size, seed)


def _reviews(path):
    """(texts, int32 array: 1 for 90 points or more)."""
    if not path.exists():
        raise DataError(
            f"wines: no {WINES} in {path.parent}; get it from https://www.kaggle.com/datasets/zynicide/wine-reviews "
            "and put it there (--data-dir)"
        )
    rows = read_rows(path)
    header = next(rows)
    text, points = (column(path, header, name) for name in (_TEXT, "points"))
    texts, y = [], []
    for line, row in rows:
        if not re.fullmatch(r"\d{1,2}|100", row[points]):
            raise DataError(f"{path}:{line}: points should be a whole number from 0 to 100, got {row[points]!r}")
        texts.append(row[text])
        y.append(int(row[points]) >= 90)
    if not texts:
        raise DataError(f"{path} has no reviews, only a header")
    return texts, np.array(y, "int32")


def _embeddings(data_dir, texts, encoder, name):
    """Embeddings of texts by an encoder of that fingerprint, lot by lot out of the cache or made now."""
    lots = [texts[start : start + _LOT] for start in range(0, len(texts), _LOT)]
    paths = [data_dir / "nft_keras" / f"embeddings-{_hash(name, *lot)}.npz" for lot in lots]
    found = [cache.read(path, "embeddings") for path in paths]
    if None in found:
        with cache.one_at_a_time(data_dir / "nft_keras" / "embeddings.lock"):
            found = [cache.read(path, "embeddings") for path in paths]
            missing = [i for i, arrays in enumerate(found) if arrays is None]
            if missing:
                _embed(encoder, lots, paths, found, missing)
    return np.concatenate([embeddings for (embeddings,) in found])


def _embed(encoder, lots, paths, found, missing):
    """Fills in and caches the embeddings of the lots that are missing."""
    model = SentenceEncoder(find_checkpoint(encoder))
    count = sum(len(lots[i]) for i in missing)
    say(f"wines: embedding {count:,} reviews with {encoder}")
    with _progress(count) as advance:
        for i in missing:
            found[i] = [model.encode(lots[i], progress=advance)]
            cache.write(paths[i], embeddings=found[i][0])


def _hash(*texts):
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def _progress(total):
    """A progress bar on a terminal; gives the function that is told how many more are done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("embedding", total=total)
        yield lambda count: progress.advance(task, count)
