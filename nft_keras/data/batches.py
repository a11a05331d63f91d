"""Minibatches of a data set part as a `tf.data.Dataset`: reshuffled every epoch, sparse features dense per batch."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from nft_keras.backend import tensorflow_for_data, untuned
from nft_keras.data import Part

if TYPE_CHECKING:
    from nft_keras.backend.in_graph import InGraph

tf = tensorflow_for_data()

AHEAD = 2  # minibatches that are made while the model computes


def batches(
    part: Part,
    batch_size: int,
    seed: int | None = None,
    epoch: "tf.Variable | None" = None,
    augment: Callable | None = None,
    kept: "tf.Variable | None" = None,
    parts: tuple[int, int, int] | None = None,
    mix: Callable | None = None,
) -> "tf.data.Dataset":
    """Minibatches of one part of a data set.

    The order of the examples is a function of (seed, epoch) alone and the augmentation of a minibatch one of (seed,
    epoch, index of the minibatch), so that every training method sees the same ones and a run that starts again in
    the middle goes on as it would have.

    Args:
        part: a `nft_keras.data.Part`.
        batch_size: int; the last minibatch of a pass may be smaller.
        seed: int, or None for the order of the part itself.
        epoch: scalar integer `tf.Variable`, read whenever a pass over the data begins; needed with a seed.
        augment: function of (images, two integers as a seed) that gives images of the same shape and dtype, such as
            `nft_keras.data.features.augment.crop_and_flip`; None leaves the examples as they are. Needs a seed.
        kept: bool `tf.Variable` (n,), read whenever a pass begins: only these examples come, and then empty minibatches
            up to the usual number. None: all of them.
        parts: (first, number, of) where several replicas share each minibatch: it is cut into `of` parts, as equal as
            can be, and `number` of them come, one by one, from the `first` on. With a seed, one of fewer examples than
            parts is not cut: every part is all of it. None: whole minibatches.
        mix: function of (images, class indices, two integers as a seed), as `nft_keras.data.features.augment.mixing`
            makes it: y is then the share of each class, float32 (batch, classes). None mixes nothing. Needs a seed.

    Returns:
        A `tf.data.Dataset` of (x, y), of a part with weights (x, y, weights): x float32 (batch, *input_shape), y int32
        (batch,), weights float32 (batch,).

    Raises:
        ValueError: for `augment` or `mix` without a seed, or a seed without `epoch`.
    """
    if seed is not None and epoch is None:
        raise ValueError(f"a seed needs epoch, a tf.Variable with the number of the pass, got seed={seed!r} alone")
    if (augment or mix) is not None and seed is None:
        raise ValueError("augment and mix need a seed, got seed=None")
    n, gather = len(part), _gather(part)

    def one_pass(_):
        of_pass, rows = _rows(n, seed, epoch, kept)
        starts = tf.data.Dataset.range(0, n, batch_size)
        return starts.map(lambda start: (of_pass, start, rows[start : start + batch_size]))

    def examples(of_pass, start, rows):
        x, y, *weights = gather(rows)
        if augment is not None:
            x = augment(x, tf.random.experimental.stateless_fold_in(of_pass, start // batch_size))
        if mix is not None:  # from the other end of the numbers
            x, y = mix(x, y, tf.random.experimental.stateless_fold_in(of_pass, -1 - start // batch_size))
        return x, y, *weights

    rows = tf.data.Dataset.range(1).flat_map(one_pass)
    rows = rows.apply(tf.data.experimental.assert_cardinality(math.ceil(n / batch_size)))
    whole = rows.map(examples, AHEAD)
    if parts is not None:
        cut = whole.flat_map(lambda *minibatch: _cut(minibatch, *parts, at_least_one=seed is not None))
        whole = cut.apply(tf.data.experimental.assert_cardinality(parts[1] * math.ceil(n / batch_size)))
    return untuned(whole.prefetch(AHEAD))


def in_graph(
    part: Part,
    batch_size: int,
    seed: int | None = None,
    epoch: "tf.Variable | None" = None,
    kept: "tf.Variable | None" = None,
) -> "InGraph":
    """The minibatches of `batches`, the same bits, taken out of memory by the training step itself: for short steps.

    Args:
        part, batch_size, seed, epoch, kept: as of `batches`.

    Returns:
        An `nft_keras.backend.in_graph.InGraph`, for TensorFlow as Keras' back end.
    """
    from nft_keras.backend.in_graph import InGraph

    n = len(part)
    number = math.ceil(n / batch_size)
    return InGraph(number, batch_size, lambda: _rows(n, seed, epoch, kept)[1], _gather(part))


def _cut(minibatch, first, number, of, at_least_one):
    """A data set of some of the parts of a minibatch."""
    n = tf.shape(minibatch[1])[0]

    def part(i):
        i = tf.cast(i, tf.int32)
        few = tf.logical_and(at_least_one, n < of)
        start, end = tf.where(few, 0, n * i // of), tf.where(few, n, n * (i + 1) // of)
        return tuple(values[start:end] for values in minibatch)

    return tf.data.Dataset.range(first, first + number).map(part)


def _rows(n, seed, epoch, kept):
    """The two integers of a pass that begins, zeros without a seed, and the examples that come in it, in order."""
    of_pass, rows = tf.zeros(2, tf.int32), tf.range(n)
    if seed is not None:
        of_pass = tf.stack([seed, tf.cast(epoch, tf.int32)])
        rows = order(n, of_pass)
    if kept is not None:
        rows = tf.boolean_mask(rows, tf.gather(kept, rows))
    return of_pass, rows


def order(n: int, of_pass: "tf.Tensor") -> "tf.Tensor":
    """The order of n examples in one pass over the data, a function of the two integers (seed, epoch from 0) alone.

    Returns:
        int32 tensor (n,), the indices of the examples.
    """
    return tf.random.experimental.stateless_shuffle(tf.range(n), tf.cast(of_pass, tf.int32))


def _gather(part):
    """A function that takes rows of a part: x as float32, y, and weights where there are some."""
    of_x = _sparse_rows(part.x) if scipy.sparse.issparse(part.x) else _dense_rows(part.x)
    of_each = [tf.constant(values) for values in (part.y, part.weights) if values is not None]
    return lambda rows: (of_x(rows), *(tf.gather(values, rows) for values in of_each))


def _dense_rows(x):
    x = tf.constant(x)

    def gather(rows):
        batch = tf.gather(x, rows)
        return tf.cast(batch, tf.float32) / 255.0 if x.dtype == tf.uint8 else batch

    return gather


def _sparse_rows(x):
    columns = tf.RaggedTensor.from_row_splits(x.indices.astype(np.int64), x.indptr.astype(np.int64), validate=False)
    values = tf.constant(x.data)

    def gather(rows):
        of_rows = tf.gather(columns, rows)
        position = tf.stack([of_rows.value_rowids(), of_rows.values], axis=1)
        starts = tf.gather(columns.row_starts(), rows)
        offset = tf.range(tf.size(of_rows.values, tf.int64)) - tf.gather(of_rows.row_starts(), position[:, 0])
        data = tf.gather(values, tf.gather(starts, position[:, 0]) + offset)
        dense = tf.scatter_nd(position, data, tf.stack([tf.size(rows, tf.int64), x.shape[1]]))
        return tf.ensure_shape(dense, (None, x.shape[1]))

    return gather
