"""Which events are traced, and the spans of each: from its Kafka timestamp to the commit that holds it.

    event                  Kafka timestamp -> committed, or given up
      wait                 Kafka timestamp -> a worker begins to apply its chunk
      apply                its whole chunk: decoding, state, outcomes
      rank                 its user's batch: question, ranking, reasons (none where nothing changed)
      commit               until state and offset are durable

Times are nanoseconds since 1970 throughout, as OpenTelemetry's are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

TRACEPARENT: Final = "traceparent"
"""The header of W3C Trace Context, level 1."""

OPEN_MAX: Final = 1000
"""Traced events on their way at once; further ones are not traced."""

OPEN_MAX_NS: Final = 120 * 10**9
"""After so long an event's trace ends, whatever has become of it."""

_SPREAD: Final = 0x9E3779B97F4A7C15
_2_64: Final = 1 << 64


class Spans(Protocol):
    """Makes spans; see `stream.tracing.export.OpenTelemetrySpans`."""

    def begin(self, traceparent: str | None, start_ns: int, attributes: Mapping[str, Any]) -> Any:
        """A span of the whole event, child of `traceparent`'s; None where that says that it is not sampled."""

    def child(self, of: Any, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any]) -> None:
        """One stage of it."""

    def end(self, span: Any, end_ns: int, error: str | None) -> None:
        """It is over; `error` says why it did not end well."""

    def trace_id(self, span: Any) -> str:
        """32 hexadecimal digits."""

    def traceparent(self, span: Any) -> str:
        """For who goes on with it."""

    def close(self) -> None:
        """Send what waits, within a deadline."""


class Traced(NamedTuple):
    """The trace of the event that a list answers."""

    trace_id: str
    """32 hexadecimal digits."""
    traceparent: str
    """For whoever reads the list and goes on with it."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Of the list's record."""
        return [(TRACEPARENT, self.traceparent.encode())]


class _Open(msgspec.Struct):
    span: Any
    partition: int
    key: bytes
    offset: int
    begun_ns: int
    is_ranked: bool = False


class Traces:
    """The traced events of one worker. All methods run on its event loop and cost microseconds per traced event."""

    def __init__(self, spans: Spans, share: float, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """`share`: of the events without a traceparent that are traced, 0 to 1. Which ones follows from their offsets, so a
        repeated event is traced again."""
        self._spans, self._clock_ns = spans, clock_ns
        self._below = int(share * _2_64)
        self._open: dict[tuple[int, int], _Open] = {}
        self.left_out = 0
        """Events that were to be traced while `OPEN_MAX` were."""

    def applied(
        self, topic: str, partition: int, records: Sequence[Any], refused: Mapping[int, str], start_ns: int
    ) -> None:
        """A chunk was applied, from `start_ns` until now; `refused`: why, by offset."""
        end_ns = self._clock_ns()
        for record in records:
            header = _traceparent(record.headers) if record.headers else None
            if header is None and not self._is_drawn(record.offset, partition):
                continue
            if (partition, record.offset) in self._open:  # read again behind a hole: it is followed already
                continue
            if len(self._open) >= OPEN_MAX:
                self.left_out += 1
                continue
            self._begin(topic, partition, record, header, start_ns, end_ns, len(records), refused.get(record.offset))
        self._end_old(end_ns)

    def ranked(self, partition: int, keys: Iterable[bytes], start_ns: int, end_ns: int) -> dict[bytes, Traced]:
        """A batch of lists was made; of those that a traced event asked for, whose trace they continue."""
        if not self._open:
            return {}
        waiting: dict[bytes, list[_Open]] = {}
        for each in self._open.values():
            if each.partition == partition and not each.is_ranked:
                waiting.setdefault(each.key, []).append(each)
        found: dict[bytes, Traced] = {}
        for key in keys:
            for each in waiting.get(key, ()):
                self._spans.child(each.span, "rank", start_ns, end_ns, {})
                each.is_ranked = True
                found[key] = Traced(self._spans.trace_id(each.span), self._spans.traceparent(each.span))
        return found

    def committed(self, offsets: Mapping[int, int], start_ns: int) -> None:
        """A commit, from `start_ns` until now, made all events before `offsets`, by partition, durable."""
        end_ns = self._clock_ns()
        for place, each in list(self._open.items()):
            if each.offset < offsets.get(each.partition, 0):
                self._spans.child(each.span, "commit", start_ns, end_ns, {})
                self._spans.end(each.span, end_ns, None)
                del self._open[place]

    def forget(self, partitions: Iterable[int]) -> None:
        """They were given up: whoever has them next goes on."""
        gone, now_ns = set(partitions), self._clock_ns()
        for place, each in list(self._open.items()):
            if each.partition in gone:
                self._spans.end(each.span, now_ns, "its partition was given up")
                del self._open[place]

    def close(self) -> None:
        """End what is open and send it."""
        self.forget({partition for partition, _ in self._open})
        self._spans.close()

    def _is_drawn(self, offset: int, partition: int) -> bool:
        return ((offset + 1) * _SPREAD + partition * 0xD1B54A32D192ED03) % _2_64 < self._below

    def _begin(
        self,
        topic: str,
        partition: int,
        record: Any,
        header: str | None,
        start_ns: int,
        end_ns: int,
        n_records: int,
        why_refused: str | None,
    ) -> None:
        came_ns = min(record.timestamp * 1_000_000, start_ns) if record.timestamp > 0 else start_ns
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": record.offset,
        }
        span = self._spans.begin(header, came_ns, attributes)
        if span is None:
            return
        self._spans.child(span, "wait", came_ns, start_ns, {})
        self._spans.child(span, "apply", start_ns, end_ns, {"messaging.batch.message_count": n_records})
        if why_refused is not None:
            self._spans.end(span, end_ns, f"dead letter: {why_refused}")
            return
        self._open[partition, record.offset] = _Open(span, partition, record.key or b"", record.offset, end_ns)

    def _end_old(self, now_ns: int) -> None:
        while self._open:
            place, oldest = next(iter(self._open.items()))
            if now_ns - oldest.begun_ns < OPEN_MAX_NS:
                return
            self._spans.end(oldest.span, now_ns, f"not committed within {OPEN_MAX_NS // 10**9} s")
            del self._open[place]


def _traceparent(headers: Iterable[tuple[str, bytes]]) -> str | None:
    for name, value in headers:
        if name == TRACEPARENT and value is not None:
            return value.decode("ascii", "replace")
    return None
