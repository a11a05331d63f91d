"""What a recipe may say of this package; read without Keras, so that a wrong recipe is refused at once."""

import dataclasses
from typing import Annotated

from nft_keras.data import Spec
from nft_keras.experiments.classifiers import Classifier
from nft_keras.experiments.methods import Method
from nft_keras.experiments.recipe.settings import PlanSettings

RINGS = Spec("rings_for_nft.rings:rings", "two rings in the plane, one inside the other", (2,), 2, (200, 100, 400))


@dataclasses.dataclass(frozen=True)
class Polynomial:
    """Settings of `rings_for_nft.training.polynomial`."""

    degree: Annotated[int, ">= 1 and <= 5"] = 2


@dataclasses.dataclass(frozen=True)
class Noise:
    """Training with noise on the data: its standard deviation falls from `deviation` to 0 by the plan's law."""

    plan: PlanSettings
    deviation: Annotated[float, ">= 0"] = 0.1


POLYNOMIAL = Classifier("rings_for_nft.training:polynomial", Polynomial, takes="vectors")
NOISE = Method(Noise, "rings_for_nft.training:noise", "rings_for_nft.training:noise_plan")


def late(progress):
    """Fraction of the plan's way: the cube of its progress."""
    return progress**3
