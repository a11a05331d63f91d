"""What depends on the back end beside the training step."""

import importlib
import os

import keras
import pytest
import torch

from nft_keras import backend

FUSED = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=true"


@pytest.fixture
def on_torch(monkeypatch):
    monkeypatch.setattr(backend, "backend_name", lambda: "torch")


@pytest.mark.parametrize("module", backend.MODULES.values())
def test_every_back_end_has_every_function(module):
    module = importlib.import_module(module)
    assert [name for name in backend.PROTOCOL if not hasattr(module, name)] == []


def test_missing_memory_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(10**15)
    assert "allocate 4000000000000000 bytes" in backend.out_of_memory(caught.value)
    said = "CUDA out of memory. Tried to allocate 20.00 GiB."
    assert backend.out_of_memory(torch.OutOfMemoryError(f"{said}\nSee documentation")) == said
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2) @ torch.zeros(3)
    assert backend.out_of_memory(caught.value) is None


def test_on_torch_operations_are_deterministic_ones_when_they_are_to_be(on_torch, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        backend.make_deterministic()
        assert torch.are_deterministic_algorithms_enabled() and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("own", [None, "--xla_dump_to=here"])
def test_loops_are_fused_by_a_flag_beside_those_of_the_user(own, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", own) if own else monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert not backend.fuses_loops()
    for _ in range(2):
        backend.fuse_loops()
        assert os.environ["XLA_FLAGS"].split() == [*([own] if own else []), FUSED] and backend.fuses_loops()


@pytest.mark.parametrize("name, change", [("tensorflow", "fuse_loops"), ("jax", "make_deterministic")])
def test_a_flag_is_added_to_those_in_a_file_that_the_user_names(name, change, tmp_path, monkeypatch):
    file = tmp_path / "flags.txt"
    file.write_text("--xla_dump_to=here\n")
    monkeypatch.setenv("XLA_FLAGS", str(file))
    monkeypatch.setattr(backend, "backend_name", lambda: name)
    getattr(backend, change)()
    own, added = os.environ["XLA_FLAGS"].split()
    assert own == "--xla_dump_to=here" and added in (FUSED, "--xla_gpu_deterministic_ops=true")


def test_loops_are_not_fused_where_the_user_has_extra_options_nor_on_torch(monkeypatch):
    own = "--xla_backend_extra_options=xla_cpu_optimize_for_size=true"
    monkeypatch.setenv("XLA_FLAGS", own)
    backend.fuse_loops()
    assert os.environ["XLA_FLAGS"] == own and not backend.fuses_loops()
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(backend, "backend_name", lambda: "torch")
    backend.fuse_loops()
    assert "XLA_FLAGS" not in os.environ


def test_on_torch_what_is_drawn_is_a_function_of_seed_and_epoch(on_torch):
    drawn = []
    for seed, epoch in ((0, 1), (1, 0), (0, 1), (1, 1)):
        backend.seed_epoch(seed, epoch)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[2] and len({tuple(numbers) for numbers in drawn}) == 3


def test_elsewhere_an_epoch_begins_without_a_new_seed():
    keras.utils.set_random_seed(0)
    first = keras.random.uniform(())
    keras.utils.set_random_seed(0)
    backend.seed_epoch(1, 1)
    assert float(keras.random.uniform(())) == float(first)
