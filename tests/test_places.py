"""Where data are altered: the argument `alters` names an input, several of them, or a layer's output."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from nft_keras import DevelopmentalPlan, FriendlyModel, FriendlyTraining, PerturbationPlan, mlp

TOKENS, LENGTH, WIDTH, CLASSES, EXAMPLES = 20, 5, 4, 3, 48
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PHASES = ("epoch", "batch", "joint")


def rest(x):
    """What a classifier of texts does with embedded tokens."""
    h = layers.Conv1D(6, 3, activation="tanh", name="conv")(x)
    return layers.Dense(CLASSES, name="logits")(layers.GlobalAveragePooling1D()(h))


def of_tokens(trainable=True):
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    return keras.Model(tokens, rest(layers.Embedding(TOKENS, WIDTH, name="embedding", trainable=trainable)(tokens)))


def of_embedded():
    x = keras.Input((LENGTH, WIDTH))
    return keras.Model(x, rest(x))


def of_two(form=dict):
    image, table = keras.Input((6,), name="image"), keras.Input((WIDTH,), name="table")
    h = layers.Dense(5, activation="tanh", name="image_dense")(image)
    h = layers.Add()([layers.Dense(CLASSES, name="logits")(h), layers.Dense(CLASSES, name="of_table")(table)])
    return keras.Model({"image": image, "table": table} if form is dict else form((image, table)), h)


def changer():
    """An auxiliary network of embedded texts."""
    x = keras.Input((LENGTH, WIDTH))
    return keras.Model(x, layers.Dense(WIDTH)(layers.Dense(8, activation="relu")(x)))


def texts():
    rng = np.random.default_rng(0)
    tokens = rng.integers(TOKENS, size=(EXAMPLES, LENGTH)).astype("int32")
    return tokens, (tokens[:, 0] % CLASSES).astype("int32")


def pairs():
    rng = np.random.default_rng(0)
    x = {
        "image": rng.normal(size=(EXAMPLES, 6)).astype("float32"),
        "table": rng.normal(size=(EXAMPLES, WIDTH)).astype("float32"),
    }
    return x, rng.integers(CLASSES, size=EXAMPLES).astype("int32")


def natural(name):
    """What names are sorted by with dense_9 before dense_10: Keras counts all layers of a process."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def start(network, size=0.4):
    """Gives a network weights that depend on nothing but their names' order."""
    rng = np.random.default_rng(1)
    for weight in sorted(network.weights, key=lambda w: natural(w.path)):
        weight.assign(size * rng.normal(size=weight.shape))


def twins(trainable=True):
    """A classifier of tokens, the same one of embedded tokens, and the embedding's table."""
    classifier, embedded = of_tokens(trainable), of_embedded()
    start(classifier)
    for name in ("conv", "logits"):
        embedded.get_layer(name).set_weights(classifier.get_layer(name).get_weights())
    return classifier, embedded, ops.convert_to_numpy(classifier.get_layer("embedding").embeddings)


def friendly(classifier, auxiliary, **arguments):
    model = FriendlyModel(classifier, auxiliary, **arguments)
    model.compile(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.2), loss=LOSS, metrics=["accuracy"])
    return model


