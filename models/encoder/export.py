"""From a published model to a directory that a worker can serve: graphs, tokenizer, manifest, each checked."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.encoder import parity
from models.encoder.errors import ModelError
from models.encoder.graph import Attention, Weights, build_graph
from models.encoder.manifest import (
    GRAPH_FILES,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    Graph,
    Manifest,
    Precision,
    file_sha256,
    write_manifest,
)
from models.encoder.onnx_encoder import import_runtime, session_options
from models.encoder.source import Progress, Source, as_float32, load_weights, text_sha256, weights_sha256
from models.encoder.tokens import Tokeniser

Reference = Callable[[Source], tuple[str, NDArray[np.float32]] | None]
"""`(who, (parity texts, dims) float32)` of a source, None if it cannot be had here."""

FUSED_OP: Final = "Attention"


def export(
    source: Source,
    out: Path,
    *,
    precisions: tuple[Precision, ...] = ("fp32",),
    attention: Attention = "fused",
    reference: Reference | None = None,
    progress: Progress = lambda _: None,
) -> Manifest:
    """Write `out`, whole or not at all; what is there is replaced.

    Args:
        source: what to export.
        out: the directory; its parent is created.
        precisions: graphs to write; fp32 is always one of them.
        attention: `portable` for TensorRT.
        reference: tried before the golden vectors: transformers, where it is installed.
        progress: told what is being done.

    Raises:
        ModelError: a graph is not the model (see `parity`), nothing to compare with, or the disk is in the way.
    """
    runtime = import_runtime()
    progress("computing reference vectors")
    expected = (reference(source) if reference else None) or parity.golden_vectors(
        weights_sha256(source), source.max_tokens
    )
    if expected is None:
        raise ModelError(
            f"the export of {source.name} cannot be checked without transformers.", "install the extra train"
        )
    weights = as_float32(load_weights(source))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
            made = Path(name) / "model"
            made.mkdir()
            (made / TOKENIZER_FILE).write_text(source.tokenizer_json, encoding="utf-8")
            graphs: dict[Precision, Graph] = {}
            for precision in dict.fromkeys(("fp32", *precisions)):
                progress(f"writing the {precision} graph")
                graphs[precision] = _graph(runtime, source, weights, made, precision, attention, expected)
            manifest = _manifest(source, attention, graphs)
            write_manifest(made, manifest)
            put_in_place(made, out)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}.", "choose another directory") from None
    return manifest


def count_nodes(path: Path, kind: str, runtime: Any) -> int:
    """Nodes of a kind in the graph as ONNX Runtime optimises it for the CPU."""
    import onnx  # noqa: PLC0415  (only an export needs it)

    with tempfile.TemporaryDirectory() as scratch:
        options = session_options(runtime, 1)
        options.optimized_model_filepath = str(Path(scratch) / "optimised.onnx")
        runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        optimised = onnx.load(options.optimized_model_filepath, load_external_data=False)
    return sum(node.op_type == kind for node in optimised.graph.node)


def _graph(
    runtime: Any,
    source: Source,
    weights: Weights,
    directory: Path,
    precision: Precision,
    attention: Attention,
    expected: tuple[str, NDArray[np.float32]],
) -> Graph:
    path = directory / GRAPH_FILES[precision]
    try:
        if precision == "int8":
            from models.encoder.quantise import quantise  # noqa: PLC0415

            quantise(build_graph(weights, source.shape, "portable", np.float32), source.tokenizer_json, path)
        else:
            _save(
                build_graph(weights, source.shape, attention, np.float16 if precision == "fp16" else np.float32), path
            )
    except KeyError as error:
        raise ModelError(
            f"{source.directory} has no weight {error}: not a complete {source.architecture} model.",
            "download the model again",
        ) from None
    if precision == "fp32" and attention == "fused":
        found = count_nodes(path, FUSED_OP, runtime)
        if found != source.shape.layers:
            raise ModelError(
                f"{source.name}: {found} fused attention nodes for {source.shape.layers} layers.",
                "export with --portable, and report this",
            )
    session = runtime.InferenceSession(str(path), session_options(runtime, 0), providers=["CPUExecutionProvider"])
    tokeniser = Tokeniser(source.tokenizer_json, {})  # the reference has no prompts either
    measured = parity.measure(session, tokeniser, expected)
    parity.check(measured, precision)
    return Graph(file=path.name, sha256=file_sha256(path), parity=measured)


def _save(model: Any, path: Path) -> None:
    import onnx  # noqa: PLC0415  (only an export needs it)

    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _manifest(source: Source, attention: Attention, graphs: dict[Precision, Graph]) -> Manifest:
    return Manifest(
        name=source.name,
        revision=source.revision,
        architecture=source.architecture,
        dims=source.shape.hidden,
        max_tokens=source.max_tokens,
        pooling=source.shape.pooling,
        layers=source.shape.layers,
        prompts=source.prompts,
        tokenizer_sha256=text_sha256(source.tokenizer_json),
        attention=attention,
        graphs=graphs,
    )


def refuse_other(out: Path) -> None:
    """Only an older export or an empty directory may be replaced.

    Raises:
        ModelError: something else is there.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST_FILE).is_file())):
        raise ModelError(f"{out} exists and is not an exported encoder.", "choose another --out")


def put_in_place(made: Path, out: Path) -> None:
    """Put a finished directory in the place of `out`. Both must be on one file system.

    Raises:
        ModelError: as `refuse_other`.
    """
    refuse_other(out)
    for path in made.iterdir():
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    if out.exists():
        old = made.parent / "old"
        out.rename(old)
        made.rename(out)
        shutil.rmtree(old)
    else:
        made.rename(out)
