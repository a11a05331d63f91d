"""What TAB completes on a command line, by argcomplete; docs/commands.md says how a shell comes to ask for it."""

import argparse
import importlib
import os

from nft_keras import cli


def complete():
    """Writes what may stand where TAB was pressed, as argcomplete's environment says, and ends the program."""
    import argcomplete

    words = os.environ["COMP_LINE"].split()
    parser = argparse.ArgumentParser(prog="nft-keras")
    verbs = parser.add_subparsers()
    for verb, what in cli.VERBS.items():
        # Only what is needed is imported, since somebody waits.
        known = verb in words and verb != "version"
        parents = [importlib.import_module(f"nft_keras.cli.{verb}").parser()] if known else []
        verbs.add_parser(verb, help=what, parents=parents, add_help=not parents)
    argcomplete.autocomplete(parser)
