import importlib.metadata
import math

import pytest
import tensorflow as tf

from nft_keras.experiments.reports.tables import (
    against_classic,
    against_controls,
    of_own_data,
    p_value,
    table,
    write_recipe,
    write_report,
)
from nft_keras.experiments.train import environment


def result(method, seed, test_error, **more):
    return {
        "dataset": "two-moons", "classifier": "fc-a", "method": method, "seed": seed, "test_error": test_error,
        "valid_error": 1.0, "best_epoch": 1, "epochs": 3, "seconds": 90.0, "provenance": "drawn for a test", **more,
    }  # fmt: skip


def rows(text):
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()[2:]]


@pytest.mark.parametrize("seeds, shown", [(5, "1, 2, 4, 8, 16"), (7, "8 (1 to 64)")])
def test_best_epochs_of_many_seeds_are_taken_together(seeds, shown):
    results = [result("ct", seed, 10.0, best_epoch=2**seed) for seed in range(seeds)]
    assert rows(table(results))[0][6] == shown


def test_a_method_is_compared_with_classic_training_of_the_same_seed():
    results = [result("ct", seed, error) for seed, error in enumerate((10.0, 20.0, 30.0))]
    results += [result("nft", seed, error) for seed, error in enumerate((9.0, 18.0, 27.0))]
    results += [result("ft", 2, 31.0), result("ft", 7, 1.0)]
    t = 2 / (1 / math.sqrt(3))
    p = 1 - t / math.sqrt(2 + t * t)  # Student's t with two degrees of freedom, in closed form
    assert rows(against_classic(results)) == [
        ["fc-a", "NFT", "-2.00 ± 1.00", "3 of 3", f"{p:.3f}"],
        ["fc-a", "FT", "+1.00", "0 of 1", "-"],
    ]


def test_what_was_trained_on_other_data_is_not_compared():
    classic = [result("ct", seed, 10.0) for seed in range(3)]
    known = [{**r, "fingerprint": "examples:1"} for r in classic]
    nft = [{**result("nft", seed, 9.0 - seed), "fingerprint": f"examples:{1 + (seed > 0)}"} for seed in range(3)]
    assert rows(against_classic([*known, *nft])) == [["fc-a", "NFT", "-1.00", "1 of 1", "-"]]
    assert rows(against_classic([*classic, *nft]))[0][3] == "3 of 3"  # of an earlier version nothing is known
    there_too = [{**r, "fingerprint": "examples:2"} for r in classic]
    assert rows(against_classic([*known, *there_too, *nft]))[0][3] == "3 of 3"
    assert rows(against_classic([*there_too, *known, *nft]))[0][3] == "3 of 3"


def test_methods_are_compared_with_controls_of_the_same_seed_and_variation():
    def of(varied):
        shift = 50.0 * (varied == "a=1")
        results = [result("ct", seed, 30.0, varied=varied) for seed in range(3)]
        errors = {"short": (20.0, 21.0, 22.0), "nft": (19.0, 19.0, 19.0), "mine": (22.0, 23.0, 24.0)}
        kinds = {"short": {"is": "ct"}, "mine": {"is": "nft"}}
        for method, of_method in errors.items():
            for seed, error in enumerate(of_method):
                shifted = error + shift * (method == "nft")
                results.append(result(method, seed, shifted, varied=varied, **kinds.get(method, {})))
        return [*results, result("smooth", 2, 25.0, varied=varied, **{"is": "ct"})]

    t = 2 / (1 / math.sqrt(3))
    p = 1 - t / math.sqrt(2 + t * t)
    head = against_controls(of("")).splitlines()[0]
    assert [cell.strip() for cell in head.strip("| ").split(" | ")] == [
        "classifier", "method", "- short (points)", "p", "- smooth (points)", "p"
    ]  # fmt: skip
    assert rows(against_controls(of(""))) == [
        ["fc-a", "NFT", "-2.00 ± 1.00", f"{p:.3f}", "-6.00", "-"],
        ["fc-a", "mine", "+2.00 ± 0.00", "-", "-1.00", "-"],
    ]
    varied = against_controls([*of("a=0"), *of("a=1")])
    assert [(row[0], row[2], row[3]) for row in rows(varied)] == [
        ("a=0", "NFT", "-2.00 ± 1.00"), ("a=0", "mine", "+2.00 ± 0.00"),
        ("a=1", "NFT", "+48.00 ± 1.00"), ("a=1", "mine", "+2.00 ± 0.00"),
    ]  # fmt: skip
    assert against_controls([r for r in of("") if r["method"] in ("ct", "nft")]) == ""
    assert against_controls([r for r in of("") if r.get("is", "ct") == "ct" and r["method"] != "nft"]) == ""


