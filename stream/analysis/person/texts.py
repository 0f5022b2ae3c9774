"""Vectors of texts for `penchant explain --texts`: of the catalogue, kept in the work directory of evaluations, and of what the
person searched for. They stand in a tracker's `texts` where a worker has its encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.text import clean_text
from models.hashing import item_hash, query_hash
from models.items.catalog import CatalogItem
from models.items.index import ItemIndex
from models.items.vectors import ItemVectors
from stream.analysis.vectors import vectors_of
from stream.errors import UsageError
from stream.params import encoder_choice
from stream.settings import Settings
from stream.texts.options import open_encoder_of
from stream.texts.queries import MAX_TEXT, Query


class ReadTexts(NamedTuple):
    """What an encoder made of texts."""

    model_version: str
    hashes: NDArray[np.uint64]
    """(n,) of items that have a vector."""
    vectors: NDArray[np.float32]
    """(n, dims)."""
    queries: dict[int, Query]
    """By `query_hash`."""


def read_texts(
    settings: Settings, items: Sequence[CatalogItem], queries: Iterable[str], on_step: Callable[[int, int], None]
) -> ReadTexts:
    """Encode what is not kept from an earlier time.

    Raises:
        UsageError: no encoder is set.
        ModelUnusableError: it cannot be had as the settings say.
    """
    choice = encoder_choice(settings)
    if choice is None:
        raise UsageError(
            "--texts needs an encoder, and encoder_model is `none`.", "set encoder_model, or leave --texts"
        )
    directory = settings.data_dir.expanduser() / "evaluation"
    directory.mkdir(parents=True, exist_ok=True)
    encoder = open_encoder_of(choice)
    try:
        vectors = vectors_of(list(items), encoder, directory, on_step)
        texts = list(dict.fromkeys(text for text in queries if text.strip()))
        cleaned = [clean_text(text, encoder.max_tokens) for text in texts]
        asked = encoder.encode(encoder.prepare(cleaned, "query")) if texts else np.zeros((0, encoder.dims), np.float32)
    finally:
        encoder.close()
    there = np.any(vectors != 0, axis=1)
    hashes = np.array([item_hash(item.item_id) for item in items], np.uint64)
    known = {query_hash(text): Query(text[:MAX_TEXT], row) for text, row in zip(texts, asked, strict=True)}
    return ReadTexts(encoder.model_version, hashes[there], vectors[there], known)


class TextsAtHand:
    """What a tracker asks of its texts; nothing is encoded any more."""

    def __init__(self, read: ReadTexts, index: ItemIndex) -> None:
        """Of a tracker's `index` whose catalogue has been read."""
        self.items = ItemVectors(read.model_version, read.vectors.shape[1])
        dense = index.lookup(read.hashes)
        self.items.put(dense[dense >= 0].astype(np.int32), read.vectors[dense >= 0])
        self.queries = QueriesAtHand(read)

    def changed(self, indices: Iterable[int]) -> None:
        """Nothing does: topics were read to their end."""


class QueriesAtHand:
    """As `stream.texts.queries.QueryVectors` answers."""

    def __init__(self, read: ReadTexts) -> None:
        self.model_version, self._known = read.model_version, read.queries

    def asked(self, partition: int, queries: Iterable[tuple[bytes, str]]) -> None:
        """They are known already."""

    def get(self, hashes: Sequence[int]) -> dict[int, Query]:
        """Those that have a vector."""
        return {each: self._known[each] for each in hashes if each in self._known}
