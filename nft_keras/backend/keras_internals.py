"""Every use of what Keras or TensorFlow do not promise; each has a test that says when it has changed."""

import contextlib
import contextvars
import functools
import io
import itertools
import math
import types

import keras
from keras.src.backend.common import global_state
from keras.src.saving import saving_lib
from keras.src.trainers import data_adapters, trainer
from keras.src.utils.tracking import DotNotTrackScope

from nft_keras.backend import backend_name, fuses_loops

# Weights of a variable, from which on an operation of its own is worth it: an update, one in a single loop, a product.
LARGE, LARGE_FUSED, WIDE = 2**23, 2**20, 2**21


class Untracked(types.SimpleNamespace):
    """Holds what helps the training and is no part of the model's own weights.

    Keras tracks the layers, variables and metrics that are assigned to a model's attributes, but does not look inside a
    plain object. `save`, on the other hand, walks `dir(model)`, so that what a property shows is stored and restored.
    """


if backend_name() == "tensorflow":
    from nft_keras.backend import distribution

    class Model(keras.Model):
        """`keras.Model` whose `fit` and `evaluate` take unequal parts of a minibatch, and several workers."""

        def _maybe_symbolic_build(self, iterator=None, data_batch=None):
            # Keras averages the replicas' parts of a minibatch to see its shape, which wants equal ones.
            if iterator is not None and self._distribute_strategy is not None:
                data_batch = distribution.first_part(self.distribute_strategy, iterator)
            super()._maybe_symbolic_build(data_batch=data_batch)

        def _get_metrics_result_or_logs(self, logs):
            logs = super()._get_metrics_result_or_logs(logs)
            if self.distribute_strategy.num_replicas_in_sync == 1:
                return logs
            # A log that is no metric of ours makes Keras take the mean of what each replica has, however many examples.
            of_all = self.get_metrics_result()
            return {name: of_all.get(name, value) for name, value in logs.items()}

        def _make_function(self, step_function):
            if distribution.several_workers(self.distribute_strategy):
                # Keras averages the logs of the workers over an axis that scalars do not have.
                step_function = distribution.with_an_axis(step_function)
            return super()._make_function(step_function)

        def carried_variables(self):
            """Variables that a training step needs beside those that Keras knows of."""
            return []

elif backend_name() == "jax":
    from nft_keras.backend.jax import shared

    class Model(keras.Model):
        """`keras.Model` whose training state has variables that are not the model's own, on one device or several."""

        def _get_jax_state(self, **kwargs):
            # Keras takes the values from the variables, and gives them back at the end of an epoch: an interruption
            # before its first step would leave none, or those that another model's step was given.
            self._jax_state = None
            return super()._get_jax_state(**{**kwargs, "purge_model_variables": False})

        def test_step(self, state, data):
            return super().test_step(state, shared(data))

        def predict_step(self, state, data):
            return super().predict_step(state, shared(data))

        @property
        def non_trainable_variables(self):
            """Keras' own, and what else a training step needs: Keras passes these on and brings them back."""
            return [*super().non_trainable_variables, *self.carried_variables()]

        def carried_variables(self):
            """Variables that a training step needs beside those that Keras knows of."""
            return []

else:
    Model = keras.Model


def supports_xla(model):
    """Whether XLA can compile the model's steps: all layers, and in TensorFlow no deterministic operations."""
    return trainer.model_supports_jit(model)


def count_minibatches(dataset, parts):
    """Sets the cardinality of a distributed data set, that of its parts of minibatches, to that of its minibatches.

    Keras takes as many steps. In one beyond the last minibatch what needs no data may be updated before TensorFlow
    misses them, or may not: the number of steps that Adam divides by.

    Args:
        dataset: what `tf.distribute.Strategy.distribute_datasets_from_function` returns.
        parts: int, into how many parts this process' replicas cut a minibatch.

    Returns:
        The data set.
    """
    dataset._cardinality //= parts
    return dataset


def swap_train_function(model, functions, before, after):
    """Gives the model the function of another kind of training step, and keeps that of the present kind.

    A traced step does not see a Python flag change, and to trace it anew each time takes seconds. Keras makes
    `train_function` where it is None.

    Args:
        model: compiled `keras.Model`.
        functions: dict, the functions that were made so far, by kind.
        before, after: hashable, the two kinds of step.
    """
    functions[before] = model.train_function
    model.train_function = functions.get(after)
    model.make_train_function()


