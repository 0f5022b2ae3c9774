"""What Faust's Kafka client raises, as ours: one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from stream.errors import BrokerUnreachableError, PenchantError, RefusedError, UsageError

BrokerError = KafkaError
"""Whatever the broker answers that is no answer."""


def translated(
    error: BaseException, group_id: str = "", who: Callable[[], str] = lambda: "other members"
) -> PenchantError | None:
    """Of an error of aiokafka; None for any other. `who` are the members of the group, asked where they are to blame."""
    if isinstance(error, InconsistentGroupProtocolError):
        return UsageError(
            f"Kafka: group {group_id} is in use by another program ({who()}), which shares partitions in another way.",
            "stop that program, or give the workers a --group-id of their own",
        )
    if isinstance(error, InvalidSessionTimeoutError):
        return UsageError(
            "Kafka: session_timeout_s is not within what the broker allows.",
            "set it between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
        )
    if isinstance(error, KafkaConnectionError):
        return BrokerUnreachableError(f"Kafka: {error}.", "see `penchant doctor`")
    if isinstance(error, KafkaError):
        return RefusedError(f"Kafka: {error}{_fix(error)}")
    return None


def _fix(error: KafkaError) -> str:
    """What to do about what Kafka refused."""
    if isinstance(error, TopicAuthorizationFailedError):
        return ". Fix: give this user READ on the topic"
    if isinstance(error, GroupAuthorizationFailedError):
        return ". Fix: give this user READ on the group"
    if "GroupMaxSizeReached" in str(error):  # aiokafka has no class for it
        return ". Fix: raise the broker's group.max.size, or run fewer workers"
    return ""
