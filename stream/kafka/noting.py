"""Something that a person says, written into every partition of the changelog, where each worker finds it beside the states."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message, Producer

from stream.errors import DeliveryError
from stream.kafka.producer import fix_for, producer_config
from stream.settings import Settings


def note_everywhere(settings: Settings, partitions: int, key: bytes, value: bytes) -> None:
    """Into all `partitions` of the changelog.

    Raises:
        DeliveryError: not in all of them, or not certainly; it may be done again.
    """
    failed: list[KafkaError] = []

    def note_failure(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    producer, topic = Producer(producer_config(settings, "notes")), settings.changelog_topic
    for partition in range(partitions):
        producer.produce(topic, value, key, partition, on_delivery=note_failure)
    if producer.flush(settings.delivery_timeout_s) or failed:
        why = f"{failed[0].str()}{fix_for(failed[0])}" if failed else "no answer"
        raise DeliveryError(f"topic {topic} could not be written: {why}")
