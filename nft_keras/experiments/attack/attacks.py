"""Attacks on a classifier: FGSM (Goodfellow et al. 2015), PGD (Madry et al. 2018), random noise and random search.

Each is given examples (x, y) that the classifier gets right, and a `Ball`. It returns `broken`, a bool array (n,),
which of them the classifier now gets wrong, and `delta`, float32 of the shape of x, the changes: x + delta is in the
ball.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf
from keras import ops

from nft_keras.experiments.train.losses import error

_NEVER, _TINY = -1e30, 1e-30


class AttackedClassifier:
    """A classifier in inference mode, as an attack sees it.

    What is ascended is L = log (1 - p_y) / p_y, with p_y the probability of the label. It grows with the cross-entropy
    log (1 + e^L) and has its gradient up to a positive factor per example, of which no attack here takes notice; but
    from logits, however large, it is computed without p_y becoming 1 and the gradient 0.

    Args:
        classifier: `keras.Model`, maps x to logits.
    """

    def __init__(self, classifier):
        def of(x, y):
            logits = ops.cast(classifier(x, training=False), "float32")
            return log_odds(logits, y), error(y, logits) > 0

        self._loss, self._gradient = _compiled(of, classifier.input_shape[1:])

    def loss(self, x, y):
        """L, a float32 array (n,), and whether the largest logit is not the label's, a bool array (n,)."""
        return tuple(map(np.asarray, self._loss(x, y)))

    def gradient(self, x, y):
        """The gradient of L in x, 0 where it is not finite, and whether the largest logit is not the label's."""
        gradient, wrong = self._gradient(x, y)
        return np.nan_to_num(np.asarray(gradient), posinf=0.0, neginf=0.0), np.asarray(wrong)


def log_odds(logits, y):
    """log (1 - p_y) / p_y, the log of the odds against the label.

    Args:
        logits: float tensor (n, num_classes).
        y: class indices (n,).

    Returns:
        float tensor (n,), the logsumexp of the other logits less the label's.
    """
    of_label = ops.one_hot(y, logits.shape[-1], dtype="bool")
    others = ops.logsumexp(ops.where(of_label, _NEVER, logits), axis=-1)
    return others - ops.sum(ops.where(of_label, logits, 0.0), axis=-1)


@dataclasses.dataclass(frozen=True)
class Ball:
    """What an attack may change x to: at most `radius` away, and inside the box, which x is in.

    Attributes:
        norm: "linf", the largest change of an element, or "l2", the Euclidean norm of all elements' changes.
        radius: float > 0.
        box: (lowest, highest) value of an element, or None for no limit.
    """

    norm: str
    radius: float
    box: tuple | None = None

    def project(self, x, delta):
        """The change nearest to delta (in the Euclidean norm) that is allowed, float32 array of the shape of x."""
        return self._along(x, delta, 1.0)

    def farthest(self, x, direction):
        """The allowed change with the largest inner product with a direction: the answer if L were linear."""
        if self.norm == "linf":
            return self.project(x, self.radius * np.sign(direction))
        return self._along(x, _unit(direction), math.inf)

    def inside(self, x, rng):
        """Random changes, uniform in the ball and then projected into the box."""
        if self.norm == "linf":
            return self.project(x, rng.uniform(-self.radius, self.radius, x.shape))
        lengths = rng.random((len(x), *(1,) * (x.ndim - 1))) ** (1 / math.prod(x.shape[1:]))
        return self.project(x, self.radius * lengths * _unit(rng.standard_normal(x.shape)))

    def step(self, direction, size):
        """A step that is `size` long in this norm, the same for every example: size sign(d), or size d / |d|."""
        return size * (np.sign(direction) if self.norm == "linf" else _unit(direction))

    def _along(self, x, delta, most):
        """t delta clipped into the box, with the largest t <= most that the ball allows; in L-inf t = 1, all clipped.

        In L2 both the projection and the farthest point are of this form (by their Karush-Kuhn-Tucker conditions).
        """
        low, high = (-math.inf, math.inf) if self.box is None else (self.box[0] - x, self.box[1] - x)
        if self.norm == "linf":
            return np.clip(delta, np.maximum(low, -self.radius), np.minimum(high, self.radius)).astype("float32")
        t = _longest(delta, np.where(delta > 0, high, -low), self.radius, most)
        clipped = np.clip(t * delta, low, high).astype("float32")
        return clipped * np.minimum(1.0, self.radius / np.maximum(_norms(clipped), _TINY), dtype="float32")  # rounding


