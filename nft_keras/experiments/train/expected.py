"""What trials will take: operations, counted from the networks, and seconds on this machine, from a few steps of each.

The steps are those of models of their own, on one minibatch, or where the graph takes minibatches in a pass over
some. A trial builds its networks anew, from its seed.
"""

import dataclasses
import math
import statistics
import time

import keras

from nft_keras import costs
from nft_keras.backend import out_of_memory, tensorflow_for_data
from nft_keras.data.batches import batches, in_graph
from nft_keras.data.features.augment import augmentation, mixing
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.methods.nft import NFTSettings
from nft_keras.experiments.recipe.settings import OptimizerSettings, plain
from nft_keras.experiments.train.size import few_operations
from nft_keras.experiments.train.together.groups import gains
from nft_keras.experiments.train.trial import build_classifier, build_method, dtype_policy, takes_in_graph

# What takes fewer steps and fewer operations is over in less than a minute, and is not measured.
STEPS, OPERATIONS = 2_000, 1e12
SMALLER = 0.25  # the auxiliary_fraction that is suggested
_LEAST, _ENOUGH = 3, 0.5  # steps that are measured at least, and seconds after which no more are
MINIBATCHES = 1000  # of a pass that is measured


class Expected:
    """What trials take; steps that were measured for one data set count for others of its shape.

    Args:
        always: bool, whether to measure what does not take long too.
    """

    def __init__(self, always=False):
        self._always, self._steps, self._shares, self._said = always, {}, {}, set()
        self.seconds = {}  # {cost_key of a trial: what all of it takes}, of those that were measured

    def lines(self, trials, dataset):
        """Lines on what some trials take, for each classifier, that were not given before.

        Args:
            trials: list of `nft_keras.experiments.recipe.trial.Trial` on one data set.
            dataset: the `nft_keras.data.Dataset`.

        Returns:
            list of str; none of classic training that does not take long.
        """
        lines = []
        for classifier in dict.fromkeys(trial.classifier for trial in trials):
            of_it = [trial for trial in trials if trial.classifier == classifier]
            try:
                lines += self._of_classifier(of_it, dataset)
            except Exception as error:
                if out_of_memory(error) is None:
                    raise  # else the trial is the one to say so
            finally:
                keras.backend.clear_session()
        new = [line for line in lines if line not in self._said]
        self._said.update(new)
        return new

    def classic_share(self, trial):
        """What a classic epoch of a trial takes of the time of a simplified one, float; 1 where it was not measured."""
        return self._shares.get(trial.cost_key, 1.0)

    def _of_classifier(self, trials, dataset):
        kinds = list({trial.cost_key: trial for trial in trials}.values())
        counts = _counts(kinds, dataset)
        lines = _of_operations(kinds, counts)
        if _alone(kinds, counts) and (self._always or _takes_long(kinds, len(trials) / len(kinds), counts, dataset)):
            passes = {id(trial): _of_passes(trial, dataset, self._steps) for trial in kinds}
            self._shares.update({trial.cost_key: _classic_share(trial, dataset, *passes[id(trial)]) for trial in kinds})
            self.seconds |= {trial.cost_key: seconds(trial, dataset, *passes[id(trial)]) for trial in kinds}
            lines.append(_of_seconds(kinds, trials, dataset, passes))
        lines = [f"{trials[0].classifier}, {line}" for line in lines]
        small = all(few_operations(trial, sum(counts.get(id(trial), (math.inf,)))) for trial in kinds)
        sooner = gains(trials) if small else None
        return [*lines, sooner] if sooner else lines


def seconds(trial, dataset, f, s):
    """Seconds of a whole training: classic and simplified epochs, and validation.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        dataset: the `nft_keras.data.Dataset` that it names.
        f, s: float, seconds of a forward pass of the classifier and of the auxiliary network on a minibatch, where a
            backward pass takes twice as long.
    """
    size = trial.training.batch_size
    validation = trial.training.epochs * f * len(dataset.valid) / size
    return math.ceil(len(dataset.train) / size) * METHODS[trial.kind].operations(trial, f, s) + validation


def _counts(kinds, dataset):
    """Operations of a forward pass per example, {id of a trial: (classifier, auxiliary network)}, where counted."""
    counts, of_networks = {}, {}
    for trial in kinds:
        key = repr(trial.classifier_settings) + _of_method(trial)
        if key not in of_networks:
            model, _ = build_method(trial, build_classifier(trial, dataset), dataset)
            try:
                f, *others = map(costs.forward, model.networks())
                of_networks[key] = f, sum(others)
            except ValueError:
                of_networks[key] = None
        if of_networks[key]:
            counts[id(trial)] = of_networks[key]
    return counts


