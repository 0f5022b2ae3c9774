"""On Apache Kafka: records of dead letters are sent again byte for byte and each once, whatever is killed; letters go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_server import KafkaServer
from places import ROOT
from worker_process import Topics, WorkerProcess

from stream.kafka.partitioner import key_partition
from stream.kafka.read_to_end import read_messages
from stream.kafka.topics import create_topics
from stream.metrics import Metrics
from stream.wire.decode import Rejected
from stream.worker.dead_letters import DeadLetters, Origin

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

DEADLINE_S = 120
NOW_MS = time.time_ns() // 1_000_000

_names = count()


class Writer:
    """Stands for a worker's producer: writes letters as the worker does."""

    def __init__(self, topics: Topics) -> None:
        self._producer = topics.producer

    def send(self, topic: str, key, value, partition=-1, headers=None, instead=None) -> None:
        self._producer.produce(topic, value, key, headers=list(headers))
        self._producer.poll(0)


class Shop:
    """Topics with letters, and the command."""

    def __init__(self, kafka: KafkaServer, directory: Path) -> None:
        self.topics = Topics(kafka.bootstrap_servers, f"d{next(_names)}-{time.time_ns():x}")
        self.settings = self.topics.settings
        create_topics(self.settings)
        self._letters = DeadLetters(self.settings, Metrics(), Writer(self.topics))  # type: ignore[arg-type]
        names = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
        self.env |= {f"PENCHANT_{name.upper()}": str(value) for name, value in names.items()}
        self.env["PYTHONPATH"] = str(ROOT)
        self.directory = directory

    def refuse(
        self, n: int, key: bytes | None, value: bytes | None, *, reason: str = "schema", headers=(), topic: str = "",
        partition: int = 0, timestamp_ms: int = NOW_MS,
    ) -> None:  # fmt: skip
        origin = Origin(topic or self.settings.topic_events, partition, n, timestamp_ms)
        self._letters.send(key, value, origin, Rejected(reason, "because"), headers)

    def flush(self) -> None:
        assert self.topics.producer.flush(DEADLINE_S) == 0

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "stream", "dead-letter", *arguments],
            cwd=self.directory, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=2 * DEADLINE_S)  # it may wait for one
        assert process.returncode == code, (out, err)
        assert b"Traceback" not in err
        return (out + err).decode()

    def events(self) -> list[Message]:
        """What a reader of committed records sees."""
        return self.topics.read(self.settings.topic_events)

    def places(self) -> list[str]:
        letters = chain.from_iterable(read_messages(self.settings, self.settings.topic_dead_letter))
        return [f"{m.partition()}:{m.offset()}" for m in letters if "reason" in dict(m.headers())]


@pytest.fixture
def shop(kafka: KafkaServer, tmp_path: Path) -> Shop:
    return Shop(kafka, tmp_path)


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


ODD = bytes(range(256))


def test_a_record_goes_back_byte_for_byte_with_its_headers_time_and_partition_and_only_once(shop: Shop) -> None:
    headers = [
        ("trace", ODD),
        ("nothing", None),
        ("reason", b"the producer's"),
        ("trace", b"2"),
        ("penchant-rekeyed", b"x"),
    ]
    shop.refuse(7, b"ann", ODD, headers=headers, timestamp_ms=NOW_MS - 5000)
    shop.refuse(8, None, b"", reason="empty")
    shop.refuse(9, b"bob", None, reason="empty")
    shop.refuse(7, b"ann", ODD, timestamp_ms=NOW_MS - 5000)  # told twice after a crash
    shop.flush()

    assert "3 records would be sent again" in shop.run("replay", "--all", "--dry-run")
    assert shop.events() == []
    first = shop.run("replay", "--all")
    assert "3 records sent again" in first
    assert "1 letter passed over: sent before" in first

    found = {m.value(): m for m in shop.events()}
    assert set(found) == {ODD, b"", None}
    ann = found[ODD]
    assert (ann.key(), found[None].key(), found[b""].key()) == (b"ann", b"bob", None)
    assert ann.headers() == [each for each in headers if each[0] != "penchant-rekeyed"]
    assert ann.timestamp()[1] == NOW_MS - 5000
    partitions = len(shop.topics.ends(shop.settings.topic_events))
    assert ann.partition() == key_partition(b"ann", partitions, shop.settings.partitioner)

    again = shop.run("replay", "--all")
    assert "0 records sent again" in again
    assert "4 letters passed over: sent before" in again
    assert len(shop.events()) == 3
    assert "4 were sent again" in shop.run("list")


KILLS_ITSELF = """
import os, signal, sys
from stream.cli.main import main
from stream.dead_letters.writer import ReplayWriter
committed = 0
def commit(writer, commit=ReplayWriter._commit):
    global committed
    if committed == 2:
        writer._producer.flush(60)  # all is with the broker but the end of the transaction
        os.kill(os.getpid(), signal.SIGKILL)
    commit(writer)
    committed += 1
ReplayWriter._commit = commit
sys.argv = ["penchant", *sys.argv[1:]]
main()
"""


