import csv

import pytest

from nft_keras import report
from nft_keras.experiments.recipe import load_recipe
from tests.experiments.finished import finish
from tests.experiments.test_published import RECIPES


@pytest.fixture
def runs(tmp_path):
    """Finished trials of cnn-a on mnist-back-image (CT: three seeds, NFT: two), and one with other settings."""

    provenance = "generated after Larochelle et al. (2007)"
    recipe = RECIPES / "mnist-back-image.yaml"
    for trial, test_error in zip(load_recipe(recipe, classifiers=["cnn-a"], methods=["ct"]), (7, 8, 9), strict=True):
        finish(tmp_path, trial, test_error, provenance=provenance)
    for trial, test_error in zip(
        load_recipe(recipe, classifiers=["cnn-a"], methods=["nft"], seeds=[0, 1]), (6, 7), strict=True
    ):
        finish(tmp_path, trial, test_error, provenance=provenance)
    finish(tmp_path, load_recipe(RECIPES / "imdb.yaml", ["training.epochs=3"], methods=["ct"], seeds=[0])[0], 13.0)
    return tmp_path


def test_ours_stand_beside_the_published_figures(runs, capsys):
    assert report.main([str(runs)]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if line.startswith("| cnn-a ") and " mnist-back-image" in line]
    assert [text.strip() for text in line.strip("| ").split(" | ")] == [
        "cnn-a", "mnist-back-image †", "8.00 ± 1.00 (3)", "-", "-", "**6.50 ± 0.71 (2)**", "-1.50",
        "7.25 ± 0.16", "**7.02 ± 0.08**", "**6.80 ± 0.19**", "**6.59 ± 0.09**", "-0.66",
    ]  # fmt: skip
    assert (runs / "report.md").read_text() == text


def test_what_is_not_legible_is_a_dash(runs, capsys):
    report.main([str(runs)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| fc-a ") and "convex" in line]
    assert [text.strip() for text in line.strip("| ").split(" | ")] == ["fc-a", "convex", *["-"] * 10]


def test_what_is_missing_is_said_with_the_command_that_fills_it(runs, capsys):
    report.main([str(runs)])
    text = capsys.readouterr().out
    command = "python -m nft_keras.run recipes/mnist-back-image.yaml --classifiers cnn-a --methods"
    assert f"{command} nft --seeds 2\n" in text and f"{command} ft --seeds 0 1 2\n" in text
    assert f"{command} ct" not in text and "19 of 20 rows were not begun" in text


def test_runs_with_other_settings_stay_out_of_the_papers_tables(runs, capsys):
    report.main([str(runs)])
    paper, others = capsys.readouterr().out.split("## Other runs")
    assert "13.00" not in paper and "13.00" in others and "imdb" in others


def test_the_tables_are_written_as_csv(runs, tmp_path):
    report.main([str(runs), "--out", str(tmp_path / "out")])
    rows = list(csv.DictReader((tmp_path / "out" / "table-1.csv").open()))
    assert len(rows) == 20 and {row["classifier"] for row in rows} == {"fc-a", "fc-b", "cnn-a", "cnn-b"}
    (row,) = [row for row in rows if (row["classifier"], row["data"]) == ("cnn-a", "mnist-back-image †")]
    assert row["NFT"] == "6.50 ± 0.71 (2)" and row["NFT - CT published"] == "-0.66"
    assert len(list(csv.DictReader((tmp_path / "out" / "table-2.csv").open()))) == 4


def test_a_folder_without_results_is_refused(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
