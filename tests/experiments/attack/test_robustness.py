import csv
import json
import math

import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import minimize

from nft_keras.cli import attack as robustness
from nft_keras.cli import run
from nft_keras.experiments import runs
from nft_keras.experiments.attack import report as robustness_report
from nft_keras.experiments.attack.attacks import AttackedClassifier, Ball, fgsm, log_odds, noise, pgd, random_search
from nft_keras.experiments.attack.norms import NORMS
from nft_keras.experiments.attack.robustness import (
    CHECKS,
    Examples,
    Settings,
    attack_trial,
    examples,
    measure,
    warnings,
)
from nft_keras.experiments.classifier_file import ExportError
from tests.backend.features import able, last_line
from tests.experiments.finished import lose_an_example

RECIPE = """\
dataset: {name: two-moons, noise: 0.2, train_size: 100, valid_size: 50, test_size: 60}
classifiers: [fc-a]
methods:
  ct:
  nft:
    plan: {eta_max: 20, simplification_epochs: 2}
    auxiliary: {name: mlp, hidden: 8}
    auxiliary_optimizer: {learning_rate: 0.01}
training: {epochs: 4, batch_size: 32, learning_rate: 0.05}
seeds: [0, 1]
"""
D = 6
DUAL = {"linf": lambda w: np.abs(w).sum(), "l2": lambda w: np.sqrt((w**2).sum())}


def norm_of(delta, norm):
    flat = np.abs(delta.reshape(len(delta), -1))
    return flat.max(1) if norm == "linf" else np.sqrt((flat.astype("float64") ** 2).sum(1))


class Layer(keras.Layer):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def linear(before=lambda x: x, after=lambda z: z):
    """A linear classifier of two classes, something in front of it and something behind it; and its w and b."""
    dense = keras.layers.Dense(2)
    inputs = keras.Input((D,))
    model = keras.Model(inputs, Layer(after)(dense(Layer(before)(inputs))))
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(size=(D, 2)).astype("float32"), np.array([0.2, -0.1], "float32")
    kernel -= kernel.mean(0)
    dense.set_weights([kernel, bias])
    return AttackedClassifier(model), kernel[:, 1] - kernel[:, 0], float(bias[1] - bias[0])


def points(w, b, n=120, box=None):
    """Examples that the linear classifier gets right."""
    x = np.random.default_rng(4).uniform(0, 1, (n, D)).astype("float32") - (0 if box else 0.5)
    return x, (x @ w + b > 0).astype("int32")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_an_attack_breaks_a_linear_classifier_from_the_exact_distance_on(norm, attack):
    target, w, b = linear()
    x, y = points(w, b)
    distance = np.abs(x @ w + b) / DUAL[norm](w)
    for radius in np.quantile(distance, [0.1, 0.5, 0.9]) * 1.0001:
        ball = Ball(norm, float(radius))
        broken, delta = fgsm(target, x, y, ball) if attack == "fgsm" else pgd(target, x, y, ball, 10, 1, None)
        sure = np.abs(distance / radius - 1) > 1e-5
        np.testing.assert_array_equal(broken[sure], (distance < radius)[sure])
        assert 0 < broken.mean() < 1
        np.testing.assert_array_equal((x + delta) @ w + b > 0, broken ^ (y == 1))


