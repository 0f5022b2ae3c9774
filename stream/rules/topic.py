"""The topic of rules from outside a worker: read what is in force, write what is to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer

from stream.errors import DeliveryError
from stream.kafka.producer import producer_config
from stream.kafka.read_to_end import read_to_end
from stream.rules.book import RuleBook
from stream.rules.live_placement import placement_to_json, refusal_by
from stream.rules.rule import Rule, to_json
from stream.settings import Settings
from stream.settings.placements import PlacementSettings


def read_book(settings: Settings) -> RuleBook:
    """Everything on the topic by now.

    Raises:
        BrokerUnreachableError, TopicsError: no broker answers, or it has no such topic.
    """
    book = RuleBook(refusal_by(settings))
    for records in read_to_end(settings, settings.topic_rules):
        for record in records:
            book.add(record.key, record.value)
    return book


def publish_changes(settings: Settings, changes: Mapping[str, Rule | PlacementSettings | None]) -> None:
    """Have workers take these up, by key of the record; None: it is gone. Returns when the broker has them.

    Raises:
        DeliveryError: the broker did not take one of them.
    """
    producer = Producer(producer_config(settings, "rules"))
    refused: list[str] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            refused.append(error.str())

    for key, change in changes.items():
        producer.produce(settings.topic_rules, value_of(change), key.encode(), on_delivery=delivered)
    if producer.flush(settings.delivery_timeout_s) or refused:
        raise DeliveryError(f"topic {settings.topic_rules}: {refused[0] if refused else 'timed out'}")


def value_of(change: Rule | PlacementSettings | None) -> bytes | None:
    """As it stands on the topic."""
    if change is None:
        return None
    return to_json(change) if isinstance(change, Rule) else placement_to_json(change)
