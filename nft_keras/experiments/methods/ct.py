"""CT: classic training."""

import dataclasses

from nft_keras.experiments.methods.record import Method, Style
from nft_keras.experiments.recipe.settings import PlanSettings


@dataclasses.dataclass(frozen=True)
class CTSettings:
    """CT: the classifier on the data as they are."""

    plan = PlanSettings(simplification_epochs=0)


def model(settings, classifier, dataset):
    """Nothing is ever altered."""
    from nft_keras.nft import FriendlyModel

    return FriendlyModel(classifier, None), {}


def plan(settings, dataset, **plan):
    """A plan that is over from the start."""
    from nft_keras.nft import DevelopmentalPlan

    return DevelopmentalPlan(0.0, **plan)


def operations(trial, f, s):
    """A forward pass of the classifier, and twice as much for the gradient, in every epoch."""
    return 3 * f * trial.training.epochs


CT = Method(
    settings=CTSettings,
    model=model,
    plan=plan,
    operations=operations,
    label="CT",
    style=Style("#000000", "o", "-"),
    takes_mixed_labels=True,
    takes_any_task=True,
    published=True,
    vectorizes=True,
)
