"""Training steps side by side with the PyTorch loop: CT, NFT, its cheaper forms, FT, EEF, after the drop."""

import dataclasses
import functools
import statistics
import time

import tensorflow as tf

from bench import measure
from bench.floor import floor, friendly_floor
from bench.report import Table, milliseconds, times
from bench.workloads import BFLOAT16, LARGE, SMALL, TEXTS, WORKLOADS, Fit, TorchFit, small
from nft_keras import costs
from nft_keras.auxiliaries import altered_by

PERTURBATION = {"step": 10.0, "confidence": 0.98, "max_steps": 10}
# With random labels nobody gets as sure as that in ten steps; of this one is sure after five, another after eleven.
SOONER_OR_LATER = {"step": 3000.0, "confidence": 0.15, "max_steps": 40}
AHEAD = (64, 128, 256)  # examples


def steps(quick):
    """CT and NFT, epoch by epoch; returns the tables."""
    speed = Table(
        "Speed-up over a plain PyTorch eager loop",
        "Seconds per step of the loop over ours. NFT epoch: both phases. Careful: over a loop that leaves out, by "
        "hand, the gradients that NFT's phases throw away. Processor: NFT epoch again, in processor time.",
        [
            *("workload", "CT", "phase 1", "phase 2", "NFT epoch", "target", "processor"),
            *("careful: phase 1", "phase 2", "NFT epoch"),
        ],
        values={"speed_ups": {}},
    )
    phases = Table(
        "The three `phases`",
        'Speed of an epoch of phases="batch" and "joint", over phases="epoch"; the target for "joint" is 1.2.',
        ["workload", '"batch"', '"joint"', 'ms per step: "epoch"', '"batch"', '"joint"'],
    )
    floors = Table(
        "The floor",
        "Floor: operations counted from the networks over the rate of a 2048 x 2048 product in the same precision, and "
        "28 bytes of Adam per weight over the bandwidth, both measured in turns with the steps. Peak: operations a "
        "second of the step over that rate; the target for both phases of U-Net(2, 64) in float32 is 0.70. At most: "
        "the loop over the floor, which no program surpasses that computes the same products at that rate.",
        ["workload", "step", "GFLOP", "floor (ms)", "ours (ms)", "loop (ms)", "floor / ours", "peak", "at most"],
    )
    for workload in _workloads(quick, WORKLOADS, quick_ones=(BFLOAT16, TEXTS)):
        _compare(workload, quick, speed, floors)
        _phases(workload, quick, phases)
        measure.forget()
    return [speed, phases, floors]


def _compare(workload, quick, speed, floors):
    """Adds the workload's rows: CT against the loop, NFT against both loops, and how far that is from the floor."""
    name = workload.name
    classic = {"ours": Fit(workload, "ct").epoch, "loop": TorchFit(workload, "keras").epoch}
    classic = measure.in_turns(classic, *measure.budget(quick, 8))
    ours = Fit(workload, "epoch")
    dtype = "float32" if workload.precision == "float32" else "bfloat16"
    values = measure.in_turns(
        {
            "ours": ours.epoch,
            "loop": TorchFit(workload, "epoch").epoch,
            "careful": TorchFit(workload, "epoch", careful=True).epoch,
            "machine": lambda: measure.rates(dtype, quick),
        },
        *measure.budget(quick, 30),
    )
    parts = {"phase 1": "first", "phase 2": "second", "NFT epoch": "epoch"}
    ratios = {"CT": measure.ratio(classic["loop", "epoch"], classic["ours", "epoch"])}
    ratios |= {step: measure.ratio(values["loop", part], values["ours", part]) for step, part in parts.items()}
    careful = {step: measure.ratio(values["careful", part], values["ours", part]) for step, part in parts.items()}
    processor = measure.ratio(values["loop", "processor"], values["ours", "processor"])
    target = f"{workload.target:.1f}" if workload.target else ""
    speed.rows.append([name, *map(times, ratios.values()), target, times(processor), *map(times, careful.values())])
    speed.values["speed_ups"][name] = {
        **ratios, "target": workload.target, "careful": careful, "processor": processor
    }  # fmt: skip

    rate, bandwidth = (measure.quartiles(values["machine", part])[1] for part in ("rate", "bandwidth"))
    low = floor(ours.model.classifier, ours.model.auxiliary, 32, rate, bandwidth)
    measured = {"classic": (classic["ours", "epoch"], classic["loop", "epoch"])}
    measured |= {part: (values["ours", part], values["loop", part]) for part in ("first", "second")}
    for label, step in (("CT", "classic"), ("phase 1", "first"), ("phase 2", "second")):
        operations, seconds = low[step]
        mine, theirs = (measure.quartiles(values)[1] for values in measured[step])
        peak = _share(operations, measured[step][0], values, step)
        row = [name, label, f"{operations / 1e9:.3g}", f"{seconds * 1e3:.3g}", *map(milliseconds, measured[step])]
        floors.rows.append([*row, f"{seconds / mine:.2f}", peak, f"{theirs / seconds:.2f}"])
    both = [low["first"][1] + low["second"][1], *(sum(_medians(measured, who)) for who in (0, 1))]
    row = [f"{value * 1e3:.3g}" for value in both]
    floors.rows.append([name, "NFT epoch", "", *row, f"{both[0] / both[1]:.2f}", "", f"{both[2] / both[0]:.2f}"])
    floors.values[name] = {
        "rate": values["machine", "rate"],
        "bandwidth": values["machine", "bandwidth"],
        "ours": {step: pair[0] for step, pair in measured.items()},
        "loop": {step: pair[1] for step, pair in measured.items()},
    }


