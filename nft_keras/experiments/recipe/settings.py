"""Settings that the methods share: optimizers, training, plans; as a recipe names them, read without Keras."""

import dataclasses
import math
from typing import Annotated, Literal


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer.

    Attributes:
        optimizer: its name.
        learning_rate: its learning rate.
        weight_decay: L2 in the gradient of every weight for adam and sgd, decoupled for adamw.
        momentum: of sgd.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, "> 0"] = 1e-4
    weight_decay: Annotated[float, ">= 0"] = 0.0
    momentum: Annotated[float, ">= 0 and < 1"] = 0.0

    def build(self):
        """The `keras.optimizers.Optimizer`."""
        import keras

        from nft_keras import optimizers

        if self.optimizer == "sgd":
            return optimizers.SGD(self.learning_rate, momentum=self.momentum, l2=self.weight_decay)
        if self.optimizer == "adamw":
            return keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay)
        return optimizers.Adam(self.learning_rate, l2=self.weight_decay)


@dataclasses.dataclass(frozen=True)
class CropAndFlip:
    """`nft_keras.data.features.augment.crop_and_flip`."""

    name = "crop-and-flip"


@dataclasses.dataclass(frozen=True)
class Flip:
    """`keras.layers.RandomFlip`: every other image on average is mirrored."""

    name, layer = "flip", "RandomFlip"
    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal"


@dataclasses.dataclass(frozen=True)
class Rotation:
    """`keras.layers.RandomRotation`: by up to `factor` of a whole turn to either side."""

    name, layer = "rotation", "RandomRotation"
    factor: Annotated[float, "> 0 and <= 1"] = 0.05
    fill_mode: Literal["reflect", "wrap", "constant", "nearest"] = "reflect"


@dataclasses.dataclass(frozen=True)
class Zoom:
    """`keras.layers.RandomZoom`: out or in by up to `height_factor`, and the width by as much unless it is given."""

    name, layer = "zoom", "RandomZoom"
    height_factor: Annotated[float, "> 0 and < 1"] = 0.2
    width_factor: Annotated[float | None, "> 0 and < 1"] = None
    fill_mode: Literal["reflect", "wrap", "constant", "nearest"] = "reflect"


@dataclasses.dataclass(frozen=True)
class Contrast:
    """`keras.layers.RandomContrast`: the distance of each pixel to the mean, more or less by up to `factor`."""

    name, layer = "contrast", "RandomContrast"
    factor: Annotated[float, "> 0 and < 1"] = 0.2


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """`keras.layers.RandAugment`: `num_ops` of eleven operations, drawn for each minibatch, of strength `factor`."""

    name, layer = "rand-augment", "RandAugment"
    num_ops: Annotated[int, ">= 1"] = 2
    factor: Annotated[float, "> 0 and <= 1"] = 0.5


@dataclasses.dataclass(frozen=True)
class MixUp:
    """`keras.layers.MixUp`: each image, and its label, is mixed with another of its minibatch; for `ct` and `nft`."""

    name, layer, mixes_labels = "mix-up", "MixUp", True
    alpha: Annotated[float, "> 0 and <= 1"] = 0.2


@dataclasses.dataclass(frozen=True)
class CutMix:
    """`keras.layers.CutMix`: a rectangle of another image, and as much of its label; for `ct` and `nft`."""

    name, layer, mixes_labels = "cut-mix", "CutMix", True
    factor: Annotated[float, "> 0 and <= 1"] = 1.0


Augmentations = CropAndFlip | Flip | Rotation | Zoom | Contrast | RandAugment | MixUp | CutMix


@dataclasses.dataclass(frozen=True)
class TrainingSettings(OptimizerSettings):
    """How the classifier is trained, with every method alike.

    Attributes:
        epochs: passes over the training data.
        batch_size: examples in a minibatch.
        schedule: cosine anneals the learning rate to 0 over all epochs; constant-then-cosine keeps it for the first
            ones and anneals a tenth of it to 0 over the rest (Section 3.3 of Marullo et al. 2022).
        constant_ratio: the fraction of the epochs that constant-then-cosine keeps it for; only with that schedule.
        label_smoothing: the share of each training label that all classes get in equal parts, in the loss of every
            method and in the history's losses.
        class_weight: what the loss of a class's examples is multiplied by, with every method: balanced, in inverse
            proportion to how many there are in training, or a weight for each class by its name (of others 1).
        augment: what alters every training image at random: crop-and-flip shifts and mirrors it; several are a list
            of names, or a mapping of names to settings, in their order, those that mix labels after the others.
        precision: Keras' dtype policy.
        jit_compile: XLA, as for `keras.Model.compile`; left out, Keras decides.
        steps_per_execution: as for `keras.Model.compile`; 1 is 64 on TensorFlow where networks and minibatches are so
            small that a step is short, with the same result.
    """

    epochs: Annotated[int, ">= 1"] = 200
    batch_size: Annotated[int, ">= 1"] = 32
    schedule: Literal["constant", "cosine", "constant-then-cosine"] = "constant"
    constant_ratio: Annotated[float | None, ">= 0 and <= 1"] = None
    label_smoothing: Annotated[float, ">= 0 and < 1"] = 0.0
    class_weight: Literal["balanced"] | Annotated[dict[str, float], ">= 0"] | None = None
    augment: Literal["none", "crop-and-flip"] | dict[str, Augmentations] = "none"
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = None
    steps_per_execution: Annotated[int, ">= 1 and <= 2147483647"] = 1

    @property
    def augmentations(self):
        """What `augment` stands for: {name: its settings}, in order."""
        if isinstance(self.augment, dict):
            return self.augment
        return {} if self.augment == "none" else {self.augment: CropAndFlip()}

    @property
    def mixing(self):
        """The names of what mixes the labels too."""
        return [name for name, of in self.augmentations.items() if getattr(of, "mixes_labels", False)]


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """A network that a method trains beside the classifier.

    Attributes:
        name: which network it is.
    """

    takes = None  # "images" (height, width, channels), "vectors", or None for both
    name: str


@dataclasses.dataclass(frozen=True)
class PlanSettings:
    """A plan (`nft_keras.base.Plan`): its length as a number of epochs or as a fraction of the training's epochs.

    Attributes:
        simplification_epochs: gamma_max_simp, the epoch in which the plan comes to its end.
        simplification_ratio: gamma_max_simp as a fraction of the training's epochs, instead.
        law: quadratic (Eq. 5 of Marullo et al. 2022), linear, cosine, one of an installed package, or, with
            `--allow-code`, the dotted name of a function from progress in [0, 1] to a fraction in [0, 1].
    """

    simplification_epochs: Annotated[int | None, ">= 0"] = None
    simplification_ratio: Annotated[float | None, ">= 0 and <= 1"] = None
    law: str = "quadratic"

    def epochs(self, of):
        """gamma_max_simp of a training of so many epochs; a ratio below 1 leaves at least one epoch after the drop."""
        if self.simplification_epochs is not None:
            return self.simplification_epochs
        return ratio_of(self.simplification_ratio, of)


def ratio_of(ratio, epochs):
    """A fraction of a number of epochs, rounded; one below 1 leaves at least one epoch after it."""
    return min(math.floor(ratio * epochs + 0.5), epochs - 1) if ratio < 1 else epochs


def as_yaml(value):
    """A number, word or truth value as a recipe writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain(settings):
    """A dataclass as a mapping of YAML's own types, unset alternatives left out."""
    return as_plain(dataclasses.asdict(settings))


def as_plain(value):
    """A value of YAML's own types: mappings without what is unset, lists for tuples."""
    if isinstance(value, dict):
        return {k: as_plain(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
