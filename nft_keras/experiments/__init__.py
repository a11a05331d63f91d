"""Experiments: recipe (what to run) -> trial (one run of it) -> report (tables and figures).

Example:

    from nft_keras import experiments

    results = experiments.run("digits-back-image", seeds=[0, 1], out="runs")
    print(experiments.report(results))
"""

import numbers
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any


def run(
    recipe: str | os.PathLike | Mapping[str, Any],
    *,
    out: str | os.PathLike = "runs",
    data_dir: str | os.PathLike | None = None,
    overrides: str | Iterable[str] = (),
    methods: str | Iterable[str] | None = None,
    classifiers: str | Iterable[str] | None = None,
    seeds: int | Iterable[int] | None = None,
    vectorize: int | None = None,
    reference: bool = True,
    fresh: bool = False,
    allow_code: bool = False,
    loggers: str | Iterable[str] = (),
) -> list[dict[str, Any]]:
    """Trains what a recipe describes, as `nft-keras run` does, and goes on where an earlier run was broken off.

    Args:
        recipe: path of a recipe, the name of a shipped one, or a mapping with a recipe's keys and a `name`, whose
            values may be numpy's.
        out: the output folder.
        data_dir: where data sets are or go, None for $NFT_DATA_DIR, else a folder in the user's cache.
        overrides: "key.key=value", a change to the recipe, or several.
        methods, classifiers, seeds: one, or several, to run instead of all of the recipe.
        vectorize: None, or the most trials to train together in one compiled program (0: all); needs JAX.
        reference: bool, whether a logistic regression stands below the table.
        fresh: bool, whether to discard what these trials left in the output folder before.
        allow_code: bool, whether a function that the recipe names by its dotted name, as a `law`, is imported.
        loggers: "mlflow" or "wandb", or both, where every epoch is logged too.

    Returns:
        list of dicts, the content of result.json of every finished trial of the recipe.

    Raises:
        nft_keras.experiments.recipe.schema.RecipeError, nft_keras.data.DataError: before anything is trained.
        nft_keras.backend.BackendError: if Keras runs on a back end that nothing is trained with.
        nft_keras.experiments.files.OutputError: if `out` cannot be written to.
        RuntimeError: if trials failed; the others are done.
    """
    import pathlib
    import tempfile

    from nft_keras.experiments.from_python import arguments_in_errors, write_mapping
    from nft_keras.experiments.runs import finished
    from nft_keras.experiments.train.run import run_recipes
    from nft_keras.experiments.train.session import Options, trials_of

    options = Options(
        out=pathlib.Path(out),
        data_dir=data_dir and pathlib.Path(data_dir),
        overrides=_several(overrides),
        methods=_several(methods),
        classifiers=_several(classifiers),
        seeds=None if seeds is None else tuple(map(operator.index, _several(seeds))),
        vectorize=vectorize,
        reference=reference,
        fresh=fresh,
        allow_code=allow_code,
        loggers=_several(loggers),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "recipe.yaml")
        with arguments_in_errors(file):
            if isinstance(recipe, Mapping):
                write_mapping(recipe, file)
                recipe = file
            failed = run_recipes([recipe], options)
            trials = trials_of([recipe], options)[0].chosen
    if failed:
        raise RuntimeError(f"{failed} of {len(trials)} trials failed; what is wrong with each was printed")
    return finished(trials, options.out)


def _several(chosen):
    """What was chosen as a tuple, also if it is one thing; None for all."""
    if chosen is None or isinstance(chosen, (str, numbers.Integral)):
        return chosen if chosen is None else (chosen,)
    return tuple(chosen)


def report(results: list[dict[str, Any]]) -> str:
    """Tables of results: errors over seeds, differences to CT and controls seed by seed, what was left at the drop.

    Args:
        results: list of dicts, as `run` returns them.

    Returns:
        str, Markdown.
    """
    from nft_keras.experiments.reports.tables import against_classic, against_controls, drop_table, table

    return "\n\n".join(filter(None, (of(results) for of in (table, against_classic, against_controls, drop_table))))
