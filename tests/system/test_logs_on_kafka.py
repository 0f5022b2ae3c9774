"""Which log is this, and is my position in it? On an Apache Kafka that makes topics for whoever names one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from kafka_checks import catalogue, differences, events, last_lists
from kafka_for_tests import running
from kafka_server import KafkaServer
from places import ROOT
from worker_process import TIMEOUT_S, Topics, WorkerProcess, is_user

from stream.kafka.specs import topic_specs
from stream.kafka.topics import create_topics
from stream.settings import load_settings
from stream.storage.rocks import DataDirectory
from stream.wire.codes import EPOCH_OFFSETS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_names = count()
SOON = {"delivery_timeout_s": 5, "watchdog_stall_s": 8, "watchdog_commit_age_s": 30}
"""The topics are looked at every two seconds."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker of these tests' own; it makes topics of 3 partitions, so that one is known by that."""
    server = KafkaServer(
        tmp_path_factory.mktemp("logs"), "auto.create.topics.enable=true\nnum.partitions=3\nfile.delete.delay.ms=100"
    )
    with running(server):
        yield server


@pytest.fixture
def topics(broker: KafkaServer) -> Topics:
    """A test's own topics."""
    topics = Topics(broker.bootstrap_servers, f"l{next(_names)}-{time.time_ns():x}", **SOON)
    create_topics(topics.settings)
    catalogue(topics, 20)
    return topics


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(topics.settings, tmp_path / "a") as process:
        topics.produce(topics.settings.topic_events, events(500, 30, 20, seed=1))
        process.wait_for("the first events", topics.all_committed)
        yield process


def admin(topics: Topics) -> AdminClient:
    return AdminClient({"bootstrap.servers": topics.settings.bootstrap_servers, "log_level": 0})


def there(topics: Topics) -> set[str]:
    return set(admin(topics).list_topics(timeout=TIMEOUT_S).topics)


def delete(topics: Topics, name: str) -> None:
    of = admin(topics)
    of.delete_topics([name])[name].result(TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    while name in there(topics):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def set_policy(topics: Topics, name: str, policy: str) -> None:
    topic = ConfigResource(ResourceType.TOPIC, name)
    topic.add_incremental_config(ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET))
    of = admin(topics)
    of.incremental_alter_configs([topic])[topic].result(TIMEOUT_S)


def ends_with(worker: WorkerProcess, code: int) -> str:
    """The one line that it says at its end."""
    assert worker.process.wait(TIMEOUT_S) == code, worker.log[-4000:]
    (line,) = [line for line in worker.log.splitlines() if line.startswith("penchant: ")][-1:]
    assert "Traceback" not in worker.log
    return line


@pytest.mark.parametrize(
    "name", ["topic_events", "topic_items", "topic_recommendations", "topic_item_deltas", "topic_models"]
)
def test_a_topic_that_is_deleted_is_told_and_nothing_of_ours_makes_it_again(
    topics: Topics, worker: WorkerProcess, name: str
) -> None:
    topic = getattr(topics.settings, name)
    delete(topics, topic)
    if name != "topic_events":
        topics.produce(topics.settings.topic_events, events(200, 30, 20, seed=2))
    said = ends_with(worker, 2)
    assert topic in said
    assert "penchant topics create" in said
    assert topic not in there(topics)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("changelog_topic", "delete"),
        ("topic_events", "compact"),
        ("topic_recommendations", "delete"),
        ("topic_item_stats", "compact,delete"),
    ],
)
def test_a_wrong_policy_stops_a_worker_and_lets_none_start(
    topics: Topics, worker: WorkerProcess, name: str, policy: str
) -> None:
    topic = getattr(topics.settings, name)
    set_policy(topics, topic, policy)
    for _ in ("it runs", "it starts"):
        said = ends_with(worker, 2)
        assert f"topic {topic} has cleanup.policy={policy}" in said
        assert f"--alter --topic {topic} --add-config cleanup.policy=" in said
        worker.start()


