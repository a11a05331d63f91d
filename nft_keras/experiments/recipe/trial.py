"""A trial: one cell of a recipe with one seed."""

import dataclasses
from pathlib import Path
from typing import Any

from nft_keras.experiments.recipe.settings import TrainingSettings, as_plain, as_yaml, plain
from nft_keras.laws import find_law, progress

# What may vary of the data, and leaves them the shape that they have.
_OF_ONE_SHAPE = ("dataset.fold", "dataset.label_noise", "dataset.labels", "dataset.split_seed")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run: one cell (classifier x method) of a recipe with one seed.

    Attributes:
        recipe: the recipe's name.
        dataset: arguments of `nft_keras.data.load`, with its name.
        classifier, classifier_settings: name and settings of the classifier.
        method, method_settings: name of the training method in the recipe, and its settings.
        training: `TrainingSettings`.
        selection: "after-drop" or "all", the epochs among which the best one is chosen.
        test_every: int, epochs between two looks at the test error that the history shows; 0 for none.
        deterministic: bool, whether the back end takes only operations that give the same bits every time.
        seed: int, of initial weights and shuffling.
        distribute: "none", "mirrored" (over the GPUs of this machine) or "multi-worker" (over those of TF_CONFIG).
        varied: (key, value) if the recipe varies a setting and this is one of its variations, else None.
        selection_metric: what the best epoch has the lowest of, of `nft_keras.experiments.selection.METRICS`.
        fingerprint: of the data that it is trained on, see `nft_keras.data.io.fingerprint`; None where unknown.
        variant_of: the method in `METHODS` that it is, where the recipe has it under another name, else None.
    """

    recipe: str
    dataset: dict
    classifier: str
    classifier_settings: object
    method: str
    method_settings: object
    training: TrainingSettings
    selection: str
    test_every: int
    deterministic: bool
    seed: int
    distribute: str = "none"
    varied: tuple | None = None
    variant_of: str | None = None
    selection_metric: str = "error"
    fingerprint: str | None = None

    @property
    def kind(self) -> str:
        """The method's name in `METHODS`."""
        return self.variant_of or self.method

    @property
    def folder(self) -> Path:
        """Where its files go, below the output folder."""
        variation = [self.variation] if self.varied else []
        return Path(self.recipe, *variation, self.classifier, self.method, f"seed-{self.seed}")

    @property
    def variation(self) -> str:
        """ "key=value" of what is varied, "" if nothing is."""
        return f"{self.varied[0]}={as_yaml(self.varied[1])}" if self.varied else ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from the other trials of its recipe: variation, classifier, method and seed."""
        return self.variation, self.classifier, self.method, self.seed

    @property
    def cost_key(self) -> tuple[str, str, str]:
        """What makes two trials of a recipe take equally long."""
        alike = self.varied is not None and self.varied[0] in _OF_ONE_SHAPE
        return self.classifier, self.method, "" if alike else self.variation

    @property
    def simplification_epochs(self) -> int:
        """gamma_max_simp: the last epoch with altered data; 0 or 1 if none is."""
        return self.method_settings.plan.epochs(self.training.epochs)

    def remaining(self) -> list[float]:
        """How much of the plan is left in each epoch: 1 in the first, 0 after gamma_max_simp."""
        law = find_law(self.method_settings.plan.law, allow_code=True)  # what reads the recipe has asked for leave
        gammas = range(1, self.training.epochs + 1)
        return [1 - law(progress(gamma, self.simplification_epochs)) for gamma in gammas]

    @property
    def first_eligible(self) -> int:
        """The first epoch (from 1) that may be chosen as the best."""
        last = self.simplification_epochs
        return last + 1 if self.selection == "after-drop" and last > 1 else 1

    def of_data(self) -> dict[str, str]:
        """What a result and config.yaml say of the data: {"fingerprint": ...}; {} where it is unknown."""
        return {"fingerprint": self.fingerprint} if self.fingerprint else {}

    def config(self) -> dict[str, Any]:
        """The trial as a recipe of its own, complete."""
        return {
            "name": self.recipe,
            "dataset": as_plain(self.dataset),
            "classifiers": {self.classifier: plain(self.classifier_settings)},
            "methods": {self.method: {**is_a(self.variant_of), **plain(self.method_settings)}},
            "training": plain(self.training),
            "seeds": [self.seed],
            "selection": self.selection,
            "selection_metric": self.selection_metric,
            "test_every": self.test_every,
            "deterministic": self.deterministic,
            "distribute": self.distribute,
            **self.of_data(),
            **({"vary": {self.varied[0]: [self.varied[1]]}} if self.varied else {}),
        }


def is_a(method):
    """What a recipe and a result say of a method under another name, {"is": method}; {} for None."""
    return {"is": method} if method else {}
