"""Keras' back ends: what TensorFlow and the others have in common, and what is said of one that does not train."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backend import on_backend

ROOT = Path(__file__).parents[2]
OTHERS = ("jax", "torch")
# What a fixture of the module trains is trained once.
together = pytest.mark.xdist_group("back ends")


def python(*arguments, backend):
    # To optimize what JAX compiles would take longer than to run it as it is.
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    """Weights and logs of TensorFlow's trainings."""
    folder = tmp_path_factory.mktemp("tensorflow")
    on_backend.train_all(folder)
    return np.load(folder / "tensorflow.npz")


@pytest.fixture(scope="module", params=OTHERS)
def trained(request, tmp_path_factory):
    """Weights and logs of another back end's trainings, and what its process says of its properties."""
    folder = tmp_path_factory.mktemp("trained")
    done = python("-m", "tests.backend.on_backend", str(folder), backend=request.param)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(folder / f"{request.param}.npz"), json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@together
@pytest.mark.parametrize("training", on_backend.TRAININGS)
def test_a_back_end_agrees_with_tensorflow_after_three_epochs(trained, on_tensorflow, training):
    names = [name for name in on_tensorflow.files if name.split()[0] == training]
    assert sorted(on_tensorflow.files) == sorted(trained[0].files) and len(names) > 4
    for name in names:
        np.testing.assert_allclose(trained[0][name], on_tensorflow[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.slow
@together
def test_training_after_the_drop_is_that_of_keras(trained):
    assert trained[1]["after the drop"] == 0


@pytest.mark.slow
@together
def test_while_theta_is_updated_nothing_happens_to_w(trained):
    assert trained[1]["theta alone"] == {"w": 0, "theta": pytest.approx(0.01, rel=0.1), "left": 0}


@pytest.mark.slow
@together
def test_a_saved_model_goes_on_as_if_never_interrupted(trained):
    assert trained[1]["saved while simplifying"] == trained[1]["saved after the drop"] == 0


@pytest.mark.slow
@together
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns(trained, policy):
    first, last, moved = trained[1][policy]
    assert last < first < 10 and moved > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, overrides", [("jax", []), ("torch", []), ("torch", ["training.precision=mixed_bfloat16"])]
)
def test_a_trial_that_was_broken_off_ends_with_the_very_bits(backend, overrides, tmp_path):
    done = python("-m", "tests.experiments.train.broken_off", str(tmp_path), *overrides, backend=backend)
    assert done.returncode == 0, done.stderr[-3000:]
    apart = json.loads(done.stdout.splitlines()[-1])
    assert apart == {
        method: {"weights": 0, "unequal": [], "epochs": [3, 4, 5]} for method in ("ct", "eef", "ft", "nft")
    }


@pytest.mark.parametrize("backend", OTHERS)
def test_the_models_need_no_tensorflow(backend):
    program = (
        "import sys; sys.modules['tensorflow'] = None; import numpy as np; "
        "from nft_keras import DevelopmentalPlan, FriendlyModel, auxiliaries, classifiers, optimizers; "
        "from nft_keras import EasyExamplesFirst, FriendlyTraining; "
        "model = FriendlyModel(classifiers.fc_a((3,), 2), auxiliaries.mlp(3, 4)); "
        "model.compile(optimizers.Adam(0.1), optimizers.Adam(0.1), loss='mse'); "
        "x = np.ones((4, 3), 'float32'); "
        "print(len(model.fit(x, x[:, :2], epochs=3, verbose=0, callbacks=[DevelopmentalPlan(1, 2)]).epoch))"
    )
    done = python("-c", program, backend=backend)
    assert done.stdout == "3\n", done.stderr[-2000:]


def test_another_back_end_is_refused_in_one_sentence(tmp_path):
    done = python("-c", "import nft_keras; nft_keras.FriendlyModel", backend="numpy")
    said = "nft_keras trains with Keras' back ends tensorflow, jax, torch, not with numpy: set KERAS_BACKEND to one of "
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last == f"nft_keras.backend.BackendError: {said}these"
    done = python("-m", "nft_keras.run", "two-moons", "--out", str(tmp_path / "out"), backend="numpy")
    assert done.returncode == 2 and done.stderr == f"{said}these\n" and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "backend, arguments, message",
    [
        ("torch", ["--set", "distribute=mirrored"], "distribute: mirrored needs KERAS_BACKEND=tensorflow or jax"),
        ("jax", ["--set", "distribute=multi-worker"], "distribute: multi-worker needs KERAS_BACKEND=tensorflow"),
        (
            "torch",
            ["--set", "training.steps_per_execution=2"],
            "training.steps_per_execution: 2 needs KERAS_BACKEND=tensorflow or jax",
        ),
    ],
)
def test_what_a_back_end_does_not_train_is_refused_in_one_line(
    backend, arguments, message, tmp_path, monkeypatch, capsys
):
    from nft_keras.cli import run

    monkeypatch.setattr("nft_keras.backend.backend_name", lambda: backend)
    assert run.main(["two-moons", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err == f"{message}, got {backend}\n" and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_what_keras_promises_is_kept_on_every_back_end(backend):
    done = python("-m", "pytest", "-n", "0", "tests/test_keras.py", backend=backend)
    assert done.returncode == 0, done.stdout[-3000:]
