"""One trial: builds what it names, trains it, keeps the best epoch's classifier and says how good it is."""

import contextlib
import dataclasses
import logging
import math
import shutil
import time
from pathlib import Path

import keras

from nft_keras import _manifest
from nft_keras._registry import RegistrationError, imported
from nft_keras.backbone import BackboneError
from nft_keras.backend import make_deterministic, out_of_memory, seed_epoch, tensorflow_for_data
from nft_keras.data import DataError
from nft_keras.data.batches import batches, in_graph
from nft_keras.data.features import preprocessing
from nft_keras.data.features.augment import augmentation, mixing
from nft_keras.experiments.classifier_file import load_classifier, outputs_of
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.evaluation import evaluation_of
from nft_keras.experiments.files import clear_temporaries, remove, write_json, write_yaml
from nft_keras.experiments.methods import METHODS, trial_title
from nft_keras.experiments.recipe.settings import ratio_of
from nft_keras.experiments.recipe.trial import is_a
from nft_keras.experiments.runs import Run, write_result
from nft_keras.experiments.tasks import TASKS
from nft_keras.experiments.train import callbacks, distribution, environment
from nft_keras.experiments.train.backup import Backup
from nft_keras.experiments.train.checkpoint import Checkpoint
from nft_keras.experiments.train.loggers import logged
from nft_keras.experiments.train.losses import BalancedError, class_weights, weighted
from nft_keras.experiments.train.size import AT_ONCE, remarks, short_steps
from nft_keras.experiments.train.unfreeze import unfreezing
from nft_keras.laws import find_law

EVALUATION_BATCH = 250


def run_trial(trial, dataset, out, progress, loggers=()):
    """Runs a trial and writes its folder: config, history, TensorBoard logs, pictures, classifier; last, the result.

    Beside classifier.keras lies preprocessing.json, how to prepare new inputs for it
    (`nft_keras.data.features.preprocessing`), and files.json, by which damage to any file is told
    (`nft_keras._manifest`).

    A trial that was broken off goes on after its last finished epoch.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        dataset: the `nft_keras.data.Dataset` that it names.
        out: the output folder; the trial's own is `out / trial.folder`, empty or of the same trial.
        progress: callable that is given one keras logs dict (and `epoch`) after every epoch.
        loggers: names of `nft_keras.experiments.train.loggers.LOGGERS`, where it is logged too.

    Returns:
        The content of result.json: dataset, classifier, method, seed, test_error and valid_error in percent, valid_loss
        (and valid_balanced_error where the best epoch is chosen by it), best_epoch (gamma, from 1),
        what `nft_keras.experiments.tasks.TASKS` keeps of the evaluation (of classes test_balanced_accuracy in percent,
        test_calibration_error in points), task, where it is no classification,
        last_test_error and last_valid_error (of the last epoch's classifier), epochs, seconds, provenance, fingerprint
        (of the data), environment (see `environment.describe`); varied ("key=value") if the recipe varies a
        setting; is, the method, if the recipe has it under another name; drop, see `Run.drop_summary`.

    Raises:
        nft_keras.experiments.train.callbacks.TrainingError: if the training cannot go on.
        nft_keras._manifest.DamagedError: if what it would go on from is damaged.
    """
    began = time.monotonic()
    folder = Path(out, trial.folder)
    with distribution.own_folder(trial.distribute, folder) as folder:
        return _run(trial, dataset, folder, progress, began, loggers)


def _run(trial, dataset, folder, progress, began, loggers):
    begin(folder)
    write_yaml(folder / "config.yaml", trial.config())
    if trial.deterministic:
        make_deterministic()
    strategy = distribution.strategy(trial.distribute)
    with (
        warnings_named(trial),
        logged(loggers, trial, folder) as also,
        dtype_policy(trial.training.precision),
        distribution.throughout(strategy),
    ):
        best, last_test_error, spent = _train(trial, dataset, folder, strategy, progress, began, also)
    return finish(trial, dataset, folder, best, last_test_error, lambda: spent + time.monotonic() - began)


