"""What Keras and TensorFlow do not promise, and we use: each test says what has changed, and where it is used."""

import gc
import inspect
import subprocess
import sys
import textwrap
import threading
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nft_keras import FriendlyModel, optimizers
from nft_keras.backend import fuse_loops, keras_internals
from nft_keras.backend.tensorflow import product
from nft_keras.layers import FusedBatchNormalization
from nft_keras.metrics import Number, RelativePerturbation

USE = "see its use in nft_keras/backend/keras_internals.py"


def small(**compiled):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **compiled})
    return model


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("_maybe_symbolic_build", ["self", "iterator", "data_batch"]),
        ("_get_metrics_result_or_logs", ["self", "logs"]),
        ("_make_function", ["self", "step_function"]),
        ("_flatten_metrics_in_order", ["self", "logs"]),
        ("_symbolic_build", ["self", "iterator", "data_batch"]),
    ],
)
def test_keras_model_has_the_methods_that_we_extend(name, parameters):
    method = getattr(keras.Model, name, None)
    assert method is not None, f"keras.Model.{name} is gone; {USE}"
    there = list(inspect.signature(method).parameters)
    assert there == parameters, f"keras.Model.{name} takes {there} now; {USE}"


def test_keras_takes_the_state_of_a_step_on_jax_from_a_method_that_we_extend():
    from keras.src.backend.jax.trainer import JAXTrainer

    groups = ("trainable", "non_trainable", "optimizer", "metrics", "purge_model")
    there = list(inspect.signature(JAXTrainer._get_jax_state).parameters)
    assert there == ["self", *(f"{name}_variables" for name in groups)], f"_get_jax_state takes {there} now; {USE}"
    assert "_jax_state" in inspect.getsource(JAXTrainer.jax_state_sync), f"_jax_state is gone; {USE}"


def test_fit_takes_an_adapter_of_ours_that_leaves_minibatches_out():
    x = np.arange(12, dtype="float32").reshape(12, 1)
    given = dict.fromkeys(("shuffle", "class_weight", "sample_weight", "steps_per_epoch"))
    given |= {"x": x, "y": x, "batch_size": 4}
    number = keras_internals.number_of_minibatches(given)
    assert number == 3, f"the adapter of arrays no longer knows num_batches; {USE}"
    some = keras_internals.SomeMinibatches(given, np.array([True, False, True]))
    adapter = vars(keras_internals.Minibatches.__base__)
    inherited = [name for name, value in adapter.items() if callable(value) and name[0] != "_"]
    assert sorted(inherited) == [
        *("get_jax_iterator", "get_numpy_iterator", "get_tf_dataset", "get_torch_dataloader"),
        *("on_epoch_begin", "on_epoch_end"),
    ], f"DataAdapter has {inherited} now; {USE}"
    for read in (some.get_tf_dataset, some.get_jax_iterator, some.get_torch_dataloader):
        starts = [float(keras.ops.convert_to_numpy(minibatch[0])[0, 0]) for minibatch in read()]
        assert starts == [0.0, 8.0], f"{read.__name__} gives minibatches that begin with {starts}; {USE}"
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", loss=lambda y, y_pred: keras.ops.mean(y_pred))
    model.fit(x=keras_internals.SomeMinibatches(given, np.array([True, False, True])), verbose=0)
    assert model.optimizer.iterations == 2, f"fit no longer takes a DataAdapter for x; {USE}"


def test_keras_says_whether_xla_compiles_a_model():
    model = small()
    assert keras_internals.supports_xla(model), f"model_supports_jit says no of a dense layer; {USE}"
    model.layers[0].supports_jit = False
    assert not keras_internals.supports_xla(model), f"model_supports_jit looks no longer at supports_jit; {USE}"


def test_a_distributed_dataset_has_as_many_minibatches_as_it_is_told():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    parts = strategy.distribute_datasets_from_function(lambda _: tf.data.Dataset.range(10))
    found = keras_internals.count_minibatches(parts, 2)
    assert found.cardinality == 5, f"the cardinality of a distributed data set is no longer in _cardinality; {USE}"


def test_keras_makes_a_train_function_where_there_is_none():
    model, functions = small(), {}
    assert model.train_function is None, f"compile no longer leaves train_function None; {USE}"
    model.make_train_function()
    first = model.train_function
    keras_internals.swap_train_function(model, functions, "a", "b")
    assert model.train_function is not first, f"make_train_function no longer makes a new function; {USE}"
    keras_internals.swap_train_function(model, functions, "b", "a")
    assert model.train_function is first, f"make_train_function replaces a function that is there; {USE}"


