import dataclasses
import functools
import json

import pytest
import yaml

from nft_keras import data
from nft_keras.cli import run
from nft_keras.experiments import runs
from nft_keras.experiments.recipe.fingerprints import Fingerprints
from nft_keras.experiments.recipe.reading import load_recipe, load_sweep
from nft_keras.experiments.recipe.schema import RecipeError
from nft_keras.experiments.sweep.search import first_point, point_trial
from tests.experiments.finished import finish, lose_an_example

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


OWN = """\
dataset: {name: csv, path: own.csv, label: kind}
classifiers: [fc-a]
methods: {ct: }
training: {epochs: 1}
seeds: [0]
sweep: {training.learning_rate: [0.1, 0.2]}
"""


@pytest.fixture
def own(tmp_path):
    """A recipe on a table of the user's, and what reads its trials."""
    write_table(tmp_path / "own.csv", "kind")
    (tmp_path / "own.yaml").write_text(OWN)
    return lambda *overrides: list(map(Fingerprints(tmp_path).of, load_recipe(tmp_path / "own.yaml", overrides)))


def write_table(path, kind):
    path.write_text("a,kind\n" + "".join(f"{i},{kind}-{i % 2}\n" for i in range(20)))


def test_data_that_have_changed_are_no_more_those_of_a_finished_trial(own, tmp_path):
    finish(tmp_path, own()[0], 1.0)
    assert len(runs.finished(own(), tmp_path)) == 1
    runs.check_free(own()[0], tmp_path)
    write_table(tmp_path / "own.csv", "sort")
    assert not runs.finished(own(), tmp_path)
    with pytest.raises(RecipeError, match="holds a trial on other data, which have changed .* with --fresh$"):
        runs.check_free(own()[0], tmp_path)


def test_a_trial_of_a_version_without_fingerprints_and_one_whose_data_are_gone_are_taken_as_they_are(own, tmp_path):
    folder = finish(tmp_path, own()[0], 1.0)
    kept = (folder / "config.yaml").read_text()
    forget(folder, "fingerprint")
    assert len(runs.finished(own(), tmp_path)) == 1
    runs.check_free(own()[0], tmp_path)
    (folder / "config.yaml").write_text(kept)
    (tmp_path / "own.csv").unlink()
    assert own()[0].fingerprint is None and len(runs.finished(own(), tmp_path)) == 1


def test_a_trial_s_config_as_a_recipe_is_for_its_data_alone(own, tmp_path):
    config = finish(tmp_path, own()[0], 1.0) / "config.yaml"
    assert Fingerprints(tmp_path).of(load_recipe(config)[0]) == own()[0]
    write_table(tmp_path / "own.csv", "sort")
    with pytest.raises(RecipeError, match="own.csv has changed .*; remove fingerprint to train on it as it is"):
        Fingerprints(tmp_path).of(load_recipe(config)[0])


def test_a_sweep_on_data_that_have_changed_is_another_one(own, tmp_path):
    def sweep():
        (space,) = load_sweep(tmp_path / "own.yaml", complete=Fingerprints(tmp_path).of)
        return first_point(space), point_trial(space, space.points()[0]).folder

    before = sweep()
    assert sweep() == before
    write_table(tmp_path / "own.csv", "sort")
    assert all(one != other for one, other in zip(before, sweep(), strict=True))


def test_a_data_set_that_is_no_file_of_the_user_s_has_no_fingerprint(load, tmp_path):
    assert {Fingerprints(tmp_path).of(trial).fingerprint for trial in load()} == {None}


