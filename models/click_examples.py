"""What happened to the items of published lists -> examples for `models.click_model`.

An example is an item of a list that was shown: clicked if a click came within the window, not clicked if none did. A published
list by itself says nothing: it may never have been opened, and of one that was, the service may have shown three places. Taken
for exposures, all its unseen items would count as refused, and p would be the rate at which lists are opened. So an item of a
list becomes an example only if

- an impression of it came (in whatever order with the click), or
- a click that names the list came, and an impression of any item of that list: the list was seen, this one went unreported.

Both outcomes wait for the end of the window. If clicks were learned from at once, they would run ahead of the refusals that
belong to them: in the first half hour everything known would be a click, and a worker that stops would have learned the clicks
of the last half hour without its refusals (delayed feedback: Chapelle 2014, "Modeling delayed feedback in display
advertising").

Clicks on lists of which no impression comes at all are dropped and counted: a service that reports no impressions would teach
that everything is clicked.

Nothing here is stored: what is pending when a worker stops is not learned from, except for what is replayed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features import PARTS

MAX_USERS: Final = 10_000
LISTS_PER_USER: Final = 4
WINDOW_MS: Final = 30 * 60_000
"""How long a click may take to come: a session's gap, as everywhere in Penchant."""

_NEVER: Final = -(2**63)


class Examples(NamedTuple):
    """m examples in the order of the moment at which each was decided; equal ones by user, list and place."""

    parts: NDArray[np.float64]
    """(m, P) as they were when the list was published."""
    slot: NDArray[np.int64]
    """(m,) as the impression says, else the place in the published list, from 1."""
    clicked: NDArray[np.bool_]
    """(m,)."""


@dataclass(slots=True)
class Counts:
    """What did not become an example as it came, since the start."""

    unknown: int = 0
    """Impressions and clicks of items or lists that are not remembered."""
    repeated: int = 0
    """Impressions and clicks of what was shown or clicked already."""
    late_clicks: int = 0
    """Of what had been counted as not clicked when the window was over."""
    clicks_unseen: int = 0
    """Clicks on lists of which no impression came."""
    dropped: int = 0
    """Undecided impressions and clicks of the oldest lists, which made room."""


@dataclass(slots=True, eq=False)
class _List:
    """One published list; the arrays by place."""

    user: bytes
    recommendation: bytes
    place: dict[int, int]
    """Of each item hash; the first of equal ones."""
    parts: NDArray[np.float32]
    slot: list[int]
    shown_ms: list[int]
    clicked_ms: list[int]
    named: list[bool]
    """The click named this list."""
    decided: list[bool]
    published_ms: int
    waiting: int = 0
    """Entries of the heap."""
    is_seen: bool = False
    """An impression of any of its items came."""
    is_forgotten: bool = False


class _Example(NamedTuple):
    """In the order in which examples are given out."""

    decided_ms: int
    user: bytes
    recommendation: bytes
    place: int
    slot: int
    clicked: bool
    parts: NDArray[np.float32]


