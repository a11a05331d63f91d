"""The command line: `nft-keras VERB ...`, or `python -m nft_keras VERB ...`; each verb is a module here.

Such a module has `parser()`, an `argparse.ArgumentParser`, and `main(arguments=None)`, of the words after the verb
(default `sys.argv[1:]`), which returns the exit code: 0, or 2 for something wrong in what was typed or in files.
"""

import importlib
import importlib.metadata
import os
import sys

from nft_keras._checks import suggest

# {verb: what it does}, in the order in which they are needed.
VERBS = {
    "recipes": "list the shipped recipes",
    "run": "train what a recipe describes, and compare methods in a table",
    "sweep": "try combinations of settings, on any number of machines",
    "report": "set results beside the published ones, and keep them",
    "figures": "draw the figures of the paper from runs of yours",
    "attack": "attack trained classifiers by FGSM and PGD",
    "predict": "classify new data with a trained classifier",
    "evaluate": "say how good a classifier is on labelled data, class by class",
    "export": "write a classifier as Keras, SavedModel, LiteRT or ONNX",
    "data": "list and draw the data sets",
    "version": "print the version",
}
# What Ctrl-C leaves behind, where that is worth a word.
INTERRUPTED = {
    "run": "interrupted; the same command goes on after the last finished epoch",
    "sweep": "interrupted; the same command goes on",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a verb.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code: that of the verb; 2 for no verb, or one that there is not.
    """
    if "_ARGCOMPLETE" in os.environ:
        importlib.import_module("nft_keras.cli.completion").complete()
    verb, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if verb in ("-h", "--help"):
        print(usage())
        return 0
    if verb in ("version", "--version"):
        print(f"nft_keras {importlib.metadata.version('nft_keras')}")
        return 0
    if verb not in VERBS:
        what = f"{verb!r} is no verb of nft-keras{suggest(verb, VERBS)}; see nft-keras --help" if verb else usage()
        print(what, file=sys.stderr)
        return 2
    return importlib.import_module(f"nft_keras.cli.{verb}").main(rest)


def usage() -> str:
    """What --help prints."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {what}" for verb, what in VERBS.items())
    return (
        "usage: nft-keras VERB [OPTION ...]\n\n"
        "Neural Friendly Training for Keras 3: train, compare and deploy from recipes.\n\n"
        f"{verbs}\n\nnft-keras VERB --help says more. python -m nft_keras VERB is the same."
    )
