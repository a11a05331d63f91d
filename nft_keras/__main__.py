"""python -m nft_keras VERB ...; the console script nft-keras is the same."""

# PYTHON_ARGCOMPLETE_OK

import sys

from nft_keras import cli
from nft_keras.cli.options import exit_with


def main():
    """Runs the command line and ends the program with its exit code."""
    exit_with(cli.main, cli.INTERRUPTED.get("".join(sys.argv[1:2]), "interrupted"))


if __name__ == "__main__":
    main()