def _of_operations(kinds, counts):
    """The line on operations, where a method has an auxiliary network and counts them."""
    texts = {}
    for trial in kinds:
        (f, s), simplified_step = counts.get(id(trial), (0, 0)), METHODS[trial.kind].simplified_step
        if s and f and simplified_step:
            classic, simplified = costs.classic_step(f), simplified_step(trial.method_settings, f, s)
            texts[id(trial)] = f"{_count(simplified)} ({simplified / classic:.3g} times)"
    if not texts:
        return []
    return [f"operations per example: classic epoch {_count(classic)}, simplified {_by_method(kinds, texts)}"]


def _by_method(kinds, texts):
    """What texts say of trials, {id: text}, each with its method, and its variation where they say different things."""
    parts = []
    for method in dict.fromkeys(trial.method for trial in kinds):
        own = {}
        for trial in kinds:
            if trial.method == method and id(trial) in texts:
                own.setdefault(texts[id(trial)], trial)
        for text, trial in own.items():
            varied = f" {trial.variation}" if trial.varied and len(own) > 1 else ""
            parts.append(f"{method_title(method)}{varied} {text}")
    return ", ".join(parts)


def _alone(kinds, counts):
    """Whether this process and one device train them, of methods whose costs are known."""
    return all(trial.distribute == "none" and _known(trial, *counts.get(id(trial), (0, 0))) for trial in kinds)


def _known(trial, f, s):
    """Whether a trial's method counts what it takes, with the auxiliary network, where it has one (s > 0)."""
    method = METHODS[trial.kind]
    return method.operations and (method.simplified_step or not s)


def _takes_long(kinds, seeds, counts, dataset):
    """Whether trials take so long that it is worth measuring how long."""
    steps = operations = 0
    for trial in kinds:
        steps += seeds * trial.training.epochs * len(dataset.train) / trial.training.batch_size
        if id(trial) in counts:
            operations += seeds * METHODS[trial.kind].operations(trial, *counts[id(trial)]) * len(dataset.train)
    return steps > STEPS or operations > OPERATIONS


def _classic_share(trial, dataset, f, s):
    """Seconds of a classic epoch over those of a simplified one, validation and all; f and s as for `seconds`."""
    if s <= 0:
        return 1.0
    validation = f * len(dataset.valid) / len(dataset.train)
    simplified = METHODS[trial.kind].simplified_step(trial.method_settings, f, s)
    return (costs.classic_step(f) + validation) / (simplified + validation)


def _of_seconds(kinds, trials, dataset, passes):
    """The line on seconds; `passes` has what `_of_passes` found, {id of a trial: (f, s)}."""
    texts, total = {}, 0.0
    for trial in kinds:
        f, s = passes[id(trial)]
        took = seconds(trial, dataset, f, s)
        total += took * sum(other.cost_key == trial.cost_key for other in trials)
        texts[id(trial)] = f"{about(took)}{_of_auxiliary(trial, dataset, f, s, took)}"
    line = f"expected on this machine: {_by_method(kinds, texts)}"
    return f"{line}; all {len(trials)} trials {about(total)}" if len(trials) > 1 else line


def _of_auxiliary(trial, dataset, f, s, took):
    """What the auxiliary network has of a training's time, and what updating it less often would leave; "" without."""
    if s <= 0:
        return ""
    settings, share = trial.method_settings, f"{100 * (1 - seconds(trial, dataset, f, 0.0) / took):.0f} % of it"
    if not isinstance(settings, NFTSettings):
        return f" (auxiliary network {share})"
    said = f"{settings.auxiliary.name} {share}"
    if settings.phases == "epoch" and settings.auxiliary_fraction > SMALLER:
        fewer = dataclasses.replace(settings, auxiliary_fraction=SMALLER)
        less = seconds(dataclasses.replace(trial, method_settings=fewer), dataset, f, s)
        said += f"; auxiliary_fraction={SMALLER} would make it {about(less)}"
    return f" ({said})"


