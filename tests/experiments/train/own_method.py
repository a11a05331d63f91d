"""A training method as somebody else's package may declare it: an auxiliary network of its own, and only a plan."""

import dataclasses

from nft_keras.experiments.methods import Method
from nft_keras.experiments.recipe.settings import PlanSettings


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """How long the auxiliary network alters the data."""

    plan: PlanSettings


def model(settings, classifier, dataset):
    """A `FriendlyModel` with a small network for images or for vectors."""
    import keras

    from nft_keras import FriendlyModel, auxiliaries

    shape = dataset.input_shape
    auxiliary = auxiliaries.mlp(shape[0], 5) if len(shape) == 1 else auxiliaries.unet(shape, 2, 1)
    return FriendlyModel(classifier, auxiliary, phases="batch"), {"auxiliary_optimizer": keras.optimizers.Adam(0.01)}


def plan(settings, dataset, **plan):
    """Its plan, with a fixed eta_max."""
    from nft_keras import DevelopmentalPlan

    return DevelopmentalPlan(10.0, **plan)


def operations(trial, f, s):
    """Classic steps, and 6 f + 4 s instead of 3 f in as many epochs as the plan has."""
    return 3 * f * trial.training.epochs + (3 * f + 4 * s) * trial.simplification_epochs


def simplified_step(settings, f, s):
    """6 f + 4 s."""
    return 6 * f + 4 * s


OWN = Method(OwnSettings, model, plan, operations, vectorizes=True)
