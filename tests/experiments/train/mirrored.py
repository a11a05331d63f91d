"""A program: trains a recipe on two logical CPU devices, in one go, and broken off and taken up again."""

import sys
from pathlib import Path

import tensorflow as tf

from nft_keras import data
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import distribution as distribute
from nft_keras.experiments.train.trial import run_trial


def main(recipe, whole, broken):
    """Trains into `whole` without a break, and into `broken` with one."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for trial in load_recipe(recipe, ["distribute=mirrored"]):
        dataset = data.load(**trial.dataset)
        run_trial(trial, dataset, Path(whole), lambda logs: None)

        def broken_off(logs):
            if logs["epoch"] == 3:
                raise KeyboardInterrupt

        try:
            run_trial(trial, dataset, Path(broken), broken_off)
        except KeyboardInterrupt:
            run_trial(trial, dataset, Path(broken), lambda logs: None)
    print(distribute.strategy("mirrored").num_replicas_in_sync)


if __name__ == "__main__":
    main(*sys.argv[1:])
