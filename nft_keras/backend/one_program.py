"""The functions of a training step that are the same wherever one program sees the whole minibatch: JAX and PyTorch."""

import contextlib

import keras


def num_replicas():
    """The number of replicas that share the present minibatch, a float."""
    return 1.0


def weighted(loss, x):
    """A mean over a replica's examples x with the gradient of the mean over all replicas'; here there is one."""
    return loss


def of_all(gradient, count):
    """Rescales the gradient of a mean over `count` terms of a replica to that over all replicas'; here there is one."""
    return gradient


def unless_empty(x, step, otherwise, data):
    """step(data); otherwise() if the minibatch x has no examples."""
    return step(data) if x.shape[0] else otherwise()


def while_loop(condition, body, values, data, xla=False):
    """The values at the end of a loop whose body is a function of (*values, *data); xla has no say here."""
    return keras.ops.while_loop(condition, lambda *values: body(*values, *data), values)


of_each = keras.ops.vectorized_map


def scope(model):
    """Where variables that belong to the model are created."""
    return contextlib.nullcontext()
