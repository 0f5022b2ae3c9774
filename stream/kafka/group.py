"""Who else is in the worker's consumer group."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream.settings import Settings

ASK_TIMEOUT_S: Final = 3.0
NAMED_MAX: Final = 5


def members_of(settings: Settings) -> list[str]:
    """`CLIENT at HOST` of the members of `group_id`; empty where the broker does not tell."""
    timeout_s = min(ASK_TIMEOUT_S, settings.connect_timeout_s)
    try:
        admin = AdminClient(settings.client_config() | {"log_level": 0})
        asked = admin.describe_consumer_groups([settings.group_id], request_timeout=timeout_s)
        found = asked[settings.group_id].result(timeout_s)
    except (KafkaException, TimeoutError):
        return []
    return sorted({f"{member.client_id} at {member.host.strip('/')}" for member in found.members})


def named(members: list[str]) -> str:
    """The first of them, for a line; "somebody" where nobody is known."""
    if not members:
        return "a consumer that is no Penchant worker"
    more = len(members) - NAMED_MAX
    return ", ".join(members[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
