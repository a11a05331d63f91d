"""The command line: python -m nft_keras.run RECIPE.yaml trains every cell of a recipe and reports on it."""

import argparse
import contextlib
import functools
import itertools
import shutil
import sys
from pathlib import Path

from nft_keras.backend import BackendError, check_backend, import_tensorflow_quietly, make_deterministic, out_of_memory
from nft_keras.cli.options import add_recipe_options, positive, run_command, writing_to
from nft_keras.data import DataError
from nft_keras.data.io.cache import one_at_a_time
from nft_keras.experiments.recipe.reading import find_recipe, load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.recipe.settings import method_title, plain
from nft_keras.experiments.report.reference import References
from nft_keras.experiments.report.tables import write_recipe, write_report
from nft_keras.experiments.runs import check_free, finished, flatten
from nft_keras.experiments.train import distribution as distribute
from nft_keras.experiments.train.together.groups import check, groups


def parser():
    """The argument parser."""
    p = argparse.ArgumentParser(
        prog="nft-keras run", description="Train what a recipe describes; compare methods in a table."
    )
    p.add_argument(
        "recipe",
        type=Path,
        metavar="RECIPE.yaml",
        nargs="+",
        help="recipe file(s), or names of shipped ones, e.g. imdb",
    )
    add_recipe_options(p)
    p.add_argument("--seeds", nargs="+", type=_seed, metavar="SEED", help="these seeds instead of the recipe's")
    p.add_argument(
        "--vectorize",
        nargs="?",
        type=positive,
        const=0,
        metavar="N",
        help="train trials that differ in no shape together, at most N at once (default all); needs KERAS_BACKEND=jax",
    )
    p.add_argument("--no-reference", action="store_true", help="no logistic regression to compare with")
    p.add_argument("--fresh", action="store_true", help="discard what these trials left in the output folder before")
    p.add_argument("--dry-run", action="store_true", help="print the trials and their settings, and exit")
    return p


def main(arguments=None):
    """Runs the command line.

    Args:
        arguments: list of str, default `sys.argv[1:]`.

    Returns:
        The exit code: 0; 1 if a trial failed; 2 for something wrong in what was typed or in the data.
    """
    return run_command((RecipeError, DataError, BackendError), _run_all, parser().parse_args(arguments))


def _run_all(options):
    recipes, complete, texts = [], [], []
    for path in options.recipe:
        recipes.append(load_recipe(path, options.set, options.methods, options.classifiers, options.seeds))
        complete.append(load_recipe(path, options.set))
        texts.append(Path(find_recipe(path)).read_text(encoding="utf-8"))
    trials = [trial for of_recipe in recipes for trial in of_recipe]
    _check_different(options.recipe, recipes)
    if options.dry_run:
        return _print(trials)
    if check_backend() == "jax" and any(trial.deterministic for trial in trials):
        make_deterministic()  # JAX looks at it but once, when it is imported
    if options.vectorize is not None:
        check(trials)
    for trial in trials if not options.fresh else ():
        check_free(trial, options.out)
    options.cluster = distribute.cluster(trials)
    failed = 0
    for of_recipe, whole_recipe, text in zip(recipes, complete, texts, strict=True):
        name = of_recipe[0].recipe
        folder = options.out / name
        only_one = contextlib.nullcontext()
        if _writes(options):
            only_one = one_at_a_time(folder / ".lock", wait=False, option="--out")
        try:
            with only_one:
                options.keep_recipe = functools.partial(_keep_recipe, text, options, name)
                failed += _run(of_recipe, whole_recipe, options)
        except BlockingIOError:
            raise RecipeError(f"{folder} is in use by another run; wait for it, or choose another --out") from None
    if options.cluster:
        options.cluster.end()
    return 1 if failed else 0


def _keep_recipe(text, options, name):
    """Writes the recipe, as it was read, beside its results."""
    if _writes(options):
        with writing_to(options.out / name):
            write_recipe(text, options.set, options.out, name)


def _check_different(paths, recipes):
    """Refuses recipes of which one would write over what another wrote."""
    owners = {}
    for path, of_recipe in zip(paths, recipes, strict=True):
        for trial in of_recipe:
            if trial.folder in owners:
                both = f"{owners[trial.folder]} and {path}"
                raise RecipeError(f"{both} both have the trial {trial.folder}; give one of them another name")
            owners[trial.folder] = path


