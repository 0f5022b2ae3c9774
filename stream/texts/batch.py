"""One batch through the encoder, whatever happens: every text gets a vector or a reason. No threads, no queue.

A failing batch is tried once more, then cut in two until the text to blame stands alone. A batch that is too large for the
device is cut without blame and lowers the budget. If a text that is known to be good fails too, it is the encoder that is
broken: then no text is blamed and `EncoderBrokenError` is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Encoder, Prepared
from models.encoder.errors import OutOfMemoryError

Reason = Literal[
    "empty", "queue_full", "too_late", "failed", "out_of_memory", "not_finite", "zero_norm", "killed_encoder",
    "quarantined", "encoder_down", "stopped",
]  # fmt: skip
REASONS: Final[tuple[Reason, ...]] = (
    "empty", "queue_full", "too_late", "failed", "out_of_memory", "not_finite", "zero_norm", "killed_encoder",
    "quarantined", "encoder_down", "stopped",
)  # fmt: skip

POISONED: Final = frozenset({"failed", "out_of_memory", "not_finite", "zero_norm", "killed_encoder"})
"""Reasons that lie in the text: it is quarantined."""

SMALLEST_BUDGET: Final = 64
GROW_AFTER: Final = 200
"""Batches in a row without trouble after which a lowered budget is doubled again."""

NORM_TOLERANCE: Final = 1e-2


class Refused(NamedTuple):
    """Instead of a vector."""

    reason: Reason
    detail: str = ""


Answer = NDArray[np.float32] | Refused
"""(dims,) float32 of length 1, or why there is none."""


class EncoderBrokenError(Exception):
    """The encoder fails for texts that are good; it has to be made anew."""


class Budget:
    """Tokens a batch may have: the setting, less after the device ran out of memory, and slowly up again."""

    def __init__(self, max_tokens: int) -> None:
        self._configured = self.tokens = max_tokens
        self._good = 0

    def halve(self) -> None:
        """The device had no memory for a batch."""
        self.tokens = max(self.tokens // 2, min(SMALLEST_BUDGET, self._configured))
        self._good = 0

    def good(self) -> None:
        """A batch went through."""
        self._good += 1
        if self._good >= GROW_AFTER and self.tokens < self._configured:
            self.tokens = min(2 * self.tokens, self._configured)
            self._good = 0


class BatchOutcome(NamedTuple):
    """What became of a batch."""

    answers: list[Answer]
    bisections: int


def run_batch(encoder: Encoder, batch: Sequence[Prepared], budget: Budget, probe: Prepared) -> BatchOutcome:
    """Encode; as many answers as texts, in their order.

    Args:
        encoder: called from this thread only.
        batch: at least one text.
        budget: lowered when the device runs out of memory.
        probe: a text that is good for certain.

    Raises:
        EncoderBrokenError: `probe` fails as well.
    """
    run = _Run(encoder, batch, budget, probe)
    run.solve(list(range(len(batch))))
    return BatchOutcome([run.answers[i] for i in range(len(batch))], run.bisections)


class _Run:
    def __init__(self, encoder: Encoder, batch: Sequence[Prepared], budget: Budget, probe: Prepared) -> None:
        self._encoder, self._batch, self._budget, self._probe = encoder, batch, budget, probe
        self._is_proven = False
        self.answers: dict[int, Answer] = {}
        self.bisections = 0

    def solve(self, rows: list[int], *, is_second_try: bool = False) -> None:
        """Fill in the answers of these rows."""
        try:
            vectors = self._encode([self._batch[row] for row in rows])
        except (OutOfMemoryError, MemoryError) as error:
            self._budget.halve()
            self._split(rows, Refused("out_of_memory", _said(error)))
            return
        except Exception as error:  # noqa: BLE001  (a runtime raises anything; who is to blame is found out below)
            if not is_second_try:
                self.solve(rows, is_second_try=True)
                return
            self._prove(error)
            self._split(rows, Refused("failed", _said(error)))
            return
        self._budget.good()
        self._accept(rows, vectors)

    def _split(self, rows: list[int], verdict: Refused) -> None:
        if len(rows) == 1:
            self.answers[rows[0]] = verdict
            return
        self.bisections += 1
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            # A large half is not worth a second try: it most likely holds the same text. One that is blamed is.
            self.solve(half, is_second_try=verdict.reason == "failed" and len(half) > 1)

    def _accept(self, rows: list[int], vectors: NDArray[np.float32]) -> None:
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
        is_good = np.abs(norms - 1.0) <= NORM_TOLERANCE  # False for NaN
        for row, vector, good, norm in zip(rows, vectors, is_good.tolist(), norms.tolist(), strict=True):
            if good:
                self.answers[row] = vector.copy()  # a view would keep the whole batch alive
            elif len(rows) > 1:
                self.solve([row])
            elif norm == 0.0:
                self.answers[row] = Refused("zero_norm")
            else:
                self.answers[row] = Refused("not_finite", f"norm {norm:g}")

    def _encode(self, batch: list[Prepared]) -> NDArray[np.float32]:
        vectors = self._encoder.encode(batch)
        if vectors.shape != (len(batch), self._encoder.dims):
            raise ValueError(f"{vectors.shape} vectors for {len(batch)} texts of {self._encoder.dims} dimensions")
        return vectors

    def _prove(self, error: Exception) -> None:
        """Once per batch: does the encoder still do what it surely can?"""
        if self._is_proven:
            return
        try:
            norm = float(np.linalg.norm(self._encode([self._probe])))
        except Exception:  # noqa: BLE001  (as in `solve`)
            norm = float("nan")
        if not abs(norm - 1.0) <= NORM_TOLERANCE:
            raise EncoderBrokenError(_said(error)) from error
        self._is_proven = True


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]
