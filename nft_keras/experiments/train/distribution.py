"""Trials on several devices and machines, the recipe's `distribute`: what is built where, who writes, who is gone."""

import contextlib
import functools
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

from nft_keras._text import say
from nft_keras.backend import backend_name, tensorflow_for_data
from nft_keras.experiments.recipe.schema import RecipeError

START = 600  # seconds that a worker waits for the others to come up
TRIES, PAUSE = 3, 2.0  # so often, and so many seconds apart, a worker that does not answer is asked again

AGAIN = "the same command on every worker goes on after the last finished epoch"


class Cluster:
    """The workers that train together, as TensorFlow's environment variable TF_CONFIG names them.

    Attributes:
        addresses: list of "host:port", one per worker.
        index: int, this process' place among them; the first is the chief, who alone writes.

    Raises:
        RecipeError: if TF_CONFIG is missing or not of this form.
    """

    def __init__(self):
        example = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'
        try:
            config = json.loads(os.environ["TF_CONFIG"])
            chiefs, workers = (list(config["cluster"].get(job, [])) for job in ("chief", "worker"))
            self.addresses = [*chiefs, *workers]
            self.index = {"chief": 0, "worker": len(chiefs)}[config["task"]["type"]] + int(config["task"]["index"])
            for address in self.addresses:
                host, _, port = address.rpartition(":")
                if not host or not 0 < int(port) < 65536:
                    raise ValueError(address)
            if not 0 <= self.index < len(self.addresses):
                raise IndexError(self.index)
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, RecursionError):
            got = os.environ.get("TF_CONFIG")
            what = "is not set" if got is None else f"is {got[:200]!r}"
            raise RecipeError(f"distribute: multi-worker: TF_CONFIG {what}; it should be like {example}") from None
        self._watching, self._over = False, threading.Event()

    @property
    def chief(self):
        """Whether this worker writes."""
        return self.index == 0

    def watch(self):
        """From now on this process ends with one line and exit code 1 when a worker is gone.

        TensorFlow alone (2.21) was still waiting nine minutes after a worker had died while the cluster came up.
        """
        if not self._watching:
            threading.Thread(target=self._watch, daemon=True).start()
        self._watching = True

    def _watch(self):
        began, seen = time.monotonic(), set()
        others = [i for i in range(len(self.addresses)) if i != self.index]
        while not self._over.wait(PAUSE):
            for i in others:
                if self._answers(i):
                    seen.add(i)
                elif i not in seen:
                    if time.monotonic() - began > START:
                        self.leave(f"worker {i} ({self.addresses[i]}) did not start within {START} s; {AGAIN}")
                elif not any(self._over.wait(PAUSE) or self._answers(i) for _ in range(TRIES)):
                    self.leave(f"worker {i} ({self.addresses[i]}) is gone; {AGAIN}")

    def _answers(self, i):
        host, _, port = self.addresses[i].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError:
            return False
        return True

    def leave(self, reason):
        """Ends this process, which cannot train on: what TensorFlow waits for does not come any more."""
        say(f"failed: {reason}")
        sys.stdout.flush()
        os._exit(1)

    def failed(self, error):
        """Ends this process after an error of TensorFlow's, which may be the first sign that a worker is gone.

        Any other error is left alone.
        """
        import tensorflow as tf

        if not isinstance(error, tf.errors.OpError):
            return
        self._over.wait(TRIES * (PAUSE + 10))  # the watch knows better by then
        self.leave(f"{str(error.message).partition(chr(10))[0]}; {AGAIN}")

    def end(self):
        """Waits for the other workers, if there was something to train, to come this far; then they may be gone."""
        if not self._watching:
            return
        import tensorflow as tf

        try:
            same_everywhere(strategy("multi-worker"), "here")
        except tf.errors.OpError as error:
            self.failed(error)
        self._over.set()
        # Who is past the first meeting may not leave while another is still in it; of the second it does not matter.
        with contextlib.suppress(tf.errors.OpError):
            same_everywhere(strategy("multi-worker"), "end")


def cluster(trials):
    """The workers that train some trials, or None if this process does so alone.

    Args:
        trials: list of `nft_keras.experiments.recipe.trial.Trial`.

    Raises:
        RecipeError: if some are for several workers and others are not, or TF_CONFIG is wrong.
    """
    names = {trial.distribute for trial in trials}
    if "multi-worker" not in names:
        return None
    if len(names) > 1:
        raise RecipeError(f"recipes with distribute: {' and '.join(sorted(names))} need a command each")
    return Cluster()


@functools.cache
def strategy(name):
    """The `tf.distribute.Strategy` of a recipe's `distribute`; the same one all through a process.

    With JAX that of "mirrored" is a `nft_keras.backend.jax.DataParallel`.

    Args:
        name: "none", "mirrored" (all GPUs that are visible) or "multi-worker". The last one has to come before
            anything else is computed, and returns when all workers are up.
    """
    tf = tensorflow_for_data()
    if name == "mirrored" and backend_name() == "jax":
        from nft_keras.backend.jax import DataParallel

        devices = DataParallel()
        return devices if devices.device_mesh.devices.size > 1 else tf.distribute.get_strategy()
    if name == "multi-worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    mirrored = tf.distribute.MirroredStrategy() if name == "mirrored" else None
    return mirrored if mirrored and mirrored.num_replicas_in_sync > 1 else tf.distribute.get_strategy()


def throughout(of):
    """The context of a whole training: Keras asks for JAX's devices in every step.

    TensorFlow's strategies are in force where variables are made, and what makes others must be outside.

    Args:
        of: what `strategy` returns.
    """
    import tensorflow as tf

    return contextlib.nullcontext() if isinstance(of, tf.distribute.Strategy) else of.scope()


def dataset(of, make):
    """A data set whose minibatches a strategy's replicas share.

    Args:
        of: `tf.distribute.Strategy`.
        make: function of `parts` that returns `nft_keras.data.batches.batches(..., parts=parts)`.
    """
    if of.num_replicas_in_sync == 1:
        return make(None)

    from nft_keras.backend import keras_internals  # of Keras, which takes seconds to import

    of_a_minibatch = []

    def here(context):
        n = context.num_replicas_in_sync // context.num_input_pipelines
        of_a_minibatch.append(n)
        return make((context.input_pipeline_id * n, n, context.num_replicas_in_sync))

    return keras_internals.count_minibatches(of.distribute_datasets_from_function(here), of_a_minibatch[0])


def same_everywhere(of, *texts):
    """Whether all workers have the same texts; waits for them.

    Args:
        of: `tf.distribute.Strategy`.
        *texts: str.
    """
    import tensorflow as tf

    if of.num_replicas_in_sync == 1:
        return True

    def mine():
        return tf.constant([[zlib.crc32(text.encode()) for text in texts]], tf.int64)

    @tf.function
    def of_all():
        return of.gather(of.run(mine), axis=0)

    found = of_all().numpy()
    return bool((found == found[0]).all())


@contextlib.contextmanager
def own_folder(name, folder):
    """Where this process writes a trial: its folder, or, of workers that are not the chief, a copy that is discarded.

    Args:
        name: the recipe's `distribute`.
        folder: `pathlib.Path` of the trial.
    """
    if name != "multi-worker" or Cluster().chief:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, "trial")
        if folder.is_dir():
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".*", "tensorboard"))
        yield copy