def _print(trials):
    """Prints the settings that all trials share, those of a method's trials, and a line for each trial with its own."""
    rows = [(trial, dict(flatten(trial.config()))) for trial in trials]
    of_all, of_method = _shared([row for _, row in rows]), {}
    print(*_lines(of_all, "# all: "), sep="\n")
    for method in dict.fromkeys(trial.method for trial in trials):
        of_method[method] = _shared([row for trial, row in rows if trial.method == method])
        for line in _lines(of_method[method], f"# {method}: ", without=of_all):
            print(line)
    for trial, row in rows:
        print(trial.folder, *_lines(row, without=of_method[trial.method]))


def _shared(rows):
    """What is the same in all of some mappings."""
    return {key: value for key, value in rows[0].items() if all(row.get(key) == value for row in rows)}


def _lines(settings, start="", without=()):
    for key, value in settings.items():
        if key not in without:
            yield f"{start}{key}={value if isinstance(value, str) else str(value).replace(' ', '')}"


def _writes(options):
    """Whether this process writes to the output folder: of several workers that train together one does."""
    return options.cluster is None or options.cluster.chief


def _run(trials, of_recipe, options):
    """Runs trials and returns how many failed; the report is on all finished ones that have the present settings."""
    from nft_keras.experiments.train.screen import Screen

    name, failed = trials[0].recipe, 0
    to_run, done_before = [], []
    in_report = list({trial.folder: trial for trial in (*of_recipe, *trials)}.values())
    references = References(options.out / name, in_report, again=trials if options.fresh else ())
    with Screen(trials) as screen:
        for method in dict.fromkeys(t.method for t in trials if t.kind != "ct" and t.simplification_epochs <= 1):
            screen.say(f"{method}: a plan of less than two epochs alters no data; training is classic", stderr=True)
        for trial in trials:
            if options.fresh and _writes(options):
                shutil.rmtree(options.out / trial.folder, ignore_errors=True)
            if not options.fresh and (done := finished([trial], options.out)):
                screen.finished_before(trial, done[0])
                done_before.append(trial)
            else:
                to_run.append(trial)
        if to_run:
            import_tensorflow_quietly()
            if options.cluster:
                options.cluster.watch()
            distribute.strategy(to_run[0].distribute)
        if options.vectorize is not None:
            failed += _run_together(to_run, screen, options, references)
        for trials_on_it in _by_dataset(to_run) if options.vectorize is None else ():
            dataset = _load(trials_on_it, screen, options, alone=len(trials_on_it) == len(trials))
            _refer(references, trials_on_it[0], dataset, screen, options)
            for trial in trials_on_it:
                failed += dataset is None or not _run_one(trial, dataset, screen, options)
        for trial in references.missing(done_before) if not options.no_reference and _writes(options) else ():
            _refer(references, trial, _load_again(trial, screen, options), screen, options)
    if not _writes(options):
        print(f"worker {options.cluster.index} is done; worker 0 has written to {options.out / name}")
        return failed

    options.keep_recipe()
    print(write_report(name, finished(in_report, options.out), options.out, references.entries))
    print(f"written to {options.out / name}")
    if failed:
        print(f"{failed} of {len(trials)} trials failed", file=sys.stderr)
    return failed


def _by_dataset(trials):
    """Lists of trials on the same data, in their order."""
    return [list(group) for _, group in itertools.groupby(trials, key=lambda trial: trial.dataset)]


def _load(trials, screen, options, alone):
    """The data set of some trials, or None where it cannot be loaded and others are to be tried."""
    from nft_keras import data
    from nft_keras.experiments.train.trial import check_fits

    name = trials[0].dataset["name"]
    screen.note(f"loading {name}")
    try:
        dataset = data.load(**trials[0].dataset, data_dir=options.data_dir)
        for trial in {_networks(trial): trial for trial in trials}.values():
            check_fits(trial, dataset)
    except DataError as error:
        if alone:
            raise
        screen.say(f"{name}: {error}", stderr=True)
        return None
    options.keep_recipe()
    sizes = "/".join(f"{len(part):,}" for part in (dataset.train, dataset.valid, dataset.test))
    screen.say(f"{name}: {sizes} examples; {dataset.provenance}")
    return dataset


