import numpy as np
import pytest

from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import callbacks as monitor


class Saved:
    """Stands for a model, and for its classifier."""

    @property
    def classifier(self):
        return self

    def save(self, path):
        path.write_text("saved")


# Validation error, loss and balanced error of four epochs.
EPOCHS = [(9.0, 0.1, 30.0), (7.6, 0.4, 20.0), (7.6, 0.3, 20.0), (7.6, 0.3, 25.0)]


@pytest.mark.parametrize("metric, epoch", [("error", 3), ("loss", 1), ("balanced_error", 3)])
def test_of_epochs_with_equal_errors_that_of_the_lower_loss_is_the_best_and_of_equals_the_first(
    tmp_path, metric, epoch
):
    best = monitor.BestClassifier(tmp_path, 1, metric)
    best.set_model(Saved())
    for index, numbers in enumerate(EPOCHS):
        numbers = map(float, np.float32(numbers))  # as Keras' metrics have them: 7.6 is a little below 7.6
        best.on_epoch_end(index, dict(zip(("val_error", "val_loss", "val_balanced_error"), numbers, strict=True)))
    assert best.epoch == epoch
    assert best.valid["valid_error"] == EPOCHS[epoch - 1][0] and best.valid["valid_loss"] == EPOCHS[epoch - 1][1]


@pytest.mark.parametrize(
    "method, keys",
    [
        ("ct", "training.learning_rate"),
        ("ft", "training.learning_rate or methods.ft.step"),
        ("nft", "training.learning_rate or methods.nft.auxiliary_optimizer.learning_rate"),
    ],
)
def test_a_loss_that_is_not_a_number_is_told_with_the_settings_of_the_method_that_failed(method, keys):
    stop = monitor.StopAtNaN(load_recipe("mnist-rot", methods=[method])[0])
    stop.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    with pytest.raises(monitor.TrainingError, match=f"^val_loss is nan in epoch 2; lower {keys}$"):
        stop.on_epoch_end(1, {"loss": 1.0, "val_loss": float("nan")})