def test_keras_makes_the_functions_of_evaluation_and_prediction_where_there_are_none():
    model = small()
    for name in ("test_function", "predict_function"):
        model.evaluate(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
        model.predict(np.ones((2, 3)), verbose=0)
        first = getattr(model, name)
        setattr(model, name, None)
        model.evaluate(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
        model.predict(np.ones((2, 3)), verbose=0)
        assert first is not None and getattr(model, name) not in (None, first), f"{name} is not made anew; {USE}"


def test_the_mean_loss_of_keras_is_in_a_metric_called_loss():
    model = small()
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 2)))
    named = [metric.name for metric in model.metrics].count("loss")
    assert named == 1, f"{named} metrics are called loss; {USE}"
    assert float(keras_internals.loss_tracker(model).result()) > 0


def test_train_on_batch_returns_the_logs_in_the_order_that_we_give():
    model = small()
    logs = model.train_on_batch(np.ones((2, 3)), np.ones((2, 2)), return_dict=True)
    assert keras_internals.as_keras_returns(model, logs) == list(logs.values()), f"the order has changed; {USE}"


def test_save_stores_what_a_property_shows_and_the_weights_do_not_hold(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    class Holder(keras_internals.Model):
        def __init__(self):
            super().__init__()
            self.aside = keras_internals.Untracked(network=small())

        @property
        def network(self):
            return self.aside.network

        def call(self, x):
            return x

    first, second = Holder(), Holder()
    assert first.weights == [], f"Keras looks inside plain objects now; {USE}"
    for model in (first, second):
        model.build((None, 3))
    first.save_weights(tmp_path / "all.weights.h5")
    second.load_weights(tmp_path / "all.weights.h5")
    for a, b in zip(first.network.get_weights(), second.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"save no longer walks dir(model); {USE}")


def test_a_loss_scale_optimizer_shows_the_optimizer_inside():
    inner = keras.optimizers.Adam()
    assert keras_internals.innermost(keras.optimizers.LossScaleOptimizer(inner)) is inner, USE
    assert keras_internals.innermost(inner) is inner


def test_a_convolution_is_computed_by_the_operation_that_it_is_given():
    layer = layers.Conv2D(2, 3)
    layer.build((None, 5, 5, 1))
    keras_internals.set_convolution(layer, lambda inputs, kernel: keras.ops.zeros((1, 3, 3, 2)))
    assert float(keras.ops.max(layer(np.ones((1, 5, 5, 1))))) == 0, f"convolution_op is not asked any more; {USE}"


def test_of_one_replica_nothing_is_all_reduced():
    reduce = getattr(keras.optimizers.Adam, "_all_reduce_sum_gradients", None)
    assert reduce is not None, f"Adam._all_reduce_sum_gradients is gone; {USE}"
    optimizer, pairs = optimizers.Adam(), [(tf.ones(1), keras.Variable([1.0]))]
    assert optimizer._all_reduce_sum_gradients(pairs) is pairs


@pytest.mark.parametrize("steps", [1, 5])
def test_adam_in_one_pass_makes_the_updates_of_keras(steps):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(steps, 4, 3)).astype("float32")
    results = []
    for make in (optimizers.Adam, keras.optimizers.Adam):
        optimizer, variable = make(0.01), keras.Variable(start)
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)], [variable])
        results.append(variable.numpy())
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6, err_msg=f"Adam's state or rule has changed; {USE}")


@pytest.fixture
def all_are_large(monkeypatch):
    for name in ("LARGE", "LARGE_FUSED", "WIDE"):
        monkeypatch.setattr(keras_internals, name, 1)