def fit(model, x, y, plan=None, epochs=4, **kwargs):
    plan = plan or DevelopmentalPlan(2.0, 3)
    kwargs = {"batch_size": 16, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(x, y, epochs=epochs, callbacks=[plan], **kwargs).history


def assert_same_logs(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("phases", PHASES)
@pytest.mark.parametrize("penalty", ["sum", "mean"])
def test_nft_at_an_embedding_that_is_fixed_is_nft_on_embedded_texts(phases, penalty):
    tokens, y = texts()
    there, embedded, table = twins(trainable=False)
    networks = [changer() for _ in range(2)]
    for network in networks:
        start(network)
    arguments = dict(phases=phases, penalty=penalty)
    found = fit(friendly(there, networks[0], alters="embedding", **arguments), tokens, y)
    expected = fit(friendly(embedded, networks[1], **arguments), table[tokens], y)
    assert_same_logs(found, expected)
    assert min(found["perturbation"][1:3]) > 0.01
    for name in ("conv", "logits"):
        for a, b in zip(there.get_layer(name).get_weights(), embedded.get_layer(name).get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(there.get_layer("embedding").embeddings), table)


def test_ft_at_an_embedding_that_is_fixed_is_ft_on_embedded_texts():
    tokens, y = texts()
    there, embedded, table = twins(trainable=False)
    logs = []
    for classifier, x, alters in ((there, tokens, "embedding"), (embedded, table[tokens], None)):
        model = FriendlyTraining(classifier, step=2.0, confidence=0.6, alters=alters)
        model.compile(keras.optimizers.SGD(0.5), LOSS)
        logs.append(fit(model, x, y, PerturbationPlan(6, 3)))
    assert_same_logs(*logs)
    assert min(logs[0]["perturbation"][:2]) > 0.001


@pytest.mark.parametrize("phases", PHASES)
def test_an_embedding_learns_as_if_the_change_were_a_constant(phases):
    tokens, y = texts()
    (classifier, embedded, before), auxiliary = twins(), changer()
    start(auxiliary)
    model = friendly(classifier, auxiliary, alters="embedding", phases=phases)
    table = classifier.get_layer("embedding").embeddings
    model.simplifying, model.updates_auxiliary = True, phases == "joint"
    simplified = ops.convert_to_numpy(model.simplify(tokens))
    np.testing.assert_allclose(simplified, ops.convert_to_numpy(auxiliary(before[tokens])), atol=1e-6)
    model.train_on_batch(tokens, y)
    # The gradient of the loss at x~, of each position of each text, by differences.
    of_positions, step = np.zeros_like(simplified), 1e-2
    for position in np.ndindex(LENGTH, WIDTH):
        losses = []
        for sign in (1, -1):
            moved = simplified.copy()
            moved[(slice(None), *position)] += sign * step
            logits = ops.convert_to_tensor(embedded.predict(moved, batch_size=EXAMPLES, verbose=0))
            losses.append(
                ops.convert_to_numpy(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))
            )
        of_positions[(slice(None), *position)] = (losses[0] - losses[1]) / (2 * step) / EXAMPLES
    gradient = np.zeros_like(before)
    np.add.at(gradient, tokens, of_positions)
    np.testing.assert_allclose(ops.convert_to_numpy(table), before - 0.5 * gradient, atol=2e-4)
    assert np.abs(gradient).max() > 0.01


@pytest.mark.parametrize("phases", PHASES)
@pytest.mark.parametrize("form", [dict, tuple, list])
def test_the_input_that_is_named_is_altered_and_the_others_pass(phases, form):
    x, y = pairs()
    given = x if form is dict else form(x.values())
    # Of a table of zeros nothing reaches the classifier, which then is one of images alone.
    zeros = keras.tree.map_structure(lambda each: 0 * each if each.shape[1] == WIDTH else each, given)
    image = keras.Input((6,))
    h = layers.Dense(5, activation="tanh", name="image_dense")(image)
    alone = keras.Model(image, layers.Dense(CLASSES, name="logits")(h))
    two, networks = of_two(form), [mlp(6, 8) for _ in range(2)]
    start(two)
    two.get_layer("of_table").set_weights([np.zeros((WIDTH, CLASSES)), np.zeros(CLASSES)])
    two.get_layer("of_table").trainable = False
    for name in ("image_dense", "logits"):
        alone.get_layer(name).set_weights(two.get_layer(name).get_weights())
    for network in networks:
        start(network)
    found = fit(friendly(two, networks[0], alters="image", phases=phases), zeros, y)
    assert_same_logs(found, fit(friendly(alone, networks[1], phases=phases), x["image"], y))
    assert min(found["perturbation"][1:3]) > 0.01
    seen = friendly(two, networks[0], alters="image")
    with seen.place.altered(given, x["image"], x["image"] + 1) as changed:
        assert type(changed) is type(given)
        of_image, of_table = changed.values() if form is dict else changed
        np.testing.assert_array_equal(of_image, x["image"] + 1)
        assert of_table is x["table"]


def both():
    image, table = keras.Input((6,)), keras.Input((WIDTH,))
    return keras.Model([table, image], [layers.Dense(WIDTH)(table), layers.Dense(6)(image)])


def test_several_inputs_are_altered_together():
    x, y = pairs()
    model = friendly(of_two(), both(), alters=["table", "image"], penalty="mean")
    start(model.auxiliary)
    table, image = map(ops.convert_to_numpy, model.simplify(x))
    kernels = [model.auxiliary.layers[-2], model.auxiliary.layers[-1]]
    kernels = {kernel.kernel.shape[0]: kernel for kernel in kernels}
    for found, name in ((table, "table"), (image, "image")):
        weights, bias = kernels[x[name].shape[1]].get_weights()
        np.testing.assert_allclose(found, x[name] @ weights + bias, atol=1e-5)
    model.eta.assign(3.0)
    squares = ((table - x["table"]) ** 2).sum(1) + ((image - x["image"]) ** 2).sum(1)
    logits = model.classifier({"table": table, "image": image})
    expected = float(LOSS(y, logits)) + 3 * squares.mean() / (6 + WIDTH)
    assert float(model.eq_4(x, y)[0]) == pytest.approx(expected, rel=1e-5)
    history = fit(model, x, y)
    assert history["perturbation"][1] > history["perturbation"][3] == 0
    assert 0 < history["relative_perturbation"][1] < 3


def test_a_label_conditioned_network_sees_the_labels_beside_the_named_input():
    x, y = pairs()
    model = friendly(of_two(), mlp(WIDTH, 8, num_classes=CLASSES), alters="table")
    assert model.simplify(x, y).shape == (EXAMPLES, WIDTH)
    with pytest.raises(ValueError, match="needs the labels y"):
        model.simplify(x)
    assert fit(model, x, y)["perturbation"][1] > 0


def test_ft_perturbs_the_input_that_is_named():
    x, y = pairs()
    model = FriendlyTraining(of_two(), step=2.0, confidence=0.9, alters="image")
    model.compile("sgd", LOSS)
    model.max_steps.assign(3)
    perturbed, steps = model.perturb(x, y)
    assert perturbed.shape == (EXAMPLES, 6) and ops.convert_to_numpy(steps).max() == 3
    images = x["image"], ops.convert_to_numpy(perturbed)
    before, after = (float(LOSS(y, model.classifier({**x, "image": image}))) for image in images)
    assert after < before
    history = fit(model, x, y, PerturbationPlan(6, 3))
    assert history["perturbation"][0] > history["perturbation"][3] == 0


def test_a_layer_inside_a_network_of_the_classifier_is_found_by_its_name():
    tokens, y = texts()
    inside = keras.Input((LENGTH,), dtype="int32")
    backbone = keras.Model(inside, layers.Embedding(TOKENS, WIDTH, name="token_embedding")(inside), name="backbone")
    x = keras.Input((LENGTH,), dtype="int32")
    model = friendly(keras.Model(x, rest(backbone(x))), changer(), alters="token_embedding")
    assert fit(model, tokens, y)["perturbation"][1] > 0


class Subclassed(keras.Model):
    """A classifier of x["tokens"] that does not say what its inputs are."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(TOKENS, WIDTH, name="embedding")
        self.end = keras.Sequential([layers.Flatten(), layers.Dense(CLASSES)])

    def call(self, x):
        return self.end(self.embedding(x["tokens"]) + x["shift"][:, None, None])


@pytest.mark.parametrize("alters", ["embedding", "shift"])
def test_a_classifier_of_a_class_of_its_own_has_places_too(alters):
    tokens, y = texts()
    x = {"tokens": tokens, "shift": np.linspace(0, 1, EXAMPLES, dtype="float32")}
    shift = keras.Input(())
    of_shift = keras.Model(shift, ops.squeeze(layers.Dense(1)(ops.expand_dims(shift, 1)), 1))
    model = friendly(Subclassed(), changer() if alters == "embedding" else of_shift, alters=alters)
    assert fit(model, x, y)["perturbation"][1] > 0


def test_a_mask_of_the_embedding_still_reaches_the_layers_behind_it():
    tokens, y = texts()
    tokens = np.where(np.arange(LENGTH) < 3, np.maximum(tokens, 1), 0)
    x = keras.Input((LENGTH,), dtype="int32")
    h = layers.GlobalAveragePooling1D()(layers.Embedding(TOKENS, WIDTH, mask_zero=True, name="embedding")(x))
    model = friendly(keras.Model(x, layers.Dense(CLASSES)(h)), changer(), alters="embedding")
    original = model.place.original(model, tokens)
    altered = original + np.array([1.0] * 3 + [50.0] * 2)[None, :, None].astype("float32")
    logits = ops.convert_to_numpy(model.classify(tokens, original, altered))
    means = ops.convert_to_numpy(altered)[:, :3].mean(1)
    np.testing.assert_allclose(logits, ops.convert_to_numpy(model.classifier.layers[-1](means)), atol=1e-5)


def test_the_deployed_classifier_is_as_if_it_had_never_been_altered(tmp_path):
    tokens, y = texts()
    model = friendly(of_tokens(), changer(), alters="embedding")
    fit(model, tokens, y, epochs=2)
    model.save(tmp_path / "friendly.keras")
    again = keras.saving.load_model(tmp_path / "friendly.keras")
    assert again.alters == "embedding"
    for each in (model, again):
        fit(each, tokens, y, initial_epoch=2)
        assert each.auxiliary is None
    np.testing.assert_array_equal(*(each.predict(tokens, verbose=0) for each in (model, again)))
    again.classifier.save(tmp_path / "classifier.keras")
    alone = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(alone.predict(tokens, verbose=0), model.predict(tokens, verbose=0), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_alters_an_embedding(policy):
    tokens, y = texts()
    keras.config.set_dtype_policy(policy)
    try:
        model = friendly(of_tokens(), changer(), alters="embedding")
    finally:
        keras.config.set_dtype_policy("float32")
    history = fit(model, tokens, y, DevelopmentalPlan(2.0, 5), epochs=6)
    assert np.isfinite(history["loss"]).all() and history["perturbation"][1] > 0


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: friendly(of_tokens(), changer()), ValueError, "input 'tokens' is of int32.*name a layer"),
        (lambda: friendly(of_tokens(), changer(), alters="tokens"), ValueError, "input 'tokens' is of int32"),
        (lambda: FriendlyTraining(of_tokens(), 1.0, 0.9), ValueError, "input 'tokens' is of int32"),
        (
            lambda: friendly(of_tokens(), changer(), alters="embeding"),
            ValueError,
            r"an input \(tokens\), inputs, or a layer of the classifier \(tokens, embedding, conv, .*got 'embeding'",
        ),
        (lambda: friendly(of_two(), changer(), alters=["image", "logits"]), ValueError, "got .'image', 'logits'."),
        (
            lambda: friendly(of_two(), changer(), alters=3),
            TypeError,
            "a name or names of inputs, or None, got 3",
        ),
        (lambda: friendly(of_two(), changer(), alters=[]), TypeError, "or None, got ..$"),
        (lambda: FriendlyTraining(of_two(), 1.0, 0.9, alters=["image"]), TypeError, "one name or layer, got .'image'."),
        (lambda: friendly(of_two(), changer(), alters=layers.Dense(3, name="own")), ValueError, "got the Dense 'own'"),
        (lambda: friendly(of_floats(), mlp(LENGTH, 8)), ValueError, "'numbers' goes to the Embedding .*name the layer"),
        (lambda: FriendlyTraining(of_floats(), 1.0, 0.9), ValueError, "'numbers' goes to the Embedding"),
    ],
)
def test_what_cannot_be_altered_is_refused_when_the_model_is_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_data_without_what_is_named_and_layers_that_are_not_called_once_are_refused():
    x, y = pairs()
    with pytest.raises(ValueError, match=r"alters must name an input .* or a key of x .'table'., got 'image'"):
        friendly(of_two(), mlp(6, 8), alters="image").simplify({"table": x["table"]})
    with pytest.raises(ValueError, match="altered in a single tensor x, got a dict: name the input .*alters"):
        fit(friendly(of_two(), mlp(6, 8)), x, y)
    tokens, y = texts()
    token = keras.Input((LENGTH,), dtype="int32")
    embedding = layers.Embedding(TOKENS, WIDTH, name="embedding")
    twice = keras.Model(token, rest(layers.Add()([embedding(token), embedding(token + 0)])))
    with pytest.raises(ValueError, match="the layer 'embedding', which the classifier calls 2 times"):
        fit(friendly(twice, changer(), alters="embedding"), tokens, y)
    of_one = both()
    of_one = keras.Model(of_one.inputs, of_one.outputs[0])
    with pytest.raises(ValueError, match="output for each tensor of x, got 1 for 2"):
        friendly(of_two(), of_one, alters=["table", "image"]).simplify(x)


def of_floats():
    """A classifier of numbers of words that come as floats, Keras' default."""
    numbers = keras.Input((LENGTH,), name="numbers")
    return keras.Model(numbers, rest(layers.Embedding(TOKENS, WIDTH)(numbers)))


@keras.saving.register_keras_serializable("test_places")
class Twofold(keras.Model):
    """A classifier of a class of its own, with two embeddings that Keras names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.token, self.place = layers.Embedding(TOKENS, WIDTH), layers.Embedding(TOKENS, WIDTH)
        self.scores = layers.Dense(CLASSES)

    def call(self, x):
        return self.scores(ops.mean(self.token(x) + self.place(ops.flip(x, 1)), axis=1))


def test_a_layer_without_a_name_of_its_own_is_found_again_where_its_name_is_another(tmp_path):
    tokens, y = texts()
    for by_attribute in (True, False):
        classifier = Twofold()
        model = friendly(classifier, changer(), alters="place" if by_attribute else classifier.place)
        fit(model, tokens, y, DevelopmentalPlan(2.0, 9), epochs=3)
        model.save(tmp_path / "model.keras")
        keras.utils.clear_session(free_memory=False)  # names are given anew, as in another process
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.place.layer is loaded.classifier.place is not loaded.classifier.token
        simplified = [ops.convert_to_numpy(each.simplify(tokens[:4])) for each in (loaded, model)]
        np.testing.assert_allclose(*simplified, atol=1e-6)


@keras.saving.register_keras_serializable("test_places")
class Masking(layers.Layer):
    """An Embedding that says itself what is padding."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(TOKENS, WIDTH, mask_zero=True)

    def call(self, x):
        return self.embedding(x)


def nested_embedding():
    inside = [keras.Input((LENGTH,), dtype="int32"), layers.Embedding(TOKENS, WIDTH, mask_zero=True)]
    return keras.Sequential(inside, name="here")


@pytest.mark.parametrize(
    "layer", [lambda: layers.Embedding(TOKENS, WIDTH, mask_zero=True, name="here"), nested_embedding, Masking]
)
def test_an_altered_output_keeps_its_mask(layer):
    tokens, y = texts()
    tokens = np.where(np.arange(LENGTH) <= np.arange(len(tokens))[:, None] % LENGTH, tokens, 0)
    same = keras.Sequential([keras.Input((LENGTH, WIDTH)), layers.Identity()])
    given, losses = keras.Input((LENGTH,), dtype="int32"), []
    for friend in (False, True):
        made = layer() if layer is not Masking else Masking(name="here")
        classifier = keras.Model(given, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(made(given))))
        start(classifier)
        model = FriendlyModel(classifier, same, alters="here") if friend else classifier
        model.compile("sgd", loss=LOSS, **({"auxiliary_optimizer": "sgd"} if friend else {}))
        plan = [DevelopmentalPlan(0.0, 3, first_simplified_epoch=1)] if friend else []
        how = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
        losses.append(model.fit(tokens, y, callbacks=plan, **how).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_an_input_of_whole_numbers_is_altered_where_the_words_are_another():
    numbers, words = keras.Input((6,), name="numbers"), keras.Input((LENGTH,), dtype="int32", name="words")
    h = layers.Concatenate()([numbers, layers.Flatten()(layers.Embedding(TOKENS, WIDTH)(words))])
    classifier = keras.Model({"numbers": numbers, "words": words}, layers.Dense(CLASSES)(h))
    tokens, y = texts()
    x = {"numbers": np.arange(EXAMPLES * 6).reshape(EXAMPLES, 6) % 7, "words": tokens}
    assert fit(friendly(classifier, mlp(6, 8), alters="numbers"), x, y)["perturbation"][1] > 0


def whole_numbers():
    numbers = keras.Input((LENGTH,), dtype="int32")
    h = layers.Lambda(lambda x: x + 1, name="shift", dtype="int32")(numbers)
    return keras.Model(numbers, rest(layers.Embedding(TOKENS + 1, WIDTH)(h)))


def wide():
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(7)(x))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: friendly(whole_numbers(), mlp(LENGTH, 8), alters="shift"), "'shift', whose output is of int32"),
        (lambda: FriendlyTraining(whole_numbers(), 1.0, 0.9, alters="shift"), "'shift', whose output is of int32"),
        (lambda: friendly(Twofold(), mlp(LENGTH, 8)), "x, of int32, goes to the Embedding .*name the layer"),
        (lambda: FriendlyTraining(Twofold(), 1.0, 0.9), "x, of int32, goes to the Embedding"),
        (lambda: friendly(Twofold(), changer(), alters="tokn"), "a layer of the classifier .embedding.*, got 'tokn'"),
        (lambda: friendly(of_tokens(), mlp(WIDTH, 8), alters="embedding"), "network does not take .*5, 4.*expected"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_the_first_epoch(make, message):
    tokens, y = texts()
    model, began = make(), []
    if not model.compiled:
        model.compile("sgd", LOSS)
    begin = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: began.append(True))
    plan = PerturbationPlan(2, 3) if isinstance(model, FriendlyTraining) else DevelopmentalPlan(2.0, 3)
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(tokens, y, epochs=3, verbose=0, callbacks=[plan, begin])
    assert not began and "\n" not in str(caught.value)


