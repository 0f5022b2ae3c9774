"""Doctor: each problem is found, told with its fix, and nothing is changed by asking."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_server import KafkaServer
from places import ROOT
from typer.testing import CliRunner

from stream.cli import broker_checks, checks, doctor
from stream.cli.checks import Check
from stream.cli.main import app
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import Topic, create_topics, list_topics
from stream.settings import Settings
from stream.storage.rocks import DataDirectory

Embedded = Callable[[Mapping[str, int]], EmbeddedBroker]


@pytest.fixture(autouse=True)
def _impatient(clean_place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "2")


def topics_of(settings: Settings, partitions: int = 4) -> dict[str, Topic]:
    names = [getattr(settings, name) for name in Settings.model_fields if name.startswith("topic_")]
    return dict.fromkeys([*names, settings.changelog_topic], Topic(partitions, 1))


def by_name(found: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def examined(**flags: Any) -> dict[str, Check]:
    return by_name(doctor.examine(flags))


# --- this machine


def test_the_oldest_versions_that_do_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = dict(each.partition(",")[0].split(">=") for each in project["dependencies"])

    assert declared == checks.MINIMUMS


def test_the_installed_versions_do() -> None:
    check = checks.check_versions()

    assert check.status == "ok", check
    assert "faust-streaming 0.15.3" in check.detail


def test_a_package_that_is_too_old_or_missing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks.MINIMUMS, "rich", "99")
    assert checks.check_versions().status == "fail"
    assert "too old: rich" in checks.check_versions().detail

    monkeypatch.setitem(checks.MINIMUMS, "no-such-package-at-all", "1")
    assert "no-such-package-at-all is not installed" in checks.check_versions().detail


def test_every_codec_can_be_read_here() -> None:
    assert checks.check_codecs().status == "ok"


def test_a_codec_that_cannot_be_read_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiokafka.codec.has_zstd", lambda: False)

    check = checks.check_codecs()

    assert check.status == "fail"
    assert "zstd" in check.detail
    assert "cramjam" in check.fix


def test_a_data_directory_that_is_not_there_yet_is_fine_and_is_not_made(tmp_path: Path) -> None:
    check = checks.check_data_dir(tmp_path / "a" / "b")

    assert check.status == "ok"
    assert not (tmp_path / "a").exists()


def test_a_data_directory_in_use_is_told_with_its_worker_and_stays_locked(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path, 1 << 20, 1 << 20)
    check = checks.check_data_dir(tmp_path)
    directory.close()

    assert check.status == "warn"
    assert f"process {os.getpid()}" in check.detail
    assert "--data-dir" in check.fix
    assert checks.check_data_dir(tmp_path).status == "ok"


def test_asking_does_not_take_the_lock(tmp_path: Path) -> None:
    DataDirectory(tmp_path, 1 << 20, 1 << 20).close()
    checks.check_data_dir(tmp_path)

    DataDirectory(tmp_path, 1 << 20, 1 << 20).close()


def test_a_data_directory_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert checks.check_data_dir(tmp_path / "file").status == "fail"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_cannot_be_written_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    assert checks.check_data_dir(tmp_path / "new").status == "fail"


@pytest.mark.parametrize(("free", "status"), [(100 << 20, "fail"), (1 << 30, "warn"), (100 << 30, "ok")])
def test_little_free_space_is_told(free: int, status: str, tmp_path: Path) -> None:
    assert checks.check_disk(tmp_path, 128 << 20, free).status == status


def test_a_metrics_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = checks.check_metrics_port("127.0.0.1", port)

    assert check.status == "warn"
    assert "--metrics-port" in check.fix
    assert checks.check_metrics_port("127.0.0.1", port).status == "ok"
    assert checks.check_metrics_port("127.0.0.1", 0).status == "skip"


def test_too_few_open_files_for_the_partitions_are_told() -> None:
    assert checks.check_open_files(1).status == "ok"
    assert checks.check_open_files(10**6).status == "warn"
    assert "ulimit -n" in checks.check_open_files(10**6).fix


def test_the_encoder_is_loaded_as_a_worker_would_and_what_is_wrong_has_its_fix(tmp_path: Path) -> None:
    told = checks.check_encoder(Settings(encoder_model="none"))
    assert (told.status, "without text" in told.detail) == ("skip", True)
    told = checks.check_encoder(Settings(encoder_model="x", encoder_remote_url="http://127.0.0.1:9/v1"))
    assert (told.status, "127.0.0.1:9" in told.detail) == ("skip", True)
    told = checks.check_encoder(Settings(encoder_model="hashing"))
    assert (told.status, "understands nothing" in told.detail) == ("warn", True)
    told = checks.check_encoder(Settings(encoder_model=str(tmp_path)))
    assert (told.status, "penchant encoder export" in told.fix) == ("fail", True)
    assert checks.check_accelerator().status in {"skip", "ok"}


def test_without_onnx_runtime_the_encoder_is_a_problem_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = checks.check_encoder(Settings())
    assert told.status == "fail"
    assert "encoder-cpu" in told.fix
    assert "`none`" in told.fix
    assert "`hashing`" in told.fix


# --- the broker's answers


def test_a_missing_topic_fails_and_the_command_that_makes_it_is_named() -> None:
    settings = Settings()
    topics = topics_of(settings)
    del topics[settings.topic_items]

    check = broker_checks.check_topics(settings, topics)

    assert check.status == "fail"
    assert check.detail.startswith("missing topics, or not to be seen by this user: interest.items")
    assert "penchant topics create" in check.fix


def test_partition_counts_that_do_not_match_fail() -> None:
    settings = Settings()
    topics = topics_of(settings) | {settings.changelog_topic: Topic(3, 1)}

    check = broker_checks.check_topics(settings, topics)

    assert check.status == "fail"
    assert "penchant-interest-changelog has 3 partitions but interest.events has 4" in check.detail


@pytest.mark.parametrize(
    ("name", "policy", "status"),
    [
        ("interest.events", "compact", "fail"),
        ("interest.items", "delete", "fail"),
        ("interest.items", "compact,delete", "fail"),
        ("interest.items", "compact", "ok"),
    ],
)
def test_a_wrong_clean_up_policy_fails_with_the_command_that_mends_it(
    name: str, policy: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        broker_checks, "cleanup_policies", lambda admin, names, timeout_s: {name: frozenset(policy.split(","))}
    )

    check = broker_checks.check_policies(Settings(), topics_of(Settings()))

    assert check.status == status
    assert status == "ok" or f"--topic {name} --add-config cleanup.policy=" in check.fix


# --- the whole


def test_nothing_listening_fails_within_the_deadline_and_the_rest_is_still_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "0.3")
    started = time.monotonic()

    found = examined(bootstrap_servers="127.0.0.1:1")

    assert time.monotonic() - started < 30
    assert found["broker"].status == "fail"
    assert "127.0.0.1:1" in found["broker"].detail
    assert "--bootstrap-servers" in found["broker"].fix
    assert found["topics"].status == "skip"
    assert found["data directory"].status == "ok"


@pytest.mark.timeout(60)
def test_something_that_is_not_kafka_fails_within_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        found = examined(bootstrap_servers=f"127.0.0.1:{mute.getsockname()[1]}")

    assert found["broker"].status == "fail"
    assert "security_protocol" in found["broker"].fix


def test_bad_settings_are_the_first_finding_not_a_crash() -> None:
    found = examined(metrics_port=99_999)

    assert found["settings"].status == "fail"
    assert "--metrics-port" in found["settings"].detail
    assert found["broker"].status == "skip"


def test_the_settings_in_force_are_told_by_name_without_their_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENCHANT_SASL_PASSWORD", "hunter2")
    (tmp_path / "penchant.toml").write_text("partitions = 2")
    monkeypatch.setenv("PENCHANT_CONNECT_TIMEOUT_S", "0.1")

    detail = examined(bootstrap_servers="127.0.0.1:1")["settings"].detail

    assert "file penchant.toml" in detail
    assert "--bootstrap-servers" in detail
    assert "PENCHANT_SASL_PASSWORD" in detail
    assert "hunter2" not in detail


@pytest.mark.timeout(60)
def test_on_the_embedded_broker_all_is_well_and_what_it_cannot_tell_is_skipped(embedded: Embedded) -> None:
    broker = embedded({name: topic.partitions for name, topic in topics_of(Settings()).items()})

    found = examined(bootstrap_servers=broker.bootstrap_servers, metrics_port=0)

    assert [check for check in found.values() if check.status == "fail"] == []
    assert found["topics"].status == "ok"
    assert found["compaction"].status == "skip"


@pytest.mark.timeout(60)
def test_the_command_ends_with_0_or_1_and_its_json_is_one_object(embedded: Embedded) -> None:
    good = embedded({name: topic.partitions for name, topic in topics_of(Settings()).items()}).bootstrap_servers
    bad = embedded({"interest.events": 1}).bootstrap_servers

    well = CliRunner().invoke(app, ["doctor", "--json", "--bootstrap-servers", good])
    ill = CliRunner().invoke(app, ["doctor", "--json", "--bootstrap-servers", bad])
    plain = CliRunner().invoke(app, ["doctor", "--bootstrap-servers", bad])

    assert (well.exit_code, ill.exit_code, plain.exit_code) == (0, 1, 1)
    report = json.loads(ill.stdout)
    assert report["failed"] == 1
    [failed] = [check for check in report["checks"] if check["status"] == "fail"]
    assert failed["name"] == "topics"
    assert failed["fix"].startswith("run `penchant topics create`")
    assert any(line.startswith("fail\ttopics\tmissing topics, ") for line in plain.stdout.splitlines())
    assert plain.stdout.splitlines()[-1].startswith("1 to mend")


def clocks_become(status: str, settings: Settings, topics: Mapping[str, Topic]) -> None:
    """A broker may leave the question of a partition unanswered for a while after its topic was made."""
    deadline = time.monotonic() + 30
    while (check := broker_checks.check_clocks(settings, topics)).status != status:
        assert time.monotonic() < deadline, check


def test_events_in_other_partitions_than_those_of_their_keys_are_found(embedded: Embedded) -> None:
    settings = Settings(bootstrap_servers=embedded({"interest.events": 4}).bootstrap_servers)
    topics = topics_of(settings)
    assert broker_checks.check_keys(settings, topics).status == "skip"
    for partitioner, status in (("murmur2_random", "ok"), ("consistent_random", "warn")):
        producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "partitioner": partitioner})
        for n in range(20):
            producer.produce(settings.topic_events, b"{}", f"u{n}")
        assert producer.flush(30) == 0
        check = broker_checks.check_keys(settings, topics)
        assert check.status == status, check
    assert "of the newest 40 events lie in another partition than murmur2_random puts them" in check.detail


@pytest.mark.kafka
def test_on_apache_kafka_policies_and_clocks_are_told(kafka: KafkaServer) -> None:
    settings = Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id="doctor",
        connect_timeout_s=20,
        **{name: f"doctor.{name}" for name in Settings.model_fields if name.startswith("topic_")},
    )
    create_topics(settings)
    topics = list_topics(settings)
    assert broker_checks.check_policies(settings, topics).status == "ok"
    clocks_become("skip", settings, topics)

    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(settings.topic_events, b"{}")
    assert producer.flush(30) == 0
    clocks_become("ok", settings, topics)

    producer.produce(settings.topic_events, b"{}", timestamp=int(time.time() * 1000) + 600_000)
    assert producer.flush(30) == 0
    clocks_become("warn", settings, topics)

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    other = settings.model_copy(update={"topic_items": "doctor.not-compacted"})
    admin.create_topics([NewTopic(other.topic_items, 1, 1)], operation_timeout=30)[other.topic_items].result(30)
    deadline = time.monotonic() + 30
    while other.topic_items not in (listed := list_topics(other)):  # made is not yet told of
        assert time.monotonic() < deadline
    check = broker_checks.check_policies(other, listed)
    assert check.status == "fail"
    assert "doctor.not-compacted has cleanup.policy=delete, which must be compact" in check.detail
