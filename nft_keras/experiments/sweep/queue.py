"""A fault-tolerant work queue on an Optuna study: processes on any number of machines try each point once.

Optuna hands out what waits in a study, but what a process had taken when it died stays taken. Here a process that tries
a point holds a lock file, which the kernel releases with the process, and moves a counter in the storage, for file
systems whose locks do not reach from one machine to another. Whoever looks for work first puts back what nobody is at.
"""

import contextlib
import importlib.util
import json
import platform
import re
import threading
import time
import uuid
import warnings
from pathlib import Path

from filelock import Timeout

from nft_keras.data.io.cache import LEASE, one_at_a_time
from nft_keras.experiments.files import atomic_write
from nft_keras.experiments.recipe.schema import RecipeError

BEAT, GRACE = 10.0, 60.0
STORAGES = r"(postgresql|mysql|mariadb)(\+\w+)?://.+|sqlite:///.+|grpc://.+:\d+|journal:.+"


class Queue:
    """The points of one study.

    Args:
        storage: what `open_storage` returns.
        name: name of the study; all processes with this name share it.
        lists: {key: list of values}.
        folder: `pathlib.Path`, shared by all processes, for lock files.
        points: list of {key: value}, each to be tried once; None if the sampler draws them.
        number: int, how many the sampler draws.
        sampler, pruner: of Optuna; None for none.

    Raises:
        RecipeError: if the storage has the study with another folder.
    """

    def __init__(self, storage, name, lists, folder, points=None, number=0, sampler=None, pruner=None):
        import optuna

        self.states = optuna.trial.TrialState
        self.lists, self.points, self.number = lists, points, number
        self._locks, self._name, self._seen = folder / ".locks", name.replace(" ", "-"), {}
        with self._alone():
            self.study = optuna.create_study(
                storage=storage,
                study_name=name,
                sampler=sampler or optuna.samplers.RandomSampler(),
                pruner=pruner or optuna.pruners.NopPruner(),
                direction="minimize",
                load_if_exists=True,
            )
            self._check_folder(folder)

    @contextlib.contextmanager
    def taken(self):
        """Takes a point: others leave it alone until the block ends.

        Yields:
            The `optuna.trial.Trial`, with the point as its user attribute "point"; None if nothing waits.
        """
        with contextlib.ExitStack() as stack:
            with self._alone():
                self._put_back()
                trial = self._next()
                if trial:
                    trial.set_user_attr("machine", _machine())
                    stack.enter_context(one_at_a_time(self._lock(trial.number)))
            if trial:
                stack.enter_context(_beating(trial))
            yield trial

    def fail(self, trial, reason, mend):
        """Notes that a point cannot be tried: for good, or (`mend`) until somebody has mended something."""
        trial.set_user_attr("failed", {"reason": reason, "mend": mend})
        self.study.tell(trial, state=self.states.FAIL)

    def retry(self):
        """Puts back the points that failed for something that may have been mended."""
        with self._alone():
            for trial in self.to_mend():
                self._enqueue(trial.user_attrs["point"], again=True)

    def latest(self):
        """The last Optuna trial of each point: in the order of the grid, else in that of the sampler."""
        last = {}
        for trial in self.study.get_trials(deepcopy=False):
            if "point" in trial.user_attrs:
                last[_key(trial.user_attrs["point"])] = trial
        return [last[key] for key in map(_key, self.points) if key in last] if self.points else list(last.values())

    def over(self):
        """Whether no point waits or is being tried."""
        latest = self.latest()
        begun = len(latest) == len(self.points) if self.points else self._drawn() >= self.number
        return begun and all(trial.state.is_finished() and not self._lost(trial) for trial in latest)

    def to_mend(self):
        """The points that failed for something that may be mended."""
        failed = (trial for trial in self.latest() if trial.state == self.states.FAIL)
        return [trial for trial in failed if trial.user_attrs.get("failed", {}).get("mend")]

    def complete(self, trial, value, rank):
        """Notes what a point gave.

        Args:
            trial: its Optuna trial.
            value: float, the lower the better.
            rank: what points are sorted by, a tuple of floats.
        """
        trial.set_user_attr("rank", list(rank))
        self.study.tell(trial, value)

    def ranked(self):
        """`latest`, the best first, the first of equals before others, and those without a value last."""

        def key(trial):
            complete = trial.state == self.states.COMPLETE
            return (not complete, trial.user_attrs.get("rank", [trial.value]) if complete else [])

        return sorted(self.latest(), key=key)

    def best(self):
        """The Optuna trial of the best point; None if there is none."""
        return next((trial for trial in self.ranked() if trial.state == self.states.COMPLETE), None)

    def _alone(self):
        return one_at_a_time(self._lock("queue"))

    def _lock(self, what):
        return self._locks / f"{self._name}-{what}"

    def _check_folder(self, folder):
        path = folder / "id"
        if not path.exists():
            with atomic_write(path) as temporary:
                temporary.write_text(uuid.uuid4().hex)
        known = self.study.user_attrs.get("folder")
        if known is None:
            self.study.set_user_attr("folder", path.read_text())
        elif known != path.read_text():
            raise RecipeError(
                f"{folder}: the storage has the study {self.study.study_name!r} with another output folder; give that "
                "one as --out (every machine has to see it), another --storage, or delete the study (optuna "
                "delete-study)"
            )

    def _put_back(self):
        """Puts in the queue what is in no state: points nobody has taken up, and those of processes that died."""
        for trial in self.study.get_trials(deepcopy=False, states=(self.states.RUNNING,)):
            if self._dead(trial):
                self.study.tell(trial.number, state=self.states.FAIL, skip_if_finished=True)
        latest = self.latest()
        for trial in latest:
            if self._lost(trial):
                self._enqueue(trial.user_attrs["point"], again=True)
        known = {_key(trial.user_attrs["point"]) for trial in latest}
        for point in self.points or ():
            if _key(point) not in known:
                self._enqueue(point)

    def _next(self):
        """What waits, or what the sampler draws; None if there is nothing, or no more to be drawn."""
        while self._waiting() or (not self.points and self._drawn() < self.number):
            trial = self.study.ask()
            known = {} if "point" in trial.user_attrs else {_key(t.user_attrs["point"]): t for t in self.latest()}
            point = {key: trial.suggest_categorical(key, values) for key, values in self.lists.items()}
            if "point" in trial.user_attrs:
                return trial
            if self.points:  # where locks fail, another process took what waited, and Optuna drew something
                self.study.tell(trial, state=self.states.FAIL)
            elif _key(point) not in known:
                trial.set_user_attr("point", point)
                return trial
            else:
                same = known[_key(point)]
                trial.set_user_attr("repeats", same.number)
                complete = same.state == self.states.COMPLETE
                self.study.tell(trial, same.value if complete else None, None if complete else self.states.FAIL)
        return None

    def _waiting(self):
        return bool(self.study.get_trials(deepcopy=False, states=(self.states.WAITING,)))

    def _drawn(self):
        drawn = (t.user_attrs for t in self.study.get_trials(deepcopy=False))
        return sum("repeats" in attrs or ("point" in attrs and "again" not in attrs) for attrs in drawn)

    def _enqueue(self, point, again=False):
        self.study.enqueue_trial(point, user_attrs={"point": point, **({"again": True} if again else {})})

    def _lost(self, trial):
        return trial.state == self.states.FAIL and "failed" not in trial.user_attrs

    def _dead(self, trial):
        """Whether the process that tries a point is no more; called while nobody else takes one."""
        try:
            with one_at_a_time(self._lock(trial.number), wait=False):
                here = trial.user_attrs.get("machine") == _machine()
        except Timeout as error:
            if not error.lock_file.endswith(LEASE):
                return False
            here = False  # a file that stands in for a lock outlives its machine
        beat, now = trial.user_attrs.get("beat"), time.monotonic()
        known, since = self._seen.setdefault(trial.number, (beat, now))
        if known != beat:
            self._seen[trial.number] = (beat, now)
            return here
        return here or now - since > GRACE


