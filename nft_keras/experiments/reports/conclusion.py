"""What a table of differences shows, in a sentence each: a difference, or how small a one these seeds would show."""

import math
import statistics

from nft_keras.experiments.methods import method_title

LEVEL, POWER = 0.05, 0.8
_TARGETS = (0.5, 1.0, 2.0, 5.0)  # points that more seeds would show
_MOST_SEEDS = 100
_MOST_SENTENCES = 3  # of more comparisons those are said that show a difference


def sentences(groups, controls=None):
    """What the test errors of a recipe's methods say beside CT's, a sentence for each; of more than three for those
    that show something.

    A difference counts where the paired t-test over seeds finds it at 5 %, divided by the number of comparisons
    (Bonferroni), or, where all seeds have the same difference, the sign test. Where it does not, the sentence says what
    difference these seeds would have shown: in four of five such experiments (a power of 80 %), if differences vary
    from seed to seed as they did. Of a method with less error than CT another says whether it has less than every
    control too, each at 5 %. Of differences that are not finite nothing is said.

    Args:
        groups: {(what tells it from others, method, title of CT): list of differences in points, one for each seed}.
        controls: {as in groups: {title of a control: list of differences to it}}; none where there is none.

    Returns:
        list of str.
    """
    groups = {group: of for group, of in groups.items() if all(map(math.isfinite, of))}
    level, controls = LEVEL / max(len(groups), 1), controls or {}

    def said(groups):
        for group, differences in groups.items():
            where, method, classic = group
            yield f"{where}{_sentence(method_title(method), classic, differences, level)}"
            if statistics.mean(differences) < 0 and _shows(differences, level) and controls.get(group):
                yield f"{where}{_beside(method_title(method), controls[group])}"

    if len(groups) < 2:
        return [*said(groups)]
    if max(map(len, groups.values())) < 2:
        return ["One seed shows nothing, give at least three."]
    counts = f"of {len(groups)} comparisons one counts from p < {level:.2g} on"
    if len(groups) <= _MOST_SENTENCES:
        return [*said(groups), f"{counts[0].upper()}{counts[1:]}."]
    shown = {group: of for group, of in groups.items() if _shows(of, level)}
    return [*said(shown), f"No {'other ' * bool(shown)}comparison shows a difference; {counts}."]


def _shows(differences, level):
    """Whether there is a difference: by the t-test, or, where all seeds have the same one, by the sign test."""
    constant = len(set(differences)) == 1 and differences[0] != 0
    return 2 * 0.5 ** len(differences) < level if constant else paired_p(differences) < level


def paired_p(differences):
    """The p of the paired t-test; 1 where there is nothing to test.

    Args:
        differences: list of floats, a difference for each pair.
    """
    from scipy.stats import ttest_1samp

    return ttest_1samp(differences, 0).pvalue if len(set(differences)) > 1 else 1.0


def _sentence(method, classic, differences, level):
    n, mean = len(differences), statistics.mean(differences)
    if n < 2:
        return f"{method} and {classic}: one seed shows nothing, give at least three."
    deviation = statistics.stdev(differences)
    has = f"{method} has {abs(mean):.2f} points {'less' if mean < 0 else 'more'} test error than {classic}"
    if not deviation:
        each = f"in each of {n} seeds"
        if not mean:
            return f"{method} and {classic} have the same test error {each}."
        return f"{has} {each}{'' if _shows(differences, level) else ', too few to show anything'}."
    if paired_p(differences) < level:
        return f"{has} ({n} seeds{_how_sure(differences)})."
    least = shown_by(n, deviation, level)
    more = next(((t, k) for t in _TARGETS if t < least and (k := seeds_for(t, deviation, level))), None)
    rest = f", {more[1]} seeds {more[0]:g}" if more else ""
    would = f"they would show {least:.2g} points{rest}"
    return f"{method} and {classic}: no difference that {n} seeds can show ({would})."


def _how_sure(differences):
    """What stands behind a difference: p, or that every seed has it."""
    if len(set(differences)) < 2:
        return " in each seed" if len(differences) > 1 else " with one seed"
    p = as_text(paired_p(differences))
    return f", p {p}" if p.startswith("<") else f", p = {p}"


def as_text(p):
    """A p, float, as it is printed."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _beside(method, controls):
    """A sentence on a method that is better than CT beside its controls, {title: differences}."""
    better, others = [], []
    for control, differences in controls.items():
        mean = statistics.mean(differences)
        of = better if mean < 0 and _shows(differences, LEVEL) else others
        of.append(f"{control} ({mean:+.2f} points{_how_sure(differences)})")
    if others:
        return f"{method} is not shown to be better than {' or '.join(others)}, which a gain has to beat."
    return f"{method} is better than {' and '.join(better)} too."


def shown_by(n, deviation, level=LEVEL):
    """The smallest difference that n pairs show in four of five experiments.

    Args:
        n: int >= 2, pairs.
        deviation: float > 0, standard deviation of the differences.
        level: float, of the two-sided paired t-test.
    """
    from scipy.optimize import brentq

    # In deviations; two pairs need many.
    return deviation * brentq(lambda effect: _power(n, effect, level) - POWER, 0, 1e4)


def seeds_for(difference, deviation, level=LEVEL):
    """How many pairs show a difference in four of five experiments; None for more than a hundred.

    Args:
        difference: float > 0.
        deviation, level: as for `shown_by`.
    """
    pairs = range(2, _MOST_SEEDS + 1)
    return next((n for n in pairs if _power(n, difference / deviation, level) >= POWER), None)


def _power(n, effect, level):
    """The probability that the paired t-test finds an effect (difference over deviation) in n pairs."""
    import numpy as np
    from scipy.stats import chi2, norm, t

    # The mean over what the sample's deviation may be; scipy's nct has no number for few pairs and large effects.
    deviations = np.sqrt(chi2.ppf((np.arange(2000) + 0.5) / 2000, n - 1) / (n - 1))
    least, shift = t.ppf(1 - level / 2, n - 1) * deviations, effect * np.sqrt(n)
    return float(np.mean(norm.sf(least - shift) + norm.cdf(-least - shift)))
