"""Kafka as companies run it: both kinds of clients on an Apache Kafka that asks who they are, over TLS, and with quotas."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from kafka_checks import catalogue, events
from kafka_for_tests import running
from kafka_server import KafkaServer, free_ports
from token_service import TokenService
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from stream.errors import BrokerUnreachableError
from stream.kafka.engine.faust_app import make_faust_app
from stream.kafka.group import members_of
from stream.kafka.producer import RecordProducer
from stream.kafka.topics import create_topics, list_topics
from stream.settings import Settings, load_settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PASSWORD = "hunter2-do-not-print"
TOPIC = "seen"

LISTENERS = """
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,NAMED:SSL,UNNAMED:SSL,MUTUAL:SSL,\
BEARER:SASL_PLAINTEXT,CLEAR:SASL_PLAINTEXT
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.clear.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clear.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.bearer.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.bearer.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
listener.name.mutual.ssl.keystore.type=PEM
listener.name.mutual.ssl.keystore.location={keystore}
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
"""


class Guarded(NamedTuple):
    """A broker with a listener of each kind."""

    server: KafkaServer
    addresses: dict[str, str]
    authority: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("guarded")
    authority, keystore = certificates(directory)
    ports = free_ports(6)
    hosts = {
        "SCRAM": "localhost",
        "NAMED": "localhost",
        "UNNAMED": "127.0.0.1",
        "BEARER": "127.0.0.1",
        "CLEAR": "127.0.0.1",
        "MUTUAL": "localhost",
    }
    addresses = {name: f"{host}:{port}" for (name, host), port in zip(hosts.items(), ports, strict=True)}
    listeners = ",".join(f"{name}://{address}" for name, address in addresses.items())
    with running(
        KafkaServer(directory / "kafka", LISTENERS.format(listeners=listeners, keystore=keystore, authority=authority))
    ) as server:
        admin = AdminClient({"bootstrap.servers": server.bootstrap_servers, "log_level": 0})
        user = UserScramCredentialUpsertion(
            "penchant", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
        )
        for future in (
            *admin.alter_user_scram_credentials([user]).values(),
            *admin.create_topics([NewTopic(TOPIC, 1, 1)]).values(),
        ):
            future.result(TIMEOUT_S)
        yield Guarded(server, addresses, authority)


def certificates(directory: Path) -> tuple[Path, Path]:
    """An authority, and what a broker shows that is called `localhost` and nothing else: (authority, key with certificate)."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)

    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=penchant test authority")
    openssl(*new, "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl(
        "x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "broker.pem",
    )  # fmt: skip
    keystore = directory / "keystore.pem"
    keystore.write_text((directory / "broker.key").read_text() + (directory / "broker.pem").read_text())
    # What a client shows, with a key that has a password of its own.
    openssl(
        "req", "-newkey", "rsa:2048", "-passout", f"pass:{PASSWORD}", "-keyout", "client.key", "-out", "client.csr",
        "-subj", "/CN=penchant-worker",
    )  # fmt: skip
    openssl(
        "x509", "-req", "-in", "client.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-out", "client.pem",
    )  # fmt: skip
    return directory / "ca.pem", keystore


def mutual(guarded: Guarded, password: str = PASSWORD) -> dict[str, Any]:
    directory = guarded.authority.parent
    return {
        "security_protocol": "SSL",
        "ssl_ca_location": guarded.authority,
        "ssl_certificate_location": directory / "client.pem",
        "ssl_key_location": directory / "client.key",
        "ssl_key_password": password,
    }


def settings_for(guarded: Guarded, listener: str, **given: Any) -> Settings:
    return load_settings(
        bootstrap_servers=guarded.addresses[listener], connect_timeout_s=5, data_dir=Path("unused"), **given
    )


def scram(password: str = PASSWORD, protocol: str = "SASL_PLAINTEXT") -> dict[str, Any]:
    return {
        "security_protocol": protocol,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "penchant",
        "sasl_password": password,
    }


def bearer(service: TokenService, secret: str = PASSWORD) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_url": service.url,
        "sasl_oauth_client_id": "penchant",
        "sasl_oauth_client_secret": secret,
        "sasl_oauth_scope": "kafka",
    }


def seen_by_both(settings: Settings) -> None:
    """Both kinds of clients find the topic."""
    assert TOPIC in list_topics(settings)
    assert TOPIC in asyncio.run(seen_by_aiokafka(settings))


async def seen_by_aiokafka(settings: Settings) -> set[str]:
    """With what Faust gives to aiokafka."""
    auth = credentials_to_aiokafka_auth(make_faust_app(settings).conf.broker_credentials)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, **auth)
    try:
        await asyncio.wait_for(consumer.start(), TIMEOUT_S)
        return set(await consumer.topics())
    finally:
        await consumer.stop()


