"""The data that the trials of a run are trained on: loaded, described, and held to what was trained on them before."""

import itertools

from nft_keras.backend import import_tensorflow_quietly
from nft_keras.data import DataError
from nft_keras.data.io.fingerprint import differ, of_examples
from nft_keras.experiments.files import discard, writing_to
from nft_keras.experiments.recipe.fingerprints import of_loaded
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.recipe.settings import plain
from nft_keras.experiments.runs import check_free


class Loader:
    """Loads the data of a run's trials, and says what they are.

    What is wrong with the data is an error where all trials of the run need them, and else a line, after which the
    trials on other data are tried.

    Args:
        session: `nft_keras.experiments.train.session.Session`.
        screen: `nft_keras.experiments.train.screen.Screen`.
        trials: all trials of the run.
        to_run: list of those that are not finished.
        in_report: trials that the report is on.
    """

    def __init__(self, session, screen, trials, to_run, in_report):
        fresh = session.options.fresh
        self._session, self._screen, self._number = session, screen, len(trials)
        # Trials that stay in the report, whose results are to be of the same data where they are of the same name.
        self._stay = [trial for trial in in_report if not fresh or trial not in trials]
        # What --fresh discards, when the data are there and are taken: nothing is lost before.
        self._old = [*to_run] if fresh and session.writes else []

    def load(self, trials, also=()):
        """The data set of some trials.

        Args:
            trials: list of trials on the same data.
            also: other trials that cannot be trained without these.

        Returns:
            `nft_keras.data.Dataset`, or None where it cannot be loaded and other trials are to be tried.
        """
        name = trials[0].dataset["name"]
        self._screen.note(f"loading {name}")
        try:
            dataset = load(trials[0], self._session)
            lines = remarks(trials, dataset)
        except DataError as error:
            self._refuse(error, name, trials, also)
            return None
        self._session.keep_recipe()
        sizes = "/".join(f"{len(part):,}" for part in (dataset.train, dataset.valid, dataset.test))
        for line in (f"{name}: {sizes} examples; {dataset.provenance}", *lines):
            self._screen.say(line)
        return dataset

    def ready(self, trials, dataset, also=()):
        """The trials with the fingerprint of the data that were loaded for them, and nothing old in their folders.

        Args:
            trials, also: as of `load`.
            dataset: what `load` returned.

        Returns:
            list of trials; [] where there are no data, or where a trial that stays, finished or broken off, was trained
            on others, and other trials are to be tried.
        """
        if dataset is None:
            return []
        out, of_these = self._session.options.out, trials[0].dataset
        advice = "discard it with --fresh"
        if self._session.options.fresh:
            advice = "let --fresh discard all: leave --seeds, --methods and --classifiers out"
        try:
            for trial in of_loaded([trial for trial in self._stay if trial.dataset == of_these], dataset):
                check_free(trial, out, f"choose another --out, or {advice}", data_alone=True)
            trials = of_loaded(trials, dataset)
        except RecipeError as error:
            self._refuse(error, of_these["name"], trials, also)
            return []
        for trial in [trial for trial in self._old if trial.dataset == of_these]:
            self._old.remove(trial)
            with writing_to(out / trial.recipe):
                discard(out / trial.folder)
        return trials

    def load_again(self, trial):
        """The data set of a trial that was finished before, or None where it cannot be loaded, or is another one, now.

        Args:
            trial: with the fingerprint of the data that it was trained on.
        """
        import_tensorflow_quietly()
        self._screen.note(f"loading {trial.dataset['name']}")
        try:
            dataset = load(trial, self._session)
        except DataError as error:
            self._screen.say(f"no reference: {error}", stderr=True)
            return None
        if differ(trial.fingerprint, of_examples(dataset)):
            self._screen.say(
                f"no reference: {trial.dataset['name']} has changed since the trials were trained", stderr=True
            )
            return None
        return dataset

    def _refuse(self, error, name, trials, also):
        if len({trial.folder for trial in (*trials, *also)}) == self._number:
            raise error
        self._screen.say(f"{name}: {error}", stderr=True)


def load(trial, session):
    """The data set of a trial, with the data directory of a session."""
    from nft_keras import data

    return data.load(**trial.dataset, data_dir=session.options.data_dir)


def by_dataset(trials):
    """Lists of trials on the same data, in their order."""
    return [list(group) for _, group in itertools.groupby(trials, key=lambda trial: trial.dataset)]


def remarks(trials, dataset):
    """What is to be known of the networks of some trials, lines; refuses those that do not take the data."""
    from nft_keras.experiments.train.trial import check_fits

    of_networks = {_networks(trial): trial for trial in trials}.values()
    return list(dict.fromkeys(line for trial in of_networks for line in check_fits(trial, dataset)))


def _networks(trial):
    """What of a trial decides whether its networks take the data, as a text."""
    of_method = {key: value for key, value in plain(trial.method_settings).items() if key != "plan"}
    of_training = trial.training.augment, trial.training.class_weight
    return repr((trial.classifier, trial.classifier_settings, trial.kind, of_method, of_training))
