"""More events than lists can be made of, on Apache Kafka: who is owed one gets it, also if the worker was killed meanwhile."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from kafka_checks import catalogue, check_everything, last_events, last_lists
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

USERS = 4_000
_names = count()


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    """Every list is late that does not come at once."""
    topics = Topics(
        kafka.bootstrap_servers,
        f"o{next(_names)}-{time.time_ns():x}",
        list_deadline_s=0.02,
        commit_interval_s=0.05,
        refresh_batch_users=4,
    )
    create_topics(topics.settings)
    catalogue(topics, 20)
    return topics


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(topics.settings, tmp_path / "a") as process:
        yield process


def flood(topics: Topics) -> None:
    """One event each of so many users that their lists take seconds."""
    records = []
    for n in range(USERS):
        event = {"user_id": f"u{n}", "item_id": f"i{n % 20}", "action": "click", "event_time": 1_700_000_000_000 + n}
        records.append((event["user_id"].encode(), json.dumps(event).encode()))
    topics.produce(topics.settings.topic_events, records)


def owed(worker: WorkerProcess) -> float:
    return worker.metrics().get("penchant_owed_users", 0)


@pytest.mark.parametrize("keeps_disk", [True, False], ids=["disk", "no-disk"])
def test_whoever_is_owed_a_list_when_the_worker_is_killed_gets_it_although_no_event_is_read_again(
    topics: Topics, worker: WorkerProcess, keeps_disk: bool
) -> None:
    flood(topics)
    worker.wait_for(
        "all events committed, and many lists owed", lambda: owed(worker) > USERS / 20 and topics.all_applied()
    )
    worker.kill()
    assert topics.all_applied()
    missing = last_events(topics).keys() - last_lists(topics).keys()
    assert missing, "the lists were made before the worker was killed"
    if not keeps_disk:
        shutil.rmtree(worker.data_dir)
    worker.start()
    worker.wait_for("a list for everybody", lambda: last_lists(topics) == last_events(topics))
    metrics = worker.metrics()
    assert sum(value for name, value in metrics.items() if name.startswith("penchant_events_total")) == 0
    worker.wait_for("no mark left", lambda: not topics.owed())
    check_everything(topics, worker)


def test_an_overload_that_ends_leaves_nobody_without_a_list(topics: Topics, worker: WorkerProcess) -> None:
    flood(topics)
    worker.wait_for("everything", topics.all_committed)
    metrics = worker.metrics()
    assert metrics["penchant_lists_late_total"] > 0
    assert metrics["penchant_owed_list_seconds_count"] > 0
    worker.wait_for("the gauges", lambda: owed(worker) == 0)
    check_everything(topics, worker)
