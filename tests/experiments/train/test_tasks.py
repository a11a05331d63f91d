"""Trials whose labels are a quantity, or several at once, from the recipe to the deployed network."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, mean_absolute_error, r2_score

from nft_keras import data
from nft_keras.cli import attack, run
from nft_keras.cli.data import main as show
from nft_keras.cli.evaluate import evaluate
from nft_keras.cli.export import export
from nft_keras.cli.predict import predict
from nft_keras.data import DataError
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.train.losses import binary_crossentropy, label_error, squared_error, unexplained
from nft_keras.experiments.train.together.groups import check_vectorizes

RECIPE = """\
dataset: {name: csv, path: t.csv, LABEL}
classifiers: {fc-a: {units: 8}}
methods:
  ct:
  eef: {plan: {simplification_epochs: 3}}
  nft: {plan: {simplification_epochs: 3, eta_max: 10}, auxiliary: {name: mlp, hidden: 4}}
training: {epochs: 6, batch_size: 8, learning_rate: 0.02}
seeds: [0]
"""
LABELS = {"regression": "label: price, task: regression", "multi-label": "label: [warm, big], task: multi-label"}
N = 100

pytestmark = pytest.mark.xdist_group("tasks")


@pytest.fixture(scope="module", params=LABELS)
def trained(request, tmp_path_factory):
    """A task, the folder of its data and recipe, and the results of each method."""
    folder, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    x = rng.normal(size=(N, 3)).round(4)
    y = {
        "regression": (5e4 * (3 + x @ [1, -0.5, 0.2])).round(2)[:, None],
        "multi-label": (x[:, :2] + 0.3 * rng.normal(size=(N, 2)) > 0.2).astype(int),
    }[request.param]
    head = "a,b,c,price" if request.param == "regression" else "a,b,c,warm,big"
    rows = [",".join(map(str, [*one, *of])) for one, of in zip(x, y, strict=True)]
    (folder / "t.csv").write_text("\n".join([head, *rows]) + "\n")
    (folder / "r.yaml").write_text(RECIPE.replace("LABEL", LABELS[request.param]))
    assert run.main([str(folder / "r.yaml"), "--out", str(folder / "out"), "--data-dir", str(folder)]) == 0
    results = json.loads((folder / "out" / "r" / "results.json").read_text())
    return request.param, folder, {result["method"]: result for result in results}


def trial_of(trained, method):
    return trained[1] / "out" / "r" / "fc-a" / method / "seed-0"


def loaded(trained):
    (trial,) = load_recipe(trained[1] / "r.yaml", methods=["ct"])
    return data.load(**trial.dataset, data_dir=trained[1])


def outputs(trained, method, part):
    classifier = keras.saving.load_model(trial_of(trained, method) / "classifier.keras")
    return keras.ops.convert_to_numpy(classifier(part.x)).astype("float64")


@pytest.mark.parametrize("method", ["ct", "eef", "nft"])
def test_every_method_learns_and_its_errors_are_those_of_the_deployed_network(trained, method):
    task, dataset, result = trained[0], loaded(trained), trained[2][method]
    for part in ("valid", "test"):
        y = getattr(dataset, part).y
        said = outputs(trained, method, getattr(dataset, part))
        expected = (said - y) ** 2 if task == "regression" else (said >= 0) != (y > 0.5)
        assert result[f"{part}_error"] == pytest.approx(100 * expected.mean(), rel=1e-3)
    assert result["task"] == task and result["test_error"] < (90 if task == "regression" else 40)
    if method == "nft":
        with open(trial_of(trained, method) / "history.csv", newline="") as file:
            altered = [float(row["perturbation"] or 0) for row in csv.DictReader(file)]
        assert min(altered[1:3]) > 0 == max(altered[3:])


def test_the_test_part_is_said_in_the_words_of_the_task(trained):
    task, dataset, result = trained[0], loaded(trained), trained[2]["nft"]
    said, y = outputs(trained, "nft", dataset.test), dataset.test.y
    folder = trial_of(trained, "nft") / "test"
    summary = json.loads((folder / "summary.json").read_text())
    if task == "regression":
        price, predicted = dataset.target.in_its_unit(y.astype("float64")), dataset.target.in_its_unit(said)
        assert summary["rmse"] == pytest.approx(np.sqrt(np.mean((predicted - price) ** 2)), rel=1e-4)
        assert summary["mae"] == pytest.approx(mean_absolute_error(price, predicted), rel=1e-4)
        assert summary["r2"] == pytest.approx(r2_score(price, predicted), abs=1e-5)
        with open(folder / "worst.csv", newline="") as file:
            worst = next(csv.DictReader(file))
        i = int(np.abs(predicted - price).argmax())
        assert int(worst["input"]) == dataset.test.names[i]
        assert float(worst["value"]) == pytest.approx(price[i, 0], rel=1e-5)
        assert float(worst["difference"]) == pytest.approx((predicted - price)[i, 0], rel=1e-3)
    else:
        right = (said >= 0) == (y > 0.5)
        assert summary["exact_match"] == pytest.approx(100 * right.all(1).mean(), abs=1e-3)
        assert summary["mean_f1"] == pytest.approx(100 * f1_score(y, said >= 0, average="macro"), abs=1e-3)
        with open(folder / "worst.csv", newline="") as file:
            wrong = [int(row["wrong"]) for row in csv.DictReader(file)]
        assert wrong == sorted((2 - right.sum(1))[~right.all(1)].tolist(), reverse=True)
    kept = {"regression": ("rmse", "mae", "r2"), "multi-label": ("exact_match", "mean_f1", "calibration_error")}[task]
    assert [result[f"test_{name}"] for name in kept] == [summary[name] for name in kept]
    written = {"regression": {"predicted.png"}, "multi-label": {"labels.png", "labels.csv"}}[task]
    assert {path.name for path in folder.iterdir()} == {"summary.json", "worst.csv", *written}
    report = (trained[1] / "out" / "r" / "report.md").read_text()
    head = {"regression": "| RMSE ", "multi-label": "| exact match (%) "}[task]
    (row,) = [line for line in report[report.index(head) :].splitlines() if "| NFT " in line][:1]
    shown = f"{summary['rmse']:.4g}" if task == "regression" else f"{summary['exact_match']:.2f}"
    assert f"| {shown} " in row


def test_new_files_are_predicted_and_evaluated_as_the_task_says(trained, capsys):
    task, folder, _ = trained
    trial, dataset = trial_of(trained, "ct"), loaded(trained)
    rows = {row["input"]: row for row in predict(trial, folder / "t.csv")}
    said = dataset.target.predictions(outputs(trained, "ct", dataset.test))
    for line, of in zip(dataset.test.names.tolist(), said, strict=True):
        if task == "regression":
            assert rows[line]["predicted"] == pytest.approx(of[0], rel=1e-5)
        else:
            assert list(rows[line]["probabilities"].values()) == pytest.approx(of, abs=1e-5)
            named = (name for name, p in zip(dataset.class_names, of, strict=True) if p >= 0.5)
            assert rows[line]["labels"] == list(named)
    evaluation = evaluate(trial, folder / "t.csv")
    assert evaluation.summary["examples"] == N
    with open(folder / "t.csv", newline="") as file:
        truth = [[float(row[name]) for name in dataset.class_names] for row in csv.DictReader(file)]
    if task == "regression":
        differences = [rows[line]["predicted"] - price for line, (price,) in enumerate(truth, 2)]
        assert evaluation.summary["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(differences))), rel=1e-4)
        assert str(evaluation).startswith(f"{N} examples: RMSE ")
    else:
        wrong = [
            [(name in rows[line]["labels"]) != flag for name, flag in zip(("warm", "big"), of, strict=True)]
            for line, of in enumerate(truth, 2)
        ]
        assert evaluation.summary["error"] == pytest.approx(100 * np.mean(wrong), abs=1e-3)
        assert f"{N} examples: {evaluation.summary['error']:.2f} % of their labels wrong" in str(evaluation)
    assert show(["show", str(folder / "r.yaml"), "--data-dir", str(folder)]) == 0
    shown = {"regression": "price from ", "multi-label": "of the training: warm "}[task]
    assert shown in capsys.readouterr().out


def test_what_is_exported_takes_raw_numbers_and_gives_the_quantity_in_its_unit(trained, tmp_path):
    task, folder, _ = trained
    trial = trial_of(trained, "nft")
    path = export(trial, "keras", tmp_path / "out.keras", with_preprocessing=True)
    x = np.loadtxt(folder / "t.csv", delimiter=",", skiprows=1)[:, :3].astype("float32")
    given = keras.ops.convert_to_numpy(keras.saving.load_model(path)(x))
    rows, about = predict(trial, folder / "t.csv"), json.loads((tmp_path / "out.keras.json").read_text())
    if task == "regression":
        np.testing.assert_allclose(given[:, 0], [row["predicted"] for row in rows], rtol=1e-4)
        assert about["outputs"] == "the quantity" and about["class_names"] == ["price"]
    else:
        probabilities = [list(row["probabilities"].values()) for row in rows]
        np.testing.assert_allclose(1 / (1 + np.exp(-given)), probabilities, atol=1e-4)
        assert about["outputs"] == "logits" and about["task"] == task


def test_the_reference_is_the_linear_model_of_the_task(trained):
    task, dataset = trained[0], loaded(trained)
    (entry,) = json.loads((trained[1] / "out" / "r" / "reference.json").read_text())
    train, test = dataset.train, dataset.test
    if task == "regression":
        model = Ridge(1 / entry["C"]).fit(train.x.astype("float64"), train.y)
        error = 100 * np.mean((model.predict(test.x) - test.y.ravel()) ** 2)
        assert entry["model"] == "ridge regression"
    else:
        models = [LogisticRegression(C=entry["C"], max_iter=1000).fit(train.x, y) for y in train.y.T]
        error = 100 * np.mean(np.stack([model.predict(test.x) for model in models], 1) != test.y)
        assert entry["model"] == "logistic regressions"
    assert entry["test_error"] == pytest.approx(error, rel=1e-3, abs=1e-4)
    assert f"Reference: {entry['model']} (scikit-learn) on " in (trained[1] / "out" / "r" / "report.md").read_text()


def test_losses_and_errors_are_those_of_their_formulas():
    rng = np.random.default_rng(2)
    logits, y = rng.normal(size=(5, 3)).astype("float32"), (rng.random((5, 3)) < 0.5).astype("float32")
    smooth = 0.8 * y + 0.1
    expected = np.log1p(np.exp(logits)) - smooth * logits
    assert float(binary_crossentropy(0.2)(y, logits)) == pytest.approx(expected.mean(), rel=1e-5)
    wrong = 100 * ((logits >= 0) != (y > 0)).mean(1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(label_error(y, logits)), wrong, rtol=1e-5)
    value, predicted = y[:, :1] - 0.3, logits[:, :1]
    assert float(squared_error(0.0)(value, predicted)) == pytest.approx(np.mean((value - predicted) ** 2), rel=1e-5)
    of_each = keras.ops.convert_to_numpy(unexplained(value, predicted))
    np.testing.assert_allclose(of_each, 100 * ((value - predicted) ** 2)[:, 0], rtol=1e-5)


def test_a_new_file_has_the_decimal_mark_that_it_has(trained, tmp_path):
    task, folder, _ = trained
    if task == "regression":
        text = (folder / "t.csv").read_text().replace(",", ";").replace(".", ",")
        (tmp_path / "comma.csv").write_text(text)
        trial = trial_of(trained, "ct")
        assert evaluate(trial, tmp_path / "comma.csv").summary == evaluate(trial, folder / "t.csv").summary


def test_a_config_that_was_changed_is_not_taken_for_the_trial_s(trained, tmp_path):
    trial = tmp_path / "trial"
    shutil.copytree(trial_of(trained, "ct"), trial)
    (trial / "config.yaml").write_text((trial / "config.yaml").read_text().replace("label:", "lable:"))
    with pytest.raises(DataError, match="config.yaml is damaged"):
        evaluate(trial, trained[1] / "t.csv")


def test_attacks_and_trials_in_one_program_are_for_classes(trained, capsys, monkeypatch, tmp_path):
    task, folder, _ = trained
    assert attack.main([str(folder / "out" / "r"), "--data-dir", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"attacks are on classifiers of one class, and this is for {task}" in error and error.count("\n") == 1
    monkeypatch.setattr("nft_keras.experiments.train.together.groups.backend_name", lambda: "jax")
    with pytest.raises(RecipeError, match=f"--vectorize: dataset.task {task} is not supported"):
        check_vectorizes(load_recipe(folder / "r.yaml", methods=["ct"]))


BASE = RECIPE.replace("LABEL", LABELS["regression"])
REFUSED = {
    "ft": (BASE.replace("  ct:\n", "  ft: {plan: {simplification_epochs: 2}}\n"), "methods.ft: ft needs one class for"),
    "smoothing": (BASE.replace("epochs: 6", "label_smoothing: 0.1, epochs: 6"), "label_smoothing: is about the class"),
    "weights": (BASE.replace("epochs: 6", "class_weight: balanced, epochs: 6"), "class_weight: is about the classes"),
    "mixing": (BASE.replace("epochs: 6", "augment: {mix-up: }, epochs: 6"), "augment: is about the classes of examp"),
    "balanced": (f"{BASE}selection_metric: balanced_error\n", "selection_metric: is about the classes of example"),
    "conditioned": (BASE.replace("hidden: 4", "label_conditioned: true"), "label_conditioned: is about the classes of"),
    "another task": (BASE.replace("task: regression", "task: ranking"), "dataset.task: unknown value 'ranking'; allo"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_about_classes_is_refused_before_anything_starts(tmp_path, kind):
    text, message = REFUSED[kind]
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as refused:
        load_recipe(tmp_path / "r.yaml")
    assert message in str(refused.value)
