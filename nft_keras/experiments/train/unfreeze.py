"""A frozen backbone that is trained too from an epoch on."""

import keras

from nft_keras.backbone import network_in, unfreeze
from nft_keras.experiments.classifiers import BackboneSettings


class Unfreeze(keras.callbacks.Callback):
    """Unfreezes the classifier's backbone when an epoch begins; before the plan, which begins the first phase.

    Args:
        epoch: int, the first epoch (from 1) in which it is trained; None: never.
        trained: bool, whether its weights were trained before.
    """

    def __init__(self, epoch, trained=True):
        super().__init__()
        self.epoch, self.trained = epoch, trained

    def on_epoch_begin(self, epoch, logs=None):
        """Unfreezes it if it is time."""
        self.come_to(self.model, epoch + 1)

    def come_to(self, model, gamma):
        """Makes a compiled model what it is in epoch gamma (from 1)."""
        if self.epoch is not None and gamma >= self.epoch and not network_in(model.classifier).trainable:
            unfreeze(model.classifier, self.trained)
            model.renew_training()


def unfreezing(trial):
    """The `Unfreeze` of a trial.

    Args:
        trial: `nft_keras.experiments.recipe.trial.Trial`.
    """
    settings = trial.classifier_settings
    if not isinstance(settings, BackboneSettings):
        return Unfreeze(None)
    return Unfreeze(settings.trainable_from, settings.weights != "none")
