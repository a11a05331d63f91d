"""How robust trials' classifiers are to attacks, and whether the attacks can be trusted.

The checks are after Athalye et al. (2018) and Carlini et al. (2019): a network whose gradients lead nowhere looks
robust to attacks that follow them.
"""

import dataclasses
import math

import numpy as np
import scipy.sparse

from nft_keras import data
from nft_keras._text import say
from nft_keras.data import DataError
from nft_keras.data.io.fingerprint import differ, kind
from nft_keras.experiments.attack.attacks import AttackedClassifier, Ball, differences, fgsm, noise, pgd, random_search
from nft_keras.experiments.attack.norms import NORMS
from nft_keras.experiments.classifier_file import compute_in_float32, load_classifier
from nft_keras.experiments.recipe.fingerprints import of_data

ATTACKS = ("noise", "fgsm", "pgd")
# For images in [0, 1]; for vectors, in units of their standard deviation (times the root of their length for l2).
_IMAGE_RADII = {"linf": (0.005, 0.01, 0.02, 0.04, 0.08), "l2": (0.125, 0.25, 0.5, 1.0, 2.0)}
_VECTOR_RADII = (0.025, 0.05, 0.1, 0.2, 0.4)
_BATCH = 250
_DRAWS = 10
_QUERIES = 100
_DIRECTIONS = 3
_FEW = 100  # examples for random search and for the comparison with finite differences


@dataclasses.dataclass(frozen=True)
class Check:
    """What a trustworthy attack fulfils.

    Attributes:
        meaning: what the value is, in percent of examples or of errors.
        least, most: between which it passes.
    """

    meaning: str
    least: float = 0.0
    most: float = 100.0

    def passes(self, value):
        """Whether the value is between them."""
        return self.least <= value <= self.most


