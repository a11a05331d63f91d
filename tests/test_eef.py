import keras
import numpy as np
import pytest
import tensorflow as tf

from nft_keras import EasyExamplesFirst, EasyExamplesPlan
from tests.algorithm_1 import cross_entropy
from tests.test_ft import friendly_training
from tests.test_nft import CLASSES, dense, examples


@pytest.fixture(params=["arrays", "dataset"])
def easy(request):
    """Makes a plan of examples that are given as arrays, or as a `tf.data.Dataset`."""

    def plan(x, y, **kwargs):
        given = (x, y) if request.param == "arrays" else tf.data.Dataset.from_tensor_slices((x, y))
        return EasyExamplesPlan(given, **{"n": len(x), **kwargs})

    return plan


def easy_examples_first(dropout=0.0):
    model = EasyExamplesFirst(dense(CLASSES, dropout=dropout))
    model.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_the_easiest_examples_are_kept_and_more_of_them_every_epoch(easy):
    x, y = examples()
    plan = easy(x, y, first_fraction=0.25, simplification_epochs=4)
    model = easy_examples_first()
    seen, updates = [], []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            logits = model.predict(x, verbose=0).astype("float64")
            losses = [cross_entropy(logits[i : i + 1], y[i : i + 1])[0] for i in range(len(x))]
            kept = np.asarray(plan.kept)
            seen.append(int(kept.sum()))
            assert set(np.flatnonzero(kept)) == set(np.argsort(losses, kind="stable")[: kept.sum()])

        def on_epoch_end(self, epoch, logs=None):
            updates.append(int(model.optimizer.iterations))

    model.fit(plan.minibatches(8, seed=0), epochs=6, verbose=0, callbacks=[plan, Look()])
    assert seen == [int(40 * (1 - 0.75 * max(0, 1 - e / 3) ** 2) + 1e-9) for e in range(6)]
    assert seen[0] == 10 and seen[3:] == [40, 40, 40]
    assert np.diff([0, *updates]).tolist() == [-(-n // 8) for n in seen]


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy])
def test_a_loss_that_has_but_a_name_chooses_the_same_examples(loss, easy):
    x, y = examples()
    kept = []
    for given in (keras.losses.SparseCategoricalCrossentropy(), loss):
        keras.utils.set_random_seed(0)
        model = EasyExamplesFirst(keras.Sequential([keras.Input((6,)), keras.layers.Dense(CLASSES, "softmax")]))
        model.compile("sgd", given)
        plan = easy(x, y, first_fraction=0.5, simplification_epochs=4)
        model.fit(plan.minibatches(16), verbose=0, callbacks=[plan])
        kept.append(np.asarray(plan.kept))
    np.testing.assert_array_equal(*kept)
    assert kept[0].sum() == 20


@pytest.mark.parametrize("n", [30, 50])
def test_a_wrong_number_of_examples_is_refused(n, easy):
    with pytest.raises(ValueError, match=f"was told of n={n} examples, there are 40"):
        plan = easy(*examples(), n=n, first_fraction=0.5, simplification_epochs=4)
        easy_examples_first().fit(plan.minibatches(16), verbose=0, callbacks=[plan])


def test_the_loss_of_an_epoch_is_that_of_the_examples_seen(easy):
    x, y = examples()
    plan = easy(x, y, first_fraction=0.3, simplification_epochs=10)
    model = easy_examples_first()
    model.optimizer.learning_rate = 0.0
    logs = model.fit(plan.minibatches(8), epochs=1, verbose=0, callbacks=[plan]).history
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")(y, model(x)).numpy()
    assert logs["loss"][0] == pytest.approx(np.sort(loss)[:12].mean(), rel=1e-5)


def test_a_plan_of_no_epochs_keeps_everything(easy):
    x, y = examples()
    assert [easy(x, y, first_fraction=0.1, simplification_epochs=n).count(1) for n in (0, 1)] == [40, 40]
    with pytest.raises(ValueError, match=r"first_fraction must be in \(0, 1\], got 0"):
        easy(x, y, first_fraction=0, simplification_epochs=3)
    with pytest.raises(ValueError, match="needs an EasyExamplesFirst, got a FriendlyTraining"):
        plan = easy(x, y, first_fraction=1, simplification_epochs=3)
        plan.set_model(friendly_training())
        plan.on_train_begin()