def _medians(measured, who):
    return (measure.quartiles(measured[step][who])[1] for step in ("first", "second"))


def _share(operations, seconds, values, step):
    """The share of the machine's rate that a step reaches; round by round where both were in the same rounds."""
    rates = values["machine", "rate"]
    if step == "classic":
        return f"{operations / measure.quartiles(seconds)[1] / measure.quartiles(rates)[1]:.2f}"
    return times(measure.quartiles([operations / s / r for s, r in zip(seconds, rates, strict=True)]))


def _phases(workload, quick, table):
    """Adds the workload's row: the three `phases` in turns."""
    runners = {phases: Fit(workload, phases).epoch for phases in ("epoch", "batch", "joint")}
    values = measure.epochs(runners, quick, 15)
    ratios = [measure.ratio(values["epoch"], values[phases]) for phases in ("batch", "joint")]
    table.rows.append([workload.name, *map(times, ratios), *map(milliseconds, values.values())])
    table.values[workload.name] = values


def cheaper(quick):
    """NFT with fewer operations; returns the table."""
    table = Table(
        "NFT with fewer operations",
        "Seconds of a simplified epoch with an `auxiliary_fraction`, and with a U-Net on squares of 2 x 2 pixels "
        "(`stem`), over those of an epoch with neither; the target for a fraction of 0.25 is 0.5 at most. Operations: "
        "the same ratio of those counted.",
        ["workload", "auxiliary_fraction", "stem", "ratio", "operations", "ms per step"],
    )
    for workload in _workloads(quick, (LARGE, SMALL), quick_ones=(LARGE,)):
        # So many minibatches that a quarter and a tenth of them are whole numbers.
        workload = dataclasses.replace(workload, steps=workload.steps if quick else 20)
        folded = dataclasses.replace(workload, auxiliary={**workload.auxiliary, "stem": 2})
        forms = [(1.0, 1), (0.5, 1), (0.25, 1), (0.1, 1), (1.0, 2), (0.25, 2)]
        fits = {(p, stem): Fit(folded if stem > 1 else workload, "epoch", fraction=p) for p, stem in forms}
        values = measure.epochs({form: fit.epoch for form, fit in fits.items()}, quick, 40)
        counted = {form: _operations(fits[form].model) for form in forms}
        for form in forms:
            ratio, operations = times(measure.ratio(values[form], values[forms[0]])), counted[form] / counted[forms[0]]
            row = [workload.name, *map(str, form), ratio, f"{operations:.2f}", milliseconds(values[form])]
            table.rows.append(row)
        table.values[workload.name] = {f"fraction {p}, stem {stem}": values[p, stem] for p, stem in forms}
        measure.forget()
    return [table]


def ahead(quick):
    """x~ of the second phase in larger batches than its minibatches of 32; returns the table."""
    table = Table(
        "The second phase's data ahead",
        "Theta does not move in the second phase, so that x~ = s(x) could be computed ahead of it, in larger batches. "
        "Seconds per example in minibatches of 32, over those in batches of 64 and more: above 1 that is quicker.",
        ["workload", *(f"batch {size}" for size in AHEAD), "32 (ms per example)"],
    )
    for workload in _workloads(quick, (LARGE, SMALL, TEXTS), quick_ones=(LARGE,)):
        _, auxiliary = workload.networks()
        x, y = workload.examples(2 * AHEAD[-1])
        inputs = [tf.constant(x if len(workload.shape) == 3 else x.toarray()), tf.constant(y)][: len(auxiliary.inputs)]
        forward = tf.function(functools.partial(altered_by, auxiliary))
        runners = {size: functools.partial(_forward, forward, inputs, size) for size in (32, *AHEAD)}
        values = measure.epochs(runners, quick, 20)
        ratios = [times(measure.ratio(values[32], values[size])) for size in AHEAD]
        table.rows.append([workload.name, *ratios, milliseconds(values[32])])
        table.values[workload.name] = {str(size): of for size, of in values.items()}
        measure.forget()
    return [table]


