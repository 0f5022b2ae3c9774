"""Questions to the broker: is it there, which topics has it; and creating the topics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from stream.errors import TopicsError
from stream.kafka.log_rules import Log, what_is_wrong
from stream.kafka.logs import TopicLogs, unreachable
from stream.kafka.specs import topic_specs
from stream.settings import Settings

_SEEN_POLL_S = 0.1

ITEM_PARTITIONS_MAX: Final = 16
"""Unless a setting says otherwise. The events of one partition are about items of all, so its commit is a transaction on all
partitions of the item deltas, and writes a marker to each: with as many of them as of events that is their square, 65,536
markers and 44 s a commit where they are 256."""


class Topic(NamedTuple):
    """What the broker says of a topic."""

    partitions: int
    replicas: int


def list_topics(settings: Settings) -> dict[str, Topic]:
    """Topics by name.

    Raises:
        BrokerUnreachableError: no answer within `connect_timeout_s`.
    """
    try:
        metadata = AdminClient(settings.client_config("topics")).list_topics(timeout=settings.connect_timeout_s)
    except KafkaException as error:
        raise unreachable(settings, error) from None
    return {
        name: Topic(len(topic.partitions), min((len(p.replicas) for p in topic.partitions.values()), default=0))
        for name, topic in metadata.topics.items()
        if topic.error is None
    }


def create_topics(settings: Settings) -> list[str]:
    """Create what is missing; names of the topics created.

    Raises:
        TopicsError: the broker refused one, or an existing one has the wrong partition count.
    """
    existing = list_topics(settings)
    missing = [spec for spec in topic_specs(settings) if spec.name not in existing]
    admin = AdminClient(settings.client_config("topics"))
    wanted = [
        NewTopic(spec.name, _partitions(settings, existing, spec.name), settings.replication_factor, config=spec.config)
        for spec in missing
    ]
    timeout_s = settings.connect_timeout_s
    futures = admin.create_topics(wanted, operation_timeout=timeout_s, request_timeout=timeout_s) if wanted else {}
    for name, future in futures.items():
        try:
            future.result(settings.connect_timeout_s)
        except KafkaException as error:
            raise TopicsError(f"topic {name} was not created: {error.args[0].str()}.", _hint(error)) from None
        except TimeoutError:
            raise TopicsError(
                f"topic {name} was not created within {settings.connect_timeout_s:g} s.", "see `penchant doctor`"
            ) from None
    if missing:
        _wait_until_seen(settings, {spec.name for spec in missing})
    check_topics(settings)
    return [spec.name for spec in missing]


def _partitions(settings: Settings, existing: Mapping[str, Topic], name: str) -> int:
    """Of a topic to be made: as many as the one that it belongs to; what is of items few, all else as many as the events."""
    items = settings.topic_item_deltas, settings.topic_item_stats
    of_items = next((existing[topic].partitions for topic in items if topic in existing), settings.item_partitions)
    users = settings.topic_events, settings.changelog_topic
    of_users = next((existing[topic].partitions for topic in users if topic in existing), settings.partitions)
    if name in items:
        return of_items or min(of_users, ITEM_PARTITIONS_MAX)
    return of_users


def _wait_until_seen(settings: Settings, names: set[str]) -> None:
    """A broker that has made a topic may not show it for a moment, a busy one for seconds."""
    deadline = time.monotonic() + settings.connect_timeout_s
    while not names <= set(list_topics(settings)) and time.monotonic() < deadline:
        time.sleep(_SEEN_POLL_S)


def check_topics(settings: Settings) -> dict[str, Log]:
    """Topics that Penchant needs, by name.

    Raises:
        TopicsError: one is missing, or is not as it has to be.
    """
    logs = TopicLogs(settings).ask()
    if (wrong := what_is_wrong(settings, logs)) is not None:
        raise wrong
    return logs


def _hint(error: KafkaException) -> str:
    text = error.args[0].str().lower()
    if "replication" in text:
        return "set --replication-factor to at most the number of brokers"
    if "authoriz" in text:
        return "give this user CREATE on topics, or create them as deploy/docs/topics.md lists them"
    return "see `penchant doctor`"
