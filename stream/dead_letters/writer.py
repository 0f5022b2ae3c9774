"""Sends letters' records back, and says so on the dead-letter topic, all in one transaction or not at all.

The transactional id belongs to the dead-letter topic: who begins to replay shuts out whoever did before, and what that one
left unfinished is undone before anything is read. So a replay that was killed goes on with the next, and no two send the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.dead_letters.letter import Letter
from stream.dead_letters.marks import MARK_HEADERS, mark_value, marks_for
from stream.errors import DeliveryError, InvariantError
from stream.kafka.producer import fix_for, producer_config
from stream.settings import Settings

TRANSACTION_S: Final = 30.0
"""Readers of the events wait behind a transaction that was left open for as long, if nobody replays again."""

_ROOM_WAIT_S: Final = 0.05
_FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
_OF_THE_RECORD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError._INVALID_DIFFERENT_RECORD,
    }
)
"""What a broker, or our own client, says of a record that it will never take; of a whole batch that one is in, too."""

SEQUENCE_TRIES: Final = 3
"""After a batch that the broker refused librdkafka 2.16 numbers the next one as if it had been taken: that transaction fails,
too, and only then does it begin to count anew."""

Timestamps = Literal["original", "now"]


class Landed(NamedTuple):
    """Where a record lies that was sent again."""

    topic: str
    partition: int
    offset: int


class RecordsRefusedError(Exception):
    """At least one of the records will never be taken; nothing of the transaction was sent. Says what the broker said."""


class _SequenceLostError(Exception):
    """Nothing was sent, and the next try begins with new numbers."""


class Writer(Protocol):
    """`ReplayWriter`, or what stands for it in a test."""

    def send(self, letters: Sequence[Letter]) -> list[Landed]:
        """All of them or none, and the marks that say so.

        Raises:
            RecordsRefusedError: one of them will never be taken; nothing was sent.
            InvariantError: another replay has begun; nothing was sent.
            DeliveryError: not committed within `delivery_timeout_s`, or not certainly.
        """
        ...


class ReplayWriter:
    """Claims the dead-letter topic when it is made; every method blocks.

    Raises:
        DeliveryError: the broker did not grant it within `delivery_timeout_s`.
    """

    def __init__(self, settings: Settings, timestamps: Timestamps) -> None:
        self._settings, self._timestamps = settings, timestamps
        topic = settings.topic_dead_letter
        self._producer = Producer(
            producer_config(settings, "replay")
            | {
                "transactional.id": f"{settings.group_id}-{topic}-replay",
                "transaction.timeout.ms": int(min(TRANSACTION_S, settings.delivery_timeout_s) * 1000),
                # Longer than the transaction a record may not wait.
                "delivery.timeout.ms": int(min(TRANSACTION_S, settings.delivery_timeout_s) * 1000),
            },
            logger=_quiet(),  # what ends a replay is raised, and told in one line
        )
        try:
            self._producer.init_transactions(settings.delivery_timeout_s)
        except KafkaException as error:
            why = f"{error.args[0].str()}{fix_for(error.args[0])}"
            raise DeliveryError(f"replaying from {topic} was not granted: {why}") from error

    def send(self, letters: Sequence[Letter]) -> list[Landed]:
        """See `Writer`."""
        for _ in range(SEQUENCE_TRIES):
            with suppress(_SequenceLostError):
                return self._send(letters)
        raise DeliveryError(
            "the transaction was not committed: the broker and our client do not agree about what was sent"
        )

    def _send(self, letters: Sequence[Letter]) -> list[Landed]:
        delivery = _Delivery()
        try:
            self._producer.begin_transaction()
            for letter in letters:
                self._produce(letter, delivery)
            for mark in marks_for(letters):
                self._put(
                    self._settings.topic_dead_letter, mark_value(mark), None, mark.partition, headers=list(MARK_HEADERS)
                )
            self._commit()
        except KafkaException as error:
            raise self._undone(error.args[0], delivery) from error
        return delivery.landed

    def _commit(self) -> None:
        self._producer.commit_transaction(self._settings.delivery_timeout_s)

    def _produce(self, letter: Letter, delivery: _Delivery) -> None:
        own = {} if self._timestamps == "now" else {"timestamp": letter.source.timestamp_ms}
        headers = list(letter.headers) or None
        self._put(letter.source.topic, letter.value, letter.key, -1, headers=headers, on_delivery=delivery.note, **own)

    def _put(self, *record: object, **more: object) -> None:
        while True:
            try:
                self._producer.produce(*record, **more)
            except BufferError:  # bounded: records leave the queue or time out
                self._producer.poll(_ROOM_WAIT_S)
            else:
                return

    def _undone(self, error: KafkaError, delivery: _Delivery) -> Exception:
        """The transaction is aborted; what to raise instead."""
        if error.code() in _FENCED:
            return InvariantError(f"another replay from {self._settings.topic_dead_letter} has begun: it goes on there")
        said = f"{error.str()}{fix_for(error)}"
        if error.fatal():
            return DeliveryError(f"the transaction was not committed: {said}")
        try:
            self._producer.abort_transaction(self._settings.delivery_timeout_s)
        except KafkaException as why:
            return DeliveryError(f"the transaction was neither committed ({said}) nor undone: {why.args[0].str()}")
        if error.code() == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER:
            return _SequenceLostError()
        refused = delivery.refused or (error if error.code() in _OF_THE_RECORD else None)
        if refused is not None:
            return RecordsRefusedError(refused.str())
        return DeliveryError(f"the transaction was not committed: {said}")


def _quiet() -> logging.Logger:
    logger = logging.Logger("librdkafka")
    logger.addHandler(logging.NullHandler())
    return logger


class _Delivery:
    """What became of the records of one transaction."""

    def __init__(self) -> None:
        self.landed: list[Landed] = []
        self.refused: KafkaError | None = None

    def note(self, error: KafkaError | None, message: Message) -> None:
        """Called while the producer is polled or flushed."""
        if error is None:
            self.landed.append(Landed(message.topic(), message.partition(), message.offset()))
        elif error.code() in _OF_THE_RECORD and (
            self.refused is None or self.refused.code() == KafkaError._INVALID_DIFFERENT_RECORD
        ):
            self.refused = error
