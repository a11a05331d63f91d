"""Every cell of the recipes against the settings that the paper's authors published, re-typed here."""

import json
from collections import Counter
from pathlib import Path

import pytest

from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.reports.published import cells
from nft_keras.experiments.runs import find, flatten

RECIPES = Path(__file__).parents[3] / "recipes"

# classifier, data set: eta_max, gamma_max_simp / gamma_max, beta, nu, n_f, whether the auxiliary network sees the label
IMAGES = {
    ("fc-a", "mnist-back-image"): (2000, 0.25, 1e-4, 2, 64, True),
    ("fc-a", "mnist-rot-back-image"): (2000, 0.25, 1e-5, 2, 64, True),
    ("fc-a", "mnist-rot"): (2000, 0.25, 1e-5, 2, 64, False),
    ("fc-a", "rectangles-image"): (500, 0.85, 1e-5, 2, 128, False),
    ("fc-a", "convex"): (2000, 0.85, 5e-4, 2, 128, False),
    ("fc-b", "mnist-back-image"): (1000, 0.5, 1e-4, 2, 96, False),
    ("fc-b", "mnist-rot-back-image"): (1000, 0.5, 1e-5, 2, 128, False),
    ("fc-b", "mnist-rot"): (500, 0.5, 5e-4, 2, 128, False),
    ("fc-b", "rectangles-image"): (1000, 0.5, 1e-4, 2, 64, False),
    ("fc-b", "convex"): (500, 0.25, 1e-5, 2, 128, False),
    ("cnn-a", "mnist-back-image"): (500, 0.85, 1e-5, 2, 96, False),
    ("cnn-a", "mnist-rot-back-image"): (2000, 0.25, 1e-5, 2, 96, False),
    ("cnn-a", "mnist-rot"): (1000, 0.25, 5e-4, 2, 96, False),
    ("cnn-a", "rectangles-image"): (500, 0.5, 1e-4, 2, 96, True),
    ("cnn-a", "convex"): (2000, 0.25, 1e-5, 2, 128, True),
    ("cnn-b", "mnist-back-image"): (500, 0.25, 1e-5, 2, 64, True),
    ("cnn-b", "mnist-rot-back-image"): (2000, 0.25, 5e-4, 2, 64, True),
    ("cnn-b", "mnist-rot"): (2000, 0.25, 1e-4, 2, 128, False),
    ("cnn-b", "rectangles-image"): (1000, 0.25, 1e-4, 2, 64, False),
    ("cnn-b", "convex"): (1000, 0.25, 5e-4, 2, 128, False),
    ("cnn-b", "cifar10"): (500, 0.85, 1e-5, 1, 64, False),
    ("resnet18", "cifar10-n10"): (1000, 0.7, 5e-4, 1, 96, False),
}
# the same for text: eta_max, ratio, beta, hidden units, label
TEXT = {
    ("fc-b", "imdb"): (1000, 0.5, 1e-4, 256, True),
    ("fc-b", "wines"): (500, 0.5, 1e-5, 256, True),
}
# Friendly Training: confidence, tau_max, ratio, step
FT = {
    ("fc-b", "imdb"): (0.9, 120, 0.25, 10),
    ("fc-b", "wines"): (0.98, 80, 0.5, 10),
    ("cnn-a", "mnist-back-image"): (0.98, 120, 0.5, 0.1),
    ("cnn-b", "cifar10"): (0.98, 10, 0.25, 0.01),
    ("resnet18", "cifar10-n10"): (0.85, 10, 0.1, 10),
}
# Form of NFT: how many times the code adds the penalty, the first epoch with altered data, the classifier's mode then
FORMS = {"nft": (1, 2, "inference"), "nft-as-coded": (2, 1, "training")}
EPOCHS = {"imdb": 30, "wines": 30, "cifar10-n10": 250}


def one_cell(classifier, dataset, method):
    trials = load_recipe(RECIPES / f"{dataset}.yaml", methods=[method], classifiers=[classifier])
    assert [t.seed for t in trials] == [0, 1, 2] and trials[0].dataset["name"] == dataset
    return trials[0]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("cell", [*IMAGES, *TEXT], ids="-".join)
def test_nft_cells_have_the_published_settings_in_both_forms(cell, method):
    trial = one_cell(*cell, method)
    settings, plan, auxiliary = trial.method_settings, trial.method_settings.plan, trial.method_settings.auxiliary
    times, *form = FORMS[method]
    assert [trial.kind, plan.first_simplified_epoch, settings.classifier_mode] == ["nft", *form]
    found = (plan.eta_max / times, plan.simplification_ratio, settings.auxiliary_optimizer.learning_rate)
    if cell in IMAGES:
        assert auxiliary.name == "unet"
        assert (*found, auxiliary.depth, auxiliary.filters, auxiliary.label_conditioned) == IMAGES[cell]
    else:
        assert auxiliary.name == "mlp"
        assert (*found, auxiliary.hidden, auxiliary.label_conditioned) == TEXT[cell]
    assert (settings.penalty, settings.phases, plan.law, auxiliary.residual) == ("mean", "epoch", "quadratic", False)
    assert settings.auxiliary_optimizer.optimizer == "adam" and settings.auxiliary_optimizer.weight_decay == 1e-4


