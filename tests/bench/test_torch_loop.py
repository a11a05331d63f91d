import dataclasses

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bench import torch_nets  # noqa: E402
from bench.torch_loop import Loop  # noqa: E402
from bench.workloads import COMPILED_TEXTS, DENSE, LARGE, TEXTS, WORKLOADS, small  # noqa: E402
from nft_keras import FriendlyModel, FriendlyTraining  # noqa: E402
from nft_keras.optimizers import Adam  # noqa: E402

IMAGES, FC_B, SPARSE = map(small, (LARGE, DENSE, TEXTS))
FC_A = dataclasses.replace(IMAGES, classifier="fc_a")
ONE_LEVEL = dataclasses.replace(IMAGES, shape=(9, 8, 1), auxiliary={"filters": 3, "depth": 1}, classifier="fc_a")


def pair(workload, **settings):
    """A compiled FriendlyModel and a loop with the same weights, without dropout, and a minibatch for each."""
    classifier, auxiliary = workload.networks()
    modules = workload.modules()
    for network, module in zip((classifier, auxiliary), modules, strict=True):
        torch_nets.copy_weights(network, module)
        for layer in network.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        for m in module.modules():
            if isinstance(m, torch.nn.Dropout):
                m.p = 0.0
    model = FriendlyModel(classifier, auxiliary, penalty="mean", phases="batch")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Adam(1e-4, l2=1e-2), Adam(1e-4, l2=1e-2), loss=loss)
    model.eta.assign(0.5)
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(6, *workload.shape)).astype("float32")
    y = rng.integers(workload.classes, size=6)
    theirs = torch.from_numpy(x if x.ndim == 2 else x.transpose(0, 3, 1, 2)), torch.from_numpy(y)
    return model, Loop(*modules, learning_rate=1e-4, weight_decay=1e-2, eta=0.5, **settings), (x, y), theirs


def same_statistics(network, module):
    """Gives PyTorch's batch norm our moving statistics: it divides the variance by n - 1 in them, Keras by n."""
    ours = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    theirs = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    for layer, m in zip(ours, theirs, strict=True):
        m.running_mean.copy_(torch.from_numpy(layer.moving_mean.numpy()))
        m.running_var.copy_(torch.from_numpy(layer.moving_variance.numpy()))


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if w is not COMPILED_TEXTS], ids=lambda w: w.name)
def test_the_networks_compared_have_the_same_number_of_parameters(workload):
    for network, module in zip(workload.networks(), workload.modules(), strict=True):
        statistics = sum(b.numel() for name, b in module.named_buffers() if "running" in name)
        assert network.count_params() == sum(p.numel() for p in module.parameters()) + statistics


@pytest.mark.parametrize(
    "workload, careful",
    [(IMAGES, False), (FC_B, False), (ONE_LEVEL, True), (SPARSE, True)],
    ids=lambda w: str(w)[:40],
)
def test_the_loop_and_ours_lose_the_same_step_by_step(workload, careful):
    model, loop, (x, y), theirs = pair(workload, careful=careful)
    for simplifying in (False, False, True, True):
        model.simplifying = simplifying
        logs = model.train_on_batch(x, y, return_dict=True)
        if simplifying:
            assert logs["auxiliary_loss"] == pytest.approx(loop.first_step(*theirs), abs=1e-4)
            same_statistics(model.auxiliary, loop.auxiliary)
            assert logs["loss"] == pytest.approx(loop.second_step(*theirs), abs=1e-4)
        else:
            assert logs["loss"] == pytest.approx(loop.classic_step(*theirs), abs=1e-4)
        same_statistics(model.classifier, loop.classifier)


def test_the_loop_of_ft_perturbs_as_ours_does():
    ours, loop, (x, y), theirs = pair(FC_A)
    model = FriendlyTraining(ours.classifier, step=20.0, confidence=0.14)
    model.compile(Adam(1e-4, l2=1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.simplifying = True
    model.max_steps.assign(8)
    _, steps = model.perturb(x, y)
    assert len(set(np.array(steps))) > 1
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] == pytest.approx(loop.friendly_step(*theirs, 8, 20.0, 0.14), abs=1e-4)


def test_eef_of_the_loop_takes_the_examples_with_the_lowest_loss():
    _, loop, _, (x, y) = pair(FC_A)
    chosen = loop.easiest(x, y, 2, batch_size=4)
    losses = torch.nn.functional.cross_entropy(loop.classifier(x), y, reduction="none")
    assert losses[chosen].max() <= losses.sort().values[1]