@pytest.fixture(params=[False, True], ids=["a loop each", "one loop"])
def loops(request, monkeypatch):
    """As XLA's flags have it from the start of a process: this one's may have been read before."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if request.param:
        fuse_loops()


@pytest.mark.parametrize("in_slices", [False, True])
def test_adam_with_l2_of_a_large_variable_is_one_operation_and_that_of_the_formula(
    all_are_large, loops, monkeypatch, in_slices
):
    monkeypatch.setattr(keras_internals, "apply_adam", lambda *arguments: pytest.fail("by TensorFlow's operation"))
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=(4, 3)), rng.normal(size=(5, 4, 3)).astype("float32")
    optimizer, variable = optimizers.Adam(0.01, l2=0.3), keras.Variable(w.astype("float32"))
    m, v = np.zeros_like(w), np.zeros_like(w)
    for step, gradient in enumerate(gradients, 1):
        given = tf.constant(gradient)
        optimizer.apply([tf.IndexedSlices(given, tf.range(4), (4, 3)) if in_slices else given], [variable])
        with_l2 = gradient + 0.3 * w
        m, v = 0.9 * m + 0.1 * with_l2, 0.999 * v + 0.001 * with_l2**2
        w = w - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-7)
    of_optimizer = [variable, optimizer._momentums[0], optimizer._velocities[0]]
    for ours, formula in zip(of_optimizer, (w, m, v), strict=True):
        np.testing.assert_allclose(ours.numpy(), formula, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"global_clipnorm": 0.5},
        {"weight_decay": 0.1, "use_ema": True, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"loss_scale_factor": 4.0},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_large_variable_is_updated_as_a_small_one_is(settings, jit_compile, loops, monkeypatch):
    def updated():
        optimizer = optimizers.Adam(**{"learning_rate": 0.1, "l2": 0.3, **settings})
        variable = keras.Variable(np.random.default_rng(0).normal(size=(4, 3)))
        optimizer.build([variable])
        step = tf.function(lambda: optimizer.apply([tf.sin(variable.value)], [variable]), jit_compile=jit_compile)
        for _ in range(5):
            step()
        return [variable, *optimizer.variables]

    small = updated()
    monkeypatch.setattr(keras_internals, "LARGE", 1)
    monkeypatch.setattr(keras_internals, "LARGE_FUSED", 1)
    for a, b in zip(small, updated(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fused, at_once", [(False, [False, False, True]), (True, [False, True, True])])
def test_a_variable_is_updated_at_once_from_fewer_weights_on_where_that_is_one_loop(fused, at_once, monkeypatch):
    monkeypatch.setattr(keras_internals, "fuses_loops", lambda: fused)
    sizes = [keras_internals.LARGE_FUSED - 1, keras_internals.LARGE_FUSED, keras_internals.LARGE]
    assert [keras_internals.can_update_at_once(tf.Variable(tf.zeros(n))) for n in sizes] == at_once


def test_xla_makes_the_update_in_one_loop_where_its_flags_say_so():
    code = """
        from nft_keras.backend import fuse_loops
        fuse_loops()
        import numpy as np
        import tensorflow as tf
        from nft_keras.backend.keras_internals import _adam_with_l2
        w, m, v, gradient = np.random.default_rng(0).normal(size=(4, 1000, 1200))
        v = 1 + v**2
        held = [tf.Variable(a.astype("float32")) for a in (w, m, v)]
        of = gradient + 0.1 * w
        m, v = 0.9 * m + 0.1 * of, 0.999 * v + 0.001 * of**2
        w = w - 0.01 * (m / (1 - 0.9**2)) / (np.sqrt(v / (1 - 0.999**2)) + 1e-7)
        arguments = [tf.constant(gradient.astype("float32")), *map(tf.constant, (2.0, 0.01, 0.1, 0.9, 0.999, 1e-7))]
        print(_adam_with_l2(True).experimental_get_compiler_ir(*held, *arguments)(stage="optimized_hlo"))
        _adam_with_l2(True)(*held, *arguments)
        for ours, formula in zip(held, (w, m, v)):
            np.testing.assert_allclose(ours, formula, rtol=1e-4, atol=1e-5)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr[-2000:]}; {USE}"
    entry = done.stdout[done.stdout.index("ENTRY") :].splitlines()
    loops = [line for line in entry if " fusion(" in line and "[1000,1200]" in line.partition(" fusion(")[0]]
    assert len(loops) == 1 and loops[0].partition(" fusion(")[0].count("[1000,1200]") == 3, f"{loops}; {USE}"


def test_a_large_variable_that_was_updated_goes_with_its_model(all_are_large):
    optimizer, variable = optimizers.Adam(0.01, l2=0.3), keras.Variable(np.ones((4, 3)))
    optimizer.apply([tf.ones((4, 3))], [variable])
    of_variable = weakref.ref(variable.value)
    del optimizer, variable
    gc.collect()
    assert of_variable() is None


def test_a_dense_layer_multiplies_by_a_function_as_long_as_it_is_told_to(all_are_large):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, "relu")])
    x, before = np.ones((2, 3), "float32"), model.layers[0].call
    with keras_internals.large_products([model], lambda inputs, kernel: 2 * (inputs @ kernel)):
        twice = model(x)
    np.testing.assert_allclose(twice, 2 * model(x), err_msg=f"a layer's own call is not asked any more; {USE}")
    assert model.layers[0].call == before and np.any(twice)


