"""Methods of a recipe under names of its own, `is:`: what they take over, and that everything goes by the name."""

import json

import keras
import pytest
import yaml

from nft_keras.cli import figures, run
from nft_keras.cli.predict import predict
from nft_keras.experiments import runs
from nft_keras.experiments.attack import report as robustness_report
from nft_keras.experiments.recipe.reading import load_recipe, load_sweep
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.reports import drawing, paper_figures
from nft_keras.experiments.reports.tables import against_classic, table
from nft_keras.experiments.train.together.groups import groups
from tests.experiments.finished import finish
from tests.experiments.reports.test_report import result, rows

RECIPE = """\
dataset: {name: digits-back-image, label_noise: 0.1}
classifiers: [fc-a, cnn-a]
methods:
  ct:
  ct-short: {is: ct, training: {epochs: 4}}
  nft:
    plan: {eta_max: 500, simplification_ratio: 0.5}
    auxiliary: {name: unet, filters: 4}
  joint: {is: nft, phases: joint, training: {batch_size: 8}}
  joint_mean: {is: joint, penalty: mean, plan: {law: linear}}
training: {epochs: 10, learning_rate: 0.001}
seeds: [0, 1]
cells:
  cnn-a:
    nft: {plan: {eta_max: 2000}, training: {batch_size: 16}}
    joint_mean:
      plan: {eta_max: 7}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def one(path, classifier, method, *overrides):
    (trial,) = load_recipe(path, overrides, [method], [classifier], [0])
    return trial


def test_a_variant_takes_over_all_that_the_recipe_says_of_what_it_is_and_lays_its_own_over_it(path):
    nft, joint = (one(path, "cnn-a", name) for name in ("nft", "joint"))
    assert (joint.method, joint.kind, nft.kind) == ("joint", "nft", "nft")
    assert joint.method_settings.plan == nft.method_settings.plan and joint.method_settings.plan.eta_max == 2000
    assert (nft.method_settings.phases, joint.method_settings.phases) == ("epoch", "joint")
    assert (nft.training.batch_size, joint.training.batch_size) == (16, 8)
    assert one(path, "fc-a", "joint").method_settings.plan.eta_max == 500
    assert [one(path, "fc-a", name).training.epochs for name in ("ct", "ct-short")] == [10, 4]


def test_a_variant_of_a_variant_takes_over_both(path):
    trial = one(path, "fc-a", "joint_mean")
    settings = trial.method_settings
    assert (trial.kind, settings.phases, settings.penalty, settings.plan.law) == ("nft", "joint", "mean", "linear")
    assert settings.plan.eta_max == 500 and trial.training.batch_size == 8
    assert one(path, "cnn-a", "joint_mean").method_settings.plan.eta_max == 7


def test_a_variant_may_stand_before_what_it_is_or_be_a_method_that_the_recipe_does_not_name(tmp_path):
    text = "dataset: two-moons\nclassifiers: [fc-a]\nmethods:\n  b: {is: a}\n  a: {is: ct, training: {epochs: 3}}\n"
    (tmp_path / "r.yaml").write_text(text)
    trials = load_recipe(tmp_path / "r.yaml", seeds=[0])
    assert [(t.method, t.kind, t.training.epochs) for t in trials] == [("b", "ct", 3), ("a", "ct", 3)]


def test_a_method_may_say_that_it_is_itself(path):
    assert one(path, "fc-a", "nft", "methods.nft.is=nft") == one(path, "fc-a", "nft")


def test_the_config_of_a_variant_is_a_recipe_for_that_trial_alone(path, tmp_path):
    for trial in load_recipe(path, ["vary={methods.joint_mean.plan.eta_max: [1, 2], training.epochs: [6]}"]):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(trial.config()))
        assert load_recipe(tmp_path / "config.yaml") == [trial]


def test_only_the_config_of_a_variant_says_what_it_is(path):
    said = {t.method: t.config()["methods"][t.method].get("is") for t in load_recipe(path)}
    assert said == {"ct": None, "ct-short": "ct", "nft": None, "joint": "nft", "joint_mean": "nft"}
    assert one(path, "fc-a", "ct").config()["methods"] == {"ct": {}}


def test_a_name_is_what_set_and_methods_go_by(path):
    trials = load_recipe(path, ["methods.joint.plan.eta_max=3"], ["nft", "joint"], ["cnn-a"], [0])
    assert [(t.method, t.method_settings.plan.eta_max) for t in trials] == [("nft", 2000), ("joint", 3)]
    assert [str(t.folder) for t in trials] == ["r/cnn-a/nft/seed-0", "r/cnn-a/joint/seed-0"]
    inherited = one(path, "cnn-a", "joint", "methods.nft.plan.eta_max=9")
    assert inherited.method_settings.plan.eta_max == 9
    with pytest.raises(RecipeError, match="--methods jiont: not in this recipe; .* did you mean joint"):
        load_recipe(path, methods=["jiont"])


def test_training_set_for_all_is_stronger_than_a_variant_s_own_unless_that_is_set_too(path):
    assert {t.training.epochs for t in load_recipe(path, ["training.epochs=6"])} == {6}
    for overrides in (["training.epochs=6", "methods.ct-short.training.epochs=5"],) * 2:
        found = {t.method: t.training.epochs for t in load_recipe(path, overrides, ["ct", "ct-short"])}
        assert found == {"ct": 6, "ct-short": 5}
        overrides.reverse()


def test_what_is_varied_under_a_name_is_varied_for_that_name_alone(path):
    vary = "vary={methods.joint.plan.eta_max: [1, 2], dataset.label_noise: [0.5]}"
    trials = load_recipe(path, [vary], classifiers=["cnn-a"], seeds=[0])
    joint = "methods.joint.plan.eta_max="
    names = ["ct", "ct-short", "nft", "joint", "joint_mean"]
    assert [(t.method, t.variation) for t in trials] == [
        ("joint", f"{joint}1"), ("joint", f"{joint}2"), *((name, "dataset.label_noise=0.5") for name in names)
    ]  # fmt: skip
    assert [t.method_settings.plan.eta_max for t in trials[:2]] == [1, 2]
    epochs = load_recipe(path, ["vary={training.epochs: [6, 7]}"], ["ct-short"], ["fc-a"], [0])
    assert [t.training.epochs for t in epochs] == [6, 7]


def test_what_is_swept_under_a_name_is_a_space_of_that_name(path):
    spaces = load_sweep(path, ["sweep={methods.joint_mean.plan.eta_max: [1, 2], training.batch_size: [4, 64]}"])
    lengths = {(s.classifier, s.method): len(s.points()) for s in spaces}
    assert lengths == {(c, m): 4 if m == "joint_mean" else 2 for c, m in lengths} and len(lengths) == 10
    (space,) = (s for s in spaces if (s.classifier, s.method) == ("cnn-a", "joint_mean"))
    trials = [space.trials(point) for point in space.points()]
    assert [[t.method for t in of_point] for of_point in trials] == [["joint_mean", "joint_mean"]] * 4
    settings = [(t.method_settings.plan.eta_max, t.training.batch_size, t.method_settings.phases) for t, _ in trials]
    assert settings == [(1, 4, "joint"), (1, 64, "joint"), (2, 4, "joint"), (2, 64, "joint")]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("{is: ct, training: {epochs: 4}}", "", "5: methods.ct-short: unknown key; allowed: ct, eef, .* is: METHOD"),
        ("ct-short: {is: ct, ", "nfft: {", "5: methods.nfft: unknown key; .* is: METHOD; did you mean nft?"),
        ("is: ct,", "is: jint,", "5: methods.ct-short.is: unknown method 'jint'; allowed: ct, .*; did you mean joint?"),
        ("is: ct,", "is: [ct],", r"5: methods.ct-short.is: unknown method \['ct'\]; allowed: ct, "),
        ("  ct:\n", "  ct: {is: nft}\n", "4: methods.ct.is: ct is a method itself, got 'nft'; .* another name"),
        ("is: nft,", "is: joint_mean,", "10: methods.joint_mean.is: .* circle, joint is joint_mean is joint; .* ct,"),
        ("is: joint,", "is: joint_mean,", "10: methods.joint_mean.is: .* circle, joint_mean is joint_mean; "),
        ("ct-short", "ct.short", "5: methods.ct.short: should be letters, digits, _ and - .* got 'ct.short'"),
        ("ct-short", "-x", "5: methods.-x: should be letters, digits, _ and - .* got '-x'"),
        ("ct-short", "3", "5: methods.3: should be letters, digits, _ and - .* got 3"),
        ("ct-short", "NFT", "5: methods.NFT: tables would not tell it from nft; choose another name"),
        ("phases: joint", "phases: jont", "9: methods.joint.phases: unknown value 'jont'; .* did you mean joint?"),
        ("eta_max: 7", "eta_max: -7", "17: cells.cnn-a.joint_mean.plan.eta_max: must be >= 0, got -7.0"),
        ("    joint_mean:", "    jointmean:", "16: cells.cnn-a.jointmean: unknown key; .*; did you mean joint_mean?"),
        ("    joint_mean:\n", "    joint_mean:\n      is: ct\n", "17: cells.cnn-a.joint_mean.is: unknown key"),
        ("plan: {law: linear}", "plan: 3", "10: methods.joint_mean.plan: should be a mapping .*, got 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_variant_is_one_line_with_file_line_and_key(path, old, new, message):
    assert old in RECIPE
    path.write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(RecipeError, match=f"r.yaml:{message}") as error:
        load_recipe(path)
    assert "\n" not in str(error.value)


def test_variants_whose_programs_are_equal_train_together(path):
    more = "methods.ct-two={is: ct, training: {learning_rate: 0.5}}", "methods.longer={is: nft, plan: {law: linear}}"
    trials = load_recipe(path, more, classifiers=["fc-a"])
    found = [{trial.method for trial in group} for group in groups(trials)]
    assert found == [{"ct", "ct-two"}, {"ct-short"}, {"nft", "longer"}, {"joint"}, {"joint_mean"}]
    named_alike = load_recipe(path, ["methods.ct-two={is: ct}"], ["ct", "ct-two"])
    assert sorted(map(len, groups(named_alike))) == [4, 4]  # two methods, two seeds; fc-a, cnn-a


def test_a_variant_is_compared_with_the_one_named_ct_seed_by_seed():
    results = [result(m, s, e + s, **more) for s in (0, 1) for m, e, more in (
        ("slow", 20.0, {"is": "ct"}), ("ct", 10.0, {}), ("joint", 9.0, {"is": "nft"}), ("nft", 8.0, {})
    )]  # fmt: skip
    text = against_classic(results)
    assert "test error - CT (points)" in text
    assert [row[1:4] for row in rows(text)] == [
        ["slow", "+10.00 ± 0.00", "0 of 2"], ["joint", "-1.00 ± 0.00", "2 of 2"], ["NFT", "-2.00 ± 0.00", "2 of 2"],
    ]  # fmt: skip
    assert [row[1] for row in rows(table(results))] == ["slow", "CT", "joint", "NFT"]


def test_without_one_named_ct_the_first_that_is_ct_is_compared_with():
    kinds = {"nft": {}, "slow": {"is": "ct"}, "fast": {"is": "ct"}}
    results = [result(name, 0, error, **kinds[name]) for name, error in (("nft", 8.0), ("slow", 9.0), ("fast", 11.0))]
    assert "test error - slow (points)" in against_classic(results)
    assert [row[1:3] for row in rows(against_classic(results))] == [["NFT", "-1.00"], ["fast", "+2.00"]]


def attacked(method, seed, error, **more):
    errors = {attack: [error, error + 1] for attack in ("noise", "fgsm", "pgd")}
    trial = {
        "folder": f"r/fc-a/{method}/seed-{seed}",
        "recipe": "r",
        "dataset": "d",
        "classifier": "fc-a",
        "seed": seed,
    }
    norms = {"linf": {"radii": [0.1, 0.2], "errors": errors, "raw": errors}}
    checks = [{"check": name, "norm": None, "value": 0.0, "passed": True} for name in robustness_report.CHECKS]
    trial |= {
        "method": method,
        "seed": seed,
        "provenance": "-",
        "examples": 9,
        "clean": 1.0,
        "norms": norms,
        "checks": checks,
    }
    return trial | more


def test_robustness_is_told_by_name_and_compared_with_the_same_ct(tmp_path):
    trials = [attacked("slow", 0, 50.0, **{"is": "ct"}), attacked("joint", 0, 40.0, **{"is": "nft"})]
    text = robustness_report.tables(trials, {"steps": 1, "restarts": 1, "seed": 0})
    assert "| joint - slow " in text and "-10.00" in text
    legend = robustness_report.figure(trials).axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["slow (1 seed)", "joint (1 seed)"]


def test_a_variant_has_a_line_of_its_own_under_its_name(path, tmp_path):
    vary = "vary={dataset.label_noise: [0.0, 0.5]}"
    for number, trial in enumerate(load_recipe(path, [vary], classifiers=["fc-a"], seeds=[0])):
        finish(tmp_path, trial, float(number), varied=trial.variation)
    (axis,) = paper_figures.label_noise(runs.find([tmp_path])).axes
    names = [text.get_text().partition(" ")[0] for text in axis.get_legend().get_texts()]
    assert names == ["CT", "NFT", "ct-short", "joint", "joint_mean"]
    lines = [line for line, *_ in axis.containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len({line.get_color() for line in lines}) == 5


def test_sixty_variants_look_different():
    looks = drawing.styles(f"v{i}" for i in range(60)).values()
    assert len({tuple(map(str, look.values())) for look in looks}) == 60
    assert drawing.styles(["v", "nft"])["nft"] == paper_figures.styles(["nft"])["nft"]


def test_figure_5_has_the_classic_training_and_every_nft(path, tmp_path):
    for trial in load_recipe(path, classifiers=["fc-a"], seeds=[0]):
        folder = finish(tmp_path, trial, 1.0)
        (folder / "history.csv").write_text("epoch,phase,error,valid_error\n1,classic,9,8\n2,simplified,7,6\n")
    (axis,) = paper_figures.curves(runs.find([tmp_path])).axes
    labels = [line.get_label() for line in axis.lines if "training" in line.get_label()]
    assert labels == ["CT, training", "NFT, training", "joint, training", "joint_mean, training"]
    assert figures.main(["5", str(tmp_path)]) == 0


def test_figure_6_has_a_line_for_every_nft_that_varies(path, tmp_path):
    key = "plan.eta_max"
    vary = f"vary={{methods.nft.{key}: [1, 2], methods.joint.{key}: [2, 4]}}"
    for number, trial in enumerate(load_recipe(path, [vary], ["nft", "joint"], ["fc-a"], [0])):
        finish(tmp_path, trial, float(number))
    (axis,) = paper_figures.sensitivity(runs.find([tmp_path])).axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "2", "4"]
    assert [list(line.get_xdata()) for line, *_ in axis.containers] == [[0, 1], [1, 2]]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["NFT (1 seed)", "joint (1 seed)"]


def test_another_name_makes_no_other_experiment(path):
    same = one(path, "fc-a", "again", "methods.again={is: nft}")
    assert runs.settings(same.config()) == runs.settings(one(path, "fc-a", "nft").config())
    assert runs.settings(same.config()) != runs.settings(one(path, "fc-a", "joint").config())


def test_variants_are_trained_told_and_deployed_by_their_names(tmp_path, capsys):
    (tmp_path / "moons.yaml").write_text(
        "dataset: two-moons\nclassifiers: {fc-a: {units: 3}}\n"
        "methods:\n  plain: {is: ct}\n  ct-short: {is: plain, training: {epochs: 1}}\n  early:\n    is: nft\n"
        "    plan: {simplification_epochs: 2}\n    auxiliary: {name: mlp, hidden: 3}\n"
        "training: {epochs: 3, batch_size: 64}\nseeds: [0]\n"
    )
    out = tmp_path / "out"
    assert run.main([str(tmp_path / "moons.yaml"), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "[2/3] fc-a ct-short seed 0" in text and "test error - plain (points)" in text
    results = json.loads((out / "moons" / "results.json").read_text())
    expected = [("plain", "ct", 3), ("ct-short", "ct", 1), ("early", "nft", 3)]
    assert [(r["method"], r["is"], r["epochs"]) for r in results] == expected
    folder = out / "moons" / "fc-a" / "early" / "seed-0"
    (tmp_path / "points.csv").write_text("x,y\n0.5,0.2\n")
    assert len(list(predict(folder, tmp_path / "points.csv"))) == 1
    assert "simplified" in (folder / "history.csv").read_text()
    assert keras.saving.load_model(folder / "classifier.keras").count_params() > 0
    assert run.main([str(tmp_path / "moons.yaml"), "--out", str(out), "--methods", "early"]) == 0
    assert "finished before" in capsys.readouterr().out
