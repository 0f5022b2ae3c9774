"""A trained network as a directory that a worker can serve: graph, items, manifest; whole or not at all, and checked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from models.encoder.errors import ModelError
from models.encoder.export import put_in_place
from models.encoder.manifest import MANIFEST_FILE, file_sha256
from models.encoder.onnx_encoder import import_runtime
from models.sequence import parity
from models.sequence.graph import Shape, Weights, build_graph
from models.sequence.items import ItemFile, write_items
from models.sequence.manifest import GRAPH_FILE, ITEMS_FILE, SequenceManifest, read_manifest, write_manifest
from models.sequence.model import open_session


class Trained(NamedTuple):
    """What is exported."""

    shape: Shape
    weights: Weights
    """By the names that `models.sequence.graph` reads."""
    items: ItemFile
    text_model: str | None
    trained_until_ms: int
    metrics: dict[str, Any]
    privacy: dict[str, Any] | None = None
    """What people were promised and what was spent; None: it was not trained privately."""


def export(
    trained: Trained,
    out: Path,
    reference: tuple[str, parity.Reference],
    *,
    beside: Callable[[Path, str], None] | None = None,
) -> SequenceManifest:
    """Write `out`; an older model there is replaced in one move.

    Args:
        trained: the network.
        out: its parent is created.
        reference: who computed the queries that the graph must give, and how.
        beside: `beside(directory, model_version)` writes more files (a report) before the directory is put in place.

    Raises:
        ModelError: the graph is not the network (`models.sequence.parity`), something else is at `out`, or the disk is full.
    """
    import onnx  # noqa: PLC0415  (only an export needs it)

    runtime = import_runtime()
    refuse_other(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
            made = Path(name) / "model"
            made.mkdir()
            graph = build_graph(trained.weights, trained.shape)
            onnx.checker.check_model(graph)
            onnx.save(graph, str(made / GRAPH_FILE))
            write_items(made / ITEMS_FILE, trained.items)
            asked = parity.made_up(len(trained.items.ids), trained.shape.length)
            session = open_session(runtime, made / GRAPH_FILE, 1)
            expected = reference[0], reference[1](asked)
            measured = parity.measure(session, trained.shape.kind, trained.items.vectors, asked, expected)
            parity.check(measured)
            manifest = SequenceManifest(
                kind=trained.shape.kind,
                dims=trained.shape.dims,
                length=trained.shape.length,
                items=len(trained.items.ids),
                text_model=trained.text_model,
                text_dims=trained.items.project.shape[0],
                trained_until_ms=trained.trained_until_ms,
                graph_sha256=file_sha256(made / GRAPH_FILE),
                items_sha256=file_sha256(made / ITEMS_FILE),
                parity=measured,
                metrics=trained.metrics,
                privacy=trained.privacy,
            )
            if beside is not None:
                beside(made, manifest.model_version)
            write_manifest(made, manifest)
            put_in_place(made, out)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}.", "choose another directory") from None
    return manifest


def refuse_other(out: Path) -> None:
    """Only an older sequence model or an empty directory may be replaced: an encoder has a manifest too.

    Raises:
        ModelError: something else is there.
    """
    problem = ModelError(f"{out} exists and is not a sequence model.", "choose another --out")
    if out.exists() and not out.is_dir():
        raise problem
    if out.is_dir() and any(out.iterdir()):
        if not (out / MANIFEST_FILE).is_file():
            raise problem
        try:
            read_manifest(out)
        except ModelError:
            raise problem from None
