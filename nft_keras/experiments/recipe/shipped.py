"""The recipes that come with the package."""

import glob
import os
import re
from pathlib import Path

from nft_keras._checks import suggest
from nft_keras.experiments.recipe.schema import RecipeError


def shipped_recipes() -> Path:
    """The folder of the recipes that come with the package: inside it once installed, beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_names() -> dict[str, Path]:
    """{name: file} of the shipped recipes: "imdb", and "small/imdb" of those in folders, after them."""
    folder = shipped_recipes()
    files = {file.relative_to(folder).with_suffix("").as_posix(): file for file in folder.rglob("*.yaml")}
    return {name: files[name] for name in sorted(files, key=lambda name: (name.count("/"), name))}


def find_recipe(path: str | os.PathLike) -> str | os.PathLike:
    """The file that a recipe is read from.

    Args:
        path: a file, or, where there is none, a shipped recipe: "imdb", "small/imdb" or, as in a checkout,
            "recipes/imdb.yaml".

    Returns:
        The path.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError: if there is neither, naming the nearest shipped recipe, or all.
    """
    if os.path.isfile(path):
        return path
    shipped, asked = shipped_names(), str(path)
    name = asked[len("recipes/") : -len(".yaml")] if re.fullmatch(r"recipes/.+\.yaml", asked) else asked
    if name in shipped:
        return shipped[name]
    if not os.path.lexists(path):
        help = suggest(name.removesuffix(".yaml"), shipped) or f"; there are {', '.join(shipped)}"
        for beside in Path(path).parent.glob(f"{glob.escape(Path(path).stem)}.y*ml"):
            help = f"; did you mean {beside}?"
        raise RecipeError(f"{path}: cannot be read: No such file or directory, nor a shipped recipe{help}")
    return path
