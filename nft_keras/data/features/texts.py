"""What makes features of texts, see `preprocessing`."""

import dataclasses

import numpy as np

from nft_keras.data import DataError
from nft_keras.data.io.table import LONGEST_LINE, column, is_table, read_table


class Texts:
    """Texts: a column of a table, or the lines of any other file."""

    def read(self, path, skipped=None):
        """The texts of a file: of `column` where it is a table, else one per line; empty lines are left out.

        Args:
            path: `pathlib.Path`; the file is UTF-8.
            skipped: list; rows of a table that cannot be used are left out, and what is wrong is appended to it.

        Returns:
            lines: list of int, the line where each text ends.
            texts: list of str, for `transform`.

        Raises:
            DataError: if the file cannot be used, naming the line.
        """
        if not is_table(path, self.column):
            return lines_of(path)
        table = read_table(path, text=(self.column,), skipped=skipped, numbers=())
        column(path, table.frame.columns, self.column)
        return list(table.lines), table.frame[self.column].tolist()

    def layers(self, any_size=True):
        """There are none.

        Raises:
            DataError: always.
        """
        raise DataError("no layers make the inputs of texts: the classifier is exported without its preprocessing")


class TfIdf(Texts):
    """TF-IDF features: tf = 1 + ln(count), idf = ln(N / df); a word is a maximal run of word characters, lower-cased.

    Args:
        num_words: the vocabulary's size; the most frequent words of the texts it is fitted on.
        column: str, name of the column that holds the texts in a CSV file.
    """

    def __init__(self, num_words, column="text"):
        from sklearn.feature_extraction.text import CountVectorizer

        self.counts = CountVectorizer(max_features=num_words, token_pattern=r"\w+", dtype=np.float32)
        self.column = column

    @property
    def input_shape(self):
        """Shape of one example."""
        return self.idf.shape

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

    def to_config(self):
        """{"column": ..., "idf": {word: idf}}, the words in the order of the features."""
        words = self.counts.get_feature_names_out().tolist()
        return {"column": self.column, "idf": dict(zip(words, self.idf.tolist(), strict=True))}

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        words = config["idf"]
        self = cls(len(words), str(config["column"]))
        self.counts.vocabulary_ = {word: i for i, word in enumerate(words)}
        self.idf = np.array([float(idf) for idf in words.values()], "float32")
        if not np.isfinite(self.idf).all():
            raise ValueError("idf must be finite numbers")
        return self


@dataclasses.dataclass(frozen=True)
class Embeddings(Texts):
    """Sentence embeddings of a frozen encoder.

    Attributes:
        encoder: directory or hf:// handle, see `nft_keras.data.features.encoder`.
        fingerprint: str that tells this encoder from others.
        dimension: int, length of an embedding.
        column: str, name of the column that holds the texts in a CSV file.
    """

    encoder: str
    fingerprint: str
    dimension: int
    column: str = "text"

    @property
    def input_shape(self):
        """Shape of one example."""
        return (self.dimension,)

    def transform(self, texts):
        """float32 (n, dimension) of a list of str.

        Raises:
            DataError: if the encoder is not to be had, or is another one by now.
        """
        from nft_keras.data.features.encoder import SentenceEncoder, find_checkpoint, fingerprint

        try:
            if fingerprint(self.encoder) != self.fingerprint:
                raise DataError(f"the sentence encoder in {self.encoder} is not the one of the training data")
            return SentenceEncoder(find_checkpoint(self.encoder)).encode(texts)
        except DataError as error:
            raise DataError(f"{error} (in the trial's preprocessing.json it is called encoder)") from error

    to_config = dataclasses.asdict

    @classmethod
    def from_config(cls, config):
        """The inverse of `to_config`."""
        return cls(config["encoder"], config["fingerprint"], int(config["dimension"]), str(config["column"]))


def lines_of(path):
    """(numbers, texts) of the lines of a file that are not empty.

    Raises:
        DataError: if it cannot be read, or holds none.
    """
    lines, texts = [], []
    try:
        with open(path, "rb") as file:
            for line, text in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
                if len(text) > LONGEST_LINE:
                    raise DataError(f"{path}:{line}: not a text, the line has more than {LONGEST_LINE:,} bytes")
                text = text.decode("utf-8-sig" if line == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    lines.append(line)
                    texts.append(text)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{line} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not texts:
        raise DataError(f"{path} is empty; it should hold a text per line")
    return lines, texts
