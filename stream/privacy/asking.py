"""Requests sent to the events topic, and the receipts that workers give for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from msgspec import UNSET

from stream.errors import DeliveryError
from stream.kafka.log_ends import log_bounds
from stream.kafka.logs import unreachable
from stream.kafka.producer import fix_for, producer_config
from stream.kafka.read_to_end import partitions_of
from stream.privacy.signing import signed_request
from stream.settings import Settings
from stream.wire.requests import PrivacyRequest, Receipt, RequestKind, read_receipt

_POLL_S: Final = 0.2
_RECEIPT: Final = b'"kind":"receipt"'


class Received(NamedTuple):
    """A receipt as it came."""

    receipt: Receipt
    value: bytes


def new_request(
    user_id: str, kind: RequestKind, requester: str = "", item_id: str | None = None, now_ms: int | None = None
) -> PrivacyRequest:
    """A request with an id of its own; `now_ms`: wall clock, default: now."""
    return PrivacyRequest(
        user_id,
        kind,
        uuid4().hex,
        time.time_ns() // 1_000_000 if now_ms is None else now_ms,
        requester or UNSET,
        UNSET if item_id is None else item_id,
    )


def request_bytes(request: PrivacyRequest, private_key: str | None) -> bytes:
    """The record's value, signed where there is a key.

    Raises:
        UsageError: `cryptography` is not installed.
    """
    return msgspec.json.encode(request if private_key is None else signed_request(request, private_key))


class Asking:
    """Sends requests and waits for their receipts; a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Receipts are looked for from here on.

        Raises:
            BrokerUnreachableError, TopicsError: the topic of attributions cannot be read.
        """
        self._settings = settings
        topic = settings.topic_attributions
        partitions = [(topic, partition) for partition in range(partitions_of(settings, topic))]
        self._consumer = Consumer(
            settings.client_config("receipts")
            | {
                "group.id": f"{settings.group_id}-receipts",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        try:
            bounds = log_bounds(self._consumer, partitions, settings.connect_timeout_s)
            self._consumer.assign([TopicPartition(*at, end) for at, (_, end) in bounds.items()])
        except KafkaException as error:
            self._consumer.close()
            raise unreachable(settings, error) from None

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def send(self, requests: Sequence[PrivacyRequest], private_key: str | None = None) -> None:
        """Returns when the broker has them.

        Raises:
            DeliveryError: it did not take one of them.
        """
        settings = self._settings
        producer, refused = Producer(producer_config(settings, "requests")), list[Any]()

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                refused.append(error)

        for request in requests:
            producer.produce(
                settings.topic_events,
                request_bytes(request, private_key),
                request.user_id.encode(),
                timestamp=time.time_ns() // 1_000_000,
                on_delivery=delivered,
            )
            producer.poll(0)
        left = producer.flush(settings.delivery_timeout_s)
        if refused:
            raise DeliveryError(f"topic {settings.topic_events}: {refused[0].str()}{fix_for(refused[0])}")
        if left:
            raise DeliveryError(f"topic {settings.topic_events}: {left} requests were not taken in time")

    def receipts(
        self, requests: Sequence[PrivacyRequest], timeout_s: float, check: Callable[[], None] = lambda: None
    ) -> Iterator[Received]:
        """As they come, until all have come or none has for `timeout_s`; `check` may raise to stop."""
        waiting = {request.request_id for request in requests}
        deadline = time.monotonic() + timeout_s
        while waiting and time.monotonic() < deadline:
            check()
            for message in self._consumer.consume(500, _POLL_S):
                value = None if message.error() is not None else message.value()
                if value is None or _RECEIPT not in value:
                    continue
                try:
                    receipt = read_receipt(value)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue  # of a later release: it is told as missing
                if receipt.request_id in waiting:
                    waiting.discard(receipt.request_id)
                    deadline = time.monotonic() + timeout_s
                    yield Received(receipt, value)
