"""Neural Friendly Training for Keras 3: a second network makes the data easier first (Marullo et al., AAAI 2022)."""

import importlib
import sys

_HOME = {
    "FriendlyModel": "nft_keras.model",
    "DevelopmentalPlan": "nft_keras.plan",
    "FriendlyTraining": "nft_keras.baselines",
    "PerturbationPlan": "nft_keras.plan",
    "EasyExamplesFirst": "nft_keras.baselines",
    "EasyExamplesPlan": "nft_keras.baselines",
    "SimplifyingModel": "nft_keras._simplifying",
    "Plan": "nft_keras.plan",
}
__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'nft_keras' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


# Keras loads a saved model only when its class is registered, hence imported. `python -m nft_keras.run` also passes
# here, on its way to the module (sys.argv[0] is then "-m"), and must answer --help before TensorFlow is up.
if sys.argv[:1] != ["-m"]:
    globals().update({name: __getattr__(name) for name in __all__})
