"""python -m nft_keras.run RECIPE.yaml: the same as `nft-keras run RECIPE.yaml`."""

from nft_keras.cli import INTERRUPTED
from nft_keras.cli.options import exit_with
from nft_keras.cli.run import main

if __name__ == "__main__":
    exit_with(main, INTERRUPTED["run"])
