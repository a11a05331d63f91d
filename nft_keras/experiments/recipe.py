"""What a recipe may say, and the trials that it stands for; without Keras, so that a wrong one is told at once."""

import copy
import dataclasses
import importlib
import inspect
import math
import re
from pathlib import Path
from typing import Annotated, Literal

from nft_keras import data
from nft_keras.experiments.schema import Document, RecipeError, near


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An optimizer. `weight_decay` is L2 in the gradient of every weight for adam and sgd, decoupled for adamw."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, "> 0"] = 1e-4
    weight_decay: Annotated[float, ">= 0"] = 0.0
    momentum: Annotated[float, ">= 0 and < 1"] = 0.0


@dataclasses.dataclass(frozen=True)
class Training(Optimizer):
    """How the classifier is trained, with every method alike.

    schedule "cosine" anneals the learning rate to 0 over the epochs; where the data are altered it stays constant
    until the drop and goes down from a tenth of it then (Section 3.3 of Marullo et al. 2022).
    """

    epochs: Annotated[int, ">= 1"] = 200
    batch_size: Annotated[int, ">= 1"] = 32
    schedule: Literal["constant", "cosine"] = "constant"
    augment: Literal["none", "crop-and-flip"] = "none"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A plan of `nft_keras.plan`: its length as a number of epochs or as a fraction of the training's epochs."""

    simplification_epochs: Annotated[int | None, ">= 0"] = None
    simplification_ratio: Annotated[float | None, ">= 0 and <= 1"] = None
    law: str = "quadratic"

    def epochs(self, of):
        """gamma_max_simp of a training of so many epochs; a ratio below 1 leaves at least one epoch after the drop."""
        if self.simplification_epochs is not None:
            return self.simplification_epochs
        rounded = math.floor(self.simplification_ratio * of + 0.5)
        return min(rounded, of - 1) if self.simplification_ratio < 1 else of


@dataclasses.dataclass(frozen=True)
class DevelopmentalPlan(Plan):
    """`nft_keras.DevelopmentalPlan`."""

    eta_max: Annotated[float, ">= 0"] = 1000.0


@dataclasses.dataclass(frozen=True)
class PerturbationPlan(Plan):
    """`nft_keras.PerturbationPlan`."""

    max_steps: Annotated[int, ">= 0"] = 120


@dataclasses.dataclass(frozen=True)
class EasyExamplesPlan(Plan):
    """`nft_keras.EasyExamplesPlan`."""

    first_fraction: Annotated[float, "> 0 and <= 1"] = 0.2


@dataclasses.dataclass(frozen=True)
class Unet:
    """`nft_keras.auxiliaries.unet`."""

    name: Literal["unet"] = "unet"
    filters: Annotated[int, ">= 1"] = 64
    depth: Annotated[int, ">= 1"] = 2
    label_conditioned: bool = False
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class Mlp:
    """`nft_keras.auxiliaries.mlp`."""

    name: Literal["mlp"] = "mlp"
    hidden: Annotated[int, ">= 1"] = 256
    label_conditioned: bool = False
    residual: bool = False


@dataclasses.dataclass(frozen=True)
class FcA:
    """`nft_keras.classifiers.fc_a`."""

    units: Annotated[int, ">= 1"] = 10


