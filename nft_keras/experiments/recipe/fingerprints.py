"""The data that trials are trained on, and whether they have changed."""

import dataclasses
import os
from typing import Any

from nft_keras import data
from nft_keras.data.io.fingerprint import differ, fingerprint, kind, of_examples
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.recipe.trial import Trial


class Fingerprints:
    """The fingerprints of the files that trials are trained on, each file read once.

    Args:
        data_dir: the directory of the data sets, None for the default.
    """

    def __init__(self, data_dir: str | os.PathLike | None = None) -> None:
        self.data_dir, self._known = data_dir, {}

    def of(self, trial: Trial) -> Trial:
        """The trial with the `fingerprint` of its files; as it is if its data set is of no file of the user's.

        Raises:
            RecipeError: if the recipe is for other files.
        """
        files = tuple(data.own_files(**trial.dataset, data_dir=self.data_dir))
        if files not in self._known:
            self._known[files] = fingerprint(files) if files else None
        now = self._known[files]
        if differ(trial.fingerprint, now):
            were = f"{now} now, {trial.fingerprint} in the recipe"
            raise RecipeError(
                f"{files[0]} has changed (fingerprint: {were}); remove fingerprint to train on it as it is"
            )
        return dataclasses.replace(trial, fingerprint=now) if now else trial


def of_data(settings: dict[str, Any], dataset: data.Dataset) -> str | None:
    """The fingerprint that a trial on a data set has: that of the user's files, or of the examples that were loaded.

    Args:
        settings: what the data set was loaded with, with `data_dir`.
        dataset: `nft_keras.data.Dataset`.

    Returns:
        See `nft_keras.data.io.fingerprint`; None where a file cannot be read any more.
    """
    files = data.own_files(**settings)
    return fingerprint(files) if files else of_examples(dataset)


def of_loaded(trials: list[Trial], dataset: data.Dataset) -> list[Trial]:
    """Trials with the `fingerprint` of the data that were loaded for them, unless they have that of the user's files.

    Raises:
        RecipeError: if the recipe is for other data.
    """
    if all(kind(trial.fingerprint or "examples:") != "examples" for trial in trials):
        return trials
    now = of_examples(dataset)
    for trial in trials:
        if differ(trial.fingerprint, now):
            were = f"{now} now, {trial.fingerprint} in the recipe"
            raise RecipeError(
                f"{trial.dataset['name']} has changed (fingerprint: {were}); remove fingerprint to train on it as it is"
            )
    return [dataclasses.replace(trial, fingerprint=trial.fingerprint or now) for trial in trials]
