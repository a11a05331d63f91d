"""nft-keras recipes: the shipped recipes, each with its first sentence and its cost."""

import argparse
import re
import shutil
import textwrap

from nft_keras.cli.options import Parser
from nft_keras.experiments.recipe.shipped import shipped_names


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    return Parser(
        prog="nft-keras recipes", description="List the shipped recipes, each with what it is and what it costs."
    )


def main(arguments: list[str] | None = None) -> int:
    """Prints the shipped recipes."""
    parser().parse_args(arguments)
    names = shipped_names()
    indent = " " * (max(map(len, names)) + 2)
    lines = textwrap.TextWrapper(shutil.get_terminal_size().columns, subsequent_indent=indent, break_on_hyphens=False)
    for name, file in names.items():
        what, cost = described(file.read_text(encoding="utf-8"))
        print(lines.fill(f"{name:{len(indent)}}{what}"))
        if cost:
            print(lines.fill(f"{indent}{cost.partition(': ')[2]}"))
    print("\nMeasured on two cores without a GPU; `run RECIPE --costs` measures it here.")
    return 0


def described(text):
    """The first sentence of a recipe's head, and the one that begins with "Cost"; "" where there is none."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    head = " ".join(line for line in lines if not line.startswith("python "))
    first = re.split(r"(?<=[a-z)\d%])(?<!et al)[.:;] ", head, maxsplit=1)[0].rstrip(".")
    cost = re.search(r"Cost.*?(?<=[a-z)])\.(?: |$)", head)
    return first, cost[0].strip() if cost else ""