@contextlib.contextmanager
def without_logs_of_outputs(model):
    """Keeps what is computed of the compiled loss out of the means that Keras logs for each of several outputs."""
    there = _silent_in_between(model)
    token = _UNLOGGED.set(True)
    try:
        yield
    finally:
        _UNLOGGED.reset(token)
        for mean in _silent_in_between(model)[len(there) :]:  # the first loss that is computed makes them
            mean.reset_state()


# Of a thread, as each replica's step has one of its own.
_UNLOGGED = contextvars.ContextVar("unlogged", default=False)


def _silent_in_between(model):
    """The means of the outputs' losses, each of which passes over what it is given in `without_logs_of_outputs`."""
    means = [] if model._compile_loss is None else model._compile_loss._metrics
    for mean in means:
        if "update_state" not in vars(mean):
            mean.update_state = functools.partial(_unless_unlogged, mean.update_state)
    return list(means)


def _unless_unlogged(update_state, *arguments, **keywords):
    if not _UNLOGGED.get():
        update_state(*arguments, **keywords)


# {id of a layer: function of its output}, of a thread, as each replica's step has one of its own.
_REPLACED = contextvars.ContextVar("replaced", default=types.MappingProxyType({}))


def make_output_replaceable(layer):
    """Lets `replaced_output` have a say in what a layer's call returns: Keras calls what `layer.call` is."""
    own = layer.call
    if hasattr(own, "replaceable"):
        return

    @functools.wraps(own)
    def call(*args, **kwargs):
        outputs = own(*args, **kwargs)
        function = _REPLACED.get().get(id(layer))
        return outputs if function is None else function(outputs)

    call.replaceable = True
    layer.call = call


@contextlib.contextmanager
def replaced_output(layer, function):
    """A context in which a layer, of `make_output_replaceable`, gives function(outputs) instead of its outputs."""
    token = _REPLACED.set({**_REPLACED.get(), id(layer): function})
    try:
        yield
    finally:
        _REPLACED.reset(token)


def calls(network):
    """[(operation, shapes of its inputs, shapes of its outputs)] for every call in a functional model or a built
    Sequential, in order; else None."""
    nodes = getattr(getattr(network, "_functional", None) or network, "_nodes_by_depth", None)
    if nodes is None:
        return None
    in_order = [node for depth in sorted(nodes, reverse=True) for node in nodes[depth]]
    return [
        (node.operation, *([tensor.shape for tensor in tensors] for tensors in (node.input_tensors, node.outputs)))
        for node in in_order
    ]


def is_rematerialized(layer):
    """Whether a layer computes its output again in the backward pass, outside of whatever context it was called in."""
    return getattr(layer, "_remat_mode", None) is not None


def mask_of(tensor):
    """The mask that Keras keeps with a tensor, or None."""
    from keras.src.backend import get_keras_mask

    return get_keras_mask(tensor)  # of what JAX traces it is no attribute


def with_mask(tensor, mask):
    """The tensor, to which Keras' losses and metrics now take that mask; None changes nothing."""
    from keras.src.backend import set_keras_mask

    if mask is not None:
        set_keras_mask(tensor, mask)
    return tensor


def build_anew(optimizer, variables):
    """Gives an optimizer that has taken no step the state for other variables: Keras builds one only once."""
    if optimizer is not innermost(optimizer):
        with DotNotTrackScope():  # as when Keras builds it: some would count variables twice
            build_anew(optimizer.inner_optimizer, variables)
        optimizer._trainable_variables_indices = {}
        super(keras.optimizers.LossScaleOptimizer, optimizer).build(variables)  # it keeps its scale
        return
    for each in (optimizer, *_parts(optimizer)):
        own = [each._iterations, getattr(each, "_learning_rate", None)]
        each._variables[:] = [v for v in each._variables if any(v is known for known in own)]
        each._trainable_variables_indices = {}
        each.built = False
    optimizer.build(variables)


def _parts(optimizer):
    """The optimizers that a `MultiOptimizer` shares the variables out to."""
    return getattr(optimizer, "_inner_optimizers", ())


def steps_taken(optimizer):
    """How many gradients an optimizer was given, those that it accumulates too."""
    return int(keras.ops.convert_to_numpy(innermost(optimizer)._iterations)) if optimizer.built else 0


def begin_counting(optimizer):
    """Makes an optimizer one that was given no gradient."""
    for each in (innermost(optimizer), *_parts(innermost(optimizer))):
        each._iterations.assign(0)


def keeps_a_copy(optimizer):
    """Whether an optimizer's state has the weights that there were when it was built, to which its steps lead."""
    those = getattr(keras.optimizers, "ScheduleFreeAdamW", ())
    return any(isinstance(each, those) for each in (innermost(optimizer), *_parts(innermost(optimizer))))


