"""Neural Friendly Training: Algorithm 1, Eq. 4 and Eq. 5 of Marullo et al. (2022).

    for gamma = 1, ..., gamma_max:                              Keras' `fit`
        eta <- Eq. 5                                            DevelopmentalPlan.eta
        if the data are simplified in gamma:                    DevelopmentalPlan.active
            for each minibatch (x, y) of a sample:              FirstPhase: `fit` of AuxiliaryTraining
                theta <- theta - beta d(Eq. 4) / d theta        FriendlyModel.update_auxiliary
        for each minibatch (x, y):                              Keras' `fit`
            x~ <- s(x, theta), or x if not simplified           FriendlyModel.simplify
            w <- w - alpha d loss(f(x~, w), y) / d w            FriendlyModel.train_step
        if gamma = gamma_max_simp: drop s                       FriendlyModel.drop_auxiliary

alpha and beta stand for the two optimizers.
"""

import math
import random
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from nft_keras import backend, costs
from nft_keras._checks import number, one_of, whole_number
from nft_keras._fit_data import is_dataset, is_in_graph
from nft_keras.auxiliaries import altered_by
from nft_keras.backend import keras_internals
from nft_keras.base import Plan, as_list, squared_norms, warn
from nft_keras.callbacks import Comparison, Picture, some_examples
from nft_keras.first_phase import AuxiliaryTraining, FirstPhase
from nft_keras.laws import progress, quadratic
from nft_keras.metrics import Number, RelativePerturbation
from nft_keras.places import any_tensor, number_of_examples
from nft_keras.two_networks import TwoNetworks
from nft_keras.verdict import drop_warnings

PENALTIES = ("sum", "mean")
PHASES = ("epoch", "batch", "joint")
CLASSIFIER_MODES = ("inference", "training")


