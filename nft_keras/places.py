"""Where a model alters its data, as its argument `alters` says: x itself, some of its inputs, or a layer's output."""

import abc
import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from nft_keras import backend, costs
from nft_keras._checks import suggest
from nft_keras.backend import keras_internals

_NUMBERS_OF_WORDS = (
    "{} goes to the Embedding {!r} as numbers of words, which cannot be altered a little: name the layer whose output "
    "is altered by alters, or give floats if it does not go there"
)


def place(alters: str | list[str] | keras.layers.Layer | None, classifier: keras.Model) -> "Place":
    """The place that `alters` names.

    Args:
        alters: None; a layer of the classifier, or its name, or the name of the classifier's attribute that it is; or
            the name of an input, or names of several.
        classifier: `keras.Model`.

    Raises:
        TypeError: if alters is nothing of the kind.
        ValueError: for a name that the classifier does not have, or that is not one layer's.
    """
    if alters is None:
        return WholeInput(classifier)
    if isinstance(alters, keras.layers.Layer):
        return _at_layer(alters, classifier)
    names = [alters] if isinstance(alters, str) else alters
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"alters must be a layer, a name or names of inputs, or None, got {alters!r}")
    inputs = list(_inputs(classifier))
    unknown = [name for name in names if name not in inputs]
    if not unknown:
        return NamedInputs(names, isinstance(alters, str), classifier)
    found = _named(unknown[0], classifier)
    if found and len(names) == 1:
        if len(found) > 1:
            raise ValueError(f"alters must name one layer, the classifier has {len(found)} of the name {alters!r}")
        return _at_layer(found[0], classifier)
    if found or inputs:
        raise ValueError(f"alters must name {_known(classifier)}, got {alters!r}{suggest(unknown[0], inputs)}")
    # Of a classifier without named inputs these are keys of x, which are seen with the data.
    return NamedInputs(names, isinstance(alters, str), classifier)


def _named(name, classifier):
    """The layers that a name, or an attribute's, stands for."""
    layers = [layer for layer in layers_of(classifier) if not isinstance(layer, keras.layers.InputLayer)]
    found = [layer for layer in layers if layer.name == name]
    at = classifier
    for part in name.split("."):
        at = getattr(at, part, None)
    return found or [layer for layer in layers if layer is at]


def _at_layer(layer, classifier):
    layers = layers_of(classifier)
    if not any(layer is each for each in layers):
        raise ValueError(f"alters must be a layer of the classifier, got the {type(layer).__name__} {layer.name!r}")
    if any(map(keras_internals.is_rematerialized, [classifier, *layers])):
        raise ValueError(
            f"alters names the layer {layer.name!r} of a classifier that is rematerialized: its backward pass would "
            "not see the change"
        )
    return LayerOutput(layer, layers.index(layer))


def _known(classifier):
    """What alters may name, for a message."""
    inputs, layers = list(_inputs(classifier)), [layer.name for layer in layers_of(classifier)]
    of_inputs = f"an input ({', '.join(inputs)}), inputs, or " if inputs else ""
    return f"{of_inputs}a layer of the classifier ({', '.join(layers) or 'it has none yet'})"


class Place(abc.ABC):
    """Where data are altered."""

    @abc.abstractmethod
    def check(self) -> None:
        """Refuses inputs that cannot be altered a little.

        Raises:
            ValueError: naming one that is of whole numbers.
        """

    def altered_inputs(self) -> dict:
        """{name: KerasTensor} of the inputs that are altered, as far as the classifier says what its inputs are."""
        return {}

    def cost(self, classifier: keras.Model) -> tuple[int, int]:
        """Operations per example up to this place, and of finding out what the data are there.

        Raises:
            ValueError: as `costs.forward`.
        """
        return 0, 0

    @abc.abstractmethod
    def original(self, model: keras.Model, x: Any) -> Any:
        """The data at this place as they are, before they are altered: a float tensor (batch, ...), or a list of some.

        Args:
            model: the `SimplifyingModel`.
            x: a minibatch as `fit` has it.

        Raises:
            ValueError: if x has nothing at this place, or no tensor.
        """

    @abc.abstractmethod
    def altered(self, x: Any, original: Any, data: Any) -> contextlib.AbstractContextManager:
        """Gives what to call the model with in place of x, in a context, for it to see altered data at this place.

        Args:
            x: a minibatch as `fit` has it.
            original: what `original` gave.
            data: that, altered.
        """


