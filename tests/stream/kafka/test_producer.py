"""The producer against the embedded broker: sent means acknowledged, and a failure is never forgotten."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream.errors import DeliveryError
from stream.kafka.producer import RecordProducer
from stream.settings import Settings

DEADLINE_S = 20.0
TOPIC = "out"


@pytest.fixture
def broker(embedded):
    return embedded({TOPIC: 2})


def producer_for(broker, **given):
    return RecordProducer(Settings(bootstrap_servers=broker.bootstrap_servers, **given))


def read_all(broker, count):
    """`(partition, key, value, headers, timestamp > 0)` of the first `count` records of the topic."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "reader", "log_level": 0})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in (0, 1)])
    try:
        messages = consumer.consume(count, DEADLINE_S)
    finally:
        consumer.close()
    assert len(messages) == count
    return [(m.partition(), m.key(), m.value(), m.headers()) for m in messages]


def log_end(broker, partition):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "reader", "log_level": 0})
    try:
        return consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=DEADLINE_S)[1]
    finally:
        consumer.close()


async def flush(producer):
    await asyncio.wait_for(producer.flush(), DEADLINE_S)


async def test_flush_returns_when_everything_sent_is_in_the_log(broker):
    producer = producer_for(broker)
    for n in range(3000):
        producer.send(TOPIC, b"%d" % n, b"value", partition=n % 2)
    await flush(producer)
    assert producer.queued == 0
    assert [log_end(broker, p) for p in (0, 1)] == [1500, 1500]


async def test_flush_of_nothing_returns_at_once(broker):
    await flush(producer_for(broker))


async def test_key_value_headers_and_partition_arrive_as_they_were_sent(broker):
    producer = producer_for(broker)
    producer.send(TOPIC, b"k", b"v", 1, [("reason", b"why"), ("n", b"")])
    producer.send(TOPIC, None, None, 0)
    await flush(producer)
    assert sorted(read_all(broker, 2), key=str) == [
        (0, None, None, None), (1, b"k", b"v", [("reason", b"why"), ("n", b"")]),
    ]  # fmt: skip


async def test_a_key_chooses_the_partition_that_java_clients_would_choose(broker):
    producer = producer_for(broker)
    keys = [b"u%d" % n for n in range(20)]
    for key in keys:
        producer.send(TOPIC, key, b"v")
    await flush(producer)
    assert {key: partition for partition, key, _, _ in read_all(broker, 20)} == {k: murmur2(k) % 2 for k in keys}


async def send_and_flush(producer, partition):
    producer.send(TOPIC, b"k", b"v", partition)
    await flush(producer)


async def serve_until_the_deadline(producer):
    async with asyncio.timeout(DEADLINE_S):
        while True:
            producer.serve()
            await asyncio.sleep(0)


async def refused_from_then_on(producer):
    """After a failure every verb raises the same."""
    for _ in range(2):
        with pytest.raises(DeliveryError, match=TOPIC):
            producer.send(TOPIC, b"k", b"good", 0)
        with pytest.raises(DeliveryError, match=TOPIC):
            producer.serve()
        with pytest.raises(DeliveryError, match=TOPIC):
            await flush(producer)


async def test_a_record_that_is_too_large_is_a_delivery_error_from_then_on(broker):
    producer = producer_for(broker)
    producer.send(TOPIC, b"k", b"good", 0)
    with pytest.raises(DeliveryError, match=f"{TOPIC} was not accepted"):
        producer.send(TOPIC, b"k", bytes(20_000_000), 0)
    await refused_from_then_on(producer)


async def test_a_partition_that_does_not_exist_is_a_delivery_error_from_then_on(broker):
    producer = producer_for(broker)
    producer.send(TOPIC, b"k", b"good", 0)
    await flush(producer)
    with pytest.raises(DeliveryError, match=TOPIC):
        await send_and_flush(producer, 7)
    await refused_from_then_on(producer)


async def test_a_partition_that_turns_out_not_to_exist_is_a_delivery_error_from_then_on(broker):
    producer = producer_for(broker)
    producer.send(TOPIC, b"k", b"v", 7)  # before the topic's metadata are known, so librdkafka takes it
    with pytest.raises(DeliveryError, match=f"{TOPIC} was not accepted"):
        await flush(producer)
    await refused_from_then_on(producer)


async def test_serve_tells_of_a_refusal_without_a_flush(broker):
    producer = producer_for(broker)
    producer.send(TOPIC, b"k", b"v", 7)
    with pytest.raises(DeliveryError, match=TOPIC):
        await serve_until_the_deadline(producer)


async def test_a_broker_that_went_away_is_a_delivery_error_within_the_deadline_and_from_then_on(broker):
    producer = producer_for(broker, delivery_timeout_s=3.0)
    producer.send(TOPIC, b"k", b"v", 0)
    await flush(producer)
    broker.close()
    producer.send(TOPIC, b"k", b"v", 0)
    with pytest.raises(DeliveryError):
        await flush(producer)
    with pytest.raises(DeliveryError):
        producer.send(TOPIC, b"k", b"v", 0)


async def test_a_fatal_error_of_the_client_is_a_delivery_error(broker):
    producer = producer_for(broker)
    producer._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    producer.serve()  # librdkafka mends that itself
    producer._on_error(KafkaError(KafkaError._FATAL, "out of order", fatal=True))
    with pytest.raises(DeliveryError, match="out of order"):
        producer.serve()


class FullQueue:
    """A client whose queue is full for `refusals` attempts."""

    def __init__(self, refusals):
        self.refusals, self.sent = refusals, []

    def produce(self, *record, **_):
        if self.refusals:
            self.refusals -= 1
            raise BufferError
        self.sent.append(record)

    def poll(self, timeout):
        return 0

    def flush(self, timeout):
        return 0


def test_a_full_queue_is_waited_for(broker):
    producer = producer_for(broker)
    producer._producer = client = FullQueue(3)
    producer.send(TOPIC, b"k", b"v")
    assert client.sent == [(TOPIC, b"v", b"k", -1)]


def test_a_queue_that_stays_full_is_a_delivery_error_from_then_on(broker):
    producer = producer_for(broker, delivery_timeout_s=0.05)
    producer._producer = FullQueue(10**9)
    with pytest.raises(DeliveryError, match="no room to send to out"):
        producer.send(TOPIC, b"k", b"v")
    with pytest.raises(DeliveryError, match="no room to send to out"):
        producer.serve()


async def test_what_is_not_acknowledged_by_the_deadline_is_a_delivery_error_from_then_on(broker):
    producer = producer_for(broker)
    producer._producer = client = FullQueue(0)
    client.flush = lambda timeout: 3
    with pytest.raises(DeliveryError, match="3 records were not acknowledged"):
        await flush(producer)
    client.flush = lambda timeout: 0
    with pytest.raises(DeliveryError, match="3 records were not acknowledged"):
        await flush(producer)


def murmur2(key: bytes) -> int:
    """Kafka's murmur2 with the sign bit cleared (org.apache.kafka.common.utils.Utils)."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(key)) & mask
    for i in range(0, len(key) // 4 * 4, 4):
        k = int.from_bytes(key[i : i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    tail = key[len(key) // 4 * 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF
