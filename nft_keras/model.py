"""FriendlyModel: a classifier trained on data made easier by a second network (Algorithm 1 of Marullo et al. 2022)."""

import math
import types

import keras
from keras import ops

from nft_keras._simplifying import SimplifyingModel, Steps, as_floats, each, is_dataset, one_of, squared_norms
from nft_keras.plan import DevelopmentalPlan

PENALTIES = ("sum", "mean")
PHASES = ("epoch", "batch", "joint")
CLASSIFIER_MODES = ("inference", "training")
# So many training examples are enough to see whether the altered ones are easier, and cost next to nothing.
COMPARED = 100


@keras.saving.register_keras_serializable("nft_keras")
class FriendlyModel(SimplifyingModel):
    """Neural Friendly Training of a classifier f(., w) with the help of an auxiliary network s(., theta).

    While the data are simplified, theta is updated first, on Eq. 4 with w fixed, then w, on the classification loss of
    f(s(x)) with the auxiliary network fixed. A `DevelopmentalPlan` among the callbacks of `fit` sets eta, says in which
    epochs the data are simplified and theta is updated, and drops the auxiliary network. In every other epoch a step is
    `keras.Model`'s own.

    To Keras the model *is* its classifier: `model(x)`, `predict`, `evaluate`, `weights`, `losses` and what callbacks
    store and restore are the classifier's, on unaltered data. `save` also stores the auxiliary network and both
    optimizers, so that a loaded model trains on (pass `initial_epoch` to `fit`).

    The logs of an epoch hold, beside `loss` and the compiled metrics (on the simplified data while they are):
    `auxiliary_loss` (Eq. 4 as theta was updated on it; 0 in an epoch without), `perturbation` (the mean squared norm of
    delta = s(x) - x that the classifier saw), `relative_perturbation` (the mean square of an element of delta, divided
    by the variance of the elements of x: 0 for unaltered data, 1 for data of which nothing is left but their mean),
    `eta`, and `loss_reduction`: in a simplified epoch the classifier's loss on some of the data minus that on their
    altered forms, before w is updated; below 0 the altered ones are harder.

    Args:
        classifier: `keras.Model`, maps x to predictions; the network to deploy.
        auxiliary: `keras.Model` that maps x to the shape of x, or, with two inputs, [x, y] (label-conditioned; y comes
            as class indices, or one-hot if that is its second input's shape). A subclassed one says
            `label_conditioned = True`. None: already dropped.
        penalty: "sum", Eq. 4: the squared norm of delta, averaged over the batch; or "mean": averaged over the
            elements of x too, so that eta does not depend on the input's size. It is never sample-weighted.
        phases: "epoch", Algorithm 1: a whole pass over the data for theta, then one for w; `fit` then reads the data
            twice an epoch, from the start each time. "batch": on every minibatch theta, then w. "joint": on every
            minibatch both, from one shared forward pass with both networks in training mode.
        classifier_mode: how the classifier is held while theta is updated. "inference": all of it is fixed, no
            batch-norm statistic moves and no dropout mask is at work. "training", as in the authors' code: batch norm
            by the minibatch, with moving statistics that move, and dropout; the weights do not move. phases="joint" has
            it in training mode either way.

    Attributes:
        eta: scalar float32 `keras.Variable`, the present weight of the penalty.
        simplifying: bool, whether a training step simplifies the data now.
        updates_auxiliary: bool, whether theta is updated while simplifying (True), or the auxiliary network only
            transforms the data.

    Raises:
        TypeError: if a network is not a `keras.Model`.
        ValueError: for an unknown penalty, phases or classifier_mode.

    Example:

        model = FriendlyModel(classifier, unet(input_shape=(28, 28, 1)), penalty="mean")
        model.compile(
            optimizer=keras.optimizers.Adam(1e-4),
            auxiliary_optimizer=keras.optimizers.Adam(1e-5),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        plan = DevelopmentalPlan(eta_max=500.0, simplification_epochs=170)
        model.fit(x, y, epochs=200, validation_data=(x_valid, y_valid), callbacks=[plan])
        model.classifier.save("classifier.keras")
    """

    training_logs = ("auxiliary_loss", "perturbation", "relative_perturbation", "loss_reduction", "eta")

    def __init__(self, classifier, auxiliary, penalty="sum", phases="epoch", classifier_mode="inference", **kwargs):
        super().__init__(classifier, **kwargs)
        if auxiliary is not None and not isinstance(auxiliary, keras.Model):
            raise TypeError(f"auxiliary must be a keras.Model, got {auxiliary!r}")
        one_of("penalty", penalty, PENALTIES)
        one_of("phases", phases, PHASES)
        one_of("classifier_mode", classifier_mode, CLASSIFIER_MODES)
        self.penalty, self.phases, self.classifier_mode = penalty, phases, classifier_mode
        self._updates_auxiliary = True
        self._auxiliary_loss = keras.metrics.Mean("auxiliary_loss")
        self._perturbation = keras.metrics.Mean("perturbation")
        self._relative_perturbation = _RelativePerturbation("relative_perturbation")
        self._loss_reduction = _Logged("loss_reduction")
        self._eta = _Logged("eta")
        self._aside.auxiliary = auxiliary
        self._aside.first_phase = None

    @property
    def auxiliary(self):
        """The auxiliary network s(., theta), or None once it was dropped."""
        return self._aside.auxiliary

    @property
    def eta(self):
        """Weight of the penalty on the perturbation, a scalar `keras.Variable`."""
        return self._eta.variable

    @property
    def updates_auxiliary(self):
        """Whether theta is updated while the data are simplified."""
        return self._updates_auxiliary

    @updates_auxiliary.setter
    def updates_auxiliary(self, value):
        if bool(value) != self._updates_auxiliary:
            self._updates_auxiliary = bool(value)
            if self.phases != "epoch":
                self._forget_altered_step()

    def simplify(self, x, y=None, training=False):
        """Simplified data x~ = s(x, theta) (Eq. 3); x itself once the auxiliary network was dropped.

        Args:
            x: tensor or array (batch, ...), as the classifier takes it.
            y: labels of the batch; needed if the auxiliary network is label-conditioned.
            training: bool, the mode of the auxiliary network (batch norm, dropout).

        Returns:
            A tensor of the shape of x, and of its dtype if that is a floating-point one, else float32.

        Raises:
            ValueError: if labels are needed and missing, or the auxiliary network's output has not the shape of x.
        """
        if self.auxiliary is None:
            return ops.convert_to_tensor(x)
        x = as_floats(x)
        inputs = [x, self._labels_for_auxiliary(y)] if self._label_conditioned else x
        simplified = self.auxiliary(inputs, training=training)
        if len(simplified.shape) != len(x.shape) or any(
            a != b for a, b in zip(simplified.shape, x.shape, strict=True) if None not in (a, b)
        ):
            raise ValueError(
                f"the auxiliary network's output must have the shape of x, got {simplified.shape} for x of {x.shape}"
            )
        return ops.cast(simplified, x.dtype)

    def drop_auxiliary(self):
        """Drops the auxiliary network and its optimizer: from now on training is classic."""
        self.simplifying = False
        self._aside.train_functions = {}
        self._aside.auxiliary = self._aside.first_phase = self.auxiliary_optimizer = None

    # Training

    def compile(self, optimizer="rmsprop", auxiliary_optimizer=None, **kwargs):
        """Configures training as `keras.Model.compile` does, with one more optimizer.

        Args:
            optimizer: `keras.optimizers.Optimizer` or its name; updates the classifier's w.
            auxiliary_optimizer: the same for the auxiliary network's theta; another instance.
            **kwargs: the other arguments of `keras.Model.compile`.

        Raises:
            ValueError: if auxiliary_optimizer is missing while there is an auxiliary network, or is the same object
                as optimizer.
        """
        if auxiliary_optimizer is None and self.auxiliary is not None:
            raise ValueError("compile needs auxiliary_optimizer too, e.g. keras.optimizers.Adam(1e-4)")
        if auxiliary_optimizer is optimizer and not isinstance(optimizer, str):
            raise ValueError("optimizer and auxiliary_optimizer must be two objects, each with its own network's state")
        super().compile(optimizer=optimizer, **kwargs)
        self.auxiliary_optimizer = self._aside.first_phase = None
        if self.auxiliary is not None:
            self.auxiliary_optimizer = keras.optimizers.get(auxiliary_optimizer)
            if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer) and not isinstance(
                self.auxiliary_optimizer, keras.optimizers.LossScaleOptimizer
            ):
                self.auxiliary_optimizer = keras.optimizers.LossScaleOptimizer(self.auxiliary_optimizer)
            if self.auxiliary.built and not self.auxiliary_optimizer.built:
                self.auxiliary_optimizer.build(self.auxiliary.trainable_variables)

    def _altered_step(self, data):
        """One step of training on a minibatch (x, y[, sample_weight]) while the data are simplified."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.phases == "joint" and self.updates_auxiliary:
            return self._joint_step(x, y, sample_weight)
        if self.phases == "batch" and self.updates_auxiliary:
            eq_4 = self._auxiliary_step(x, y, sample_weight)
            self._auxiliary_loss.update_state(eq_4 * self._replicas, ops.shape(x)[0])
        # Second phase: s(x) is computed before Keras' own step takes gradients, hence cut off from them.
        simplified = self.simplify(x, y)
        self._note_perturbation(simplified, x)
        return self._classic_step((simplified, y, sample_weight))

    def _note_perturbation(self, simplified, x):
        self._perturbation.update_state(squared_norms(simplified, x))
        self._relative_perturbation.update_state(simplified, x)

    def _auxiliary_step(self, x, y, sample_weight):
        """First phase: theta <- theta - beta times the gradient of Eq. 4, with w fixed; returns the loss."""
        theta = self.auxiliary.trainable_variables

        def forward():
            simplified = self.simplify(x, y, training=True)
            y_pred = self(simplified, training=self.classifier_mode == "training")
            _, eq_4 = self._risks(x, y, y_pred, sample_weight, simplified)
            return self.auxiliary_optimizer.scale_loss(eq_4), eq_4

        eq_4, of_theta = self._gradients(forward, theta)
        self._apply(self.auxiliary_optimizer, of_theta, theta)
        return eq_4

    def _joint_step(self, x, y, sample_weight):
        """Both phases from one forward pass: the penalty does not depend on w, so one gradient of Eq. 4 serves both."""
        w, theta = self.trainable_variables, self.auxiliary.trainable_variables

        def forward():
            simplified = self.simplify(x, y, training=True)
            y_pred = self(simplified, training=True)
            loss, eq_4 = self._risks(x, y, y_pred, sample_weight, simplified)
            return self.optimizer.scale_loss(eq_4), (simplified, y_pred, loss, eq_4)

        (simplified, y_pred, loss, eq_4), gradients = self._gradients(forward, [*w, *theta])
        rescale = self.auxiliary_optimizer.scale_loss(1.0) / self.optimizer.scale_loss(1.0)
        self._apply(self.auxiliary_optimizer, [g * rescale for g in gradients[len(w) :]], theta)
        self._apply(self.optimizer, gradients[: len(w)], w)
        self._auxiliary_loss.update_state(eq_4 * self._replicas, ops.shape(x)[0])
        self._note_perturbation(simplified, x)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss * self._replicas, ops.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _risks(self, x, y, y_pred, sample_weight, simplified):
        """The classification loss of f(s(x)), and Eq. 4: that loss plus eta times the squared norm of the change."""
        loss = self.compute_loss(x=simplified, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        penalty = ops.mean(squared_norms(simplified, x))
        if self.penalty == "mean":
            penalty = penalty / ops.cast(math.prod(ops.shape(x)[1:]), "float32")
        # Gradients are summed over replicas, and Keras' losses come divided by their number.
        on_theta = (self.eta * penalty + sum(self.auxiliary.losses)) / self._replicas
        return loss, loss + self._weighted(on_theta, x)

    def _carried(self):
        """Variables that an altered step needs beside those that Keras knows of."""
        if self.auxiliary is None or getattr(self, "auxiliary_optimizer", None) is None:
            return []
        return [*self.auxiliary.variables, *self.auxiliary_optimizer.variables]

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        **kwargs,
    ):
        """Trains as `keras.Model.fit` does, with the same arguments.

        With phases="epoch" every simplified epoch reads x a first time for the auxiliary network, before the
        classifier's own pass; with `steps_per_epoch` each of the two passes takes that many minibatches. The
        auxiliary network's begin at the start of x in every epoch, the classifier's where its last pass ended, so that
        x should come shuffled.

        Raises:
            ValueError: without a `DevelopmentalPlan` among the callbacks while there is an auxiliary network, or for
                data that can be read only once with phases="epoch".
        """
        data = dict(
            x=x,
            y=y,
            batch_size=batch_size,
            shuffle=shuffle and not is_dataset(x),
            class_weight=class_weight,
            sample_weight=sample_weight,
            steps_per_epoch=steps_per_epoch,
        )
        if self.auxiliary is not None:
            if not any(isinstance(callback, DevelopmentalPlan) for callback in each(callbacks)):
                raise ValueError(
                    "fit needs an nft_keras.DevelopmentalPlan among its callbacks as long as there is an auxiliary "
                    "network; to train the classifier alone call drop_auxiliary() first"
                )
            if self.phases == "epoch":
                if hasattr(x, "__next__"):
                    raise ValueError(
                        f'phases="epoch" reads the data twice an epoch, which a {type(x).__name__} cannot do: '
                        'use phases="batch", or a tf.data.Dataset, a PyDataset or arrays'
                    )
                if validation_split and validation_data is None and hasattr(x, "shape"):
                    data, validation_data = _split_off(data, validation_split)
                    validation_split = 0.0
                callbacks = [*each(callbacks), _FirstPhase(data)]
            # After the plan, which says what the epoch is, and after the first phase, before w is updated.
            callbacks = [*each(callbacks), _Comparison(_some_examples(data["x"], data["y"]))]
        return super().fit(
            **data,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            initial_epoch=initial_epoch,
            **kwargs,
        )

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Trains on one minibatch: with any `phases`, theta first (while simplifying), then w."""
        batch = dict(x=x, y=y, sample_weight=sample_weight, class_weight=class_weight)
        if not self.simplifying or self.phases != "epoch" or not self.updates_auxiliary:
            return super().train_on_batch(**batch, return_dict=return_dict)
        of_theta = self._first_phase().train_on_batch(**batch, return_dict=True)
        logs = {**super().train_on_batch(**batch, return_dict=True), "auxiliary_loss": of_theta["auxiliary_loss"]}
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def _reduction(self, x, y):
        """The classifier's loss on x minus that on s(x), both networks in inference mode."""
        losses = [
            self.compute_loss(x=each, y=y, y_pred=self(each, training=False), training=False)
            for each in (as_floats(x), self.simplify(x, y))
        ]
        return float(losses[0]) - float(losses[1])

    def _first_phase(self):
        if self._aside.first_phase is None:
            with self._scope():
                self._aside.first_phase = _AuxiliaryTraining(self)
        return self._aside.first_phase

    @property
    def _label_conditioned(self):
        inputs = getattr(self.auxiliary, "inputs", None)
        return len(inputs) == 2 if inputs else getattr(self.auxiliary, "label_conditioned", False)

    def _labels_for_auxiliary(self, y):
        """y in the form of the auxiliary network's second input: class indices or one-hot."""
        if y is None:
            raise ValueError("the auxiliary network is label-conditioned: simplify needs the labels y too")
        y = ops.convert_to_tensor(y)
        inputs = getattr(self.auxiliary, "inputs", None)
        if not inputs:
            return y
        wanted = tuple(inputs[1].shape[1:])
        if len(y.shape) == 2 and y.shape[1] == 1:
            y = ops.squeeze(y, 1)
        if len(y.shape) == 2 and wanted in ((), (1,)):
            y = ops.argmax(y, axis=1)
        if len(y.shape) == 1 and len(wanted) == 1:
            y = ops.expand_dims(y, 1) if wanted == (1,) else ops.one_hot(ops.cast(y, "int32"), wanted[0])
        return y

    # Saving

    def get_config(self):
        """The configuration that `from_config` builds an equal, untrained model from."""
        return {
            **super().get_config(),
            "auxiliary": keras.saving.serialize_keras_object(self.auxiliary),
            **{name: getattr(self, name) for name in ("penalty", "phases", "classifier_mode")},
        }

    def get_compile_config(self):
        """What `compile` was called with, serialized."""
        config = super().get_compile_config()
        if config:
            config["auxiliary_optimizer"] = keras.saving.serialize_keras_object(self.auxiliary_optimizer)
        return config


