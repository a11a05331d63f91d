"""The costs in the heads of the shipped recipes, beside what their runs in results/ took."""

import json
import re
from pathlib import Path

import pytest

from nft_keras.cli.recipes import described
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.shipped import shipped_names

RESULTS = Path(__file__).parents[3] / "results"
NUMBER = r"([\d,]+(?:\.\d+)?)"
EPOCHS = rf"CT (?:and EEF )?{NUMBER}(?: to {NUMBER})? s an epoch.*?NFT {NUMBER}(?: to {NUMBER})? s while it simplifies"
WHOLE = r"(\d+)( and a half)? minutes for all (\d+) trials"
# Some ran beside other work, or with one of the two cores.
FACTOR = 3


def cost_of(name):
    return described(shipped_names()[name].read_text(encoding="utf-8"))[1]


def by_epochs(cost):
    """The least and most seconds of a classic and of a simplified epoch, of a head that has them."""
    values = re.search(EPOCHS, cost).groups()
    classic, most, simplified, most_simplified = (value and float(value.replace(",", "")) for value in values)
    return (classic, simplified), (most or classic, most_simplified or simplified)


@pytest.mark.parametrize("name", shipped_names())
def test_the_head_of_a_recipe_says_what_its_epochs_or_all_its_trials_take(name):
    cost = cost_of(name)
    assert cost.startswith("Cost, measured ") and bool(re.search(EPOCHS, cost)) != bool(re.search(WHOLE, cost)), cost


@pytest.mark.parametrize("name", [name for name in shipped_names() if name.startswith("evening/")])
def test_an_evening_is_as_long_as_the_epochs_of_its_trials(name):
    (classic, simplified), _ = by_epochs(cost_of(name))
    ft, seconds = re.search(rf"FT up to {NUMBER} s", cost_of(name)), 0
    trials = load_recipe(shipped_names()[name])
    for trial in (trial for trial in trials if trial.classifier == trials[0].classifier):
        plan, epochs = trial.simplification_epochs if trial.kind != "ct" else 0, trial.training.epochs
        if trial.kind == "ft":  # the steps fall by the quadratic law
            law = sum((1 - (gamma - 1) / (plan - 1)) ** 2 for gamma in range(1, plan + 1))
            seconds += epochs * classic + law * (float(ft[1]) - classic)
        else:
            seconds += plan * simplified + (epochs - plan) * classic
    said = float(re.search(r"all trials (?:of CNN-A )?([\d.]+) h", cost_of(name))[1])
    assert said == pytest.approx(seconds / 3600, rel=0.15) and said < 3.5


def quickest(name):
    """{(classifier, method): the fewest seconds of a trial} of a recipe's run in results/."""
    found = {}
    for result in json.loads((RESULTS / name.replace("/", "-") / "results.json").read_text(encoding="utf-8")):
        key = result["classifier"], result["method"]
        found[key] = min(found.get(key, float("inf")), result["seconds"])
    return found


@pytest.mark.parametrize("name", [name for name in shipped_names() if (RESULTS / name.replace("/", "-")).is_dir()])
def test_a_recipe_took_what_its_head_says(name):
    cost = cost_of(name)
    if whole := re.search(WHOLE, cost):
        results = json.loads((RESULTS / name.replace("/", "-") / "results.json").read_text(encoding="utf-8"))
        assert len(results) == int(whole[3])
        minutes = sum(result["seconds"] for result in results) / 60
        assert minutes == pytest.approx(int(whole[1]) + 0.5 * bool(whole[2]), rel=0.2)
        return
    (classic, simplified), _ = by_epochs(cost)
    took_of, seen = quickest(name), 0
    for trial in load_recipe(shipped_names()[name], methods=None, seeds=[0]):
        if trial.kind not in ("ct", "nft") or trial.classifier == "cnn-b":
            continue  # the others' have other numbers
        took = took_of.get((trial.classifier, trial.method))
        altered = min(trial.simplification_epochs, trial.training.epochs) if trial.kind == "nft" else 0
        said = altered * simplified + (trial.training.epochs - altered) * classic
        assert took is None or 1 / FACTOR < took / said < FACTOR, (trial.classifier, trial.method, took, said)
        seen += took is not None
    assert seen
