"""A program: trains small models from the same weights on whatever back end Keras has, and says how it went.

python -m tests.backend.on_backend FOLDER writes FOLDER/BACKEND.npz, the weights and logs of every training of
`TRAININGS`, and prints what holds of the back end alone (`PROPERTIES`) as JSON: what docs/backends.yaml says that it
does, and the rest.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from nft_keras import (
    DevelopmentalPlan,
    EasyExamplesFirst,
    EasyExamplesPlan,
    FriendlyModel,
    FriendlyTraining,
    PerturbationPlan,
    optimizers,
)
from nft_keras.auxiliaries import mlp, unet
from nft_keras.backend import seed_epoch, tensorflow_for_data
from nft_keras.classifiers import cnn_a
from nft_keras.data import Part
from nft_keras.data.batches import batches
from tests.backend.features import FEATURES as TABLE

FEATURES, CLASSES, BATCH, EXAMPLES = 6, 3, 16, 48
UNEVEN = 40  # examples of which the last minibatch is a smaller one: JAX compiles each step for it too
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def examples(shape, n=EXAMPLES):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, *shape)).astype("float32"), rng.integers(CLASSES, size=n).astype("int32")


def classifier(dropout=0.0, batch_norm=True):
    x = h = keras.Input((FEATURES,))
    h = layers.Dense(8, activation="tanh")(h)
    h = layers.BatchNormalization(momentum=0.9)(h) if batch_norm else h
    return keras.Model(x, layers.Dense(CLASSES)(layers.Dropout(dropout)(h)))


def convolutional():
    network = cnn_a((8, 8, 1), CLASSES)
    for layer in network.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    return network


def same_everywhere(*networks):
    """Gives the networks initial weights that do not depend on the back end."""
    rng = np.random.default_rng(1)
    for weight in (w for network in networks for w in network.trainable_variables):
        size = 0.1 if len(weight.shape) == 1 else math.prod(weight.shape[:-1]) ** -0.5
        weight.assign((weight.name == "gamma") + size * rng.normal(size=weight.shape))


def friendly(network, auxiliary, penalty="sum", phases="epoch", classifier_mode="inference", fraction=1.0, **compiled):
    model = FriendlyModel(network, auxiliary, penalty, phases, classifier_mode, fraction, seed=1)
    compiled = {"optimizer": optimizers.Adam(1e-2, l2=1e-3), "loss": LOSS, "metrics": ["accuracy"], **compiled}
    model.compile(auxiliary_optimizer=optimizers.Adam(1e-2), **compiled)
    return model


def fit(model, callbacks, x, y, epochs=3, **kwargs):
    data = tensorflow_for_data().data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    callbacks = keras.tree.flatten(callbacks)
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks, **kwargs).history


def train_friendly(phases, penalty, classifier_mode="inference", first=2, n=EXAMPLES, fraction=1.0):
    model = friendly(classifier(), mlp(FEATURES, 8, num_classes=CLASSES), penalty, phases, classifier_mode, fraction)
    auxiliary = model.auxiliary
    same_everywhere(model.classifier, auxiliary)
    x, y = examples((FEATURES,), n)
    plan = DevelopmentalPlan(2.0, 3, first_simplified_epoch=first)
    return fit(model, plan, x, y, validation_data=(x, y)), (model.classifier, auxiliary)


def train_images():
    model = friendly(convolutional(), unet((8, 8, 1), filters=4, depth=1), "mean", "epoch")
    auxiliary = model.auxiliary
    # Adam's first steps magnify what rounding leaves of a gradient that is exactly zero: plain steps do not.
    model.compile(optimizers.SGD(0.05), optimizers.SGD(0.05), loss=LOSS, metrics=["accuracy"])
    same_everywhere(model.classifier, auxiliary)
    return fit(model, DevelopmentalPlan(2.0, 3), *examples((8, 8, 1))), (model.classifier, auxiliary)


class AddsLoss(layers.Layer):
    """Adds a loss of its input, as activity regularizers do."""

    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(x)))
        return x


def train_with_added_losses(phases):
    x = keras.Input((FEATURES,))
    h = layers.Dense(8, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.01))(x)
    network = keras.Model(x, AddsLoss()(layers.Dense(CLASSES)(h)))
    h = layers.Dense(8, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.01))(x)
    auxiliary = keras.Model(x, AddsLoss()(layers.Dense(FEATURES)(h)))
    same_everywhere(network, auxiliary)
    history = fit(friendly(network, auxiliary, phases=phases), DevelopmentalPlan(2.0, 3), *examples((FEATURES,)))
    return history, (network, auxiliary)


def train_ft(network=None):
    model = FriendlyTraining(network or classifier(), step=2.0, confidence=0.6)
    model.compile(optimizers.Adam(1e-2), LOSS)
    same_everywhere(model.classifier)
    return fit(model, PerturbationPlan(6, 3), *examples((FEATURES,), UNEVEN)), (model.classifier,)


def train_ft_with_added_losses():
    x = keras.Input((FEATURES,))
    return train_ft(keras.Model(x, layers.Dense(CLASSES)(AddsLoss()(layers.Dense(8, activation="tanh")(x)))))


def train_eef():
    model = EasyExamplesFirst(classifier(batch_norm=False))
    model.compile(optimizers.Adam(1e-2), LOSS)
    same_everywhere(model.classifier)
    x, y = examples((FEATURES,))
    data = tensorflow_for_data().data.Dataset.from_tensor_slices((x, y))
    plan = EasyExamplesPlan(data, EXAMPLES, first_fraction=0.2, simplification_epochs=3)
    epoch = tensorflow_for_data().Variable(0)
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda index, logs: epoch.assign(index))
    minibatches = batches(Part(x, y), 8, 0, epoch, kept=plan.kept)
    plan.takes(minibatches)
    return model.fit(minibatches, epochs=3, verbose=0, callbacks=[count, plan]).history, (model.classifier,)


TRAININGS = {
    **{
        f"{phases}-{penalty}": lambda phases=phases, penalty=penalty, n=n: train_friendly(phases, penalty, n=n)
        for phases in ("epoch", "batch", "joint")
        for penalty, n in (("sum", UNEVEN), ("mean", EXAMPLES))
    },
    **{
        f"{phases}-as-coded": lambda phases=phases: train_friendly(phases, "mean", "training", 1)
        for phases in ("epoch", "batch", "joint")
    },
    **{
        f"{phases}-added-losses": lambda phases=phases: train_with_added_losses(phases)
        for phases in ("epoch", "batch", "joint")
    },
    "epoch-on-a-sample": lambda: train_friendly("epoch", "sum", n=UNEVEN, fraction=0.7),
    "images": train_images,
    "ft": train_ft,
    "ft-added-losses": train_ft_with_added_losses,
    "eef": train_eef,
}


def distance(networks, others):
    """The largest difference of two networks' weights."""
    pairs = [
        (a, b)
        for ours, theirs in zip(networks, others, strict=True)
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True)
    ]
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def after_the_drop():
    """How far a training after the drop is from that of `keras.Model` itself, dropout at work."""
    x, y = examples((FEATURES,))
    model = friendly(classifier(dropout=0.5), mlp(FEATURES, 8))
    plain = classifier(dropout=0.5)
    plain.compile(optimizers.Adam(1e-2, l2=1e-3), LOSS)
    fit(model, DevelopmentalPlan(2.0, 2), x, y, epochs=2)
    plain.optimizer.build(plain.trainable_variables)
    for networks in ((plain, model.classifier), (plain.optimizer, model.optimizer)):
        for theirs, ours in zip(*(network.variables for network in networks), strict=True):
            theirs.assign(keras.ops.convert_to_numpy(ours))
    seeded = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seed_epoch(0, epoch))
    fit(model, [DevelopmentalPlan(2.0, 2), seeded], x, y, epochs=4, initial_epoch=2)
    fit(plain, seeded, x, y, epochs=4, initial_epoch=2)
    return distance([model.classifier], [plain])