@dataclasses.dataclass(frozen=True)
class FcB:
    """`nft_keras.classifiers.fc_b`."""

    units: Annotated[tuple[int, ...], ">= 1"] = (2500, 2000, 1500, 1000, 500)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A network without settings of its own."""


@dataclasses.dataclass(frozen=True)
class ClassicTraining:
    """CT: the classifier on the data as they are."""

    plan = Plan(simplification_epochs=0)


@dataclasses.dataclass(frozen=True)
class EasyExamplesFirst:
    """EEF: `nft_keras.EasyExamplesFirst` under a `nft_keras.EasyExamplesPlan`."""

    plan: EasyExamplesPlan


@dataclasses.dataclass(frozen=True)
class FriendlyTraining:
    """FT: `nft_keras.FriendlyTraining` under a `nft_keras.PerturbationPlan`."""

    plan: PerturbationPlan
    step: Annotated[float, "> 0"] = 0.1
    confidence: Annotated[float, ">= 0 and <= 1"] = 0.98


@dataclasses.dataclass(frozen=True)
class NeuralFriendlyTraining:
    """NFT: `nft_keras.FriendlyModel` under a `nft_keras.DevelopmentalPlan`."""

    plan: DevelopmentalPlan
    auxiliary: Unet | Mlp
    auxiliary_optimizer: Optimizer = Optimizer()
    penalty: Literal["sum", "mean"] = "sum"
    phases: Literal["epoch", "batch", "joint"] = "epoch"


CLASSIFIERS = {"fc-a": FcA, "fc-b": FcB, "cnn-a": Fixed, "cnn-b": Fixed, "resnet18": Fixed}
METHODS = {"ct": ClassicTraining, "eef": EasyExamplesFirst, "ft": FriendlyTraining, "nft": NeuralFriendlyTraining}
LAWS = ("quadratic", "linear", "cosine")
FOR_IMAGES = {"cnn-a", "cnn-b", "resnet18", "unet", "crop-and-flip"}
FOR_VECTORS = {"mlp"}
KEYS = ("name", "dataset", "classifiers", "methods", "training", "seeds", "selection", "cells")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run: one cell (classifier x method) of a recipe with one seed.

    Attributes:
        recipe: the recipe's name.
        dataset: arguments of `nft_keras.data.load`, with its name.
        classifier, classifier_settings: name and settings of the classifier.
        method, method_settings: name and settings of the training method.
        training: `Training`.
        selection: "after-drop" or "all", the epochs among which the best one is chosen.
        seed: int, of initial weights and shuffling.
    """

    recipe: str
    dataset: dict
    classifier: str
    classifier_settings: object
    method: str
    method_settings: object
    training: Training
    selection: str
    seed: int

    @property
    def folder(self):
        """Where its files go, below the output folder."""
        return Path(self.recipe, self.classifier, self.method, f"seed-{self.seed}")

    @property
    def simplification_epochs(self):
        """gamma_max_simp: the last epoch with altered data; 0 or 1 if none is."""
        return self.method_settings.plan.epochs(self.training.epochs)

    def config(self):
        """The trial as a recipe of its own, complete."""
        return {
            "name": self.recipe,
            "dataset": _yaml(self.dataset),
            "classifiers": {self.classifier: _plain(self.classifier_settings)},
            "methods": {self.method: _plain(self.method_settings)},
            "training": _plain(self.training),
            "seeds": [self.seed],
            "selection": self.selection,
        }


def load_recipe(path, overrides=(), methods=None, classifiers=None, seeds=None):
    """The trials of a recipe.

    Args:
        path: the YAML file.
        overrides: iterable of "key.key=value", stronger than what the file says, in its cells too.
        methods, classifiers: names to keep, None for all of the recipe.
        seeds: ints to run instead of the recipe's.

    Returns:
        list of `Trial`, seeds innermost.

    Raises:
        nft_keras.experiments.schema.RecipeError: for whatever is wrong, before anything is written.
    """
    document = Document(path)
    for assignment in overrides:
        _yield_in_cells(document.values, assignment)
        document.override(assignment)
    values = document.values
    document.check_keys(values, KEYS, ())
    for key in ("dataset", "classifiers", "methods"):
        if values.get(key) is None:
            raise document.error((), f"{key} is missing")
    dataset = _dataset(document, values["dataset"])
    settings = _classifiers(document, values["classifiers"], dataset)
    by_method = _by_name(document, values["methods"], ("methods",))
    document.check_keys(by_method, METHODS, ("methods",))
    cells = values.get("cells") or {}
    document.check_keys(cells, settings, ("cells",))
    recipe_seeds = document.read(Annotated[tuple[int, ...], ">= 0"], values.get("seeds", (0, 1, 2)), ("seeds",))
    if not recipe_seeds or len(set(recipe_seeds)) < len(recipe_seeds):
        raise document.error(("seeds",), f"should be one or more different whole numbers, got {list(recipe_seeds)}")
    selection = document.read(Literal["after-drop", "all"], values.get("selection", "after-drop"), ("selection",))
    name = document.read(str, values.get("name", Path(path).stem), ("name",))
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise document.error(("name",), f"should be letters, digits, _, - and . (it names a folder), got {name!r}")
    trials = []
    for classifier, classifier_settings in settings.items():
        document.check_keys(cells.get(classifier) or {}, by_method, ("cells", classifier))
        for method in by_method:
            method_settings, training = _cell(document, classifier, method, dataset)
            for seed in recipe_seeds if seeds is None else seeds:
                trial = Trial(
                    name, dataset, classifier, classifier_settings, method, method_settings, training, selection, seed
                )
                trials.append(trial)
            if selection == "after-drop" and trial.simplification_epochs >= training.epochs > 1:
                raise document.error(
                    ("methods", method, "plan"),
                    f"the data are altered up to epoch {trial.simplification_epochs} of {training.epochs}, so that no "
                    "epoch is left to select the best from; shorten the plan or give selection: all",
                )
    _check_choice("--classifiers", classifiers, settings)
    _check_choice("--methods", methods, by_method)
    return [
        trial
        for trial in trials
        if trial.classifier in (classifiers or settings) and trial.method in (methods or by_method)
    ]


