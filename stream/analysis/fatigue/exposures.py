"""What people had seen of an item before each exposure of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from models.arrays import F8, I8
from stream.analysis.outcomes.journeys import Person
from stream.state.record import EXPOSURES


class SeenBefore(NamedTuple):
    """Of n exposures whose place in a list is known."""

    score: F8
    """(n,) without fatigue and without rules."""
    slot: I8
    clicked: F8
    person: I8
    earlier_h: list[list[float]]
    """Of each how long ago the same item was seen, hours; only times that nothing answered, of the last `EXPOSURES`."""

    def seen(self, half_life_h: float) -> F8:
        """(n,) the same as a number: each time half after its half-life."""
        return np.array([sum(2.0 ** (-age / half_life_h) for age in ages) for ages in self.earlier_h])


def seen_before(people: Iterable[Person]) -> SeenBefore:
    """All exposures of these people that have a place, in the order of time of each person."""
    score, slot, clicked, person, earlier = [], [], [], [], []
    for n, each in enumerate(people):
        history = sorted(each.exposures.values(), key=lambda exposure: exposure.shown_ms)
        taken: set[int] = set()  # nobody is tired of these
        for at, exposure in enumerate(history):
            if exposure.score is not None and exposure.slot > 0 and exposure.item not in taken:
                before = [other for other in history[max(0, at - EXPOSURES) : at] if other.item == exposure.item]
                score.append(exposure.score)
                slot.append(exposure.slot)
                clicked.append(float(exposure.clicked))
                person.append(n)
                earlier.append([(exposure.shown_ms - other.shown_ms) / 3_600_000.0 for other in before])
            if exposure.clicked or exposure.bought:
                taken.add(exposure.item)
    return SeenBefore(np.array(score), np.array(slot, np.int64), np.array(clicked), np.array(person, np.int64), earlier)
