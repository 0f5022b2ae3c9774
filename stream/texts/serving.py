"""A worker's text side, wired: the encoder in its micro-batcher, the catalogue's vectors, the queries' vectors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from models.encoder.contract import Encoder
from models.encoder.opening import EncoderChoice
from models.hashing import query_hash
from models.items.catalog import Catalog
from models.items.vectors import ItemVectors
from stream.metrics import TextMetrics
from stream.storage.rocks import DataDirectory, PartitionStores
from stream.texts.batcher import BatcherOptions, MicroBatcher
from stream.texts.catalogue import CatalogueVectors
from stream.texts.last_used import LastUsed
from stream.texts.options import open_encoder_of
from stream.texts.queries import QueryVectors
from stream.texts.vector_store import VectorStore

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
        await asyncio.gather(self._catalogue.run(), self._queries.run(), self._queries.forget_unused(), self._measure())

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
    choice: EncoderChoice,
    options_for: Callable[[str], BatcherOptions],
    directory: DataDirectory,
    metrics: TextMetrics,
    *,
    catalog: Callable[[], Catalog],
    catalog_is_read: Callable[[], bool],
    on_swap: Callable[[], None],
    on_query_ready: Callable[[int, bytes], None],
    vector_ttl_days: int = 0,
    keeps_query_texts: bool = True,
    vectors_max_bytes: int | None = None,
) -> Texts:
    """Load the encoder and put everything together.

    Args:
        choice: which encoder.
        options_for: the micro-batcher's bounds, for the provider that the encoder then runs on.
        directory: where vectors are kept.
        metrics: of texts.
        catalog: the catalogue as it is now.
        catalog_is_read: whether the items topic has been read to its end.
        on_swap: called when the vectors of another model serve from now on.
        on_query_ready: called with the partition and the user of a query that has its vector now.
        vectors_max_bytes: of the catalogue's vectors in memory; None: no bound.
        vector_ttl_days: how long vectors on disk stay after their last use; 0: for ever.
        keeps_query_texts: whether the words of queries are kept beside their vectors.

    Raises:
        EncoderAwayError: nobody answers where the encoder is said to be; it may come back.
        ModelUnusableError: the encoder cannot be had as the settings say.
    """
    loaded: list[Encoder] = [await asyncio.to_thread(open_encoder_of, choice)]
    encoder = loaded[0]
    batcher = MicroBatcher(
        lambda: loaded.pop() if loaded else open_encoder_of(choice),
        options_for(encoder.provider),
        metrics,
    )
    if encoder.provider == "hashing":
        logger.warning(
            "encoder_model is `hashing`, which understands nothing and is for tests: lists follow shared words. Fix: leave it "
            "away to get the default model"
        )
    await batcher.start()
    vectors, texts = directory.stores("vectors"), directory.stores("queries")
    last_used = LastUsed(vector_ttl_days)

    catalogue = CatalogueVectors(
        batcher.encode,
        encoder.model_version,
        encoder.dims,
        encoder.max_tokens,
        VectorStore(vectors[ONLY], last_used),
        directory.path / "vectors" / "serving.json",
        catalog,
        catalog_is_read,
        metrics,
        on_swap,
        vectors_max_bytes,
    )
    queries = QueryVectors(
        batcher.encode,
        encoder.model_version,
        encoder.dims,
        texts[ONLY],
        query_hash,
        on_query_ready,
        metrics,
        last_used,
        keeps_texts=keeps_query_texts,
    )
    return Texts(batcher, catalogue, queries, (vectors, texts))
