"""Who gets another list although nothing happened to them: what it holds, what ranks, or what is known has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from models.items.catalog import CatalogItem
from models.items.index import NO_INDEX
from stream.refresh.knowledge import Knowledge
from stream.refresh.lists import LastLists, User
from stream.refresh.queue import RefreshQueue
from stream.wire.records import Trigger

FAR_BEHIND: Final = 0.1
"""Share of all engagements, missing from the statistics, from which on lists are made again when they are there."""

LEARNED_LATE_S: Final = 10.0
"""Longest time from the moment when something is known to the first list that it goes into."""


class Renewal:
    """Puts users into the queue. `now` is a monotonic clock, s."""

    def __init__(self, queue: RefreshQueue, lists: LastLists, knowledge: Knowledge, max_early_users: int) -> None:
        self._queue, self._lists, self._knowledge = queue, lists, knowledge
        self._max_early_users = max_early_users
        self._early: dict[User, None] = {}
        self._known: object = None
        self._learned_at = 0.0
        self.withdrawals = 0
        """Times that items were withdrawn from the catalogue, or may have become forbidden by rules."""

    def everyone(self, trigger: Trigger, now: float) -> None:
        """Every user whose list is known."""
        self._add(self._lists, trigger, now)

    def of_items(self, changes: dict[str, CatalogItem | None], now: float, forbidden: Sequence[int] = ()) -> None:
        """Users whose last list holds an item that was withdrawn, or has room for one that was added; `forbidden` are dense
        indices of changed items that count as withdrawn, because a rule forbids them as they are now."""
        withdrawn = [item_id for item_id, item in changes.items() if item is None or not item.available]
        self.withdrawals += bool(withdrawn or forbidden)
        stale = set(self._knowledge.index.lookup(self._knowledge.hashes_of(withdrawn)).tolist()) - {NO_INDEX}
        stale |= set(forbidden)
        if len(withdrawn) < len(changes):
            stale.add(NO_INDEX)  # an empty place
        self._add(self._lists.holding(stale), "catalog", now)

    def aged(self, now: float, max_age_s: float) -> int:
        """Users whose list is older than this, oldest first, some at a time; how many. 0 = none is ever too old.

        A list that was made well after the last thing was learned would come out the same: those stay, so a quiet shop costs
        nothing.
        """
        known = self._knowledge.stats.version, self._knowledge.catalog.version, self._knowledge.newest_ms
        if known != self._known:
            self._known, self._learned_at = known, now
        aged = self._lists.aged(min(now - max_age_s, self._learned_at + LEARNED_LATE_S)) if max_age_s else []
        self._add(aged, "refresh", now)
        return len(aged)

    def note_early(self, partition: int, keys: Sequence[bytes], unreflected: int) -> None:
        """These users were ranked while so many engagements are not in the statistics yet: a first start over a full topic
        applies events much faster than what they say about items comes round."""
        if self._is_far_behind(unreflected) and len(self._early) < self._max_early_users:
            self._early.update(((partition, key), None) for key in keys)

    def early(self, unreflected: int, now: float) -> None:
        """Users who were ranked too early, once the statistics are there."""
        if self._early and not self._is_far_behind(unreflected):
            self._add(self._early, "refresh", now)
            self._early.clear()

    def forget(self, partitions: Collection[int]) -> None:
        """Their users are another worker's."""
        self._early = {user: None for user in self._early if user[0] not in partitions}

    def _is_far_behind(self, unreflected: int) -> bool:
        return unreflected > FAR_BEHIND * self._knowledge.engagements

    def _add(self, users: Iterable[User], trigger: Trigger, now: float) -> None:
        for partition, key in users:
            self._queue.add(partition, key, trigger, now)
