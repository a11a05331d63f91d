"""NFT: Neural Friendly Training, `nft_keras.FriendlyModel` under a `nft_keras.DevelopmentalPlan`."""

import dataclasses
from typing import Annotated, Literal

from nft_keras.experiments.methods.record import Method, Style
from nft_keras.experiments.recipe.settings import NetworkSettings, OptimizerSettings, PlanSettings


@dataclasses.dataclass(frozen=True)
class DevelopmentalPlanSettings(PlanSettings):
    """`nft_keras.DevelopmentalPlan`."""

    eta_max: Annotated[float, ">= 0"] = 1000.0
    first_simplified_epoch: Annotated[int, ">= 1"] = 2

    def epochs(self, of):
        """gamma_max_simp, see `PlanSettings`; at most 1 where the first simplified epoch comes too late."""
        last = super().epochs(of)
        return last if self.first_simplified_epoch <= min(last, of) else min(last, 1)


@dataclasses.dataclass(frozen=True)
class UnetSettings(NetworkSettings):
    """`nft_keras.auxiliaries.unet`.

    Attributes:
        label_conditioned: whether it sees the label beside x.
    """

    takes = "images"
    name: Literal["unet"] = "unet"
    filters: Annotated[int, ">= 1"] = 64
    depth: Annotated[int, ">= 1"] = 2
    label_conditioned: bool = False
    residual: bool = False
    stem: Annotated[int, ">= 1"] = 1


@dataclasses.dataclass(frozen=True)
class MlpSettings(NetworkSettings):
    """`nft_keras.auxiliaries.mlp`.

    Attributes:
        label_conditioned: whether it sees the label beside x.
    """

    takes = "vectors"
    name: Literal["mlp"] = "mlp"
    hidden: Annotated[int, ">= 1"] = 256
    label_conditioned: bool = False
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class NFTSettings:
    """NFT: `nft_keras.FriendlyModel` under a `nft_keras.DevelopmentalPlan`.

    Attributes:
        plan: how eta rises, and when the auxiliary network is dropped.
        auxiliary: the network that alters the data, unet for images or mlp for vectors.
        auxiliary_optimizer: updates the auxiliary network.
    """

    plan: DevelopmentalPlanSettings
    auxiliary: UnetSettings | MlpSettings
    auxiliary_optimizer: OptimizerSettings = OptimizerSettings()
    penalty: Literal["sum", "mean"] = "sum"
    phases: Literal["epoch", "batch", "joint"] = "epoch"
    classifier_mode: Literal["inference", "training"] = "inference"
    auxiliary_fraction: Annotated[float, "> 0 and <= 1"] = 1.0


def model(settings, classifier, dataset):
    """The classifier with its auxiliary network, and the optimizer of the latter."""
    from nft_keras.nft import FriendlyModel

    auxiliary = build_auxiliary(settings.auxiliary, dataset)
    arguments = ("penalty", "phases", "classifier_mode", "auxiliary_fraction")
    model = FriendlyModel(classifier, auxiliary, **{name: getattr(settings, name) for name in arguments})
    return model, {"auxiliary_optimizer": settings.auxiliary_optimizer.build()}


def plan(settings, dataset, **plan):
    """How eta rises, and when the auxiliary network is dropped."""
    from nft_keras.nft import DevelopmentalPlan

    first = settings.plan.first_simplified_epoch
    return DevelopmentalPlan(settings.plan.eta_max, first_simplified_epoch=first, **plan)


def build_auxiliary(settings, dataset):
    """The auxiliary network that a recipe's `auxiliary` names."""
    from nft_keras import auxiliaries

    arguments = dict(vars(settings))
    name = arguments.pop("name")
    arguments["num_classes"] = dataset.num_classes if arguments.pop("label_conditioned") else None
    shape = dataset.input_shape
    return getattr(auxiliaries, name)(shape[0] if name == "mlp" else shape, **arguments)


def simplified_step(settings, f, s):
    """Operations of a simplified epoch per example, `nft_keras.costs.simplified_step`."""
    from nft_keras import costs

    return costs.simplified_step(settings.phases, f, s, fraction=settings.auxiliary_fraction)


def operations(trial, f, s):
    """Classic steps, and in an epoch of simplified data 3 s + 2 f for theta and s for x~ (3 s with `phases: joint`)."""
    from nft_keras.costs import classic_step

    first, length = trial.method_settings.plan.first_simplified_epoch, trial.simplification_epochs
    updated = max(length - max(first - 1, 1), 0)
    untrained = s if length > 1 and first == 1 else 0  # in epoch 1 x~, and no update of theta
    extra = simplified_step(trial.method_settings, f, s) - classic_step(f)
    return classic_step(f) * trial.training.epochs + updated * extra + untrained


NFT = Method(
    settings=NFTSettings,
    model=model,
    plan=plan,
    operations=operations,
    simplified_step=simplified_step,
    label="NFT",
    style=Style("#c1121f", "D", "-."),
    takes_mixed_labels=True,
    takes_any_task=True,
    published=True,
    vectorizes=True,
)
