"""Friendly Training (Marullo et al. 2021): every example gets a perturbation of its own, found by gradient steps."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from nft_keras import backend
from nft_keras._checks import number
from nft_keras.backend import keras_internals
from nft_keras.base import COMPILE, Plan, SimplifyingModel, squared_norms
from nft_keras.callbacks import some_examples
from nft_keras.places import layers_of, number_of_examples

SMALL = 500_000  # weights of a classifier whose perturbations XLA compiles on a CPU too


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
        alters: where data are perturbed. None: x is a single tensor, and perturbed itself. A str: an input's name, of
            which x has more (a key of a dict, or, in the order of the classifier's inputs, one of a tuple); the others
            pass. Or a layer whose output is perturbed, as an `Embedding` for x of token numbers: it, its name, or the
            name of the classifier's attribute that it is.

    Attributes:
        max_steps: scalar int32 `keras.Variable`, the present tau.

    Raises:
        TypeError: if the classifier is not a `keras.Model`, or alters no name.
        ValueError: for arguments outside these ranges, a classifier of several outputs, a name in alters that it does
            not have, and whole numbers that shall be perturbed.

    Example:

        model = FriendlyTraining(classifier, step=0.1, confidence=0.98)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        model.fit(x, y, epochs=200, callbacks=[PerturbationPlan(max_steps=120, simplification_epochs=100)])
    """

    arguments = ("step", "confidence", "from_logits")
    training_logs = ("perturbation", "perturbation_steps")

    def __init__(
        self,
        classifier: keras.Model,
        step: float,
        confidence: float,
        from_logits: bool = True,
        alters: str | keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        if not (alters is None or isinstance(alters, (str, keras.layers.Layer))):
            raise TypeError(f"FriendlyTraining perturbs one tensor: alters must be one name or layer, got {alters!r}")
        super().__init__(classifier, alters=alters, **kwargs)
        self.place.check()
        if len(getattr(classifier, "outputs", None) or ()) > 1:
            raise ValueError(f"FriendlyTraining needs one output, the classifier has {len(classifier.outputs)}")
        self.step = number("step", step, "a finite number > 0", lambda n: 0 < n < math.inf, float)
        self.confidence = number("confidence", confidence, "in [0, 1]", lambda n: 0 <= n <= 1, float)
        self.from_logits = from_logits
        self._perturbation = keras.metrics.Mean("perturbation")
        self._perturbation_steps = keras.metrics.Mean("perturbation_steps")
        self._aside.auto = False
        self._aside.max_steps = keras.Variable(0, trainable=False, dtype="int32", name="max_steps")

    @property
    def max_steps(self) -> keras.Variable:
        """The most steps that a perturbation takes now, a scalar int32 `keras.Variable`."""
        return self._aside.max_steps

    def perturb(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Perturbed data x + delta.

        Args:
            x: tensor or array (batch, ...), or several, as the classifier takes them.
            y: labels of the batch: class indices (batch,) or (batch, 1), or one-hot (batch, num_classes).

        Returns:
            perturbed: tensor of the shape of x, or of what `alters` names, of its dtype if that is a floating-point
                one, else float32.
            steps: int32 tensor (batch,), the steps that each example took.
        """
        original, delta, steps = self._perturbation_of(x, y)
        return original + delta, steps

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configures training as `keras.Model.compile` does; `jit_compile="auto"` is XLA on a GPU.

        On TensorFlow and a CPU it is so for the perturbations alone, where the classifier is small and of dense layers.

        Raises:
            ValueError: for losses of which one is a sum over the minibatch (`reduction="sum"`), another one a mean, and
                for one that leaves a loss for each example (`reduction=None`).
        """
        super().compile(*args, **kwargs)
        self._aside.sums = _is_sum(self.loss)
        self._aside.auto = COMPILE.bind(self, *args, **kwargs).arguments.get("jit_compile", "auto") == "auto"

    def get_compile_config(self) -> dict:
        """What `compile` was called with, serialized."""
        config = super().get_compile_config()
        if config and self._aside.auto:  # Keras keeps what came of it
            config["jit_compile"] = "auto"
        return config

    def _compiles_perturbation(self):
        """Whether the steps of a perturbation are compiled, and the rest is not: XLA draws other dropout masks.

        With a small dense network most of a step's time passes between operations, of which XLA makes one. It is given
        only what takes each example by itself and is known to compile: under XLA the examples that are done stay.
        """
        if not self._aside.auto or self.jit_compile or not keras_internals.supports_xla(self):
            return False
        layers = layers_of(self.classifier)
        kinds = {type(layer) for layer in layers if layer.weights}
        dense = {keras.layers.Dense, keras.layers.BatchNormalization}
        small = bool(kinds) and kinds <= dense and self.classifier.count_params() <= SMALL
        return small and all(map(_for_xla, (self.classifier, *layers))) and _is_crossentropy(self.loss)

    def _perturbation_of(self, x, y):
        """What is perturbed, its delta, and the steps that each example took."""
        x, y = keras.tree.map_structure(lambda each: ops.convert_to_tensor(each, sparse=False), (x, y))
        original = self.place.original(self, x)
        batch = number_of_examples(x)
        axes = (-1, *(1 for _ in original.shape[1:]))
        xla = self._compiles_perturbation()
        dtype = keras.backend.result_type(keras.config.floatx(), "float32")

        def unfinished_left(k, delta, unfinished, steps):
            return ops.logical_and(k < self.max_steps, ops.any(unfinished))

        def one_step(k, delta, unfinished, steps, x, y, original):
            take, put = backend.unfinished_rows(unfinished, fixed_shapes=self.jit_compile or xla)
            x, y, original, going_on, before = keras.tree.map_structure(take, (x, y, original, unfinished, delta))

            def forward(delta):
                y_pred = self.classify(x, original, original + delta)
                left = ops.logical_and(going_on, ops.logical_not(self._is_sure(y, y_pred)))
                weights = ops.cast(left, dtype)
                # Keras divides by the number of rows, which are more than those left; a sum it does not divide.
                rows = ops.cast(number_of_examples(x), dtype)
                of_left = rows / ops.maximum(ops.sum(weights), 1.0)
                weights = weights * (of_left / rows if self._aside.sums else of_left)
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=False)
                if self.losses:
                    loss = loss + ops.cast(of_left - 1.0, loss.dtype) * keras_internals.added_losses(self)
                # float16 cannot hold such small gradients: they are scaled as the optimizer scales those of w.
                return self.optimizer.scale_loss(loss), left

            left, gradient = backend.gradient_at(forward, before)
            gradient = backend.of_all(gradient, ops.sum(ops.cast(left, "float32")))
            gradient = gradient / self.optimizer.scale_loss(1.0)
            move = self.step * ops.where(ops.isfinite(gradient), gradient, 0.0)
            delta = put(delta, ops.where(ops.reshape(left, axes), before - move, before))
            unfinished = put(unfinished, left)
            return k + 1, delta, unfinished, steps + ops.cast(unfinished, "int32")

        none = ops.zeros((batch,), "int32")
        start = (ops.zeros((), "int32"), ops.zeros_like(original), ops.ones((batch,), "bool"), none)
        _, delta, _, steps = backend.while_loop(unfinished_left, one_step, start, (x, y, original), xla)
        return original, delta, steps

    def simplify(self, x: Any, y: Any = None) -> Any:
        """Perturbed data x + delta of `perturb`, without the steps.

        Raises:
            ValueError: without labels.
        """
        if y is None:
            raise ValueError("FriendlyTraining perturbs x by its labels: simplify needs the labels y too")
        return self.perturb(x, y)[0]

    @backend.step
    def train_step(self, data: Any) -> dict:
        """One minibatch (x, y[, sample_weight]): x is perturbed, then w is updated; returns the logs."""
        if not self.simplifying:
            return backend.keras_step(self, data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        original, delta, steps = self._perturbation_of(x, y)
        perturbed = original + delta
        self._perturbation.update_state(squared_norms(perturbed, original))
        self._perturbation_steps.update_state(ops.cast(steps, "float32"))
        with self.place.altered(x, original, perturbed) as seen:
            return backend.keras_step(self, (seen, y, sample_weight))

    def _prepare_fit(self, given):
        """Refuses labels that are no class each, as far as they can be seen before training."""
        super()._prepare_fit(given)
        x, y = some_examples(given, self.classifier) or (None, None)
        if x is not None:
            with backend.scope(self), backend.inference():
                if not self.classifier.built:
                    self(x, training=False)
                self.place.original(self, x)
        if y is None or keras.tree.is_nested(y) or len(y.shape) != 2 or y.shape[1] < 2:
            return
        labels = ops.convert_to_numpy(y).astype("float32")
        of_many = labels[~np.isclose(labels.sum(1), 1, atol=1e-3)]
        if len(of_many):
            raise ValueError(
                f"FriendlyTraining needs one class per example, got the labels {of_many[0].tolist()}: several classes, "
                "or none"
            )

    def carried_variables(self) -> list:
        """Variables that a training step needs beside those that Keras knows of."""
        return [self.max_steps]

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


def _for_xla(layer):
    """Whether a layer is Keras' or ours, as what it calls is, and adds nothing to the loss of a whole minibatch."""
    names = ("activation", "kernel_regularizer", "bias_regularizer", "beta_regularizer", "gamma_regularizer")
    called = (getattr(layer, name, None) for name in names)
    own = all(map(_is_own, (layer, *called))) and not isinstance(layer, keras.layers.Lambda)
    return own and getattr(layer, "activity_regularizer", None) is None


def _is_crossentropy(loss):
    """Whether a compiled loss is the mean of a cross-entropy of Keras or ours, of each example by itself."""
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    name = loss.__name__ if inspect.isfunction(loss) else type(loss).__name__
    mean = getattr(loss, "reduction", "sum_over_batch_size") == "sum_over_batch_size"
    return _is_own(loss) and "crossentropy" in name.lower() and mean


def _is_sum(loss):
    """Whether a compiled loss, or each of several, is the sum over the minibatch."""
    reductions = {getattr(each, "reduction", None) for each in keras.tree.flatten(loss)}
    if "sum" in reductions and len(reductions) > 1:
        raise ValueError("FriendlyTraining needs losses that are all means, or all sums, over the minibatch")
    return reductions == {"sum"}


def _is_own(thing):
    """Whether a function, or the class of an object, is Keras' or ours; there may be none."""
    of = thing if inspect.isfunction(thing) else type(thing)
    return thing is None or of.__module__.partition(".")[0] in ("keras", "nft_keras")


class PerturbationPlan(Plan):
    """Lowers the number of perturbation steps of Friendly Training epoch by epoch: tau(gamma) of Marullo et al. 2021.

    tau(gamma) = int(max_steps (1 - law(progress))), with the quadratic law int(max_steps [1 - progress]_+^2); the data
    are altered while it is above 0, from the first epoch on.

    Args:
        max_steps: int >= 0 and < 2^31, tau_max, the number of steps in the first epoch.
        simplification_epochs: int >= 0, gamma_max_simp, the epoch in which tau has come down to 0.
        law: as for `DevelopmentalPlan`.

    Raises:
        ValueError: for arguments outside these ranges, and when training begins with a model without perturbations.
    """

    model_class = FriendlyTraining

    def __init__(
        self, max_steps: int, simplification_epochs: int, law: str | Callable[[float], float] = "quadratic"
    ) -> None:
        super().__init__(simplification_epochs, law)
        whole = "a whole number >= 0 and < 2^31"
        self.max_steps = number("max_steps", max_steps, whole, lambda n: 0 <= n < 2**31 and not n % 1, int)

    def steps(self, gamma: int) -> int:
        """tau(gamma), the most steps that a perturbation takes in epoch gamma (an int)."""
        return math.floor(self.max_steps * (1 - self.fraction(gamma)) + 1e-9)

    def alters(self) -> bool:
        """Whether data are altered in some epoch."""
        return self.steps(1) > 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the number of steps and says whether the epoch's data are altered."""
        self.model.max_steps.assign(self.steps(epoch + 1))
        self.model.simplifying = self.steps(epoch + 1) > 0


FriendlyTraining.plan_class = PerturbationPlan
