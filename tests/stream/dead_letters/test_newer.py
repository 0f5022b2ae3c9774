"""A catalogue record is outdated once the topic has a newer one of its key; events never are."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from dead_letters import letter

from stream.dead_letters.newer import NewerItems
from stream.settings import Settings

ITEMS = "interest.items"


@pytest.fixture
def newer(embedded):
    broker = embedded({ITEMS: 2})
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    for n, (partition, key) in enumerate([(0, b"a"), (0, b"b"), (0, b"a"), (1, b"moved"), (0, None)]):
        producer.produce(ITEMS, b"x", key, partition, timestamp=1_700_000_000_000 + n)
    assert producer.flush(60) == 0
    return NewerItems(Settings(bootstrap_servers=broker.bootstrap_servers))


@pytest.mark.parametrize(
    ("key", "offset", "timestamp_ms", "is_outdated"),
    [
        (b"a", 0, 0, True),
        (b"a", 2, 0, False),
        (b"b", 1, 0, False),
        (b"gone", 0, 0, False),
        (None, 0, 0, False),
        (b"moved", 9, 1_700_000_000_000, True),
        (b"moved", 0, 1_700_000_000_009, False),
    ],
)
def test_it_is(newer, key, offset, timestamp_ms, is_outdated) -> None:
    assert newer(letter(offset, key=key, topic=ITEMS, timestamp=timestamp_ms)) is is_outdated


def test_of_events_nothing_is_asked() -> None:
    assert not NewerItems(Settings(bootstrap_servers="127.0.0.1:1"))(letter(0))
