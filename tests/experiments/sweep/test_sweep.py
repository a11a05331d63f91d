"""Sweeps; most of them with the trainings of fake_sweep.py, which take no time."""

import collections
import csv
import errno
import fcntl
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest
import yaml

from nft_keras.cli import run, sweep
from nft_keras.data.io.cache import one_at_a_time
from nft_keras.experiments import runs
from nft_keras.experiments.recipe.fingerprints import Fingerprints
from nft_keras.experiments.recipe.reading import load_recipe, load_sweep
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.sweep import queue
from tests.experiments.finished import lose_an_example

optuna = pytest.importorskip("optuna", reason="needs the extra sweep")

ROOT = Path(__file__).parents[3]
FAKE = [sys.executable, str(Path(__file__).with_name("fake_sweep.py"))]
REAL = [sys.executable, "-m", "nft_keras", "sweep"]
RECIPE = """\
name: tiny
dataset: {name: digits-back-image, train_size: 64, valid_size: 64, test_size: 64}
classifiers: [fc-a]
methods:
  ct:
  nft:
    plan: {eta_max: 500, simplification_ratio: 0.5}
    auxiliary: {name: unet, filters: 2, depth: 1}
    auxiliary_optimizer: {learning_rate: 0.001}
training: {epochs: 3, learning_rate: 0.001}
seeds: [0, 1]
cells:
  fc-a:
    nft: {plan: {eta_max: 50}}
sweep:
  methods.nft.plan.eta_max: [100, 500, 1000]
  methods.nft.auxiliary.filters: [2, 3]
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def postgresql():
    """URL of an empty data base of a server of our own."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), shutil.which("initdb")]
    pytest.importorskip("psycopg", reason="needs psycopg")
    if not found[0]:
        pytest.skip("no PostgreSQL server is installed")
    binaries, folder = Path(found[0]).parent, Path(tempfile.mkdtemp())
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    if user:
        shutil.chown(folder, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def do(*arguments):
        subprocess.run(
            [binaries / arguments[0], *arguments[1:]], cwd=folder, check=True, stdout=subprocess.DEVNULL, **user
        )

    do("initdb", "-D", folder / "data", "-U", "sweep", "--auth=trust")
    do(
        "pg_ctl",
        "-D",
        folder / "data",
        "-w",
        "-l",
        folder / "log",
        "-o",
        f"-p {port} -h 127.0.0.1 -k {folder}",
        "start",
    )
    yield f"postgresql://sweep@127.0.0.1:{port}/postgres"
    do("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


def start(recipe, *more, command=FAKE, **environment):
    """A driver that has begun; its trainings are noted in `log` beside the recipe."""
    out = recipe.parent / "out"
    return subprocess.Popen(
        [*command, str(recipe), "--out", str(out), "--workers", "2", *more],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "FAKE_LOG": str(recipe.with_name("log")), **environment},
    )  # fmt: skip


def end(process, code=0):
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == code, stderr
    return stdout, stderr


def trainings(recipe, what="ended"):
    """{folder: how often its training began, or came to its end}."""
    log = recipe.with_name("log")
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return collections.Counter(folder for verb, folder in lines if verb == what)


def table(recipe):
    with open(recipe.parent / "out" / "tiny" / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


def complete(recipe, url=None):
    """How often Optuna was told the value of each point of the sweep."""
    folder = recipe.parent / "out" / "tiny" / "sweep"
    storage = queue.open_storage(url, folder)
    (name,) = (n for n in optuna.get_all_study_names(storage) if n.startswith("tiny ") and len(n.split()) == 4)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return collections.Counter(json.dumps(trial.user_attrs["point"]) for trial in trials)


def workers_of(driver):
    return list(map(int, Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()))


def all_once(recipe, url=None):
    """Whether every point, and the best one's other seed, came to its end once."""
    ended, told = trainings(recipe), complete(recipe, url)
    assert set(ended.values()) == {1} and len(list((recipe.parent / "out").rglob("result.json"))) == 6 + 2, ended
    assert set(told.values()) == {1} and len(told) == 6, told
    assert [row["state"] for row in table(recipe)] == ["complete"] * 6
    return True


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A recipe whose sweep two workers have brought to its end, and what its driver printed."""
    path = tmp_path_factory.mktemp("swept") / "tiny.yaml"
    path.write_text(RECIPE)
    stdout, _ = end(start(path))
    return path, stdout


@pytest.mark.xdist_group("swept")
def test_two_workers_train_every_point_once_and_the_best_for_every_seed(swept):
    recipe, stdout = swept
    assert all_once(recipe)
    assert "Chosen for fc-a NFT: `--set methods.nft.plan.eta_max=1000 methods.nft.auxiliary.filters=2`" in stdout
    best = [f"methods.nft.plan.eta_max={1000}", "methods.nft.auxiliary.filters=2"]
    trials = load_recipe(recipe, best, methods=["nft"])
    assert len(runs.finished(trials, recipe.parent / "out")) == 2
    assert "| fc-a       | NFT " in (recipe.parent / "out/tiny/report.md").read_text()


@pytest.mark.xdist_group("swept")
def test_the_same_command_again_trains_nothing(swept):
    recipe, _ = swept
    before = recipe.with_name("log").read_text()
    end(start(recipe))
    assert recipe.with_name("log").read_text() == before and all_once(recipe)


@pytest.mark.xdist_group("swept")
def test_only_the_validation_error_chooses(swept):
    recipe, _ = swept
    results = [r.result for r in runs.find([recipe.parent / "out/tiny/sweep"])]
    best = min(results, key=lambda result: result["test_error"])
    chosen = json.loads((recipe.parent / "out/tiny/results.json").read_text())
    assert best["test_error"] == 0.1 and {r["test_error"] for r in chosen} == {1.0}
    assert [float(row["validation error (%)"]) for row in table(recipe)] == [49, 49, 49.5, 49.5, 49.9, 49.9]


def test_of_points_with_equal_validation_errors_that_of_the_lower_loss_is_chosen_and_stands_first(recipe):
    stdout, _ = end(start(recipe, FAKE_TIE="500"))
    assert "Chosen for fc-a NFT: `--set methods.nft.plan.eta_max=500 methods.nft.auxiliary.filters=2`" in stdout
    assert [row["methods.nft.plan.eta_max"] for row in table(recipe)] == ["500", "500", "100", "100", "1000", "1000"]


def test_two_drivers_that_start_at_once_share_the_points(recipe):
    drivers = [start(recipe, FAKE_SECONDS="0.1") for _ in range(2)]
    for driver in drivers:
        end(driver)
    assert all_once(recipe)


def kill_at_random(recipe, kills, url=None, seed=0):
    """Kills workers and drivers, some while they start, and has the sweep come to its end."""
    rng, more = random.Random(seed), ["--storage", url] if url else []
    driver = start(recipe, *more, FAKE_SECONDS="0.6")
    for kill in range(kills):
        before = trainings(recipe, "begun").total()
        while kill % 2 == 0 and driver.poll() is None and trainings(recipe, "begun").total() == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.6))
        assert driver.poll() is None, (driver.returncode, kill, driver.communicate())
        victim = rng.choice([driver.pid, *workers_of(driver)])
        os.kill(victim, signal.SIGKILL)
        if victim == driver.pid:
            driver.communicate()
            driver = start(recipe, *more, FAKE_SECONDS="0.6")
    while end_code(driver) == 1:  # more workers died than the driver replaces
        driver = start(recipe, *more)
    assert driver.returncode == 0


def end_code(driver):
    driver.communicate(timeout=100)
    return driver.returncode


def test_workers_and_drivers_killed_at_random_lose_no_point_and_repeat_none(recipe):
    kill_at_random(recipe, kills=6)
    assert all_once(recipe)
    assert trainings(recipe, "begun").total() > 7


@pytest.mark.slow
def test_on_postgresql_too(recipe, postgresql):
    kill_at_random(recipe, kills=10, url=postgresql)
    assert all_once(recipe, postgresql)


def test_workers_end_with_their_driver(recipe):
    driver = start(recipe, FAKE_SECONDS="30")
    while trainings(recipe, "begun").total() < 2:
        time.sleep(0.05)
    workers = workers_of(driver)
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/task/{pid}/children").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) == 2 and time.monotonic() < deadline


def test_a_point_that_cannot_be_trained_is_told_and_the_others_go_on(recipe):
    _, stderr = end(start(recipe, FAKE_NAN="500"), code=1)
    assert stderr.count("failed: eta_max=500") == 2 and "loss is nan in epoch 1" in stderr
    assert [row["state"] for row in table(recipe)].count("complete") == 4
    before = trainings(recipe, "begun")
    end(start(recipe), code=1)
    assert trainings(recipe, "begun") == before


def test_nothing_is_chosen_before_what_can_be_mended_is(recipe):
    stdout, stderr = end(start(recipe, FAKE_FULL="500"), code=1)
    assert "No space left on device" in stderr and "Chosen" not in stdout
    end(start(recipe))
    assert all_once(recipe)


def test_a_point_whose_networks_do_not_take_the_data_cannot_be_trained(recipe, tmp_path):
    from nft_keras import data
    from nft_keras.experiments.sweep.search import Search
    from nft_keras.experiments.train.callbacks import TrainingError

    (trial, _) = load_recipe(recipe, ["methods.nft.auxiliary.depth=5"], methods=["nft"])
    with pytest.raises(TrainingError, match="^fc-a with nft: examples of .* do not fit: unet of depth 5"):
        Search._run(None, trial, data.load(**trial.dataset), tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_workers_that_may_share_a_gpu_take_no_more_of_it_than_they_need(monkeypatch):
    monkeypatch.setattr(sweep.subprocess, "Popen", lambda command, stdin, env: env)
    names = ("TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert [sweep._start([], 0, 2, ["0"])[name] for name in names] == ["true", "false"]
    assert not set(names) & set(sweep._start([], 0, 1, ["0"]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such call")
def test_workers_share_the_cores_of_their_driver(monkeypatch):
    monkeypatch.setattr(sweep.subprocess, "Popen", lambda *args, **kwargs: os.sched_getaffinity(0))
    mine = os.sched_getaffinity(0)

    def shares(number):
        return [sweep._start([], i, number, []) for i in range(number)]

    assert shares(1) == [mine]
    assert sorted(core for share in shares(2) for core in share) == sorted(mine) * (1 if len(mine) > 1 else 2)
    assert [len(share) for share in shares(2 * len(mine))] == 2 * len(mine) * [1]
    assert os.sched_getaffinity(0) == mine


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_sampler_draws_so_many_points_and_trains_none_twice(recipe, sampler):
    lists = "sweep={methods.nft.plan.eta_max: [100, 200, 300, 400, 500, 600, 700, 800]}"
    arguments = ["--sampler", sampler, "--trials", "12", "--pruner", "median", "--set", lists]
    end(start(recipe, *arguments))
    assert set(trainings(recipe).values()) == {1}
    states = collections.Counter(row["state"] for row in table(recipe))
    assert set(states) <= {"complete", "pruned"} and 3 <= states.total() <= 8


@pytest.mark.xdist_group("swept")
def test_points_do_not_stand_in_reports_beside_trials(swept):
    recipe, _ = swept
    found = runs.find([recipe.parent])
    assert len(found) == 2 and len(runs.find([recipe.parent / "out/tiny/sweep"])) == 6


@pytest.mark.slow
def test_real_trainings_go_on_where_a_killed_worker_left_them(recipe):
    lists = "sweep={methods.nft.plan.eta_max: [100, 500, 1000]}"
    driver = start(recipe, "--set", "training.epochs=6", lists, command=REAL)
    points = recipe.parent / "out/tiny/sweep"
    while not list(points.rglob("state.json")):
        assert driver.poll() is None
        time.sleep(0.02)
    os.kill(workers_of(driver)[0], signal.SIGKILL)
    stdout, _ = end(driver)
    results = list(points.rglob("result.json"))
    assert len(results) == 3 and "written to" in stdout and set(complete(recipe).values()) == {1}
    assert not list(points.rglob("backup"))
    for result in results:
        with open(result.with_name("history.csv"), newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]
    (best, *_) = table(recipe)
    seeds = [json.loads((points.parent / f"fc-a/nft/seed-{s}/result.json").read_text()) for s in (0, 1)]
    assert seeds[0]["valid_error"] == float(best["validation error (%)"])


@pytest.mark.slow
def test_a_sweep_of_which_points_were_tried_on_other_data_is_refused(recipe, monkeypatch):
    out = recipe.parent / "out"
    lists = "sweep={methods.nft.plan.eta_max: [100, 500]}"
    command = [str(recipe), "--out", str(out), "--set", "training.epochs=3", lists]
    assert sweep.main(command) == 0
    configs = [yaml.safe_load(path.read_text()) for path in out.rglob("config.yaml")]
    assert len(configs) == 4 and len({config["fingerprint"] for config in configs}) == 1
    lose_an_example(monkeypatch)
    assert sweep.main(command) == 0  # there is nothing to be trained
    options = sweep.parser().parse_args(command)
    (search,) = sweep._searches(sweep._spaces(options, Fingerprints()), options, {})
    with pytest.raises(RecipeError, match="point-.* holds a trial on other data, which have changed"):
        search.check_data()


def test_a_table_whose_columns_are_said_is_loaded_once_for_all_points(tmp_path):
    (tmp_path / "t.csv").write_text("zip,label\n" + "".join(f"0{i % 9},{'ab'[i % 2]}\n" for i in range(60)))
    (tmp_path / "r.yaml").write_text(
        "dataset: {name: csv, path: t.csv, columns: {zip: category}}\nclassifiers: [fc-a]\nmethods: {ct: }\n"
        "training: {epochs: 1}\nseeds: [0]\nsweep: {training.learning_rate: [0.01, 0.1]}\n"
    )
    options = sweep.parser().parse_args([str(tmp_path / "r.yaml"), "--data-dir", str(tmp_path), "--out", str(tmp_path)])
    (search,) = sweep._searches(sweep._spaces(options, Fingerprints(tmp_path)), options, {})
    trials = [trial for point in search.space.points() for trial in search.space.trials(point)]
    assert len(trials) == 2 and len({id(search._load(trial.dataset)) for trial in trials}) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--storage", "http://x"], "--storage: unknown storage 'http'; allowed: postgresql://"),
        (["--storage", "sqlite:////nowhere/x.db"], "--storage sqlite:...: cannot be used: "),
        (["--trials", "3"], "--trials N goes with --sampler random or tpe"),
        (["--sampler", "tpe"], "--trials N goes with --sampler random or tpe"),
        (["--methods", "ct"], "--methods ct: the recipe's sweep has no key for them"),
        (["--set", "sweep="], "--set sweep=: sweep: nothing to sweep; give lists"),
        (["--set", "sweep={methods.nft.plan.eta_max: [1, x]}"], "methods.nft.plan.eta_max: should be a number"),
        (["--set", "sweep={methods.nft.plan.eta_mx: [1]}"], "unknown key; allowed:"),
        (["--set", "sweep={methods.ft.step: [1]}"], "unknown method 'ft'; the recipe has ct, nft"),
        (["--set", "sweep={seeds: [1]}"], "should be a key below dataset, methods or training"),
        (["--set", "sweep={training.epochs: 3}"], "should be a list of numbers or words"),
        (["--set", "vary={training.epochs: [3]}"], "a recipe that varies settings cannot be swept"),
        (["--set", f"sweep={{training.epochs: {[*range(3, 30000)]}}}"], "29,997 combinations, more than 10,000"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(recipe, arguments, message, capsys):
    assert sweep.main([str(recipe), "--out", str(recipe.parent / "out"), *arguments]) == 2
    stderr = capsys.readouterr().err
    assert message in stderr and stderr.count("\n") == 1 and not list(recipe.parent.rglob("config.yaml"))


def test_an_error_in_a_list_says_its_line(recipe, capsys):
    recipe.write_text(RECIPE.replace("[100, 500, 1000]", "[100, many]"))
    assert sweep.main([str(recipe), "--out", str(recipe.parent / "out")]) == 2
    assert f"{recipe}:16: methods.nft.plan.eta_max: should be a number" in capsys.readouterr().err


def test_without_optuna_the_extra_is_named(recipe, capsys, monkeypatch):
    monkeypatch.setattr(queue.importlib.util, "find_spec", lambda name: None)
    assert sweep.main([str(recipe), "--out", str(recipe.parent / "out")]) == 2
    assert "pip install 'nft_keras[sweep]'" in capsys.readouterr().err


def test_help_and_dry_run_import_nothing_slow(recipe, tmp_path):
    program = (
        "import sys; sys.orig_argv[1:] = ['-m', 'nft_keras']; from nft_keras.cli import sweep; "
        f"sweep.main([{str(recipe)!r}, '--dry-run']); "
        "print(sorted({'keras', 'tensorflow', 'optuna', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    *points, imported = done.stdout.splitlines()
    assert imported == "[]" and len(points) == 6 and not (ROOT / "runs" / "tiny").exists()
    assert all(point.startswith("tiny/sweep/point-") and "filters=" in point for point in points)


def test_a_folder_in_use_by_a_run_is_refused_and_the_reverse(recipe, capsys):
    out = recipe.parent / "out"
    with one_at_a_time(out / "tiny" / ".lock"):
        assert sweep.main([str(recipe), "--out", str(out)]) == 2
    assert "is in use by a run" in capsys.readouterr().err
    with sweep._in_use(out / "tiny"):
        assert run.main([str(recipe), "--out", str(out)]) == 2
    assert "is in use by another run" in capsys.readouterr().err


def test_a_folder_with_trials_that_the_sweep_would_overwrite_is_refused(recipe, capsys):
    (trial, _) = load_recipe(recipe, methods=["nft"])
    folder = recipe.parent / "out" / trial.folder
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(json.dumps(trial.config()))
    assert sweep.main([str(recipe), "--out", str(recipe.parent / "out")]) == 2
    assert "holds a trial with other settings (methods.nft.plan.eta_max: 50.0 there" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error, said",
    [
        ("\nCould not parse SQLAlchemy URL from string 'postgresql://me:secret@host/db'\n", "from string '...'"),
        ("connection to mysql+pymysql://me:secret@host:3306/db failed", "connection to ... failed"),
        ("no server", "no server"),
    ],
)
def test_what_a_storage_raises_is_told_without_its_url(error, said):
    assert queue.said_of_storage(ValueError(error)).endswith(said)


def test_a_storage_that_knows_the_sweep_with_another_folder_is_refused(recipe, tmp_path):
    storage = ["--storage", f"sqlite:///{tmp_path}/x.db"]
    end(start(recipe, *storage))
    shutil.rmtree(tmp_path / "out")
    _, stderr = end(start(recipe, *storage), code=2)
    assert "with another output folder" in stderr and stderr.count("\n") == 1


@pytest.fixture
def points(tmp_path):
    """Makes queues of one study of three points, as processes on several machines have them."""

    def make():
        storage = queue.open_storage(None, tmp_path)
        return queue.Queue(storage, "three", {"a": [1, 2, 3]}, tmp_path, [{"a": a} for a in (1, 2, 3)])

    return make


def test_a_point_on_another_machine_is_put_back_when_its_heart_stops(points, monkeypatch):
    monkeypatch.setattr(queue, "_machine", lambda: "there")
    there = points()
    with there.taken() as trial:
        assert trial.user_attrs["point"] == {"a": 1}
    monkeypatch.setattr(queue, "_machine", lambda: "here")
    here, beats = points(), itertools.count()
    running = optuna.trial.TrialState.RUNNING
    monkeypatch.setattr(queue, "GRACE", 0)
    for _ in range(3):
        there.study._storage.set_trial_user_attr(trial._trial_id, "beat", next(beats))
        here._put_back()
        assert [t.state for t in here.latest()][0] == running
    here._put_back()
    assert [t.state for t in here.latest()][0] == optuna.trial.TrialState.WAITING


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_a_lock_keeps_a_point_whose_heart_stopped_and_what_stands_in_for_one_does_not(points, monkeypatch, locks):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    if not locks:
        monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(queue, "GRACE", 0)
    with warnings.catch_warnings(record=True, action="always") as warned, points().taken():
        here = points()
        for _ in range(3):
            here._put_back()
        state = here.latest()[0].state
        with here.taken() as other:
            assert other.user_attrs["point"] == {"a": 2}
    assert state == (optuna.trial.TrialState.RUNNING if locks else optuna.trial.TrialState.WAITING)
    assert any("has no locks" in str(warning.message) for warning in warned) != locks


def test_a_journal_whose_last_line_was_cut_off_goes_on(points, tmp_path):
    with points().taken() as trial:
        points().study.tell(trial.number, 1.0)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    with points().taken() as trial:
        assert trial.user_attrs["point"] == {"a": 2}
    assert journal.read_bytes().startswith(whole) and b'"wor{' not in journal.read_bytes()


def test_the_published_grid_is_swept():
    spaces = load_sweep(ROOT / "recipes/mnist-back-image.yaml")
    assert [(space.classifier, space.method) for space in spaces] == [
        (classifier, "nft") for classifier in ("fc-a", "fc-b", "cnn-a", "cnn-b")
    ]
    assert set(map(str, spaces[0].lists.values())) == {
        "[500, 1000, 2000]", "[0.25, 0.5, 0.85]", "[1e-05, 0.0001, 0.0005]", "[1, 2]", "[64, 96, 128]",
    }  # fmt: skip
    trials = [space.trials(point)[0] for space in spaces for point in space.points()]
    published = {
        t.classifier: t for t in load_recipe(ROOT / "recipes/mnist-back-image.yaml", methods=["nft"], seeds=[0])
    }
    assert len(trials) == 4 * 162 and all(published[space.classifier] in trials for space in spaces)
