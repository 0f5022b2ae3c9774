"""The topics that are restored into: there, empty, and nobody's at the moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.backup import roles
from stream.errors import BrokerUnreachableError, TopicsError, UsageError
from stream.kafka.group import ask_group, named
from stream.kafka.log_ends import LogEnds
from stream.kafka.topics import Topic, create_topics, list_topics
from stream.settings import Settings

_POLL_S: Final = 0.2

_STARTING: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Of a cluster that has had no group until now, or has just started: passes by itself."""


def refuse_running(settings: Settings) -> None:
    """Whoever is in the group would write to what is restored.

    Raises:
        UsageError: somebody is.
    """
    group = ask_group(settings)
    if group is not None and group.members:
        raise UsageError(
            f"group {settings.group_id} has workers: {named(group.members)}.", "stop them, or name another --group-id"
        )


def prepare(settings: Settings, partitions: Mapping[str, int], *, replace: bool) -> None:
    """Topics that are there, have these partitions by role, and hold nothing but events and items.

    Args:
        settings: whose topics.
        partitions: of the changelog, and of what is of items, as many as there are to be.
        replace: delete those that hold something, and make them again.

    Raises:
        TopicsError: one holds records, or has other partitions.
    """
    refuse_running(settings)
    found = list_topics(settings)
    ours = {role: topic for role, topic in roles.topics_by_role(settings).items() if role != roles.ITEMS}
    there = [topic for topic in ours.values() if topic in found]
    full = _holding(settings, {topic: found[topic] for topic in there})
    if full and not replace:
        raise TopicsError(
            f"topic {full[0]} holds records{f', and {len(full) - 1} more do' if len(full) > 1 else ''}.",
            "name other topics and another group in the settings; or --replace, which deletes what these topics hold",
        )
    if replace and there:
        _delete(settings, there)
    wanted = settings.model_copy(
        update={"partitions": partitions[roles.CHANGELOG], "item_partitions": partitions[roles.ITEM_STATS]}
    )
    create_topics(wanted)
    _check_partitions(settings, ours, partitions)


def _check_partitions(settings: Settings, ours: Mapping[str, str], partitions: Mapping[str, int]) -> None:
    now = list_topics(settings)
    for role in (roles.CHANGELOG, roles.ITEM_STATS, roles.ITEM_DELTAS):
        if now[ours[role]].partitions != partitions[role]:
            raise TopicsError(
                f"topic {ours[role]} has {now[ours[role]].partitions} partitions, but {partitions[role]} are needed.",
                f"name an events topic of {partitions[roles.CHANGELOG]} partitions, or use `penchant repartition`",
            )


def _holding(settings: Settings, topics: Mapping[str, Topic]) -> list[str]:
    ends = LogEnds(settings)
    try:
        bounds = ends.bounds_of([(name, p) for name, topic in topics.items() for p in range(topic.partitions)])
    finally:
        ends.close()
    return sorted({topic for (topic, _), (low, high) in bounds.items() if high > low})


def _delete(settings: Settings, topics: list[str]) -> None:
    timeout_s = settings.connect_timeout_s
    try:
        admin = AdminClient(settings.client_config("restore"))
        for future in admin.delete_topics(topics, operation_timeout=timeout_s).values():
            future.result(timeout_s)
    except (KafkaException, FutureTimeoutError) as error:
        why = error.args[0].str() if isinstance(error, KafkaException) else f"no answer within {timeout_s:g} s"
        raise TopicsError(f"topics could not be deleted: {why}.", "give this user DELETE on them") from None
    deadline = time.monotonic() + timeout_s
    while set(topics) & set(list_topics(settings)):
        if time.monotonic() > deadline:
            raise TopicsError("deleted topics are still there.", "run the command again in a minute")
        time.sleep(_POLL_S)


def commit_offsets(settings: Settings, offsets: Mapping[tuple[str, int], int]) -> None:
    """The group goes on there.

    Raises:
        BrokerUnreachableError: the broker did not take it.
    """
    asked = ConsumerGroupTopicPartitions(
        settings.group_id, [TopicPartition(*at, offset) for at, offset in sorted(offsets.items())]
    )
    admin, deadline = AdminClient(settings.client_config("restore")), time.monotonic() + settings.connect_timeout_s
    while (failed := _try_to_commit(admin, asked, settings.connect_timeout_s)) is not None:
        if failed.code() not in _STARTING or time.monotonic() > deadline:
            raise BrokerUnreachableError(
                f"the offsets of group {settings.group_id} could not be set: {failed.str()}.",
                "stop whoever is in the group, and give this user READ on it",
            )
        time.sleep(_POLL_S)


def _try_to_commit(admin: AdminClient, asked: ConsumerGroupTopicPartitions, timeout_s: float) -> KafkaError | None:
    """Why it was not taken."""
    try:
        (future,) = admin.alter_consumer_group_offsets([asked], request_timeout=timeout_s).values()
        errors = [each.error for each in future.result(timeout_s).topic_partitions if each.error is not None]
    except FutureTimeoutError:
        return KafkaError(KafkaError._TIMED_OUT)
    except KafkaException as error:
        failed: KafkaError = error.args[0]
        return failed
    return errors[0] if errors else None