class WholeInput(Place):
    """x is a single tensor, and altered itself.

    Args:
        classifier: `keras.Model`.
    """

    def __init__(self, classifier: keras.Model) -> None:
        self.inputs = _inputs(classifier)  # {name: KerasTensor}
        self.embeddings = [layer for layer in layers_of(classifier) if isinstance(layer, keras.layers.Embedding)]

    def check(self) -> None:
        """Refuses inputs of whole numbers, and of numbers of words."""
        for name, each in self.altered_inputs().items():
            if not keras.backend.is_float_dtype(each.dtype):
                raise ValueError(
                    f"the classifier's input {name!r} is of {each.dtype}, which cannot be altered a little: give "
                    "it a floating-point dtype, or name a layer whose output is altered by alters, as of an Embedding"
                )
            for layer in self.embeddings:
                if _input_of(layer) is each:
                    raise ValueError(_NUMBERS_OF_WORDS.format(f"the classifier's input {name!r}", layer.name))

    def altered_inputs(self) -> dict:
        """All of the classifier's inputs."""
        return self.inputs

    def original(self, model: keras.Model, x: Any) -> Any:
        """x as floats."""
        return self._as_floats(x)

    def _as_floats(self, x):
        """x as floats, but for numbers of words, to which a little cannot be added."""
        # Which of several inputs goes to an Embedding a functional classifier says itself, see `check`.
        said = len(self.inputs) > 1
        if self.embeddings and not said and not keras.tree.is_nested(x):
            dtype = keras.backend.standardize_dtype(ops.convert_to_tensor(x, sparse=False).dtype)
            if "int" in dtype and dtype != "uint8":
                raise ValueError(_NUMBERS_OF_WORDS.format(f"x, of {dtype},", self.embeddings[0].name))
        return as_floats(x)

    @contextlib.contextmanager
    def altered(self, x: Any, original: Any, data: Any) -> Iterator[Any]:
        """Gives the altered data."""
        yield data


class NamedInputs(WholeInput):
    """One or several of the tensors in x are altered, the others pass.

    Args:
        names: list of str, keys of x, or names of the classifier's inputs.
        alone: bool, whether the data at this place are a tensor, and not a list of one.
        classifier: `keras.Model`.
    """

    def __init__(self, names: list[str], alone: bool, classifier: keras.Model) -> None:
        super().__init__(classifier)
        self.names, self.alone, self.classifier = names, alone, classifier

    def altered_inputs(self) -> dict:
        """The classifier's inputs that are named."""
        return {name: each for name, each in self.inputs.items() if name in self.names}

    def original(self, model: keras.Model, x: Any) -> Any:
        """The named tensors of x as floats: a tensor, or a list in the order of the names."""
        found = [self._as_floats(x if key is None else x[key]) for key in self._keys(x)]
        return found[0] if self.alone else found

    @contextlib.contextmanager
    def altered(self, x: Any, original: Any, data: Any) -> Iterator[Any]:
        """Gives x with the named tensors replaced."""
        keys, data = self._keys(x), [data] if self.alone else data
        if keys == [None]:
            yield data[0]
            return
        changed = dict(x) if isinstance(x, dict) else dict(enumerate(x))
        changed.update(zip(keys, data, strict=True))
        if isinstance(x, dict):
            yield changed
        else:
            yield type(x)(*changed.values()) if hasattr(x, "_fields") else type(x)(changed.values())

    def _keys(self, x):
        """Where the named tensors stand in x; [None]: x is the one tensor."""
        order = list(self.inputs)
        if not keras.tree.is_nested(x) and self.names == order:
            return [None]
        known = list(x) if isinstance(x, dict) else order[: len(x)] if isinstance(x, (list, tuple)) else []
        missing = [name for name in self.names if name not in known]
        if missing:
            keys = ", ".join(map(repr, known)) or "it has none"
            raise ValueError(f"alters must name {_known(self.classifier)}, or a key of x ({keys}), got {missing[0]!r}")
        return self.names if isinstance(x, dict) else [known.index(name) for name in self.names]


