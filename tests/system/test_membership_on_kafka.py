"""Workers that leave and come back, on Apache Kafka: who takes over, from where, and who is left in peace."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from kafka_checks import catalogue, check_everything, events
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess

from stream.cli.broker_checks import check_group
from stream.errors import EXIT_USAGE
from stream.kafka.topics import create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_names = count()
SHARED = 2  # of 4 partitions, each of two workers has two
RESTORED = 'penchant_restored_records_total{table="users"}'


def topics_for(kafka: KafkaServer, **overrides: object) -> Topics:
    topics = Topics(kafka.bootstrap_servers, f"m{next(_names)}-{time.time_ns():x}", **overrides)
    create_topics(topics.settings)
    return topics


def partitions(worker: WorkerProcess) -> float:
    return worker.metrics().get("penchant_partitions", 0)


def wait_until_shared(first: WorkerProcess, second: WorkerProcess) -> None:
    first.wait_for("half of the partitions", lambda: partitions(first) == partitions(second) == SHARED)


def others_records(topics: Topics, worker: WorkerProcess) -> int:
    """Changelog records (not markers of transactions) of the partitions that a worker does not own."""
    label = f'penchant_lag_records{{partition="%d",topic="{topics.settings.topic_events}"}}'
    owned = {p for p in topics.ends(topics.settings.changelog_topic) if label % p in worker.metrics()}
    return sum(message.partition() not in owned for message in topics.read(topics.settings.changelog_topic))


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_worker_with_a_name_gets_its_partitions_back_and_the_other_one_never_pauses(
    kafka: KafkaServer, tmp_path: Path, how: str
) -> None:
    topics = topics_for(kafka, session_timeout_s=30)
    with (
        WorkerProcess(topics.settings, tmp_path / "a", group_instance_id="pod-a") as restarted,
        WorkerProcess(topics.settings, tmp_path / "b", group_instance_id="pod-b") as other,
    ):
        wait_until_shared(restarted, other)
        catalogue(topics, 20)
        topics.produce(topics.settings.topic_events, events(2000, 40, 20, seed=1))
        other.wait_for("everything", topics.all_committed)
        before = other.metrics()["penchant_rebalances_total"]
        if how == "SIGTERM":
            restarted.terminate()
        else:
            restarted.kill()
        topics.produce(topics.settings.topic_events, events(2000, 40, 20, seed=2))
        restarted.start()
        other.wait_for("everything", topics.all_committed)
        assert partitions(restarted) == partitions(other) == SHARED
        assert other.metrics()["penchant_rebalances_total"] == before
        check_everything(topics, other)


def test_doctor_finds_nothing_wrong_with_a_group_of_workers(kafka: KafkaServer, tmp_path: Path) -> None:
    topics = topics_for(kafka)
    assert check_group(topics.settings).status in ("ok", "skip"), (
        "a Kafka that never had a group has no coordinator yet"
    )
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        worker.wait_for("its partitions", lambda: partitions(worker) > 0)
        check = check_group(topics.settings)
        assert (check.status, check.detail) == ("ok", f"{topics.settings.group_id}: 1 member")


def test_a_standby_takes_over_from_its_own_copy(kafka: KafkaServer, tmp_path: Path) -> None:
    topics = topics_for(kafka, standby_replicas=1)
    users = 1000
    with (
        WorkerProcess(topics.settings, tmp_path / "a") as dying,
        WorkerProcess(topics.settings, tmp_path / "b") as standby,
    ):
        wait_until_shared(dying, standby)
        topics.produce(topics.settings.topic_events, events(5000, users, 20, seed=1))
        standby.wait_for("everything", topics.all_committed)
        copied = others_records(topics, standby)
        standby.wait_for("a full copy", lambda: standby.metrics().get(RESTORED, 0) >= copied)
        before = standby.metrics()[RESTORED]
        assert before > 0
        dying.kill()
        topics.produce(topics.settings.topic_events, events(1000, users, 20, seed=2))
        standby.wait_for("all partitions", lambda: partitions(standby) == 2 * SHARED)
        standby.wait_for("everything", topics.all_committed)
        assert standby.metrics()[RESTORED] == before
        check_everything(topics, standby)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_what_the_directory_holds_is_not_read_from_the_changelog_again(
    kafka: KafkaServer, tmp_path: Path, how: str
) -> None:
    topics = topics_for(kafka)
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        topics.produce(topics.settings.topic_events, events(3000, 500, 20, seed=1))
        worker.wait_for("everything", topics.all_committed)
        if how == "SIGTERM":
            worker.terminate()
        else:
            worker.kill()
        worker.start()
        topics.produce(topics.settings.topic_events, events(500, 500, 20, seed=2))
        worker.wait_for("everything", topics.all_committed)
        assert worker.metrics()[RESTORED] == 0
        check_everything(topics, worker)


def test_another_programs_consumer_in_the_group_is_named_with_the_fix(kafka: KafkaServer, tmp_path: Path) -> None:
    topics = topics_for(kafka)
    foreign = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": topics.settings.group_id,
            "client.id": "a-console",
        }
    )
    foreign.subscribe([topics.settings.topic_events])
    try:
        while not foreign.assignment():
            foreign.poll(0.2)
        with WorkerProcess(topics.settings, tmp_path / "a") as worker:
            while worker.process.poll() is None:
                foreign.poll(0.2)
            assert worker.process.returncode == EXIT_USAGE
            check = check_group(topics.settings)
            assert (check.status, "a-console at 127.0.0.1" in check.detail) == ("fail", True)
            last = worker.log.splitlines()[-1]
    finally:
        foreign.close()

    assert last.startswith(
        f"penchant: Kafka: group {topics.settings.group_id} is in use by another program (a-console at 127.0.0.1)"
    )
    assert "--group-id" in last
