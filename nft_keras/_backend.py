"""The back end of Keras that trains: TensorFlow or JAX, each with a module of its own."""

import importlib
import json
import os
import sys
from pathlib import Path

MODULES = {"tensorflow": "nft_keras._tensorflow", "jax": "nft_keras._jax"}
# XLA on the CPU gives the same bits every time as it is; on a GPU this makes it so.
_XLA_DETERMINISM = "--xla_gpu_deterministic_ops=true"


class BackendError(ImportError):
    """Keras runs on a back end that nft_keras does not train with."""


def backend_name():
    """The name of Keras' back end, told without importing Keras if it is not yet imported."""
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    try:
        return json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"


def check_backend():
    """Refuses a back end that nft_keras does not train with.

    Raises:
        BackendError: naming it, and what to set.
    """
    name = backend_name()
    if name not in MODULES:
        raise BackendError(
            f"nft_keras trains with Keras' back ends {' and '.join(MODULES)}, not with {name}: "
            "set KERAS_BACKEND=tensorflow, or KERAS_BACKEND=jax"
        )
    return name


def tensorflow_for_data():
    """The module tensorflow, as what reads data: beside another back end it leaves the accelerators alone."""
    import tensorflow as tf

    if backend_name() != "tensorflow" and tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    return tf


def untuned(dataset):
    """The `tf.data.Dataset` without tf.data's tuning, which may hold an iterator for seconds after its last element."""
    options = tensorflow_for_data().data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_deterministic():
    """From now on only operations that give the same bits every time; before the first one, with JAX."""
    if backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif _XLA_DETERMINISM not in os.environ.get("XLA_FLAGS", "").split():
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_DETERMINISM}".lstrip()


def out_of_memory(error):
    """What an exception of a back end says of missing memory; None if it is about something else."""
    if isinstance(error, MemoryError):
        return "out of memory"
    text = str(getattr(error, "message", error)).partition("\n")[0]
    kind = type(error).__name__
    exhausted = kind == "ResourceExhaustedError" or (kind == "JaxRuntimeError" and "RESOURCE_EXHAUSTED" in text)
    return (text or "out of memory") if exhausted else None


def steps():
    """The class `Steps` of the present back end.

    Raises:
        BackendError: if there is none for it.
    """
    return importlib.import_module(MODULES[check_backend()]).Steps
