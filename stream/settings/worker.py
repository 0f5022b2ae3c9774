"""What a worker keeps, how often it commits, when it gives up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from stream.settings.bounds import Port, Positive, PositiveFloat


class WorkerSettings(BaseModel):
    """What a worker keeps, how often it commits, when it gives up."""

    data_dir: Path = Field(Path(".penchant"), description="Where a worker keeps RocksDB; one directory per worker")
    commit_interval_s: PositiveFloat = Field(1.0, description="Time between two durable commits of state")
    shutdown_timeout_s: PositiveFloat = Field(10.0, description="Time a stopping worker has to drain and commit")
    watchdog_commit_age_s: Annotated[float, Field(ge=0)] = Field(
        180.0, description="A worker that completes no commit for this long exits with code 1; 0 = never"
    )
    watchdog_stall_s: Annotated[float, Field(ge=0)] = Field(
        120.0, description="A worker that is behind and applies nothing for this long exits with code 1; 0 = never"
    )
    standby_replicas: Annotated[int, Field(ge=0)] = Field(
        1, description="Other workers that keep a warm copy of each partition's state"
    )
    overlay_max_bytes: Positive = Field(
        256 << 20, description="Memory for users changed or read since the last commit, over all partitions"
    )
    block_cache_bytes: Positive = Field(256 << 20, description="RocksDB block cache, shared by all partitions")
    write_buffer_bytes: Positive = Field(128 << 20, description="RocksDB memtables, shared by all partitions")
    recommend: bool = Field(
        True,
        description="Publish lists and reasons and keep item statistics; false: only the users' states, several times "
        "faster, to run through a long history first (the events are then not counted for items)",
    )
    refresh_batch_users: Positive = Field(64, description="Users ranked together; larger is faster but less fresh")
    list_deadline_s: Annotated[float, Field(ge=0)] = Field(
        2.0,
        description="A list that cannot be made so soon after its event is owed: it is made when nobody with a newer event "
        "waits, or with the user's next event, and holds no commit back; 0 = every list is waited for",
    )
    list_max_age_s: Annotated[float, Field(ge=0)] = Field(
        3600.0,
        description="A list older than this is made again where anything was learned since, and published if it changed; "
        "0 = never",
    )
    refresh_queue_max_users: Positive = Field(
        1_000_000, description="Users waiting for a fresh list; at the bound reading pauses until some are done"
    )
    user_ttl_days: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Users without an event for so many days of event time are forgotten: state, ledger and published list; "
        "0 = never",
    )
    quarantined_max_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05,
        description="While a larger share of the users of a worker's last lists is quarantined it is not ready (`/ready`); "
        "it goes on",
    )
    ready_max_lag_records: Annotated[int, Field(ge=0)] = Field(
        0,
        description="While more records of its partitions wait to be applied a worker is not ready (`/ready`), so that a "
        "rollout waits for it; 0 = however many",
    )
    journal_dir: Path | None = Field(
        None,
        description="Write down here whatever lists are made of, for `penchant simulate`; a file for each start",
    )
    journal_max_bytes: Positive = Field(4 << 30, description="Where a journal is as large as this, compressed, it ends")
    metrics_host: str = Field("127.0.0.1", description="Address of the Prometheus endpoint; 0.0.0.0 opens it to others")
    metrics_port: Port = Field(9464, description="Port of the Prometheus endpoint; 0 switches it off")
    metrics_token: SecretStr | None = Field(
        None, description="Who asks for `/metrics` has to show it (`Authorization: Bearer ...`); none: nobody has to"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged")
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON object a line for whatever collects logs"
    )
    otlp_endpoint: str | None = Field(
        None,
        description="Where traces of events go by OTLP over HTTP, `http://127.0.0.1:4318`; none: nowhere. Needs "
        "`penchant[tracing]`",
    )
    trace_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.001,
        description="Share of the events without a `traceparent` header that are traced; with one, the header says",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _otlp_is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url
