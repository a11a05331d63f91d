"""The laws of a plan: fractions of the way from its first epoch to its last; Eq. 5 of Marullo et al. (2022)."""

import importlib
import inspect
import math
import numbers
from collections.abc import Callable

from nft_keras._checks import suggest
from nft_keras._registry import Registry


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


LAWS = Registry("nft_keras.laws", Callable, {"quadratic": quadratic, "linear": linear, "cosine": cosine})


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


def find_law(name: str, allow_code: bool = False) -> Callable[[float], float]:
    """A law by its name, or the function that a dotted name is the path of.

    Args:
        name: "quadratic", "linear", "cosine", one that an installed package declares, or "package.module.function".
        allow_code: bool, whether a dotted name is imported, which runs whatever is in its module.

    Returns:
        The function of progress.

    Raises:
        ValueError: if there is no such law or function, it is no law (see `checked`), or may not be imported.
    """
    if name in LAWS:
        return checked(LAWS[name], name)
    module, _, function = name.rpartition(".")
    unknown = f"unknown law {name!r}; allowed: {', '.join(LAWS)} or the dotted name of a function"
    if not module.replace(".", "_").isidentifier() or not function.isidentifier():
        raise ValueError(f"{unknown}{suggest(name, LAWS)}")
    if not allow_code:
        raise ValueError(
            f"{name!r} is code to import, which is not done without --allow-code; laws of ours: {', '.join(LAWS)}"
        )
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # importing a module may raise anything
        raise ValueError(f"{unknown}; it cannot be imported: {type(error).__name__}: {error}") from error
    return checked(found, name)


def checked(law: Callable[[float], float], name: str = "law") -> Callable[[float], float]:
    """The function, if it is a law as far as can be seen at five points.

    Args:
        law: the function of progress in [0, 1].
        name: what the error calls it.

    Raises:
        ValueError: if it does not take one number, or does not stay in [0, 1].
    """
    try:
        inspect.signature(law).bind(0.0)
    except TypeError:
        raise ValueError(f"{name} must be a function of one argument, the progress, got {law!r}") from None
    except ValueError:  # some functions written in C do not say what they take
        pass
    for at in (0.0, 0.25, 0.5, 0.75, 1.0):
        try:
            value = law(at)
        except (Exception, SystemExit) as error:
            raise ValueError(f"{name} must take a progress in [0, 1], it raises {error!r} at {at}") from error
        if not isinstance(value, numbers.Real) or not 0 <= value <= 1:
            raise ValueError(f"{name} must stay in [0, 1], got {value!r} at progress {at}")
    return law
