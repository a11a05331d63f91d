"""Frozen sentence encoder: a BERT or RoBERTa checkpoint of sentence-transformers in keras-nlp, mean-pooled."""

import hashlib
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nft_keras import backend
from nft_keras.data import DataError

if TYPE_CHECKING:
    import keras

FILES = ("config.json", "model.safetensors", "tokenizer.json")
_LENGTH_FILE = "sentence_bert_config.json"
# Bytes; the largest tokenizer of a multilingual model has some 20 million, the other two files a few hundred.
_LARGEST = {"config.json": 1_000_000, "tokenizer.json": 200_000_000, _LENGTH_FILE: 1_000_000}

# keras-nlp's backbones have these as constants, so that a checkpoint with others cannot be loaded into them.
_LAYER_NORM_EPSILON = {"bert": 1e-12, "roberta": 1e-5}

_LAYERS = {
    "token_embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
}
_VARIABLES = {"embeddings": "weight", "kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}


class SentenceEncoder:
    """Embeds sentences: the mean of a frozen encoder's last hidden states over the tokens of each sentence.

    Token ids come from the checkpoint's own tokenizer.json; sentences are cut after `max_length` tokens, which is
    the `max_seq_length` of sentence_bert_config.json or else what the position embeddings allow. Whatever the
    checkpoint does after its transformer (another pooling, a normalisation) is left out.

    Args:
        directory: a checkpoint as sentence-transformers and transformers write it, with config.json (model_type bert
            or roberta), model.safetensors and tokenizer.json; see `find_checkpoint`.

    Attributes:
        dimension: int, length of an embedding.
        max_length: int, in tokens, special ones included.

    Raises:
        DataError: if a file is missing or damaged, or the checkpoint is of a kind that cannot be loaded exactly.

    Example:
        encoder = SentenceEncoder(find_checkpoint("hf://sentence-transformers/all-MiniLM-L6-v2"))
        encoder.encode(["a fruity wine", "a dry one"]).shape  # (2, 384)
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        self.directory = Path(directory)
        config = _config(self.directory)
        self.backbone = load_backbone(self.directory)
        self.dimension = config["hidden_size"]
        self.max_length = _max_length(self.directory, config)
        self._tokenizer = _tokenizer(self.directory, self.max_length)
        self._vocabulary_size = config["vocab_size"]
        self._embed = self._embedding_function()

    def encode(
        self, texts: Sequence[str], batch_size: int = 64, progress: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """Embeddings of sentences.

        Args:
            texts: list of str.
            batch_size: int, sentences at a time; those of similar length go together.
            progress: function called with the number of sentences done whenever a batch is done.

        Returns:
            float32 array (len(texts), dimension).

        Raises:
            DataError: if the tokenizer gives ids that the weights do not have.
        """
        ids = self.token_ids(texts)
        lengths = np.array([len(i) for i in ids])
        embeddings = np.empty((len(ids), self.dimension), "float32")
        # The longest come first, so that a lack of memory shows at once and the time left is never underestimated.
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = np.zeros((len(rows), lengths[rows[0]]), "int32")
            for i, row in enumerate(rows):
                batch[i, : lengths[row]] = ids[row]
            mask = np.arange(batch.shape[1]) < lengths[rows, None]
            embeddings[rows] = self._embed(batch, mask.astype("int32"))
            if progress:
                progress(len(rows))
        return embeddings

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of sentences, special tokens included: list of int32 arrays."""
        ids = []
        for start in range(0, len(texts), 1024):
            encodings = self._tokenizer.encode_batch(texts[start : start + 1024])
            ids.extend(np.array(encoding.ids, "int32") for encoding in encodings)
        highest = max((int(i.max(initial=0)) for i in ids), default=0)
        if highest >= self._vocabulary_size:
            raise DataError(
                f"{self.directory / 'tokenizer.json'} gives the token id {highest}, the weights have "
                f"{self._vocabulary_size} tokens: the two are not of one checkpoint"
            )
        return ids

    def _embedding_function(self):
        from keras import ops

        inputs = {tensor.name for tensor in self.backbone.inputs}

        def embed(ids, mask):
            features = {"token_ids": ids, "padding_mask": mask, "segment_ids": ops.zeros_like(ids)}
            hidden = self.backbone({name: features[name] for name in inputs}, training=False)
            weights = ops.expand_dims(ops.cast(mask, "float32"), -1)
            # max: a tokenizer that adds no special tokens makes nothing of an empty sentence.
            return ops.sum(hidden * weights, 1) / ops.maximum(ops.sum(weights, 1), 1.0)

        if backend.backend_name() == "tensorflow":
            import tensorflow as tf

            embed = tf.function(embed, input_signature=[tf.TensorSpec((None, None), tf.int32)] * 2)
        # JAX would compile it anew for every length of a sentence.

        def embeddings(ids, mask):
            with backend.inference():
                return ops.convert_to_numpy(embed(*map(ops.convert_to_tensor, (ids, mask))))

        return embeddings


def find_checkpoint(encoder: str | os.PathLike) -> Path:
    """The directory of a checkpoint.

    Args:
        encoder: a directory, or "hf://owner/name" for a repository of huggingface.co, which is downloaded into (or
            found in) Hugging Face's own cache.

    Returns:
        `pathlib.Path`.

    Raises:
        DataError: if there is none, saying which directory to pass.
    """
    if not str(encoder).startswith("hf://"):
        directory = Path(os.path.expanduser(encoder))
        if not directory.is_dir():
            hint = f"; for Hugging Face's write hf://{encoder}" if str(encoder).count("/") == 1 else ""
            raise DataError(
                f"no sentence encoder in {directory}: pass a directory with {_listed(FILES)} (encoder: DIRECTORY){hint}"
            )
        return directory

    from huggingface_hub import snapshot_download

    name = str(encoder).removeprefix("hf://")
    try:
        return Path(snapshot_download(name, allow_patterns=[*FILES, _LENGTH_FILE]))
    except Exception as error:
        raise DataError(
            f"the sentence encoder {encoder} is not on this machine and cannot be downloaded ({type(error).__name__}); "
            f"put {_listed((*FILES, _LENGTH_FILE))} of https://huggingface.co/{name} into a directory "
            "and pass it (encoder: DIRECTORY), or do without one (features: tfidf)"
        ) from error


def fingerprint(encoder: str | os.PathLike) -> str:
    """Names an encoder's results: the handle of a repository, the hash of what is in a directory.

    A repository is not looked up, so that embeddings that are cached need neither network nor weights.

    Args:
        encoder: as for `find_checkpoint`.

    Returns:
        str.

    Raises:
        DataError: if the directory does not exist or lacks a file.
    """
    if str(encoder).startswith("hf://"):
        return str(encoder)
    directory = find_checkpoint(encoder)
    digest = hashlib.sha256()
    for name in (*FILES, _LENGTH_FILE):
        if name != _LENGTH_FILE or (directory / name).exists():
            with open(_existing(directory, name), "rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_backbone(directory: str | os.PathLike) -> "keras.Model":
    """Loads a BERT or RoBERTa checkpoint into keras-nlp's backbone.

    keras-nlp's own loader wants the prefix `roberta.`, which sentence-transformers checkpoints lack, leaves RoBERTa's
    token-type embedding out (it is added to every token, so here it goes into the position embedding), and gives BERT
    the approximate GELU where the checkpoints were trained with the exact one.

    Args:
        directory: a checkpoint, see `SentenceEncoder`.

    Returns:
        `keras.Model` from a dictionary (token_ids, padding_mask, and segment_ids for BERT; int32 (batch, length)) to
        the last hidden states, float32 (batch, length, dimension). Its weights are frozen.

    Raises:
        DataError: see `SentenceEncoder`.
    """
    import keras
    import keras_nlp

    directory = Path(directory)
    config = _config(directory)
    weights = _weights(directory, config)
    _check_sizes(directory, config, weights)
    build = {"bert": keras_nlp.models.BertBackbone, "roberta": keras_nlp.models.RobertaBackbone}[config["model_type"]]
    segments = {"num_segments": config["type_vocab_size"]} if config["model_type"] == "bert" else {}
    # Initial values that are overwritten below must not move the random state that a training run starts from.
    state = random.getstate()
    backbone = build(
        vocabulary_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        intermediate_dim=config["intermediate_size"],
        max_sequence_length=_positions(config),
        dtype="float32",
        **segments,
    )
    random.setstate(state)
    for layer in backbone.transformer_layers:
        layer._feedforward_intermediate_dense.activation = keras.activations.gelu
    for variable in backbone.trainable_variables:
        if not variable.path.startswith("pooled_dense"):
            variable.assign(_take(directory, weights, variable))
    left = [name for name in weights if name.startswith(("embeddings.", "encoder."))]
    if left:
        raise DataError(f"{directory / 'model.safetensors'} has weights that its config.json does not: {_listed(left)}")
    backbone.trainable = False
    outputs = backbone.output
    return keras.Model(backbone.input, outputs["sequence_output"] if isinstance(outputs, dict) else outputs)


def _check_sizes(directory, config, weights):
    """Refuses a config.json that promises larger weights than there are, before any memory is taken for them."""
    last, where = f"encoder.layer.{config['num_hidden_layers'] - 1}", directory / "model.safetensors"
    expected = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], config["hidden_size"]),
        "embeddings.position_embeddings.weight": (_positions(config), config["hidden_size"]),
        f"{last}.intermediate.dense.weight": (config["intermediate_size"], config["hidden_size"]),
    }
    if config["model_type"] == "bert":
        expected["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], config["hidden_size"])
    for name, shape in expected.items():
        if name not in weights:
            raise DataError(f"{where} has no weights {name}")
        if weights[name].shape != shape:
            raise DataError(f"{where}: {name} is {weights[name].shape}, its config.json makes it {shape}")


def _take(directory, weights, variable):
    """Takes a variable's value out of `weights`, in the variable's shape."""
    *layers, kind = variable.path.split("/")
    name = f"{_LAYERS[layers[-1]]}.{_VARIABLES[kind]}"
    if layers[0].startswith("transformer_layer_"):
        name = f"encoder.layer.{layers[0].removeprefix('transformer_layer_')}.{name}"
    where = directory / "model.safetensors"
    if name not in weights:
        raise DataError(f"{where} has no weights {name}")
    value = weights.pop(name)
    if value.size != math.prod(variable.shape):
        raise DataError(f"{where}: {name} is {value.shape}, its config.json makes it {tuple(variable.shape)}")
    if not np.isfinite(value).all():
        raise DataError(f"{where}: {name} has values that are not finite")
    return (value.T if kind == "kernel" else value).reshape(variable.shape)


def _weights(directory, config):
    """{name without the prefix of a model with a head: float32 array}."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = _existing(directory, "model.safetensors")
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, KeyError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    weights = {}
    for name, array in arrays.items():
        name = name.removeprefix(config["model_type"] + ".").replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        if not name.endswith("position_ids"):
            weights[name] = array.astype("float32")
    positions, types = (f"embeddings.{kind}_embeddings.weight" for kind in ("position", "token_type"))
    if config["model_type"] == "roberta" and positions in weights:
        first = weights.pop(types)[:1] if types in weights else 0
        weights[positions] = weights[positions][_offset(config) :] + first
    return weights


def _config(directory):
    """The checkpoint's config.json, checked."""
    path = _existing(directory, "config.json")
    config = {"pad_token_id": 1, "type_vocab_size": 2} | _json(path)
    kind = config.get("model_type")
    if kind not in _LAYER_NORM_EPSILON:
        raise DataError(f"{path}: model_type is {kind!r}, wanted is {' or '.join(_LAYER_NORM_EPSILON)}")
    sizes = ("vocab_size", "num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
    least = dict.fromkeys((*sizes, "type_vocab_size"), 1)
    if kind == "roberta":
        least["pad_token_id"] = 0
    least["max_position_embeddings"] = 1
    for key, bound in least.items():
        if type(config.get(key)) is not int or config[key] < bound:
            raise DataError(f"{path}: {key} must be an int >= {bound}, got {config.get(key)!r}")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise DataError(
            f"{path}: hidden_size {config['hidden_size']} is no multiple of {config['num_attention_heads']} heads"
        )
    fixed = {
        "layer_norm_eps": (config.get("layer_norm_eps", 1e-12), _LAYER_NORM_EPSILON[kind]),
        "hidden_act": (config.get("hidden_act", "gelu"), "gelu"),
        "position_embedding_type": (config.get("position_embedding_type", "absolute"), "absolute"),
    }
    for key, (got, wanted) in fixed.items():
        if got != wanted:
            raise DataError(f"{path}: {key} is {got!r}, keras-nlp's {kind} backbone has {wanted!r}")
    return config


def _offset(config):
    """RoBERTa counts positions from padding_idx + 1."""
    return config["pad_token_id"] + 1 if config["model_type"] == "roberta" else 0


def _positions(config):
    return config["max_position_embeddings"] - _offset(config)


def _max_length(directory, config):
    path = directory / _LENGTH_FILE
    length = _json(_existing(directory, _LENGTH_FILE)).get("max_seq_length") if path.exists() else None
    if length is not None and (not isinstance(length, int) or length < 1):
        raise DataError(f"{path}: max_seq_length must be an int >= 1, got {length!r}")
    return min(length or _positions(config), _positions(config))


def _tokenizer(directory, max_length):
    from tokenizers import Tokenizer

    path = _existing(directory, "tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise DataError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def _json(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds a {type(value).__name__}, wanted is an object")
    return value


def _existing(directory, name):
    path = Path(directory) / name
    if path.is_file():
        if (size := path.stat().st_size) > _LARGEST.get(name, size):
            raise DataError(f"{path} has {size:,} bytes, at most {_LARGEST[name]:,} are expected")
        return path
    what = f"no {name} in {directory}"
    if name == "model.safetensors" and (Path(directory) / "pytorch_model.bin").exists():
        what += " (its pytorch_model.bin is a pickle and not read; save_pretrained of transformers writes safetensors)"
    raise DataError(f"{what}; a sentence encoder's directory holds {_listed(FILES)}")


def _listed(names):
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
