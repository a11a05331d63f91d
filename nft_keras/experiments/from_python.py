"""What `experiments.run` has beyond the command: a recipe that is a mapping, and errors in the words of Python."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from nft_keras._checks import shown
from nft_keras.data import DataError
from nft_keras.experiments.files import OutputError
from nft_keras.experiments.recipe.schema import RecipeError

# {option of the command: how an error calls the argument of `run`}.
_ARGUMENTS = {f"--{name}": name for name in ("seeds", "methods", "classifiers", "vectorize", "out")}
_ARGUMENTS |= {"--set": "overrides", "--log": "loggers", "--data-dir": "data_dir"}
_ARGUMENTS |= {"--fresh": "fresh=True", "--allow-code": "allow_code=True"}
_OPTIONS = re.compile(rf"(?<![\w-])(?:{'|'.join(_ARGUMENTS)})(?![\w-])")


def write_mapping(recipe: Mapping[str, Any], path: Path) -> None:
    """Writes a recipe that is a mapping as a YAML file.

    Args:
        recipe: its keys and values; numpy's numbers and arrays, tuples, ranges and paths are written as what YAML has
            for them, and an object that stands in several places in each of them.
        path: the file.

    Raises:
        RecipeError: naming a value that YAML does not have.
    """
    try:
        text = yaml.safe_dump(_plain(recipe, ()), sort_keys=False)
    except RecursionError:
        raise RecipeError("recipe: has a mapping or list that contains itself") from None
    path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def arguments_in_errors(path: Path) -> Iterator[None]:
    """Errors in a `with` block name the arguments of `run`, not the options of the command.

    Args:
        path: the file of a recipe that was given as a mapping; errors about it call it `recipe`, without a line.
    """
    try:
        yield
    except (RecipeError, DataError, OutputError) as error:
        text = re.sub(rf"{re.escape(str(path))}(:\d+)?", "recipe", str(error))
        error.args = (_OPTIONS.sub(lambda option: _ARGUMENTS[option[0]], text),)
        raise


def _plain(value, key):
    """A value as YAML's own types, nothing in it twice: PyYAML would write an alias."""
    import numpy as np

    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if isinstance(value, Mapping):
        return {_name(name, key): _plain(inner, (*key, str(name))) for name, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(inner, (*key, str(i))) for i, inner in enumerate(value)]
    if value is not None and type(value) not in (bool, int, float, str):
        raise _error(key, f"should be text, a number, true or false, a list, a mapping or nothing, got {shown(value)}")
    return value


def _name(name, key):
    plain = _plain(name, (*key, str(name)))
    if isinstance(plain, dict | list):
        raise _error(key, f"a key should be a word, got {shown(name)}")
    return plain


def _error(key, message):
    return RecipeError(": ".join(["recipe", *([".".join(key)] if key else []), message]))
