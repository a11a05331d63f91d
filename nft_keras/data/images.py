"""CIFAR-10, cut as Section 3.3 of Marullo et al. 2022 does, and plain MNIST, from tensorflow-datasets."""

from nft_keras.data import Dataset, Part, split
from nft_keras.data.prepared import open_prepared
from nft_keras.data.preprocessing import of_arrays


def cifar10(data_dir, split_seed):
    """Small photographs of ten kinds of animals and vehicles (Krizhevsky 2009): 40,000, 10,000 and 10,000.

    `load("cifar10-n10")` is the same with the labels of 10 % of the training images permuted. The ResNet18 runs
    augment the training images with `nft_keras.data.augment.crop_and_flip`, an argument of `batches`.

    Args:
        data_dir: a directory with a prepared `cifar10/`; without one it is downloaded into it.
        split_seed: int, seed of the stratified cut of the 50,000 training images into 40,000 and 10,000.

    Returns:
        A `Dataset` whose x are uint8 (n, 32, 32, 3).

    Raises:
        DataError: if the images are neither in data_dir nor to be had from the network, or are damaged.
    """
    return _load("cifar10", data_dir, 40000 / 50000, split_seed)


def mnist(data_dir, split_seed):
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


def _load(name, data_dir, for_training, split_seed):
    *parts, info = open_prepared(name, data_dir)
    everything, test = (Part(part["image"], part["label"].astype("int32")) for part in parts)
    train, valid = split(everything, round(for_training * len(everything)), split_seed)
    names = tuple(info.features["label"].names)
    return Dataset(train, valid, test, len(names), f"tensorflow-datasets {info.full_name}", names, of_arrays(test.x))
