"""A model as its makers published it: a Hugging Face or sentence-transformers directory, or a hub id."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast, get_args

import numpy as np

from models.encoder.errors import ModelError
from models.encoder.graph import Shape, Weights
from models.encoder.manifest import TOKENIZER_FILE, Pooling, file_sha256

ROBERTA_LIKE: Final = frozenset({"roberta", "xlm-roberta", "camembert"})
BERT_LIKE: Final = frozenset({"bert", *ROBERTA_LIKE, "electra"})
FAMILIES: Final = tuple(sorted({*BERT_LIKE, "distilbert"}))

WEIGHTS_FILE: Final = "model.safetensors"
_WANTED: Final = ("*.json", "*.txt", WEIGHTS_FILE, "1_Pooling/*")
_MODULES: Final = {"Transformer", "Pooling", "Normalize"}
_POOLING_FLAGS: Final[dict[str, Pooling]] = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max",
}  # fmt: skip

# Prompts that the makers give in their model card only. Matched against the model's name.
_KNOWN_PROMPTS: Final = (
    (re.compile(r"\be5-", re.IGNORECASE), {"query": "query: ", "passage": "passage: "}),
    (re.compile(r"\bbge-.*-zh", re.IGNORECASE), {"query": "为这个句子生成表示以用于检索相关文章："}),
)
_PROMPT_NAMES: Final = {"query": "query", "passage": "passage", "document": "passage"}


class Source(NamedTuple):
    """A directory that can be exported, and what its files say."""

    directory: Path
    name: str
    revision: str
    architecture: str
    shape: Shape
    max_tokens: int
    prompts: dict[str, str]
    tokenizer_json: str


def find_source(
    model: str,
    *,
    name: str | None = None,
    pooling: Pooling | None = None,
    max_tokens: int | None = None,
    prompts: dict[str, str] | None = None,
) -> Source:
    """Read what is to be exported; the arguments win over what the files say.

    Args:
        model: a directory, or the id of a model on the Hugging Face hub.

    Raises:
        ModelError: it is neither, a file is missing, or the model is of a kind that cannot be exported.
    """
    directory = Path(model)
    if not directory.is_dir():
        directory = _download(model)
    config = _json(directory / "config.json", required=True)
    architecture = str(config.get("model_type"))
    if architecture not in FAMILIES:
        raise ModelError(f"{model}: architecture {architecture!r} is not supported.", f"one of {', '.join(FAMILIES)}")
    _refuse_other_modules(directory, model)
    shape = _shape(directory, config, architecture, pooling or _pooling(directory, model))
    weights = directory / WEIGHTS_FILE
    if not weights.is_file():
        raise ModelError(f"{directory} has no {WEIGHTS_FILE}.", "save the model with transformers' save_pretrained")
    # A model that is packed into a Python package or a cache lies in a directory called `model` or by a commit.
    name = name or str(config.get("_name_or_path") or "").strip("./") or directory.resolve().name
    longest = _max_tokens(directory, config, shape)
    if max_tokens is not None and not 3 <= max_tokens <= longest:
        raise ModelError(f"{model} takes 3 to {longest} tokens, not {max_tokens}.", "change --max-tokens")
    chosen = max_tokens or longest
    return Source(
        directory=directory,
        name=name,
        revision=file_sha256(weights)[:12],
        architecture=architecture,
        shape=shape,
        max_tokens=chosen,
        prompts=_prompts(directory, f"{name} {model}") if prompts is None else prompts,
        tokenizer_json=_tokenizer_json(directory, chosen),
    )


def load_weights(source: Source) -> Weights:
    """All weights of a source as arrays, under their own names.

    Raises:
        ModelError: the file is damaged.
    """
    from safetensors import SafetensorError  # noqa: PLC0415  (only an export needs it)
    from safetensors.numpy import load_file  # noqa: PLC0415

    try:
        weights: Weights = load_file(source.directory / WEIGHTS_FILE)
    except (SafetensorError, OSError, KeyError, TypeError) as error:  # the last two: a dtype that NumPy does not have
        raise ModelError(
            f"{source.directory / WEIGHTS_FILE} cannot be read: {error}.", "save the model anew, in float32"
        ) from None
    return weights


def _download(model: str) -> Path:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith("."):
        raise ModelError(f"{model} is not a directory.", "give a model's directory or its hub id")
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415

        return Path(snapshot_download(model, allow_patterns=list(_WANTED)))
    except ImportError:
        raise ModelError(f"{model} is not a directory.", "install the extra encoder-cpu to load from a hub") from None
    except Exception as error:  # noqa: BLE001  (the library's edge: HTTP, DNS, proxy and hub errors of five packages)
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ModelError(
            f"{model} is not a directory here and could not be had from the hub ({reason[0][:160]}).",
            "give a model's directory",
        ) from None


def _json(path: Path, *, required: bool = False) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ModelError(f"{path.parent} is not a model directory (no {path.name}).", "see --help") from None
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", "download the model again") from None
    return value if isinstance(value, dict) else {"list": value}


def _refuse_other_modules(directory: Path, model: str) -> None:
    """A head after the pooling (Dense, say) changes the vectors; leaving it out would be silently wrong."""
    for module in _json(directory / "modules.json").get("list", []):
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind not in _MODULES:
            raise ModelError(f"{model} has a module {kind}, which cannot be exported.", "choose a model without it")


def _pooling(directory: Path, model: str) -> Pooling:
    said = _json(directory / "1_Pooling" / "config.json")
    if not said:
        return "mean"
    mode = said.get("pooling_mode")  # newer sentence-transformers say it in one word
    if mode in get_args(Pooling):
        return cast("Pooling", mode)
    flags = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if len(flags) != 1 or flags[0] not in _POOLING_FLAGS:
        raise ModelError(f"{model}: pooling {', '.join(flags) or mode} is not supported.", "mean, cls or max")
    return _POOLING_FLAGS[flags[0]]


def _shape(directory: Path, config: dict[str, Any], architecture: str, pooling: Pooling) -> Shape:
    distil = architecture == "distilbert"
    activation = config.get("activation" if distil else "hidden_act", "gelu")
    if activation != "gelu":
        raise ModelError(f"{directory}: activation {activation!r} is not supported.", "choose a model with gelu")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ModelError(f"{directory}: only absolute position embeddings are supported.", "choose another model")
    hidden = int(config["dim"] if distil else config["hidden_size"])
    if int(config.get("embedding_size", hidden)) != hidden:
        raise ModelError(f"{directory}: embeddings narrower than the layers are not supported.", "choose another model")
    return Shape(
        layers=int(config["n_layers"] if distil else config["num_hidden_layers"]),
        heads=int(config["n_heads"] if distil else config["num_attention_heads"]),
        hidden=hidden,
        position_offset=int(config.get("pad_token_id", 1)) + 1 if architecture in ROBERTA_LIKE else 0,
        epsilon=1e-12 if distil else float(config.get("layer_norm_eps", 1e-12)),
        pooling=pooling,
        prefix=_prefix(directory, "distilbert" if distil else architecture),
        naming="distilbert" if distil else "bert",
    )


def _prefix(directory: Path, architecture: str) -> str:
    """Weights saved with a head on top have the model's own name in front."""
    path = directory / WEIGHTS_FILE
    try:
        with path.open("rb") as file:
            names = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except (OSError, ValueError, MemoryError):
        return ""
    base = {"xlm-roberta": "roberta", "camembert": "roberta"}.get(architecture, architecture)
    return next((p for p in ("", f"{base}.") if f"{p}embeddings.word_embeddings.weight" in names), "")