def fgsm(target, x, y, ball):
    """The fast gradient sign method, one step to where L would be largest if it were linear; in L2 that is r g / |g|.

    Args:
        target: `AttackedClassifier`.
        x: float32 array (n, ...).
        y: int32 array (n,).
        ball: `Ball`.

    Returns:
        broken, delta: see the module.
    """
    delta = ball.farthest(x, target.gradient(x, y)[0])
    return target.loss(x + delta, y)[1], delta


def pgd(target, x, y, ball, steps, restarts, rng):
    """Projected gradient descent: steps of 2.5 radius / steps up the gradient, projected back each time.

    An example is broken if it is got wrong at any point on the way.

    Args:
        target, x, y, ball: as for `fgsm`.
        steps: int >= 1.
        restarts: int >= 1; the first starts at x itself, every other one at a random point of the ball.
        rng: `numpy.random.Generator`.

    Returns:
        broken, delta: see the module.
    """
    broken, delta = np.zeros(len(x), bool), np.zeros_like(x)
    for restart in range(restarts):
        start = ball.inside(x, rng) if restart else np.zeros_like(x)
        left = np.flatnonzero(~broken)
        now = start[left]
        for step in range(steps + 1):
            if not len(left):
                break
            gradient, wrong = target.gradient(x[left] + now, y[left])
            broken[left], delta[left] = wrong, now
            if step < steps:
                left, now, gradient = left[~wrong], now[~wrong], gradient[~wrong]
                now = ball.project(x[left], now + ball.step(gradient, 2.5 * ball.radius / steps))
    return broken, delta


def noise(target, x, y, ball, draws, rng):
    """The best of some random changes: corners of the L-inf ball, points of the L2 sphere.

    Args:
        target, x, y, ball, rng: as for `pgd`.
        draws: int >= 1.

    Returns:
        broken, delta: see the module.
    """
    broken, delta = np.zeros(len(x), bool), np.zeros_like(x)
    for _ in range(draws):
        drawn = ball.farthest(x, rng.standard_normal(x.shape))
        delta[~broken] = drawn[~broken]
        broken |= target.loss(x + drawn, y)[1]
    return broken, delta


def random_search(target, x, y, ball, queries, rng):
    """Random search without gradients, after the Square Attack of Andriushchenko et al. (2020).

    Every query changes a random square of each image (for vectors a random set of elements), which shrinks from a
    quarter of it to one element, and is kept where L does not fall.

    Args:
        target, x, y, ball, rng: as for `pgd`.
        queries: int >= 1.

    Returns:
        broken, delta: see the module.
    """
    delta = np.zeros_like(x)
    best, broken = map(np.copy, target.loss(x, y))
    size = ball.radius * (2 if ball.norm == "linf" else 0.5)
    for query in range(queries):
        left = np.flatnonzero(~broken)
        if not len(left):
            break
        pattern = _pattern(x[left].shape, 0.25 * (1 - query / queries) ** 2, rng)
        tried = ball.project(x[left], delta[left] + ball.step(pattern, size))
        loss, wrong = target.loss(x[left] + tried, y[left])
        better = (loss >= best[left]) | wrong
        broken[left], best[left[better]], delta[left[better]] = wrong, loss[better], tried[better]
    return broken, delta


