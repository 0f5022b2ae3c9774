"""The topics of a report on fairness, read once: catalogue, events, lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from models.vocabulary import ACTIONS
from stream.analysis.fairness.collected import Collected
from stream.analysis.outcomes.journeys import Range
from stream.analysis.outcomes.read import Reading
from stream.kafka.read_to_end import Record
from stream.params import decode_limits
from stream.settings import Settings
from stream.wire.decode import Rejected, decode_event, decode_item
from stream.wire.records import recommendation_decoder


class Found(NamedTuple):
    """Everything that a report is made from."""

    collected: Collected
    records: int
    unreadable: int


def read_found(settings: Settings, topic: str, asked: Range, deadline_s: float) -> Found:
    """`topic`: of the lists. Events are read from their beginning: what people took before the range is their history.

    Raises:
        TopicsError, BrokerUnreachableError: a topic is missing, or no broker answers.
        UsageError: it took longer than `deadline_s`.
    """
    collected, reading = Collected(asked, settings.strengths(), ACTIONS), Reading(settings, deadline_s)
    limits = decode_limits(settings)

    def item(record: Record) -> bool:
        if record.value is None:
            return True  # what was taken away later is of the kind that it was
        decoded = decode_item(record.key, record.value, limits)
        if not isinstance(decoded, Rejected):
            collected.add_item(decoded.item, decoded.published_at_ms)
        return not isinstance(decoded, Rejected)

    def event(record: Record) -> bool:
        decoded = decode_event(record.key, record.value, record.timestamp, limits)
        if not isinstance(decoded, Rejected):
            collected.add_event(decoded.event, decoded.event_time_ms)
        return not isinstance(decoded, Rejected)

    def published(record: Record) -> bool:
        try:
            if record.value is None:
                collected.forget((record.key or b"").decode())
            else:
                collected.add_list(recommendation_decoder.decode(record.value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        return True

    kinds: tuple[tuple[str, Callable[[Record], bool]], ...] = (
        (settings.topic_items, item), (settings.topic_events, event), (topic, published),
    )  # fmt: skip
    for name, take in kinds:
        for batch in reading.batches(name, None):
            reading.unreadable += sum(not take(record) for record in batch)
    return Found(collected, reading.records, reading.unreadable)
