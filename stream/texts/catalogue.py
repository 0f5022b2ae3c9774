"""A text vector for every item of the catalogue: from the disk if its text was ever encoded, else from the micro-batcher.

Another model than last time: the old vectors go on serving from the disk while the new ones are made in the background, and
are swapped for them in one assignment. No list ever mixes the two.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Role
from models.encoder.text import clean_text, item_text, text_hash
from models.items.catalog import Catalog
from models.items.vectors import ItemVectors, VectorSpaces, vector_bytes
from stream.metrics import TextMetrics
from stream.texts.backlog import Priority
from stream.texts.batch import POISONED, Answer
from stream.texts.vector_store import VectorStore

logger = logging.getLogger(__name__)

AT_ONCE = 256
"""Items looked up and encoded together: few enough that new ones serve within a second or so on a CPU."""

RETRY_S = 1.0
"""Wait before items that were refused for want of room or time are tried again."""

SWAP_POLL_S = 1.0

INDEXED_AT_ONCE = 30
"""Vectors put into the graph of a large catalogue between two turns of the loop, about 10 ms."""


class Encode(Protocol):
    """`batching.MicroBatcher.encode`."""

    async def __call__(
        self, texts: Sequence[str], *, role: Role = ..., priority: Priority = ..., timeout_s: float | None = ...
    ) -> list[Answer]: ...


class CatalogueVectors:
    """Keeps `spaces` in step with the catalogue. Runs on the event loop; `changed` never waits."""

    def __init__(
        self,
        encode: Encode,
        model_version: str,
        dims: int,
        max_tokens: int,
        store: VectorStore,
        serving_file: Path,
        catalog: Callable[[], Catalog],
        is_read: Callable[[], bool],
        metrics: TextMetrics,
        on_swap: Callable[[], None],
        max_bytes: int | None = None,
    ) -> None:
        """Nothing is encoded before `run`.

        Args:
            encode: the micro-batcher's.
            model_version, dims, max_tokens: of its encoder.
            store: vectors by text.
            serving_file: says which model's vectors served last.
            catalog: the current one.
            is_read: whether that has been read to its end; before, no set of vectors can be complete.
            metrics: the worker's.
            on_swap: called when another model's vectors have begun to serve.
            max_bytes: of the vectors in memory; at the bound further items go without. None: none.
        """
        self._most = None if max_bytes is None else max_bytes // vector_bytes(dims)
        self._without_room: set[int] = set()
        self._encode, self._max_tokens, self._store = encode, max_tokens, store
        self._serving_file, self._catalog, self._is_read = serving_file, catalog, is_read
        self._metrics, self._on_swap = metrics, on_swap
        self._waiting: dict[int, None] = {}
        self._looked_through = False
        self._work = asyncio.Event()
        new = ItemVectors(model_version, dims)
        last = _read(serving_file)
        if last is None or last[0] == model_version:
            self.spaces = VectorSpaces(new)
            _write(serving_file, new)
        else:
            self.spaces = VectorSpaces(ItemVectors(*last))
            self.spaces.begin(new)
            logger.info("encoder %s instead of %s: making the catalogue's vectors anew", model_version, last[0])

    def changed(self, indices: Iterable[int]) -> None:
        """The items with these dense indices are new, changed or gone."""
        self._waiting.update(dict.fromkeys(indices))
        self._work.set()

    @property
    def waiting(self) -> int:
        """Items whose vector may not be up to date."""
        return len(self._waiting)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._metrics.vectors_waiting.set(len(self._waiting))
            if not self._waiting:
                self._work.clear()  # first: what changes while the rest goes on must not be overlooked
                await self._swap()
                await self._forget_unused()
                await self._index_while_idle()
                with suppress(TimeoutError):  # nothing says that the catalogue has been read to its end
                    is_done = self.spaces.coming is None and self._looked_through
                    await asyncio.wait_for(self._work.wait(), None if is_done else SWAP_POLL_S)
                continue
            some = list(islice(self._waiting, AT_ONCE))
            for index in some:
                del self._waiting[index]
            again = await self._take(np.array(some, np.int32))
            self._metrics.vectors.set(self.spaces.serving.size)
            if again:
                self._waiting.update(dict.fromkeys(again))
                await asyncio.sleep(RETRY_S)

    async def _forget_unused(self) -> None:
        # Once, when all of the catalogue's have just been asked for: later nobody asks for those that serve from memory.
        if self._looked_through or self.spaces.coming is not None or not self._is_read():
            return
        self._looked_through = True
        serving = self.spaces.serving
        deleted = await self._store.forget_unused(serving.model_version, serving.dims)
        if deleted:
            logger.info("%d vectors of texts that the catalogue has not had for long are gone from the disk", deleted)

    async def _index_while_idle(self) -> None:
        """Grow the graph of a large catalogue in slices."""
        left = self._current.index_some(INDEXED_AT_ONCE)
        while left and not self._work.is_set():
            await asyncio.sleep(0)
            left = self._current.index_some(INDEXED_AT_ONCE)

    @property
    def _current(self) -> ItemVectors:
        """The vectors of the encoder in use, whether they serve already or not."""
        return self.spaces.coming or self.spaces.serving

    async def _take(self, indices: NDArray[np.int32]) -> list[int]:
        """Bring these items' vectors up to date; the items that must be tried again."""
        catalog = self._catalog()
        items = [catalog.item(index) for index in indices.tolist()]
        gone = indices[[item is None for item in items]]
        self._without_room.difference_update(gone.tolist())
        for vectors in (self.spaces.serving, self._current):
            vectors.remove(gone)
        refused_room = self._beyond_bound(indices[[item is not None for item in items]])
        if refused_room:
            items = [
                None if index in refused_room else item for index, item in zip(indices.tolist(), items, strict=True)
            ]
        indices = indices[[item is not None for item in items]]
        texts = [clean_text(item_text(item), self._max_tokens) for item in items if item is not None]
        hashes = [text_hash(text) for text in texts]
        if self.spaces.coming is not None:
            await self._load(self.spaces.serving, indices, hashes)
        current = self._current
        missing = await self._load(current, indices, hashes)
        if not len(missing):
            return []
        priority = Priority.URGENT if self.spaces.coming is None else Priority.PERIODIC
        answers = await self._encode([texts[i] for i in missing.tolist()], priority=priority)
        made = [i for i, answer in zip(missing.tolist(), answers, strict=True) if isinstance(answer, np.ndarray)]
        rows = [answer for answer in answers if isinstance(answer, np.ndarray)]
        if made:
            encoded = np.stack(rows)
            await asyncio.to_thread(self._store.put, [hashes[i] for i in made], encoded, current.model_version)
            current.put(indices[made], encoded)
        refused = [
            (i, answer)
            for i, answer in zip(missing.tolist(), answers, strict=True)
            if not isinstance(answer, np.ndarray)
        ]
        current.remove(indices[[i for i, _ in refused]])  # a former text's vector would be wrong
        lost = [answer for _, answer in refused if _is_final(answer.reason)]
        if lost:
            logger.warning(
                "%d items have no text vector: %s. Fix: mend their titles, or the encoder", len(lost), lost[0]
            )
        return [int(indices[i]) for i, answer in refused if not _is_final(answer.reason)]

    def _beyond_bound(self, indices: NDArray[np.int32]) -> set[int]:
        """Those of these items that there is no room for."""
        if self._most is None:
            return set()
        new = indices[~self._current.has(indices)].tolist()
        refused = new[max(0, self._most - self._current.size) :]
        if refused and not self._without_room:
            logger.warning(
                "text vectors have reached vectors_max_bytes (%d items): further items are ranked without text. Fix: give this "
                "worker more memory (memory_max_bytes)",
                self._most,
            )
        self._without_room = (self._without_room - set(new)).union(refused)
        self._metrics.vectors_without_room.set(len(self._without_room))
        return set(refused)

    async def _load(self, into: ItemVectors, indices: NDArray[np.int32], hashes: list[bytes]) -> NDArray[np.int64]:
        """Put what the disk has; positions of what it has not."""
        vectors, found = await asyncio.to_thread(self._store.get, hashes, into.model_version, into.dims)
        into.put(indices[found], vectors[found])
        return np.flatnonzero(~found)

    async def _swap(self) -> None:
        wanted = self._catalog().recommendable
        if self._without_room:
            wanted = wanted.copy()
            wanted[[index for index in self._without_room if index < len(wanted)]] = False
        if not self._is_read() or not self.spaces.swap_if_complete(wanted):
            return
        serving = self.spaces.serving
        _write(self._serving_file, serving)
        logger.info("vectors of %s serve now", serving.model_version)
        self._on_swap()
        await asyncio.to_thread(self._store.forget_others, serving.model_version)


def _is_final(reason: str) -> bool:
    """Whether trying the text again is of no use."""
    return reason in POISONED or reason in {"empty", "quarantined"}


def _read(path: Path) -> tuple[str, int] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return str(said["model_version"]), int(said["dims"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing served yet, or it is not known: all vectors are made or found anew


def _write(path: Path, vectors: ItemVectors) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"model_version": vectors.model_version, "dims": vectors.dims}), encoding="utf-8")
    temporary.replace(path)
