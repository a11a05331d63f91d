"""The developmental plan: laws of eta (Eq. 5 of Marullo et al. 2022) and the callback that follows them."""

import logging
import math

import keras

from nft_keras._checks import number


def quadratic(progress):
    """Fraction of eta_max after `progress` of the developmental plan (Eq. 5).

    Args:
        progress: float in [0, 1], (gamma - 1) / (gamma_max_simp - 1).

    Returns:
        float in [0, 1], 1 - (1 - progress)^2.
    """
    return 1.0 - (1.0 - progress) ** 2


def linear(progress):
    """Fraction of eta_max after `progress` of the plan: progress itself (not in the paper)."""
    return progress


def cosine(progress):
    """Fraction of eta_max after `progress` of the plan: (1 - cos(pi progress)) / 2 (not in the paper)."""
    return (1.0 - math.cos(math.pi * progress)) / 2.0


# Of the variance of the data: with more than that still altered at the drop, the classifier meets other data.
MOST_LEFT = 0.1
LAWS = {"quadratic": quadratic, "linear": linear, "cosine": cosine}


def progress(gamma, simplification_epochs):
    """How far the plan is in epoch gamma: (gamma - 1) / (gamma_max_simp - 1), from 0 in the first epoch to 1.

    Args:
        gamma: int >= 1, the epoch.
        simplification_epochs: int, gamma_max_simp; with 1 or less the plan is over from the start.

    Returns:
        float in [0, 1].
    """
    if simplification_epochs <= 1:
        return 1.0
    return min((gamma - 1) / (simplification_epochs - 1), 1.0)


class Plan(keras.callbacks.Callback):
    """Follows a law from the first epoch to the last one with altered data: what the plans below have in common.

    Epochs are counted from 1 as gamma, and everything is a function of gamma alone, so that training may stop and go
    on with `initial_epoch`.

    Args:
        simplification_epochs: int >= 0, gamma_max_simp; with 0 or 1 the plan is over from the start.
        law: "quadratic", "linear", "cosine", or a function from progress in [0, 1] to a fraction in [0, 1].

    Raises:
        ValueError: for arguments outside these ranges.
    """

    def __init__(self, simplification_epochs, law="quadratic"):
        super().__init__()
        self.simplification_epochs = number(
            "simplification_epochs", simplification_epochs, "a whole number >= 0", lambda n: n >= 0 and not n % 1, int
        )
        if not callable(law) and not (isinstance(law, str) and law in LAWS):
            raise ValueError(f"law must be one of {', '.join(map(repr, LAWS))} or a function, got {law!r}")
        self.law = law if callable(law) else LAWS[law]
        for at in (0.0, 0.25, 0.5, 0.75, 1.0):
            if not 0 <= self.law(at) <= 1:
                raise ValueError(f"law must stay in [0, 1], got {self.law(at)!r} at progress {at}")

    def fraction(self, gamma):
        """The law's value in epoch gamma, a float in [0, 1]; 1 after the plan."""
        return self.law(progress(gamma, self.simplification_epochs))


