"""An Apache Kafka that asks for rights: each role works with those that `penchant topics rights` lists, uses every one of them,
and says in one line what it lacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka_for_tests import running
from kafka_server import KafkaServer, free_ports
from places import ROOT
from pydantic import SecretStr
from serve_process import ServeProcess
from serve_world import behaviours, event, item
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from stream.errors import UsageError
from stream.kafka.rights import ROLES, Right, Role, _binding, _snake, give_rights, rights_of
from stream.kafka.topics import create_topics
from stream.settings import load_settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

PASSWORD = "hunter2"
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,ASKING://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,ASKING://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ASKING:SASL_PLAINTEXT
listener.name.asking.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.asking.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
ASKED = re.compile(
    r"Principal = User:(\w+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = (\w+):\w+:(\S+) "
)
KINDS = {"Topic": "topic", "Group": "group", "TransactionalId": "transactional-id", "Cluster": "cluster"}


class Asking(NamedTuple):
    """The broker, its topics as an administrator reaches them, and where it asks who one is."""

    server: KafkaServer
    topics: Topics
    address: str

    def login(self, user: str) -> dict[str, Any]:
        return {
            "bootstrap_servers": self.address,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": PASSWORD,
        }


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    (port,) = free_ports(1)
    server = KafkaServer(tmp_path_factory.mktemp("asking") / "kafka", PROPERTIES.format(port=port))
    with running(server):
        server.log_debug("kafka.authorizer.logger")
        admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
        for user in (*ROLES, "nobody"):
            scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, scram, PASSWORD.encode())])[
                user
            ].result(TIMEOUT_S)
        topics = Topics(server.bootstrap_servers, "rights", partitions=2)
        create_topics(topics.settings)
        for role in ROLES:
            give_rights(topics.settings, rights_of(topics.settings, role), f"User:{role}")
        until_in_force(admin, sum(len(rights_of(topics.settings, role)) for role in ROLES))
        yield Asking(server, topics, f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def asked(asking: Asking, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, Right]]]:
    """By user what it asked for and was given or not, while everybody did all that they do."""
    topics, folder = asking.topics, tmp_path_factory.mktemp("roles")
    begins = len(asking.server.log)
    settings = topics.settings.model_copy(update=asking.login("producer") | {"sasl_password": SecretStr(PASSWORD)})
    topics.producer = Producer(settings.client_config() | {"partitioner": "murmur2_random"})
    topics.produce(topics.settings.topic_items, (item(n) for n in range(30)))
    topics.produce(topics.settings.topic_events, behaviours())
    topics.produce(topics.settings.topic_events, [(None, event("u1", 3)[1]), (b"u1", b"garbage")])
    with (
        WorkerProcess(topics.settings, folder / "worker", **asking.login("worker")) as worker,
        ServeProcess(topics.settings, folder / "serve", **asking.login("serve")) as serve,
    ):
        worker.wait_for("everything is applied", topics.all_applied)
        serve.until_ready()
        serve.post("/v1/events", {"user_id": "u1", "action": "click", "item_id": "i3"}, 201)
        assert serve.get("/v1/users/u1/recommendations")["items"]
        assert serve.get("/v1/now")
        assert len(read_lists(asking, "reader")) >= 20
        assert worker.terminate() < TIMEOUT_S
        assert serve.terminate() == 0
        assert worker.process.returncode == 0, worker.log
    return _asked(asking, begins)


def until_in_force(admin: AdminClient, n: int) -> None:
    """The broker that was told of rights applies them a moment later."""
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    deadline = time.monotonic() + TIMEOUT_S
    while len(admin.describe_acls(everything).result(TIMEOUT_S)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _asked(asking: Asking, begins: int) -> dict[str, set[tuple[str, Right]]]:
    found: dict[str, set[tuple[str, Right]]] = {role: set() for role in ROLES}
    for user, verdict, operation, kind, name in ASKED.findall(asking.server.log[begins:]):
        found.setdefault(user, set()).add((verdict, Right(KINDS[kind], name, operation)))  # type: ignore[arg-type]
    return found


def covers(right: Right, used: Right) -> bool:
    """Whether it allows what was asked for; Read and Write include Describe."""
    same = used.name.startswith(right.name) if right.is_prefix else used.name == right.name
    operation = _snake(right.operation)
    return (right.kind, same) == (used.kind, True) and used.operation in {operation, *_INCLUDED.get(operation, ())}


_INCLUDED = {"READ": ["DESCRIBE"], "WRITE": ["DESCRIBE"]}


def test_an_operator_may_do_all_that_operators_do(asking: Asking, asked: dict[str, Any], tmp_path: Path) -> None:
    """`asked`: so that there are states, lists and dead letters."""
    (tmp_path / "items.csv").write_text("item_id,title\ni99,New\n")
    (tmp_path / "rules.toml").write_text('[rules.no]\nkind = "deny"\nwhere = "price > 9000"\n')
    begins = len(asking.server.log)
    for command in (
        "doctor", "topics create", "topics list",
        f"items load {tmp_path / 'items.csv'}", f"rules apply {tmp_path / 'rules.toml'}",
        "rules list", "models list", "dead-letter list", "dead-letter replay --all", "dead-letter purge --all --yes",
        f"backup {tmp_path / 'backup'}", "person export u1",
    ):  # fmt: skip
        done = command_as(asking, "operator", command, tmp_path)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    done = command_as(asking, "operator", "erase u1 --wait-s 1", tmp_path)
    assert "did not come within 1 s" in done.stderr, "nobody works, and the request stands"
    denied = {used for verdict, used in _asked(asking, begins)["operator"] if verdict == "Denied"}
    assert {used for used in denied if used.kind != "cluster"} == set()


@pytest.mark.parametrize("role", ["worker", "serve", "producer", "reader"])
def test_a_role_is_refused_nothing_and_has_nothing_that_it_does_not_use(
    asking: Asking, asked: dict[str, set[tuple[str, Right]]], role: Role
) -> None:
    listed = rights_of(asking.topics.settings, role)
    denied = {used for verdict, used in asked[role] if verdict == "Denied"}
    # An idempotent producer asks for the whole cluster first, and for its topics when that is refused.
    assert {used for used in denied if used.kind != "cluster"} == set()
    exactly = [(r, _snake(r.operation)) for r in listed]
    if role == "worker":  # lists are read by a worker that did not make them, when an item of theirs is withdrawn
        exactly.remove((Right("topic", asking.topics.settings.topic_recommendations, "Read"), "READ"))
    unused = {
        r for r, operation in exactly if not any(covers(r, u) and u.operation == operation for _, u in asked[role])
    }
    assert unused == set()


def read_lists(asking: Asking, user: str) -> set[bytes]:
    """Whose lists a consumer of that user gets, until none comes any more."""
    settings = load_settings(**asking.login(user))
    consumer = Consumer(
        settings.client_config()
        | {"group.id": f"{asking.topics.settings.group_id}-reader-1", "auto.offset.reset": "earliest"}
    )
    found: set[bytes] = set()
    try:
        consumer.subscribe([asking.topics.settings.topic_recommendations, asking.topics.settings.topic_attributions])
        deadline = time.monotonic() + TIMEOUT_S
        while len(found) < 24 and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None:
                assert message.error() is None, message.error()
                found.add(message.key())
    finally:
        consumer.close()
    return found


def command_as(asking: Asking, user: str, command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """`penchant COMMAND`, as that user."""
    settings = asking.topics.settings
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    given |= asking.login(user) | {
        "encoder_model": "none", "metrics_port": 0, "serve_port": 0, "data_dir": tmp_path / "w",
        "serve_data_dir": tmp_path / "s", "connect_timeout_s": 5, "delivery_timeout_s": 20,
    }  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENCHANT_")}
    environment |= {f"PENCHANT_{name.upper()}": str(value) for name, value in given.items()}
    return subprocess.run(
        [sys.executable, "-m", "stream", *command.split()], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def lacking(asking: Asking, role: Role, right: Right, command: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What a command says and how it ends whose user lacks one right."""
    topics, admin = asking.topics, AdminClient({"bootstrap.servers": asking.server.bootstrap_servers})
    assert right in rights_of(topics.settings, role)
    binding = _binding(right, f"User:{role}")
    filter_ = AclBindingFilter(
        binding.restype, binding.name, binding.resource_pattern_type, binding.principal, binding.host, binding.operation,
        binding.permission_type,
    )  # fmt: skip
    [deleted] = admin.delete_acls([filter_])[filter_].result(TIMEOUT_S)
    assert deleted.name == right.name
    topics.produce(topics.settings.topic_events, [event("u1", 4)])  # or there may be nothing that it would write
    try:
        return command_as(asking, role, command, tmp_path)
    finally:
        give_rights(topics.settings, [right], f"User:{role}")


