"""Lists as they went out beside those that something else would have made of the same. Pure.

Memory grows with people, items and explored places that were seen, not with lists.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from models.arrays import F4
from models.vocabulary import EXPLORE, STRATEGIES
from stream.wire.records import Event, Recommendation

LISTS_REMEMBERED: Final = 200_000
"""For clicks that come later; some 2 KB each."""

SEGMENTS: Final = ((0, "no history"), (1, "1 to 4 behaviours"), (5, "5 to 29"), (30, "30 and more"))
"""By behaviours from so many on."""

OUTCOMES: Final = ("click", "cart", "purchase")

_DRAWN: Final = STRATEGIES[EXPLORE]


class Both(NamedTuple):
    """Two lists of the same moment."""

    recorded: Recommendation
    simulated: Recommendation
    history: int
    """Behaviours of the user."""
    of_recorded: F4
    """(places,) probability under the candidate that the recorded item stands at its place; 0 beyond its list."""


class _Kept(NamedTuple):
    """Of a list that was made, until somebody clicks on it."""

    user: int
    rank: dict[str, int]
    """Of each recorded item."""
    simulated: frozenset[str]
    """Items among the first places."""
    explored: dict[str, tuple[float, float]]
    """Of items at places that could be drawn: propensity as recorded, and under the candidate."""


class Place(NamedTuple):
    """A place that could be drawn and was seen."""

    user: int
    logged: float
    target: float


class Comparison:
    """All lists of a simulation."""

    def __init__(self, first: int) -> None:
        """`first`: places of a list that count where lists are compared as sets."""
        self.first = first
        self.lists = self.changed = 0
        self.same_places: NDArray[np.int64] = np.zeros(0, np.int64)
        self.places: NDArray[np.int64] = np.zeros(0, np.int64)
        self.segments: dict[str, defaultdict[str, float]] = defaultdict(partial(defaultdict, float))
        self.strategies = Counter[tuple[str, str]]()
        self.moved_by = Counter[tuple[str, str]]()
        self.shown: dict[str, Counter[str]] = {"recorded": Counter(), "simulated": Counter()}
        self.expected_clicks: defaultdict[str, float] = defaultdict(float)
        self.overlap = 0.0
        self.outcomes = Counter[tuple[str, str]]()
        """By action and what the candidate would have made of it: `kept`, `lost`."""
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._users: dict[str, int] = {}
        self._seen: dict[tuple[str, str], Place] = {}
        self._clicked: set[tuple[str, str]] = set()

    # --- lists ---

    def add(self, both: Both) -> None:
        """Two lists more."""
        recorded, simulated, first = both.recorded.items, both.simulated.items, self.first
        ids, other = [item.item_id for item in recorded], [item.item_id for item in simulated]
        self.lists += 1
        is_changed = ids != other
        self.changed += is_changed
        longest = max(len(ids), len(other))
        if longest > len(self.places):
            self.places = np.pad(self.places, (0, longest - len(self.places)))
            self.same_places = np.pad(self.same_places, (0, longest - len(self.same_places)))
        self.places[:longest] += 1
        same = [n for n, (a, b) in enumerate(zip(ids, other, strict=False)) if a == b]
        self.same_places[same] += 1
        overlap = len(set(ids[:first]) & set(other[:first])) / max(1, len(ids[:first]), len(other[:first]))
        self.overlap += overlap
        segment = self.segments[next(name for least, name in reversed(SEGMENTS) if both.history >= least)]
        segment["lists"] += 1
        segment["changed"] += is_changed
        for side, record in (("recorded", both.recorded), ("simulated", both.simulated)):
            clicks = sum(item.probability for item in record.items[:first])
            self.expected_clicks[side] += clicks
            segment[f"expected_{side}"] += clicks
            self.shown[side].update(item.item_id for item in record.items[:first])
            for item in record.items[:first]:
                self.strategies[side, item.strategy] += 1
                if item.moved_by is not UNSET:
                    self.moved_by[side, item.moved_by] += 1
        self._keep(both, ids, frozenset(other[:first]))

    def _keep(self, both: Both, ids: list[str], simulated: frozenset[str]) -> None:
        explored = {
            item.item_id: (item.propensity, float(both.of_recorded[at]) if at < len(both.of_recorded) else 0.0)
            for at, item in enumerate(both.recorded.items)
            if item.strategy == _DRAWN or item.propensity < 1.0
        }
        user = self._users.setdefault(both.recorded.user_id, len(self._users))
        ranks = {item: rank for rank, item in enumerate(ids, 1)}
        self._kept[both.recorded.recommendation_id] = _Kept(user, ranks, simulated, explored)
        if len(self._kept) > LISTS_REMEMBERED:
            self._kept.popitem(last=False)

    # --- what became of them ---

    def happened(self, event: Event) -> None:
        """An event that may name a list."""
        named, item = event.recommendation_id, event.item_id
        kept = None if named is None else self._kept.get(named)
        if kept is None or item is None or item not in kept.rank:
            return
        if event.action == OUTCOMES[0]:
            self._clicked.add((str(named), item))
        if event.action == "impression":
            if item in kept.explored:
                self._seen[str(named), item] = Place(kept.user, *kept.explored[item])
        elif event.action in OUTCOMES and kept.rank[item] <= self.first:
            self.outcomes[event.action, "kept" if item in kept.simulated else "lost"] += 1

    def seen_places(self) -> tuple[list[Place], list[bool]]:
        """Places that could be drawn and were seen, and which of them were clicked."""
        return list(self._seen.values()), [key in self._clicked for key in self._seen]

    def figures(self) -> dict[str, Any]:
        """What is said of all of it, as plain values."""
        n = max(1, self.lists)
        return {
            "lists": self.lists,
            "changed": self.changed,
            "overlap": self.overlap / n,
            "first": self.first,
            "places": [
                {"place": at, "lists": int(of), "same": int(same)}
                for at, (of, same) in enumerate(zip(self.places, self.same_places, strict=True), 1)
            ],
            "expected_clicks": {side: self.expected_clicks[side] for side in ("recorded", "simulated")},
            "segments": [
                {"segment": name}
                | self.segments[name]
                | {of: int(self.segments[name][of]) for of in ("lists", "changed")}
                for _, name in SEGMENTS
                if name in self.segments
            ],
            "strategies": _by_side(self.strategies),
            "moved_by": _by_side(self.moved_by),
            "items": {side: len(items) for side, items in self.shown.items()},
            "more_often": _moved_most(self.shown, 1),
            "less_often": _moved_most(self.shown, -1),
            "outcomes": {
                action: {what: self.outcomes[action, what] for what in ("kept", "lost")}
                for action in OUTCOMES
                if self.outcomes[action, "kept"] + self.outcomes[action, "lost"]
            },
        }


def _by_side(counts: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    names = sorted({name for _, name in counts})
    return [
        {"name": name, "recorded": counts["recorded", name], "simulated": counts["simulated", name]} for name in names
    ]


def _moved_most(shown: dict[str, Counter[str]], sign: int, most: int = 10) -> list[dict[str, Any]]:
    """Items that would have been shown more often (1), or less often (-1)."""
    recorded, simulated = shown["recorded"], shown["simulated"]
    differ = {item: sign * (simulated[item] - recorded[item]) for item in recorded.keys() | simulated.keys()}
    order = sorted((item for item in differ if differ[item] > 0), key=lambda item: (-differ[item], item))[:most]
    return [{"item_id": item, "recorded": recorded[item], "simulated": simulated[item]} for item in order]