class LayerOutput(Place):
    """The output of a layer is altered, as of an embedding; what comes before it goes on learning.

    The change, that of the output in inference mode, is added as a constant: what the layer's own weights learn, and
    what dropout or batch norm before it do in training, are as without it.

    Args:
        layer: `keras.layers.Layer` of the classifier, which calls it once in a pass and goes on with a float tensor.
        index: int, which of `layers_of` the classifier it is.
    """

    def __init__(self, layer: keras.layers.Layer, index: int) -> None:
        self.layer, self.index = layer, index
        keras_internals.make_output_replaceable(layer)

    def check(self) -> None:
        """Nothing: what the layer's output is like a pass shows, see `original`."""

    def cost(self, classifier: keras.Model) -> tuple[int, int]:
        """As for other places: what a compiled pass computes and nothing needs is left out of it.

        Raises:
            ValueError: as `costs.forward`.
        """
        if keras_internals.calls(classifier) is None or self.layer not in classifier.layers:
            raise ValueError(f"the layer {self.layer.name!r} is no layer of a functional model's own")
        before = costs.forward(keras.Model(classifier.inputs, self.layer.output))
        return before, costs.forward(classifier) if keras.backend.backend() == "torch" else before

    def original(self, model: keras.Model, x: Any) -> Any:
        """The layer's output for x in inference mode, cut off from gradients."""
        seen = []

        def keep(output):
            seen.append(output)
            return output

        with backend.inference(), keras_internals.replaced_output(self.layer, keep):
            model(x, training=False)
        if len(seen) != 1:
            raise ValueError(
                f"alters names the layer {self.layer.name!r}, which the classifier calls {len(seen)} times in a pass, "
                "not once" + ("; nor is one called that is quantized" if not seen else "")
            )
        if keras.tree.is_nested(seen[0]):
            raise ValueError(f"alters names the layer {self.layer.name!r}, whose output is not a single tensor")
        dtype = keras.backend.standardize_dtype(seen[0].dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(
                f"alters names the layer {self.layer.name!r}, whose output is of {dtype}, which cannot be altered a "
                "little: name one whose output is of a floating-point dtype"
            )
        # A copy, since Keras attaches the layer's mask to what it returns.
        return ops.stop_gradient(ops.copy(as_floats(seen[0])))

    @contextlib.contextmanager
    def altered(self, x: Any, original: Any, data: Any) -> Iterator[Any]:
        """Gives x, to whose output of the layer the change is now added."""
        delta = data - original

        def changed(output):
            return keras_internals.with_mask(output + ops.cast(delta, output.dtype), keras_internals.mask_of(output))

        with keras_internals.replaced_output(self.layer, changed):
            yield x


def as_floats(x: Any) -> Any:
    """x as a tensor of a floating-point dtype: its own, or float32 for integers.

    Raises:
        ValueError: if x is not a single tensor or array.
    """
    if keras.tree.is_nested(x):
        raise ValueError(
            f"the data are altered in a single tensor x, got a {type(x).__name__}: name the input that is altered by "
            "the model's argument alters"
        )
    x = ops.convert_to_tensor(x, sparse=False)
    return x if keras.backend.is_float_dtype(x.dtype) else ops.cast(x, "float32")


def number_of_examples(x: Any) -> Any:
    """The number of examples of a minibatch x as `fit` has it: an int, or a scalar tensor."""
    return ops.shape(any_tensor(x))[0]


def any_tensor(x: Any) -> Any:
    """A tensor (batch, ...) of a minibatch x as `fit` has it."""
    return next(each for each in keras.tree.flatten(x) if each is not None)


def _input_of(layer):
    """The KerasTensor that a layer of a functional network takes; None if it is none, or was called elsewhere too."""
    try:
        return layer.input
    except (AttributeError, ValueError):
        return None


def _inputs(classifier):
    """{name: KerasTensor} of the inputs of a classifier, keys of x; empty if it does not say what they are."""
    tensors = getattr(classifier, "inputs", None) or []
    given = getattr(classifier, "input", None) if tensors else None
    return given if isinstance(given, dict) else {each.name: each for each in tensors}


def layers_of(network: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a network, and those of networks inside it."""
    layers = []
    for layer in getattr(network, "layers", ()):
        layers += [layer, *layers_of(layer)]
    return list({id(layer): layer for layer in layers}.values())
