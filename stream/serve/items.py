"""Items: one of them and who gets it, a search, what is near, what leads."""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

import msgspec
import numpy as np

from stream.serve.answers import Follower, Gate, ItemAnswer, ItemFound, ItemsAnswer
from stream.serve.errors import UnknownThingError
from stream.serve.followed.lists import LastLists
from stream.serve.questions import RelatedQuestion, SearchQuestion, TrendingQuestion
from stream.serve.shelf import Shelf
from stream.wire.records import Recommendation, recommendation_decoder
from stream.worker.tracker import Tracker

PLACES_SHOWN: Final = 20
FOLLOWERS_SHOWN: Final = 12
NEAR_SHOWN: Final = 12

KEPT_S: Final = 5.0
"""How long it is kept in which lists an item stands: looking takes some 50 ms of another thread."""

KEPT_ITEMS: Final = 100


class ItemLists(NamedTuple):
    """In which of the lists that were looked at an item stands."""

    looked_at: int
    holding: int
    places: tuple[int, ...]
    followers: tuple[Follower, ...]


class ItemDesk:
    """Items."""

    def __init__(self, tracker: Tracker, shelf: Shelf, lists: LastLists) -> None:
        """`lists`: those of the placement `home`."""
        self._tracker, self._shelf, self._lists = tracker, shelf, lists
        self._looked_through: dict[str, tuple[float, ItemLists]] = {}

    async def item(self, item_id: str) -> ItemAnswer:
        """What is known of an item."""
        at = self._shelf.index_of(item_id)
        known, stats = self._shelf.item(item_id), self._tracker.knowledge.stats
        has_statistics = 0 <= at < stats.size and (stats.count[at] > 0 or stats.exposures[at] > 0)
        if known is None and not has_statistics:
            raise UnknownThingError(f"no item {item_id!r} is in the catalogue", "item_id")
        now_ms = time.time_ns() // 1_000_000
        lists = await self._lists_with(item_id)
        return ItemAnswer(
            item_id=item_id,
            title=item_id if known is None else known.title,
            in_catalogue=known is not None,
            available=known is not None and known.available,
            price=None if known is None else known.price,
            categories=() if known is None else known.categories,
            description=None if known is None else known.description,
            published_at=None if known is None else known.published_at_ms,
            attributes={} if known is None else dict(known.attributes),
            engagements=float(stats.count[at]) if has_statistics else 0.0,
            people_first_time=self._shelf.first_seen(at),
            recent=self._shelf.decayed(at, now_ms),
            impressions=float(stats.exposures[at]) if has_statistics else 0.0,
            clicks=float(stats.clicks[at]) if has_statistics else 0.0,
            related=tuple(self._shelf.related(at, NEAR_SHOWN)),
            next=tuple(self._shelf.related(at, NEAR_SHOWN, forward=True)),
            similar=tuple(self._shelf.similar(at, NEAR_SHOWN)),
            lists=lists.holding,
            lists_all=lists.looked_at,
            places=lists.places,
            followers=lists.followers,
            gates=tuple(self._gates(item_id, at, lists.holding)),
        )

    async def _lists_with(self, item_id: str) -> ItemLists:
        kept = self._looked_through.get(item_id)
        if kept is not None and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        found = await asyncio.to_thread(look_through, self._lists, item_id)
        if len(self._looked_through) >= KEPT_ITEMS:
            self._looked_through.clear()
        self._looked_through[item_id] = time.monotonic(), found
        return found

    def _gates(self, item_id: str, at: int, holding: int) -> list[Gate]:
        knowledge = self._tracker.knowledge
        item, stats = self._shelf.item(item_id), knowledge.stats
        pages = self._tracker.refresher.pages
        forbidden = False
        if at >= 0 and not pages.rules.is_empty and pages.rules.is_ready:
            forbidden = bool(pages.rules.forbidden(np.array([at]))[0])
        count = float(stats.count[at]) if 0 <= at < stats.size else 0.0
        vectors = knowledge.vectors
        has_vector = vectors is not None and at >= 0 and bool(vectors.has(np.array([at], np.int32))[0])
        return [
            Gate("catalogue", item is not None, "" if item is not None else "no record of it is on the items topic"),
            Gate("available", item is not None and item.available, ""),
            Gate("rules", not forbidden, ", ".join(self._tracker.refresher.pages.rules.ids) if forbidden else ""),
            Gate("statistics", count > 0, f"{count:g} first engagements"),
            Gate("text", has_vector, "no encoder" if vectors is None else ""),
            Gate("listed", holding > 0, f"in {holding} lists"),
        ]

    async def items(self, question: SearchQuestion) -> ItemsAnswer:
        """A search."""
        found, total = await self._shelf.search(question.q, question.n)
        return ItemsAnswer(tuple(found), total)

    def related(self, item_id: str, question: RelatedQuestion) -> ItemsAnswer:
        """What is near to an item."""
        at = self._shelf.index_of(item_id)
        if at < 0:
            raise UnknownThingError(f"nothing is known of an item {item_id!r}", "item_id")
        found: list[ItemFound]
        if question.by == "text":
            found = self._shelf.similar(at, question.n)
        else:
            found = self._shelf.related(at, question.n, forward=question.by == "next")
        return ItemsAnswer(tuple(found))

    def trending(self, question: TrendingQuestion) -> ItemsAnswer:
        """What leads now."""
        narrowed = self._shelf.narrowed(question.category, None, None)
        allowed = None if narrowed is None else narrowed.allowed
        return ItemsAnswer(tuple(self._shelf.trending(allowed, time.time_ns() // 1_000_000, question.n)))


def look_through(lists: LastLists, item_id: str) -> ItemLists:
    """Blocking."""
    wanted = b'"item_id":' + msgspec.json.encode(item_id)
    some = lists.some()
    places, followers = [0] * PLACES_SHOWN, []
    for user, value in some:
        if wanted not in value:
            continue
        record: Recommendation = recommendation_decoder.decode(value)
        found = next((item for item in record.items if item.item_id == item_id), None)
        if found is None:
            continue
        if found.rank <= PLACES_SHOWN:
            places[found.rank - 1] += 1
        followers.append(Follower(user.decode(errors="replace"), found.rank, found.score))
    best = sorted(followers, key=lambda each: (each.rank, -each.score))
    return ItemLists(len(some), len(followers), tuple(places), tuple(best[:FOLLOWERS_SHOWN]))