def test_a_dense_layer_multiplies_by_itself_where_a_derivative_is_taken_forwards(all_are_large):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    x, kernel = tf.random.stateless_normal((20, 3), (0, 1)), model.layers[0].kernel.value

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
                outputs = model(x)
            change = tf.reduce_sum(accumulator.jvp(outputs) ** 2) / 2
        return tape.gradient(change, kernel)

    with keras_internals.large_products([model], product):
        ours = gradient()
    ones = np.ones_like(x)
    np.testing.assert_allclose(ours, ones.T @ (ones @ kernel.numpy()), rtol=1e-5, err_msg=USE)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_in_one_kernel_is_that_of_keras(training):
    x = np.random.default_rng(0).normal(2.0, 3.0, (4, 5, 5, 3)).astype("float32")
    outputs, moving = [], []
    for make in (FusedBatchNormalization, layers.BatchNormalization):
        layer = make()
        outputs.append(np.array(layer(x, training=training)))
        moving.append(np.concatenate([layer.moving_mean.numpy(), layer.moving_variance.numpy()]))
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5, err_msg=USE)
    np.testing.assert_allclose(*moving, rtol=1e-4, err_msg=USE)


def two_outputs():
    x = keras.Input((3,))
    model = keras.Model(x, {"a": layers.Dense(1, name="a")(x), "b": layers.Dense(1, name="b")(x)})
    model.compile("sgd", {"a": "mse", "b": "mse"})
    return model, np.ones((2, 3), "float32"), {"a": np.ones((2, 1)), "b": np.ones((2, 1))}


def test_the_losses_of_outputs_are_logged_where_the_loss_is_computed_and_not_where_we_hide_them():
    model, x, y = two_outputs()
    model.train_on_batch(x, y)
    before = model.get_metrics_result()
    with keras_internals.without_logs_of_outputs(model):
        model.compute_loss(x, y, {"a": x[:, :1] + 9, "b": x[:, :1] + 9})
    assert {"a_loss", "b_loss"} <= set(before), f"the means of the outputs' losses have other names; {USE}"
    for name, value in model.get_metrics_result().items():
        np.testing.assert_array_equal(value, before[name], err_msg=f"a hidden loss was logged; {USE}")
    model.compute_loss(x, y, {"a": x[:, :1] + 9, "b": x[:, :1] + 9})
    assert model.get_metrics_result()["a_loss"] != before["a_loss"], f"compute_loss no longer logs them; {USE}"


@pytest.mark.parametrize("name", ["Adam", "SGD", "Lion", "LossScaleOptimizer", "MultiOptimizer", "scaled Nadam"])
def test_an_optimizer_built_anew_is_that_of_the_other_variables(name):
    def make():
        if name == "scaled Nadam":  # which assigns variables to attributes
            return keras.optimizers.LossScaleOptimizer(keras.optimizers.Nadam(0.1))
        make = getattr(keras.optimizers, name)
        if name == "LossScaleOptimizer":
            return make(keras.optimizers.Adam(0.1))
        return make(keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.1))) if name[:5] == "Multi" else make(0.1)

    optimizer, fresh = make(), make()
    few, all_of_them = [keras.Variable([1.0])], [keras.Variable([1.0]), keras.Variable([[2.0, 3.0]])]
    optimizer.build(few)
    keras_internals.build_anew(optimizer, all_of_them)
    fresh.build(all_of_them)
    shapes = [tuple(variable.shape) for variable in optimizer.variables]
    assert shapes == [tuple(variable.shape) for variable in fresh.variables], f"the state has other parts; {USE}"
    assert len(optimizer._variables) == len(fresh._variables), f"weights count as the optimizer's own; {USE}"
    gradients = [tf.constant([1.0]), tf.constant([[1.0, 1.0]])]
    optimizer.apply(gradients, all_of_them)
    assert all_of_them[1].numpy()[0, 0] < 2, USE


def test_keras_splits_arrays_for_validation_as_fit_does():
    x, y = np.arange(8.0), {"a": np.arange(8), "b": np.arange(8)}
    given = {"x": x, "y": y, "sample_weight": None, "validation_split": 0.25, "validation_data": None}
    keras_internals.split_for_validation(given)
    assert len(given["x"]) == len(given["y"]["b"]) == 6, f"array_slicing.train_validation_split has changed; {USE}"
    assert given["validation_split"] == 0 and len(given["validation_data"][0]) == 2, USE


