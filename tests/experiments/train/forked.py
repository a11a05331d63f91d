"""Runs of a recipe in processes of their own, forked from one that has done nothing but import what takes long."""

import multiprocessing
import os
import sys

from nft_keras.cli import run
from tests.small_trainings import ready_for_small_trainings

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload(["tensorflow", "nft_keras.experiments.train.trial", __name__])


def begin(recipe, out, *more, said=os.devnull, **environment):
    """A process that runs a recipe, and ends at the latest with the tests.

    Args:
        recipe, out: paths of the recipe and of its output folder.
        *more: str, further arguments of the command.
        said: path of a file for what it writes to stdout and stderr.
        **environment: variables.
    """
    arguments = [str(recipe), "--out", str(out), *more]
    process = _forkserver.Process(target=_train, args=(arguments, said, environment), daemon=True)
    process.start()
    return process


def _train(arguments, said, environment):
    os.environ.update(environment)
    with open(said, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    ready_for_small_trainings()
    sys.exit(run.main(arguments))
