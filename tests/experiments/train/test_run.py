import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nft_keras import data, experiments
from nft_keras.cli import run
from nft_keras.experiments import runs
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.train import run as running
from nft_keras.experiments.train.callbacks import History
from nft_keras.experiments.train.loading import Loader
from nft_keras.experiments.train.session import Options, Session
from tests.experiments.finished import repeatable

ROOT = Path(__file__).parents[3]
IMAGES = """\
dataset: {name: digits-back-image, train_size: 64, valid_size: 32, test_size: 32}
classifiers: [cnn-a]
methods:
  ct:
  nft:
    plan: {eta_max: 500, simplification_epochs: 3}
    auxiliary: {name: unet, filters: 4, depth: 1, label_conditioned: true}
    auxiliary_optimizer: {learning_rate: 0.001, weight_decay: 1.0e-4}
    penalty: mean
training: {epochs: 5, learning_rate: 0.001, weight_decay: 1.0e-4}
seeds: [0]
test_every: 5
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The folder of a small recipe that was run."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "small.yaml").write_text(IMAGES)
    said = []
    handler = types.SimpleNamespace(level=0, handle=lambda record: said.append(record.getMessage()))
    logging.getLogger("nft_keras").addHandler(handler)
    try:
        assert run.main([str(folder / "small.yaml"), "--out", str(folder / "out")]) == 0
    finally:
        logging.getLogger("nft_keras").removeHandler(handler)
    # Nothing of the schedule that the recipe itself makes.
    assert not [line for line in said if "LearningRateScheduler" in line]
    return folder / "out" / "small"


@pytest.mark.xdist_group("run")
def test_a_trial_s_folder_holds_what_the_readme_says(images):
    for method in ("ct", "nft"):
        folder = images / "cnn-a" / method / "seed-0"
        for name in ("config.yaml", "history.csv", "result.json", "classifier.keras"):
            assert (folder / name).stat().st_size > 0
        assert not [f for f in folder.iterdir() if f.name.startswith(".")]
    assert (images / "cnn-a" / "nft" / "seed-0" / "simplification.png").exists()
    report = (images / "report.md").read_text()
    assert report.count("| cnn-a ") == 2 + 1 + 1 and "test error - CT" in report and "## At the drop" in report
    assert (images / "recipe.yaml").read_text() == IMAGES


@pytest.mark.xdist_group("run")
def test_tensorboard_has_a_run_for_each_trial_with_what_its_method_has_to_show(images):
    shown = {}
    for method in ("ct", "nft"):
        folder = images / "cnn-a" / method / "seed-0"
        assert all(path.parent == folder / "tensorboard" for path in folder.rglob("events.*"))
        run = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0}).Reload()
        shown[method] = set(run.Tags()["tensors"])
        rows = list(csv.DictReader((folder / "history.csv").open()))
        for column, tag in History.COLUMNS.items():
            events = run.Tensors(tag) if tag in shown[method] else ()
            logged = {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events}
            kept = {int(row["epoch"]): float(row[column]) for row in rows if row[column]}
            assert logged == pytest.approx(kept, rel=1e-5)
    assert shown["ct"] == {"loss", "error", "val_loss", "val_error", "test_error", "learning_rate"}
    of_nft = {"eta", "auxiliary_loss", "perturbation", "relative_perturbation", "loss_reduction", "x, delta, x + delta"}
    assert shown["nft"] == shown["ct"] | of_nft


@pytest.mark.xdist_group("run")
def test_results_are_a_list_with_the_promised_keys(images):
    results = json.loads((images / "results.json").read_text())
    keys = (
        "dataset classifier method seed test_error valid_error valid_loss best_epoch "
        "test_balanced_accuracy test_calibration_error last_test_error last_valid_error epochs drop seconds "
        "provenance fingerprint environment"
    ).split()
    assert [list(r) for r in results] == [[key for key in keys if key != "drop"], keys]
    assert set(results[1]["drop"]) == {"relative_perturbation", "harder_epochs", "simplified_epochs"}
    trials = load_recipe(images.parents[1] / "small.yaml")
    assert [runs.key_of(r) for r in results] == [trial.key for trial in trials]
    assert [r["method"] for r in results] == ["ct", "nft"]
    assert all(0 <= r["test_error"] <= 100 and 1 <= r["best_epoch"] <= r["epochs"] == 5 for r in results)


@pytest.mark.xdist_group("run")
def test_the_deployed_file_is_the_best_epoch_s_classifier(images):
    for result in json.loads((images / "results.json").read_text()):
        folder = images / "cnn-a" / result["method"] / "seed-0"
        dataset = data.load(**yaml.safe_load((folder / "config.yaml").read_text())["dataset"])
        classifier = keras.saving.load_model(folder / "classifier.keras")
        for part, error in ((dataset.test, result["test_error"]), (dataset.valid, result["valid_error"])):
            wrong = classifier.predict(part.x, verbose=0).argmax(1) != part.y
            assert 100 * wrong.mean() == pytest.approx(error, abs=1e-3)


@pytest.mark.xdist_group("run")
def test_the_best_epoch_has_the_lowest_validation_error_after_the_drop(images):
    for method, first in (("ct", 1), ("nft", 4)):
        folder = images / "cnn-a" / method / "seed-0"
        rows = list(csv.DictReader((folder / "history.csv").open()))
        assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
        eligible = [row for row in rows if int(row["epoch"]) >= first]
        best = min(eligible, key=lambda row: (float(row["valid_error"]), float(row["valid_loss"])))
        result = json.loads((folder / "result.json").read_text())
        assert result["best_epoch"] == int(best["epoch"])
        assert result["valid_error"] == pytest.approx(float(best["valid_error"]), abs=1e-3)
        assert result["valid_loss"] == pytest.approx(float(best["valid_loss"]), rel=1e-5)


@pytest.mark.xdist_group("run")
def test_the_last_epoch_s_errors_are_those_of_the_history(images):
    for result in json.loads((images / "results.json").read_text()):
        folder = images / "cnn-a" / result["method"] / "seed-0"
        last = list(csv.DictReader((folder / "history.csv").open()))[-1]
        for error in ("test_error", "valid_error"):
            assert result[f"last_{error}"] == pytest.approx(float(last[error]), abs=1e-3)


@pytest.mark.xdist_group("run")
def test_history_shows_the_plan(images):
    rows = list(csv.DictReader((images / "cnn-a" / "nft" / "seed-0" / "history.csv").open()))
    assert [row["phase"] for row in rows] == ["classic", "simplified", "simplified", "classic", "classic"]
    assert [float(row["eta"]) for row in rows] == [0, 375, 500, 500, 500]
    assert [float(row["perturbation"]) > 0 for row in rows] == [False, True, True, False, False]


@pytest.mark.xdist_group("run")
def test_the_classifier_loads_where_nft_keras_is_not_installed(images, tmp_path):
    program = (
        "import sys; sys.modules['nft_keras'] = None; import keras; "
        f"print(keras.saving.load_model({str(images / 'cnn-a/nft/seed-0/classifier.keras')!r}).output_shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "(None, 10)\n", done.stderr


@pytest.mark.xdist_group("run")
def test_methods_start_alike_and_the_first_epoch_is_the_same(images):
    first = [
        next(csv.DictReader((images / "cnn-a" / method / "seed-0" / "history.csv").open())) for method in ("ct", "nft")
    ]
    assert first[0]["loss"] == first[1]["loss"] and first[0]["valid_loss"] == first[1]["valid_loss"]


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    """The folder of a small recipe with the other two methods that was run."""
    folder = tmp_path_factory.mktemp("baselines")
    methods = """\
  eef:
    plan: {first_fraction: 0.25, simplification_epochs: 3}
  ft:
    plan: {max_steps: 4, simplification_epochs: 3}
    step: 0.5
