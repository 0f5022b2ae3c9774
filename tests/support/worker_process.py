"""A worker as its users run it: a process, its metrics endpoint, its topics. For tests on either broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from item_records import unpack_record
from kafka_server import free_ports
from outcome_checks import outcome_problems
from places import ROOT
from sequential_reader import SequentialReader

from models.hashing import item_hash
from stream.kafka.log_ends import log_bounds
from stream.serve.followed.people import FIRST_OTHER_KEY
from stream.settings import Settings, load_settings
from stream.state.owed import OWED_PREFIX, read_mark

START_TIMEOUT_S = 60
TIMEOUT_S = 60


class WorkerProcess:
    """`penchant worker` with a data directory and a metrics port of its own."""

    def __init__(
        self, settings: Settings, data_dir: Path, environment: Mapping[str, str] | None = None, **overrides: object
    ) -> None:
        """`environment`: what the process has beside its settings; a PYTHONPATH goes before the product's."""
        self.data_dir = data_dir
        self.port = free_ports(1)[0]
        self.log_path = data_dir.with_suffix(".log")
        changed = {name: getattr(settings, name) for name in settings.model_fields_set} | overrides
        changed = {"encoder_model": "none"} | changed | {"data_dir": data_dir, "metrics_port": self.port}
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
        self._env |= {f"PENCHANT_{name.upper()}": _told(value) for name, value in changed.items()}
        self._env |= {"PYTHONWARNINGS": "default"} | dict(environment or {})
        self._env["PYTHONPATH"] = ":".join(filter(None, ((environment or {}).get("PYTHONPATH"), str(ROOT))))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WorkerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", "worker"], cwd=ROOT, env=self._env, stdout=log, stderr=log
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def terminate(self) -> float:
        """SIGTERM; seconds until the process has ended."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT_S)
        return time.monotonic() - started

    def metrics(self) -> dict[str, float]:
        """Samples by `name{labels}`; empty while the endpoint is not up."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
        """Until `condition()`; fails, with the worker's log, when it ended or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"the worker ended ({self.process.returncode}) before {what}:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                seen = {name: value for name, value in self.metrics().items() if "bucket" not in name and value}
                raise AssertionError(f"not within {timeout_s:g} s: {what}\n{seen}\n{self.log[-4000:]}")
            time.sleep(0.05)


def _told(value: object) -> str:
    """A setting as an environment variable says it; lists and tables as JSON."""
    if isinstance(value, tuple):
        return json.dumps(value)
    if not isinstance(value, dict):
        return str(value)
    return json.dumps({name: each.model_dump() for name, each in value.items()})


class Topics:
    """A test's own topics on a broker, and the ways it writes and reads them."""

    def __init__(self, bootstrap_servers: str, prefix: str, **overrides: object) -> None:
        names = {
            name: f"{prefix}.{name.removeprefix('topic_')}"
            for name in Settings.model_fields
            if name.startswith("topic_")
        }
        self.settings = load_settings(
            bootstrap_servers=bootstrap_servers,
            group_id=prefix,
            metrics_port=0,
            data_dir=Path("unused"),
            **names,
            **({"commit_interval_s": 0.2} | overrides),
        )
        self.producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "partitioner": "murmur2_random", "log_level": 0}
        )

    def produce(self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        for key, value in records:
            self.producer.produce(topic, value, key)
            self.producer.poll(0)
        assert self.producer.flush(TIMEOUT_S) == 0

    def read(self, topic: str) -> list[Message]:
        """Everything in the topic now, in offset order per partition."""
        return read_topic(self.settings.bootstrap_servers, topic)

    def committed(self, topic: str) -> dict[int, int]:
        """Committed offset by partition, of those that have one."""
        consumer = Consumer(
            {"bootstrap.servers": self.settings.bootstrap_servers, "group.id": self.settings.group_id, "log_level": 0}
        )
        try:
            partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
            found = _committed(consumer, [TopicPartition(topic, p) for p in partitions])
        finally:
            consumer.close()
        return {tp.partition: tp.offset for tp in found if tp.offset >= 0}

    def ends(self, topic: str) -> dict[int, int]:
        """End offset by partition."""
        return ends(self.settings.bootstrap_servers, topic)

    def all_committed(self) -> bool:
        """Whether every event has been applied, answered and committed."""
        return self.all_applied() and not self.owed()

    def all_applied(self) -> bool:
        """Whether every event has been applied and committed; some users may still be owed a list."""
        wanted = {p: end for p, end in self.ends(self.settings.topic_events).items() if end}
        return self.committed(self.settings.topic_events) == wanted

    def owed(self) -> dict[bytes, int]:
        """Users who are owed a list, as the changelog has it: Kafka timestamp of the oldest event without one, ms."""
        newest = {m.key(): m.value() for m in self.read(self.settings.changelog_topic)}
        marks = {key: value for key, value in newest.items() if key.startswith(OWED_PREFIX) and value is not None}
        return {key.removeprefix(OWED_PREFIX): read_mark(value) for key, value in marks.items()}

    def deltas_committed(self) -> bool:
        """Whether every item delta has been applied and committed."""
        wanted = {p: end for p, end in self.ends(self.settings.topic_item_deltas).items() if end}
        return self.committed(self.settings.topic_item_deltas) == wanted

    def state(self) -> dict[bytes, bytes]:
        """Packed state by user, as the changelog has it."""
        newest = {m.key(): m.value() for m in self.read(self.settings.changelog_topic)}
        return {key: value for key, value in newest.items() if is_user(key) and value is not None}

    def outcome_problems(self) -> list[str]:
        """What is wrong with the outcomes on the topics, as lines for a person; see `outcome_checks`."""
        settings = self.settings
        topics = (settings.topic_events, settings.topic_attributions, settings.topic_strategy_stats)
        return outcome_problems(settings, *map(self.read, topics))

    def items(self) -> dict[str, tuple[int, int, int, dict[str, float]]]:
        """Item statistics as the topic has them: `(first engagements, exposures, clicks, neighbours)` by item."""
        last = {m.key().decode(): unpack_record(m.value()) for m in self.read(self.settings.topic_item_stats)}
        id_of = {item_hash(item_id): item_id for item_id in last}
        return {
            item_id: (r.count, r.exposures, r.clicks, {id_of[h]: round(w, 9) for h, w in r.neighbours.items()})
            for item_id, r in last.items()
        }

    def reference(self) -> tuple[dict[bytes, bytes], dict[str, tuple[int, int, int, dict[str, float]]]]:
        """`state()` and `items()` as one sequential reader of the events topic would have them."""
        reader = SequentialReader(self.settings)
        reader.feed(self.read(self.settings.topic_events), time.time_ns() // 1_000_000)
        return reader.states(), reader.items()


def is_user(key: bytes) -> bool:
    """Whether a key of the changelog is a user's, and none of a ledger, a strategy's totals, a click model or a mark."""
    return key < FIRST_OTHER_KEY


def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Asks again while a broker that has just started is not the group's coordinator yet."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            found: list[TopicPartition] = consumer.committed(partitions, timeout=TIMEOUT_S)
            return found
        except KafkaException as error:
            starting = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
            if error.args[0].code() not in starting or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def ends(bootstrap_servers: str, topic: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "ends", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        bounds = log_bounds(consumer, [(topic, p) for p in partitions], TIMEOUT_S)
        return {p: end for (_, p), (_, end) in bounds.items()}
    finally:
        consumer.close()


def read_topic(bootstrap_servers: str, topic: str) -> list[Message]:
    """All records of a topic, partition by partition."""
    left = {p: end for p, end in ends(bootstrap_servers, topic).items() if end}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "read",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    messages: list[Message] = []
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        deadline = time.monotonic() + TIMEOUT_S
        open_partitions = set(left)
        while open_partitions:
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for message in consumer.consume(1000, 0.2):
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.code() == KafkaError._PARTITION_EOF and message.offset() >= left[message.partition()]:
                    open_partitions.discard(message.partition())
    finally:
        consumer.close()
    return sorted(messages, key=lambda m: (m.partition(), m.offset()))