def make_again(topics: Topics, name: str, policy: str = "delete") -> None:
    delete(topics, name)
    of = admin(topics)
    of.create_topics([NewTopic(name, 4, 1, config={"cleanup.policy": policy})])[name].result(TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    while name not in there(topics):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def penchant(topics: Topics, *arguments: str) -> str:
    """What a command prints, with the settings of the test."""
    changed = {name: getattr(topics.settings, name) for name in topics.settings.model_fields_set}
    env = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
    env |= {f"PENCHANT_{name.upper()}": str(value) for name, value in changed.items()} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "stream", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def engagements(topics: Topics) -> float:
    """First engagements that item statistics count."""
    return sum(item[0] for item in topics.items().values())


def bought(topics: Topics, users: int, item: str) -> None:
    topics.produce(
        topics.settings.topic_events,
        [
            (key, json.dumps({"user_id": key.decode(), "item_id": item, "action": "purchase"}).encode())
            for key in (f"u{user}".encode() for user in range(users))
        ],
    )


@pytest.mark.parametrize("runs", [True, False], ids=["while a worker runs", "while none runs"])
def test_an_events_topic_that_was_made_again_is_refused_and_gone_on_with_on_purpose(
    topics: Topics, worker: WorkerProcess, runs: bool
) -> None:
    events_topic = topics.settings.topic_events
    worker.wait_for("the item statistics", topics.deltas_committed)
    before, states = engagements(topics), topics.state()
    if not runs:
        worker.terminate()
    make_again(topics, events_topic)
    bought(topics, 30, "i7")
    bought(topics, 30, "new")  # which nobody had
    if not runs:
        worker.start()
    for _ in ("it runs", "it starts"):
        said = ends_with(worker, 2)
        assert f"topic {events_topic} was deleted and made again, or restored" in said
        assert "penchant topics new-events-log" in said
        worker.start()
    assert worker.process.wait(TIMEOUT_S) == 2
    assert topics.state() == states, "nothing is lost meanwhile, and nothing counted"

    assert "is meant" in penchant(topics, "topics", "new-events-log")
    worker.start()
    worker.wait_for("the events of the new log", topics.all_committed)
    worker.wait_for("the item statistics", topics.deltas_committed)
    assert topics.items()["new"][0] == 30, "item statistics count them, too"
    assert engagements(topics) >= before + 30
    assert states.keys() <= topics.state().keys()
    assert all(offset >= EPOCH_OFFSETS for _, offset in last_lists(topics).values()), "readers take the newer list"

    worker.kill()  # and it is the log from then on, also for a worker that has nothing of its own
    shutil.rmtree(worker.data_dir)
    bought(topics, 30, "newer")
    worker.start()
    worker.wait_for("more events", topics.all_committed)
    worker.wait_for("the item statistics", topics.deltas_committed)
    assert topics.items()["newer"][0] == 30
    assert topics.items()["new"][0] == 30


def test_partitions_raised_on_all_topics_together_are_refused(topics: Topics, worker: WorkerProcess) -> None:
    of = admin(topics)
    more = [NewPartitions(spec.name, 6) for spec in topic_specs(topics.settings)]
    for future in of.create_partitions(more).values():
        future.result(TIMEOUT_S)
    for _ in ("it runs", "it starts"):
        said = ends_with(worker, 2)
        assert f"topic {topics.settings.topic_events} has 6 partitions, but what is known was made with 4" in said
        worker.start()


def items_known(worker: WorkerProcess, number: int) -> None:
    worker.wait_for(f"{number} items", lambda: worker.metrics()["penchant_catalog_items"] == number)


def test_partitions_that_the_items_topic_gets_are_read(topics: Topics, worker: WorkerProcess) -> None:
    items, of = topics.settings.topic_items, admin(topics)
    items_known(worker, 20)
    of.create_partitions([NewPartitions(items, 12)])[items].result(TIMEOUT_S)
    wider = Topics(topics.settings.bootstrap_servers, "wider")
    wider.produce(
        items, [(f"j{n}".encode(), json.dumps({"item_id": f"j{n}", "title": f"{n}"}).encode()) for n in range(40)]
    )
    items_known(worker, 60)


@pytest.mark.parametrize("grows", [False, True], ids=["shorter", "longer"])
def test_what_an_items_topic_that_was_made_again_lacks_is_gone(
    topics: Topics, worker: WorkerProcess, grows: bool
) -> None:
    items = topics.settings.topic_items
    items_known(worker, 20)
    make_again(topics, items, "compact")
    names = ["i0", "i1", *(f"j{n}" for n in range(60 if grows else 3))]
    fresh = Topics(topics.settings.bootstrap_servers, "fresh")
    fresh.produce(items, [(name.encode(), json.dumps({"item_id": name, "title": name}).encode()) for name in names])
    items_known(worker, len(names))
    assert worker.process.poll() is None


def test_what_the_broker_dropped_while_no_worker_ran_is_counted_and_told(topics: Topics, worker: WorkerProcess) -> None:
    events_topic = topics.settings.topic_events
    worker.terminate()
    committed = topics.committed(events_topic)
    topics.produce(events_topic, [(b"u1", b'{"user_id":"u1","item_id":"i1","action":"view"}')] * 20)
    ((partition, end),) = [(p, end) for p, end in topics.ends(events_topic).items() if end > committed.get(p, 0)]
    lost = [TopicPartition(events_topic, partition, end)]
    of = admin(topics)
    of.delete_records(lost)[lost[0]].result(TIMEOUT_S)
    worker.start()
    worker.wait_for("what is lost", lambda: worker.metrics().get("penchant_records_lost_total") == 20)
    assert (
        f"{events_topic} partition {partition}: 20 records were dropped by the broker before they were read"
        in worker.log
    )
    topics.produce(events_topic, events(200, 30, 20, seed=4))
    worker.wait_for("later events", topics.all_committed)
    assert worker.metrics()["penchant_records_lost_total"] == 20


def test_a_person_of_two_partitioners_has_one_state_and_one_list(topics: Topics, worker: WorkerProcess) -> None:
    events_topic = topics.settings.topic_events
    other = Producer({"bootstrap.servers": topics.settings.bootstrap_servers, "partitioner": "consistent_random"})
    for n in range(20):
        for producer, item in ((topics.producer, f"i{n % 10}"), (other, "bought")):
            event = {"user_id": f"two-{n}", "item_id": item, "action": "purchase"}
            producer.produce(events_topic, json.dumps(event).encode(), f"two-{n}".encode())
            assert producer.flush(TIMEOUT_S) == 0
    worker.wait_for("everything", topics.all_committed)
    homes: dict[str, set[int]] = {}
    for message in topics.read(topics.settings.changelog_topic):
        if (message.key() or b"").startswith(b"two-"):
            homes.setdefault(message.key().decode(), set()).add(message.partition())
    assert {len(partitions) for partitions in homes.values()} == {1}
    assert worker.metrics()["penchant_events_foreign_total"] > 0
    assert topics.items()["bought"][0] == 20


@pytest.mark.parametrize("runs", [True, False], ids=["while a worker runs", "while none runs"])
def test_a_changelog_that_was_made_again_costs_no_state_that_a_worker_still_has(
    topics: Topics, worker: WorkerProcess, runs: bool
) -> None:
    changelog = topics.settings.changelog_topic
    if not runs:
        worker.terminate()
    make_again(topics, changelog, "compact")
    if not runs:
        worker.start()
    for _ in ("it runs", "it starts"):
        said = ends_with(worker, 2)
        assert f"topic {changelog} was deleted and made again, or lost its end" in said
        assert "keep a copy of" in said
        worker.start()
    assert worker.process.wait(TIMEOUT_S) == 2
    directory = DataDirectory(worker.data_dir, 8 << 20, 8 << 20)
    stores = directory.stores("users")
    kept = [key for partition in range(4) for key, _ in stores[partition].items() if is_user(key)]
    stores.close_all()
    directory.close()
    assert len(kept) == 30


def test_a_second_group_on_the_same_item_topics_is_refused_and_one_with_its_own_is_not(
    topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    second = topics.settings.model_copy(update={"group_id": f"{topics.settings.group_id}-green"})
    create_topics(second)
    own = {f"topic_{name}": f"{second.group_id}.{name}" for name in ("item_deltas", "item_stats", "recommendations")}
    with WorkerProcess(second, tmp_path / "b") as green:
        said = ends_with(green, 2)
        assert f"group {topics.settings.group_id} (" in said
        assert "penchant worker --shadow NAME" in said
    assert worker.process.poll() is None
    apart = second.model_copy(update=own)
    create_topics(apart)
    with WorkerProcess(apart, tmp_path / "c", **own) as green:
        green.wait_for("its partitions", lambda: green.metrics().get("penchant_partitions") == 4)
    worker.terminate()
    with WorkerProcess(second, tmp_path / "d") as green:  # who takes up the work of a group that has ended
        green.wait_for("its partitions", lambda: green.metrics().get("penchant_partitions") == 4)


def test_a_shadow_has_states_statistics_and_lists_of_its_own_and_changes_nothing_of_those_that_serve(
    topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    settings = topics.settings
    given = {name: getattr(settings, name) for name in settings.model_fields_set if name != "shadow"}
    shadow = load_settings(**given, shadow="next")
    create_topics(shadow)
    shadows = Topics(settings.bootstrap_servers, "unused")
    shadows.settings = shadow
    with WorkerProcess(shadow, tmp_path / "b") as beside:
        # Some have no key, so one of the two has to send them again under it, and not both.
        topics.produce(settings.topic_events, [(None, value) for _, value in events(200, 30, 20, seed=2)])
        worker.wait_for("everything", topics.all_committed)
        beside.wait_for("everything", shadows.all_committed)
        worker.wait_for("everything that was sent again", topics.all_committed)
        worker.wait_for("the statistics", topics.deltas_committed)
        beside.wait_for("its statistics", shadows.deltas_committed)
        again = [m for m in topics.read(settings.topic_events) if m.headers()]
        assert len(again) == worker.metrics()["penchant_events_rekeyed_total"] > 100
        assert beside.metrics().get("penchant_events_rekeyed_total", 0) == 0
    state, items = topics.reference()
    assert differences(state, topics.state()) == differences(state, shadows.state()) == {}
    assert differences(items, topics.items()) == differences(items, shadows.items()) == {}
    users = {m.key() for m in topics.read(settings.topic_recommendations)}
    assert users == {m.key() for m in topics.read(shadow.topic_recommendations)}
    assert shadow.topic_recommendations == settings.topic_recommendations + ".next"
