"""The load of a soak run: a shop of a fixed size at an even pace, with garbage, repeats and a catalogue that changes."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Message
from worker_process import Topics

USERS, ITEMS = 20_000, 3_000
ACTIONS = ("view", "view", "view", "view", "click", "click", "like", "cart", "purchase")
GARBAGE = (b"\x00\xff", b"{", b'{"user_id":"u1","action":"smell","item_id":"i1"}', b"[1,2]", b"")
GARBAGE_SHARE, REPEAT_SHARE, CATALOGUE_PER_S = 0.01, 0.02, 1.0
POLL_S = 0.01


def item_record(rng: random.Random, number: int) -> bytes:
    """An item with a price that changes from time to time."""
    fields = {
        "item_id": f"i{number}",
        "title": f"Thing {number}",
        "categories": [f"c{number % 40}"],
        "price": rng.randrange(5, 500),
    }
    return json.dumps(fields).encode()


class SoakLoad:
    """A thread that writes at `events_per_s`, also while the broker is away (the client keeps it)."""

    def __init__(self, topics: Topics, seed: int, events_per_s: float) -> None:
        self._topics, self._rng, self._rate = topics, random.Random(seed), events_per_s
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run, name="load", daemon=True)
        self._last: tuple[bytes, bytes] | None = None
        self.written = self.garbage = 0
        self.refused: list[str] = []
        """Records that the client gave up."""

    def catalogue(self) -> None:
        """Every item, once; returns when the broker has them."""
        producer, topic = self._topics.producer, self._topics.settings.topic_items
        for number in range(ITEMS):
            producer.produce(topic, item_record(self._rng, number), f"i{number}")
            producer.poll(0)
        assert producer.flush(60) == 0

    def write(self, n: int) -> None:
        """So many events at once; returns when the broker has them."""
        for _ in range(n):
            self._write_one()
        assert self._topics.producer.flush(60) == 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write no more; returns when the broker has acknowledged everything, or raises AssertionError."""
        self._stop.set()
        self._thread.join(timeout_s)
        left = self._topics.producer.flush(timeout_s)
        assert left == 0, f"{left} events were not acknowledged within {timeout_s:g} s"

    def _run(self) -> None:
        producer, items = self._topics.producer, self._topics.settings.topic_items
        began, before, n_items = time.monotonic(), self.written, 0
        while not self._stop.wait(0):
            due_s = time.monotonic() - began
            while self.written - before < due_s * self._rate and not self._stop.is_set():
                self._write_one()
            if n_items < due_s * CATALOGUE_PER_S:
                number, n_items = self._rng.randrange(ITEMS), n_items + 1
                self._patiently(
                    lambda number=number: producer.produce(items, item_record(self._rng, number), f"i{number}")
                )
            producer.poll(POLL_S)

    def _write_one(self) -> None:
        rng, chance = self._rng, self._rng.random()
        user = b"u%d" % int(USERS * rng.random() ** 2)  # some are busy, most are not
        value = b""
        if chance < GARBAGE_SHARE:
            value, self.garbage = rng.choice(GARBAGE), self.garbage + 1
        elif chance < GARBAGE_SHARE + REPEAT_SHARE and self._last is not None:
            user, value = self._last
        else:
            item = int(ITEMS * rng.random() ** 3)
            value = b'{"user_id":"%s","action":"%s","item_id":"i%d","event_id":"e%d"}' % (
                user, rng.choice(ACTIONS).encode(), item, self.written,
            )  # fmt: skip
            self._last = user, value
        produce = self._topics.producer.produce
        topic = self._topics.settings.topic_events
        self._patiently(lambda: produce(topic, value, user, on_delivery=self._on_delivery))
        self.written += 1

    def _patiently(self, produce: Callable[[], None]) -> None:
        while True:
            try:
                produce()
            except BufferError:
                self._topics.producer.poll(0.1)
            else:
                self._topics.producer.poll(0)
                return

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused.append(error.str())
