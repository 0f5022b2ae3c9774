"""Rows into one topic: pacing, back-pressure, and the delivery of every record awaited and counted.

The loop owns no clock and makes no producer: both come as arguments, so the tests bring their own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaException

from stream.errors import DeliveryError, SettingsError
from stream.files.reading import BadRow, Change, FileRecord

EXAMPLES_MAX: Final = 10
"""Rejected rows that a report tells in full."""

MAX_SPEED: Final = float("inf")
"""As fast as the broker takes it."""

_POLL_S: Final = 0.05  # longest wait between two looks at `hold_back`, the clock and Ctrl-C
_PROGRESS_S: Final = 0.1

Progress = Callable[[int, int, int], None]
"""`(sent, rejected, bytes_read)`, at most ten times a second and once at the end; see `stream.files.reading.total_bytes`."""

HoldBack = Callable[[FileRecord], bool]
"""Asked before each record, and again every 50 ms while it answers True; after a False the record is produced, once."""


class ProducerLike(Protocol):
    """What `produce` needs of `confluent_kafka.Producer`; the tests bring one with a clock of its own."""

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...


class RowsChanged(NamedTuple):
    """How many rows, and the line of the first."""

    rows: int
    first_line: int


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What became of a file. `sent == delivered + failed` unless the flush ran into its deadline."""

    sent: int
    delivered: int
    failed: int
    first_failure: str | None
    """What the broker or the client said of the first record that was not delivered."""
    rejected: Mapping[str, int]
    """Rows refused, per reason of `stream.wire.decode.REASONS`."""
    examples: tuple[BadRow, ...]
    """The first refused rows."""
    changes: Mapping[Change, RowsChanged]
    """What was sent otherwise than the file has it."""
    bytes_read: int
    first_time_ms: int | None
    """Earliest time of a sent record; None where nothing was sent."""
    last_time_ms: int | None
    duration_s: float
    timezone: str
    """Where times without an offset were taken to be."""
    interrupted: bool
    """Ctrl-C ended it; what had been sent was still awaited."""

    @property
    def rate(self) -> float:
        """Records sent per second."""
        return self.sent / self.duration_s if self.duration_s > 0 else 0.0


@dataclass(slots=True)
class _Tally:
    enqueued: int = 0
    delivered: int = 0
    failed: int = 0
    first_failure: str | None = None
    rejected: Counter[str] = field(default_factory=Counter)
    examples: list[BadRow] = field(default_factory=list)
    changes: dict[Change, RowsChanged] = field(default_factory=dict)
    bytes_read: int = 0
    first_time_ms: int | None = None
    last_time_ms: int | None = None

    @property
    def settled(self) -> int:
        return self.delivered + self.failed

    def reject(self, row: BadRow) -> None:
        self.rejected[row.reason] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(row)

    def send(self, record: FileRecord) -> None:
        self.enqueued += 1
        for change in record.changes:
            rows, first_line = self.changes.get(change, (0, record.line))
            self.changes[change] = RowsChanged(rows + 1, first_line)
        if self.first_time_ms is None or self.last_time_ms is None:
            self.first_time_ms = self.last_time_ms = record.time_ms
        self.first_time_ms = min(record.time_ms, self.first_time_ms)
        self.last_time_ms = max(record.time_ms, self.last_time_ms)

    def settle(self, error: Any, _message: Any) -> None:
        """The delivery report of one record."""
        if error is None:
            self.delivered += 1
        else:
            self.failed += 1
            self.first_failure = self.first_failure or str(error)


