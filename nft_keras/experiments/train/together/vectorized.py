"""Trials that differ in nothing that fixes a shape, trained together in one compiled program (see `members`).

Each keeps what it has of its own when it runs alone: initial weights, order of the examples, random numbers of dropout,
plan, learning rates, labels, best epoch, files. What it does not write are TensorBoard logs and pictures.
"""

import time
from pathlib import Path

import keras
import numpy as np
import scipy.sparse

from nft_keras.backend import keras_internals, make_deterministic
from nft_keras.data import scaled
from nft_keras.data.batches import order
from nft_keras.experiments.files import remove, write_yaml
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.train import callbacks
from nft_keras.experiments.train.backup import Backup
from nft_keras.experiments.train.together.members import Members, initial_values
from nft_keras.experiments.train.trial import (
    EVALUATION_BATCH,
    begin,
    build_classifier,
    build_method,
    dtype_policy,
    finish,
    history_also,
    learning_rate,
    warnings_named,
)

# Bytes of a data set's part as dense floats; what is sparse may have hundreds of times as many as it has on disk.
MOST_BYTES = 4 << 30


def run_group(trials, datasets, out, progress):
    """Runs the trials of a group and writes their folders; of each the result last.

    A group that was killed starts again from its first epoch; folders with a result stay as they are.

    Args:
        trials: a list of `nft_keras.experiments.train.together.groups.groups`.
        datasets: their `nft_keras.data.Dataset`s, which differ at most in labels.
        out: the output folder.
        progress: callable that is given the epoch and the seconds since the first one began, after every epoch.

    Returns:
        list of result.json contents, or for a trial that failed the
        `nft_keras.experiments.train.callbacks.TrainingError`.
    """
    began = time.monotonic()
    parts = [_examples([getattr(dataset, part) for dataset in datasets]) for part in ("train", "valid", "test")]
    members = [_Member(trial, Path(out, trial.folder)) for trial in trials]
    with dtype_policy(trials[0].training.precision):
        _train(members, datasets, parts, progress)
    del parts
    results = []
    for member, dataset in zip(members, datasets, strict=True):
        if member.failed:
            results.append(member.failed)
            continue
        member.best.publish(member.folder / "classifier.keras")
        best = (member.best.epoch, member.best.valid)
        each = (time.monotonic() - began) / len(trials)
        last = member.last_test_error
        results.append(finish(member.trial, dataset, member.folder, best, last, lambda each=each: each))
    return results


class _Member:
    """What the plan and the callbacks of a trial take for the model: one member of those that train together."""

    def __init__(self, trial, folder):
        self.trial, self.folder, self.failed, self.last_test_error = trial, folder, None, None
        self.simplifying, self.updates_auxiliary, self.auxiliary = False, True, None
        self.eta, self.max_steps = _Number(), _Number()
        begin(folder)
        remove(folder / "backup")
        write_yaml(folder / "config.yaml", trial.config())
        self.best = callbacks.BestClassifier(Backup(folder), trial.first_eligible, trial.selection_metric)
        history = callbacks.History(folder / "history.csv", also=history_also(trial))
        self.callbacks = [callbacks.StopAtNaN(trial), self.best, history]

    def begin(self, plan, classifier, auxiliary):
        """Gives the member its plan, and a function that returns its classifier as it is when it is called.

        Args:
            plan: the trial's `nft_keras.base.Plan`.
            classifier: the function.
            auxiliary: bool, whether there is an auxiliary network.
        """
        self._classifier, self.auxiliary = classifier, auxiliary or None
        self.callbacks.append(plan)
        for callback in self.callbacks:
            callback.set_model(self)
        for callback in self.callbacks[:-1]:
            callback.on_train_begin()

    def end(self):
        """Lets go of everything that keeps the other members in memory."""
        self._classifier = None
        self.callbacks.clear()

    @property
    def classifier(self):
        """The classifier with the weights of this member."""
        return self._classifier()

    def drop_auxiliary(self):
        """As `FriendlyModel.drop_auxiliary`; the values go when no member needs them any more."""
        self.simplifying, self.auxiliary = False, None

    drop = drop_auxiliary

    def on_epoch_end(self, epoch, logs):
        """Calls the callbacks; a training that cannot go on is over, and the others go on."""
        try:
            with warnings_named(self.trial):
                for callback in self.callbacks:
                    callback.on_epoch_end(epoch, logs)
        except callbacks.TrainingError as error:
            self.failed = error