def test_forgetting_the_plan_is_an_error_that_says_so(easy):
    x, y = examples()
    with pytest.raises(ValueError, match="EasyExamplesPlan"):
        easy_examples_first().fit(easy(x, y, first_fraction=1.0, simplification_epochs=0).minibatches(16))


def test_what_layers_add_to_the_loss_has_no_say_in_which_examples_are_easy(easy):
    x, y = examples(300)  # two minibatches
    kept = []
    for added in (None, keras.regularizers.L2(5.0)):
        keras.utils.set_random_seed(0)
        hidden = keras.layers.Dense(8, "tanh", activity_regularizer=added)
        model = EasyExamplesFirst(keras.Sequential([keras.Input((6,)), hidden, keras.layers.Dense(CLASSES)]))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        plan = easy(x, y, first_fraction=0.2, simplification_epochs=4)
        plan.set_model(model)
        plan.on_train_begin()
        plan.on_epoch_begin(0)
        kept.append(np.flatnonzero(np.asarray(plan.kept)))
    np.testing.assert_array_equal(*kept)


def test_an_epoch_is_a_pass_over_all_minibatches():
    x, y = examples()
    plan = EasyExamplesPlan(first_fraction=0.25, simplification_epochs=3)
    with pytest.raises(ValueError, match="all of its 5 minibatches: leave steps_per_epoch out, got 2"):
        easy_examples_first().fit(x, y, batch_size=8, steps_per_epoch=2, verbose=0, callbacks=[plan])
    plan = EasyExamplesPlan((x, y), first_fraction=0.25, simplification_epochs=3)
    with pytest.raises(ValueError, match="all of its 5 minibatches"):
        easy_examples_first().fit(plan.minibatches(8), steps_per_epoch=2, verbose=0, callbacks=[plan])
    easy_examples_first().fit(plan.minibatches(8), steps_per_epoch=5, verbose=0, callbacks=[plan])
    plan = EasyExamplesPlan(tf.data.Dataset.from_tensor_slices((x, y)), 40, 0.25, simplification_epochs=3)
    with pytest.raises(ValueError, match="all of its 5 minibatches"):
        easy_examples_first().fit(plan.minibatches(8), steps_per_epoch=2, verbose=0, callbacks=[plan])
    easy_examples_first().fit(plan.minibatches(8), steps_per_epoch=5, verbose=0, callbacks=[plan])


def test_minibatches_made_of_the_plans_are_as_many_in_every_epoch_and_others():
    x, y = examples(200)
    plan = EasyExamplesPlan(tf.data.Dataset.from_tensor_slices((x, y)), 200, 0.1, simplification_epochs=3)
    minibatches = plan.minibatches(20)
    # Of minibatches whose number is not known Keras takes in all epochs as many as in the first, of easy examples.
    for other in (minibatches.unbatch().batch(20), minibatches.rebatch(10), minibatches.repeat()):
        with pytest.raises(ValueError, match="needs minibatches whose number is known: make no other ones of its own"):
            easy_examples_first().fit(other, verbose=0, callbacks=[plan])
    with pytest.raises(ValueError, match="must not be cached"):
        easy_examples_first().fit(minibatches.cache().prefetch(1), verbose=0, callbacks=[plan])
    model, steps = easy_examples_first(), []
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: steps.append(int(model.optimizer.iterations)))
    model.fit(minibatches.map(lambda *each: each).prefetch(1), epochs=4, verbose=0, callbacks=[plan, count])
    assert [plan.count(gamma) for gamma in (1, 2, 3)] == [20, 155, 200] and steps == [1, 9, 19, 29]


def test_a_plan_chooses_among_other_examples_and_validates_in_minibatches_of_the_same_size():
    plan, steps = EasyExamplesPlan(first_fraction=0.25, simplification_epochs=2), []
    count = keras.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: steps.append(batch))
    for n in (40, 24):
        easy_examples_first().fit(
            *examples(n), batch_size=4, epochs=2, verbose=0, validation_data=examples(n), callbacks=[plan, count]
        )
        assert len(steps) == 2 * n // 4 and plan.n == n
        steps.clear()
