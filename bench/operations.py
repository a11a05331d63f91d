"""Where the time of a step goes, operation by operation, as TensorFlow's profiler sees it."""

import collections
import dataclasses
import re
import tempfile
from pathlib import Path

from bench import measure
from bench.report import Table
from bench.steps import PERTURBATION, TINY
from bench.workloads import LARGE, SMALL, TEXTS, Fit, small

# By the last part of an operation's type, without what its oneDNN form is called.
KINDS = {
    "Conv2D": "convolution",
    "Conv2DBackpropInput": "convolution, gradient of its input",
    "Conv2DBackpropFilter": "convolution, gradient of its weights",
    "Conv2DBackpropFilterWithBias": "convolution, gradient of its weights",
    "MatMul": "product",
    "FusedBatchNorm": "batch normalization",
    "FusedBatchNormGrad": "batch normalization, gradient",
    "ResizeBilinear": "upsampling",
    "ResizeBilinearGrad": "upsampling, gradient",
    "MaxPool": "pooling",
    "MaxPoolGrad": "pooling, gradient",
    "ReluGrad": "ReLU, gradient",
}
STEPS = {"first": "phase 1", "second": "phase 2", "ft": "FT"}
LEAST = 0.03


def profile(quick):
    """Steps that are far from their floor: NFT with the small U-Net and on TF-IDF features, FT; returns the table."""
    table = Table(
        "Where a step's time goes",
        "Milliseconds per step that TensorFlow's profiler counts for each kind of operation, from the start of each to "
        "its end, and their share of the step; kinds with less than 3 % are together in one row. Operations that run "
        "side by side count twice; what is missing to 1 goes between operations, and into those too small to be seen. "
        "XLA compiles Adam with L2 of large arrays, and of FC-A the perturbations of FT.",
        ["workload", "step", "network", "operation", "number", "ms", "share"],
    )
    ft = dataclasses.replace(LARGE, name="CNN-A"), TINY
    workloads = [(w, "epoch") for w in (SMALL, TEXTS)] + [(w, "ft") for w in ft]
    for workload, method in [(small(w), m) for w, m in workloads[1:3]] if quick else workloads:
        fit = Fit(workload, method, perturbation=PERTURBATION if method == "ft" else None)
        for _ in range(1 if quick else 2):
            fit.epoch()
        for step, (seconds, events) in _profiled(fit, method).items():
            _add(table, workload.name, STEPS[step], fit, seconds, events)
        measure.forget()
    return [table]


def _profiled(fit, method):
    """{step: (seconds per step, [(name of an operation, seconds)] of all steps)} of an epoch under the profiler."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0)
        with tf.profiler.experimental.Profile(folder, options=options):
            seconds = fit.epoch()
        events = list(_events(folder))
    if method == "ft":
        return {"ft": (seconds["epoch"], [(name, spent) for name, _, spent in events])}
    calls = sorted((begin, name) for name, begin, _ in events if re.match("EagerLocalExecute: .*multi_step", name))
    second = next(begin for begin, name in calls if name != calls[0][1])
    parts = {"first": [], "second": []}
    for name, begin, spent in events:
        parts["first" if begin < second else "second"].append((name, spent))
    return {step: (seconds[step], part) for step, part in parts.items()}


def _events(folder):
    """(name, begin, seconds) of everything in the profile that the folder holds."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                begin = line.timestamp_ns + event.offset_ps / 1e3
                yield plane.event_metadata[event.metadata_id].name, begin, event.duration_ps / 1e12


def _add(table, name, step, fit, seconds, events):
    """Adds the rows of a step: a kind of operation of a network each, then the rest, then all."""
    networks = [n.name for n in (fit.model.classifier, getattr(fit.model, "auxiliary", None)) if n]
    spent, number = collections.Counter(), collections.Counter()
    for operation, duration in events:
        if kind := _kind(operation, networks):
            spent[kind] += duration / fit.steps
            number[kind] += 1
    rows = [(*kind, number[kind], t) for kind, t in spent.most_common() if t >= LEAST * seconds and any(kind)]
    kept = {row[:2] for row in rows}
    rest = [kind for kind in spent if kind not in kept]
    rows.append(("", "everything else", sum(number[k] for k in rest), sum(spent[k] for k in rest)))
    rows.append(("", "all", number.total(), spent.total()))
    for network, operation, count, t in rows:
        per_step = f"{count / fit.steps:.3g}"
        table.rows.append([name, step, network, operation, per_step, f"{t * 1e3:.3g}", f"{t / seconds:.2f}"])
    table.rows.append([name, step, "", "the step", "", f"{seconds * 1e3:.3g}", "1.00"])
    table.values[f"{name} {step}"] = {"seconds": seconds, "rows": rows}


def _kind(event, networks):
    """(network, kind) of an operation's event, ("", "") of an operation of no such kind, None of another event."""
    if re.fullmatch(r"\w+_fusion(\.\d+)?", event):
        return "", "loop of XLA"
    path, colon, type_ = event.rpartition(":")
    if not colon or " " in event or "::" in event or "/" not in path:
        return None
    short = re.sub(r"^(_?Mkl)?(Native)?(_?Fused(?!BatchNorm))?|(Ex)?(V\d)?$", "", type_)
    if "/adam" in path:
        return "", "Adam" if short == "ResourceApplyAdam" else "L2 in the gradient, and Adam's numbers"
    if short not in KINDS:
        return "", ""
    network = next((n for n in networks if re.search(rf"\b{n}(_\d+)?/", path)), "")
    # Those of large layers have one of their own, whose path names no network.
    gradient = "gradient_tape" in path or "IdentityN_grad" in path
    return network, KINDS[short] + (", gradient" if short == "MatMul" and gradient else "")
