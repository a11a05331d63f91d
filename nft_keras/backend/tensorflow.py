"""The functions of a training step for TensorFlow: variables change in place, gradients have tapes."""

import contextlib

import keras
import tensorflow as tf

from nft_keras.backend import distribution
from nft_keras.backend.distribution import weighted as weighted
from nft_keras.backend.distribution import while_loop as while_loop


def step(function):
    """`train_step` as it is: to Keras, too, it is a function of (model, data)."""
    return function


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
