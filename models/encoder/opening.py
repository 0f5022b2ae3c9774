"""Which encoder a configuration means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from models.encoder.contract import Encoder
from models.encoder.default_model import default_model
from models.encoder.errors import ModelError
from models.encoder.hashing_encoder import HashingEncoder
from models.encoder.manifest import MANIFEST_FILE
from models.encoder.onnx_encoder import OnnxEncoder, Provider, choose_provider, import_runtime
from models.encoder.remote_encoder import RemoteEncoder
from models.encoder.source import Progress


class EncoderChoice(NamedTuple):
    """What the settings `encoder_*` say."""

    model: str
    """`default`, `hashing`, a directory made by the export, or, with `remote_url`, the name in the request."""
    provider: Provider = "auto"
    threads: int = 0
    device: int = 0
    cache_dir: Path = Path("~/.cache/penchant")
    remote_url: str | None = None
    remote_api_key: str | None = None
    remote_timeout_s: float = 10.0
    remote_max_tokens: int = 256
    prompts: Mapping[str, str] = {}
    """Of a remote model; an exported one has its own."""


def open_encoder(choice: EncoderChoice, progress: Progress = lambda _: None) -> Encoder:
    """Load, connect or make the encoder. Nothing else is tried when the one that is meant cannot be had.

    Raises:
        ModelError: why not, and what to set.
    """
    if choice.remote_url is not None:
        return RemoteEncoder(
            choice.remote_url,
            choice.model,
            api_key=choice.remote_api_key,
            timeout_s=choice.remote_timeout_s,
            max_tokens=choice.remote_max_tokens,
            prompts=choice.prompts,
        )
    if choice.model == "hashing":
        return HashingEncoder()
    if choice.model == "default":
        provider = choose_provider(choice.provider, import_runtime().get_available_providers())
        directory = default_model(choice.cache_dir, fp16=provider != "cpu", progress=progress)
    else:
        directory = Path(choice.model).expanduser()
        if not (directory / MANIFEST_FILE).is_file():
            raise ModelError(
                f"encoder_model {choice.model!r} is not a directory with an exported encoder.",
                "make one with `penchant encoder export MODEL --out DIRECTORY`, or set `default`, `none` or `hashing`",
            )
    return OnnxEncoder(directory, provider=choice.provider, threads=choice.threads, device=choice.device)
