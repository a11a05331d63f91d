"""The state of a training after its last finished epoch, on disk, so that a killed trial goes on from there.

Keras' BackupAndRestore writes its two files in place, and knows neither the best epoch so far nor the pictures.
"""

import csv
import time

import keras

from nft_keras._manifest import AGAIN, DamagedError
from nft_keras._text import say
from nft_keras.backend.keras_internals import saved
from nft_keras.experiments.train.backup import SNAPSHOT


class Checkpoint(keras.callbacks.Callback):
    """Keeps the training's state after each epoch: networks, optimizers, best epoch so far, history, time taken.

    What else a trial needs to go on is a function of the seed and the epoch, or of the networks: the order of the
    examples, the augmentation, the plan, the learning rate, the examples that EEF sees.

    Args:
        backup: `nft_keras.experiments.train.backup.Backup` of the trial.
        trial: `nft_keras.experiments.recipe.trial.Trial`.
        best: `nft_keras.experiments.train.callbacks.BestClassifier` of the same training.
        history: its `nft_keras.experiments.train.callbacks.History`.
        began: `time.monotonic()` when this process took the trial up.
        unfreeze: its `nft_keras.experiments.train.unfreeze.Unfreeze`.

    Attributes:
        epoch: int, the last finished epoch; 0 before the first.
        spent: float, the seconds that earlier processes took to get to where this one began.
    """

    def __init__(self, backup, trial, best, history, began, unfreeze):
        super().__init__()
        self.backup, self.trial, self.began = backup, trial, began
        self.best, self.history, self.unfreeze = best, history, unfreeze
        self.epoch, self.spent = 0, 0.0

    def restore(self, model):
        """Brings a newly compiled model, the history, and the best epoch so far, to where the training was.

        Of a last epoch that is damaged it says so, and takes the one before.

        Args:
            model: the model that is going to be trained.

        Raises:
            DamagedError: if the files are not those that were written.
            OSError: if they cannot be read.
        """
        state, damage = self.backup.take_up()
        if state is None:
            return
        self.epoch, self.spent = state["epoch"], state["seconds"]
        if damage:
            what = str(damage).removesuffix(f"; {AGAIN}")
            say(f"{what}; goes on after the epoch before, {self.epoch}")
        self.best.epoch = state["best_epoch"]
        # Earlier versions kept no more than the error, and the history in its file alone.
        self.best.valid = state["valid"] if "valid" in state else {"valid_error": state["valid_error"]}
        self.history.rows = state["history"] if "history" in state else _rows(self.history.path, self.epoch)
        if self.epoch >= self.trial.simplification_epochs:
            model.drop()
        self.unfreeze.come_to(model, self.epoch)
        path = self.backup.folder / _weights(self.epoch)
        try:
            model.load_weights(path)
        except Exception as error:  # of a damaged file of an earlier version h5py raises whatever it stumbles over
            raise DamagedError(f"{path} is damaged; {AGAIN}") from error
        for variable, value in zip(_random_states(model), state["random"], strict=True):
            variable.assign(value)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the state."""
        name = _weights(epoch + 1)
        snapshots = [other for other in self.backup.files if other.startswith(SNAPSHOT)]
        names = [name, *snapshots, *([self.best.name] if self.best.epoch else [])]
        self.backup.make_room(names)
        self.backup.write(name, saved(self.model.save_weights, name))
        state = {
            "epoch": epoch + 1,
            "best_epoch": self.best.epoch,
            "valid": self.best.valid,
            "random": [variable.numpy().tolist() for variable in _random_states(self.model)],
            "seconds": self.spent + time.monotonic() - self.began,
            "history": self.history.rows,
            "config": self.trial.config(),
        }
        self.backup.commit(state, names)
        self.epoch = epoch + 1


def _weights(epoch):
    return f"epoch-{epoch}.weights.h5"


def _rows(path, finished):
    """The header and the rows of the finished epochs in a history.csv.

    Raises:
        DamagedError: if they are not there.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file))[: 1 + finished]
        if [row[0] for row in rows] == list(map(str, range(1, finished + 1))) and {len(head)} == set(map(len, rows)):
            return [head, *rows]
    except (FileNotFoundError, ValueError, IndexError, csv.Error):
        pass
    raise DamagedError(f"{path} is damaged: it has not the {finished} epochs that are finished; {AGAIN}")


def _random_states(model):
    """The variables that dropout and the like draw from, which Keras counts neither as weights nor saves."""
    found = []
    for network in model.networks():
        weights = {id(variable) for variable in network.weights}
        found += [variable for variable in network.variables if id(variable) not in weights]
    return found
