"""What people do to Kafka and to clocks, beside a worker that never asked for it.

What is refused is refused in one line with exit code 2, and everything is right when it is gone on with as documented.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType
from episode import Episode, Wrong
from scene import Move, Scene, somebody
from worker_process import TIMEOUT_S

from stream.kafka.group import OUR_ASSIGNOR
from stream.kafka.log_ends import LogEnds
from stream.kafka.topics import create_topics

HOUR_S: Final = 3600.0
EMPTY_S: Final = 30.0
"""Until a group has noticed that its last member is gone."""


def a_clock_that_is_set(scene: Scene, rng: random.Random) -> None:
    """Ahead and back, by hours and by a day and more: then what people do is in the worker's future, and it is refused."""
    for shift_h in rng.sample([1.5, 25.0, 24 * 30, -1.5, -23.0, -26.0], 2):
        scene.episode.step_clock(shift_h * HOUR_S)
        scene.good_events(rng, 40)
        scene.event(somebody(rng), event_time=time.time_ns() // 1_000_000 + 23 * 3_600_000)
        scene.event("bad-clock", event_time=time.time_ns() // 1_000_000 - 5_000)
        scene.flush()
        if rng.random() < 0.4:
            scene.episode.kill()
    scene.episode.step_clock(0.0)


def a_policy_that_is_wrong(scene: Scene, rng: random.Random) -> None:
    """On a topic that would lose what is needed."""
    episode, settings = scene.episode, scene.settings
    topic, policy = rng.choice(
        [
            (settings.changelog_topic, "delete"),
            (settings.topic_events, "compact"),
            (settings.topic_recommendations, "delete"),
            (settings.topic_item_stats, "compact,delete"),
            (settings.topic_items, "delete"),
        ]
    )
    right = "delete" if topic == settings.topic_events else "compact"
    episode.stop()
    _set_policy(episode, topic, policy)
    episode.worker.start()
    episode.is_refused(episode.worker, rf"topic {topic} has cleanup.policy={policy}, which must be {right}")
    scene.good_events(rng, 20)
    _set_policy(episode, topic, right)
    episode.worker.start()


def two_groups(scene: Scene, rng: random.Random) -> None:
    """A second one begins on the topics of the first, which goes on."""
    episode = scene.episode
    episode.settle()
    _until("the worker is a member", lambda: _members(episode))
    other = scene.settings.model_copy(
        update={"group_id": rng.choice(["{}-green", "a-{}"]).format(scene.settings.group_id)}
    )
    create_topics(other)
    scene.good_events(rng, 20)
    worker = episode.another_worker(other)
    with worker:
        episode.is_refused(
            worker, rf"group {scene.settings.group_id} \(.*\) works on {scene.settings.topic_item_deltas}"
        )


def retention_passes_what_was_read(scene: Scene, rng: random.Random) -> None:
    """While no worker runs: what is gone is counted, and what is left is read."""
    episode, topic = scene.episode, scene.settings.topic_events
    read = _stopped(episode)
    scene.good_events(rng, 80)
    for _ in range(40):
        scene.event(somebody(rng))
    scene.flush()
    ends = episode.topics.ends(topic)
    kept_from = {p: rng.randint(read.get(p, 0), end) for p, end in ends.items() if end > read.get(p, 0)}
    cut = [TopicPartition(topic, p, at) for p, at in kept_from.items()]
    for future in episode.admin.delete_records(cut).values():
        future.result(TIMEOUT_S)
    # Where nothing was ever committed nobody knows what there was before.
    lost = sum(at - read[p] for p, at in kept_from.items() if p in read)
    episode.worker.start()
    _until(
        f"{lost} lost records are counted",
        lambda: episode.worker.metrics().get("penchant_records_lost_total", 0) == lost,
    )


def offsets_are_set_back(scene: Scene, rng: random.Random) -> None:
    """What is read again counts once; what was refused by a wrong clock counts now."""
    episode, settings = scene.episode, scene.settings
    read = _stopped(episode)
    lows = _lows(episode)
    offsets = {p: rng.randint(lows[p], at) for p, at in read.items()}
    deltas = {p: rng.randint(0, at) for p, at in episode.topics.committed(settings.topic_item_deltas).items()}
    _set_offsets(episode, settings.topic_events, offsets)
    _set_offsets(episode, settings.topic_item_deltas, deltas)
    episode.set_offsets(offsets)
    episode.worker.start()


def offsets_are_set_forward(scene: Scene, rng: random.Random) -> None:
    """What lies between is read by nobody."""
    episode, settings = scene.episode, scene.settings
    read = _stopped(episode)
    scene.good_events(rng, 60)
    scene.flush()
    offsets = {p: rng.randint(read.get(p, 0), end) for p, end in episode.topics.ends(settings.topic_events).items()}
    _set_offsets(episode, settings.topic_events, offsets)
    episode.set_offsets(offsets)
    episode.worker.start()


def offsets_beyond_the_end(scene: Scene, rng: random.Random) -> None:
    """As after a topic that was restored: it is refused, and gone on with when the offset is mended."""
    episode, topic = scene.episode, scene.settings.topic_events
    scene.good_events(rng, 20)  # a group that never committed has no offset that could be wrong
    scene.flush()
    read = _stopped(episode)
    partition = rng.choice(sorted(read))
    _set_offsets(episode, topic, {partition: read[partition] + 1_000})
    episode.worker.start()
    episode.is_refused(episode.worker, rf"topic {topic} was deleted and made again, or restored")
    scene.good_events(rng, 20)
    _set_offsets(episode, topic, {partition: read[partition]})
    episode.worker.start()


def offsets_that_expire(scene: Scene, rng: random.Random) -> None:
    """As of a group that was away for a week: all that is left is read again."""
    episode = scene.episode
    scene.good_events(rng, 20)  # nobody has heard of a group that never committed, once its only member has left
    scene.flush()
    _stopped(episode)
    group = scene.settings.group_id
    _until("the group is empty", lambda: _done(episode.admin.delete_consumer_groups([group])[group]))
    episode.set_offsets(_lows(episode))
    episode.worker.start()


def the_items_topic_gets_partitions(scene: Scene, rng: random.Random) -> None:
    """They are read, too."""
    episode, items = scene.episode, scene.settings.topic_items
    wanted = len(episode.topics.ends(items)) + rng.randint(1, 3)
    episode.admin.create_partitions([NewPartitions(items, wanted)])[items].result(TIMEOUT_S)
    producer = scene.other_producer()
    before = _items_known(episode)
    for n in range(24):
        name = f"wider-{rng.randrange(10**9)}-{n}"
        producer.produce(items, f'{{"item_id":"{name}","title":"t"}}'.encode(), name.encode())
    producer.flush(60)
    if before is not None:
        _until("the new partitions are read", lambda: (_items_known(episode) or 0) >= before + 24)


def the_events_topic_gets_partitions(scene: Scene, rng: random.Random) -> None:
    """It is refused, and a group of another name makes states of the events that are left, as documented."""
    episode, settings = scene.episode, scene.settings
    episode.settle()
    episode.catch_up()
    events, before = settings.topic_events, episode.partitions
    if before > 6:
        return
    episode.stop()
    episode.admin.create_partitions([NewPartitions(events, before + 2)])[events].result(TIMEOUT_S)
    episode.worker.start()
    episode.is_refused(
        episode.worker, rf"topic \S+ has {before} partitions but {events} has {before + 2}; they must match"
    )
    name = f"{settings.group_id}-wide"
    own = ("item_deltas", "item_stats", "recommendations", "attributions", "strategy_stats", "dead_letter", "models")
    episode.go_on_as(group_id=name, **{f"topic_{topic}": f"{name}.{topic}" for topic in own})
    episode.worker.start()


# --- how ---


def _stopped(episode: Episode) -> dict[int, int]:
    """The worker has ended, and all that was there is read: up to which offsets."""
    episode.settle()
    episode.catch_up()
    episode.stop()
    return episode.topics.committed(episode.settings.topic_events)


def _lows(episode: Episode) -> dict[int, int]:
    asked = LogEnds(episode.settings)
    try:
        return {p: asked.bounds(episode.settings.topic_events, p)[0] for p in range(episode.partitions)}
    finally:
        asked.close()


def _set_offsets(episode: Episode, topic: str, offsets: dict[int, int]) -> None:
    if not offsets:
        return
    group = episode.settings.group_id
    wanted = [TopicPartition(topic, p, at) for p, at in offsets.items()]
    _until(
        "the group is empty",
        lambda: _done(episode.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)])[group]),
        EMPTY_S,
    )


def _done(future: Any) -> bool:
    """False while the group has a member."""
    try:
        future.result(TIMEOUT_S)
    except KafkaException:
        return False
    return True


def _set_policy(episode: Episode, name: str, policy: str) -> None:
    topic = ConfigResource(ResourceType.TOPIC, name)
    topic.add_incremental_config(ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET))
    episode.admin.incremental_alter_configs([topic])[topic].result(TIMEOUT_S)


def _members(episode: Episode) -> bool:
    group = episode.settings.group_id
    found = episode.admin.describe_consumer_groups([group])[group].result(TIMEOUT_S)
    assert found.partition_assignor in ("", OUR_ASSIGNOR)
    return any(member.assignment.topic_partitions for member in found.members)


def _items_known(episode: Episode) -> float | None:
    return episode.worker.metrics().get("penchant_catalog_items")


def _until(what: str, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.1)


ADMINISTRATORS: Final[tuple[Move, ...]] = (
    a_clock_that_is_set, a_policy_that_is_wrong, two_groups, retention_passes_what_was_read, offsets_are_set_back,
    offsets_are_set_forward, offsets_beyond_the_end, offsets_that_expire, the_items_topic_gets_partitions,
    the_events_topic_gets_partitions,
)  # fmt: skip
