import re
import types

import numpy as np
import pytest

from nft_keras.data import Part
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import callbacks as monitor
from nft_keras.experiments.train.backup import Backup


class Saved:
    """Stands for a model, and for its classifier."""

    @property
    def classifier(self):
        return self

    def save(self, path):
        path.write(b"saved")


# Validation error, loss and balanced error of four epochs.
EPOCHS = [(9.0, 0.1, 30.0), (7.6, 0.4, 20.0), (7.6, 0.3, 20.0), (7.6, 0.3, 25.0)]


@pytest.mark.parametrize("metric, epoch", [("error", 3), ("loss", 1), ("balanced_error", 3)])
def test_of_epochs_with_equal_errors_that_of_the_lower_loss_is_the_best_and_of_equals_the_first(
    tmp_path, metric, epoch
):
    best = monitor.BestClassifier(Backup(tmp_path), 1, metric)
    best.set_model(Saved())
    for index, numbers in enumerate(EPOCHS):
        numbers = map(float, np.float32(numbers))  # as Keras' metrics have them: 7.6 is a little below 7.6
        best.on_epoch_end(index, dict(zip(("val_error", "val_loss", "val_balanced_error"), numbers, strict=True)))
    assert best.epoch == epoch
    assert best.valid["valid_error"] == EPOCHS[epoch - 1][0] and best.valid["valid_loss"] == EPOCHS[epoch - 1][1]


NAN = float("nan")
THETA = "methods.nft.auxiliary_optimizer"
BOTH = f"training.learning_rate or {THETA}.learning_rate"


@pytest.mark.parametrize(
    "method, changes, logs, keys",
    [
        ("ct", [], {}, "training.learning_rate"),
        ("nft", [], {"auxiliary_loss": 1.0}, "training.learning_rate"),
        ("nft", [], {"auxiliary_loss": NAN}, f"{THETA}.learning_rate"),
        ("nft", ["methods.nft.phases=joint"], {"auxiliary_loss": NAN}, BOTH),
        ("ft", [], {"perturbation": NAN}, "training.learning_rate or methods.ft.step"),
        ("nft", ["methods.nft.plan.eta_max=1.0e+30"], {"auxiliary_loss": NAN}, "methods.nft.plan.eta_max, 1e+30"),
        ("nft", ["methods.nft.plan.eta_max=1.0e+30"], {"auxiliary_loss": 1.0}, "methods.nft.plan.eta_max, 1e+30"),
        ("nft", [f"{THETA}.weight_decay=100.0"], {"auxiliary_loss": NAN}, f"{THETA}.weight_decay, 100"),
        ("ct", ["training.weight_decay=1.0e+9"], {}, "training.weight_decay, 1e+09"),
        ("ct", ["training.weight_decay=1.0e+9", "training.learning_rate=1.0e+20"], {}, "training.learning_rate, 1e+20"),
        ("ft", ["methods.ft.step=1.0e+20"], {"perturbation": NAN}, "methods.ft.step, 1e+20"),
        ("ct", ["training.class_weight={0: 1.0e+20}"], {}, "training.class_weight, 1e+20"),
    ],
)
def test_a_loss_that_is_not_a_number_is_told_with_what_is_too_large(method, changes, logs, keys):
    stop = monitor.StopAtNaN(load_recipe("mnist-rot", changes, methods=[method])[0])
    stop.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    which = "auxiliary_loss" if np.isnan(logs.get("auxiliary_loss", 0.0)) else "val_loss"
    with pytest.raises(monitor.TrainingError, match=f"^{which} is nan in epoch 2; lower {re.escape(keys)}$"):
        stop.on_epoch_end(1, {"loss": 1.0, "val_loss": NAN, **logs})


def test_data_that_are_not_scaled_are_what_is_too_large():
    x = np.array([[1e30, 1.0]], "float32")
    dataset = types.SimpleNamespace(train=Part(x, np.zeros(1, "int32")))
    stop = monitor.StopAtNaN(load_recipe("mnist-rot", methods=["ct"])[0], dataset)
    with pytest.raises(monitor.TrainingError, match=r"lower the largest value of the data, 1e\+30$"):
        stop.on_epoch_end(0, {"loss": NAN})