CHECKS = {
    "finite differences": Check(
        "pairs of example and direction where gradient and finite differences differ by over a tenth", most=10.0
    ),
    "zero gradients": Check("examples whose gradient is 0 everywhere, or not finite", most=1.0),
    "FGSM above PGD": Check("the most by which the error of FGSM exceeds PGD's at some radius", most=0.5),
    "noise above PGD": Check("the same for random noise", most=0.5),
    "noise above FGSM": Check("the same for random noise, of FGSM's, each with the smaller radii's", most=0.5),
    "search past PGD": Check(
        "examples, of a hundred, that PGD leaves at some radius and random search breaks", most=2.0
    ),
    "lost by a larger radius": Check("examples that PGD breaks, and does not at some larger radius", most=1.0),
    "unbounded PGD": Check("error by PGD at a radius that holds the whole data", least=99.0),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How classifiers are attacked.

    Attributes:
        norms: of "linf" and "l2".
        radii: floats > 0, ascending, or None for those of `default_radii`.
        steps, restarts: of PGD.
        examples: int, how many of the test part, the same for every trial on it.
        seed: int, of the choice of examples and of what the attacks draw.
    """

    norms: tuple = ("linf", "l2")
    radii: tuple | None = None
    steps: int = 40
    restarts: int = 2
    examples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples that the trials on a data set are attacked on.

    Attributes:
        x: float32 array (n, ...).
        y: int32 array (n,).
        box: (0, 1) for images with these values, else None.
        fingerprint: of the whole data set, see `nft_keras.data.io.fingerprint`; None: unknown.
    """

    x: np.ndarray
    y: np.ndarray
    box: tuple | None
    fingerprint: str | None = None

    def __len__(self):
        return len(self.y)

    @property
    def spread(self):
        """The standard deviation of an element over the examples, the mean of all elements'."""
        return float(self.x.std(0).mean()) or float(self.x.std()) or 1.0

    def default_radii(self, norm):
        """Radii that mean something for these examples, in ascending order, two digits each."""
        if self.box:
            return _IMAGE_RADII[norm]
        size = self.spread * (math.sqrt(self.x[0].size) if norm == "l2" else 1.0)
        return tuple(float(f"{factor * size:.2g}") for factor in _VECTOR_RADII)

    def whole(self, norm):
        """The radius of a ball that holds all of the data wherever in them it is."""
        ranges = np.ptp(self.x, axis=0) if self.box is None else np.ones(self.x.shape[1:])
        return float(ranges.max() if norm == "linf" else np.sqrt((ranges**2).sum()))


def examples(dataset, settings):
    """Those of a data set's test part that `Settings` choose.

    Args:
        dataset: the "dataset" of a trial's config.yaml, with `data_dir`.
        settings: `Settings`.

    Returns:
        `Examples`.

    Raises:
        DataError: if the data set cannot be loaded.
    """
    loaded = data.load(**dataset)
    if loaded.task != "classification":
        raise DataError(f"{loaded.provenance}: attacks are on classifiers of one class, and this is for {loaded.task}")
    test = loaded.test
    if settings.examples < len(test):
        rows = np.random.default_rng(settings.seed).choice(len(test), settings.examples, replace=False)
        test = test[np.sort(rows)]
    x = data.scaled(test.x.toarray() if scipy.sparse.issparse(test.x) else test.x)
    is_image = x.ndim == 4 and x.min() >= 0 and x.max() <= 1
    return Examples(x, test.y, (0.0, 1.0) if is_image else None, of_data(dataset, loaded))


def attack_trial(run, examples, settings):
    """Attacks the classifier of a finished trial, in float32 whatever the precision it was trained in.

    Args:
        run: `nft_keras.experiments.runs.Run`.
        examples: `Examples` of the trial's data set.
        settings: `Settings`.

    Returns:
        What `measure` returns, after folder, recipe, dataset, classifier, method, seed, provenance, and varied if the
        recipe varies a setting, is as in result.json.

    Raises:
        ExportError: if there is no classifier, or it is damaged.
        DataError: if the examples do not fit it, or are not those of its data set as it was trained.
    """
    there, now = run.config.get("fingerprint"), examples.fingerprint
    if differ(there, now):
        was = f"{run.folder} holds a trial on other data, which have changed (fingerprint: {there} there, {now} now)"
        if kind(now) != "size-and-time":
            raise DataError(f"{was}; train it again")
        say(f"{was}, or were copied: so large ones are known by the sizes and times of files alone")
    classifier = load_classifier(run.folder)
    if classifier.input_shape[1:] != examples.x.shape[1:]:
        shapes = f"takes {classifier.input_shape[1:]}, its test examples are {examples.x.shape[1:]}"
        raise DataError(f"{run.folder / 'classifier.keras'} {shapes}")
    compute_in_float32(classifier)
    names = ("dataset", "varied", "classifier", "method", "is", "seed", "provenance")
    trial = {name: run.result[name] for name in names if name in run.result}
    return {
        "folder": str(run.folder),
        "recipe": run.config["name"],
        **trial,
        **measure(AttackedClassifier(classifier), examples, settings),
    }


def measure(target, examples, settings):
    """The error of a classifier under attack, and the checks.

    Args:
        target: `nft_keras.experiments.attack.attacks.AttackedClassifier`.
        examples: `Examples`.
        settings: `Settings`.

    Returns:
        examples: their number.
        clean: error in percent on unaltered examples.
        norms: {norm: {"radii": list, "errors": {attack of `ATTACKS`: list}, "raw": {attack: list}}}, errors in percent
            per radius. An example that a smaller radius broke counts as broken; in "raw" it does not.
        checks: list of {"check": a key of `CHECKS`, "norm": None where it does not matter, "value", "passed"}.
    """
    x, y = examples.x, examples.y
    wrong = np.concatenate([target.loss(x[part], y[part])[1] for part in _batches(len(y))])
    right = np.flatnonzero(~wrong)
    values = [(name, None, value) for name, value in _of_gradient(target, examples, right, settings.seed).items()]
    norms = {}
    for norm in settings.norms:
        radii = settings.radii or examples.default_radii(norm)
        raw, of_norm = _under_attack(target, examples, right, [Ball(norm, r, examples.box) for r in radii], settings)
        union = {attack: np.logical_or.accumulate(broken) for attack, broken in raw.items()}
        norms[norm] = {"radii": list(radii), "errors": _percents(union), "raw": _percents(raw)}
        of_norm |= {
            "FGSM above PGD": _above(norms[norm]["raw"], "fgsm", "pgd"),
            "noise above PGD": _above(norms[norm]["raw"], "noise", "pgd"),
            "noise above FGSM": _above(norms[norm]["errors"], "noise", "fgsm"),
            "lost by a larger radius": _percent((union["pgd"] & ~raw["pgd"]).any(0)),
        }
        values += [(name, norm, of_norm[name]) for name in CHECKS if name in of_norm]
    checks = [
        {"check": name, "norm": norm, "value": round(value, 4), "passed": CHECKS[name].passes(value)}
        for name, norm, value in values
    ]
    return {"examples": len(y), "clean": _percent(wrong), "norms": norms, "checks": checks}


def warnings(trial, norm=None):
    """The names of the checks that a trial fails, of those in a norm and those without one (None: all).

    Args:
        trial: what `measure` returns.
        norm: str or None.
    """
    return [
        check["check"]
        for check in trial["checks"]
        if not check["passed"] and (norm is None or check["norm"] in (None, norm))
    ]


def _under_attack(target, examples, right, balls, settings):
    """{attack: bool array (radii, n), which examples it breaks}, and the checks that take attacks of their own.

    Those that the classifier gets wrong as they are count as broken; `right` are the rows of the others.
    """
    wrong = np.ones(len(examples), bool)
    wrong[right] = False
    broken = {attack: np.tile(wrong, (len(balls), 1)) for attack in ATTACKS}
    n, past = min(_FEW, len(examples)), [0.0]
    of_pgd = {"steps": settings.steps, "restarts": settings.restarts}
    of_norm = [settings.seed, list(NORMS).index(balls[0].norm)]
    for i, ball in enumerate(balls):
        rng = np.random.default_rng([*of_norm, i])
        for rows in (right[part] for part in _batches(len(right))):
            x, y = examples.x[rows], examples.y[rows]
            broken["noise"][i, rows] = noise(target, x, y, ball, _DRAWS, rng)[0]
            broken["fgsm"][i, rows] = fgsm(target, x, y, ball)[0]
            broken["pgd"][i, rows] = pgd(target, x, y, ball, **of_pgd, rng=rng)[0]
        left = np.flatnonzero(~broken["pgd"][i, :n])
        if len(left):
            found = random_search(target, examples.x[left], examples.y[left], ball, _QUERIES, rng)[0]
            past.append(100 * int(found.sum()) / n)
    whole, rng = dataclasses.replace(balls[0], radius=examples.whole(balls[0].norm)), np.random.default_rng(of_norm)
    for rows in (right[part] for part in _batches(len(right))):
        wrong[rows] = pgd(target, examples.x[rows], examples.y[rows], whole, **of_pgd, rng=rng)[0]
    return broken, {"search past PGD": max(past), "unbounded PGD": _percent(wrong)}


def _of_gradient(target, examples, right, seed):
    """The checks of the gradient itself, on examples that the classifier gets right."""
    if not len(right):
        return {"finite differences": 0.0, "zero gradients": 0.0}
    x, y = examples.x[right], examples.y[right]
    zero = [~target.gradient(x[part], y[part])[0].reshape(len(y[part]), -1).any(1) for part in _batches(len(y))]
    rng, h = np.random.default_rng(seed), 0.003 * examples.spread
    apart = differences(target, x[:_FEW], y[:_FEW], h, _DIRECTIONS, rng) > 0.1
    return {"finite differences": _percent(apart), "zero gradients": _percent(np.concatenate(zero))}


def _batches(n):
    return [slice(start, start + _BATCH) for start in range(0, n, _BATCH)]


def _percent(flags):
    return round(100 * float(np.mean(flags)), 4)


def _percents(broken):
    """{attack: error in percent per radius}."""
    return {attack: [_percent(at_radius) for at_radius in flags] for attack, flags in broken.items()}


def _above(errors, attack, other):
    """The most by which one attack's error exceeds another's at the same radius, 0 if it never does."""
    return max(0.0, *(a - b for a, b in zip(errors[attack], errors[other], strict=True)))
