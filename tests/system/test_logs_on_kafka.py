"""Which log is this, and is my position in it? On an Apache Kafka that makes topics for whoever names one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from kafka_checks import catalogue, events
from kafka_server import KafkaMissingError, KafkaServer
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from stream.kafka.topics import create_topics

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
    try:
        server.start()
    except KafkaMissingError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
    yield server
    server.stop()


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