class _AuxiliaryTraining(Steps, keras.Model):
    """The first phase as a Keras model, so that Keras' own `fit` reads and batches the data of both phases alike."""

    simplifying = True

    def __init__(self, friendly):
        super().__init__()
        self._aside = types.SimpleNamespace(friendly=friendly)
        self._auxiliary_loss = keras.metrics.Mean("auxiliary_loss")
        self.built = True
        self.compile(
            optimizer="sgd",  # never used, but Keras wants one
            run_eagerly=friendly.run_eagerly,
            steps_per_execution=friendly.steps_per_execution,
            jit_compile=friendly.jit_compile,
        )

    def _altered_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        eq_4 = self._aside.friendly._auxiliary_step(x, y, sample_weight)
        self._auxiliary_loss.update_state(eq_4 * self._replicas, ops.shape(x)[0])
        return self.get_metrics_result()

    def _carried(self):
        friendly = self._aside.friendly
        return [*friendly.trainable_variables, *friendly.non_trainable_variables, *friendly.metrics_variables]


class _Logged(keras.metrics.Metric):
    """A number that the logs show as it is."""

    def __init__(self, name):
        super().__init__(name=name, dtype="float32")
        self.variable = keras.Variable(0.0, trainable=False, dtype="float32", name=name)

    def result(self):
        # A copy: JAX takes the memory of a variable's value back in the next step.
        return ops.copy(ops.convert_to_tensor(self.variable))

    def reset_state(self):
        pass


