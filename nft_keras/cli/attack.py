"""The command line: python -m nft_keras attack RUNS... attacks the classifiers of finished trials."""

import argparse
import dataclasses
import json
import math
import tempfile

from nft_keras._text import say
from nft_keras.backend import backend_name, import_tensorflow_quietly
from nft_keras.cli.options import Parser, add_data_dir, path_in, path_out, run_command
from nft_keras.data import DataError
from nft_keras.experiments.attack.norms import NORMS
from nft_keras.experiments.classifier_file import ExportError
from nft_keras.experiments.files import writing_to
from nft_keras.experiments.recipe.schema import RecipeError


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(
        prog="nft-keras attack",
        description="Attack the classifiers of finished trials by FGSM and PGD; compare methods, check the attacks.",
    )
    p.add_argument("folders", type=path_in, nargs="+", metavar="RUNS", help="output folders of nft_keras.run")
    p.add_argument("--norm", nargs="+", choices=NORMS, default=NORMS, help="default both")
    p.add_argument(
        "--radii",
        type=float,
        nargs="+",
        metavar="R",
        help="of one norm (default: by the data, see docs/guides/attack.md)",
    )
    p.add_argument("--steps", type=int, default=40, help="of PGD (default 40)")
    p.add_argument("--restarts", type=int, default=2, help="of PGD: the example, then random points (default 2)")
    p.add_argument("--examples", type=int, default=1000, metavar="N", help="of the test part (default 1000)")
    p.add_argument("--seed", type=int, default=0, help="of the choice of examples and of the attacks (default 0)")
    add_data_dir(p)
    p.add_argument("--out", type=path_out, help="where robustness.md and its like go (default: the first folder)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Attacks, prints the tables and writes robustness.md, .csv, .json, .png and .pdf."""
    return run_command((RecipeError, DataError, ExportError), _attack, parser().parse_args(arguments))


def _attack(options):
    _check(options)
    from nft_keras.experiments import runs

    found = runs.find(options.folders)
    out = options.out or options.folders[0]
    with writing_to(out), tempfile.TemporaryFile(dir=out):
        pass  # not after the attacks
    import_tensorflow_quietly()
    from nft_keras.experiments.attack import report as robustness_report
    from nft_keras.experiments.attack import robustness

    radii = tuple(sorted(options.radii)) if options.radii else None
    settings = robustness.Settings(
        tuple(options.norm), radii, options.steps, options.restarts, options.examples, options.seed
    )
    trials, loaded = [], (None, None)
    for run in sorted(found, key=_dataset):
        if loaded[0] != _dataset(run):
            dataset = {**run.config["dataset"], "data_dir": options.data_dir}
            loaded = _dataset(run), robustness.examples(dataset, settings)
        trial = robustness.attack_trial(run, loaded[1], settings)
        trials.append(trial)
        say(f"{run.folder}: {_line(trial, robustness.warnings(trial))}")
    trials.sort(key=lambda trial: trial["folder"])
    with writing_to(out):
        text = robustness_report.write(trials, dataclasses.asdict(settings), out)
    print(text)
    print(f"written to {out}")


def _check(options):
    if backend_name() != "tensorflow":
        raise RecipeError(f"nft_keras.cli.attack needs KERAS_BACKEND=tensorflow, got {backend_name()}")
    for name, least in (("steps", 1), ("restarts", 1), ("examples", 1), ("seed", 0)):
        if getattr(options, name) < least:
            raise RecipeError(f"--{name} must be >= {least}, got {getattr(options, name)}")
    if len(set(options.norm)) < len(options.norm):
        raise RecipeError(f"--norm names each norm once, got {' '.join(options.norm)}")
    if options.radii:
        if len(options.norm) > 1:
            raise RecipeError(f"--radii are those of one norm: name it, --norm {' or --norm '.join(NORMS)}")
        if not all(math.isfinite(radius) and radius > 0 for radius in options.radii):
            raise RecipeError(f"--radii must be finite numbers > 0, got {' '.join(map(str, options.radii))}")
        if len(set(options.radii)) < len(options.radii):
            raise RecipeError(f"--radii must differ, got {' '.join(map(str, options.radii))}")


def _dataset(run):
    return json.dumps(run.config["dataset"], sort_keys=True)


def _line(trial, warnings):
    parts = [f"clean {trial['clean']:g} %"]
    for norm, of_norm in trial["norms"].items():
        parts.append(f"PGD {of_norm['errors']['pgd'][-1]:g} % at {norm} {of_norm['radii'][-1]:g}")
    return ", ".join(parts) + (f"; warnings: {', '.join(warnings)}" if warnings else "; all checks pass")
