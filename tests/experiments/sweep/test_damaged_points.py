"""What a sweep makes of points whose files are damaged."""

import types

import pytest

from nft_keras._manifest import AGAIN, DamagedError
from nft_keras.experiments.sweep import search
from nft_keras.experiments.train import trial as training
from nft_keras.experiments.train.backup import Backup

STATE = {"epoch": 1, "best_epoch": 1, "random": [], "seconds": 1.0}


def test_what_a_pruner_is_told_of_a_point_that_was_broken_off_is_of_its_checkpoint(tmp_path):
    backup = Backup(tmp_path)
    backup.write("epoch-1.weights.h5", b"weights")
    backup.commit({**STATE, "history": [["epoch", "valid_error"], ["1", "9"]]}, ["epoch-1.weights.h5"])
    (tmp_path / "history.csv").write_bytes(bytes(100))
    assert search._rows(tmp_path) == [{"epoch": "1", "valid_error": "9"}]
    (backup.folder / "state.json").write_bytes(bytes(100))
    assert search._rows(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"epoch,phase\n1", b"\xff\xfe"])
def test_a_damaged_history_of_a_finished_point_stops_no_sweep(tmp_path, content):
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "history.csv").write_bytes(content)
    assert all("valid_error" not in row for row in search._rows(tmp_path))


def test_a_point_that_is_damaged_is_said_and_begins_anew(tmp_path, monkeypatch, capsys):
    trial, folder = types.SimpleNamespace(folder="point"), tmp_path / "point"
    folder.mkdir()

    def run_trial(*_):
        if folder.exists():
            raise DamagedError(f"{folder / 'state.json'} is damaged; {AGAIN}")
        return "the result"

    monkeypatch.setattr(training, "run_trial", run_trial)
    monkeypatch.setattr(training, "check_fits", lambda *_: None)
    assert search.Search._run(None, trial, None, tmp_path, None) == "the result"
    assert capsys.readouterr().err == f"{folder / 'state.json'} is damaged; begins anew\n"
