"""Questions to the broker: is it there, which topics has it, where do they end; and creating the topics."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from stream.errors import BrokerUnreachableError, TopicsError
from stream.kafka.producer import ROOM_FOR_HEADERS_BYTES
from stream.settings import Settings

CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    "max.message.bytes": "4194304",
    "min.cleanable.dirty.ratio": "0.3",
    # The segment that is being written to is never compacted. With Kafka's gigabyte a worker that joins would read one of every
    # partition, nearly all of it outdated, before it makes its first list.
    "segment.bytes": str(32 << 20),
}


_SEEN_POLL_S = 0.1


class TopicSpec(NamedTuple):
    """A topic that Penchant reads or writes."""

    name: str
    config: dict[str, str]
    purpose: str


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """All topics, in the order of the data's way."""
    compact = {"cleanup.policy": "compact"}
    # Whatever could be read as an event must fit, or one oversized record would stop the worker for ever.
    large = {"max.message.bytes": str(settings.fetch_max_bytes + ROOM_FOR_HEADERS_BYTES)}
    return [
        TopicSpec(settings.topic_events, {}, "behaviours, key = user_id"),
        TopicSpec(settings.topic_items, compact, "catalogue, key = item_id, null = removed"),
        TopicSpec(settings.topic_recommendations, compact, "lists, key = user_id, null = erased"),
        TopicSpec(settings.topic_attributions, {}, "reasons and credits, key = user_id"),
        TopicSpec(
            settings.topic_strategy_stats, compact, "what strategies earned, key = STRATEGY/SLOT/CONTEXT/PARTITION"
        ),
        TopicSpec(settings.topic_dead_letter, large, "refused records, original bytes"),
        TopicSpec(settings.topic_item_deltas, large, "internal: what events add to items"),
        TopicSpec(settings.topic_item_stats, CHANGELOG_CONFIG, "internal: statistics per item"),
        TopicSpec(settings.topic_models, CHANGELOG_CONFIG, "internal: versions of what ranks"),
        TopicSpec(settings.changelog_topic, CHANGELOG_CONFIG, "internal: changelog of the users' state"),
    ]


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
    partitions = (
        existing[settings.topic_events].partitions if settings.topic_events in existing else settings.partitions
    )
    admin = AdminClient(settings.client_config("topics"))
    futures = (
        admin.create_topics(
            [NewTopic(spec.name, partitions, settings.replication_factor, config=spec.config) for spec in missing],
            operation_timeout=settings.connect_timeout_s,
            request_timeout=settings.connect_timeout_s,
        )
        if missing
        else {}
    )
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


def _wait_until_seen(settings: Settings, names: set[str]) -> None:
    """A broker that has made a topic may not show it for a moment, a busy one for seconds."""
    deadline = time.monotonic() + settings.connect_timeout_s
    while not names <= set(list_topics(settings)) and time.monotonic() < deadline:
        time.sleep(_SEEN_POLL_S)


def check_topics(settings: Settings) -> dict[str, Topic]:
    """Topics that Penchant needs, by name.

    Raises:
        TopicsError: one is missing, or those that must have as many partitions as the events topic have not.
    """
    existing = list_topics(settings)
    specs = topic_specs(settings)
    missing = [spec.name for spec in specs if spec.name not in existing]
    if missing:
        raise TopicsError(
            f"missing topics, or not to be seen by this user: {', '.join(missing)}.",
            "run `penchant topics create`; with access control give this user DESCRIBE on them",
        )
    for source, changelog in (
        (settings.topic_events, settings.changelog_topic),
        (settings.topic_item_deltas, settings.topic_item_stats),
    ):
        wanted, found = existing[source].partitions, existing[changelog].partitions
        if wanted != found:
            raise TopicsError(
                f"topic {changelog} has {found} partitions but {source} has {wanted}; they must match.",
                f"delete {changelog} and run `penchant topics create`; it is rebuilt only if {source} still holds all events",
            )
    return {spec.name: existing[spec.name] for spec in specs}


def is_embedded(settings: Settings) -> bool:
    """Whether the broker is librdkafka's own (`stream.kafka.embedded`), which says so in its cluster id.

    Raises:
        BrokerUnreachableError: no answer within `connect_timeout_s`.
    """
    try:
        metadata = AdminClient(settings.client_config("topics")).list_topics(timeout=settings.connect_timeout_s)
    except KafkaException as error:
        raise unreachable(settings, error) from None
    return str(metadata.cluster_id).startswith("mockCluster")


def cleanup_policies(settings: Settings, names: list[str]) -> dict[str, str]:
    """`cleanup.policy` of topics; empty where the broker does not tell (the embedded one does not)."""
    if not names:  # confluent-kafka takes no empty question
        return {}
    admin = AdminClient(settings.client_config("topics"))
    futures = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=settings.connect_timeout_s
    )
    policies = {}
    for resource, future in futures.items():
        try:
            policies[resource.name] = future.result(settings.connect_timeout_s)["cleanup.policy"].value
        except (KafkaException, KeyError, TimeoutError):
            continue
    return policies


class LogEnds:
    """Ends of topic partitions, asked of the broker each time. Thread-safe."""

    def __init__(self, settings: Settings, *, readable: bool = False) -> None:
        """`readable`: the end of what may be read by now, before the oldest transaction that is still open; anybody's producer
        may leave one open for long. Otherwise the very end: a transaction that was just committed may not be visible to
        readers for a moment."""
        self._timeout_s = settings.connect_timeout_s
        self._lock = threading.Lock()
        isolation = "read_committed" if readable else "read_uncommitted"
        self._consumer = Consumer(
            settings.client_config("log-ends")
            | {"group.id": f"{settings.group_id}-log-ends", "isolation.level": isolation}
        )

    def __call__(self, topic: str, partition: int) -> int:
        """Next offset to be written.

        Raises:
            BrokerUnreachableError: no answer within `connect_timeout_s`.
        """
        return self.bounds(topic, partition)[1]

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Offset of the oldest record, and next offset to be written.

        Raises:
            BrokerUnreachableError: no answer within `connect_timeout_s`.
        """
        with self._lock:
            try:
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), timeout=self._timeout_s, cached=False
                )
            except KafkaException as error:
                raise BrokerUnreachableError(
                    f"the end of {topic} partition {partition} is not known: {error.args[0].str()}.",
                    "see `penchant doctor`",
                ) from error
        return int(low), int(high)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def unreachable(settings: Settings, error: KafkaException) -> BrokerUnreachableError:
    """No broker at `bootstrap_servers`."""
    return BrokerUnreachableError(
        f"no Kafka broker answers at {settings.bootstrap_servers} ({error.args[0].str()}).",
        "start one (`make kafka`, or `penchant demo --serve`), or set --bootstrap-servers",
    )


def _hint(error: KafkaException) -> str:
    text = error.args[0].str().lower()
    if "replication" in text:
        return "set --replication-factor to at most the number of brokers"
    if "authoriz" in text:
        return "give this user CREATE on topics, or create them as deploy/docs/topics.md lists them"
    return "see `penchant doctor`"
