import json
import random
import shutil

import numpy as np
import pytest

from nft_keras.data import DataError
from nft_keras.data.features.encoder import SentenceEncoder, find_checkpoint, fingerprint, load_backbone
from tests.data.features.checkpoints import SENTENCES, read_weights, write_checkpoint, write_weights

pytestmark = pytest.mark.xdist_group("encoder")
KINDS = ["bert", "roberta"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {kind: write_checkpoint(folder / kind, kind) for kind in KINDS}


@pytest.fixture
def checkpoint(checkpoints, tmp_path):
    """A RoBERTa checkpoint to spoil."""
    return shutil.copytree(checkpoints["roberta"], tmp_path / "checkpoint")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def by_transformers(directory, sentences, max_length):
    """Token ids and mean-pooled embeddings of the transformers library."""
    pytest.importorskip("torch", reason="the reference needs torch (extra test)")
    transformers = pytest.importorskip("transformers", reason="the reference needs transformers (extra test)")
    import torch

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(directory / "tokenizer.json"), pad_token="<pad>" if "roberta" in str(directory) else "[PAD]"
    )
    model, report = transformers.AutoModel.from_pretrained(directory, output_loading_info=True)
    assert not [name for name in report["missing_keys"] if "pooler" not in name]
    tokens = tokenizer(sentences, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    mask = tokens["attention_mask"]
    with torch.no_grad():
        hidden = model.eval()(input_ids=tokens["input_ids"], attention_mask=mask).last_hidden_state
    pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    ids = [row[keep > 0].tolist() for row, keep in zip(tokens["input_ids"].numpy(), mask.numpy(), strict=True)]
    return ids, pooled.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_and_embeddings_are_those_of_transformers(checkpoints, kind):
    ids, embeddings = by_transformers(checkpoints[kind], SENTENCES, max_length=24)
    encoder = SentenceEncoder(checkpoints[kind])
    assert [one.tolist() for one in encoder.token_ids(SENTENCES)] == ids
    assert (encoder.dimension, encoder.max_length) == (16, 24)
    result = encoder.encode(SENTENCES, batch_size=3)
    assert result.dtype == np.float32
    assert np.abs(embeddings).max() > 0.5
    np.testing.assert_allclose(result, embeddings, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "head"), [("bert", "BertForMaskedLM"), ("roberta", "RobertaForMaskedLM")])
