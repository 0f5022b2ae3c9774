"""What each role needs of a Kafka that asks for rights, and nothing that it does not."""

from __future__ import annotations

from shlex import quote
from typing import Final, Literal, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from stream.errors import UsageError
from stream.kafka.specs import topic_specs
from stream.settings import Settings

Role = Literal["worker", "serve", "producer", "reader", "operator"]
Kind = Literal["topic", "group", "transactional-id", "cluster"]

ROLES: Final[dict[Role, str]] = {
    "worker": "`penchant worker`",
    "serve": "`penchant serve`; with events over HTTP",
    "producer": "whoever sends events and the catalogue",
    "reader": "whoever consumes lists and attribution records, in a group whose name begins with `GROUP_ID-reader`",
    "operator": "`penchant topics create`, `items load`, `rules`, `models`, `dead-letter`, `doctor`, `backup`, "
    "`erase`, `person`",
}

_RESOURCES: Final[dict[Kind, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,  # librdkafka's name for it
}
CLUSTER: Final = "kafka-cluster"


class Right(NamedTuple):
    """One operation on one resource, or on all whose name begins with its."""

    kind: Kind
    name: str
    operation: str
    """As Kafka's own tools write it: `Read`, `Write`, `Describe`, .."""
    is_prefix: bool = False


def rights_of(settings: Settings, role: Role) -> list[Right]:
    """What a role needs with these settings, sorted. READ and WRITE include DESCRIBE, as Kafka has it."""
    return sorted(set(_OF_ROLE[role](settings)))


def command(right: Right, principal: str, bootstrap_servers: str) -> str:
    """The same for Kafka's own tool."""
    what = f"--{right.kind}" + ("" if right.kind == "cluster" else f" {quote(right.name)}")
    prefix = " --resource-pattern-type prefixed" if right.is_prefix else ""
    return (
        f"kafka-acls.sh --bootstrap-server {bootstrap_servers} --add --allow-principal {quote(principal)} "
        f"--operation {right.operation} {what}{prefix}"
    )


def give_rights(settings: Settings, rights: list[Right], principal: str) -> None:
    """Create these ACLs; those that are there stay.

    Raises:
        UsageError: the broker does not let this user, or has no authorizer.
    """
    timeout_s = settings.connect_timeout_s
    admin = AdminClient(settings.client_config("rights"))
    asked = admin.create_acls([_binding(right, principal) for right in rights], request_timeout=timeout_s)
    for future in asked.values():
        try:
            future.result(timeout_s)
        except (KafkaException, TimeoutError) as error:
            why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
            raise UsageError(
                f"the rights of {principal} could not be given: {why}.",
                "use a user with ALTER on the cluster, and a broker that has an authorizer",
            ) from None


def _binding(right: Right, principal: str) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL
    operation = getattr(AclOperation, _snake(right.operation))
    return AclBinding(_RESOURCES[right.kind], right.name, pattern, principal, "*", operation, AclPermissionType.ALLOW)


def _snake(operation: str) -> str:
    return "".join(f"_{c}" if c.isupper() and n else c for n, c in enumerate(operation)).upper()


def _topics(operation: str, *names: str) -> list[Right]:
    return [Right("topic", name, operation) for name in names]


def _all(settings: Settings) -> list[str]:
    return [spec.name for spec in topic_specs(settings)]


def _lists(settings: Settings) -> list[str]:
    return [settings.topic_recommendations, *settings.placement_topics().values()]


def _worker(settings: Settings) -> list[Right]:
    s = settings
    own = (s.topic_item_deltas, s.topic_item_stats, s.changelog_topic, s.topic_strategy_stats)
    return [
        *_topics("Read", s.topic_events, s.topic_items, s.topic_models, s.topic_rules, *own, *_lists(s)),
        *_topics("Write", s.topic_events, s.topic_attributions, s.topic_dead_letter, *own, *_lists(s)),
        Right("group", s.group_id, "Read"),
        Right("group", f"{s.group_id}-", "Describe", is_prefix=True),  # librdkafka asks for every client's
        *_topics("DescribeConfigs", *_all(s)),  # else it cannot look whether a broker would throw states away
        Right("transactional-id", f"{s.group_id}-", "Write", is_prefix=True),
    ]


def _serve(settings: Settings) -> list[Right]:
    s = settings
    followed = (s.topic_items, s.topic_item_stats, s.topic_models, s.topic_rules, s.topic_strategy_stats)
    return [
        *_topics("Read", s.topic_events, s.topic_attributions, s.changelog_topic, *followed, *_lists(s)),
        *_topics("Read", s.topic_dead_letter),  # for the page of figures
        *_topics("Describe", s.topic_item_deltas),  # it makes sure that all are there
        *_topics("DescribeConfigs", *_all(s)),
        *_topics("Write", s.topic_events),
        Right("group", s.group_id, "Describe"),
        Right("group", f"{s.group_id}-", "Describe", is_prefix=True),  # librdkafka asks for every client's
    ]


def _producer(settings: Settings) -> list[Right]:
    return _topics("Write", settings.topic_events, settings.topic_items)


def _reader(settings: Settings) -> list[Right]:
    return [
        *_topics("Read", *_lists(settings), settings.topic_attributions),
        Right("group", f"{settings.group_id}-reader", "Read", is_prefix=True),
    ]


def _operator(settings: Settings) -> list[Right]:
    s, names = settings, _all(settings)
    return [
        *(right for operation in ("Read", "Create", "DescribeConfigs") for right in _topics(operation, *names)),
        *_topics("Write", s.topic_events, s.topic_items, s.topic_rules, s.topic_models, s.topic_dead_letter),
        *_topics("Delete", s.topic_dead_letter),
        Right("group", s.group_id, "Read"),
        Right("group", f"{s.group_id}-", "Describe", is_prefix=True),  # librdkafka asks for every client's
        Right("transactional-id", f"{s.group_id}-", "Write", is_prefix=True),
    ]


_OF_ROLE: Final = {
    "worker": _worker,
    "serve": _serve,
    "producer": _producer,
    "reader": _reader,
    "operator": _operator,
}
