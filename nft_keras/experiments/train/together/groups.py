"""Which trials `--vectorize` trains together; without Keras, so that what it cannot do is reported at once."""

import copy
import importlib.util

from nft_keras.backend import backend_name
from nft_keras.experiments.classifiers import BackboneSettings
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.schema import RecipeError

DENSE = ("fc-a", "fc-b")


def check_vectorizes(trials):
    """Refuses trials that cannot be trained together with others.

    Args:
        trials: list of `nft_keras.experiments.recipe.trial.Trial`.

    Raises:
        RecipeError: naming what stands against it.
    """
    if backend_name() != "jax":
        raise RecipeError(f"--vectorize needs JAX: set KERAS_BACKEND=jax (it is {backend_name()})")
    _check_settings(trials)


def gains(trials):
    """A line that says how trials of small networks train sooner, in one program; None where nobody has measured it.

    On a CPU dense networks gain from three in a program on (docs/guides/vectorized.md), convolutions hardly.

    Args:
        trials: list of `Trial` with short steps, `nft_keras.experiments.train.size.few_operations`.
    """
    try:
        _check_settings(trials)
    except RecipeError:
        return None
    auxiliaries = [getattr(trial.method_settings, "auxiliary", None) for trial in trials]
    dense = all(trial.classifier in DENSE for trial in trials)
    dense = dense and all(auxiliary is None or getattr(auxiliary, "name", None) == "mlp" for auxiliary in auxiliaries)
    if backend_name() == "jax" or not dense or len(trials) < 3 * len(groups(trials)):
        return None
    missing = "" if importlib.util.find_spec("jax") else " (pip install jax)"
    command = f"KERAS_BACKEND=jax{missing}, and the same command with --vectorize,"
    return f"{len(trials)} trials of small dense networks: {command} take about half of the time on a CPU, or less"


def _check_settings(trials):
    for trial in trials:
        if not METHODS[trial.kind].vectorizes:
            able = ", ".join(name for name in METHODS if METHODS[name].vectorizes)
            raise RecipeError(
                f"--vectorize: {trial.method} does not train in one compiled program with others, {able} do; leave it "
                "out with --methods"
            )
        if trial.training.augmentations:
            names = " and ".join(trial.training.augmentations)
            raise RecipeError(f"--vectorize: training.augment {names} is not supported; give none")
        if getattr(trial.method_settings, "auxiliary_fraction", 1.0) < 1:
            raise RecipeError(f"--vectorize: {trial.method}'s auxiliary_fraction below 1 is not supported; give 1")
        if trial.training.class_weight is not None:
            raise RecipeError("--vectorize: training.class_weight is not supported; leave it out")
        if (task := trial.dataset.get("task", "classification")) != "classification":
            raise RecipeError(f"--vectorize: dataset.task {task} is not supported; leave --vectorize out")
        if trial.dataset.get("weight"):
            raise RecipeError("--vectorize: the data set's weight is not supported; leave it out")
        if isinstance(trial.classifier_settings, BackboneSettings) and trial.classifier_settings.trainable_from:
            raise RecipeError("--vectorize: a backbone with trainable_from is not supported; leave one of them out")
        if trial.distribute != "none":
            raise RecipeError(f"--vectorize: trains on one device, not with distribute: {trial.distribute}; give none")
        if trial.training.jit_compile is False:
            raise RecipeError("--vectorize: trains in a compiled program, training.jit_compile must not be false")


def groups(trials, most=None):
    """Trials that train together: the same classifier, method and whatever else fixes a shape or the program.

    They may differ in the name that the recipe has for the method, in seed, plan (eta_max, max_steps, length, law),
    learning rates and their schedule, selection and label noise.

    Args:
        trials: list of `Trial`.
        most: int, the most members of a group; None for any number.

    Returns:
        list of lists of `Trial`.
    """
    found = {}
    for trial in trials:
        config = copy.deepcopy(trial.config())
        for key in ("seeds", "vary", "selection"):
            config.pop(key, None)
        config["dataset"].pop("label_noise", None)
        for key in ("learning_rate", "schedule", "constant_ratio"):
            config["training"].pop(key, None)
        settings = config["methods"][trial.method]
        settings.pop("is", None)
        config["methods"] = {trial.kind: settings}
        settings.pop("plan", None)
        settings.get("auxiliary_optimizer", {}).pop("learning_rate", None)
        found.setdefault(repr(config), []).append(trial)
    lengths = {key: most or len(same) for key, same in found.items()}
    return [same[i : i + lengths[key]] for key, same in found.items() for i in range(0, len(same), lengths[key])]
