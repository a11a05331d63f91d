"""Neural Friendly Training for Keras 3: a second network makes the data easier first (Marullo et al., AAAI 2022)."""

import importlib
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nft_keras import callbacks as callbacks
    from nft_keras import experiments as experiments
    from nft_keras.auxiliaries import mlp as mlp
    from nft_keras.auxiliaries import unet as unet
    from nft_keras.base import Plan as Plan
    from nft_keras.base import SimplifyingModel as SimplifyingModel
    from nft_keras.comparison import compare as compare
    from nft_keras.eef import EasyExamplesFirst as EasyExamplesFirst
    from nft_keras.eef import EasyExamplesPlan as EasyExamplesPlan
    from nft_keras.ft import FriendlyTraining as FriendlyTraining
    from nft_keras.ft import PerturbationPlan as PerturbationPlan
    from nft_keras.nft import DevelopmentalPlan as DevelopmentalPlan
    from nft_keras.nft import FriendlyModel as FriendlyModel

    __version__: str

_HOME = {
    "FriendlyModel": "nft_keras.nft",
    "DevelopmentalPlan": "nft_keras.nft",
    "FriendlyTraining": "nft_keras.ft",
    "PerturbationPlan": "nft_keras.ft",
    "EasyExamplesFirst": "nft_keras.eef",
    "EasyExamplesPlan": "nft_keras.eef",
    "SimplifyingModel": "nft_keras.base",
    "Plan": "nft_keras.base",
    "compare": "nft_keras.comparison",
    "unet": "nft_keras.auxiliaries",
    "mlp": "nft_keras.auxiliaries",
}
_PACKAGES = ("callbacks", "experiments")
__all__ = [*_HOME, *_PACKAGES, "__version__"]


def __getattr__(name):
    if name == "__version__":
        try:
            return importlib.metadata.version("nft_keras")
        except importlib.metadata.PackageNotFoundError:  # it lies in the path and was not installed
            return "unknown"
    if name in _PACKAGES:
        return importlib.import_module(f"nft_keras.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'nft_keras' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__():
    return sorted(__all__)


def _is_our_command(started):
    """Whether Python was started (`sys.orig_argv`) with a command of this package.

    Such a command passes here on its way to its module, and must answer --help before TensorFlow is up. Everybody else
    may load a saved model, for which Keras wants its class registered, hence imported.
    """
    module = started[started.index("-m") + 1] if "-m" in started[:-1] else ""
    return module.partition(".")[0] == "nft_keras" or any(Path(word).stem == "nft-keras" for word in started[1:2])


if not _is_our_command(sys.orig_argv):
    for _name in _HOME:
        __getattr__(_name)
