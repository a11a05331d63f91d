"""What of a training step depends on the back end, for JAX: a step is a pure function of the state and a minibatch.

The state is Keras' own: the values of the trainable, the non-trainable, the optimizer's and the metrics' variables. An
altered step runs as it is written inside a `keras.StatelessScope`, in which variables have the state's values and take
new ones. What else it reads and writes (`_carried`) are non-trainable variables to Keras, which passes them on, donates
their memory and brings them back as the rest; nothing that a step depends on is outside its arguments.
"""

import contextlib
import functools

import jax
import keras


class Steps:
    """To be mixed into a `keras.Model` that has `simplifying`, `_altered_step`, `_carried` and `_evaluation_logs`."""

    _replicas = 1.0

    @property
    def train_step(self):
        """One step of training: a function of (state, (x, y[, sample_weight])) that returns (logs, state)."""
        # JAX takes equal functions, as bound methods are, for one: an altered step is a new function every time.
        return functools.partial(self._pure_altered_step) if self.simplifying else super().train_step

    def test_step(self, state, data):
        """One step of evaluation of the classifier on unaltered data; returns the logs and the new state."""
        logs, state = super().test_step(state, data)
        return self._evaluation_logs(logs), state

    @property
    def non_trainable_variables(self):
        """Keras' own, and what else a step needs."""
        return [*super().non_trainable_variables, *self._carried()]

    def _state_variables(self):
        return (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )

    def _pure_altered_step(self, state, data):
        groups = self._state_variables()
        with keras.StatelessScope(pairs(groups, state)) as scope:
            logs = self._altered_step(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def _classic_step(self, data):
        """`keras.Model`'s own step, inside the scope of an altered one."""
        groups = self._state_variables()
        logs, state = super().train_step(tuple([v.value for v in group] for group in groups), data)
        for variable, value in pairs(groups, state):
            variable.assign(value)
        return logs

    def _gradients(self, function, variables):
        """What a function returns beside its loss, and the loss's gradients with respect to variables."""
        differentiated = set(map(id, variables))
        others = [v for group in self._state_variables() for v in group if id(v) not in differentiated]
        constant = [(v, v.value) for v in others]

        def pure(values):
            with keras.StatelessScope([*constant, *zip(variables, values, strict=True)]) as scope:
                loss, result = function()
            return loss, (result, [scope.get_current_value(v) for v in others])

        (_, (result, changed)), gradients = jax.value_and_grad(pure, has_aux=True)([v.value for v in variables])
        for variable, value in zip(others, changed, strict=True):
            variable.assign(value)
        return result, gradients

    def _gradient_at(self, function, x):
        """What a function of a tensor returns beside its loss, and the loss's gradient with respect to the tensor."""
        constant = [(v, v.value) for group in self._state_variables() for v in group]

        def pure(x):
            with keras.StatelessScope(constant):
                return function(x)

        (_, result), gradient = jax.value_and_grad(pure, has_aux=True)(x)
        return result, gradient

    def _apply(self, optimizer, gradients, variables):
        groups = variables, optimizer.variables
        values = [[v.value for v in group] for group in groups]
        changed = optimizer.stateless_apply(values[1], gradients, values[0])
        for variable, value in pairs(groups, changed):
            variable.assign(value)

    def _weighted(self, loss, x):
        """A loss that is a mean over the examples x, with the gradient of the mean over all replicas'."""
        return loss

    def _of_all(self, gradient, count):
        """The gradient of a mean over so many things of this replica, made that of the mean over all replicas'."""
        return gradient

    def _unless_empty(self, x, step, data):
        """The logs of a step on data; those so far if the minibatch x is empty."""
        return step(data) if x.shape[0] else self.get_metrics_result()

    def _regrouped(self, unfinished):
        """Functions that take the unfinished examples out of a tensor, and put what became of them back: here all."""
        return (lambda whole: whole), (lambda whole, part: part)

    def _while_loop(self, condition, body, values, data):
        """The values at the end of a loop whose body is a function of (*values, *data)."""
        return keras.ops.while_loop(condition, lambda *values: body(*values, *data), values)

    def _predictor(self):
        """A compiled function from x to the classifier's predictions, with the weights of the moment of its call."""
        return self.predict_on_batch

    def _scope(self):
        """Where variables that belong to the model are created."""
        return contextlib.nullcontext()


def pairs(groups, state):
    """(variable, value) of the whole state."""
    return [pair for group, values in zip(groups, state, strict=True) for pair in zip(group, values, strict=True)]
