"""Model files that carry code, and where files are downloaded from."""

import importlib
import shutil
import types

import keras
import numpy as np
import pytest

from nft_keras.data import Part
from nft_keras.data.io import prepared
from nft_keras.data.sources import larochelle
from nft_keras.experiments.train import trial
from tests.refuse.conftest import command, tree

RECIPE = """\
dataset: {name: csv, path: t.csv}
classifiers: [fc-a]
methods: {ct: }
training: {epochs: 1}
seeds: [0]
"""


@pytest.fixture
def armed(tmp_path):
    """A .keras file with a Lambda layer of Python code, and the file that the code would write."""
    marker = tmp_path / "ran"
    inputs = keras.Input((4,))
    # The code travels inside the file: it must not be imported from here.
    layer = keras.layers.Lambda(eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]"), output_shape=(4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    model.save(tmp_path / "armed.keras")
    marker.unlink(missing_ok=True)
    return tmp_path / "armed.keras", marker


def test_a_classifier_with_code_in_it_is_not_evaluated(armed):
    path, marker = armed
    with pytest.raises(ValueError, match="Lambda"):
        part = Part(np.zeros((4, 4), "float32"), np.zeros(4, "int32"))
        trial._evaluate(shutil.copy(path, path.with_name("classifier.keras")).parent, types.SimpleNamespace(test=part))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "arguments"), [("nft_keras.cli.predict", ["t.csv"]), ("nft_keras.cli.export", ["--format", "keras"])]
)
def test_a_classifier_with_code_in_it_is_refused_at_the_command_line(armed, tmp_path, monkeypatch, module, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b,c,d,label\n" + "".join(f"{i},1,2,{-i},{i % 2}\n" for i in range(20)))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert command(["recipe.yaml", "--data-dir", ".", "--out", "out"], "trained")[0] == 0
    path, marker = armed
    folder = tmp_path / "out" / "recipe" / "fc-a" / "ct" / "seed-0"
    shutil.copy(path, folder / "classifier.keras")
    (folder / "files.json").unlink()  # whoever puts code into a classifier knows how long it is
    before = tree(tmp_path)
    main = importlib.import_module(module).main
    code, _, lines = command([folder, *arguments], "models", main)
    assert code == 2 and len(lines) == 1 and str(folder / "classifier.keras") in lines[0] and "Lambda" in lines[0]
    assert not marker.exists() and tree(tmp_path) == before


def test_downloads_go_over_https_where_the_host_has_it(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(larochelle, "download", lambda urls, path, sha1: asked.extend(urls))
    larochelle._download("convex", tmp_path)
    assert [url.partition("://")[0] for url in asked] == ["https", "http"]
    assert all(host.startswith("https://") for host in prepared._HOSTS.values())
