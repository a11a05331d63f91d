"""What is measured: networks and synthetic data of the published shapes, for `model.fit` and for the PyTorch loop."""

import dataclasses
import math
import time

import numpy as np

COLUMNS = 30  # features of a table at most
EVER = 10**6  # epochs of a plan that does not end while one measures


@dataclasses.dataclass(frozen=True)
class Workload:
    """A classifier with an auxiliary network on examples of one shape.

    Attributes:
        name: str, how tables call it.
        classifier: "fc_a", "fc_b" or "cnn_a".
        auxiliary: dict, arguments of `unet` (images), or of `mlp` (features, label-conditioned).
        shape: tuple, shape of an example: (28, 28, 1), or (features,).
        classes: int.
        units: tuple of ints, FC-B's hidden units.
        precision: "float32" or "mixed_bfloat16".
        steps: int, minibatches of a measured epoch.
        jit_compile: bool or "auto", as for `keras.Model.compile`.
        steps_per_execution: int, as for `keras.Model.compile`.
        target: float, the speed-up over the plain loop that an epoch of NFT shall have; None: none is set.
    """

    name: str
    classifier: str
    auxiliary: dict
    shape: tuple = (28, 28, 1)
    classes: int = 10
    units: tuple = (2500, 2000, 1500, 1000, 500)
    precision: str = "float32"
    steps: int = 6
    jit_compile: bool | str = "auto"
    steps_per_execution: int = 1
    target: float | None = None

    def networks(self):
        """The Keras classifier and auxiliary network, of the workload's precision."""
        import keras

        from nft_keras import auxiliaries, classifiers

        keras.config.set_dtype_policy(self.precision)
        build = getattr(classifiers, self.classifier)
        classifier = build(self.shape, self.classes, **({"units": self.units} if self.classifier == "fc_b" else {}))
        if len(self.shape) == 3:
            auxiliary = auxiliaries.unet(self.shape, **self.auxiliary)
        else:
            auxiliary = auxiliaries.mlp(*self.shape, num_classes=self.classes, **self.auxiliary)
        keras.config.set_dtype_policy("float32")
        return classifier, auxiliary

    def modules(self):
        """The PyTorch classifier and auxiliary network."""
        from bench import torch_nets

        features = math.prod(self.shape)
        classifier = {
            "cnn_a": lambda: torch_nets.cnn_a(self.shape[0], self.classes),
            "fc_a": lambda: torch_nets.fc_a(features, self.classes),
            "fc_b": lambda: torch_nets.fc_b(features, self.classes, self.units),
        }[self.classifier]()
        if len(self.shape) == 3:
            return classifier, torch_nets.UNet(**self.auxiliary)
        return classifier, torch_nets.MLP(features, self.classes, **self.auxiliary)

    def examples(self, n):
        """n examples (x, y), always the same: images of bytes, numbers of a table, or sparse texts, 130 words."""
        import scipy.sparse

        rng = np.random.default_rng(0)
        y = rng.integers(self.classes, size=n).astype("int32")
        if len(self.shape) == 3:
            return rng.integers(256, size=(n, *self.shape), dtype="uint8"), y
        if self.shape[0] <= COLUMNS:
            return rng.normal(size=(n, *self.shape)).astype("float32"), y
        words = min(130, *self.shape)
        columns = np.sort(rng.integers(self.shape[0], size=(n, words)), axis=1).ravel()
        values = rng.uniform(1, 10, size=n * words).astype("float32")
        x = scipy.sparse.csr_matrix((values, columns, np.arange(0, n * words + 1, words)), (n, *self.shape))
        x.sum_duplicates()
        return x, y


