"""`compare`: the same classifier by several methods, from the same weights and data order."""

import functools
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.sparse import csr_matrix
from scipy.stats import ttest_1samp, ttest_rel
from sklearn.datasets import make_moons

import nft_keras
from nft_keras import (
    DevelopmentalPlan,
    EasyExamplesFirst,
    EasyExamplesPlan,
    FriendlyModel,
    FriendlyTraining,
    PerturbationPlan,
    compare,
    mlp,
)
from nft_keras.comparison import PairedTable

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
(X, Y), VALID, TEST = (make_moons(n, noise=0.3, random_state=i) for i, n in enumerate((40, 30, 50)))
DATA = dict(test_data=TEST, batch_size=16, seeds=(0, 1), verbose=0)


def build(outputs=2, units=6, dropout=0.0):
    inputs = keras.Input((2,))
    h = layers.Dropout(dropout)(layers.Dense(units, activation="tanh")(inputs))
    return keras.Model(inputs, layers.Dense(outputs)(h))


def compiled(model, loss=LOSS, **arguments):
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss, metrics=["accuracy"], **arguments)
    return model


def ct(**arguments):
    return compiled(build(**arguments))


def nft(last=3):
    model = compiled(FriendlyModel(build(), mlp(2, hidden=8)), auxiliary_optimizer=keras.optimizers.Adam(0.02))
    return model, DevelopmentalPlan(eta_max=2.0, simplification_epochs=last)


def in_a_list():
    model, plan = nft()
    return model, [plan]


def ft(steps=4):
    return compiled(FriendlyTraining(build(), step=0.5, confidence=0.9)), PerturbationPlan(steps, 3)


def eef(fraction=0.3, as_dataset=False):
    examples = (X.astype("float32"), Y)
    examples = tf.data.Dataset.from_tensor_slices(examples) if as_dataset else examples
    return compiled(EasyExamplesFirst(build())), EasyExamplesPlan(examples, len(X), fraction, 3)


