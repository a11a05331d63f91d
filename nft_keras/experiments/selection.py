"""Which of several epochs, or of several trials, is the best: the one rule, on the validation part."""

import math
from collections.abc import Mapping
from typing import Any

# {what a recipe's `selection_metric` may be: what tables call it}.
METRICS = {
    "error": "validation error (%)",
    "balanced_error": "balanced validation error (%)",
    "loss": "validation loss",
}


def rank(metric: str, values: Mapping[str, Any], prefix: str = "valid_") -> tuple[float, float]:
    """A key to sort by, the best first: the metric, of equal ones the loss (of equal losses the error).

    Errors are compared to four decimals and losses to six digits, so that what arithmetic adds to a number decides
    nothing.

    Args:
        metric: a key of `METRICS`.
        values: numbers by name, `prefix` + "error" and so on; what is missing, as the loss of an earlier version's
            trial, is the worst.
        prefix: "valid_" as in histories and results, or "val_" as in Keras' logs.
    """
    second = "error" if metric == "loss" else "loss"
    return tuple(rounded(name, values.get(prefix + name, math.inf)) for name in (metric, second))


def rounded(name: str, value: float) -> float:
    """A number as it is compared: a loss to six digits, an error to four decimals."""
    value = float(value)
    return float(f"{value:.6g}") if name == "loss" else round(value, 4)
