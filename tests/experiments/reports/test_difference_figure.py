import numpy as np
import pytest

from nft_keras.cli import figures
from nft_keras.experiments import runs
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports.difference_figure import Panel, difference_figure, draw, interval
from nft_keras.experiments.reports.drawing import styles
from tests.experiments.finished import finish
from tests.experiments.reports.test_published import RECIPES

RECIPE = """\
dataset: {name: digits-back-image}
classifiers: [fc-a]
methods:
  ct:
  ct-short: {is: ct, training: {epochs: 2}}
  nft: {plan: {eta_max: 10, simplification_ratio: 0.5}, auxiliary: {name: unet, filters: 4, depth: 1}}
training: {epochs: 4}
seeds: [0, 1, 2, 3, 4]
"""
CT = (10, 11, 12, 13, 14)
NFT = (9, 11.5, 11, 12, 13)  # -1, 0.5, -1, -1, -1


@pytest.fixture
def trials(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    return lambda *overrides: load_recipe(tmp_path / "r.yaml", overrides)


def drawn(axis):
    """[(mean, place, half of the bar, whether the mark is filled)] of a panel."""
    found = []
    for container in axis.containers:
        line, _, bars = container
        ((mean, place),) = line.get_xydata()
        half = [np.ptp(segment[:, 0]) / 2 for bar in bars for segment in bar.get_segments()]
        found.append((mean, place, *(half or [0]), line.get_markerfacecolor() != "white"))
    return found


def test_an_interval_is_that_of_student_s_table():
    assert interval([3.0]) == 0
    # of five values: 2.7764 standard errors; the standard deviation of these is 0.67082
    assert interval([-1, 0.5, -1, -1, -1]) == pytest.approx(2.7764 * 0.67082 / 5**0.5, rel=1e-4)


def test_the_marks_are_means_of_differences_with_the_same_seed(trials, tmp_path):
    for trial in trials():
        error = {"ct": CT, "nft": NFT}.get(trial.method, CT)[trial.seed]
        if trial.method != "ct-short" or trial.seed < 2:
            finish(tmp_path / "out", trial, error, last_test_error=error + 2 * (trial.method == "nft"))
    figure = difference_figure(runs.find([tmp_path / "out"]))
    (axis,) = figure.axes
    best, last = (pytest.approx((mean, place, 0.83294), abs=1e-4) for mean, place in ((-0.7, -0.16), (1.3, 0.16)))
    nft_best, nft_last, *short = drawn(axis)
    assert nft_best[:3] == best and nft_last[:3] == last and nft_best[3] and not nft_last[3]
    assert [(mean, half) for mean, _, half, _ in short] == [(0, 0), (0, 0)]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["NFT", "ct-short (2)"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first at the top
    assert axis.get_title(loc="left") == "r, fc-a: CT 12.00 ± 1.58 %, 5 seeds"
    assert axis.get_xlabel() == "test error - CT (points), mean and 95 % interval; left of 0: better"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["best epoch", "last epoch"]


def test_there_is_a_panel_for_each_value_that_a_recipe_varies(trials, tmp_path):
    for trial in trials("vary={dataset.label_noise: [0.0, 0.4]}"):
        noise = trial.dataset["label_noise"]
        finish(tmp_path / "out", trial, 10 + 30 * noise * (trial.method == "nft"), varied=trial.variation)
    axes = difference_figure(runs.find([tmp_path / "out"])).axes
    titles = [axis.get_title(loc="left").partition(":")[0] for axis in axes]
    assert titles == ["r, dataset.label_noise=0.0, fc-a", "r, dataset.label_noise=0.4, fc-a"]
    assert [drawn(axis)[0][:2] for axis in axes] == [(0, 0), (12, 0)]
    assert not axes[0].figure.legends  # nothing is hollow


def test_folds_have_no_interval(trials, tmp_path):
    for trial in (trial for trial in trials() if trial.seed < 3):  # in whose place the folds stand
        error = 10 + (trial.seed + 1) * (trial.method == "nft")
        finish(tmp_path / "out", trial, error, varied=f"dataset.fold={trial.seed + 1} of 3")
    (axis,) = difference_figure(runs.find([tmp_path / "out"])).axes
    assert drawn(axis)[0][:3] == (2, 0, 0) and axis.get_title(loc="left").endswith(
        "CT 10.00 ± 0.00 %, 3 folds and seeds"
    )


def test_the_command_draws_it_from_a_kept_result(tmp_path, capsys):
    kept = RECIPES.parent / "results" / "evening-label-noise"
    assert figures.main(["differences", str(kept), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "differences.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.split() == [str(tmp_path / f"differences.{end}") for end in ("png", "pdf")]


def test_a_folder_given_twice_counts_once_and_each_panel_names_what_it_compares_with(trials, tmp_path, monkeypatch):
    for trial in trials():
        for out, more in (("a", 0), ("b", 1)):
            finish(tmp_path / out, trial, CT[trial.seed] + more * (trial.method == "nft"))
    monkeypatch.chdir(tmp_path)
    (axis,) = difference_figure(runs.find([tmp_path / "a", "a"])).axes
    assert [mark[0] for mark in drawn(axis)] == [0, 0] and axis.get_title(loc="left").endswith("5 seeds")
    of_a, of_b = difference_figure(runs.find([tmp_path / "a", tmp_path / "b"])).axes  # not another five seeds
    assert [drawn(axis)[0][0] for axis in (of_a, of_b)] == [0, 1]
    assert [axis.get_title(loc="left").replace("\n", " ").endswith("5 seeds") for axis in (of_a, of_b)] == [True] * 2
    assert str(tmp_path / "b" / "r") in of_b.get_title(loc="left").replace("\n", "")
    for trial in trials("name=other", "methods={ct-long: {is: ct}, ct-short: {is: ct, training: {epochs: 2}}}"):
        finish(tmp_path / "a", trial, CT[trial.seed])
    first, second = difference_figure(runs.find([tmp_path / "a"])).axes
    titles = sorted(axis.get_title(loc="left").split(":")[1][:8] for axis in (first, second))
    assert titles == [" CT 12.0", " ct-long"] and "that of the method above" in second.get_xlabel()
    assert not first.get_shared_x_axes().joined(first, second)


def test_equal_differences_have_no_bar_and_errors_that_are_not_finite_no_mark(trials, tmp_path, recwarn):
    for trial in trials():
        error = CT[trial.seed] - 1.5 * (trial.method == "nft")
        last = float("inf") if (trial.method, trial.seed) == ("nft", 1) else error
        finish(tmp_path / "out", trial, error, last_test_error=last)
    figure = difference_figure(runs.find([tmp_path / "out"]))
    (axis,) = figure.axes
    nft, *short = axis.containers
    assert nft.lines[0].get_xdata() == [-1.5] and not nft.has_xerr and len(short) == 2
    assert axis.get_xlabel() == "test error - CT (points); left of 0: better"
    figure.savefig(tmp_path / "figure.png")
    assert not [str(each.message) for each in recwarn]


def test_long_names_are_cut_and_dollars_are_no_mathematics(tmp_path):
    pairs = [({"test_error": error}, {"test_error": 10.0}) for error in (9.0, 9.5)]
    names = ["x" * 80, r"$\frac$"]
    panel = Panel(r"a $\b$ " + "y" * 120, "CT", dict.fromkeys(names, pairs))
    figure = draw([panel], styles(names))
    figure.savefig(tmp_path / "figure.png")
    (axis,) = figure.axes
    box, width = axis.get_tightbbox(), figure.bbox.width
    assert 0 <= box.x0 and box.x1 <= width and axis.get_window_extent().width > width / 2
    assert [len(label.get_text().replace("\\$", "$")) for label in axis.get_yticklabels()] == [26, 7]