def saved(*stopped_after):
    """How far models that were saved, loaded and trained on are from one that was never interrupted."""
    x, y = examples((FEATURES,))
    plan = DevelopmentalPlan(2.0, 3)

    def train(epochs):
        keras.utils.set_random_seed(0)
        model = friendly(classifier(), mlp(FEATURES, 8))
        fit(model, plan, x, y, epochs=epochs)
        return model

    whole, apart = train(5), []
    for epochs in stopped_after:
        with tempfile.TemporaryDirectory() as folder:
            train(epochs).save(Path(folder, "friendly.keras"))
            model = keras.saving.load_model(Path(folder, "friendly.keras"))
        fit(model, plan, x, y, epochs=5, initial_epoch=epochs)
        apart.append(distance([model.classifier], [whole.classifier]))
    return apart


def theta_alone():
    """How far w moves while theta is updated, and how many gradients are left behind in variables."""
    network, auxiliary = classifier(), mlp(FEATURES, 8)
    before = network.get_weights(), auxiliary.get_weights()
    friendly(network, auxiliary).update_auxiliary(*examples((FEATURES,)))
    w, theta = (
        max(float(np.abs(a - b).max()) for a, b in zip(of.get_weights(), weights, strict=True))
        for of, weights in zip((network, auxiliary), before, strict=True)
    )
    left = [v for v in (*network.variables, *auxiliary.variables) if getattr(v.value, "grad", None) is not None]
    return {"w": w, "theta": theta, "left": len(left)}


