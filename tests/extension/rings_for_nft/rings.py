"""A data set: two rings of points in the plane."""

from typing import Annotated

import numpy as np

from nft_keras.data import Dataset, Part, split


def rings(data_dir, split_seed, width: Annotated[float, ">= 0"] = 0.1):
    """Two rings, one inside the other.

    Args:
        data_dir: not needed.
        split_seed: int, of points and split.
        width: standard deviation of the distance from the middle of a ring.
    """
    rng = np.random.default_rng(split_seed)
    y = np.arange(700, dtype="int32") % 2
    angles = rng.uniform(0, 2 * np.pi, len(y))
    radii = 1 + y + rng.normal(0, width, len(y))
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1).astype("float32")
    train, rest = split(Part(points, y), 200, split_seed)
    valid, test = split(rest, 100, split_seed)
    return Dataset(train, valid, test, 2, "generated: two rings", ("inner", "outer"))