def test_a_replay_that_is_killed_inside_a_transaction_goes_on_and_sends_each_once(shop: Shop) -> None:
    values = [b"event %d" % n for n in range(200)]
    for n, value in enumerate(values):
        shop.refuse(n, b"u%d" % (n % 17), value)
    shop.flush()
    command = ["dead-letter", "replay", "--all", "--rate", "300"]  # parts of 30

    killed = subprocess.run(
        [sys.executable, "-c", KILLS_ITSELF, *command],
        cwd=shop.directory,
        env=shop.env,
        timeout=DEADLINE_S,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert "200 dead letters: 200 schema; 60 were sent again" in shop.run("list")  # nobody waits for what it left open
    shop.run("replay", "--all")

    assert Counter(m.value() for m in shop.events()) == Counter(values)
    assert "200 letters passed over: sent before" in shop.run("replay", "--all")


def test_a_replay_that_is_killed_anywhere_goes_on_and_sends_each_once(shop: Shop) -> None:
    values = [b"event %d" % n for n in range(300)]
    for n, value in enumerate(values):
        shop.refuse(n, b"u%d" % n, value)
    shop.flush()

    for _ in range(2):
        before = len(shop.events())
        process = shop.start("replay", "--all", "--rate", "40")
        wait_for("records", lambda before=before, p=process: len(shop.events()) > before or p.poll() is not None)
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    shop.run("replay", "--all")

    assert Counter(m.value() for m in shop.events()) == Counter(values)


def test_who_begins_to_replay_ends_the_replay_before(shop: Shop) -> None:
    values = [b"event %d" % n for n in range(2000)]  # more than the slow one sends in any time that this takes
    for n, value in enumerate(values):
        shop.refuse(n, b"u%d" % n, value)
    shop.flush()

    slow = shop.start("replay", "--all", "--rate", "1")
    wait_for("its first record", lambda: len(shop.events()) > 0)
    shop.run("replay", "--all")
    out, err = slow.communicate(timeout=DEADLINE_S)

    assert (slow.returncode, len(err.splitlines())) == (1, 1), (out, err)
    assert b"another replay" in err
    assert Counter(m.value() for m in shop.events()) == Counter(values)


def test_ctrl_c_ends_it_between_two_parts_and_the_next_goes_on(shop: Shop) -> None:
    values = [b"event %d" % n for n in range(2000)]  # more than it sends in any time that this takes
    for n, value in enumerate(values):
        shop.refuse(n, b"u%d" % n, value)
    shop.flush()

    slow = shop.start("replay", "--all", "--rate", "1")
    wait_for("its first record", lambda: len(shop.events()) > 0)
    slow.send_signal(signal.SIGINT)
    out, err = slow.communicate(timeout=DEADLINE_S)
    assert (slow.returncode, err) == (130, b"")
    assert b"Interrupted: the next replay goes on." in out

    shop.run("replay", "--all")
    assert Counter(m.value() for m in shop.events()) == Counter(values)


def test_what_the_broker_never_takes_holds_nothing_else_up(kafka: KafkaServer, tmp_path: Path) -> None:
    shop = Shop(kafka, tmp_path)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    small = shop.settings.topic_item_deltas  # any topic that letters can be about; made again with bounds
    admin.delete_topics([small])[small].result(DEADLINE_S)
    bounds = {"max.message.bytes": "2000", "message.timestamp.before.max.ms": "3600000"}

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(small, 2, 1, config=bounds)])[small].result(DEADLINE_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # its name is still being freed
                raise
            return False
        return True

    wait_for("the topic", made)
    good = [b"good %d" % n for n in range(40)]
    for n, value in enumerate(good):
        shop.refuse(n, b"k%d" % n, value, topic=small)
    shop.refuse(100, b"k1", os.urandom(5000), topic=small)
    shop.refuse(101, b"k2", b"old", topic=small, timestamp_ms=NOW_MS - 86_400_000)
    shop.refuse(102, b"k3", b"gone", topic="no-such-topic")
    shop.refuse(103, b"k4", b"timeless", topic=small, timestamp_ms=-1)
    shop.flush()

    said = shop.run("replay", "--all", code=1)
    assert "40 records sent again" in said
    assert "2 records not taken by the broker" in said
    assert "no-such-topic is no topic" in said
    assert Counter(m.value() for m in shop.topics.read(small)) == Counter(good)

    said = shop.run("replay", "--all", "--timestamp", "now", code=1)
    assert "2 records sent again" in said
    assert Counter(m.value() for m in shop.topics.read(small)) == Counter([*good, b"old", b"timeless"])


def test_letters_are_listed_shown_and_replayed_by_filter(shop: Shop) -> None:
    shop.refuse(1, b"ann", b"[1]", reason="not_json")
    shop.flush()
    shop.refuse(2, b"bob", ODD)
    shop.flush()
    shop.refuse(3, b"ann", b"{}", topic=shop.settings.topic_items)
    shop.refuse(-1, b"cid", b"a state", reason="quarantined")
    shop.refuse(5, b"dan", b"x" * (20 << 20), reason="too_large")
    shop.flush()

    def listed(*options: str) -> set[int]:
        lines = shop.run("list", "--json", *options).splitlines()
        return {json.loads(line)["source"]["offset"] for line in lines if line.startswith("{")}

    assert listed() == {1, 2, 3, -1, 5}
    assert listed("--reason", "schema") == {2, 3}
    assert listed("--reason", "schema", "--reason", "not_json", "--key", "ann") == {1, 3}
    assert listed("--source", shop.settings.topic_items) == {3}
    assert listed("--since", "1h") == {1, 2, 3, -1, 5}
    assert listed("--until", "1h") == set()
    said = shop.run("list", "--limit", "2")
    assert "5 dead letters: " in said
    assert "2 schema" in said
    assert "Shown: the newest 2." in said

    (place,) = (p for p in shop.places() if b"because" in _raw(shop, "show", p) and b"bob" in _raw(shop, "show", p))
    assert _raw(shop, "show", place, "--raw") == ODD
    assert "because" in shop.run("show", place)

    said = shop.run("replay", place)
    assert "1 record sent again" in said
    assert [m.value() for m in shop.events()] == [ODD]
    said = shop.run("replay", "--reason", "not_json", "--reason", "quarantined", "--reason", "too_large")
    assert "1 record sent again" in said
    assert "it is about a user and no record" in said
    assert "only its beginning was kept" in said
    assert sorted(m.value() for m in shop.events()) == [ODD, b"[1]"]


def _raw(shop: Shop, *arguments: str) -> bytes:
    process = shop.start(*arguments)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, b"")
    return out


