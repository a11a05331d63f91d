"""CIFAR-10, cut as in Section 3.3 of Marullo et al. 2022, and with people's labels; MNIST; from tensorflow-datasets."""

from pathlib import Path
from typing import Literal

import numpy as np

from nft_keras.data import DataError, Dataset, Part, split
from nft_keras.data.features.preprocessing import of_arrays
from nft_keras.data.io.prepared import open_prepared

# The features of cifar10_n.
_HUMAN = {
    "worse": "worse_label",
    "aggre": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
}


def cifar10(data_dir: Path, split_seed: int) -> Dataset:
    """Small photographs of ten kinds of animals and vehicles (Krizhevsky 2009): 40,000, 10,000 and 10,000.

    `load("cifar10-n10")` is the same with the labels of 10 % of the training images permuted. The ResNet18 runs
    augment the training images with `nft_keras.data.features.augment.crop_and_flip`, an argument of `batches`.

    Args:
        data_dir: a directory with a prepared `cifar10/`; without one it is downloaded into it.
        split_seed: int, seed of the stratified cut of the 50,000 training images into 40,000 and 10,000.

    Returns:
        A `Dataset` whose x are uint8 (n, 32, 32, 3).

    Raises:
        DataError: if the images are neither in data_dir nor to be had from the network, or are damaged.
    """
    return _load("cifar10", data_dir, 40000 / 50000, split_seed)


def cifar10_human(
    data_dir: Path, split_seed: int, labels: Literal["worse", "aggre", "random1", "random2", "random3"] = "worse"
) -> Dataset:
    """CIFAR-10 with the labels that people gave, right or wrong (CIFAR-10N, Wei et al. 2022): 40,000, 10,000, 10,000.

    Three people labelled each training image. Their labels are those of the training and of the validation part, for
    whoever has wrong labels selects by wrong labels too; those of the test part are CIFAR-10's own.

    Args:
        data_dir: a directory with a prepared `cifar10_n/`, or with its labels in `downloads/manual/`; the images are
            downloaded then.
        split_seed: int, seed of the cut of the 50,000 training images into 40,000 and 10,000, stratified by `labels`.
        labels: "random1", "random2" or "random3", one label of the three (17 to 18 % wrong); "aggre", the majority's
            (9 % wrong); "worse", a wrong one wherever there is one (40 % wrong).

    Returns:
        A `Dataset` whose x are uint8 (n, 32, 32, 3).

    Raises:
        DataError: if labels or images are neither in data_dir nor to be had from the network, or are damaged.
    """
    if labels not in _HUMAN:
        raise DataError(f"cifar10-human: labels must be one of {', '.join(_HUMAN)}, got {labels!r}")
    return _load("cifar10_n", data_dir, 40000 / 50000, split_seed, labels)


def mnist(data_dir: Path, split_seed: int) -> Dataset:
    """Handwritten digits as they are (LeCun et al. 1998), for the question what a method brings on clean data.

    Args:
        data_dir: a directory with a prepared `mnist/`; without one it is downloaded into it.
        split_seed: int, seed of the stratified cut of the 60,000 training images into 50,000 and 10,000.

    Returns:
        A `Dataset` whose x are uint8 (n, 28, 28, 1).

    Raises:
        DataError: if the images are neither in data_dir nor to be had from the network, or are damaged.
    """
    return _load("mnist", data_dir, 50000 / 60000, split_seed)


def _load(name, data_dir, for_training, split_seed, human=None):
    """The parts of a set of images; `human`, a key of `_HUMAN`: people's labels for training and validation."""
    everything, test, info = open_prepared(name, data_dir)
    given = everything[_HUMAN[human] if human else "label"].astype("int32")
    # Row numbers are split, so that each label that was given can be compared with the image's own.
    rows = split(Part(np.arange(len(given)), given), round(for_training * len(given)), split_seed)
    train, valid = (Part(everything["image"][part.x], part.y) for part in rows)
    test = Part(test["image"], test["label"].astype("int32"))
    provenance = f"tensorflow-datasets {info.full_name}"
    if human:
        wrong = 100 * np.mean(train.y != everything["label"][rows[0].x])
        provenance += f", {human} labels: {wrong:.1f} % of {len(train):,} training labels differ from CIFAR-10's own"
    names = tuple(info.features["label"].names)
    return Dataset(train, valid, test, len(names), provenance, names, of_arrays(test.x))
