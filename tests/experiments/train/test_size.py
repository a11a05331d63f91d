"""What is said of large networks before they are trained."""

import numpy as np
import pytest

from nft_keras.data import Dataset, Part
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.trial import check_fits

RECIPE = """\
dataset: {name: image-folder, path: p}
classifiers: [cnn-a, cnn-gap]
methods:
  ct:
  nft: {plan: {eta_max: 5, simplification_epochs: 5}, auxiliary: {name: unet}}
  narrow: {is: nft, plan: {eta_max: 5, simplification_epochs: 5}, auxiliary: {name: unet, filters: 4}}
training: {epochs: 10}
seeds: [0]
"""


def said(tmp_path, size):
    """{(classifier, method): what is said} of the recipe on colour images of so many pixels."""
    (tmp_path / "mine.yaml").write_text(RECIPE)
    part = Part(np.zeros((2, size, size, 3), "uint8"), np.array([0, 1]))
    dataset = Dataset(part, part, part, 10, "made up", tuple("0123456789"))
    trials = load_recipe(tmp_path / "mine.yaml")
    return {(trial.classifier, trial.method): check_fits(trial, dataset) for trial in trials}


@pytest.mark.parametrize("size", [16, 32])
def test_small_images_are_trained_on_without_remarks(tmp_path, size):
    assert not any(said(tmp_path, size).values())


def test_what_grows_with_the_image_is_said_with_an_alternative(tmp_path):
    lines = said(tmp_path, 112)
    # 54 x 54 x 64 features, 128 units: of CNN-A's 23.9 million weights all but 20 thousand.
    weights = 9 * 3 * 32 + 32 + 9 * 32 * 64 + 64 + 54 * 54 * 64 * 128 + 128 + 128 * 10 + 10
    many = (
        f"cnn-a has {weights / 1e6:.1f} million weights on images of 112x112 pixels; those of cnn-gap and backbone do "
        "not grow with the image"
    )
    assert lines["cnn-a", "ct"] == lines["cnn-a", "narrow"] == [many]
    assert lines["cnn-gap", "ct"] == lines["cnn-gap", "narrow"] == []
    assert lines["cnn-a", "nft"][0] == many
    times = 1 + 4 / 10 * (4 * unet(112, 64) + 2 * cnn_a(112)) / (3 * cnn_a(112))
    assert lines["cnn-a", "nft"][1] == (
        f"cnn-a with NFT takes {times:.1f} times the operations of classic training on images of 112x112 pixels; an "
        "auxiliary network of fewer `filters`, or with `stem: 2`, takes fewer"
    )


def cnn_a(size):
    """Operations of a forward pass: 2 for each weight and place."""
    first, second, pooled = size - 2, size - 4, (size - 4) // 2
    convolutions = 9 * 3 * 32 * first**2 + 9 * 32 * 64 * second**2
    return 2 * (convolutions + pooled**2 * 64 * 128 + 128 * 10)


def unet(size, n):
    """The same of the U-Net of depth 2: two 3x3 convolutions a level, down and up again, and a 1x1 one."""
    levels = [(3, n, n), (n, 2 * n, 2 * n), (2 * n, 2 * n, 2 * n)]
    up = [(2 * n + 2 * n, 2 * n, n), (n + n, n, n)]
    places = [size**2, (size // 2) ** 2, (size // 4) ** 2, (size // 2) ** 2, size**2]
    weights = [9 * (a * b + b * c) for a, b, c in levels + up]
    return 2 * (sum(w * p for w, p in zip(weights, places, strict=True)) + n * 3 * size**2)
