"""The dead-letter topic read: letters and marks, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from stream.dead_letters.letter import Letter, Place, letter_of
from stream.dead_letters.marks import marked_in
from stream.dead_letters.selection import Selection
from stream.errors import UsageError
from stream.kafka.log_ends import LogEnds
from stream.kafka.read_to_end import partitions_of, read_messages
from stream.settings import Settings

Spans = dict[int, tuple[int, int]]
"""By partition the offset of the oldest record, and the next one to be written."""


class Survey(NamedTuple):
    """What a first reading found."""

    replayed: set[bytes]
    """Identities of the letters that were sent again; some 100 bytes of memory each."""
    selected: int


def log_spans(settings: Settings, *, readable: bool = True) -> Spans:
    """Where the partitions begin and end now.

    `readable`: what can be read without waiting for a transaction that is still open, as a replay leaves one that was killed.
    Otherwise to the very end: who has just ended what was open misses nothing then.

    Raises:
        TopicsError, BrokerUnreachableError: there is no such topic, or no broker answers.
    """
    topic = settings.topic_dead_letter
    partitions = range(partitions_of(settings, topic))
    with closing(LogEnds(settings, readable=readable)) as ends:
        bounds = ends.bounds_of([(topic, partition) for partition in partitions])
    return {partition: bounds[topic, partition] for partition in partitions}


def survey(
    settings: Settings,
    spans: Spans,
    selection: Selection,
    since_ms: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Survey:
    """What was sent again, and how many letters are meant.

    `since_ms`: only what is as young counts; what was sent again of older letters may be missing then. `check`: called for each
    record; what it raises ends the reading.

    Raises:
        TopicsError, BrokerUnreachableError: as `read_messages`.
    """
    replayed: set[bytes] = set()
    selected = 0
    for message in _messages(settings, spans, since_ms):
        check()
        letter = letter_of(message)
        if letter is None:
            replayed.update(marked_in(message))
        else:
            selected += selection.takes(letter)
    return Survey(replayed, selected)


def read_letters(settings: Settings, spans: Spans, since_ms: int | None = None) -> Iterator[Letter]:
    """Partition by partition mixed, each in offset order.

    Raises:
        TopicsError, BrokerUnreachableError: as `read_messages`.
    """
    return (letter for message in _messages(settings, spans, since_ms) if (letter := letter_of(message)) is not None)


def letter_at(settings: Settings, place: Place) -> Letter:
    """The one that lies there.

    Raises:
        UsageError: none does.
        TopicsError, BrokerUnreachableError: as `read_messages`.
    """
    spans = log_spans(settings)
    topic = settings.topic_dead_letter
    if place.partition not in spans:
        raise UsageError(
            f"{topic} has no partition {place.partition}.", f"it has {len(spans)}: say 0 to {len(spans) - 1}"
        )
    low, high = spans[place.partition]
    if not low <= place.offset < high:
        held = f"it holds {low} to {high - 1}" if high > low else "it holds nothing"
        raise UsageError(f"{topic} partition {place.partition} has no offset {place.offset}.", f"{held}; see `list`")
    for letter in read_letters(settings, {place.partition: (place.offset, place.offset + 1)}):
        return letter
    raise UsageError(f"{place} of {topic} is no dead letter.", "see `penchant dead-letter list`")


def _messages(settings: Settings, spans: Spans, since_ms: int | None) -> Iterator[Any]:
    for messages in read_messages(settings, settings.topic_dead_letter, since_ms=since_ms, spans=spans):
        yield from messages
