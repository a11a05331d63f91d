"""A step of training that several replicas of a model share (`tf.distribute`), equal to one on the whole minibatch.

With one replica all of this is what TensorFlow and Keras do by themselves, at no cost.
"""

import keras
import tensorflow as tf


class Replicated:
    """Mixed into a `keras.Model`: its `fit` and `evaluate` take unequal parts of a minibatch, and several workers."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras averages the replicas' parts of a minibatch to see its shape, which wants equal ones.
        if iterator is not None and self._distribute_strategy is not None:
            local = self.distribute_strategy.experimental_local_results
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(lambda part: local(part)[0], next(batches))
        super()._maybe_symbolic_build(data_batch=data_batch)

    def _get_metrics_result_or_logs(self, logs):
        logs = super()._get_metrics_result_or_logs(logs)
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return logs
        # A log that is no metric of ours makes Keras take the mean of what each replica has, however many examples.
        of_all = self.get_metrics_result()
        return {name: of_all.get(name, value) for name, value in logs.items()}

    def _make_function(self, step_function):
        if not several_workers(self.distribute_strategy):
            return super()._make_function(step_function)
        # Keras averages the logs of the workers over an axis that scalars do not have.
        return super()._make_function(
            lambda data: {name: tf.expand_dims(value, 0) for name, value in step_function(data).items()}
        )


def several_workers(strategy):
    """Whether the replicas are spread over several processes."""
    resolver = strategy.cluster_resolver if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else None
    return bool(resolver and resolver.cluster_spec())


def replicas():
    """The number of replicas that share the present minibatch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def share(count):
    """How many times as much as on average a replica has of something, a float32 tensor; 0 if none has any.

    Args:
        count: scalar tensor, how much this replica has of it.
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


def while_loop(condition, body, values, data):
    """`tf.while_loop` whose body may look at the other replicas: all go on while the condition holds on one.

    Args:
        condition: function of the values, returns a scalar bool tensor.
        body: function of the values and the data, returns the next values.
        values, data: tuples of tensors.
    """
    if replicas() == 1:
        return tf.while_loop(condition, lambda *values: body(*values, *data), values)

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
