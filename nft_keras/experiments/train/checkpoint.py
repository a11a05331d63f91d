"""The state of a training after its last finished epoch, on disk, so that a killed trial goes on from there.

Keras' BackupAndRestore writes its two files in place, and knows neither the best epoch so far nor the pictures; here an
epoch counts from the instant at which `state.json` is replaced, whatever else was written before.
"""

import json
import time

import keras

from nft_keras.experiments.files import atomic_write, write_json


class Checkpoint(keras.callbacks.Callback):
    """Keeps the training's state after each epoch: networks, optimizers, best epoch so far, time taken.

    What else a trial needs to go on is a function of the seed and the epoch, or of the networks: the order of the
    examples, the augmentation, the plan, the learning rate, the examples that EEF sees.

    Args:
        folder: `pathlib.Path` of the trial; the state lies below it in `backup/`.
        best: `nft_keras.experiments.train.callbacks.BestClassifier` of the same training.
        began: `time.monotonic()` when this process took the trial up.
        drop_after: int, the epoch after which there is no auxiliary network any more.
        unfreeze: `nft_keras.experiments.train.unfreeze.Unfreeze` of the same training.

    Attributes:
        epoch: int, the last finished epoch; 0 before the first.
        spent: float, the seconds that earlier processes took to get to where this one began.
    """

    def __init__(self, folder, best, began, drop_after, unfreeze):
        super().__init__()
        self.unfreeze = unfreeze
        self.folder, self.best, self.began, self.drop_after = folder / "backup", best, began, drop_after
        self.epoch, self.spent = 0, 0.0

    def restore(self, model):
        """Brings a newly compiled model, and the best epoch so far, to where the training was.

        Args:
            model: the model that is going to be trained.

        Raises:
            OSError, ValueError: if the files are not those that were written.
        """
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        self.epoch, self.spent = state["epoch"], state["seconds"]
        self.best.epoch = state["best_epoch"]
        # Earlier versions kept no more than the error.
        self.best.valid = state["valid"] if "valid" in state else {"valid_error": state["valid_error"]}
        if self.epoch >= self.drop_after:
            model.drop()
        self.unfreeze.come_to(model, self.epoch)
        model.load_weights(self._weights(self.epoch))
        for variable, value in zip(_random_states(model), state["random"], strict=True):
            variable.assign(value)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the state."""
        with atomic_write(self._weights(epoch + 1)) as temporary:
            self.model.save_weights(temporary, overwrite=True)
        state = {
            "epoch": epoch + 1,
            "best_epoch": self.best.epoch,
            "valid": self.best.valid,
            "random": [variable.numpy().tolist() for variable in _random_states(self.model)],
            "seconds": self.spent + time.monotonic() - self.began,
        }
        write_json(self.folder / "state.json", state)
        self._weights(self.epoch).unlink(missing_ok=True)
        self.epoch = epoch + 1
        self.best.forget_others()

    def _weights(self, epoch):
        return self.folder / f"epoch-{epoch}.weights.h5"


def _random_states(model):
    """The variables that dropout and the like draw from, which Keras counts neither as weights nor saves."""
    found = []
    for network in model.networks():
        weights = {id(variable) for variable in network.weights}
        found += [variable for variable in network.variables if id(variable) not in weights]
    return found
