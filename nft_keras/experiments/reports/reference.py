"""The reference beside a recipe's table: a linear model on the features that the networks see, for each data set."""

import json
import time
import warnings
from pathlib import Path

from nft_keras._registry import imported
from nft_keras.data import scaled
from nft_keras.experiments.files import write_json
from nft_keras.experiments.recipe.settings import as_plain
from nft_keras.experiments.tasks import TASKS

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
        entries: list of dict, what `linear_model` returns, with `dataset`, the settings, and `varied`,
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
            entry = {"varied": varied, "dataset": as_plain(trial.dataset), **linear_model(dataset)}
            self.entries.append(entry)
            write_json(self.path, self.entries)


def read(folder):
    """The entries of a folder's reference.json; none if there is no such file, or it is damaged."""
    try:
        return json.loads(Path(folder, FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def linear_model(dataset):
    """The reference on a data set, by its task; see `logistic_regression`; of other tasks with model, what it is."""
    path = TASKS[dataset.task].reference
    named = {} if dataset.task == "classification" else {"model": path.partition(":")[2].replace("_", " ")}
    return {**named, **imported(path)(dataset)}


def logistic_regression(dataset):
    """scikit-learn's `LogisticRegression` on a data set, its C chosen by validation error (of equals the smaller).

    Images are flattened and scaled to [0, 1], as the networks see them; nothing is standardized.

    Args:
        dataset: `nft_keras.data.Dataset`.

    Returns:
        dict: test_error and valid_error in percent, C, converged (whether its training did), seconds; or skipped, the
        reason, for more than `MOST_VALUES` values in the training part.
    """
    from sklearn.linear_model import LogisticRegression

    outputs = dataset.num_classes if dataset.num_classes > 2 else 1
    model = LogisticRegression(max_iter=_iterations(dataset, outputs), warm_start=True)

    def fit(strength, *examples):
        return model.set_params(C=strength).fit(*examples).predict

    return _chosen(dataset, fit, lambda predicted, y: predicted != y)


def logistic_regressions(dataset):
    """As `logistic_regression`, one for each of several labels, all with the same C."""
    import numpy as np
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    iterations = _iterations(dataset, dataset.num_classes)

    def fit(strength, x, y, weights):
        # A label that all or none of the training part have is no task for it.
        models = [
            LogisticRegression(C=strength, max_iter=iterations) if np.ptp(of_label) else DummyClassifier()
            for of_label in y.T
        ]
        models = [model.fit(x, of_label, weights) for model, of_label in zip(models, y.T, strict=True)]
        return lambda x: np.stack([model.predict(x) for model in models], axis=1)

    return _chosen(dataset, fit, lambda predicted, y: predicted != y)


def ridge_regression(dataset):
    """As `logistic_regression`, scikit-learn's `Ridge` with alpha = 1 / C on a quantity."""
    from sklearn.linear_model import Ridge

    def fit(strength, x, y, weights):
        model = Ridge(1 / strength).fit(x, y[:, 0], weights)
        return lambda x: model.predict(x)[:, None]

    return _chosen(dataset, fit, lambda predicted, y: (predicted - y) ** 2)


def _iterations(dataset, outputs):
    return int(min(MOST_ITERATIONS, MOST_PRODUCTS / (_size(dataset) * outputs)))


def _size(dataset):
    return getattr(dataset.train.x, "nnz", dataset.train.x.size)


def _chosen(dataset, fit, wrong):
    """The best of the `STRENGTHS`, as `logistic_regression` returns it.

    Args:
        dataset: `nft_keras.data.Dataset`.
        fit: function of (strength, x, y, weights) that returns one from x to predictions.
        wrong: function of (predictions, y), the errors as an array.
    """
    # One thread: several that wait for each other on busy cores took seventy times as long.
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    began = time.monotonic()
    if _size(dataset) > MOST_VALUES:
        return {"skipped": f"more than {MOST_VALUES // 10**6} million values"}
    train, valid, test = ((_features(part.x), part.y) for part in (dataset.train, dataset.valid, dataset.test))
    best = None
    with threadpool_limits(1):
        for strength in STRENGTHS:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                predict = fit(strength, *train, dataset.train.weights)
            test_error, valid_error = (round(100 * float(wrong(predict(x), y).mean()), 4) for x, y in (test, valid))
            if best is None or valid_error < best["valid_error"]:
                converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in told)
                errors = {"test_error": test_error, "valid_error": valid_error}
                best = {**errors, "C": strength, "converged": converged}
    return {**best, "seconds": round(time.monotonic() - began, 1)}


def line(entry):
    """A reference in one line.

    Args:
        entry: of `References.entries`.
    """
    model = entry.get("model", "logistic regression")
    where = f"Reference{', ' * bool(entry['varied'])}{entry['varied']}: {model} (scikit-learn)"
    if "skipped" in entry:
        return f"{where}: skipped, {entry['skipped']}."
    errors = f"test error {entry['test_error']:.2f} %, validation error {entry['valid_error']:.2f} %"
    how = "" if entry["converged"] else " (not converged)"
    strength = f"alpha = {1 / entry['C']:g}" if model == "ridge regression" else f"C = {entry['C']:g}"
    return f"{where} on the same features: {errors}, {strength}{how}, {entry['seconds']:.1f} s."


def _features(x):
    """The examples as rows of float64: in float32 the smallest C stop early, the intercept still 0."""
    import scipy.sparse

    if scipy.sparse.issparse(x):
        return x.astype("float64")
    return scaled(x.reshape(len(x), -1), "float64")