def _of_passes(trial, dataset, steps):
    """Seconds of a forward pass of the classifier and of the auxiliary network on a minibatch, (f, s).

    Where steps are so short that Python takes most of their time, s may be below 0: the second phase begins in it.

    Args:
        trial, dataset: as for `seconds`.
        steps: dict, the seconds of steps that were measured before, by what decides them.
    """
    training = plain(trial.training) | dict.fromkeys(("epochs", "learning_rate", "schedule", "label_smoothing"))
    of_classic = repr((dataset.input_shape, trial.classifier, trial.classifier_settings, training))
    gamma = _first_update(trial)
    simplified_step = METHODS[trial.kind].simplified_step if gamma <= trial.simplification_epochs else None
    of_both = simplified_step and of_classic + _of_method(trial)
    missing = [key for key in (of_classic, of_both) if key and key not in steps]
    if missing:
        with dtype_policy(trial.training.precision):
            model, plan = build_method(trial, build_classifier(trial, dataset), dataset)
            passes = takes_in_graph(trial, model)
            minibatch = None if passes else _minibatch(trial, dataset)
            if passes and of_both:
                plan.simplification_epochs += 1  # an epoch is measured twice, and its end is not to drop anything
            for key in reversed(missing):  # that of both networks before one of them is dropped
                if passes:
                    epoch = gamma if key == of_both else trial.simplification_epochs + 2
                    steps[key] = _step_of_pass(model, plan, trial, dataset.train, epoch)
                else:
                    model.simplifying = key == of_both
                    steps[key] = _step(model, minibatch)
    f = steps[of_classic] / costs.classic_step(1)
    if not of_both:
        return f, 0.0
    settings = _of_a_step(trial.method_settings)
    s = (steps[of_both] - simplified_step(settings, f, 0)) / simplified_step(settings, 0, 1)
    return f, max(s, -f / 2)


def _of_method(trial):
    """What of a trial's method decides its networks and how long a step takes, a text."""
    fields = {name: of for name, of in vars(_of_a_step(trial.method_settings)).items() if name != "plan"}
    for name, of in fields.items():
        if isinstance(of, OptimizerSettings):
            fields[name] = dataclasses.replace(of, learning_rate=1.0)
    return repr((trial.kind, fields))


def _of_a_step(settings):
    """The settings that a method has on one minibatch, where theta is updated, however few of an epoch's have it so."""
    return dataclasses.replace(settings, auxiliary_fraction=1.0) if isinstance(settings, NFTSettings) else settings


def _first_update(trial):
    """The first epoch gamma in which theta may be updated: Algorithm 1's second one, or the plan's first."""
    settings, simplified_step = trial.method_settings, METHODS[trial.kind].simplified_step
    if not simplified_step or not simplified_step(settings, 0, 1):
        return math.inf
    return max(2, getattr(settings.plan, "first_simplified_epoch", 1))


def _minibatch(trial, dataset):
    """A minibatch as the trial is given it, a tuple of arrays."""
    size, chosen = trial.training.batch_size, trial.training.augmentations
    epoch, mix = tensorflow_for_data().Variable(0), mixing(chosen, dataset.num_classes)
    made = batches(dataset.train[:size], size, trial.seed, epoch, augmentation(chosen), mix=mix)
    return keras.tree.map_structure(lambda tensor: tensor.numpy(), next(iter(made)))


def _step(model, minibatch):
    """Seconds of a step on a minibatch, the median of a few after the one that traces it."""
    model.train_on_batch(*minibatch)
    took = []
    while len(took) < _LEAST or sum(took) < _ENOUGH:
        began = time.perf_counter()
        model.train_on_batch(*minibatch)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _step_of_pass(model, plan, trial, part, gamma):
    """Seconds of a step of epoch gamma in a pass over the first examples of a part, after a pass that traces it."""
    size = trial.training.batch_size
    minibatches = in_graph(part[: MINIBATCHES * size], size)
    took = []
    for _ in range(2):
        one = _OnePass()
        epochs = max(trial.training.epochs, gamma)
        model.fit(minibatches, initial_epoch=gamma - 1, epochs=epochs, verbose=0, shuffle=False, callbacks=[one, plan])
        took.append(one.seconds)
    return took[-1] * size / min(len(part), MINIBATCHES * size)


class _OnePass(keras.callbacks.Callback):
    """Ends a training after an epoch, and measures that."""

    def on_epoch_begin(self, epoch, logs=None):
        self.seconds = -time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.perf_counter()
        self.model.stop_training = True


def _count(operations):
    size, unit = next((each for each in ((1e9, " billion"), (1e6, " million")) if operations >= each[0]), (1, ""))
    return f"{operations / size:,.3g}{unit}" if unit else f"{operations:,.0f}"


def about(seconds):
    """A duration in the largest unit of which it has two, in words.

    Args:
        seconds: float >= 0.
    """
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"
