"""What Neural Friendly Training is compared with: FriendlyTraining (Marullo et al. 2021) and EasyExamplesFirst."""

import math

import keras
import numpy as np
from keras import ops

from nft_keras._backend import tensorflow_for_data, untuned
from nft_keras._checks import number
from nft_keras._simplifying import SimplifyingModel, as_floats, squared_norms
from nft_keras.plan import PerturbationPlan, Plan


@keras.saving.register_keras_serializable("nft_keras")
class FriendlyTraining(SimplifyingModel):
    """Friendly Training (FT): every example gets a perturbation of its own, found by gradient steps from scratch.

    For every minibatch delta starts at 0 and takes up to tau gradient steps of size `step` on the mean loss of the
    examples that are still being perturbed, with the classifier in inference mode; an example stops as soon as it is
    classified right with more than `confidence`. Then the classifier is updated on x + delta. A `PerturbationPlan`
    among the callbacks of `fit` sets tau epoch by epoch.

    The logs of an epoch hold `perturbation` (the mean squared norm of delta) and `perturbation_steps` (the mean number
    of steps that an example took) beside `loss` and the compiled metrics.

    Args:
        classifier: `keras.Model` with a logit (or probability) per class as output.
        step: float > 0, size of a gradient step.
        confidence: float in [0, 1], the probability of the true class above which an example is left alone.
        from_logits: bool, whether the classifier's outputs are logits.

    Attributes:
        max_steps: scalar int32 `keras.Variable`, the present tau.

    Raises:
        TypeError: if the classifier is not a `keras.Model`.
        ValueError: for arguments outside these ranges.

    Example:

        model = FriendlyTraining(classifier, step=0.1, confidence=0.98)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(x, y, epochs=200, callbacks=[PerturbationPlan(max_steps=120, simplification_epochs=100)])
    """

    training_logs = ("perturbation", "perturbation_steps")
    plan_class = PerturbationPlan

    def __init__(self, classifier, step, confidence, from_logits=True, **kwargs):
        super().__init__(classifier, **kwargs)
        self.step = number("step", step, "a finite number > 0", lambda n: 0 < n < math.inf, float)
        self.confidence = number("confidence", confidence, "in [0, 1]", lambda n: 0 <= n <= 1, float)
        self.from_logits = from_logits
        self._perturbation = keras.metrics.Mean("perturbation")
        self._perturbation_steps = keras.metrics.Mean("perturbation_steps")
        self._aside.max_steps = keras.Variable(0, trainable=False, dtype="int32", name="max_steps")

    @property
    def max_steps(self):
        """The most steps that a perturbation takes now, a scalar int32 `keras.Variable`."""
        return self._aside.max_steps

    def perturb(self, x, y):
        """Perturbed data x + delta.

        Args:
            x: tensor or array (batch, ...).
            y: labels of the batch: class indices (batch,) or (batch, 1), or one-hot (batch, num_classes).

        Returns:
            perturbed: tensor of the shape of x, of its dtype if that is a floating-point one, else float32.
            steps: int32 tensor (batch,), the steps that each example took.
        """
        x, y = as_floats(x), ops.convert_to_tensor(y)
        batch = ops.shape(x)[0]
        axes = (-1, *(1 for _ in x.shape[1:]))

        def unfinished_left(k, delta, unfinished, steps):
            return ops.logical_and(k < self.max_steps, ops.any(unfinished))

        def one_step(k, delta, unfinished, steps, x, y):
            take, put = self._regrouped(unfinished)
            x, y, going_on, before = take(x), take(y), take(unfinished), take(delta)

            def forward(delta):
                y_pred = self(x + delta, training=False)
                left = ops.logical_and(going_on, ops.logical_not(self._is_sure(y, y_pred)))
                weights = ops.cast(left, "float32")
                weights = weights * ops.cast(ops.shape(x)[0], "float32") / ops.maximum(ops.sum(weights), 1.0)
                # float16 cannot hold such small gradients: they are scaled as the optimizer scales those of w.
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=False)
                return self.optimizer.scale_loss(loss), left

            left, gradient = self._gradient_at(forward, before)
            gradient = self._of_all(gradient, ops.sum(ops.cast(left, "float32")))
            gradient = gradient / self.optimizer.scale_loss(1.0)
            move = self.step * ops.where(ops.isfinite(gradient), gradient, 0.0)
            delta = put(delta, ops.where(ops.reshape(left, axes), before - move, before))
            unfinished = put(unfinished, left)
            return k + 1, delta, unfinished, steps + ops.cast(unfinished, "int32")

        start = (ops.zeros((), "int32"), ops.zeros_like(x), ops.ones((batch,), "bool"), ops.zeros((batch,), "int32"))
        _, delta, _, steps = self._while_loop(unfinished_left, one_step, start, (x, y))
        return x + delta, steps

    def simplify(self, x, y):
        """Perturbed data x + delta of `perturb`, without the steps."""
        return self.perturb(x, y)[0]

    def _altered_step(self, data):
        """One step of training on a minibatch (x, y[, sample_weight]) while the data are perturbed."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        perturbed, steps = self.perturb(x, y)
        self._perturbation.update_state(squared_norms(perturbed, x))
        self._perturbation_steps.update_state(ops.cast(steps, "float32"))
        return self._classic_step((perturbed, y, sample_weight))

    def _carried(self):
        """Variables that an altered step needs beside those that Keras knows of."""
        return [self.max_steps]

    def get_config(self):
        """The configuration that `from_config` builds an equal, untrained model from."""
        names = ("step", "confidence", "from_logits")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _is_sure(self, y, y_pred):
        """Which examples are classified right with more than the confidence, a bool tensor (batch,)."""
        if len(y_pred.shape) != 2 or y_pred.shape[1] < 2:
            raise ValueError(f"FriendlyTraining needs an output per class, the classifier has one of {y_pred.shape}")
        probabilities = ops.softmax(ops.cast(y_pred, "float32")) if self.from_logits else ops.cast(y_pred, "float32")
        if len(y.shape) == 2 and y.shape[1] > 1:
            y = ops.argmax(y, axis=1)
        y = ops.reshape(ops.cast(y, "int32"), (-1,))
        of_label = ops.sum(probabilities * ops.one_hot(y, probabilities.shape[1], dtype="float32"), axis=1)
        right = ops.equal(ops.cast(ops.argmax(probabilities, axis=1), "int32"), y)
        return ops.logical_and(right, of_label > self.confidence)


class EasyExamplesPlan(Plan):
    """Chooses the examples that `EasyExamplesFirst` sees: those with the lowest loss at the beginning of the epoch.

    In epoch gamma these are the fraction 1 - (1 - first_fraction) (1 - law(progress)) of the training examples; with
    the quadratic law the temporal dynamics are those of Friendly Training. Section 3.1 of Marullo et al. (2022) says no
    more of this method than that it sorts the data with the temporal dynamics of FT: the formula, and first_fraction,
    are our reading.

    Args:
        examples: `tf.data.Dataset` of all training examples (x, y), one by one, in the same order at every reading.
        n: int, the number of examples.
        first_fraction: float in (0, 1], p0, the fraction that is seen in the first epoch.
        simplification_epochs: int >= 0, gamma_max_simp, the first epoch in which all examples are seen.
        law: as for `DevelopmentalPlan`.

    Attributes:
        kept: bool `tf.Variable` (n,), the examples that are seen in this epoch.

    Raises:
        ValueError: for arguments outside these ranges, when training begins with another model, and in the first epoch
            if there are not n examples.
    """

    def __init__(self, examples, n, first_fraction, simplification_epochs, law="quadratic"):
        super().__init__(simplification_epochs, law)
        self.first_fraction = number("first_fraction", first_fraction, "in (0, 1]", lambda p: 0 < p <= 1, float)
        self.examples = examples
        self.n = number("n", n, "a whole number >= 1", lambda n: n >= 1 and not n % 1, int)
        tf = tensorflow_for_data()
        self.kept = tf.Variable(tf.ones(self.n, tf.bool), trainable=False)

    def count(self, gamma):
        """The number of examples that are seen in epoch gamma (an int >= 1)."""
        share = 1 - (1 - self.first_fraction) * (1 - self.fraction(gamma))
        return max(1, math.floor(share * self.n + 1e-9))

    def minibatches(self, batch_size, seed=None):
        """Minibatches of the kept examples, reshuffled every epoch, then empty ones: as many as there are of all.

        Args:
            batch_size: int.
            seed: int, of the shuffling.

        Returns:
            A `tf.data.Dataset`.
        """
        tf = tensorflow_for_data()

        def is_kept(i, example):
            return self.kept[i]

        def without_number(i, example):
            return example

        def emptied(*batch):
            return keras.tree.map_structure(lambda a: a[:0], batch)

        kept = self.examples.enumerate().filter(is_kept).map(without_number)
        empty = self.examples.batch(1).take(1).map(emptied)
        steps = math.ceil(self.n / batch_size)
        padded = kept.shuffle(self.n, seed).batch(batch_size).concatenate(empty.repeat()).take(steps)
        return untuned(padded.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2))

    def on_train_begin(self, logs=None):
        """Refuses a model that cannot follow the plan."""
        if not isinstance(self.model, EasyExamplesFirst):
            raise ValueError(f"EasyExamplesPlan needs an EasyExamplesFirst, got a {type(self.model).__name__}")
        self._predict = self.model._predictor()

    def on_epoch_begin(self, epoch, logs=None):
        """Keeps the examples with the lowest loss."""
        count, kept = self.count(epoch + 1), np.ones(self.n, bool)
        if count < self.n:
            kept[np.argsort(self._losses(), kind="stable")[count:]] = False
        self.kept.assign(kept)
        self.model.simplifying = count < self.n

    def _losses(self):
        """The loss of each example for the classifier as it is now."""
        loss = keras.losses.get(self.model.loss)
        if isinstance(loss, keras.losses.Loss):  # a function has no reduction
            loss = type(loss).from_config({**loss.get_config(), "reduction": "none"})
        minibatches = self.examples.batch(250).as_numpy_iterator()
        losses = np.concatenate([ops.convert_to_numpy(loss(y, self._predict(x))) for x, y in minibatches])
        if len(losses) != self.n:
            raise ValueError(f"EasyExamplesPlan was told of n={self.n} examples, there are {len(losses)}")
        return losses


@keras.saving.register_keras_serializable("nft_keras")
class EasyExamplesFirst(SimplifyingModel):
    """Easy Examples First (EEF): the classifier sees the easiest examples only, and more of them every epoch.

    An `EasyExamplesPlan` chooses them and makes minibatches of them. Keras' `fit` wants the same number of minibatches
    every epoch: those that are too many are empty, and a training step passes over them.

    Args:
        classifier: `keras.Model`, maps x to predictions.

    Raises:
        TypeError: if the classifier is not a `keras.Model`.

    Example:

        plan = EasyExamplesPlan(dataset, len(dataset), first_fraction=0.2, simplification_epochs=100)
        model = EasyExamplesFirst(classifier)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(plan.minibatches(32), epochs=200, callbacks=[plan])
    """

    plan_class = EasyExamplesPlan

    def _altered_step(self, data):
        """One step of training on a minibatch (x, y[, sample_weight]), none on an empty one."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._unless_empty(x, self._classic_step, data)
