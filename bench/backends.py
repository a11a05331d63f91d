"""CT and NFT on each back end of Keras beside the PyTorch loops, in turns: a process for each, told when to train."""

import argparse
import contextlib
import json
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench import measure  # noqa: E402
from bench.report import Table, milliseconds, times  # noqa: E402
from bench.workloads import LARGE, SMALL, TEXTS, WORKLOADS, Fit, TorchFit, small  # noqa: E402

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
LOOPS = ("loop", "careful")


class Process(contextlib.AbstractContextManager):
    """A training in a process of its own, an epoch at a time.

    Args:
        workload: one of `bench.workloads.WORKLOADS`.
        method: "keras" or "epoch".
        who: a key of `BACKENDS` or one of `LOOPS`.
        quick: bool, whether the workload is as small as can be.
    """

    def __init__(self, workload, method, who, quick):
        command = [sys.executable, "-m", "bench.backends", str(WORKLOADS.index(workload)), method, who]
        environment = {**os.environ, "KERAS_BACKEND": who if who in BACKENDS else "tensorflow"}
        self._process = subprocess.Popen(
            [*command, *(["--quick"] if quick else []), "--threads", str(measure.threads())],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def epoch(self):
        """Trains for an epoch; {"epoch": seconds per step}."""
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._process.args[1:])} ended with {self._process.wait()}")
        return {"epoch": json.loads(line)}

    def __exit__(self, *unused):
        self._process.stdin.close()
        self._process.wait()


def backends(quick):
    """CT and NFT on every back end; returns the table."""
    table = Table(
        "Back ends",
        "Speed-up of an epoch over the plain PyTorch loop, on each of Keras' back ends; careful: of the loop that "
        "leaves out the gradients that NFT throws away. Each trains in a process of its own, one at a time.",
        ["workload", "step", *BACKENDS.values(), "careful", "loop (ms)"],
    )
    for workload in (SMALL,) if quick else (LARGE, SMALL, TEXTS):
        for method, step in (("keras", "CT"), ("epoch", "NFT epoch")):
            _compare(table, workload, method, step, quick)
    return [table]


def _compare(table, workload, method, step, quick):
    """Adds a row: an epoch of a method, on every back end and in the loops."""
    with contextlib.ExitStack() as stack:
        who = [*BACKENDS, *(LOOPS if method == "epoch" else LOOPS[:1])]
        processes = {name: stack.enter_context(Process(workload, method, name, quick)) for name in who}
        values = measure.epochs({name: process.epoch for name, process in processes.items()}, quick, 60)
    ratios = {name: times(measure.ratio(values["loop"], values[name])) for name in who}
    row = [ratios.get(name, "") for name in (*BACKENDS, "careful")]
    table.rows.append([workload.name, step, *row, milliseconds(values["loop"])])
    table.values[f"{workload.name}, {step}"] = values


def main():
    """Trains an epoch for each line of the standard input, and prints its seconds per step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", type=int, help="place in bench.workloads.WORKLOADS")
    parser.add_argument("method", choices=["keras", "epoch"])
    parser.add_argument("who", choices=[*BACKENDS, *LOOPS])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    measure.same_threads(options.threads)
    workload = WORKLOADS[options.workload]
    workload = small(workload) if options.quick else workload
    if options.who in BACKENDS:
        training = Fit(workload, options.method)
    else:
        training = TorchFit(workload, options.method, careful=options.who == "careful")
    for _ in sys.stdin:
        print(json.dumps(training.epoch()["epoch"]), flush=True)


if __name__ == "__main__":
    main()
