"""The state update said the slow and obvious way: events one by one, lists and deques, no arrays.

It rounds where packed state rounds (weights to float32 after every change) and takes `exp2` from NumPy, whose last bit may
differ from libm's; everything else is plain Python. `tests/stream/state/test_update.py` compares it with `stream.state.update`.
"""

from __future__ import annotations

import struct
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from models.vocabulary import ACTIONS

DAY_S = 86_400


class Event(NamedTuple):
    """One decoded event, as the columns of `EventColumns` have it."""

    user: int
    offset: int
    time_ms: int
    item: int
    action: str
    context: int = 0
    dwell: int = 0
    event_id: int = 0
    slot: int = 0


class Behaviour(NamedTuple):
    item: int
    time_ms: int
    action: str
    is_first: bool
    context: int
    dwell: int
    event_id: int


class Exposure(NamedTuple):
    item: int
    time_s: int
    slot: int
    context: int


class First(NamedTuple):
    """A first engagement, and the earlier ones still remembered, newest first, padded with 0."""

    item: int
    time_ms: int
    history: tuple[int, ...]
    is_entry: bool = False


@dataclass
class Point:
    item: int
    long: float
    short: float
    last_s: int
    count: int = 1


@dataclass
class User:
    fence: int = -1
    events: int = 0
    first_s: int = 0
    last_ms: int = 0
    older_s: int = 0
    ring: deque[Behaviour] = field(default_factory=deque)
    exposures: deque[Exposure] = field(default_factory=lambda: deque(maxlen=32))
    points: list[Point] = field(default_factory=list)
    histogram: list[float] = field(default_factory=lambda: [0.0] * 16)
    bought: deque[int] = field(default_factory=lambda: deque(maxlen=58))


@dataclass
class Reference:
    """All users, and what the events said about items."""

    strengths: dict[str, float]
    dwell_saturation_ms: float = 30_000.0
    pair_window: int = 30
    users: dict[int, User] = field(default_factory=lambda: defaultdict(User))
    firsts: list[First] = field(default_factory=list)
    exposed: list[int] = field(default_factory=list)
    clicked: list[int] = field(default_factory=list)
    fenced: int = 0
    repeats: int = 0
    applied: int = 0

    def apply(self, event: Event) -> None:
        user = self.users[event.user]
        if event.offset <= user.fence:
            self.fenced += 1
            return
        user.fence = event.offset
        if event.action != "impression" and event.event_id and any(self._same(event, b) for b in user.ring):
            self.repeats += 1
            return
        self.applied += 1
        second = event.time_ms // 1000
        user.first_s = min(user.first_s, second) if user.events else second
        user.last_ms = max(user.last_ms, event.time_ms) if user.events else event.time_ms
        user.events += 1
        if event.action == "click":
            self.clicked.append(event.item)
        if event.action == "impression":
            self.exposed.append(event.item)
            user.exposures.append(Exposure(event.item >> 32, second, event.slot, event.context))
        elif event.action != "refund":
            self._behave(user, event)

    def pack(self, number: int) -> bytes:
        user = self.users[number]
        counts = len(user.ring), len(user.exposures), len(user.points), len(user.bought)
        out = struct.pack("<BBBBBBH", 1, 0, *counts, 0)
        out += struct.pack("<IqIqI", user.events, user.fence, user.first_s, user.last_ms, user.older_s)
        for b in user.ring:
            kind = ACTIONS.index(b.action) | b.is_first << 4 | b.context << 5
            out += struct.pack("<Q", b.item) + struct.pack("<Q", b.time_ms)[:6]
            out += struct.pack("<BB", kind, b.dwell) + struct.pack("<I", b.event_id)[:3]
        for e in user.exposures:
            out += struct.pack("<IIBBB", e.item, e.time_s, e.slot, 255, e.context)
        for p in user.points:
            out += struct.pack("<QffIH", p.item, p.long, p.short, p.last_s, p.count)
        if user.older_s:
            out += struct.pack("<16f", *user.histogram)
        return out + struct.pack(f"<{len(user.bought)}H", *user.bought)

    @staticmethod
    def _same(event: Event, known: Behaviour) -> bool:
        return (event.event_id, event.item, event.action) == (known.event_id, known.item, known.action)

    def _likes(self, action: str) -> bool:
        return action != "query" and self.strengths[action] > 0

    def _behave(self, user: User, event: Event) -> None:
        known = (
            any(b.item == event.item and self._likes(b.action) for b in user.ring) or event.item >> 48 in user.bought
        )
        is_first = self._likes(event.action) and not known
        if is_first:
            earlier = [b.item for b in reversed(user.ring) if b.is_first][: self.pair_window]
            padded = earlier + [0] * (self.pair_window - len(earlier))
            is_entry = not earlier and not user.older_s
            self.firsts.append(First(event.item, event.time_ms, tuple(padded), is_entry))
        if len(user.ring) == 64:
            oldest = min(user.ring, key=lambda b: b.time_ms)  # of equal times the first that came
            user.ring.remove(oldest)
            self._fold(user, oldest)
        user.ring.append(
            Behaviour(event.item, event.time_ms, event.action, is_first, event.context, event.dwell, event.event_id)
        )

    def _fold(self, user: User, old: Behaviour) -> None:
        """What leaves the ring goes into the histogram, the interest points and the bought fingerprints."""
        second = old.time_ms // 1000
        latest = max(user.older_s, second)
        user.histogram = [h * _half(latest - user.older_s, 30 * DAY_S) for h in user.histogram]
        weight = _half(latest - second, 30 * DAY_S)
        weekday = (second // DAY_S + 3) % 7  # 1970-01-01 was a Thursday
        for place in (second % DAY_S // (6 * 3600), 4 + weekday, 11 + old.context % 4, 15):
            user.histogram[place] += weight
        user.histogram = [_f32(h) for h in user.histogram]
        user.older_s = latest
        gain = self._gain(old)
        if gain and old.action != "query":
            self._fold_point(user.points, old.item, second, gain)
        if old.action in ("purchase", "dislike") and old.item >> 48 not in user.bought:
            user.bought.append(old.item >> 48)

    def _gain(self, behaviour: Behaviour) -> float:
        dwell_ms = (float(np.exp2(behaviour.dwell / 16)) - 1.0) * 100.0
        return self.strengths[behaviour.action] * (1.0 + dwell_ms / (dwell_ms + self.dwell_saturation_ms))

    @staticmethod
    def _fold_point(points: list[Point], item: int, second: int, gain: float) -> None:
        for point in points:
            if point.item == item:
                last = max(point.last_s, second)
                for name, half_life in (("long", 30 * DAY_S), ("short", 3 * DAY_S)):
                    kept = getattr(point, name) * _half(last - point.last_s, half_life)
                    setattr(point, name, _f32(kept + _half(last - second, half_life) * gain))
                point.last_s, point.count = last, min(point.count + 1, 65_535)
                return
        if gain < 0:
            return
        new = Point(item, _f32(gain), _f32(gain), second)
        if len(points) < 12:
            points.append(new)
        else:
            # As light as it will be at any common time: log2 of the weight there, up to a constant.
            lightness = [float(np.log2(max(p.long, 1e-30))) + p.last_s / (30 * DAY_S) for p in points]
            points[lightness.index(min(lightness))] = new


def _half(age_s: int, half_life_s: float) -> float:
    return float(np.exp2(-age_s / half_life_s))


def _f32(value: float) -> float:
    return float(np.float32(value))
