"""What a step of the larger workloads is made of: how near its operations come to the rate of a matrix product."""

from bench import measure
from bench.report import Table, milliseconds


def kernels(quick):
    """Convolutions, products with 32 rows, the update, batch normalization, upsampling; returns the table."""
    table = Table(
        "What a step is made of",
        "Operations of the large workloads by themselves, in turns with a 2048 x 2048 product in the same precision: "
        "milliseconds, and the share of that product's rate.",
        ["operation", "precision", "GFLOP", "ms", "peak"],
    )
    for dtype in ("float32", "bfloat16"):
        for made in (_convolutions, _maps) if dtype == "bfloat16" else (_convolutions, _maps, _products):
            _measure(table, dtype, made(dtype, quick), quick)
            measure.forget()
    return [table]


def _measure(table, dtype, operations, quick):
    runners = {name: _timed(function) for name, (_, function) in operations.items()}
    runners["rate"] = lambda: {"ms": measure.rates(dtype, quick)["rate"]}
    values = {name: v for (name, _), v in measure.in_turns(runners, *measure.budget(quick, 15)).items()}
    rate = measure.quartiles(values["rate"])[1]
    for name, (flop, _) in operations.items():
        seconds = measure.quartiles(values[name])[1]
        counted = [f"{flop / 1e9:.3g}", milliseconds(values[name]), f"{flop / seconds / rate:.2f}"]
        table.rows.append([name, dtype, *(counted if flop else ["", milliseconds(values[name]), ""])])
    table.values[f"{dtype}: {', '.join(operations)}"] = values


def _timed(function, least=3):
    """A function that gives the best time of a few calls."""
    return lambda: {"ms": measure.best(lambda: function().numpy(), least)}


def _convolutions(dtype, quick):
    """The U-Net's commonest layer, 3x3 from 64 to 64 maps at 28x28: forwards, and its two gradients."""
    import tensorflow as tf

    maps, size = (4, 8) if quick else (64, 28)
    x, y = (_normal((32, size, size, maps), dtype) for _ in range(2))
    w = _normal((3, 3, maps, maps), dtype)
    like = {"strides": [1] * 4, "padding": "SAME"}
    flop = 2 * 32 * size**2 * 9 * maps**2
    what = f"3x3 convolution, {maps} to {maps} maps"
    return {
        f"{what}: forward": (flop, _function(lambda: tf.nn.conv2d(x, w, **like))),
        f"{what}: gradient of its input": (
            flop,
            _function(lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=w, out_backprop=y, **like)),
        ),
        f"{what}: gradient of its weights": (
            flop,
            _function(lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=w.shape, out_backprop=y, **like)),
        ),
    }


def _maps(dtype, quick):
    """What the U-Net does to its maps beside convolutions, forwards and backwards."""
    import keras

    from nft_keras.layers import FusedBatchNormalization

    maps, size = (4, 8) if quick else (64, 28)
    x, small = _normal((32, size, size, maps), dtype), _normal((32, size // 2, size // 2, maps), dtype)
    layers = {
        "batch normalization of one kernel": (FusedBatchNormalization, {}, x),
        "Keras' batch normalization": (keras.layers.BatchNormalization, {}, x),
        "ReLU": (keras.layers.ReLU, {}, x),
        "bilinear upsampling": (keras.layers.UpSampling2D, {"interpolation": "bilinear"}, small),
    }
    policy = "float32" if dtype == "float32" else "mixed_bfloat16"
    return {
        f"{name}, {maps} maps": (0, _both_ways(layer(dtype=policy, **arguments), at))
        for name, (layer, arguments, at) in layers.items()
    }


def _products(dtype, quick):
    """The first layer of FC-B on TF-IDF features with a minibatch of 32, and the update of its weights."""
    import tensorflow as tf

    from nft_keras.backend import fuse_loops
    from nft_keras.optimizers import Adam

    fuse_loops()  # as the programs do
    features, units = (50, 8) if quick else (20000, 2500)
    x, dy = _normal((32, features), dtype), _normal((32, units), dtype)
    w = tf.Variable(_normal((features, units), dtype))
    flop = 2 * 32 * features * units
    what = f"{features:,} x {units:,} weights, 32 rows"
    optimizer, gradient = Adam(1e-4, l2=1e-4), _normal((features, units), dtype)
    optimizer.build([weights := _keras_variable(w)])

    def update():
        optimizer.apply([gradient], [weights])
        return optimizer.iterations.value

    return {
        f"{what}: x W": (flop, _function(lambda: tf.matmul(x, w))),
        f"{what}: gradient of x, dy W^T": (flop, _function(lambda: tf.matmul(dy, w, transpose_b=True))),
        f"{what}: the same as (W dy^T)^T": (
            flop,
            _function(lambda: tf.transpose(tf.matmul(w, dy, transpose_b=True))),
        ),
        f"{what}: gradient of W, x^T dy": (flop, _function(lambda: tf.matmul(x, dy, transpose_a=True))),
        f"{what}: Adam": (0, _function(update)),
    }


def _keras_variable(value):
    import keras

    return keras.Variable(value)


def _both_ways(layer, x):
    """A layer in training mode, and the gradient of its input and weights."""
    import tensorflow as tf

    layer(x)

    def run():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, [x, *(v.value for v in layer.trainable_variables)])

    return _function(run)


def _function(function):
    """The function compiled; of every tensor that it computes a single number comes out."""
    import tensorflow as tf

    def first_numbers():
        return tf.add_n([tf.cast(tf.reshape(part, (-1,))[0], "float32") for part in tf.nest.flatten(function())])

    return tf.function(first_numbers)


def _normal(shape, dtype):
    import tensorflow as tf

    return tf.cast(tf.random.stateless_normal(shape, (0, len(shape))), dtype)
