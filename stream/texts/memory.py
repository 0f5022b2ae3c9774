"""What the micro-batcher remembers of texts: vectors of recent ones, and those that broke the encoder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from models.arrays import F4

MAX_QUARANTINED: Final = 10_000


class VectorCache:
    """Vectors of the texts used last, by hash."""

    def __init__(self, max_texts: int) -> None:
        self._max_texts = max_texts
        self._vectors: OrderedDict[bytes, F4] = OrderedDict()

    def get(self, key: bytes) -> F4 | None:
        """(dims,) float32, read-only; None where it is not kept."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: bytes, vector: F4) -> None:
        """Keep it until so many others were used since."""
        vector.flags.writeable = False  # several callers get the same array
        self._vectors[key] = vector
        while len(self._vectors) > self._max_texts:
            self._vectors.popitem(last=False)


class Quarantine:
    """Texts that broke the encoder: refused at once for some time."""

    def __init__(self, duration_s: float, clock: Callable[[], float]) -> None:
        self._duration_s, self._clock = duration_s, clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if until <= self._clock():
            del self._until[key]
            return False
        return True

    def add(self, key: bytes) -> None:
        """From now on; beyond `MAX_QUARANTINED` the oldest is let go."""
        self._until[key] = self._clock() + self._duration_s
        if len(self._until) > MAX_QUARANTINED:
            self._until.popitem(last=False)
