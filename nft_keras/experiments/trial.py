"""One trial: builds what it names, trains it, keeps the best epoch's classifier and says how good it is."""

import shutil
import time
from pathlib import Path

import keras
import tensorflow as tf

from nft_keras import auxiliaries, classifiers, optimizers
from nft_keras.data.batches import batches
from nft_keras.experiments import monitor
from nft_keras.experiments.files import write_json, write_yaml
from nft_keras.model import FriendlyModel
from nft_keras.plan import DevelopmentalPlan

EVALUATION_BATCH = 250


def error(y, y_pred):
    """Errors in percent: 100 where the largest logit is not the label's, else 0.

    Args:
        y: class indices (batch,).
        y_pred: logits (batch, num_classes).

    Returns:
        float tensor (batch,).
    """
    wrong = keras.ops.not_equal(keras.ops.argmax(y_pred, -1), keras.ops.cast(keras.ops.reshape(y, (-1,)), "int64"))
    return 100.0 * keras.ops.cast(wrong, "float32")


def run_trial(trial, dataset, out, progress):
    """Runs a trial and writes its folder: config, history, classifier, TensorBoard logs, pictures; last, the result.

    Args:
        trial: `nft_keras.experiments.recipe.Trial`.
        dataset: the `nft_keras.data.Dataset` that it names.
        out: the output folder; the trial's own is `out / trial.folder`, what it held is replaced.
        progress: callable that is given one keras logs dict (and `epoch`) after every epoch.

    Returns:
        The content of result.json: dataset, classifier, method, seed, test_error and valid_error in percent,
        best_epoch (gamma, from 1), epochs, seconds, provenance.
    """
    began = time.monotonic()
    folder = Path(out, trial.folder)
    shutil.rmtree(folder, ignore_errors=True)
    write_yaml(folder / "config.yaml", trial.config())
    keras.backend.clear_session()
    keras.utils.set_random_seed(trial.seed)
    classifier = build_classifier(trial, dataset)
    model, plan = build_method(trial, classifier, dataset)
    epoch = tf.Variable(0, dtype=tf.int32)
    train = batches(dataset.train, trial.training.batch_size, trial.seed, epoch)
    valid, test = (batches(part, EVALUATION_BATCH) for part in (dataset.valid, dataset.test))
    best = monitor.BestClassifier(folder / "classifier.keras", first_epoch=_first_eligible(trial))
    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda index, logs: epoch.assign(index)),
        *monitor.pictures(trial, dataset, folder),
        plan,
        best,
        monitor.History(folder / "history.csv", trial.simplification_epochs),
        keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda index, logs: progress({**logs, "epoch": index + 1})),
    ]
    model.fit(train, validation_data=valid, epochs=trial.training.epochs, verbose=0, callbacks=callbacks)
    result = {
        "dataset": trial.dataset["name"],
        "classifier": trial.classifier,
        "method": trial.method,
        "seed": trial.seed,
        "test_error": _evaluate(folder / "classifier.keras", test),
        "valid_error": best.valid_error,
        "best_epoch": best.epoch,
        "epochs": trial.training.epochs,
        "seconds": round(time.monotonic() - began, 1),
        "provenance": dataset.provenance,
    }
    write_json(folder / "result.json", result)
    return result


def build_classifier(trial, dataset):
    """The trial's classifier, untrained; the same initial weights for every method of a seed."""
    build = getattr(classifiers, trial.classifier.replace("-", "_"))
    return build(dataset.input_shape, dataset.num_classes, **vars(trial.classifier_settings))


def build_method(trial, classifier, dataset):
    """The compiled model that trains the classifier, and the plan that it follows."""
    compiled = {
        "optimizer": build_optimizer(trial.training),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": [error],
    }
    if trial.method == "ct":
        model = FriendlyModel(classifier, None)
        model.compile(**compiled)
        return model, DevelopmentalPlan(0.0, 0)
    settings = trial.method_settings
    model = FriendlyModel(classifier, build_auxiliary(settings.auxiliary, dataset), settings.penalty, settings.phases)
    model.compile(auxiliary_optimizer=build_optimizer(settings.auxiliary_optimizer), **compiled)
    return model, DevelopmentalPlan(settings.plan.eta_max, trial.simplification_epochs, settings.plan.law)


def build_auxiliary(settings, dataset):
    """The auxiliary network that a recipe's `auxiliary` names."""
    arguments = dict(vars(settings))
    name = arguments.pop("name")
    arguments["num_classes"] = dataset.num_classes if arguments.pop("label_conditioned") else None
    shape = dataset.input_shape
    return getattr(auxiliaries, name)(shape[0] if name == "mlp" else shape, **arguments)


def build_optimizer(settings):
    """The Keras optimizer of a recipe's `Optimizer`."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return optimizers.SGD(rate, momentum=settings.momentum, l2=decay)
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay)
    return optimizers.Adam(rate, l2=decay)


def _first_eligible(trial):
    """The first epoch (from 1) that may be chosen as the best."""
    return trial.simplification_epochs + 1 if trial.selection == "after-drop" else 1


def _evaluate(path, test):
    """Test error in percent of a saved classifier: of the very file that is deployed."""
    model = keras.saving.load_model(path)
    model.compile(metrics=[error], loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return round(model.evaluate(test, verbose=0, return_dict=True)["error"], 4)
