"""Operations counted from networks, and what `summary` says of them."""

import keras
import numpy as np
import pytest
from keras import layers

from nft_keras import EasyExamplesFirst, FriendlyModel, costs, mlp
from nft_keras.experiments.methods import METHODS
from nft_keras.experiments.recipe.reading import load_recipe


def network(*stack, shape=(8, 8, 1), dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stack])


@pytest.mark.parametrize(
    "made, expected",
    [
        (lambda: network(layers.Dense(5), shape=(3,)), 2 * 3 * 5),
        (lambda: network(layers.Dense(5), shape=(7, 3)), 2 * 3 * 5 * 7),
        (lambda: network(layers.Conv2DTranspose(5, 3, 2)), 2 * 3 * 3 * 5 * 8 * 8),
        (lambda: network(layers.Conv2D(4, 3)), 2 * 3 * 3 * 4 * 6 * 6),
        (
            lambda: network(layers.Conv2D(4, 3, 2, "same"), layers.Flatten(), layers.Dense(2)),
            2 * 9 * 4 * 16 + 2 * 64 * 2,
        ),
        (lambda: network(layers.SeparableConv2D(4, 3)), 2 * (3 * 3 + 4) * 6 * 6),
        (lambda: network(layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()), 0),
        (lambda: network(layers.Embedding(9, 4), layers.LSTM(5), shape=(7,), dtype="int32"), 2 * (4 + 5) * 20 * 7),
        (lambda: network(network(layers.Conv2D(4, 3)), layers.Conv2D(1, 1)), 2 * 36 * 36 + 2 * 4 * 36),
    ],
)
def test_the_operations_of_a_forward_pass_are_those_of_its_kernels(made, expected):
    assert costs.forward(made()) == expected


def test_a_layer_counts_as_often_as_it_is_called():
    x, shared = keras.Input((4,)), layers.Dense(4)
    assert costs.forward(keras.Model(x, shared(shared(shared(x))))) == 3 * 2 * 4 * 4
    inside = network(layers.Dense(4), shape=(4,))
    assert costs.forward(keras.Model(x, inside(inside(x)))) == 2 * 2 * 4 * 4


def lora():
    layer = layers.Dense(5)
    made = network(layer, shape=(3,))
    layer.enable_lora(2)
    return made


def attention():
    x = keras.Input((7, 6))
    return keras.Model(x, layers.MultiHeadAttention(2, 3)(x, x))


@pytest.mark.parametrize(
    "made, message",
    [
        (lora, "of the layer 'dense.*', a Dense, cannot be counted"),
        (attention, "a MultiHeadAttention, cannot be counted"),
        (lambda: network(layers.ConvLSTM2D(2, 3), shape=(4, 8, 8, 1)), "a ConvLSTM2D, cannot be counted"),
        (lambda: network(layers.Bidirectional(layers.LSTM(3)), shape=(7, 4)), "a Bidirectional, cannot be counted"),
        (lambda: network(layers.Conv2D(4, 3), shape=(None, None, 1)), "depend on the size of its input, which is not"),
        (lambda: keras.Sequential([Own(), layers.Dense(2)]), "it is not a functional model"),
    ],
)
def test_what_is_not_understood_is_not_counted(made, message):
    with pytest.raises(ValueError, match=message):
        costs.forward(made())


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


def said(model, **arguments):
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line), **arguments)
    return "\n".join(lines)


@pytest.mark.parametrize("phases, simplified", [("epoch", 4 * 192 + 5 * 36), ("joint", 3 * 192 + 3 * 36)])
def test_summary_shows_both_networks_and_what_a_simplified_epoch_costs(phases, simplified):
    classifier = keras.Sequential([keras.Input((6,)), layers.Dense(3)], name="the_classifier")
    model = FriendlyModel(classifier, mlp(6, 8), phases=phases)
    text = said(model)
    ours = f"An epoch on simplified data takes {simplified / 108:.1f} times the operations of a classic one: "
    assert f"{ours}{simplified:,} to 108 per example." in text
    assert '"the_classifier"' in text and '"mlp"' in text
    model.drop_auxiliary()
    text = said(model)
    assert '"the_classifier"' in text and "mlp" not in text and "operations" not in text


def test_a_fraction_of_the_minibatches_costs_a_fraction_of_the_first_phase():
    classifier = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
    text = said(FriendlyModel(classifier, mlp(6, 8), auxiliary_fraction=0.25))
    simplified = (3 * 192 + 2 * 36) // 4 + 192 + 3 * 36
    assert f"{simplified / 108:.1f} times the operations of a classic one: {simplified:,} to 108 per example." in text
    (trial,) = load_recipe("two-moons", ["methods.nft.auxiliary_fraction=0.25"], ["nft"], seeds=[0])
    first, last = 2, trial.simplification_epochs
    of_plan = (last - first + 1) * (simplified - 108)
    assert METHODS["nft"].operations(trial, 36, 192) == 108 * trial.training.epochs + of_plan


@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_where_a_layer_s_output_is_altered_the_passes_up_to_it_count(phases):
    classifier = network(layers.Dense(5, name="here"), layers.Dense(3), shape=(6,))
    before, f, s = 2 * 30, 2 * (30 + 15), 2 * 2 * 5 * 8
    seen = f if keras.backend.backend() == "torch" else before
    simplified = 3 * s + 3 * f + seen if phases == "joint" else 4 * s + 5 * f + 2 * seen - before
    text = said(FriendlyModel(classifier, mlp(5, 8), phases=phases, alters="here"))
    assert f"{simplified:,} to {3 * f} per example." in text


