"""A sweep over a recipe's settings: each point trained once, the best on the validation part trained for every seed."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from nft_keras._manifest import AGAIN, DamagedError
from nft_keras._text import in_markdown, say, visible
from nft_keras.backend import out_of_memory
from nft_keras.data import DataError
from nft_keras.experiments.files import discard, write_csv, write_text, write_yaml
from nft_keras.experiments.methods import method_title
from nft_keras.experiments.recipe.fingerprints import of_loaded
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports.reference import References
from nft_keras.experiments.reports.tables import markdown, write_report
from nft_keras.experiments.runs import Run, check_free, finished, read, write_result
from nft_keras.experiments.selection import METRICS, rank
from nft_keras.experiments.sweep.queue import Queue
from nft_keras.experiments.train.backup import Backup

PAUSE = 1.0
ADVICE = "choose another --out, or move it away"


class Search:
    """The sweep of one cell (classifier x method).

    Args:
        space: `nft_keras.experiments.recipe.reading.Space`.
        storage: what `nft_keras.experiments.sweep.queue.open_storage` returns.
        out: the output folder, shared by all processes.
        load: function of a trial's `dataset` that returns the `nft_keras.data.Dataset`.
        sampler: "grid", or "tpe" or "random" of Optuna.
        pruner: "none" or "median".
        number: int, how many points the sampler draws.
    """

    def __init__(self, space, storage, out, load, sampler="grid", pruner="none", number=0):
        self.space, self.out, self.folder = space, Path(out), folder_of(space, out)
        self._storage, self._load, self._pruner, self._seeds = storage, load, pruner, {}
        first = first_point(space)
        self.metric = first["selection_metric"]
        complete = [first, space.lists, sampler, pruner]
        self._name = f"{space.recipe} {space.classifier} {space.method} {_digest(complete)}"
        points = space.points() if sampler == "grid" else None
        by_optuna = _optuna_s(sampler, pruner)
        self.points = Queue(storage, self._name, space.lists, self.folder, points, number, *by_optuna)

    def step(self):
        """Trains what is next, if anything is.

        Returns:
            "trained", "waiting" for other processes, or "over".
        """
        for queue, train in ((self.points, self._try_point), (self.seeds(), self._try_seed)):
            if queue and not queue.over():
                with queue.taken() as attempt:
                    if attempt:
                        train(attempt)
                return "trained" if attempt else "waiting"
        return "over"

    def seeds(self):
        """The queue of the seeds to train the best point with; None before every point came to its end."""
        best = self.points.over() and not self.points.to_mend() and self.points.best()
        if not best:
            return None
        seeds = [trial.seed for trial in self.space.trials(best.user_attrs["point"])]
        name = f"{self._name} {_digest([best.user_attrs['point'], seeds])}"
        if name not in self._seeds:
            points = [{"seed": seed} for seed in seeds]
            self._seeds[name] = Queue(self._storage, name, {"seed": seeds}, self.folder, points)
        return self._seeds[name]

    def over(self):
        """Whether nothing is left that could be trained now."""
        return self.points.over() and not (self.seeds() and not self.seeds().over())

    def chosen(self):
        """The trials of the best point, one per seed; none before there is one."""
        best = self.seeds() and self.points.best()
        return self.space.trials(best.user_attrs["point"]) if best else []

    def failed(self):
        """ "point: reason" of whatever failed."""
        latest = [trial for queue in (self.points, self.seeds()) if queue for trial in queue.latest()]
        reasons = ((trial.user_attrs["point"], trial.user_attrs.get("failed")) for trial in latest)
        return [f"{short(point)}: {failed['reason']}" for point, failed in reasons if failed]

    def check_data(self):
        """Refuses a sweep in whose folders there are trials on other data of the same name.

        Raises:
            RecipeError: naming the folder of one of them.
            DataError: if the data cannot be loaded.
        """
        known = (t.user_attrs["point"] for t in self.points.latest() if t.state != self.points.states.FAIL)
        tried = [(point_trial(self.space, point), self.folder) for point in known]
        by_data = {}
        for trial, out in (*tried, *((trial, self.out) for trial in self.chosen())):
            if (out / trial.folder).exists():
                by_data.setdefault(str(trial.dataset), []).append((trial, out))
        for of_data in by_data.values():
            trials, outs = zip(*of_data, strict=True)
            for trial, out in zip(of_loaded(trials, self._load(trials[0].dataset)), outs, strict=True):
                check_free(trial, out, ADVICE, data_alone=True)

    def _try_point(self, attempt):
        try:
            trial = point_trial(self.space, attempt.user_attrs["point"])
        except RecipeError as error:  # of what a sampler drew; a grid was looked at before it began
            return self.points.fail(attempt, str(error), mend=False)
        pruned = False

        def report(epoch, value):
            nonlocal pruned
            if self._pruner != "none" and epoch >= trial.first_eligible:
                attempt.report(value, epoch)
                pruned = attempt.should_prune()

        for row in _rows(self.folder / trial.folder):
            report(int(row["epoch"]), float(row[f"valid_{self.metric}"]))
        self._try(self.points, attempt, trial, self.folder, report, lambda: pruned)

    def _try_seed(self, attempt):
        seed = attempt.user_attrs["point"]["seed"]
        trial = next(trial for trial in self.chosen() if trial.seed == seed)
        check_free(trial, self.out, ADVICE)
        same = point_trial(self.space, self.points.best().user_attrs["point"])
        if same.seed == seed and not finished([trial], self.out) and finished([same], self.folder):
            with contextlib.suppress(OSError):  # what stands against writing, the training says
                _copy(self.folder / same.folder, self.out / trial.folder, trial)
        self._try(self.seeds(), attempt, trial, self.out)

    def _try(self, queue, attempt, trial, out, report=lambda epoch, value: None, pruned=lambda: False):
        """Runs a trial unless its result is there, and tells Optuna what came out."""
        from nft_keras.experiments.train.callbacks import TrainingError

        def progress(logs):
            report(logs["epoch"], logs[f"val_{self.metric}"])
            if pruned():
                raise _Pruned

        try:
            dataset = self._load(trial.dataset)
            [trial] = of_loaded([trial], dataset)
            check_free(trial, out, ADVICE, data_alone=True)
            there = finished([trial], out)
            result = there[0] if there else self._run(trial, dataset, out, progress)
        except _Pruned:
            queue.study.tell(attempt, state=queue.states.PRUNED)
            shutil.rmtree(out / trial.folder / "backup", ignore_errors=True)
            self._say(queue, attempt, "pruned")
        except TrainingError as error:
            queue.fail(attempt, str(error), mend=False)
            self._say(queue, attempt, f"failed: {error}")
        except Exception as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else out_of_memory(error)
            if reason is None:
                raise
            reason = reason.partition("\n")[0]
            queue.fail(attempt, reason, mend=True)
            self._say(queue, attempt, f"failed: {reason}")
        else:
            queue.complete(attempt, result[f"valid_{self.metric}"], rank(self.metric, result))
            epochs = f"best epoch {result['best_epoch']}/{result['epochs']}"
            self._say(queue, attempt, f"valid {result['valid_error']:.2f} %  {epochs}  {result['seconds']:.0f} s")

    def _run(self, trial, dataset, out, progress):
        """Runs a trial, unless its networks do not take the data: then it cannot be trained."""
        from nft_keras.experiments.train.callbacks import TrainingError
        from nft_keras.experiments.train.trial import check_fits, run_trial

        try:
            check_fits(trial, dataset)
        except DataError as error:
            raise TrainingError(str(error)) from error
        try:
            return run_trial(trial, dataset, out, progress)
        except DamagedError as error:
            say(f"{str(error).removesuffix(f'; {AGAIN}')}; begins anew")
            discard(out / trial.folder)
            return run_trial(trial, dataset, out, progress)

    def _say(self, queue, attempt, text):
        done = sum(trial.state.is_finished() for trial in queue.latest())
        of = len(queue.points) if queue.points else queue.number
        cell = f"{self.space.classifier} {method_title(self.space.method)}"
        sys.stdout.write(f"[{done}/{of}] {cell} {short(attempt.user_attrs['point'])}  {visible(text)}\n")
        sys.stdout.flush()


class _Pruned(Exception):
    """Ends a training that the pruner gave up."""


def work(searches):
    """Trains, with whoever else does, until all searches are over.

    Args:
        searches: list of `Search`.
    """
    states = []
    while states != ["over"] * len(searches):
        states = []
        for search in searches:
            states.append(search.step())
            if states[-1] == "trained":
                break
        else:
            time.sleep(PAUSE if "waiting" in states else 0)


def folder_of(space, out):
    """Where the points of a recipe's sweep go."""
    return Path(out, space.recipe, "sweep")