class Pacer:
    """When to send what, in seconds after the first record. Pure.

    A record that happened before an earlier line of the file is late: it is due at once and does not turn time back.
    """

    def __init__(self, speed: float) -> None:
        """Raises SettingsError unless `speed` is above 0."""
        if not speed > 0:
            raise SettingsError(f"--speed: must be above 0 (got {speed:g}).", "give a factor such as 3600, or `max`")
        self._speed = speed
        self._first_ms: int | None = None
        self._newest_ms = 0

    def due_s(self, time_ms: int) -> float:
        """Seconds after the first record; never less than for any record asked for before."""
        if self._first_ms is None:
            self._first_ms = self._newest_ms = time_ms
        self._newest_ms = max(self._newest_ms, time_ms)
        return (self._newest_ms - self._first_ms) / 1000 / self._speed


def produce(
    producer: ProducerLike,
    topic: str,
    rows: Iterable[FileRecord | BadRow],
    *,
    speed: float = MAX_SPEED,
    delivery_timeout_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    timezone: str = "UTC",
    on_progress: Progress | None = None,
    hold_back: HoldBack | None = None,
) -> ReplayReport:
    """Produce `rows` and await every delivery. All waiting is `producer.poll`, which also serves the delivery reports.

    Ctrl-C stops reading; what has been sent is still awaited and the report says `interrupted`. A second one is raised.
    """
    tally, pacer, start = _Tally(), Pacer(speed), clock()
    interrupted = False
    try:
        with closing(_records(rows, tally, clock, on_progress)) as records:
            for record in records:
                due = start + pacer.due_s(record.time_ms)
                while (wait := due - clock()) > 0:
                    producer.poll(min(wait, _POLL_S))
                while hold_back is not None and hold_back(record):
                    producer.poll(_POLL_S)
                _enqueue(producer, topic, record, tally, clock=clock, delivery_timeout_s=delivery_timeout_s)
    except KeyboardInterrupt:
        interrupted = True
    undelivered = producer.flush(delivery_timeout_s)
    if undelivered and tally.first_failure is None:
        tally.first_failure = f"not acknowledged within {delivery_timeout_s:g} s"
    if on_progress is not None:
        on_progress(tally.settled + undelivered, tally.rejected.total(), tally.bytes_read)
    return ReplayReport(
        sent=tally.settled + undelivered,  # from the client's own count: Ctrl-C may fall between its call and ours
        delivered=tally.delivered,
        failed=tally.failed + undelivered,
        first_failure=tally.first_failure,
        rejected=dict(tally.rejected),
        examples=tuple(tally.examples),
        changes=tally.changes,
        bytes_read=tally.bytes_read,
        first_time_ms=tally.first_time_ms,
        last_time_ms=tally.last_time_ms,
        duration_s=clock() - start,
        timezone=timezone,
        interrupted=interrupted,
    )


def _records(
    rows: Iterable[FileRecord | BadRow], tally: _Tally, clock: Callable[[], float], on_progress: Progress | None
) -> Generator[FileRecord, None, None]:
    """The good rows; counts the bad ones and tells the progress on the way."""
    told = clock()
    for row in rows:
        tally.bytes_read = row.bytes_read
        if on_progress is not None and clock() - told >= _PROGRESS_S:
            told = clock()
            on_progress(tally.enqueued, tally.rejected.total(), tally.bytes_read)
        if isinstance(row, BadRow):
            tally.reject(row)
        else:
            yield row


def _enqueue(
    producer: ProducerLike,
    topic: str,
    record: FileRecord,
    tally: _Tally,
    *,
    clock: Callable[[], float],
    delivery_timeout_s: float,
) -> None:
    """Hand one record to the client, waiting for room in its queue."""
    deadline = clock() + delivery_timeout_s
    while True:
        try:
            producer.produce(topic, record.value, record.key, on_delivery=tally.settle)
        except BufferError:
            if clock() > deadline:
                raise DeliveryError(f"the producer's queue stayed full for {delivery_timeout_s:g} s") from None
            producer.poll(_POLL_S)
        except KafkaException as error:
            raise DeliveryError(f"{topic}: line {record.line}: {error.args[0]}") from error
        else:
            tally.send(record)
            producer.poll(0)
            return