IMAGES = {"filters": 64, "depth": 2}
LARGE = Workload("CNN-A + U-Net(2, 64)", "cnn_a", IMAGES, steps=10, target=1.9)
BFLOAT16 = dataclasses.replace(LARGE, name=f"{LARGE.name}, bfloat16", precision="mixed_bfloat16", steps=12, target=3.3)
SMALL = Workload("CNN-A + U-Net(1, 16)", "cnn_a", {"filters": 16, "depth": 1}, steps=40, target=1.9)
DENSE = Workload("FC-B + U-Net(2, 64)", "fc_b", IMAGES, steps=10)
TEXTS = Workload("FC-B + MLP, TF-IDF", "fc_b", {}, shape=(20000,), classes=2, steps=15, target=4.0)
COMPILED_TEXTS = dataclasses.replace(TEXTS, name=f"{TEXTS.name}, jit_compile", jit_compile=True)
WORKLOADS = (LARGE, BFLOAT16, SMALL, DENSE, TEXTS, COMPILED_TEXTS)


def small(workload):
    """The workload with networks, epochs and examples as small as they can be, to see whether it runs."""
    changes = {"units": (8, 4), "steps": 2}
    if len(workload.shape) == 3:
        changes |= {"shape": (8, 8, 1), "auxiliary": {**workload.auxiliary, "filters": 4}}
    else:
        changes |= {"shape": (50,), "auxiliary": {"hidden": 4}}
    return dataclasses.replace(workload, **changes)


