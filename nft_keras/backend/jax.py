"""The functions of a training step for JAX: a step is a pure function of the state and a minibatch.

The state is Keras' own: the values of the trainable, the non-trainable, the optimizer's and the metrics' variables. An
imperative step runs inside a `keras.StatelessScope`, in which variables have the state's values and take new ones. What
else it reads and writes (`SimplifyingModel.carried_variables`) are non-trainable variables to Keras, which passes them
on, donates their memory and brings them back as the rest; nothing that a step depends on is outside its arguments.
"""

import contextlib
import contextvars
import functools

import jax
import keras

from nft_keras.backend.one_program import *  # noqa: F403

# The variables whose values are the arguments of the step that is being traced.
_STATE = contextvars.ContextVar("state", default=())


class step:
    """Makes an imperative `train_step(model, data)` a pure function of (state, data) that returns (logs, state).

    JAX takes equal functions, as the bound methods of a model are, for one: each look-up gives a new function, so that
    what is traced while data are altered is not taken for what is traced while they are not.
    """

    def __init__(self, function):
        self.function = function
        functools.update_wrapper(self, function)

    def __get__(self, model, owner=None):
        return self if model is None else functools.partial(self._pure, model)

    def _pure(self, model, state, data):
        groups = state_variables(model)
        with running_on(groups, state) as values:
            logs = self.function(model, shared(data))
        return logs, values(groups)


class DataParallel(keras.distribution.DataParallel):
    """`keras.distribution.DataParallel` for minibatches of any size, those that the devices cannot share equally too.

    Keras cuts up all minibatches of an epoch by one layout, which JAX refuses where the parts are not equal. Here every
    device is given the whole minibatch, and takes its part of it inside the compiled step.
    """

    num_replicas_in_sync = 1  # as `tf.distribute.Strategy` counts them: one program sees the whole minibatch

    def get_data_layout(self, data_shape):
        """All of the data for every device."""
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    def share(self, x):
        """A tensor of a compiled step, its first axis shared by the devices."""
        return keras.distribution.distribute_tensor(x, super().get_data_layout(x.shape))


def shared(data):
    """The data of a step, shared by the devices that Keras distributes them over where that is up to us."""
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, DataParallel):
        return data
    return keras.tree.map_structure(lambda x: x if x is None else distribution.share(x), data)


@contextlib.contextmanager
def running_on(groups, state):
    """A scope in which variables have the values of a state; it gives a function of the groups to their values."""
    with keras.StatelessScope(pairs(groups, state)) as scope:
        token = _STATE.set([v for group in groups for v in group])
        try:
            yield lambda groups: tuple([scope.get_current_value(v) for v in group] for group in groups)
        finally:
            _STATE.reset(token)


def state_variables(model):
    """The variables of a model's training state, in Keras' four groups."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def pairs(groups, state):
    """(variable, value) of the whole state."""
    return [pair for group, values in zip(groups, state, strict=True) for pair in zip(group, values, strict=True)]


def keras_step(model, data):
    """`keras.Model`'s own training step, inside the scope of a decorated one."""
    groups = state_variables(model)
    logs, state = keras.Model.train_step(model, tuple([v.value for v in group] for group in groups), data)
    for variable, value in pairs(groups, state):
        variable.assign(value)
    return logs


def gradients(function, variables):
    """What a function returns beside its loss, and the loss's gradients with respect to variables."""
    differentiated = set(map(id, variables))
    others = [v for v in _STATE.get() if id(v) not in differentiated]
    constant = [(v, v.value) for v in others]

    def pure(values):
        with keras.StatelessScope([*constant, *zip(variables, values, strict=True)], collect_losses=True) as scope:
            loss, result = function()
        return loss, (result, [scope.get_current_value(v) for v in others])

    (_, (result, changed)), gradients = jax.value_and_grad(pure, has_aux=True)([v.value for v in variables])
    for variable, value in zip(others, changed, strict=True):
        variable.assign(value)
    return result, gradients


def gradient_at(function, x):
    """What a function of a tensor returns beside its loss, and the loss's gradient with respect to the tensor."""
    constant = [(v, v.value) for v in _STATE.get()]

    def pure(x):
        with keras.StatelessScope(constant, collect_losses=True):
            return function(x)

    (_, result), gradient = jax.value_and_grad(pure, has_aux=True)(x)
    return result, gradient


def apply(optimizer, gradients, variables):
    """Updates variables with their gradients."""
    groups = variables, optimizer.variables
    values = [[v.value for v in group] for group in groups]
    changed = optimizer.stateless_apply(values[1], gradients, values[0])
    for variable, value in pairs(groups, changed):
        variable.assign(value)


def unfinished_rows(unfinished, fixed_shapes):
    """Functions that take the unfinished rows out of a tensor, and put what became of them back: here all rows."""
    return (lambda whole: whole), (lambda whole, part: part)


def compiled(model, function):
    """A compiled function of arrays that reads the model's weights of the moment of its call."""

    @jax.jit
    def pure(values, data):
        with keras.StatelessScope(list(zip(model.variables, values, strict=True))):
            return function(*data)

    return lambda *data: pure([v.value for v in model.variables], data)


def inference():
    """A context in which nothing is recorded for gradients: as nothing is anywhere."""
    return contextlib.nullcontext()