@pytest.mark.parametrize("norm", NORMS)
def test_in_a_box_the_farthest_and_the_nearest_point_are_those_of_a_general_solver(norm):
    rng = np.random.default_rng(0)
    x, direction = rng.uniform(0, 1, (12, 4)).astype("float32"), rng.normal(size=(12, 4)).astype("float32")
    x[0, :2] = 0, 1
    ball = Ball(norm, 0.6, (0.0, 1.0))
    farthest, nearest = ball.farthest(x, direction), ball.project(x, direction)
    for i in range(len(x)):
        bounds = [(-v, 1 - v) for v in x[i].astype("float64")]
        inside = {"type": "ineq", "fun": lambda d: 0.36 - d @ d} if norm == "l2" else ()
        if norm == "linf":
            bounds = [(max(low, -0.6), min(high, 0.6)) for low, high in bounds]
        solve = {"bounds": bounds, "constraints": inside, "method": "SLSQP", "options": {"ftol": 1e-12}}
        best = minimize(lambda d, g: -d @ g, np.zeros(4), (direction[i].astype("float64"),), **solve)
        closest = minimize(lambda d, v: ((d - v) ** 2).sum(), np.zeros(4), (direction[i].astype("float64"),), **solve)
        np.testing.assert_allclose(farthest[i] @ direction[i], -best.fun, atol=1e-5)
        np.testing.assert_allclose(nearest[i], closest.x, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_no_attack_leaves_the_ball_or_the_box(norm):
    target, w, b = linear()
    x, y = points(w, b, box=True)
    ball, rng = Ball(norm, 0.3, (0.0, 1.0)), np.random.default_rng(0)
    changes = [
        fgsm(target, x, y, ball)[1],
        pgd(target, x, y, ball, 5, 3, rng)[1],
        noise(target, x, y, ball, 4, rng)[1],
        random_search(target, x, y, ball, 10, rng)[1],
        ball.inside(x, rng),
        Ball(norm, 0.3).project(x, 9 * rng.normal(size=x.shape)),
    ]
    for delta in changes:
        assert norm_of(delta, norm).max() <= 0.3 * (1 + 1e-5) and np.abs(delta).max() > 0.1
    for delta in changes[:-1]:
        assert (x + delta).min() >= -1e-6 and (x + delta).max() <= 1 + 1e-6


def test_random_starts_are_uniform_in_the_ball():
    x, rng = np.zeros((4000, 3), "float32"), np.random.default_rng(0)
    inside = norm_of(Ball("l2", 2.0).inside(x, rng), "l2") / 2
    np.testing.assert_allclose(np.quantile(inside**3, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)
    inside = Ball("linf", 2.0).inside(x, rng)
    np.testing.assert_allclose(np.quantile(inside, [0.25, 0.5, 0.75]), [-1, 0, 1], atol=0.1)


def test_the_odds_are_those_of_softmax_and_their_gradient_that_of_the_cross_entropy_up_to_a_factor():
    import tensorflow as tf

    z, y = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 1, 2, 3, 1])
    p = np.exp(z)[np.arange(5), y] / np.exp(z).sum(1)
    logits = tf.constant(z, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        odds, entropy = log_odds(logits, y), tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
    np.testing.assert_allclose(odds, np.log((1 - p) / p), atol=1e-5)
    factor = (tape.gradient(entropy, logits) / tape.gradient(odds, logits)).numpy()
    assert factor.min() > 0 and np.ptp(factor, axis=1).max() < 1e-5


@pytest.mark.parametrize("norm", NORMS)
def test_large_logits_hide_nothing(norm):
    x, y = points(*linear()[1:])
    ball, broken = Ball(norm, 0.1), []
    for scale in (1, 1e4):
        target, *_ = linear(after=lambda z, scale=scale: scale * z)
        broken.append(pgd(target, x, y, ball, 5, 2, np.random.default_rng(0))[0])
    np.testing.assert_array_equal(*broken)
    assert broken[0].any()


SETTINGS = Settings(radii=(0.05, 0.2), steps=10)
MASKS = {
    "rounded inputs": ({"before": lambda x: ops.round(4 * x) / 4}, {"zero gradients", "search past PGD"}),
    "saturated outputs": ({"after": lambda z: ops.tanh(1e4 * z)}, {"zero gradients", "unbounded PGD"}),
    "a gradient of the wrong sign": (
        {"before": lambda x: ops.stop_gradient(2 * x) - x},
        {"finite differences", "noise above PGD", "search past PGD", "unbounded PGD"},
    ),
    "shattered gradients": ({"before": lambda x: x + 2e-3 * ops.sin(1e4 * x)}, {"finite differences"}),
}


def measured(settings=SETTINGS, **mask):
    _, w, b = linear()
    return measure(linear(**mask)[0], Examples(*points(w, b), None), settings)


def test_a_classifier_with_honest_gradients_passes_every_check():
    trial = measured()
    assert not warnings(trial) and {check["check"] for check in trial["checks"]} == set(CHECKS)


@pytest.mark.parametrize("mask", MASKS)
def test_masked_gradients_are_found_out(mask):
    layers, expected = MASKS[mask]
    trial = measured(**layers)
    assert expected <= set(warnings(trial)) and json.loads(json.dumps(trial)) == trial


def test_a_seed_decides_what_is_drawn_and_the_other_norm_has_no_part_in_it():
    both, again, other = (measured(Settings(radii=(0.1,), steps=2, seed=seed)) for seed in (0, 0, 1))
    assert again == both
    assert measured(Settings(("l2",), (0.1,), 2))["norms"]["l2"] == both["norms"]["l2"]
    assert other["norms"]["l2"]["errors"]["noise"] != both["norms"]["l2"]["errors"]["noise"]


def test_errors_take_the_smaller_radii_in_and_raw_ones_do_not():
    hole = {"after": lambda z: ops.where(ops.abs(z[:, 1:] - z[:, :1]) > 1.5, z[:, ::-1], z)}
    _, w, b = linear()
    x, y = points(w, b)
    near = np.abs(x @ w + b) < 1.4
    trial = measure(linear(**hole)[0], Examples(x[near], y[near], None), Settings(("linf",), (0.05, 0.2, 2.0), 1, 1))
    of_norm = trial["norms"]["linf"]
    for attack in ("fgsm", "pgd"):
        np.testing.assert_allclose(of_norm["errors"][attack], np.maximum.accumulate(of_norm["errors"][attack]))
        assert all(e >= r for e, r in zip(of_norm["errors"][attack], of_norm["raw"][attack], strict=True))
    assert of_norm["raw"]["fgsm"][1] > of_norm["raw"]["fgsm"][2]


def test_images_have_a_box_and_vectors_radii_by_their_spread():
    digits = {"name": "digits-back-image", "train_size": 30, "valid_size": 30, "test_size": 60}
    images = examples(digits, Settings(examples=20))
    assert images.x.shape == (20, 28, 28, 1) and images.box == (0.0, 1.0) and images.x.max() <= 1 < 255 * images.x.max()
    assert images.whole("linf") == 1 and images.whole("l2") == 28
    np.testing.assert_array_equal(examples(digits, Settings(examples=20)).x, images.x)
    assert not np.array_equal(examples(digits, Settings(examples=20, seed=1)).y, images.y)
    moons = examples({"name": "two-moons"}, Settings(examples=10_000))
    assert moons.box is None and len(moons) == 1000
    spread = moons.x.std(0).mean()
    np.testing.assert_allclose(moons.default_radii("linf"), spread * np.array([0.025, 0.05, 0.1, 0.2, 0.4]), rtol=0.05)
    np.testing.assert_allclose(moons.default_radii("l2")[-1], 0.4 * spread * math.sqrt(2), rtol=0.05)


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    """The output folder of trials that were run, attacked by the command."""
    folder = tmp_path_factory.mktemp("robustness")
    (folder / "moons.yaml").write_text(RECIPE)
    assert run.main([str(folder / "moons.yaml"), "--out", str(folder / "out")]) == 0
    assert robustness.main([str(folder / "out"), "--steps", "5"]) == 0
    return folder / "out"


@pytest.mark.xdist_group("robustness")
def test_the_command_writes_tables_and_figures(moons):
    assert (moons / "robustness.png").read_bytes().startswith(b"\x89PNG")
    assert (moons / "robustness.pdf").read_bytes().startswith(b"%PDF")
    text = (moons / "robustness.md").read_text()
    assert text.count("\n## moons, fc-a\n") == 1 and text.count("| NFT - CT ") == 4


@pytest.mark.xdist_group("robustness")
@pytest.mark.parametrize("backend", able("`attack`"))
def test_a_back_end_finds_what_was_found(moons, tmp_path, backend):
    last_line("-m", "nft_keras", "attack", moons, "--steps", "5", "--out", tmp_path, backend=backend)
    again, before = (json.loads((folder / "robustness.json").read_text()) for folder in (tmp_path, moons))
    for trial, expected in zip(again["trials"], before["trials"], strict=True):
        assert trial["norms"] == expected["norms"]


@pytest.mark.xdist_group("robustness")
def test_unattacked_a_trial_has_the_test_error_of_its_result(moons):
    trials = json.loads((moons / "robustness.json").read_text())["trials"]
    expected = {str(r.folder): r.result["test_error"] for r in runs.find([moons])}
    assert {trial["folder"]: trial["clean"] for trial in trials} == pytest.approx(expected) and len(expected) == 4


@pytest.mark.xdist_group("robustness")
def test_the_table_is_mean_deviation_and_paired_difference_of_the_rows(moons):
    with open(moons / "robustness.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["norm"], row["attack"]) == ("l2", "pgd")]
    last = max(float(row["radius"]) for row in rows)
    errors = {(r["method"], r["seed"]): float(r["error"]) for r in rows if float(r["radius"]) == last}
    assert len(errors) == 4 and len(rows) == 24
    of_nft, of_ct = (np.array([errors[method, seed] for seed in "01"]) for method in ("nft", "ct"))
    table = (moons / "robustness.md").read_text().split("| L2")[1]
    lines = {tuple(c.strip(" ⚠") for c in line.split("|")[1:3]): line for line in table.split("\n\n")[0].splitlines()}
    for key, values in ((("NFT", "PGD"), of_nft), (("NFT - CT", "PGD"), of_nft - of_ct)):
        cell = lines[key].split("|")[-2].strip()
        assert [float(n) for n in cell.split(" ± ")] == pytest.approx([values.mean(), values.std(ddof=1)], abs=0.005)


@pytest.mark.xdist_group("robustness")
def test_the_same_command_gives_the_same_again(moons, tmp_path):
    assert robustness.main([str(moons), "--steps", "5", "--out", str(tmp_path / "again")]) == 0
    for name in ("robustness.json", "robustness.csv", "robustness.md"):
        assert (tmp_path / "again" / name).read_text() == (moons / name).read_text()


@pytest.mark.xdist_group("robustness")
def test_half_precision_does_not_hide_gradients(moons, tmp_path):
    recipe, precision = str(moons.parent / "moons.yaml"), "training.precision=mixed_float16"
    arguments = [recipe, "--methods", "ct", "--seeds", "0", "--set", precision, "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    assert robustness.main([str(tmp_path), "--norm", "l2", "--steps", "5"]) == 0
    (trial,) = json.loads((tmp_path / "robustness.json").read_text())["trials"]
    assert not {"finite differences", "zero gradients"} & set(warnings(trial))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "0"], "--steps must be >= 1, got 0"),
        (["--restarts", "0"], "--restarts must be >= 1, got 0"),
        (["--examples", "-3"], "--examples must be >= 1, got -3"),
        (["--seed", "-1"], "--seed must be >= 0, got -1"),
        (["--radii", "0.1"], "name it, --norm linf or --norm l2"),
        (["--norm", "l2", "l2"], "once, got l2 l2"),
        (["--norm", "l2", "--radii", "0.1", "nan"], "finite numbers > 0, got 0.1 nan"),
        (["--norm", "l2", "--radii", "0.1", "0"], "finite numbers > 0, got 0.1 0.0"),
        (["--norm", "l2", "--radii", "0.1", "0.1"], "must differ, got 0.1 0.1"),
    ],
)
@pytest.mark.xdist_group("robustness")
def test_wrong_arguments_are_refused_in_one_line(moons, capsys, arguments, said):
    assert robustness.main([str(moons), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


@pytest.mark.xdist_group("robustness")
def test_runs_that_cannot_be_attacked_are_refused_in_one_line(moons, tmp_path, capsys):
    assert robustness.main([str(tmp_path)]) == 2
    (tmp_path / "file").touch()
    assert robustness.main([str(moons), "--out", str(tmp_path / "file")]) == 2
    trial = tmp_path / "moons" / "fc-a" / "ct" / "seed-0"
    trial.mkdir(parents=True)
    for name in ("config.yaml", "result.json"):
        (trial / name).write_bytes((moons / trial.relative_to(tmp_path) / name).read_bytes())
    assert robustness.main([str(tmp_path)]) == 2
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(trial / "classifier.keras")
    assert robustness.main([str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    for line, said in zip(lines, ("no result.json", "cannot be written to", "no ", "takes (3,)"), strict=True):
        assert said in line


@pytest.mark.xdist_group("robustness")
def test_a_trial_on_data_that_have_changed_is_not_attacked(moons, capsys, monkeypatch):
    lose_an_example(monkeypatch)
    assert robustness.main([str(moons)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "holds a trial on other data, which have changed (fingerprint: examples:" in error
    large = Examples(np.zeros((0, 2)), np.zeros(0), None, "size-and-time:2")
    with pytest.raises(ExportError, match="no .*classifier.keras: wanted is"):  # it goes on, and finds none
        attack_trial(runs.Run(moons / "none", {"fingerprint": "size-and-time:1"}, {}), large, None)
    assert "or were copied: so large ones are known by the sizes and times" in capsys.readouterr().err


def test_inside_a_trial_s_folder_it_has_a_group_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = {"recipe": "moons", "classifier": "fc-a", "folder": "."}
    assert list(robustness_report._groups([trial])) == [("moons", "", "fc-a", str(tmp_path.parents[1].resolve()))]
