"""The functions of a training step for TensorFlow: variables change in place, gradients have tapes."""

import contextlib
import functools

import keras
import tensorflow as tf

from nft_keras.backend import distribution, keras_internals
from nft_keras.backend.distribution import weighted as weighted
from nft_keras.backend.distribution import while_loop as while_loop

ROWS = 16  # of a minibatch, from which on the gradient of a product is quicker the other way round


def step(function):
    """`train_step`, to Keras a function of (model, data), in which large dense layers have a `product` of their own."""

    @functools.wraps(function)
    def train_step(model, data):
        compiled = model.jit_compile or tf.executing_eagerly() or tf.config.list_logical_devices("GPU")
        if compiled or distribution.replicas() > 1:
            return function(model, data)
        with keras_internals.large_products(model.networks(), product):
            return function(model, data)

    return train_step


# A function of its own, traced once for all models: the graph of a custom gradient, with its variables, stays for ever.
@functools.partial(tf.function, autograph=False)
@tf.custom_gradient
def product(x, w):
    """x W, and its gradients, of a minibatch x and many weights; quicker than `tf.matmul` and its own.

    Where most columns of x are zero throughout, as of texts, their rows of W are not read, nor is there a product for
    their gradients. The gradient of x is (W dyᵀ)ᵀ, as TensorFlow is slow at products with the transpose of W.

    Args:
        x: float tensor (batch, features).
        w: float tensor (features, units).

    Returns:
        (batch, units).
    """
    columns = tf.where(tf.reduce_any(x != 0, axis=0))[:, 0]
    few = 2 * tf.size(columns) < tf.shape(x)[1]

    def of_columns():
        return tf.gather(x, columns, axis=1)

    def of_rows(dy):
        rows = tf.matmul(of_columns(), dy, transpose_a=True)
        return tf.scatter_nd(columns[:, None], rows, tf.shape(w, tf.int64))

    def gradients_of(dy):
        of_x = tf.cond(
            tf.shape(x)[0] < ROWS,
            lambda: tf.matmul(dy, w, transpose_b=True),
            lambda: tf.transpose(tf.matmul(w, dy, transpose_b=True)),
        )
        of_w = tf.cond(few, lambda: of_rows(dy), lambda: tf.matmul(x, dy, transpose_a=True))
        return of_x, of_w

    y = tf.cond(few, lambda: tf.matmul(of_columns(), tf.gather(w, columns)), lambda: tf.matmul(x, w))
    return y, gradients_of


def keras_step(model, data):
    """`keras.Model`'s own training step: the classifier's tape, the classifier's optimizer."""
    return keras.Model.train_step(model, data)


def gradients(function, variables):
    """What a function returns beside its loss, and the loss's gradients with respect to variables."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        loss, result = function()
    return result, tape.gradient(loss, variables)


def gradient_at(function, x):
    """What a function of a tensor returns beside its loss, and the loss's gradient with respect to the tensor."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        loss, result = function(x)
    return result, tape.gradient(loss, x)


def apply(optimizer, gradients, variables):
    """Updates variables with their gradients."""
    optimizer.apply(gradients, variables)


def inference():
    """A context in which nothing is recorded for gradients: as nothing is without a tape."""
    return contextlib.nullcontext()


def num_replicas():
    """The number of replicas that share the present minibatch, a float."""
    return float(distribution.replicas())


def of_all(gradient, count):
    """Rescales the gradient of a mean over `count` terms of this replica to that of the mean over all replicas'."""
    if distribution.replicas() == 1:
        return gradient
    return gradient * tf.cast(distribution.share(count), gradient.dtype)


def unless_empty(x, step, otherwise, data):
    """step(data); otherwise() if the minibatch x has no examples."""
    return distribution.cond(tf.shape(x)[0] > 0, step, otherwise, data)


def unfinished_rows(unfinished, fixed_shapes):
    """Functions that take the unfinished rows out of a tensor, and put what became of them back.

    Args:
        unfinished: bool tensor (batch,).
        fixed_shapes: bool, whether a compiler wants as many rows every time: all of them. So do several replicas.
    """
    if fixed_shapes or distribution.replicas() > 1:
        return (lambda whole: whole), (lambda whole, part: part)
    rows = tf.where(unfinished)
    return (
        lambda whole: tf.gather(whole, rows[:, 0]),
        lambda whole, part: tf.tensor_scatter_nd_update(whole, rows, part),
    )


of_each = keras.ops.vectorized_map


def compiled(model, function):
    """A compiled function of arrays that reads the model's weights of the moment of its call."""
    return tf.function(function, reduce_retracing=True)


def scope(model):
    """Where variables that belong to the model are created."""
    return model.distribute_strategy.scope()