def test_the_last_epoch_has_columns_of_its_own():
    results = [result("ct", seed, 5.0, last_test_error=e) for seed, e in enumerate((8.0, 9.0, 10.0))]
    results += [result("nft", seed, 4.0, last_test_error=e) for seed, e in enumerate((7.0, 7.0, 7.0))]
    results += [result("ft", 0, 6.0)]
    assert [(row[1], row[-2]) for row in rows(table(results))] == [
        ("CT", "9.00 ± 1.00"), ("NFT", "7.00 ± 0.00"), ("FT", "-")
    ]  # fmt: skip
    t = 2 / (1 / math.sqrt(3))
    p = 1 - t / math.sqrt(2 + t * t)
    assert [row[1:] for row in rows(against_classic(results))] == [
        ["NFT", "-1.00 ± 0.00", "3 of 3", "-", "-2.00 ± 1.00", f"{p:.3f}"],
        ["FT", "+1.00", "0 of 1", "-", "-", "-"],
    ]
    before = [result("ct", 0, 5.0), result("nft", 0, 4.0)]
    assert "last epoch" not in table(before) + against_classic(before)


def test_equal_differences_have_no_p():
    results = [result(method, seed, error) for seed in (0, 1) for method, error in (("ct", 5.0), ("nft", 4.0))]
    assert rows(against_classic(results)) == [["fc-a", "NFT", "-1.00 ± 0.00", "2 of 2", "-"]]


def test_differences_that_are_equal_but_for_binary_fractions_have_no_p():
    pairs = [(7.25, 7.3), (6.1, 6.15)]
    assert len({ours - ct for ours, ct in pairs}) == 2 and p_value(pairs) == "-"


def test_a_varied_setting_is_compared_with_its_own_classic_training_or_else_with_the_recipe_s():
    results = [
        result("ct", 0, 10.0),
        result("ct", 0, 20.0, varied="dataset.label_noise=0.4"),
        result("nft", 0, 9.0, varied="methods.nft.plan.eta_max=100"),
        result("nft", 0, 15.0, varied="dataset.label_noise=0.4"),
    ]
    assert [(row[0], row[3]) for row in rows(against_classic(results))] == [
        ("methods.nft.plan.eta_max=100", "-1.00"),
        ("dataset.label_noise=0.4", "-5.00"),
    ]


def test_folds_are_taken_together_each_beside_classic_training_on_the_same_fold():
    errors = {"ct": (10.0, 20.0, 30.0), "nft": (9.0, 18.0, 30.0)}
    results = [
        result(method, 0, error, varied=f"dataset.fold={i}-of-3", dataset="csv")
        for method, each in errors.items()
        for i, error in enumerate(each, 1)
    ]
    head = [cell.strip() for cell in table(results).splitlines()[0].strip("| ").split(" | ")]
    assert head[:5] == ["classifier", "method", "test error (%)", "validation error (%)", "folds and seeds"]
    assert [row[:5] for row in rows(table(results))] == [
        ["fc-a", "CT", "20.00 ± 10.00", "1.00 ± 0.00", "3"], ["fc-a", "NFT", "19.00 ± 10.54", "1.00 ± 0.00", "3"],
    ]  # fmt: skip
    # Folds share training data: a paired t-test would find too much.
    assert rows(against_classic(results)) == [["fc-a", "NFT", "-1.00 ± 1.00", "2 of 3", "-"]]
    assert "folds and seeds better" in against_classic(results)


def test_the_references_of_folds_are_taken_together(tmp_path):
    numbers = {"converged": True, "seconds": 0.1, "C": 1.0, "valid_error": 5.0}
    references = [{"varied": f"dataset.fold={k}-of-2", "test_error": e, **numbers} for k, e in enumerate((4.0, 6.0), 1)]
    results = [result("ct", 0, 5.0, varied=entry["varied"]) for entry in references]
    lines = write_report("mine", results, tmp_path, references).splitlines()
    assert [line for line in lines if line.startswith("Reference")] == [
        "Reference, over folds: logistic regression (scikit-learn) on the same features: test error 5.00 ± 1.41 %, "
        "validation error 5.00 ± 0.00 %."
    ]


def test_on_data_of_the_user_s_own_methods_are_compared_by_balanced_accuracy_and_calibration(tmp_path):
    def own(method, seed, accuracy, calibration, dataset="csv"):
        numbers = {"test_balanced_accuracy": accuracy, "test_calibration_error": calibration, "dataset": dataset}
        return result(method, seed, 5.0, **numbers)

    numbers = {"ct": [(80.0, 4.0), (90.0, 6.0)], "nft": [(84.0, 3.0), (88.0, 2.0)]}
    results = [own(method, seed, *of) for method, each in numbers.items() for seed, of in enumerate(each)]
    assert rows(of_own_data(results)) == [
        ["fc-a", "CT", "85.00 ± 7.07", "-", "5.00 ± 1.41", "-"],
        ["fc-a", "NFT", "86.00 ± 2.83", "+1.00 ± 4.24", "2.50 ± 0.71", "-2.50 ± 2.12"],
    ]
    write_report("mine", results, tmp_path)
    assert of_own_data(results) in (tmp_path / "mine" / "report.md").read_text()
    assert of_own_data([own("ct", 0, 80.0, 4.0, "two-moons"), result("ct", 0, 5.0, dataset="csv")]) == ""
    assert of_own_data([own("ct", 0, 80.0, 4.0, "of-a-package-that-is-gone")]) == ""


