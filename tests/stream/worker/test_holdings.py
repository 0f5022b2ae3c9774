"""What is told of partitions gained and lost, and of a broker that was silent."""

from __future__ import annotations

import logging

import pytest

from stream.worker.holdings import Holdings


@pytest.fixture(autouse=True)
def _everything_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_what_was_gained_and_lost_is_told_once_with_how_long_it_took(caplog: pytest.LogCaptureFixture) -> None:
    holdings = Holdings(4.0)
    for now in (0.0, 0.5, 1.0):
        holdings.look([], settled=False, now_s=now)
    for now in (3.5, 4.0):
        holdings.look([0, 1, 2, 5], settled=True, now_s=now)
    holdings.look([0, 1, 2, 5], settled=False, now_s=10.0)
    holdings.look([1, 2, 3], settled=True, now_s=12.0)
    holdings.look([1, 2, 3], settled=False, now_s=20.0)
    holdings.look([1, 2, 3], settled=True, now_s=20.5)
    holdings.look([], settled=True, now_s=30.0)

    assert caplog.messages == [
        "holds partitions 0-2, 5 of the events (gained 0-2, 5) after 3.5 s of joining and recovering",
        "holds partitions 1-3 of the events (gained 3; lost 0, 5) after 2.0 s of joining and recovering",
        "holds partitions 1-3 of the events (none gained or lost) after 0.5 s of joining and recovering",
        "holds no partition of the events (lost 1-3) after 0.0 s of joining and recovering",
    ]


def test_a_broker_that_was_silent_is_told_once_and_so_is_that_it_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    holdings = Holdings(4.0)
    for now, silent in ((1.0, 0.5), (5.0, 4.0), (6.0, 5.0), (13.0, 0.2), (14.0, 0.1)):
        holdings.hear(silent, now)

    assert caplog.messages == [
        "Kafka has not answered the group's heartbeat for 4 s (tried again). Fix: if it stays, see the brokers",
        "Kafka answers again, after 12 s",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
