"""The command line: python -m nft_keras.run RECIPE.yaml trains every cell of a recipe and reports on it."""

import argparse
import os
import sys
from pathlib import Path

from nft_keras._cli import answer, end
from nft_keras.data import DataError, default_data_dir
from nft_keras.experiments.recipe import load_recipe
from nft_keras.experiments.schema import RecipeError


def parser():
    """The argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m nft_keras.run", description="Train what a recipe describes; compare methods in a table."
    )
    p.add_argument("recipe", type=Path, metavar="RECIPE.yaml", nargs="+", help="recipe file(s), e.g. recipes/imdb.yaml")
    p.add_argument(
        "--data-dir", type=Path, help=f"where data sets are or go (default $NFT_DATA_DIR, else {default_data_dir()})"
    )
    p.add_argument("--out", type=Path, default=Path("runs"), help="output folder (default runs/)")
    p.add_argument("--methods", nargs="+", metavar="METHOD", help="only these of the recipe's methods")
    p.add_argument("--classifiers", nargs="+", metavar="NAME", help="only these of the recipe's classifiers")
    p.add_argument("--seeds", nargs="+", type=_seed, metavar="SEED", help="these seeds instead of the recipe's")
    p.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", action="extend", help="e.g. training.epochs=3")
    p.add_argument("--dry-run", action="store_true", help="print the trials, one row each, and exit")
    return p


def main(arguments=None):
    """Runs the command line.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code: 0, or 2 for something wrong in what was typed or in the data.
    """
    return answer((RecipeError, DataError), _run_all, parser().parse_args(arguments))


def _run_all(options):
    recipes = [
        load_recipe(path, options.set, options.methods, options.classifiers, options.seeds) for path in options.recipe
    ]
    if options.dry_run:
        for trial in (trial for trials in recipes for trial in trials):
            print(trial.folder, *_flat(trial.config()))
        return
    for path, trials in zip(options.recipe, recipes, strict=True):
        _run(trials, load_recipe(path, options.set), options)


def _run(trials, of_recipe, options):
    """Runs trials; the report is on all finished trials of the recipe that have its present settings."""
    from nft_keras.experiments.screen import Screen

    name = trials[0].recipe
    with Screen(trials) as screen:
        _import_tensorflow_quietly()
        from nft_keras import data
        from nft_keras.experiments.report import write_report
        from nft_keras.experiments.runs import finished
        from nft_keras.experiments.trial import run_trial

        loaded = None
        for trial in trials:
            if trial.dataset != loaded:
                screen.note(f"loading {trial.dataset['name']}")
                dataset, loaded = data.load(**trial.dataset, data_dir=options.data_dir), trial.dataset
                sizes = "/".join(f"{len(part):,}" for part in (dataset.train, dataset.valid, dataset.test))
                screen.say(f"{trial.dataset['name']}: {sizes} examples; {dataset.provenance}")
            result = run_trial(trial, dataset, options.out, screen.trial(trial))
            screen.finished(trial, result)
    in_report = {trial.folder: trial for trial in (*of_recipe, *trials)}.values()
    print(write_report(name, finished(in_report, options.out), options.out))
    print(f"written to {options.out / name}")


def _import_tensorflow_quietly():
    """Imports TensorFlow; what its C++ says of missing CUDA before its log level counts is kept off the screen."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _flat(config, prefix=""):
    """key.key=value of every leaf."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={str(value).replace(' ', '')}"


def _seed(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"should be a whole number >= 0, got {text!r}")
    return int(text)


if __name__ == "__main__":
    end(main)
