"""Events that come over HTTP, on their way to the topic: answered when every in-sync replica has them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.errors import DeliveryError
from stream.kafka.producer import fix_for, producer_config
from stream.serve.answers import SentEvent
from stream.serve.errors import NotReadyError, TooManyError
from stream.settings import Settings

WAITING_MAX: Final = 10_000
"""Events that may wait for their acknowledgement."""

DEADLINE_S: Final = 10.0
_POLL_S: Final = 0.05


class EventProducer:
    """One idempotent producer for all requests."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic_events
        deadline_ms = int(DEADLINE_S * 1000)
        self._producer = Producer(producer_config(settings, "serve") | {"delivery.timeout.ms": deadline_ms})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="event-producer", daemon=True)
        self._thread.start()

    async def send(self, key: bytes, value: bytes) -> SentEvent:
        """Returns when the broker has it.

        Raises:
            TooManyError: too many others wait.
            NotReadyError: no broker took it in time.
            DeliveryError: the broker refuses it.
        """
        if len(self._producer) >= WAITING_MAX:
            raise TooManyError("too many events wait for the broker. Fix: send more slowly")
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[Message] = loop.create_future()

        def delivered(error: KafkaError | None, message: Message) -> None:
            loop.call_soon_threadsafe(_settle, sent, error, message)

        try:
            self._producer.produce(
                self._topic, value, key, timestamp=time.time_ns() // 1_000_000, on_delivery=delivered
            )
        except (BufferError, KafkaException) as error:
            raise NotReadyError(f"the event was not taken: {error}. Fix: send it again") from None
        message = await sent
        return SentEvent(self._topic, int(message.partition()), int(message.offset()))

    def close(self) -> None:
        """Wait for what was sent, within the deadline."""
        self._producer.flush(DEADLINE_S)
        self._stop.set()
        self._thread.join(1.0)

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(_POLL_S)


def _settle(sent: asyncio.Future[Message], error: KafkaError | None, message: Message) -> None:
    if sent.done():
        return
    if error is None:
        sent.set_result(message)
    elif error.retriable() or error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT):
        sent.set_exception(NotReadyError(f"no broker took the event: {error.str()}. Fix: send it again"))
    else:
        sent.set_exception(DeliveryError(f"the event was not accepted: {error.str()}{fix_for(error)}"))
