"""Keras' back ends: that what one of them trains is what another does, and what is said of what one does not do."""

import importlib
import json

import keras
import numpy as np
import pytest

from tests.backend import on_backend
from tests.backend.features import FEATURES, ROOT, TESTED, able, last_line, python, unable

BROKEN_OFF = "`run`: a trial that was broken off ends with the very bits"
NFT = "NFT: every `phases`, `penalty` and `classifier_mode`"
# The rows that whole files of tests are about, which run on this back end anyway.
FILES = {
    "Keras' arguments of `fit`, callbacks and optimizers": "tests/test_keras.py",
    "`alters`: inputs by name, a layer's output": "tests/test_places.py",
}
# What a fixture of the module trains is trained once.
together = pytest.mark.xdist_group("back ends")


def feature(training):
    """The row of the table that a training of `on_backend` is for."""
    if training.endswith("added-losses"):
        return "losses that layers add"
    return {"ft": "FT", "eef": "EEF"}.get(training, NFT)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function from a back end to the weights and logs of its trainings, and what its process says of the rest."""
    found = {}

    def on(backend):
        if backend not in found:
            folder = tmp_path_factory.mktemp(backend)
            said = json.loads(last_line("-m", "tests.backend.on_backend", folder, backend=backend))
            found[backend] = np.load(folder / f"{backend}.npz"), said
        return found[backend]

    return on


@pytest.mark.slow
@together
@pytest.mark.parametrize(
    "backend, training", [(name, training) for training in on_backend.TRAININGS for name in able(feature(training))]
)
def test_a_back_end_agrees_with_another_after_three_epochs(trained, backend, training):
    (here, _), (there, _) = trained(backend), trained("jax" if backend == "tensorflow" else "tensorflow")
    names = [name for name in there.files if name.split()[0] == training]
    assert sorted(there.files) == sorted(here.files) and len(names) > 4
    for name in names:
        np.testing.assert_allclose(here[name], there[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.slow
@together
@pytest.mark.parametrize("backend", able(NFT))
def test_while_theta_is_updated_nothing_happens_to_w(trained, backend):
    assert trained(backend)[1]["theta alone"] == {"w": 0, "theta": pytest.approx(0.01, rel=0.1), "left": 0}


@pytest.mark.slow
@together
@pytest.mark.parametrize("backend", able("after the drop a step is that of `keras.Model`"))
def test_training_after_the_drop_is_that_of_keras(trained, backend):
    assert trained(backend)[1]["after the drop a step is that of `keras.Model`"] == 0


@pytest.mark.slow
@together
@pytest.mark.parametrize("backend", able("a model that was saved trains on as if never interrupted"))
def test_a_saved_model_goes_on_as_if_never_interrupted(trained, backend):
    assert trained(backend)[1]["a model that was saved trains on as if never interrupted"] == [0, 0]


@pytest.mark.slow
@together
@pytest.mark.parametrize(
    "backend, policy", [(name, policy) for policy in ("`mixed_bfloat16`", "`mixed_float16`") for name in able(policy)]
)
def test_mixed_precision_learns(trained, backend, policy):
    first, last, moved = trained(backend)[1][policy]
    assert last < first < 10 and moved > 0


@pytest.mark.slow
@together
@pytest.mark.parametrize("backend", able("`training.steps_per_execution` above 1"))
def test_several_steps_in_an_execution_are_the_same_ones(trained, backend):
    assert trained(backend)[1]["`training.steps_per_execution` above 1"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, overrides",
    [
        *((name, []) for name in able(BROKEN_OFF)),
        ("torch", ["training.precision=mixed_bfloat16"]),
        ("tensorflow", ["methods.nft.auxiliary_fraction=0.5"]),
    ],
)
def test_a_trial_that_was_broken_off_ends_with_the_very_bits(backend, overrides, tmp_path):
    apart = json.loads(last_line("-m", "tests.experiments.train.broken_off", tmp_path, *overrides, backend=backend))
    assert apart == {
        method: {"weights": 0, "unequal": [], "epochs": [3, 4, 5]} for method in ("ct", "eef", "ft", "nft")
    }


@pytest.mark.parametrize("backend", ["jax", "torch"])
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
    assert last_line("-c", program, backend=backend) == "3"


def test_another_back_end_is_refused_in_one_sentence(tmp_path):
    done = python("-c", "import nft_keras; nft_keras.FriendlyModel", backend="numpy")
    said = "nft_keras trains with Keras' back ends tensorflow, jax, torch, not with numpy: set KERAS_BACKEND to one of "
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and last == f"nft_keras.backend.BackendError: {said}these"
    done = python("-m", "nft_keras.run", "two-moons", "--out", tmp_path / "out", backend="numpy")
    assert done.returncode == 2 and done.stderr == f"{said}these\n" and not (tmp_path / "out").exists()


# A command that asks for a feature, and what is said where it is not to be had.
REFUSED = {
    "`training.steps_per_execution` above 1": (
        "run two-moons --set training.steps_per_execution=2",
        "training.steps_per_execution: 2 needs KERAS_BACKEND=tensorflow or jax, got {}",
    ),
    "`distribute: mirrored`": (
        "run two-moons --set distribute=mirrored",
        "distribute: mirrored needs KERAS_BACKEND=tensorflow or jax, got {}",
    ),
    "`distribute: multi-worker`": (
        "run two-moons --set distribute=multi-worker",
        "distribute: multi-worker needs KERAS_BACKEND=tensorflow, got {}",
    ),
    "`run --vectorize`": ("run two-moons --vectorize", "--vectorize needs JAX: set KERAS_BACKEND=jax (it is {})"),
    "`export --format tf_saved_model`": (
        "export folder --format tf_saved_model",
        "tf_saved_model needs KERAS_BACKEND=tensorflow or jax, got {}",
    ),
    "`export --format litert`": ("export folder --format litert", "litert needs KERAS_BACKEND=tensorflow, got {}"),
    "`export --format onnx`": ("export folder --format onnx", "onnx needs KERAS_BACKEND=tensorflow, got {}"),
    "`attack`": ("attack folder", "nft_keras.cli.attack needs KERAS_BACKEND=tensorflow, got {}"),
}


@pytest.mark.parametrize("feature, backend", unable())
def test_what_a_back_end_does_not_do_is_refused_in_one_line(feature, backend):
    command, message = REFUSED[feature]
    done = python("-m", "nft_keras", *command.split(), backend=backend)
    assert done.returncode == 2 and done.stderr == f"{message.format(backend)}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend, tests",
    [(name, tests) for row, tests in FILES.items() for name in able(row) if name != keras.backend.backend()],
)
def test_what_a_file_of_tests_asks_holds_on_every_back_end(backend, tests):
    done = python("-m", "pytest", "-n", "0", tests, backend=backend)
    assert done.returncode == 0, done.stdout[-3000:]


def test_every_row_of_the_table_is_tested():
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "tests.backend.features" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert set(FEATURES) == TESTED
