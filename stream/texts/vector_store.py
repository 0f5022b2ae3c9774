"""Vectors on disk, so that a restart encodes nothing again: RocksDB, key = model version and hash of the text, float16.

The key is the text, not the item: an item that changes back, moves or is one of many with the same text finds its vector.
Behind it stands the day on which it was last of use (`last_used`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.encoder.text import HASH_BYTES
from stream.storage.rocks import PartitionStore
from stream.texts.last_used import DAY_BYTES, LastUsed, look_through

logger = logging.getLogger(__name__)

VERSION_BYTES: Final = 8
_DELETE_AT_ONCE: Final = 10_000


class VectorStore:
    """Vectors by text hash, of any number of model versions side by side."""

    def __init__(self, store: PartitionStore, last_used: LastUsed) -> None:
        """Over an open database of its own, `DataDirectory.stores("vectors")[0]`; whoever opened it closes it."""
        self._store, self._last_used = store, last_used

    def get(
        self, hashes: Sequence[bytes], model_version: str, dims: int
    ) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """`(n, dims) float16` and `(n,) bool`: the vectors of these texts, and which of them are there. One that has another
        size than it should is not. They are of use today."""
        prefix = _prefix(model_version)
        values = self._store.get_many([prefix + each for each in hashes])
        vectors = np.zeros((len(hashes), dims), np.float16)
        found = np.zeros(len(hashes), np.bool_)
        size, stamp, used = 2 * dims, self._last_used.stamp(), list[tuple[bytes, bytes]]()
        for row, value in enumerate(values):
            if value is None:
                continue
            if len(value) not in (size, size + DAY_BYTES):  # the first was written by release 0.2
                logger.warning(
                    "a vector of %s has %d bytes instead of %d: made again. Nothing to do",
                    *(model_version, len(value), size),
                )
                continue
            vectors[row] = np.frombuffer(value, "<f2", dims)
            found[row] = True
            if self._last_used.is_old(value[size:] or None):
                used.append((prefix + hashes[row], value[:size] + stamp))
        if used:
            self._store.write(used, None)
        return vectors, found

    def put(self, hashes: Sequence[bytes], vectors: NDArray[Any], model_version: str) -> None:
        """Store (n, dims) vectors of n texts, rounded to float16; one atomic batch.

        Raises:
            StorageError: the disk does not take them.
        """
        prefix = _prefix(model_version)
        rows, stamp = np.ascontiguousarray(vectors, "<f2"), self._last_used.stamp()
        values = ((prefix + each, row.tobytes() + stamp) for each, row in zip(hashes, rows, strict=True))
        self._store.write(values, None)

    async def forget_unused(self, model_version: str, dims: int) -> int:
        """Delete this model's vectors that were of no use for long; how many. To be called when those of the whole catalogue
        have just been asked for, so that they stay."""

        def judged(value: bytes) -> bytes | None:
            is_dated = len(value) == 2 * dims + DAY_BYTES
            return None if not is_dated or self._last_used.is_over(value[-DAY_BYTES:]) else value

        return await look_through(self._store, _prefix(model_version), judged) if self._last_used.ttl_days else 0

    def forget_others(self, model_version: str) -> int:
        """Delete the vectors of every other model; how many. For after a swap: reads the whole store."""
        prefix = _prefix(model_version)
        doomed: list[tuple[bytes, None]] = []
        deleted = 0
        for key, _value in self._store.items():  # noqa: PERF102  (not a dict)
            if len(key) == VERSION_BYTES + HASH_BYTES and not key.startswith(prefix):
                doomed.append((key, None))
            if len(doomed) == _DELETE_AT_ONCE:
                self._store.write(doomed, None)
                deleted += len(doomed)
                doomed = []
        self._store.write(doomed, None)
        return deleted + len(doomed)


def _prefix(model_version: str) -> bytes:
    return blake2b(model_version.encode(), digest_size=VERSION_BYTES).digest()
