import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Of PyTorch and NumPy: threads that wait for each other's few numbers take the processor from the other worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402

from tests.small_trainings import ready_for_small_trainings  # noqa: E402


def pytest_configure(config):
    """Gives the processes on JAX a folder, for as long as the tests run, of what one of them has compiled already."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def pytest_collection_finish():
    """Readies the process when it has imported the modules of the tests."""
    ready_for_small_trainings()


@pytest.fixture(autouse=True)
def seeded():
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(params=["float64"])
def floatx(request):
    """Keras' dtype of data and layers, for one test."""
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.fixture(autouse=True)
def determinism_ends_with_the_test():
    yield
    if "tensorflow" in sys.modules:  # with deterministic operations Keras compiles nothing by XLA
        from tensorflow.python.framework.config import disable_op_determinism

        disable_op_determinism()


@pytest.fixture(autouse=True)
def flags_of_xla_are_those_of_before():
    before = os.environ.get("XLA_FLAGS")
    yield
    os.environ.pop("XLA_FLAGS", None)
    os.environ.update({"XLA_FLAGS": before} if before is not None else {})
