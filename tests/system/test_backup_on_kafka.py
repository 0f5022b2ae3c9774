"""On Apache Kafka: a backup of running workers put back elsewhere goes on exactly once; what is damaged or half is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from kafka_checks import catalogue, differences, events, last_lists
from kafka_server import KafkaServer
from places import ROOT
from sequential_reader import SequentialReader
from worker_process import Topics, WorkerProcess

from stream.backup.make import make_backup
from stream.backup.manifest import NAME, Manifest, read_manifest
from stream.backup.places import DirectoryPlace
from stream.backup.restore import Restore, same_layout
from stream.backup.target import prepare
from stream.kafka.topics import create_topics
from stream.wire.codes import EPOCH_OFFSETS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

TIMEOUT_S = 120
USERS, ITEMS = 400, 60

_names = count()


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    topics = other_topics(kafka)
    create_topics(topics.settings)
    catalogue(topics, ITEMS)
    return topics


@pytest.fixture
def worker(topics: Topics, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(topics.settings, tmp_path / "a") as process:
        yield process


def other_topics(kafka: KafkaServer) -> Topics:
    """Names of topics that are not there yet: what is another cluster to Penchant."""
    return Topics(kafka.bootstrap_servers, f"b{next(_names)}-{time.time_ns():x}")


def start(topics: Topics, *arguments: str) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
    settings = topics.settings
    env |= {f"PENCHANT_{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set}
    return subprocess.Popen(
        [sys.executable, "-m", "stream", *arguments],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def penchant(topics: Topics, *arguments: str, code: int = 0) -> str:
    process = start(topics, *arguments)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == code, (out, err)
    assert b"Traceback" not in err
    return (out + err).decode()


def finish(worker: WorkerProcess, topics: Topics) -> None:
    worker.wait_for("every event", topics.all_committed, TIMEOUT_S)
    worker.wait_for("the item statistics", topics.deltas_committed, TIMEOUT_S)


def copy(topics: Topics, messages: Iterable[Message]) -> None:
    """As a mirror does: to the same partitions, with the same timestamps, each once."""
    producer = Producer(topics.settings.client_config() | {"enable.idempotence": True})
    for m in messages:
        producer.produce(topics.settings.topic_events, m.value(), m.key(), m.partition(), timestamp=m.timestamp()[1])
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0


class Moved:
    """A message as if it were in one partition with all others: what a state is does not depend on partitions."""

    def __init__(self, message: Message, offset: int) -> None:
        self._message, self._offset = message, offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


def reference(topics: Topics, messages: Iterable[Message]) -> tuple[dict[bytes, bytes], Any]:
    reader = SequentialReader(topics.settings)
    reader.feed([Moved(message, n) for n, message in enumerate(messages)], time.time_ns() // 1_000_000)
    return without_fences(reader.states()), reader.items()


def without_fences(states: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Offsets are those of the topic that an event came from."""
    return {user: state[:12] + bytes(8) + state[20:] for user, state in states.items()}


def check(topics: Topics, messages: Iterable[Message]) -> None:
    states, items = reference(topics, messages)
    assert differences(states, without_fences(topics.state())) == {}
    assert differences(items, topics.items()) == {}


