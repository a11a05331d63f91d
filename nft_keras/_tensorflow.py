"""What of a training step depends on the back end, for TensorFlow: variables change in place, gradients have tapes."""

import tensorflow as tf

from nft_keras import _distribution


class Steps(_distribution.Replicated):
    """To be mixed into a `keras.Model` that has `simplifying`, `_altered_step` and `_evaluation_logs`."""

    def train_step(self, data):
        """One step of training on a minibatch (x, y[, sample_weight]); returns the logs."""
        return self._altered_step(data) if self.simplifying else super().train_step(data)

    def test_step(self, data):
        """One step of evaluation of the classifier on unaltered data; returns the logs."""
        return self._evaluation_logs(super().test_step(data))

    def _classic_step(self, data):
        """`keras.Model`'s own step: the classifier's tape, the classifier's optimizer."""
        return super().train_step(data)

    def _gradients(self, function, variables):
        """What a function returns beside its loss, and the loss's gradients with respect to variables."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss, result = function()
        return result, tape.gradient(loss, variables)

    def _gradient_at(self, function, x):
        """What a function of a tensor returns beside its loss, and the loss's gradient with respect to the tensor."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            loss, result = function(x)
        return result, tape.gradient(loss, x)

    def _apply(self, optimizer, gradients, variables):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The compiled loss, as `keras.Model.compute_loss`; its gradient is that of the mean over all replicas."""
        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        return self._weighted(loss, x) if training else loss

    def _weighted(self, loss, x):
        """A loss that is a mean over the examples x, with the gradient of the mean over all replicas'."""
        return _distribution.weighted(loss, x)

    def _of_all(self, gradient, count):
        """The gradient of a mean over so many things of this replica, made that of the mean over all replicas'."""
        if _distribution.replicas() == 1:
            return gradient
        return gradient * tf.cast(_distribution.share(count), gradient.dtype)

    def _unless_empty(self, x, step, data):
        """The logs of a step on data; those so far if the minibatch x is empty."""
        return _distribution.cond(tf.shape(x)[0] > 0, step, self.get_metrics_result, data)

    def _regrouped(self, unfinished):
        """Functions that take the unfinished examples out of a tensor, and put what became of them back.

        Compiled by XLA, and shared by replicas, steps have examples of a fixed number: all of them.
        """
        if self.jit_compile or _distribution.replicas() > 1:
            return (lambda whole: whole), (lambda whole, part: part)
        rows = tf.where(unfinished)
        return (
            lambda whole: tf.gather(whole, rows[:, 0]),
            lambda whole, part: tf.tensor_scatter_nd_update(whole, rows, part),
        )

    def _while_loop(self, condition, body, values, data):
        """The values at the end of a loop whose body is a function of (*values, *data)."""
        return _distribution.while_loop(condition, body, values, data)

    def _predictor(self):
        """A compiled function from x to the classifier's predictions, with the weights of the moment of its call."""
        return tf.function(lambda x: self(x, training=False), reduce_retracing=True)

    def _scope(self):
        """Where variables that belong to the model are created."""
        return self.distribute_strategy.scope()

    @property
    def _replicas(self):
        """The number of replicas that share a minibatch."""
        return float(self.distribute_strategy.num_replicas_in_sync)
