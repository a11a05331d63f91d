import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does_on_the_same_minibatches():
    # A process of its own: a strategy that comes after one that ended in an error waits for its collectives for ever.
    command = [sys.executable, "-m", "tests.backend.two_replicas"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"nft epoch sum", "nft batch mean", "nft joint sum", "ft", "eef"}
    for difference in found.values():
        assert difference["replicas"] == 2 and difference["weights"] < 1e-5 and difference["logs"] < 1e-5, found


@pytest.mark.slow
def test_a_trial_on_two_replicas_goes_on_as_it_would_have(tmp_path):
    # The classifier has batch-norm statistics, which are each replica's own within an epoch.
    (tmp_path / "mirrored.yaml").write_text("""\
dataset: {name: two-moons}
classifiers: {fc-b: {units: [8, 8]}}
methods:
  eef: {plan: {first_fraction: 0.217, simplification_ratio: 0.75}}  # 65 examples: one in the last minibatch
training: {epochs: 4, learning_rate: 0.01, batch_size: 64}
seeds: [0]
deterministic: true
""")
    command = [sys.executable, "-m", "tests.experiments.train.mirrored", "mirrored.yaml", "whole", "broken"]
    command[3:] = [str(tmp_path / name) for name in command[3:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "2", done.stderr[-2000:]
    path = Path("mirrored", "fc-b", "eef", "seed-0", "classifier.keras")
    expected, weights = (keras.saving.load_model(tmp_path / f / path).get_weights() for f in ("whole", "broken"))
    assert all(np.isfinite(a).all() and np.array_equal(a, b) for a, b in zip(expected, weights, strict=True))
