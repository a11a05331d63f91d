"""A recipe from beginning to end: its trials, the reference beside them, and the report on all that is finished."""

import contextlib
import dataclasses
import io
import os
from pathlib import Path

from nft_keras import _manifest
from nft_keras._manifest import DamagedError
from nft_keras._text import say
from nft_keras.backend import import_tensorflow_quietly, out_of_memory
from nft_keras.data import DataError, own_files
from nft_keras.data.io.cache import one_at_a_time
from nft_keras.experiments.classifier_file import ExportError
from nft_keras.experiments.files import clear_temporaries, discard, remove, writing_to
from nft_keras.experiments.methods import METHODS, method_title
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports.pairs import FOLD
from nft_keras.experiments.reports.reference import References
from nft_keras.experiments.reports.tables import write_report
from nft_keras.experiments.runs import check_free, finished, key_of, outcome
from nft_keras.experiments.selection import rank
from nft_keras.experiments.train import distribution, loggers
from nft_keras.experiments.train.loading import Loader, by_dataset, remarks
from nft_keras.experiments.train.ready import ready_backend
from nft_keras.experiments.train.session import Session, trials_of
from nft_keras.experiments.train.together.groups import check_vectorizes, groups


def run_recipes(recipes, options):
    """Runs recipes, prints what a person wants to see of it, and returns how many trials failed.

    Args:
        recipes: list of paths, or names of shipped recipes.
        options: `nft_keras.experiments.train.session.Options`.

    Raises:
        RecipeError, DataError, BackendError, OutputError: before anything is trained.
    """
    found = trials_of(recipes, options)
    trials = [trial for run in found for trial in run.chosen]
    ready_backend(trials)
    if options.loggers:
        print(f"starting {' and '.join(options.loggers)} ...", flush=True)
    loggers.check(options.loggers, together=options.vectorize is not None)
    if options.vectorize is not None:
        check_vectorizes(trials)
    for trial in trials if not options.fresh else ():
        check_free(trial, options.out)
    _look_ahead([trial for trial in trials if options.fresh or not finished([trial], options.out)], options)
    cluster = distribution.cluster(trials)
    failed = 0
    for run in found:
        session = Session(run.chosen[0].recipe, run.text, options, cluster)
        with _alone_in(session.folder) if session.writes else contextlib.nullcontext():
            failed += _run(run.chosen, run.trials, session)
    if cluster:
        cluster.end()
    return failed


def _look_ahead(trials, options):
    """Refuses data of the user's own, where trials are on several, and networks that do not take them.

    What is wrong with one is then said before a network has been trained on another.
    """
    of_data = {}
    for trial in trials:
        uncut = {key: value for key, value in trial.dataset.items() if key not in ("fold", "split_seed", "label_noise")}
        of_data.setdefault(repr(uncut), []).append(trial)
    own = [alike for alike in of_data.values() if own_files(**alike[0].dataset, data_dir=options.data_dir)]
    if len(of_data) < 2 or not own:
        return
    print("looking at all data ...", flush=True)
    import_tensorflow_quietly()
    from nft_keras import data

    for alike in own:
        with contextlib.redirect_stderr(io.StringIO()):  # what is to be known of them is said when they are used
            dataset = data.load(**alike[0].dataset, data_dir=options.data_dir)
        remarks(alike, dataset)


@contextlib.contextmanager
def _alone_in(folder):
    """Keeps other runs out of a run's folder; a refused run leaves none that it has made."""
    from filelock import Timeout

    made, lock = [each for each in (folder, *folder.parents) if not each.exists()], folder / ".lock"
    try:
        with one_at_a_time(lock, wait=False, option="--out"):
            yield
    except Timeout:
        raise RecipeError(f"{folder} is in use by another run; wait for it, or choose another --out") from None
    except (RecipeError, DataError):
        with contextlib.suppress(OSError):
            if made and list(folder.iterdir()) == [lock]:
                lock.unlink()
                for each in made:
                    each.rmdir()
        raise


def print_costs(recipes, options, start=""):
    """Prints what the trials of recipes take on this machine: operations, and seconds, from a few steps of each.

    Args:
        recipes, options: as for `run_recipes`.
        start: str, what each line begins with.

    Raises:
        RecipeError, DataError, BackendError: as `run_recipes`.
    """
    trials = [trial for run in trials_of(recipes, options) for trial in run.chosen]
    ready_backend(trials)
    import_tensorflow_quietly()
    from nft_keras import data
    from nft_keras.experiments.train.expected import Expected

    expected = Expected(always=True)
    for of_dataset in by_dataset(trials):
        dataset = data.load(**of_dataset[0].dataset, data_dir=options.data_dir)
        for line in (*remarks(of_dataset, dataset), *expected.lines(of_dataset, dataset)):
            print(f"{start}{line}")


