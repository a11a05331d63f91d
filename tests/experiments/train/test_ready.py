"""What is set before a back end computes."""

import os
import subprocess
import sys

import pytest

from nft_keras.backend import fuses_loops
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.ready import ready_backend


@pytest.fixture
def fresh(monkeypatch):
    """A process that has computed nothing, as far as can be told."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_loops_are_fused_where_no_trial_is_compiled_whole(fresh, jit_compile):
    change = [] if jit_compile is None else [f"training.jit_compile={str(jit_compile).lower()}"]
    ready_backend(load_recipe("digits-back-image", change))
    assert fuses_loops() is (jit_compile is not True)


def test_flags_stay_where_tensorflow_may_have_read_them(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    ready_backend(load_recipe("digits-back-image"))
    assert "XLA_FLAGS" not in os.environ


def test_the_program_fuses_loops_before_tensorflow_is_imported(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os; atexit.register(lambda: print(os.environ['XLA_FLAGS']))"
    )
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-m", "nft_keras.run", "two-moons", "--methods", "ct", "--seeds", "0", "--no-reference"]
    changes = ["--set", "training.epochs=1", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *changes], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"