class Smoothed(keras.losses.CategoricalCrossentropy):
    def call(self, y_true, y_pred):
        return super().call(keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32"), 2), y_pred)


def smoothed():
    return compiled(build(), Smoothed(from_logits=True, label_smoothing=0.1))


def by_hand(seed, epochs):
    """CT, minibatch by minibatch: validation loss and test error of each epoch."""
    keras.utils.set_random_seed(seed)
    model, x, y, found = ct(dropout=0.2), X.astype("float32"), Y, []
    for epoch in range(epochs):
        rows = np.random.default_rng((seed, epoch)).permutation(len(x))
        for start in range(0, len(x), 16):
            model.train_on_batch(x[rows[start : start + 16]], y[rows[start : start + 16]])
        loss = float(LOSS(VALID[1], model(VALID[0].astype("float32"))))
        found.append((loss, 100 * np.mean(np.argmax(model(TEST[0].astype("float32")), 1) != TEST[1])))
    return found


@pytest.mark.parametrize("with_validation", [True, False])
def test_the_epoch_of_lowest_validation_loss_counts_and_without_validation_the_last(with_validation):
    validation = {"validation_data": VALID} if with_validation else {}
    table = compare({"CT": lambda: ct(dropout=0.2)}, X, Y, epochs=12, **validation, **DATA)
    for training, seed in zip(table.trainings, (0, 1), strict=True):
        epochs = by_hand(seed, 12)
        best = min(range(12), key=lambda i: epochs[i][0]) if with_validation else 11
        assert (training["method"], training["seed"], training["epoch"]) == ("CT", seed, best + 1)
        assert training["test_error"] == pytest.approx(epochs[best][1])
        assert ("last_test_error" in training) == with_validation
        if with_validation:
            assert training["last_test_error"] == pytest.approx(epochs[-1][1])
            np.testing.assert_allclose(training["history"]["val_loss"], [loss for loss, _ in epochs], rtol=1e-5)
    assert any(t["epoch"] < 12 for t in table.trainings) == with_validation


def test_of_epochs_that_are_equally_good_that_of_the_lower_validation_loss_counts():
    table = compare({"CT": ct, "NFT": nft}, X, Y, validation_data=VALID, epochs=12, monitor="val_accuracy", **DATA)
    ties = 0
    for training in table.trainings:
        accuracy, loss = (training["history"][name] for name in ("val_accuracy", "val_loss"))
        epochs = range(0 if training["method"] == "CT" else 3, 12)
        best = min(epochs, key=lambda i: (-accuracy[i], loss[i]))
        ties += best != max(epochs, key=lambda i: accuracy[i])
        assert training["epoch"] == best + 1
    assert ties


def after_other_random_numbers(make, *arguments):
    def made():
        layers.Dense(3).build((None, 5))
        return make(*arguments)

    return made


def test_all_methods_start_from_the_same_weights_and_see_the_same_order_of_examples():
    others = {"NFT": (nft, 0), "FT": (ft, 0), "EEF": (eef, 1.0)}  # that alter nothing
    methods = {"CT": ct, **{name: after_other_random_numbers(*made) for name, made in others.items()}}
    table = compare(methods, X, Y, validation_data=VALID, epochs=4, **DATA)
    for seed in (0, 1):
        classic, *histories = (t["history"] for t in table.trainings if t["seed"] == seed)
        assert len(histories) == 3
        for history in histories:
            for name in classic:
                np.testing.assert_allclose(history[name], classic[name], rtol=1e-5)
    assert table.trainings[0]["history"] != table.trainings[4]["history"]


def test_every_method_of_the_package_and_a_loss_of_ones_own_can_be_compared():
    methods = {"CT": ct, "smoothed": smoothed, "NFT": nft, "FT": ft, "EEF": eef}
    table = compare(methods, X, Y, validation_data=VALID, epochs=6, **DATA)
    by = {(t["method"], t["seed"]): t for t in table.trainings}
    assert list(by) == [(method, seed) for seed in (0, 1) for method in methods]
    for seed in (0, 1):
        classic, friendly = by["CT", seed]["history"], by["NFT", seed]["history"]
        assert friendly["loss"][0] == pytest.approx(classic["loss"][0], rel=1e-5) and friendly["perturbation"][1] > 0
        for method in methods:
            losses = by[method, seed]["history"]["val_loss"]
            first = 0 if method in ("CT", "smoothed") else 3
            assert by[method, seed]["epoch"] == first + 1 + np.argmin(losses[first:])
    assert [row[0] for row in cells(str(table))] == ["method", *methods]


def of_these():
    return compiled(EasyExamplesFirst(build())), EasyExamplesPlan(first_fraction=0.3, simplification_epochs=3)


def test_easy_examples_come_first_alike_from_arrays_and_from_a_dataset():
    methods = {"arrays": eef, "dataset": lambda: eef(as_dataset=True), "these": of_these, "all": lambda: eef(1.0)}
    one, other, these, everything = (
        t["history"] for t in compare(methods, X, Y, epochs=3, **{**DATA, "seeds": [0]}).trainings
    )
    for same in (other, these):
        assert one["loss"] == pytest.approx(same["loss"], rel=1e-5)
    assert one["loss"][0] != pytest.approx(everything["loss"][0], rel=1e-3)


def cells(text):
    lines = [re.findall(r"[^|]+", line) for line in text.splitlines()]
    return [[cell.strip() for cell in line] for line in lines if "---" not in line[0]]


def test_the_table_has_means_and_paired_differences_with_their_p():
    errors = {"CT": [7.0, 8.5, 9.1, 6.0], "NFT": [6.5, 8.0, 9.6, 5.0]}
    trainings = [
        {"method": m, "seed": i, "test_error": e, "epoch": 3 + i, "last_test_error": e + i, "seconds": 2.0 + i}
        for m, of in errors.items()
        for i, e in enumerate(of)
    ]
    table = PairedTable(trainings)
    assert table._repr_markdown_() == str(table) == repr(table)
    head, first, second = cells(str(table))
    assert head == [
        "method", "test error (%)", "- CT (points)", "seeds better", "p", "best epoch", "last epoch: test error (%)",
        "s per run",
    ]  # fmt: skip
    mean, std = (lambda of: np.mean(errors[of])), (lambda values: np.std(values, ddof=1))
    difference = np.subtract(errors["NFT"], errors["CT"])
    p = ttest_rel(errors["NFT"], errors["CT"]).pvalue
    lasts = [np.add(of, range(4)) for of in errors.values()]
    assert first == [
        "CT", f"{mean('CT'):.2f} ± {std(errors['CT']):.2f}", "-", "-", "-", "3, 4, 5, 6",
        f"{np.mean(lasts[0]):.2f} ± {std(lasts[0]):.2f}", "3.5",
    ]  # fmt: skip
    assert second == [
        "NFT", f"{mean('NFT'):.2f} ± {std(errors['NFT']):.2f}",
        f"{difference.mean():+.2f} ± {std(difference):.2f}", "3 of 4", f"{p:.3f}", "3, 4, 5, 6",
        f"{np.mean(lasts[1]):.2f} ± {std(lasts[1]):.2f}", "3.5",
    ]  # fmt: skip


def test_the_figure_has_the_mean_of_the_differences_to_the_first_method_and_its_interval():
    errors = {"classic": [7.0, 8.5, 9.1, 6.0], "friendly": [6.5, 8.0, 9.6, 5.0]}
    trainings = [
        {"method": m, "seed": i, "test_error": e, "last_test_error": e + i * (m == "friendly")}
        for m, of in errors.items()
        for i, e in enumerate(of)
    ]
    figure = PairedTable(trainings).figure()
    (axis,) = figure.axes
    for container, later in zip(axis.containers, (0, np.arange(4)), strict=True):
        line, _, (bars,) = container
        difference = np.subtract(errors["friendly"], errors["classic"]) + later
        low, high = ttest_1samp(difference, 0).confidence_interval(0.95)
        assert line.get_xdata() == pytest.approx([difference.mean()])
        assert bars.get_segments()[0][:, 0] == pytest.approx([low, high])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["friendly"]
    assert axis.get_title(loc="left") == "classic 7.65 ± 1.41 %, 4 seeds"
    assert axis.get_xlabel().startswith("test error - classic (points)")
    with pytest.raises(ValueError, match="'classic' alone"):
        PairedTable(trainings[:4]).figure()


def test_where_no_epoch_was_chosen_the_table_has_no_columns_of_it():
    table = compare({"CT": ct}, X, Y, epochs=1, **DATA)
    assert cells(str(table))[0] == ["method", "test error (%)", "- CT (points)", "seeds better", "p", "s per run"]


def test_the_weights_at_the_end_of_the_chosen_epoch_are_those_that_are_tested():
    tested = []

    def watched():
        model = ct()
        predict = model.predict
        model.predict = lambda *a, **k: tested.append(model.get_weights()) or predict(*a, **k)
        keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
        return model, keep

    kept = []
    (training,) = compare({"CT": watched}, X, Y, validation_data=VALID, epochs=12, **{**DATA, "seeds": [1]}).trainings
    for weights, epoch in zip(tested, (training["epoch"], 12), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(weights, kept[epoch - 1], strict=True))


@pytest.mark.parametrize(
    "methods, arguments, message",
    [
        ({}, {}, "compare needs methods and seeds, got 0 and 2"),
        ({"CT": ct}, {"seeds": []}, "compare needs methods and seeds, got 1 and 0"),
        ({"CT": ct}, {"seeds": 2}, r"seeds must be several whole numbers, such as range\(3\), got 2"),
        ({"CT": ct}, {"seeds": [0, 1, 0]}, "seeds must be different ones, got 0, 1, 0"),
        ({"CT": ct}, {"seeds": "01"}, r"seeds must be several whole numbers, such as range\(3\), got '01'"),
        ({"CT": ct}, {"seeds": None}, r"seeds must be several whole numbers, such as range\(3\), got None"),
        ({"CT": ct}, {"seeds": [1.5]}, r"seeds must be whole numbers from 0 to 2\*\*32 - 1, got 1.5"),
        ({"CT": ct}, {"seeds": [-1]}, r"seeds must be whole numbers from 0 to 2\*\*32 - 1, got -1"),
        (None, {}, "methods must be {name: function}, got a NoneType"),
        ([ct], {}, "methods must be {name: function}, got a list"),
        ({"CT": ct}, {"mode": "maximum"}, r"mode must be one of \('auto', 'min', 'max'\), got 'maximum'"),
        ({"CT": ct}, {"callbacks": []}, "compare takes no callbacks: a method returns its own, with the model"),
        (
            {"CT": ct},
            {"sample_weight": Y},
            "compare takes no sample_weight: class_weight weighs the examples of a class",
        ),
        ({"CT": ct}, {"validation_split": 0.1}, "compare takes no validation_split: give validation_data"),
        ({"CT": ct}, {"shuffle": True}, "compare takes no shuffle: it orders the examples itself"),
        ({"CT": ct}, {"validation_data": (X[:0], Y[:0])}, "x and y of validation_data must have examples, got 0 and 0"),
        ({"CT": ct}, {"validation_data": (X,)}, r"validation_data must be \(x, y\) or \(x, y, sample_weight\), got 1"),
        ({"CT": ct}, {"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"CT": ct}, {"batch_size": 0}, "batch_size must be a whole number >= 1, got 0"),
        ({"CT": ct}, {"test_data": (X, Y[:9])}, "x and y of test_data must have as many examples each, got 40 and 9"),
        ({"CT": ct}, {"test_data": X}, r"test_data must be \(x, y\), got a ndarray"),
        ({"NFT": nft}, {"epochs": 2}, "plan of NFT, of 3 epochs, leaves none of epochs=2 to choose from"),
        ({"NFT": in_a_list}, {"epochs": 2}, "plan of NFT, of 3 epochs, leaves none of epochs=2 to choose from"),
        ({"CT": lambda: (ct(), [Y])}, {}, "CT returns with the model must be keras.callbacks.Callback, got a ndarray"),
        ({"CT": lambda: ()}, {}, "CT must return a compiled model, or one with callbacks, got a tuple"),
        ({"CT": build()}, {}, "CT must be a function that builds a compiled model, got a Functional"),
        ({"CT": lambda: None}, {}, "CT must return a compiled model, or one with callbacks, got a NoneType"),
        ({"CT": lambda: ct(outputs=1)}, {}, r"CT needs an output per class, it has one of \(1, 1\)"),
        ({"CT": ct, "B": lambda: ct(units=7)}, {}, "same classifier: the weights of B are not those of CT"),
        ({"NFT": lambda: nft(5)}, {"validation_data": VALID, "epochs": 5}, "plan of NFT, of 5 epochs, leaves none of"),
        (
            {"CT": ct},
            {"validation_data": VALID, "monitor": "val_acc", "mode": "max"},
            "monitor must be one of .*, got 'val_acc'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
def test_what_cannot_be_compared_is_named(methods, arguments, message):
    with pytest.raises(ValueError, match=message):
        compare(methods, X, Y, **{**DATA, "epochs": 1, **arguments})


@pytest.mark.parametrize(
    "alter, got",
    [
        (lambda y: np.array(["a", "b"])[y], "class indices 0 to 1, or one-hot, got '[ab]'"),
        (lambda y: np.array(["a", "b"], object)[y], "class indices 0 to 1, or one-hot, got '[ab]'"),
        (lambda y: np.where(y, np.nan, 0), "class indices 0 to 1, or one-hot, got nan"),
        (lambda y: y + 0.5, r"class indices 0 to 1, or one-hot, got [01]\.5"),
        (lambda y: y + 1, "class indices 0 to 1, or one-hot, got 2"),
        (lambda y: -y, "class indices 0 to 1, or one-hot, got -1"),
        (lambda y: np.eye(3)[y], r"class indices 0 to 1, or one-hot, got an array of shape \(.., 3\)"),
        (lambda y: np.eye(2)[y] * np.nan, "class indices 0 to 1, or one-hot, got nan"),
        (lambda y: {"y": y}, "an array of labels, got a dict"),
    ],
)
def test_labels_that_are_no_classes_are_refused_before_any_training(monkeypatch, alter, got):
    monkeypatch.setattr(keras.Model, "fit", None)
    right = {"": (X, Y), " of test_data": TEST, " of validation_data": VALID}
    for which, (x, y) in right.items():
        train, test, valid = {**right, which: (x, alter(y))}.values()
        with pytest.raises(ValueError, match=f"y{which} must be {got}"):
            compare({"CT": ct}, *train, **{**DATA, "test_data": test, "validation_data": valid})


def test_soft_labels_are_trained_on():
    soft, one_hot = 0.9 * np.eye(2)[Y] + 0.05, (TEST[0], np.eye(2)[TEST[1]])
    plain = {"soft": lambda: compiled(build(), keras.losses.CategoricalCrossentropy(from_logits=True))}
    (one,) = compare(plain, X, soft, **{**DATA, "test_data": one_hot, "seeds": [0]}).trainings
    (other,) = compare({"smoothed": smoothed}, X, Y, **{**DATA, "seeds": [0]}).trainings
    assert one["history"]["loss"] == pytest.approx(other["history"]["loss"], rel=1e-5)
    assert one["test_error"] == other["test_error"]


@functools.cache
def once(make, *arguments):
    return make(*arguments)


def on_top(layer):
    return compiled(keras.Sequential([keras.Input((2,)), layer, layers.Dense(2)]))


@pytest.mark.parametrize(
    "what, method",
    [
        ("Functional", lambda: once(ct)),
        (
            "Functional",
            lambda: (compiled(FriendlyTraining(once(build), step=0.5, confidence=0.9)), PerturbationPlan(4, 0)),
        ),
        ("PerturbationPlan", lambda: (ft()[0], once(PerturbationPlan, 4, 0))),
        ("Dense", lambda: on_top(once(layers.Dense, 6))),
    ],
)
def test_a_method_that_returns_what_was_trained_before_is_refused(what, method):
    with pytest.raises(ValueError, match=f"A must build everything anew each time, it returned a {what} of an earlier"):
        compare({"A": method}, X, Y, **DATA)


def test_what_is_not_trained_may_be_shared():
    scaled = layers.Normalization()
    scaled.adapt(X)
    one, two = compare({"CT": lambda: on_top(scaled)}, X, Y, **DATA).trainings
    assert one["history"] != two["history"]


def test_a_training_with_losses_that_are_not_finite_is_kept_and_named(capsys):
    def far():
        model = build()
        model.compile(keras.optimizers.SGD(1e38), LOSS)
        return model

    table = compare({"CT": ct, "far": far}, X, Y, epochs=2, **{**DATA, "seeds": [4], "verbose": 1})
    classic, lost = table.trainings
    assert (lost["test_error"], lost["not_finite"]) == (100, "its loss is nan in epoch 1")
    assert classic["test_error"] < 100 and "not_finite" not in classic
    assert capsys.readouterr().out.endswith("\nfar seed 4: test error 100.00 %, epoch 2; its loss is nan in epoch 1\n")
    notes = ["far seed 4: its loss is nan in epoch 1.", "A prediction that is not finite counts as an error."]
    assert str(table).split("\n\n")[1:] == notes


def test_predictions_that_are_not_finite_are_errors():
    (right,) = compare({"CT": ct}, X, Y, **{**DATA, "seeds": [4]}).trainings
    test = (np.concatenate([TEST[0], np.full((50, 2), np.nan)]), np.concatenate([TEST[1], np.zeros(50)]))
    (half,) = compare({"CT": ct}, X, Y, **{**DATA, "seeds": [4], "test_data": test}).trainings
    assert half["test_error"] == pytest.approx(50 + right["test_error"] / 2)
    assert half["not_finite"] == "its predictions for test_data are not finite"


def test_sparse_examples_are_compared_as_dense_ones_are():
    (train, valid, test), methods = (
        ((np.maximum(x, 0), y) for x, y in ((X, Y), VALID, TEST)),
        {"NFT": nft, "EEF": of_these},
    )

    def compared(form):
        given = {"test_data": (form(test[0]), test[1]), "validation_data": (form(valid[0]), valid[1])}
        return compare(methods, form(train[0]), Y, epochs=4, **{**DATA, **given, "seeds": [0]}).trainings

    for dense, sparse in zip(compared(np.asarray), compared(csr_matrix), strict=True):
        assert sparse["test_error"] == dense["test_error"]
        for name, values in dense["history"].items():
            np.testing.assert_allclose(sparse["history"][name], values, rtol=1e-5)


def test_what_is_monitored_is_looked_for_after_the_first_epoch():
    begun = []
    seen = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    with pytest.raises(ValueError, match="monitor must be one of accuracy, loss, val_accuracy, val_loss, got 'val_f1'"):
        compare(
            {"CT": lambda: (ct(), seen)}, X, Y, validation_data=VALID, epochs=4, monitor="val_f1", mode="max", **DATA
        )
    assert begun == [0]


def test_epochs_that_are_not_validated_are_no_better_than_those_of_the_same_accuracy_that_are():
    def still():
        model = ct()
        model.optimizer.learning_rate = 0.0
        return model

    options = {"validation_data": VALID, "validation_freq": 2, "monitor": "accuracy", "epochs": 3}
    assert [training["epoch"] for training in compare({"CT": still}, X, Y, **options, **DATA).trainings] == [2, 2]


def test_optimizers_that_differ_are_said_once(caplog):
    def slower():
        model = build()
        model.compile(keras.optimizers.Adam(0.005), loss=LOSS, metrics=["accuracy"])
        return model

    compare({"CT": ct, "slower": slower, "NFT": nft}, X, Y, epochs=4, **DATA)
    (said,) = [message for message in caplog.messages if "optimizers" in message]
    expected = "CT and slower have different optimizers (learning_rate 0.02 and 0.005): a difference may be theirs"
    assert said == expected


def test_numbers_of_numpy_and_whole_floats_are_taken():
    numbers = {"batch_size": np.float64(16), "seeds": np.arange(1)}
    (whole,) = compare({"CT": ct}, X, Y, epochs=2.0, **{**DATA, **numbers}).trainings
    (same,) = compare({"CT": ct}, X, Y, epochs=2, **{**DATA, "seeds": [0]}).trainings
    assert whole["history"] == same["history"]


def test_x_and_y_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="as many examples each, got 40 and 39"):
        compare({"CT": ct}, X, Y[:39], **DATA)


def test_a_dataset_is_refused():
    with pytest.raises(ValueError, match="x and y must be arrays, got a _TensorSliceDataset"):
        compare({"CT": ct}, tf.data.Dataset.from_tensor_slices((X, Y)), None, **DATA)


def test_each_training_is_told_of_unless_verbose_is_0(capsys):
    compare({"CT": ct}, X, Y, **{**DATA, "seeds": [4]})
    assert capsys.readouterr().out == ""
    (training,) = compare(
        {"CT": ct}, X, np.eye(2)[Y].argmax(1)[:, None], **{**DATA, "seeds": [4], "verbose": 1}
    ).trainings
    assert capsys.readouterr().out == f"CT seed 4: test error {training['test_error']:.2f} %, epoch 1\n"


def test_importing_the_package_imports_neither_scipy_nor_the_reports():
    program = (
        "import sys; sys.modules['scipy'] = None; import nft_keras; nft_keras.compare; "
        "print([m for m in sys.modules if m.startswith(('nft_keras.experiments', 'nft_keras.data'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert "compare" in dir(nft_keras)


def test_token_numbers_stay_what_they_are():
    large = 2**24 + 1  # which float32 has not

    class Seen(keras.layers.Layer):
        def call(self, x):
            return keras.ops.cast(keras.ops.stack([x[:, 0] != large, x[:, 0] == large], axis=1), "float32")

    def classic():
        x = keras.Input((1,), dtype="int32")
        seen = layers.Dense(2, kernel_initializer="identity", name="same")(Seen()(x))
        model = keras.Model(x, seen)
        model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    x, y = np.full((8, 1), large, "int32"), np.ones(8, "int32")
    table = compare({"CT": classic}, x, y, test_data=(x, y), seeds=[0], verbose=0)
    assert table.trainings[0]["test_error"] == 0


@pytest.mark.parametrize("form", [dict, list])
def test_several_inputs_are_compared_as_fit_takes_them(form):
    def build():
        inputs = {name: keras.Input((1,), name=name) for name in ("a", "b")}
        h = layers.Dense(6, activation="tanh")(layers.Concatenate()(list(inputs.values())))
        return keras.Model(inputs if form is dict else list(inputs.values()), layers.Dense(2)(h))

    def friendly():
        model = FriendlyModel(build(), mlp(1, 4), alters="a")
        return compiled(model, auxiliary_optimizer=keras.optimizers.Adam(0.02)), DevelopmentalPlan(2.0, 2)

    def given(x):
        return {"a": x[:, :1], "b": x[:, 1:]} if form is dict else [x[:, :1], x[:, 1:]]

    methods = {"CT": lambda: compiled(build()), "NFT": friendly}
    valid, test = ((given(x), y) for x, y in (VALID, TEST))
    arguments = {**DATA, "test_data": test, "validation_data": valid, "epochs": 4}
    table = compare(methods, given(X), Y, **arguments)
    assert [t["history"]["loss"][-1] < 1 for t in table.trainings] == [True] * 4
    alone = compare({"CT": methods["CT"]}, given(X), Y, **arguments)
    for one, same in zip(alone.trainings, table.trainings[::2], strict=True):
        assert one["history"] == same["history"]
