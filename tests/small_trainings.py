"""What a process of the tests does first: all that it trains is small, and over in a moment."""

import gc
import sys


def ready_for_small_trainings():
    """From now on TensorFlow runs graphs as they are, and what is imported is out of the garbage collector's sight.

    To optimize a graph takes longer than to run it a few times; JAX is told the same by `tests.backend.features`.
    """
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.collect()
    gc.freeze()
