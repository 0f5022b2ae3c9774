"""The embedded development broker: librdkafka's mock cluster, a real TCP listener that speaks the Kafka protocol.

It needs neither Java nor Docker, starts in milliseconds and serves any client (librdkafka, aiokafka, Faust) of any
process on this machine. `LIMITS` says what it is not: whatever claims durability, rebalance, compaction or recovery is
tried on Apache Kafka (`deploy/kafka/run.sh`). `stream.kafka.retention` keeps its small memory from losing records unnoticed.

It is reached through ctypes on the very library that the confluent-kafka wheel brings, and owns its own `rd_kafka_t`:
the Python client exposes the mock cluster's configuration key, but neither its address nor its topics. The API is
declared in librdkafka's `rdkafka_mock.h` and called experimental there, so a missing symbol is an error with a fix.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stream.errors import PenchantError, TopicsError, UsageError

PARTITION_MAX_BYTES: Final = 5 << 20
"""Batches, as stored, that a partition keeps; librdkafka 2.16 has no call that changes it."""

PARTITION_MAX_BATCHES: Final = 100_000
"""The other bound of the same kind."""

LIMITS: Final[tuple[str, ...]] = (
    "Everything is in memory only and gone when the broker stops.",
    "A partition keeps 5 MiB or 100,000 batches; beyond either, its oldest records are dropped without any error.",
    "A batch that leaves no room for the one before it disappears as well; keep batches within 2.5 MiB.",
    "A group that had a member before forms again only after its session timeout less one second.",
    "Topics are never compacted; cleanup.policy means nothing.",
    "Admin requests such as CreateTopics or DescribeConfigs are not understood; topics are made with the broker.",
    "A producer that names an unknown topic creates it with 4 partitions; that number cannot be changed.",
    "Transactions are cosmetic: aborted records are read like any others.",
    "The port is chosen by the operating system and only programs on this machine can connect.",
)

_GROUP_DELAY_MS: Final = 200  # a new group forms this long after its first member; the mock's own delay is 3 s
_PRODUCER: Final = 0  # rd_kafka_type_t: the handle only lends the mock its queues, so the lighter kind
_TOPIC_ALREADY_EXISTS: Final = 36
_UPGRADE: Final = "run `uv sync`, or point bootstrap_servers at Apache Kafka (`make kafka`)"
_ERROR_TEXT_BYTES: Final = 512


class EmbeddedBroker:
    """A running one-node broker; it serves from construction until `close`.

    Args:
        topics: Topic name -> number of partitions.

    `bootstrap_servers` is `127.0.0.1:PORT`. A fixed port is not possible: librdkafka binds port 0 on the loopback
    address (`rd_kafka_mock_broker_new`), and `rd_kafka_mock_broker_set_host_port` only changes what is advertised.

    Raises:
        UsageError: the wheel's librdkafka is missing, or has no mock cluster.
        TopicsError: a topic's name or number of partitions cannot be.
    """

    bootstrap_servers: str

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._library = _load_library()
        self._handle: int | None = _new_handle(self._library)
        self._cluster: int | None = self._library.rd_kafka_mock_cluster_new(self._handle, 1)
        if self._cluster is None:
            self.close()
            raise UsageError(
                "The embedded broker could not listen on 127.0.0.1.", "free some ports or file descriptors"
            )
        self.bootstrap_servers = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode("ascii")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, _GROUP_DELAY_MS)
        try:
            for name, partitions in topics.items():
                self.create_topic(name, partitions)
        except BaseException:
            self.close()  # nobody else holds this object yet, and its threads would outlive it
            raise

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic; when this returns, every client sees it.

        Raises:
            TopicsError: it exists already, or the name or number of partitions cannot be.
            PenchantError: the broker is closed.
        """
        if self._cluster is None:
            raise PenchantError("The embedded broker is closed.")
        if not name or not name.isascii() or "\0" in name or partitions < 1:
            # librdkafka makes a topic of zero partitions without complaint, and then producers wait in vain.
            raise TopicsError(
                f"Topic {name!r} with {partitions} partitions cannot be made.", "an ASCII name and at least 1 partition"
            )
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode("ascii"), partitions, 1)
        if code == _TOPIC_ALREADY_EXISTS:
            raise TopicsError(f"Topic {name!r} exists already.", "create each topic once")
        if code != 0:
            reason = self._library.rd_kafka_err2str(code).decode()
            raise TopicsError(f"Topic {name!r} was not made: {reason}.", "choose another name or number of partitions")

    def close(self) -> None:
        """Stop serving and forget everything; connected clients see a disconnect. May be called again."""
        cluster, self._cluster = self._cluster, None
        handle, self._handle = self._handle, None
        if cluster is not None:
            self._library.rd_kafka_mock_cluster_destroy(cluster)
        if handle is not None:
            self._library.rd_kafka_destroy(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def find_library(package: Path) -> Path:
    """The librdkafka that a confluent-kafka wheel installed at `package` (its import directory) brings.

    Raises:
        UsageError: there is none, as when confluent-kafka was built from source.
    """
    bundles = (package.parent / "confluent_kafka.libs", package / ".dylibs")  # Linux (auditwheel), macOS (delocate)
    for bundle in bundles:
        # The plain name is librdkafka-HASH.so.1 or librdkafka.1.dylib; librdkafka++ is another library.
        found = sorted([*bundle.glob("librdkafka[-.]*.so*"), *bundle.glob("librdkafka[-.]*dylib")])
        if found:
            return found[0]
    raise UsageError(
        "The embedded broker needs the librdkafka inside confluent-kafka's wheel, and this installation has none.",
        "install confluent-kafka from its wheel, or point bootstrap_servers at Apache Kafka (`make kafka`)",
    )


@cache
def _load_library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise UsageError("The embedded broker needs confluent-kafka, which is not installed.", _UPGRADE)
    path = find_library(Path(spec.origin).parent)
    try:
        library = ctypes.CDLL(str(path))
        _declare(library)
    except (OSError, AttributeError) as error:
        raise UsageError(f"{path.name} cannot serve as the embedded broker: {error}.", _UPGRADE) from None
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Give every function its C signature: without one, ctypes cuts pointers to 32 bits and the process dies."""
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    signatures: tuple[tuple[str, object, list[object]], ...] = (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", ctypes.c_int, [pointer, text, text, text, size]),
        ("rd_kafka_conf_destroy", None, [pointer]),
        ("rd_kafka_new", pointer, [ctypes.c_int, pointer, text, size]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_err2str", text, [ctypes.c_int]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
    )
    for name, result, arguments in signatures:
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments


def _new_handle(library: ctypes.CDLL) -> int:
    """An `rd_kafka_t` that belongs to the mock cluster and talks to no one."""
    why = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
    config = library.rd_kafka_conf_new()
    # Otherwise librdkafka writes to stderr for each request that the mock does not understand; clients try several.
    refused = library.rd_kafka_conf_set(config, b"log_level", b"0", why, _ERROR_TEXT_BYTES)
    handle: int | None = None if refused else library.rd_kafka_new(_PRODUCER, config, why, _ERROR_TEXT_BYTES)
    if handle is None:
        library.rd_kafka_conf_destroy(config)  # rd_kafka_new takes the configuration over only when it succeeds
        raise UsageError(f"The embedded broker did not start: {why.value.decode(errors='replace')}.", _UPGRADE)
    return handle
