"""A folder of the user's own images as a data set."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from nft_keras.data import DataError, Dataset, Part
from nft_keras.data.features.images import Images
from nft_keras.data.sources.own import PARTS, Fraction, classes, complete, located


def image_folder(
    data_dir: Path,
    split_seed: int,
    path: str,
    image_size: Annotated[int, ">= 1 and <= 4096"] = 32,
    channels: Literal[1, 3] = 3,
    valid_fraction: Fraction = 0.2,
    test_fraction: Fraction = 0.2,
    fold: str | None = None,
) -> Dataset:
    """A folder with one folder of images per class, or with folders train and, if there are, valid and test of such.

    Args:
        data_dir: the directory that a relative `path` starts from.
        split_seed: int, seed of the split, class by class in proportion.
        path: the folder. Files whose names start with a dot are left out; every other one must be an image that
            Pillow reads (PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000, PPM) with at most 8 bits per channel.
        image_size: height and width, in pixels, that every image is resized to.
        channels: 3 for colours, 1 for grey.
        valid_fraction, test_fraction: of the images, for the parts that the folder does not have.
        fold: K-of-N, which of N test parts is left out, instead of test_fraction; `folds` in a recipe says all of them.

    Returns:
        A `Dataset` whose x are uint8 (n, image_size, image_size, channels).

    Raises:
        DataError: if there are no classes or images that cannot be read, naming every one of them.
    """
    path = located(data_dir, path)
    inside = [entry for entry in _inside(path) if entry.is_dir()]
    roots = {folder.name: folder for folder in inside if folder.name in PARTS}
    if "train" not in roots or len(roots) < len(inside):
        roots = {"train": path}
    files = {which: _by_class(root) for which, root in roots.items()}
    labels = {which: np.array([name for _, name in pairs], dtype=str) for which, pairs in files.items()}
    names, ys = classes(path, list(labels.values()))
    preprocessing = Images(image_size, image_size, channels)
    files = [file for pairs in files.values() for file, _ in pairs]
    images, names_of = preprocessing.transform(files, path), np.array([str(file.relative_to(path)) for file in files])
    ends = np.cumsum([len(y) for y in ys])[:-1]
    cut = (roots, np.split(images, ends), ys, np.split(names_of, ends))
    parts = {which: Part(*of) for which, *of in zip(*cut, strict=True)}
    parts = complete(path, parts, names, valid_fraction, test_fraction, split_seed, fold)
    parts = [parts[which] for which in PARTS]
    return Dataset(*parts, len(names), f"{path}, {len(images):,} images", names, preprocessing)


def _inside(folder):
    """Sorted entries of a folder that are not hidden."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} is not a folder that can be read: {error.strerror or error}") from error


def _by_class(root):
    """(file, name of its folder) of every file in the folders of a folder."""
    pairs = []
    for folder in _inside(root):
        if folder.is_dir():
            found = _inside(folder)
            if not found:
                raise DataError(f"{folder} is empty, a class without examples")
            pairs.extend((file, folder.name) for file in found)
    return pairs