"""
    start, end = IMAGES.index("  ct:"), IMAGES.index("training:")
    (folder / "small.yaml").write_text(IMAGES[:start] + methods + IMAGES[end:])
    assert run.main([str(folder / "small.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out" / "small"


def test_all_methods_share_recipe_history_and_report(baselines):
    ft = list(csv.DictReader((baselines / "cnn-a" / "ft" / "seed-0" / "history.csv").open()))
    assert [row["phase"] for row in ft] == ["simplified", "simplified", "classic", "classic", "classic"]
    assert [float(row["perturbation_steps"]) > 0 for row in ft] == [True, True, False, False, False]
    eef = list(csv.DictReader((baselines / "cnn-a" / "eef" / "seed-0" / "history.csv").open()))
    assert [row["phase"] for row in eef] == ["simplified", "simplified", "classic", "classic", "classic"]
    assert [r["method"] for r in json.loads((baselines / "results.json").read_text())] == ["eef", "ft"]
    assert (baselines / "cnn-a" / "ft" / "seed-0" / "simplification.png").exists()


@pytest.mark.xdist_group("run")
def test_config_runs_again_to_the_same_result(images, tmp_path):
    config = images / "cnn-a" / "ct" / "seed-0" / "config.yaml"
    assert run.main([str(config), "--out", str(tmp_path)]) == 0
    (again,) = json.loads((tmp_path / "small" / "results.json").read_text())
    before = json.loads((config.parent / "result.json").read_text())
    assert repeatable(again) == repeatable(before)


@pytest.mark.xdist_group("run")
def test_the_report_counts_only_trials_with_the_present_settings(images, tmp_path):
    trials = load_recipe(images.parent.parent / "small.yaml")
    assert len(runs.finished(trials, images.parent)) == 2
    trials = load_recipe(images.parent.parent / "small.yaml", ["methods.nft.plan.eta_max=400"])
    assert [r["method"] for r in runs.finished(trials, images.parent)] == ["ct"]


def test_points_in_the_plane_get_figure_1(tmp_path):
    overrides = ["training.epochs=8", "seeds=[0]"]
    arguments = [str(ROOT / "recipes/two-moons.yaml"), "--out", str(tmp_path), "--set", *overrides, "--methods", "nft"]
    assert run.main(arguments) == 0
    folder = tmp_path / "two-moons" / "fc-a" / "nft" / "seed-0"
    assert (folder / "figure-1.png").read_bytes().startswith(b"\x89PNG")
    kept = np.load(folder / "snapshots.npz")
    assert kept["simplified"].shape == (6, 300, 2) and kept["gammas"][-1] == 8
    np.testing.assert_array_equal(kept["simplified"][-1], kept["x"])


def test_dry_run_prints_a_row_per_trial_with_every_setting_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(ROOT / "recipes/imdb.yaml"), "--out", str(out), "--dry-run", "--seeds", "0", "1"]
    assert run.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    trials = load_recipe("imdb", seeds=[0, 1])
    assert [row[0] for row in rows] == [str(trial.folder) for trial in trials] and not out.exists()
    for trial, (_, *own) in zip(trials, rows, strict=True):
        shared = [line.split(": ")[1] for line in lines if line.startswith(("# all: ", f"# {trial.method}: "))]
        settings = dict(setting.split("=", 1) for setting in (*shared, *own))
        assert len(settings) == len(shared) + len(own) and own == [f"seeds=[{trial.seed}]"]
        assert settings == {key: str(value).replace(" ", "") for key, value in runs.flatten(trial.config())}
    for line in ("# nft: methods.nft.plan.eta_max=1000.0", "# all: training.batch_size=32"):
        assert line in lines


TABLE = """\
name: NAME
dataset: {name: csv, path: t.csv, label: LABEL}
classifiers: {fc-a: {units: 3}}
methods: [ct]
training: {epochs: 1}
seeds: [0]
"""


@pytest.mark.parametrize("varied", [False, True])
def test_a_wrong_table_among_several_is_refused_before_a_network_is_trained(tmp_path, capsys, varied):
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["u,v,y", *rows]))
    for name, label in (("good", "y"), ("bad", "w")):
        (tmp_path / f"{name}.yaml").write_text(TABLE.replace("NAME", name).replace("LABEL", label))
    (tmp_path / "varied.yaml").write_text(TABLE.replace(", label: LABEL", "") + "vary: {dataset.label: [y, w]}\n")
    recipes = [str(tmp_path / f"{name}.yaml") for name in (("varied",) if varied else ("good", "bad"))]
    assert run.main([*recipes, "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path), "--no-reference"]) == 2
    assert "t.csv has no column 'w'" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_two_recipes_that_would_write_over_each_other_are_refused(tmp_path, capsys):
    for name, eta_max in (("a", 500), ("b", 7)):
        (tmp_path / f"{name}.yaml").write_text("name: same\n" + IMAGES.replace("500", str(eta_max)))
    recipes = [str(tmp_path / f"{name}.yaml") for name in "ab"]
    assert run.main([*recipes, "--out", str(tmp_path / "out"), "--methods", "nft"]) == 2
    error = f"{recipes[0]} and {recipes[1]} both have the trial same/cnn-a/nft/seed-0; give one of them another name\n"
    assert capsys.readouterr().err == error and not (tmp_path / "out").exists()


def test_an_edit_during_the_run_is_not_in_what_lies_beside_the_report(tmp_path, monkeypatch):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(IMAGES)
    beside = tmp_path / "out" / "small" / "recipe.yaml"

    def edited(trials, of_recipe, session):
        recipe.write_text("edited: true\n")
        session.keep_recipe()
        return 0

    monkeypatch.setattr(running, "_run", edited)
    assert run.main([str(recipe), "--out", str(tmp_path / "out")]) == 0 and beside.read_text() == IMAGES


def test_networks_that_do_not_take_the_data_are_refused_before_any_training(tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(IMAGES + "vary: {methods.nft.auxiliary.depth: [5, 1]}\n")
    assert run.main([str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cnn-a with nft: methods.nft.auxiliary.depth=5: examples of shape (28, 28, 1) do not fit: ")
    assert error.count("\n") == 1 and not list(tmp_path.rglob("config.yaml"))


def test_a_data_set_that_cannot_be_loaded_is_said_beside_the_live_line(monkeypatch):
    def load(**dataset):
        raise data.DataError("gone")

    said, trials, others = [], *(load_recipe("two-moons", seeds=[seed]) for seed in (0, 1))
    screen = types.SimpleNamespace(note=lambda text: None, say=lambda *line, **where: said.append((*line, where)))
    monkeypatch.setattr(data, "load", load)
    session = Session("two-moons", "", Options(), None)
    loader = Loader(session, screen, [*trials, *others], trials, trials)
    assert loader.load(trials) is None and loader.ready(trials, None) == []
    assert said == [("two-moons: gone", {"stderr": True})]
    with pytest.raises(data.DataError, match="gone"):
        Loader(session, screen, trials, trials, trials).load(trials)


def command(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "nft_keras.run", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **kwargs,
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["recipes/imdb.yaml", "--set", "training.epoch=3"], "did you mean epochs?"),
        (["recipes/none.yaml"], "recipes/none.yaml: cannot be read: No such file or directory"),
        (
            ["recipes/imdb.yaml", "--methods", "nt"],
            "--methods nt: not in this recipe; it has ct, ct-short, ct-smooth, eef, ft, nft",
        ),
        (["recipes/imdb.yaml", "--classifiers", "cnn-a"], "--classifiers cnn-a: not in this recipe; it has fc-b"),
    ],
)
def test_a_typing_error_is_one_line_exit_code_2_and_leaves_nothing(arguments, message, tmp_path):
    done = command(*arguments, "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def printed(program):
    """What a program in a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_and_wrong_recipes_never_import_keras():
    program = (
        "import sys; sys.orig_argv[1:] = ['-m', 'nft_keras']; from nft_keras import run; "
        "run.main(['recipes/imdb.yaml', '--dry-run']); "
        "print(sorted({'keras', 'tensorflow', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert printed(program).splitlines()[-1] == "[]"


def test_importing_the_package_imports_keras_and_nothing_slower():
    program = (
        "import sys, keras; before = set(sys.modules); import nft_keras; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)), nft_keras.FriendlyModel.__name__)"
    )
    assert printed(program) == "['nft_keras'] FriendlyModel\n"


def test_no_data_and_no_network_is_one_line_that_says_what_to_do(tmp_path):
    done = command(
        "recipes/imdb.yaml", "--data-dir", tmp_path / "empty", "--out", tmp_path / "out", "--seeds", "0",
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "imdb_reviews" in done.stderr and str(tmp_path / "empty") in done.stderr


def test_ctrl_c_ends_at_once_with_one_line_and_130(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nft_keras.run", "recipes/two-moons.yaml", "--out", str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )  # fmt: skip
    history = tmp_path / "two-moons" / "fc-a" / "ct" / "seed-0" / "history.csv"
    while process.poll() is None and not (history.exists() and history.read_text().count("\n") > 2):
        time.sleep(0.1)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - began < 10
    assert stderr == "interrupted; the same command goes on after the last finished epoch\n"


def test_from_python_a_recipe_of_a_mapping_is_run_and_reported_on(tmp_path, capsys):
    recipe = {
        "name": "mine",
        "dataset": "two-moons",
        "classifiers": ["fc-a"],
        "methods": {"ct": None},
        "training": {"epochs": 1},
        "seeds": [0, 1],
    }
    chosen = {"seeds": 1, "methods": "ct", "classifiers": "fc-a", "overrides": "training.epochs=2"}
    results = experiments.run(recipe, out=tmp_path / "out", reference=False, **chosen)
    assert [(result["method"], result["seed"], result["epochs"]) for result in results] == [("ct", 1, 2)]
    assert experiments.report(results) in capsys.readouterr().out
    assert (tmp_path / "out" / "mine" / "recipe.yaml").read_text().count("name: mine") == 1
    assert len(experiments.run(recipe, out=tmp_path / "both", reference=False, seeds=np.arange(2))) == 2
    with pytest.raises(RecipeError, match="^recipe: dataset.name: unknown data set 'three-moons'"):
        experiments.run({**recipe, "dataset": "three-moons"}, out=tmp_path / "out")
