"""A worker's text side, wired: the encoder in its micro-batcher, the catalogue's vectors, the queries' vectors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from models.encoder.contract import Encoder
from models.encoder.opening import EncoderChoice
from models.items.vectors import ItemVectors
from stream.metrics import Metrics
from stream.settings import Settings
from stream.storage.rocks import DataDirectory, PartitionStores
from stream.texts.batcher import MicroBatcher
from stream.texts.catalogue import CatalogueVectors
from stream.texts.options import batcher_options, open_encoder_of
from stream.texts.queries import QueryVectors
from stream.texts.vector_store import VectorStore
from stream.worker.intake import query_hash
from stream.worker.tracker import Tracker

logger = logging.getLogger(__name__)

ONLY = 0
"""Vectors are not partitioned: every worker has all of the catalogue's."""


class Texts:
    """Made by `open_texts`; `run` until cancelled, then `close`."""

    def __init__(
        self,
        batcher: MicroBatcher,
        catalogue: CatalogueVectors,
        queries: QueryVectors,
        stores: Sequence[PartitionStores],
    ) -> None:
        self._batcher, self._catalogue, self._queries, self._stores = batcher, catalogue, queries, stores

    @property
    def items(self) -> ItemVectors:
        """Vectors that serve now."""
        return self._catalogue.spaces.serving

    @property
    def queries(self) -> QueryVectors:
        """Vectors of queries."""
        return self._queries

    def changed(self, indices: Iterable[int]) -> None:
        """The items with these dense indices are new, changed or gone."""
        self._catalogue.changed(indices)

    async def run(self) -> None:
        """Keep everything up to date."""
        await asyncio.gather(self._catalogue.run(), self._queries.run(), self._measure())

    async def _measure(self, interval_s: float = 1.0) -> None:
        while True:
            self._batcher.update_metrics()
            await asyncio.sleep(interval_s)

    async def close(self) -> None:
        """End the encoder's thread and close what is on disk."""
        await self._batcher.stop(0.0)
        for stores in self._stores:
            stores.close_all()


async def open_texts(
    settings: Settings,
    choice: EncoderChoice,
    directory: DataDirectory,
    tracker: Tracker,
    metrics: Metrics,
    on_down: Callable[[BaseException], Awaitable[None]],
    wake: Callable[[], None],
    catalogue_is_read: Callable[[], bool],
) -> Texts:
    """Load the encoder and put everything together.

    Raises:
        ModelUnusableError: the encoder cannot be had as the settings say.
    """
    loaded: list[Encoder] = [await asyncio.to_thread(open_encoder_of, choice)]
    encoder = loaded[0]
    batcher = MicroBatcher(
        lambda: loaded.pop() if loaded else open_encoder_of(choice),
        batcher_options(settings, encoder.provider),
        metrics,
        on_down=on_down,
    )
    if encoder.provider == "hashing":
        logger.warning(
            "encoder_model is `hashing`, which understands nothing and is for tests: lists follow shared words"
        )
    await batcher.start()
    vectors, texts = directory.stores("vectors"), directory.stores("queries")

    def swapped() -> None:
        tracker.requeue_all("model", time.monotonic())
        wake()

    def query_ready(partition: int, user: bytes) -> None:
        if partition in tracker.users:
            tracker.queue.add(partition, user, "refresh", time.monotonic())
            wake()

    catalogue = CatalogueVectors(
        batcher.encode,
        encoder.model_version,
        encoder.dims,
        encoder.max_tokens,
        VectorStore(vectors[ONLY]),
        directory.path / "vectors" / "serving.json",
        lambda: tracker.catalog,
        catalogue_is_read,
        metrics,
        swapped,
    )
    queries = QueryVectors(
        batcher.encode, encoder.model_version, encoder.dims, texts[ONLY], query_hash, query_ready, metrics
    )
    return Texts(batcher, catalogue, queries, (vectors, texts))