@keras.saving.register_keras_serializable("nft_keras")
class FriendlyModel(TwoNetworks):
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
        auxiliary: `keras.Model` that maps x, or what `alters` names of it, to the same shape (several: a list to a
            list), or, with one input more, [x, y] (label-conditioned; y comes as class indices, or one-hot if that is
            its last input's shape). A subclassed one says `label_conditioned = True`. None: classic training, or
            already dropped; nothing is logged of altered data.
        penalty: "sum", Eq. 4: the squared norm of delta, averaged over the batch; or "mean": averaged over the
            elements of x too, so that eta does not depend on the input's size. It is never sample-weighted.
        phases: "epoch", Algorithm 1: a whole pass over the data for theta, then one for w; `fit` then reads the data
            twice an epoch, from the start each time. "batch": on every minibatch theta, then w. "joint": on every
            minibatch both, from one shared forward pass with both networks in training mode.
        classifier_mode: how the classifier is held while theta is updated. "inference": all of it is fixed, no
            batch-norm statistic moves and no dropout mask is at work. "training", as in the authors' code: batch norm
            by the minibatch, with moving statistics that move, and dropout; the weights do not move. phases="joint" has
            it in training mode either way.
        auxiliary_fraction: float in (0, 1], with phases="epoch" the share of the minibatches that theta is updated on
            in an epoch of `fit`, at least one: in each epoch another sample, see `sample`. 1: all of them.
        alters: where data are altered. None: x is a single tensor, and altered itself. A str, or several: names of
            inputs, of which x has more (keys of a dict, or, in the order of the classifier's inputs, a tuple); the
            others pass. Or a layer whose output is altered, as an `Embedding` for x of token numbers (it, its name, or
            the name of the classifier's attribute that it is): x~ is made there, and gradients of the weights before it
            pass by the change as if it were a constant.
        seed: int >= 0, of the samples that auxiliary_fraction takes. None: drawn where one is needed, from the random
            numbers that `keras.utils.set_random_seed` seeds, as Keras' layers do; it is saved with the model.

    Attributes:
        eta: scalar float32 `keras.Variable`, the present weight of the penalty.
        simplifying: bool, whether a training step simplifies the data now.
        updates_auxiliary: bool, whether theta is updated while simplifying (True), or the auxiliary network only
            transforms the data.

    Raises:
        TypeError: if a network is not a `keras.Model`.
        ValueError: for an unknown penalty, phases, classifier_mode or name in alters, an auxiliary_fraction outside
            (0, 1] or below 1 with other phases than "epoch", for whole numbers that shall be altered, for networks that
            train a variable together, and from `fit` without a `DevelopmentalPlan` among the callbacks, for data that
            can be read only once with phases="epoch", or whose minibatches cannot be counted with auxiliary_fraction.

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

    arguments = ("penalty", "phases", "classifier_mode", "auxiliary_fraction", "seed")
    training_logs = ("auxiliary_loss", "perturbation", "relative_perturbation", "loss_reduction", "eta")

    def __init__(
        self,
        classifier: keras.Model,
        auxiliary: keras.Model | None,
        penalty: str = "sum",
        phases: str = "epoch",
        classifier_mode: str = "inference",
        auxiliary_fraction: float = 1.0,
        alters: str | list[str] | keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, auxiliary, alters=alters, **kwargs)
        self.penalty = one_of("penalty", penalty, PENALTIES)
        self.phases = one_of("phases", phases, PHASES)
        self.classifier_mode = one_of("classifier_mode", classifier_mode, CLASSIFIER_MODES)
        share = number("auxiliary_fraction", auxiliary_fraction, "a number > 0 and <= 1", lambda n: 0 < n <= 1, float)
        if share < 1 and phases != "epoch":
            raise ValueError(
                f"auxiliary_fraction must be 1 with phases={phases!r}, which updates both networks on each minibatch; "
                f'got {share} (phases="epoch" takes it)'
            )
        if seed is not None:
            seed = whole_number("seed", seed, least=0)
        self.auxiliary_fraction = share
        self.seed = random.randint(0, 2**31 - 1) if share < 1 and seed is None else seed
        vars(self._aside).update(updates_auxiliary=True, eta=Number("eta"))
        if auxiliary is not None:  # else there is nothing to log
            self._auxiliary_loss = keras.metrics.Mean("auxiliary_loss")
            self._perturbation = keras.metrics.Mean("perturbation")
            self._relative_perturbation = RelativePerturbation("relative_perturbation")
            self._loss_reduction = Number("loss_reduction")
            self._eta = self._aside.eta

    @property
    def eta(self) -> keras.Variable:
        """Weight of the penalty on the perturbation, a scalar `keras.Variable`."""
        return self._aside.eta.variable

    @property
    def updates_auxiliary(self) -> bool:
        """Whether theta is updated while the data are simplified."""
        return self._aside.updates_auxiliary

    @updates_auxiliary.setter
    def updates_auxiliary(self, value: bool) -> None:
        self._switch_step(updates_auxiliary=bool(value))

    def _kind_of_step(self):
        alone = self.phases != "epoch" and not self.updates_auxiliary
        return self.simplifying and ("w alone" if alone else "as phases say")

    def simplify(self, x: Any, y: Any = None, training: bool = False) -> Any:
        """Simplified data x~ = s(x, theta) (Eq. 3); x itself once the auxiliary network was dropped.

        Args:
            x: tensor or array (batch, ...), or several, as the classifier takes them.
            y: labels of the batch; needed if the auxiliary network is label-conditioned.
            training: bool, the mode of the auxiliary network (batch norm, dropout).

        Returns:
            A tensor of the shape of x, and of its dtype if that is a floating-point one, else float32; with `alters`
            what it names is altered and returned: a tensor, or for several names a list.

        Raises:
            ValueError: if labels are needed and missing, or the auxiliary network's output has not the shape of x.
        """
        return self._simplify(self.place.original(self, x), y, training)

    def _simplify(self, x, y, training=False):
        return x if self.auxiliary is None else altered_by(self.auxiliary, x, y, training)

    def _cost(self):
        if self.auxiliary is None:
            return None
        try:
            f, s = (costs.forward(network) for network in self.networks())
            place = self.place.cost(self.classifier)
            simplified = round(costs.simplified_step(self.phases, f, s, *place, fraction=self.auxiliary_fraction))
        except ValueError as error:
            return f"What an epoch on simplified data costs cannot be counted: {error}"
        classic = costs.classic_step(f)
        return classic and (
            f"An epoch on simplified data takes {simplified / classic:.1f} times the operations of a classic one: "
            f"{simplified:,} to {classic:,} per example."
        )

    # Algorithm 1

    @backend.step
    def train_step(self, data: Any) -> dict:
        """One minibatch (x, y[, sample_weight]) of the classifier's pass; returns the logs."""
        if not self.simplifying:
            return backend.keras_step(self, data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.phases == "joint" and self.updates_auxiliary:
            return self._update_both(x, y, sample_weight)
        if self.phases == "batch" and self.updates_auxiliary:
            eq_4 = self.update_auxiliary(x, y, sample_weight)
            self._auxiliary_loss.update_state(eq_4 * backend.num_replicas(), number_of_examples(x))
        # x~ is computed before the gradient is taken, hence cut off from it.
        original, w = self.place.original(self, x), self.trainable_variables
        simplified = self._simplify(original, y)

        def classification_loss():
            y_pred = self.classify(x, original, simplified, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            return self.optimizer.scale_loss(loss), (y_pred, loss)

        (y_pred, loss), of_w = backend.gradients(classification_loss, w)
        backend.apply(self.optimizer, of_w, w)
        return self._logs(x, original, simplified, y, y_pred, sample_weight, loss)

    def update_auxiliary(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
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

    def eq_4(
        self, x: Any, y: Any, sample_weight: Any = None, training: bool = False, logged: bool = False
    ) -> tuple[Any, tuple]:
        """Eq. 4: the classification loss of f(s(x)) plus eta times the squared norm of the change.

        Args:
            x, y, sample_weight: tensors, a minibatch as `fit` has it.
            training: bool, the mode of the classifier; the auxiliary network is in training mode.
            logged: bool, whether the losses of several outputs count in the logs: this is the pass that updates w.

        Returns:
            The value, a scalar tensor (of this replica; divided by their number), and (x, x~, predictions,
            classification loss), where x is what is altered.
        """
        original = self.place.original(self, x)
        simplified = self._simplify(original, y, training=True)
        y_pred = self.classify(x, original, simplified, training=training)
        compute_loss = self.compute_loss if logged else self.unlogged_loss
        loss = compute_loss(x, y, y_pred, sample_weight, training=True)
        penalty = ops.mean(squared_norms(simplified, original))
        if self.penalty == "mean":
            elements = sum(math.prod(ops.shape(each)[1:]) for each in keras.tree.flatten(original))
            penalty = penalty / ops.cast(elements, penalty.dtype)
        # Gradients are summed over replicas, and Keras' losses come divided by their number.
        terms = [ops.cast(ops.sum(each), loss.dtype) for each in (self.eta * penalty, *self.auxiliary.losses)]
        on_theta = backend.weighted(sum(terms) / backend.num_replicas(), any_tensor(x))
        return loss + on_theta, (original, simplified, y_pred, loss)

    def _update_both(self, x, y, sample_weight):
        """theta and w from one forward pass: the penalty does not depend on w, so one gradient of Eq. 4 serves both."""
        w, theta = self.trainable_variables, self.auxiliary.trainable_variables

        def loss():
            eq_4, results = self.eq_4(x, y, sample_weight, training=True, logged=True)
            return self.optimizer.scale_loss(eq_4), (eq_4, *results)

        (eq_4, original, simplified, y_pred, loss), gradients = backend.gradients(loss, [*w, *theta])
        of_theta = gradients[len(w) :]
        rescale = self.auxiliary_optimizer.scale_loss(1.0) / self.optimizer.scale_loss(1.0)
        if not isinstance(rescale, float) or rescale != 1:
            # What is gathered in a table has a gradient of a few rows, which is no tensor.
            of_theta = [None if each is None else ops.convert_to_tensor(each) * rescale for each in of_theta]
        backend.apply(self.auxiliary_optimizer, of_theta, theta)
        backend.apply(self.optimizer, gradients[: len(w)], w)
        self._auxiliary_loss.update_state(eq_4 * backend.num_replicas(), number_of_examples(x))
        return self._logs(x, original, simplified, y, y_pred, sample_weight, loss)

    def _logs(self, x, original, simplified, y, y_pred, sample_weight, loss):
        """The logs after a minibatch, as Keras' own step makes them, and those of the perturbation."""
        self._perturbation.update_state(squared_norms(simplified, original))
        self._relative_perturbation.update_state(simplified, original)
        keras_internals.loss_tracker(self).update_state(loss * backend.num_replicas(), number_of_examples(x))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _prepare_fit(self, given):
        """Makes the first phase a part of every epoch, and refuses what cannot be trained on.

        With phases="epoch" every simplified epoch reads x a first time for the auxiliary network, before the
        classifier's own pass, by a `fit` of its own; with `steps_per_epoch` each of the two passes takes that many
        minibatches. The auxiliary network's begin at the start of x in every epoch, the classifier's where its last
        pass ended, so that x should come shuffled. Hooks of a `PyDataset` are called in both. With auxiliary_fraction
        below 1 the first pass leaves minibatches out, which are read all the same.
        """
        if self.auxiliary is None:
            for metric in self.metrics:
                if metric.name == "loss_reduction":  # of a plan that is over
                    metric.variable.assign(0.0)
            return super()._prepare_fit(given)
        self._check_fit(given)
        if self.phases == "epoch" and given["validation_split"] and given["validation_data"] is None:
            keras_internals.split_for_validation(given)
        examples = some_examples(given, self.classifier)
        if examples:
            self._build_networks(*examples)
        super()._prepare_fit(given)
        first_phase = []
        if self.phases == "epoch":
            training, log = self._auxiliary_training(), self._auxiliary_loss
            first_phase = [FirstPhase(training, given, self.auxiliary_fraction, self.seed, log)]
        # Pictures before the plan, which drops what they show; after it, since it says what the epoch is, the first
        # phase and then, before w is updated, the comparison.
        callbacks = sorted(as_list(given["callbacks"]), key=lambda callback: not isinstance(callback, Picture))
        given["callbacks"] = [*callbacks, *first_phase, Comparison(examples, self._loss_reduction)]

    def _look_at(self, original):
        self._relative_perturbation.around(original)

    def _check_fit(self, given):
        callbacks = as_list(given["callbacks"])
        if not any(isinstance(callback, DevelopmentalPlan) for callback in callbacks):
            raise ValueError(
                "fit needs an nft_keras.DevelopmentalPlan among its callbacks as long as there is an auxiliary "
                "network; to train the classifier alone call drop_auxiliary() first"
            )
        if self.phases == "epoch" and hasattr(given["x"], "__next__"):
            raise ValueError(
                f'phases="epoch" reads the data twice an epoch, which a {type(given["x"]).__name__} cannot do: '
                'use phases="batch", or a tf.data.Dataset, a PyDataset or arrays'
            )
        distributed = hasattr(given["x"], "element_spec") and not is_dataset(given["x"])
        if self.auxiliary_fraction < 1 and (distributed or is_in_graph(given["x"])):
            raise ValueError(
                f"auxiliary_fraction={self.auxiliary_fraction} leaves minibatches out, which a "
                f"{type(given['x']).__name__} cannot do: give fit a tf.data.Dataset, which it distributes itself"
            )
        for callback in callbacks:
            schedules = isinstance(callback, (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau))
            if schedules and not getattr(callback, "classifier_alone", False):
                warn(
                    "%s changes the learning rate of the classifier's optimizer alone; give auxiliary_optimizer a "
                    "schedule of keras.optimizers.schedules if it shall change too",
                    type(callback).__name__,
                )

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Trains on one minibatch: with any `phases`, theta first (while simplifying), then w.

        auxiliary_fraction is of an epoch's minibatches, and has no say here.
        """
        batch = dict(x=x, y=y, sample_weight=sample_weight, class_weight=class_weight)
        if self.auxiliary is not None and self.compiled:
            with backend.scope(self):
                if not all(network.built for network in self.networks()):
                    self._build_networks(x, y)
                self._build_optimizers()
                keras_internals.build_metrics(self, (x, y, sample_weight))
        if not self.compiled or not self.simplifying or self.phases != "epoch" or not self.updates_auxiliary:
            return super().train_on_batch(**batch, return_dict=return_dict)
        of_theta = self._auxiliary_training().train_on_batch(**batch, return_dict=True)
        logs = {**super().train_on_batch(**batch, return_dict=True), "auxiliary_loss": of_theta["auxiliary_loss"]}
        return logs if return_dict else keras_internals.as_keras_returns(self, logs)

    def _auxiliary_training(self):
        if self._aside.first_phase is None:
            with backend.scope(self):
                self._aside.first_phase = AuxiliaryTraining(self)
        return self._aside.first_phase


def eq_5(gamma: int, eta_max: float, simplification_epochs: int, law: Callable[[float], float] = quadratic) -> float:
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

    When training begins, warnings are logged of a plan longer than the training or without a simplified epoch, and of
    callbacks that would stop it or lower the learning rate by what they watch before the drop. At the drop they are of
    two things: that more than a tenth of the variance of the data is still altered, so that the classifier now meets
    other data; and that the altered data were harder than the real ones in most simplified epochs.

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

    def __init__(
        self,
        eta_max: float,
        simplification_epochs: int,
        law: str | Callable[[float], float] = "quadratic",
        first_simplified_epoch: int = 2,
    ) -> None:
        super().__init__(simplification_epochs, law)
        self.eta_max = number("eta_max", eta_max, "a finite number >= 0", lambda n: 0 <= n < math.inf, float)
        self.first_simplified_epoch = whole_number("first_simplified_epoch", first_simplified_epoch, least=1)
        self._reductions = {}  # {gamma: loss_reduction} of the simplified epochs

    def eta(self, gamma: int) -> float:
        """eta in epoch gamma (Eq. 5).

        Args:
            gamma: int >= 1, the epoch.

        Returns:
            float in [0, eta_max].
        """
        return eq_5(gamma, self.eta_max, self.simplification_epochs, self.law)

    def active(self, gamma: int) -> bool:
        """Whether the data are simplified in epoch gamma (Algorithm 1, line 3); in a plan of one epoch none are."""
        return self.simplification_epochs > 1 and self.first_simplified_epoch <= gamma <= self.simplification_epochs

    def alters(self) -> bool:
        """Whether data are simplified in some epoch: where the plan has one, and there is an auxiliary network."""
        return self.active(self.simplification_epochs) and self.model.auxiliary is not None

    def updates_auxiliary(self, gamma: int) -> bool:
        """Whether theta is updated in epoch gamma: in the simplified ones but epoch 1."""
        return gamma > 1 and self.active(gamma)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Refuses a model that cannot follow the plan, and warns of a plan that does not come to its end."""
        super().on_train_begin(logs)
        last = self._last()
        if not last:
            return
        if self.simplification_epochs > 1 and not self.active(last):
            ends = "simplification_epochs" if last == self.simplification_epochs else "epochs"
            first = self.first_simplified_epoch
            warn("no data are altered: first_simplified_epoch=%d comes after %s=%d", first, ends, last)
        elif self.simplification_epochs == 1 and self.model.auxiliary is not None:
            warn("no data are altered: simplification_epochs=1 leaves no simplified epoch, 2 is the least")
        elif last < self.simplification_epochs and self.model.auxiliary is not None:
            # No warning of Python's: who trains in parts, with `initial_epoch`, means it.
            warn(
                "the plan's simplification_epochs=%d are more than epochs=%d: training ends on altered data, before "
                "the auxiliary network is dropped",
                self.simplification_epochs,
                last,
            )

    def _last(self):
        """The last epoch of the plan that this training comes to."""
        return min(self.simplification_epochs, (self.params or {}).get("epochs", self.simplification_epochs))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets eta and says whether the epoch's data are simplified."""
        gamma = epoch + 1
        # Training begins anew with epoch 1, or goes on, in another call of `fit`, with the one after the last.
        self._reductions = {earlier: value for earlier, value in self._reductions.items() if earlier < gamma}
        if gamma > self.simplification_epochs:
            self.model.drop_auxiliary()
        elif self.model.auxiliary is None and any(map(self.active, range(gamma, self._last() + 1))):
            raise ValueError(
                f"the plan simplifies the data up to epoch {self.simplification_epochs}, and this is epoch {gamma}, "
                "but the auxiliary network was dropped already: pass initial_epoch to go on where training stopped, "
                "or build a new FriendlyModel"
            )
        self.model.eta.assign(self.eta(gamma))
        if self.active(gamma):
            self.model.updates_auxiliary = self.updates_auxiliary(gamma)
        self.model.simplifying = self.active(gamma)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Drops the auxiliary network after epoch simplification_epochs, and warns of what then is to be known."""
        gamma, logs = epoch + 1, logs or {}
        if self.active(gamma) and "loss_reduction" in logs:
            self._reductions[gamma] = float(logs["loss_reduction"])
        if gamma == self.simplification_epochs and self.active(gamma):
            whole = len(self._reductions) == sum(map(self.active, range(1, gamma + 1)))  # else some were not seen here
            seen = self._reductions.values() if whole else ()
            for line in drop_warnings(float(logs.get("relative_perturbation", 0.0)), seen):
                warn(line)
        if gamma >= self.simplification_epochs:
            self.model.drop_auxiliary()
