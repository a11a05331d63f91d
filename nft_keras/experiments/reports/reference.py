"""The reference beside a recipe's table: a linear model on the features that the networks see, for each data set."""

import json
import time
import warnings
from pathlib import Path

from nft_keras.experiments.files import write_json
from nft_keras.experiments.recipe.settings import as_plain

FILE = "reference.json"
STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
# What it may cost: a minute or so, where training takes minutes to months.
MOST_VALUES = 60_000_000
MOST_ITERATIONS = 1000
MOST_PRODUCTS = 2e10


class References:
    """The references of a recipe, kept in its folder as reference.json: they are not computed again.

    Args:
        folder: `pathlib.Path` of the recipe's results.
        trials: those whose data sets the report is on.
        again: trials whose references, if there are, are discarded.

    Attributes:
        entries: list of dict, what `logistic_regression` returns, with `dataset`, the settings, and `varied`,
            "key=value" if the recipe varies one of them, else "".
    """

    def __init__(self, folder, trials, again=()):
        self.path = Path(folder, FILE)
        wanted = [as_plain(trial.dataset) for trial in trials]
        discarded = [as_plain(trial.dataset) for trial in again]
        kept = read(folder)
        self.entries = [e for e in kept if e["dataset"] in wanted and e["dataset"] not in discarded]

    def missing(self, trials):
        """The first of the trials on each data set without a reference."""
        there, found = [entry["dataset"] for entry in self.entries], []
        for trial in trials:
            if as_plain(trial.dataset) not in there:
                there.append(as_plain(trial.dataset))
                found.append(trial)
        return found

    def add(self, trial, dataset):
        """Computes the reference of a trial's data set, unless it is there, and writes the file.

        Args:
            trial: `nft_keras.experiments.recipe.trial.Trial`.
            dataset: the `nft_keras.data.Dataset` that it names.
        """
        if self.missing([trial]):
            varied = trial.variation if trial.varied and trial.varied[0].startswith("dataset.") else ""
            entry = {"varied": varied, "dataset": as_plain(trial.dataset), **logistic_regression(dataset)}
            self.entries.append(entry)
            write_json(self.path, self.entries)


def read(folder):
    """The entries of a folder's reference.json; none if there is no such file, or it is damaged."""
    try:
        return json.loads(Path(folder, FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def logistic_regression(dataset):
    """scikit-learn's `LogisticRegression` on a data set, its C chosen by validation error (of equals the smaller).

    Images are flattened and scaled to [0, 1], as the networks see them; nothing is standardized.

    Args:
        dataset: `nft_keras.data.Dataset`.

    Returns:
        dict: test_error and valid_error in percent, C, converged (whether its training did), seconds; or skipped, the
        reason, for more than `MOST_VALUES` values in the training part.
    """
    # One thread: several that wait for each other on busy cores took seventy times as long.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    began = time.monotonic()
    size = getattr(dataset.train.x, "nnz", dataset.train.x.size)
    if size > MOST_VALUES:
        return {"skipped": f"more than {MOST_VALUES // 10**6} million values"}
    outputs = dataset.num_classes if dataset.num_classes > 2 else 1
    iterations = int(min(MOST_ITERATIONS, MOST_PRODUCTS / (size * outputs)))
    model = LogisticRegression(max_iter=iterations, warm_start=True)
    train, valid, test = (_features(part.x) for part in (dataset.train, dataset.valid, dataset.test))
    best = None
    with threadpool_limits(1):
        for strength in STRENGTHS:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                model.set_params(C=strength).fit(train, dataset.train.y, dataset.train.weights)
            valid_error = _error(model, valid, dataset.valid.y)
            if best is None or valid_error < best["valid_error"]:
                converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in told)
                errors = {"test_error": _error(model, test, dataset.test.y), "valid_error": valid_error}
                best = {**errors, "C": strength, "converged": converged}
    return {**best, "seconds": round(time.monotonic() - began, 1)}


def line(entry):
    """A reference in one line.

    Args:
        entry: of `References.entries`.
    """
    where = f"Reference{', ' * bool(entry['varied'])}{entry['varied']}: logistic regression (scikit-learn)"
    if "skipped" in entry:
        return f"{where}: skipped, {entry['skipped']}."
    errors = f"test error {entry['test_error']:.2f} %, validation error {entry['valid_error']:.2f} %"
    how = "" if entry["converged"] else " (not converged)"
    return f"{where} on the same features: {errors}, C = {entry['C']:g}{how}, {entry['seconds']:.1f} s."


def _features(x):
    """The examples as rows of float64: in float32 the smallest C stop early, the intercept still 0."""
    import numpy as np
    import scipy.sparse

    if scipy.sparse.issparse(x):
        return x.astype("float64")
    rows = x.reshape(len(x), -1).astype("float64")
    return rows / 255.0 if x.dtype == np.uint8 else rows


def _error(model, x, y):
    """Errors in percent."""
    return round(100 * float((model.predict(x) != y).mean()), 4)