class Clock:
    """Seconds of the first phase (until the first minibatch of the second one), the second one, and the epoch.

    Attributes:
        seconds: {"first": ..., "second": ..., "epoch": ..., "processor": ...}, the last one the processor time of the
            process in the epoch.
    """

    def callback(self):
        """The `keras.callbacks.Callback`; it has to be the first one."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.start(),
            on_train_batch_begin=lambda batch, logs: batch or self.between(),
            on_epoch_end=lambda epoch, logs: self.stop(),
        )

    def start(self):
        """An epoch begins."""
        self._began, self._processor = time.perf_counter(), time.process_time()

    def between(self):
        """The second phase begins."""
        self._between = time.perf_counter()

    def stop(self):
        """The epoch ends."""
        now = time.perf_counter()
        self.seconds = {
            "first": self._between - self._began,
            "second": now - self._between,
            "epoch": now - self._began,
            "processor": time.process_time() - self._processor,
        }


class Fit:
    """Training with nft_keras as users run it, an epoch of `model.fit` at a time.

    Args:
        workload: `Workload`.
        method: "keras" (the classifier's own `fit`), "ct" (as a recipe trains it), "dropped" (a `FriendlyModel` after
            the drop), "epoch", "batch" or "joint" (NFT, with these phases), "ft" or "eef".
        n: int, the number of examples; default the workload's steps times batch_size.
        batch_size: int.
        pipeline: function of (part, batch_size, seed, epoch) that gives the `tf.data.Dataset`;
            default `nft_keras.data`'s.
        perturbation: dict, `FriendlyTraining`'s step and confidence and the plan's max_steps.
        fraction: float, NFT's auxiliary_fraction.

    Attributes:
        logs: dict, those of the last epoch.
    """

    def __init__(self, workload, method, n=None, batch_size=32, pipeline=None, perturbation=None, fraction=1.0):
        import keras
        import tensorflow as tf

        from nft_keras.backend import fuse_loops
        from nft_keras.data import Part
        from nft_keras.data.batches import batches

        fuse_loops()  # as the programs do
        self.batch_size = batch_size
        self.n = n or workload.steps * batch_size
        self.steps = math.ceil(self.n / batch_size)
        part, self.order = Part(*workload.examples(self.n)), tf.Variable(0)
        self.model, self.plan = _model(workload, method, part, perturbation, fraction)
        compiled = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
        if method in ("dropped", "epoch", "batch", "joint"):
            compiled["auxiliary_optimizer"] = _adam()
        compiled |= {"jit_compile": workload.jit_compile, "steps_per_execution": workload.steps_per_execution}
        self.model.compile(optimizer=_adam(), **compiled)
        kept = {"kept": self.plan.kept} if self.plan and self.plan.kept is not None else {}
        self.data = (pipeline or batches)(part, batch_size, 0, self.order, **kept)
        if kept:
            self.plan.takes(self.data)
        self.clock, self.epochs = Clock(), 1
        if method == "dropped":
            self.epoch()

    def epoch(self):
        """Trains for an epoch; `Clock.seconds` per step."""
        callbacks = [self.clock.callback(), *([self.plan] if self.plan else [])]
        history = self.model.fit(
            self.data, initial_epoch=self.epochs, epochs=self.epochs + 1, verbose=0, shuffle=False, callbacks=callbacks
        )
        self.logs = {name: values[-1] for name, values in history.history.items()}
        self.epochs += 1
        self.order.assign(self.epochs)
        return {name: seconds / self.steps for name, seconds in self.clock.seconds.items()}


def _adam():
    from nft_keras.optimizers import Adam

    return Adam(1e-4, l2=1e-4)


def _model(workload, method, part, perturbation, fraction):
    import nft_keras
    from nft_keras.data.batches import batches

    classifier, auxiliary = workload.networks()
    if method == "keras":
        return classifier, None
    if method == "dropped":
        return nft_keras.FriendlyModel(classifier, auxiliary, "mean", "batch"), nft_keras.DevelopmentalPlan(1.0, 2)
    if method == "ft":
        plan = nft_keras.PerturbationPlan(perturbation["max_steps"], EVER, law=lambda progress: 0.0)
        return nft_keras.FriendlyTraining(classifier, perturbation["step"], perturbation["confidence"]), plan
    if method == "eef":
        plan = nft_keras.EasyExamplesPlan(batches(part, 250).unbatch(), len(part), 0.5, EVER)
        return nft_keras.EasyExamplesFirst(classifier), plan
    if method == "ct":
        return nft_keras.FriendlyModel(classifier, None), nft_keras.DevelopmentalPlan(0.0, 0)
    model = nft_keras.FriendlyModel(classifier, auxiliary, "mean", method, auxiliary_fraction=fraction)
    return model, nft_keras.DevelopmentalPlan(1.0, EVER)


class TorchFit:
    """The same training in a plain PyTorch loop, an epoch at a time.

    Args:
        workload, method, n, batch_size, perturbation: as for `Fit`; method "keras", "epoch", "ft" or "eef".
        careful: bool, whether NFT's loop leaves out the gradients that it throws away.
    """

    def __init__(self, workload, method, n=None, batch_size=32, perturbation=None, careful=False):
        import torch

        from bench.torch_loop import Loop

        self.method, self.batch_size, self.perturbation = method, batch_size, perturbation
        self.n = n or workload.steps * batch_size
        self.steps = math.ceil(self.n / batch_size)
        classifier, auxiliary = workload.modules()
        self.loop = Loop(
            classifier, auxiliary if method == "epoch" else None, precision=workload.precision, careful=careful
        )
        self.x, y = workload.examples(self.n)
        self.y = torch.from_numpy(y).long()
        if len(workload.shape) == 3:
            self.x = torch.from_numpy(self.x).permute(0, 3, 1, 2).float().div_(255)

    def start_from(self, fit):
        """Takes the weights of the classifier that a `Fit` trains."""
        from bench.torch_nets import copy_weights

        copy_weights(fit.model.classifier, self.loop.classifier)

    def epoch(self):
        """Trains for an epoch; `Clock.seconds` per step."""
        import torch

        clock = Clock()
        clock.start()
        if self.method == "epoch":
            for rows in torch.randperm(self.n).split(self.batch_size):
                self.loop.first_step(*self._batch(rows))
        clock.between()
        rows = torch.randperm(self.n)
        if self.method == "eef":
            rows = self.loop.easiest(self.x, self.y, self.n // 2)
            rows = rows[torch.randperm(len(rows))]
        step = {"keras": self.loop.classic_step, "epoch": self.loop.second_step, "eef": self.loop.classic_step}
        step["ft"] = lambda x, y: self.loop.friendly_step(x, y, **self.perturbation)
        for some in rows.split(self.batch_size):
            step[self.method](*self._batch(some))
        clock.stop()
        return {name: value / self.steps for name, value in clock.seconds.items()}

    def _batch(self, rows):
        import torch

        x = self.x[rows] if torch.is_tensor(self.x) else torch.from_numpy(self.x[rows.numpy()].toarray())
        return x, self.y[rows]
