"""Data sets that tensorflow-datasets downloads and prepares: opened from the data directory, or a word on why not."""

import logging
import urllib.error
import urllib.request

from nft_keras.backend import tensorflow_for_data
from nft_keras.data import DataError
from nft_keras.data.io.origins import by_hand

# tensorflow-datasets tries for minutes before it gives up on a host that is out of reach.
_HOSTS = {
    "imdb_reviews": "https://ai.stanford.edu",
    "cifar10": "https://www.cs.toronto.edu",
    "cifar10_n": "https://www.cs.toronto.edu",
    "mnist": "https://storage.googleapis.com",
}
_SECONDS = 10


def open_prepared(name, data_dir):
    """Both parts of a data set of tensorflow-datasets, downloaded into data_dir if they are not there.

    Args:
        name: its name there: "imdb_reviews", "cifar10", "cifar10_n" or "mnist".
        data_dir: `pathlib.Path`, the directory with the prepared `name/`.

    Returns:
        train: dict of arrays, one for each feature.
        test: the same of the test examples.
        info: `tfds.core.DatasetInfo`.

    Raises:
        DataError: if the examples are neither in data_dir nor to be had from the network, or are damaged.
    """
    import tensorflow_datasets as tfds

    tensorflow_for_data()
    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of folders that are not prepared yet
    try:
        builder = tfds.builder(name, data_dir=str(data_dir))
        prepared = builder.is_prepared()
    except Exception as error:
        raise DataError(
            f"{name}/ in {data_dir} is damaged ({type(error).__name__}); delete it and run with network once"
        ) from error
    if not prepared:
        if missing := by_hand(name, data_dir):
            raise DataError(f"no prepared {name}/ in {data_dir}, and its labels are not downloaded; {missing}")
        try:
            _reach(_HOSTS[name])
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        except Exception as error:
            raise DataError(
                f"no prepared {name}/ in {data_dir} and the download failed ({type(error).__name__}); "
                "run with network once, or put a prepared tensorflow-datasets directory there (--data-dir)"
            ) from error
    try:
        train, test = (tfds.as_numpy(builder.as_dataset(split=part, batch_size=-1)) for part in ("train", "test"))
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(
            f"{builder.data_dir} is damaged ({type(error).__name__}); delete it and run with network once"
        ) from error
    return train, test, builder.info


def _reach(host):
    try:
        urllib.request.build_opener().open(urllib.request.Request(host, method="HEAD"), timeout=_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # whatever it answers, it is there