class ClickExamples:
    """Lists of the users last heard of, and what is known of their items. All calls from one thread."""

    def __init__(
        self,
        window_ms: int = WINDOW_MS,
        max_users: int = MAX_USERS,
        lists_per_user: int = LISTS_PER_USER,
        parts: int = len(PARTS),
    ) -> None:
        """Empty.

        Args:
            window_ms: how long after an impression a click still counts.
            max_users: whose lists are remembered; the one whose list is oldest makes room.
            lists_per_user: remembered of each, the newest.
            parts: P, how many a score has.
        """
        self.counts = Counts()
        self._window_ms, self._max_users, self._lists_per_user = window_ms, max_users, lists_per_user
        self._parts = parts
        self._users: OrderedDict[bytes, deque[_List]] = OrderedDict()
        self._waiting: list[tuple[int, int, _List, int]] = []
        """A heap of (when it is decided, number, list, place): the number keeps lists from being compared."""
        self._ready: list[_Example] = []
        self._number = 0
        self._now_ms = 0
        self._stale = 0

    def __len__(self) -> int:
        """Users remembered."""
        return len(self._users)

    def published(
        self,
        user: bytes,
        recommendation: bytes,
        items: NDArray[np.uint64],
        parts: NDArray[np.float32],
        at_ms: int,
        slots: NDArray[np.int64] | None = None,
    ) -> None:
        """A list was made for a user; one that is remembered already stays as it is.

        Args:
            user: key.
            recommendation: id.
            items: (k,) uint64 hashes by place.
            parts: (k, P) of their scores; kept as float32.
            at_ms: when, by the clock that impressions and clicks are told in.
            slots: (k,) places; None: from 1.

        Raises:
            ValueError: not one row of parts per item.
        """
        if parts.shape != (len(items), self._parts):
            raise ValueError(f"{len(items)} items have parts of shape {parts.shape}")
        lists = self._users.setdefault(user, deque())
        self._users.move_to_end(user)
        if any(each.recommendation == recommendation for each in lists):
            return
        k, place = len(items), dict[int, int]()
        for n, item in enumerate(items.tolist()):
            place.setdefault(item, n)
        lists.append(
            _List(
                user,
                recommendation,
                place,
                np.array(parts, np.float32),
                list(range(1, k + 1)) if slots is None else slots.tolist(),
                [_NEVER] * k,
                [_NEVER] * k,
                [False] * k,
                [False] * k,
                at_ms,
            )
        )
        if len(lists) > self._lists_per_user:
            self._forget(lists.popleft())
        if len(self._users) > self._max_users:
            for each in self._users.popitem(last=False)[1]:
                self._forget(each)

    def exposed(self, user: bytes, recommendation: bytes | None, item: int, slot: int, at_ms: int) -> None:
        """An item was shown.

        Args:
            user: key.
            recommendation: whose item it was; None: of the user's newest list by then that holds the item.
            item: hash.
            slot: place from 1; 0: not told, so that of the published list.
            at_ms: event time.
        """
        found = self._find(user, recommendation, item, at_ms)
        if found is None:
            self.counts.unknown += 1
            return
        of, place = found
        if of.shown_ms[place] != _NEVER or of.decided[place]:
            self.counts.repeated += 1
            return
        of.shown_ms[place], of.is_seen = at_ms, True
        if slot > 0:
            of.slot[place] = slot
        self._wait(at_ms, of, place)

    def clicked(self, user: bytes, recommendation: bytes | None, item: int, at_ms: int) -> None:
        """An item was clicked; arguments as for `exposed`. Without a name it is a click on the newest list that showed the
        item, else on the newest one that holds it.
        """
        found = self._find(user, recommendation, item, at_ms, shown_first=True)
        if found is None:
            self.counts.unknown += 1
            return
        of, place = found
        before, shown_ms = of.clicked_ms[place], of.shown_ms[place]
        of.named[place] |= recommendation is not None
        if before != _NEVER:
            self.counts.repeated += 1
        elif of.decided[place] or (shown_ms != _NEVER and at_ms - shown_ms > self._window_ms):
            self.counts.late_clicks += 1
        else:
            of.clicked_ms[place] = at_ms
            if shown_ms == _NEVER:
                self._wait(at_ms, of, place)

    def due(self, now_ms: int) -> Examples:
        """What has been decided since the last call: what was shown, or clicked unseen, a window before `now_ms` or longer.

        Args:
            now_ms: of the clock that `at_ms` is of. If it jumps back, what was due stays due and nothing else becomes so.
        """
        self._now_ms = max(self._now_ms, now_ms)
        while self._waiting and self._waiting[0][0] <= self._now_ms:
            due_ms, _, of, place = heappop(self._waiting)
            of.waiting -= 1
            if of.is_forgotten:
                self._stale -= 1
            elif not of.decided[place]:
                self._decide(of, place, due_ms)
        ready, self._ready = sorted(self._ready, key=lambda each: each[:4]), []
        parts = [each.parts for each in ready]
        return Examples(
            np.array(parts, np.float64).reshape(len(parts), self._parts),
            np.array([each.slot for each in ready], np.int64),
            np.array([each.clicked for each in ready], np.bool_),
        )

    def _find(
        self, user: bytes, recommendation: bytes | None, item: int, at_ms: int, shown_first: bool = False
    ) -> tuple[_List, int] | None:
        holding = [each for each in self._users.get(user, ()) if item in each.place]
        if recommendation is not None:
            holding = [each for each in holding if each.recommendation == recommendation]
        elif shown_first:
            shown = [each for each in holding if each.shown_ms[each.place[item]] != _NEVER]
            holding = shown or holding
        if recommendation is None:  # clocks of two machines differ a little: better a younger list than none
            holding = [each for each in holding if each.published_ms <= at_ms] or holding
        return (holding[-1], holding[-1].place[item]) if holding else None

    def _wait(self, at_ms: int, of: _List, place: int) -> None:
        self._number += 1
        of.waiting += 1
        heappush(self._waiting, (at_ms + self._window_ms, self._number, of, place))

    def _decide(self, of: _List, place: int, due_ms: int) -> None:
        """A window after the impression, or after a click that had none by then."""
        clicked = of.clicked_ms[place] != _NEVER
        if not _NEVER < of.shown_ms[place] <= due_ms and not (of.named[place] and of.is_seen):
            self.counts.clicks_unseen += 1
            of.clicked_ms[place] = _NEVER
            return
        of.decided[place] = True
        self._ready.append(
            _Example(due_ms, of.user, of.recommendation, place, of.slot[place], clicked, of.parts[place])
        )

    def _forget(self, of: _List) -> None:
        """Its places still in the heap are skipped there; where they are most of it, the heap is made anew."""
        undecided = sum(
            not decided and (shown != _NEVER or clicked != _NEVER)
            for decided, shown, clicked in zip(of.decided, of.shown_ms, of.clicked_ms, strict=True)
        )
        self.counts.dropped += undecided
        of.is_forgotten = True
        self._stale += of.waiting
        if 2 * self._stale > len(self._waiting):
            self._waiting = [each for each in self._waiting if not each[2].is_forgotten]
            heapify(self._waiting)
            self._stale = 0
