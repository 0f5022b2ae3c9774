"""What `penchant doctor` can find out from the broker: each question is bounded in time and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream.cli.checks import Check, skipped
from stream.display.terminal import count
from stream.errors import BrokerUnreachableError, SettingsError
from stream.kafka.group import OUR_ASSIGNOR, ask_group, named
from stream.kafka.log_ends import log_bounds
from stream.kafka.log_rules import Log, missing, unequal_partitions, wrong_policy
from stream.kafka.logs import cleanup_policies
from stream.kafka.partitioner import key_partition
from stream.kafka.reach import wait_for_broker
from stream.kafka.security import check_security
from stream.kafka.specs import topic_specs
from stream.kafka.topics import Topic
from stream.settings import Settings

ASK_TIMEOUT_S: Final = 3.0
"""Longest wait for any one answer of the broker; `connect_timeout_s` where that is less."""

KEYS_MAX: Final = 1_000
"""Events that are looked at for the partitions of their keys."""

AHEAD_WARN_S: Final = 5.0


def check_broker(settings: Settings) -> tuple[Check, dict[str, Topic] | None]:
    """Does it answer, and to us? With its topics if it does."""
    timeout_s = min(ASK_TIMEOUT_S, settings.connect_timeout_s)
    try:
        check_security(settings)
        wait_for_broker(settings, timeout_s)
    except (SettingsError, BrokerUnreachableError) as error:
        return Check("broker", "fail", error.message, error.fix), None
    reasons: list[str] = []
    # librdkafka tells why it was refused (a wrong password, a certificate) to error_cb and to its log, not to the caller.
    admin = AdminClient(
        settings.client_config("doctor") | {"log_level": 0, "error_cb": lambda error: reasons.append(error.str())}
    )
    try:
        metadata = admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        why = next((reason for reason in reasons if "down" not in reason), error.args[0].str())
        detail = f"{settings.bootstrap_servers} accepts connections but not as Kafka for us: {why}"
        return Check("broker", "fail", detail, "compare security_protocol, sasl_* and ssl_* with the broker's"), None
    topics = {
        name: Topic(len(topic.partitions), min((len(p.replicas) for p in topic.partitions.values()), default=0))
        for name, topic in metadata.topics.items()
        if topic.error is None
    }
    brokers = f"{len(metadata.brokers)} broker{'s' * (len(metadata.brokers) != 1)}"
    return Check("broker", "ok", f"{brokers} at {settings.bootstrap_servers}, {settings.security_protocol}"), topics


def check_topics(settings: Settings, topics: Mapping[str, Topic]) -> Check:
    """Are all there, and do those match that must have as many partitions as another?"""
    specs = topic_specs(settings)
    logs = {spec.name: Log(topics[spec.name].partitions) for spec in specs if spec.name in topics}
    wrong = missing(specs, logs) or unequal_partitions(settings, logs)
    if wrong is not None:
        return Check("topics", "fail", wrong.message, wrong.fix)
    events = logs[settings.topic_events]
    return Check("topics", "ok", f"all {len(specs)}; events in {events.partitions} partitions")


def check_policies(settings: Settings, topics: Mapping[str, Topic]) -> Check:
    """Is compacted what must be, and nothing else? A compacted events topic would lose behaviours."""
    specs = topic_specs(settings)
    there = [spec.name for spec in specs if spec.name in topics]
    if not there:
        return skipped("compaction", "no topics")
    admin = AdminClient(settings.client_config("doctor") | {"log_level": 0})
    policies = cleanup_policies(admin, there, min(ASK_TIMEOUT_S, settings.connect_timeout_s))
    if not policies:
        return Check("compaction", "skip", "the broker does not tell (the embedded one never compacts)")
    logs = {name: Log(topics[name].partitions, policy=policies.get(name)) for name in there}
    wrong = wrong_policy(settings, specs, logs)
    if wrong is not None:
        return Check("compaction", "fail", wrong.message, wrong.fix)
    return Check("compaction", "ok", f"{len(policies)} topics as they should be")


def check_group(settings: Settings) -> Check:
    """Are the members of the workers' group workers? Another program's keep them out of it."""
    group = ask_group(settings)
    if group is None:
        return skipped("group", "the broker does not tell")
    if group.members and group.assignor not in ("", OUR_ASSIGNOR):
        return Check(
            "group",
            "fail",
            f"{settings.group_id} is in use by another program: {named(group.members)}",
            "stop that program, or give the workers a --group-id of their own",
        )
    return Check("group", "ok", f"{settings.group_id}: {count(len(group.members), 'member')}")


def check_keys(settings: Settings, topics: Mapping[str, Topic]) -> Check:
    """Are the newest events where their keys belong? A producer with another partitioner splits people in two."""
    events = topics.get(settings.topic_events)
    if events is None:
        return skipped("keys", "no events topic")
    try:
        where = _newest_keys(settings, events.partitions)
    except KafkaException as error:
        return skipped("keys", f"the events cannot be read: {error.args[0].str()}")
    if not where:
        return skipped("keys", "no events to look at")
    foreign = [
        key for partition, key in where if key_partition(key, events.partitions, settings.partitioner) != partition
    ]
    if not foreign:
        return Check(
            "keys", "ok", f"the newest {count(len(where), 'event')} lie where {settings.partitioner} puts them"
        )
    return Check(
        "keys",
        "warn",
        f"{len(foreign)} of the newest {count(len(where), 'event')} lie in another partition than {settings.partitioner} "
        f"puts them, that of {foreign[0].decode(errors='replace')[:64]!r} for one",
        "give all producers that partitioner, or name theirs in the setting partitioner",
    )


def _newest_keys(settings: Settings, partitions: int) -> list[tuple[int, bytes]]:
    """`(partition, key)` of some of the newest events of each partition that have one."""
    timeout_s = min(ASK_TIMEOUT_S, settings.connect_timeout_s)
    config = {"group.id": f"{settings.group_id}-doctor", "enable.auto.commit": False}
    consumer = Consumer(settings.client_config("doctor") | config)
    try:
        starts, wanted = [], 0
        bounds = log_bounds(
            consumer, [(settings.topic_events, partition) for partition in range(partitions)], timeout_s
        )
        for (_, partition), (low, high) in bounds.items():
            sampled = min(high - low, max(1, KEYS_MAX // partitions))
            if sampled:
                starts.append(TopicPartition(settings.topic_events, partition, high - sampled))
                wanted += sampled
        consumer.assign(starts)
        found: list[tuple[int, bytes]] = []
        give_up = time.monotonic() + timeout_s
        while wanted > 0 and time.monotonic() < give_up:
            for message in consumer.consume(wanted, 0.2):
                if message.error() is None:
                    wanted -= 1
                    found += [(message.partition(), message.key())] if message.key() else []
        return found
    finally:
        consumer.close()


def check_clocks(settings: Settings, topics: Mapping[str, Topic]) -> Check:
    """Has any event a Kafka timestamp from the future? Kafka has no question for a broker's own time."""
    events = topics.get(settings.topic_events)
    if events is None:
        return skipped("clocks", "no events topic")
    admin = AdminClient(settings.client_config("doctor") | {"log_level": 0})
    timeout_s = min(ASK_TIMEOUT_S, settings.connect_timeout_s)
    asked = {TopicPartition(settings.topic_events, p): OffsetSpec.max_timestamp() for p in range(events.partitions)}
    answers, refusals = [], []
    for future in admin.list_offsets(asked, request_timeout=timeout_s).values():
        try:
            answers.append(future.result(timeout_s).timestamp)
        except (KafkaException, TimeoutError) as error:
            refusals.append(error.args[0].str() if isinstance(error, KafkaException) else "no answer")
    newest_ms = max(answers, default=-1)
    if newest_ms < 0:
        return skipped(
            "clocks", f"the broker does not tell: {refusals[0]}" if refusals else "no events to compare with"
        )
    ahead_s = newest_ms / 1000 - time.time()
    if ahead_s > AHEAD_WARN_S:
        detail = f"the newest event's Kafka timestamp is {ahead_s:,.0f} s ahead of this machine's clock"
        return Check("clocks", "warn", detail, "synchronise the clocks (chronyd) of this machine and of the producers")
    unsure = f" ({len(refusals)} partitions did not tell)" if refusals else ""
    return Check("clocks", "ok", f"no event has a Kafka timestamp ahead of this machine's clock{unsure}")
