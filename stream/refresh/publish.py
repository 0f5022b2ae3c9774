"""Ranked lists -> the records other services read. Pure; ids are deterministic, so a list published twice is recognised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import Catalog, CatalogItem
from models.ranking.rank import RankedBatch
from models.ranking.recent import RecentItems
from models.vocabulary import STRATEGIES
from stream.refresh.question import Behaviours
from stream.refresh.reasons import ExplainedBatch, NameOf, SentenceContext, WrittenReasons, build_reasons
from stream.wire.records import EventSource, ModelVersions, Recommendation, RecommendedItem, Trigger


def model_versions(ranker: str, encoder: str | None = None, sequence: str | None = None) -> ModelVersions:
    """What a list was made with."""
    return ModelVersions(encoder=encoder, sequence=sequence, ranker=ranker)


class ListHeader(NamedTuple):
    """For whom, and of what, one row of a ranked batch is."""

    user_id: str
    source: EventSource
    event_time_ms: int
    trigger: Trigger
    is_explained: bool = True
    """False: without reasons."""


class Published(NamedTuple):
    """Everything published for one user."""

    recommendation: Recommendation
    reasons: WrittenReasons | None
    """None: the list is not explained."""
    changed: bool = True
    """False: the user's last list has the same items in the same order."""


def recommendation_id(user_id: str, source: EventSource, model: ModelVersions, places: bytes) -> str:
    """32 hex digits of BLAKE2b over user, last applied offset, model versions, and the list itself.

    `places` are the items of the list and the strategies that put them there (`list_bytes`): what is remembered of a list for
    the outcomes that it earns. So the same list made again (after a crash, say) keeps its id, and where statistics have moved
    on meanwhile and another list comes out, it has another one.
    """
    text = "\x00".join(
        (
            user_id,
            source.topic,
            str(source.partition),
            str(source.offset),
            str(model.encoder),
            str(model.sequence),
            model.ranker,
        )
    )
    return blake2b(text.encode() + places, digest_size=16).hexdigest()


def list_bytes(hashes: NDArray[np.uint64], strategies: NDArray[np.uint8]) -> bytes:
    """What an id says of a list: its (n,) items by their hashes, and their strategies. The same on every machine."""
    return hashes.astype("<u8").tobytes() + strategies.tobytes()


def build_records(
    listed: Sequence[ListHeader],
    ranked: RankedBatch,
    recent: RecentItems,
    behaviours: Behaviours,
    catalog: Catalog,
    name_of: NameOf,
    now_ms: int,
    contributions_max: int,
    model: ModelVersions,
    telling: SentenceContext,
) -> list[Published]:
    """A recommendation per user of the batch, and its reasons where they are wanted; an empty list is published too."""
    filled, items = _known(ranked.items, catalog)
    counts, hashes = filled.sum(axis=1), catalog.index.hash_of(ranked.items)
    ids = [
        recommendation_id(who.user_id, who.source, model, list_bytes(own[:n], strategies[:n]))
        for who, own, strategies, n in zip(listed, hashes, ranked.strategy, counts.tolist(), strict=True)
    ]
    places, ends = _places(ranked, filled, items), np.cumsum(counts).tolist()
    wanted = np.array([who.is_explained for who in listed], np.bool_)
    explained = filled & wanted[:, None]
    told = items if wanted.all() else [items[i] for i in np.flatnonzero(explained[filled]).tolist()]
    users = [who.user_id for who in listed]
    batch = ExplainedBatch(ids, users, explained, told, ranked, recent, behaviours)
    reasons: Iterable[WrittenReasons | None] = repeat(None)
    if wanted.any():
        reasons = build_reasons(batch, catalog, name_of, contributions_max, telling)
    return [
        Published(
            Recommendation(
                list_id,
                who.user_id,
                now_ms,
                who.event_time_ms,
                who.source,
                who.trigger,
                model,
                tuple(places[end - n : end]),
                who.is_explained,
            ),
            why if who.is_explained else None,
        )
        for who, list_id, n, end, why in zip(listed, ids, counts.tolist(), ends, reasons, strict=False)
    ]


def _known(indices: NDArray[np.int32], catalog: Catalog) -> tuple[NDArray[np.bool_], list[CatalogItem]]:
    """(u, k) places that are listed, and their items: a list ends before what has left the catalogue."""
    filled = indices >= 0
    found = [catalog.item(index) for index in indices[filled].tolist()]
    items = [item for item in found if item is not None]
    if len(items) < len(found):
        known = filled.copy()
        known[filled] = [item is not None for item in found]
        known = np.logical_and.accumulate(known, axis=1)
        left = known[filled].tolist()
        return known, [item for item, is_left in zip(found, left, strict=True) if item is not None and is_left]
    return filled, items


def _places(ranked: RankedBatch, filled: NDArray[np.bool_], items: Sequence[CatalogItem]) -> list[RecommendedItem]:
    names, rank = tuple(ranked.parts), np.nonzero(filled)[1] + 1
    parts = np.stack([values[filled] for values in ranked.parts.values()], axis=1)
    return list(
        map(
            RecommendedItem,
            [item.item_id for item in items],
            rank.tolist(),
            ranked.scores[filled].tolist(),
            ranked.probability[filled].tolist(),
            [STRATEGIES[code] for code in ranked.strategy[filled].tolist()],
            repeat(1.0),
            [dict(zip(names, row, strict=True)) for row in parts.tolist()],
        )
    )
