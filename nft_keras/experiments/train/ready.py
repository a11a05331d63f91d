"""Whether Keras' back end trains what recipes say; without Keras, so that what it cannot do is reported at once."""

import sys

from nft_keras.backend import MODULES, check_backend, fuse_loops, make_deterministic
from nft_keras.experiments.recipe.schema import RecipeError

# The back ends that train what a recipe says.
DISTRIBUTE = {"none": tuple(MODULES), "mirrored": ("tensorflow", "jax"), "multi-worker": ("tensorflow",)}
SEVERAL_STEPS_PER_EXECUTION = ("tensorflow", "jax")


def ready_backend(trials):
    """Refuses trials that Keras' back end does not train, and readies it for the others, before it computes anything.

    Args:
        trials: list of `nft_keras.experiments.recipe.trial.Trial`.

    Raises:
        BackendError: if it trains none at all.
        RecipeError: naming the setting.
    """
    name = check_backend()
    for trial in trials:
        steps = trial.training.steps_per_execution
        needs = {f"distribute: {trial.distribute}": DISTRIBUTE[trial.distribute]}
        if steps > 1:
            needs[f"training.steps_per_execution: {steps}"] = SEVERAL_STEPS_PER_EXECUTION
        for setting, able in needs.items():
            if name not in able:
                raise RecipeError(f"{setting} needs KERAS_BACKEND={' or '.join(able)}, got {name}")
    # XLA may have read its flags where TensorFlow is imported already, and with this one it is slower at convolutions.
    if "tensorflow" not in sys.modules and not any(trial.training.jit_compile for trial in trials):
        fuse_loops()
    if name != "tensorflow" and any(trial.deterministic for trial in trials):
        make_deterministic()  # the other two look at it but once, when they are imported or first compute
