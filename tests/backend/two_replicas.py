"""A program: trains on one device and on two replicas of it, and prints how far apart weights and logs are, as JSON."""

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

FEATURES, CLASSES, BATCH = 12, 3, 16
CASES = [("nft", "epoch", "sum"), ("nft", "batch", "mean"), ("nft", "joint", "sum"), ("ft",), ("eef",)]
EXAMPLES = 4 * BATCH + 5  # the last minibatch has no equal halves


def train(strategy, method, phases, penalty):
    """Five epochs, the data altered up to the third; returns the classifier's weights and the history."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((EXAMPLES, FEATURES)).astype("float32")
    y = rng.integers(0, CLASSES, EXAMPLES).astype("int32")
    with strategy.scope():
        classifier = fc_a((FEATURES,), CLASSES, units=7)
        compiled = {
            "optimizer": optimizers.Adam(1e-2, l2=1e-3),
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        }
        if method == "nft":
            model = FriendlyModel(classifier, mlp(FEATURES, 8, num_classes=CLASSES), penalty, phases)
            model.compile(auxiliary_optimizer=optimizers.Adam(1e-2), **compiled)
            plan = DevelopmentalPlan(3.0, 3)
        elif method == "ft":
            model = FriendlyTraining(classifier, step=2.0, confidence=0.5)
            model.compile(**compiled)
            plan = PerturbationPlan(9, 3)
        else:
            model = EasyExamplesFirst(classifier)
            model.compile(**compiled)
    data = tf.data.Dataset.from_tensor_slices((x, y))
    train = data = data.batch(BATCH)
    if method == "eef":
        # So many examples that in one epoch a replica has none in the last minibatch.
        plan = EasyExamplesPlan(data.unbatch(), EXAMPLES, first_fraction=17 / EXAMPLES, simplification_epochs=4)
        # Not in the plan's own minibatches: their order depends on how often Keras looks at the data before an epoch.
        train = batches(Part(x, y), BATCH, kept=plan.kept)
    history = model.fit(train, epochs=5, verbose=0, callbacks=[plan], validation_data=data).history
    return classifier.get_weights(), history


def main():
    """Prints {"METHOD PHASES PENALTY": {"replicas": n, "weights": d, "logs": d}}, d the largest differences."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    print(json.dumps({" ".join(case): compare(two, *case) for case in CASES}))


def compare(two, method, phases="", penalty=""):
    alone, logs_alone = train(tf.distribute.get_strategy(), method, phases, penalty)
    together, logs_together = train(two, method, phases, penalty)
    if method == "ft":
        assert 1 < logs_alone["perturbation_steps"][0] < 9  # some examples end before others
    elif method == "nft":
        assert max(logs_alone["perturbation"]) > 0
    weights = max(float(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True))
    logs = max(float(np.abs(np.subtract(logs_alone[name], logs_together[name])).max()) for name in logs_alone)
    return {"replicas": two.num_replicas_in_sync, "weights": weights, "logs": logs}


if __name__ == "__main__":
    main()
