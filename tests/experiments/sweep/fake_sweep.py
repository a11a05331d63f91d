"""python tests/experiments/sweep/fake_sweep.py ... is python -m nft_keras sweep ... with trainings that take no time.

A training has three epochs, each kept in the trial's folder; whoever takes it up again goes on. Every training that
comes to its end adds a line to $FAKE_LOG. The validation error is lowest for the largest eta_max, the test error for
the smallest.
"""

import functools
import json
import os
import sys
import time
import types
from pathlib import Path

import numpy as np

sys.orig_argv[1:] = ["-m", "nft_keras"]  # which then imports no Keras
sys.path.insert(0, str(Path(__file__).parents[3]))

from nft_keras import data  # noqa: E402
from nft_keras.cli import sweep  # noqa: E402
from nft_keras.experiments.files import write_json, write_yaml  # noqa: E402
from nft_keras.experiments.sweep import queue  # noqa: E402

EPOCHS = 3


class TrainingError(RuntimeError):
    pass


def run_trial(trial, dataset, out, progress):
    folder = out / trial.folder
    write_yaml(folder / "config.yaml", trial.config())
    with open(os.environ["FAKE_LOG"], "a") as file:
        file.write(f"begun {folder}\n")
    eta = trial.method_settings.plan.eta_max
    if eta == float(os.environ.get("FAKE_NAN", -1)):
        raise TrainingError("loss is nan in epoch 1")
    if eta == float(os.environ.get("FAKE_FULL", -1)):
        raise OSError(28, "No space left on device")
    state = folder / "state.json"
    done = json.loads(state.read_text()) if state.exists() else 0
    for epoch in range(done + 1, EPOCHS + 1):
        time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
        progress({"epoch": epoch, "val_error": 50 - eta / 1000, "val_loss": 1.0})
        write_json(state, epoch)
    result = {
        "dataset": trial.dataset["name"],
        "classifier": trial.classifier,
        "method": trial.method,
        "seed": trial.seed,
        "test_error": eta / 1000,
        "valid_error": 50 - eta / 1000 if "FAKE_TIE" not in os.environ else 50,
        "valid_loss": 1.0 if eta != float(os.environ.get("FAKE_TIE", -1)) else 0.5,
        "best_epoch": 3,
        "epochs": 3,
        "seconds": 0.1,
        "provenance": "none",
    }
    (folder / "classifier.keras").touch()
    write_json(folder / "result.json", result)
    with open(os.environ["FAKE_LOG"], "a") as file:
        file.write(f"ended {folder}\n")
    return result


if __name__ == "__main__":
    sys.modules["nft_keras.experiments.train.trial"] = types.SimpleNamespace(
        run_trial=run_trial, check_fits=lambda trial, dataset: None
    )
    sys.modules["nft_keras.experiments.train.callbacks"] = types.SimpleNamespace(TrainingError=TrainingError)
    sys.modules["tensorflow"] = types.SimpleNamespace(errors=types.SimpleNamespace(ResourceExhaustedError=MemoryError))
    sweep.import_tensorflow_quietly = lambda: None
    part = types.SimpleNamespace(x=np.zeros((3, 2), "uint8"), y=np.zeros(3, "int32"))
    dataset = types.SimpleNamespace(train=part, valid=part, test=part)
    data.load = functools.wraps(data.load)(lambda **settings: dataset)  # recipes are read against its signature
    queue.BEAT, queue.GRACE = 0.5, 3.0
    sweep.COMMAND = (sys.executable, sys.argv[0])
    sys.exit(sweep.main())