def _forward(forward, inputs, size):
    """Seconds per example of s(x) in batches of a size."""
    n, began = len(inputs[0]), time.perf_counter()
    for start in range(0, n, size):
        forward(*(part[start : start + size] for part in inputs))
    return {"epoch": (time.perf_counter() - began) / n}


def _operations(model):
    """Operations of a simplified epoch per example."""
    f, s = map(costs.forward, model.networks())
    return costs.simplified_step("epoch", f, s, fraction=model.auxiliary_fraction)


def drop(quick):
    """The step after the drop against `keras.Model.fit`; returns the table."""
    table = Table(
        "After the drop",
        "Seconds per step of a `FriendlyModel` that has dropped its auxiliary network, over those of the classifier's "
        "own `keras.Model.fit`; the target is at most 1.02.",
        ["workload", "ratio", "rounds", "keras.Model (ms)"],
    )
    for workload in _workloads(quick, (LARGE, TEXTS), quick_ones=(LARGE,)):
        workload = dataclasses.replace(workload, steps=2 if quick else 60 if len(workload.shape) == 3 else 12)
        runners = {method: Fit(workload, method).epoch for method in ("dropped", "keras")}
        values = measure.epochs(runners, quick, 40)
        dropped, keras = values["dropped"], values["keras"]
        name = workload.name.partition(" ")[0]
        table.rows.append([name, times(measure.ratio(dropped, keras)), str(len(keras)), milliseconds(keras)])
        table.values[name] = values
        measure.forget()
    return [table]


def _in_words(perturbation):
    return "at most {max_steps} steps of {step:g}, confidence {confidence:g}".format(**perturbation)


def others(quick):
    """FT and EEF against their loops; returns the table."""
    table = Table(
        "FT and EEF over a PyTorch eager loop",
        "FT: the loop regroups the minibatch at every step of the perturbation, so that only unsure examples are in "
        f"it; {_in_words(PERTURBATION)}, with which examples get sure only as they are learnt, or "
        f"{_in_words(SOONER_OR_LATER)}; the target "
        "is 5. Steps: of a perturbation, the mean over rounds. EEF: the easiest half of 2,000 examples. Floor and at "
        "most: as in the table of the floor, of so many steps.",
        ["method", "workload", "steps", "speed-up", "ours (ms)", "loop (ms)", "floor (ms)", "at most"],
    )
    for workload in _workloads(quick, (LARGE, TEXTS, TINY, COMPILED), quick_ones=(LARGE,)):
        for perturbation in (PERTURBATION, SOONER_OR_LATER) if workload is LARGE else (PERTURBATION,):
            _other(table, workload, "ft", quick, perturbation=perturbation)
            measure.forget()
    for workload in _workloads(quick, (LARGE,), quick_ones=(LARGE,)):
        _other(table, workload, "eef", quick, n=64 if quick else 2000)
        measure.forget()
    return [table]


TINY = dataclasses.replace(LARGE, name="FC-A", classifier="fc_a", steps=60)
COMPILED = dataclasses.replace(TINY, name="FC-A, jit_compile", jit_compile=True)


def _other(table, workload, method, quick, **settings):
    ours, loop = Fit(workload, method, **settings), TorchFit(workload, method, **settings)
    loop.start_from(ours)
    runners = {
        "ours": lambda: ours.epoch() | {"steps": ours.logs.get("perturbation_steps")},
        "loop": loop.epoch,
        "machine": lambda: measure.rates("float32", quick),
    }
    values = measure.in_turns(runners, *measure.budget(quick, 20))
    mine, theirs = values["ours", "epoch"], values["loop", "epoch"]
    name = workload.name.partition(" + ")[0]
    speed = [times(measure.ratio(theirs, mine)), milliseconds(mine), milliseconds(theirs)]
    number, limits = "", ["", ""]
    if method == "ft":
        steps = statistics.mean(values["ours", "steps"])  # fewer from round to round, where the examples get sure
        rate, bandwidth = (measure.quartiles(values["machine", part])[1] for part in ("rate", "bandwidth"))
        low = friendly_floor(ours.model.classifier, 32, rate, bandwidth, steps)
        number, limits = f"{steps:.3g}", [f"{low * 1e3:.3g}", f"{statistics.mean(theirs) / low:.2f}"]
    table.rows.append([method.upper(), name, number, *speed, *limits])
    table.values[f"{method} {name} {settings}"] = {"ours": mine, "loop": theirs, "steps": values["ours", "steps"]}


def _workloads(quick, workloads, quick_ones):
    return list(map(small, quick_ones)) if quick else workloads
