"""`deploy/kafka/run.sh` and the fixture on it: a broker that starts, answers, dies and comes back with its data."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_server import RUN_SH, KafkaMissingError, KafkaServer, free_ports
from places import ROOT

DEADLINE_S = 30.0


def create_topic(server: KafkaServer, name: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(DEADLINE_S)


def produce(server: KafkaServer, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(DEADLINE_S) == 0


def read(server: KafkaServer, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap_servers,
            "group.id": "readers",
            "log_level": 0,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline = time.monotonic() + DEADLINE_S
    values: list[bytes] = []
    try:
        while len(values) < count:
            assert time.monotonic() < deadline, server.log
            message = consumer.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                values.append(message.value())
    finally:
        consumer.close()
    return values


@pytest.mark.kafka
def test_it_gives_back_what_was_produced(kafka: KafkaServer) -> None:
    create_topic(kafka, "roundtrip")
    produce(kafka, "roundtrip", [b"one", b"two"])
    assert read(kafka, "roundtrip", 2) == [b"one", b"two"]


@pytest.mark.kafka
def test_an_unknown_topic_is_not_made_by_producing_to_it(kafka: KafkaServer) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0, "message.timeout.ms": 1000})
    errors: list[object] = []
    producer.produce("misspelt", b"x", on_delivery=lambda error, message: errors.append(error))
    assert producer.flush(DEADLINE_S) == 0
    assert [error is None for error in errors] == [False]  # comparing a KafkaError with None leaves a TypeError behind
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    assert "misspelt" not in admin.list_topics(timeout=DEADLINE_S).topics


@pytest.mark.kafka
def test_a_restart_keeps_the_data_and_the_address(kafka: KafkaServer) -> None:
    create_topic(kafka, "restarted", 3)
    produce(kafka, "restarted", [b"before"])
    address = kafka.bootstrap_servers
    kafka.stop()
    try:
        assert not kafka.running
        with pytest.raises(KafkaException):
            AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=0.5)
    finally:
        kafka.start()
    assert "Kafka Server started" in kafka.log  # before that, its port is open but requests wait
    assert kafka.bootstrap_servers == address
    assert read(kafka, "restarted", 1) == [b"before"]
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    assert len(admin.list_topics("restarted", timeout=DEADLINE_S).topics["restarted"].partitions) == 3


@pytest.mark.kafka
def test_a_killed_broker_keeps_every_acknowledged_record(kafka: KafkaServer) -> None:
    values = [str(number).encode() for number in range(1000)]
    create_topic(kafka, "killed")
    produce(kafka, "killed", values)
    kafka.kill()
    try:
        assert not kafka.running
    finally:
        kafka.start()
    assert read(kafka, "killed", 1000) == values


@pytest.mark.kafka
def test_starting_a_running_broker_fails_and_says_how_to_stop_it(kafka: KafkaServer) -> None:
    with pytest.raises(RuntimeError, match=r"already running at .* Fix: stop it first"):
        kafka.start()
    assert kafka.running


@pytest.mark.kafka
def test_a_taken_port_is_named(kafka: KafkaServer, tmp_path: Path) -> None:
    port = kafka.bootstrap_servers.partition(":")[2]
    done = run("start", str(tmp_path / "other"), port)
    assert done.returncode == 1
    assert f"port {port} is taken. Fix:" in done.stderr


def test_stopping_what_does_not_run_is_no_error_and_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")  # a living process that is no broker: this one
    assert run("status", str(tmp_path)).returncode == 1
    done = run("stop", str(tmp_path))
    assert done.returncode == 0
    assert "not running" in done.stdout


@pytest.mark.parametrize(
    ("present", "missing"), [([], "java is missing"), (["java"], "mvn is missing")], ids=["java", "mvn"]
)
def test_what_is_missing_is_named_with_the_fix_and_reads_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: list[str], missing: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sed", "dirname", "cat", "head", "mkdir", "ps"):
        (programs / name).symlink_to(which(name))
    for name in present:
        (programs / name).write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("KAFKA_LIBS", str(tmp_path / "no-jars"))
    with pytest.raises(KafkaMissingError, match=rf"{missing}.* Fix: "):
        KafkaServer(tmp_path / "data").start()


def test_an_old_java_is_named_with_the_version_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(KafkaMissingError, match=r"java is version 11, .* needs 17"):
        KafkaServer(tmp_path / "data").start()


def test_an_unknown_command_prints_the_usage() -> None:
    done = run("begin")
    assert done.returncode == 2
    assert "run.sh start" in done.stderr


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(RUN_SH), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def which(name: str) -> str:
    for directory in os.environ["PATH"].split(os.pathsep):
        path = Path(directory) / name
        if path.is_file():
            return str(path)
    raise FileNotFoundError(name)


def test_a_port_that_one_run_of_tests_has_no_other_gets_even_while_nobody_listens() -> None:
    ports = set(free_ports(400))
    code = "import kafka_server; print(*kafka_server.free_ports(400))"
    others = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests" / "support")},
    )
    assert ports.isdisjoint(map(int, others.stdout.split()))