@contextlib.contextmanager
def warnings_named(trial):
    """A context in which the package's warnings begin with the trial that they are of."""

    def named(record):
        record.msg, record.args = f"{trial_title(trial)}: {record.getMessage()}", ()
        return True

    logger = logging.getLogger("nft_keras")
    logger.addFilter(named)
    try:
        yield
    finally:
        logger.removeFilter(named)


def begin(folder):
    """Makes a trial's folder one that is not finished, without leftovers of processes that were killed in it."""
    for name in ("result.json", _manifest.FILE):
        remove(folder / name)
    for each in (folder, folder / "test"):
        clear_temporaries(each)


def finish(trial, dataset, folder, best, last_test_error, seconds):
    """Evaluates the classifier.keras of a trial that was trained, and writes what is still missing in its folder.

    In `test/` there is what a user looks at, see `nft_keras.experiments.evaluation`.

    Args:
        trial, dataset: as for `run_trial`.
        folder: `pathlib.Path` of the trial.
        best: (epoch, `BestClassifier.valid`) of that classifier.
        last_test_error: float, the test error after the last epoch, in percent.
        seconds: function that returns how long the trial took.

    Returns:
        The content of result.json.
    """
    if dataset.preprocessing:
        write_json(folder / preprocessing.FILE, preprocessing.to_config(dataset))
    run, test = Run(folder, {}, {}), _evaluate(folder, dataset)
    dropped = trial.simplification_epochs <= trial.training.epochs
    test.write(folder / "test")
    result = {
        "dataset": trial.dataset["name"],
        "classifier": trial.classifier,
        "method": trial.method,
        **is_a(trial.variant_of),
        **({} if dataset.task == "classification" else {"task": dataset.task}),
        "seed": trial.seed,
        "test_error": test.summary["error"],
        **best[1],
        "best_epoch": best[0],
        **{f"test_{name}": test.summary[name] for name in TASKS[dataset.task].kept},
        "last_test_error": round(last_test_error, 4),
        "last_valid_error": round(float(run.rows()[-1]["valid_error"]), 4),
        "epochs": trial.training.epochs,
        **({"drop": drop} if dropped and (drop := run.drop_summary()) else {}),
        "seconds": round(seconds(), 1),
        "provenance": dataset.provenance,
        **trial.of_data(),
        "environment": environment.describe(),
        **({"varied": trial.variation} if trial.varied else {}),
    }
    write_result(folder, result)
    shutil.rmtree(folder / "backup", ignore_errors=True)
    return result


def _train(trial, dataset, folder, strategy, progress, began, also):
    """Trains from where the folder's checkpoint is, and keeps the best epoch's classifier in the folder.

    Returns:
        (best epoch, its numbers on the validation part), the test error after the last epoch, and the seconds that
        earlier processes took.
    """
    backup = Backup(folder)
    _check_shares(trial, dataset, backup, strategy)
    keras.utils.set_random_seed(trial.seed)
    dataset, of_classes = weighted(trial.training.class_weight, dataset)
    with strategy.scope():
        classifier = build_classifier(trial, dataset)
    model, plan = build_method(trial, classifier, dataset, strategy)
    best = callbacks.BestClassifier(backup, trial.first_eligible, trial.selection_metric)
    history = callbacks.History(folder / "history.csv", history_also(trial))
    unfreeze = unfreezing(trial)
    checkpoint = Checkpoint(backup, trial, best, history, began, unfreeze)
    checkpoint.restore(model)
    epoch = tensorflow_for_data().Variable(0)
    train, valid, test = _minibatches(trial, dataset, model, plan, strategy, epoch)
    plan.takes(train)
    # First what the epoch's data depend on; StopAtNaN before anything of the epoch is kept; pictures before the plan,
    # which drops what they show; the test error before what logs it; the checkpoint last, when all else is written.
    in_order = [
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda index, logs: epoch.assign(index)),
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda index, logs: seed_epoch(trial.seed, index)),
        *([callbacks.AverageStatistics()] if strategy.num_replicas_in_sync > 1 else []),
        callbacks.StopAtNaN(trial, dataset),
        *callbacks.pictures(trial, model, dataset, folder, backup),
        best,
        *([callbacks.TestError(test, trial.test_every)] if trial.test_every else []),
        history,
        callbacks.TensorBoard(folder / "tensorboard"),
        *also,
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda index, logs: progress({**logs, "epoch": index + 1, "simplifying": model.simplifying})
        ),
        ClassifierSchedule(lambda index, now: learning_rate(trial, index + 1)),
        unfreeze,
        plan,
        checkpoint,
    ]
    model.fit(
        train,
        validation_data=valid,
        class_weight=of_classes,
        epochs=trial.training.epochs,
        initial_epoch=checkpoint.epoch,
        shuffle=False,
        verbose=0,
        callbacks=in_order,
    )
    last_test_error = model.evaluate(test, verbose=0, return_dict=True)["error"]
    best.publish(folder / "classifier.keras")
    # Not the callbacks, which would keep both networks and their optimizers.
    return (best.epoch, best.valid), last_test_error, checkpoint.spent