def test_a_catalogue_record_that_a_newer_one_has_overtaken_is_not_sent(shop: Shop) -> None:
    items = shop.settings.topic_items
    shop.topics.produce(items, [(b"i1", b"broken"), (b"i2", b"broken"), (b"i1", b'{"item_id":"i1","title":"T"}')])
    for m in shop.topics.read(items):
        if m.value() == b"broken":
            at = {"partition": m.partition(), "timestamp_ms": m.timestamp()[1]}
            shop.refuse(m.offset(), m.key(), m.value(), topic=items, **at)
    shop.flush()

    said = shop.run("replay", "--all")

    assert "1 record sent again" in said
    assert "1 letter passed over: a newer record of its key is there" in said
    assert Counter(m.key() for m in shop.topics.read(items)) == {b"i1": 2, b"i2": 2}


def test_letters_are_deleted_up_to_the_first_that_is_kept(shop: Shop) -> None:
    for n in range(6):  # one key: one partition
        shop.refuse(n, b"ann", b"%d" % n, reason="not_json" if n == 3 else "schema")
    shop.flush()
    first = shop.places()
    partition = first[0].partition(":")[0]

    said = shop.run("purge", "--reason", "schema")
    assert "3 dead letters can be deleted, of which 3 were never sent again" in said
    assert "2 letters that you mean cannot be deleted" in said
    assert "Nothing was deleted" in said
    assert shop.places() == first

    assert "Deleted." in shop.run("purge", "--to", f"{partition}:0", "--yes")
    assert shop.places() == first[1:]
    assert "Deleted." in shop.run("purge", "--reason", "schema", "--yes")
    assert shop.places() == first[3:]

    shop.run("replay", first[3], first[4])
    said = shop.run("purge", "--replayed", "--yes")
    assert "2 dead letters can be deleted, of which 0 were never sent again" in said
    assert shop.places() == first[5:]
    assert "5 letters" not in shop.run("replay", "--all")
    assert Counter(m.value() for m in shop.events()) == {b"3": 1, b"4": 1, b"5": 1}

    shop.run("purge", "--all", "--yes")
    assert "No dead letters match." in shop.run("list")
    assert "0 dead letters can be deleted" in shop.run("purge", "--until", "1m")


def test_a_record_that_is_refused_again_comes_back_as_a_new_letter(shop: Shop, tmp_path: Path) -> None:
    event = {"user_id": "ann", "item_id": "i1", "action": "click", "event_time": NOW_MS}
    shop.refuse(1, b"ann", json.dumps(event).encode())
    shop.refuse(2, b"ann", b"no json", headers=[("trace", ODD)])
    shop.flush()
    with WorkerProcess(shop.settings, tmp_path / "a") as worker:
        said = shop.run("replay", "--all", "--wait", str(DEADLINE_S))
        assert "2 records sent again" in said
        assert "1 record came back as a new letter." in said
        assert "not read by workers yet" not in said
        worker.wait_for("the good one's list", lambda: bool(shop.topics.read(shop.settings.topic_recommendations)))
        # The new letter is another record, so it can be sent again; its headers are still the producer's.
        assert "1 record sent again" in shop.run("replay", "--all")
    (_, *again) = [m for m in shop.events() if m.value() == b"no json"]
    assert [m.headers() for m in again] == [[("trace", ODD)]]


def test_without_workers_waiting_says_that_nothing_is_known(shop: Shop) -> None:
    shop.refuse(1, b"ann", b"no json")
    shop.flush()
    said = shop.run("replay", "--all", "--wait", "0")
    assert "0 records came back" in said
    assert "1 event not read by workers yet" in said
