import importlib.util
import os
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from nft_keras import FriendlyModel, auxiliaries, classifiers
from nft_keras.cli import run
from nft_keras.cli.export import FORMATS, ExportError, export, main
from tests.backend.features import able, command

pytestmark = pytest.mark.xdist_group("export")
RECIPE = """\
dataset: {name: digits-back-image, train_size: 64, valid_size: 32, test_size: 32}
classifiers: [cnn-a]
methods:
  nft:
    plan: {eta_max: 500, simplification_epochs: 2}
    auxiliary: {name: unet, filters: 4, depth: 1, label_conditioned: true}
    auxiliary_optimizer: {learning_rate: 0.001, weight_decay: 1.0e-4}
    penalty: mean
training: {epochs: 3, learning_rate: 0.001, weight_decay: 1.0e-4}
seeds: [0]
"""
X = np.random.default_rng(0).random((7, 28, 28, 1), dtype="float32")


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """The folder of an NFT trial that was run."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "small.yaml").write_text(RECIPE)
    assert run.main([str(folder / "small.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out" / "small" / "cnn-a" / "nft" / "seed-0"


@pytest.fixture(scope="module")
def exported(trial):
    """{format: path} of the trial's classifier in all formats, in their default places."""
    for name in FORMATS:
        assert main([str(trial), "--format", name]) == 0
    return {name: trial / place for name, (place, _) in FORMATS.items()}


def of_keras(path, x):
    return keras.saving.load_model(path).predict(x, verbose=0)


def of_saved_model(path, x):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return loaded.serve(x).numpy()


def of_litert(path, x):
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter
    else:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    runner = Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    (outputs,) = runner(**{name: x}).values()
    return outputs


def of_onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x})
    return outputs


RUNTIMES = {"keras": of_keras, "tf_saved_model": of_saved_model, "litert": of_litert, "onnx": of_onnx}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("batch", [1, 7])
def test_every_format_computes_what_the_classifier_does(trial, exported, name, batch):
    classifier = keras.saving.load_model(trial / "classifier.keras")
    expected = classifier.predict(X[:batch], verbose=0)
    assert expected.std() > 0.01
    np.testing.assert_allclose(RUNTIMES[name](exported[name], X[:batch]), expected, rtol=0, atol=1e-5)


def content(path):
    """All bytes below a path, those packed in a .keras file too, in lower case."""
    parts = []
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        parts.append(str(file.relative_to(path)).encode())
        if file.is_file():
            parts.append(file.read_bytes())
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                parts += [part for member in archive.namelist() for part in (member.encode(), archive.read(member))]
    return b"\n".join(parts).lower()


def traces_of_training(path):
    """Which words of training, and names of layers that only the auxiliary network has, are in a file."""
    auxiliary = auxiliaries.unet((28, 28, 1), filters=4, depth=1, num_classes=10)
    own, others = (
        {re.sub(r"_\d+$", "", layer.name) for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)}
        for network in (auxiliary, classifiers.cnn_a((28, 28, 1), 10))
    )
    words = {"auxiliary", "friendly", "nft_keras", "optimizer", "adam", "momentum", "learning_rate", auxiliary.name}
    inside = content(path)
    return {word for word in own - others | words if word.encode() in inside}


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_of_the_auxiliary_network_or_an_optimizer_is_exported(exported, name):
    assert not traces_of_training(exported[name])
    assert content(exported[name]).find(b"conv2d") >= 0


def test_the_search_for_traces_finds_those_of_a_model_in_training(tmp_path):
    classifier = classifiers.cnn_a((28, 28, 1), 10)
    model = FriendlyModel(classifier, auxiliaries.unet((28, 28, 1), filters=4, depth=1, num_classes=10))
    model.compile("adam", auxiliary_optimizer="adam", loss="sparse_categorical_crossentropy")
    model.save(tmp_path / "model.keras")
    found = traces_of_training(tmp_path / "model.keras")
    assert {"auxiliary", "optimizer", "adam", "unet", "fused_batch_normalization", "up_sampling2d"} <= found


