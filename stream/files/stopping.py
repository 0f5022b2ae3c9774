"""Ctrl-C, SIGTERM and a closed terminal as a question that long loops ask where it is safe to stop.

The handler raises nothing: an exception that arrives inside a call of confluent-kafka can come out of it as a SystemError
(`Producer.poll` of 2.16 does that), and one that arrives while things are being closed would leave the rest running.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import Producer

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether somebody wants this to end."""

    def __init__(self) -> None:
        self._asked = False  # no lock: it is set by a signal handler, which may interrupt anything

    def ask(self) -> None:
        """End soon."""
        self._asked = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if the loop is to end."""
        if self._asked:
            raise KeyboardInterrupt


class StoppableProducer:
    """A producer for `stream.files.feed.produce` whose waiting ends when it is to end."""

    def __init__(self, producer: Producer, stop: StopRequest) -> None:
        self._producer, self._stop = producer, stop

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        """As Producer's."""
        self._producer.produce(topic, value, key, on_delivery=on_delivery)

    def poll(self, timeout: float) -> int:
        """As Producer's, or KeyboardInterrupt."""
        self._stop.check()
        return int(self._producer.poll(timeout))

    def flush(self, timeout: float) -> int:
        """As Producer's."""
        return int(self._producer.flush(timeout))


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Inside the context the signals that end a program only ask; in another thread than the main one nothing changes."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.ask()) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
