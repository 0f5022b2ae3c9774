"""Which events are traced, and what becomes of each trace."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from stream.tracing.traces import OPEN_MAX, OPEN_MAX_NS, TRACEPARENT, Traces

T0 = 1_760_000_000_000
"""A Kafka timestamp, ms."""
HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Recorded:
    """Spans that are kept."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []

    def begin(self, traceparent: str | None, start_ns: int, attributes: Mapping[str, Any]) -> Any:
        if traceparent is not None and traceparent.endswith("-00"):
            return None
        self.begun.append({"parent": traceparent, "start": start_ns, **attributes, "children": [], "end": None})
        return self.begun[-1]

    def child(self, of: Any, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, Any]) -> None:
        assert start_ns <= end_ns
        of["children"].append(name)

    def end(self, span: Any, end_ns: int, error: str | None) -> None:
        assert span["end"] is None, "ended twice"
        span["end"], span["error"] = end_ns, error

    def trace_id(self, span: Any) -> str:
        return f"{self.begun.index(span):032x}"

    def traceparent(self, span: Any) -> str:
        return f"00-{self.trace_id(span)}-{1:016x}-01"

    def close(self) -> None:
        self.closed = True


class World:
    """Traces over a clock that is set."""

    def __init__(self, share: float = 0.0) -> None:
        self.spans, self.now_ns = Recorded(), (T0 + 500) * 1_000_000
        self.traces = Traces(self.spans, share, lambda: self.now_ns)

    def applied(self, *records: Any, refused: Mapping[int, str] | None = None, partition: int = 0) -> None:
        self.traces.applied("events", partition, records, refused or {}, (T0 + 400) * 1_000_000)


def record(offset: int = 0, key: bytes = b"ann", header: str | None = HEADER, timestamp: int = T0) -> Any:
    headers = () if header is None else (("other", b""), (TRACEPARENT, header.encode()))
    return SimpleNamespace(offset=offset, key=key, headers=headers, timestamp=timestamp)


def test_an_event_is_followed_from_its_timestamp_to_its_commit():
    world = World()
    world.applied(record(7))
    found = world.traces.ranked(0, [b"bob", b"ann"], world.now_ns, world.now_ns + 10)
    world.traces.committed({0: 7}, world.now_ns)
    (span,) = world.spans.begun
    assert span["end"] is None, "offset 7 is not below 7"

    world.traces.committed({0: 8}, world.now_ns)

    assert span["parent"] == HEADER
    assert span["start"] == T0 * 1_000_000
    assert span["children"] == ["wait", "apply", "rank", "commit"]
    assert (span["end"], span["error"]) == (world.now_ns, None)
    assert found.keys() == {b"ann"}
    assert found[b"ann"].headers == [(TRACEPARENT, b"00-%032x-%016x-01" % (0, 1))]


def test_its_list_is_traced_once_and_only_that_of_its_user_and_partition():
    world = World()
    world.applied(record(1))
    assert world.traces.ranked(1, [b"ann"], 0, 1) == {}
    assert world.traces.ranked(0, [b"bob"], 0, 1) == {}
    assert world.traces.ranked(0, [b"ann"], 0, 1) != {}
    assert world.traces.ranked(0, [b"ann"], 0, 1) == {}


def test_an_event_that_is_read_again_is_followed_once():
    world = World()
    world.applied(record(1))
    world.applied(record(1))
    assert len(world.spans.begun) == 1


def test_a_header_that_says_no_is_obeyed_whatever_the_share():
    world = World(share=1.0)
    world.applied(record(header=HEADER[:-2] + "00"))
    assert world.spans.begun == []


def test_without_a_header_the_share_decides_and_a_repeated_event_is_decided_alike():
    drawn = []
    for _ in range(2):
        world = World(share=0.25)
        for offset in range(1000):
            world.applied(record(offset, header=None))
        drawn.append([span["messaging.kafka.offset"] for span in world.spans.begun])
    assert drawn[0] == drawn[1]
    assert 200 < len(drawn[0]) < 300
    assert [len(w.spans.begun) for w in (_all_of(0.0), _all_of(1.0))] == [0, 100]


def _all_of(share: float) -> World:
    world = World(share)
    world.applied(*(record(offset, header=None) for offset in range(100)))
    return world


def test_a_refused_event_ends_there_and_says_why():
    world = World()
    world.applied(record(3), refused={3: "bad_json"})
    (span,) = world.spans.begun
    assert span["error"] == "dead letter: bad_json"
    world.traces.committed({0: 9}, world.now_ns)  # it is not ended again


def test_what_a_partition_takes_along_when_it_goes_is_ended():
    world = World()
    world.applied(record(1), partition=0)
    world.applied(record(1), partition=1)
    world.traces.forget([0])
    assert [span["error"] for span in world.spans.begun if span["end"]] == ["its partition was given up"]
    world.traces.close()
    assert all(span["end"] for span in world.spans.begun)


def test_memory_is_bounded_and_what_is_never_committed_ends():
    world = World()
    world.applied(*(record(offset) for offset in range(OPEN_MAX + 5)))
    assert len(world.spans.begun) == OPEN_MAX
    assert world.traces.left_out == 5
    world.now_ns += OPEN_MAX_NS
    world.applied()
    assert {span["error"] for span in world.spans.begun} == {"not committed within 120 s"}


@pytest.mark.parametrize("timestamp", [-1, 0, T0 + 10_000])
def test_a_timestamp_that_is_missing_or_in_the_future_makes_no_span_that_ends_before_it_began(timestamp: int):
    world = World()
    world.applied(record(timestamp=timestamp))  # `Recorded.child` asserts it
    assert world.spans.begun[0]["start"] == (T0 + 400) * 1_000_000
