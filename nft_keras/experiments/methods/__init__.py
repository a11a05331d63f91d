"""The training methods that recipes name: a module and a record each, in the order of tables and pictures.

A method of one's own is a record too, which an installed package declares as an entry point (docs/extend.md).
"""

from nft_keras._registry import Registry
from nft_keras.experiments.methods.ct import CT
from nft_keras.experiments.methods.eef import EEF
from nft_keras.experiments.methods.ft import FT
from nft_keras.experiments.methods.nft import NFT
from nft_keras.experiments.methods.record import Method, Style

METHODS = Registry("nft_keras.methods", Method, {"ct": CT, "eef": EEF, "ft": FT, "nft": NFT})

__all__ = ["METHODS", "Method", "Style", "method_title"]


def method_title(name):
    """A method as tables and pictures show it; one under a name of a recipe's own as it is written."""
    return METHODS[name].label or name.upper() if name in METHODS else name


def trial_title(trial):
    """A `Trial` as the screen and its warnings name it."""
    varied = f" {trial.variation}" if trial.varied else ""
    return f"{trial.classifier} {method_title(trial.method)}{varied} seed {trial.seed}"
