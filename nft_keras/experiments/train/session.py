"""What a run was asked for: options, recipes with the trials that they stand for, and a session for each of them."""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

from nft_keras.data import check_files
from nft_keras.experiments.files import writing_to
from nft_keras.experiments.recipe.fingerprints import Fingerprints
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.recipe.shipped import find_recipe
from nft_keras.experiments.recipe.trial import Trial
from nft_keras.experiments.reports.tables import write_recipe
from nft_keras.experiments.runs import finished


@dataclasses.dataclass(frozen=True)
class Options:
    """How recipes are run.

    Attributes:
        out: `pathlib.Path`, the output folder.
        data_dir: `pathlib.Path` of the data sets, None for the default.
        overrides: tuple of "key.key=value", changes to the recipe.
        methods, classifiers: names to keep, None for all of the recipe.
        seeds: ints to run instead of the recipe's, or None.
        vectorize: None, or the most trials to train together in one compiled program (0: all).
        reference: bool, whether a logistic regression stands below the table.
        fresh: bool, whether to discard what these trials left in the output folder before.
        allow_code: bool, whether what a recipe names by a dotted name is imported.
        loggers: names of `nft_keras.experiments.train.loggers.LOGGERS`, where trials are logged too.
    """

    out: Path = Path("runs")
    data_dir: Path | None = None
    overrides: tuple = ()
    methods: tuple | None = None
    classifiers: tuple | None = None
    seeds: tuple | None = None
    vectorize: int | None = None
    reference: bool = True
    fresh: bool = False
    allow_code: bool = False
    loggers: tuple = ()


class RecipeRun(NamedTuple):
    """A recipe that is to be run.

    Attributes:
        path: of its file, or the name of a shipped one.
        text: str, the file's content.
        chosen: list of those of its trials that were asked for.
        trials: list of all of its trials.
    """

    path: str | os.PathLike
    text: str
    chosen: list[Trial]
    trials: list[Trial]


class Session:
    """One recipe that is being run, by this process and perhaps by others that train with it.

    Args:
        name: the recipe's.
        text: str, its file.
        options: `Options`.
        cluster: `nft_keras.experiments.train.distribution.Cluster`, or None.
    """

    def __init__(self, name, text, options, cluster):
        self.name, self.text, self.options, self.cluster = name, text, options, cluster

    @property
    def writes(self):
        """Whether this process writes to the output folder: of several workers that train together one does."""
        return self.cluster is None or self.cluster.chief

    @property
    def refers(self):
        """Whether this process computes references."""
        return self.options.reference and self.writes

    @property
    def folder(self):
        """`pathlib.Path` of the recipe's results."""
        return self.options.out / self.name

    def keep_recipe(self):
        """Writes the recipe, as it was read, beside its results."""
        if self.writes:
            with writing_to(self.folder):
                write_recipe(self.text, self.options.overrides, self.options.out, self.name)


def trials_of(recipes, options):
    """What the recipes stand for: a list of `RecipeRun`.

    Raises:
        RecipeError: for whatever is wrong in a recipe, and where one would write over what another wrote.
        DataError: if a file of the user's, which a trial that is not finished needs, is not there.
    """
    found, fingerprints = [], Fingerprints(options.data_dir)
    for path in recipes:
        asked = options.methods, options.classifiers, options.seeds
        chosen = load_recipe(path, options.overrides, *asked, allow_code=options.allow_code)
        text = Path(find_recipe(path)).read_text(encoding="utf-8")
        trials = load_recipe(path, options.overrides, allow_code=options.allow_code)
        chosen, trials = (list(map(fingerprints.of, each)) for each in (chosen, trials))
        for trial in chosen:
            if options.fresh or not finished([trial], options.out):
                check_files(**trial.dataset, data_dir=options.data_dir)
        found.append(RecipeRun(path, text, chosen, trials))
    owners = {}
    for run in found:
        for trial in run.chosen:
            if trial.folder in owners:
                both = f"{owners[trial.folder]} and {run.path}"
                raise RecipeError(f"{both} both have the trial {trial.folder}; give one of them another name")
            owners[trial.folder] = run.path
    return found
