"""What happened to the items of published lists -> examples for `models.learning.click_model`.

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
What is pending when a worker stops is not learned from.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ranking.features import PARTS

MAX_USERS: Final = 10_000
LISTS_PER_USER: Final = 6
"""Every event makes a new list; of the last ones one is on the screen."""
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


@dataclass(slots=True)
class Counts:
    """What did not become an example as it came, since the start."""

    unknown: int = 0
    """Impressions and clicks of items or lists that are not remembered."""
    repeated: int = 0
    """Impressions and clicks of what was shown or clicked already."""
    late_clicks: int = 0
    """After the window."""
    clicks_unseen: int = 0
    """On lists of which no impression came."""
    dropped: int = 0
    """Undecided impressions and clicks of the oldest lists, which made room."""


@dataclass(slots=True)
class _Place:
    """An item of a list that something is known of."""

    slot: int
    shown_ms: int = _NEVER
    clicked_ms: int = _NEVER
    is_named: bool = False
    """The click named this list."""
    is_decided: bool = False


@dataclass(slots=True, eq=False)
class _List:
    """One published list. Most are never heard of again, so places are made when they are."""

    user: bytes
    recommendation: bytes
    items: array[int]
    parts: NDArray[np.float32]
    slots: NDArray[np.int64] | None
    published_ms: int
    places: dict[int, _Place] = field(default_factory=dict)
    waiting: int = 0
    """Entries of the heap."""
    is_seen: bool = False
    """An impression of any of its items came."""
    is_forgotten: bool = False

    def number_of(self, item: int) -> int | None:
        """The first place with this item."""
        return self.items.index(item) if item in self.items else None

    def place(self, number: int) -> _Place:
        """What is known of it."""
        if number not in self.places:
            self.places[number] = _Place(number + 1 if self.slots is None else int(self.slots[number]))
        return self.places[number]

    def has_shown(self, number: int) -> bool:
        """An impression of the item came."""
        return number in self.places and self.places[number].shown_ms != _NEVER


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
            lists_per_user: remembered of each: the newest, and those that wait for the end of a window.
            parts: P, how many a score has.
        """
        self.counts = Counts()
        self._window_ms, self._parts = window_ms, parts
        self._max_users, self._lists_per_user = max_users, lists_per_user
        self._users: OrderedDict[bytes, deque[_List]] = OrderedDict()
        self._waiting: list[tuple[int, int, _List, int]] = []
        """A heap of (when it is decided, entry, list, place): the entry's number keeps lists from being compared."""
        self._ready: list[_Example] = []
        self._entries, self._stale, self._now_ms = 0, 0, 0

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
        hashes = array("Q", np.asarray(items, np.uint64).tobytes())
        own = None if slots is None else np.array(slots, np.int64)  # a copy: a view would keep a whole batch alive
        lists.append(_List(user, recommendation, hashes, np.array(parts, np.float32), own, at_ms))
        if len(lists) > self._lists_per_user:
            least = next((each for each in list(lists)[:-1] if not each.waiting), lists[0])
            lists.remove(least)
            self._forget(least)
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
        of, number = found
        place = of.place(number)
        if place.shown_ms != _NEVER or place.is_decided:
            self.counts.repeated += 1
            return
        place.shown_ms, of.is_seen = at_ms, True
        if slot > 0:
            place.slot = slot
        self._wait(at_ms, of, number)

    def clicked(self, user: bytes, recommendation: bytes | None, item: int, at_ms: int) -> None:
        """An item was clicked; arguments as for `exposed`. Without a name it is a click on the newest list that showed the
        item, else on the newest one that holds it.
        """
        found = self._find(user, recommendation, item, at_ms, shown_first=True)
        if found is None:
            self.counts.unknown += 1
            return
        of, number = found
        place = of.place(number)
        place.is_named |= recommendation is not None
        if place.clicked_ms != _NEVER:
            self.counts.repeated += 1
        elif place.is_decided or (place.shown_ms != _NEVER and at_ms - place.shown_ms > self._window_ms):
            self.counts.late_clicks += 1
        else:
            place.clicked_ms = at_ms
            if place.shown_ms == _NEVER:
                self._wait(at_ms, of, number)

    def forget(self, user: bytes) -> None:
        """Nothing more is learned from what this user was shown."""
        for each in self._users.pop(user, ()):
            self._forget(each)
        self._ready = [each for each in self._ready if each.user != user]

    def due(self, now_ms: int) -> Examples:
        """What has been decided since the last call: what was shown, or clicked unseen, a window before `now_ms` or longer.

        Args:
            now_ms: of the clock that `at_ms` is of. If it jumps back, what was due stays due and nothing else becomes so.
        """
        self._now_ms = max(self._now_ms, now_ms)
        while self._waiting and self._waiting[0][0] <= self._now_ms:
            due_ms, _, of, number = heappop(self._waiting)
            of.waiting -= 1
            if of.is_forgotten:
                self._stale -= 1
            elif not of.place(number).is_decided:
                self._decide(of, number, due_ms)
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
        holding = [
            (each, number)
            for each in self._users.get(user, ())
            if recommendation is None or each.recommendation == recommendation
            if (number := each.number_of(item)) is not None
        ]
        if recommendation is None:
            if shown_first:
                holding = [(each, number) for each, number in holding if each.has_shown(number)] or holding
            # Clocks of two machines differ a little: better a younger list than none.
            holding = [(each, number) for each, number in holding if each.published_ms <= at_ms] or holding
        return holding[-1] if holding else None

    def _wait(self, at_ms: int, of: _List, number: int) -> None:
        self._entries += 1
        of.waiting += 1
        heappush(self._waiting, (at_ms + self._window_ms, self._entries, of, number))

    def _decide(self, of: _List, number: int, due_ms: int) -> None:
        """A window after the impression, or after a click that had none by then."""
        place = of.place(number)
        clicked = place.clicked_ms != _NEVER
        if not _NEVER < place.shown_ms <= due_ms and not (place.is_named and of.is_seen):
            self.counts.clicks_unseen += 1
            place.clicked_ms, place.is_named = _NEVER, False
            return
        place.is_decided = True
        self._ready.append(_Example(due_ms, of.user, of.recommendation, number, place.slot, clicked, of.parts[number]))

    def _forget(self, of: _List) -> None:
        """Its entries of the heap are skipped there; where such are most of it, the heap is made anew."""
        self.counts.dropped += sum(
            not place.is_decided and max(place.shown_ms, place.clicked_ms) != _NEVER for place in of.places.values()
        )
        of.is_forgotten = True
        self._stale += of.waiting
        if 2 * self._stale > len(self._waiting):
            self._waiting = [each for each in self._waiting if not each[2].is_forgotten]
            heapify(self._waiting)
            self._stale = 0