class _Number:
    """A number that a plan assigns."""

    value = 0

    def assign(self, value):
        self.value = value


def _train(members, datasets, parts, progress):
    trial = members[0].trial
    if trial.deterministic:
        make_deterministic()
    states, plans = [], []
    for member, dataset in zip(members, datasets, strict=True):
        keras.utils.set_random_seed(member.trial.seed)
        model, plan = build_method(member.trial, build_classifier(member.trial, dataset), dataset)
        states.append(initial_values(model))
        plans.append(plan)
    (x, y), valid, test = parts
    together = Members(model, states, np.asarray(scaled(x[:1])), y[0, :1])
    del states
    for i, (member, plan) in enumerate(zip(members, plans, strict=True)):
        member.begin(plan, lambda i=i: _with_values(model.classifier, together, i), len(model.networks()) > 1)
    n, number = y.shape[1], len(members)
    began = time.monotonic()
    for epoch in range(trial.training.epochs):
        for member in members:
            for callback in member.callbacks:
                callback.on_epoch_begin(epoch)
        _set_levels(together, members, epoch)
        logs = [{} for _ in members]
        # Where plans have different lengths, those that simplify and those that do not are two programs.
        for simplifying in (True, False):
            which = [i for i, member in enumerate(members) if member.simplifying == simplifying]
            if which:
                rows = np.stack([order(n, [members[i].trial.seed, epoch]).numpy() for i in which])
                updating = members[which[0]].updates_auxiliary  # a function of the epoch alone
                of_these = together.train(which, simplifying, updating, x, y, rows, trial.training.batch_size)
                for at, i in enumerate(which):
                    logs[i].update({name: log[at] for name, log in of_these.items()})
        for name, log in together.evaluate(*valid, EVALUATION_BATCH).items():
            for i in range(number):
                logs[i][f"val_{name}"] = log[i]
        if trial.test_every and (epoch + 1) % trial.test_every == 0:
            for i, error in enumerate(together.evaluate(*test, EVALUATION_BATCH)["error"]):
                logs[i]["test_error"] = error
        for member, of_epoch in zip(members, logs, strict=True):
            if not member.failed:
                member.on_epoch_end(epoch, {name: float(log) for name, log in of_epoch.items()})
        if len(model.networks()) > 1 and not any(member.auxiliary for member in members):
            together.drop_auxiliary()
        progress(epoch + 1, time.monotonic() - began)
    last_errors = together.evaluate(*test, EVALUATION_BATCH)["error"]
    for member, error in zip(members, last_errors, strict=True):
        member.last_test_error = float(error)
        member.end()


def _set_levels(together, members, epoch):
    """Gives eta, tau and the learning rates of all members their values for the epoch."""
    model = together.model
    rates = [learning_rate(member.trial, epoch + 1) for member in members]
    optimizer = keras_internals.innermost(model.optimizer)
    together.assign(next(v for v in optimizer.variables if v.name == "learning_rate"), rates)
    for name in ("eta", "max_steps"):
        if hasattr(model, name):
            together.assign(getattr(model, name), [getattr(member, name).value for member in members])


def _with_values(classifier, together, member):
    for variable, value in zip(classifier.weights, together.values(classifier.weights, member), strict=True):
        variable.assign(value)
    return classifier


def _examples(parts):
    """One part of the data sets on the device: x (n, ...) of all of them, and y (number, n).

    Raises:
        RecipeError: if the examples of two data sets are not the same, or have no room as dense floats.
    """
    import jax.numpy as jnp

    x = parts[0].x
    for part in parts[1:]:
        same = x is part.x or (x.shape == part.x.shape and abs(x - part.x).max() == 0)
        if not same:
            raise RecipeError("--vectorize: the data sets of the recipe differ in more than labels")
    if scipy.sparse.issparse(x):
        if np.prod(x.shape) * 4 > MOST_BYTES:
            size = f"{np.prod(x.shape) * 4 / 2**30:.1f} GiB"
            raise RecipeError(f"--vectorize: the sparse examples take {size} as dense numbers; train one by one")
        x = x.toarray()
    return jnp.asarray(x), jnp.asarray(np.stack([part.y for part in parts]))
