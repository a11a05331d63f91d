import csv
import json
import re
import statistics
from pathlib import Path

import pytest
import yaml

from nft_keras.cli import report
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports import published as tables
from tests.experiments.finished import finish
from tests.experiments.reports.test_published import RECIPES


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
        "cnn-a", "mnist-back-image †", "8.00 ± 1.00 (3)", "-", "-", "**6.50 ± 0.71 (2)**", "-1.00",
        "7.25 ± 0.16", "**7.02 ± 0.08**", "**6.80 ± 0.19**", "**6.59 ± 0.09**", "-0.66",
    ]  # fmt: skip
    assert (runs / "paper.md").read_text() == text


def test_our_difference_to_ct_is_of_the_seeds_that_both_have(runs, capsys):
    cells = {"cnn-a": [(3, 30.0)], "fc-a": [(0, 21.0)]}  # of seeds that CT does not have, and of one of its three
    for classifier, trials in cells.items():
        for seed, error in trials:
            (trial,) = load_recipe(RECIPES / "mnist-rot.yaml", classifiers=[classifier], methods=["nft"], seeds=[seed])
            finish(runs, trial, error)
        classic = load_recipe(RECIPES / "mnist-rot.yaml", classifiers=[classifier], methods=["ct"])
        for trial, error in zip(classic, (20.0, 30.0, 40.0), strict=True):
            finish(runs, trial, error)
    report.main([str(runs)])
    text = capsys.readouterr().out
    assert line_of(text, "fc-a", "mnist-rot")[5:7] == ["21.00 (1)", "+1.00"]
    assert line_of(text, "cnn-a", "mnist-rot")[5:7] == ["30.00 (1)", "-"]


