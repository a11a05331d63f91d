import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does_on_the_same_minibatches():
    # A process of its own: a strategy that comes after one that ended in an error waits for its collectives for ever.
    command = [sys.executable, "-m", "tests.two_replicas"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"nft epoch sum", "nft batch mean", "nft joint sum", "ft", "eef"}
    for difference in found.values():
        assert difference["replicas"] == 2 and difference["weights"] < 1e-5 and difference["logs"] < 1e-5, found
