"""Keras' back ends: what TensorFlow and JAX have in common, and what is said of the third one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import on_backend

ROOT = Path(__file__).parents[1]


def python(*arguments, backend="jax"):
    # To optimize what is compiled would take longer than to run it as it is.
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights and logs of both back ends, and what JAX's process says of its properties."""
    folder = tmp_path_factory.mktemp("trained")
    done = python("-m", "tests.on_backend", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    on_backend.train_all(folder)
    return np.load(folder / "tensorflow.npz"), np.load(folder / "jax.npz"), json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.xdist_group("jax")
@pytest.mark.parametrize("training", on_backend.TRAININGS)
def test_tensorflow_and_jax_agree_after_three_epochs(trained, training):
    tensorflow, jax, _ = trained
    names = [name for name in tensorflow.files if name.split()[0] == training]
    assert sorted(tensorflow.files) == sorted(jax.files) and len(names) > 4
    for name in names:
        np.testing.assert_allclose(jax[name], tensorflow[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.xdist_group("jax")
def test_on_jax_training_after_the_drop_is_that_of_keras(trained):
    assert trained[2]["after the drop"] == 0


@pytest.mark.slow
@pytest.mark.xdist_group("jax")
def test_on_jax_a_saved_model_goes_on_as_if_never_interrupted(trained):
    assert trained[2]["saved while simplifying"] == trained[2]["saved after the drop"] == 0


@pytest.mark.slow
@pytest.mark.xdist_group("jax")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_on_jax_mixed_precision_learns(trained, policy):
    first, last, moved = trained[2][policy]
    assert last < first < 10 and moved > 0


def test_torch_is_refused_in_one_sentence(tmp_path):
    done = python("-c", "import nft_keras; nft_keras.FriendlyModel", backend="torch")
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last.startswith("nft_keras.backend.BackendError: nft_keras trains with Keras'")
    done = python("-m", "nft_keras.run", "recipes/two-moons.yaml", "--out", str(tmp_path / "out"), backend="torch")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "not with torch: set KERAS_BACKEND" in done.stderr
    assert not (tmp_path / "out").exists()


def test_on_jax_the_models_need_no_tensorflow():
    program = (
        "import sys; sys.modules['tensorflow'] = None; import numpy as np; "
        "from nft_keras import DevelopmentalPlan, FriendlyModel, auxiliaries, classifiers, optimizers; "
        "from nft_keras import EasyExamplesFirst, FriendlyTraining; "
        "model = FriendlyModel(classifiers.fc_a((3,), 2), auxiliaries.mlp(3, 4)); "
        "model.compile(optimizers.Adam(0.1), optimizers.Adam(0.1), loss='mse'); "
        "x = np.ones((4, 3), 'float32'); "
        "print(len(model.fit(x, x[:, :2], epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1, 2)]).epoch))"
    )
    done = python("-c", program)
    assert done.stdout == "3\n", done.stderr[-2000:]
