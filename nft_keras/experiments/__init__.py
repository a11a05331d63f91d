"""Experiments: recipe (what to run) -> trial (one run of it) -> report (tables and figures).

from nft_keras import experiments

results = experiments.run("digits-back-image", seeds=[0, 1], out="runs")
print(experiments.report(results))
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any


def run(
    recipe: str | os.PathLike | Mapping[str, Any],
    *,
    out: str | os.PathLike = "runs",
    data_dir: str | os.PathLike | None = None,
    overrides: Iterable[str] = (),
    methods: Iterable[str] | None = None,
    classifiers: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """Trains what a recipe describes, as `nft-keras run` does, and goes on where an earlier run was broken off.

    Args:
        recipe: path of a recipe, the name of a shipped one, or a mapping with a recipe's keys and a `name`.
        out: the output folder.
        data_dir: where data sets are or go, None for $NFT_DATA_DIR, else a folder in the user's cache.
        overrides: iterable of "key.key=value", changes to the recipe.
        methods, classifiers, seeds: those to run instead of all of the recipe.
        **more: `vectorize`, `reference` and `fresh`, see `nft_keras.experiments.train.run.Options`.

    Returns:
        list of dicts, the content of result.json of every finished trial of the recipe.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError, nft_keras.data.DataError: before anything is trained.
        RuntimeError: if trials failed; the others are done.
    """
    import pathlib
    import tempfile

    import yaml

    from nft_keras.experiments.runs import finished
    from nft_keras.experiments.train.run import Options, run_recipes, trials_of

    chosen = {key: value and tuple(value) for key, value in dict(methods=methods, classifiers=classifiers).items()}
    seeds = None if seeds is None else tuple(seeds)
    options = Options(
        pathlib.Path(out), data_dir and pathlib.Path(data_dir), tuple(overrides), **chosen, seeds=seeds, **more
    )
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(recipe, Mapping):
            path = pathlib.Path(folder, f"{recipe.get('name', 'recipe')}.yaml")
            path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
            recipe = path
        failed = run_recipes([recipe], options)
        ((_, _, trials, _),) = trials_of([recipe], options)
    if failed:
        raise RuntimeError(f"{failed} of {len(trials)} trials failed; what is wrong with each was printed")
    return finished(trials, options.out)


def report(results: list[dict[str, Any]]) -> str:
    """Tables of results: errors over seeds, differences to classic training seed by seed, what was left at the drop.

    Args:
        results: list of dicts, as `run` returns them.

    Returns:
        str, Markdown.
    """
    from nft_keras.experiments.reports.tables import against_classic, at_the_drop, table

    return "\n\n".join(filter(None, [table(results), against_classic(results), at_the_drop(results)]))
