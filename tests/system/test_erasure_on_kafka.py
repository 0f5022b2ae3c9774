"""On Apache Kafka: erased people are as if they had never been there, also after kill -9, and nothing names them any more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kafka_checks import catalogue, differences, events
from kafka_for_tests import running
from kafka_server import KafkaServer
from places import ROOT
from sequential_reader import SequentialReader
from worker_process import Topics, WorkerProcess

from models.hashing import item_hash
from stream.kafka.specs import topic_specs
from stream.kafka.topics import create_topics
from stream.privacy.asking import Asking, new_request
from stream.storage.rocks import DataDirectory
from stream.wire.requests import Receipt

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

TIMEOUT_S = 120
USERS, ITEMS = 200, 60

_names = count()


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    topics = Topics(kafka.bootstrap_servers, f"e{next(_names)}-{time.time_ns():x}")
    create_topics(topics.settings)
    catalogue(topics, ITEMS)
    return topics


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(topics.settings, tmp_path / "a") as process:
        yield process


def finish(worker: WorkerProcess, topics: Topics) -> None:
    worker.wait_for("every event", topics.all_committed, TIMEOUT_S)
    worker.wait_for("the item statistics", topics.deltas_committed, TIMEOUT_S)


def ask(topics: Topics, users: list[str], kind: str = "erase") -> dict[str, Receipt]:
    with Asking(topics.settings) as asking:
        requests = [new_request(user, kind) for user in users]
        asking.send(requests)
        by_id = {each.receipt.request_id: each.receipt for each in asking.receipts(requests, TIMEOUT_S)}
    return {request.user_id: by_id[request.request_id] for request in requests}


def expected(topics: Topics, gone: set[bytes]) -> tuple[dict[bytes, bytes], dict]:
    """States and items as one reader has them who never saw what these people did before they were erased."""
    reader, messages = SequentialReader(topics.settings), topics.read(topics.settings.topic_events)
    erased_at = {
        (m.key(), m.partition()): m.offset() for m in messages if m.key() in gone and b'"request"' in (m.value() or b"")
    }
    kept = [m for m in messages if m.offset() > erased_at.get((m.key(), m.partition()), -1)]
    reader.feed(kept, time.time_ns() // 1_000_000)
    return reader.states(), {key: row for key, row in reader.items().items() if any(row[:3])}


def check(topics: Topics, gone: set[bytes]) -> None:
    states, items = expected(topics, gone)
    assert differences(states, topics.state()) == {}
    assert differences(items, {key: row for key, row in topics.items().items() if any(row[:3])}) == {}


def people(topics: Topics) -> list[str]:
    return sorted({m.key().decode() for m in topics.read(topics.settings.topic_events)})


def test_a_hundred_erasures_amid_events_and_a_kill_leave_what_a_run_without_these_people_has(
    topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    topics.produce(topics.settings.topic_events, events(3000, USERS, ITEMS, seed=1))
    finish(worker, topics)
    known = people(topics)
    first, second = known[:50], known[50:100]
    receipts = ask(topics, first)
    assert all(receipt.removed["engagements"] > 0 for receipt in receipts.values())
    finish(worker, topics)
    check(topics, {user.encode() for user in first})

    # The same people come back, others are erased, some twice; and the worker is killed on the way.
    topics.produce(topics.settings.topic_events, events(1000, USERS, ITEMS, seed=2))
    with Asking(topics.settings) as asking:
        again = [new_request(user, "erase") for user in [*second, *first[:10], *second[:10], "nobody"]]
        asking.send(again[:30])
        time.sleep(0.3)
        worker.kill()
        asking.send(again[30:])
        topics.produce(topics.settings.topic_events, events(300, USERS, ITEMS, seed=3))
        # Two take over, so that partitions move while people wait to be erased.
        with WorkerProcess(topics.settings, tmp_path / "a") as other, WorkerProcess(topics.settings, tmp_path / "b"):
            got = {each.receipt.request_id: each.receipt for each in asking.receipts(again, TIMEOUT_S)}
            finish(other, topics)
            check(topics, {user.encode() for user in {*first, *second}})
    assert len(got) == len(again)
    assert got[again[-1].request_id].removed == {}


CLEANS_AT_ONCE = """
log.retention.check.interval.ms=500
log.cleaner.backoff.ms=200
log.segment.delete.delay.ms=100
"""


@pytest.fixture
def cleaning_kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    with running(KafkaServer(tmp_path / "kafka", CLEANS_AT_ONCE)) as server:
        yield server


def test_after_compaction_nothing_names_who_was_erased(cleaning_kafka: KafkaServer, tmp_path: Path) -> None:
    kafka, topics = cleaning_kafka, Topics(cleaning_kafka.bootstrap_servers, "forgotten")
    create_topics(topics.settings)
    catalogue(topics, ITEMS)
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        _check_that_nothing_names_them(kafka, topics, worker, tmp_path / "a")


def _check_that_nothing_names_them(kafka: KafkaServer, topics: Topics, worker: WorkerProcess, data_dir: Path) -> None:
    topics.produce(topics.settings.topic_events, events(1500, USERS, ITEMS, seed=4))
    who = "zoe-who-wants-to-be-forgotten"
    value = {"user_id": who, "action": "click", "item_id": "i1", "event_time": time.time_ns() // 1_000_000}
    for action in ("click", "purchase", "impression"):
        topics.produce(topics.settings.topic_events, [(who.encode(), msgspec.json.encode(value | {"action": action}))])
    finish(worker, topics)
    assert found(data_dir, who), "it would be found"
    ask(topics, [who])
    finish(worker, topics)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    quickly = {
        "segment.ms": "100", "min.cleanable.dirty.ratio": "0.0", "delete.retention.ms": "0", "min.compaction.lag.ms": "0",
        "max.compaction.lag.ms": "100", "retention.ms": "1000",
    }  # fmt: skip
    for name in (spec.name for spec in topic_specs(topics.settings)):
        (future,) = admin.incremental_alter_configs([_altered(name, quickly)]).values()
        future.result(10)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        # What others do rolls the segments on, so that they can be cleaned.
        topics.produce(topics.settings.topic_events, events(40, USERS, ITEMS, seed=int(time.monotonic())))
        time.sleep(2)
        if not found(kafka.data_dir, who):
            break
    assert not found(kafka.data_dir, who)
    worker.terminate()
    compacted(data_dir)
    assert not found(data_dir, who)


def compacted(data_dir: Path) -> None:
    """As the stores are after a worker's pass over them, and its next start."""
    for _ in range(2):
        directory = DataDirectory(data_dir, 1 << 20, 1 << 20)
        for table in ("users", "items"):
            stores = directory.stores(table)
            for path in (data_dir / table).glob("*.db"):
                store = stores[int(path.stem)]
                for byte in range(255):
                    store.compact(bytes([byte]), bytes([byte + 1]))
                store.compact(b"\xff", b"\xff" * 200)
            stores.close_all()
        directory.close()


