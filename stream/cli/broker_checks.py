"""What `penchant doctor` can find out from the broker: each question is bounded in time and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream.cli.checks import Check, skipped
from stream.display.terminal import count
from stream.errors import BrokerUnreachableError, SettingsError
from stream.kafka.group import OUR_ASSIGNOR, ask_group, named
from stream.kafka.reach import wait_for_broker
from stream.kafka.security import check_security
from stream.kafka.topics import Topic, cleanup_policies, topic_specs
from stream.settings import Settings

ASK_TIMEOUT_S: Final = 3.0
"""Longest wait for any one answer of the broker; `connect_timeout_s` where that is less."""

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
    missing = [spec.name for spec in topic_specs(settings) if spec.name not in topics]
    if missing:
        return Check("topics", "fail", f"missing: {', '.join(missing)}", "run `penchant topics create`")
    for source, follower in (
        (settings.topic_events, settings.changelog_topic),
        (settings.topic_item_deltas, settings.topic_item_stats),
    ):
        wanted, found = topics[source].partitions, topics[follower].partitions
        if wanted != found:
            detail = f"{follower} has {found} partitions, {source} {wanted}; they must match"
            fix = f"delete {follower}, run `penchant topics create`; it is rebuilt if {source} still holds all events"
            return Check("topics", "fail", detail, fix)
    events = topics[settings.topic_events]
    return Check("topics", "ok", f"all {len(topic_specs(settings))}; events in {events.partitions} partitions")


def check_policies(settings: Settings, topics: Mapping[str, Topic]) -> Check:
    """Is compacted what must be, and nothing else? A compacted events topic would lose behaviours."""
    specs = {spec.name: spec.config.get("cleanup.policy", "delete") for spec in topic_specs(settings)}
    bounded = settings.model_copy(update={"connect_timeout_s": min(ASK_TIMEOUT_S, settings.connect_timeout_s)})
    there = [name for name in specs if name in topics]
    if not there:
        return skipped("compaction", "no topics")
    policies = cleanup_policies(bounded, there)
    if not policies:
        return Check("compaction", "skip", "the broker does not tell (the embedded one never compacts)")
    wrong = [
        (name, policies[name], wanted)
        for name, wanted in specs.items()
        if name in policies and set(policies[name].split(",")) != {wanted}
    ]
    if not wrong:
        return Check("compaction", "ok", f"{len(policies)} topics as they should be")
    detail = "; ".join(f"{name} is {found}, should be {wanted}" for name, found, wanted in wrong)
    name, _, wanted = wrong[0]
    fix = f"kafka-configs.sh --alter --topic {name} --add-config cleanup.policy={wanted}"
    return Check("compaction", "fail", detail, fix)


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
