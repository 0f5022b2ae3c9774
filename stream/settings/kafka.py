"""How every client reaches Kafka, and how much is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from stream.settings.bounds import Positive, PositiveFloat, TopicName

CHANGELOG_SUFFIX: Final = "-interest-changelog"
"""After the group's name, by which groups of Penchant's workers are known, too."""


class KafkaSettings(BaseModel):
    """How every client reaches Kafka, and how much is fetched."""

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, `host:port[,host:port]`")
    group_id: TopicName = Field("penchant", description="Consumer group; also the prefix of the changelog topic")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How every client connects to Kafka"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="SASL mechanism, with a `SASL_*` security protocol"
    )
    sasl_username: str | None = Field(None, description="SASL user name")
    sasl_password: SecretStr | None = Field(None, description="SASL password; prefer the environment variable")
    ssl_ca_location: Path | None = Field(None, description="PEM file of the certificate authorities to trust")
    ssl_certificate_location: Path | None = Field(None, description="PEM file of the client's certificate")
    ssl_key_location: Path | None = Field(None, description="PEM file of the client's key")
    ssl_key_password: SecretStr | None = Field(None, description="Password of the client's key")
    connect_timeout_s: PositiveFloat = Field(15.0, description="How long to wait for a broker before giving up")
    delivery_timeout_s: PositiveFloat = Field(
        60.0, description="A record not acknowledged within this time crashes the worker before anything is committed"
    )
    session_timeout_s: PositiveFloat = Field(6.0, description="A worker silent this long loses its partitions")
    group_instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Static membership: a name that this worker alone has and keeps, see faults.md",
    )
    rebalance_timeout_s: PositiveFloat = Field(60.0, description="How long a rebalance waits for a worker")
    fetch_max_wait_ms: Positive = Field(100, description="How long the broker may hold a fetch that finds no records")
    fetch_max_bytes: Positive = Field(
        16 << 20, description="Bytes of one fetch; also the largest record that is read rather than refused"
    )
    fetch_buffer_max_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        128 << 20, description="Bytes fetched and not yet applied; at the bound fetching pauses"
    )
    chunk_max_records: Positive = Field(5000, description="Most records of one partition handled at once")
    message_max_bytes: Positive = Field(1_000_000, description="Largest value accepted as an event or item, in bytes")

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or len(host.split()) != 1 or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{server.strip()[:80]!r} is not host:port")
        return ",".join(server.strip() for server in value.split(","))

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.security_protocol.startswith("SASL") and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username and sasl_password")
        return self

    @property
    def changelog_topic(self) -> str:
        """Changelog of the users' state; compacted, as many partitions as `topic_events`."""
        return f"{self.group_id}{CHANGELOG_SUFFIX}"

    def client_config(self) -> dict[str, Any]:
        """Connection settings of every librdkafka client (producer, consumer, admin)."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol.lower(),
            "log_level": 0,  # what fails is raised or logged by us; librdkafka would repeat it many times a second
            # A broker may make a topic for whoever names it, with partitions and a policy of its own; a topic that was deleted
            # would be back before anybody knows of it. librdkafka has this for producers, too.
            "allow.auto.create.topics": False,
        }
        if self.security_protocol.startswith("SASL") and self.sasl_password is not None:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        if self.security_protocol.endswith("SSL"):
            config |= {
                name: str(value)
                for name, value in (
                    ("ssl.ca.location", self.ssl_ca_location),
                    ("ssl.certificate.location", self.ssl_certificate_location),
                    ("ssl.key.location", self.ssl_key_location),
                    ("ssl.key.password", self.ssl_key_password and self.ssl_key_password.get_secret_value()),
                )
                if value is not None
            }
        return config
