"""A classifier with an auxiliary network beside it: how the two are built, compiled, stored and taken apart again."""

from typing import Any

import keras

from nft_keras import backend
from nft_keras.backend import keras_internals
from nft_keras.base import SimplifyingModel, warn

DROPPED = "auxiliary_dropped"  # in files of weights


class TwoNetworks(SimplifyingModel):
    """A classifier f(., w) that is trained with the help of an auxiliary network s(., theta), which is dropped.

    Args:
        classifier: `keras.Model`, the network to deploy.
        auxiliary: `keras.Model`, or None: there is none any more.

    Raises:
        TypeError: if a network is not a `keras.Model`.
        ValueError: if both networks train a variable, or what is altered are whole numbers.
    """

    def __init__(self, classifier: keras.Model, auxiliary: keras.Model | None, **kwargs: Any) -> None:
        super().__init__(classifier, **kwargs)
        if auxiliary is not None:
            self.place.check()
        if auxiliary is not None and not isinstance(auxiliary, keras.Model):
            raise TypeError(f"auxiliary must be a keras.Model, got {auxiliary!r}")
        vars(self._aside).update(auxiliary=auxiliary, first_phase=None)
        if auxiliary is not None and auxiliary.built and classifier.built:
            self._check_apart()

    @property
    def auxiliary(self) -> keras.Model | None:
        """The auxiliary network s(., theta), or None once it was dropped."""
        return self._aside.auxiliary

    def networks(self) -> list[keras.Model]:
        """The classifier, and the auxiliary network until it is dropped."""
        return [self.classifier] if self.auxiliary is None else [self.classifier, self.auxiliary]

    def drop_auxiliary(self) -> None:
        """Drops the auxiliary network and its optimizer: from now on training is classic."""
        super().drop()
        if self.auxiliary is None:
            return
        self._aside.auxiliary = self._aside.first_phase = None
        self._forget_auxiliary_optimizer()
        keras_internals.renew_functions(self)

    drop = drop_auxiliary

    def _forget_auxiliary_optimizer(self):
        if getattr(self, "auxiliary_optimizer", None) is not None:
            del self.auxiliary_optimizer  # else TensorFlow tracks it, and its variables, as long as the model lives
        self.auxiliary_optimizer = None

    def renew_training(self) -> None:
        """Goes on with what is trainable now, in both phases."""
        super().renew_training()
        if self._aside.first_phase is not None:
            self._aside.first_phase.make_train_function(force=True)

    def carried_variables(self) -> list:
        """Variables that a training step needs beside those that Keras knows of."""
        if self.auxiliary is None or getattr(self, "auxiliary_optimizer", None) is None:
            return []
        return [*self.auxiliary.variables, *self.auxiliary_optimizer.variables]

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        auxiliary_optimizer: str | keras.optimizers.Optimizer | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures training as `keras.Model.compile` does, with one more optimizer.

        Args:
            optimizer: `keras.optimizers.Optimizer` or its name; updates the classifier's w.
            auxiliary_optimizer: the same for the auxiliary network's theta; another instance.
            **kwargs: the other arguments of `keras.Model.compile`.

        Raises:
            ValueError: if auxiliary_optimizer is missing while there is an auxiliary network, is no optimizer, or is
                the same object as optimizer, and for a loss with `reduction=None` or "none", which leaves a minibatch a
                loss for each example.
        """
        if auxiliary_optimizer is None and self.auxiliary is not None:
            raise ValueError("compile needs auxiliary_optimizer too, e.g. keras.optimizers.Adam(1e-4)")
        if auxiliary_optimizer is optimizer and not isinstance(optimizer, str):
            raise ValueError("optimizer and auxiliary_optimizer must be two objects, each with its own network's state")
        if auxiliary_optimizer is not None:
            auxiliary_optimizer = keras.optimizers.get(auxiliary_optimizer)
        self._aside.first_phase = None
        self._forget_auxiliary_optimizer()
        super().compile(optimizer=optimizer, **kwargs)
        if self.auxiliary is not None:
            if kwargs.get("jit_compile", "auto") == "auto" and not keras_internals.supports_xla(self.auxiliary):
                self.jit_compile = False
            self.auxiliary_optimizer = auxiliary_optimizer
            if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer) and not isinstance(
                self.auxiliary_optimizer, keras.optimizers.LossScaleOptimizer
            ):
                self.auxiliary_optimizer = keras.optimizers.LossScaleOptimizer(self.auxiliary_optimizer)
            self._build_optimizers()

    def optimizers(self) -> list[tuple[keras.optimizers.Optimizer, keras.Model]]:
        """(optimizer, the network that it updates) for every network that is trained now, a list of pairs."""
        of_auxiliary = [(self.auxiliary_optimizer, self.auxiliary)] if self.auxiliary_optimizer else []
        return [*super().optimizers(), *of_auxiliary]

    def _build_networks(self, x, y):
        """Builds the networks on a few examples of the data, and refuses what does not fit before training begins."""
        with backend.scope(self), backend.inference():
            if not self.classifier.built:
                self(x, training=False)
            original = self.place.original(self, x)
            self.classify(x, original, self.simplify(x, y))
        self._look_at(original)
        self.built = True
        self._check_apart()
        if not self.auxiliary.trainable_variables:
            warn("the auxiliary network has no trainable weights: it alters the data and does not learn")

    def _look_at(self, original):
        """What is to be known of a few of the data that are altered."""

    def _check_apart(self):
        shared = set(map(id, self.auxiliary.trainable_variables))
        shared = [v.path for v in self.classifier.trainable_variables if id(v) in shared]
        if shared:
            raise ValueError(f"theta and w must be apart, but both networks train {', '.join(shared[:3])}")

    def save_own_variables(self, store: Any) -> None:
        """Stores, beside what Keras does, that the auxiliary network was dropped."""
        super().save_own_variables(store)
        if self.auxiliary is None:
            store[DROPPED] = True

    def load_own_variables(self, store: Any) -> None:
        """Drops the auxiliary network if what is loaded was stored after the drop."""
        if DROPPED in store.keys():
            self.drop_auxiliary()
        super().load_own_variables({name: store[name] for name in store.keys() if name != DROPPED})

    def get_config(self) -> dict:
        """The configuration that `from_config` builds an equal, untrained model from."""
        return {**super().get_config(), "auxiliary": keras.saving.serialize_keras_object(self.auxiliary)}

    def get_compile_config(self) -> dict:
        """What `compile` was called with, serialized."""
        config = super().get_compile_config()
        if config:
            config["auxiliary_optimizer"] = keras.saving.serialize_keras_object(self.auxiliary_optimizer)
        return config
