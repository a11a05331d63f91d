"""Data sets that are always there because scikit-learn brings them: two-moons and digits-back-image."""

from pathlib import Path
from typing import Annotated

import numpy as np

from nft_keras.data import Dataset, Part, split
from nft_keras.data.features.images import Images
from nft_keras.data.features.preprocessing import of_arrays
from nft_keras.data.sources.generate import over, patches
from nft_keras.data.sources.own import cut_fold
from nft_keras.data.sources.photographs import SCIKIT_LEARN, grey


def two_moons(data_dir: Path, split_seed: int, noise: Annotated[float, ">= 0"] = 0.1) -> Dataset:
    """Two interleaved half circles in the plane (the toy problem of Figure 1 of Marullo et al. 2022).

    Args:
        data_dir: not used.
        split_seed: int, seed of the draw.
        noise: standard deviation of the Gaussian noise that scikit-learn's `make_moons` adds.

    Returns:
        A `Dataset` of 300 training, 300 validation and 1,000 test points, x (n, 2) float32.
    """
    from sklearn.datasets import make_moons

    parts = []
    for i, n in enumerate((300, 300, 1000)):
        x, y = make_moons(n, noise=noise, random_state=(3 * split_seed + i) % 2**32)
        parts.append(Part(x.astype("float32"), y.astype("int32")))
    provenance = f"generated (scikit-learn make_moons, noise {noise}, seed {split_seed})"
    return Dataset(*parts, 2, provenance, ("upper", "lower"), of_arrays(parts[0].x))


def digits_back_image(data_dir: Path, split_seed: int, fold: str | None = None) -> Dataset:
    """Handwritten digits over patches of photographs, after mnist-back-image of Larochelle et al. (2007).

    The 1,797 digits (8x8) of scikit-learn are enlarged to 28x28; each lies, white, over a patch cut at random from
    scikit-learn's two sample photographs. A patch is kept if its pixels' standard deviation is at least 0.1.

    Args:
        data_dir: not used.
        split_seed: int, seed of the backgrounds and of the split.
        fold: K-of-N, which of N test parts is left out, instead of one of 500; `folds` in a recipe says all of them.

    Returns:
        A `Dataset` of 1,000 training, 297 validation and 500 test images, x (n, 28, 28, 1) float32 in [0, 1].
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    digits = load_digits()
    ink = np.pad(digits.images / 16.0, ((0, 0), (1, 1), (1, 1)))
    ink = zoom(ink, (1, 2.8, 2.8), order=1).clip(0, 1)
    rng = np.random.default_rng(split_seed)
    backgrounds = patches(len(ink), rng, list(map(grey, SCIKIT_LEARN)), least_deviation=0.1)
    x = over(ink, backgrounds)[..., None].astype("float32")
    everything = Part(x, digits.target.astype("int32"))
    names = tuple("0123456789")
    if fold is None:
        train, rest = split(everything, 1000, split_seed)
        valid, test = split(rest, 297, split_seed)
    else:
        rest, test = cut_fold("digits-back-image", everything, names, fold, split_seed)
        valid, train = split(rest, 297, split_seed)
    provenance = f"scikit-learn digits, backgrounds generated from its sample photographs (seed {split_seed})"
    return Dataset(train, valid, test, 10, provenance, names, Images(28, 28, 1))
