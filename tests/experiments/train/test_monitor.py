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


def test_of_equal_epochs_the_first_is_the_best(tmp_path):
    best = monitor.BestClassifier(tmp_path, first_epoch=1)
    best.set_model(Saved())
    for epoch, error in enumerate((9.0, 7.6, 7.6)):
        best.on_epoch_end(epoch, {"val_error": float(np.float32(error))})  # 7.6 as Keras' metrics have it, below 7.6
    assert (best.epoch, best.valid_error) == (2, 7.6)


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
