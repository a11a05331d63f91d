import pytest
import yaml

from nft_keras.experiments import runs
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.recipe.schema import RecipeError
from tests.experiments.finished import finish

RECIPE = """\
name: before
dataset: {name: digits-back-image, label_noise: 0.1}
classifiers: [cnn-a]
methods:
  nft:
    plan: {eta_max: 500, simplification_epochs: 3}
    auxiliary: {name: unet, filters: 4}
training: {epochs: 5, learning_rate: 0.001}
seeds: [0]
vary: {dataset.label_noise: [0.1, 0.2]}
"""


@pytest.fixture
def load(tmp_path):
    """The trials of the recipe, with changes."""
    (tmp_path / "before.yaml").write_text(RECIPE)
    return lambda *overrides: load_recipe(tmp_path / "before.yaml", overrides)


def forget(folder, *keys):
    """Takes settings out of a trial's config.yaml, as one of a version that does not know them has it."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for *above, key in (key.split(".") for key in keys):
        inner = config
        for part in above:
            inner = inner[part]
        del inner[key]
    path.write_text(yaml.safe_dump(config))


NEWER = ["distribute", "dataset.split_seed", "training.label_smoothing", "training.batch_size"]
NEWER += ["methods.nft.phases", "methods.nft.plan.law"]


def test_a_trial_of_a_version_that_lacks_a_setting_is_one_with_its_default(load, tmp_path):
    for trial in load():
        forget(finish(tmp_path, trial, 1.0), *NEWER)
    assert len(runs.finished(load(), tmp_path)) == 2
    for trial in load():
        runs.check_free(trial, tmp_path)
    assert len(runs.experiments([*runs.find([tmp_path]), runs.Run(None, load()[0].config(), {"seed": 9})])) == 2


def test_a_setting_that_such_a_trial_lacks_may_differ_from_the_present_one(load, tmp_path):
    for trial in load():
        forget(finish(tmp_path, trial, 1.0), *NEWER)
    for trial in load("training.batch_size=16"):
        assert not runs.finished([trial], tmp_path)
        with pytest.raises(RecipeError, match=r"\(training.batch_size: 32 there, 16 now\)"):
            runs.check_free(trial, tmp_path)


def test_a_trial_of_a_package_that_is_not_installed_is_read_as_it_stands(load, tmp_path):
    folder = finish(tmp_path, load()[0], 1.0)
    text = (folder / "config.yaml").read_text().replace("nft:", "of-theirs:")
    (folder / "config.yaml").write_text(text)
    (run,) = runs.find([tmp_path])
    assert run.config == yaml.safe_load(text)


@pytest.mark.parametrize("length", ["simplification_epochs=3", "simplification_ratio=0.6"])
def test_cosine_of_a_version_that_knew_but_one_is_constant_then_cosine_where_data_were_altered(load, tmp_path, length):
    plan = [f"methods.nft.plan={{{length.replace('=', ': ')}}}"]
    cosine = load(*plan, "training.schedule=cosine")[0]
    forget(finish(tmp_path, cosine, 1.0), "training.label_smoothing")
    assert not runs.finished([cosine], tmp_path)
    as_it_was = load(*plan, "training.schedule=constant-then-cosine", "training.constant_ratio=0.6")[0]
    assert len(runs.finished([as_it_was], tmp_path)) == 1
