"""How `penchant serve` answers: where, whom, and how much."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from stream.settings.bounds import Port, Positive


class ServeSettings(BaseModel):
    """How `penchant serve` answers: where, whom, and how much."""

    serve_host: str = Field(
        "127.0.0.1",
        description="Address that `penchant serve` listens on; any but this machine's own needs a token or mTLS",
    )
    serve_port: Port = Field(8780, description="Port of `penchant serve`; 0 = a free one")
    serve_data_dir: Path = Field(
        Path(".penchant-serve"), description="Where `penchant serve` keeps what it followed; one directory per process"
    )
    serve_read_token: SecretStr | None = Field(
        None, description="Who asks `penchant serve` has to show it (`Authorization: Bearer ...`); none: nobody has to"
    )
    serve_admin_token: SecretStr | None = Field(
        None,
        description="Who changes rules, tries drafts or makes links of people's own pages has to show it; none: the read "
        "token, and without one nobody has to",
    )
    serve_tls_certificate: Path | None = Field(None, description="PEM file of the certificate of `penchant serve`")
    serve_tls_key: Path | None = Field(None, description="PEM file of its key")
    serve_tls_client_ca: Path | None = Field(
        None,
        description="PEM file of the authorities whose clients may connect: without a certificate of theirs nobody may",
    )
    serve_link_secret: SecretStr | None = Field(
        None,
        description="Signs links of people's own pages; none: a new one with each start, so links end with the process",
    )
    serve_link_days: Annotated[int, Field(ge=1, le=365)] = Field(7, description="How long such a link is good for")
    serve_stale: bool = Field(
        False,
        description="Answer with what is known, and its age, also before the topics have been read to their ends; false: 503 "
        "until then",
    )
    serve_max_requests: Positive = Field(
        512, description="Requests in work at one time; what comes beyond it is answered 429 at once"
    )
    serve_max_waiting: Positive = Field(
        256,
        description="Of these, how many may wait for a list that reflects their event; beyond it `fresh` is false at once",
    )
    serve_body_max_bytes: Positive = Field(1 << 20, description="A longer body is answered 413")
    serve_memory_bytes: Positive = Field(
        128 << 20, description="RocksDB block cache and memtables of what `penchant serve` followed"
    )
    serve_log_ids: bool = Field(
        False,
        description='With `log_level = "debug"` each request is logged; true: with its path, which names users and items',
    )

    @model_validator(mode="after")
    def _strangers_show_something(self) -> Self:
        if not is_loopback(self.serve_host) and self.serve_read_token is None and self.serve_tls_client_ca is None:
            raise ValueError(
                f"serve_host {self.serve_host} is open to others: set serve_read_token, or serve_tls_client_ca, "
                "or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if (self.serve_tls_certificate is None) != (self.serve_tls_key is None):
            raise ValueError("serve_tls_certificate and serve_tls_key belong together")
        if self.serve_tls_client_ca is not None and self.serve_tls_certificate is None:
            raise ValueError("serve_tls_client_ca needs serve_tls_certificate and serve_tls_key")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
