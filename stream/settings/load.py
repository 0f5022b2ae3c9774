"""All themes together, and where their values come from."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnparsedError

from stream.errors import SettingsError
from stream.settings.encoder import EncoderSettings
from stream.settings.events import EventSettings
from stream.settings.experiments import Experiments
from stream.settings.kafka import KafkaSettings
from stream.settings.memory import MemorySettings
from stream.settings.outcomes import OutcomeSettings
from stream.settings.placements import HOME, MINORS, misfit
from stream.settings.privacy import PrivacySettings
from stream.settings.ranking import RankingSettings
from stream.settings.releases import ReleaseSettings
from stream.settings.safety import SafetySettings
from stream.settings.secret_files import SUFFIX, SecretFiles, is_secret
from stream.settings.security import SecuritySettings
from stream.settings.serve import ServeSettings
from stream.settings.topics import TopicSettings
from stream.settings.worker import WorkerSettings

DEFAULT_CONFIG_FILE = "penchant.toml"
ENV_PREFIX = "PENCHANT_"

SHADOWED_TOPICS: Final = (
    "topic_recommendations",
    "topic_attributions",
    "topic_strategy_stats",
    "topic_dead_letter",
    "topic_item_deltas",
    "topic_item_stats",
)
"""What a worker writes. Of events, catalogue, models and rules it is only a reader."""

_OF_SERVICES: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)", re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


class Settings(
    # The last one's fields come first, in errors and in the table of all settings.
    SafetySettings,
    RankingSettings,
    ReleaseSettings,
    Experiments,
    OutcomeSettings,
    PrivacySettings,
    EventSettings,
    EncoderSettings,
    MemorySettings,
    ServeSettings,
    WorkerSettings,
    TopicSettings,
    SecuritySettings,
    KafkaSettings,
    BaseSettings,
):
    """All settings of the worker and of every command. Immutable; made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _shadow_is_apart(self) -> Self:
        """Whatever a shadow writes has its name behind it, and so collides with nothing."""
        if self.shadow is None:
            return self
        suffix = f".{self.shadow}"
        for name in ("group_id", *SHADOWED_TOPICS):
            if not getattr(self, name).endswith(suffix):  # settings that were made of settings have it already
                object.__setattr__(self, name, getattr(self, name) + suffix)
        if self.data_dir.name != self.shadow:
            object.__setattr__(self, "data_dir", self.data_dir / self.shadow)
        return self

    @model_validator(mode="after")
    def _explored_places_fit(self) -> Self:
        """Else fewer places explore than somebody has asked for, or none, and nobody is told."""
        for where, placement in self.placements_of_all():
            if (why := misfit(placement, self.top_k)) is not None:
                raise ValueError(f"{where} {why}")
        return self

    @model_validator(mode="after")
    def _minors_are_kept_from_something(self) -> Self:
        for name, placement in sorted(self.placements.items()):
            if placement.audience == MINORS and not self.sensitive_categories:
                raise ValueError(
                    f"placement {name!r} is for minors, but sensitive_categories names nothing to leave out"
                )
        return self

    @model_validator(mode="after")
    def _placements_have_topics_of_their_own(self) -> Self:
        taken = {getattr(self, name): name for name in type(self).model_fields if name.startswith("topic_")}
        for placement, topic in self.placement_topics().items():
            if topic in taken:
                raise ValueError(f"placement {placement!r} has the topic {topic}, which is that of {taken[topic]}")
            taken[topic] = f"placement {placement!r}"
        return self

    def placement_topics(self) -> dict[str, str]:
        """By name of each placement but `home`: where its lists go."""
        found = {}
        for name in sorted(set(self.placements) - {HOME}):
            topic = self.placements[name].topic
            if topic is not None and self.shadow is not None:
                topic = f"{topic}.{self.shadow}"
            found[name] = topic or f"{self.topic_recommendations}.{name}"
        return found

    @model_validator(mode="after")
    def _watchdog_waits_longer(self) -> Self:
        """What has a deadline of its own tells why it was missed."""
        for name in ("watchdog_commit_age_s", "watchdog_stall_s"):
            if 0 < getattr(self, name) <= self.delivery_timeout_s:
                raise ValueError(f"{name} must be more than delivery_timeout_s ({self.delivery_timeout_s:g}), or 0")
        return self

    def client_config(self, purpose: str = "client") -> dict[str, Any]:
        """Connection settings of every librdkafka client (producer, consumer, admin); `purpose` is a word for its id."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id(purpose),
            # A broker may make a topic for whoever names it, with partitions and a policy of its own; a topic that was deleted
            # would be back before anybody knows of it. librdkafka has this for producers, too.
            "allow.auto.create.topics": False,
            "log_level": 0,  # what fails is raised or logged by us; librdkafka would repeat it many times a second
        }
        if self.client_rack is not None:
            config["client.rack"] = self.client_rack
        return config | self.security_config()

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
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {
                name: value for name, value in env_settings.env_vars.items() if not _is_of_kubernetes(name, value)
            }
        files = SecretFiles(settings_cls)
        return init_settings, env_settings, files, TomlConfigSettingsSource(settings_cls, toml_file=_config_file())


class SettingsAsGiven(Settings):
    """Of what is given and defaults alone: neither environment nor file is read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


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
            f"{_where(name, given, first['loc']) if name else 'settings'}: {reason}.",
            "see deploy/docs/settings.md or `penchant worker --help`",
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}.", "give the worker's user the right to"
        ) from None
    except (
        UnparsedError
    ) as error:  # of a list or a table, by pydantic-settings, which names the field in its message only
        field = next(iter(re.findall(r'field "(\w+)"', str(error))), "")
        raise SettingsError(
            f"{ENV_PREFIX}{field.upper()} is no JSON.", 'write a list as ["a", "b"], a table as {"a": {"b": 1}}'
        ) from None
    except ValueError as error:  # tomllib's decode error is a ValueError
        raise SettingsError(f"{path} is not valid TOML: {error}.", "correct the line it names") from None