class _RelativePerturbation(keras.metrics.Metric):
    """The mean square of an element of delta, divided by the variance of the elements of x."""

    def __init__(self, name):
        super().__init__(name=name, dtype="float32")
        self.sums = [
            self.add_variable((), "zeros", name=of) for of in ("squared_change", "elements", "squares", "number")
        ]

    def update_state(self, altered, x):
        x = ops.cast(x, "float32")
        delta = ops.cast(altered, "float32") - x
        values = (ops.sum(ops.square(delta)), ops.sum(x), ops.sum(ops.square(x)), math.prod(ops.shape(x)))
        for total, value in zip(self.sums, values, strict=True):
            total.assign(total + ops.cast(value, "float32"))

    def result(self):
        change, elements, squares, number = (ops.convert_to_tensor(total) for total in self.sums)
        number = ops.maximum(number, 1.0)
        variance = squares / number - ops.square(elements / number)
        return ops.where(change > 0, change / number / ops.maximum(variance, 1e-12), 0.0)


class _FirstPhase(keras.callbacks.Callback):
    """Updates theta on a whole pass over the data before the classifier's pass begins (Algorithm 1, lines 5 to 9)."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def on_epoch_begin(self, epoch, logs=None):
        if self.model.simplifying and self.model.updates_auxiliary:
            history = self.model._first_phase().fit(**self.data, verbose=0).history
            self.model._auxiliary_loss.update_state(history["auxiliary_loss"][-1])


class _Comparison(keras.callbacks.Callback):
    """Sees whether the altered data are easier for the classifier as it is when an epoch's second phase begins."""

    def __init__(self, examples):
        super().__init__()
        self.examples = examples

    def on_epoch_begin(self, epoch, logs=None):
        wanted = self.model.simplifying and self.examples is not None
        self.model._loss_reduction.variable.assign(self.model._reduction(*self.examples) if wanted else 0.0)


def _some_examples(x, y):
    """A few (x, y) out of what `fit` is given; None where they cannot be had without taking them away."""
    if is_dataset(x):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(next(iter(x)))
    elif isinstance(x, keras.utils.PyDataset):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x[0])
    elif not hasattr(x, "shape"):
        return None
    return keras.tree.map_structure(lambda array: array[:COMPARED], (x, y))


def _split_off(data, fraction):
    """Cuts the last fraction off the arrays of `fit`, as Keras does: (data without it, validation data)."""
    at = math.floor(len(data["x"]) * (1 - fraction))
    if not 0 < at < len(data["x"]):
        raise ValueError(
            f"validation_split={fraction!r} leaves {at} of {len(data['x'])} examples to train on; both parts need some"
        )
    names = [name for name in ("x", "y", "sample_weight") if data[name] is not None]
    return {**data, **{n: data[n][:at] for n in names}}, tuple(data[n][at:] for n in names)
