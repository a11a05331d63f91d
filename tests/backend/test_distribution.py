import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.backend.features import OF_JAX, able, last_line


def program(backend, name, *arguments):
    """What a program prints last, in a process of its own, where JAX has two devices.

    A strategy of TensorFlow's that comes after one that ended in an error waits for its collectives for ever.
    """
    of_jax = {"XLA_FLAGS": f"{OF_JAX['XLA_FLAGS']} --xla_force_host_platform_device_count=2"}
    two_devices = of_jax if backend == "jax" else {}
    return last_line("-m", name, *arguments, backend=backend, **two_devices)


@pytest.mark.slow
@pytest.mark.parametrize("backend", able("`distribute: mirrored`"))
def test_two_devices_train_as_one_does_on_the_same_minibatches(backend):
    found = json.loads(program(backend, "tests.backend.two_replicas"))
    cases = {"nft epoch sum", "nft batch mean", "nft joint sum", "nft epoch sum 0.5", "nft epoch mean 1.0 1"}
    cases |= {"ft", "eef"}
    assert set(found) == cases | ({"keras.distribution.DataParallel"} if backend == "jax" else set())
    for difference in found.values():
        assert difference["devices"] == 2 and difference["weights"] < 1e-5 and difference["logs"] < 1e-5, found


@pytest.mark.slow
@pytest.mark.parametrize("backend", able("`distribute: mirrored`"))
def test_a_trial_on_two_devices_goes_on_as_it_would_have(tmp_path, backend):
    # The classifier has batch-norm statistics, which are each replica's own within an epoch.
    (tmp_path / "mirrored.yaml").write_text("""\
dataset: {name: two-moons}
classifiers: {fc-b: {units: [8, 8]}}
methods:
  eef: {plan: {first_fraction: 0.217, simplification_ratio: 0.75}}  # 65 examples: one in the last minibatch
  nft:
    plan: {eta_max: 5, simplification_ratio: 0.5}
    auxiliary: {name: mlp, hidden: 8}
    auxiliary_optimizer: {learning_rate: 0.01}
training: {epochs: 4, learning_rate: 0.01, batch_size: 64}
seeds: [0]
deterministic: true
""")
    assert program(backend, "tests.experiments.train.mirrored", tmp_path / "mirrored.yaml", tmp_path) == "2"
    for method in ("eef", "nft"):
        path = Path("mirrored", "fc-b", method, "seed-0", "classifier.keras")
        expected, weights = (keras.saving.load_model(tmp_path / f / path).get_weights() for f in ("whole", "broken"))
        assert all(np.isfinite(a).all() and np.array_equal(a, b) for a, b in zip(expected, weights, strict=True))