@pytest.mark.parametrize(
    ("role", "right", "told"),
    [
        ("worker", Right("topic", "rights.items", "Read"), "rights.items"),
        ("worker", Right("topic", "rights-interest-changelog", "Write"), "give this user WRITE"),
        ("worker", Right("group", "rights", "Read"), "give this user READ on the group"),
        ("worker", Right("group", "rights-", "Describe", is_prefix=True), "give this user DESCRIBE on groups"),
        (
            "worker",
            Right("transactional-id", "rights-", "Write", is_prefix=True),
            "give this user WRITE on transactional ids",
        ),
        ("serve", Right("topic", "rights.attributions", "Read"), "not to be seen by this user: rights.attributions"),
    ],
    ids=str,
)
def test_what_a_role_lacks_it_names_in_one_line_with_what_to_do(
    asking: Asking, asked: dict[str, Any], tmp_path: Path, role: Role, right: Right, told: str
) -> None:
    """`asked`: so that what is refused here is not counted there."""
    done = lacking(asking, role, right, role, tmp_path)
    assert done.returncode in {1, 2}, done.stderr
    assert "Traceback" not in done.stderr, done.stderr[-6000:]
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("penchant: "), done.stderr[-1500:]
    assert told in last
    assert "Fix: " in last


def test_who_may_not_give_rights_is_told_so(asking: Asking) -> None:
    settings = load_settings(**asking.login("nobody"))
    with pytest.raises(UsageError, match=r"rights of User:x could not be given: .* Fix: use a user with ALTER"):
        give_rights(settings, rights_of(settings, "reader"), "User:x")