def _altered(name: str, config: dict[str, str]) -> ConfigResource:
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in config.items()]
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)


def found(directory: Path, who: str) -> list[Path]:
    """Files that hold the id, or the hash by which packed records name things."""
    wanted = [who.encode(), item_hash(who).to_bytes(8, "little"), item_hash(who).to_bytes(8, "big")]
    hits = []
    for path in directory.rglob("*"):
        if path.is_file():
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if any(each in content for each in wanted):
                hits.append(path)
    return hits


def test_the_command_asks_waits_writes_receipts_and_says_what_they_prove(
    topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    topics.produce(topics.settings.topic_events, events(400, 20, ITEMS, seed=5))
    finish(worker, topics)
    user = people(topics)[0]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
    settings = topics.settings
    env |= {f"PENCHANT_{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set}

    def penchant(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "stream", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert b"Traceback" not in done.stderr
        return (done.stdout + done.stderr).decode()

    before = msgspec.json.decode(penchant("person", "export", user, code=0).split("\nNothing")[0].encode())
    assert before["behaviours"]
    assert before["added"]["engagements"]
    said = penchant("erase", user, "--receipts", str(tmp_path / "receipts"))
    assert "engagements" in said
    (receipt,) = (tmp_path / "receipts").iterdir()
    assert "yes: of " in penchant("erase", user, "--verify", str(receipt))
    assert "NO: of somebody-else" in penchant("erase", "somebody-else", "--verify", str(receipt), code=1)
    finish(worker, topics)
    after = msgspec.json.decode(penchant("person", "export", user).encode())
    assert not {"behaviours", "lists", "added"} & after.keys()
    assert after["recommendations"] == {}
    assert user.encode() not in topics.state()
