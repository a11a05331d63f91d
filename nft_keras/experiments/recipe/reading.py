"""What a recipe may say, and the trials that it stands for; without Keras, so that a wrong one is reported at once."""

import inspect
import itertools
import math
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from nft_keras import data
from nft_keras._checks import shown, suggest
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.lists import (
    changes_data,
    concerns,
    folds,
    give_way,
    lists_of_values,
    one_classifier,
    with_settings,
)
from nft_keras.experiments.recipe.schema import LONGEST_NAME, Document, RecipeError, names_folder
from nft_keras.experiments.recipe.settings import NetworkSettings, OptimizerSettings, TrainingSettings
from nft_keras.experiments.recipe.shipped import find_recipe
from nft_keras.experiments.recipe.tasks import check_task
from nft_keras.experiments.recipe.trial import Trial
from nft_keras.experiments.recipe.variants import ancestries, layers, merged
from nft_keras.experiments.selection import METRICS
from nft_keras.laws import find_law

MOST_POINTS = 10_000
AXES = {"images": 3, "vectors": 1}
KEYS = {
    "name": "letters, digits, `_`, `-`, `.`; names the folder of the results; default the file's name",
    "dataset": "needed: a data set's name, or a mapping of `name` and options",
    "classifiers": "needed: a list of names, or a mapping of names to settings",
    "methods": "needed: a mapping of names to settings, or a list of names: "
    f"{', '.join(f'`{name}`' for name in METHODS.own)}, a method of your own, or any name with `is: METHOD`",
    "training": "how the classifier is trained, with every method alike",
    "seeds": "whole numbers >= 0, of initial weights and order; default `[0, 1, 2]`",
    "selection": "the epochs among which the best is chosen on the validation part: `after-drop` (default) or `all`",
    "selection_metric": "what the best epoch has the lowest of: `error` (default), `balanced_error` (the mean over "
    "classes of the error in each) or `loss`; of equals the one with the lower loss",
    "test_every": "epochs between two looks at the test error that `history.csv` shows; default `0`: none",
    "deterministic": "`true`: the same bits every time; default `false`",
    "distribute": "the devices that share each minibatch: `none` (default: one), `mirrored` or `multi-worker`",
    "fingerprint": "of the data, as `run` writes it into `config.yaml`; others are refused",
    "cells": "settings for one classifier and method, by its name, which go before `methods` and `training`",
    "folds": "a whole number N from 2 to 100: trains N times, each time with another N-th of the data as test part",
    "vary": "keys below `dataset`, `methods` or `training`, each with a list of values to run one at a time",
    "sweep": "keys as in `vary`; `nft-keras sweep` tries every combination",
}
# {key: (what it may be, its default)} of what all trials of a recipe have, in the order in which errors are said.
_SHARED = {
    "selection": (Literal["after-drop", "all"], "after-drop"),
    "selection_metric": (Literal[tuple(METRICS)], "error"),
    "fingerprint": (str | None, None),
    "test_every": (Annotated[int, ">= 0"], 0),
    "deterministic": (bool, False),
    "distribute": (Literal["none", "mirrored", "multi-worker"], "none"),
}


def load_recipe(
    path: str | os.PathLike,
    overrides: Iterable[str] = (),
    methods: Collection[str] | None = None,
    classifiers: Collection[str] | None = None,
    seeds: Collection[int] | None = None,
    allow_code: bool | None = False,
) -> list[Trial]:
    """The trials of a recipe.

    Args:
        path: the YAML file, or the name of a shipped recipe (see `find_recipe`).
        overrides: iterable of "key.key=value", stronger than what the file says, in its cells too.
        methods, classifiers: names to keep, None for all of the recipe.
        seeds: ints to run instead of the recipe's.
        allow_code: whether a function that it names by its dotted name, as a `law`, may be imported, which runs code;
            None: of a recipe that is only read, such a name is left as it is.

    Returns:
        list of `Trial`, seeds innermost.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError: for whatever is wrong, before anything is written.
    """
    document, name, by_hand = _open(path, overrides, allow_code)
    lists_of_values(document, "sweep")
    lists = folds(document) or lists_of_values(document, "vary")
    for key in by_hand:
        if ".".join(key) in lists:
            raise document.error(key, "the recipe varies it; with --set vary= it has one value")
    if seeds is not None and (not seeds or len(set(seeds)) < len(seeds)):
        raise RecipeError(f"--seeds: should be one or more different whole numbers, got {' '.join(map(str, seeds))}")
    variations = [(key, value) for key, values in lists.items() for value in values]
    trials = []
    for varied in (None, *variations):
        keys = [key for key, _ in variations] if varied is None else [varied[0]]
        varying = with_settings(document, [varied], "vary") if varied else document
        of_all = _trials(varying, name, varied, seeds)
        trials += [t for t in of_all if concerns(t.method, keys) == (varied is not None)]
    return _chosen(trials, methods, classifiers)


