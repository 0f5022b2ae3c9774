"""Vectors of what people searched for: encoded when the event arrives, kept on disk by the hash that state holds.

State has a query's hash, not its text, so a worker that takes over a partition knows only the queries it has met itself. An
unknown query counts for nothing: it names no wrong interest, it names none.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.metrics import TextMetrics
from stream.storage.rocks import PartitionStore
from stream.texts.backlog import Priority
from stream.texts.catalogue import Encode
from stream.texts.last_used import DAY_BYTES, LastUsed, look_through

REMEMBERED = 50_000
MAX_WAITING = 10_000
"""Queries waiting for the encoder; further ones are refused, and counted as the encoder's refusals are."""

MAX_WAITING_BYTES = 16 << 20
"""Of their texts."""

MAX_ENCODED = 8_000
"""Characters of a query that are encoded: more than any encoder reads."""

MAX_TEXT = 200
"""Characters of a query kept for explanations."""

FORGOTTEN_EVERY_S: Final = 86_400.0

_STAMPED: Final = b"\xff"
"""Between a query's text, which is UTF-8 and so never has it, and the day."""


class Query(NamedTuple):
    """What was searched for."""

    text: str
    vector: NDArray[np.float32]
    stamp: bytes | None = None
    """When it was last of use, as the disk has it; None: an earlier release wrote it."""


class QueryVectors:
    """By the hash in state (`intake.query_hash`). Everything but `run` returns at once."""

    def __init__(
        self,
        encode: Encode,
        model_version: str,
        dims: int,
        store: PartitionStore,
        hash_of: Callable[[str], int],
        on_ready: Callable[[int, bytes], None],
        metrics: TextMetrics,
        last_used: LastUsed,
        *,
        keeps_texts: bool = True,
    ) -> None:
        """`keeps_texts`: False keeps vectors only, and a query has no words. `on_ready(partition, user_id)` is called
        when a query of that user has got its vector."""
        self._encode, self.model_version, self._dims, self._store = encode, model_version, dims, store
        self._hash_of, self._on_ready, self._metrics = hash_of, on_ready, metrics
        self._last_used, self._keeps_texts = last_used, keeps_texts
        self._prefix = b"query" + blake2b(model_version.encode(), digest_size=8).digest()
        self._known: OrderedDict[int, Query | None] = OrderedDict()
        self._waiting: asyncio.Queue[tuple[int, bytes, int, str]] = asyncio.Queue(MAX_WAITING)
        self.waiting_bytes = 0
        """Of the texts that wait, about."""

    def asked(self, partition: int, queries: Iterable[tuple[bytes, str]]) -> None:
        """Users searched for texts: `(user_id, text)`."""
        for user, text in queries:
            if not text.strip():
                continue
            if self._waiting.full() or self.waiting_bytes > MAX_WAITING_BYTES:
                self._metrics.encoder_refused.labels("queue_full").inc()
            else:
                short = text[:MAX_ENCODED]
                self.waiting_bytes += len(short.encode(errors="replace"))
                self._waiting.put_nowait((partition, user, self._hash_of(text), short))

    def get(self, hashes: Sequence[int]) -> dict[int, Query]:
        """Those of these queries that have a vector; one look at the disk for all that are not in memory."""
        unknown = list({each: None for each in hashes if each not in self._known})
        if unknown:
            for each, value in zip(unknown, self._store.get_many([self._key(e) for e in unknown]), strict=True):
                self._remember(each, None if value is None else self._unpack(value))
        found = {each: query for each in hashes if (query := self._known.get(each)) is not None}
        self._use([each for each, query in found.items() if self._last_used.is_old(query.stamp)])
        return found

    def _use(self, hashes: Sequence[int]) -> None:
        """Of use today: their vectors on disk stay for so long from now on."""
        if not hashes:
            return
        used = {each: query._replace(stamp=self._last_used.stamp()) for each in hashes if (query := self._known[each])}
        for each, query in used.items():
            self._remember(each, query)
        self._store.write([(self._key(each), self._pack(query)) for each, query in used.items()], None)

    async def forget_unused(self) -> None:
        """Delete what was of no use for long, every day, until cancelled. An earlier release's begin their time now."""

        def judged(value: bytes) -> bytes | None:
            _, stamp = _split(value)
            if stamp is None:
                return value + _STAMPED + self._last_used.stamp()
            return None if self._last_used.is_over(stamp) else value

        while self._last_used.ttl_days:
            await look_through(self._store, b"", judged)
            await asyncio.sleep(FORGOTTEN_EVERY_S)

    async def run(self) -> None:
        """Encode what is asked for, until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < 64:
                batch.append(self._waiting.get_nowait())
            texts, hashes = [text for *_, text in batch], [hashed for _, _, hashed, _ in batch]
            self.waiting_bytes -= sum(len(text.encode(errors="replace")) for text in texts)
            known = self.get(hashes)
            answers = await self._encode(texts, role="query", priority=Priority.URGENT)
            made: list[tuple[bytes, bytes]] = []
            for (partition, user, each, text), answer in zip(batch, answers, strict=True):
                if not isinstance(answer, np.ndarray):
                    continue
                if each not in known:
                    query = Query(
                        text[:MAX_TEXT] if self._keeps_texts else "", answer.astype(np.float32), self._last_used.stamp()
                    )
                    self._remember(each, query)
                    made.append((self._key(each), self._pack(query)))
                self._on_ready(partition, user)
            if made:
                await asyncio.to_thread(self._store.write, made, None)

    def _remember(self, each: int, query: Query | None) -> None:
        self._known[each] = query
        self._known.move_to_end(each)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _key(self, each: int) -> bytes:
        return self._prefix + each.to_bytes(8, "big")

    def _pack(self, query: Query) -> bytes:
        stamp = b"" if query.stamp is None else _STAMPED + query.stamp
        return query.vector.astype("<f2").tobytes() + query.text.encode() + stamp

    def _unpack(self, value: bytes) -> Query:
        text, stamp = _split(value[2 * self._dims :])
        vector = np.frombuffer(value, "<f2", self._dims).astype(np.float32)
        return Query(text.decode(errors="replace"), vector, stamp)


def _split(value: bytes) -> tuple[bytes, bytes | None]:
    """What ends with a query's text: that without the day, and the day; None where an earlier release wrote it."""
    at = len(value) - DAY_BYTES
    return (value[: at - 1], value[at:]) if value[at - 1 : at] == _STAMPED else (value, None)
