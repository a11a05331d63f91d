"""Neural Friendly Training: Algorithm 1, Eq. 4 and Eq. 5 of Marullo et al. (2022).

    for gamma = 1, ..., gamma_max:                              Keras' `fit`
        eta <- Eq. 5                                            DevelopmentalPlan.eta
        if the data are simplified in gamma:                    DevelopmentalPlan.active
            for each minibatch (x, y):                          FirstPhase
                theta <- theta - beta d(Eq. 4) / d theta        FriendlyModel.update_auxiliary
        for each minibatch (x, y):                              Keras' `fit`
            x~ <- s(x, theta), or x if not simplified           FriendlyModel.simplify
            w <- w - alpha d loss(f(x~, w), y) / d w            FriendlyModel.train_step
        if gamma = gamma_max_simp: drop s                       FriendlyModel.drop_auxiliary

alpha and beta stand for the two optimizers.
"""

import math

import keras
from keras import ops

from nft_keras import backend
from nft_keras._checks import number, one_of
from nft_keras.backend import keras_internals
from nft_keras.base import (
    Plan,
    SimplifyingModel,
    as_floats,
    as_list,
    is_dataset,
    progress,
    quadratic,
    squared_norms,
    warn,
)
from nft_keras.callbacks import Comparison
from nft_keras.metrics import Number, RelativePerturbation
from nft_keras.verdict import at_the_drop

