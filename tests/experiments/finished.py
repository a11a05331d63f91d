"""Finished trials: one written without training anything, what of one is the same in every run, and other data."""

import dataclasses
import functools
import json

import yaml

from nft_keras import data
from nft_keras.experiments.recipe.trial import is_a


def finish(out, trial, test_error, **result):
    """Writes config.yaml, result.json and a file for the classifier of a trial below `out`; returns its folder."""
    folder = out / trial.folder
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(trial.config()))
    (folder / "classifier.keras").touch()
    whole = {
        "dataset": trial.dataset["name"],
        "classifier": trial.classifier,
        "method": trial.method,
        **is_a(trial.variant_of),
        "seed": trial.seed,
        "test_error": test_error,
        "valid_error": 1.0,
        "best_epoch": 1,
        "epochs": trial.training.epochs,
        "seconds": 1.0,
        "provenance": "drawn for a test",
        **result,
    }
    (folder / "result.json").write_text(json.dumps(whole))
    return folder


def lose_an_example(monkeypatch):
    """From now on every data set that is loaded has one test example less than before."""
    load = data.load

    @functools.wraps(load)
    def other(*args, **kwargs):
        loaded = load(*args, **kwargs)
        return dataclasses.replace(loaded, test=loaded.test[:-1])

    monkeypatch.setattr(data, "load", other)


def repeatable(result):
    """The content of a result.json without what differs from run to run."""
    return {name: value for name, value in result.items() if name not in ("seconds", "environment")}