def _run(trials, of_recipe, session):
    """Runs trials and returns how many failed; the report is on all finished ones that have the present settings."""
    from nft_keras.experiments.train.screen import Screen

    in_report = list({trial.folder: trial for trial in (*of_recipe, *trials)}.values())
    references = References(session.folder, in_report, again=trials if session.options.fresh else ())
    with Screen(trials) as screen:
        for line in dict.fromkeys(line for trial in trials for line in _without_effect(trial)):
            screen.say(line, stderr=True)
        to_run, done_before, damaged = _sorted_out(trials, screen, session)
        loader = Loader(session, screen, trials, to_run, in_report)
        failed = len(damaged) + _train(to_run, loader, references, screen, session)
        for trial in references.missing(done_before) if session.refers else ():
            _refer(references, trial, loader.load_again(trial), screen, session)
    if not session.writes:
        print(f"worker {session.cluster.index} is done; worker 0 has written to {session.folder}")
        return failed
    session.keep_recipe()
    results, spoilt = _read_back(in_report, damaged, screen, session)
    failed += sum(trial in trials for trial in spoilt)
    if results:
        _report(results, in_report, references, screen, session)
    if failed:
        say(f"{failed} of {len(trials)} trials failed")
    return failed


def _without_effect(trial):
    """Lines on settings of a trial that come to nothing in so few epochs."""
    if METHODS[trial.kind].has_plan and trial.simplification_epochs <= 1:
        yield f"{trial.method}: its plan alters no data; training is classic"
    first, epochs = getattr(trial.classifier_settings, "trainable_from", None), trial.training.epochs
    if first is not None and first > epochs:
        yield f"{trial.classifier}: trainable_from: {first} comes after the last of {epochs} epochs; it stays frozen"


def _sorted_out(trials, screen, session):
    """Trials by what is in their folders: lists of those to run, of those finished before, and of damaged ones."""
    to_run, done_before, damaged = [], [], []
    for trial in trials:
        done, reason = (None, None) if session.options.fresh else outcome(trial, session.options.out)
        if session.writes:
            _tidy(trial, session, done)
        if done:
            screen.finished_before(trial, done)
            done_before.append(dataclasses.replace(trial, fingerprint=done.get("fingerprint")))
        elif reason:
            _failed(trial, reason, screen, session)
            damaged.append(trial)
        else:
            to_run.append(trial)
    return to_run, done_before, damaged


def _train(trials, loader, references, screen, session):
    """Trains trials, one after the other or together; returns how many failed."""
    if not trials:
        return 0
    screen.note("starting TensorFlow ...")
    import_tensorflow_quietly()
    from nft_keras.experiments.train.expected import Expected

    expected = Expected()
    if session.cluster:
        session.cluster.watch()
    distribution.strategy(trials[0].distribute)
    if session.options.vectorize is not None:
        return _run_together(trials, loader, references, screen, session)
    return _run_in_turn(trials, loader, references, expected, screen, session)


def _read_back(in_report, damaged, screen, session):
    """The results of the trials of the report, and a list of those that are damaged and were not said to be."""
    results, spoilt = [], []
    for trial in in_report:
        result, reason = outcome(trial, session.options.out)
        if result:
            results.append(result)
        if reason and trial not in damaged:
            _failed(trial, reason, screen, session)
            spoilt.append(trial)
    return results, spoilt


def _report(results, in_report, references, screen, session):
    """Writes and prints the report, and what to do next."""
    with writing_to(session.folder):
        screen.tables(write_report(session.name, results, session.options.out, references.entries))
    print(f"written to {session.folder}")
    print(*_next(in_report, results, session.folder), sep="\n")


def _next(trials, results, folder):
    """Lines that say what to do with what a recipe's run left in its folder."""
    from nft_keras.data.features import preprocessing

    yield f"curves, pictures, all on one page: python -m nft_keras report {folder} --html"
    places = {trial.key: folder.parent / trial.folder for trial in trials}
    ranked = sorted(results, key=lambda result: rank(trials[0].selection_metric, result))
    best = [places[key_of(result)] for result in ranked]
    pictures = (place / name for place in best for name in ("simplification.png", "figure-1.png"))
    if picture := next(filter(Path.exists, pictures), None):
        yield f"how data were altered: {picture}"
    folds = any(result.get("varied", "").startswith(FOLD) for result in results)  # of other validation parts
    if best and not folds and (best[0] / preprocessing.FILE).exists():
        yield f"new inputs, by the best in validation: python -m nft_keras predict {best[0]} INPUT"


def _tidy(trial, session, done):
    """Takes out of a trial's folder what it is to start without, and what processes that were killed left there."""
    folder = session.options.out / trial.folder
    with writing_to(session.folder):
        for each in (session.folder, folder):
            clear_temporaries(each)
        if session.options.fresh:
            if session.cluster:  # before the other workers look for what to go on with
                discard(folder)
        elif done:
            remove(folder / "backup")
        elif os.path.lexists(folder / _manifest.FILE) and not os.path.lexists(folder / "backup"):
            for name in ("classifier.keras", "result.json"):
                if not os.path.lexists(folder / name):
                    say(f"{folder / name} is gone: the trial is trained again")