def test_a_fold_in_which_all_labels_are_the_same_has_no_r2_and_the_others_are_counted():
    numbers = {"task": "regression", "dataset": "csv", "test_rmse": 2.0, "test_mae": 1.0}
    results = [
        result(method, 0, 50.0, varied=f"dataset.fold={k}-of-3", test_r2=r2, **numbers)
        for method, of in {"ct": (0.5, None, 0.7), "nft": (0.6, None, 0.9)}.items()
        for k, r2 in enumerate(of, 1)
    ]
    assert [row[-2:] for row in rows(of_own_data(results))] == [
        ["0.6 ± 0.1414 (2 of 3)", "-"],
        ["0.75 ± 0.2121 (2 of 3)", "+0.15 ± 0.07071 (2 of 3)"],
    ]


def test_the_report_says_what_is_left_at_the_drop_and_whether_the_data_were_easier(tmp_path):
    came = {"relative_perturbation": 0.05, "harder_epochs": 1, "simplified_epochs": 6}
    strange = {"relative_perturbation": 0.5, "harder_epochs": 4, "simplified_epochs": 6}
    away = {**came, "relative_perturbation": 0.12}
    results = [result("ct", 0, 5.0), result("nft", 0, 4.0, drop=came)]
    results += [result("nft-as-coded", seed, 4.0, drop=strange, **{"is": "nft"}) for seed in (0, 1)]
    for seed, drop in enumerate((came, came, away)):
        results.append(result("nft-long", seed, 4.0, drop=drop, **{"is": "nft"}))
    write_report("mine", results, tmp_path)
    text = " ".join((tmp_path / "mine" / "report.md").read_text().split())
    assert "| 5.00 | 1 of 6 | came back, were easier" in text
    assert "| 50.00 ± 0.00 | 8 of 12 | did not come back, were not easier but strange" in text
    assert "| 7.33 ± 4.04 | 3 of 18 | 1 of 3 did not come back, were easier" in text
    write_report("classic", results[:1], tmp_path)
    assert "At the drop" not in (tmp_path / "classic" / "report.md").read_text()


def test_without_classic_training_there_is_nothing_to_compare(tmp_path):
    results = [result("nft", 0, 9.0)]
    assert against_classic(results) == ""
    assert "points" not in write_report("moons", results, tmp_path)


def test_the_report_says_when_where_and_with_what(tmp_path):
    here = environment.describe()
    results = [result("ct", 0, 1.0, environment=here), result("nft", 0, 2.0, environment=here)]
    write_report("moons", results, tmp_path)
    text = (tmp_path / "moons" / "report.md").read_text()
    for value in (here["date"], here["machine"], here["nft_keras"], here["keras"], here["backend"], here["python"]):
        assert value in text
    assert "Trials: 2, 3 minutes in all." in text


@pytest.mark.parametrize("overrides", [[], ["training.epochs=3", "dataset.path=a b.csv"]])
def test_the_recipe_as_it_was_run_lies_beside_the_report(tmp_path, overrides):
    write_recipe("name: moons\n", overrides, tmp_path, "moons")
    text = (tmp_path / "moons" / "recipe.yaml").read_text()
    changed = "# run with --set training.epochs=3 'dataset.path=a b.csv'\n" if overrides else ""
    assert text == changed + "name: moons\n"


def test_a_package_that_is_not_installed_costs_no_result(monkeypatch):
    def version(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(environment.importlib.metadata, "version", version)
    here = environment.describe()
    assert here["nft_keras"].split()[0] == "unknown" and here["backend"] == f"tensorflow {tf.__version__}"


def test_a_trial_whose_error_is_infinite_is_reported_with_the_others(tmp_path, recwarn):
    results = [result("ct", seed, 10.0 + seed, last_test_error=10.0) for seed in range(3)]
    results += [result("nft", seed, math.inf if seed == 1 else 9.0, last_test_error=9.0) for seed in range(3)]
    results += [result("eef", seed, 12.0 + seed / 2, last_test_error=9.0) for seed in range(3)]
    tables = write_report("r", results, tmp_path)
    assert (
        "not finite" in tables
        and "EEF has 1.50 points more test error than CT (3 seeds, p = 0.035)." in tables
        and "nan" not in tables
    )
    assert not [str(each.message) for each in recwarn]
