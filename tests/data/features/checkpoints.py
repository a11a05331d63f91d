"""Small random sentence-transformers checkpoints, and sentences that bring out how they are tokenised."""

import json

import numpy as np

SENTENCES = [
    "This earthy wine opens with aromas of ripe plum, tilled earth and game.",
    "A ripe, fruity wine.",
    "A  ripe,   fruity\n wine.  ",
    "",
    "Château d'Yquem, naïve café: 90-92 points!",
    "漢字 and 😀 are in no vocabulary",
    "ripe plum " * 60,
]


def write_checkpoint(directory, kind, seed=0, max_length=24, **config):
    """Writes a checkpoint of two layers; `kind` is bert or roberta, `config` is laid over its config.json."""
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = (_wordpiece if kind == "bert" else _byte_pairs)()
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "model_type": kind,
        "architectures": ["BertModel" if kind == "bert" else "RobertaModel"],
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12 if kind == "bert" else 1e-5,
        "max_position_embeddings": 48,
        "type_vocab_size": 2 if kind == "bert" else 1,
        "pad_token_id": 0 if kind == "bert" else 1,
    } | config
    size, inner = config["hidden_size"], config["intermediate_size"]
    weights = {}

    def add(name, *shape):
        weights[f"{name}.weight"] = rng.normal(0, 0.5, shape).astype("float32")
        if name.endswith("LayerNorm"):
            weights[f"{name}.weight"] += 1
        if "_embeddings" not in name:
            weights[f"{name}.bias"] = rng.normal(0, 0.5, shape[:1]).astype("float32")

    for name, rows in (
        ("word", "vocab_size"),
        ("position", "max_position_embeddings"),
        ("token_type", "type_vocab_size"),
    ):
        add(f"embeddings.{name}_embeddings", config[rows], size)
    add("embeddings.LayerNorm", size)
    for i in range(config["num_hidden_layers"]):
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            add(f"encoder.layer.{i}.attention.{name}", size, size)
        add(f"encoder.layer.{i}.intermediate.dense", inner, size)
        add(f"encoder.layer.{i}.output.dense", size, inner)
        for name in ("attention.output", "output"):
            add(f"encoder.layer.{i}.{name}.LayerNorm", size)
    add("pooler.dense", size, size)
    write_weights(directory, weights)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_length}))
    return directory


def read_weights(directory):
    """{name: array} of model.safetensors."""
    from safetensors.numpy import load_file

    return load_file(directory / "model.safetensors")


def write_weights(directory, weights):
    """Writes model.safetensors as transformers does."""
    from safetensors.numpy import save_file

    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def _wordpiece():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(SENTENCES[:2], trainers.WordPieceTrainer(vocab_size=90, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # all-MiniLM-L6-v2's file asks for padding to 128 tokens; what is asked for there must not matter.
    tokenizer.enable_padding(length=32)
    return tokenizer


def _byte_pairs():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES[:2], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer
