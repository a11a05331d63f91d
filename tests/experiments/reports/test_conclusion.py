import json

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from nft_keras.experiments.reports.conclusion import seeds_for, sentences, shown_by
from nft_keras.experiments.reports.tables import write_report


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, None), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_so_many_pairs_are_those_of_published_tables_of_power(effect, pairs):
    # Cohen (1988), paired t-test, two-sided 5 %, power 80 %; 199 pairs for 0.2 are more than anybody runs.
    assert seeds_for(effect * 1.7, 1.7) == pairs


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_difference_that_seeds_show_is_found_in_four_of_five_experiments(n):
    difference = shown_by(n, 0.6)
    drawn = np.random.default_rng(n).normal(difference, 0.6, (20_000, n))
    assert np.mean(ttest_1samp(drawn, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.015)


def group(*differences):
    return {("", "nft", "CT"): list(differences)}


def test_a_sentence_says_what_the_differences_show():
    assert sentences(group(-1.2, -1.0, -1.1)) == ["NFT has 1.10 points less test error than CT (3 seeds, p = 0.003)."]
    assert sentences(group(2.0, 2.1, 2.05)) == ["NFT has 2.05 points more test error than CT (3 seeds, p < 0.001)."]
    least = shown_by(3, np.std([-0.5, 0.6, 0.1], ddof=1))
    assert sentences(group(-0.5, 0.6, 0.1)) == [
        f"NFT and CT: no difference that 3 seeds can show (they would show {least:.2g} points, 12 seeds 0.5)."
    ]
    assert sentences(group(0.4)) == ["NFT and CT: one seed shows nothing, give at least three."]
    assert sentences(group(0.0, 0.0)) == ["NFT and CT have the same test error in each of 2 seeds."]
    constant = "NFT has 5.00 points less test error than CT in each of {} seeds"
    # No t-test has a p here; chance gives one sign to five seeds in 1 of 16 experiments, to nine in 1 of 256.
    assert sentences(group(*5 * [-5.0])) == [constant.format(5) + ", too few to show anything."]
    assert sentences(group(*6 * [-5.0])) == [constant.format(6) + "."]
    more = {(f"cnn-{i}: ", "eef", "CT"): [-0.1, 0.2, 0.1 * i] for i in range(4)}
    assert sentences(group(*6 * [-5.0]) | more)[0].startswith("No comparison shows a difference")
    assert sentences(group(*9 * [-5.0]) | more)[0] == constant.format(9) + "."
    assert sentences({}) == []


def test_of_several_comparisons_each_has_to_show_more():
    pair = {("fc-a: ", "nft", "CT"): [-1.2, -0.9, -1.3], ("fc-a: ", "eef", "CT"): [-1.0, -0.5, -1.3]}
    said = sentences(pair)
    assert ttest_1samp([-1.0, -0.5, -1.3], 0).pvalue < 0.06
    assert said[0].startswith("fc-a: NFT has 1.13 points less")
    assert said[1].startswith("fc-a: EEF and CT: no difference")
    assert said[2] == "Of 2 comparisons one counts from p < 0.025 on."
    more = {(f"cnn-{i}: ", "nft", "CT"): [-0.1, 0.2, 0.1 * i] for i in range(3)}
    none = "comparison shows a difference; of 5 comparisons one counts from p < 0.01 on."
    assert sentences(pair | more) == [f"No {none}"]
    pair["fc-a: ", "nft", "CT"] = [-1.2, -1.15, -1.3]
    shown = "fc-a: NFT has 1.22 points less test error than CT (3 seeds, p = 0.001)."
    assert sentences(pair | more) == [shown, f"No other {none}"]
    assert sentences(dict.fromkeys(pair, [0.3])) == ["One seed shows nothing, give at least three."]


def test_what_is_better_than_ct_has_to_be_better_than_controls_too():
    ((key, _),) = group().items()
    better, less = {"short": [-0.9, -1.0, -0.8], "smooth": [-1.0] * 6}, {"short": [-0.9, -1.0, 0.2]}
    gain, none, worse = group(-1.2, -1.0, -1.1), group(-0.5, 0.6, 0.1), group(1.2, 1.0, 1.1)
    p = ttest_1samp(better["short"], 0).pvalue
    assert sentences(gain, {key: better})[1:] == [
        f"NFT is better than short (-0.90 points, p = {p:.3f}) and smooth (-1.00 points in each seed) too."
    ]
    p = ttest_1samp(less["short"], 0).pvalue
    assert p > 0.05 and sentences(gain, {key: better | less})[1:] == [
        f"NFT is not shown to be better than short (-0.57 points, p = {p:.3f}), which a gain has to beat."
    ]
    for groups in (none, worse):
        assert sentences(groups, {key: better}) == sentences(groups)
    assert sentences(gain, {key: {}}) == sentences(gain)


def test_the_report_says_it_below_the_tables_and_of_folds_nothing(tmp_path):
    def result(method, seed, error, **more):
        return {
            "dataset": "csv", "classifier": "fc-a", "method": method, "seed": seed, "test_error": error,
            "valid_error": 1, "best_epoch": 1, "epochs": 2, "seconds": 1.0, "provenance": "drawn", **more,
        }  # fmt: skip

    results = [result(method, seed, 10 + seed - 3 * (method == "nft")) for method in ("ct", "nft") for seed in (0, 1)]
    results[-1]["test_error"] -= 0.01
    text = write_report("r", results, tmp_path)
    assert "\n\nNFT has 3.0" in text and text in (tmp_path / "r" / "report.md").read_text()
    folds = [r | {"varied": f"dataset.fold={r['seed'] + 1}-of-2"} for r in results]
    assert "points less" not in write_report("r", folds, tmp_path)
    assert json.loads((tmp_path / "r" / "results.json").read_text()) == folds
