import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("nft", "epoch", "sum"), ("nft", "batch", "mean"), ("nft", "joint", "sum"), ("ft",)], ids="-".join
)
def test_two_replicas_train_as_one_device_does_on_the_same_minibatches(arguments):
    command = [sys.executable, "-m", "tests.two_replicas", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2 and found["weights"] < 1e-5 and found["logs"] < 1e-5
