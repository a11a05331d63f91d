"""Measuring on a noisy machine: what is compared is run in turns, and told by medians and quartiles of the turns."""

import gc
import os
import platform
import statistics
import time
from pathlib import Path

from nft_keras.experiments.train.environment import processor


def in_turns(runners, seconds, least=3, most=25, warm=True):
    """Runs functions A B A B ..., by default after a first round that does not count (it traces and allocates).

    Args:
        runners: {name: function that returns {part: seconds}}.
        seconds: float, the time after which no further round begins.
        least, most: ints, bounds of the number of rounds.
        warm: bool, whether to run such a first round.

    Returns:
        {(name, part): list of float, a value per round}.
    """
    for run in runners.values() if warm else ():
        run()
    values, began = {}, time.perf_counter()
    for turn in range(most):
        if turn >= least and time.perf_counter() - began > seconds:
            break
        for name, run in runners.items():
            for part, value in run().items():
                values.setdefault((name, part), []).append(value)
    return values


def epochs(runners, quick, seconds, warm=True):
    """As `in_turns`, of the runners' part "epoch" alone: {name: list of float}."""
    values = in_turns(runners, *budget(quick, seconds), warm=warm)
    return {name: v for (name, part), v in values.items() if part == "epoch"}


def budget(quick, seconds):
    """The last three arguments of `in_turns`; a single round if it is only to be seen whether it runs."""
    return (0, 1, 1) if quick else (seconds, 3, 25)


def forget():
    """Gives the memory of networks that are no longer needed back."""
    import keras

    keras.backend.clear_session()
    gc.collect()


def ratio(above, below):
    """Quartiles (low, median, high) of the ratios of two lists of values that were measured in turns."""
    return quartiles([a / b for a, b in zip(above, below, strict=True)])


def quartiles(values):
    """(low, median, high) of a list of numbers."""
    if len(values) < 2:
        return (values[0],) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def rates(dtype, quick):
    """What the machine can do: {"rate": operations a second of matrix products, "bandwidth": bytes a second}."""
    size, numbers = (256, 2**16) if quick else (2048, 2**25)
    return {"rate": matmul_rate(dtype, size), "bandwidth": bandwidth(numbers)}


def matmul_rate(dtype="float32", size=2048, repeat=3):
    """Operations a second of TensorFlow's product of two size x size matrices, the best of `repeat`."""
    import tensorflow as tf

    a = tf.cast(tf.random.stateless_uniform((size, size), (0, 1)), dtype)
    product = _matmul()
    return 2 * size**3 / best(lambda: product(a, a).numpy(), repeat)


def bandwidth(numbers=2**25, repeat=3):
    """Bytes a second of a += b on float32 vectors that no cache holds: two are read, one is written.

    In place, as an optimizer writes: memory that is only written is read before.
    """
    import torch

    a, b = (torch.zeros(numbers) for _ in range(2))
    return 12 * numbers / best(lambda: a.add_(b), repeat)


def machine():
    """Processor, cores, memory and versions, a line of text."""
    import jax
    import keras
    import tensorflow as tf
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    special = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in (keras, tf, jax, torch))
    return f"{cores()} cores of {processor()} ({', '.join(special)}), {memory:.0f} GiB, {platform.system()}; {versions}"


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def same_threads(threads=None):
    """Gives TensorFlow and PyTorch as many threads, by default one for each core; before either computes anything."""
    import tensorflow as tf
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(threads or cores())
    torch.set_num_threads(threads or cores())


def threads():
    """The number of threads that `same_threads` gave."""
    import torch

    return torch.get_num_threads()


def best(function, repeat):
    """Seconds of the fastest of so many calls, after a first one that does not count."""
    seconds = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


_kept = []


def _matmul():
    import tensorflow as tf

    if not _kept:
        _kept.append(tf.function(tf.matmul))
    return _kept[0]
