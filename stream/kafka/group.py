"""Who else is in the worker's consumer group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream.errors import UsageError
from stream.settings import Settings
from stream.settings.kafka import CHANGELOG_SUFFIX

ASK_TIMEOUT_S: Final = 3.0
NAMED_MAX: Final = 5

OUR_ASSIGNOR: Final = "faust"
"""How Penchant's workers share partitions; all members of a group do it alike."""


class Group(NamedTuple):
    """What the broker says of the workers' group."""

    members: list[str]
    """`CLIENT at HOST`."""
    assignor: str
    """How they share partitions; empty where there are none, or they have not agreed yet."""


def ask_group(settings: Settings) -> Group | None:
    """None where the broker does not tell."""
    timeout_s = min(ASK_TIMEOUT_S, settings.connect_timeout_s)
    try:
        admin = AdminClient(settings.client_config("group") | {"log_level": 0})
        asked = admin.describe_consumer_groups([settings.group_id], request_timeout=timeout_s)
        found = asked[settings.group_id].result(timeout_s)
    except TimeoutError:
        return None
    except KafkaException as error:
        # Since Kafka 4 a group that nobody was ever in is an error.
        return Group([], "") if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND else None
    members = sorted({f"{member.client_id} at {member.host.strip('/')}" for member in found.members})
    return Group(members, found.partition_assignor or "")


def others_on(settings: Settings, topics: Collection[str]) -> dict[str, str]:
    """Other groups of Penchant's workers that read any of these topics now, each with one of its members; empty where the
    broker does not tell.

    Groups of Penchant's are known by their changelogs. One that nobody is in is no other: who takes up its work goes on.
    """
    timeout_s = min(ASK_TIMEOUT_S, settings.connect_timeout_s)
    try:
        admin = AdminClient(settings.client_config("group"))
        found = [name for name in admin.list_topics(timeout=timeout_s).topics if name.endswith(CHANGELOG_SUFFIX)]
        groups = {name.removesuffix(CHANGELOG_SUFFIX) for name in found} - {"", settings.group_id}
        # confluent-kafka takes no empty question
        asked = admin.describe_consumer_groups(sorted(groups), request_timeout=timeout_s) if groups else {}
    except KafkaException:
        return {}
    others = {}
    for group, future in asked.items():
        try:
            members = future.result(timeout_s).members
        except (KafkaException, TimeoutError):
            continue
        for member in members:
            if any(tp.topic in topics for tp in member.assignment.topic_partitions):
                others[group] = f"{member.client_id} at {member.host.strip('/')}"
    return others


def two_groups(settings: Settings, others: Mapping[str, str]) -> UsageError | None:
    """Another group works on the item topics of this one: items would be counted twice, lists overwrite each other."""
    if not others:
        return None
    group, member = min(others.items())
    return UsageError(
        f"group {group} ({member}) works on {settings.topic_item_deltas}, too: beside it {settings.group_id} would count items "
        "a second time and overwrite its lists.",
        "stop those workers first; to run beside them, on purpose: `penchant topics create --shadow NAME`, then "
        "`penchant worker --shadow NAME`",
    )


def shared_topics(settings: Settings) -> UsageError | None:
    """Whether another group has what a worker of this one would write. Blocking."""
    return two_groups(settings, others_on(settings, (settings.topic_item_deltas, settings.topic_item_stats)))


def members_of(settings: Settings) -> list[str]:
    """Members of `group_id`; empty where the broker does not tell."""
    group = ask_group(settings)
    return [] if group is None else group.members


def named(members: list[str]) -> str:
    """The first of them, for a line; "somebody" where nobody is known."""
    if not members:
        return "a consumer that is no Penchant worker"
    more = len(members) - NAMED_MAX
    return ", ".join(members[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