def test_class_weights_become_those_of_examples():
    weights = keras_internals.sample_weights(np.array([0, 1, 1]), {0: 2.0, 1: 3.0})
    assert np.asarray(weights).tolist() == [2, 3, 3], f"class_weight_to_sample_weights has changed; {USE}"


def test_a_dataset_says_what_it_is_made_of():
    source = tf.data.Dataset.range(3)
    assert keras_internals.is_made_of(source.map(lambda i: i + 1).batch(2).prefetch(1), source), USE
    assert not keras_internals.is_made_of(tf.data.Dataset.range(3).batch(2), source)
    assert keras_internals.is_cached(source.cache().prefetch(1)) and not keras_internals.is_cached(source.batch(2)), USE


def test_keras_calls_what_a_layer_s_call_is_and_goes_on_with_what_it_returns():
    inside = keras.Input((3,))
    layer = layers.Dense(3, kernel_initializer="ones", name="inside")
    x = keras.Input((3,))
    model = keras.Model(x, layers.ReLU()(keras.Model(inside, layer(inside))(x)))
    keras_internals.make_output_replaceable(layer)
    with keras_internals.replaced_output(layer, lambda output: output + 1):
        np.testing.assert_allclose(model(np.ones((2, 3))), 4, err_msg=f"layer.call is not asked any more; {USE}")
        np.testing.assert_allclose(model.predict(np.ones((2, 3)), verbose=0), 4, err_msg=USE)
    np.testing.assert_allclose(model(np.ones((2, 3))), 3)


def test_a_network_says_what_it_calls_and_on_what_shapes():
    x, shared = keras.Input((3,)), layers.Dense(3)
    network = keras.Model(x, layers.ReLU()(shared(shared(x))))
    called = [(type(layer).__name__, *shapes) for layer, *shapes in keras_internals.calls(network)]
    row = [(None, 3)]
    assert called == [("InputLayer", [], row), ("Dense", row, row), ("Dense", row, row), ("ReLU", row, row)], USE
    assert keras_internals.calls(keras.Sequential([keras.Input((3,)), shared]))[1] == (shared, row, row), USE
    assert keras_internals.calls(keras.Sequential([shared])) is None, USE


def test_what_is_rematerialized_says_so():
    with keras.RematScope("full"):
        layer = layers.Dense(3)
    assert keras_internals.is_rematerialized(layer) and not keras_internals.is_rematerialized(layers.Dense(3)), USE


def test_a_mask_is_kept_with_its_tensor():
    tokens = keras.ops.convert_to_tensor([[1, 0]])
    embedded = layers.Embedding(2, 3, mask_zero=True)(tokens)
    assert np.array(keras_internals.mask_of(embedded)).tolist() == [[True, False]], USE
    assert keras_internals.mask_of(tokens) is None
    assert keras_internals.mask_of(keras_internals.with_mask(tokens, tokens)) is tokens


def test_a_random_layer_of_keras_draws_from_the_seed_that_it_is_given_alone():
    layer = layers.RandAugment((0, 1), dtype="float32")
    assert callable(getattr(layer, "_get_seed_generator", None)), f"layers draw from something else; {USE}"
    generators = [each.generator for each in layer._flatten_layers() if hasattr(each, "generator")]
    before = [np.array(generator.state) for generator in generators]
    images = tf.random.stateless_uniform((4, 8, 8, 3), (0, 0))
    make = tf.function(lambda seed: keras_internals.layer_with_seed(layer, images, seed))
    first, other, again = (make(tf.constant([1, seed])).numpy() for seed in (1, 2, 1))
    assert (first == again).all() and (first != other).any(), f"a layer does not draw from SeedGenerator.next; {USE}"
    assert len(before) > 5
    for generator, state in zip(generators, before, strict=True):
        np.testing.assert_array_equal(generator.state, state, f"a layer draws from its own variable; {USE}")


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
def test_a_model_is_saved_in_memory_as_into_a_file(tmp_path, name):
    model, again = small(), small()
    content = keras_internals.saved(model.save if name == "a.keras" else model.save_weights, name)
    assert len(content) > 1000 and not list(tmp_path.iterdir()), USE
    (tmp_path / name).write_bytes(content)
    again.load_weights(tmp_path / name)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other, USE)