def test_the_same_command_after_a_change_of_the_data_is_refused_in_one_line_and_trains_with_fresh(
    own, tmp_path, capsys
):
    command = [str(tmp_path / "own.yaml"), "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    trial = own()[0]
    assert run.main(command) == 0
    assert runs.read(tmp_path / "out" / trial.folder).result["fingerprint"] == trial.fingerprint
    capsys.readouterr()
    assert run.main(command) == 0 and "finished before" in capsys.readouterr().out
    write_table(tmp_path / "own.csv", "sort")
    assert run.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "holds a trial on other data" in error and "--fresh" in error
    assert run.main([*command, "--fresh"]) == 0
    assert runs.read(tmp_path / "out" / trial.folder).result["fingerprint"] == own()[0].fingerprint


def test_trials_on_other_data_are_another_experiment(tmp_path):
    (tmp_path / "before.yaml").write_text(RECIPE)
    found = []
    for folder, seed, known in (("a", 0, "examples:1"), ("b", 0, "examples:2"), ("c", 1, "examples:2"), ("d", 2, None)):
        (trial,) = load_recipe(tmp_path / "before.yaml", ["vary=", "dataset.label_noise=0.1"], seeds=[seed])
        trial = dataclasses.replace(trial, fingerprint=known)
        found.append(runs.read(finish(tmp_path / folder, trial, 1.0)))
    assert [list(of) for of in runs.experiments(found).values()] == [[0, 2], [0, 1]]
    kinds = ["content:1", "size-and-time:2", "size-and-time:3"]
    mixed = zip(found[1:], kinds, strict=True)
    mixed = [runs.Run(one.folder, one.config | {"fingerprint": known}, one.result) for one, known in mixed]
    assert [list(of) for of in runs.experiments(mixed).values()] == [[0, 1], [2]]
    assert list(runs.experiments(found))[0] == runs.settings(found[0].config)


def test_data_that_have_changed_stop_no_other_trials(tmp_path, capsys, monkeypatch):
    recipe = "name: r\ndataset: {name: two-moons}\nclassifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\n"
    (tmp_path / "r.yaml").write_text(f"{recipe}seeds: [0, 1]\nvary: {{dataset.split_seed: [0, 1]}}\n")
    command = [str(tmp_path / "r.yaml"), "--out", str(tmp_path / "out"), "--no-reference"]
    assert run.main(command) == 0
    load = data.load
    monkeypatch.setattr(data, "load", functools.wraps(load)(lambda **of: other_than(load(**of), of["split_seed"])))
    for seed, advice in (("2", "discard it with --fresh"), ("0", "let --fresh discard all")):
        assert run.main([*command, "--seeds", seed, *(["--fresh"] if seed == "0" else [])]) == 1
        assert "which have changed (fingerprint: examples:" in (error := capsys.readouterr().err)
        assert error.startswith("two-moons: ") and error.count("which have changed") == 1 and advice in error
    results = json.loads((tmp_path / "out" / "r" / "results.json").read_text())
    there = [(int(r["varied"][-1]), r["seed"]) for r in results]
    assert sorted(there) == [(0, 0), (0, 1), (1, 0), (1, 1)]  # of what was refused nothing is lost
    assert (tmp_path / "out" / "r" / "dataset.split_seed=0" / "fc-a" / "ct" / "seed-2" / "result.json").exists()


def test_what_is_to_be_trained_afresh_is_discarded_when_its_data_are_there_all_that_is_on_them(tmp_path, monkeypatch):
    recipe = "name: r\ndataset: {name: two-moons}\nclassifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\n"
    # The first data come twice.
    varied = "vary: {training.batch_size: [16], dataset.split_seed: [1], training.epochs: [2]}"
    (tmp_path / "r.yaml").write_text(f"{recipe}seeds: [0]\n{varied}\n")
    command = [str(tmp_path / "r.yaml"), "--out", str(tmp_path / "out"), "--no-reference"]
    assert run.main(command) == 0
    lose_an_example(monkeypatch)
    assert run.main([*command, "--fresh"]) == 0
    before = {path: path.read_text() for path in (tmp_path / "out" / "r").rglob("result.json")}
    load = data.load

    def fail(**of):
        if of["split_seed"] == 1:
            raise data.DataError("no network")
        return load(**of)

    monkeypatch.setattr(data, "load", functools.wraps(load)(fail))
    assert len(before) == 3 and run.main([*command, "--fresh"]) == 1
    assert [path.read_text() == text for path, text in sorted(before.items())] == [
        "split_seed" in str(path) for path in sorted(before)
    ]
    report = (tmp_path / "out" / "r" / "report.md").read_text()
    monkeypatch.setattr(data, "load", functools.wraps(load)(lambda **of: fail(**(of | {"split_seed": 1}))))
    assert run.main([*command, "--fresh", "--seeds", "5"]) == 1  # nothing that is finished, nothing to report
    assert (tmp_path / "out" / "r" / "report.md").read_text() == report


@pytest.mark.parametrize(
    "known, overrides, kept",
    [
        ("examples:1", [], True),
        ("examples:1", ["training.epochs=7"], True),
        ("examples:1", ["dataset.label_noise=0.2"], False),
        ("examples:1", ["dataset.label_noise=0.2", "fingerprint=examples:1"], True),
        ("examples:1", ["vary={training.batch_size: [16]}"], True),
        ("examples:1", ["vary={dataset.label_noise: [0.1]}"], True),  # as it is
        ("examples:1", ["vary={dataset.label_noise: [0.2]}"], False),
        ("content:1", ["vary={dataset.label_noise: [0.2]}"], True),
    ],
)
def test_a_fingerprint_counts_as_long_as_the_data_are_to_be_the_same(tmp_path, known, overrides, kept):
    text = RECIPE.replace("vary: {dataset.label_noise: [0.1, 0.2]}", f"fingerprint: {known}")
    (tmp_path / "r.yaml").write_text(text)
    assert [t.fingerprint for t in load_recipe(tmp_path / "r.yaml", overrides)][-1] == (known if kept else None)
    (tmp_path / "r.yaml").write_text(f"{text}sweep: {{dataset.label_noise: [0.1, 0.2]}}\n")
    (space,) = load_sweep(tmp_path / "r.yaml")
    both = [trial.fingerprint for point in space.points() for trial in space.trials(point)]
    assert both == [known, known if known == "content:1" else None]


def other_than(dataset, split_seed):
    """A data set that lacks an example, if it was split by seed 1."""
    return dataclasses.replace(dataset, test=dataset.test[:-1]) if split_seed == 1 else dataset


def test_other_data_of_the_same_name_are_refused_before_anything_is_trained_on_them(tmp_path, capsys, monkeypatch):
    recipe = "name: r\ndataset: {name: two-moons}\nclassifiers: [fc-a]\nmethods: {ct: }\ntraining: {epochs: 1}\n"
    (tmp_path / "r.yaml").write_text(f"{recipe}seeds: [0]\n")
    command = [str(tmp_path / "r.yaml"), "--out", str(tmp_path / "out")]
    assert run.main(command) == 0
    config = tmp_path / "out" / "r" / "fc-a" / "ct" / "seed-0" / "config.yaml"
    known = yaml.safe_load(config.read_text())["fingerprint"]
    assert runs.read(config.parent).result["fingerprint"] == known and known.startswith("examples:")
    assert run.main([*command, "--seeds", "1"]) == 0  # on the same data
    longer = ["--seeds", "1", "--set", "training.epochs=2", "--fresh"]
    assert run.main([*command, *longer]) == 0  # beside one of other settings, which does not count
    assert run.main([str(config), "--out", str(tmp_path / "again")]) == 0
    for settings in ("dataset.label_noise=0.1", "dataset.split_seed=1", "vary={dataset.label_noise: [0.0, 0.1]}"):
        assert run.main([str(config), "--out", str(tmp_path / settings[:14]), "--set", settings]) == 0
    lose_an_example(monkeypatch)
    capsys.readouterr()
    assert run.main([*command, "--seeds", "2"]) == 2
    error = capsys.readouterr().err
    assert "holds a trial on other data, which have changed (fingerprint: examples:" in error and "--fresh" in error
    assert not (tmp_path / "out" / "r" / "fc-a" / "ct" / "seed-2" / "history.csv").exists()
    assert run.main([str(config), "--out", str(tmp_path / "third")]) == 2
    assert "two-moons has changed (fingerprint: examples:" in capsys.readouterr().err
    assert run.main([*command, "--seeds", "0", "1", "--fresh"]) == 0
