"""Methods of a recipe under names of its own: which method each is, and whose settings it takes over."""

import copy

from nft_keras._checks import shown, suggest
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.schema import LONGEST_NAME, names_folder


def ancestries(document, methods):
    """The names whose settings lie under each other in every method of a recipe.

    Args:
        document: `nft_keras.experiments.recipe.schema.Document` of the recipe.
        methods: its `methods`, a mapping of names to settings.

    Returns:
        {name: list of names, from the registered method to the name itself}. What `is` names is just before the name.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError: if a name is neither a method nor says which one it is.
    """
    for name, settings in methods.items():
        key, of = ("methods", str(name)), _named(settings)
        if name not in METHODS and of is None:
            there = f"{', '.join(METHODS)}, or a name of your own with is: METHOD"
            raise document.error(key, f"unknown key; allowed: {there}{suggest(name, METHODS)}")
        if name in METHODS and of not in (None, name):
            got = f"got {shown(of)}; give the variant another name"
            raise document.error((*key, "is"), f"{name} is a method itself, {got}")
        if name not in METHODS and not (isinstance(name, str) and names_folder(r"\w[\w-]*", name)):
            wanted = f"letters, digits, _ and - (it names folders), {LONGEST_NAME} at most"
            raise document.error(key, f"should be {wanted}, got {shown(name)}")
        if name not in METHODS and name.lower() in METHODS:
            raise document.error(key, f"tables would not tell it from {name.lower()}; choose another name")
    return {name: _ancestry(document, methods, name) for name in methods}


def layers(document, classifier, ancestry):
    """What a recipe says of a method in one cell: `cells` over `methods`, both over what it says of what `is` names.

    Args:
        document: `nft_keras.experiments.recipe.schema.Document` of the recipe.
        classifier: its name.
        ancestry: of the method, see `ancestries`.

    Returns:
        The mapping, `training` in it, and the keys that it is from, the strongest first.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError: if something that should be one is no mapping.
    """
    methods, cells = document.values["methods"], document.values.get("cells") or {}
    found, places = {}, []
    for name in ancestry:
        below = (methods.get(name) if isinstance(methods, dict) else None), (cells.get(classifier) or {}).get(name)
        for place, own in zip((("methods", name), ("cells", classifier, name)), below, strict=True):
            own = dict(document.read_mapping(own, place))
            document.read_mapping(own.get("training"), (*place, "training"))
            if place[0] == "methods":
                own.pop("is", None)
            found = merged(found, own)
            places.insert(0, place)
    return found, places


def merged(below, above):
    """Mappings laid one over the other, key by key."""
    found = copy.deepcopy(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        else:
            found[key] = copy.deepcopy(value)
    return found


def _ancestry(document, methods, name):
    found = [name]
    while found[0] not in METHODS:
        key, of = ("methods", found[0], "is"), _named(methods[found[0]])
        allowed = [*METHODS, *(other for other in methods if other not in METHODS and other != found[0])]
        if not isinstance(of, str) or of not in (*METHODS, *methods):
            there = f"{', '.join(allowed)}{suggest(of, allowed)}"
            raise document.error(key, f"unknown method {shown(of)}; allowed: {there}")
        if of in found:
            circle = " is ".join([*found[found.index(of) :: -1], of])
            raise document.error(key, f"goes in a circle, {circle}; one has to be a method: {', '.join(METHODS)}")
        found.insert(0, of)
    return found


def _named(settings):
    """What a method's `is` says, None where it says nothing."""
    return settings.get("is") if isinstance(settings, dict) else None
