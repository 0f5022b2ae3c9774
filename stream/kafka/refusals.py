"""What Kafka refuses to let a consumer read, with what to do."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException

from stream.errors import RefusedError

FIXES: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give this user READ on the topic (`penchant topics rights`)",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "give this user DESCRIBE on groups that begin with the group id "
    "(`penchant topics rights`)",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "run `penchant topics create`",
}


ENDS_READING: Final = frozenset(FIXES)
"""Errors of a consumer that do not pass by themselves; librdkafka tries again after every other that is not fatal."""


def refused(topic: str, error: KafkaException) -> RefusedError:
    """Why a topic cannot be read."""
    why: KafkaError = error.args[0]
    fix = FIXES.get(why.code(), "see `penchant doctor`")
    return RefusedError(f"topic {topic} cannot be read: {why.str()}. Fix: {fix}")