def test_a_checkpoint_that_transformers_wrote_with_a_head_is_loaded(checkpoints, tmp_path, kind, head):
    transformers = pytest.importorskip("transformers", reason="the reference needs transformers (extra test)")
    pytest.importorskip("torch", reason="the reference needs torch (extra test)")
    directory = tmp_path / kind
    config = transformers.AutoConfig.from_pretrained(checkpoints[kind], initializer_range=0.5)
    getattr(transformers, head)(config).save_pretrained(directory)
    shutil.copy(checkpoints[kind] / "tokenizer.json", directory)
    encoder = SentenceEncoder(directory)
    assert encoder.max_length == (48 if kind == "bert" else 46)
    _, embeddings = by_transformers(directory, SENTENCES, encoder.max_length)
    np.testing.assert_allclose(encoder.encode(SENTENCES), embeddings, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_does_not_depend_on_what_else_is_in_the_batch(checkpoints, kind):
    encoder = SentenceEncoder(checkpoints[kind])
    done = []
    alone = np.concatenate([encoder.encode([sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(encoder.encode(SENTENCES, batch_size=2, progress=done.append), alone, atol=1e-5)
    assert done == [2, 2, 2, 1]


def test_half_precision_and_old_names_are_read(checkpoints, tmp_path):
    directory = shutil.copytree(checkpoints["bert"], tmp_path / "old")
    rounded = {name: value.astype("float16") for name, value in read_weights(directory).items()}
    write_weights(directory, {name: value.astype("float32") for name, value in rounded.items()})
    wanted = SentenceEncoder(directory).encode(SENTENCES)
    old = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): v for name, v in rounded.items()
    }
    write_weights(directory, {f"bert.{name}": value for name, value in old.items()})
    np.testing.assert_array_equal(SentenceEncoder(directory).encode(SENTENCES), wanted)


def test_the_encoder_is_frozen_and_leaves_the_random_state_alone(checkpoints):
    state = random.getstate()
    backbone = load_backbone(checkpoints["roberta"])
    assert random.getstate() == state
    assert not backbone.trainable_variables


def test_a_fingerprint_tells_what_is_in_a_directory_and_not_where_it_is(checkpoint, checkpoints):
    first = fingerprint(checkpoints["roberta"])
    assert fingerprint(checkpoint) == first
    edit(checkpoint / "sentence_bert_config.json", max_seq_length=12)
    assert fingerprint(checkpoint) != first
    assert fingerprint("hf://owner/name") == "hf://owner/name"


def spoil_weights(change):
    def spoil(directory):
        weights = read_weights(directory)
        change(weights)
        write_weights(directory, weights)

    return spoil


def without_safetensors(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


FIRST = "encoder.layer.0.attention.self.query.weight"
SPOILS = {
    "another model": (lambda d: edit(d / "config.json", model_type="mpnet"), "config.json.*'mpnet'.*bert or roberta"),
    "another activation": (lambda d: edit(d / "config.json", hidden_act="relu"), "config.json: hidden_act is 'relu'"),
    "another epsilon": (lambda d: edit(d / "config.json", layer_norm_eps=1e-6), "layer_norm_eps is 1e-06"),
    "another size": (lambda d: edit(d / "config.json", vocab_size=7), r"embeddings.word_embeddings.weight is \(3"),
    "no size": (lambda d: edit(d / "config.json", hidden_size="big"), "hidden_size must be an int >= 1, got 'big'"),
    "fewer layers": (lambda d: edit(d / "config.json", num_hidden_layers=1), "has weights that .* encoder.layer.1"),
    "no JSON": (lambda d: (d / "config.json").write_text("{"), "config.json is not readable JSON"),
    "no safetensors": (without_safetensors, "no model.safetensors in .*pytorch_model.bin is a pickle"),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "no tokenizer.json in "),
    "no real tokenizer": (lambda d: (d / "tokenizer.json").write_text("{}"), "tokenizer.json is not a tokenizer"),
    "cut weights": (lambda d: (d / "model.safetensors").write_bytes(b"\0" * 99), "model.safetensors is damaged"),
    "a weight missing": (spoil_weights(lambda w: w.pop(FIRST)), f"model.safetensors has no weights {FIRST}"),
    "NaN": (spoil_weights(lambda w: w[FIRST].fill(np.nan)), f"{FIRST} has values that are not finite"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_cannot_be_loaded_exactly_is_refused_by_name(checkpoint, spoil):
    change, message = SPOILS[spoil]
    change(checkpoint)
    with pytest.raises(DataError, match=message) as caught:
        SentenceEncoder(checkpoint)
    assert str(checkpoint) in str(caught.value)


def test_a_tokenizer_of_another_checkpoint_is_refused(checkpoint):
    edit(checkpoint / "config.json", vocab_size=280)
    weights = read_weights(checkpoint)
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][:280].copy()
    write_weights(checkpoint, weights)
    with pytest.raises(DataError, match="gives the token id 2.*weights have 280 tokens"):
        SentenceEncoder(checkpoint).encode(SENTENCES)


def test_without_weights_the_error_says_which_directory_to_pass(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="hf://owner/name.*model.safetensors.*encoder: DIRECTORY.*features: tfidf"):
        find_checkpoint("hf://owner/name")
    with pytest.raises(DataError, match="no sentence encoder in owner/name: .*hf://owner/name"):
        find_checkpoint("owner/name")


def test_a_repository_that_was_downloaded_before_is_found_without_network(checkpoints, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(checkpoints["bert"], repository / "snapshots" / ("0" * 40))
    assert SentenceEncoder(find_checkpoint("hf://owner/name")).dimension == 16