def test_a_backup_under_load_goes_on_in_a_mirror_with_other_offsets_counting_every_event_once(
    kafka: KafkaServer, topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    topics.produce(topics.settings.topic_events, events(4000, USERS, ITEMS, seed=1))
    worker.wait_for("some work", lambda: sum(topics.committed(topics.settings.topic_events).values()) > 1000)
    loaded = threading.Event()

    def load() -> None:
        for seed in range(2, 1000):
            topics.produce(topics.settings.topic_events, events(100, USERS, ITEMS, seed=seed))
            if loaded.wait(0.1):  # the pace of a shop
                return

    thread = threading.Thread(target=load)
    thread.start()
    place = tmp_path / "backup"
    assert "copied to" in penchant(topics, "backup", str(place))
    loaded.set()
    thread.join()
    finish(worker, topics)
    worker.kill()

    manifest = read_manifest(DirectoryPlace(place))
    everything = topics.read(topics.settings.topic_events)
    reached = {each.partition: each.reached for each in manifest.positions}
    assert any(reached[m.partition()] <= m.offset() for m in everything), "the backup ends while events come"
    mirror = other_topics(kafka)
    create_topics(mirror.settings)
    copied = [m for m in everything if m.offset() >= 50 + m.partition()]  # the oldest are gone: offsets are others
    copy(mirror, copied)
    assert [m.value() for m in mirror.read(mirror.settings.topic_events)] == [m.value() for m in copied]
    catalogue(mirror, ITEMS)

    said = penchant(mirror, "restore", str(place), "--inputs", "same", code=2)
    assert "--inputs mirrored" in said
    said = penchant(mirror, "restore", str(place), "--inputs", "mirrored")
    for partition, at in reached.items():
        assert f"partition {partition}: workers go on from offset {at - 50 - partition:,}" in said
    with WorkerProcess(mirror.settings, tmp_path / "b") as other:
        finish(other, mirror)
        check(mirror, everything)
        lists = last_lists(mirror)
        behind = {m.key().decode() for m in everything if reached[m.partition()] <= m.offset()}
        fresh = {user for user, (_, offset) in lists.items() if offset >= EPOCH_OFFSETS}
        assert lists.keys() >= {user.decode() for user in mirror.state()}
        assert len(fresh & behind) > len(behind) // 2, "lists are made of what comes after the backup"
        said = penchant(mirror, "restore", str(place), "--inputs", "mirrored", "--replace", code=2)
        assert "has workers" in said


def test_states_come_back_to_the_byte_and_move_to_other_partitions(
    kafka: KafkaServer, topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    topics.produce(topics.settings.topic_events, events(6000, 2000, ITEMS, seed=5))
    finish(worker, topics)
    assert worker.terminate() < 30
    states, items, lists = topics.state(), topics.items(), last_lists(topics)
    past = topics.read(topics.settings.topic_events)
    place = tmp_path / "backup"
    penchant(topics, "backup", str(place))
    assert "holds a backup already" in penchant(topics, "backup", str(place), code=2)

    anew = other_topics(kafka)
    penchant(anew, "restore", str(place), "--inputs", "empty")
    with WorkerProcess(anew.settings, tmp_path / "b") as other:
        other.wait_for("the statistics", lambda: other.metrics().get("penchant_statistics_items", 0) == len(items))
        assert (anew.state(), anew.items(), last_lists(anew)) == (states, items, lists)
        anew.produce(anew.settings.topic_events, events(500, 2000, ITEMS, seed=6))
        finish(other, anew)
        check(anew, past + anew.read(anew.settings.topic_events))
        other.terminate()
    assert "holds records" in penchant(anew, "restore", str(place), "--inputs", "empty", code=2)

    assert "which are those of before" in penchant(topics, "repartition", str(place), "--partitions", "7", code=2)
    wider = other_topics(kafka)
    penchant(wider, "repartition", str(place), "--partitions", "7")
    assert len(wider.ends(wider.settings.changelog_topic)) == 7
    wider.produce(wider.settings.topic_events, events(1500, 2000, ITEMS, seed=7))
    with WorkerProcess(wider.settings, tmp_path / "c") as other:
        finish(other, wider)
        check(wider, past + wider.read(wider.settings.topic_events))
        assert not [
            m for m in wider.read(wider.settings.topic_dead_letter) if dict(m.headers())["reason"] == b"quarantined"
        ]
        home = {m.key(): m.partition() for m in wider.read(wider.settings.topic_events)}
        moved = {m.key(): m.partition() for m in wider.read(wider.settings.changelog_topic) if m.key() in home}
        assert moved == home
        assert lists.keys() <= last_lists(wider).keys()


def test_what_is_damaged_missing_or_half_is_refused_and_nothing_is_written(
    kafka: KafkaServer, topics: Topics, worker: WorkerProcess, tmp_path: Path
) -> None:
    topics.produce(topics.settings.topic_events, events(2000, USERS, ITEMS, seed=9))
    finish(worker, topics)
    worker.terminate()

    stopped = start(topics, "backup", str(tmp_path / "half"))
    deadline = time.monotonic() + TIMEOUT_S
    while not list((tmp_path / "half").glob("*.pbk")):
        assert time.monotonic() < deadline
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate(timeout=TIMEOUT_S)
    assert stopped.returncode == 130
    anew = other_topics(kafka)
    said = penchant(anew, "restore", str(tmp_path / "half"), "--inputs", "empty", code=2)
    assert f"there is no {NAME}" in said
    penchant(topics, "backup", str(tmp_path / "half"))  # over what was left

    for damage in ("cut", "changed", "missing", "manifest"):
        place = tmp_path / damage
        shutil.copytree(tmp_path / "half", place)
        victim = max(place.glob("changelog-*.pbk"), key=lambda path: path.stat().st_size)
        if damage == "cut":
            victim.write_bytes(victim.read_bytes()[:-7])
        elif damage == "changed":
            held = bytearray(victim.read_bytes())
            held[len(held) // 2] ^= 1
            victim.write_bytes(held)
        elif damage == "missing":
            victim.unlink()
        else:
            (place / NAME).write_bytes((place / NAME).read_bytes().replace(b'"records":', b'"records" :', 1))
        said = penchant(anew, "restore", str(place), "--inputs", "empty", code=2)
        assert "cannot be read" in said if damage == "missing" else "was cut or changed" in said
    assert anew.settings.changelog_topic not in topics.producer.list_topics(timeout=TIMEOUT_S).topics

    place = DirectoryPlace(tmp_path / "half")
    manifest = read_manifest(place)
    interrupted(anew, place, manifest)
    with WorkerProcess(anew.settings, tmp_path / "b") as other:
        assert other.process.wait(TIMEOUT_S) == 2
        assert "did not come to its end" in other.log
        assert "--replace" in other.log
        penchant(anew, "restore", str(tmp_path / "half"), "--inputs", "empty", "--replace")
        shutil.rmtree(other.data_dir)
        other.start()
        known = len(topics.items())
        other.wait_for(
            "the statistics", lambda: other.metrics().get("penchant_statistics_items", 0) == known, TIMEOUT_S
        )
        assert anew.state() == topics.state()
    again = make_backup(anew.settings, DirectoryPlace(tmp_path / "again"))
    assert {each.epoch for each in again.positions} == {1}


def interrupted(topics: Topics, place: DirectoryPlace, manifest: Manifest) -> None:
    calls = count()

    def check_() -> None:
        if next(calls) > 2:
            raise KeyboardInterrupt

    prepare(topics.settings, manifest.partitions, replace=False)
    with pytest.raises(KeyboardInterrupt):
        Restore(topics.settings, place, manifest, same_layout(manifest, keeps_told=False), check=check_).run(
            {each.partition: 0 for each in manifest.positions}, with_items=True
        )