def refused_to_both(settings: Settings) -> None:
    with pytest.raises((BrokerUnreachableError, KafkaException)):
        list_topics(settings)
    with pytest.raises(KafkaError):
        asyncio.run(seen_by_aiokafka(settings))


@pytest.mark.parametrize(("listener", "protocol"), [("CLEAR", "SASL_PLAINTEXT"), ("SCRAM", "SASL_SSL")])
def test_both_kinds_of_clients_prove_themselves_by_scram(guarded: Guarded, listener: str, protocol: str) -> None:
    tls = {"ssl_ca_location": guarded.authority} if protocol == "SASL_SSL" else {}

    seen_by_both(settings_for(guarded, listener, **scram(protocol=protocol), **tls))


def test_a_wrong_password_is_refused(guarded: Guarded) -> None:
    refused_to_both(settings_for(guarded, "CLEAR", **scram("wrong")))


def test_a_certificate_must_name_the_host_unless_that_is_not_asked_for(guarded: Guarded) -> None:
    tls = {"security_protocol": "SSL", "ssl_ca_location": guarded.authority}

    seen_by_both(settings_for(guarded, "NAMED", **tls))
    refused_to_both(settings_for(guarded, "UNNAMED", **tls))
    seen_by_both(settings_for(guarded, "UNNAMED", ssl_endpoint_identification="none", **tls))


def test_an_authority_that_is_not_trusted_is_refused_whatever_the_names(guarded: Guarded) -> None:
    refused_to_both(settings_for(guarded, "UNNAMED", security_protocol="SSL", ssl_endpoint_identification="none"))


def test_both_kinds_of_clients_show_a_token_of_the_provider(guarded: Guarded) -> None:
    with TokenService("penchant", PASSWORD) as service:
        seen_by_both(settings_for(guarded, "BEARER", **bearer(service)))

    assert service.asked == [{"grant_type": "client_credentials", "scope": "kafka"}] * 2


def test_a_wrong_secret_is_refused(guarded: Guarded) -> None:
    with TokenService("penchant", PASSWORD) as service:
        refused_to_both(settings_for(guarded, "BEARER", **bearer(service, "wrong")))


def test_both_kinds_of_clients_show_a_certificate_where_one_is_asked_for(guarded: Guarded) -> None:
    seen_by_both(settings_for(guarded, "MUTUAL", **mutual(guarded)))


def test_who_shows_no_certificate_there_is_refused(guarded: Guarded) -> None:
    refused_to_both(settings_for(guarded, "MUTUAL", security_protocol="SSL", ssl_ca_location=guarded.authority))


def test_what_a_quota_holds_back_is_told(guarded: Guarded) -> None:
    settings = settings_for(guarded, "CLEAR", group_instance_id="greedy", **scram())
    guarded.server.set_quota(settings.client_id("writer"), producer_byte_rate=20_000)
    held_s: list[float] = []
    producer = RecordProducer(settings, held_s.append)
    deadline = time.monotonic() + TIMEOUT_S

    while max(held_s, default=0.0) <= 0.1 and time.monotonic() < deadline:  # the first are held for milliseconds only
        producer.send(TOPIC, None, os.urandom(50_000))
        asyncio.run(producer.flush())

    assert 0.1 < max(held_s) < 60, "seconds, no milliseconds"


@pytest.mark.parametrize("kind", ["scram", "bearer", "mutual"])
def test_a_worker_serves_on_a_listener_that_asks_who_it_is(guarded: Guarded, kind: str, tmp_path: Path) -> None:
    prefix = f"{kind}-{time.time_ns():x}"
    topics = Topics(guarded.server.bootstrap_servers, prefix)
    create_topics(topics.settings)
    catalogue(topics, 20)
    with TokenService("penchant", PASSWORD) as service:
        given = {"scram": scram, "bearer": lambda: bearer(service), "mutual": lambda: mutual(guarded)}[kind]()
        address = guarded.addresses[{"scram": "CLEAR", "bearer": "BEARER", "mutual": "MUTUAL"}[kind]]
        with WorkerProcess(
            topics.settings,
            tmp_path / "a",
            bootstrap_servers=address,
            client_rack="a",
            group_instance_id="pod-a",
            **given,
        ) as worker:
            topics.produce(topics.settings.topic_events, events(50, users=5, items=20, seed=1))
            worker.wait_for("everything is committed", topics.all_committed)
            members = members_of(topics.settings)
            assert worker.terminate() < TIMEOUT_S
    assert members == ["penchant-pod-a-reader at 127.0.0.1"]
    assert PASSWORD not in worker.log
