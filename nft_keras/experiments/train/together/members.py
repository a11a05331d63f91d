"""Many models of the same shapes trained in one compiled program, on JAX: vmap over members, scan over minibatches.

A model's step is a pure function of (state, minibatch) (`nft_keras.backend.jax`). Here the state of every variable is
an array with one more axis in front, of members, so that whatever rides in it may differ between them: weights,
batch-norm statistics, the state of dropout's random numbers, both optimizers with their learning rates, eta, tau.
"""

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import ops

from nft_keras.backend import keras_internals
from nft_keras.backend.jax import running_on, state_variables
from nft_keras.data import scaled


def initial_values(model):
    """The values of a compiled model's variables, metrics left out: the state that a member starts from.

    Args:
        model: a compiled `nft_keras.base.SimplifyingModel` whose networks are built.

    Returns:
        list of arrays.
    """
    return [np.array(v) for v in _variables(model)]


class Members:
    """The members of a group: models of the same shapes, trained together.

    Args:
        model: a compiled `SimplifyingModel`; it says how to train, its own values are not used.
        states: list of what `initial_values` gave, one for each member, of models that are compiled alike.
        x, y: one example and its label, (1, ...) and (1,), to build the compiled metrics with.
        batched_convolutions: bool, whether convolutions are computed as `shifted_convolution`: over members, whose
            kernels differ, that is a batched matrix product, where a convolution becomes a grouped one.
    """

    def __init__(self, model, states, x, y, batched_convolutions=True):
        self.model, self.number, self._functions = model, len(states), {}
        variables = _variables(model)
        stacked = map(jnp.stack, zip(*states, strict=True))
        self._values = {id(v): value for v, value in zip(variables, stacked, strict=True)}
        model.test_on_batch(x, y)
        self._hold(model)
        for network in model.networks():
            for layer in network.layers if batched_convolutions else ():
                if can_be_shifted(layer):
                    keras_internals.set_convolution(layer, functools.partial(shifted_convolution, layer))

    def assign(self, variable, numbers):
        """Gives a scalar variable its value in every member."""
        self._values[id(variable)] = jnp.asarray(numbers, variable.dtype)

    def values(self, variables, member):
        """The values of some variables in one member, as arrays."""
        return [np.asarray(self._values[id(v)][member]) for v in variables]

    def drop_auxiliary(self):
        """Frees the auxiliary networks and their optimizers."""
        before = _variables(self.model)
        self.model.drop()
        kept = set(map(id, _variables(self.model)))
        for variable in before:
            if id(variable) not in kept:
                del self._values[id(variable)]
        self._functions.clear()

    def train(self, which, simplifying, updating, x, y, rows, batch_size):
        """Trains some of the members for an epoch.

        Args:
            which: ascending indices of the members.
            simplifying: bool, whether these alter the data in this epoch.
            updating: bool, whether an auxiliary network that does so is updated.
            x: array on the device (n, ...), the examples of all members; uint8 is divided by 255.
            y: int array (number, n), the labels of each member.
            rows: int array (len(which), n), the order of the examples for each of these members.
            batch_size: int; the last minibatch may be smaller.

        Returns:
            The logs, {name: array (len(which),)}.
        """
        if simplifying and updating != getattr(self.model, "updates_auxiliary", updating):
            self.model.updates_auxiliary = updating
            self._functions.pop(True, None)
        self.model.simplifying = simplifying
        logs = {}
        if simplifying and updating and getattr(self.model, "phases", None) == "epoch":
            first = self.model._auxiliary_training()
            if not first.optimizer.built:
                first.optimizer.build([])
            self._hold(first)
            of_theta = self._pass(first, "theta", which, x, y, rows, batch_size)
            logs = {"auxiliary_loss": of_theta["auxiliary_loss"]}
        logs = {**self._pass(self.model, simplifying, which, x, y, rows, batch_size), **logs}
        return {name: log for name, log in logs.items() if name != "loss_reduction"}  # which is of `fit`

    def evaluate(self, x, y, batch_size):
        """Evaluates the classifiers of all members on unaltered data.

        Args:
            x, y: arrays (n, ...) and (number, n).
            batch_size: int.

        Returns:
            The logs, {name: array (number,)}.
        """
        groups = [group for i, group in enumerate(state_variables(self.model)) if i != 2]
        if "evaluate" not in self._functions:
            step = _over_minibatches(self.model, self.model.test_step, groups, batch_size)
            self._functions["evaluate"] = jax.jit(jax.vmap(step, (0, None, 0, None)))
        logs, _ = self._functions["evaluate"](self._state(groups), x, y, jnp.arange(len(x)))
        return {name: np.asarray(log) for name, log in logs.items()}

    def _pass(self, model, name, which, x, y, rows, batch_size):
        """One pass over the data with a model's training step."""
        groups = state_variables(model)
        if name not in self._functions:
            step = _over_minibatches(model, model.train_step, groups, batch_size)
            self._functions[name] = jax.jit(jax.vmap(step, (0, None, 0, 0)), donate_argnums=0)
        some = None if len(which) == self.number else jnp.asarray(which)
        state = self._state(groups)
        part = state if some is None else jax.tree.map(lambda a: a[some], state)
        logs, part = self._functions[name](part, x, y if some is None else y[some], jnp.asarray(rows))
        if some is not None:
            part = jax.tree.map(lambda a, b: a.at[some].set(b), state, part)
        for group, values in zip(groups, part, strict=True):
            self._values.update({id(v): value for v, value in zip(group, values, strict=True)})
        return {log: np.asarray(value) for log, value in logs.items()}

    def _hold(self, model):
        """Takes up those variables of a model that are not among the state yet, the same in all members."""
        for variable in (v for group in state_variables(model) for v in group):
            if id(variable) not in self._values:
                value = jnp.asarray(np.array(variable))
                self._values[id(variable)] = jnp.broadcast_to(value, (self.number, *value.shape))

    def _state(self, groups):
        return tuple([self._values[id(v)] for v in group] for group in groups)