def point_trial(space, point):
    """The trial of a point: the recipe's first seed, in a folder named by its complete settings."""
    trial = space.trials(point)[0]
    return dataclasses.replace(trial, recipe=f"point-{_digest(trial.config())}")


def first_point(space):
    """The complete settings of one point: with the lists, all that a sweep depends on."""
    return space.trials({key: values[0] for key, values in space.lists.items()})[0].config()


def short(point):
    """A point in a few words."""
    return " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.items())


def check_seeds_free(space, out):
    """Refuses an output folder in which the best point's trials could not go, whichever it will be.

    Raises:
        RecipeError: if there is a trial with settings that no point has.
    """
    trials = zip(*map(space.trials, space.points()), strict=True)
    for of_seed in trials:
        if Path(out, of_seed[0].folder, "config.yaml").exists():
            for trial in of_seed:
                try:
                    check_free(trial, out, ADVICE)
                    break
                except RecipeError as error:
                    refusal = error
            else:
                raise refusal


def write_tables(searches, others, out):
    """Writes sweep.md, sweep.csv, and the report on the chosen settings.

    Args:
        searches: list of `Search`.
        others: the trials of the recipe's other cells, to stand in the report where they are finished.
        out: the output folder.

    Returns:
        The report's table and what was chosen, Markdown.
    """
    recipe = searches[0].space.recipe
    keys = list(dict.fromkeys(key for search in searches for key in search.space.lists))
    metric = METRICS[searches[0].metric]
    ends = (metric, "state", "folder")
    parts, rows, chosen = [f"# Sweep of {recipe}, chosen by {metric.removesuffix(' (%)')}"], [], []
    for search in searches:
        head = [*search.space.lists, *ends]
        cell = {"classifier": search.space.classifier, "method": search.space.method}
        shown = f"{search.space.classifier} {method_title(search.space.method)}"
        table = list(_table(search))
        rows += [cell | dict(zip(head, row, strict=True)) for row in table]
        parts += [f"## {shown}", markdown(head, table)]
        trials = search.chosen()
        if trials:
            best = search.points.best().user_attrs["point"]
            settings = " ".join(f"{key}={value}" for key, value in best.items())
            chosen.append(f"Chosen for {shown}: `--set {settings}`")
            parts.append(chosen[-1])
            others = [*others, *trials]
    write_text(Path(out, recipe, "sweep.md"), "\n\n".join(parts) + "\n")
    write_csv(Path(out, recipe, "sweep.csv"), rows, ["classifier", "method", *keys, *ends])
    results = finished(others, out)
    references = References(Path(out, recipe), others).entries
    return "\n\n".join([*([write_report(recipe, results, out, references)] if results else []), *chosen])


