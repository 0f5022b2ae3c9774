"""An exported sequence model on ONNX Runtime: histories in, the likeliest next items out.

The graph makes a query of a history; an item's score is `query @ vector + bias`, and its probability the softmax over all.
Items are rows of `items` (see `models.sequence.items`), so one that was placed by its text after training is asked for and
answered like any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.encoder.errors import ModelError
from models.encoder.onnx_encoder import import_runtime, session_options
from models.sequence.features import Times, times_of
from models.sequence.graph import KINDS, inputs_of
from models.sequence.items import ItemTable, SequenceItems, read_items
from models.sequence.manifest import GRAPH_FILE, ITEMS_FILE, SequenceManifest, read_manifest
from models.sequence.top_k import TopK, top_k

BATCH_TOLERANCE: Final = 2e-5
"""Largest difference of any component of a query between a history asked alone and in any batch, for components of about 1."""


class SequenceModel:
    """Opened by `open`. `queries` and `top_k` may run in another thread than `items.put`."""

    def __init__(self, session: Any, manifest: SequenceManifest, items: SequenceItems) -> None:
        """For `open` and for tests; `session` is ONNX Runtime's."""
        self._session = session
        self.manifest = manifest
        self.items = items
        self.model_version = manifest.model_version
        self.length = manifest.length

    @classmethod
    def open(cls, directory: Path, *, threads: int = 1) -> Self:
        """Load what `penchant train sequence` wrote, on the CPU.

        Args:
            directory: of the model.
            threads: of one operation; the model is small, and more than one hardly helps it.

        Raises:
            ModelError: there is none, a file is damaged, or ONNX Runtime is not installed.
        """
        runtime = import_runtime()
        manifest = read_manifest(directory)
        items = read_items(directory / ITEMS_FILE)
        if items.vectors.shape != (manifest.items, manifest.dims):
            raise ModelError(f"{directory / ITEMS_FILE} does not hold what the manifest says.", "train the model again")
        if manifest.kind not in KINDS:
            raise ModelError(
                f"{directory} is of a kind {manifest.kind[:40]!r} that is not known here.", "train the model again"
            )
        return cls(open_session(runtime, directory / GRAPH_FILE, threads), manifest, SequenceItems(items))

    @property
    def text_model(self) -> str | None:
        """Version of the encoder whose vectors `items.put` takes; None: trained without text."""
        return self.manifest.text_model

    def queries(self, history: I4, times_ms: I8, lengths: I8, now_ms: I8, table: ItemTable | None = None) -> F4:
        """(u, d) float32 queries; a user's is the same alone and in any batch (`BATCH_TOLERANCE`).

        Args:
            history: (u, t) int32 rows of items, oldest first, at the left; t at most `length`. -1 = an item without a place: it
                counts as an unknown one, and its time counts.
            times_ms: (u, t) int64, ascending.
            lengths: (u,) int64, 0 .. t; what is beyond does not matter.
            now_ms: (u,) int64, when is asked.
            table: the state of the items; None = the current one.

        Raises:
            ValueError: the histories are longer than the model can take.
        """
        users, t = history.shape
        if t > self.length or (users and int(lengths.max()) > t):
            raise ValueError(f"histories of {t} items, {lengths.max(initial=0)} used, for a model of {self.length}")
        width = int(lengths.max(initial=0))  # what nobody uses costs nothing
        times = times_of(times_ms[:, :width], lengths, now_ms)
        return self.queries_of(history[:, :width], times, lengths, table)

    def queries_of(self, history: I4, times: Times, lengths: I8, table: ItemTable | None = None) -> F4:
        """`queries` where the features of time are known already: (u, t + 1) each."""
        if not len(lengths):
            return np.zeros((0, self.manifest.dims), np.float32)
        vectors = self.items.gathered(table or self.items.table, history)
        given = inputs_of(self.manifest.kind, vectors, times, lengths)
        found: F4 = self._session.run(["queries"], given)[0]
        return found

    def top_k(
        self, queries: F4, k: int, allowed: NDArray[np.bool_] | None = None, table: ItemTable | None = None
    ) -> TopK:
        """The k likeliest allowed items of each query; see `models.sequence.top_k`. `allowed`: (m,) bool by row."""
        vectors, biases = table or self.items.table
        return top_k(queries, vectors, biases, k, allowed)


def open_session(runtime: Any, graph: Path | bytes, threads: int) -> Any:
    """A session on the CPU.

    Raises:
        ModelError: ONNX Runtime does not take the graph.
    """
    given = graph if isinstance(graph, bytes) else str(graph)
    try:
        return runtime.InferenceSession(given, session_options(runtime, threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exception types share no base
        raise ModelError(f"the graph cannot be loaded: {str(error)[:300]}", "train the model again") from error
