"""docs/backends.yaml, what each back end does, as the tests run by it; and processes on another back end."""

import contextlib
import importlib.metadata
import io
import os
import subprocess
import sys
from pathlib import Path

import keras
import yaml

from nft_keras import cli

ROOT = Path(__file__).parents[2]
FEATURES = yaml.safe_load((ROOT / "docs" / "backends.yaml").read_text(encoding="utf-8"))
# What JAX compiles for the tests runs for a moment: to optimize it would take longer than to run it as it is. Without
# fused multiply-adds (AVX has none) the same operations give the same bits in one program and another.
OF_JAX = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": "--xla_cpu_max_isa=AVX"}
if importlib.metadata.version("jaxlib").startswith("0.10."):  # XLA stops at a flag that it no longer has
    OF_JAX["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
TESTED = set()  # the features of which the modules of tests that are imported asked


def able(feature):
    """The back ends that have a feature: a test of it runs on each."""
    TESTED.add(feature)
    return [name for name, has in FEATURES[feature].items() if has]


def unable():
    """(feature, back end) of all that is to be refused."""
    return [(feature, name) for feature, cells in FEATURES.items() for name, has in cells.items() if not has]


def python(*arguments, backend, **environment):
    """A finished Python process, whose Keras has that back end."""
    of_backend = OF_JAX if backend == "jax" else {}
    environment = {**os.environ, "KERAS_BACKEND": backend, **of_backend, **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)


def last_line(*arguments, backend, **environment):
    """What a Python process that has to end well prints last."""
    done = python(*arguments, backend=backend, **environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def command(*arguments, backend):
    """What `nft-keras` prints last on a back end: in this process where that is its own, or in one that ends well."""
    if backend != keras.backend.backend():
        return last_line("-m", "nft_keras", *arguments, backend=backend)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main([str(argument) for argument in arguments]) == 0
    return out.getvalue().splitlines()[-1]
