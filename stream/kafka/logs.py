"""What the broker says of our topics: the one place that asks for it. What it means is `log_rules`."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream.errors import BrokerUnreachableError
from stream.kafka.log_rules import Log
from stream.kafka.specs import POLICY, topic_specs
from stream.settings import Settings

_NOT_THERE: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_AUTHORIZATION_FAILED}
)
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What a broker without topic ids says."""

EMBEDDED: Final = "mockCluster"
"""How the cluster id of librdkafka's own broker begins (`stream.kafka.embedded`)."""


class TopicLogs:
    """Asks for all topics of these settings, with one connection for its life. Every method blocks; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_s = settings.connect_timeout_s
        self._admin = AdminClient(settings.client_config("logs"))
        self._lock = threading.Lock()
        self._is_embedded: bool | None = None

    def ask(self) -> dict[str, Log]:
        """Those that are there, and that this user may see.

        Raises:
            BrokerUnreachableError: no answer within `connect_timeout_s`.
        """
        names = [spec.name for spec in topic_specs(self._settings)]
        with self._lock:
            try:
                return self._ask(names)
            except KafkaException as error:
                raise unreachable(self._settings, error) from None

    @property
    def is_embedded(self) -> bool:
        """Whether the broker is librdkafka's own.

        Raises:
            BrokerUnreachableError: no answer within `connect_timeout_s`.
        """
        if self._is_embedded is None:
            try:
                self._listed()
            except KafkaException as error:
                raise unreachable(self._settings, error) from None
        return bool(self._is_embedded)

    def _ask(self, names: list[str]) -> dict[str, Log]:
        # The embedded broker understands no question of an administrator, and leaves it unanswered.
        if self._is_embedded is not False:
            listed = self._listed()
            if self._is_embedded:
                return {name: Log(listed[name]) for name in names if name in listed}
        described = self._admin.describe_topics(TopicCollection(names), request_timeout=self._timeout_s)
        logs = {}
        for name, future in described.items():
            found = self._result(future)
            if found is not None:
                topic_id = str(found.topic_id)
                logs[name] = Log(len(found.partitions), None if topic_id == _NO_ID else topic_id)
        configs = _configs(self._admin, logs, self._timeout_s)
        return {
            name: log._replace(policy=configs[name].policy, kept_ms=configs[name].kept_ms) if name in configs else log
            for name, log in logs.items()
        }

    def _listed(self) -> dict[str, int]:
        metadata = self._admin.list_topics(timeout=self._timeout_s)
        self._is_embedded = str(metadata.cluster_id).startswith(EMBEDDED)
        return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}

    def _result(self, future: Future[Any]) -> Any:
        """None of a topic that is not there."""
        try:
            return future.result(self._timeout_s)
        except FutureTimeoutError:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
        except KafkaException as error:
            if error.args[0].code() in _NOT_THERE:
                return None
            raise


class _Config(NamedTuple):
    policy: frozenset[str]
    kept_ms: int | None


def cleanup_policies(admin: AdminClient, names: Iterable[str], timeout_s: float) -> dict[str, frozenset[str]]:
    """Of topics, without those that the broker does not tell (the embedded one tells of none)."""
    return {name: config.policy for name, config in _configs(admin, names, timeout_s).items()}


def _configs(admin: AdminClient, names: Iterable[str], timeout_s: float) -> dict[str, _Config]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:  # confluent-kafka takes no empty question
        return {}
    configs = {}
    for resource, future in admin.describe_configs(resources, request_timeout=timeout_s).items():
        try:
            told = future.result(timeout_s)
            policy = frozenset(told[POLICY].value.split(","))
            kept = told.get("retention.ms")
            kept_ms = None if kept is None or "delete" not in policy or int(kept.value) < 0 else int(kept.value)
            configs[resource.name] = _Config(policy, kept_ms)
        except (KafkaException, KeyError, FutureTimeoutError):
            continue
    return configs


def unreachable(settings: Settings, error: KafkaException) -> BrokerUnreachableError:
    """No broker at `bootstrap_servers`."""
    return BrokerUnreachableError(
        f"no Kafka broker answers at {settings.bootstrap_servers} ({error.args[0].str()}).",
        "start one (`make kafka`, or `penchant demo --serve`), or set --bootstrap-servers",
    )
