from pathlib import Path

import numpy as np
import pytest

from nft_keras import experiments
from nft_keras.experiments.from_python import write_mapping
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError

RECIPE = {
    "name": "mine",
    "dataset": "two-moons",
    "classifiers": ["fc-a"],
    "methods": {"ct": None},
    "training": {"epochs": 2},
    "seeds": [0, 1],
}


def test_a_mapping_stands_for_the_trials_of_the_same_recipe_in_yaml(tmp_path):
    settings = {
        "plan": {"eta_max": np.float64(0.5), "simplification_epochs": np.int64(1)},
        "auxiliary": {"name": "mlp"},
    }
    recipe = {
        **RECIPE,
        "dataset": {"name": "two-moons"},
        "methods": {"nft": settings, "again": {"is": "nft", **settings}},
        "training": {"epochs": np.int32(2), "jit_compile": np.bool_(False), "learning_rate": np.float32(0.5)},
        "seeds": np.arange(3),
        "vary": {"dataset.label_noise": tuple(np.linspace(0.25, 0.5, 2))},
    }
    plan = "{plan: {eta_max: 0.5, simplification_epochs: 1}, auxiliary: {name: mlp}}"
    (tmp_path / "by-hand.yaml").write_text(
        "name: mine\ndataset: {name: two-moons}\nclassifiers: [fc-a]\n"
        f"methods: {{nft: {plan}, again: {{is: nft, {plan[1:-1]}}}}}\n"
        "training: {epochs: 2, jit_compile: false, learning_rate: 0.5}\nseeds: [0, 1, 2]\n"
        "vary: {dataset.label_noise: [0.25, 0.5]}\n"
    )
    write_mapping(recipe, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == load_recipe(tmp_path / "by-hand.yaml")
    (tmp_path / "own.csv").write_text("x,label\n")
    write_mapping({**RECIPE, "dataset": {"name": "csv", "path": tmp_path / "own.csv"}}, tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml")[0].dataset["path"] == str(tmp_path / "own.csv")


PLAN = {"simplification_epochs": 1}
CIRCLE = {}
CIRCLE["plan"] = CIRCLE


@pytest.mark.parametrize(
    "recipe, chosen, message",
    [
        (
            {"name": "a/b"},
            {},
            "recipe: name: should be letters, digits, _, - and . (it names a folder), 100 at most, g",
        ),
        ({"methods": {"nft": {"plan": PLAN}, "ft": {"plan": PLAN}}}, {"seeds": [0, 0]}, "seeds: should be one or more"),
        ({"methods": {"nft": {"plan": CIRCLE}}}, {}, "recipe: has a mapping or list that contains itself"),
        (
            {"training": {"epochs": 2j}},
            {},
            "recipe: training.epochs: should be text, a number, true or false, a list, ",
        ),
        ({"training": {"epochs": np.float64(0.5)}}, {}, "recipe: training.epochs: should be a whole number, got 0.5"),
        (
            {"seeds": {0, 1}},
            {},
            "recipe: seeds: should be text, a number, true or false, a list, a mapping or nothing, ",
        ),
        ({"cells": {("fc-a", "ct"): None}}, {}, "recipe: cells: a key should be a word, got ('fc-a', 'ct')"),
        ({}, {"methods": "nft"}, "methods nft: not in this recipe; it has ct"),
        ({}, {"overrides": "training.epoch=3"}, "overrides training.epoch=3: training.epoch: unknown key; allowed: "),
        ({}, {"vectorize": 0, "loggers": "wandb"}, "vectorize: loggers wandb is not supported; leave it out"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_python(recipe, chosen, message, tmp_path):
    with pytest.raises(RecipeError) as error:
        experiments.run({**RECIPE, **recipe}, out=tmp_path / "out", **chosen)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not Path(tmp_path, "out").exists()
