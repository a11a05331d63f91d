import math

import keras
import numpy as np
import pytest

from nft_keras import DevelopmentalPlan
from nft_keras.auxiliaries import mlp
from nft_keras.laws import LAWS
from tests.test_nft import examples, fit, friendly


@pytest.mark.parametrize("simplification_epochs", [2, 3, 50, 170])
def test_eta_is_eq_5(simplification_epochs):
    plan = DevelopmentalPlan(500.0, simplification_epochs)
    for gamma in range(1, 201):
        positive_part = max(0.0, 1 - (gamma - 1) / (simplification_epochs - 1))
        assert plan.eta(gamma) == pytest.approx(500.0 * (1 - positive_part**2), rel=1e-12)


@pytest.mark.parametrize("simplification_epochs", [0, 1])
def test_a_plan_of_no_epochs_is_never_active_and_divides_by_nothing(simplification_epochs):
    plan = DevelopmentalPlan(500.0, simplification_epochs)
    assert not any(plan.active(gamma) for gamma in range(1, 10))
    assert all(math.isfinite(plan.eta(gamma)) for gamma in range(1, 10))


def test_data_are_simplified_after_the_first_epoch_and_up_to_the_last_of_the_plan():
    plan = DevelopmentalPlan(1.0, 4)
    assert [gamma for gamma in range(1, 8) if plan.active(gamma)] == [2, 3, 4]


@pytest.mark.parametrize("law", [*LAWS, np.sqrt])
def test_every_law_grows_from_0_to_eta_max(law):
    etas = [DevelopmentalPlan(3.0, 20, law).eta(gamma) for gamma in range(1, 30)]
    assert etas[0] == 0 and etas[19:] == pytest.approx([3.0] * 10) and etas == sorted(etas)


@pytest.mark.parametrize("eta_max", [-1.0, math.nan, math.inf, "500", None, True])
def test_eta_max_out_of_range_is_refused(eta_max):
    with pytest.raises(ValueError, match="eta_max must be a finite number >= 0"):
        DevelopmentalPlan(eta_max, 10)


@pytest.mark.parametrize("epochs", [-1, 2.5, math.nan, "10", None, True])
def test_simplification_epochs_out_of_range_are_refused(epochs):
    with pytest.raises(ValueError, match="simplification_epochs must be a whole number >= 0"):
        DevelopmentalPlan(1.0, epochs)


def test_a_law_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"law must be one of .* got \['quadratic'\]"):
        DevelopmentalPlan(1.0, 5, law=["quadratic"])
    with pytest.raises(ValueError, match=r"one of 'quadratic', 'linear', 'cosine' or a function, got 'cubic'"):
        DevelopmentalPlan(1.0, 10, "cubic")
    with pytest.raises(ValueError, match=r"must stay in \[0, 1\], got 2.0 at progress 1.0"):
        DevelopmentalPlan(1.0, 10, lambda progress: 2 * progress**4)


def test_with_first_simplified_epoch_1_theta_is_updated_from_epoch_2_on():
    plan = DevelopmentalPlan(1.0, 4, first_simplified_epoch=1)
    assert [gamma for gamma in range(1, 8) if plan.active(gamma)] == [1, 2, 3, 4]
    assert [gamma for gamma in range(1, 8) if plan.updates_auxiliary(gamma)] == [2, 3, 4]


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_in_epoch_1_the_authors_code_trains_the_classifier_alone_on_altered_data(phases):
    model = friendly(phases=phases)
    theta, w = model.auxiliary.get_weights(), model.classifier.get_weights()
    auxiliary, plan = model.auxiliary, DevelopmentalPlan(2.0, 4, first_simplified_epoch=1)
    logs = fit(model, *examples(), plan=plan, epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(auxiliary.get_weights(), theta, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(model.classifier.get_weights(), w, strict=True))
    assert logs["perturbation"][0] > 0 and logs["auxiliary_loss"] == [0]
    fit(model, *examples(), plan=plan, epochs=2, initial_epoch=1)
    assert not any(np.array_equal(a, b) for a, b in zip(auxiliary.get_weights(), theta, strict=True))


@pytest.mark.parametrize("first", [0, -1, 1.5, "2", None, True])
def test_first_simplified_epoch_out_of_range_is_refused(first):
    with pytest.raises(ValueError, match="first_simplified_epoch must be a whole number >= 1"):
        DevelopmentalPlan(1.0, 5, first_simplified_epoch=first)


def test_data_that_are_still_altered_at_the_drop_are_warned_of(caplog):
    history = fit(friendly(), *examples(), epochs=5)
    left = f"{history['relative_perturbation'][3]:.0%}"
    assert history["relative_perturbation"][3] > 0.1
    assert f"the perturbation is still {left} of the variance of the data as the auxiliary network" in caplog.text


def test_nothing_is_warned_of_where_the_data_came_back_and_were_easier(caplog):
    x, y = examples(320)
    model = friendly(auxiliary=mlp(x.shape[1], 8, num_classes=3, residual=True))
    history = fit(model, x, y, epochs=12, plan=DevelopmentalPlan(20.0, 11))
    assert 0 < history["relative_perturbation"][10] < 0.1 and min(history["loss_reduction"]) >= 0
    assert not caplog.text


def test_data_that_were_harder_than_the_real_ones_are_warned_of(caplog):
    x, y = examples(320)
    y = x[:, :3].argmax(1)
    model = friendly(auxiliary=keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Rescaling(-1.0), Shift()]))
    history = fit(model, x, y, epochs=6, plan=DevelopmentalPlan(0.0, 2))
    assert history["loss_reduction"][1] < 0 == history["loss_reduction"][2]
    assert (
        "in 1 of 1 simplified epochs the classifier's loss was higher on altered data than on real data" in caplog.text
    )


class Shift(keras.layers.Layer):
    """x + theta, theta too small to matter."""

    def build(self, shape):
        self.theta = self.add_weight(shape=(shape[-1],), initializer="zeros")

    def call(self, x):
        return x + 1e-6 * self.theta


def test_a_plan_that_training_cuts_short_is_logged(caplog):
    model = friendly()
    fit(model, *examples(), epochs=3)
    assert "simplification_epochs=4 are more than epochs=3: training ends on altered data" in caplog.text
    caplog.clear()
    fit(model, *examples(), epochs=4, initial_epoch=3)
    assert "epochs=" not in caplog.text


def test_a_model_without_auxiliary_network_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="needs a FriendlyModel, got a Sequential"):
        model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0, callbacks=[DevelopmentalPlan(1.0, 2)])
