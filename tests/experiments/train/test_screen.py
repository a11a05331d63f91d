import time

import pytest
from rich.console import Console

from nft_keras.cli import run
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.screen import Screen


def test_a_trial_that_goes_on_says_so_and_a_long_one_says_every_minute_where_it_is(capsys, monkeypatch):
    (trial,) = load_recipe("two-moons", methods=["nft"], seeds=[0])
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Screen([trial]) as screen:
        show = screen.trial(trial)
        for epoch, now in ((57, 1.0), (58, 61.5), (59, 62.0), (60, 125.0)):  # noqa: B007
            show({"epoch": epoch, "simplifying": True, "error": 1.0, "val_error": 2.0})
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("seed 0  ")[2][:26] for line in lines] == [
        "goes on after epoch 56/250", "epoch 58/250  simplified  ", "epoch 60/250  simplified  ",
    ]  # fmt: skip


def test_the_time_that_is_left_counts_altered_and_other_epochs_by_what_each_takes(capsys, monkeypatch):
    (trial,) = load_recipe("two-moons", methods=["nft"], seeds=[0])
    assert (trial.simplification_epochs, trial.training.epochs) == (200, 250)
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Screen([trial]) as screen:
        show = screen.trial(trial)
        for epoch, now in ((1, 70.0), (2, 240.0), (201, 340.0), (202, 420.0)):  # noqa: B007
            show({"epoch": epoch, "simplifying": 1 < epoch <= 200, "error": 1.0, "val_error": 2.0})
    left = [line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    # 199 + 50 epochs of 70 s; 198 of 170 s and 50 of 70 s; 49 of 100 s; 48 of 80 s
    assert left == ["4:50:30 left", "10:19:20 left", "1:21:40 left", "1:04:00 left"]


def test_until_both_kinds_of_epochs_were_seen_the_time_left_is_by_what_was_measured_before(capsys, monkeypatch):
    (trial,) = load_recipe("two-moons", methods=["nft"], seeds=[0])
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Screen([trial]) as screen:
        for seen in ((62,), (1, 62), (201,)):
            show = screen.trial(trial, share=0.25)
            for epoch in seen:
                now += 80.0
                show({"epoch": epoch, "simplifying": 1 < epoch <= 200, "error": 1.0, "val_error": 2.0})
    left = [line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines() if "goes on" not in line]
    # 138 epochs of 80 s and 50 of 20 s; 249 of 80 s after epoch 1, which compiled too, then as before; 49 of 80 s
    assert left == ["3:20:40 left", "5:32:00 left", "3:20:40 left", "1:05:20 left"]
    (trial,) = load_recipe("two-moons", ["methods.nft.plan.first_simplified_epoch=101"], methods=["nft"], seeds=[0])
    with Screen([trial]) as screen:
        show = screen.trial(trial, share=0.25)
        for epoch in (1, 2):
            now += 80.0
            show({"epoch": epoch, "simplifying": False, "error": 1.0, "val_error": 2.0})
    # 100 epochs of 320 s and 148 of 80 s
    assert capsys.readouterr().out.endswith(" 12:10:40 left\n")


def test_the_first_epoch_which_compiles_is_no_measure_of_those_to_come(capsys, monkeypatch):
    (trial,) = load_recipe("two-moons", methods=["nft"], seeds=[0])
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Screen([trial]) as screen:
        show = screen.trial(trial)
        for epoch, now in ((1, 60.0), (2, 70.0), (62, 72.0)):  # noqa: B007
            show({"epoch": epoch, "simplifying": epoch > 1, "error": 1.0, "val_error": 2.0})
    assert capsys.readouterr().out.endswith("6:16 left\n")  # 138 and 50 epochs of 2 s


def test_the_time_of_all_trials_is_known_once_one_of_each_kind_is_done(capsys, monkeypatch):
    trials = load_recipe("two-moons", methods=["ct"], seeds=[0, 1, 2])
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    result = {"test_error": 1.0, "valid_error": 2.0, "best_epoch": 3, "epochs": 250, "seconds": 500.0}
    with Screen(trials) as screen:
        for trial in trials[:2]:
            show = screen.trial(trial)
            now += 100.0
            show({"epoch": 62, "simplifying": False, "error": 1.0, "val_error": 2.0})
            screen.finished(trial, result)
    lines = [line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines() if "goes on" not in line]
    assert lines == ["5:13:20 left", "8:20", "5:13:20 left, 5:21:40 in all", "8:20"]


def test_until_one_of_a_kind_is_done_its_time_is_what_was_expected_as_far_off_as_that_of_others(capsys, monkeypatch):
    trials = load_recipe("evening/cifar10-human", methods=["ct", "nft"], seeds=[0])
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    result = {"test_error": 1.0, "valid_error": 2.0, "best_epoch": 3, "epochs": 30}
    with Screen(trials) as screen:
        screen.expected = {trial.cost_key: 100.0 if trial.method == "ct" else 300.0 for trial in trials}
        for trial, seconds in zip(trials, (200.0, 600.0, 200.0, 600.0), strict=True):
            show = screen.trial(trial)
            now += 10.0
            show({"epoch": 15, "simplifying": False, "error": 1.0, "val_error": 2.0})
            screen.finished(trial, {**result, "seconds": seconds})
    lines = [line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines() if "epoch 15/30" in line]
    # 15 epochs of 10 s, and what is to come: 700 s as expected, then twice as long, then as the first ones took.
    assert [trial.method for trial in trials] == ["ct", "nft", "ct", "nft"]
    assert lines == ["2:30 left, 14:10 in all", "2:30 left, 15:50 in all", "2:30 left, 12:30 in all", "2:30 left"]


def test_a_short_trial_does_not_tell_the_time_of_one_with_more_epochs(capsys, monkeypatch):
    trials = load_recipe("two-moons", ["vary={training.epochs: [2, 200]}"], methods=["ct"], seeds=[0, 1])
    two, long, other_two, other_long = sorted(trials, key=lambda trial: (trial.seed, trial.training.epochs))
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    result = {"test_error": 1.0, "valid_error": 2.0, "best_epoch": 1, "epochs": 2}
    with Screen(trials) as screen:
        screen.finished_before(two, {**result, "seconds": 2.0})
        for trial in (long, other_long):
            show = screen.trial(trial)
            now += 1.0
            show({"epoch": 50, "simplifying": False, "error": 1.0, "val_error": 2.0})
            screen.finished(trial, {**result, "seconds": 200.0})
    lines = [line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines() if "epoch 50/200" in line]
    # 150 epochs of 1 s; of the two trials to come after the first long one, nobody knows the other long one yet.
    assert lines == ["2:30 left", "2:30 left, 2:32 in all"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_live_line_fits_and_keeps_what_matters(width, monkeypatch):
    (trial,) = load_recipe("two-moons", methods=["nft"], seeds=[0])
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(Console, "width", width)
    shown = []
    monkeypatch.setattr(Screen, "note", lambda self, text: shown.append(text))
    with Screen([trial] * 12) as screen:
        show = screen.trial(trial)
        show({"epoch": 111, "simplifying": True, "error": 11.111, "val_error": 12.345, "eta": 1234.5678})
    assert len(shown[-1]) <= width and shown[-1].startswith("[1/12] fc-a NFT") and "111/250" in shown[-1]
    assert "valid 12.35 %" in shown[-1] and shown[-1].endswith(" left")
    assert (width < 80) or "simplified, \u03b7 1235" in shown[-1]
    assert (width < 120) or "train 11.11 %" in shown[-1]


@pytest.mark.parametrize("width, kept", [(60, ""), (80, ""), (100, "simplified, \u03b7 1235"), (130, "train 11.11 %")])
def test_the_live_line_has_the_time_of_all_trials_from_80_columns_on(width, kept, monkeypatch):
    trials = load_recipe("two-moons", methods=["nft"], seeds=[0, 1, 2])
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(Console, "width", width)
    shown, now = [], 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(Screen, "note", lambda self, text: shown.append(text))
    with Screen(trials) as screen:
        screen.finished_before(
            trials[0], {"test_error": 1.0, "valid_error": 2.0, "best_epoch": 3, "epochs": 250, "seconds": 36_000.0}
        )
        show, now = screen.trial(trials[1]), 100.0
        show({"epoch": 111, "simplifying": True, "error": 11.111, "val_error": 12.345, "eta": 1234.5678})
    left = "valid 12.35 %  3:51:40 left"
    assert len(shown[-1]) <= width and kept in shown[-1] and shown[-1].startswith("[2/3] fc-a NFT")
    assert shown[-1].endswith(f"{left}, 13:51:40 in all" if width >= 80 else left)


@pytest.mark.parametrize(
    "width, kept", [(60, "test error 50.00 %  "), (80, "best epoch 12/12"), (120, "valid 50.00 %  best epoch 12/12")]
)
def test_the_line_of_a_finished_trial_fits(width, kept, monkeypatch, capsys):
    (trial,) = load_recipe("two-moons", methods=["nft"], seeds=[0])
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(Console, "width", width)
    result = {"test_error": 50.0, "valid_error": 50.0, "best_epoch": 12, "epochs": 12, "seconds": 19.0}
    screen = Screen([trial] * 12)
    screen.finished_before(trial, result)
    (line,) = capsys.readouterr().out.splitlines()
    assert len(line) <= width and kept in line and line.endswith("finished before")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_keep_on_a_narrow_terminal_what_matters_and_say_what_they_leave_out(width, monkeypatch, capsys):
    text = """\
| varied    | classifier | method | test error (%) | validation error (%) | seeds | epochs | best epoch | s per run |
| --------- | ---------- | ------ | -------------- | -------------------- | ----- | ------ | ---------- | --------- |
| a=\\| or b | fc-a       | CT     | 4.07 ± 6.35    | 4.11 ± 6.54          | 3     | 250    | 99, 71, 8  | 51        |

NFT and CT: no difference that 3 seeds can show (they would show 21 points, 84 seeds 2; a line is as long as it is)."""
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(Console, "width", width)
    screen = Screen([])
    screen.tables(text)
    out = capsys.readouterr().out.rstrip("\n")
    table, sentence = out.split("\n\n")
    head, _, row, *said = table.splitlines()
    assert sentence == text.split("\n\n")[1] and len(head) <= max(width, 61) and len(head) == len(row)
    for kept in ("varied", "classifier", "method", "test error (%)", "seeds"):
        assert f"| {kept} " in head
    assert "a=\\| or b" in row and "| 4.07 ± 6.35" in row
    for column, least in (("epochs", 120), ("best epoch", 120), ("s per run", 100), ("validation error (%)", 100)):
        assert (f"| {column} " in head) == (width >= least) != any(column in line for line in said), column
    monkeypatch.setattr(Console, "is_terminal", False)
    Screen([]).tables(text)
    assert capsys.readouterr().out == f"{text}\n"


@pytest.mark.parametrize("plan", ["simplification_ratio=0.5", "first_simplified_epoch=9"])
def test_a_plan_that_alters_nothing_is_said(tmp_path, capsys, plan):
    arguments = ["two-moons", "--out", str(tmp_path), "--seeds", "0", "--set"]
    assert run.main([*arguments, f"training.epochs={1 if 'ratio' in plan else 3}", f"methods.nft.plan.{plan}"]) == 0
    assert capsys.readouterr().err == "nft: its plan alters no data; training is classic\n"