def _table(search):
    """A row of texts for each point that was taken up, the best first."""
    for trial in search.points.ranked():
        point, state = trial.user_attrs["point"], trial.state.name.lower()
        failed = trial.user_attrs.get("failed")
        value = f"{trial.value:.4f}" if state == "complete" else ""
        folder = f"sweep/{point_trial(search.space, point).folder}" if value else ""
        state = f"failed: {in_markdown(failed['reason'])}" if failed and state == "fail" else state
        yield [*map(str, point.values()), value, state, folder]


def _optuna_s(sampler, pruner):
    import optuna

    samplers = {
        "grid": lambda: None,
        "random": optuna.samplers.RandomSampler,
        "tpe": lambda: optuna.samplers.TPESampler(constant_liar=True),
    }
    return samplers[sampler](), optuna.pruners.MedianPruner() if pruner == "median" else None


def _rows(folder):
    """What a trial, which may have been broken off, has in its history; nothing of one that is damaged."""
    try:
        if os.path.lexists(folder / "result.json"):
            return Run(folder, {}, {}).rows()
        state, _ = Backup(folder).latest()
    except (DamagedError, RecipeError, OSError):
        return []
    head, *rows = (state or {}).get("history", [[]])
    return [dict(zip(head, row, strict=True)) for row in rows]


def _copy(source, target, trial):
    """Puts a finished trial's folder where that of the same trial of the recipe belongs."""
    temporary = target.with_name(f".{target.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    run = read(source)
    known = dataclasses.replace(trial, fingerprint=run.config.get("fingerprint"))
    write_yaml(temporary / "config.yaml", known.config())
    write_result(temporary, run.result)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


def _digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