def load_sweep(
    path: str | os.PathLike,
    overrides: Iterable[str] = (),
    methods: Collection[str] | None = None,
    classifiers: Collection[str] | None = None,
    complete: Callable[[Trial], Trial] = lambda trial: trial,
    allow_code: bool = False,
) -> "list[Space]":
    """What the `sweep` of a recipe tunes.

    Args:
        path, overrides, methods, classifiers, allow_code: see `load_recipe`.
        complete: function that says more of a trial than the recipe does, as `Fingerprints.of` of its files.

    Returns:
        list of `Space`, one for every cell whose method a key of `sweep` has to do with.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError: for whatever is wrong, before anything is written.
    """
    document, name, by_hand = _open(path, overrides, allow_code)
    lists = lists_of_values(document, "sweep")
    if not lists:
        raise document.error(("sweep",), "nothing to sweep; give lists, e.g. methods.nft.plan.eta_max: [500, 1000]")
    for key, what in (("vary", "settings"), ("folds", "folds")):
        if document.values.get(key):
            raise document.error((key,), f"a recipe that varies {what} cannot be swept; remove {key}")
    for key in by_hand:
        if ".".join(key) in lists:
            raise document.error(key, "the recipe sweeps it; change its sweep")
    trials = _trials(document, name, None, None)
    if trials[0].distribute == "multi-worker":
        raise document.error(("distribute",), "a sweep has workers of its own; allowed: none, mirrored")
    cells = {(t.classifier, t.method): None for t in _chosen(trials, methods, classifiers)}
    spaces = []
    for classifier, method in cells:
        own = {key: values for key, values in lists.items() if concerns(method, [key])}
        if own:
            spaces.append(Space(one_classifier(document, classifier), name, classifier, method, own, complete))
    if not spaces:
        raise RecipeError(f"--methods {' '.join(methods)}: the recipe's sweep has no key for them")
    return spaces


class Space:
    """The settings to try for one cell (classifier x method) of a recipe.

    Attributes:
        recipe, classifier, method: names.
        lists: {key: list of values}, in the recipe's order.
    """

    def __init__(
        self,
        document: Document,
        recipe: str,
        classifier: str,
        method: str,
        lists: dict[str, list],
        complete: Callable[[Trial], Trial],
    ) -> None:
        self._document, self._complete = document, complete
        self.recipe, self.classifier, self.method, self.lists = recipe, classifier, method, lists

    def points(self) -> list[dict[str, Any]]:
        """Every combination of the values, as mappings of key to value.

        Raises:
            nft_keras.experiments.recipe.schema.RecipeError: if they are too many to be trained one by one.
        """
        number = math.prod(map(len, self.lists.values()))
        if number > MOST_POINTS:
            raise self._document.error(
                ("sweep",), f"{number:,} combinations, more than {MOST_POINTS:,}; take fewer, or a --sampler"
            )
        return [dict(zip(self.lists, values, strict=True)) for values in itertools.product(*self.lists.values())]

    def trials(self, point: dict[str, Any]) -> list[Trial]:
        """The trials of the cell with the settings of a point, one per seed.

        Raises:
            nft_keras.experiments.recipe.schema.RecipeError: if a value is not allowed.
        """
        trials = _trials(with_settings(self._document, point.items(), "sweep"), self.recipe, None, None, self.method)
        return list(map(self._complete, trials))


def _open(path, overrides, allow_code):
    """The recipe as a document, overrides in it, its name, and the keys of the overrides."""
    document = Document(find_recipe(path), allow_code)
    by_hand = [document.override(assignment) for assignment in overrides]
    for key in by_hand:
        give_way(document, key)
    for assignment in overrides:  # once more: one by hand does not yield to another
        document.override(assignment)
    document.check_keys(document.values, KEYS, ())
    name = document.read(str, document.values.get("name", Path(path).stem), ("name",))
    if not names_folder(r"\w[\w.-]*", name):
        wanted = f"letters, digits, _, - and . (it names a folder), {LONGEST_NAME} at most"
        raise document.error(("name",), f"should be {wanted}, got {shown(name)}")
    if ("fingerprint",) not in by_hand and any(changes_data(document.values, *key) for key in by_hand):
        document.values.pop("fingerprint", None)
    return document, name, by_hand


