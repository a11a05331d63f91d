import csv

import numpy as np
import pytest

from nft_keras.cli import figures
from nft_keras.experiments import runs
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports import page, paper_figures
from tests.experiments import finished
from tests.experiments.reports.test_published import RECIPES


@pytest.fixture
def finish(tmp_path):
    """Writes the folder of a finished trial as `nft_keras.run` does."""

    def finish(trial, test_error=10.0, history=(), **snapshots):
        varied = {"varied": trial.variation} if trial.varied else {}
        folder = finished.finish(tmp_path, trial, test_error, **varied)
        with open(folder / "history.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, ["epoch", "phase", "error", "valid_error", "test_error"])
            writer.writeheader()
            writer.writerows(history)
        if snapshots:
            np.savez(folder / "snapshots.npz", **snapshots)
        return tmp_path

    return finish


def test_figure_3_shows_mean_and_deviation_at_each_noise_level(finish):
    errors = {"ct": {0.0: (10, 12), 0.4: (30, 34)}, "nft": {0.0: (11, 11), 0.4: (20, 26)}}
    for trial in load_recipe(RECIPES / "small" / "cifar10-noise.yaml", seeds=[0, 1]):
        noise = trial.dataset["label_noise"]
        if noise in errors[trial.method]:
            out = finish(trial, errors[trial.method][noise][trial.seed])
    axis = paper_figures.label_noise(runs.find([out])).axes[0]
    for container, means, deviations in zip(
        axis.containers, ([11, 32], [11, 23]), ([2**0.5, 8**0.5], [0, 18**0.5]), strict=True
    ):
        line, _, (bars,) = container
        np.testing.assert_allclose(line.get_xydata(), np.transpose([[0, 40], means]))
        heights = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
        np.testing.assert_allclose(heights, deviations, atol=1e-9)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["CT (2 seeds)", "NFT (2 seeds)"]
    assert axis.get_xlabel() == "label noise (% of the training labels)" and axis.get_ylabel() == "test error (%)"


def test_figure_5_shows_the_history_and_the_drop(finish):
    def rows(first_test):
        phases = ("classic", "simplified", "simplified", "classic")
        return [
            {"epoch": i + 1, "phase": phase, "error": 40 - i, "valid_error": 30, "test_error": first_test - 5 * i}
            for i, phase in enumerate(phases)
        ]

    for method, first in (("ct", 50), ("nft", 60)):
        (trial,) = load_recipe(RECIPES / "mnist-back-image.yaml", (), [method], ["cnn-a"], [0])
        out = finish(trial, history=rows(first))
    axis = paper_figures.curves(runs.find([out])).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines) == ["CT, training", "CT, test", "NFT, training", "NFT, test", "drop after epoch 3"]
    np.testing.assert_array_equal(lines["NFT, test"].get_ydata(), [60, 55, 50, 45])
    np.testing.assert_array_equal(lines["CT, training"].get_xydata(), [(1, 40), (2, 39), (3, 38), (4, 37)])
    assert list(lines["drop after epoch 3"].get_xdata()) == [3, 3]


@pytest.mark.parametrize("phase", ["classic", "simplified"])
def test_figure_5_shows_no_drop_where_none_was(finish, phase):
    rows = [{"epoch": i, "phase": phase, "error": 40, "valid_error": 30, "test_error": 30} for i in (1, 2, 3)]
    for method in ("ct", "nft"):
        (trial,) = load_recipe(RECIPES / "mnist-back-image.yaml", (), [method], ["cnn-a"], [0])
        out = finish(trial, history=rows)
    labels = [line.get_label() for line in paper_figures.curves(runs.find([out])).axes[0].lines]
    assert labels == ["CT, training", "CT, test", "NFT, training", "NFT, test"]


def test_figure_5_without_test_errors_says_validation(finish):
    for method in ("ct", "nft"):
        (trial,) = load_recipe(RECIPES / "mnist-back-image.yaml", (), [method], ["cnn-a"], [0])
        out = finish(trial, history=[{"epoch": 1, "phase": "classic", "error": 40, "valid_error": 30}])
    labels = [line.get_label() for line in paper_figures.curves(runs.find([out])).axes[0].lines]
    assert "NFT, validation" in labels and "NFT, test" not in labels


def test_figure_3_keeps_experiments_apart_and_takes_each_seed_once(finish, tmp_path):
    recipe = RECIPES / "small" / "cifar10-noise.yaml"
    for name, eta_max, added in (("a", 500, 0), ("b", 7, 50), ("c", 500, 90)):
        for trial in load_recipe(recipe, [f"name={name}", f"methods.nft.plan.eta_max={eta_max}"], seeds=[0, 1]):
            out = finish(trial, added + trial.seed + 10 * trial.dataset["label_noise"])
    axes = paper_figures.label_noise(runs.find([out])).axes
    assert [axis.get_title() for axis in axes] == ["a, cifar10, cnn-a", "b, cifar10, cnn-a"]
    for axis, first in zip(axes, (0.5, 50.5), strict=True):
        ct, nft = (line.get_xydata()[0] for line, *_ in axis.containers)
        assert list(ct) == [0, 0.5] and list(nft) == [0, first]
        assert {text.get_text() for text in axis.get_legend().get_texts()} == {"CT (2 seeds)", "NFT (2 seeds)"}


