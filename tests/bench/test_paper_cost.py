"""What the whole paper costs, counted from its recipes."""

import pytest

from bench import paper_cost
from nft_keras.experiments.recipe.shipped import shipped_recipes


def test_a_recipe_s_controls_are_counted_beside_the_paper_s_methods(capsys):
    paper_cost.main([str(shipped_recipes() / "imdb.yaml")])
    header, _, row = (line.split("|")[3:-1] for line in capsys.readouterr().out.splitlines()[:3])
    cost = {method.strip(): float(number) for method, number in zip(header, row, strict=True)}
    # FC-B: 20,000 words, layers of 2,500 to 500 units; three operations of a forward pass, two per weight, 20,000
    # reviews, 30 epochs, three seeds. ct-short has half of the epochs, ct-smooth all.
    units = (20_000, 2_500, 2_000, 1_500, 1_000, 500, 2)
    weights = sum(a * b for a, b in zip(units, units[1:], strict=False))
    assert cost["CT"] == pytest.approx(3 * 2 * weights * 20_000 * 30 * 3 / 1e15, rel=0.02)
    assert cost["others"] == pytest.approx(1.5 * cost["CT"], rel=0.03)
