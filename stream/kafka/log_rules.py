"""Whether the topics are such that a worker can go on with them. Pure: what the broker said comes in, what is wrong goes out.

No advice here destroys anything: a changelog that is deleted takes the states of all people with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stream.errors import PenchantError, StuckError, TopicsError
from stream.kafka.specs import POLICY, TopicSpec, topic_specs
from stream.settings import Settings


class Log(NamedTuple):
    """A topic as the broker has it now."""

    partitions: int
    topic_id: str | None = None
    """Another one once it was deleted and made again; None where the broker does not tell (before Kafka 2.8, and the embedded
    one)."""
    policy: frozenset[str] | None = None
    """Of `delete` and `compact`; None where the broker does not tell."""
    kept_ms: int | None = None
    """How long records are kept where old ones are deleted; None: for ever, or the broker does not tell."""


NEW_ITEM_TOPICS: Final = (
    "name two new topics in topic_item_deltas and topic_item_stats and run `penchant topics create`; the statistics of items "
    "begin there anew"
)

Logs = Mapping[str, Log]
"""By topic."""


def what_is_wrong(settings: Settings, logs: Logs) -> TopicsError | None:
    """The first thing that no worker can go on with; None: all is as it has to be."""
    specs = topic_specs(settings)
    return missing(specs, logs) or unequal_partitions(settings, logs) or wrong_policy(settings, specs, logs)


class Changed(NamedTuple):
    """What happened to the topics while a worker runs."""

    why_stop: PenchantError | None = None
    told: tuple[str, ...] = ()
    """What people should know although the worker goes on."""
    anew: frozenset[str] = frozenset()
    """Topics that were made again, to be read from their beginnings."""


def what_changed(settings: Settings, before: Logs, now: Logs) -> Changed:
    """Since a worker has started; all topics are there both times."""
    anew = [
        name
        for name, log in now.items()
        if log.topic_id is not None and before[name].topic_id not in (None, log.topic_id)
    ]
    for name in (settings.topic_events, settings.topic_item_deltas):
        if now[name].partitions != before[name].partitions:
            return Changed(partitions_changed(settings, name, before[name].partitions, now[name].partitions))
    if settings.topic_events in anew:
        return Changed(another_events_log(settings.topic_events))
    for name in (settings.changelog_topic, settings.topic_item_stats):
        if name in anew:
            return Changed(another_changelog(settings, name))
    if settings.topic_item_deltas in anew:
        return Changed(
            StuckError(f"topic {settings.topic_item_deltas} was deleted and made again: it is read from its beginning")
        )
    ours = (
        settings.topic_recommendations,
        *settings.placement_topics().values(),
        settings.topic_attributions,
        settings.topic_strategy_stats,
    )
    followed = {settings.topic_items, settings.topic_models, settings.topic_rules, settings.topic_strategy_stats}
    return Changed(
        anew=frozenset(followed.intersection(anew)),
        told=tuple(
            f"topic {name} was deleted and made again: what it held before is gone. Nothing to do if that was meant"
            for name in (*ours, settings.topic_dead_letter)
            if name in anew
        )
        + tuple(
            f"topic {name} has {now[name].partitions} partitions, not {before[name].partitions} any more: what was "
            "written to it before stays in its old partitions, and of a key that moves readers find both. "
            "Nothing to do if readers take the newest of a key"
            for name in ours
            if now[name].partitions != before[name].partitions
        ),
    )


def partitions_changed(settings: Settings, name: str, before: int, now: int) -> TopicsError:
    """More (or fewer) partitions than what is known of people, or of items, was made with."""
    message = f"topic {name} has {now} partitions, but what is known was made with {before}."
    if name == settings.topic_events:
        return TopicsError(message, users_would_move(name, before))
    return TopicsError(message, NEW_ITEM_TOPICS)


def another_events_log(name: str) -> TopicsError:
    """The events topic is not the one that the states were made of."""
    return TopicsError(
        f"topic {name} was deleted and made again, or restored: its offsets mean other events than those that the states of "
        "people include, and as long as they are smaller all would be taken for known.",
        "if that was meant, `penchant topics new-events-log` keeps all states and reads the topic from its beginning",
    )


def restore_unfinished(settings: Settings) -> TopicsError:
    """A restore was interrupted: some states are there and others are not."""
    return TopicsError(
        f"a restore into {settings.changelog_topic} did not come to its end: not all states are there.",
        "run the same `penchant restore` or `penchant repartition` again, with --replace",
    )


def another_changelog(settings: Settings, name: str) -> TopicsError:
    """What a worker knows is not in its changelog any more."""
    return TopicsError(
        f"topic {name} was deleted and made again, or lost its end: what it held is, if anywhere, in the data directories of "
        "the workers.",
        f"restore the topic, or keep a copy of {settings.data_dir} and start with an empty --data-dir, which goes on with what "
        f"{name} holds now",
    )


def missing(specs: Sequence[TopicSpec], logs: Logs) -> TopicsError | None:
    """Topics that are not there."""
    names = [spec.name for spec in specs if spec.name not in logs]
    if not names:
        return None
    return TopicsError(
        f"missing topics, or not to be seen by this user: {', '.join(names)}.",
        "run `penchant topics create`; with access control give this user DESCRIBE on them",
    )


def unequal_partitions(settings: Settings, logs: Logs) -> TopicsError | None:
    """A changelog that has not as many partitions as the topic that it belongs to."""
    events, changelog = settings.topic_events, settings.changelog_topic
    if logs[events].partitions != logs[changelog].partitions:
        return TopicsError(_unequal(logs, events, changelog), users_would_move(events, logs[changelog].partitions))
    deltas, stats = settings.topic_item_deltas, settings.topic_item_stats
    if logs[deltas].partitions != logs[stats].partitions:
        return TopicsError(_unequal(logs, deltas, stats), NEW_ITEM_TOPICS)
    return None


def _unequal(logs: Logs, source: str, changelog: str) -> str:
    return (
        f"topic {changelog} has {logs[changelog].partitions} partitions but {source} has {logs[source].partitions}; "
        "they must match."
    )


def users_would_move(events: str, partitions: int) -> str:
    """What to do where the events topic has other partitions than the states were made with."""
    return (
        f"Kafka takes no partition back, and with others people would move away from their states: name an events topic of "
        f"{partitions} partitions in topic_events, or give the workers a new --group-id, which makes states of the events that "
        f"{events} still has"
    )


def wrong_policy(settings: Settings, specs: Sequence[TopicSpec], logs: Logs) -> TopicsError | None:
    """A topic that would lose records that are needed, or never lose those that are not."""
    for spec in specs:
        found = logs[spec.name].policy if spec.name in logs else None
        if found is not None and found != spec.policy:
            (wanted,) = spec.policy
            return TopicsError(
                f"topic {spec.name} has {POLICY}={','.join(sorted(found)) or 'none'}, which must be {wanted}.",
                f"kafka-configs.sh --bootstrap-server {settings.bootstrap_servers.partition(',')[0]} --alter --topic "
                f"{spec.name} --add-config {POLICY}={wanted}",
            )
    return None
