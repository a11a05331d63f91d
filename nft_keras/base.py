"""What the methods share: a classifier trained on altered data in some epochs, and a plan that says in which."""

import inspect
import logging
from collections.abc import Callable
from types import GeneratorType
from typing import Any, Self

import keras
from keras import ops

from nft_keras import backend
from nft_keras._checks import one_of, whole_number
from nft_keras._fit_data import is_dataset, is_in_graph, text_among
from nft_keras.backend import keras_internals
from nft_keras.laws import LAWS, checked, progress
from nft_keras.places import LayerOutput, Place, any_tensor, layers_of, place


class Plan(keras.callbacks.Callback):
    """Follows a law from the first epoch to the last one with altered data: what the plans have in common.

    Epochs are counted from 1 as gamma, and everything is a function of gamma alone, so that training may stop and go
    on with `initial_epoch`.

    Args:
        simplification_epochs: int >= 0, gamma_max_simp; with 0 or 1 the plan is over from the start.
        law: "quadratic", "linear", "cosine", or a function from progress in [0, 1] to a fraction in [0, 1].

    Attributes:
        beside: the other callbacks of a `fit` that begins before the plan is over; some of them are warned of, see
            `too_early`.

    Raises:
        ValueError: for arguments outside these ranges, and when training begins with a model that cannot follow the
            plan.
    """

    model_class = None  # what a plan drives, a subclass of SimplifyingModel
    kept = None  # which training examples are seen, of a plan that leaves some out

    def __init__(self, simplification_epochs: int, law: str | Callable[[float], float] = "quadratic") -> None:
        super().__init__()
        self.beside = ()
        self.simplification_epochs = whole_number("simplification_epochs", simplification_epochs, least=0)
        if not callable(law) and not (isinstance(law, str) and law in LAWS):
            raise ValueError(f"law must be one of {', '.join(map(repr, LAWS))} or a function, got {law!r}")
        self.law = checked(law if callable(law) else LAWS[law])

    def fraction(self, gamma: int) -> float:
        """The law's value in epoch gamma, a float in [0, 1]; 1 after the plan."""
        return self.law(progress(gamma, self.simplification_epochs))

    def takes(self, minibatches: Any) -> None:
        """Says what minibatches `fit` will be given that are made of the examples that are `kept`."""

    def alters(self) -> bool:
        """Whether data are altered in some epoch."""
        return self.simplification_epochs > 1

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Refuses a model that cannot follow the plan, and warns of callbacks that watch too early."""
        if self.model_class and not isinstance(self.model, self.model_class):
            name, wanted, got = (kind.__name__ for kind in (type(self), self.model_class, type(self.model)))
            article = "an" if wanted[0] in "AEIOU" else "a"
            raise ValueError(f"{name} needs {article} {wanted}, got a {got}")
        for callback in self.beside if self.alters() else ():
            if why := too_early(callback, self.simplification_epochs):
                name, last = type(callback).__name__, self.simplification_epochs
                warn("%s watches while data are altered, up to epoch %d: %s", name, last, why)


COMPILE = inspect.signature(keras.Model.compile)
_FIT, _SUMMARY = map(inspect.signature, (keras.Model.fit, keras.Model.summary))
# Of a `keras.losses.Loss`: those that give a minibatch one loss.
_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum")
# What a classifier of its own class may have, and a model around it does not call.
_STEPS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
# Arguments of `fit` that an `InGraph` cannot follow, and Keras would pass over or misread, and what to do instead.
_NOT_IN_GRAPH = {"class_weight": "give their Part weights", "steps_per_epoch": "an epoch is a pass over all of them"}


class SimplifyingModel(keras_internals.Model):
    """A classifier trained on altered data in some epochs, and as `keras.Model` trains it in the others.

    To Keras the model *is* its classifier: `model(x)`, `predict`, `evaluate`, `weights`, `losses` and what callbacks
    store and restore are the classifier's, on unaltered data.

    A subclass gives `train_step(data)`, decorated with `nft_keras.backend.step` and written once for every back end
    with the functions of `nft_keras.backend`; where `simplifying` is False it is `backend.keras_step(self, data)`. It
    may name the class of the plan that `fit` needs.

    Args:
        classifier: `keras.Model`, maps x to predictions; the network to deploy.
        alters: where data are altered. None: x is a single tensor, and altered itself. A str, or several: names of
            inputs, of which x has more (keys of a dict, or, in the order of the classifier's inputs, a tuple); the
            others pass. Or a layer whose output is altered, as an `Embedding` for x of token numbers: it, its name, or
            the name of the classifier's attribute that it is.
        **kwargs: `keras.Model`'s.

    Attributes:
        simplifying: bool, whether a training step alters the data now.

    Raises:
        TypeError: if the classifier is not a `keras.Model`, or alters no name.
        ValueError: if the classifier has steps of its own (`train_step`, `compute_loss`, ...), which nobody would call,
            or not what alters names.
    """

    arguments = ()  # names of the constructor's arguments beside the networks, which are attributes too
    training_logs = ()  # names that only training logs
    plan_class = None

    def __init__(
        self, classifier: keras.Model, alters: str | list[str] | keras.layers.Layer | None = None, **kwargs: Any
    ) -> None:
        if not isinstance(classifier, keras.Model):
            raise TypeError(f"classifier must be a keras.Model, got {classifier!r}")
        # Keras would cast x to half precision for the wrapper before a classifier that wants it as it is; whether the
        # loss is scaled it asks the wrapper's policy.
        super().__init__(autocast=False, **{"dtype": classifier.dtype_policy, **kwargs})
        _refuse_own_steps(classifier)
        self.classifier = classifier
        where = place(alters, classifier)
        self.alters = getattr(alters, "name", list(alters) if isinstance(alters, tuple) else alters)
        self._aside = keras_internals.Untracked(
            simplifying=False, train_functions={}, optimized={}, names_checked=False, plan=None, place=where
        )
        self.built = classifier.built

    @property
    def plan(self) -> Plan | None:
        """The `Plan` that `fit` follows, or followed last; None before."""
        return self._aside.plan

    @property
    def output_names(self) -> list[str]:
        """Names of the classifier's outputs, by which `compile` may be given losses and metrics."""
        return self.classifier.output_names

    @property
    def place(self) -> Place:
        """Where data are altered, as `alters` says."""
        return self._aside.place

    def simplify(self, x: Any, y: Any = None) -> Any:
        """Altered data, at their `place`: here as they are; a method that alters them says how."""
        return self.place.original(self, x)

    def classify(self, x: Any, original: Any, altered: Any, training: bool = False) -> Any:
        """Predictions for x whose data are altered, f(x~, w).

        Args:
            x: a minibatch as `fit` has it.
            original: what is at `place`, as of `place.original`.
            altered: what is there instead, as of `simplify`.
            training: bool, the mode of the classifier.
        """
        with self.place.altered(x, original, altered) as seen:
            return self(seen, training=training)

    def networks(self) -> list[keras.Model]:
        """The networks that training has now, a list: the classifier, and what a method has beside it."""
        return [self.classifier]

    def drop(self) -> None:
        """Leaves the classifier alone: from now on training is classic, and what else helped it is freed."""
        self.simplifying = False
        self._aside.train_functions = {}

    @property
    def simplifying(self) -> bool:
        """Whether a training step alters the data now."""
        return self._aside.simplifying

    @simplifying.setter
    def simplifying(self, value: bool) -> None:
        self._switch_step(simplifying=bool(value))

    def _kind_of_step(self):
        """What the traced training step depends on beside its arguments, hashable."""
        return self.simplifying

    def _switch_step(self, **flags):
        """Sets flags that a training step depends on, and gives Keras the function of the step that they make."""
        before = self._kind_of_step()
        vars(self._aside).update(flags)
        if self._kind_of_step() != before:
            keras_internals.swap_train_function(self, self._aside.train_functions, before, self._kind_of_step())

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Prints the summary of each network, as `keras.Model.summary` does, and what altering data costs.

        Of a `layer_range` the classifier's layers are shown alone.
        """
        given = _SUMMARY.bind(self, *args, **kwargs).arguments
        given = {name: value for name, value in given.items() if name != "self"}
        for network in self.networks()[: 1 if given.get("layer_range") else None]:
            network.summary(**given)
        if cost := self._cost():
            (given.get("print_fn") or print)(cost)

    summary.__signature__ = _SUMMARY

    def _cost(self):
        """A line that says what altering data costs, or None."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Predictions of the classifier: f(x, w)."""
        return self.classifier(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The compiled loss, as `keras.Model.compute_loss`; its gradient is that of the mean over all replicas."""
        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        return backend.weighted(loss, any_tensor(x)) if training and x is not None else loss

    def unlogged_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = False) -> Any:
        """`compute_loss` beside a training step: it does not count in the logs of the outputs' losses."""
        # Keras multiplies weights by masks, on PyTorch in place.
        sample_weight = keras.tree.map_structure(lambda w: w if w is None else ops.copy(w), sample_weight)
        with keras_internals.without_logs_of_outputs(self):
            return self.compute_loss(x, y, y_pred, sample_weight, training=training)

    def test_step(self, *arguments: Any) -> Any:
        """Keras' own step of evaluation, of the classifier on unaltered data, without the logs of training."""
        result = super().test_step(*arguments)
        logs, *state = result if isinstance(result, tuple) else (result,)
        own = self._own_logs()
        logs = {name: value for name, value in logs.items() if name not in own}
        return (logs, *state) if state else logs

    def _own_logs(self):
        """Those of `training_logs` that there are now."""
        return {metric.name for metric in self.metrics}.intersection(self.training_logs)

    def get_metrics_result(self) -> dict:
        """The logs, as `keras.Model.get_metrics_result` has them.

        Raises:
            ValueError: if an output or a metric of `compile` is logged by the name of one of the model's own logs.
        """
        if not self._aside.names_checked:  # of the first minibatch: before, nobody knows what Keras calls its metrics
            results = ((metric.name, metric.result()) for metric in self.metrics)
            names = [name for one, result in results for name in (result if isinstance(result, dict) else [one])]
            if taken := [name for name in self._own_logs() if names.count(name) > 1]:
                raise ValueError(f"{taken[0]} is a log of the model's own: give the output or the metric another name")
            self._aside.names_checked = True
        return super().get_metrics_result()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configures training as `keras.Model.compile` does.

        Raises:
            ValueError: for a loss with `reduction=None` or "none", which leaves a minibatch a loss for each example.
        """
        for loss in keras.tree.flatten(COMPILE.bind(self, *args, **kwargs).arguments.get("loss")):
            if isinstance(loss, keras.losses.Loss):
                one_of(f"reduction of {type(loss).__name__}", loss.reduction, _REDUCTIONS)
        super().compile(*args, **kwargs)
        vars(self._aside).update(train_functions={}, optimized={}, names_checked=False)
        self._build_optimizers()

    def optimizers(self) -> list[tuple[keras.optimizers.Optimizer, keras.Model]]:
        """(optimizer, the network that it updates) for every network that is trained now, a list of pairs."""
        return [(self.optimizer, self.classifier)]

    def _build_optimizers(self):
        """Gives the optimizers their state, so that it can be restored; anew if what is trainable has changed since."""
        for optimizer, network in self.optimizers() if self.compiled else ():
            if network.built:
                variables, known = network.trainable_variables, self._aside.optimized.get(id(optimizer))
                copies = self.train_function is None and keras_internals.keeps_a_copy(optimizer)
                changed = copies or known != list(map(id, variables))
                with backend.scope(self):
                    if known is None and not optimizer.built:
                        optimizer.build(variables)
                    elif known is not None and changed and not keras_internals.steps_taken(optimizer):
                        keras_internals.build_anew(optimizer, variables)
                        self._aside.train_functions = {}
                        if self.train_function is not None:
                            self.make_train_function(force=True)
                self._aside.optimized[id(optimizer)] = list(map(id, variables))

    def renew_training(self) -> None:
        """Goes on with what is trainable now, as after layers were unfrozen: steps and optimizer state are made anew.

        What is not updated by the classifier's optimizer keeps its state.
        """
        self._aside.train_functions = {}
        keras_internals.begin_counting(self.optimizer)
        self._build_optimizers()
        if self.train_function is not None:
            self.make_train_function(force=True)

    def compile_from_config(self, config: dict) -> None:
        """Compiles with `get_compile_config`'s dictionary."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does, with the same arguments; the model's plan must be among the callbacks.

        Raises:
            ValueError: without one, without examples, or for labels that are text, those of validation_data too.
        """
        given = _FIT.bind(self, *args, **kwargs)
        given.apply_defaults()
        arguments = {name: value for name, value in given.arguments.items() if name != "self"}
        if any(getattr(each, "shape", (1,))[:1] == (0,) for each in keras.tree.flatten(arguments["x"])):
            raise ValueError("fit needs examples, x has none")
        _, validated, _ = keras.utils.unpack_x_y_sample_weight(arguments["validation_data"])
        for whose, y, how in (
            ("", arguments["y"], "names, y = numpy.unique(y, return_inverse=True) makes them"),
            ("validation_data's ", validated, "numpy.searchsorted(names, y) makes them, by the names of y"),
        ):
            if (text := text_among(y)) is not None:
                raise ValueError(f"{whose}y has text, as {text!r}, where fit takes numbers: {how}")
        self._prepare_fit(arguments)
        return super().fit(**arguments)

    fit.__signature__ = _FIT

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains on one minibatch, as `keras.Model.train_on_batch` does."""
        self._build_optimizers()
        return super().train_on_batch(*args, **kwargs)

    train_on_batch.__signature__ = inspect.signature(keras.Model.train_on_batch)

    def _prepare_fit(self, given):
        """Changes the arguments of `fit`, all of them by name, to what Keras shall have."""
        if not self.compiled:
            raise ValueError("compile the model before fit: it needs an optimizer and a loss")
        if self.plan_class and not any(isinstance(each, self.plan_class) for each in as_list(given["callbacks"])):
            raise ValueError(f"fit needs an nft_keras.{self.plan_class.__name__} among its callbacks")
        if is_in_graph(given["x"]):
            for name, instead in _NOT_IN_GRAPH.items():
                if given[name] is not None:
                    raise ValueError(f"fit takes no {name} with minibatches that are taken in the graph: {instead}")
        self._take_plan(as_list(given["callbacks"]), given["initial_epoch"], given["epochs"])
        # Keras warns that it cannot shuffle a dataset or generator, even if nobody asked for it.
        if is_dataset(given["x"]) or isinstance(given["x"], GeneratorType):
            given["shuffle"] = False
        self._build_optimizers()

    def export(self, *args: Any, **kwargs: Any) -> None:
        """Exports the classifier, as `keras.Model.export` does: deployment needs nothing else."""
        return self.classifier.export(*args, **kwargs)

    def _take_plan(self, callbacks, initial_epoch, epochs):
        """Keeps the plan among the callbacks of `fit`, None without one, and tells it of the others."""
        plans = [callback for callback in callbacks if isinstance(callback, Plan)]
        if len(plans) > 1:
            raise ValueError(f"fit follows one plan, got {', '.join(type(each).__name__ for each in plans)}")
        self._aside.plan = plan = plans[0] if plans else None
        if plan is not None:
            plan.beside = callbacks if initial_epoch < min(epochs, plan.simplification_epochs) else ()

    def get_config(self) -> dict:
        """The configuration that `from_config` builds an equal, untrained model from."""
        arguments = {name: getattr(self, name) for name in self.arguments}
        classifier = keras.saving.serialize_keras_object(self.classifier)
        # Keras gives layers without a name of their own another one in another process.
        alters = {"layer": self.place.index} if isinstance(self.place, LayerOutput) else self.alters
        return {**super().get_config(), "classifier": classifier, "alters": alters, **arguments}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Self:
        """Builds a model from `get_config`'s dictionary."""
        networks = {
            role: keras.saving.deserialize_keras_object(config[role], custom_objects=custom_objects)
            for role in ("classifier", "auxiliary")
            if role in config
        }
        if isinstance(config.get("alters"), dict):
            networks["alters"] = layers_of(networks["classifier"])[config["alters"]["layer"]]
        return cls(**{**config, **networks})


def _refuse_own_steps(classifier):
    own = [name for name in _STEPS if getattr(type(classifier), name) is not getattr(keras.Model, name)]
    if own:
        raise ValueError(
            f"the classifier, a {type(classifier).__name__}, has a {own[0]} of its own, which would not be called: "
            "give a loss and metrics to compile, and add what a layer adds to the loss by add_loss"
        )


def as_list(callbacks: Any) -> list[keras.callbacks.Callback]:
    """The callbacks that `fit` was given, as a list, however they were given."""
    callbacks = callbacks.callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
    return [callback for callback in keras.tree.flatten(callbacks or []) if callback is not None]


def too_early(callback: keras.callbacks.Callback, last: int) -> str | None:
    """What is wrong with a callback of Keras that compares epochs on altered data with those after the plan.

    While data are altered the validation, on real data, may stand still or grow worse, which the drop mends, and
    losses of training are those of easier data. `ModelCheckpoint(save_best_only=True)` may watch the validation: it
    leaves training alone, and keeps what is best on real data, whenever that was.

    Args:
        callback: `keras.callbacks.Callback`.
        last: int, the last epoch of the plan.

    Returns:
        str, what it may do and what to do instead; None if there is nothing wrong.
    """
    if isinstance(callback, keras.callbacks.EarlyStopping) and callback.start_from_epoch < last:
        return f"it may stop or go back before the plan is over; give it start_from_epoch={last}"
    if isinstance(callback, keras.callbacks.ReduceLROnPlateau):
        return f"it may lower the learning rate for good; add it in a second fit, with initial_epoch={last}"
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_best_only:
        if not callback.monitor.startswith("val_"):
            return f"{callback.monitor} is that of altered data then; let it monitor the validation"
    return None


def squared_norms(altered: Any, x: Any) -> Any:
    """Squared norm of delta = altered - x, one per example, at least in float32; over all tensors, of lists of some."""
    norms, originals = 0.0, keras.tree.flatten(x)
    dtype = keras.backend.result_type("float32", *(each.dtype for each in originals))
    for changed, original in zip(keras.tree.flatten(altered), originals, strict=True):
        delta = ops.cast(changed, dtype) - ops.cast(original, dtype)
        norms += ops.sum(ops.square(delta), axis=tuple(range(1, len(delta.shape))))
    return norms


def warn(message: str, *arguments: Any) -> None:
    """Logs a warning of the package: one line that a user should read, and need not act on."""
    logging.getLogger("nft_keras").warning(message, *arguments)