def shipped_recipes():
    """The folder of the recipes that come with the package: inside it once installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def law(name):
    """A law of the plan: the name of one of ours as it is, else the function that a dotted name is the path of.

    Args:
        name: "quadratic", "linear", "cosine", or "package.module.function".

    Raises:
        ValueError: if there is no such law or function.
    """
    if name in LAWS:
        return name
    module, _, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), function) if module else None
    except (ImportError, AttributeError):
        found = None
    if not callable(found):
        allowed = f"{', '.join(LAWS)} or the dotted name of a function"
        raise ValueError(f"unknown law {name!r}; allowed: {allowed}{near(name, LAWS)}")
    return found


def _dataset(document, value):
    key = ("dataset",)
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, dict) or "name" not in value:
        raise document.error(key, f"should be a mapping with a name; names: {', '.join(data.SPECS)}")
    name = value["name"]
    spec = data.find(name) if isinstance(name, str) else None
    if spec is None:
        allowed = ", ".join(data.SPECS)
        raise document.error((*key, "name"), f"unknown data set {name!r}; allowed: {allowed}{near(name, data.SPECS)}")
    common = dict(inspect.signature(data.load, eval_str=True).parameters)
    allowed = {k: p for k, p in common.items() if k not in ("name", "data_dir", "options")} | spec.options
    rest = {k: v for k, v in value.items() if k != "name"}
    return {"name": name, **document.read_call(allowed, rest, key)}


def _classifiers(document, value, dataset):
    key = ("classifiers",)
    value = _by_name(document, value, key)
    document.check_keys(value, CLASSIFIERS, key)
    if not value:
        raise document.error(key, f"should name at least one of {', '.join(CLASSIFIERS)}")
    for name in value:
        _check_shape(document, name, dataset, (*key, name))
    return {name: document.read(CLASSIFIERS[name], v, (*key, name)) for name, v in value.items()}


def _cell(document, classifier, method, dataset):
    """Settings of a method and of the training in one cell: what `cells` says lies over the recipe's defaults."""
    values = document.values
    default, key = ("methods", method), ("cells", classifier, method)
    below = values["methods"][method] if isinstance(values["methods"], dict) else None
    own = ((values.get("cells") or {}).get(classifier) or {}).get(method)
    for given, where in ((below, default), (own, key), (values.get("training"), ("training",))):
        if given is not None and not isinstance(given, dict):
            raise document.error(where, f"should be a mapping of settings, got {given!r}")
    document.look_also(key, default)
    document.look_also((*key, "training"), (*default, "training"), ("training",))
    settings = _merge(below or {}, own or {})
    training = _merge(values.get("training") or {}, settings.pop("training", None) or {})
    training = document.read(Training, training, (*key, "training"))
    settings = document.read(METHODS[method], settings, key)
    if (settings.plan.simplification_epochs is None) == (settings.plan.simplification_ratio is None):
        raise document.error((*key, "plan"), "give either simplification_epochs or simplification_ratio")
    try:
        law(settings.plan.law)
    except ValueError as error:
        raise document.error((*key, "plan", "law"), str(error)) from None
    if hasattr(settings, "auxiliary"):
        _check_shape(document, settings.auxiliary.name, dataset, (*key, "auxiliary", "name"))
    _check_shape(document, training.augment, dataset, (*key, "training", "augment"))
    return settings, training


def _check_shape(document, network, dataset, key):
    """Refuses a network for images where the data set has vectors, and the reverse."""
    shape = data.find(dataset["name"]).input_shape
    for networks, kind, axes in ((FOR_IMAGES, "images", 3), (FOR_VECTORS, "vectors", 1)):
        if shape is not None and network in networks and len(shape) != axes:
            raise document.error(key, f"{network} takes {kind}, an example of {dataset['name']} has the shape {shape}")


def _by_name(document, value, key):
    """A mapping of names to settings; a list of names is one without settings."""
    if isinstance(value, dict):
        return value
    names = document.read(tuple[str, ...], [value] if isinstance(value, str) else value, key)
    return dict.fromkeys(names)


def _check_choice(flag, chosen, allowed):
    for name in chosen or ():
        if name not in allowed:
            raise RecipeError(f"{flag} {name}: not in this recipe; it has {', '.join(allowed)}{near(name, allowed)}")


def _merge(below, above):
    """Mappings laid one over the other, key by key."""
    merged = copy.deepcopy(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _yield_in_cells(values, assignment):
    """Removes from the cells what an override sets for all of them."""
    key = assignment.partition("=")[0].split(".")
    cells = values.get("cells")
    for cell in cells.values() if isinstance(cells, dict) else ():
        for method, settings in (cell or {}).items() if isinstance(cell, dict) else ():
            if key[0] == "training":
                _remove(settings, key)
            elif key[:2] == ["methods", method]:
                _remove(settings, key[2:])


def _remove(mapping, key):
    for part in key[:-1]:
        mapping = mapping.get(part) if isinstance(mapping, dict) else None
    if isinstance(mapping, dict) and key:
        mapping.pop(key[-1], None)


def _plain(settings):
    """A dataclass as a mapping of YAML's own types, unset alternatives left out."""
    return _yaml(dataclasses.asdict(settings))


def _yaml(value):
    if isinstance(value, dict):
        return {k: _yaml(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
