"""How every client reaches Kafka, and how much is fetched."""

from __future__ import annotations

import socket
from typing import Annotated, Final

from pydantic import BaseModel, Field, field_validator

from stream.settings.bounds import Positive, PositiveFloat, TopicName

CHANGELOG_SUFFIX: Final = "-interest-changelog"
"""After the group's name, by which groups of Penchant's workers are known, too."""


class KafkaSettings(BaseModel):
    """How every client reaches Kafka, and how much is fetched."""

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, `host:port[,host:port]`")
    group_id: TopicName = Field("penchant", description="Consumer group; also the prefix of the changelog topic")
    shadow: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{1,40}$",
        description="Run beside the workers that serve, to try something out: the same events and catalogue, and a group, "
        "topics and a data directory of its own, all with this name behind theirs",
    )
    client_id_prefix: str = Field(
        "penchant",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="Clients call themselves `PREFIX-WORKER-PURPOSE`, the worker by `group_instance_id` or else its host",
    )
    client_rack: str | None = Field(
        None,
        description="Rack or zone of this worker, as in the brokers' `broker.rack`: reading asks the nearest replica",
    )
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

    @property
    def changelog_topic(self) -> str:
        """Changelog of the users' state; compacted, as many partitions as `topic_events`."""
        return f"{self.group_id}{CHANGELOG_SUFFIX}"

    def client_id(self, purpose: str) -> str:
        """What a client says of itself; brokers' logs and quotas go by it."""
        return f"{self.client_id_prefix}-{self.group_instance_id or socket.gethostname()}-{purpose}"
