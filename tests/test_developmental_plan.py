import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from nft_keras import (
    DevelopmentalPlan,
    EasyExamplesFirst,
    EasyExamplesPlan,
    FriendlyModel,
    FriendlyTraining,
    PerturbationPlan,
    verdict,
)
from nft_keras.auxiliaries import mlp
from nft_keras.laws import LAWS
from tests.test_nft import dense, examples, fit, friendly


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


def test_a_plan_of_one_epoch_is_said_to_alter_nothing(caplog):
    history = fit(friendly(), *examples(), epochs=2, plan=DevelopmentalPlan(1.0, 1))
    assert history["perturbation"] == [0, 0] and "simplification_epochs=1 leaves no simplified epoch" in caplog.text


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


@pytest.mark.parametrize("same_plan", [True, False])
def test_only_whole_plans_are_said_to_have_been_harder(caplog, same_plan):
    x, y = examples(320)
    y = x[:, :3].argmax(1)
    model = friendly(auxiliary=keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Rescaling(-1.0), Shift()]))
    plan = DevelopmentalPlan(0.0, 3)
    fit(model, x, y, epochs=2, plan=plan)
    caplog.clear()
    fit(model, x, y, epochs=4, initial_epoch=2, plan=plan if same_plan else DevelopmentalPlan(0.0, 3))
    assert ("in 2 of 2 simplified epochs" in caplog.text) == same_plan and "of 1 simplified" not in caplog.text


def test_an_unknown_perturbation_is_said_where_it_is_warned_of_and_in_the_report():
    (line,) = verdict.drop_warnings(math.nan, [])
    assert line.startswith("the perturbation is still an unknown share of the variance of the data")
    assert not verdict.came_back(math.nan) and verdict.came_back(0.1) and not verdict.came_back(0.11)


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


@pytest.mark.parametrize("first", [1, 2])
def test_of_no_epochs_nothing_is_logged(first, caplog):
    (x, y), plan = examples(), DevelopmentalPlan(1.0, 4, first_simplified_epoch=first)
    fit(friendly(), x, y, epochs=0, plan=plan, callbacks=[EARLY("loss")])
    assert not caplog.messages


def test_a_plan_that_begins_after_its_end_is_logged(caplog):
    model = friendly()
    history = fit(model, *examples(), epochs=3, plan=DevelopmentalPlan(1.0, 2, first_simplified_epoch=3))
    assert "no data are altered: first_simplified_epoch=3 comes after simplification_epochs=2" in caplog.text
    caplog.clear()
    late = DevelopmentalPlan(1.0, 9, first_simplified_epoch=5)
    assert fit(friendly(), *examples(), epochs=3, plan=late)["perturbation"] == [0, 0, 0]
    assert "no data are altered: first_simplified_epoch=5 comes after epochs=3" in caplog.text
    assert "training ends on altered data" not in caplog.text
    assert history["relative_perturbation"] == [0, 0, 0]


EARLY, PLATEAU, CHECKPOINT = (
    getattr(keras.callbacks, name) for name in ("EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint")
)
WATCHES = "watches while data are altered, up to epoch 4: "


@pytest.mark.parametrize(
    "make, warning",
    [
        (lambda: EARLY(patience=9), "it may stop or go back before the plan is over; give it start_from_epoch=4"),
        (
            lambda: EARLY(patience=9, start_from_epoch=3),
            "it may stop or go back before the plan is over; give it start_",
        ),
        (lambda: EARLY(patience=9, start_from_epoch=4), None),
        (lambda: PLATEAU(), "it may lower the learning rate for good; add it in a second fit, with initial_epoch=4"),
        (lambda: CHECKPOINT("a.keras", "loss", save_best_only=True), "loss is that of altered data then"),
        (lambda: CHECKPOINT("a.keras", save_best_only=True), None),
        (lambda: CHECKPOINT("a.keras", "loss"), None),
        (lambda: keras.callbacks.TerminateOnNaN(), None),
    ],
)
def test_a_callback_that_watches_from_before_the_drop_is_warned_of_in_one_line(
    make, warning, caplog, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    callback, (x, y) = make(), examples()
    fit(friendly(), x, y, epochs=4, callbacks=[callback], validation_data=(x, y))
    lines = [line for line in caplog.messages if "watches" in line]
    assert len(lines) == (warning is not None)
    assert all(line.startswith(f"{type(callback).__name__} {WATCHES}{warning}") and "\n" not in line for line in lines)


def test_nothing_that_watches_is_warned_of_after_the_plan_or_where_nothing_is_altered(caplog):
    x, y = examples()
    model = friendly()
    fit(model, x, y, epochs=4)
    fit(model, x, y, initial_epoch=4, epochs=5, callbacks=[EARLY("loss"), PLATEAU("loss")])
    fit(friendly(), x, y, epochs=1, callbacks=[EARLY("loss")], plan=DevelopmentalPlan(1.0, 1))
    fit(friendly(), x, y, epochs=1, callbacks=[EARLY("loss")], plan=DevelopmentalPlan(1.0, 4, first_simplified_epoch=5))
    classic = FriendlyModel(dense(3), None)
    classic.compile("adam", loss=model.loss)
    fit(classic, x, y, epochs=1, callbacks=[EARLY("loss")])
    assert "watches" not in caplog.text


def test_the_plans_of_the_other_methods_warn_too_unless_they_alter_nothing(caplog):
    x, y = examples()
    data = tf.data.Dataset.from_tensor_slices((x, y))
    for steps, fraction, number in ((3, 0.5, 2), (0, 1.0, 0)):
        ft, ft_plan = FriendlyTraining(dense(3), step=0.1, confidence=0.9), PerturbationPlan(steps, 2)
        eef, eef_plan = EasyExamplesFirst(dense(3)), EasyExamplesPlan(data, len(x), fraction, 2)
        caplog.clear()
        for model, plan, given in ((ft, ft_plan, data.batch(8)), (eef, eef_plan, eef_plan.minibatches(8))):
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(given, verbose=0, callbacks=[EARLY("loss"), plan])
            assert model.plan is plan
        assert caplog.text.count("EarlyStopping watches while data are altered, up to epoch 2") == number


def test_a_model_without_auxiliary_network_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="needs a FriendlyModel, got a Sequential"):
        model.fit(np.zeros((2, 2)), np.zeros((2, 1)), verbose=0, callbacks=[DevelopmentalPlan(1.0, 2)])
