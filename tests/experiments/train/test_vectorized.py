import json

import pytest

from nft_keras.cli import run
from nft_keras.experiments.recipe.reading import load_recipe
from nft_keras.experiments.train.together.groups import groups
from tests.backend.features import able, last_line, python

RECIPE = """\
dataset: {name: digits-back-image, label_noise: 0.1}
classifiers: [cnn-a]
methods:
  ct:
  eef:
    plan: {first_fraction: 0.25, simplification_ratio: 0.5}
  nft:
    plan: {eta_max: 500, simplification_ratio: 0.5}
    auxiliary: {name: unet, filters: 4, depth: 1}
seeds: [0, 1, 2]
"""


@pytest.fixture(scope="module", params=able("`run --vectorize`"))
def trained(request, tmp_path_factory):
    """What the program says of the trials that it ran in both ways."""
    folder = tmp_path_factory.mktemp(request.param)
    return json.loads(last_line("-m", "tests.experiments.train.on_jax", folder, backend=request.param))


@pytest.mark.slow
@pytest.mark.xdist_group("vectorized")
def test_replicas_that_train_together_end_as_they_do_alone(trained):
    # 3 seeds of ct, 3 x 2 eta_max of nft, one each of ft, nft-as-coded and own, 2 lengths of nft on images
    assert len(trained["trials"]) == 14
    for folder, apart in trained["trials"].items():
        assert apart["weights"] < 1e-3 and apart["history"] < 1e-3 and not apart["unequal"], folder


@pytest.mark.slow
@pytest.mark.xdist_group("vectorized")
def test_replicas_train_on_smoothed_labels(trained):
    assert len(trained["smoothed"]) == 15 and max(trained["smoothed"]) < 1e-5  # all but ct, 3 seeds of each setting


@pytest.mark.slow
@pytest.mark.xdist_group("vectorized")
def test_replicas_have_the_files_that_reports_read(trained):
    names = ["classifier.keras", "config.yaml", "files.json", "history.csv", "preprocessing.json", "result.json"]
    names += ["test"]
    assert trained["files"] == names


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def test_trials_that_differ_in_no_shape_are_one_group(recipe):
    eta = "vary={methods.nft.plan.eta_max: [100, 500], dataset.label_noise: [0.0, 0.4]}"
    trials = load_recipe(recipe, [eta], methods=["ct", "nft"])
    sizes = {(group[0].method, len(group)) for group in groups(trials)}
    assert sizes == {("ct", 6), ("nft", 12)}
    assert [len(group) for group in groups(trials, most=5)] == [5, 5, 2, 5, 1]
    batch = "vary={training.batch_size: [16, 32], methods.nft.auxiliary_optimizer.learning_rate: [0.1, 0.2]}"
    trials = load_recipe(recipe, [batch], methods=["nft"])
    assert sorted(map(len, groups(trials))) == [3, 9]


@pytest.mark.parametrize(
    "backend, arguments, message",
    [
        ("jax", [], "eef does not train in one compiled program with others, ct, ft, nft do; leave it out"),
        ("jax", ["--methods", "ct", "--set", "training.augment=crop-and-flip"], "augment"),
        ("jax", ["--methods", "ct", "--set", "training.class_weight=balanced"], "class_weight is not supported; leave"),
        ("jax", ["--methods", "ct", "--set", "distribute=mirrored"], "not with distribute: mirrored; give none"),
        (
            "jax",
            ["--methods", "nft", "--set", "methods.nft.auxiliary_fraction=0.5"],
            "nft's auxiliary_fraction below 1 is not supported; give 1",
        ),
    ],
)
def test_what_cannot_train_together_is_refused(recipe, tmp_path, capsys, monkeypatch, backend, arguments, message):
    for module in ("nft_keras.backend", "nft_keras.experiments.train.together.groups"):
        monkeypatch.setattr(f"{module}.backend_name", lambda: backend)
    assert run.main([str(recipe), "--vectorize", "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_networks_that_do_not_take_the_data_are_refused_before_any_group_is_trained(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60)))
    recipe = f"dataset: {{name: csv, path: {tmp_path / 't.csv'}}}\nclassifiers: [fc-a, cnn-a]\nmethods: {{ct: }}\n"
    (tmp_path / "r.yaml").write_text(f"{recipe}training: {{epochs: 1}}\nseeds: [0]\n")
    done = python(
        "-m", "nft_keras", "run", tmp_path / "r.yaml", "--vectorize", "--out", tmp_path / "out", backend="jax"
    )
    assert done.returncode == 2 and "cnn-a with ct: examples of shape (2,) do not fit" in done.stderr.splitlines()[-1]
    assert not [*tmp_path.rglob("config.yaml")]
