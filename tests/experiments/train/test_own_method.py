"""Settings of somebody else's method that have the names of NFT's."""

import dataclasses
from typing import Literal

import pytest

from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.together.groups import gains
from nft_keras.experiments.train.too_large import too_large
from tests.experiments.train.own_method import OWN, OwnSettings

RECIPE = """\
dataset: two-moons
classifiers: [fc-a]
methods: {own: {plan: {simplification_ratio: 0.5}}}
seeds: [0, 1, 2]
"""


@dataclasses.dataclass(frozen=True)
class NamedAlike(OwnSettings):
    """Numbers and words where NFT has other things."""

    auxiliary: int = 5
    auxiliary_fraction: float = 1.0
    step: Literal["short", "long"] = "short"


@dataclasses.dataclass(frozen=True)
class InPhases(NamedAlike):
    """One that has phases too, and no optimizer of its own."""

    phases: Literal["epoch", "batch"] = "epoch"


@pytest.fixture(params=[NamedAlike, InPhases])
def recipe(request, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "own", dataclasses.replace(OWN, settings=request.param))
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path / "mine.yaml"


def test_a_recipe_may_give_less_than_all_minibatches_to_a_method_without_phases(recipe):
    trials = load_recipe(recipe, ["methods.own.auxiliary_fraction=0.5"])
    assert [trial.method_settings.auxiliary_fraction for trial in trials] == [0.5] * 3


def test_nothing_is_said_of_training_them_together_which_nobody_has_measured(recipe):
    assert gains(load_recipe(recipe)) is None


def test_what_is_too_large_is_told_of_them(recipe):
    assert too_large(load_recipe(recipe)[0], {"auxiliary_loss": float("nan")}) == "training.learning_rate"
