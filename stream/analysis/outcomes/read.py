"""The topics of a report, read once from where its range begins to where they end now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import msgspec

from models.calendar import DAY_MS
from models.credit.off_policy import CellSums
from models.vocabulary import STRATEGIES
from stream.analysis.outcomes.cells import cells_of
from stream.analysis.outcomes.journeys import Journeys, Range
from stream.display.terminal import count
from stream.errors import UsageError
from stream.kafka.read_to_end import Record, read_to_end
from stream.outcomes.newcomers import RECORD_PREFIX
from stream.params import decode_limits
from stream.settings import Settings
from stream.wire.decode import Rejected, decode_event
from stream.wire.records import OutcomeAttribution, StrategyStats, read_attribution, strategy_stats_decoder

PLACES_BEFORE_MS: Final = 7 * DAY_MS
"""A list may have been published that long before its items were seen."""


class Earned(NamedTuple):
    """What a strategy earned since the beginning."""

    carts: float = 0.0
    purchases: float = 0.0
    value: float = 0.0


class Found(NamedTuple):
    """Everything that a report is made from."""

    journeys: Journeys
    ever: CellSums
    """Of `topic_strategy_stats`: since the beginning, whatever the range."""
    earned: dict[str, Earned]
    records: int
    """Of events and attributions that were looked at."""
    unreadable: int


J = TypeVar("J", bound=Journeys)


class Reading:
    """Batches of topics until a moment of the monotonic clock."""

    def __init__(self, settings: Settings, deadline_s: float) -> None:
        """Begins now."""
        self._settings, self._deadline_s = settings, deadline_s
        self._until = time.monotonic() + deadline_s
        self.records = self.unreadable = 0

    def batches(self, topic: str, since_ms: int | None) -> Iterator[list[Record]]:
        """All that is in a topic; counted.

        Raises:
            UsageError: the time is over.
        """
        for batch in read_to_end(self._settings, topic, since_ms=since_ms):
            self.records += len(batch)
            yield batch
            if time.monotonic() > self._until:
                raise UsageError(
                    f"{count(self.records, 'record')} took more than {self._deadline_s:g} s to read, and there are more.",
                    "give a later --from, or more time with --deadline",
                )


def read_found(settings: Settings, asked: Range, deadline_s: float) -> Found:
    """Events, then attributions, then totals.

    Raises:
        TopicsError, BrokerUnreachableError: a topic is missing, or no broker answers.
        UsageError: it took longer than `deadline_s`.
    """
    reading = Reading(settings, deadline_s)
    journeys = read_journeys(settings, asked, reading)
    records = reading.records
    stats = list(_read_stats(settings, reading).values())
    return Found(journeys, cells_of(stats), _earned(stats), records, reading.unreadable)


def read_journeys(settings: Settings, asked: Range, reading: Reading) -> Journeys:
    """Events, then attributions. Raises: as `read_found`."""
    return read_into(Journeys(asked), settings, asked, reading)


def read_into(journeys: J, settings: Settings, asked: Range, reading: Reading) -> J:
    """The same."""
    # An event is refused that is further ahead of its Kafka timestamp.
    since_ms = None if asked.from_ms is None else asked.from_ms - decode_limits(settings).max_ahead_ms
    _read_events(settings, journeys, reading, since_ms)
    _read_attributions(settings, journeys, reading, None if since_ms is None else since_ms - PLACES_BEFORE_MS)
    return journeys


def _read_events(settings: Settings, journeys: Journeys, reading: Reading, since_ms: int | None) -> None:
    limits = decode_limits(settings)
    for batch in reading.batches(settings.topic_events, since_ms):
        for record in batch:
            decoded = decode_event(record.key, record.value, record.timestamp, limits)
            if isinstance(decoded, Rejected):
                reading.unreadable += 1
            else:
                journeys.add_event(decoded.event, decoded.event_time_ms)


def _read_attributions(settings: Settings, journeys: Journeys, reading: Reading, since_ms: int | None) -> None:
    for batch in reading.batches(settings.topic_attributions, since_ms):
        for record in batch:
            try:
                found = read_attribution(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                reading.unreadable += 1
                continue
            if isinstance(found, OutcomeAttribution):
                journeys.add_outcome(found)
            else:
                journeys.add_places(found)


def _read_stats(settings: Settings, reading: Reading) -> dict[bytes, StrategyStats]:
    """The newest record of each key; a null one takes it away."""
    newest: dict[bytes, StrategyStats] = {}
    for batch in reading.batches(settings.topic_strategy_stats, None):
        for record in batch:
            key = record.key or b""
            if key.startswith(RECORD_PREFIX):
                continue  # of newcomers, who say nothing of strategies
            if record.value is None:
                newest.pop(key, None)
                continue
            try:
                newest[key] = strategy_stats_decoder.decode(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                reading.unreadable += 1
    return newest


def _earned(stats: list[StrategyStats]) -> dict[str, Earned]:
    found: dict[str, Earned] = {name: Earned() for name in STRATEGIES}
    for each in stats:
        before = found[each.strategy]
        found[each.strategy] = Earned(
            before.carts + each.carts, before.purchases + each.purchases, before.value + each.value
        )
    return found
