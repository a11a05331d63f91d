"""One training in a process of its own, for `bench.costs`: its peak memory and the time to its first step, in JSON."""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench.workloads import WORKLOADS, Fit, TorchFit, small  # noqa: E402


def main():
    """Trains four epochs of one minibatch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", type=int, help="place in bench.workloads.WORKLOADS")
    parser.add_argument("method", choices=["keras", "epoch", "joint"])
    parser.add_argument("who", choices=["ours", "loop"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    workload = WORKLOADS[options.workload]
    workload = small(workload) if options.quick else workload
    if options.who == "ours":
        import nft_keras.auxiliaries
        import nft_keras.data.batches
        import nft_keras.optimizers  # noqa: F401

        kind = Fit
    else:
        import bench.torch_loop
        import bench.torch_nets  # noqa: F401

        kind = TorchFit
    imported = _peak()
    training = kind(workload, options.method, n=32)
    training.epoch()
    first_step = _age()
    for _ in range(3):
        training.epoch()
    print(json.dumps({"first_step": first_step, "memory": _peak() - imported}))


def _peak():
    """The largest resident memory of this process so far, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _age():
    """Seconds since this process began (Linux)."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - began


if __name__ == "__main__":
    main()
