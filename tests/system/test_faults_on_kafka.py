"""What deploy/docs/faults.md promises, fault by fault, on Apache Kafka: nothing is lost, counted twice, or tried for ever."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from kafka_checks import catalogue, check_everything, events
from kafka_for_tests import running
from kafka_server import KafkaServer
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from stream.kafka.topics import create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_names = count()
LINES_MAX = 300
"""A log that grows with the length of an outage would be many thousands."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker of these tests' own, with access control."""
    server = KafkaServer(
        tmp_path_factory.mktemp("faulty"),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
        "allow.everyone.if.no.acl.found=true",
    )
    with running(server):
        yield server


@pytest.fixture
def topics(broker: KafkaServer, request: pytest.FixtureRequest) -> Topics:
    """A test's own topics; its parameter is further settings."""
    topics = Topics(broker.bootstrap_servers, f"x{next(_names)}-{time.time_ns():x}", **getattr(request, "param", {}))
    create_topics(topics.settings)
    catalogue(topics, 20)
    return topics


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(topics.settings, tmp_path / "a") as process:
        topics.produce(topics.settings.topic_events, events(1000, 50, 20, seed=1))
        process.wait_for("the first events", topics.all_committed)
        yield process


def last_line(worker: WorkerProcess) -> str:
    """What the worker said when it ended."""
    return [line for line in worker.log.splitlines() if line.startswith("penchant: ")][-1]


def recovers(topics: Topics, worker: WorkerProcess, *, restart: bool = True) -> None:
    """All is as if nothing had happened, once the cause is gone and a supervisor has started the worker again."""
    if restart:
        worker.start()
    topics.produce(topics.settings.topic_events, events(500, 50, 20, seed=3))
    worker.wait_for("everything", topics.all_committed)
    check_everything(topics, worker)
    assert len(worker.log.splitlines()) < LINES_MAX


def set_limit(topics: Topics, topic: str, max_message_bytes: int) -> None:
    limit = ConfigResource(ResourceType.TOPIC, topic)
    entry = ConfigEntry("max.message.bytes", str(max_message_bytes), incremental_operation=AlterConfigOpType.SET)
    limit.add_incremental_config(entry)
    admin = AdminClient(topics.settings.client_config())  # the answer is lost with the client
    admin.incremental_alter_configs([limit])[limit].result(TIMEOUT_S)


def deny(topics: Topics, kind: ResourceType, name: str, operation: AclOperation) -> None:
    anyone = AclBinding(
        kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, AclPermissionType.DENY
    )
    admin = AdminClient(topics.settings.client_config())
    for future in admin.create_acls([anyone]).values():
        future.result(TIMEOUT_S)


