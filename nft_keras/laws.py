"""The laws of a plan: fractions of the way from its first epoch to its last; Eq. 5 of Marullo et al. (2022)."""

import importlib
import math
from collections.abc import Callable

from nft_keras._checks import suggest


def quadratic(progress: float) -> float:
    """Fraction of eta_max after `progress` of the developmental plan (Eq. 5 of Marullo et al. 2022).

    Args:
        progress: float in [0, 1], (gamma - 1) / (gamma_max_simp - 1).

    Returns:
        float in [0, 1], 1 - (1 - progress)^2.
    """
    return 1.0 - (1.0 - progress) ** 2


def linear(progress: float) -> float:
    """Fraction of eta_max after `progress` of the plan: progress itself (not in the paper)."""
    return progress


def cosine(progress: float) -> float:
    """Fraction of eta_max after `progress` of the plan: (1 - cos(pi progress)) / 2 (not in the paper)."""
    return (1.0 - math.cos(math.pi * progress)) / 2.0


LAWS = {"quadratic": quadratic, "linear": linear, "cosine": cosine}


def progress(gamma: int, simplification_epochs: int) -> float:
    """How far the plan is in epoch gamma: (gamma - 1) / (gamma_max_simp - 1), from 0 in the first epoch to 1.

    Args:
        gamma: int >= 1, the epoch.
        simplification_epochs: int, gamma_max_simp; with 1 or less the plan is over from the start.

    Returns:
        float in [0, 1].
    """
    if simplification_epochs <= 1:
        return 1.0
    return min((gamma - 1) / (simplification_epochs - 1), 1.0)


def find_law(name: str) -> Callable[[float], float]:
    """A law by its name, or the function that a dotted name is the path of.

    Args:
        name: "quadratic", "linear", "cosine", or "package.module.function".

    Returns:
        The function of progress.

    Raises:
        ValueError: if there is no such law or function.
    """
    if name in LAWS:
        return LAWS[name]
    module, _, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), function) if module else None
    except Exception:  # importing a module may raise anything
        found = None
    if not callable(found):
        allowed = f"{', '.join(LAWS)} or the dotted name of a function"
        raise ValueError(f"unknown law {name!r}; allowed: {allowed}{suggest(name, LAWS)}")
    return found
