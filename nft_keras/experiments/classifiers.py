"""The classifiers that recipes name; read without Keras."""

import dataclasses
from typing import Annotated, Literal

from nft_keras._registry import Registry


@dataclasses.dataclass(frozen=True)
class FcASettings:
    """`nft_keras.classifiers.fc_a`."""

    units: Annotated[int, ">= 1"] = 10


@dataclasses.dataclass(frozen=True)
class FcBSettings:
    """`nft_keras.classifiers.fc_b`."""

    units: Annotated[tuple[int, ...], ">= 1"] = (2500, 2000, 1500, 1000, 500)


@dataclasses.dataclass(frozen=True)
class CnnGapSettings:
    """`nft_keras.classifiers.cnn_gap`."""

    filters: Annotated[tuple[int, ...], ">= 1"] = (32, 64, 128, 256)


@dataclasses.dataclass(frozen=True)
class BackboneSettings:
    """`nft_keras.backbone.backbone`."""

    model: str = "MobileNetV3Small"
    weights: str | None = None
    trainable: bool = False
    trainable_from: Annotated[int | None, ">= 1"] = None


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """A network without settings of its own."""


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A classifier that a recipe can name.

    Attributes:
        build: "module:function"; the function takes the shape of one example, the number of classes and the settings as
            keyword arguments, and returns a `keras.Model` with logits as output.
        settings: frozen dataclass of its settings: what a recipe may say, annotated as the settings here are.
        takes: "images" (height, width, channels), "vectors", or None for both.
    """

    build: str
    settings: type = NoSettings
    takes: Literal["images", "vectors"] | None = None

    def __post_init__(self):
        if self.takes not in ("images", "vectors", None):
            raise ValueError(f"takes must be 'images', 'vectors' or None, got {self.takes!r}")
        if not dataclasses.is_dataclass(self.settings):
            raise TypeError(f"settings must be a dataclass, got {self.settings!r}")


CLASSIFIERS = Registry(
    "nft_keras.classifiers",
    Classifier,
    {
        "fc-a": Classifier("nft_keras.classifiers:fc_a", FcASettings),
        "fc-b": Classifier("nft_keras.classifiers:fc_b", FcBSettings),
        "cnn-a": Classifier("nft_keras.classifiers:cnn_a", takes="images"),
        "cnn-b": Classifier("nft_keras.classifiers:cnn_b", takes="images"),
        "cnn-gap": Classifier("nft_keras.classifiers:cnn_gap", CnnGapSettings, takes="images"),
        "resnet18": Classifier("nft_keras.classifiers:resnet18", takes="images"),
        "backbone": Classifier("nft_keras.backbone:backbone", BackboneSettings, takes="images"),
    },
)
