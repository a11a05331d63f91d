"""What the labels of a data set are, and so what a network's outputs say: a class, several labels, a quantity."""

import dataclasses
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

from nft_keras._checks import shown

if TYPE_CHECKING:
    import keras
    import numpy as np

Task = Literal["classification", "multi-label", "regression"]
SEPARATOR = "|"  # between the labels of an example, where no other is said
# What float32 holds, and so many deviations from 0 it does not tell a hundredth of one.
_LEAST, _MOST, _DIGITS = 1e-30, 1e30, 1e5


def separator_of(names: Iterable[str]) -> str:
    """What stands between labels in a cell: the first of |, ; and / that none of their names has in it."""
    names = list(names)
    return next((mark for mark in (SEPARATOR, ";", "/") if not any(mark in name for name in names)), "\n")


@dataclasses.dataclass(frozen=True)
class Target:
    """What is learnt from the examples of a data set, by its task.

    | task | a label of `nft_keras.data.Part.y` | the outputs of a network |
    |---|---|---|
    | `classification` | the index of a class | a logit for each class |
    | `multi-label` | 0 or 1 for each label | a logit for each label |
    | `regression` | the quantity in standard deviations from its mean, of the training part | the same |

    Attributes:
        task: one of the above.
        names: tuple of str, of the classes, of the labels, or of the one quantity.
        mean, scale: float, mean and standard deviation of a quantity in the training part.
    """

    task: Task
    names: tuple[str, ...]
    mean: float = 0.0
    scale: float = 1.0

    def predictions(self, outputs: "np.ndarray") -> "np.ndarray":
        """What outputs (n, len(names)) say: probabilities of classes or of labels, or the quantity in its own unit."""
        import numpy as np
        from scipy.special import expit, softmax

        with np.errstate(invalid="ignore"):  # whoever shows them says what is not finite
            if self.task == "classification":
                return softmax(outputs, axis=-1)
            return expit(outputs) if self.task == "multi-label" else self.in_its_unit(outputs)

    def in_deviations(self, y: "np.ndarray") -> "np.ndarray":
        """float32: a quantity in standard deviations from its mean, of one in its own unit; of other tasks y itself."""
        return ((y - self.mean) / self.scale).astype("float32")

    def in_its_unit(self, y: "np.ndarray") -> "np.ndarray":
        """A quantity in its own unit, of one in standard deviations from its mean."""
        return y * self.scale + self.mean

    def rounded(self, value: float) -> float:
        """A quantity to the digits that a network computes of it, a millionth of its standard deviation."""
        return round(float(value), 6 - math.floor(math.log10(self.scale)))

    def layers(self) -> list["keras.Layer"]:
        """Keras layers that bring a network's outputs into the unit of a quantity; none of other tasks.

        Raises:
            ValueError: for a quantity that float32 does not hold, or tells nothing of that varies.
        """
        from keras import layers

        if self.task == "regression" and not (_LEAST < self.scale < _MOST and abs(self.mean) < _DIGITS * self.scale):
            what = f"{self.names[0]!r}, {self.mean:g} ± {self.scale:g}"
            raise ValueError(f"{what}, is no number for float32, what an exported model computes with")
        return [layers.Rescaling(self.scale, self.mean)] if self.task == "regression" else []

    def to_config(self) -> dict[str, Any]:
        """For preprocessing.json."""
        config = {"class_names": list(self.names)}
        if self.task != "classification":
            config["task"] = self.task
        return config | ({"mean": self.mean, "scale": self.scale} if self.task == "regression" else {})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Target":
        """The inverse of `to_config`.

        Raises:
            KeyError, ValueError: for what it did not write.
        """
        task, names = config.get("task", "classification"), config["class_names"]
        if task not in (allowed := get_args(Task)):
            raise ValueError(f"task must be one of {', '.join(allowed)}, got {shown(task)}")
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
            raise ValueError(f"class_names must be a list of different names, got {shown(names)}")
        names = tuple(names)
        if task != "regression":
            return cls(task, names)
        mean, scale = float(config["mean"]), float(config["scale"])
        if not (math.isfinite(mean) and math.isfinite(scale) and scale > 0 and len(names) == 1):
            raise ValueError("of a quantity mean must be a finite number, scale one above 0, class_names one name")
        return cls(task, names, mean, scale)
