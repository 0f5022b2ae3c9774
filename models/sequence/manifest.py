"""What an exported sequence model says about itself: `manifest.json` beside the graph and the items."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from models.encoder.errors import ModelError
from models.encoder.manifest import MANIFEST_FILE, file_sha256

GRAPH_FILE, ITEMS_FILE = "model.onnx", "items.npz"
SCHEMA_VERSION = 1


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far the graph's queries are from those of the network it was made from, over made-up histories."""

    reference: str
    histories: int
    max_abs_error: float
    min_cosine: float
    batch_error: float
    """Largest component difference between a history alone and in a mixed batch."""


class SequenceManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is needed to use the directory, and to tell its answers from those of another model."""

    purpose: Literal["sequence"] = "sequence"
    schema_version: int = SCHEMA_VERSION
    kind: str
    dims: int
    length: int
    """Newest items of a history that are looked at."""
    items: int
    """With a learned part."""
    text_model: str | None
    """Version of the encoder whose vectors place an item that training has not seen; None: such an item has no place."""
    text_dims: int
    trained_until_ms: int
    """Time of the newest event it was trained on."""
    graph_sha256: str
    items_sha256: str
    parity: Parity
    metrics: dict[str, Any]
    """Of the test window; plain JSON values."""
    privacy: dict[str, Any] | None = None
    """Of a model that was trained differentially privately: epsilon spent, delta, noise, bound, sampling; else None."""

    @property
    def model_version(self) -> str:
        """Differs whenever an answer could."""
        said = f"{self.graph_sha256}{self.items_sha256}{self.length}"
        return f"sequence-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def read_manifest(directory: Path) -> SequenceManifest:
    """The manifest of an exported sequence model, its files compared with it.

    Raises:
        ModelError: there is none, another version of Penchant wrote it, or a file is not the one it names.
    """
    path = directory / MANIFEST_FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=SequenceManifest)
    except OSError:
        raise ModelError(
            f"{directory} is not a sequence model (no {MANIFEST_FILE}).",
            "make one with `penchant train sequence EVENTS --out DIRECTORY`",
        ) from None
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path} cannot be understood: {error}.", "train the model again") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise ModelError(f"{path} has version {manifest.schema_version}.", "train the model again")
    for name, expected in ((GRAPH_FILE, manifest.graph_sha256), (ITEMS_FILE, manifest.items_sha256)):
        file = directory / name
        if not file.is_file() or file_sha256(file) != expected:
            raise ModelError(f"{file} is missing or not what the manifest says.", "train the model again")
    return manifest


def write_manifest(directory: Path, manifest: SequenceManifest) -> None:
    """Write it last: a directory without one is an export that was interrupted."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    (directory / MANIFEST_FILE).write_bytes(text)
