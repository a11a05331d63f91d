"""The command line: python -m nft_keras figures NAME RUNS... draws a figure of the paper, or of ours, from runs."""

import argparse

from nft_keras.cli.options import Parser, path_in, path_out, run_command
from nft_keras.experiments.files import write_figure, writing_to
from nft_keras.experiments.recipe.schema import RecipeError

NAMES = {
    "figure-1": "decision boundary and simplified points of two-moons",
    "figure-3": "test error against label noise",
    "figure-4": "x, delta and simplified x for FT and NFT",
    "figure-5": "training and test error per epoch",
    "figure-6": "sensitivity to NFT's hyper-parameters",
    "differences": "not in the paper: each method's test error beside CT's, with intervals",
}


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    names = "".join(f"\n  {name}  {what}" for name, what in NAMES.items())
    p = Parser(
        prog="nft-keras figures",
        description=f"Draw a figure of the paper, or of ours, from finished runs, as PNG and PDF:{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    name = p.add_argument("name", type=_name, metavar="NAME", help=f"{', '.join(NAMES)}, or the number alone")
    name.completer = lambda **_: list(NAMES)
    p.add_argument("folders", type=path_in, nargs="+", metavar="RUNS", help="output folders of nft_keras.run")
    p.add_argument("--out", type=path_out, help="where the files go (default: the first folder)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Draws a figure as PNG and PDF."""
    options = parser().parse_args(arguments)
    return run_command(RecipeError, _draw, options.name, options.folders, options.out or options.folders[0])


def _draw(name, folders, out):
    from nft_keras.experiments import runs

    found = runs.find(folders)
    from nft_keras.experiments.reports.difference_figure import difference_figure
    from nft_keras.experiments.reports.paper_figures import FIGURES

    draw = {**FIGURES, "differences": difference_figure}[name]
    paths = [out / f"{name}.{suffix}" for suffix in ("png", "pdf")]
    figure = draw(found)
    with writing_to(out):
        write_figure(figure, *paths)
    print(*paths, sep="\n")


def _name(text):
    name = f"figure-{text}" if text.isdecimal() else text
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"unknown figure {text!r}; allowed: {', '.join(NAMES)}")
    return name