def added_losses(model):
    """The sum of what layers add to the loss, as `compute_loss` counts it."""
    return sum(map(model._aggregate_additional_loss, model.losses))


def forget_added_losses(model):
    """Takes away what layers have added to the loss; regularization of weights stays."""
    model._clear_losses()


def layer_with_seed(layer, data, seed):
    """What a random preprocessing layer of Keras makes of data in a `tf.data` pipeline, as a function of a seed.

    It would draw from a variable that counts its calls, which says nothing of the epoch, and is not kept.

    Args:
        layer: a `keras.layers` layer that augments images.
        data: images, a float tensor (batch, height, width, channels); or a dict of "images" and "labels", (batch,
            classes).
        seed: int32 tensor of two integers.

    Returns:
        The like, of the same shapes.
    """
    import tensorflow as tf

    class Seeds(keras.random.SeedGenerator):
        """Draws seeds that follow from the given one; without the variable of its base class."""

        def __init__(self):
            self.drawn = 0

        def next(self, ordered=True):
            self.drawn += 1
            return tf.random.experimental.stateless_fold_in(seed, self.drawn)

    seeds = Seeds()
    for each in (layer, *layer._flatten_layers(include_self=False)):
        each._get_seed_generator = lambda backend=None: seeds
    # Some layers stop at a minibatch without examples, which EEF has.
    there_are = tf.shape(next(iter(keras.tree.flatten(data))))[0] > 0
    copied = keras.tree.map_structure(tf.identity, data)  # a dict would be changed
    altered = tf.cond(there_are, lambda: layer(copied, training=True), lambda: data)
    return keras.tree.map_structure(lambda each, before: tf.ensure_shape(each, before.shape), altered, data)


def build_metrics(model, data):
    """Gives what `compile` was given its variables, as Keras does before the first step of `fit`.

    Args:
        model: compiled `keras.Model`.
        data: a minibatch (x, y, sample_weight).
    """
    model._symbolic_build(data_batch=data)


def split_for_validation(given):
    """Does what `fit` does for `validation_split`: its arguments, by name, then have `validation_data` instead."""
    from keras.src.trainers.data_adapters import array_slicing

    arrays = tuple(given[name] for name in ("x", "y", "sample_weight"))
    train, valid = array_slicing.train_validation_split(arrays, validation_split=given["validation_split"])
    given.update(zip(("x", "y", "sample_weight"), train, strict=True), validation_data=valid, validation_split=0.0)


def number_of_minibatches(given):
    """The minibatches of a pass over what `fit` is given, by name; None where nobody knows."""
    return given["steps_per_epoch"] or data_adapters.get_data_adapter(**given).num_batches


class Minibatches(data_adapters.data_adapter.DataAdapter):
    """What `fit` takes for its x, to which Keras gives an adapter of its own where it is data that it knows."""

    # Of a `tf.data.Dataset` Keras knows no more.
    num_batches = has_partial_batch = partial_batch_size = batch_size = None


class SomeMinibatches(Minibatches):
    """Some of the minibatches of what `fit` is given, which takes this for its x: Keras' own adapter, with gaps.

    It is for one pass: what Keras has read ahead would come first in the next.

    Args:
        given: the arguments of `fit` that say what is read, by name.
        chosen: bool array, for each minibatch of a pass whether it comes.
    """

    def __init__(self, given, chosen):
        self._all, self._chosen = data_adapters.get_data_adapter(**given), chosen
        self.num_batches = int(chosen.sum())
        self.on_epoch_begin, self.on_epoch_end = self._all.on_epoch_begin, self._all.on_epoch_end

    def get_tf_dataset(self):
        """As a `tf.data.Dataset`."""
        import tensorflow as tf

        chosen = tf.data.Dataset.from_tensor_slices(self._chosen)
        both = tf.data.Dataset.zip(chosen, self._all.get_tf_dataset())
        some = both.filter(lambda chosen, minibatch: chosen)
        return some.map(lambda chosen, minibatch: minibatch)

    def get_jax_iterator(self):
        """As an iterator."""
        return itertools.compress(self._all.get_jax_iterator(), self._chosen)

    def get_torch_dataloader(self):
        """As an iterator; Keras asks for no more."""
        return itertools.compress(self._all.get_torch_dataloader(), self._chosen)


def sample_weights(y, class_weight):
    """The weights of examples with labels y that `fit` makes of its `class_weight`."""
    from keras.src.trainers.data_adapters import data_adapter_utils

    return data_adapter_utils.class_weight_to_sample_weights(y, class_weight)


