"""Trials that are killed, and what else can stop one."""

import csv
import functools
import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from nft_keras import data
from nft_keras.cli import run
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train import callbacks as monitor
from nft_keras.experiments.train.trial import run_trial
from tests.experiments.finished import repeatable
from tests.experiments.train.forked import begin

ROOT = Path(__file__).parents[3]
RECIPE = """\
name: survive
dataset: {name: digits-back-image, train_size: 96, valid_size: 64, test_size: 64}
classifiers: [cnn-a]
methods:
  ct:
  eef:
    plan: {first_fraction: 0.25, simplification_ratio: 0.5}
  ft:
    plan: {max_steps: 4, simplification_ratio: 0.5}
    step: 0.5
  nft:
    plan: {eta_max: 500, simplification_ratio: 0.5}
    auxiliary: {name: unet, filters: 4, depth: 1, label_conditioned: true}
    auxiliary_optimizer: {learning_rate: 0.001, weight_decay: 1.0e-4}
training:
  {epochs: 8, learning_rate: 0.001, weight_decay: 1.0e-4, batch_size: 16, schedule: constant-then-cosine,
   constant_ratio: 0.5}
seeds: [0]
deterministic: true
test_every: 2
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "survive.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def small(tmp_path):
    """The same recipe with a small classifier of images of 8x8, which trains in no time."""
    rng, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 96), ("valid", 64), ("test", 64)):
        y = np.arange(n) % 10
        x = rng.integers(0, 100, (n, 8, 8)) + 15 * y[:, None, None]
        arrays |= {f"x_{part}": x.astype("uint8"), f"y_{part}": y}
    np.savez(tmp_path / "small.npz", **arrays)
    images = "{name: digits-back-image, train_size: 96, valid_size: 64, test_size: 64}"
    text = RECIPE.replace(images, f"{{name: npz, path: {tmp_path / 'small.npz'}}}").replace("[cnn-a]", "[fc-a]")
    path = tmp_path / "survive.yaml"
    path.write_text(text)
    return path


def start(recipe, out, *more, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "nft_keras.run", str(recipe), "--out", str(out), *more],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


def outcome(folder):
    """What must not depend on whether a trial was broken off: weights, history and result, without times."""
    with open(folder / "history.csv", newline="") as file:
        history = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    result = repeatable(json.loads((folder / "result.json").read_text()))
    return keras.saving.load_model(folder / "classifier.keras").get_weights(), history, result


def finished_epochs(folder):
    """The last finished epoch of a trial, 8 once it has its result."""
    if (folder / "result.json").exists():
        return 8
    try:
        return json.loads((folder / "backup" / "state.json").read_text())["epoch"]
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_killed_at_twenty_instants_a_run_ends_as_one_that_was_not(small, tmp_path):
    # The data are altered up to epoch 4: before the drop, at it and after it, at any instant of an epoch.
    # (The last of these draws is a short one: the run must not be over before.)
    rng, out, killed, arguments = random.Random(1), tmp_path / "killed", 0, ("--set", "classifiers=[cnn-a]")
    folders = {method: Path("survive", "cnn-a", method, "seed-0") for method in ("ct", "eef", "ft", "nft")}
    for folder in folders.values():
        for epoch in (1, 3, 4, 5, 7):
            process = begin(small, out, *arguments)
            while process.is_alive() and finished_epochs(out / folder) < epoch:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.15))
            process.kill()
            process.join()
            killed += process.exitcode == -signal.SIGKILL
    assert killed == 20
    said = tmp_path / "said.txt"
    for process in (begin(small, out, *arguments, said=said), begin(small, tmp_path / "whole", *arguments)):
        process.join(300)
        assert process.exitcode == 0
    assert "written to" in said.read_text()
    for method, folder in folders.items():
        (weights, *rest), (expected, *expected_rest) = outcome(out / folder), outcome(tmp_path / "whole" / folder)
        assert rest == expected_rest
        assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))
        names, expected_names = (sorted(p.name for p in (o / folder).iterdir()) for o in (out, tmp_path / "whole"))
        assert names == expected_names
        if method in ("ft", "nft"):
            kept, expected = (np.load(o / folder / "snapshots.npz") for o in (out, tmp_path / "whole"))
            for name in expected.files:
                np.testing.assert_array_equal(kept[name], expected[name])


@pytest.mark.parametrize(
    "setting",
    [
        "precision=mixed_bfloat16",
        "precision=mixed_float16",
        pytest.param("jit_compile=true", marks=pytest.mark.slow),
        "steps_per_execution=2",
    ],
)
@pytest.mark.parametrize("method", ["ft", "nft"])
def test_a_trial_goes_on_as_it_would_have_however_it_is_computed(small, tmp_path, method, setting):
    # Keras compiles nothing with XLA where the operations are to be deterministic ones.
    deterministic = f"deterministic={str(not setting.startswith('jit')).lower()}"
    overrides = ["classifiers=[cnn-a]", f"training.{setting}", "training.epochs=4", deterministic]
    (trial,) = load_recipe(small, overrides, methods=[method])
    dataset = data.load(**trial.dataset)

    def broken_off(logs):
        if logs["epoch"] == 3 and (tmp_path / "broken").exists():
            raise KeyboardInterrupt

    whole = run_trial(trial, dataset, tmp_path / "whole", lambda logs: None)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, dataset, tmp_path / "broken", broken_off)
    epochs = []
    result = run_trial(trial, dataset, tmp_path / "broken", epochs.append)
    assert [logs["epoch"] for logs in epochs] == [3, 4]
    assert repeatable(result) == repeatable(whole)
    (weights, *_), (expected, *_) = (
        outcome(tmp_path / "broken" / trial.folder),
        outcome(tmp_path / "whole" / trial.folder),
    )
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))


def test_a_finished_trial_is_not_run_twice_and_fresh_discards_it(small, tmp_path, capsys):
    arguments = [str(small), "--out", str(tmp_path / "out"), "--methods", "ct", "--set", "training.epochs=2"]
    assert run.main(arguments) == 0
    path = tmp_path / "out" / "survive" / "fc-a" / "ct" / "seed-0" / "result.json"
    made = path.stat().st_mtime_ns
    capsys.readouterr()
    assert run.main(arguments) == 0
    assert path.stat().st_mtime_ns == made and "finished before" in capsys.readouterr().out
    assert run.main([*arguments, "--fresh"]) == 0
    assert path.stat().st_mtime_ns > made


def test_a_trial_with_other_settings_is_not_overwritten(small, tmp_path, capsys):
    arguments = [str(small), "--out", str(tmp_path / "out"), "--methods", "ct", "--set"]
    assert run.main([*arguments, "training.epochs=2"]) == 0
    assert run.main([*arguments, "training.epochs=3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "(training.epochs: 2 there, 3 now)" in error and "--fresh" in error


def test_an_output_folder_in_use_is_refused(recipe, tmp_path):
    first = start(recipe, tmp_path / "out")
    while not list(tmp_path.rglob("history.csv")):
        time.sleep(0.05)
    _, error = start(recipe, tmp_path / "out").communicate(timeout=60)
    first.kill()
    first.communicate()
    assert error.count("\n") == 1 and "survive is in use by another run" in error


def test_a_loss_that_is_not_a_number_ends_one_trial_and_the_others_go_on(small, tmp_path, capsys, monkeypatch):
    real = monitor.StopAtNaN.on_epoch_end

    def poisoned(self, epoch, logs=None):
        if self.model.name.startswith("easy_examples") and epoch == 1:
            logs["loss"] = float("nan")
        real(self, epoch, logs)

    monkeypatch.setattr(monitor.StopAtNaN, "on_epoch_end", poisoned)
    arguments = [str(small), "--out", str(tmp_path / "out"), "--methods", "ct", "eef"]
    assert run.main([*arguments, "--set", "training.epochs=5"]) == 1
    out, error = capsys.readouterr()
    assert "loss is nan in epoch 2; lower training.learning_rate" in error and "fc-a/eef/seed-0" in error
    assert "1 of 2 trials failed" in error and "| fc-a       | CT " in out and "EEF" not in out.rpartition("\n| --")[2]


def test_learning_rates_that_are_far_too_high_are_told(small, tmp_path, capsys):
    arguments = [
        str(small),
        "--out",
        str(tmp_path / "out"),
        "--methods",
        "ct",
        "--set",
        "training.learning_rate=1.0e+30",
    ]
    assert run.main(arguments) == 1
    assert "nan in epoch 1" in capsys.readouterr().err


def test_a_full_disk_is_told_and_the_same_command_goes_on(recipe, tmp_path):
    def no_file_above_one_megabyte():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    arguments = ("--methods", "ct", "--set", "training.epochs=2")
    process = start(recipe, tmp_path / "out", *arguments, preexec_fn=no_file_above_one_megabyte)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in error
    assert "cnn-a/ct/seed-0: " in error and "File too large" in error and "the same command goes on" in error
    assert not [path for path in tmp_path.rglob(".*") if path.suffix in (".keras", ".h5")]
    assert start(recipe, tmp_path / "out", *arguments).wait(120) == 0


def test_a_damaged_trial_that_was_not_asked_for_is_told_and_is_no_failure_of_the_others(small, tmp_path, capsys):
    arguments = [str(small), "--out", str(tmp_path / "out"), "--methods", "ct", "--set", "training.epochs=1"]
    assert run.main([*arguments, "seeds=[0, 1]"]) == 0
    damaged = tmp_path / "out" / "survive" / "fc-a" / "ct" / "seed-1" / "result.json"
    damaged.write_text(damaged.read_text()[:20])
    capsys.readouterr()
    assert run.main([*arguments, "seeds=[0, 1]", "--seeds", "0"]) == 0
    error = capsys.readouterr().err
    assert f"failed: {damaged.parent}: " in error and "trials failed" not in error
    assert run.main([*arguments, "seeds=[0, 1]"]) == 1
    assert "1 of 2 trials failed" in capsys.readouterr().err


def test_a_trial_that_ends_on_altered_data_has_nothing_to_say_of_a_drop(small, tmp_path):
    arguments = [str(small), "--out", str(tmp_path / "out"), "--methods", "nft", "--set", "selection=all"]
    for epochs, in_plan in ((2, 2), (2, 3)):
        plan = f"methods.nft.plan={{eta_max: 5, simplification_epochs: {in_plan}}}"
        assert run.main([*arguments, plan, f"training.epochs={epochs}", f"name=plan-{in_plan}"]) == 0
        (result,) = json.loads((tmp_path / "out" / f"plan-{in_plan}" / "results.json").read_text())
        assert ("drop" in result) == (in_plan <= epochs)


def test_data_that_vanish_stop_their_own_trials_only(small, tmp_path, capsys, monkeypatch):
    real = data.load

    @functools.wraps(real)
    def load(name, **options):
        if options["label_noise"] == 0.5:
            raise data.DataError("no file any more")
        return real(name, **options)

    monkeypatch.setattr(data, "load", load)
    small.write_text(small.read_text() + "vary: {dataset.label_noise: [0.0, 0.5, 1.0]}\n")
    arguments = [str(small), "--out", str(tmp_path / "out"), "--methods", "ct", "--set", "training.epochs=1"]
    assert run.main(arguments) == 1
    out, error = capsys.readouterr()
    assert "no file any more" in error and "1 of 3 trials failed" in error
    assert "label_noise=0.0" in out and "label_noise=1.0" in out
