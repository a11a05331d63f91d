"""The command line: python -m nft_keras sweep RECIPE.yaml tries settings of a recipe and reports on the best."""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from nft_keras._text import say
from nft_keras.backend import BackendError, import_tensorflow_quietly
from nft_keras.cli.options import Parser, add_recipe, add_recipe_options, positive, run_command
from nft_keras.data import DataError, check_files
from nft_keras.experiments.recipe.fingerprints import Fingerprints
from nft_keras.experiments.recipe.reading import load_recipe, load_sweep
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.train.ready import ready_backend

COMMAND = (sys.executable, "-m", "nft_keras", "sweep")
MOST_REPLACED = 10


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    p = Parser(
        prog="nft-keras sweep",
        description="Try the settings that a recipe's `sweep` lists; train the best by validation error for every "
        "seed. The same command on another machine, with the same --storage and --out, joins.",
    )
    add_recipe(p, "recipe file, or a shipped one's name")
    p.add_argument(
        "--storage",
        metavar="URL",
        help="of Optuna: postgresql://..., mysql://..., sqlite:///FILE, grpc://HOST:PORT or journal:FILE "
        "(default a journal below the output folder)",
    )
    p.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that train here (default 1)")
    p.add_argument("--sampler", choices=("grid", "random", "tpe"), default="grid", help="default grid: every point")
    p.add_argument("--trials", type=positive, metavar="N", help="how many points a sampler other than grid draws")
    p.add_argument("--pruner", choices=("none", "median"), default="none", help="gives up on hopeless points")
    add_recipe_options(p, ", seen by all machines")
    p.add_argument("--dry-run", action="store_true", help="print the points, one row each, and exit")
    p.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return p


def main(arguments: list[str] | None = None) -> int:
    """Sweeps, and returns 1 if a point or a seed failed, or workers died."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    return run_command((RecipeError, DataError, BackendError), _work if options.worker else _sweep, options, arguments)


def _sweep(options, arguments):
    if (options.sampler == "grid") != (options.trials is None):
        raise RecipeError("--trials N goes with --sampler random or tpe, and they with it; a grid is tried whole")
    fingerprints = Fingerprints(options.data_dir)
    spaces = _spaces(options, fingerprints)
    others = [
        trial
        for trial in map(fingerprints.of, load_recipe(options.recipe, options.set, allow_code=options.allow_code))
        if (trial.classifier, trial.method) not in {(space.classifier, space.method) for space in spaces}
    ]
    points = {space: space.points() if options.sampler == "grid" else _alone(space) for space in spaces}
    for space in spaces:
        for point in points[space]:
            space.trials(point)
    for trial in _trials(spaces):
        check_files(**trial.dataset, data_dir=options.data_dir)
    if options.dry_run:
        return _print(points, options)
    from nft_keras.experiments.sweep import queue
    from nft_keras.experiments.sweep.search import check_seeds_free, write_tables

    ready_backend(_trials(spaces))
    queue.check_storage(options.storage)
    for space in spaces if options.sampler == "grid" else ():
        check_seeds_free(space, options.out)
    with _in_use(options.out / spaces[0].recipe):
        loaded = {}
        searches = _searches(spaces, options, loaded)
        for search in searches:
            if not search.over():
                search.check_data()
            for begun in filter(None, (search.points, search.seeds())):
                begun.retry()
        loaded.clear()  # the workers load for themselves
        code = _watch(options.workers, arguments)
        if code == 2:
            return 2
        if tables := write_tables(searches, others, options.out):
            print(tables)
        print(f"written to {options.out / spaces[0].recipe}")
    failed = [text for search in searches for text in search.failed()]
    for text in failed:
        say(f"failed: {text}")
    unfinished = not all(search.over() for search in searches)
    if unfinished:
        say("workers died before the end; the same command goes on")
    return 1 if failed or unfinished else 0


def _spaces(options, fingerprints):
    """What the recipe's sweep tunes."""
    asked = options.methods, options.classifiers
    return load_sweep(options.recipe, options.set, *asked, fingerprints.of, options.allow_code)


def _alone(space):
    """Points that have every value once."""
    longest = max(map(len, space.lists.values()))
    return [{key: values[min(i, len(values) - 1)] for key, values in space.lists.items()} for i in range(longest)]