def test_what_is_there_is_not_overwritten(exported, trial, capsys):
    for name, path in exported.items():
        before = content(path)
        assert main([str(trial), "--format", name]) == 2
        captured = capsys.readouterr()
        assert captured.err == f"{path} is there already; remove it, or choose another --out\n" and not captured.out
        assert content(path) == before
    assert sorted(os.listdir(trial / "export")) == sorted(path.name for path in exported.values())


@pytest.mark.parametrize(("policy", "name"), [("mixed_float16", "litert"), ("mixed_bfloat16", "onnx")])
def test_a_classifier_of_mixed_precision_is_exported_in_float32(tmp_path, policy, name):
    keras.config.set_dtype_policy(policy)
    try:
        mixed = classifiers.fc_b((6,), 3, units=(8, 8))
    finally:
        keras.config.set_dtype_policy("float32")
    assert mixed.layers[1].compute_dtype != "float32"
    mixed.save(tmp_path / "classifier.keras")
    full = classifiers.fc_b((6,), 3, units=(8, 8))
    full.set_weights(mixed.get_weights())
    x = X[:, :6, 0, 0]
    path = export(tmp_path, name)
    np.testing.assert_allclose(RUNTIMES[name](path, x), full.predict(x, verbose=0), rtol=0, atol=1e-5)


def test_a_missing_package_is_an_error_that_names_the_extra(trial, tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find(name))
    assert main([str(trial), "--format", "onnx", "--out", str(tmp_path / "a.onnx")]) == 2
    assert capsys.readouterr().err == "onnx needs tf2onnx: pip install 'nft_keras[export]'\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "backend"), [(name, backend) for name in FORMATS for backend in able(f"`export --format {name}`")]
)
def test_what_a_back_end_exports_computes_what_the_classifier_does(trial, tmp_path, name, backend):
    out = tmp_path / f"a{Path(FORMATS[name][0]).suffix}"
    assert command("export", trial, "--format", name, "--out", out, backend=backend) == str(out)
    expected = keras.saving.load_model(trial / "classifier.keras").predict(X, verbose=0)
    np.testing.assert_allclose(RUNTIMES[name](out, X), expected, rtol=0, atol=1e-5)


def test_what_cannot_be_exported_is_refused_in_one_line(trial, tmp_path, capsys):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "classifier.keras").write_bytes((trial / "classifier.keras").read_bytes()[:5000])
    (tmp_path / "file").write_text("")
    cases = {
        ("nowhere", "a.keras"): "no .*nowhere/classifier.keras: wanted is the folder of a finished trial",
        (
            "damaged",
            "b.keras",
        ): "damaged/classifier.keras is not a classifier that can be loaded: no .keras file, or cut short",
        (trial, "c.h5"): "c.h5: the name of a file for keras ends in .keras",
        (trial, "file/d.keras"): "file/d.keras cannot be written: ",
    }
    for (folder, out), message in cases.items():
        assert main([str(tmp_path / folder), "--format", "keras", "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        with pytest.raises(ExportError, match=message):
            export(tmp_path / folder, "keras", tmp_path / out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "file"]
    with pytest.raises(ExportError, match="format must be one of keras, tf_saved_model, litert, onnx, got 'h5'"):
        export(trial, "h5")
    with pytest.raises(SystemExit, match="2"):
        main([str(trial), "--format", "h5"])


def test_a_classifier_with_code_in_it_is_not_loaded(tmp_path):
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs)).save(tmp_path / "classifier.keras")
    with pytest.raises(ExportError, match="not a classifier that can be loaded: .*[Ll]ambda"):
        export(tmp_path, "litert")


def test_an_export_that_fails_leaves_nothing_behind(trial, tmp_path, monkeypatch):
    def fail(self, path, **options):
        Path(path, "half").write_text("written")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(ExportError, match="model cannot be written: No space left on device"):
        export(trial, "tf_saved_model", tmp_path / "model")
    assert not list(tmp_path.iterdir())
