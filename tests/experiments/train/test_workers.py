"""A recipe over two worker processes on loopback, killed and taken up again."""

import csv
import json
import socket
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from nft_keras.experiments.recipe.reading import load_recipe, load_sweep
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.train import distribution as distribute
from tests.backend.features import able
from tests.experiments.finished import repeatable
from tests.experiments.train.forked import begin

METHODS = ("ct", "eef", "ft", "nft")
# No minibatch has equal halves, and examples of one are perturbed longer than others.
RECIPE = """\
name: workers
dataset: {name: two-moons, noise: 0.2}
classifiers: {fc-a: {units: 5}}
methods:
  ct:
  eef:
    plan: {first_fraction: 0.25, simplification_ratio: 0.75}
  ft:
    plan: {max_steps: 6, simplification_ratio: 0.75}
    step: 5.0
    confidence: 0.6
  nft:
    plan: {eta_max: 5, simplification_ratio: 0.75}
    auxiliary: {name: mlp, hidden: 8}
    auxiliary_optimizer: {learning_rate: 0.01}
training: {epochs: 4, learning_rate: 0.01, batch_size: 63}
seeds: [0]
distribute: multi-worker
"""


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start_workers(recipe, out):
    """Two workers, and the files of what they say."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    tasks = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in (0, 1)]
    said = [recipe.parent / f"worker-{i}.txt" for i in (0, 1)]
    workers = [
        begin(recipe, out, said=path, TF_CONFIG=json.dumps(task)) for path, task in zip(said, tasks, strict=True)
    ]
    return workers, said


def kill_one(recipe, out, victim, method):
    """Kills one of the two workers while a method's data are altered; returns what the other one says."""
    workers, said = start_workers(recipe, out)
    state = out / "workers" / "fc-a" / method / "seed-0" / "backup" / "state.json"
    end = time.monotonic() + 300
    while time.monotonic() < end and not state.exists() and all(w.is_alive() for w in workers):
        time.sleep(0.02)
    there = state.exists()
    for worker in [workers[victim]] if there else workers:
        worker.kill()
        worker.join()
    assert there, [path.read_text() for path in said]
    workers[1 - victim].join(120)
    return workers[1 - victim].exitcode, said[1 - victim].read_text()


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("backend", able("`distribute: multi-worker`"))
def test_two_workers_killed_and_started_again_train_as_one_process_does(tmp_path, backend):
    assert backend == keras.backend.backend()  # the workers are forked from a process that has imported it
    recipe, out = tmp_path / "workers.yaml", tmp_path / "two"
    recipe.write_text(RECIPE)
    alone = begin(recipe, tmp_path / "one", "--set", "distribute=none", said=tmp_path / "alone.txt")
    for victim, method in ((1, "eef"), (0, "nft")):
        code, text = kill_one(recipe, out, victim, method)
        said = [line for line in text.splitlines() if line.startswith("failed: ")]
        assert code == 1 and len(said) == 1 and "Traceback" not in text, text
        assert said[0].endswith("the same command on every worker goes on after the last finished epoch")
    workers, said = start_workers(recipe, out)
    for process in (*workers, alone):
        process.join(300)
    said = [path.read_text() for path in (*said, tmp_path / "alone.txt")]
    assert [process.exitcode for process in (*workers, alone)] == [0, 0, 0], said
    assert "written to" in said[0] and "worker 1 is done" in said[1]
    for method in METHODS:
        folder = Path("workers", "fc-a", method, "seed-0")
        one, two = tmp_path / "one" / folder, out / folder
        assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())
        expected, weights = (keras.saving.load_model(f / "classifier.keras").get_weights() for f in (one, two))
        assert max(np.abs(a - b).max() for a, b in zip(expected, weights, strict=True)) < 1e-5
        for row, row_of_one in zip(history(two), history(one), strict=True):
            assert row["epoch"] == row_of_one["epoch"] and row["phase"] == row_of_one["phase"]
            for name, value in row_of_one.items():
                if name not in ("epoch", "phase", "loss_reduction") and value:
                    assert float(row[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), (method, name)
        result, expected = (json.loads((f / "result.json").read_text()) for f in (two, one))
        for each in (result, expected):
            each.pop("drop", None)
        assert repeatable(result) == repeatable(expected)
    assert not list(out.rglob("state.json"))


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps"}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
    '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "[" * 100_000])  # fmt: skip
def test_several_workers_without_a_right_tf_config_are_refused(tmp_path, monkeypatch, text):
    recipe = tmp_path / "workers.yaml"
    recipe.write_text(RECIPE)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(
        RecipeError, match=r"^distribute: multi-worker: TF_CONFIG is .*; it should be like \{"
    ) as caught:
        distribute.cluster(load_recipe(recipe))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert distribute.cluster(load_recipe(recipe, ["distribute=mirrored"])) is None


def test_the_chief_is_the_first_of_all(monkeypatch):
    of = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    for job, index, expected in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": of, "task": {"type": job, "index": index}}))
        cluster = distribute.Cluster()
        assert cluster.index == expected and cluster.addresses == ["a:1", "b:2", "c:3"]
        assert cluster.chief == (expected == 0)


def test_who_has_met_the_others_at_the_end_needs_none_of_them_any_more(monkeypatch):
    import tensorflow as tf

    of = {"worker": ["a:1", "b:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": of, "task": {"type": "worker", "index": 0}}))
    monkeypatch.setattr(distribute, "strategy", lambda name: None)
    gone = tf.errors.UnavailableError(None, None, "Connection reset by peer")

    def fail(self, error):
        raise error

    def cluster(*meetings):
        meet = iter(meetings)

        def same_everywhere(of, text):
            if (outcome := next(meet)) is not True:
                raise outcome
            return outcome

        monkeypatch.setattr(distribute, "same_everywhere", same_everywhere)
        monkeypatch.setattr(distribute.threading.Thread, "start", lambda thread: None)
        monkeypatch.setattr(distribute.Cluster, "failed", fail)
        made = distribute.Cluster()
        made.watch()
        return made

    cluster(True, gone).end()
    cluster(True, True).end()
    with pytest.raises(tf.errors.UnavailableError):
        cluster(gone, True).end()


def test_what_cannot_be_distributed_is_refused_where_it_stands(tmp_path):
    recipe = tmp_path / "workers.yaml"
    recipe.write_text(RECIPE + "sweep: {training.learning_rate: [0.1, 0.2]}\n")
    with pytest.raises(RecipeError, match=r"yaml:18: distribute: a sweep has workers of its own; allowed: none, mir"):
        load_sweep(recipe)
    with pytest.raises(RecipeError, match=r"yaml:18: distribute: not with jit_compile: true"):
        load_recipe(recipe, ["training.steps_per_execution=2"])
    recipe.write_text(RECIPE.replace("multi-worker", "multiworker"))
    with pytest.raises(RecipeError, match=r"yaml:18: distribute: unknown value 'multiworker'; .* did you mean multi-w"):
        load_recipe(recipe)
