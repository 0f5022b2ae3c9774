"""Sentence encoders of every family, tiny and random, saved as their makers save them. Needs torch and transformers."""

from __future__ import annotations

import json
from pathlib import Path

VOCABULARY = [
    *(chr(c) for c in range(33, 127)),
    *"无线降噪耳机续航三十小时",
    *["the", "a", "of", "shoes", "red", "long", "text", "word"],
]
POOLING = {
    "mean": {"pooling_mode_mean_tokens": True},
    "cls": {"pooling_mode_cls_token": True},
    "max": {"pooling_mode_max_tokens": True},
}


def tiny_model(directory: Path, family: str, pooling: str = "mean", **sentence) -> Path:
    """Save a model of `family`; `sentence` are keys of sentence_bert_config.json."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _wordpiece(directory) if family in {"bert", "distilbert", "electra"} else _unigram(directory)
    vocabulary = tokenizer.get_vocab_size()
    size = {"vocab_size": vocabulary, "max_position_embeddings": 66}
    if family == "distilbert":
        config = AutoConfig.for_model(family, dim=32, n_layers=2, n_heads=4, hidden_dim=48, **size)
    else:
        offset = {"pad_token_id": 1} if family in {"roberta", "xlm-roberta", "camembert"} else {}
        config = AutoConfig.for_model(
            family, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, **size, **offset,
            **({"embedding_size": 32} if family == "electra" else {}),
        )  # fmt: skip
    model = AutoModel.from_config(config)
    for parameter in model.parameters():  # biases and norms start as 0 and 1, which would hide a missing one
        torch.nn.init.normal_(parameter, std=0.2, mean=0.05)
    model.save_pretrained(directory)
    kinds = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    modules = [
        {"idx": int(i), "name": i, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, path, kind in kinds
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir(exist_ok=True)
    (directory / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, **POOLING[pooling]})
    )
    if sentence:
        (directory / "sentence_bert_config.json").write_text(json.dumps(sentence))
    return directory


def _wordpiece(directory):
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *VOCABULARY, *(f"##{v}" for v in VOCABULARY)]
    (directory / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)) + "\n", encoding="utf-8")
    tokenizer = BertWordPieceTokenizer(str(directory / "vocab.txt"))
    BertTokenizerFast(tokenizer_object=tokenizer._tokenizer).save_pretrained(directory)
    return tokenizer


def _unigram(directory):
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*special, "▁", *VOCABULARY, *(f"▁{v}" for v in VOCABULARY)]
    tokenizer = Tokenizer(Unigram([(piece, -float(i) / 50) for i, piece in enumerate(dict.fromkeys(pieces))], unk_id=3))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="<s>", sep_token="</s>", **names).save_pretrained(
        directory
    )
    return tokenizer
