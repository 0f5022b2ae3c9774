"""An Apache Kafka of the benchmark's own, through the script that people use (`deploy/kafka/run.sh`), and questions to it."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from stream.kafka.log_ends import log_bounds

RUN_SH = Path(__file__).resolve().parents[1] / "deploy" / "kafka" / "run.sh"
TIMEOUT_S = 60.0
_NOT_YET = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE)


class Broker(NamedTuple):
    """A running one-node Kafka."""

    bootstrap_servers: str
    pid: int

    def cpu_s(self) -> float:
        """Processor seconds it has used so far."""
        return float(sum(psutil.Process(self.pid).cpu_times()[:2]))


@contextmanager
def local_kafka() -> Iterator[Broker]:
    """A fresh broker, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="penchant-bench-kafka-") as directory:
        ports = free_ports(2)
        try:
            subprocess.run([str(RUN_SH), "start", directory, *map(str, ports)], check=True, timeout=300)
            yield Broker(f"127.0.0.1:{ports[0]}", int((Path(directory) / "pid").read_text()))
        finally:
            subprocess.run([str(RUN_SH), "stop", directory], check=True, timeout=TIMEOUT_S)


def free_ports(n: int) -> list[int]:
    """Ports of this machine that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    try:
        return [int(free.getsockname()[1]) for free in sockets]
    finally:
        for free in sockets:
            free.close()


class GroupOffsets:
    """Offsets that one consumer group has committed of one topic, asked over one connection."""

    def __init__(self, bootstrap_servers: str, group: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "log_level": 0})
        partitions = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        self._partitions = [TopicPartition(topic, p) for p in partitions]

    def committed(self) -> int:
        """Records before the committed offsets, over all partitions."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                found = self._consumer.committed(self._partitions, timeout=TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return sum(max(0, tp.offset) for tp in found)

    def ends(self) -> dict[int, int]:
        """End offset by partition."""
        bounds = log_bounds(self._consumer, [(tp.topic, tp.partition) for tp in self._partitions], TIMEOUT_S)
        return {p: end for (_, p), (_, end) in bounds.items()}

    def total(self) -> int:
        """Records in the topic."""
        return sum(self.ends().values())

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def __enter__(self) -> GroupOffsets:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def topic_names(bootstrap_servers: str) -> set[str]:
    """All topics."""
    return set(
        AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=TIMEOUT_S).topics
    )


def delete_topics(bootstrap_servers: str, names: set[str]) -> None:
    """Delete topics, so that their compaction does not run beside the next measurement."""
    if names:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        for future in admin.delete_topics(list(names), operation_timeout=TIMEOUT_S).values():
            future.result(TIMEOUT_S)


def configure_topic(bootstrap_servers: str, name: str, config: Mapping[str, str]) -> None:
    """Set some of a topic's settings."""
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})  # its futures end with it
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(TIMEOUT_S)