def _trials(spaces):
    """Trials in which every value that is tried stands once or more."""
    return [trial for space in spaces for point in _alone(space) for trial in space.trials(point)]


def _print(points, options):
    from nft_keras.experiments.sweep.search import point_trial

    for space, own in points.items():
        if options.sampler == "grid":
            for point in own:
                folder = Path(space.recipe, "sweep", point_trial(space, point).folder)
                print(folder, *(f"{key}={value}" for key, value in point.items()))
        else:
            lists = (f"{key}={','.join(map(str, values))}" for key, values in space.lists.items())
            print(space.classifier, space.method, f"{options.trials} of", *lists)


def _work(options, arguments):
    """What one of the worker processes does: it trains until all is over, or until its driver is no more."""
    threading.Thread(target=_end_with_driver, daemon=True).start()
    spaces = _spaces(options, Fingerprints(options.data_dir))
    ready_backend(_trials(spaces))
    from optuna.exceptions import OptunaError

    from nft_keras.experiments.sweep.queue import said_of_storage
    from nft_keras.experiments.sweep.search import work

    import_tensorflow_quietly()
    # Each point is a graph of its own; TensorFlow takes that for a mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        work(_searches(spaces, options, {}))
    except OptunaError as error:
        say(f"the storage failed: {said_of_storage(error)}; the same command goes on")
        return 1


def _end_with_driver():
    os.read(sys.stdin.fileno(), 1)  # returns when the driver ends, however it does
    os._exit(1)


def _searches(spaces, options, loaded):
    """The searches of spaces; what they load, the last data set alone, is kept in a mapping."""
    from nft_keras import data
    from nft_keras.experiments.sweep.queue import open_storage
    from nft_keras.experiments.sweep.search import Search, folder_of

    def load(dataset):
        if (key := repr(dataset)) not in loaded:
            loaded.clear()
            loaded[key] = data.load(**dataset, data_dir=options.data_dir)
        return loaded[key]

    storage = open_storage(options.storage, folder_of(spaces[0], options.out))
    how = options.sampler, options.pruner, options.trials or 0
    return [Search(space, storage, options.out, load, *how) for space in spaces]


def _watch(number, arguments):
    """Runs workers to their end, and others for those that are killed, up to a point.

    Returns:
        2 if one said that there is something wrong in what was typed or in the data, else 0.
    """
    gpus = _gpus()
    workers = [_start(arguments, i, number, gpus) for i in range(number)]
    left = MOST_REPLACED
    try:
        while True:
            codes = [worker.poll() for worker in workers]
            if 2 in codes:
                return 2
            killed = [i for i, code in enumerate(codes) if code is not None and code < 0][:left]
            if not killed and None not in codes:
                return 0
            left -= len(killed)
            for i in killed:
                workers[i] = _start(arguments, i, number, gpus)
            time.sleep(0.1)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _start(arguments, i, number, gpus):
    own = {}
    if number > 1:  # several may share a GPU; TensorFlow and JAX each take nearly all of its memory otherwise
        own |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = gpus[i % len(gpus)]
    with _share_of_cores(i, number):
        return subprocess.Popen([*COMMAND, *arguments, "--worker"], stdin=subprocess.PIPE, env={**os.environ, **own})


@contextlib.contextmanager
def _share_of_cores(i, number):
    """Starts what is started inside on the i-th of so many parts of the cores, where the system can.

    Every worker would take all of them for its own, and their threads wait for each other.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    os.sched_setaffinity(0, cores[i::number] or {cores[i % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _gpus():
    """The GPUs that may be used here; each worker gets one of them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


@contextlib.contextmanager
def _in_use(folder):
    """Keeps nft_keras.run, but no other driver of a sweep, from the folder."""
    try:
        import fcntl  # a shared lock meets that of a run; filelock has none that does
    except ImportError:
        raise RecipeError("a sweep needs shared file locks, which this system does not have") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "ab+")
    except OSError as error:
        raise RecipeError(f"{folder}: cannot be written: {error.strerror}; choose another --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(f"{folder} is in use by a run; wait for it, or choose another --out") from None
        except OSError:  # no locks on this file system, of which `one_at_a_time` warns
            pass
        yield
