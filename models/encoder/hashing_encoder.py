"""An encoder without a model, for tests: the same text gives the same vector, texts that share words are near. It understands
nothing, so it never stands in for a model: only `encoder_model = "hashing"` chooses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Prepared, Role
from models.encoder.text import MAX_CHARS_PER_TOKEN


class HashingEncoder:
    """An `Encoder`: the sum of pseudo-random unit vectors, one per word (per character beyond U+2E80)."""

    provider = "hashing"

    def __init__(self, dims: int = 64, max_tokens: int = 256) -> None:
        self.dims, self.max_tokens = dims, max_tokens
        self.model_version = f"hashing@1/{dims}-{max_tokens}"

    def prepare(self, texts: Sequence[str], role: Role) -> list[Prepared]:
        """See `Encoder`; the role makes no difference."""
        del role
        return [self._prepared(text) for text in texts]

    def encode(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """See `Encoder`."""
        rows = np.zeros((len(batch), self.dims), np.float64)
        for row, each in enumerate(batch):
            rows[row] = np.sum([_direction(token, self.dims) for token in each.ids.tolist()], axis=0)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (rows / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit

    def close(self) -> None:
        """See `Encoder`; there is nothing to give back."""

    def _prepared(self, text: str) -> Prepared:
        words = _words(text[: self.max_tokens * MAX_CHARS_PER_TOKEN])[: self.max_tokens]
        ids = np.array(
            [int.from_bytes(blake2b(w.encode(), digest_size=4).digest(), "little") >> 1 for w in words], "i4"
        )
        return Prepared(text, ids, ids.size)


def _words(text: str) -> list[str]:
    spaced = "".join(f" {c} " if c > "\u2e80" else c if c.isalnum() else " " for c in text.lower())
    return spaced.split() or [text]


@lru_cache(maxsize=65_536)
def _direction(token: int, dims: int) -> NDArray[np.float64]:
    vector = np.random.default_rng(token).standard_normal(dims)
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    unit.flags.writeable = False
    return unit