def differences(target, x, y, h, directions, rng):
    """How far the gradient is from finite differences, along itself and along random directions.

    Args:
        target, x, y, rng: as for `pgd`.
        h: float, the length of a step divided by the root of the number of elements.
        directions: int >= 0, how many random ones.

    Returns:
        float array (directions + 1, n): |(L(x + hu) - L(x - hu)) / 2h - g u| / the larger of the two, but at least
        the root mean square of g u over all u. 0 where both are 0, 1 where one is.
    """
    gradient, _ = target.gradient(x, y)
    elements = math.prod(x.shape[1:])
    length, axes = h * math.sqrt(elements), tuple(range(1, x.ndim))
    typical = np.sqrt((gradient.astype("float64") ** 2).sum(axes) / elements)
    found = []
    for u in (gradient, *(rng.standard_normal(x.shape) for _ in range(directions))):
        u = _unit(u)
        ahead, behind = (target.loss(x + (sign * length * u).astype("float32"), y)[0] for sign in (1, -1))
        measured = (ahead.astype("float64") - behind) / (2 * length)
        expected = (gradient * u).sum(axes)
        scale = np.maximum(np.maximum(np.abs(measured), np.abs(expected)), typical)
        found.append(np.abs(measured - expected) / np.where(scale > 0, scale, 1.0))
    return np.array(found)


def _compiled(function, shape):
    """function(x, y) -> (numbers (n,), other), compiled, and the same with their gradients in x instead of them."""
    signature = [tf.TensorSpec((None, *shape), tf.float32), tf.TensorSpec((None,), tf.int32)]

    def gradient(x, y):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            numbers, other = function(x, y)
        return tape.gradient(numbers, x, unconnected_gradients="zero"), other

    return (tf.function(each, input_signature=signature) for each in (function, gradient))


def _longest(delta, room, radius, most):
    """The largest t <= most with |min(t |delta|, room)| <= radius, (n, 1, ...): by Newton's method, from below."""
    size, most = np.abs(delta), min(most, 1e15)
    t = np.minimum(radius / np.maximum(_norms(delta), _TINY), most)
    for _ in range(100):
        full = t * size >= room
        left = radius**2 - _sums(np.where(full, room, 0.0) ** 2)
        free = _sums(np.where(full, 0.0, size) ** 2)
        longer = np.where(free > 0, np.sqrt(np.maximum(left, 0.0) / np.maximum(free, _TINY)), most)
        longer = np.clip(longer, t, most)
        if (longer <= t * (1 + 1e-6)).all():
            break
        t = longer
    return t


def _sums(values):
    """The sum over each example, (n, 1, ...)."""
    return values.sum(tuple(range(1, values.ndim)), keepdims=True)


def _norms(delta):
    """The Euclidean norm of each example's change, (n, 1, ...)."""
    return np.sqrt(_sums(delta**2))


def _unit(direction):
    """Directions of length 1; those that are 0 stay so. Squares of the smallest elements are not lost."""
    largest = np.abs(direction).max(tuple(range(1, direction.ndim)), keepdims=True)
    scaled = direction / np.where(largest > 0, largest, 1.0)
    return scaled / np.maximum(_norms(scaled), _TINY)


def _pattern(shape, share, rng):
    """1 or -1 in a random square of each image, one sign per channel, or in random elements of vectors; else 0."""
    n, *sizes = shape
    if len(sizes) == 3:
        side = max(1, round(math.sqrt(share * sizes[0] * sizes[1])))
        chosen = np.ones((n, 1, 1, 1), bool)
        for axis in (1, 2):
            side_here = min(side, shape[axis])
            first = rng.integers(0, shape[axis] - side_here + 1, (n, 1, 1, 1))
            places = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(4)])
            chosen = chosen & (places >= first) & (places < first + side_here)
        return np.where(chosen, rng.choice([-1.0, 1.0], (n, 1, 1, sizes[2])), 0.0)
    elements = math.prod(sizes)
    chosen = rng.random((n, elements)) < share
    chosen[np.arange(n), rng.integers(0, elements, n)] = True
    return np.where(chosen, rng.choice([-1.0, 1.0], (n, elements)), 0.0).reshape(shape)
