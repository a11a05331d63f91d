"""Whether Keras' back end trains what recipes say; without Keras, so that what it cannot do is reported at once."""

from nft_keras.backend import check_backend, make_deterministic
from nft_keras.experiments.recipe.schema import RecipeError

# What some settings need where they are not the default.
_NEEDS = {
    "distribute": ("none", ("tensorflow",)),
    "training.steps_per_execution": (1, ("tensorflow", "jax")),
}


def ready_backend(trials):
    """Refuses trials that Keras' back end does not train, and readies it for those that are to be deterministic.

    Args:
        trials: list of `nft_keras.experiments.recipe.settings.Trial`.

    Raises:
        BackendError: if it trains none at all.
        RecipeError: naming the setting.
    """
    name = check_backend()
    for trial in trials:
        values = {"distribute": trial.distribute, "training.steps_per_execution": trial.training.steps_per_execution}
        for key, (default, able) in _NEEDS.items():
            if values[key] != default and name not in able:
                raise RecipeError(f"{key}: {values[key]} needs KERAS_BACKEND={' or '.join(able)}, got {name}")
    if name != "tensorflow" and any(trial.deterministic for trial in trials):
        make_deterministic()  # the other two look at it but once, when they are imported or first compute
