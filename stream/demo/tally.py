"""What the published topics say, counted: events, lists, reasons, refusals, freshness and hit rates. Pure: no Kafka, no clock.

Records of different topics and partitions arrive in any order; each partition's own are in order. What depends on the order
of time (hit rates, freshness) waits in a queue until `advance` says that nothing older is still to come.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from itertools import count, islice
from typing import Final, NamedTuple

import msgspec

from stream.demo.hit_rate import HitRate, HitRates
from stream.wire.decode import DecodedEvent, DecodeLimits, decode_event
from stream.wire.records import Recommendation, recommendation_decoder

TIMESTAMPS_MAX: Final = 500_000
"""Events whose Kafka timestamp is remembered until the list that reflects them comes."""

_OF_A_LIST: Final = b'{"kind":"reasons"'
_OF_AN_ITEM: Final = b'{"kind":"recommendation"'
_CREDITED: Final = b'"credits":[{'


class Purchase(NamedTuple):
    """What one event says, as far as it matters here."""

    user_id: str
    item_id: str | None
    """None where it is not a purchase."""
    event_time_ms: int


class Figures(NamedTuple):
    """Everything counted so far."""

    events: int
    users: int
    recommendations: int
    reasons: int
    """Of places of lists."""
    outcomes: int
    """Purchases that were credited, or were found to be nobody's."""
    outcomes_attributed: int
    """Those that a list before them earned."""
    refused: dict[str, int]
    """Dead letters by reason."""
    freshness_p50_ms: float | None
    freshness_p99_ms: float | None
    freshness_n: int
    hit_rates: tuple[HitRate, ...]
    waiting_users: int
    """Users whose newest event no published list reflects."""
    missing_reasons: int
    """Places of lists whose reason has not come."""
    missing_refusals: int
    """Records that break the rules and whose dead letter has not come."""
    missing_outcomes: int
    """Purchases that were neither credited nor found to be nobody's."""
    late: int
    """Records that came after what was newer had been counted; only their order was wrong."""