def _max_tokens(directory: Path, config: dict[str, Any], shape: Shape) -> int:
    longest = int(config["max_position_embeddings"]) - shape.position_offset
    said = _json(directory / "sentence_bert_config.json").get("max_seq_length")
    if said is None:
        said = _json(directory / "tokenizer_config.json").get("model_max_length")
    return min(longest, int(said)) if isinstance(said, int | float) and said > 0 else longest


def _prompts(directory: Path, names: str) -> dict[str, str]:
    said = _json(directory / "config_sentence_transformers.json").get("prompts") or {}
    found = {_PROMPT_NAMES[name]: text for name, text in said.items() if name in _PROMPT_NAMES and text}
    if found:
        return found
    return next((dict(prompts) for pattern, prompts in _KNOWN_PROMPTS if pattern.search(names)), {})


def _tokenizer_json(directory: Path, max_tokens: int) -> str:
    """The fast tokenizer: its own truncation, no padding (the encoder pads to the longest of a batch)."""
    tokenizers = _tokenizers()
    path = directory / TOKENIZER_FILE
    try:
        if path.is_file():
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        elif (directory / "vocab.txt").is_file():
            said = _json(directory / "tokenizer_config.json")
            tokenizer = tokenizers.BertWordPieceTokenizer(
                str(directory / "vocab.txt"),
                lowercase=bool(said.get("do_lower_case", True)),
                handle_chinese_chars=bool(said.get("tokenize_chinese_chars", True)),
                strip_accents=said.get("strip_accents"),
            )._tokenizer
        else:
            raise ModelError(
                f"{directory} has no {TOKENIZER_FILE} and no vocab.txt.",
                "save the model's fast tokenizer: AutoTokenizer.from_pretrained(..).save_pretrained(..)",
            )
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  (tokenizers raises nothing more particular)
        raise ModelError(f"{path} cannot be read: {error}.", "download the model again") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    text: str = tokenizer.to_str()
    return text


def _tokenizers() -> Any:
    try:
        import tokenizers  # noqa: PLC0415
    except ImportError:
        raise ModelError("the package tokenizers is not installed.", "install the extra encoder-cpu") from None
    return tokenizers


def weights_sha256(source: Source) -> str:
    """Hex SHA-256 of the weights file."""
    return file_sha256(source.directory / WEIGHTS_FILE)


def text_sha256(text: str) -> str:
    """Hex SHA-256 of a text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


Progress = Callable[[str], None]
"""Told, in a few words, what is being done now."""


def as_float32(weights: Weights) -> Weights:
    """Half-precision weights widened: a graph that claims fp32 must not compute in less."""
    return {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in weights.items()}