class DevelopmentalPlan(Plan):
    """Raises eta epoch by epoch and drops the auxiliary network when the data have come back (Eq. 5, Algorithm 1).

    For first_simplified_epoch <= gamma <= simplification_epochs the data are simplified, in all other epochs they are
    as they are; the auxiliary network is updated in every simplified epoch but epoch 1, and dropped after epoch
    simplification_epochs. Everything is a function of the epoch gamma alone, so that training may stop and go on with
    `initial_epoch`.

    At the drop two things are logged as warnings: that more than a tenth of the variance of the data is still altered,
    so that the classifier now meets other data; and that the altered data were harder than the real ones in most
    simplified epochs.

    Args:
        eta_max: float >= 0, the weight of the penalty on the perturbation at the end of the plan.
        simplification_epochs: int >= 0, gamma_max_simp; with 0 or 1 no data are ever altered.
        law: "quadratic" (Eq. 5), "linear", "cosine", or a function from progress in [0, 1] to a fraction of eta_max
            in [0, 1].
        first_simplified_epoch: int >= 1. 2, Algorithm 1 as printed (line 3): in epoch 1 the classifier sees the data as
            they are. 1, the authors' code: in epoch 1 it already sees s(x) of the still untrained auxiliary network, so
            that it meets real data for the first time after the drop.

    Raises:
        ValueError: for arguments outside these ranges, when training begins with a model that is no `FriendlyModel`,
            and when an epoch shall be simplified whose auxiliary network was dropped before.

    Example:

        plan = DevelopmentalPlan(eta_max=500.0, simplification_epochs=170)
        model.fit(x, y, epochs=200, callbacks=[plan])
    """

    def __init__(self, eta_max, simplification_epochs, law="quadratic", first_simplified_epoch=2):
        super().__init__(simplification_epochs, law)
        self.eta_max = number("eta_max", eta_max, "a finite number >= 0", lambda n: 0 <= n < math.inf, float)
        self.first_simplified_epoch = number(
            "first_simplified_epoch", first_simplified_epoch, "a whole number >= 1", lambda n: n >= 1 and not n % 1, int
        )
        self._reductions = []  # loss_reduction of this training's simplified epochs

    def eta(self, gamma):
        """eta in epoch gamma (Eq. 5): eta_max times the law at gamma's progress.

        Args:
            gamma: int >= 1, the epoch.

        Returns:
            float in [0, eta_max].
        """
        return self.eta_max * self.fraction(gamma)

    def active(self, gamma):
        """Whether the data are simplified in epoch gamma (Algorithm 1, line 3); in a plan of one epoch none are."""
        return self.simplification_epochs > 1 and self.first_simplified_epoch <= gamma <= self.simplification_epochs

    def updates_auxiliary(self, gamma):
        """Whether theta is updated in epoch gamma: in the simplified ones but epoch 1."""
        return gamma > 1 and self.active(gamma)

    def on_train_begin(self, logs=None):
        """Refuses a model that cannot follow the plan, and warns of a plan that does not come to its end."""
        if not hasattr(self.model, "drop_auxiliary"):
            raise ValueError(f"DevelopmentalPlan needs a FriendlyModel, got a {type(self.model).__name__}")
        self._reductions = []
        epochs = (self.params or {}).get("epochs", self.simplification_epochs)
        if epochs < self.simplification_epochs and self.model.auxiliary is not None:
            # No warning of Python's: who trains in parts, with `initial_epoch`, means it.
            logging.getLogger(__name__).warning(
                "the plan's simplification_epochs=%d are more than epochs=%d: training ends on altered data, before "
                "the auxiliary network is dropped",
                self.simplification_epochs,
                epochs,
            )

    def on_epoch_begin(self, epoch, logs=None):
        """Sets eta and says whether the epoch's data are simplified."""
        gamma = epoch + 1
        if gamma > self.simplification_epochs:
            self.model.drop_auxiliary()
        elif self.active(gamma) and self.model.auxiliary is None:
            raise ValueError(
                f"epoch {gamma} of the plan simplifies the data (simplification_epochs={self.simplification_epochs}), "
                "but the auxiliary network was dropped already: pass initial_epoch to go on where training stopped, "
                "or build a new FriendlyModel"
            )
        self.model.eta.assign(self.eta(gamma))
        if self.active(gamma):
            self.model.updates_auxiliary = self.updates_auxiliary(gamma)
        self.model.simplifying = self.active(gamma)

    def on_epoch_end(self, epoch, logs=None):
        """Drops the auxiliary network after epoch simplification_epochs, and warns of what then is to be known."""
        gamma, logs = epoch + 1, logs or {}
        if self.active(gamma) and "loss_reduction" in logs:
            self._reductions.append(float(logs["loss_reduction"]))
        if gamma == self.simplification_epochs and self.active(gamma):
            for line in at_the_drop(float(logs.get("relative_perturbation", 0.0)), self._reductions):
                logging.getLogger(__name__).warning(line)
        if gamma >= self.simplification_epochs:
            self.model.drop_auxiliary()


def at_the_drop(relative_perturbation, reductions):
    """What is to be known of a plan that is over.

    Args:
        relative_perturbation: float, of the last simplified epoch.
        reductions: list of floats, `loss_reduction` of the simplified epochs.

    Returns:
        list of str, a sentence each: none if the data came back and were easier.
    """
    lines = []
    if relative_perturbation > MOST_LEFT:
        lines.append(
            f"the perturbation is still {relative_perturbation:.0%} of the variance of the data as the auxiliary "
            "network is dropped: the classifier now meets other data; try a larger learning rate of the auxiliary "
            "network, a larger eta_max, more epochs, or a larger network"
        )
    harder = sum(reduction < 0 for reduction in reductions)
    if 2 * harder > len(reductions):
        lines.append(
            f"in {harder} of {len(reductions)} simplified epochs the classifier's loss was higher on altered data than "
            "on real data: they were not easier but strange"
        )
    return lines


class PerturbationPlan(Plan):
    """Lowers the number of perturbation steps of Friendly Training epoch by epoch: tau(gamma) of Marullo et al. 2021.

    tau(gamma) = int(max_steps (1 - law(progress))), with the quadratic law int(max_steps [1 - progress]_+^2); the data
    are altered while it is above 0, from the first epoch on.

    Args:
        max_steps: int >= 0, tau_max, the number of steps in the first epoch.
        simplification_epochs: int >= 0, gamma_max_simp, the epoch in which tau has come down to 0.
        law: as for `DevelopmentalPlan`.

    Raises:
        ValueError: for arguments outside these ranges, and when training begins with a model without perturbations.
    """

    def __init__(self, max_steps, simplification_epochs, law="quadratic"):
        super().__init__(simplification_epochs, law)
        whole = "a whole number >= 0"
        self.max_steps = number("max_steps", max_steps, whole, lambda n: n >= 0 and not n % 1, int)

    def steps(self, gamma):
        """tau(gamma), the most steps that a perturbation takes in epoch gamma (an int)."""
        return math.floor(self.max_steps * (1 - self.fraction(gamma)) + 1e-9)

    def on_train_begin(self, logs=None):
        """Refuses a model that cannot follow the plan."""
        if not hasattr(self.model, "max_steps"):
            raise ValueError(f"PerturbationPlan needs a FriendlyTraining, got a {type(self.model).__name__}")

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the number of steps and says whether the epoch's data are altered."""
        self.model.max_steps.assign(self.steps(epoch + 1))
        self.model.simplifying = self.steps(epoch + 1) > 0
