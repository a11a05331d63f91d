import json

import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import minimize

from nft_keras import data
from nft_keras.cli import run
from nft_keras.experiments.reports import reference
from tests.experiments.finished import lose_an_example

RECIPE = """\
dataset: {name: npz, path: PATH}
classifiers: {fc-a: {units: 3}}
methods: [ct]
training: {epochs: 1}
seeds: [0]
"""


def dataset(x, y, num_classes=2):
    """A data set of three parts: of every three examples one each."""
    parts = (data.Part(x[i::3], y[i::3].astype("int32")) for i in range(3))
    return data.Dataset(*parts, num_classes, "drawn for a test", tuple(map(str, range(num_classes))))


@pytest.fixture
def points():
    """Two classes in the plane that overlap; what tells them apart is small, and far from 0."""
    rng = np.random.default_rng(0)
    y = np.arange(300) // 3 % 2
    x = np.c_[rng.normal(size=300), 1 + 0.1 * rng.normal(size=300) + 0.2 * y]
    return dataset(x.astype("float32"), y)


def errors_by_newton(points, strength):
    """Test and validation error of the minimum of C times the summed losses plus half the squared norm, by SciPy."""
    x, sign = np.c_[points.train.x, np.ones(len(points.train))].astype("float64"), 2.0 * points.train.y - 1

    def objective(w):
        return strength * np.logaddexp(0, -sign * (x @ w)).sum() + (w[:-1] ** 2).sum() / 2

    w = minimize(objective, np.zeros(3), tol=1e-12).x
    return [100 * np.mean((part.x @ w[:-1] + w[-1] > 0) != part.y) for part in (points.test, points.valid)]


def test_the_reference_is_the_minimum_with_the_lowest_validation_error_of_equals_the_first(points):
    errors = [errors_by_newton(points, strength) for strength in reference.STRENGTHS]
    best = min(range(len(errors)), key=lambda i: errors[i][1])
    found = reference.logistic_regression(points)
    assert (found["C"], found["converged"]) == (reference.STRENGTHS[best], True)
    assert [found["test_error"], found["valid_error"]] == pytest.approx(errors[best], abs=1e-3)


def test_sparse_and_flat_features_and_images_have_the_reference_of_the_same_numbers(points):
    rng = np.random.default_rng(1)
    y = np.arange(240) // 3 % 3
    images = (rng.integers(0, 150, (240, 4, 4, 1)) + 50 * y[:, None, None, None]).astype("uint8")
    flat = images.reshape(240, -1) / 255.0
    found = [
        {key: value for key, value in reference.logistic_regression(dataset(x, y, 3)).items() if key != "seconds"}
        for x in (images, flat, scipy.sparse.csr_matrix(flat))
    ]
    assert found[0] == found[1] and found[0]["C"] == found[2]["C"]
    assert found[0]["valid_error"] == found[2]["valid_error"] < 40


def test_one_that_does_not_converge_says_so_in_its_line_alone(points, monkeypatch, recwarn):
    monkeypatch.setattr(reference, "MOST_ITERATIONS", 1)
    found = reference.logistic_regression(points)
    assert not found["converged"] and not recwarn.list
    assert " (not converged), " in reference.line({"varied": "", **found})


def test_one_of_too_many_values_is_skipped(points, monkeypatch):
    monkeypatch.setattr(reference, "MOST_VALUES", 100)
    line = reference.line({"varied": "", **reference.logistic_regression(points)})
    assert line.startswith("Reference: logistic regression (scikit-learn): skipped, more than ")


@pytest.fixture
def recipe(points, tmp_path):
    arrays = {f"{axis}_{p}": getattr(getattr(points, p), axis) for p in ("train", "valid", "test") for axis in "xy"}
    np.savez(tmp_path / "small.npz", **arrays)
    (tmp_path / "small.yaml").write_text(RECIPE.replace("PATH", str(tmp_path / "small.npz")))
    return tmp_path / "small.yaml"


def test_a_run_prints_and_keeps_the_reference_and_computes_it_once(recipe, tmp_path, capsys, monkeypatch):
    arguments = [str(recipe), "--out", str(tmp_path / "out")]
    assert run.main([*arguments, "--no-reference"]) == 0
    assert "Reference" not in capsys.readouterr().out and not (tmp_path / "out/small/reference.json").exists()
    assert run.main(arguments) == 0  # the trial was finished before
    (entry,) = json.loads((tmp_path / "out/small/reference.json").read_text())
    line, error = reference.line(entry), entry["test_error"]
    what = "Reference: logistic regression (scikit-learn) on the same features"
    assert line.startswith(f"{what}: test error {error:.2f} %, validation error ")
    assert line in capsys.readouterr().out and f"\n\n{line}\n\n" in (tmp_path / "out/small/report.md").read_text()
    monkeypatch.setattr(reference, "logistic_regression", None)
    assert run.main(arguments) == 0 and line in capsys.readouterr().out


def test_data_that_have_changed_since_the_trials_have_no_reference_beside_them(tmp_path, capsys, monkeypatch):
    text = (
        "name: r\ndataset: {name: two-moons}\nclassifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\nseeds: [0]\n"
    )
    (tmp_path / "r.yaml").write_text(text)
    arguments = [str(tmp_path / "r.yaml"), "--out", str(tmp_path / "out")]
    assert run.main([*arguments, "--no-reference"]) == 0
    lose_an_example(monkeypatch)
    assert run.main(arguments) == 0
    assert capsys.readouterr().err == "no reference: two-moons has changed since the trials were trained\n"
    assert not (tmp_path / "out" / "r" / "reference.json").exists()


def test_the_reference_is_computed_again_where_the_data_set_has_other_settings(recipe, tmp_path, capsys):
    arguments = [str(recipe), "--out", str(tmp_path / "out")]
    assert run.main(arguments) == 0
    before = json.loads((tmp_path / "out/small/reference.json").read_text())
    assert run.main([*arguments, "--fresh", "--set", "dataset.train_size=20"]) == 0
    (now,) = json.loads((tmp_path / "out/small/reference.json").read_text())
    assert now["dataset"] == before[0]["dataset"] | {"train_size": 20}


def test_each_data_set_that_is_varied_has_a_reference(recipe, tmp_path, capsys):
    recipe.write_text(recipe.read_text() + "vary: {dataset.label_noise: [0.0, 0.9], training.batch_size: [16]}\n")
    assert run.main([str(recipe), "--out", str(tmp_path / "out")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Reference")]
    assert [line.partition(": ")[0] for line in lines] == [
        f"Reference, dataset.label_noise={noise}" for noise in (0.0, 0.9)
    ]


def test_data_that_cannot_be_loaded_any_more_cost_the_reference_alone(recipe, tmp_path, capsys):
    arguments = [str(recipe), "--out", str(tmp_path / "out")]
    assert run.main([*arguments, "--no-reference"]) == 0
    (tmp_path / "small.npz").unlink()
    assert run.main(arguments) == 0
    out, error = capsys.readouterr()
    assert error.startswith("no reference: ") and error.count("\n") == 1 and "| fc-a " in out
