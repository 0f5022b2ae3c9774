"""The last list of each user: to replace it when an item in it is withdrawn or it has become old, and to judge it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from models.items.index import NO_INDEX

REMEMBERED_LISTS: Final = 100_000
AGED_AT_ONCE: Final = 1_000

JUDGED_AT: Final = 10
"""Places of a list in which an engagement counts as a hit."""

User = tuple[int, bytes]
"""Partition and key."""


class _LastList(msgspec.Struct, frozen=True, gc=False):
    """Python does not look for garbage in it: among 100,000 of them that takes longer than a list may wait."""

    items: tuple[int, ...]
    """Dense indices."""
    made_at: float
    others: tuple[tuple[int, ...], ...] = ()
    """Of other placements."""


class LastLists:
    """In the order in which they were made; of more than `REMEMBERED_LISTS` the oldest are forgotten."""

    def __init__(self) -> None:
        # No dictionary: the first of one is the slower to find the more were taken from its front.
        self._lists: OrderedDict[User, _LastList] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lists)

    def __iter__(self) -> Iterator[User]:
        return iter(self._lists)

    def remember(
        self, user: User, items: tuple[int, ...], now: float, others: tuple[tuple[int, ...], ...] = ()
    ) -> list[bool]:
        """Lists were made of these dense indices, `others` for other placements; whether each differs from the user's last."""
        last = self._lists.pop(user, None)
        self._lists[user] = _LastList(items, now, others)
        if len(self._lists) > REMEMBERED_LISTS:
            self._lists.popitem(last=False)
        if last is None or len(last.others) != len(others):  # one that a ledger had does not say where it was shown
            return [True, *[True] * len(others)]
        return [last.items != items, *(was != now_ for was, now_ in zip(last.others, others, strict=True))]

    def __contains__(self, user: User) -> bool:
        return user in self._lists

    def restore(self, user: User, items: tuple[int, ...], made_at: float) -> None:
        """A list that was made before, by whomever, while there is room; older than all that are remembered."""
        if len(self._lists) < REMEMBERED_LISTS and user not in self._lists:
            self._lists[user] = _LastList(items, made_at)
            self._lists.move_to_end(user, last=False)

    def drop(self, user: User) -> None:
        """The user is forgotten."""
        self._lists.pop(user, None)

    def holding(self, items: Collection[int]) -> Iterator[User]:
        """Users whose list holds one of these dense indices; `NO_INDEX` is an empty place."""
        stale = set(items)
        return (
            user
            for user, last in self._lists.items()
            if not (stale.isdisjoint(last.items) and all(map(stale.isdisjoint, last.others)))
        )

    def aged(self, before: float) -> list[User]:
        """Users whose list was made before this, oldest first, some at a time."""
        aged: list[User] = []
        for user, last in islice(self._lists.items(), AGED_AT_ONCE):
            if last.made_at >= before:
                break
            aged.append(user)
        return aged

    def hits(self, users: Sequence[User], items: Sequence[int]) -> tuple[int, int]:
        """`(hits, misses)`: whether what each of these users engaged with stands among the first places of their last list."""
        hits = misses = 0
        for user, item in zip(users, items, strict=True):
            last = self._lists.get(user)
            if last is not None:
                hit = item != NO_INDEX and item in last.items[:JUDGED_AT]
                hits, misses = hits + hit, misses + (not hit)
        return hits, misses

    def forget(self, partitions: Collection[int]) -> None:
        """Their users are another worker's."""
        for user in [user for user in self._lists if user[0] in partitions]:
            del self._lists[user]
