"""Memory, scaling, the input pipeline, and the time to the first step."""

import dataclasses
import json
import os
import subprocess
import sys
import time

from bench import measure
from bench.report import Table, milliseconds, times
from bench.steps import PERTURBATION
from bench.workloads import LARGE, SMALL, TEXTS, WORKLOADS, Fit, TorchFit, Workload, small

CHILDREN = (("keras", "ours"), ("epoch", "ours"), ("joint", "ours"), ("keras", "loop"), ("epoch", "loop"))


def memory(quick):
    """Peak memory of processes that train, and the time to their first step; returns the table."""
    table = Table(
        "Memory and start-up",
        "Peak resident memory of a process that trains, above what it has after its imports; seconds from the start of "
        "the process to the end of its first step (NFT: one of each phase): imports, data, networks, tracing, step.",
        ["workload", "training", "ours (MB)", "loop (MB)", "ours (s)", "loop (s)"],
    )
    names = {"keras": "CT", "epoch": 'NFT, "epoch"', "joint": 'NFT, "joint"'}
    for index in (1,) if quick else (0, 4):
        of = {}
        for method, who in CHILDREN[2:4] if quick else CHILDREN:
            of[method, who] = _child(index, method, who, quick)
        for method in dict.fromkeys(method for method, _ in of):
            pair = [of.get((method, who)) for who in ("ours", "loop")]
            megabytes = [f"{child['memory'] / 1e6:,.0f}" if child else "" for child in pair]
            seconds = [f"{child['first_step']:.1f}" if child else "" for child in pair]
            table.rows.append([WORKLOADS[index].name, names[method], *megabytes, *seconds])
        table.values[WORKLOADS[index].name] = {" ".join(kind): child for kind, child in of.items()}
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
        workload = dataclasses.replace(SMALL, auxiliary={"depth": depth, "filters": filters})
        workload = small(workload) if quick else workload
        n = batch_size * (2 if quick else max(4, 256 // batch_size))
        runners = {kind.__name__: kind(workload, "epoch", n, batch_size).epoch for kind in (Fit, TorchFit)}
        values = measure.epochs(runners, quick, 12)
        ours, loop = ([v / batch_size for v in values[kind]] for kind in ("Fit", "TorchFit"))
        row = [f"({depth}, {filters})", str(batch_size), milliseconds(ours), milliseconds(loop)]
        by_size.rows.append([*row, times(measure.ratio(loop, ours))])
        by_size.values[f"{depth}, {filters}, batch {batch_size}"] = {"ours": ours, "loop": loop}
        measure.forget()
    return [by_size, _examples(quick)]


SMALL_NETS = Workload("FC-A + U-Net(1, 4)", "fc_a", {"filters": 4, "depth": 1})


def _examples(quick):
    table = Table(
        "Number of examples",
        f"{SMALL_NETS.name}: seconds of an epoch per 1,000 examples, over those of the largest set (the target is "
        "within 5 %), and what an epoch takes beside its steps.",
        ["training", "examples", "s per 1,000", "over the largest", "fixed (ms)"],
    )
    sizes = (64, 128) if quick else (1_000, 10_000, 100_000)
    workload = small(SMALL_NETS) if quick else SMALL_NETS
    for name, method in (("CT", "keras"), ("NFT", "epoch")):
        fits = {n: Fit(workload, method, n) for n in sizes}
        fits[sizes[0]].epoch()
        for n in sizes[1:]:
            fits[n].model, fits[n].plan = fits[sizes[0]].model, fits[sizes[0]].plan
        # Small sets take several epochs a turn: a short epoch is an unsure measurement.
        runners = {n: _per_thousand(fit, max(1, sizes[-1] // n // 10)) for n, fit in fits.items()}
        values = measure.epochs(runners, quick, 60, warm=False)
        for n in sizes:
            fixed = measure.quartiles([(a - b) * n for a, b in zip(values[n], values[sizes[-1]], strict=True)])[1]
            relative = times(measure.ratio(values[n], values[sizes[-1]]))
            seconds = f"{measure.quartiles(values[n])[1]:.3g}"
            table.rows.append([name, f"{n:,}", seconds, relative, f"{fixed:.0f}" if n == sizes[0] else ""])
        table.values[name] = {str(n): v for n, v in values.items()}
        measure.forget()
    return table


TABLES = Workload("FC-A + MLP, table", "fc_a", {"hidden": 32}, shape=(20,))


def short(quick):
    """Epochs of short steps; returns the table."""
    from nft_keras.data.batches import in_graph
    from nft_keras.experiments.train.size import AT_ONCE

    table = Table(
        "Short steps",
        f"{TABLES.name} of 20 columns: an epoch of `fit` on 1,000 examples, its steps one by one on `tf.data`; and "
        f"as a recipe makes them, {AT_ONCE} in a call, which take their minibatches themselves.",
        ["training", "one by one (ms)", "as a recipe (ms)", "ratio"],
    )
    for name, method in (("CT", "keras"), ("NFT", "epoch"), ("FT", "ft")):
        settings = {"method": method, "n": 64 if quick else 1_000, "perturbation": PERTURBATION}
        at_once = Fit(dataclasses.replace(TABLES, steps_per_execution=AT_ONCE), pipeline=in_graph, **settings)
        runners = {"one by one": Fit(TABLES, **settings).epoch, "recipe": at_once.epoch}
        values = {who: [v * at_once.steps for v in of] for who, of in measure.epochs(runners, quick, 10).items()}
        ratio = times(measure.ratio(values["one by one"], values["recipe"]))
        table.rows.append([name, *map(milliseconds, values.values()), ratio])
        table.values[name] = values
        measure.forget()
    return [table]


def _per_thousand(fit, epochs):
    """A function that trains for some epochs and gives the seconds that 1,000 examples took."""
    return lambda: {"epoch": sum(fit.epoch()["epoch"] * fit.steps for _ in range(epochs)) * 1000 / fit.n / epochs}


def pipeline(quick):
    """How long a step waits for its minibatch; returns the table."""
    table = Table(
        "The input pipeline",
        "Time of a CT epoch on minibatches that `nft_keras.data` makes while the step before is computed, over that on "
        "one minibatch that is in memory all the time; and what making a minibatch costs by itself.",
        ["workload", "ratio", "step (ms)", "minibatch alone (ms)"],
    )
    for workload in [small(TEXTS)] if quick else (LARGE, TEXTS):
        n = 32 * (2 if quick else 100 if len(workload.shape) == 3 else 30)
        made, kept = Fit(workload, "keras", n), Fit(workload, "keras", n, pipeline=_one_minibatch)
        runners = {"made": made.epoch, "kept": kept.epoch, "alone": lambda made=made: {"epoch": _reading(made.data)}}
        values = measure.epochs(runners, quick, 15)
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