def _load_again(trial, screen, options):
    """The data set of a trial that was finished before, or None where it cannot be loaded any more."""
    from nft_keras import data

    import_tensorflow_quietly()
    screen.note(f"loading {trial.dataset['name']}")
    try:
        return data.load(**trial.dataset, data_dir=options.data_dir)
    except DataError as error:
        screen.say(f"no reference: {error}", stderr=True)
        return None


def _refer(references, trial, dataset, screen, options):
    """Adds the reference of a trial's data set, if it was loaded, to those that are there."""
    if dataset is None or options.no_reference or not _writes(options):
        return
    screen.note(f"{trial.dataset['name']}: logistic regression, to compare with")
    with writing_to(options.out / trial.recipe):
        references.add(trial, dataset)


def _networks(trial):
    """What of a trial decides whether its networks take the data, as a text."""
    of_method = {key: value for key, value in plain(trial.method_settings).items() if key != "plan"}
    return repr((trial.classifier, trial.classifier_settings, trial.kind, of_method, trial.training.augment))


def _run_together(trials, screen, options, references):
    """Runs trials in groups, each in one compiled program; returns how many failed."""
    failed, loaded = 0, {}
    for group in groups(trials, options.vectorize or None):
        own = {str(trial.dataset): trial for trial in group}
        loaded = {
            key: loaded.get(key) or _load([trial], screen, options, alone=len(group) == len(trials))
            for key, trial in own.items()
        }
        results = [None] * len(group)
        for key, trial in own.items():
            _refer(references, trial, loaded[key], screen, options)
        if None not in loaded.values():
            results = _run_group(group, [loaded[str(trial.dataset)] for trial in group], screen, options)
        failed += sum(not isinstance(result, dict) for result in results)
    return failed


def _run_group(group, datasets, screen, options):
    """Runs the trials of a group; returns a result, or what is none, for each."""
    from nft_keras.experiments.train.together.vectorized import run_group

    names = " and ".join(map(method_title, dict.fromkeys(trial.method for trial in group)))
    title = f"{group[0].classifier} {names}, {len(group)} together"
    epochs, rate = group[0].training.epochs, 0.0

    def progress(epoch, seconds):
        nonlocal rate
        rate = len(group) * epoch / seconds
        screen.note(f"{title}  epoch {epoch}/{epochs}  {rate:.3g} replicas x epochs per second")

    screen.note(f"{title}  starting")
    try:
        results = run_group(group, datasets, options.out, progress)
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
            screen.say(f"failed: {options.out / trial.folder}: {result}", stderr=True)
    screen.say(f"{title}: {rate:.3g} replicas x epochs per second, compiling included")
    return results


def _run_one(trial, dataset, screen, options):
    """Runs a trial; returns whether it came to its end. What stopped it is said, and what to do."""
    from nft_keras.experiments.train.callbacks import TrainingError
    from nft_keras.experiments.train.trial import run_trial

    try:
        screen.finished(trial, run_trial(trial, dataset, options.out, screen.trial(trial)))
        return True
    except TrainingError as error:
        reason = str(error)
    except Exception as error:
        reason = _mendable(error, "the same command goes on after the last finished epoch")
        if reason is None and options.cluster:
            options.cluster.failed(error)
        if reason is None:
            raise
    if options.cluster:
        options.cluster.leave(f"{options.out / trial.folder}: {reason}")
    screen.say(f"failed: {options.out / trial.folder}: {reason}", stderr=True)
    return False


def _mendable(error, again):
    """What stopped a training that can be mended, and what to do then; None for any other error."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}; mend that, and {again}"
    what = out_of_memory(error)
    less = "mend that (less memory: --methods, --classifiers, training.batch_size)"
    return what and f"{what}; {less}, and {again}"


def _seed(text):
    if not text.isdecimal() or len(text) > 10 or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"should be a whole number >= 0 and < 2^32, got {text!r}")
    return int(text)
