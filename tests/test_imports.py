"""Imports point one way: cli, experiments, data and the methods, base, backend, Keras."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nft_keras"
# Floors from the top; a module imports from its own and those below. What is not named is on the floor "methods".
FLOORS = ("cli", "experiments", "data", "methods", "base", "backend", "checks")
ROOMS = {
    "cli": "cli",
    "__main__": "cli",
    "run": "cli",
    "experiments": "experiments",
    "comparison": "experiments",
    "data": "data",
    "base": "base",
    "costs": "base",
    "metrics": "base",
    "places": "base",
    "backend": "backend",
    "laws": "checks",
    "verdict": "checks",
    "_checks": "checks",
    "_fit_data": "checks",
    "_manifest": "checks",
    "_registry": "checks",
    "_text": "checks",
}


def floor(module):
    """The floor of a module "nft_keras.room..."."""
    return FLOORS.index(ROOMS.get((module.split(".") + [""])[1], "methods"))


def imported(path):
    """What a file imports of the package, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "nft_keras":
            yield from (f"nft_keras.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nft_keras."):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("nft_keras"))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).with_suffix("").as_posix()
)
def test_a_module_imports_nothing_from_above(path):
    if path == PACKAGE / "__init__.py":  # the table of contents
        return
    own = ".".join(("nft_keras", *path.relative_to(PACKAGE).with_suffix("").parts))
    above = [module for module in imported(path) if floor(module) < floor(own)]
    assert not above, f"{own}, on the floor {FLOORS[floor(own)]}, imports {', '.join(above)}"


def test_nothing_below_the_command_line_knows_of_argparse():
    below = [path for path in PACKAGE.rglob("*.py") if "cli" not in path.parts]
    assert not [path for path in below if "argparse" in path.read_text(encoding="utf-8")]