def test_networks_that_do_not_fit_and_a_missing_compile_are_refused_before_the_first_epoch():
    x, y = pairs()
    plan = DevelopmentalPlan(2.0, 3)
    with pytest.raises(ValueError, match="auxiliary network's output must have the shape of x, got .*7. for x of .*6"):
        fit(friendly(of_one_input(), wide()), x["image"], y, plan)
    with pytest.raises(ValueError, match="compile the model before fit"):
        FriendlyModel(of_one_input(), mlp(6, 8)).fit(x["image"], y, callbacks=[plan])


def of_one_input():
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(CLASSES)(x))


@pytest.mark.parametrize("before", [layers.Dropout(0.5, seed=3), layers.BatchNormalization()])
@pytest.mark.parametrize("phases", ["batch", "joint"])
def test_where_nothing_is_changed_training_is_classic_with_dropout_or_batch_norm_before_the_layer(before, phases):
    x, y = pairs()
    image = keras.Input((6,))
    h = before.__class__.from_config(before.get_config())(layers.Dense(8, activation="tanh")(image))
    classifier = keras.Model(image, layers.Dense(CLASSES)(layers.Dense(4, name="here")(h)))
    first = classifier.get_weights()
    drawn = [layer.seed_generator.state for layer in classifier.layers if isinstance(layer, layers.Dropout)]
    same = keras.Sequential([keras.Input((4,)), layers.Dense(4, kernel_initializer="identity")])
    same.trainable = False
    histories = []
    for model in (FriendlyModel(classifier, same, alters="here", phases=phases), classifier):
        classifier.set_weights(first)
        for state in drawn:
            state.assign([3, 0])
        keras.utils.set_random_seed(0)
        of_auxiliary = {"auxiliary_optimizer": "sgd"} if model is not classifier else {}
        model.compile("sgd", loss=LOSS, **of_auxiliary)
        plan = [DevelopmentalPlan(1.0, 3, first_simplified_epoch=1)] if model is not classifier else []
        arguments = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0}
        histories.append(model.fit(x["image"], y, callbacks=plan, **arguments).history["loss"])
        histories.append(classifier.get_weights())
    if keras.backend.backend() != "torch" or not isinstance(before, layers.Dropout):  # whose masks are of one generator
        np.testing.assert_allclose(histories[0], histories[2], rtol=1e-4)
        for a, b in zip(histories[1], histories[3], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_inputs_are_named_by_the_keys_of_x():
    x, y = pairs()
    image, table = keras.Input((6,), name="a"), keras.Input((WIDTH,), name="b")
    h = layers.Add()([layers.Dense(CLASSES)(image), layers.Dense(CLASSES)(table)])
    with pytest.warns(UserWarning, match="all keys in the dict must match the names"):
        classifier = keras.Model({"image": image, "table": table}, h)
    assert fit(friendly(classifier, mlp(6, 8), alters="image"), x, y)["perturbation"][1] > 0
    with pytest.raises(ValueError, match=r"an input \(image, table\)"):
        friendly(classifier, mlp(6, 8), alters="a")


def test_a_classifier_that_computes_outputs_twice_is_refused():
    with keras.RematScope("full"):
        classifier = of_tokens()
    with pytest.raises(ValueError, match="is rematerialized"):
        friendly(classifier, changer(), alters="embedding")
