"""What a follower takes at once; that it misses nothing is tested where it is used."""

from __future__ import annotations

from stream.kafka.follower import GATHER_S, _next
from stream.kafka.replica import POLL_S


class WrittenLog:
    """A consumer of what is there already; it notes how long it was asked to wait."""

    def __init__(self, *values: str) -> None:
        self._values = list(values)
        self.waits_s: list[float] = []

    def poll(self, timeout_s: float) -> str | None:
        self.waits_s.append(timeout_s)
        return self._values.pop(0) if self._values else None

    def consume(self, n: int, timeout_s: float) -> list[str]:
        """As librdkafka's: it would wait for all of the timeout unless there are n."""
        self.waits_s.append(timeout_s)
        taken, self._values = self._values[:n], self._values[n:]
        return taken


def test_one_record_is_not_kept_waiting_for_a_batch_of_them() -> None:
    log = WrittenLog("a", "b", "c")

    assert _next(log, 100) == ["a", "b", "c"]
    assert log.waits_s == [POLL_S, GATHER_S], "the first wait ends with the first record"
    assert GATHER_S < POLL_S / 10


def test_what_is_beyond_a_batch_is_left_for_the_next() -> None:
    log = WrittenLog("a", "b", "c")

    assert _next(log, 2) == ["a", "b"]
    assert _next(log, 2) == ["c"]


def test_nothing_is_waited_for_once() -> None:
    log = WrittenLog()

    assert _next(log, 100) == []
    assert log.waits_s == [POLL_S]
