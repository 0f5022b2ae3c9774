"""What an exported model directory says about itself: `manifest.json` beside the graphs and the tokenizer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from models.encoder.errors import ModelError

MANIFEST_FILE, TOKENIZER_FILE = "manifest.json", "tokenizer.json"
SCHEMA_VERSION = 1

Precision = Literal["fp32", "fp16", "int8"]
Pooling = Literal["mean", "cls", "max"]
GRAPH_FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far a graph's vectors are from the reference's, over the parity texts."""

    reference: str
    """Who computed the reference: `transformers 5.17 (torch 2.15)`, `golden vectors`, `numpy`."""
    texts: int
    max_abs_error: float
    min_cosine: float
    batch_error: float
    """Largest component difference between a text alone and in a mixed batch."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """One ONNX file."""

    file: str
    sha256: str
    parity: Parity


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is needed to use the directory, and to tell its vectors from those of another model."""

    schema_version: int = SCHEMA_VERSION
    name: str
    revision: str
    """Hub commit, or the first 12 hex digits of the weights' SHA-256."""
    architecture: str
    dims: int
    max_tokens: int
    pooling: Pooling
    layers: int
    prompts: dict[str, str]
    """Role -> what is put before the text."""
    tokenizer_sha256: str
    attention: Literal["fused", "portable"]
    graphs: dict[Precision, Graph]

    def model_version(self, precision: Precision) -> str:
        """Differs whenever a vector could: graph, tokenizer, prompts or maximum length."""
        prompts = sorted(self.prompts.items())
        said = f"{self.graphs[precision].sha256}{self.tokenizer_sha256}{self.max_tokens}{prompts}"
        return f"{self.name}@{self.revision}/{precision}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an exported model.

    Raises:
        ModelError: there is none, or another version of Penchant wrote it.
    """
    path = directory / MANIFEST_FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError:
        raise ModelError(
            f"{directory} is not an exported encoder (no {MANIFEST_FILE}).",
            "make one with `penchant encoder export MODEL --out DIRECTORY`",
        ) from None
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path} cannot be understood: {error}.", "export the model again") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise ModelError(f"{path} has version {manifest.schema_version}.", "export the model again")
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write it last: a directory without one is an export that was interrupted."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    (directory / MANIFEST_FILE).write_bytes(text)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
