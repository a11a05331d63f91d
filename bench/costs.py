"""Memory, scaling, the input pipeline, and the time to the first step."""

import dataclasses
import json
import os
import subprocess
import sys
import time

from bench import measure
from bench.report import Table, milliseconds, times
from bench.workloads import WORKLOADS, Fit, TorchFit, Workload, small

CHILDREN = ("keras", "epoch", "joint")


def memory(quick):
    """Peak resident memory of whole processes that train; returns the table."""
    table = Table(
        "Memory",
        "Peak resident memory in MB of a process that trains, above what it has after its imports: CT; NFT "
        'with phases="epoch" and "joint"; the plain loop\'s CT and NFT.',
        ["workload", "CT", 'NFT "epoch"', '"joint"', "loop: CT", "NFT"],
    )
    for index in (1,) if quick else range(len(WORKLOADS)):
        of = {method: _child(index, method, "ours", quick)["memory"] for method in CHILDREN}
        of |= {f"loop {method}": _child(index, method, "loop", quick)["memory"] for method in CHILDREN[:2]}
        table.rows.append([WORKLOADS[index].name, *(f"{value / 1e6:,.0f}" for value in of.values())])
        table.values[WORKLOADS[index].name] = of
    return [table]


def start(quick):
    """Seconds from the start of Python to the end of the first step; returns the table."""
    table = Table(
        "Start-up",
        "Seconds from the start of a process to the end of its first training step (NFT: of both phases, one step "
        "each): imports, data, networks, tracing, step.",
        ["workload", "CT", "NFT", "loop: CT", "NFT"],
    )
    for index in (1,) if quick else (0, 4):
        kinds = [(method, who) for who in ("ours", "loop") for method in CHILDREN[:2]]
        values = {kind: [] for kind in kinds}
        for _ in range(1 if quick else 3):
            for kind in kinds:
                values[kind].append(_child(index, *kind, quick)["first_step"])
        table.rows.append([WORKLOADS[index].name, *(times(measure.quartiles(v)) for v in values.values())])
        table.values[WORKLOADS[index].name] = {" ".join(kind): v for kind, v in values.items()}
    return [table]


def _child(index, method, who, quick):
    command = [sys.executable, "-m", "bench.child", str(index), method, who, *(["--quick"] if quick else [])]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{ended.stderr}")
    return json.loads(ended.stdout.splitlines()[-1])


def scaling(quick):
    """The cost of NFT against batch size, width and number of examples; returns the tables."""
    by_size = Table(
        "Batch size and width",
        "NFT with CNN-A, an epoch's time per example in ms; speed-up over the plain loop.",
        ["U-Net", "batch", "ours", "loop", "speed-up"],
    )
    points = [(1, 16, 8), (1, 16, 32), (1, 16, 128), (2, 16, 32), (2, 32, 32)]
    for depth, filters, batch_size in points[:1] if quick else points:
        workload = dataclasses.replace(WORKLOADS[2], auxiliary={"depth": depth, "filters": filters})
        workload = small(workload) if quick else workload
        n = batch_size * (2 if quick else max(4, 256 // batch_size))
        runners = {kind.__name__: kind(workload, "epoch", n, batch_size).epoch for kind in (Fit, TorchFit)}
        values = measure.in_turns(runners, *measure.budget(quick, 12))
        ours, loop = ([v / batch_size for v in values[kind, "epoch"]] for kind in ("Fit", "TorchFit"))
        row = [f"({depth}, {filters})", str(batch_size), milliseconds(ours), milliseconds(loop)]
        by_size.rows.append([*row, times(measure.ratio(loop, ours))])
        by_size.values[f"{depth}, {filters}, batch {batch_size}"] = {"ours": ours, "loop": loop}
        measure.forget()
    return [by_size, _examples(quick)]


SMALL_NETS = Workload("FC-A + U-Net(1, 4)", "fc_a", {"filters": 4, "depth": 1})


def _examples(quick):
    table = Table(
        "Number of examples",
        f"{SMALL_NETS.name}: seconds of an epoch per 1,000 examples, and over those of the largest set; the target is "
        "within 5 %.",
        ["examples", "CT", "NFT", "CT, ratio", "NFT, ratio"],
    )
    sizes = (64, 128) if quick else (1_000, 10_000, 100_000)
    workload = small(SMALL_NETS) if quick else SMALL_NETS
    # Small sets take as many epochs a turn as a tenth of the largest one: a short epoch is an unsure measurement.
    runners = {}
    for n in sizes:
        for method in ("keras", "epoch"):
            runners[n, method] = _repeated(Fit(workload, method, n), max(1, sizes[-1] // n // 10))
    values = measure.in_turns(runners, *measure.budget(quick, 60))
    per_thousand = {kind: [v * 1000 / 32 for v in values[kind, "epoch"]] for kind in runners}
    for n in sizes:
        here = [per_thousand[n, method] for method in ("keras", "epoch")]
        largest = [per_thousand[sizes[-1], method] for method in ("keras", "epoch")]
        ratios = [times(measure.ratio(a, b)) for a, b in zip(here, largest, strict=True)]
        table.rows.append([f"{n:,}", *(f"{measure.quartiles(v)[1]:.3g}" for v in here), *ratios])
    table.values.update({f"{n} {method}": v for (n, method), v in per_thousand.items()})
    measure.forget()
    return table


def _repeated(fit, epochs):
    """A function that trains for some epochs and gives their mean."""

    def run():
        results = [fit.epoch() for _ in range(epochs)]
        # Per example, not per step: the last minibatch of a pass may be smaller.
        share = fit.steps * fit.batch_size / fit.n
        return {part: share * sum(r[part] for r in results) / epochs for part in results[0]}

    return run


def pipeline(quick):
    """How long a step waits for its minibatch; returns the table."""
    table = Table(
        "The input pipeline",
        "Time of a CT epoch on minibatches that `nft_keras.data` makes while the step before is computed, over that on "
        "one minibatch that is in memory all the time; and what making a minibatch costs by itself.",
        ["workload", "ratio", "step (ms)", "minibatch alone (ms)"],
    )
    for workload in [small(WORKLOADS[4])] if quick else (WORKLOADS[0], WORKLOADS[4]):
        n = 32 * (2 if quick else 100 if len(workload.shape) == 3 else 12)
        made, kept = Fit(workload, "keras", n), Fit(workload, "keras", n, pipeline=_one_minibatch)
        runners = {"made": made.epoch, "kept": kept.epoch, "alone": lambda made=made: {"epoch": _reading(made.data)}}
        values = {
            kind: v
            for (kind, part), v in measure.in_turns(runners, *measure.budget(quick, 15)).items()
            if part == "epoch"
        }
        name = workload.name
        ratio = times(measure.ratio(values["made"], values["kept"]))
        table.rows.append([name, ratio, milliseconds(values["made"]), milliseconds(values["alone"])])
        table.values[name] = values
        measure.forget()
    return [table]


def _one_minibatch(part, batch_size, seed, epoch):
    """The first minibatch of a part, in memory, as often as a pass has minibatches."""
    import tensorflow as tf

    from nft_keras.data.batches import batches

    minibatch = next(iter(batches(part, batch_size)))
    return tf.data.Dataset.from_tensors(minibatch).cache().repeat(-(-len(part) // batch_size))


def _reading(data):
    """Seconds per minibatch of a pass in which nothing else is done."""
    began = time.perf_counter()
    count = sum(1 for _ in data)
    return (time.perf_counter() - began) / count