class _InMemory(io.BytesIO):
    """A file that Keras takes for one of a name, whose suffix says the format."""

    def __init__(self, name):
        super().__init__()
        self._called = name

    def __str__(self):
        return self._called


def keep_skipsets():
    """Keeps what Keras looks up of each kind of object when it saves one.

    Keras 3.15 stores it under a name that it does not look under, and makes an optimizer anew, with variables that are
    never freed, whenever it saves one.
    """
    for kind in ("Layer", "Functional", "Sequential", "Metric", "Optimizer", "Loss"):
        name = f"saving_attr_skiplist_{kind}"
        if global_state.get_global_attribute(name) is None:
            global_state.set_global_attribute(name, saving_lib.get_attr_skipset(kind))


def saved(save, name):
    """What Keras would write to a file, in memory: HDF5 ends the process where a disk is full.

    Args:
        save: `save` or `save_weights` of a model.
        name: of the file, whose suffix says the format.

    Returns:
        memoryview.
    """
    keep_skipsets()
    file = _InMemory(name)
    save(file)
    return file.getbuffer()


def is_made_of(dataset, source):
    """Whether a `tf.data.Dataset` is another one, or made of it by `map`, `prefetch` and the like."""
    return dataset is source or any(is_made_of(each, source) for each in dataset._inputs())


def is_cached(dataset):
    """Whether a `tf.data.Dataset` keeps what it has read, for the next epoch; False of what is none."""
    inputs = dataset._inputs() if hasattr(dataset, "_inputs") else ()
    return "Cache" in type(dataset).__name__ or any(map(is_cached, inputs))


def renew_functions(model):
    """Makes Keras' functions of a step anew where some of its variables have gone.

    Those of JAX over several devices say of each variable where it is; any others go on.
    """
    if keras.distribution.distribution() is not None:
        model.test_function = model.predict_function = None
        if model.train_function is not None:
            model.make_train_function(force=True)


def loss_tracker(model):
    """The metric in which Keras' own step keeps the mean loss of the epoch."""
    return next(metric for metric in model.metrics if metric.name == "loss")


def as_keras_returns(model, logs):
    """A dictionary of logs in the form that `train_on_batch` returns without `return_dict`."""
    return model._flatten_metrics_in_order(logs)


def innermost(optimizer):
    """The optimizer itself, out of a `LossScaleOptimizer`."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def set_convolution(layer, function):
    """Replaces the operation of a convolutional layer by a function (inputs, kernel) -> outputs without bias."""
    layer.convolution_op = function


@contextlib.contextmanager
def large_products(networks, function):
    """A context in which large dense layers multiply by a function (inputs, kernel) -> outputs without bias.

    Their files, and what else is traced of them, know nothing of it. Inputs are a float32 matrix, and no derivative is
    taken forwards (`tf.autodiff.ForwardAccumulator`), else the layer's own product remains.
    """
    layers = [layer for network in networks for layer in network._flatten_layers() if _is_large_dense(layer)]
    layers = list(dict.fromkeys(layers))  # networks may share one that is frozen
    for layer in layers:
        layer.call = _multiplying_by(function, layer, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _is_large_dense(layer):
    plain = type(layer) is keras.layers.Dense and layer.built and "call" not in vars(layer)
    return plain and layer.compute_dtype == "float32" and math.prod(layer.kernel.shape) >= WIDE


def _is_derived_forwards(*tensors):
    """Whether a `tf.autodiff.ForwardAccumulator` watches one of the tensors; TensorFlow has no public word for it."""
    try:
        from tensorflow.python.eager.forwardprop_util import pack_tangents
    except ImportError:
        return False
    return bool(pack_tangents(tensors).tangents)


def _multiplying_by(function, layer, own):
    import tensorflow as tf

    def call(inputs, training=None):
        if not isinstance(inputs, tf.Tensor) or inputs.dtype != tf.float32 or len(inputs.shape) != 2:
            return own(inputs)
        kernel = tf.convert_to_tensor(layer.kernel)
        if _is_derived_forwards(inputs, kernel):  # TensorFlow's gradients of those of a function are wrong
            return own(inputs)
        outputs = function(inputs, kernel)
        outputs = outputs if layer.bias is None else outputs + layer.bias
        return outputs if layer.activation is None else layer.activation(outputs)

    return call


class WithoutAllReduce:
    """Mixed into a `keras.optimizers.Optimizer`: of one replica there is nothing to reduce.

    TensorFlow keeps for ever each graph with an all-reduce in it, and with it the graph's variables: the operation's
    gradient goes into a global registry.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)


