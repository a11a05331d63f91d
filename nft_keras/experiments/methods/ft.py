"""FT: Friendly Training, `nft_keras.FriendlyTraining` under a `nft_keras.PerturbationPlan`."""

import dataclasses
import math
from typing import Annotated

from nft_keras.experiments.methods.record import Method, Style
from nft_keras.experiments.recipe.settings import PlanSettings


@dataclasses.dataclass(frozen=True)
class PerturbationPlanSettings(PlanSettings):
    """`nft_keras.PerturbationPlan`."""

    max_steps: Annotated[int, ">= 0 and <= 2147483647"] = 120


@dataclasses.dataclass(frozen=True)
class FTSettings:
    """FT: `nft_keras.FriendlyTraining` under a `nft_keras.PerturbationPlan`.

    Attributes:
        plan: how the number of steps falls.
    """

    plan: PerturbationPlanSettings
    step: Annotated[float, "> 0"] = 0.1
    confidence: Annotated[float, ">= 0 and <= 1"] = 0.98


def model(settings, classifier, dataset):
    """The classifier, with what perturbs its minibatches."""
    from nft_keras.ft import FriendlyTraining

    return FriendlyTraining(classifier, settings.step, settings.confidence), {}


def plan(settings, dataset, **plan):
    """How many steps a perturbation has."""
    from nft_keras.ft import PerturbationPlan

    return PerturbationPlan(settings.plan.max_steps, **plan)


def operations(trial, f, s):
    """Classic steps, and 2 f for a step of the perturbation; an upper bound: all examples take all tau steps."""
    steps = sum(math.floor(trial.method_settings.plan.max_steps * share) for share in trial.remaining())
    return 3 * f * trial.training.epochs + 2 * f * steps


FT = Method(
    settings=FTSettings,
    model=model,
    plan=plan,
    operations=operations,
    label="FT",
    style=Style("#4895ef", "^", "--"),
    published=True,
    vectorizes=True,
    fills_replicas=True,
)