def allow(topics: Topics, kind: ResourceType, name: str) -> None:
    every = AclBindingFilter(
        kind, name, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    admin = AdminClient(topics.settings.client_config())
    for future in admin.delete_acls([every]).values():
        future.result(TIMEOUT_S)


def test_a_broker_that_comes_back_in_time_is_waited_for(
    broker: KafkaServer, topics: Topics, worker: WorkerProcess
) -> None:
    topics.produce(topics.settings.topic_events, events(5000, 50, 20, seed=2))
    broker.kill()
    time.sleep(3)  # an outage, which is what is tested
    broker.start()
    recovers(topics, worker, restart=worker.process.poll() is not None)


@pytest.mark.parametrize("topics", [{"delivery_timeout_s": 3, "commit_interval_s": 5}], indirect=True)
def test_a_worker_whose_records_are_not_accepted_in_time_stops_and_goes_on_where_it_was(
    broker: KafkaServer, topics: Topics, worker: WorkerProcess
) -> None:
    topics.produce(topics.settings.topic_events, events(500, 50, 20, seed=2))
    worker.wait_for("work that is not committed", lambda: worker.metrics().get("penchant_dirty_users", 0) > 0)
    broker.kill()
    try:
        # 2 where the broker was missed by a question, 1 where it was by a record
        assert worker.process.wait(TIMEOUT_S) in {1, 2}, worker.log[-4000:]
    finally:
        broker.start()
    recovers(topics, worker)


@pytest.mark.parametrize("output", ["topic_recommendations", "changelog_topic"])
def test_an_output_that_is_too_large_for_its_topic_stops_the_worker_before_anything_is_committed(
    topics: Topics, worker: WorkerProcess, output: str
) -> None:
    topic = getattr(topics.settings, output)
    set_limit(topics, topic, 150)
    deadline = time.monotonic() + TIMEOUT_S
    while worker.process.poll() is None:  # the broker takes up the limit a little later
        assert time.monotonic() < deadline, worker.log[-4000:]
        topics.produce(topics.settings.topic_events, events(200, 50, 20, seed=2))
        time.sleep(0.5)
    assert worker.process.returncode == 1
    said = last_line(worker)  # of a changelog: that the transaction failed, and why
    assert said.startswith("penchant: ")
    assert topic in said
    assert "Message size too large" in said
    assert "Fix: raise the topic's max.message.bytes" in said
    set_limit(topics, topic, 4_000_000)
    time.sleep(1)
    recovers(topics, worker)


@pytest.mark.parametrize("deleted", ["topic_events", "topic_item_deltas"])
def test_a_topic_that_is_deleted_stops_the_worker_which_would_idle_for_ever(
    topics: Topics, worker: WorkerProcess, deleted: str
) -> None:
    topic = getattr(topics.settings, deleted)
    admin = AdminClient(topics.settings.client_config())
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    assert worker.process.wait(TIMEOUT_S) == 2, worker.log[-4000:]
    assert topic in last_line(worker)
    assert "penchant topics create" in last_line(worker)
    assert len(worker.log.splitlines()) < LINES_MAX


def test_partitions_that_are_added_to_the_events_alone_stop_the_worker(topics: Topics, worker: WorkerProcess) -> None:
    from confluent_kafka.admin import NewPartitions  # noqa: PLC0415

    admin = AdminClient(topics.settings.client_config())
    admin.create_partitions([NewPartitions(topics.settings.topic_events, 6)])[topics.settings.topic_events].result(60)
    assert worker.process.wait(TIMEOUT_S) == 2, worker.log[-4000:]
    worker.start()
    assert worker.process.wait(TIMEOUT_S) == 2, "and it does not start again"
    assert "4 partitions but" in last_line(worker)


@pytest.mark.parametrize(
    ("kind", "operation", "code"),
    [(ResourceType.TOPIC, AclOperation.READ, 2), (ResourceType.GROUP, AclOperation.READ, 1)],
    ids=["topic", "group"],
)
def test_rights_taken_away_stop_the_worker_now_and_at_its_next_start(
    topics: Topics, worker: WorkerProcess, kind: ResourceType, operation: AclOperation, code: int
) -> None:
    name = topics.settings.topic_events if kind is ResourceType.TOPIC else topics.settings.group_id
    topics.produce(topics.settings.topic_events, events(1000, 50, 20, seed=7))
    deny(topics, kind, name, operation)
    assert worker.process.wait(TIMEOUT_S) == 1, worker.log[-4000:]
    assert "Fix: give this user READ on the" in last_line(worker)
    worker.start()
    # A topic that may not be read is not shown either, so the check at the start finds it missing.
    assert worker.process.wait(TIMEOUT_S) == code, worker.log[-4000:]
    assert name in last_line(worker)
    allow(topics, kind, name)
    time.sleep(1)
    recovers(topics, worker)


def test_a_full_disk_stops_the_worker_and_with_room_again_it_goes_on(topics: Topics, worker: WorkerProcess) -> None:
    process = psutil.Process(worker.process.pid)
    process.rlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))  # writes fail as on a full disk
    topics.produce(topics.settings.topic_events, events(20_000, 3000, 20, seed=2))
    assert worker.process.wait(TIMEOUT_S) == 1, worker.log[-4000:]
    assert "could not be written: IO error" in last_line(worker)
    recovers(topics, worker)


def test_a_damaged_store_is_found_and_rebuilt_from_the_changelog(topics: Topics, worker: WorkerProcess) -> None:
    topics.produce(topics.settings.topic_events, events(5000, 2000, 20, seed=2))
    worker.wait_for("everything", topics.all_committed)
    worker.terminate()
    for path in (worker.data_dir / "users").glob("*.db/*.sst"):
        content = bytearray(path.read_bytes())
        content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
        path.write_bytes(content)
    worker.start()
    topics.produce(topics.settings.topic_events, events(5000, 2000, 20, seed=4))
    assert worker.process.wait(TIMEOUT_S) == 1, worker.log[-4000:]
    assert "it is rebuilt from the changelog at the next start" in last_line(worker)
    deadline = time.monotonic() + 3 * TIMEOUT_S
    while not topics.all_committed():  # each partition is found in its turn, and the worker started again
        assert time.monotonic() < deadline, worker.log[-4000:]
        if worker.process.poll() is not None:
            worker.start()
        time.sleep(0.2)
    assert "rebuilding it from the changelog" in worker.log
    check_everything(topics, worker)
