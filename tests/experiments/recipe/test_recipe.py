import inspect
from pathlib import Path

import pytest
import yaml

from nft_keras._registry import imported
from nft_keras.experiments.classifiers import CLASSIFIERS
from nft_keras.experiments.methods.nft import MlpSettings, UnetSettings
from nft_keras.experiments.recipe import settings
from nft_keras.experiments.recipe.reading import load_recipe, load_sweep
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.recipe.settings import PlanSettings
from nft_keras.laws import cosine, find_law

RECIPES = sorted((Path(__file__).parents[3] / "recipes").glob("**/*.yaml"))

GOOD = """\
dataset: {name: digits-back-image, label_noise: 0.1}
classifiers: [fc-a, cnn-a]
methods:
  ct:
  nft:
    plan: {eta_max: 500, simplification_ratio: 0.5}
    auxiliary: {name: unet, filters: 4}
    auxiliary_optimizer: {learning_rate: 1.0e-4}
training: {epochs: 10, learning_rate: 0.001}
seeds: [0, 1]
cells:
  cnn-a:
    nft:
      plan: {eta_max: 2000}
      training: {batch_size: 16}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "good.yaml"
        path.write_text(text)
        return path

    return write


def test_a_recipe_stands_for_every_cell_and_seed(write):
    trials = load_recipe(write(GOOD))
    assert [str(t.folder) for t in trials] == [
        f"good/{c}/{m}/seed-{s}" for c in ("fc-a", "cnn-a") for m in ("ct", "nft") for s in (0, 1)
    ]


def test_a_cell_lies_over_the_defaults_and_changes_no_other_cell(write):
    nft = {t.classifier: t for t in load_recipe(write(GOOD), methods=["nft"], seeds=[5])}
    assert nft["fc-a"].method_settings.plan.eta_max == 500 and nft["cnn-a"].method_settings.plan.eta_max == 2000
    assert nft["cnn-a"].method_settings.plan.simplification_ratio == 0.5
    assert nft["fc-a"].training.batch_size == 32 and nft["cnn-a"].training.batch_size == 16
    assert nft["cnn-a"].training.learning_rate == 0.001 and nft["cnn-a"].seed == 5
    ct = load_recipe(write(GOOD), methods=["ct"], classifiers=["cnn-a"])
    assert [t.training.batch_size for t in ct] == [32, 32]


def test_set_is_stronger_than_a_cell(write):
    overrides = ["methods.nft.plan.eta_max=7", "training.batch_size=8", "classifiers.fc-a.units=3"]
    for trial in load_recipe(write(GOOD), overrides):
        assert trial.training.batch_size == 8
        if trial.method == "nft":
            assert trial.method_settings.plan.eta_max == 7
        if trial.classifier == "fc-a":
            assert trial.classifier_settings.units == 3


@pytest.mark.parametrize(
    "ratio, epochs, expected",
    [(0.85, 200, 170), (0.7, 250, 175), (0.25, 200, 50), (0.5, 3, 2), (0.85, 3, 2), (0.5, 1, 0)],
)
def test_a_ratio_of_the_epochs_leaves_one_after_the_drop(ratio, epochs, expected):
    assert PlanSettings(simplification_ratio=ratio).epochs(epochs) == expected


def test_deterministic_and_xla_exclude_each_other(write):
    text = GOOD.replace("epochs: 10", "epochs: 10, jit_compile: true") + "deterministic: true\n"
    with pytest.raises(RecipeError, match="good.yaml:16: deterministic: .*jit_compile must be false"):
        load_recipe(write(text))


def test_a_trial_s_config_is_a_recipe_for_that_trial_alone(write, tmp_path):
    for trial in load_recipe(write(GOOD)):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(trial.config()))
        (again,) = load_recipe(path)
        assert again == trial


def test_a_size_is_one_number_or_a_list(write, tmp_path):
    folder = GOOD.replace(
        "{name: digits-back-image, label_noise: 0.1}", "{name: image-folder, path: p, image_size: SIZE}"
    )
    for size, read in (("24", 24), ("[20, 30]", (20, 30))):
        trial = load_recipe(write(folder.replace("SIZE", size)))[0]
        assert trial.dataset["image_size"] == read
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(trial.config()))
        assert load_recipe(tmp_path / "config.yaml") == [trial]
    for size, message in (
        ("[0, 30]", "must be >= 1 and <= 4096, got 0"),
        ("large", "should be a whole number, got the text 'large'"),
        ("[a, 2]", "image_size.0: should be a whole number"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe(write(folder.replace("SIZE", size)))


@pytest.mark.parametrize(
    "written, read",
    [
        ("crop-and-flip", "crop-and-flip"),
        ("[flip, rand-augment]", {"flip": settings.Flip(), "rand-augment": settings.RandAugment()}),
        ("{rotation: {factor: 0.1}, flip: }", {"rotation": settings.Rotation(0.1), "flip": settings.Flip()}),
        ("{crop-and-flip: }", {"crop-and-flip": settings.CropAndFlip()}),
    ],
)
def test_augmentation_is_a_name_or_several_with_their_settings(write, tmp_path, written, read):
    trials = load_recipe(write(GOOD), [f"training.augment={written}"])
    assert trials[0].training.augment == read
    names = [read] if isinstance(read, str) else list(read)
    assert list(trials[0].training.augmentations) == names
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(trials[0].config(), sort_keys=False))
    assert load_recipe(tmp_path / "config.yaml") == [trials[0]]


@pytest.mark.parametrize(
    "written, message",
    [
        ("fliip", "training.augment: unknown value 'fliip'; allowed: none, crop-and-flip"),
        ("[fliip]", "training.augment.fliip: unknown key; allowed: crop-and-flip, flip, .*; did you mean flip"),
        ("{rotation: {factor: 2}}", "training.augment.rotation.factor: must be > 0 and <= 1, got 2"),
        ("[]", "training.augment: should name at least one of crop-and-flip, flip, rotation"),
        ("cut-mix", "training.augment: unknown value 'cut-mix'; allowed: none, crop-and-flip"),
    ],
)
def test_what_is_wrong_with_an_augmentation_is_said(write, written, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(GOOD), [f"training.augment={written}"])


@pytest.mark.parametrize("name", ["mix-up", "cut-mix"])
@pytest.mark.parametrize(
    "method, message",
    [
        ("ct: ", None),
        ("nft: {plan: {eta_max: 1, simplification_ratio: 0.5}, auxiliary: {name: unet}}", None),
        (
            "nft: {plan: {eta_max: 1, simplification_ratio: 0.5}, auxiliary: {name: unet, label_conditioned: true}}",
            "mixes labels, and a label-conditioned network needs one for each example",
        ),
        ("my-ft: {is: ft, plan: {max_steps: 2, simplification_ratio: 0.5}}", "mixes labels, and my-ft needs one for"),
        ("eef: {plan: {simplification_ratio: 0.5}}", "mixes labels, and eef needs one for .*; it is for ct and nft"),
    ],
)
def test_labels_are_mixed_for_methods_that_take_them(tmp_path, name, method, message):
    path = tmp_path / "mixed.yaml"
    training = f"{{augment: [flip, {name}]}}"
    path.write_text(f"dataset: {{name: cifar10}}\nclassifiers: [cnn-a]\nmethods:\n  {method}\ntraining: {training}\n")
    if message:
        with pytest.raises(RecipeError, match=f"augment: {name} {message}"):
            load_recipe(path)
    else:
        assert {trial.training.mixing[0] for trial in load_recipe(path)} == {name}


@pytest.mark.parametrize("assignment", ["training.epochs = 5", " training . epochs=5", "training.batch_size =5"])
def test_spaces_around_the_key_of_a_set_do_not_count_in_cells_either(write, assignment):
    text = GOOD.replace("{batch_size: 16}", "{batch_size: 16, epochs: 7}")
    key = assignment.partition("=")[0].split(".")[1].strip()
    assert {getattr(trial.training, key) for trial in load_recipe(write(text), [assignment])} == {5}


def test_set_is_stronger_than_the_training_of_a_method_unless_it_is_set_too(write):
    text = GOOD.replace("  ct:\n", "  ct: {training: {epochs: 7}}\n")
    epochs = lambda *overrides: {t.method: t.training.epochs for t in load_recipe(write(text), overrides)}  # noqa: E731
    assert epochs() == {"ct": 7, "nft": 10}
    assert epochs("training.epochs=5") == {"ct": 5, "nft": 5}
    assert epochs("methods.ct.training.epochs=6", "training.epochs=5") == {"ct": 6, "nft": 5}
    assert epochs("vary={training.epochs: [4]}") == {"ct": 4, "nft": 4}


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["methods.nft.auxiliary_fraction=0"], "auxiliary_fraction: must be > 0 and <= 1, got 0.0"),
        (["methods.nft.auxiliary_fraction=2"], "auxiliary_fraction: must be > 0 and <= 1, got 2.0"),
        (
            ["methods.nft.auxiliary_fraction=0.5", "methods.nft.phases=joint"],
            "auxiliary_fraction: must be 1 with phases joint, which updates both networks on each minibatch; got 0.5",
        ),
        (
            ["methods.nft.auxiliary_fraction=0.5", "distribute=mirrored"],
            "distribute: not with an auxiliary_fraction below 1; allowed: none",
        ),
    ],
)
def test_an_auxiliary_fraction_that_cannot_be_is_refused(overrides, message):
    with pytest.raises(RecipeError) as error:
        load_recipe("two-moons", overrides)
    assert str(error.value).endswith(message)


@pytest.mark.parametrize(
    "training, message",
    [
        ("schedule: constant-then-cosine", "is missing, a number >= 0 and <= 1: schedule is constant-then-cosine"),
        ("constant_ratio: 0.5", "goes with schedule constant-then-cosine, got schedule constant"),
        ("schedule: cosine, constant_ratio: 0.5", "goes with schedule constant-then-cosine, got schedule cosine"),
        ("schedule: constant-then-cosine, constant_ratio: 1.5", "must be >= 0 and <= 1, got 1.5"),
    ],
)
def test_a_constant_ratio_goes_with_its_schedule_and_no_other(write, training, message):
    with pytest.raises(RecipeError) as error:
        load_recipe(write(GOOD.replace("  ct:\n", f"  ct: {{training: {{{training}}}}}\n")))
    assert str(error.value).endswith(f"good.yaml:4: methods.ct.training.constant_ratio: {message}")


def test_seeds_on_the_command_line_differ_as_a_recipe_s_do(write):
    with pytest.raises(RecipeError, match="^--seeds: should be one or more different whole numbers, got 0 0$"):
        load_recipe(write(GOOD), seeds=[0, 0])


VARYING = GOOD + "vary:\n  dataset.label_noise: [0, 0.5]\n  methods.nft.plan.eta_max: [7]\n"


def test_each_variation_changes_one_thing_for_the_methods_it_touches(write):
    trials = load_recipe(write(VARYING), classifiers=["cnn-a"], seeds=[0])
    found = [(t.variation, t.method, t.dataset["label_noise"], str(t.folder)) for t in trials]
    assert found == [
        ("dataset.label_noise=0", "ct", 0.0, "good/dataset.label_noise=0/cnn-a/ct/seed-0"),
        ("dataset.label_noise=0", "nft", 0.0, "good/dataset.label_noise=0/cnn-a/nft/seed-0"),
        ("dataset.label_noise=0.5", "ct", 0.5, "good/dataset.label_noise=0.5/cnn-a/ct/seed-0"),
        ("dataset.label_noise=0.5", "nft", 0.5, "good/dataset.label_noise=0.5/cnn-a/nft/seed-0"),
        ("methods.nft.plan.eta_max=7", "nft", 0.1, "good/methods.nft.plan.eta_max=7/cnn-a/nft/seed-0"),
    ]
    assert [t.method_settings.plan.eta_max for t in trials if t.method == "nft"] == [2000, 2000, 7]


def test_folds_are_trials_of_their_own_and_their_config_is_a_recipe_for_that_fold_alone(write, tmp_path):
    trials = load_recipe(write(GOOD + "folds: 2\n"), classifiers=["fc-a"], methods=["ct"], seeds=[0])
    assert [(t.variation, t.dataset["fold"], str(t.folder)) for t in trials] == [
        ("dataset.fold=1-of-2", "1-of-2", "good/dataset.fold=1-of-2/fc-a/ct/seed-0"),
        ("dataset.fold=2-of-2", "2-of-2", "good/dataset.fold=2-of-2/fc-a/ct/seed-0"),
    ]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(trials[1].config()))
    assert load_recipe(tmp_path / "config.yaml") == [trials[1]]
    named = GOOD.replace("{name: digits-back-image, label_noise: 0.1}", "digits-back-image")
    assert len(load_recipe(write(named + "folds: 3\n"), ["training.epochs=4"])) == 3 * 8


@pytest.mark.parametrize(
    "text, message",
    [
        ("folds: 1", ":1: folds: must be >= 2, got 1"),
        ("folds: five", ":1: folds: should be a whole number, got the text 'five'"),
        ("folds: 2\nvary: {training.epochs: [3]}", ":1: folds: a recipe varies either folds or what vary says"),
        (
            "folds: 2\ndataset: imdb",
            ":1: folds: imdb has a split of its own; folds are for digits-back-image, csv, npz",
        ),
        ("folds: 2\ndataset: two-moons", ":1: folds: two-moons has a split of its own"),
    ],
)
def test_folds_that_cannot_be_are_refused(write, text, message):
    recipe = GOOD.partition("\n")[2] if "dataset" in text else GOOD
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(f"{text}\n{recipe}"))


def test_a_recipe_with_folds_is_not_swept(write):
    with pytest.raises(RecipeError, match="folds: a recipe that varies folds cannot be swept; remove folds"):
        load_sweep(write(GOOD + "folds: 2\nsweep: {training.epochs: [3, 4]}\n"))


def test_what_a_recipe_varies_or_sweeps_is_not_set_beside_it(write):
    assignment = "dataset.label_noise=0.2"
    with pytest.raises(RecipeError, match=f"^--set {assignment}: dataset.label_noise: the recipe varies it; .*vary= "):
        load_recipe(write(VARYING), [assignment])
    assert {t.dataset["label_noise"] for t in load_recipe(write(VARYING), [assignment, "vary="])} == {0.2}
    path = write(GOOD + "sweep: {dataset.label_noise: [0, 0.5]}\n")
    with pytest.raises(RecipeError, match=f"^--set {assignment}: dataset.label_noise: the recipe sweeps it"):
        load_sweep(path, [assignment])
    assert {t.dataset["label_noise"] for t in load_recipe(path, [assignment])} == {0.2}


def test_a_method_that_no_variation_touches_runs_as_it_is(write):
    text = GOOD + "vary: {methods.nft.plan.eta_max: [7, 8]}\n"
    trials = load_recipe(write(text), classifiers=["fc-a"], seeds=[0])
    assert [(t.method, t.variation) for t in trials] == [
        ("ct", ""),
        ("nft", "methods.nft.plan.eta_max=7"),
        ("nft", "methods.nft.plan.eta_max=8"),
    ]


def test_a_truth_value_that_is_varied_is_named_as_it_is_written(write):
    text = GOOD + "vary: {methods.nft.auxiliary.residual: [true]}\n"
    trial = load_recipe(write(text), methods=["nft"])[0]
    assert trial.method_settings.auxiliary.residual is True
    assert trial.folder.parts[1] == "methods.nft.auxiliary.residual=true"


def test_the_config_of_a_variation_is_a_recipe_for_that_trial_alone(write, tmp_path):
    for trial in load_recipe(write(VARYING)):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(trial.config()))
        assert load_recipe(path) == [trial]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_our_own_recipes_are_right(path):
    trials = load_recipe(path)
    name = path.stem if path.parent.name == "recipes" else f"{path.parent.name}-{path.stem}"
    assert {t.recipe for t in trials} == {name} and {"ct", "nft"} <= {t.method for t in trials}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_found_by_its_name_from_anywhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = path.relative_to(Path(__file__).parents[3])
    for name in (inside.as_posix(), inside.relative_to("recipes").with_suffix("").as_posix()):
        assert load_recipe(name) == load_recipe(path)


def test_a_file_of_the_user_s_goes_before_a_shipped_recipe_and_a_folder_does_not(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("imdb").mkdir()
    assert {t.recipe for t in load_recipe("imdb")} == {"imdb"}
    Path("wines").write_text(GOOD)
    assert {t.dataset["name"] for t in load_recipe("wines")} == {"digits-back-image"}


@pytest.mark.parametrize(
    "name, help",
    [
        ("imdb.yaml", "did you mean imdb?"),
        ("recipes/imbd.yaml", "did you mean imdb?"),
        ("small-imdb", "did you mean small/imdb?"),
        ("mine.yml", "did you mean mine.yaml?"),
        ("zzz", "there are cifar10, cifar10-n10, "),
    ],
)
def test_a_recipe_that_is_not_there_is_told_with_what_is(name, help, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(RecipeError, match=r"^[\w/.-]+: cannot be read: No such file or directory, nor .*; ") as error:
        load_recipe(name)
    assert help in str(error.value)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_settings_of_a_classifier_are_its_arguments(name):
    classifier = CLASSIFIERS[name]
    assert _defaults(classifier.settings) == _defaults(imported(classifier.build), "input_shape", "num_classes")


def test_a_law_may_be_anybody_s_function(write):
    import math

    text = GOOD.replace("simplification_ratio: 0.5", "simplification_ratio: 0.5, law: math.sqrt", 1)
    trials = load_recipe(write(text), methods=["nft"], allow_code=True)
    assert {t.method_settings.plan.law for t in trials} == {"math.sqrt"}
    assert find_law("math.sqrt", allow_code=True) is math.sqrt and find_law("cosine") is cosine


@pytest.mark.parametrize("settings", [UnetSettings, MlpSettings])
def test_settings_of_an_auxiliary_network_are_its_arguments(settings):
    from nft_keras import auxiliaries

    function = getattr(auxiliaries, settings.name)
    without = ("name", "label_conditioned", "input_shape", "input_dim", "num_classes")
    assert _defaults(settings, *without) == _defaults(function, *without)


def _defaults(function, *without):
    parameters = inspect.signature(function).parameters
    return {name: p.default for name, p in parameters.items() if name not in without}


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("epochs: 10", "epoch: 10", ":9: training.epoch: unknown key; allowed: .*; did you mean epochs?"),
        ("epochs: 10", "epochs: ten", ":9: training.epochs: should be a whole number, got the text 'ten'"),
        ("epochs: 10", "epochs: 0", ":9: training.epochs: must be >= 1, got 0"),
        ("epochs: 10", "epochs: 10.5", ":9: training.epochs: should be a whole number, got 10.5"),
        ("epochs: 10", "epochs: yes", ":9: training.epochs: should be a whole number, got true"),
        ("rate: 0.001", "rate: 1e-3", ":9: training.learning_rate: .* the text '1e-3'; .* did you mean 1.0e-3?"),
        ("rate: 0.001", "rate: .nan", ":9: training.learning_rate: should be a finite number, got nan"),
        ("rate: 0.001", "rate: -1", ":9: training.learning_rate: must be > 0, got -1.0"),
        ("eta_max: 500", "eta_max: .inf", ":6: methods.nft.plan.eta_max: should be a finite number, got inf"),
        ("eta_max: 2000", "eta_max: -1", ":14: cells.cnn-a.nft.plan.eta_max: must be >= 0, got -1.0"),
        ("eta_max: 2000", "eta: 1", ":14: cells.cnn-a.nft.plan.eta: unknown key; allowed: .*; did you mean eta_max?"),
        ("batch_size: 16", "batch_size: 0", ":15: cells.cnn-a.nft.training.batch_size: must be >= 1, got 0"),
        ("name: unet", "name: u-net", ":7: methods.nft.auxiliary.name: unknown value 'u-net'; .*; did you mean unet?"),
        ("name: unet, filters: 4", "name: mlp", ":7: methods.nft.auxiliary.name: mlp takes vectors"),
        ("digits-back-image", "digit-back-image", ":1: dataset.name: unknown data set .*; did you mean digits-back"),
        ("label_noise: 0.1", "label_noise: 2", ":1: dataset.label_noise: must be >= 0 and <= 1, got 2.0"),
        ("label_noise: 0.1", "noise: 0.1", ":1: dataset.noise: unknown key; .*; did you mean label_noise?"),
        ("[fc-a, cnn-a]", "[fc-a, cnn-c]", ":2: classifiers.cnn-c: unknown key; .*; did you mean cnn-"),
        ("  ct:\n", "  tc:\n", ":4: methods.tc: unknown key; allowed: ct, "),
        ("seeds: [0, 1]", "seeds: [0, 0]", ":10: seeds: should be one or more different whole numbers"),
        ("seeds: [0, 1]", "seeds: 3", ":10: seeds: should be a list, got 3"),
        ("seeds: [0, 1]", "seed: [0, 1]", ":10: seed: unknown key; allowed: .*; did you mean seeds?"),
        ("seeds: [0, 1]", "epochs: 3\nepochs: 4", ":11: epochs: given twice"),
        ("filters: 4", "filters: 4, filters: 8", ":7: methods.nft.auxiliary.filters: given twice"),
        ("seeds: [0, 1]", "name: 2020", ":10: name: should be text, got 2020; a name that is a number stands in"),
        ("seeds: [0, 1]", "name: no", ":10: name: should be text, got false; YAML reads yes, no"),
        ("seeds: [0, 1]", "name: ../up", ":10: name: should be letters, digits"),
        ("seeds: [0, 1]", "seeds: [0, 1", "not valid YAML"),
        ("seeds: [0, 1]", "seeds: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("plan: {eta_max: 500, simplification_ratio: 0.5}", "penalty: sum", ":5: methods.nft: plan is missing"),
        ("simplification_ratio: 0.5", "law: cosine", "give either simplification_epochs or simplification_ratio"),
        ("simplification_ratio: 0.5", "simplification_epochs: 10", "no epoch is left to select the best from"),
        ("simplification_ratio: 0.5}\n", "simplification_epochs: 3}\n    training: {epochs: 2}\n", "no epoch is left"),
        ("ratio: 0.5}", "ratio: 0.5, law: cosin}", ":6: methods.nft.plan.law: unknown law 'cosin'; .*mean cosine?"),
        ("ratio: 0.5}", "ratio: 0.5, law: math.sin}", ":6: methods.nft.plan.law: 'math.sin' .* without --allow-code"),
        ("dataset: {name: digits-back-image, label_noise: 0.1}", "{}: 1", ":1: a key should be a word"),
        ("seeds: [0, 1]", "test_every: -1", ":10: test_every: must be >= 0, got -1"),
        ("seeds: [0, 1]", "vary: {seeds: [1]}", ":10: vary.seeds: should be a key below dataset, methods or training"),
        ("seeds: [0, 1]", "vary: {training.epochs: 3}", ":10: vary.training.epochs: should be a list of numbers"),
        ("seeds: [0, 1]", "vary: {training.epochs: [3, 3]}", ":10: vary.training.epochs: has a value twice"),
        ("seeds: [0, 1]", "vary: {dataset.name: [../up]}", ":10: vary.dataset.name: should be a list of .* name fold"),
        ("seeds: [0, 1]", "vary: {training.epoch: [3]}", ":10: training.epoch: unknown key; .*; did you mean epochs?"),
        ("seeds: [0, 1]", "vary: {training.epochs: [0]}", ":10: training.epochs: must be >= 1, got 0"),
        ("seeds: [0, 1]", "vary: {methods.ft.step: [1]}", ":10: vary.methods.ft.step: unknown method 'ft'; .* ct, nft"),
        ("seeds: [0, 1]", "vary: 0", ":10: vary: should be a mapping of keys to lists of values, got 0"),
        ("  ct:\n", "  ct: {training: 3}\n", ":4: methods.ct.training: should be a mapping of settings, got 3"),
        ("  ct:\n", "  ct: {training: 0}\n", ":4: methods.ct.training: should be a mapping of settings, got 0"),
        ("  ct:\n", "  ct: {training: [epochs]}\n", ":4: methods.ct.training: should be a mapping of settings, got"),
        ("{batch_size: 16}", "3", ":15: cells.cnn-a.nft.training: should be a mapping of settings, got 3"),
        ("epochs: 10", "momentum: 0.9", ":9: training.momentum: must be 0 with adam, it is of sgd; got 0.9"),
        ("1.0e-4}", "1.0e-4, momentum: 0.5, optimizer: adamw}", ":8: .*auxiliary_optimizer.momentum: must be 0"),
        ("seeds: [0, 1]", "deterministic: 1", ":10: deterministic: should be true or false, got 1"),
        ("epochs: 10", "jit_compile: auto", ":9: training.jit_compile: should be true or false, got the text 'auto'"),
        ("epochs: 10", "precision: float16", ":9: training.precision: unknown value 'float16'; .* mixed_float16"),
        ("methods:", "method:", ": method: unknown key; allowed: .*; did you mean methods?"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_line_and_key(write, old, new, message):
    assert old in GOOD
    with pytest.raises(RecipeError, match=message) as error:
        load_recipe(write(GOOD.replace(old, new, 1)))
    assert "\n" not in str(error.value) and "good.yaml" in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "42", "just text", "\x00", "a: &a [*a]", "a: &a 1\nb: *a"])
def test_a_file_that_is_no_recipe_is_refused(write, text):
    with pytest.raises(RecipeError, match="good.yaml"):
        load_recipe(write(text))


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("training.epochs", "should be KEY=VALUE"),
        ("training.epochs=[", "is not valid YAML"),
        ("training.epochs.more=1", "training.epochs has no keys, it is 10"),
        ("training.epoch=1", "--set training.epoch=1: training.epoch: unknown key; .*did you mean epochs?"),
        ("training.epochs=-1", "--set training.epochs=-1: training.epochs: must be >= 1, got -1"),
    ],
)
def test_a_wrong_set_is_named(write, assignment, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(GOOD), [assignment])
