"""What to lower after a loss that is not a number: the size that stands out behind what was not finite first."""

import math

import numpy as np

from nft_keras.experiments.recipe.settings import OptimizerSettings

# Above these nobody trains; what is beyond one of them by the largest factor is the culprit.
_USUAL = {"learning_rate": 0.1, "weight_decay": 0.1, "eta_max": 1e5, "step": 100.0, "class_weight": 1e3, "data": 1e4}
_USUAL_OF_SGD = 1.0  # a learning rate


def too_large(trial, logs, dataset=None):
    """The settings to lower, a text.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        logs: of the epoch in which a loss was not finite.
        dataset: the `nft_keras.data.Dataset`, None where it is not known.

    Returns:
        The key of the setting that stands out, with its value; the learning rates (or FT's step) where none does: those
        of the auxiliary network if it was the first that was not finite, of the classifier if it was that, of both
        where that cannot be told.
    """
    sizes = _sizes(trial, dataset)
    own = [key for key in sizes if key.startswith("methods.")]
    first = [key for key in sizes if key not in own]
    if not all(math.isfinite(logs.get(name, 0.0)) for name in ("auxiliary_loss", "perturbation")):
        # An epoch for theta comes before one for w; where both are updated by turns either may have been the first.
        first = own if own and getattr(trial.method_settings, "phases", None) == "epoch" else list(sizes)
    for keys in (first, sizes):
        largest = max(keys, key=lambda key: sizes[key][1])
        if sizes[largest][1] > 1:
            return f"{largest}, {sizes[largest][0]:g}"
    return " or ".join(key for key in first if key.endswith(("learning_rate", "step")))


def _sizes(trial, dataset):
    """{key: (value, how many times what is usual)} of whatever can be too large."""
    found = {}
    method, settings = f"methods.{trial.method}", trial.method_settings
    for where, of in (("training", trial.training), *((f"{method}.{name}", of) for name, of in vars(settings).items())):
        if isinstance(of, OptimizerSettings):
            usual = _USUAL_OF_SGD if of.optimizer == "sgd" else _USUAL["learning_rate"]
            found[f"{where}.learning_rate"] = of.learning_rate, of.learning_rate / usual
            found[f"{where}.weight_decay"] = of.weight_decay, of.weight_decay / _USUAL["weight_decay"]
    others = {f"{method}.plan.eta_max": getattr(settings.plan, "eta_max", None)}
    others[f"{method}.step"] = getattr(settings, "step", None)
    if isinstance(trial.training.class_weight, dict):
        others["training.class_weight"] = max(trial.training.class_weight.values(), default=0.0)
    if dataset is not None and dataset.train.x.dtype != np.uint8:
        others["the largest value of the data"] = float(abs(dataset.train.x).max())
    for key, value in others.items():
        if isinstance(value, int | float):
            found[key] = value, value / _USUAL["data" if " " in key else key.rpartition(".")[2]]
    return found