def test_figure_5_pairs_ct_and_nft_of_one_recipe(finish):
    row = {"epoch": 1, "phase": "classic", "error": 40, "valid_error": 30}
    for name, methods in (("a", ["ct"]), ("b", ["ct", "nft"])):
        for trial in load_recipe("mnist-back-image", [f"name={name}"], methods, ["cnn-a"], [0]):
            out = finish(trial, history=[row | {"error": 40 if name == "a" else 20}])
    (axis,) = paper_figures.curves(runs.find([out])).axes
    assert axis.get_title() == "b, mnist-back-image, cnn-a, seed 0"
    assert [list(line.get_ydata()) for line in axis.lines if "training" in line.get_label()] == [[20], [20]]


def test_a_method_looks_the_same_in_a_figure_and_on_the_page(finish):
    row = {"epoch": 1, "phase": "classic", "error": 40, "valid_error": 30}
    for trial in load_recipe("mnist-back-image", (), ["ct", "ct-short", "nft", "nft-as-coded"], ["cnn-a"], [0]):
        out = finish(trial, history=[row])
    found = runs.find([out])
    drawn = paper_figures.curves(found), page.curves(found)["cnn-a, validation"]
    colours = [{line.get_label().partition(",")[0]: line.get_color() for line in of.axes[0].lines} for of in drawn]
    assert colours[0].items() <= colours[1].items() and "nft-as-coded" in colours[0]


def test_figure_5_without_a_history_is_refused_in_one_line(finish, capsys):
    for trial in load_recipe("mnist-back-image", (), ["ct", "nft"], ["cnn-a"], [0]):
        out = finish(trial)
    (out / trial.folder / "history.csv").unlink()
    assert figures.main(["5", str(out)]) == 2
    path = out / trial.folder / "history.csv"
    assert capsys.readouterr().err == f"{path}: cannot be read: No such file or directory\n"


def test_a_figure_that_cannot_be_written_is_told_in_one_line(finish, capsys):
    row = {"epoch": 1, "phase": "classic", "error": 40, "valid_error": 30}
    for trial in load_recipe("mnist-back-image", (), ["ct", "nft"], ["cnn-a"], [0]):
        out = finish(trial, history=[row])
    assert figures.main(["5", str(out), "--out", "/proc/x"]) == 2
    assert capsys.readouterr().err.startswith("/proc/x cannot be written to: ")


def test_figure_6_has_a_panel_for_each_setting_that_varies_alone(finish):
    for trial in load_recipe(RECIPES / "small" / "sensitivity.yaml", seeds=[0, 1]):
        eta_max = trial.method == "nft" and trial.method_settings.plan.eta_max
        out = finish(trial, eta_max / 100 + trial.seed)
    figure = paper_figures.sensitivity(runs.find([out]))
    assert [axis.get_xlabel() for axis in figure.axes] == list(paper_figures.SENSITIVITY.values())
    ticks = [[tick.get_text() for tick in axis.get_xticklabels()] for axis in figure.axes]
    assert ticks == [["100", "500", "2000"], ["0.25", "0.5", "0.85"], ["4", "8", "16"], ["0.0001", "0.001", "0.005"]]
    np.testing.assert_allclose(figure.axes[0].containers[0][0].get_xydata()[:, 1], [1.5, 5.5, 20.5])
    np.testing.assert_allclose(figure.axes[1].containers[0][0].get_xydata()[:, 1], [5.5, 5.5, 5.5])


def test_figure_4_shows_ft_above_nft_for_each_classifier(finish):
    x = np.random.default_rng(0).random((3, 8, 8, 1))
    for classifier in ("fc-a", "cnn-a"):
        for method in ("ft", "nft"):
            (trial,) = load_recipe(RECIPES / "mnist-back-image.yaml", (), [method], [classifier], [0])
            out = finish(trial, x=x, simplified=np.stack([x + 0.25, x]), gammas=[2, 5], y=[0, 1, 2])
    figure = paper_figures.simplification(runs.find([out]))
    titles = [block.get_suptitle() for block in figure.subfigs]
    expected = [f"{m}, {c}, $\\gamma$ = 2" for m in ("FT", "NFT") for c in ("fc-a", "cnn-a")]
    assert titles == expected
    first = [axis.images[0].get_array() for axis in figure.subfigs[0].axes[::3]]
    np.testing.assert_allclose(first[0], x[0, ..., 0])
    np.testing.assert_allclose(first[1], 0.25)
    np.testing.assert_allclose(first[2], (x[0, ..., 0] + 0.25).clip(0, 1))


def test_the_command_writes_png_and_pdf(finish, tmp_path, capsys):
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), -1)
    (trial,) = load_recipe(RECIPES / "two-moons.yaml", methods=["nft"], seeds=[0])
    x = np.random.default_rng(0).random((4, 2))
    out = finish(
        trial, x=x, simplified=x[None] + 0.1, gammas=[2], y=[0, 1, 0, 1], grid=grid, boundary=grid[None, ..., 0] > 0
    )
    assert figures.main(["1", str(out), "--out", str(tmp_path / "drawn")]) == 0
    assert (tmp_path / "drawn" / "figure-1.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "drawn" / "figure-1.pdf").read_bytes().startswith(b"%PDF")
    assert capsys.readouterr().out.split() == [str(tmp_path / "drawn" / f"figure-1.{end}") for end in ("png", "pdf")]


@pytest.mark.parametrize("name", figures.NAMES)
def test_runs_that_a_figure_cannot_be_drawn_from_are_refused_with_a_command(finish, name, capsys):
    (trial,) = load_recipe(RECIPES / "imdb.yaml", methods=["ct"], seeds=[0])
    assert figures.main([name, str(finish(trial))]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "python -m nft_keras.run recipes/" in error


def test_every_figure_has_a_name_on_the_command_line():
    assert list(figures.NAMES) == [*paper_figures.FIGURES, "differences"]
