"""The back end of Keras that trains, and the functions that it gives to a training step, said here once.

A method of training is written once, imperatively: it reads and assigns variables, and takes gradients and makes
updates by these functions, which `nft_keras.backend.tensorflow`, `jax` and `torch` each have:

| function | what it does |
|---|---|
| `step(function)` | decorates `train_step(model, data)` into what Keras calls |
| `keras_step(model, data)` | `keras.Model`'s own training step, inside a decorated one |
| `gradients(function, variables)` | (result, gradients) of a function () -> (loss, result) |
| `gradient_at(function, x)` | (result, gradient) of a function x -> (loss, result) with respect to the tensor x |
| `apply(optimizer, gradients, variables)` | one update |
| `inference()` | a context in which nothing is recorded for gradients |
| `num_replicas()` | the replicas (devices) that share the present minibatch, a float |
| `weighted(loss, x)` | a replica's mean over its examples x, with the gradient of the mean over all replicas' |
| `of_all(gradient, count)` | rescales a gradient of a mean over a replica's `count` terms to that over all replicas' |
| `unless_empty(x, step, otherwise, data)` | step(data), or otherwise() for a minibatch x without examples |
| `unfinished_rows(unfinished, fixed_shapes)` | (take, put): cuts out unfinished rows, or all, and its inverse |
| `while_loop(condition, body, values, data, xla)` | the values after a loop of body(*values, *data) |
| `of_each(function, rows)` | what a function of one row returns of every row of tensors |
| `compiled(model, function)` | the function of arrays, compiled if it can be, with the weights of the moment |
| `scope(model)` | the context in which variables of the model are created |

What else depends on the back end, and needs no Keras to be imported, are the functions below.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nft_keras.backend.tensorflow import *  # noqa: F403

MODULES = {name: f"nft_keras.backend.{name}" for name in ("tensorflow", "jax", "torch")}
PROTOCOL = (
    "step",
    "keras_step",
    "gradients",
    "gradient_at",
    "apply",
    "inference",
    "num_replicas",
    "weighted",
    "of_all",
    "unless_empty",
    "unfinished_rows",
    "while_loop",
    "of_each",
    "compiled",
    "scope",
)
# XLA on the CPU gives the same bits every time as it is; on a GPU this makes it so.
_XLA_DETERMINISM = "--xla_gpu_deterministic_ops=true"
_CUBLAS_DETERMINISM = ":4096:8"
# By itself XLA on a CPU writes one array in a loop.
_FUSED_LOOPS = "xla_cpu_use_multi_output_fusion=true"
_EXTRA_OPTIONS = "--xla_backend_extra_options="
# The back ends' exceptions of missing memory: the class, and what its message says then.
_OUT_OF_MEMORY = {
    "ResourceExhaustedError": "",
    "OutOfMemoryError": "",
    "JaxRuntimeError": "RESOURCE_EXHAUSTED",
    "RuntimeError": "DefaultCPUAllocator",
}


def __getattr__(name):
    if name in PROTOCOL:
        return getattr(importlib.import_module(MODULES[check_backend()]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BackendError(ImportError):
    """Keras runs on a back end that nft_keras does not train with."""


def backend_name():
    """The name of Keras' back end, told without importing Keras if it is not yet imported."""
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
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
            f"nft_keras trains with Keras' back ends {', '.join(MODULES)}, not with {name}: "
            "set KERAS_BACKEND to one of these"
        )
    return name


def tensorflow_for_data():
    """The module tensorflow, as what reads data: beside another back end it leaves the accelerators alone."""
    import tensorflow as tf

    if backend_name() != "tensorflow" and tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    return tf


def import_tensorflow_quietly():
    """Imports TensorFlow, without what its C++ says of missing CUDA before its log level counts, and without its advice
    on retracing: a recipe's trials and networks differ, and each is traced.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        tensorflow_for_data().config.list_physical_devices()
        tensorflow_for_data().get_logger().addFilter(_is_no_advice_on_retracing)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _is_no_advice_on_retracing(record):
    return "triggered tf.function retracing" not in record.getMessage()


def untuned(dataset):
    """The `tf.data.Dataset` without tf.data's tuning, which may hold an iterator for seconds after its last element."""
    options = tensorflow_for_data().data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_deterministic():
    """From now on only operations that give the same bits every time; before the first one, but for TensorFlow."""
    if backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend_name() == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS_DETERMINISM)
        torch.use_deterministic_algorithms(True)
    elif _XLA_DETERMINISM not in _flags_of_xla().split():
        os.environ["XLA_FLAGS"] = f"{_flags_of_xla()} {_XLA_DETERMINISM}".lstrip()


def fuse_loops():
    """From now on TensorFlow's XLA on a CPU writes several arrays in one loop; before it compiles its first program.

    An update of many weights by `nft_keras.optimizers.Adam` with `l2` then takes half to three quarters of the time.
    Extra options of the user's own stay as they are.
    """
    flags = _flags_of_xla()
    if backend_name() == "tensorflow" and _EXTRA_OPTIONS not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_EXTRA_OPTIONS}{_FUSED_LOOPS}".lstrip()


def fuses_loops():
    """Whether the flags of XLA say that it writes several arrays in one loop on a CPU."""
    return _FUSED_LOOPS in _flags_of_xla()


def _flags_of_xla():
    """What XLA_FLAGS says; what does not begin as a flag is the name of a file of flags."""
    flags = os.environ.get("XLA_FLAGS", "").strip()
    is_file = flags and not flags.startswith("-") and os.path.isfile(flags)
    return Path(flags).read_text(encoding="utf-8").strip() if is_file else flags


def seed_epoch(seed, epoch):
    """Makes what PyTorch draws in an epoch, as for dropout, a function of (seed, epoch) alone.

    The other back ends draw from variables of the networks, which are stored with them.
    """
    if backend_name() == "torch":
        import numpy as np
        import torch

        torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]))


def out_of_memory(error):
    """What an exception of a back end says of missing memory; None if it is about something else."""
    if isinstance(error, MemoryError):
        return "out of memory"
    text = str(getattr(error, "message", error)).partition("\n")[0]
    kind = type(error).__name__
    exhausted = kind in _OUT_OF_MEMORY and _OUT_OF_MEMORY[kind] in text
    return (text or "out of memory") if exhausted else None
