"""What `python -m bench own-data` found, as results/own-data keeps it, and its table."""

import json
import statistics
from pathlib import Path

import pytest

from bench import own_data

KEPT = json.loads(Path(__file__, "../../../results/own-data/bench.json").resolve().read_text(encoding="utf-8"))
FOUND = KEPT["tables"]["Beside scikit-learn"]


def test_all_sets_were_trained_on_ten_splits():
    assert list(FOUND) == list(own_data.SETS)
    assert {len(of[method]) for of in FOUND.values() for method in own_data.LABELS} == {10}


@pytest.mark.parametrize("name", own_data.SETS)
def test_the_recipe_of_own_data_is_not_more_than_a_third_worse_than_scikit_learn(name):
    mean = {method: statistics.mean(FOUND[name][method]) for method in own_data.LABELS}
    assert mean["ct"] <= 4 / 3 * min(mean["lr"], mean["hgb"])


def test_the_table_has_the_difference_on_the_same_split():
    of = {method: [10.0, 20.0, 40.0] for method in own_data.LABELS} | {"nft": [9.0, 18.0, 37.0]}
    (row,) = own_data.table({"a": {**of, "examples": 1200, "features": 7}}).rows
    assert row[:5] == ["a", "1,200", "7", "23.33 ± 15.28", "21.33 ± 14.29"]
    assert row[-2:] == ["-2.00 ± 1.00", "0.074"]
