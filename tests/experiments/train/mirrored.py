"""A program: trains a recipe on two logical CPU devices, in one go, and broken off and taken up again.

With JAX run it with XLA_FLAGS=--xla_force_host_platform_device_count=2.
"""

import sys
import warnings
from pathlib import Path

from nft_keras import data
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import distribution as distribute
from nft_keras.experiments.train.ready import ready_backend
from tests.backend.two_replicas import number_of_devices, two_devices
from tests.experiments.train.broken_off import whole_and_broken
from tests.small_trainings import ready_for_small_trainings


def main(recipe, folder):
    """Trains into `folder / "whole"` without a break, and into `folder / "broken"` with one."""
    two_devices()
    for trial in load_recipe(recipe, ["distribute=mirrored"]):
        ready_backend([trial])
        whole_and_broken(trial, data.load(**trial.dataset), Path(folder))
    print(number_of_devices(distribute.strategy("mirrored")))


if __name__ == "__main__":
    ready_for_small_trainings()
    warnings.filterwarnings("error", "Your input ran out of data")  # of a step without data, after the last minibatch
    main(*sys.argv[1:])
