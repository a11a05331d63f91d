"""What a recipe lists values of, in `vary`, `sweep` and `folds`, and the recipe with one of them set."""

import copy
import re
from typing import Annotated

from nft_keras import data
from nft_keras._checks import shown, suggest
from nft_keras.data.io.fingerprint import kind
from nft_keras.experiments.recipe.schema import LONGEST_NAME, names_folder


def lists_of_values(document, name):
    """{key: list of values} of everything that the recipe's `vary` or `sweep` lists."""
    lists = document.read_mapping(document.values.get(name), (name,), "keys to lists of values")
    methods = document.read_names(document.values.get("methods") or {}, ("methods",))
    for key, values in lists.items():
        where = (name, str(key))
        if not re.fullmatch(r"(dataset|methods\.[^.]+|training)(\.[^.]+)+", str(key)):
            raise document.error(where, "should be a key below dataset, methods or training, e.g. dataset.label_noise")
        if key.startswith("methods.") and (method := key.split(".")[1]) not in methods:
            there = f"{', '.join(map(str, methods))}{suggest(method, methods)}"
            raise document.error(where, f"unknown method {shown(method)}; the recipe has {there}")
        if not isinstance(values, list) or not values or not all(names_folder(r"[\w.+-]+", str(v)) for v in values):
            wanted = f"a list of numbers or words of at most {LONGEST_NAME} characters (they name folders)"
            raise document.error(where, f"should be {wanted}, got {shown(values)}")
        if len(set(values)) < len(values):
            raise document.error(where, f"has a value twice, got {shown(values)}")
    return lists


_MOST_FOLDS = 100  # each of which is a training


def folds(document):
    """What `folds` stands for, as a list of `vary`; {} without."""
    values = document.values
    number = document.read(Annotated[int | None, ">= 2", f"<= {_MOST_FOLDS}"], values.get("folds"), ("folds",))
    if number is None:
        return {}
    if values.get("vary"):
        raise document.error(("folds",), "a recipe varies either folds or what vary says, one at a time; remove one")
    if isinstance(values.get("dataset"), str):
        values["dataset"] = {"name": values["dataset"]}
    name = (values.get("dataset") or {}).get("name")
    if (spec := data.find(str(name))) and "fold" not in spec.options:
        able = [each for each in data.SPECS.own if "fold" in data.SPECS[each].options]
        raise document.error(("folds",), f"{name} has a split of its own; folds are for {', '.join(able)}")
    return {"dataset.fold": [f"{i}-of-{number}" for i in range(1, number + 1)]}


def concerns(method, keys):
    """Whether a key has to do with a method: one below methods.NAME is for NAME alone, all else for all."""
    parts = [key.split(".") for key in keys]
    return any(key[0] != "methods" or key[1] == method for key in parts)


def with_settings(document, settings, source):
    """The document with other settings, (key, value) pairs that stand in its list `source`."""
    changed, settings = copy.deepcopy(document), list(settings)
    for key, value in settings:
        parts = tuple(key.split("."))
        # A trial's config.yaml has the fingerprint of its data, and the one value that was varied in both places.
        if changes_data(changed.values, *parts) and _there(changed.values, parts) != value:
            changed.values.pop("fingerprint", None)
        give_way(changed, parts)
    for key, value in settings:
        changed.put(tuple(key.split(".")), value, (source, key))
    return changed


def changes_data(values, key, below="", *_):
    """Whether another value of a key, in parts, means other data than those of the fingerprint that a recipe has."""
    if kind(str(values.get("fingerprint"))) == "examples":  # of which every option of a data set makes others
        return key == "dataset"
    dataset = values.get("dataset")
    spec = data.find(str(dataset.get("name"))) if isinstance(dataset, dict) else None
    return key == "dataset" and (below in ("", "name") or (spec is not None and below in spec.files))


def _there(values, key):
    for part in key:
        values = values.get(part) if isinstance(values, dict) else None
    return values


def one_classifier(document, classifier):
    """The document without all other classifiers."""
    alone = copy.deepcopy(document)
    values = alone.values
    values["classifiers"] = {classifier: document.read_names(values["classifiers"], ("classifiers",))[classifier]}
    cell = (values.get("cells") or {}).get(classifier)
    values["cells"] = {classifier: cell} if cell else {}
    return alone


def give_way(document, key):
    """Removes what is set for all of them, a key in parts, from cells and methods; errors are not about these."""
    cells, methods = document.values.get("cells"), document.values.get("methods")
    for classifier, cell in cells.items() if isinstance(cells, dict) else ():
        for method, settings in (cell or {}).items() if isinstance(cell, dict) else ():
            below = key if key[0] == "training" else key[2:] if key[:2] == ("methods", method) else ()
            if below:
                _remove(settings, below)
                document.forget(("cells", classifier, method, *below))
    for method, settings in methods.items() if isinstance(methods, dict) and key[0] == "training" else ():
        _remove(settings, key)
        document.forget(("methods", method, *key))


def _remove(mapping, key):
    for part in key[:-1]:
        mapping = mapping.get(part) if isinstance(mapping, dict) else None
    if isinstance(mapping, dict) and key:
        mapping.pop(key[-1], None)
