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
"""How long it is kept in which lists items stand: looking takes some 100 ms of another thread."""


class Looked(NamedTuple):
    """Who gets what by the lists that were looked at."""

    looked_at: int
    of: dict[str, list[Follower]]
    """By item id."""


class ItemDesk:
    """Items."""

    def __init__(self, tracker: Tracker, shelf: Shelf, lists: LastLists) -> None:
        """`lists`: those of the placement `home`."""
        self._tracker, self._shelf, self._lists = tracker, shelf, lists
        self._looked: tuple[float, Looked] = (float("-inf"), Looked(0, {}))
        """When it was looked, by a monotonic clock."""
        self._looking = asyncio.Lock()

    async def item(self, item_id: str) -> ItemAnswer:
        """What is known of an item."""
        at = self._shelf.index_of(item_id)
        known, stats = self._shelf.item(item_id), self._tracker.knowledge.stats
        has_statistics = 0 <= at < stats.size and (stats.count[at] > 0 or stats.exposures[at] > 0)
        if known is None and not has_statistics:
            raise UnknownThingError(f"no item {item_id!r} is in the catalogue", "item_id")
        now_ms = time.time_ns() // 1_000_000
        looked = await self._look()
        followers = looked.of.get(item_id, [])
        places = [0] * PLACES_SHOWN
        for each in followers:
            if each.rank <= PLACES_SHOWN:
                places[each.rank - 1] += 1
        best = sorted(followers, key=lambda each: (each.rank, -each.score))
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
            lists=len(followers),
            lists_all=looked.looked_at,
            places=tuple(places),
            followers=tuple(best[:FOLLOWERS_SHOWN]),
            gates=tuple(self._gates(item_id, at, len(followers))),
        )

    async def _look(self) -> Looked:
        """One look for all who ask: one for each item would keep every thread busy, and with them whoever asks the broker."""
        async with self._looking:
            if time.monotonic() - self._looked[0] >= KEPT_S:
                found = await asyncio.to_thread(look_through, self._lists)
                self._looked = time.monotonic(), found
            return self._looked[1]

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


def look_through(lists: LastLists) -> Looked:
    """Blocking."""
    some = lists.some()
    found: dict[str, list[Follower]] = {}
    for user, value in some:
        try:
            record: Recommendation = recommendation_decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):  # of a later release, say
            continue
        for item in record.items:
            found.setdefault(item.item_id, []).append(Follower(user.decode(errors="replace"), item.rank, item.score))
    return Looked(len(some), found)
