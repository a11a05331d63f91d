"""A program: trains a recipe on two logical CPU devices, in one go, and broken off and taken up again.

With JAX run it with XLA_FLAGS=--xla_force_host_platform_device_count=2.
"""

import sys
from pathlib import Path

from nft_keras import data
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import distribution as distribute
from nft_keras.experiments.train.ready import ready_backend
from nft_keras.experiments.train.trial import run_trial
from tests.backend.two_replicas import number_of_devices, two_devices


def main(recipe, whole, broken):
    """Trains into `whole` without a break, and into `broken` with one."""
    two_devices()
    for trial in load_recipe(recipe, ["distribute=mirrored"]):
        ready_backend([trial])
        dataset = data.load(**trial.dataset)
        run_trial(trial, dataset, Path(whole), lambda logs: None)

        def broken_off(logs):
            if logs["epoch"] == 3:
                raise KeyboardInterrupt

        try:
            run_trial(trial, dataset, Path(broken), broken_off)
        except KeyboardInterrupt:
            run_trial(trial, dataset, Path(broken), lambda logs: None)
    print(number_of_devices(distribute.strategy("mirrored")))


if __name__ == "__main__":
    main(*sys.argv[1:])