def _minibatches(trial, dataset, model, plan, strategy, epoch):
    """The training, validation and test part as `fit` takes them; `epoch` is a variable, the index of the epoch."""
    size, evaluated = trial.training.batch_size, (dataset.valid, dataset.test)
    if takes_in_graph(trial, model):
        train = in_graph(dataset.train, size, trial.seed, epoch, plan.kept)
        return train, *(in_graph(part, EVALUATION_BATCH) for part in evaluated)

    def minibatches(part, *arguments, **keywords):
        return distribution.dataset(strategy, lambda parts: batches(part, *arguments, parts=parts, **keywords))

    chosen = trial.training.augmentations
    augment, mix = augmentation(chosen), mixing(chosen, dataset.num_classes)
    train = minibatches(dataset.train, size, trial.seed, epoch, augment, plan.kept, mix=mix)
    return train, *(minibatches(part, EVALUATION_BATCH) for part in evaluated)


def takes_in_graph(trial, model):
    """Whether steps take their minibatches themselves: where they are short, and nothing is done to a minibatch."""
    training, all_of_them = trial.training, getattr(trial.method_settings, "auxiliary_fraction", 1.0) == 1
    return all_of_them and not training.augmentations and training.class_weight is None and short_steps(trial, model)


def metrics(trial, dataset):
    """What a trial's training logs beside losses."""
    error = keras.metrics.MeanMetricWrapper(imported(TASKS[dataset.task].error), name="error")
    return [error, *([BalancedError(dataset.num_classes)] if trial.selection_metric == "balanced_error" else [])]


def history_also(trial):
    """The columns of a trial's history that others do not have, {column: name in the logs}."""
    balanced = trial.selection_metric == "balanced_error"
    return {"valid_balanced_error": "val_balanced_error"} if balanced else {}


def _check_shares(trial, dataset, backup, strategy):
    """Refuses what the replicas cannot share, or, over several workers, what is not the same for all."""
    replicas, size = strategy.num_replicas_in_sync, trial.training.batch_size
    last = len(dataset.train) % size
    if size < replicas:
        raise callbacks.TrainingError(f"training.batch_size must be >= {replicas}, the number of replicas, got {size}")
    if METHODS[trial.kind].fills_replicas and 0 < last < replicas:
        raise callbacks.TrainingError(
            f"training.batch_size: {size} leaves {last} of {len(dataset.train)} examples for {replicas} replicas in "
            f"the last minibatch, which {trial.method} cannot share; choose another"
        )
    state, _ = backup.latest()
    # Copies of a large file on several machines may have several times of their last change.
    settings = repr(dataclasses.replace(trial, fingerprint=None).config())
    if not distribution.same_everywhere(strategy, settings, repr(state)):
        raise callbacks.TrainingError(
            "the workers do not have the same trial, or not the same checkpoint of it; all need the same recipe and "
            "options, and an output folder that all of them see"
        )