class Tally:
    """Counts. Not thread-safe; whoever shares it holds a lock."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self.hit_rates = HitRates()
        self._events = self._late = self._outcomes = self._outcomes_attributed = 0
        self._recommendations = self._places = self._reasons = self._must_be_refused = self._purchases = 0
        self._refused: Counter[str] = Counter()
        self._newest_event: dict[str, int] = {}
        self._reflected: dict[str, int] = {}
        self._unreflected: dict[str, deque[tuple[int, int]]] = {}
        """Offset and Kafka timestamp of each event that no list of its user reflects, by user."""
        self._timestamps: dict[tuple[int, int], int] = {}
        self._freshness_ms = array("q")
        self._measured: set[tuple[int, int]] = set()
        self._queue: list[tuple[int, int, int, Purchase | Recommendation | str]] = []
        self._order = count()
        self._advanced_to_ms = -1

    def event(
        self, partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None
    ) -> Purchase | None:
        """A record of the events topic; None where the worker refuses it, or produces it again under its user's key."""
        decoded = decode_event(key, value, timestamp_ms, self._limits)
        if not isinstance(decoded, DecodedEvent):
            self._must_be_refused += 1
            return None
        if key is None:
            return None
        event = decoded.event
        user = event.user_id
        self._events += 1
        self._newest_event[user] = offset
        if self._reflected.get(user, -1) < offset:
            self._unreflected.setdefault(user, deque()).append((offset, timestamp_ms))
        self._timestamps[partition, offset] = timestamp_ms
        if len(self._timestamps) > TIMESTAMPS_MAX:
            for oldest in list(islice(self._timestamps, TIMESTAMPS_MAX // 10)):
                del self._timestamps[oldest]
        self._purchases += event.action == "purchase"
        bought = Purchase(user, event.item_id if event.action == "purchase" else None, decoded.event_time_ms)
        self._enqueue(timestamp_ms, 0, bought)
        return bought

    def recommendation(self, timestamp_ms: int, key: bytes, value: bytes | None) -> Recommendation | None:
        """A record of the recommendations topic; None for an erasure."""
        self._recommendations += 1
        if value is None:
            self._enqueue(timestamp_ms, 1, key.decode())
            return None
        listed = recommendation_decoder.decode(value)
        user = listed.user_id
        self._places += len(listed.items)
        self._reflected[user] = max(listed.source.offset, self._reflected.get(user, -1))
        unreflected = self._unreflected.get(user, deque())
        while unreflected and unreflected[0][0] <= self._reflected[user]:
            unreflected.popleft()
        if not unreflected:
            self._unreflected.pop(user, None)
        self._enqueue(timestamp_ms, 1, listed)
        return listed

    def attribution(self, value: bytes | None) -> None:
        """A record of the attributions topic."""
        if value is not None and value.startswith(_OF_A_LIST):
            self._reasons += _places_of(value)
        elif value is not None and value.startswith(_OF_AN_ITEM):  # before 0.3
            self._reasons += 1
        elif value is not None:
            self._outcomes += 1
            self._outcomes_attributed += _CREDITED in value

    def dead_letter(self, reason: str) -> None:
        """A record of the dead-letter topic."""
        self._refused[reason] += 1

    def advance(self, until_ms: int) -> None:
        """Nothing with a Kafka timestamp before `until_ms` is still to come, as far as anyone can know."""
        while self._queue and self._queue[0][0] < until_ms:
            timestamp_ms, _, _, record = heapq.heappop(self._queue)
            self._late += timestamp_ms < self._advanced_to_ms
            if isinstance(record, Purchase):
                if record.item_id is not None:
                    self.hit_rates.buy(record.user_id, record.item_id)
            elif isinstance(record, str):
                self.hit_rates.publish(record, None)
            else:
                self.hit_rates.publish(record.user_id, [item.item_id for item in record.items])
                self._measure(timestamp_ms, record)
        self._advanced_to_ms = max(self._advanced_to_ms, until_ms)

    def waiting_since_ms(self) -> int | None:
        """Kafka timestamp of the oldest event that no list of its user reflects; None when there is none."""
        return min((unreflected[0][1] for unreflected in self._unreflected.values()), default=None)

    def figures(self) -> Figures:
        """So far."""
        ordered = sorted(self._freshness_ms)
        return Figures(
            events=self._events,
            users=len(self._newest_event),
            recommendations=self._recommendations,
            reasons=self._reasons,
            outcomes=self._outcomes,
            outcomes_attributed=self._outcomes_attributed,
            refused=dict(self._refused),
            freshness_p50_ms=percentile(ordered, 50),
            freshness_p99_ms=percentile(ordered, 99),
            freshness_n=len(ordered),
            hit_rates=self.hit_rates.result(),
            waiting_users=len(self._unreflected),
            missing_reasons=self._places - self._reasons,
            missing_refusals=self._must_be_refused - self._refused.total(),
            missing_outcomes=self._purchases - self._outcomes,
            late=self._late,
        )

    def _enqueue(self, timestamp_ms: int, order: int, record: Purchase | Recommendation | str) -> None:
        heapq.heappush(self._queue, (timestamp_ms, order, next(self._order), record))

    def _measure(self, timestamp_ms: int, listed: Recommendation) -> None:
        """From the newest event reflected to the list; a list published again after a crash is measured once."""
        at = listed.source.partition, listed.source.offset
        happened_ms = self._timestamps.get(at)
        if listed.trigger == "event" and happened_ms is not None and at not in self._measured:
            self._measured.add(at)
            self._freshness_ms.append(timestamp_ms - happened_ms)


class _PlacesOnly(msgspec.Struct):
    """Of a record of reasons; the rest is passed over unread."""

    places: list[msgspec.Raw]


_places_decoder = msgspec.json.Decoder(_PlacesOnly)


def _places_of(value: bytes) -> int:
    """How many places a record of reasons explains; of one that cannot be read none, and its reasons count as missing."""
    try:
        return len(_places_decoder.decode(value).places)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Nearest rank: the smallest value that at least `percent` % of all do not exceed; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]