def test_an_embedding_takes_no_operations_and_still_a_pass_where_nothing_is_compiled():
    classifier = network(
        layers.Embedding(9, 4, name="here"), layers.Flatten(), layers.Dense(3), shape=(5,), dtype="int32"
    )
    f, s = 2 * 5 * 4 * 3, 2 * 5 * 4 * 4
    x = keras.Input((5, 4))
    text = said(FriendlyModel(classifier, keras.Model(x, layers.Dense(4)(x)), alters="here"))
    more = 2 * f if keras.backend.backend() == "torch" else 0
    assert f"{4 * s + 5 * f + more:,} to {3 * f} per example." in text


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch counts what it computes")
@pytest.mark.parametrize("phases", ["epoch", "batch", "joint"])
def test_altering_a_layer_s_output_takes_as_many_operations_more_as_pytorch_counts(phases):
    from torch.utils.flop_counter import FlopCounterMode

    x, y = np.ones((16, 6), "float32"), np.zeros(16, int)
    loss, counted = keras.losses.SparseCategoricalCrossentropy(from_logits=True), []
    for alters in (None, "here"):
        classifier = network(layers.Dense(6, name="here"), layers.Dense(6), shape=(6,))
        model = FriendlyModel(classifier, mlp(6, 8), phases=phases, alters=alters)
        model.compile("sgd", auxiliary_optimizer="sgd", loss=loss)
        model.train_on_batch(x, y)
        model.simplifying = True
        with FlopCounterMode(display=False) as operations:
            model.train_on_batch(x, y)
        counted.append(operations.get_total_flops() / 16)
    f, s, before = 2 * 2 * 36, 2 * 2 * 6 * 8, 2 * 36
    more = [costs.simplified_step(phases, f, s, *of) for of in ((), (before, f))]
    # The first layer's gradient to x, which all counts have, is needed by theta alone; where joint, no more by anybody.
    assert counted[1] - counted[0] == more[1] - more[0] - (before if phases == "joint" else 0)


def test_biases_of_a_gru_are_no_kernels():
    assert costs.forward(network(layers.GRU(3), shape=(7, 4))) == 2 * 7 * 3 * (3 * 4 + 3 * 3)


def test_a_classifier_without_kernels_has_a_summary_without_costs():
    x = keras.Input((6,))
    assert "operations" not in said(FriendlyModel(keras.Model(x, layers.Softmax()(x)), mlp(6, 8)))


def test_a_layer_counts_at_the_size_of_each_call():
    conv, large, small = layers.Conv2D(2, 3), keras.Input((10, 10, 1)), keras.Input((5, 5, 1))
    both = keras.Model([large, small], [conv(large), conv(small)])
    assert costs.forward(both) == 2 * 3 * 3 * 2 * (8 * 8 + 3 * 3)
    assert costs.forward(keras.Model(small, conv(small))) == 2 * 3 * 3 * 2 * 3 * 3
    base = keras.Sequential([keras.Input((None, None, 1)), conv])
    with pytest.raises(ValueError, match="depend on the size of its input"):
        costs.forward(keras.Model(small, base(small)))
    rnn, long, short = layers.LSTM(3), keras.Input((9, 4)), keras.Input((2, 4))
    rnn(long)
    assert costs.forward(keras.Model(short, rnn(short))) == 2 * 2 * 4 * (3 * 4 + 3 * 3)
    with pytest.raises(ValueError, match="a Matmul, cannot be counted"):
        costs.forward(keras.Model(long, keras.ops.matmul(long, keras.ops.transpose(long, (0, 2, 1)))))


def test_products_without_kernels_and_layers_of_one_s_own_are_not_counted():
    x = keras.Input((5, 4))
    with pytest.raises(ValueError, match="a Attention, cannot be counted"):
        costs.forward(keras.Model(x, layers.Attention()([x, x])))
    own = type("OwnDense", (layers.Dense,), {"call": lambda self, x: x})
    with pytest.raises(ValueError, match="a OwnDense, cannot be counted"):
        costs.forward(network(own(4), shape=(4,)))


def test_summary_says_no_number_where_it_cannot_count():
    classifier = Own()
    classifier(keras.ops.zeros((1, 6)))
    text = said(FriendlyModel(classifier, mlp(6, 8)))
    assert '"own' in text and '"mlp"' in text and "costs cannot be counted: the operations of a Own cannot" in text
    with pytest.raises(ValueError, match="the operations of a Own cannot be counted"):
        costs.forward(classifier)


def test_summary_takes_keras_arguments_and_shows_the_classifier_of_every_method():
    model = EasyExamplesFirst(network(layers.Dense(5, name="first"), shape=(3,)))
    text = said(model, line_length=70, show_trainable=True)
    assert "first" in text and "Trai" in text


def test_summary_takes_arguments_in_their_order_and_a_range_of_the_classifier_s_layers():
    x = keras.Input((6,))
    h = layers.Dense(4, name="first")(x)
    classifier = keras.Model(x, layers.Dense(3, name="last")(layers.ReLU(name="between")(h)))
    lines = []
    model = FriendlyModel(classifier, mlp(6, 8))
    model.summary(90, None, lambda line, **_: lines.append(line), True)
    assert "between" in "".join(lines) and "mlp" in "".join(lines)
    text = said(model, layer_range=["between", "last"])
    assert "between" in text and "first" not in text and "mlp" not in text
