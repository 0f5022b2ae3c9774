"""Letters deleted for good, by Kafka's DeleteRecords: of a partition only what lies before an offset can go."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.dead_letters.letter import Letter, Place
from stream.dead_letters.selection import Selection
from stream.dead_letters.topic import Spans
from stream.errors import TopicsError, UsageError
from stream.kafka.logs import TopicLogs
from stream.settings import Settings

_FIXES: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give this user DELETE on the topic",
    KafkaError.POLICY_VIOLATION: "set cleanup.policy=delete on the topic",
    KafkaError.UNSUPPORTED_VERSION: "use Apache Kafka 0.11 or later",
}


@dataclass
class PurgePlan:
    """What would be deleted, by partition, and what not."""

    cuts: dict[int, int] = field(default_factory=dict)
    """Everything before these offsets goes."""
    deleted: int = 0
    never_replayed: int = 0
    """Of `deleted`."""
    first_kept: dict[int, Place] = field(default_factory=dict)
    """Where a letter is that has to stay, and with it everything behind it."""
    behind: int = 0
    """Letters that were meant and stay, since they lie behind one that has to."""


def plan_purge(
    letters: Iterable[Letter],
    spans: Spans,
    selection: Selection,
    replayed: set[bytes],
    *,
    only_replayed: bool,
    up_to: dict[int, int],
) -> PurgePlan:
    """Per partition everything before the first letter that is not meant; `letters` of one come in order of offset.

    `up_to`: by partition the last offset that may go, and no other partition is touched then; empty: all of all.
    """
    plan = PurgePlan()
    for letter in letters:
        partition, offset = letter.place
        is_bounded = bool(up_to) and offset > up_to.get(partition, -1)
        was_replayed = letter.identity in replayed
        is_meant = not is_bounded and selection.takes(letter) and (was_replayed or not only_replayed)
        if partition in plan.first_kept:
            plan.behind += is_meant
        elif is_meant:
            plan.deleted += 1
            plan.never_replayed += not was_replayed
        else:
            plan.first_kept[partition] = letter.place
    for partition, (low, high) in spans.items():
        if up_to and partition not in up_to:
            continue
        kept = plan.first_kept.get(partition)
        cut = high if kept is None else kept.offset
        if up_to:
            cut = min(cut, up_to[partition] + 1)
        if cut > low:
            plan.cuts[partition] = cut
    return plan


def refuse_embedded(settings: Settings) -> None:
    """Raises: UsageError: the broker is the embedded one, which knows no DeleteRecords."""
    if TopicLogs(settings).is_embedded:
        raise UsageError(
            "the embedded broker cannot delete records.", "stop it and all is gone, or use Apache Kafka (`make kafka`)"
        )


def delete(settings: Settings, cuts: dict[int, int]) -> None:
    """Everything before these offsets, by partition.

    Raises:
        TopicsError: the broker refuses it for a partition; others may be done.
    """
    topic, timeout_s = settings.topic_dead_letter, settings.connect_timeout_s
    admin = AdminClient(settings.client_config("purge"))
    asked = [TopicPartition(topic, partition, cut) for partition, cut in sorted(cuts.items())]
    futures = admin.delete_records(asked, request_timeout=timeout_s, operation_timeout=timeout_s) if asked else {}
    for at, future in futures.items():
        where = f"{topic} partition {at.partition}"
        try:
            future.result(timeout_s)
        except KafkaException as error:
            fix = _FIXES.get(error.args[0].code(), "see `penchant doctor`")
            raise TopicsError(f"{where}: nothing was deleted: {error.args[0].str()}.", fix) from None
        except FutureTimeoutError:
            raise TopicsError(f"{where}: no answer within {timeout_s:g} s.", "see `penchant doctor`") from None