class JournalLock:
    """The lock of Optuna's journal file, which ends with its process.

    Who gets it drops a last line that was cut off when its writer died, to which Optuna would append.

    Args:
        path: the journal.
    """

    def __init__(self, path):
        self._path, self._held = Path(path), contextlib.ExitStack()

    def acquire(self):
        """Waits for the lock."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        self._held.enter_context(one_at_a_time(lock, option="--storage"))
        with open(self._path, "ab+") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 1))
            if file.read() not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self):
        """Gives the lock back."""
        self._held.close()


def check_storage(url):
    """Refuses a URL that no storage has; None is a journal in the output folder.

    Raises:
        RecipeError: then, and where Optuna is missing.
    """
    if importlib.util.find_spec("optuna") is None:
        raise RecipeError("a sweep needs Optuna: pip install 'nft_keras[sweep]'")
    if url is not None and not re.fullmatch(STORAGES, url):
        allowed = "postgresql://..., mysql://..., sqlite:///FILE, grpc://HOST:PORT or journal:FILE"
        raise RecipeError(f"--storage: unknown storage {url.partition(':')[0]!r}; allowed: {allowed}")


def open_storage(url, folder):
    """Optuna's storage.

    Args:
        url: str that `check_storage` lets pass; None for a journal in the folder.
        folder: `pathlib.Path`, shared by all processes.

    Raises:
        RecipeError: if it cannot be reached, or the data base's driver is missing.
    """
    import optuna
    from optuna import storages

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    scheme, _, rest = (url or f"journal:{folder / 'journal.log'}").partition(":")
    try:
        with one_at_a_time(folder / ".locks" / "storage"):
            if scheme == "journal":
                backend = storages.journal.JournalFileBackend(rest, lock_obj=JournalLock(rest))
                return storages.JournalStorage(backend)
            if scheme == "grpc":
                host, _, port = rest.removeprefix("//").rpartition(":")
                proxy = storages.GrpcStorageProxy(host=host, port=int(port))
                proxy.wait_server_ready(timeout=10)
                return proxy
            arguments = {"timeout": 60} if scheme == "sqlite" else {}
            return storages.RDBStorage(url, engine_kwargs={"connect_args": arguments, "pool_pre_ping": True})
    except Exception as error:
        # Whatever a driver raises is about what was typed.
        raise RecipeError(f"--storage {scheme}:...: cannot be used: {said_of_storage(error)}") from None


def said_of_storage(error):
    """The first line of what a storage's driver raises, which is many, without the URL: it may show the password."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"\b[\w+]+://[^\s'\")]*", "...", line)


@contextlib.contextmanager
def _beating(trial):
    """Moves a counter of the trial as long as the block lasts."""
    ended = threading.Event()

    def beat():
        beats = 0
        while not ended.wait(BEAT):
            beats += 1
            # What ails the storage is for the main thread to meet; a beat that is lost is made up for by the next.
            with contextlib.suppress(Exception):
                trial.set_user_attr("beat", beats)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _machine():
    """What processes have in common between which file locks hold: the running kernel."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.exists() else platform.node()


def _key(point):
    return json.dumps(point, sort_keys=True)