def _config_file() -> Path:
    return Path(os.environ.get("PENCHANT_CONFIG") or DEFAULT_CONFIG_FILE)


def _may_be_shown(name: str) -> bool:
    """Not a secret, nor a setting that does not exist: that may be a secret whose name is misspelt."""
    field = Settings.model_fields.get(name)
    return field is not None and not is_secret(field)


def _where(name: str, given: dict[str, Any], path: Sequence[int | str]) -> str:
    """How the person set it: the flag, the variable or the key in the file, with its tables."""
    if name in given:
        return f"--{name.replace('_', '-')}"
    variable = f"{ENV_PREFIX}{name.upper()}"  # pydantic-settings takes any case
    return next(
        (set_ for set_ in os.environ if set_.upper() == variable), f"`{'.'.join(map(str, path))}` in {_config_file()}"
    )


def penchant_variables() -> list[str]:
    """Names of the environment variables that are meant for Penchant: those of its prefix, without what Kubernetes sets."""
    return sorted(
        name
        for name, value in os.environ.items()
        if name.upper().startswith(ENV_PREFIX) and not _is_of_kubernetes(name, value)
    )


def _is_of_kubernetes(name: str, value: str | None) -> bool:
    """Whether the variable tells where a Service is whose name begins with `penchant`: Kubernetes sets such in every pod.

    `PENCHANT_METRICS_PORT`, of a Service `penchant-metrics`, is a setting as well; a Service's is an address.
    """
    return bool(_OF_SERVICES.fullmatch(name)) or bool(
        name.upper().endswith("_PORT") and _ADDRESS.match(value or "") is not None
    )


def _refuse_unknown_environment() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | {"PENCHANT_CONFIG"}
    known |= {
        f"{ENV_PREFIX}{name.upper()}{SUFFIX}" for name, field in Settings.model_fields.items() if is_secret(field)
    }
    for variable in penchant_variables():
        if variable.upper() not in known:
            raise SettingsError(
                f"{variable} is set but there is no such setting.", "unset it, or see deploy/docs/settings.md"
            )