def _chosen(trials, methods, classifiers):
    """Those of the trials that are asked for by name."""
    by_classifier, by_method = ({getattr(t, key): t for t in trials} for key in ("classifier", "method"))
    _check_choice("--classifiers", classifiers, by_classifier)
    _check_choice("--methods", methods, by_method)
    return [
        trial
        for trial in trials
        if trial.classifier in (classifiers or by_classifier) and trial.method in (methods or by_method)
    ]


def _trials(document, name, varied, seeds, only=None):
    """The trials of all cells and seeds of a recipe, or of one variation of it; `only`: of one method."""
    values = document.values
    for key in ("dataset", "classifiers", "methods"):
        if values.get(key) is None:
            raise document.error((), f"{key} is missing")
    dataset = _dataset(document, values["dataset"])
    settings = _classifiers(document, values["classifiers"], dataset)
    ancestry = _methods(document, values["methods"])
    cells = document.read_mapping(values.get("cells"), ("cells",))
    document.check_keys(cells, settings, ("cells",))
    recipe_seeds = _seeds(document)
    shared = {"recipe": name, "dataset": dataset, "varied": varied, **_shared(document)}
    trials = []
    for classifier, classifier_settings in settings.items():
        of_classifier = document.read_mapping(cells.get(classifier), ("cells", classifier))
        document.check_keys(of_classifier, ancestry, ("cells", classifier))
        for method in ancestry if only is None else [only]:
            method_settings, training = _cell(document, classifier, ancestry[method], dataset)
            cell = {
                "classifier": classifier,
                "classifier_settings": classifier_settings,
                "method": method,
                "method_settings": method_settings,
                "training": training,
                "variant_of": ancestry[method][0] if len(ancestry[method]) > 1 else None,
            }
            of_cell = [Trial(**shared, **cell, seed=seed) for seed in (recipe_seeds if seeds is None else seeds)]
            _check_cell(document, of_cell[0], ancestry[method])
            trials += of_cell
    return trials


def _methods(document, value):
    """The ancestry of every method of a recipe, see `ancestries`."""
    by_method = document.read_names(value, ("methods",))
    if not by_method:
        raise document.error(("methods",), f"should name at least one of {', '.join(METHODS)}")
    return ancestries(document, by_method)


def _seeds(document):
    key = ("seeds",)
    seeds = document.read(Annotated[tuple[int, ...], ">= 0"], document.values.get("seeds", (0, 1, 2)), key)
    if not seeds or len(set(seeds)) < len(seeds):
        raise document.error(key, f"should be one or more different whole numbers, got {list(seeds)}")
    return seeds


def _shared(document):
    """What all trials of a recipe have, see `_SHARED`."""
    return {
        key: document.read(allowed, document.values.get(key, default), (key,))
        for key, (allowed, default) in _SHARED.items()
    }


def _check_cell(document, trial, ancestry):
    """Refuses a trial whose settings, each allowed, do not go together."""
    settings, training, task = trial.method_settings, trial.training, trial.dataset.get("task", "classification")
    key = ("cells", trial.classifier, trial.method)
    check_task(document, task, ancestry, settings, training, trial.selection_metric, key)
    if trial.deterministic and training.jit_compile:
        raise document.error(("deterministic",), "Keras compiles nothing with XLA then: jit_compile must be false")
    if trial.distribute != "none":
        _check_distributed(document, trial.dataset, settings, training)
    length = trial.simplification_epochs
    if trial.selection == "after-drop" and length >= training.epochs and length > 1:
        raise document.error(
            ("methods", trial.method, "plan"),
            f"the data are altered up to epoch {length} of {training.epochs}, so that no epoch is left to "
            "select the best from; shorten the plan or give selection: all",
        )


def _dataset(document, value):
    key = ("dataset",)
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or "name" not in value:
        raise document.error(key, f"should be a mapping with a name; names: {', '.join(data.SPECS)}")
    name = value["name"]
    spec = data.find(name) if isinstance(name, str) else None
    if spec is None:
        allowed = ", ".join(data.SPECS)
        raise document.error(
            (*key, "name"), f"unknown data set {shown(name)}; allowed: {allowed}{suggest(name, data.SPECS)}"
        )
    common = dict(inspect.signature(data.load, eval_str=True).parameters)
    allowed = {k: p for k, p in common.items() if k not in ("name", "data_dir", "options")} | spec.options
    rest = {k: v for k, v in value.items() if k != "name"}
    return {"name": name, **document.read_call(allowed, rest, key)}


