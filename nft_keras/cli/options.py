"""What the command lines of the package have in common: options, and how they end."""

import argparse
import glob
import os
import sys
from pathlib import Path

from nft_keras._checks import shown, suggest
from nft_keras._registry import RegistrationError
from nft_keras._text import say, visible
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.files import OutputError
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.shipped import shipped_names

# Bytes of a name and of a path, on Linux and others.
_LONGEST_PART, _LONGEST_PATH = 255, 4096


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that says what is wrong in one line, and what may have been meant."""

    def error(self, message):
        """Ends the program with exit code 2."""
        known = [name for action in self._actions for name in action.option_strings]
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0]
        meant = suggest(unknown, known) if unknown.startswith("--") else ""
        self.exit(2, f"{visible(f'{self.prog}: {message}{meant}; see {self.prog} --help')}\n")


def add_data_dir(parser):
    """Adds the option --data-dir."""
    text = "where data sets are or go (default $NFT_DATA_DIR, else nft_keras in the user's cache)"
    parser.add_argument("--data-dir", type=path_out, help=text)


def add_recipe(parser, help, **how):
    """Adds the argument RECIPE.yaml.

    Args:
        parser: `argparse.ArgumentParser`.
        help, **how: as of `add_argument`.
    """
    recipe = parser.add_argument("recipe", type=path_in, metavar="RECIPE.yaml", help=help, **how)
    recipe.completer = lambda prefix, **_: [*shipped_names(), *glob.glob(f"{glob.escape(prefix)}*.yaml")]


def add_recipe_options(parser, seen=""):
    """Adds the options of every command that trains what a recipe describes.

    Args:
        parser: `argparse.ArgumentParser`.
        seen: str, who has to see the output folder.
    """
    add_data_dir(parser)
    parser.add_argument("--out", type=path_out, default=Path("runs"), help=f"output folder{seen} (default runs/)")
    methods = parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these of the recipe's methods")
    methods.completer = lambda **_: list(METHODS)
    classifiers = "only these of the recipe's classifiers"
    names = parser.add_argument("--classifiers", nargs="+", metavar="NAME", help=classifiers)
    names.completer = lambda **_: list(CLASSIFIERS)
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", action="extend", help="e.g. training.epochs=3"
    )
    parser.add_argument(
        "--allow-code", action="store_true", help="import the function that a law names by its dotted name, and run it"
    )


def path_in(text):
    """The `type` of an option that is a path to read from, a `pathlib.Path`."""
    parts = [os.fsencode(part) for part in Path(text).parts]
    if "\0" in text or max(map(len, parts), default=0) > _LONGEST_PART or len(b"/".join(parts)) > _LONGEST_PATH:
        what = "too long, or with a zero byte"
        raise argparse.ArgumentTypeError(f"no file or folder can be called {shown(text)}: {what}")
    return Path(text)


def path_out(text):
    """The `type` of an option that is a path to write to: UTF-8, since TensorFlow and reports take nothing else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"should be UTF-8, got {shown(text)}") from None
    return path_in(text)


def positive(text):
    """The `type` of an option that is a whole number >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number >= 1, got {text!r}")
    return int(text)


def run_command(errors, function, *arguments):
    """Calls a function. Prints user errors as one line; exit code 2.

    Args:
        errors: exception class or a tuple of them, whose messages are that line; those of a `RegistrationError` and an
            `OutputError` always are.
        function, *arguments: what to call.

    Returns:
        The exit code: what the function returns, 0 for None, or 2 after such an error.
    """
    try:
        return function(*arguments) or 0
    except Exception as error:
        if not isinstance(error, (errors, RegistrationError, OutputError)):
            raise
        say(str(error))
        return 2


def exit_with(main, interrupted="interrupted"):
    """Runs a `main()` that returns an exit code, and ends the program with it; Ctrl-C ends it at once with 130.

    Args:
        main: function without arguments.
        interrupted: what to say on stderr after Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # TensorFlow's threads do not wait to be joined
    except BrokenPipeError:
        os._exit(1)
