"""Optimizers with weight decay as the published settings have it: L2 in the gradient, of every weight and bias."""

import math

import keras

from nft_keras._checks import number


class _L2:
    """Adds l2 * w to the gradient of w before the optimizer's own rule (`weight_decay` of PyTorch's Adam and SGD)."""

    def __init__(self, *args, l2=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = number("l2", l2, "a finite number >= 0", lambda n: 0 <= n < math.inf, float)

    def update_step(self, gradient, variable, learning_rate):
        if self.l2:
            gradient = gradient + self.l2 * keras.ops.cast(variable, gradient.dtype)
        self._rule(gradient, variable, learning_rate)

    def _rule(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # TensorFlow keeps for ever each graph with an all-reduce in it, and with it the graph's variables: the op's
        # gradient goes into a global registry. Of one replica there is nothing to reduce.
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("nft_keras")
class Adam(_L2, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with one more argument.

    Args:
        l2: float >= 0; l2 times a weight is added to its gradient, batch-norm weights and biases included. Keras' own
            `weight_decay` is decoupled from the gradient and stays available beside it.
        *args, **kwargs: `keras.optimizers.Adam`'s.

    Raises:
        ValueError: for an l2 that is not a finite number >= 0.
    """

    def _rule(self, gradient, variable, learning_rate):
        if self.amsgrad or keras.backend.backend() != "tensorflow":
            return super()._rule(gradient, variable, learning_rate)
        # The same rule in one pass over the weights: Keras' own takes a pass for each operation.
        import tensorflow as tf

        step = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable("nft_keras")
class SGD(_L2, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with one more argument.

    Args:
        l2: float >= 0; l2 times a weight is added to its gradient, batch-norm weights and biases included.
        *args, **kwargs: `keras.optimizers.SGD`'s.

    Raises:
        ValueError: for an l2 that is not a finite number >= 0.
    """