PENALTIES = ("sum", "mean")
PHASES = ("epoch", "batch", "joint")
CLASSIFIER_MODES = ("inference", "training")


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
        self.penalty = one_of("penalty", penalty, PENALTIES)
        self.phases = one_of("phases", phases, PHASES)
        self.classifier_mode = one_of("classifier_mode", classifier_mode, CLASSIFIER_MODES)
        self._auxiliary_loss = keras.metrics.Mean("auxiliary_loss")
        self._perturbation = keras.metrics.Mean("perturbation")
        self._relative_perturbation = RelativePerturbation("relative_perturbation")
        self._loss_reduction = Number("loss_reduction")
        self._eta = Number("eta")
        vars(self._aside).update(auxiliary=auxiliary, updates_auxiliary=True, first_phase=None)

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
        return self._aside.updates_auxiliary

    @updates_auxiliary.setter
    def updates_auxiliary(self, value):
        self._switch_step(updates_auxiliary=bool(value))

    def _kind_of_step(self):
        alone = self.phases != "epoch" and not self.updates_auxiliary
        return self.simplifying and ("w alone" if alone else "as phases say")

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

    # Algorithm 1

    @backend.step
    def train_step(self, data):
        """One minibatch (x, y[, sample_weight]) of the classifier's pass; returns the logs."""
        if not self.simplifying:
            return backend.keras_step(self, data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.phases == "joint" and self.updates_auxiliary:
            return self._update_both(x, y, sample_weight)
        if self.phases == "batch" and self.updates_auxiliary:
            eq_4 = self.update_auxiliary(x, y, sample_weight)
            self._auxiliary_loss.update_state(eq_4 * backend.num_replicas(), ops.shape(x)[0])
        # x~ is computed before the gradient is taken, hence cut off from it.
        simplified, w = self.simplify(x, y), self.trainable_variables

        def classification_loss():
            y_pred = self(simplified, training=True)
            loss = self.compute_loss(simplified, y, y_pred, sample_weight, training=True)
            return self.optimizer.scale_loss(loss), (y_pred, loss)

        (y_pred, loss), of_w = backend.gradients(classification_loss, w)
        backend.apply(self.optimizer, of_w, w)
        return self._logs(x, simplified, y, y_pred, sample_weight, loss)

    def update_auxiliary(self, x, y, sample_weight=None):
        """theta <- theta - beta times the gradient of Eq. 4, with w fixed.

        Args:
            x, y, sample_weight: tensors, a minibatch as `fit` has it.

        Returns:
            Eq. 4 before the update, a scalar tensor (of this replica; divided by their number).
        """
        theta = self.auxiliary.trainable_variables

        def loss():
            value, _ = self.eq_4(x, y, sample_weight, training=self.classifier_mode == "training")
            return self.auxiliary_optimizer.scale_loss(value), value

        eq_4, of_theta = backend.gradients(loss, theta)
        backend.apply(self.auxiliary_optimizer, of_theta, theta)
        return eq_4

    def eq_4(self, x, y, sample_weight=None, training=False):
        """Eq. 4: the classification loss of f(s(x)) plus eta times the squared norm of the change.

        Args:
            x, y, sample_weight: tensors, a minibatch as `fit` has it.
            training: bool, the mode of the classifier; the auxiliary network is in training mode.

        Returns:
            The value, a scalar tensor (of this replica; divided by their number), and (x~, predictions, classification
            loss).
        """
        simplified = self.simplify(x, y, training=True)
        y_pred = self(simplified, training=training)
        loss = self.compute_loss(simplified, y, y_pred, sample_weight, training=True)
        penalty = ops.mean(squared_norms(simplified, x))
        if self.penalty == "mean":
            penalty = penalty / ops.cast(math.prod(ops.shape(x)[1:]), "float32")
        # Gradients are summed over replicas, and Keras' losses come divided by their number.
        on_theta = (self.eta * penalty + sum(self.auxiliary.losses)) / backend.num_replicas()
        return loss + backend.weighted(on_theta, x), (simplified, y_pred, loss)

    def _update_both(self, x, y, sample_weight):
        """theta and w from one forward pass: the penalty does not depend on w, so one gradient of Eq. 4 serves both."""
        w, theta = self.trainable_variables, self.auxiliary.trainable_variables

        def loss():
            eq_4, results = self.eq_4(x, y, sample_weight, training=True)
            return self.optimizer.scale_loss(eq_4), (eq_4, *results)

        (eq_4, simplified, y_pred, loss), gradients = backend.gradients(loss, [*w, *theta])
        rescale = self.auxiliary_optimizer.scale_loss(1.0) / self.optimizer.scale_loss(1.0)
        backend.apply(self.auxiliary_optimizer, [g * rescale for g in gradients[len(w) :]], theta)
        backend.apply(self.optimizer, gradients[: len(w)], w)
        self._auxiliary_loss.update_state(eq_4 * backend.num_replicas(), ops.shape(x)[0])
        return self._logs(x, simplified, y, y_pred, sample_weight, loss)

    def _logs(self, x, simplified, y, y_pred, sample_weight, loss):
        """The logs after a minibatch, as Keras' own step makes them, and those of the perturbation."""
        self._perturbation.update_state(squared_norms(simplified, x))
        self._relative_perturbation.update_state(simplified, x)
        keras_internals.loss_tracker(self).update_state(loss * backend.num_replicas(), ops.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def networks(self):
        """The classifier, and the auxiliary network until it is dropped."""
        return [self.classifier] if self.auxiliary is None else [self.classifier, self.auxiliary]

    def drop_auxiliary(self):
        """Drops the auxiliary network and its optimizer: from now on training is classic."""
        super().drop()
        self._aside.auxiliary = self._aside.first_phase = self.auxiliary_optimizer = None
        keras_internals.renew_functions(self)

    drop = drop_auxiliary

    def carried_variables(self):
        """Variables that a training step needs beside those that Keras knows of."""
        if self.auxiliary is None or getattr(self, "auxiliary_optimizer", None) is None:
            return []
        return [*self.auxiliary.variables, *self.auxiliary_optimizer.variables]

    # Keras

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
            if not any(isinstance(callback, DevelopmentalPlan) for callback in as_list(callbacks)):
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
                callbacks = [*as_list(callbacks), FirstPhase(data)]  # after the plan, which says what the epoch is
            # After the first phase, before w is updated.
            callbacks = [*as_list(callbacks), Comparison(data["x"], data["y"])]
        return keras.Model.fit(
            self,
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
        of_theta = self._auxiliary_training().train_on_batch(**batch, return_dict=True)
        logs = {**super().train_on_batch(**batch, return_dict=True), "auxiliary_loss": of_theta["auxiliary_loss"]}
        return logs if return_dict else keras_internals.as_keras_returns(self, logs)

    def _auxiliary_training(self):
        if self._aside.first_phase is None:
            with backend.scope(self):
                self._aside.first_phase = AuxiliaryTraining(self)
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


class AuxiliaryTraining(keras_internals.Model):
    """The first phase as a Keras model, so that Keras' own `fit` reads and batches the data of both phases alike."""

    def __init__(self, friendly):
        super().__init__()
        self._aside = keras_internals.Untracked(friendly=friendly)
        self._auxiliary_loss = keras.metrics.Mean("auxiliary_loss")
        self.built = True
        self.compile(
            optimizer="sgd",  # never used, but Keras wants one
            run_eagerly=friendly.run_eagerly,
            steps_per_execution=friendly.steps_per_execution,
            jit_compile=friendly.jit_compile,
        )

    @backend.step
    def train_step(self, data):
        """One minibatch (x, y[, sample_weight]) of the auxiliary network's pass; returns the logs."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        eq_4 = self._aside.friendly.update_auxiliary(x, y, sample_weight)
        self._auxiliary_loss.update_state(eq_4 * backend.num_replicas(), ops.shape(x)[0])
        return self.get_metrics_result()

    def carried_variables(self):
        """Variables that a training step needs beside those that Keras knows of."""
        friendly = self._aside.friendly
        return [*friendly.trainable_variables, *friendly.non_trainable_variables, *friendly.metrics_variables]


class FirstPhase(keras.callbacks.Callback):
    """Updates theta on a whole pass over the data before the classifier's pass begins (Algorithm 1, lines 5 to 9)."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def on_epoch_begin(self, epoch, logs=None):
        """Makes the pass by a `fit` of its own: how data are read and batched is then Keras' affair in both phases."""
        if self.model.simplifying and self.model.updates_auxiliary:
            history = self.model._auxiliary_training().fit(**self.data, verbose=0).history
            self.model._auxiliary_loss.update_state(history["auxiliary_loss"][-1])


def eq_5(gamma, eta_max, simplification_epochs, law=quadratic):
    """Eq. 5: eta in epoch gamma, eta_max (1 - [1 - (gamma - 1) / (gamma_max_simp - 1)]_+^2) with the quadratic law.

    Args:
        gamma: int >= 1, the epoch.
        eta_max: float >= 0.
        simplification_epochs: int >= 0, gamma_max_simp; with 0 or 1 the plan is over from the start.
        law: function from progress in [0, 1] to a fraction in [0, 1].

    Returns:
        float in [0, eta_max].
    """
    return eta_max * law(progress(gamma, simplification_epochs))


class DevelopmentalPlan(Plan):
    """Raises eta epoch by epoch and drops the auxiliary network when the data have come back (Eq. 5, Algorithm 1).

    For first_simplified_epoch <= gamma <= simplification_epochs the data are simplified, in all other epochs they are
    as they are; the auxiliary network is updated in every simplified epoch but epoch 1, and dropped after epoch
    simplification_epochs. Everything is a function of the epoch gamma alone, so that training may stop and go on with
    `initial_epoch`.

    At the drop two things are logged as warnings: that more than a tenth of the variance of the data is still altered,
    so that the classifier now meets other data; and that the altered data were harder than the real ones in most
    simplified epochs.

    Args:
        eta_max: float >= 0, the weight of the penalty on the perturbation at the end of the plan.
        simplification_epochs: int >= 0, gamma_max_simp; with 0 or 1 no data are ever altered.
        law: "quadratic" (Eq. 5), "linear", "cosine", or a function from progress in [0, 1] to a fraction of eta_max
            in [0, 1].
        first_simplified_epoch: int >= 1. 2, Algorithm 1 as printed (line 3): in epoch 1 the classifier sees the data as
            they are. 1, the authors' code: in epoch 1 it already sees s(x) of the still untrained auxiliary network, so
            that it meets real data for the first time after the drop.

    Raises:
        ValueError: for arguments outside these ranges, when training begins with a model that is no `FriendlyModel`,
            and when an epoch shall be simplified whose auxiliary network was dropped before.

    Example:

        plan = DevelopmentalPlan(eta_max=500.0, simplification_epochs=170)
        model.fit(x, y, epochs=200, callbacks=[plan])
    """

    model_class = FriendlyModel

    def __init__(self, eta_max, simplification_epochs, law="quadratic", first_simplified_epoch=2):
        super().__init__(simplification_epochs, law)
        self.eta_max = number("eta_max", eta_max, "a finite number >= 0", lambda n: 0 <= n < math.inf, float)
        self.first_simplified_epoch = number(
            "first_simplified_epoch", first_simplified_epoch, "a whole number >= 1", lambda n: n >= 1 and not n % 1, int
        )
        self._reductions = []  # loss_reduction of this training's simplified epochs

    def eta(self, gamma):
        """eta in epoch gamma (Eq. 5).

        Args:
            gamma: int >= 1, the epoch.

        Returns:
            float in [0, eta_max].
        """
        return eq_5(gamma, self.eta_max, self.simplification_epochs, self.law)

    def active(self, gamma):
        """Whether the data are simplified in epoch gamma (Algorithm 1, line 3); in a plan of one epoch none are."""
        return self.simplification_epochs > 1 and self.first_simplified_epoch <= gamma <= self.simplification_epochs

    def updates_auxiliary(self, gamma):
        """Whether theta is updated in epoch gamma: in the simplified ones but epoch 1."""
        return gamma > 1 and self.active(gamma)

    def on_train_begin(self, logs=None):
        """Refuses a model that cannot follow the plan, and warns of a plan that does not come to its end."""
        super().on_train_begin(logs)
        self._reductions = []
        epochs = (self.params or {}).get("epochs", self.simplification_epochs)
        if epochs < self.simplification_epochs and self.model.auxiliary is not None:
            # No warning of Python's: who trains in parts, with `initial_epoch`, means it.
            warn(
                "the plan's simplification_epochs=%d are more than epochs=%d: training ends on altered data, before "
                "the auxiliary network is dropped",
                self.simplification_epochs,
                epochs,
            )

    def on_epoch_begin(self, epoch, logs=None):
        """Sets eta and says whether the epoch's data are simplified."""
        gamma = epoch + 1
        if gamma > self.simplification_epochs:
            self.model.drop_auxiliary()
        elif self.active(gamma) and self.model.auxiliary is None:
            raise ValueError(
                f"epoch {gamma} of the plan simplifies the data (simplification_epochs={self.simplification_epochs}), "
                "but the auxiliary network was dropped already: pass initial_epoch to go on where training stopped, "
                "or build a new FriendlyModel"
            )
        self.model.eta.assign(self.eta(gamma))
        if self.active(gamma):
            self.model.updates_auxiliary = self.updates_auxiliary(gamma)
        self.model.simplifying = self.active(gamma)

    def on_epoch_end(self, epoch, logs=None):
        """Drops the auxiliary network after epoch simplification_epochs, and warns of what then is to be known."""
        gamma, logs = epoch + 1, logs or {}
        if self.active(gamma) and "loss_reduction" in logs:
            self._reductions.append(float(logs["loss_reduction"]))
        if gamma == self.simplification_epochs and self.active(gamma):
            for line in at_the_drop(float(logs.get("relative_perturbation", 0.0)), self._reductions):
                warn(line)
        if gamma >= self.simplification_epochs:
            self.model.drop_auxiliary()


def _split_off(data, fraction):
    """Cuts the last fraction off the arrays of `fit`, as Keras does: (data without it, validation data)."""
    at = math.floor(len(data["x"]) * (1 - fraction))
    if not 0 < at < len(data["x"]):
        raise ValueError(
            f"validation_split={fraction!r} leaves {at} of {len(data['x'])} examples to train on; both parts need some"
        )
    names = [name for name in ("x", "y", "sample_weight") if data[name] is not None]
    return {**data, **{n: data[n][:at] for n in names}}, tuple(data[n][at:] for n in names)
