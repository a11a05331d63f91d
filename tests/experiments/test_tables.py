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
    assert (runs / "paper.md").read_text() == text


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


def of_others(text):
    _, others = text.split("## Other runs")
    lines = [line for line in others.splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_other_runs_stand_together_if_they_differ_in_the_seed_alone(tmp_path, capsys):
    def run(folder, error, seed, *overrides):
        (trial,) = load_recipe(RECIPES / "imdb.yaml", ["training.epochs=3", *overrides], methods=["ct"], seeds=[seed])
        finish(tmp_path / folder, trial, error)

    run("a", 10.0, 0)
    run("a", 12.0, 1)
    run("b", 99.0, 1, "name=again", "test_every=1")  # the same experiment, and seed
    run("b", 20.0, 2, "name=again")
    run("c", 50.0, 0, "dataset.num_words=100", "name=fewer-words")
    assert report.main([str(tmp_path)]) == 0
    rows = [(r["recipe"], r["data"], r["test error (%)"], r["seeds"]) for r in of_others(capsys.readouterr().out)]
    assert rows == [("imdb", "imdb", "14.00 ± 5.29", "3"), ("fewer-words", "imdb", "50.00", "1")]


def test_published_settings_count_with_any_seed(runs, capsys):
    (trial,) = load_recipe(RECIPES / "mnist-back-image.yaml", classifiers=["cnn-a"], methods=["nft"], seeds=[7])
    finish(runs, trial, 20.0)
    report.main([str(runs)])
    text = capsys.readouterr().out
    assert "11.00 ± 7.81 (3)" in text and "--methods nft --seeds 2\n" in text and "seed-7" not in text
    assert [row["data"] for row in of_others(text)] == ["imdb"]


def test_of_two_runs_of_one_seed_the_first_counts(runs, capsys):
    (trial,) = load_recipe(RECIPES / "mnist-back-image.yaml", classifiers=["cnn-a"], methods=["nft"], seeds=[1])
    finish(runs / "z", trial, 90.0)
    report.main([str(runs)])
    assert "**6.50 ± 0.71 (2)**" in capsys.readouterr().out


def test_the_report_of_a_recipe_stays(runs, capsys):
    (runs / "report.md").write_text("of nft_keras.run")
    assert report.main([str(runs)]) == 0
    assert (runs / "report.md").read_text() == "of nft_keras.run"


@pytest.mark.parametrize("out, why", [("/proc/x", "No such file or directory"), ("/etc/hostname", "File exists")])
def test_a_folder_that_cannot_be_written_to_is_one_line(runs, out, why, capsys):
    assert report.main([str(runs), "--out", out]) == 2
    assert capsys.readouterr().err == f"{out} cannot be written to: {why}; choose another --out\n"
