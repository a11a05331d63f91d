"""What a recipe's method is made of."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple


class Style(NamedTuple):
    """How a method's line looks in pictures, told apart without colour too: by marker, dashes and how dark it is.

    Attributes:
        color, marker, linestyle: as Matplotlib takes them.
    """

    color: str
    marker: str
    linestyle: str | tuple


@dataclasses.dataclass(frozen=True)
class Method:
    """A training method that a recipe can name: all that is said of it in one place.

    `model` and `plan` are functions, or "module:function" for one that is imported when a trial is built. A module that
    declares a method is read before Keras is, so its functions import what needs Keras when they are called.

    Attributes:
        settings: frozen dataclass of its settings with a `plan`, a `PlanSettings`: when the data are altered.
        model: function of (settings, classifier, dataset), a `keras.Model` and a `nft_keras.data.Dataset`; it returns a
            `nft_keras.SimplifyingModel`, not yet compiled, and a mapping of what `compile` takes beside the optimizer,
            loss and metrics, which are the same for all methods.
        plan: function of (settings, dataset, simplification_epochs, law); it returns the `nft_keras.base.Plan`.
        operations: function of (trial, f, s); it returns the operations of a whole training per training example, from
            those of a forward pass of the classifier (f) and of the auxiliary network (s). None: not counted.
        label: what tables and pictures call it; None: its name in capitals.
        style: `Style` of its lines; None: one that no other method of the picture has.
        published: whether the tables and figures of Marullo et al. (2022) have it.
        vectorizes: whether `--vectorize` can train it.
        fills_replicas: whether each of several devices needs an example of every minibatch.
        takes_mixed_labels: whether a label may be the share of each class, as MixUp and CutMix make them.
        takes_any_task: whether labels may be several of an example, or a quantity, and not one class.
        simplified_step: function of (settings, f, s), with f and s as for `operations` and linear in both; it returns
            the operations of a simplified epoch per example, of a method with an auxiliary network. None: not counted.
    """

    settings: type
    model: str | Callable
    plan: str | Callable
    operations: Callable | None = None
    label: str | None = None
    style: Style | None = None
    published: bool = False
    vectorizes: bool = False
    fills_replicas: bool = False
    takes_mixed_labels: bool = False
    takes_any_task: bool = False
    simplified_step: Callable | None = None

    def __post_init__(self):
        if not dataclasses.is_dataclass(self.settings) or not (self.has_plan or hasattr(self.settings, "plan")):
            raise TypeError(f"settings must be a dataclass with a plan, got {self.settings!r}")

    @property
    def has_plan(self):
        """Whether a recipe gives it a plan."""
        return "plan" in {field.name for field in dataclasses.fields(self.settings)}
