"""Vectors on disk, so that a restart encodes nothing again: RocksDB, key = model version and hash of the text, float16.

The key is the text, not the item: an item that changes back, moves or is one of many with the same text finds its vector.
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

logger = logging.getLogger(__name__)

VERSION_BYTES: Final = 8
_DELETE_AT_ONCE: Final = 10_000


class VectorStore:
    """Vectors by text hash, of any number of model versions side by side."""

    def __init__(self, store: PartitionStore) -> None:
        """Over an open database of its own, `DataDirectory.stores("vectors")[0]`; whoever opened it closes it."""
        self._store = store

    def get(
        self, hashes: Sequence[bytes], model_version: str, dims: int
    ) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """`(n, dims) float16` and `(n,) bool`: the vectors of these texts, and which of them are there. One that has another
        size than it should is not."""
        prefix = _prefix(model_version)
        values = self._store.get_many([prefix + each for each in hashes])
        vectors = np.zeros((len(hashes), dims), np.float16)
        found = np.zeros(len(hashes), np.bool_)
        for row, value in enumerate(values):
            if value is None:
                continue
            if len(value) != 2 * dims:
                logger.warning(
                    "a vector of %s has %d bytes instead of %d: made again", model_version, len(value), 2 * dims
                )
                continue
            vectors[row] = np.frombuffer(value, "<f2")
            found[row] = True
        return vectors, found

    def put(self, hashes: Sequence[bytes], vectors: NDArray[Any], model_version: str) -> None:
        """Store (n, dims) vectors of n texts, rounded to float16; one atomic batch.

        Raises:
            StorageError: the disk does not take them.
        """
        prefix = _prefix(model_version)
        rows = np.ascontiguousarray(vectors, "<f2")
        self._store.write(((prefix + each, row.tobytes()) for each, row in zip(hashes, rows, strict=True)), None)

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
