"""What the models that train a classifier on altered data have in common."""

import sys
import types

import keras
from keras import ops

from nft_keras import _backend

Steps = _backend.steps()


class SimplifyingModel(Steps, keras.Model):
    """A classifier trained on altered data in some epochs, and as `keras.Model` trains it in the others.

    To Keras the model *is* its classifier: `model(x)`, `predict`, `evaluate`, `weights`, `losses` and what callbacks
    store and restore are the classifier's, on unaltered data.

    A subclass gives `_altered_step(data)`, the step on altered data, written once for every back end: variables are
    assigned to, gradients and optimizers are those of `Steps`. It may name the class of the plan that `fit` needs.

    Args:
        classifier: `keras.Model`, maps x to predictions; the network to deploy.
        **kwargs: `keras.Model`'s.

    Attributes:
        simplifying: bool, whether a training step alters the data now.

    Raises:
        TypeError: if the classifier is not a `keras.Model`.
    """

    training_logs = ()  # names that only training logs
    plan_class = None

    def __init__(self, classifier, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(classifier, keras.Model):
            raise TypeError(f"classifier must be a keras.Model, got {classifier!r}")
        self.classifier = classifier
        self._simplifying = False
        # Keras does not look inside a plain namespace: what helps the training is no part of the model's own weights.
        self._aside = types.SimpleNamespace(train_functions={})
        self.built = classifier.built

    @property
    def simplifying(self):
        """Whether a training step alters the data now."""
        return self._simplifying

    @simplifying.setter
    def simplifying(self, value):
        if bool(value) != self._simplifying:
            # A traced step does not see a Python flag change: each of the two steps has a function of its own.
            self._aside.train_functions[self._simplifying] = self.train_function
            self._simplifying = bool(value)
            self.train_function = self._aside.train_functions.get(self._simplifying)
            self.make_train_function()

    def _forget_altered_step(self):
        """Makes a new function of the step on altered data, which is about to be another one."""
        self._aside.train_functions.pop(True, None)
        if self._simplifying:
            self.make_train_function(force=True)

    def call(self, inputs, training=None):
        """Predictions of the classifier: f(x, w)."""
        return self.classifier(inputs, training=training)

    def compile(self, *args, **kwargs):
        """Configures training as `keras.Model.compile` does."""
        super().compile(*args, **kwargs)
        self._aside.train_functions = {}
        if self.classifier.built and not self.optimizer.built:
            self.optimizer.build(self.classifier.trainable_variables)

    def compile_from_config(self, config):
        """Compiles with `get_compile_config`'s dictionary."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, *args, shuffle=True, callbacks=None, **kwargs):
        """Trains as `keras.Model.fit` does, with the same arguments; the model's plan must be among the callbacks.

        Raises:
            ValueError: without one.
        """
        if self.plan_class and not any(isinstance(callback, self.plan_class) for callback in each(callbacks)):
            raise ValueError(f"fit needs an nft_keras.{self.plan_class.__name__} among its callbacks")
        # Keras warns that it cannot shuffle a dataset, even if nobody asked for it.
        return super().fit(x, *args, shuffle=shuffle and not is_dataset(x), callbacks=callbacks, **kwargs)

    def _carried(self):
        """Variables that an altered step needs beside those that Keras knows of."""
        return []

    def _evaluation_logs(self, logs):
        return {name: logs[name] for name in logs if name not in self.training_logs}

    def get_config(self):
        """The configuration that `from_config` builds an equal, untrained model from."""
        return {**super().get_config(), "classifier": keras.saving.serialize_keras_object(self.classifier)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Builds a model from `get_config`'s dictionary."""
        networks = {
            role: keras.saving.deserialize_keras_object(config[role], custom_objects=custom_objects)
            for role in ("classifier", "auxiliary")
            if role in config
        }
        return cls(**{**config, **networks})


def is_dataset(x):
    """Whether x is a `tf.data.Dataset`; TensorFlow is not imported to tell."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.data.Dataset)


def one_of(name, value, allowed):
    """Refuses a value that is not among those allowed, with a `ValueError`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}")


def each(callbacks):
    """The callbacks that `fit` was given, as a list, however they were given."""
    callbacks = callbacks.callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
    return [callback for callback in keras.tree.flatten(callbacks or []) if callback is not None]


def as_floats(x):
    """x as a tensor of a floating-point dtype: its own, or float32 for integers.

    Raises:
        ValueError: if x is not a single tensor or array.
    """
    if keras.tree.is_nested(x):
        raise ValueError(f"the data are altered in a single tensor x, got a {type(x).__name__}")
    x = ops.convert_to_tensor(x)
    return x if keras.backend.is_float_dtype(x.dtype) else ops.cast(x, "float32")


def squared_norms(altered, x):
    """Squared norm of delta = altered - x, one per example, in float32."""
    delta = ops.cast(altered, "float32") - ops.cast(x, "float32")
    return ops.sum(ops.square(delta), axis=tuple(range(1, len(delta.shape))))
