"""Records written back to topics; nothing counts as written until the broker said so."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import DeliveryError
from stream.kafka.producer import fix_for, producer_config
from stream.settings import Settings

ROOM_WAIT_S = 0.05


class TopicWriter:
    """An idempotent producer. Every method raises DeliveryError once a record was refused or timed out."""

    def __init__(self, settings: Settings, check: Callable[[], None] = lambda: None) -> None:
        """`check` is asked while there is no room, and raises where writing is to end."""
        self._settings, self._check = settings, check
        self._producer = Producer(
            producer_config(settings, "restore")
            | {"delivery.report.only.error": True, "on_delivery": self._on_delivery}
        )
        self._failed: str | None = None
        self.written = 0

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int, timestamp_ms: int = 0) -> None:
        """Queue a record; partition -1: the key chooses; timestamp 0: now. Waits for room."""
        give_up = time.monotonic() + self._settings.delivery_timeout_s
        while True:
            self._raise_if_failed()
            try:
                self._producer.produce(topic, value, key, partition, timestamp=max(timestamp_ms, 0))
            except BufferError:
                self._check()
                if time.monotonic() > give_up:
                    raise DeliveryError(
                        f"no room to send to {topic} for {self._settings.delivery_timeout_s:g} s"
                    ) from None
                self._producer.poll(ROOM_WAIT_S)
            except KafkaException as error:
                raise DeliveryError(f"a record to {topic} was not accepted: {error.args[0].str()}") from error
            else:
                self.written += 1
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Returns when everything sent so far is acknowledged."""
        left = self._producer.flush(self._settings.delivery_timeout_s)
        self._raise_if_failed()
        if left:
            raise DeliveryError(f"{left} records were not acknowledged within {self._settings.delivery_timeout_s:g} s")

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = f"a record to {message.topic()} was not accepted: {error.str()}{fix_for(error)}"

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise DeliveryError(self._failed)