def _refer(references, trial, dataset, screen, session):
    """Adds the reference of a trial's data set, if it was loaded, to those that are there."""
    if dataset is None or not session.refers:
        return
    screen.note(f"{trial.dataset['name']}: logistic regression, to compare with")
    with writing_to(session.folder):
        references.add(trial, dataset)


def _run_in_turn(trials, loader, references, expected, screen, session):
    """Runs trials one after the other, those on the same data in a row; returns how many failed."""
    failed = 0
    for of_dataset in by_dataset(trials):
        dataset = loader.load(of_dataset)
        ready = loader.ready(of_dataset, dataset)
        if not ready:
            failed += len(of_dataset)
            continue
        _refer(references, ready[0], dataset, screen, session)
        if session.writes:
            screen.note("measuring a few steps")
            for line in expected.lines(ready, dataset):
                screen.say(line)
            screen.expected |= expected.seconds
        for trial in ready:
            failed += not _run_one(trial, dataset, screen, session, expected.classic_share(trial))
    return failed


def _run_together(trials, loader, references, screen, session):
    """Runs trials in groups, each in one compiled program; returns how many failed."""
    failed, loaded, of_data = 0, {}, {}
    for trial in trials:
        of_data.setdefault(str(trial.dataset), []).append(trial)
    for group in groups(trials, session.options.vectorize or None):
        by_data, ready = {}, {}
        for trial in group:
            by_data.setdefault(str(trial.dataset), []).append(trial)
        loaded = {key: loaded.get(key) or loader.load(of_data[key], group) for key in by_data}
        for key, own in by_data.items():
            if those := loader.ready(own, loaded[key], group):
                _refer(references, own[0], loaded[key], screen, session)
            ready |= {trial.folder: trial for trial in those}
        results = [None] * len(group)
        if len(ready) == len(group):
            group = [ready[trial.folder] for trial in group]
            results = _run_group(group, [loaded[str(trial.dataset)] for trial in group], screen, session)
        failed += sum(not isinstance(result, dict) for result in results)
    return failed


def _run_group(group, datasets, screen, session):
    """Runs the trials of a group; returns a result, or what is none, for each."""
    from nft_keras.experiments.train.together.vectorized import run_group

    names = " and ".join(map(method_title, dict.fromkeys(trial.method for trial in group)))
    title = f"{group[0].classifier} {names}, {len(group)} together"
    epochs, rate = group[0].training.epochs, 0.0

    def progress(epoch, seconds):
        nonlocal rate
        rate = len(group) * epoch / seconds
        screen.note(f"{title}  epoch {epoch}/{epochs}  {rate:.3g} members x epochs per second")

    screen.note(f"{title}  starting")
    try:
        results = run_group(group, datasets, session.options.out, progress)
    except Exception as error:
        reason = _mendable(error, "the same command starts these trials again (fewer at once: --vectorize N)")
        if reason is None:
            raise
        screen.say(f"failed: {title}: {reason}", stderr=True)
        return [None] * len(group)
    for trial, result in zip(group, results, strict=True):
        if isinstance(result, dict):
            screen.finished(trial, result, announced=False)
        else:
            _failed(trial, result, screen, session)
    screen.say(f"{title}: {rate:.3g} members x epochs per second, compiling included")
    return results


def _run_one(trial, dataset, screen, session, share):
    """Runs a trial; returns whether it came to its end. What stopped it is said, and what to do."""
    from nft_keras.experiments.train.callbacks import TrainingError
    from nft_keras.experiments.train.trial import run_trial

    try:
        also = session.options.loggers if session.writes else ()
        screen.finished(trial, run_trial(trial, dataset, session.options.out, screen.trial(trial, share), also))
        return True
    except TrainingError as error:
        reason = str(error)
    except Exception as error:
        reason = _mendable(error, "the same command goes on after the last finished epoch")
        if reason is None and session.cluster:
            session.cluster.failed(error)
        if reason is None:
            raise
    if session.cluster:
        session.cluster.leave(f"{session.options.out / trial.folder}: {reason}")
    _failed(trial, reason, screen, session)
    return False


def _failed(trial, reason, screen, session):
    """Says what a trial failed for."""
    screen.say(f"failed: {session.options.out / trial.folder}: {reason}", stderr=True)


def _mendable(error, again):
    """What stopped a training that can be mended, and what to do then; None for any other error."""
    if isinstance(error, DamagedError):
        return str(error)
    if isinstance(error, ExportError):
        return f"{error}; {again}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}; mend that, and {again}"
    what = out_of_memory(error)
    less = "mend that (less memory: --methods, --classifiers, training.batch_size)"
    return what and f"{what}; {less}, and {again}"