def test_an_optimizer_is_not_made_anew_whenever_one_is_saved(monkeypatch):
    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    made, build = [], keras.optimizers.Optimizer.__init__

    def counted(self, *arguments, **keywords):
        made.append(self)
        build(self, *arguments, **keywords)

    monkeypatch.setattr(keras.optimizers.Optimizer, "__init__", counted)
    for _ in range(3):
        keras_internals.saved(model.save_weights, "a.weights.h5")
    assert len(made) == 1  # Keras alone makes one each time; where it makes none, keep_skipsets can go


def test_of_two_threads_each_keeps_its_own_losses_out_of_the_means_of_the_outputs():
    x = keras.Input((3,))
    model = keras.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])
    model.compile("sgd", ["mse", "mse"])
    data = np.ones((2, 3), "float32"), [np.zeros((2, 1), "float32")] * 2
    model.train_on_batch(*data)
    model.reset_metrics()
    inside, outside = threading.Event(), threading.Event()

    def other():
        with keras_internals.without_logs_of_outputs(model):
            inside.set()
            outside.wait(10)
            model.compute_loss(data[0], data[1], model(data[0]))

    thread = threading.Thread(target=other)
    with keras_internals.without_logs_of_outputs(model):
        thread.start()
        assert inside.wait(10)
    outside.set()
    thread.join(10)
    assert [float(mean.result()) for mean in model._compile_loss.metrics] == [0, 0]
    model.compute_loss(data[0], data[1], model(data[0]))
    assert all(float(mean.result()) > 0 for mean in model._compile_loss.metrics)


def test_an_optimizer_that_accumulates_counts_after_it_was_built_anew():
    layer = layers.Dense(2)
    layer.build((None, 3))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    optimizer.build(layer.trainable_variables)
    keras_internals.build_anew(optimizer, [layer.kernel])
    inner = keras_internals.innermost(optimizer)
    assert any(variable is inner._iterations for variable in inner.variables)
    assert [id(v) for v in optimizer._trainable_variables] == [id(layer.kernel)]
    inner.apply([np.ones((3, 2), "float32")], [layer.kernel])
    assert keras_internals.steps_taken(optimizer) == 1 and int(inner.iterations) == 0
    keras_internals.begin_counting(optimizer)
    assert keras_internals.steps_taken(optimizer) == 0


@pytest.mark.skipif(not hasattr(keras.optimizers, "ScheduleFreeAdamW"), reason="an earlier Keras has it not")
def test_an_optimizer_that_keeps_a_copy_of_the_weights_has_those_of_the_beginning_of_fit():
    classifier = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model = FriendlyModel(classifier, None)
    model.compile(keras.optimizers.ScheduleFreeAdamW(0.01), loss="mse")
    loaded = [np.full(weight.shape, 3.0, "float32") for weight in classifier.get_weights()]
    classifier.set_weights(loaded)
    model._build_optimizers()
    copies = [v.numpy() for v in model.optimizer.variables if v.numpy().shape == (3, 2) and (v.numpy() == 3).all()]
    assert copies


@pytest.mark.skipif(not hasattr(keras.optimizers, "ScheduleFreeAdamW"), reason="an earlier Keras has it not")
def test_the_state_of_an_optimizer_whose_first_steps_overflow_is_the_one_that_moves():
    model = FriendlyModel(keras.Sequential([keras.Input((3,)), layers.Dense(2)]), None)
    inner, start = keras.optimizers.ScheduleFreeAdamW(0.01), model.classifier.get_weights()
    model.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=1e38), loss="mse")
    x, y = np.full((4, 3), 100.0, "float32"), np.zeros((4, 2), "float32")
    for _ in range(15):
        model.train_on_batch(x, y)
    assert 0 < int(inner.iterations) < 15  # it keeps the weights to which its steps lead
    assert all(np.any(v.numpy() != before) for v, before in zip(inner._momentums, start, strict=True))


def test_what_is_no_number_is_no_unaltered_data():
    metric, x = RelativePerturbation("r"), np.ones((2, 3), "float32")
    metric.update_state(x, x)
    assert float(metric.result()) == 0
    metric.update_state(x * np.nan, x)
    assert np.isnan(metric.result())


def test_where_elements_lie_is_not_summed_over_replicas():
    metric = RelativePerturbation("r")
    assert metric.center.aggregation == Number("n").variable.aggregation != metric.sums[0].aggregation
    assert any(variable is metric.center for variable in metric.variables)
