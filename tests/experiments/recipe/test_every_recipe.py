"""Every recipe that we ship: its networks fit its data, and each kind of cell trains for a step an epoch on a few
random examples of the right shape."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_matrix, issparse

from nft_keras import data
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.settings import plain
from nft_keras.experiments.runs import find, finished, flatten
from nft_keras.experiments.train.trial import check_fits, run_trial
from tests.experiments.recipe.test_recipe import RECIPES

BATCH = 2
# Those for pictures of the user's own are in no shipped recipe.
IN_RECIPES = [name for name in CLASSIFIERS if name not in ("cnn-gap", "backbone")]
# So many pixels are enough for every network's layers; those of the real data are looked at by `check_fits`.
SIDE = 12


@pytest.fixture
def eager():
    """Op by op: to trace the graphs of dozens of pairs of networks would take longer than to run them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def few_examples(dataset, side=None):
    """A minibatch of random examples of a data set's shape; vectors have 30 numbers instead of thousands.

    Args:
        dataset: a trial's.
        side: int, pixels on a side of its images; None: as many as it has.
    """
    spec, rng = data.find(dataset["name"]), np.random.default_rng(0)
    shape = spec.input_shape if len(spec.input_shape) == 3 or spec.input_shape == (2,) else (30,)
    shape = (side, side, shape[2]) if side and len(shape) == 3 else shape
    parts = []
    for _ in range(3):
        x = rng.random((BATCH, *shape), "float32")
        x = csr_matrix(x) if dataset["name"] == "imdb" else x
        parts.append(data.Part(x, rng.integers(0, spec.num_classes, BATCH).astype("int32")))
    return data.Dataset(*parts, spec.num_classes, "random", tuple(map(str, range(spec.num_classes))))


def shortened(trial):
    """A trial of three epochs of a step, the data altered up to the second, and of two steps of perturbation."""
    training = dataclasses.replace(trial.training, epochs=3, batch_size=BATCH)
    settings = trial.method_settings
    if trial.kind != "ct":
        plan = dataclasses.replace(settings.plan, simplification_epochs=2, simplification_ratio=None)
        plan = dataclasses.replace(plan, max_steps=2) if trial.kind == "ft" else plan
        settings = dataclasses.replace(settings, plan=plan)
    return dataclasses.replace(trial, training=training, method_settings=settings)


def narrow(trial):
    """A trial whose networks have as many layers, and fewer units in them where they can be set."""
    classifier, settings = trial.classifier_settings, trial.method_settings
    if trial.classifier == "fc-b":
        classifier = dataclasses.replace(classifier, units=(16,) * len(classifier.units))
    if trial.kind == "nft":
        width = {"filters": 4} if settings.auxiliary.name == "unet" else {"hidden": 8}
        settings = dataclasses.replace(settings, auxiliary=dataclasses.replace(settings.auxiliary, **width))
    return dataclasses.replace(trial, classifier_settings=classifier, method_settings=settings)


def kind(trial):
    """What two trials have in common that differ in numbers, and in names of recipes and data sets, alone."""
    x, config = few_examples(trial.dataset).train.x, {**trial.config(), "name": None, "dataset": None, "vary": None}
    config["methods"] = plain(trial.method_settings)
    words = tuple((key, value) for key, value in flatten(config) if isinstance(value, str | bool))
    return trial.classifier, trial.kind, x.ndim, issparse(x), words


@functools.cache
def trials_of_all():
    """The shipped recipes' trials, of all their cells and variations, with one seed."""
    return [trial for path in RECIPES for trial in load_recipe(path, seeds=[0])]


def one_of_each(classifier, key):
    """The first trials of a classifier for each value of a function of them."""
    trials = {}
    for trial in trials_of_all():
        if trial.classifier == classifier:
            trials.setdefault(key(trial), trial)
    return list(trials.values())


def networks(trial):
    """What decides whether a trial's networks and its examples go together."""
    auxiliary = getattr(trial.method_settings, "auxiliary", None)
    return trial.classifier_settings, auxiliary, trial.training.augment, few_examples(trial.dataset).input_shape


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_trial_of_a_recipe_has_a_folder_of_its_own(path):
    trials = load_recipe(path)
    assert len({trial.folder for trial in trials}) == len(trials) > 0


@pytest.mark.parametrize("classifier", IN_RECIPES)
def test_the_networks_of_every_trial_fit_its_data(classifier):
    for trial in one_of_each(classifier, networks):
        check_fits(trial, few_examples(trial.dataset))


@pytest.mark.slow
@pytest.mark.parametrize("classifier", IN_RECIPES)
def test_a_cell_of_every_kind_trains_and_leaves_its_result(classifier, tmp_path, eager):
    trials = [narrow(shortened(trial)) for trial in one_of_each(classifier, kind)]
    assert {trial.kind for trial in trials} == {"ct", "nft", "ft", "eef"}
    for trial in trials:
        phases = []
        result = run_trial(trial, few_examples(trial.dataset, SIDE), tmp_path, lambda logs, p=phases: p.append(logs))
        assert result["method"] == trial.method and 0 <= result["test_error"] <= 100
        simplifying = {"ct": [0, 0, 0], "nft": [0, 1, 0], "ft": [1, 0, 0], "eef": [1, 0, 0]}[trial.kind]
        if getattr(trial.method_settings.plan, "first_simplified_epoch", 2) == 1:
            simplifying = [1, 1, 0]
        assert [logs["simplifying"] for logs in phases] == simplifying
        assert all(np.isfinite(logs["loss"]) for logs in phases)
    assert len(finished(trials, tmp_path)) == len(find([tmp_path])) == len(trials)
