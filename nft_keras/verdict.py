"""What is to be said of altered data when the auxiliary network is dropped; without Keras, which reports do without."""

import math
from collections.abc import Iterable

# Of the variance of the data: with more than that still altered at the drop, the classifier meets other data.
MOST_LEFT = 0.1


def came_back(relative_perturbation: float) -> bool:
    """Whether altered data are nearly the real ones; NaN are not.

    Args:
        relative_perturbation: float, the mean squared change over the variance of the data.
    """
    return relative_perturbation <= MOST_LEFT


def mostly_harder(harder: int, epochs: int) -> bool:
    """Whether altered data were harder than real ones in most epochs.

    Args:
        harder, epochs: ints, in how many of how many.
    """
    return 2 * harder > epochs


def drop_warnings(relative_perturbation: float, reductions: Iterable[float]) -> list[str]:
    """What is to be known of a plan that is over.

    Args:
        relative_perturbation: float, of the last simplified epoch.
        reductions: floats, `loss_reduction` of the simplified epochs; NaN is unknown.

    Returns:
        list of str, a sentence each: none if the data came back and were easier.
    """
    lines = []
    if not came_back(relative_perturbation):
        lines.append(
            f"the perturbation is still {_share(relative_perturbation)} the variance of the data as the auxiliary "
            "network is dropped: the classifier now meets other data; try a residual auxiliary network, a larger "
            "learning rate of it, a larger eta_max, more epochs, or a larger network"
        )
    reductions = [reduction for reduction in reductions if not math.isnan(reduction)]
    harder = sum(reduction < 0 for reduction in reductions)
    if mostly_harder(harder, len(reductions)):
        lines.append(
            f"in {harder} of {len(reductions)} simplified epochs the classifier's loss was higher on altered data than "
            "on real data: they were not easier but strange"
        )
    return lines


def _share(of):
    if math.isnan(of):
        return "an unknown share of"
    return f"{of:.0%} of" if of < 10 else "more than ten times"
