"""nft-keras run RECIPE.yaml: trains every cell of a recipe and reports on it."""

import argparse

from nft_keras._text import visible
from nft_keras.backend import BackendError
from nft_keras.cli.options import Parser, add_recipe, add_recipe_options, positive, run_command
from nft_keras.data import DataError
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.runs import flatten
from nft_keras.experiments.train.loggers import LOGGERS
from nft_keras.experiments.train.run import print_costs, run_recipes
from nft_keras.experiments.train.session import Options, trials_of


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(prog="nft-keras run", description="Train what a recipe describes; compare methods in a table.")
    add_recipe(p, "recipe file(s), or names of shipped ones, e.g. imdb", nargs="+")
    add_recipe_options(p)
    p.add_argument("--seeds", nargs="+", type=_seed, metavar="SEED", help="these seeds instead of the recipe's")
    p.add_argument(
        "--vectorize",
        nargs="?",
        type=positive,
        const=0,
        metavar="N",
        help="train trials that differ in no shape together, at most N at once (default all); needs KERAS_BACKEND=jax",
    )
    p.add_argument("--no-reference", action="store_true", help="no logistic regression to compare with")
    p.add_argument("--log", nargs="+", default=(), choices=LOGGERS, help="where every epoch is logged too")
    p.add_argument("--fresh", action="store_true", help="discard what these trials left in the output folder before")
    p.add_argument("--dry-run", action="store_true", help="print the trials and their settings, and exit")
    p.add_argument(
        "--costs", action="store_true", help="print what the trials take on this machine, from a few steps, and exit"
    )
    return p


def main(arguments: list[str] | None = None) -> int:
    """Trains, prints the tables, and returns 1 if a trial failed."""
    return run_command((RecipeError, DataError, BackendError), _run_all, parser().parse_args(arguments))


def _run_all(arguments):
    options = Options(
        out=arguments.out,
        data_dir=arguments.data_dir,
        overrides=tuple(arguments.set),
        methods=arguments.methods,
        classifiers=arguments.classifiers,
        seeds=arguments.seeds,
        vectorize=arguments.vectorize,
        reference=not arguments.no_reference,
        fresh=arguments.fresh,
        allow_code=arguments.allow_code,
        loggers=tuple(arguments.log),
    )
    if arguments.dry_run:
        _print([trial for run in trials_of(arguments.recipe, options) for trial in run.chosen])
    if arguments.costs:
        print_costs(arguments.recipe, options, start="# " if arguments.dry_run else "")
    elif arguments.dry_run:
        print("# what they take on this machine: --dry-run --costs")
    else:
        return 1 if run_recipes(arguments.recipe, options) else 0
    return 0


def _print(trials):
    """Prints the settings that all trials share, those of a method's trials, and a line for each trial with its own."""
    rows = [(trial, dict(flatten(trial.config()))) for trial in trials]
    of_all, of_method = _shared([row for _, row in rows]), {}
    print(*_lines(of_all, "# all: "), sep="\n")
    for method in dict.fromkeys(trial.method for trial in trials):
        of_method[method] = _shared([row for trial, row in rows if trial.method == method])
        for line in _lines(of_method[method], f"# {method}: ", without=of_all):
            print(line)
    for trial, row in rows:
        print(trial.folder, *_lines(row, without=of_method[trial.method]))


def _shared(rows):
    """What is the same in all of some mappings."""
    return {key: value for key, value in rows[0].items() if all(row.get(key) == value for row in rows)}


def _lines(settings, start="", without=()):
    for key, value in settings.items():
        if key not in without:
            yield visible(f"{start}{key}={value if isinstance(value, str) else str(value).replace(' ', '')}")


def _seed(text):
    if not text.isdecimal() or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"should be a whole number >= 0 and < 2^32, got {text!r}")
    return int(text)
