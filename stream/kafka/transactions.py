"""Who may write to a partition of a changelog: its owner, by a transactional producer that shuts out every earlier owner.

A worker that was stopped for longer than its session has lost its partitions without knowing it, and nothing that it asks
before it writes can help: it may be stopped again between the answer and the write. Only the broker can refuse. Each owner
therefore *claims* a partition before it reads the changelog: the transactional id belongs to the partition, so the broker
gives it a new epoch, ends what the owner before left open, and refuses from then on whatever that one still sends.

Everything that must happen together goes into one transaction: the changelog records of a commit and the item deltas of the
same events. Readers (Faust's consumer, the replicas) see committed transactions only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import DeliveryError, InvariantError
from stream.kafka.log_ends import AskBounds
from stream.kafka.producer import fix_for, producer_config
from stream.kafka.throttled import OnThrottled, telling
from stream.settings import Settings

logger = logging.getLogger(__name__)

ROOM_WAIT_S = 0.05

CLAIMS_AT_ONCE: Final = 32
"""A claim is a tenth to half a second of waiting for the broker, and 4 ms of work."""

_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


class Keyed(NamedTuple):
    """A record for a topic whose key chooses the partition."""

    topic: str
    key: bytes
    value: bytes | None


class PartitionWriters:
    """The writers of the partitions that this worker owns. Every method blocks; calls for different partitions may overlap."""

    def __init__(self, settings: Settings, ask_bounds: AskBounds, on_throttled: OnThrottled | None = None) -> None:
        """`ask_bounds`: where partitions begin and end, asked of the broker."""
        self._settings, self._ask_bounds, self._on_throttled = settings, ask_bounds, on_throttled
        self._claimed: dict[tuple[str, int], Producer] = {}
        self._ends: dict[tuple[str, int], int] = {}
        """Where each claimed partition ends as long as nobody else writes to it."""
        # Waiting for the broker goes on beside everything; queueing the records is Python. Where several threads did that at
        # once, the event loop had the interpreter's lock only after each of them, at every one of a list's many short calls.
        self._queueing = threading.Lock()

    def claim(self, topic: str, partitions: Collection[int]) -> None:
        """From now on only this worker writes to these partitions; what others left unfinished there is undone.

        Raises:
            DeliveryError: the broker did not grant it within `delivery_timeout_s`.
            BrokerUnreachableError: it did not say where the partitions end.
        """
        if not partitions:
            return
        with ThreadPoolExecutor(min(CLAIMS_AT_ONCE, len(partitions)), "claim") as pool:
            producers = list(pool.map(lambda partition: self._claiming(topic, partition), partitions))
        where = [(topic, partition) for partition in partitions]
        bounds = self._ask_bounds(where)
        self._claimed.update(zip(where, producers, strict=True))
        self._ends.update({at: end for at, (_, end) in bounds.items()})

    def _claiming(self, topic: str, partition: int) -> Producer:
        settings = self._settings
        producer = Producer(
            producer_config(settings, "changelog")
            | telling(self._on_throttled)
            | {
                "transactional.id": f"{settings.group_id}-{topic}-{partition}",
                "transaction.timeout.ms": int(settings.delivery_timeout_s * 1000),
            }
        )
        try:
            producer.init_transactions(settings.delivery_timeout_s)
        except KafkaException as error:
            why = f"{error.args[0].str()}{fix_for(error.args[0])}"
            raise DeliveryError(f"{topic} partition {partition} could not be claimed: {why}") from error
        return producer

    def release(self, topic: str, partition: int) -> None:
        """The partition is another's to claim."""
        self._claimed.pop((topic, partition), None)
        self._ends.pop((topic, partition), None)

    def write(
        self, topic: str, partition: int, values: Iterable[tuple[bytes, bytes | None]], others: Iterable[Keyed] = ()
    ) -> int:
        """All of these records or none: `values` to the claimed partition, `others` where their keys say.

        Returns:
            Offset up to which the partition now holds what this worker wrote: that of the marker which ends the transaction
            and follows the last of `values`, of which there must be one.

        Raises:
            InvariantError: the partition is not claimed, or another worker has claimed it since.
            DeliveryError: the transaction was not committed within `delivery_timeout_s`, or not certainly.
        """
        values, others = list(values), list(others)
        try:
            return self._write(topic, partition, values, others)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_PRODUCER_ID_MAPPING:
                raise _told(error.args[0], f"{topic} partition {partition}") from error
        self._claim_again(topic, partition)
        try:
            return self._write(topic, partition, values, others)
        except KafkaException as error:
            raise _told(error.args[0], f"{topic} partition {partition}") from error

    def _claim_again(self, topic: str, partition: int) -> None:
        """The broker forgets a claim that was not used for `transactional.id.expiration.ms` (7 days); or another worker has
        claimed the partition after it did. Claimed anew nobody else can write, so where the partition ends tells which.

        Raises:
            InvariantError: somebody has written to it since.
        """
        self._claimed[topic, partition] = self._claiming(topic, partition)
        _, end = self._ask_bounds([(topic, partition)])[topic, partition]
        if end != self._ends[topic, partition]:
            raise InvariantError(
                f"{topic} partition {partition} was written by another worker: this one has lost the partition"
            )
        logger.info(
            "%s partition %d was idle until the broker forgot who writes to it: claimed again", topic, partition
        )

    def _write(
        self, topic: str, partition: int, values: Sequence[tuple[bytes, bytes | None]], others: Sequence[Keyed]
    ) -> int:
        producer = self._claimed.get((topic, partition))
        if producer is None:
            raise InvariantError(f"{topic} partition {partition} is not this worker's to write to")
        last = _Offset()
        producer.begin_transaction()
        with self._queueing:
            _queue(producer, topic, partition, values, others, last)
        producer.commit_transaction(self._settings.delivery_timeout_s)
        if last.offset is None:
            raise DeliveryError(f"{topic} partition {partition}: the broker did not say where the last record is")
        self._ends[topic, partition] = last.offset + 2
        return last.offset + 1


class _Offset:
    """Where a record landed."""

    def __init__(self) -> None:
        self.offset: int | None = None

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.offset = message.offset()


def _queue(
    producer: Producer,
    topic: str,
    partition: int,
    values: Iterable[tuple[bytes, bytes | None]],
    others: Iterable[Keyed],
    last: _Offset,
) -> None:
    """All records of a transaction; `last` hears where the last of `values` landed."""
    for other in others:
        _produce(producer, other.topic, other.key, other.value)
    held: tuple[bytes, bytes | None] | None = None
    for record in values:  # one behind: only the last is asked for its offset
        if held is not None:
            _produce(producer, topic, *held, partition)
        held = record
    if held is None:
        raise InvariantError(f"nothing to write to {topic} partition {partition}")
    _produce(producer, topic, *held, partition, last)


def _produce(
    producer: Producer,
    topic: str,
    key: bytes,
    value: bytes | None,
    partition: int = -1,
    on_delivery: _Offset | None = None,
) -> None:
    while True:
        try:
            if on_delivery is None:
                producer.produce(topic, value, key, partition)
            else:
                producer.produce(topic, value, key, partition, on_delivery=on_delivery)
        except BufferError:  # bounded: records leave the queue or time out
            producer.poll(ROOM_WAIT_S)
        else:
            return


def _told(error: KafkaError, where: str) -> InvariantError:
    if error.code() in _FENCED:
        return InvariantError(f"{where} has been claimed by another worker: this one has lost the partition")
    return DeliveryError(f"a transaction on {where} was not committed: {error.str()}{fix_for(error)}")
