"""A group in one compiled program against one after the other: KERAS_BACKEND=jax python -m bench.vectorized

Random examples; an epoch of classic training (ct), or one with simplified data (nft, phases="epoch"). "one after the
other" is Keras' own `fit` of one model, whose epochs per second are those of any number of members in a row. "grouped"
leaves convolutions to vmap, which makes a grouped one of them; "product" computes them as shifted slices and a matrix
product, batched over members. Medians over interleaved repetitions. Needs jax, keras and numpy only.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from nft_keras import DevelopmentalPlan, FriendlyModel, auxiliaries, classifiers, costs, optimizers  # noqa: E402
from nft_keras.experiments.train.together.members import Members, initial_values  # noqa: E402

CELLS = {
    "fc": ((784,), lambda shape: classifiers.fc_b(shape, 10, (256, 128)), lambda shape: auxiliaries.mlp(784, 128)),
    "fc-b": ((784,), lambda shape: classifiers.fc_b(shape, 10), lambda shape: auxiliaries.mlp(784, 256)),
    "cnn": ((14, 14, 1), lambda shape: classifiers.cnn_a(shape, 10), lambda shape: auxiliaries.unet(shape, 8, 1)),
    "cnn-a": ((28, 28, 1), lambda shape: classifiers.cnn_a(shape, 10), lambda shape: auxiliaries.unet(shape, 64, 2)),
    "resnet18": ((32, 32, 3), lambda shape: classifiers.resnet18(shape, 10), lambda shape: auxiliaries.unet(shape)),
}


def main():
    """Prints a row for each number of members."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cell", choices=CELLS, default="cnn")
    parser.add_argument("--method", choices=["ct", "nft"], default="nft")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 3, 9])
    parser.add_argument("--forms", nargs="+", choices=["grouped", "product"], default=["grouped", "product"])
    parser.add_argument("--examples", type=int, default=256, help="of an epoch (default 256)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--peak", type=float, help="of the device, in 10^12 operations per second, to print a share of")
    options = parser.parse_args()
    if keras.backend.backend() != "jax":
        parser.error("set KERAS_BACKEND=jax")
    keras.config.set_dtype_policy(options.precision)
    print(
        f"{options.cell} {options.method}, batch {options.batch}, {options.precision}, {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, jax {jax.__version__}; members x epochs of {options.examples} examples per second",
        flush=True,
    )
    titles = ["members", "one after the other", *options.forms, *(f"{form} / one" for form in options.forms)]
    titles += [f"{form}, % of peak" for form in options.forms if options.peak]
    print("| " + " | ".join(titles) + " |\n|" + " --- |" * len(titles), flush=True)
    for number in options.members:
        print("| " + " | ".join(row(options, number)) + " |", flush=True)
        keras.backend.clear_session()


def row(options, number):
    """The texts of a row of the table."""
    shape = CELLS[options.cell][0]
    rng = np.random.default_rng(0)
    x = rng.random((options.examples, *shape), "float32")
    y = rng.integers(0, 10, options.examples).astype("int32")
    ways = {"one": one_after_the_other(options, x, y)}
    ways |= {form: together(options, number, form == "product", x, y) for form in options.forms}
    seconds = {name: [] for name in ways}
    for repetition in range(options.repeat + 1):
        for name, epoch in ways.items():
            began = time.perf_counter()
            epoch()
            if repetition:  # the first one compiles
                seconds[name].append(time.perf_counter() - began)
    speed = {name: (1 if name == "one" else number) / statistics.median(s) for name, s in seconds.items()}
    texts = [str(number), *(f"{value:.3g}" for value in speed.values())]
    texts += [f"{speed[form] / speed['one']:.2f}" for form in options.forms]
    if options.peak:
        work = options.examples * operations(options)
        texts += [f"{100 * speed[form] * work / (options.peak * 1e12):.1f}" for form in options.forms]
    return texts


def build(options):
    """A compiled model."""
    shape, classifier, auxiliary = CELLS[options.cell]
    model = FriendlyModel(classifier(shape), auxiliary(shape) if options.method == "nft" else None, "mean")
    model.compile(
        optimizers.Adam(1e-4),
        auxiliary_optimizer=optimizers.Adam(1e-5) if options.method == "nft" else None,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def one_after_the_other(options, x, y):
    """A function that trains one model for an epoch."""
    model, epochs = build(options), iter(range(1, 10**6))

    def epoch():
        gamma = next(epochs)
        plan = DevelopmentalPlan(500.0, 10**6 if options.method == "nft" else 0)
        model.fit(x, y, options.batch, initial_epoch=gamma, epochs=gamma + 1, verbose=0, callbacks=[plan])

    return epoch


def together(options, number, product, x, y):
    """A function that trains all members for an epoch."""
    states = []
    for seed in range(number):
        keras.utils.set_random_seed(seed)
        model = build(options)
        states.append(initial_values(model))
    members = Members(model, states, x[:1], y[:1], batched_convolutions=product)
    if options.method == "nft":
        members.assign(model.eta, np.linspace(1, 500, number))
    on_device, labels = jnp.asarray(x), jnp.asarray(np.tile(y, (number, 1)))
    rng = np.random.default_rng(0)

    def epoch():
        rows = np.stack([rng.permutation(len(x)) for _ in range(number)])
        members.train(list(range(number)), options.method == "nft", True, on_device, labels, rows, options.batch)

    return epoch


def operations(options):
    """Floating-point operations per example and epoch."""
    model = build(options)
    f = costs.forward(model.classifier)
    return costs.simplified_step("epoch", f, costs.forward(model.auxiliary)) if options.method == "nft" else 3 * f


if __name__ == "__main__":
    main()
