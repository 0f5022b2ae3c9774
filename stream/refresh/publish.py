"""Ranked lists -> the records other services read. Pure; ids are deterministic, so a list published twice is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from models.arrays import I4, I8, U64
from models.ranking.rank import RankedBatch
from models.ranking.recent import RecentItems
from stream.refresh.json_bytes import Ids
from stream.refresh.list_bytes import ListedPlaces, list_places_json
from stream.refresh.question import Behaviours
from stream.refresh.reasons import ExplainedBatch, SentenceContext, WrittenReasons, build_reasons
from stream.refresh.words import Naming
from stream.settings.placements import HOME
from stream.wire.records import (
    EventSource,
    ModelVersions,
    Recommendation,
    Trigger,
    encode,
    recommendation_decoder,
)


def model_versions(
    ranker: str,
    encoder: str | None = None,
    sequence: str | None = None,
    newcomers: str = "popularity",
    newcomers_for: str = "",
    few_items_added: float = 0.0,
) -> ModelVersions:
    """What a list was made with."""
    return ModelVersions(
        encoder=encoder,
        sequence=sequence,
        ranker=ranker,
        newcomers=newcomers,
        newcomers_for=newcomers_for or UNSET,
        few_items_added=few_items_added or UNSET,
    )


class ListHeader(NamedTuple):
    """For whom, and of what, one row of a ranked batch is."""

    user_id: str
    source: EventSource
    event_time_ms: int
    trigger: Trigger
    is_explained: bool = True
    """False: without reasons."""


class WrittenList(NamedTuple):
    """A recommendation as it is sent."""

    value: bytes
    list_id: str
    length: int
    """Places."""

    @property
    def record(self) -> Recommendation:
        """What was written, read again."""
        return recommendation_decoder.decode(self.value)


class PlacedList(NamedTuple):
    """What is published for one user of another placement than `home`."""

    placement: str
    list: WrittenList
    reasons: WrittenReasons | None


class Published(NamedTuple):
    """Everything published for one user."""

    list: WrittenList
    reasons: WrittenReasons | None
    """None: the list is not explained."""
    changed: bool = True
    """False: the user's last list has the same items in the same order."""
    others: tuple[PlacedList, ...] = ()
    """Of other placements, those that go out."""


def recommendation_id(
    user_id: str, source: EventSource, model: ModelVersions, places: bytes, placement: str = HOME
) -> str:
    """32 hex digits of BLAKE2b over user, last applied offset, model versions, placement, and the list itself.

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
            *(() if placement == HOME else (placement,)),
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
    naming: Naming,
    now_ms: int,
    contributions_max: int,
    models: Sequence[ModelVersions],
    telling: SentenceContext,
) -> list[Published]:
    """A recommendation per user of the batch, and its reasons where they are wanted; an empty list is published too. `models`:
    of each user."""
    naming.words.begin_batch()
    hashes = naming.catalog.index.hash_of(ranked.items)
    filled, word = _known(ranked.items, hashes, naming)
    counts = filled.sum(axis=1)
    placement = HOME if ranked.placed is None else ranked.placed.placement
    ids = [
        recommendation_id(who.user_id, who.source, model, list_bytes(own[:n], strategies[:n]), placement)
        for who, model, own, strategies, n in zip(listed, models, hashes, ranked.strategy, counts.tolist(), strict=True)
    ]
    lists = _written(listed, ids, ranked, filled, naming.words.ids(word), now_ms, models)
    wanted = np.array([who.is_explained for who in listed], np.bool_)
    if not wanted.any():
        return [Published(each, None) for each in lists]
    explained = filled & wanted[:, None]
    told = word if wanted.all() else word[explained[filled]]
    users = [who.user_id for who in listed]
    batch = ExplainedBatch(ids, users, explained, told, ranked, recent, behaviours)
    reasons = build_reasons(batch, naming, contributions_max, telling)
    return [
        Published(each, why if who.is_explained else None)
        for who, each, why in zip(listed, lists, reasons, strict=True)
    ]


def _known(indices: I4, hashes: U64, naming: Naming) -> tuple[NDArray[np.bool_], I8]:
    """(u, k) places that are listed, and their words: a list ends before what has left the catalogue."""
    filled = indices >= 0
    word = naming.numbers(hashes[filled])
    is_item = naming.words.is_item[word]
    if is_item.all():
        return filled, word
    known = filled.copy()
    known[filled] = is_item
    known = np.logical_and.accumulate(known, axis=1)
    return known, word[known[filled]]


def _written(
    listed: Sequence[ListHeader],
    ids: Sequence[str],
    ranked: RankedBatch,
    filled: NDArray[np.bool_],
    items: Ids,
    now_ms: int,
    models: Sequence[ModelVersions],
) -> list[WrittenList]:
    parts = np.stack([values[filled] for values in ranked.parts.values()], axis=1)
    rank, counts = np.nonzero(filled)[1] + 1, filled.sum(axis=1)
    columns = ListedPlaces(rank, ranked.strategy[filled], ranked.scores[filled], ranked.probability[filled], parts)
    placed = ranked.placed
    if placed is not None:
        columns = columns._replace(
            propensity=placed.propensity[filled].astype(np.float64),
            moved_by=placed.moved_by[filled],
            promoted=placed.promoted[filled],
            names=placed.names,
        )
    places = list_places_json(items, columns, tuple(ranked.parts), np.append(0, np.cumsum(counts)))
    made = []
    for u, (who, list_id, n) in enumerate(zip(listed, ids, counts.tolist(), strict=True)):
        head = Recommendation(
            list_id, who.user_id, now_ms, who.event_time_ms, who.source, who.trigger, models[u], (), who.is_explained
        )
        if placed is not None:
            arm = placed.arms[u] if placed.arms else None
            head = msgspec.structs.replace(
                head,
                placement=placed.placement,
                relaxed=(placed.relaxed and placed.relaxed[u]) or UNSET,
                experiments=UNSET if arm is None else {arm[0]: arm[1]},
            )
        before, _, after = encode(head).partition(b'"items":[]')
        made.append(WrittenList(b'%b"items":[%b]%b' % (before, places.of(u), after), list_id, n))
    return made
