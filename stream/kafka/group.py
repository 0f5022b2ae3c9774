"""Who else is in the worker's consumer group."""

from __future__ import annotations

from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream.settings import Settings

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
