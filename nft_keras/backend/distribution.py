"""A step of training that several replicas of a model share (`tf.distribute`), equal to one on the whole minibatch.

With one replica all of this is what TensorFlow and Keras do by themselves, at no cost.
"""

import keras
import tensorflow as tf


def first_part(strategy, iterator):
    """The first replica's part of the next minibatch of Keras' iterator over an epoch."""
    _, _, batches = next(iter(iterator))
    return keras.tree.map_structure(lambda part: strategy.experimental_local_results(part)[0], next(batches))


def with_an_axis(step_function):
    """A function of a step whose logs have an axis in front of their scalars."""
    return lambda data: {name: tf.expand_dims(value, 0) for name, value in step_function(data).items()}


def several_workers(strategy):
    """Whether the replicas are spread over several processes."""
    resolver = strategy.cluster_resolver if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else None
    return bool(resolver and resolver.cluster_spec())


def replicas():
    """The number of replicas that share the present minibatch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def share(count):
    """This replica's count divided by the mean count over replicas, a float32 tensor; 0 where all counts are 0.

    Args:
        count: scalar tensor, this replica's.
    """
    count = tf.cast(count, tf.float32)
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)
    return tf.math.divide_no_nan(count * replicas(), total)


def weighted(loss, x):
    """A mean over a replica's examples whose gradients, averaged over the replicas, are the whole minibatch's.

    Args:
        loss: scalar tensor, the mean over this replica's examples.
        x: tensor (batch, ...), these examples.

    Returns:
        loss itself, 0 without examples; its gradient is weighted with the replica's share of the minibatch.
    """
    if replicas() == 1:
        return loss
    batch = tf.shape(x)[0]
    of_minibatch = share(batch)

    @tf.custom_gradient
    def as_it_is(loss):
        return tf.identity(loss), lambda upstream: upstream * tf.cast(of_minibatch, upstream.dtype)

    return as_it_is(tf.where(batch > 0, loss, tf.zeros_like(loss)))


def cond(condition, step, otherwise, data):
    """`tf.cond` around a step that updates variables: all replicas take the step if the condition holds on one.

    Args:
        condition: scalar bool tensor.
        step: function of data.
        otherwise: function without arguments.
        data: nest of tensors.
    """
    if replicas() == 1:
        return tf.cond(condition, lambda: step(data), otherwise)

    def across(strategy, condition, data):
        holds = strategy.reduce(tf.distribute.ReduceOp.SUM, condition, axis=None) > 0
        return tf.cond(holds, lambda: strategy.run(step, args=(data,)), lambda: strategy.run(otherwise))

    return tf.distribute.get_replica_context().merge_call(across, args=(tf.cast(condition, tf.int32), data))


def while_loop(condition, body, values, data, xla=False):
    """`tf.while_loop` whose body may look at the other replicas: all go on while the condition holds on one.

    Args:
        condition: function of the values, returns a scalar bool tensor.
        body: function of the values and the data, returns the next values.
        values, data: tuples of tensors.
        xla: bool, whether XLA compiles the loop, if it is part of a graph and one replica's.
    """

    def alone(values, data):
        return tf.while_loop(condition, lambda *values: body(*values, *data), values)

    if replicas() == 1:
        return (tf.function(alone, jit_compile=True) if xla and tf.inside_function() else alone)(values, data)

    def across(strategy, values, data):
        def holds(*values):
            each = strategy.run(lambda *values: tf.cast(condition(*values), tf.int32), args=values)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None) > 0

        return tf.while_loop(holds, lambda *values: strategy.run(body, args=(*values, *data)), values)

    return tf.distribute.get_replica_context().merge_call(across, args=(values, data))


def average(strategy, variables):
    """Gives every replica the mean of what the replicas have in variables that each updates by itself.

    Args:
        strategy: `tf.distribute.Strategy`.
        variables: list of Keras variables of a floating-point dtype.
    """

    @tf.function
    def means():
        each = [strategy.run(lambda variable=variable: tf.identity(variable.value)) for variable in variables]
        return [strategy.reduce(tf.distribute.ReduceOp.MEAN, values, axis=None) for values in each]

    for variable, mean in zip(variables, means() if variables else (), strict=True):
        variable.assign(mean)
