"""Is an exported graph the network it was made from? Measured on made-up histories of every length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I8
from models.encoder.errors import ModelError
from models.sequence.features import times_of
from models.sequence.graph import inputs_of
from models.sequence.manifest import Parity

Reference = Callable[["Questions"], F4]
"""The network's own queries, (b, d)."""

MAX_ABS_ERROR: Final = 1e-3
"""Queries are normalised, so their components are of about 1."""
MIN_COSINE: Final = 0.99999
BATCH_ERROR: Final = 1e-4
_START_MS: Final = 1_500_000_000_000
_LONGEST_GAP_S: Final = 9.0  # powers of ten


class Questions(NamedTuple):
    """b histories as `SequenceModel.queries` takes them."""

    rows: NDArray[np.int32]
    times_ms: I8
    lengths: I8
    now_ms: I8


def made_up(n_items: int, length: int, n: int = 48) -> Questions:
    """Histories of no, one, all and any number of items, with gaps from none to years; the same for the same sizes."""
    rng = np.random.default_rng([n_items, length])
    rows = rng.integers(0, max(n_items, 1), (n, length)).astype(np.int32)
    gaps = np.where(rng.random((n, length + 1)) < 0.2, 0, 1000 * 10 ** (rng.random((n, length + 1)) * _LONGEST_GAP_S))
    times = _START_MS + np.cumsum(gaps.astype(np.int64) // 8, axis=1)
    lengths = np.concatenate(([0, 1, length], rng.integers(0, length + 1, n - 3))).astype(np.int64)
    if not n_items:
        lengths[:] = 0
    now = np.take_along_axis(times, lengths[:, None], axis=1)[:, 0]
    return Questions(rows, times[:, :length], lengths, now)


def measure(session: Any, kind: str, vectors: F4, asked: Questions, expected: tuple[str, F4]) -> Parity:
    """Compare a session's queries with the network's, alone and in one mixed batch.

    Args:
        session: of the graph.
        kind: of the graph.
        vectors: (n, d) of all items.
        asked: the histories.
        expected: who computed them, and the queries.
    """

    def run(rows: slice) -> F4:
        lengths = asked.lengths[rows]
        width = int(lengths.max())
        times = times_of(asked.times_ms[rows, :width], lengths, asked.now_ms[rows])
        items = vectors[asked.rows[rows, :width]]
        found: F4 = session.run(["queries"], inputs_of(kind, items, times, lengths))[0]
        return found

    n = len(asked.lengths)
    alone = np.concatenate([run(slice(i, i + 1)) for i in range(n)])
    mixed = run(slice(0, n))
    who, right = expected
    lengths = np.linalg.norm(alone, axis=1) * np.linalg.norm(right, axis=1)
    return Parity(
        reference=who,
        histories=n,
        max_abs_error=float(np.abs(alone - right).max()),
        min_cosine=float(((alone * right).sum(axis=1) / lengths).min()),
        batch_error=float(np.abs(alone - mixed).max()),
    )


def check(parity: Parity) -> None:
    """Refuse a graph that is not the network, or whose queries depend on their neighbours.

    Raises:
        ModelError: with what was measured and the bound.
    """
    for name, value, bound, good in (
        ("max abs error", parity.max_abs_error, MAX_ABS_ERROR, parity.max_abs_error <= MAX_ABS_ERROR),
        ("min cosine", parity.min_cosine, MIN_COSINE, parity.min_cosine >= MIN_COSINE),
        ("batch error", parity.batch_error, BATCH_ERROR, parity.batch_error <= BATCH_ERROR),
    ):
        if not good:  # also for NaN
            raise ModelError(
                f"the exported graph differs from {parity.reference}: {name} {value:.2g}, allowed {bound:g}.",
                "report this, with the command that was run",
            )