def apply_adam(optimizer, gradient, variable, learning_rate):
    """Keras' Adam in one pass over the weights, on TensorFlow: its own rule takes a pass for each operation."""
    import tensorflow as tf

    step = tf.cast(optimizer.iterations + 1, variable.dtype)
    index = optimizer._get_variable_index(variable)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].handle,
        v=optimizer._velocities[index].handle,
        beta1_power=tf.pow(tf.cast(optimizer.beta_1, variable.dtype), step),
        beta2_power=tf.pow(tf.cast(optimizer.beta_2, variable.dtype), step),
        lr=tf.cast(learning_rate, variable.dtype),
        beta1=tf.cast(optimizer.beta_1, variable.dtype),
        beta2=tf.cast(optimizer.beta_2, variable.dtype),
        epsilon=tf.cast(optimizer.epsilon, variable.dtype),
        grad=tf.cast(gradient, variable.dtype),
    )


def can_update_at_once(variable):
    """Whether `apply_adam_with_l2` pays for a variable: it is large, on a CPU, and no replica's."""
    import tensorflow as tf

    large = math.prod(variable.shape) >= (LARGE_FUSED if fuses_loops() else LARGE)
    return large and variable.dtype == "float32" and "CPU" in variable.device and not tf.distribute.has_strategy()


def apply_adam_with_l2(optimizer, gradient, variable, learning_rate):
    """Keras' Adam of a gradient with l2 times the weights, compiled: TensorFlow has no operation that does both."""
    import tensorflow as tf

    index = optimizer._get_variable_index(variable)
    numbers = optimizer.iterations + 1, learning_rate, optimizer.l2, optimizer.beta_1, optimizer.beta_2
    _adam_with_l2(fuses_loops())(
        variable,
        optimizer._momentums[index].value,
        optimizer._velocities[index].value,
        tf.cast(tf.convert_to_tensor(gradient), "float32"),  # of an embedding it comes in slices
        *(tf.cast(number, "float32") for number in (*numbers, optimizer.epsilon)),
    )


@functools.cache
def _adam_with_l2(in_one_loop):
    import tensorflow as tf

    def update(w, m, v, gradient, step, learning_rate, l2, beta_1, beta_2, epsilon):
        rate = learning_rate * tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step))
        rule = of_old_values if in_one_loop else of_new_moments
        rule(w, m, v, gradient, rate, l2, 1 - beta_1, 1 - beta_2, epsilon)

    def of_new_moments(w, m, v, gradient, rate, l2, d_1, d_2, epsilon):
        gradient += l2 * w
        m.assign_add(d_1 * (gradient - m))
        v.assign_add(d_2 * (tf.square(gradient) - v))
        w.assign_sub(rate * m / (tf.sqrt(v) + epsilon))

    def of_old_values(w, m, v, gradient, rate, l2, d_1, d_2, epsilon):
        # What two of these have in common XLA would compute first, into an array, in a loop of its own: none is written
        # as another is.
        old_w, old_m, old_v, d = w.read_value(), m.read_value(), v.read_value(), tf.sqrt(d_2)
        new_m = old_m - d_1 * old_m + d_1 * gradient + (d_1 * l2) * old_w
        new_v = old_v - d_2 * old_v + tf.square(d * gradient + (d * l2) * old_w)
        w.assign(old_w - rate * new_m / (tf.sqrt(new_v) + epsilon))
        m.assign((1 - d_1) * old_m + d_1 * (gradient + l2 * old_w))
        v.assign((1 - d_2) * old_v + d_2 * tf.square(gradient - (-l2) * old_w))

    return tf.function(update, jit_compile=True)


def fused_batch_norm(layer, inputs, training):
    """Batch normalization of images in one TensorFlow kernel.

    Args:
        layer: built `keras.layers.BatchNormalization` with scale and center, channels last.
        inputs: float tensor (batch, height, width, channels).
        training: bool, whether to normalize by the minibatch.

    Returns:
        outputs, mean (channels,), variance (channels,): of the minibatch, the variance divided by n - 1.
    """
    import tensorflow as tf

    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.cast(layer.gamma, "float32"),
        offset=tf.cast(layer.beta, "float32"),
        mean=tf.zeros(0) if training else layer.moving_mean.value,
        variance=tf.zeros(0) if training else layer.moving_variance.value,
        epsilon=layer.epsilon,
        is_training=training,
    )
    return outputs, mean, variance
