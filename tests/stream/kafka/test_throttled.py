"""What a broker holds back is told in seconds."""

from __future__ import annotations

from types import SimpleNamespace

from stream.kafka.throttled import telling


def test_every_answer_that_was_held_back_is_told() -> None:
    told: list[float] = []

    telling(told.append)["throttle_cb"](SimpleNamespace(throttle_time=0.25))

    assert told == [0.25]


def test_nobody_is_told_where_nobody_asks() -> None:
    assert telling(None) == {}
