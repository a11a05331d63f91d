"""A program: trains on one device and on two of them, and prints how far apart weights and logs are, as JSON.

With JAX run it with XLA_FLAGS=--xla_force_host_platform_device_count=2.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from nft_keras import DevelopmentalPlan, FriendlyModel, FriendlyTraining, PerturbationPlan, optimizers
from nft_keras.auxiliaries import mlp
from nft_keras.classifiers import fc_a
from nft_keras.data import Part
from nft_keras.data.batches import batches
from nft_keras.eef import EasyExamplesFirst, EasyExamplesPlan
from nft_keras.experiments.train import distribution as distribute
from tests.small_trainings import ready_for_small_trainings

FEATURES, CLASSES, BATCH = 12, 3, 16
CASES = [
    *[("nft", "epoch", "sum"), ("nft", "batch", "mean"), ("nft", "joint", "sum"), ("nft", "epoch", "sum", 0.5)],
    ("nft", "epoch", "mean", 1.0, 1),
    *[("ft",), ("eef",)],
]
EXAMPLES = 4 * BATCH + 5  # the last minibatch has no equal halves
WHOLE = []


def train(strategy, method, phases, penalty, fraction, first, examples):
    """Five epochs, the data altered up to the third; returns the classifier's weights and the history."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((examples, FEATURES)).astype("float32")
    y = rng.integers(0, CLASSES, examples).astype("int32")
    with strategy.scope():
        classifier = fc_a((FEATURES,), CLASSES, units=7)
        compiled = {
            "optimizer": optimizers.Adam(1e-2, l2=1e-3),
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy", shared],
        }
        if method == "nft":
            auxiliary = mlp(FEATURES, 8, num_classes=CLASSES)
            model = FriendlyModel(classifier, auxiliary, penalty, phases, auxiliary_fraction=fraction)
            model.compile(auxiliary_optimizer=optimizers.Adam(1e-2), **compiled)
            plan = DevelopmentalPlan(3.0, 3, first_simplified_epoch=first)
        elif method == "ft":
            model = FriendlyTraining(classifier, step=2.0, confidence=0.5)
            model.compile(**compiled)
            plan = PerturbationPlan(9, 3)
        else:
            model = EasyExamplesFirst(classifier)
            model.compile(**compiled)
    if phases == "batch":  # the optimizer is built anew in fit
        classifier.layers[-1].trainable = False
    data = tf.data.Dataset.from_tensor_slices((x, y))
    train = data = data.batch(BATCH)
    if method == "eef":
        # So many examples that in one epoch a replica has none in the last minibatch.
        plan = EasyExamplesPlan(data.unbatch(), examples, first_fraction=17 / examples, simplification_epochs=4)
        # Not in the plan's own minibatches: their order depends on how often Keras looks at the data before an epoch.
        train = batches(Part(x, y), BATCH, kept=plan.kept)
        plan.takes(train)
    history = model.fit(train, epochs=5, verbose=0, callbacks=[plan], validation_data=data).history
    return classifier, history


def two_devices():
    """What trains on two devices."""
    if keras.backend.backend() == "jax":
        return distribute.strategy("mirrored")
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def number_of_devices(strategy):
    """On how many devices something trains."""
    if keras.backend.backend() == "jax":
        return strategy.device_mesh.devices.size
    return strategy.num_replicas_in_sync


def shared(y, y_pred):
    """A metric that is always 0, and keeps whether each device of JAX computes the predictions of all examples."""
    if keras.backend.backend() == "jax":
        import jax

        jax.debug.inspect_array_sharding(y_pred, callback=lambda sharding: WHOLE.append(sharding.is_fully_replicated))
    return keras.ops.zeros_like(y_pred[:, 0])


def devices_of(classifier):
    """On how many devices the weights of a classifier are, of those that share the examples."""
    value = classifier.trainable_variables[0].value
    if keras.backend.backend() == "tensorflow":
        return len(value.values)
    return 1 if any(WHOLE) or not WHOLE else len(value.devices())


def main():
    """Prints {"METHOD PHASES PENALTY": {"devices": n, "weights": d, "logs": d}}, d the largest differences."""
    two = two_devices()
    found = {" ".join(map(str, case)): compare(two, *case) for case in CASES}
    if keras.backend.backend() == "jax":
        # Of minibatches that have equal halves.
        two = keras.distribution.DataParallel()
        found["keras.distribution.DataParallel"] = compare(two, *CASES[0], examples=4 * BATCH)
    print(json.dumps(found))


def compare(two, method, phases="", penalty="", fraction=1.0, first=2, examples=EXAMPLES):
    how = method, phases, penalty, fraction, first, examples
    alone, logs_alone = train(tf.distribute.get_strategy(), *how)
    WHOLE.clear()
    with distribute.throughout(two):
        together, logs_together = train(two, *how)
    if method == "ft":
        assert 1 < logs_alone["perturbation_steps"][0] < 9  # some examples end before others
    elif method == "nft":
        assert max(logs_alone["perturbation"]) > 0
    pairs = zip(alone.get_weights(), together.get_weights(), strict=True)
    weights = max(float(np.abs(a - b).max()) for a, b in pairs)
    # TensorFlow's replicas have no examples of which it can be seen whether they are easier.
    names = [name for name in logs_alone if not np.isnan(logs_together[name]).any()]
    logs = max(float(np.abs(np.subtract(logs_alone[name], logs_together[name])).max()) for name in names)
    return {"devices": devices_of(together), "weights": weights, "logs": logs}


if __name__ == "__main__":
    ready_for_small_trainings()
    main()