def _classifiers(document, value, dataset):
    key = ("classifiers",)
    value = document.read_names(value, key)
    document.check_keys(value, CLASSIFIERS, key)
    if not value:
        raise document.error(key, f"should name at least one of {', '.join(CLASSIFIERS)}")
    for name in value:
        _check_shape(document, name, CLASSIFIERS[name].takes, dataset, (*key, name))
    return {name: document.read(CLASSIFIERS[name].settings, v, (*key, name)) for name, v in value.items()}


def _cell(document, classifier, ancestry, dataset):
    """Settings of a method and of the training in one cell."""
    key = ("cells", classifier, ancestry[-1])
    settings, places = layers(document, classifier, ancestry)
    document.look_also(key, *places[1:])
    document.look_also((*key, "training"), *((*place, "training") for place in places[1:]), ("training",))
    training = document.read_mapping(document.values.get("training"), ("training",))
    training = merged(training, settings.pop("training", None) or {})
    training = document.read(TrainingSettings, training, (*key, "training"))
    settings = document.read(METHODS[ancestry[0]].settings, settings, key)
    of_method = {name: value for name, value in vars(settings).items() if isinstance(value, OptimizerSettings)}
    for name, optimizer in {"training": training, **of_method}.items():
        if optimizer.momentum and optimizer.optimizer != "sgd":
            got = f"got {optimizer.momentum!r}"
            raise document.error((*key, name, "momentum"), f"must be 0 with {optimizer.optimizer}, it is of sgd; {got}")
    if (settings.plan.simplification_epochs is None) == (settings.plan.simplification_ratio is None):
        raise document.error((*key, "plan"), "give either simplification_epochs or simplification_ratio")
    try:
        if document.allow_code is not None:
            find_law(settings.plan.law, document.allow_code)
    except ValueError as error:
        raise document.error((*key, "plan", "law"), str(error)) from None
    if getattr(settings, "auxiliary_fraction", 1.0) < 1 and getattr(settings, "phases", "epoch") != "epoch":
        what = f"must be 1 with phases {settings.phases}, which updates both networks on each minibatch"
        raise document.error((*key, "auxiliary_fraction"), f"{what}; got {settings.auxiliary_fraction}")
    for name, of in vars(settings).items():
        if isinstance(of, NetworkSettings):
            _check_shape(document, of.name, of.takes, dataset, (*key, name, "name"))
    if (training.schedule == "constant-then-cosine") != (training.constant_ratio is not None):
        what = "is missing, a number >= 0 and <= 1: schedule is constant-then-cosine"
        if training.constant_ratio is not None:
            what = f"goes with schedule constant-then-cosine, got schedule {training.schedule}"
        raise document.error((*key, "training", "constant_ratio"), what)
    if training.mixing:
        _check_mixing(document, ancestry, settings, training.mixing[0], (*key, "training", "augment"))
    if training.augmentations:
        what = " and ".join(training.augmentations)
        _check_shape(document, what, "images", dataset, (*key, "training", "augment"))
    return settings, training


def _check_distributed(document, dataset, settings, training):
    """Refuses what is not computed on several devices."""
    refused = {
        "jit_compile: true, nor with steps_per_execution above 1": training.jit_compile
        or training.steps_per_execution > 1,
        "training.class_weight": training.class_weight is not None,
        "dataset.weight": dataset.get("weight"),
        "an auxiliary_fraction below 1": getattr(settings, "auxiliary_fraction", 1.0) < 1,
    }
    for what, there in refused.items():
        if there:
            raise document.error(("distribute",), f"not with {what}; allowed: none")


def _check_mixing(document, ancestry, settings, name, key):
    able = [method for method, record in METHODS.items() if record.takes_mixed_labels]
    if ancestry[0] not in able:
        what = f"mixes labels, and {ancestry[-1]} needs one for each example; it is for {' and '.join(able)}"
        raise document.error(key, f"{name} {what}")
    if getattr(getattr(settings, "auxiliary", None), "label_conditioned", False):
        raise document.error(key, f"{name} mixes labels, and a label-conditioned network needs one for each example")


def _check_shape(document, what, takes, dataset, key):
    """Refuses what is for images where the data set has vectors, and the reverse."""
    shape = data.find(dataset["name"]).input_shape
    if None not in (shape, takes) and len(shape) != AXES[takes]:
        raise document.error(key, f"{what} takes {takes}, an example of {dataset['name']} has the shape {shape}")


def _check_choice(flag, chosen, allowed):
    for name in chosen or ():
        if name not in allowed:
            raise RecipeError(f"{flag} {name}: not in this recipe; it has {', '.join(allowed)}{suggest(name, allowed)}")