def shifted_convolution(layer, inputs, kernel):
    """The convolution of a `Conv2D` as slices of the input, one for each place of the kernel, and a matrix product.

    Args:
        layer: the `keras.layers.Conv2D`, channels last, without dilation and groups.
        inputs: tensor (batch, height, width, channels).
        kernel: tensor (rows, columns, channels, filters).

    Returns:
        Tensor (batch, rows, columns, filters).
    """
    size, strides = kernel.shape[:2], layer.strides
    if layer.padding == "same":
        lengths = [-(-n // s) for n, s in zip(inputs.shape[1:3], strides, strict=True)]
        missing = [
            max((out - 1) * s + k - n, 0)
            for out, s, k, n in zip(lengths, strides, size, inputs.shape[1:3], strict=True)
        ]
        inputs = ops.pad(inputs, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
    else:
        lengths = [(n - k) // s + 1 for n, k, s in zip(inputs.shape[1:3], size, strides, strict=True)]
    ends = [(length - 1) * s + 1 for length, s in zip(lengths, strides, strict=True)]
    slices = [
        inputs[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]
        for i in range(size[0])
        for j in range(size[1])
    ]
    columns = slices[0] if len(slices) == 1 else ops.concatenate(slices, axis=-1)
    return ops.matmul(columns, ops.reshape(kernel, (-1, kernel.shape[-1])))


def can_be_shifted(layer):
    """Whether `shifted_convolution` computes what the layer does."""
    return (
        isinstance(layer, keras.layers.Conv2D)
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
    )


def _variables(model):
    trainable, others, optimizer, _ = state_variables(model)
    return [*trainable, *others, *optimizer]


def _over_minibatches(model, step, groups, batch_size):
    """A function of (state, x, y, rows) that makes a step for each minibatch and returns (logs, state)."""

    def scoped(function, state):
        with running_on(groups, state) as values:
            result = function()
        return result, values(groups)

    def one_step(state, x, y, rows):
        _, changed = step(state, (scaled(x[rows]), y[rows]))
        return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), changed, state)

    def over_all(state, x, y, rows):
        _, state = scoped(model.reset_metrics, state)
        whole = len(rows) // batch_size * batch_size
        if whole:
            scanned = rows[:whole].reshape(-1, batch_size)
            state, _ = jax.lax.scan(lambda state, rows: (one_step(state, x, y, rows), None), state, scanned)
        if whole < len(rows):
            state = one_step(state, x, y, rows[whole:])
        return scoped(model.get_metrics_result, state)

    return over_all