def line_of(text, classifier, data):
    """The cells of a row of the paper's tables."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {classifier} ") and f" {data} " in line]
    return [text.strip() for text in line.strip("| ").split(" | ")]


def test_what_was_neither_run_nor_published_is_a_dash(runs, capsys):
    report.main([str(runs)])
    assert line_of(capsys.readouterr().out.partition("## Other runs")[0], "fc-b", "imdb") == [
        "fc-b", "imdb", *["-"] * 5, "13.27 ± 0.19", "-", "13.66 ± 0.69", "**11.93 ± 0.09**", "-1.34",
    ]  # fmt: skip


def test_ours_stand_beside_the_bars_of_figure_3_level_by_level(tmp_path, capsys):
    noise = "vary={dataset.label_noise: [0.2]}"
    for seed, errors in enumerate([(20.0, 10.0), (22.0, 12.0)]):
        for trial, error in zip(
            load_recipe("cifar10-noise", [noise], ["ct", "nft"], seeds=[seed]), errors, strict=True
        ):
            finish(tmp_path, trial, error, varied=trial.variation)
    (trial,) = load_recipe("cifar10-n10", methods=["nft"], seeds=[0])
    finish(tmp_path, trial, 7.0)
    report.main([str(tmp_path)])
    table_2, figure_3 = capsys.readouterr().out.split("## Table 2")[1].split("## Figure 3")
    assert line_of(figure_3, "resnet18", "cifar10-n20")[2:] == [
        "21.00 ± 1.41 (2)", "**11.00 ± 1.41 (2)**", "-10.00", "14.9", "**9.0**", "-5.9",
    ]  # fmt: skip
    assert (
        line_of(figure_3, "resnet18", "cifar10-n10")[3] == line_of(table_2, "resnet18", "cifar10-n10")[5] == "7.00 (1)"
    )
    command = (
        "python -m nft_keras.run recipes/cifar10-noise.yaml --classifiers resnet18 --set 'vary={dataset.label_noise:"
    )
    assert f"{command} [0.2]}}' --methods ct --seeds 2\n" in figure_3
    assert "4 of 6 rows were not begun" in figure_3 and f"{command} [0.3]}}'`" in figure_3
    assert "## Other runs" not in figure_3


def test_nft_as_coded_has_columns_of_its_own_where_it_was_run(runs, capsys):
    report.main([str(runs)])
    assert "as-coded -" not in capsys.readouterr().out.replace("nft-as-coded --seeds", "")
    for trial, error in zip(
        load_recipe("imdb", methods=["ct", "nft", "nft-as-coded"], seeds=[0]), (13, 14, 12), strict=True
    ):
        finish(runs / "whole", trial, float(error))
    report.main([str(runs)])
    table_1, table_2 = capsys.readouterr().out.partition("## Figure 3")[0].split("## Table 2")
    assert "| nft-as-coded" not in table_1
    (head,) = [line for line in table_2.splitlines() if line.startswith("| classifier ")]
    names = [text.strip() for text in head.strip("| ").split(" | ")]
    row = dict(zip(names, line_of(table_2, "fc-b", "imdb"), strict=True))
    assert names[2:9] == ["CT", "EEF", "FT", "NFT", "nft-as-coded", "NFT - CT", "nft-as-coded - CT"]
    assert (row["NFT"], row["nft-as-coded"]) == ("14.00 (1)", "**12.00 (1)**")
    assert (row["NFT - CT"], row["nft-as-coded - CT"], row["NFT - CT published"]) == ("+1.00", "-1.00", "-1.34")
    assert "--methods nft-as-coded --seeds 1 2\n" in table_2


def test_the_head_of_a_recipe_says_the_published_figures_of_its_data_set():
    published = yaml.safe_load((Path(tables.__file__).parent / "published.yaml").read_text())
    assert [sum(map(len, published[name].values())) for name in published] == [20, 4, 6]
    for name in ("Table 1", "Table 2"):
        for classifier, datasets in published[name].items():
            for dataset, figures in datasets.items():
                head = (RECIPES / f"{dataset}.yaml").read_text().partition("dataset:")[0]
                (line,) = re.findall(rf"^#   {classifier.upper() if name == 'Table 1' else ''}.*±.*$", head, re.M)
                assert re.findall(r"\d+\.\d\d ± \d\.\d\d", line) == [f"{m:.2f} ± {s:.2f}" for m, s in figures.values()]
    bars = published["Figure 3"]["resnet18"].values()
    head = (RECIPES / "cifar10-noise.yaml").read_text()
    for method in ("ct", "nft"):
        (line,) = re.findall(rf"^#   {method.upper()} +(.*)$", head, re.M)
        assert [[float(number)] for number in line.split()] == [bar[method] for bar in bars]


@pytest.fixture
def kept(tmp_path):
    """A folder as those of results/: of three trials of two methods, run with --set, recipe and results alone."""
    (tmp_path / "kept" / "moons").mkdir(parents=True)
    text = (RECIPES / "two-moons.yaml").read_text()
    (tmp_path / "kept" / "moons" / "recipe.yaml").write_text(
        f"# run with --set training.epochs=3 'seeds=[1, 2]'\n{text}"
    )
    results = [
        {"dataset": "two-moons", "classifier": "fc-a", "method": method, "seed": seed, "test_error": error, "epochs": 3,
         "valid_error": 1.0, "best_epoch": 1, "seconds": 2.0, "provenance": "drawn"}
        for method, seed, error in (("ct", 1, 10.0), ("ct", 7, 14.0), ("nft", 1, 9.0))
    ]  # fmt: skip
    (tmp_path / "kept" / "moons" / "results.json").write_text(json.dumps(results))
    return tmp_path / "kept"


def test_results_that_are_kept_without_their_trials_count(kept, tmp_path, capsys):
    assert report.main([str(kept), "--out", str(tmp_path)]) == 0
    rows = [(r["recipe"], r["method"], r["test error (%)"], r["seeds"]) for r in of_others(capsys.readouterr().out)]
    assert rows == [("moons", "CT", "12.00 ± 2.83", "2"), ("moons", "NFT", "9.00", "1")]


def test_trials_go_before_the_results_that_are_kept_of_them(kept, tmp_path, capsys):
    (trial,) = load_recipe("two-moons", ["name=moons", "training.epochs=3"], ["ct"], seeds=[1])
    finish(kept, trial, 50.0)
    assert report.main([str(kept), "--out", str(tmp_path)]) == 0
    assert [row["test error (%)"] for row in of_others(capsys.readouterr().out)] == ["50.00"]


@pytest.mark.parametrize("content", ["{}", "[1]", "[", '[{"seed": 1}]', '[{"seed": []}]', "null", '[{"seed": "a"}]'])
def test_damaged_results_are_told_in_one_line(kept, capsys, content):
    path = kept / "moons" / "results.json"
    path.write_text(content)
    assert report.main([str(kept)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and (str(path) in error or content == "{}" and "nothing to report" in error)


def test_results_of_another_recipe_are_told_in_one_line(kept, capsys):
    path = kept / "moons" / "results.json"
    path.write_text(path.read_text().replace('"nft"', '"ft"'))
    assert report.main([str(kept)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{path}: not results of {path.parent / 'recipe.yaml'}: ") and "'ft'" in error


def test_our_own_results_stand_beside_the_published_ones(tmp_path, capsys):
    assert report.main([str(RECIPES.parent / "results"), "--out", str(tmp_path)]) == 0
    paper, others = capsys.readouterr().out.split("## Other runs")
    table = re.search(r"\| classifier .*?\n\n", paper[paper.index("## Table 2") :], re.DOTALL)[0]
    rows = (line_of(table, *of) for of in (("classifier", "data"), ("fc-b", "imdb")))
    shown = dict(zip(*rows, strict=True))
    own = (("imdb", "ct", "CT"), ("imdb-as-printed", "nft", "NFT"), ("imdb", "nft-as-coded", "nft-as-coded"))
    for run, method, column in own:
        results = json.loads((RECIPES.parent / "results" / run / "results.json").read_text())
        errors = [r["test_error"] for r in results if r["method"] == method]
        text = shown[column]
        assert text.strip("*").startswith(f"{statistics.mean(errors):.2f} ") and f"({len(errors)})" in text
    assert "\n| small-wines " in others and "\n| two-moons " in others and "\n| imdb " not in others


def test_what_is_missing_is_said_with_the_command_that_fills_it(runs, capsys):
    report.main([str(runs)])
    text = capsys.readouterr().out
    command = "python -m nft_keras.run recipes/mnist-back-image.yaml --classifiers cnn-a --methods"
    assert f"{command} nft --seeds 2\n" in text and f"{command} ft --seeds 0 1 2\n" in text
    assert f"{command} ct --" not in text and "19 of 20 rows were not begun" in text


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
    out = capsys.readouterr().out
    rows = [(r["recipe"], r["data"], r["test error (%)"], r["seeds"]) for r in of_others(out)]
    assert rows == [("imdb", "imdb", "14.00 ± 5.29", "3"), ("fewer-words", "imdb", "50.00", "1")]
    paper = tmp_path / "paper.md"  # whose tables have nothing of ours
    assert out.startswith(f"None of these runs has the settings of a cell of the paper, whose tables are in {paper}.\n")
    assert "Table 1" not in out and "## Table 1" in paper.read_text() and "## Other runs" in paper.read_text()


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