def check_fits(trial, dataset):
    """Refuses networks that cannot be built for a data set, before any training.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        dataset: the `nft_keras.data.Dataset` that it names.

    Returns:
        Lines on what is large of the networks, a list of str.

    Raises:
        DataError: if an example has not the shape that the trial's networks or its augmentation take, or class_weight
            names a class that there is not.
    """
    try:
        class_weights(trial.training.class_weight, dataset)
    except ValueError as error:
        raise DataError(str(error)) from None
    try:
        if trial.training.augmentations and len(dataset.input_shape) != 3:
            raise ValueError(f"{' and '.join(trial.training.augmentations)} takes images")
        if dataset.task != "classification" and not METHODS[trial.kind].takes_any_task:
            raise ValueError(f"{trial.method} needs one class for each example, these are for {dataset.task}")
        model, _ = build_method(trial, build_classifier(trial, dataset), dataset)
        for auxiliary in model.networks()[1:]:
            if auxiliary.output_shape[1:] != dataset.input_shape:
                raise ValueError(f"the auxiliary network gives {auxiliary.output_shape[1:]}")
        return remarks(trial, model)
    except RegistrationError:
        raise
    except BackboneError as error:
        raise DataError(f"{trial.classifier}: {error}") from error
    except (ValueError, IndexError) as error:
        what = str(error).strip().partition("\n")[0]
        which = ": ".join(filter(None, [f"{trial.classifier} with {trial.method}", trial.variation]))
        raise DataError(f"{which}: examples of shape {dataset.input_shape} do not fit: {what}") from error
    except Exception as error:
        if out_of_memory(error) is None:
            raise
        return []  # the trial is the one to say so
    finally:
        keras.backend.clear_session()


class ClassifierSchedule(keras.callbacks.LearningRateScheduler):
    """A recipe's schedule, which is the classifier's alone: `fit` need not say so."""

    classifier_alone = True


def learning_rate(trial, gamma):
    """The classifier's learning rate in epoch gamma (from 1), by the `schedule` of the training."""
    training = trial.training
    constant, start = 0, training.learning_rate
    if training.schedule == "constant-then-cosine":
        constant, start = ratio_of(training.constant_ratio, training.epochs), 0.1 * training.learning_rate
    if training.schedule == "constant" or gamma <= constant:
        return training.learning_rate
    return start * (1 + math.cos(math.pi * (gamma - 1 - constant) / (training.epochs - constant))) / 2


def build_classifier(trial, dataset):
    """The trial's classifier, untrained; the same initial weights for every method of a seed."""
    build = imported(CLASSIFIERS[trial.classifier].build)
    return build(dataset.input_shape, dataset.num_classes, **vars(trial.classifier_settings))


def build_method(trial, classifier, dataset, strategy=None):
    """The compiled model that trains the classifier, in a strategy's scope, and the plan that it follows."""
    method, settings, training = METHODS[trial.kind], trial.method_settings, trial.training
    with strategy.scope() if strategy else contextlib.nullcontext():
        model, compiled = imported(method.model)(settings, classifier, dataset)
        model.compile(
            optimizer=training.build(),
            loss=imported(TASKS[dataset.task].loss)(training.label_smoothing, bool(training.mixing)),
            metrics=metrics(trial, dataset),
            jit_compile="auto" if training.jit_compile is None else training.jit_compile,
            steps_per_execution=max(training.steps_per_execution, AT_ONCE if short_steps(trial, model) else 1),
            **compiled,
        )
    law = find_law(settings.plan.law, allow_code=True)  # of a trial: who read its recipe had leave
    length = {"simplification_epochs": trial.simplification_epochs, "law": law}
    plan = imported(method.plan)(settings, dataset, **length)
    return model, plan


@contextlib.contextmanager
def dtype_policy(policy):
    """Keras' dtype policy inside a `with` block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _evaluate(folder, dataset):
    """The `Evaluation` of a saved classifier on the test part: of the very file that is deployed."""
    keras.backend.clear_session()  # the trained networks and their optimizers go before the file is loaded
    part, outputs = dataset.test, outputs_of(load_classifier(folder), dataset.test.x)
    names = range(len(part)) if part.names is None else part.names.tolist()
    return evaluation_of(dataset.target, part.y, dataset.target.predictions(outputs), names)
