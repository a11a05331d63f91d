"""Each operation on a file, in turn, is the last before a trial is killed, or fails."""

import shutil

import pytest

from nft_keras.cli import run
from tests.experiments.train.broken_off import outcome
from tests.experiments.train.faults import Errors, Kills, made_quick, write_recipe

METHODS = ("ct", "eef", "ft", "nft")


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A function that runs the recipe of one method, and returns the exit code."""
    recipe = write_recipe(tmp_path)
    with made_quick(monkeypatch):
        yield lambda out, method: run.main([str(recipe), "--out", str(out), "--methods", method, "--no-reference"])


def trial(out, method):
    return out / "faults" / "fc-a" / method / "seed-0"


def same(one, other):
    (weights, *rest), (expected, *expected_rest) = one, other
    return rest == expected_rest and all((a == b).all() for a, b in zip(weights, expected, strict=True))


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if "tensorboard" not in p.parts)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_at_every_operation_on_a_file_a_trial_ends_as_one_that_was_not(train, tmp_path, capsys, method):
    out, again = tmp_path / "out", tmp_path / "again"
    kills = Kills(out)
    with kills.at_work():
        assert train(out, method) == 0
    expected = outcome(trial(out, method))
    for files in kills.states.values():
        shutil.rmtree(again, ignore_errors=True)
        for name, content in files.items():
            (again / name).parent.mkdir(parents=True, exist_ok=True)
            (again / name).write_bytes(content)
        assert train(again, method) == 0
        assert same(outcome(trial(again, method)), expected) and names(again) == names(out)
    assert len(kills.states) > 20
    with capsys.disabled():
        points = f"{len(kills.seen)} operations of {method}, each cut"
        print(f"\n{points}: {len(kills.states)} states of the disk, from which all ends as it does without")


@pytest.mark.slow
def test_after_an_error_at_any_operation_on_a_file_the_same_command_goes_on(train, tmp_path, capsys):
    points = {}  # what the methods have in common fails in the first of them
    for method in METHODS:
        out, whole = tmp_path / method, tmp_path / "whole" / method
        assert train(whole, method) == 0
        expected = outcome(trial(whole, method))
        known = {(what, name.replace("/METHOD/", f"/{method}/"), *at) for what, name, *at in points}
        errors, over = Errors(out, known), False
        while not over:
            with errors.at_work():
                code = train(out, method)
            said = capsys.readouterr().err
            over = not errors.fault
            if code:
                # Of a .keras file that cannot be opened Python says that it is no zip file.
                assert errors.fault in said or "not a classifier that can be loaded" in said, said
                assert said.count("\n") <= 2, said
            elif errors.fault:
                assert train(out, method) == 0  # which clears what could not be removed
            if not code:
                assert same(outcome(trial(out, method)), expected) and names(out) == names(whole)
                shutil.rmtree(out)
        points |= {(what, name.replace(f"/{method}/", "/METHOD/"), *at): None for what, name, *at in errors.seen}
    assert len(points) > 100
    with capsys.disabled():
        print(f"\n{len(points)} operations, each with an error: the same command goes on and ends as it does without")
