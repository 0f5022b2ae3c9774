"""What people had seen of an item before each exposure of it, counted as a user's state counts it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.hashing import item_hash
from stream.analysis.outcomes.journeys import ROWS_MAX, Journeys, Range
from stream.state.record import EXPOSURES
from stream.wire.records import Event

_NOT_ANSWERS: Final = ("impression", "query", "refund")


class SeenBefore(NamedTuple):
    """Of n exposures whose place in a list is known."""

    score: F8
    """(n,) without fatigue and without rules."""
    slot: I8
    clicked: F8
    person: I8
    earlier_h: list[list[float]]
    """Of each how long ago the same item was seen, hours: impressions among the last `EXPOSURES`, each time."""

    def seen(self, half_life_h: float) -> F8:
        """(n,) the same as a number: each time half after its half-life."""
        return np.array([sum(2.0 ** (-age / half_life_h) for age in ages) for ages in self.earlier_h])


class SeenJourneys(Journeys):
    """Also every impression, whether it names a list or not, and when something was first done with an item."""

    def __init__(self, asked: Range, rows_max: int = ROWS_MAX) -> None:
        super().__init__(asked, rows_max)
        self._seen: dict[str, list[tuple[int, int]]] = {}
        """By user: when, and the item's hash."""
        self._done_ms: dict[str, dict[int, int]] = {}
        self._looked_at = 0

    def add_event(self, event: Event, event_ms: int) -> None:
        """See `Journeys.add_event`."""
        super().add_event(event, event_ms)
        if event.item_id is None or not self._asked.holds(event_ms) or self._person(event.user_id) is None:
            return
        item = item_hash(event.item_id)
        if event.action == "impression":
            self._seen.setdefault(event.user_id, []).append((event_ms, item))
        elif event.action not in _NOT_ANSWERS:
            done = self._done_ms.setdefault(event.user_id, {})
            done[item] = min(event_ms, done.get(item, event_ms))
        self._looked_at += 1
        if self._looked_at > self._rows_max:  # as many again as are remembered otherwise
            self._looked_at = 0
            self._forget()

    def _forget(self) -> None:
        """Half of the people, as `Journeys` does, where these are more than fit."""
        while sum(map(len, self._seen.values())) + sum(map(len, self._done_ms.values())) > self._rows_max:
            self._below //= 2
            self.people = {name: each for name, each in self.people.items() if item_hash(name) < self._below}
            self._seen = {name: each for name, each in self._seen.items() if name in self.people}
            self._done_ms = {name: each for name, each in self._done_ms.items() if name in self.people}

    def seen_before(self) -> SeenBefore:
        """All exposures that have a place and a score, but of items with which something was done before them: nobody is
        tired of those."""
        score, slot, clicked, person, earlier = [], [], [], [], []
        for n, (name, each) in enumerate(self.people.items()):
            seen, done_ms = sorted(self._seen.get(name, [])), self._done_ms.get(name, {})
            for exposure in each.exposures.values():
                at_ms, item = exposure.shown_ms, exposure.item
                if exposure.score is None or exposure.slot <= 0 or done_ms.get(item, at_ms) < at_ms:
                    continue
                before = seen[: bisect_left(seen, (at_ms, 0))][-EXPOSURES:]
                score.append(exposure.score)
                slot.append(exposure.slot)
                clicked.append(float(exposure.clicked))
                person.append(n)
                earlier.append([(at_ms - then_ms) / 3_600_000.0 for then_ms, other in before if other == item])
        return SeenBefore(
            np.array(score), np.array(slot, np.int64), np.array(clicked), np.array(person, np.int64), earlier
        )
