"""Every setting, in one frozen object.

Precedence: command-line flag > `PENCHANT_*` environment variable > `penchant.toml` (in the working directory, or the
file named by `PENCHANT_CONFIG`) > the default here. `deploy/docs/settings.md` holds the same table for people; a test
compares.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from stream.errors import InputFileError, SettingsError
from stream.wire.records import ACTIONS
from stream.wire.times import parse_time_ms, parse_timezone

DEFAULT_CONFIG_FILE = "penchant.toml"
ENV_PREFIX = "PENCHANT_"

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class Settings(BaseSettings):
    """All settings of the worker and of every command. Immutable; made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    # Kafka
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

    # Topics
    topic_events: TopicName = Field("interest.events", description="Behaviours, key = user_id")
    topic_items: TopicName = Field("interest.items", description="Catalogue, compacted, key = item_id")
    topic_recommendations: TopicName = Field("interest.recommendations", description="Lists, compacted, key = user_id")
    topic_attributions: TopicName = Field("interest.attributions", description="Reasons and credits, key = user_id")
    topic_strategy_stats: TopicName = Field(
        "interest.strategy-stats", description="What each strategy earned, per slot and context, compacted"
    )
    topic_dead_letter: TopicName = Field("interest.dead-letter", description="Refused records, original bytes")
    topic_item_deltas: TopicName = Field("interest.item-deltas", description="Internal: what events add to items")
    topic_item_stats: TopicName = Field("interest.item-stats", description="Internal: statistics per item, compacted")
    topic_models: TopicName = Field(
        "interest.models", description="Internal: versions of what ranks, compacted, see `penchant models`"
    )
    partitioner: Literal["murmur2_random", "consistent_random"] = Field(
        "murmur2_random",
        description="How a key chooses its partition: Java clients use murmur2, librdkafka's own default is consistent",
    )
    partitions: Annotated[int, Field(gt=0, le=1024)] = Field(
        4, description="Partitions that `topics create` makes; the most workers that can share the work"
    )
    replication_factor: Positive = Field(1, description="Replicas that `topics create` asks for; 3 in production")

    # Worker
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
    list_max_age_s: Annotated[float, Field(ge=0)] = Field(
        3600.0, description="A list older than this is made again, and published if it changed; 0 = never"
    )
    refresh_queue_max_users: Positive = Field(
        1_000_000, description="Users waiting for a fresh list; at the bound reading pauses until some are done"
    )
    metrics_host: str = Field("127.0.0.1", description="Address of the Prometheus endpoint; 0.0.0.0 opens it to others")
    metrics_port: Port = Field(9464, description="Port of the Prometheus endpoint; 0 switches it off")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged")

    # Text encoder
    encoder_model: str = Field(
        "default",
        description="`default` (all-MiniLM-L6-v2), a directory made by `penchant encoder export`, `none` (rank without "
        "text), `hashing` (for tests: understands nothing), or the model's name at `encoder_remote_url`",
    )
    encoder_provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto", description="Where the encoder runs; what is named but not to be had stops the worker at its start"
    )
    encoder_device: Annotated[int, Field(ge=0)] = Field(0, description="Number of the GPU")
    encoder_threads: Annotated[int, Field(ge=0)] = Field(
        0, description="Threads of the encoder on the CPU; 0 = as many as cores"
    )
    encoder_cache_dir: Path = Field(
        Path("~/.cache/penchant"), description="Where the default model is kept after its conversion; workers share it"
    )
    encoder_remote_url: str | None = Field(
        None, description="An OpenAI-compatible embeddings service to ask instead, such as `http://tei:8080/v1`"
    )
    encoder_remote_api_key: SecretStr | None = Field(None, description="Bearer token of the embeddings service")
    encoder_remote_timeout_s: PositiveFloat = Field(10.0, description="Longest wait for the embeddings service")
    encoder_batch_tokens: Annotated[int, Field(ge=0)] = Field(
        0, description="Tokens of one batch, padding included; 0 = 2,048 on the CPU, 32,768 on a GPU, 8,192 remote"
    )
    encoder_batch_max_texts: Positive = Field(
        1024, description="Most texts in one batch; embeddings services often allow only 32"
    )
    encoder_batch_wait_ms: Annotated[float, Field(ge=0, le=5)] = Field(
        0.0, description="How long an idle encoder waits for more texts; only helps at low rates"
    )
    encoder_queue_max_texts: Positive = Field(32_768, description="Texts waiting for the encoder; more are refused")
    encoder_queue_max_tokens: Positive = Field(
        2_097_152, description="Tokens waiting for the encoder; more are refused"
    )
    encoder_timeout_s: PositiveFloat = Field(60.0, description="A text not encoded within this time is given up")
    encoder_ageing_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="How long periodic work lets newer urgent texts go first"
    )
    encoder_stall_s: PositiveFloat = Field(60.0, description="A batch that takes longer means that the encoder hangs")
    encoder_cache_max_texts: Annotated[int, Field(ge=0)] = Field(
        20_000, description="Vectors of recent texts kept in memory, 1.5 KB each"
    )
    encoder_quarantine_s: Annotated[float, Field(ge=0)] = Field(
        600.0, description="How long a text that broke the encoder is refused at once"
    )

    # Meaning of events
    strength_view: float = Field(0.2, description="How much interest a `view` shows")
    strength_click: float = Field(1.0, description="How much interest a `click` shows")
    strength_like: float = Field(2.0, description="How much interest a `like` shows")
    strength_dislike: float = Field(-2.0, description="How much interest a `dislike` shows")
    strength_cart: float = Field(2.0, description="How much interest a `cart` shows")
    strength_query: float = Field(
        1.0, description="How much interest a `query` shows in what its text is near to; needs an encoder"
    )
    strength_purchase: float = Field(4.0, description="How much interest a `purchase` shows")
    dwell_saturation_ms: Positive = Field(
        30_000, description="Dwell time at which half of its largest extra gain (x2) is reached"
    )
    event_time_earliest: str = Field(
        "1990-01-01T00:00:00Z", description="Events said to have happened before this are refused"
    )
    event_time_max_ahead_s: Annotated[int, Field(ge=0)] = Field(
        86_400, description="Events said to happen later than this after their Kafka timestamp are refused"
    )

    # Which recommendation earned it
    outcome_rule: Literal["none", "last_touch", "first_touch", "linear", "position_based", "time_decay"] = Field(
        "last_touch",
        description="How a click, cart or purchase is credited to the recommendations before it; `none`: not at all",
    )
    outcome_window_click_h: Annotated[float, Field(ge=0)] = Field(
        24.0, description="How long before a click a recommendation may lie to earn it; 0 = clicks are not credited"
    )
    outcome_window_cart_h: Annotated[float, Field(ge=0)] = Field(72.0, description="The same of a `cart`")
    outcome_window_purchase_h: Annotated[float, Field(ge=0)] = Field(168.0, description="The same of a `purchase`")
    outcome_half_life_h: PositiveFloat = Field(
        24.0,
        description="`time_decay`: a recommendation so much earlier than the last one earns half of what that earns",
    )

    learn_clicks: bool = Field(
        True, description="Learn click probabilities from impressions and clicks, where impressions are sent"
    )

    # Ranking
    top_k: Annotated[int, Field(gt=0, le=200)] = Field(20, description="Items in a recommendation")
    contributions_max: Annotated[int, Field(ge=0)] = Field(
        8, description="Behaviours listed per reason, strongest first; the others are summed up. 0 = list all"
    )
    explained_users: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Share of users whose lists come with reasons, chosen by their id; 0 = nobody's"
    )
    counterfactual_users: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Share of users, among those with reasons, whose first place comes with what would change it; some "
        "20 ms a list",
    )
    explanation_timezone: str = Field("UTC", description='Where "this morning" in a reason is: `Europe/London`, say')
    explanation_rewriter_url: str | None = Field(
        None,
        description="An OpenAI-compatible chat service such as `http://llm:8000/v1` that `penchant explain --rewrite` "
        "asks to say reasons in other words",
    )
    explanation_rewriter_model: str | None = Field(None, min_length=1, description="The model's name at that service")
    explanation_rewriter_api_key: SecretStr | None = Field(None, description="Bearer token of that service")
    explanation_rewriter_timeout_s: PositiveFloat = Field(
        10.0, description="Longest wait for one sentence of it; a later one is not rewritten"
    )
    strategy_feedback_max: Annotated[float, Field(ge=0, le=5)] = Field(
        0.2,
        description="Most that ranking adds to a score for what its strategy earned, as log-odds of a click; 0 = nothing",
    )
    repeat_purchases: bool = Field(False, description="Recommend items the user has already bought (groceries, say)")
    history_window: Annotated[int, Field(gt=0, le=64)] = Field(
        64, description="Distinct items scored from, newest first"
    )
    pair_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9, description="Weight of a co-occurrence relative to one a position nearer in the history"
    )
    pair_window: Annotated[int, Field(gt=0, le=64)] = Field(
        30, description="Earlier items that a new item co-occurs with"
    )
    forward_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        0.6, description="The same of what follows what, whose statistics are kept beside"
    )
    neighbours_max: Annotated[int, Field(gt=0, le=1000)] = Field(
        300, description="Co-occurring items kept per item; the lightest goes first"
    )
    neighbours_scored: Annotated[int, Field(gt=0, le=100_000)] = Field(
        300, description="Nearest neighbours of a user's history that are scored; bounds the work per list"
    )
    ranking_weights: Path | None = Field(
        None, description="Weights from `penchant train weights`, until `interest.models` names others"
    )
    sequence_model: Path | None = Field(
        None, description="Directory from `penchant train sequence`, until `interest.models` names another"
    )
    interest_points: Annotated[int, Field(gt=0, le=64)] = Field(
        6, description="Interests told apart per user by text; the heaviest stay"
    )
    interest_candidates: Annotated[int, Field(gt=0, le=1000)] = Field(
        50, description="Items proposed to each user because their text is near"
    )
    interest_short_half_life_h: PositiveFloat = Field(
        72.0,
        description="Interests by text fade with two half-lives in equal shares, counted from the user's last event",
    )
    interest_long_half_life_h: PositiveFloat = Field(720.0, description="The longer of the two, hours")

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or len(host.split()) != 1 or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{server.strip()[:80]!r} is not host:port")
        return ",".join(server.strip() for server in value.split(","))

    @field_validator("explanation_timezone")
    @classmethod
    def _time_zone(cls, value: str) -> str:
        try:
            parse_timezone(value)
        except InputFileError:
            raise ValueError("must be the name of a time zone, such as UTC or Europe/London") from None
        return value

    @field_validator("event_time_earliest")
    @classmethod
    def _rfc3339(cls, value: str) -> str:
        if parse_time_ms(value) is None:
            raise ValueError("must be an RFC 3339 time with an offset, such as 1990-01-01T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.security_protocol.startswith("SASL") and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username and sasl_password")
        for name in (
            "watchdog_commit_age_s",
            "watchdog_stall_s",
        ):  # what has a deadline of its own tells why it was missed
            if 0 < getattr(self, name) <= self.delivery_timeout_s:
                raise ValueError(f"{name} must be more than delivery_timeout_s ({self.delivery_timeout_s:g}), or 0")
        names = [getattr(self, name) for name in type(self).model_fields if name.startswith("topic_")]
        if len(set(names)) != len(names):
            raise ValueError("every topic_* setting must name a different topic")
        return self

    @property
    def changelog_topic(self) -> str:
        """Changelog of the users' state; compacted, as many partitions as `topic_events`."""
        return f"{self.group_id}-interest-changelog"

    def strengths(self) -> tuple[float, ...]:
        """Interest strength per action code (position in `ACTIONS`); 0 where an action is no sign of interest."""
        return tuple(float(getattr(self, f"strength_{action}", 0.0)) for action in ACTIONS)

    def client_config(self) -> dict[str, Any]:
        """Connection settings of every librdkafka client (producer, consumer, admin)."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol.lower(),
            "log_level": 0,  # what fails is raised or logged by us; librdkafka would repeat it many times a second
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_config_file())


def load_settings(**flags: Any) -> Settings:
    """Settings from flags (None = not given), environment, file and defaults.

    Raises:
        SettingsError: one line that names the setting, where it came from and what it must be.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown_environment()
    path = _config_file()
    if os.environ.get("PENCHANT_CONFIG") and not path.is_file():
        raise SettingsError(f"PENCHANT_CONFIG names {path}, which is not a file.", "name an existing TOML file")
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            reason = "no such setting"
        elif _may_be_shown(name):
            reason += f" (got {repr(first['input'])[:80]})"
        raise SettingsError(
            f"{_where(name, given) if name else 'settings'}: {reason}.",
            "see deploy/docs/settings.md or `penchant worker --help`",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}.", "give the worker's user the right to"
        ) from None
    except ValueError as error:  # tomllib's decode error is a ValueError
        raise SettingsError(f"{path} is not valid TOML: {error}.", "correct the line it names") from None


def _config_file() -> Path:
    return Path(os.environ.get("PENCHANT_CONFIG") or DEFAULT_CONFIG_FILE)


def _may_be_shown(name: str) -> bool:
    """Not a secret, nor a setting that does not exist: that may be a secret whose name is misspelt."""
    field = Settings.model_fields.get(name)
    return field is not None and "SecretStr" not in str(field.annotation)


def _where(name: str, given: dict[str, Any]) -> str:
    """How the person set it: the flag, the variable or the key in the file."""
    if name in given:
        return f"--{name.replace('_', '-')}"
    variable = f"{ENV_PREFIX}{name.upper()}"  # pydantic-settings takes any case
    return next((set_ for set_ in os.environ if set_.upper() == variable), f"`{name}` in {_config_file()}")


def _refuse_unknown_environment() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | {"PENCHANT_CONFIG"}
    for variable in sorted(os.environ):
        if variable.upper().startswith(ENV_PREFIX) and variable.upper() not in known:
            raise SettingsError(
                f"{variable} is set but there is no such setting.", "unset it, or see deploy/docs/settings.md"
            )