def mixed(policy, phases):
    """The largest and the smallest loss of a training in mixed precision, and how far theta moved."""
    keras.config.set_dtype_policy(policy)
    model = friendly(classifier(), mlp(FEATURES, 8), phases=phases)
    auxiliary, before = model.auxiliary, model.auxiliary.get_weights()
    losses = fit(model, DevelopmentalPlan(2.0, 9), *examples((FEATURES,)), epochs=10)["loss"]
    keras.config.set_dtype_policy("float32")
    moved = min(float(np.abs(a - b).max()) for a, b in zip(auxiliary.get_weights(), before, strict=True))
    return [losses[0], losses[-1], moved]


def several_steps_per_execution():
    """How far a training with two steps in each execution is from one with one."""
    x, y = examples((FEATURES,))
    runs = []
    for steps in (1, 2):
        keras.utils.set_random_seed(0)
        model = friendly(classifier(), mlp(FEATURES, 8), steps_per_execution=steps)
        fit(model, DevelopmentalPlan(2.0, 2), x, y)
        runs.append(model.classifier)
    return distance(*([run] for run in runs))


PROPERTIES = {
    "theta alone": theta_alone,
    "after the drop a step is that of `keras.Model`": after_the_drop,
    # While the data are altered, and after the drop.
    "a model that was saved trains on as if never interrupted": lambda: saved(2, 4),
    "`mixed_bfloat16`": lambda: mixed("mixed_bfloat16", "epoch"),
    "`mixed_float16`": lambda: mixed("mixed_float16", "joint"),
    "`training.steps_per_execution` above 1": several_steps_per_execution,
}


def train_all(folder):
    """Writes the weights and logs of every training."""
    arrays = {}
    for name, train in TRAININGS.items():
        keras.utils.set_random_seed(0)
        history, networks = train()
        for log, series in history.items():
            arrays[f"{name} {log}"] = np.array([float(value) for value in series])
        for n, weight in enumerate(w for network in networks for w in network.get_weights()):
            arrays[f"{name} weight {n}"] = weight
    np.savez(Path(folder, keras.backend.backend()), **arrays)


if __name__ == "__main__":
    train_all(sys.argv[1])
    found, here = {}, keras.backend.backend()
    for name, holds in PROPERTIES.items():
        if TABLE.get(name, {}).get(here, True):
            found[name] = holds()
    print(json.dumps(found))
