"""EEF: Easy Examples First, `nft_keras.EasyExamplesFirst` under a `nft_keras.EasyExamplesPlan`."""

import dataclasses
from typing import Annotated

from nft_keras.experiments.methods.record import Method, Style
from nft_keras.experiments.recipe.settings import PlanSettings


@dataclasses.dataclass(frozen=True)
class EasyExamplesPlanSettings(PlanSettings):
    """`nft_keras.EasyExamplesPlan`."""

    first_fraction: Annotated[float, "> 0 and <= 1"] = 0.2


@dataclasses.dataclass(frozen=True)
class EEFSettings:
    """EEF: `nft_keras.EasyExamplesFirst` under a `nft_keras.EasyExamplesPlan`.

    Attributes:
        plan: how the number of examples rises.
    """

    plan: EasyExamplesPlanSettings


def model(settings, classifier, dataset):
    """The classifier, whose minibatches the plan chooses."""
    from nft_keras.eef import EasyExamplesFirst

    return EasyExamplesFirst(classifier), {}


def plan(settings, dataset, **plan):
    """Which examples are the easy ones."""
    from nft_keras.data.batches import batches
    from nft_keras.eef import EasyExamplesPlan

    examples = batches(dataset.train, 250).unbatch()
    return EasyExamplesPlan(examples, len(dataset.train), settings.plan.first_fraction, **plan)


def operations(trial, f, s):
    """Classic steps on the easy examples, and a forward pass on all while some are left out."""
    hidden = [(1 - trial.method_settings.plan.first_fraction) * share for share in trial.remaining()]
    return sum(3 * f * (1 - h) + (f if h else 0) for h in hidden)


EEF = Method(
    settings=EEFSettings,
    model=model,
    plan=plan,
    operations=operations,
    label="EEF",
    style=Style("#c9a227", "s", ":"),
    published=True,
    takes_any_task=True,
)