def test_the_guide_counts_the_published_plans():
    cells = [*IMAGES.values(), *TEXT.values()]
    page = " ".join((RECIPES.parent / "docs" / "guides" / "fit.md").read_text(encoding="utf-8").split())
    assert len(cells) == 24 and "tuned 24 cells" in page
    assert Counter(cell[0] for cell in cells) == {500: 8, 1000: 8, 2000: 8} and "2,000, eight times each" in page
    assert Counter(cell[1] for cell in cells) == {0.25: 12, 0.5: 7, 0.7: 1, 0.85: 4}
    assert "a quarter of the epochs in 12, half in 7, and 70 or 85 % in 5" in page


@pytest.mark.parametrize("cell", FT, ids="-".join)
def test_ft_cells_have_the_published_settings(cell):
    settings = one_cell(*cell, "ft").method_settings
    found = (settings.confidence, settings.plan.max_steps, settings.plan.simplification_ratio, settings.step)
    assert found == FT[cell] and settings.plan.law == "quadratic"


# What a gain has to beat: as many epochs of real data as NFT has, NFT's learning rates, smoothed labels.
CONTROLS = ("ct-short", "ct-smooth", "ct-nft-schedule")


PUBLISHED = sorted({dataset for _, dataset in (*IMAGES, *TEXT)})
OF_GENERATED_IMAGES = ("mnist-rot", "mnist-back-image", "mnist-rot-back-image", "rectangles-image", "convex")
SMALL = [f"small/{name}" for name in (*OF_GENERATED_IMAGES, "ablation", "sensitivity", "wines")]


@pytest.mark.parametrize("dataset", [*PUBLISHED, "cifar10-noise", *SMALL])
def test_the_controls_differ_from_ct_in_what_they_control_alone(dataset):
    of_classifiers = {}
    for trial in load_recipe(RECIPES / f"{dataset}.yaml", seeds=[0]):
        of_classifiers.setdefault(trial.classifier, {})[trial.method] = trial
    for by_name in of_classifiers.values():
        nft, ct = by_name["nft"], vars(by_name["ct"].training)
        changed = {
            "ct-short": {"epochs": nft.training.epochs - nft.simplification_epochs},
            "ct-smooth": {"label_smoothing": 0.1},
        }
        if nft.training.schedule != ct["schedule"]:
            schedule = ("schedule", "constant_ratio")
            changed["ct-nft-schedule"] = {key: vars(nft.training)[key] for key in schedule}
        assert set(by_name) & set(CONTROLS) == set(changed)
        for name, change in changed.items():
            assert vars(by_name[name].training) == {**ct, **change} and by_name[name].kind == "ct"


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_training_is_the_published_one_for_every_method(dataset):
    for trial in (t for t in load_recipe(RECIPES / f"{dataset}.yaml") if t.method not in CONTROLS):
        training = trial.training
        assert training.epochs == EPOCHS.get(dataset, 200) and trial.selection == "after-drop"
        if dataset == "cifar10-n10":
            assert (training.optimizer, training.learning_rate, training.momentum) == ("sgd", 0.1, 0.9)
            assert (training.weight_decay, training.batch_size) == (5e-4, 128)
            constant = ("constant-then-cosine", {"eef": 0.1, "ft": 0.1, "nft": 0.7}.get(trial.kind))
            schedule = ("cosine", None) if trial.method == "ct" else constant
            assert (training.schedule, training.constant_ratio) == schedule and training.augment == "crop-and-flip"
        else:
            assert (training.optimizer, training.learning_rate, training.weight_decay) == ("adam", 1e-4, 1e-4)
            assert (training.batch_size, training.schedule, training.augment) == (32, "constant", "none")


def test_a_difference_is_to_ct_of_the_same_run_where_it_has_one():
    kept = RECIPES.parent / "results"
    (imdb,) = [cell for cell in cells(find([kept]))[0]["Table 2"] if cell.dataset == "imdb"]
    of = {r["method"]: r["test_error"] for r in json.loads((kept / "imdb-as-printed/results.json").read_text())}
    assert imdb.differences["nft"] == [of["nft"] - of["ct"]] and len(imdb.differences["nft-as-coded"]) == 3


@pytest.mark.parametrize("method", ["ct", *FORMS])
def test_the_other_noise_levels_have_the_settings_published_for_ten_percent(method):
    published = one_cell("resnet18", "cifar10-n10", method)
    trials = load_recipe(RECIPES / "cifar10-noise.yaml", methods=[method], seeds=[0])
    assert [t.dataset["label_noise"] for t in trials] == [0.1, 0.2, 0.3, 0.5, 0.6, 0.8]
    for trial in trials:
        assert (trial.classifier, trial.dataset["name"]) == ("resnet18", "cifar10")
        assert (trial.method_settings, trial.training) == (published.method_settings, published.training)


@pytest.mark.parametrize("method", FORMS)
def test_the_sensitivity_recipe_changes_one_setting_of_the_published_cell_at_a_time(method):
    published = one_cell("cnn-a", "mnist-back-image", method).config()
    trials = load_recipe(RECIPES / "sensitivity.yaml", methods=[method], seeds=[0])
    assert len({trial.variation for trial in trials}) == 9
    for trial in trials:
        config = {k: v for k, v in trial.config().items() if k not in ("name", "vary")}
        before, now = (dict(flatten({**c, "name": None})) for c in (published, config))
        changed = {key: value for key, value in now.items() if before[key] != value}
        key, value = trial.varied
        assert changed == ({} if value == before[key] else {key: value})
