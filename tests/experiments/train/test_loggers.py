"""Trials in MLflow's file store and in Weights & Biases, both offline."""

import csv
import os
import subprocess
import sys

import pytest

from nft_keras.cli import run
from nft_keras.experiments.train import callbacks as monitor

RECIPE = """\
dataset: {name: two-moons, train_size: 40, valid_size: 40, test_size: 40}
classifiers: {fc-a: {units: 3}}
methods:
  ct:
  nft:
    plan: {eta_max: 10, simplification_epochs: 2}
    auxiliary: {name: mlp, hidden: 3}
training: {epochs: 3}
seeds: [0]
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "moons.yaml").write_text(RECIPE)
    return [str(tmp_path / "moons.yaml"), "--out", str(tmp_path / "out"), "--no-reference"]


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    yield mlflow
    mlflow.set_tracking_uri(before)


def test_a_store_of_mlflow_s_that_takes_no_runs_is_refused_before_anything_starts(command, mlflow, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    assert run.main([*command, "--log", "mlflow"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--log mlflow: " in line and "MLFLOW_TRACKING_URI says where runs go" in line


def runs_of(mlflow):
    """{title: run} of the recipe."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("moons").experiment_id
    return {run.info.run_name: run for run in client.search_runs([experiment])}


def test_mlflow_has_settings_and_every_epoch_of_each_trial(command, mlflow, tmp_path):
    assert run.main([*command, "--log", "mlflow"]) == 0
    runs = runs_of(mlflow)
    assert set(runs) == {"fc-a/ct/seed-0", "fc-a/nft/seed-0"}
    for title, logged in runs.items():
        assert logged.info.status == "FINISHED" and logged.data.params["training.epochs"] == "3"
        with open(tmp_path / "out" / "moons" / title / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        metrics = mlflow.MlflowClient().get_metric_history(logged.info.run_id, "val_loss")
        by_epoch = {metric.step: metric.value for metric in metrics}
        assert by_epoch == pytest.approx({i: float(row["valid_loss"]) for i, row in enumerate(rows)}, rel=1e-4)
    assert "eta" in runs["fc-a/nft/seed-0"].data.metrics and "eta" not in runs["fc-a/ct/seed-0"].data.metrics


@pytest.mark.slow
def test_a_word_comes_before_mlflow_does_and_none_of_its_own_in_between(command, tmp_path):
    pytest.importorskip("mlflow")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    program = [sys.executable, "-m", "nft_keras.run", *command, "--methods", "ct", "--log", "mlflow"]
    done = subprocess.run(program, cwd=tmp_path, env={**os.environ, **store}, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and done.stdout.startswith("starting mlflow ...\n")
    assert (tmp_path / "mlflow.db").stat().st_size


def test_a_trial_that_is_taken_up_again_goes_on_in_its_run(command, mlflow, monkeypatch):
    seen = monitor.History.on_epoch_end

    def broken_off(self, epoch, logs=None):
        if epoch == 2:
            raise RuntimeError("broken off")
        seen(self, epoch, logs)

    monkeypatch.setattr(monitor.History, "on_epoch_end", broken_off)
    with pytest.raises(RuntimeError, match="broken off"):
        run.main([*command, "--methods", "nft", "--log", "mlflow"])
    (begun,) = runs_of(mlflow).values()
    assert begun.info.status == "FAILED"
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert run.main([*command, "--methods", "nft", "--log", "mlflow"]) == 0
    (ended,) = runs_of(mlflow).values()
    assert (ended.info.run_id, ended.info.status) == (begun.info.run_id, "FINISHED")
    metrics = mlflow.MlflowClient().get_metric_history(ended.info.run_id, "loss")
    assert {metric.step for metric in metrics} == {0, 1, 2}


def test_a_trial_in_another_folder_has_a_run_of_its_own(command, mlflow, monkeypatch, tmp_path):
    monkeypatch.setattr(monitor.History, "on_epoch_end", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.main([*command, "--methods", "ct", "--log", "mlflow"])
    (begun,) = runs_of(mlflow).values()
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert run.main([*command, "--out", str(tmp_path / "other"), "--methods", "ct", "--log", "mlflow"]) == 0
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("moons").experiment_id])
    assert {each.info.run_id: each.info.status for each in runs}.pop(begun.info.run_id) == "FAILED" and len(runs) == 2


@pytest.mark.slow
def test_weights_and_biases_has_a_run_of_each_trial(command, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    assert run.main([*command, "--log", "wandb"]) == 0
    files = list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2 and all(b"epoch/val_loss" in file.read_bytes() for file in files)


def test_a_logger_that_is_not_there_is_told_before_anything_starts(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("nft_keras.experiments.train.loggers.importlib.util.find_spec", lambda name: None)
    assert run.main([*command, "--log", "wandb"]) == 2
    assert capsys.readouterr().err == "--log wandb needs wandb: pip install wandb\n" and not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        run.main([*command, "--log", "tensorbord"])
    assert "invalid choice: 'tensorbord' (choose from" in capsys.readouterr().err
