"""What Faust's Kafka client raises, as ours: one line that says what to do."""

from __future__ import annotations

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from stream.errors import BrokerUnreachableError, PenchantError, RefusedError


def translated(error: BaseException) -> PenchantError | None:
    """Of an error of aiokafka; None for any other."""
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
    return ""
