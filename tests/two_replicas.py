"""A program: trains on one device and on two replicas of it, and prints how far apart weights and logs are, as JSON."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from nft_keras import DevelopmentalPlan, FriendlyModel, FriendlyTraining, PerturbationPlan, optimizers
from nft_keras.auxiliaries import mlp
from nft_keras.classifiers import fc_a

FEATURES, CLASSES, BATCH = 12, 3, 16


def train(strategy, method, phases, penalty):
    """Five epochs, the data altered up to the third; returns the classifier's weights and the history."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((4 * BATCH, FEATURES)).astype("float32")
    y = rng.integers(0, CLASSES, 4 * BATCH).astype("int32")
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
        else:
            model = FriendlyTraining(classifier, step=0.5, confidence=0.9)
            model.compile(**compiled)
            plan = PerturbationPlan(5, 3)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    history = model.fit(data, epochs=5, verbose=0, callbacks=[plan], validation_data=data).history
    return classifier.get_weights(), history


def main(method, phases="epoch", penalty="sum"):
    """Prints {"replicas": n, "weights": d, "logs": d}, d the largest differences."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    alone, logs_alone = train(tf.distribute.get_strategy(), method, phases, penalty)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    together, logs_together = train(two, method, phases, penalty)
    assert max(logs_alone["perturbation"]) > 0
    weights = max(float(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True))
    logs = max(float(np.abs(np.subtract(logs_alone[name], logs_together[name])).max()) for name in logs_alone)
    print(json.dumps({"replicas": two.num_replicas_in_sync, "weights": weights, "logs": logs}))


if __name__ == "__main__":
    main(*sys.argv[1:])
