"""The worker on Apache Kafka: what claims durability, recovery and rebalancing is proved here."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kafka_checks import catalogue, check_everything, events
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics
from stream.wire.reasons import Reasons, item_reasons
from stream.wire.records import read_attribution, recommendation_decoder

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_names = count()


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    topics = Topics(kafka.bootstrap_servers, f"t{next(_names)}-{time.time_ns():x}")
    create_topics(topics.settings)
    return topics


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(topics.settings, tmp_path / "a") as process:
        yield process


def test_kcat_is_all_a_user_needs_to_get_a_recommendation_and_its_reason(topics: Topics, worker: WorkerProcess) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed (Debian: apt-get install kcat)")
    settings = topics.settings

    def kcat(*arguments: str, stdin: str = "") -> str:
        command = ["kcat", "-b", settings.bootstrap_servers, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=True).stdout

    items = [
        {"item_id": "cup", "title": "Cup"},
        {"item_id": "pot", "title": "Pot"},
        {"item_id": "tray", "title": "Tray"},
    ]
    kcat("-P", "-t", settings.topic_items, "-K:", stdin="".join(f"{i['item_id']}:{json.dumps(i)}\n" for i in items))
    bought = [{"user_id": "ann", "item_id": item, "action": "purchase"} for item in ("cup", "pot")]
    kcat("-P", "-t", settings.topic_events, "-K:", stdin="".join(f"ann:{json.dumps(e)}\n" for e in bought))
    worker.wait_for("statistics of both items", lambda: worker.metrics().get("penchant_statistics_items", 0) >= 2)
    kcat("-P", "-t", settings.topic_events, "-K:", stdin='bob:{"user_id":"bob","item_id":"cup","action":"click"}\n')

    def read(topic: str) -> list[bytes]:
        return [line.encode() for line in kcat("-C", "-e", "-q", "-t", topic, "-f", "%s\n").splitlines()]

    def for_bob() -> list[str]:
        lists = [recommendation_decoder.decode(value) for value in read(settings.topic_recommendations)]
        return [place.item_id for one in lists if one.user_id == "bob" for place in one.items]

    worker.wait_for("bob's list", lambda: bool(for_bob()))
    assert for_bob()[0] == "pot"
    records = [read_attribution(value) for value in read(settings.topic_attributions)]
    (record,) = [r for r in records if isinstance(r, Reasons) and r.user_id == "bob" and r.places]
    reason = item_reasons(record)[0]
    assert reason.item_id == "pot"
    assert [(c.item_id, c.action) for c in reason.contributions] == [("cup", "click")]
    assert record.gap < 1e-12
    assert reason.sentences == {"en": "Because you clicked “Cup” just now.", "zh": "因为您刚才点击了“Cup”。"}


def test_sigterm_drains_and_commits_within_ten_seconds_and_starting_again_goes_on(
    topics: Topics, worker: WorkerProcess
) -> None:
    catalogue(topics, 50)
    topics.produce(topics.settings.topic_events, events(2000, 60, 50, seed=1))
    worker.wait_for("some commits", lambda: sum(topics.committed(topics.settings.topic_events).values()) > 0)
    assert worker.terminate() < 10
    assert worker.process.returncode == 0, worker.log
    committed = topics.committed(topics.settings.topic_events)
    assert sum(committed.values()) > 0
    topics.produce(topics.settings.topic_events, events(1000, 60, 50, seed=2))
    worker.start()
    worker.wait_for("everything", topics.all_committed)
    assert worker.metrics()["penchant_events_fenced_total"] == 0  # a clean stop leaves nothing to do twice
    check_everything(topics, worker)


def test_a_record_of_ten_megabytes_is_a_dead_letter_with_all_its_bytes(topics: Topics, worker: WorkerProcess) -> None:
    settings = topics.settings
    admin = AdminClient(settings.client_config())
    larger = ConfigResource(ResourceType.TOPIC, settings.topic_events)
    larger.add_incremental_config(
        ConfigEntry("max.message.bytes", "12000000", incremental_operation=AlterConfigOpType.SET)
    )
    admin.incremental_alter_configs([larger])[larger].result(60)
    huge = random.Random(0).randbytes(10_000_000)  # does not compress
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "message.max.bytes": 12_000_000})
    good = b'{"user_id":"ann","item_id":"cup","action":"view"}'
    deadline = time.monotonic() + 60
    for value in (good, huge, good):
        refused: list[object] = [None]
        while refused:  # the broker takes up the topic's new limit a little later
            assert time.monotonic() < deadline
            refused.clear()
            keep = refused.append
            producer.produce(
                settings.topic_events, value, b"ann", partition=0, on_delivery=lambda e, _, k=keep: e is None or k(e)
            )
            assert producer.flush(60) == 0
    worker.wait_for("everything", topics.all_committed)
    (letter,) = topics.read(settings.topic_dead_letter)
    assert letter.value() == huge
    assert dict(letter.headers())["reason"] == b"too_large"
    assert worker.metrics()['penchant_events_total{action="view"}'] == 2


def test_a_killed_worker_counts_nothing_twice_and_loses_nothing(topics: Topics, worker: WorkerProcess) -> None:
    catalogue(topics, 50)
    rng = random.Random(3)
    for round_ in range(4):
        topics.produce(topics.settings.topic_events, events(3000, 80, 50, seed=10 + round_))
        before = worker.metrics().get("penchant_commits_total", 0)
        worker.wait_for("work in progress", lambda b=before: worker.metrics().get("penchant_commits_total", 0) > b)
        time.sleep(rng.random() * 0.3)  # anywhere in the work: what is tested is that the moment does not matter
        worker.kill()
        worker.start()
    worker.wait_for("everything", topics.all_committed)
    check_everything(topics, worker)


def test_a_worker_with_an_empty_disk_recovers_from_the_changelog(topics: Topics, worker: WorkerProcess) -> None:
    catalogue(topics, 50)
    topics.produce(topics.settings.topic_events, events(2000, 60, 50, seed=4))
    worker.wait_for("everything", topics.all_committed)
    worker.kill()
    shutil.rmtree(worker.data_dir)
    worker.start()
    topics.produce(topics.settings.topic_events, events(500, 60, 50, seed=5))
    worker.wait_for("everything again", topics.all_committed)
    check_everything(topics, worker)


def test_two_workers_share_the_partitions_and_one_takes_over_from_the_other(
    topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    catalogue(topics, 50)
    topics.produce(topics.settings.topic_events, events(1500, 60, 50, seed=6))
    with WorkerProcess(topics.settings, tmp_path / "b") as other:

        def published(process: WorkerProcess) -> float:
            return process.metrics().get('penchant_recommendations_total{trigger="event"}', 0)

        def both_own_some() -> bool:
            topics.produce(topics.settings.topic_events, events(20, 60, 50, seed=time.time_ns()))
            return all(0 < p.metrics().get("penchant_partitions", 0) < 4 and published(p) > 0 for p in (worker, other))

        other.wait_for("both workers own partitions and publish", both_own_some)
        topics.produce(topics.settings.topic_events, events(1500, 60, 50, seed=7))
        worker.terminate()
        topics.produce(topics.settings.topic_events, events(1500, 60, 50, seed=8))
        other.wait_for("the other has all partitions", lambda: other.metrics().get("penchant_partitions", 0) == 4)
        other.wait_for("everything", topics.all_committed)
        check_everything(topics, other)


def test_the_broker_may_restart_while_a_worker_runs(kafka: KafkaServer, topics: Topics, worker: WorkerProcess) -> None:
    catalogue(topics, 50)
    topics.produce(topics.settings.topic_events, events(1000, 60, 50, seed=9))
    worker.wait_for("everything", topics.all_committed)
    kafka.kill()
    kafka.start()
    topics.produce(topics.settings.topic_events, events(1000, 60, 50, seed=10))
    deadline = time.monotonic() + 120
    while not topics.all_committed():
        assert time.monotonic() < deadline, worker.log[-4000:]
        if worker.process.poll() is not None:  # a supervisor would start it again, and so do we
            worker.start()
        time.sleep(0.2)
    check_everything(topics, worker)
