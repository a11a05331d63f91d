"""Minibatches that a step's own graph takes out of memory, for TensorFlow: nothing of `tf.data` is made for a pass."""

import tensorflow as tf

from nft_keras.backend.keras_internals import Minibatches


class InGraph(Minibatches, tf.distribute.DistributedDataset):
    """Minibatches of examples in memory, which Keras' `fit` and `evaluate` take as they take a `tf.data.Dataset`.

    An iterator of `tf.data` takes 15 ms to be made, and Keras makes two for a pass: longer than all steps on a few
    hundred examples take. A pass begins when it is iterated over, and ends the one before: there is one at a time, and
    `steps_per_epoch` cannot go on with it. Keras passes over `class_weight`. Our models' `fit` refuses both.

    Args:
        number: int, the minibatches of a pass.
        batch_size: int.
        rows: function without arguments that returns an int32 tensor (n,), the examples of a pass that begins, in their
            order; a graph is made of it. Of fewer than number x batch_size the last minibatches are smaller, or empty.
        examples: function of an int32 tensor (batch,) of such rows; it returns the minibatch, a tuple of tensors.
    """

    def __init__(self, number, batch_size, rows, examples):
        self.num_batches = number
        self._pass = _Pass(number, batch_size, rows, examples)

    @property
    def element_spec(self):
        """The `tf.TensorSpec`s of a minibatch."""
        return self._pass.element_spec

    def get_tf_dataset(self):
        """What Keras iterates over: it distributes nothing more."""
        return self

    def __iter__(self):
        self._pass.begin()
        return self._pass


class _Pass(tf.distribute.DistributedIterator):
    """The place in a pass, in variables: a function that takes minibatches is traced but once."""

    def __init__(self, number, batch_size, rows, examples):
        self._number, self._batch_size = number, batch_size
        self._next = tf.Variable(0, trainable=False)
        self._rows = tf.Variable(tf.zeros(0, tf.int32), trainable=False, shape=(None,))
        self.begin = tf.function(lambda: self._begin(rows()))
        self._take = tf.function(examples, input_signature=[tf.TensorSpec((None,), tf.int32)])

    @property
    def element_spec(self):
        of = self._take.get_concrete_function().structured_outputs
        return tuple(tf.TensorSpec(each.shape, each.dtype) for each in of)

    def _begin(self, rows):
        self._rows.assign(rows)
        self._next.assign(0)

    def get_next(self):
        start = self._next * self._batch_size
        minibatch = self._take(self._rows[start : start + self._batch_size])
        self._next.assign_add(1)
        return minibatch

    def get_next_as_optional(self):
        return tf.cond(
            self._next < self._number,
            lambda: tf.experimental.Optional.from_value(self.get_next()),
            lambda: tf.experimental.Optional.empty(self.element_spec),
        )

    def __next__(self):
        if self._next >= self._number:
            raise StopIteration
        return self.get_next()
