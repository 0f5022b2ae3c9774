"""The events of a chaos run: good ones, repeats, late ones, keyless ones and garbage, written at an even pace.

What is written depends on the seed alone. Everything that a check needs to know later is remembered here and not asked of
Penchant: which values are garbage, and which good records had no key.
"""

from __future__ import annotations

import json
import random
import threading
import time
from typing import NamedTuple

from confluent_kafka import KafkaError, Message
from worker_process import Topics

USERS, ITEMS = 150, 80
START_MS = 1_700_000_000_000
ACTIONS = ("view", "view", "view", "click", "click", "like", "dislike", "cart", "purchase", "impression", "refund")
POLL_S = 0.02


class Written(NamedTuple):
    """What `EventStream` makes: a record's key and value, and what it is meant to be."""

    key: bytes | None
    value: bytes
    is_garbage: bool = False


class EventStream:
    """An endless, deterministic sequence of records for the events topic."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"events {seed}")
        self._recent: list[Written] = []
        self._n = 0

    def __next__(self) -> Written:
        rng, self._n = self._rng, self._n + 1
        chance = rng.random()
        if chance < 0.02:
            return self._garbage()
        if chance < 0.06 and self._recent:
            return rng.choice(self._recent)  # the producer sends it again, byte for byte
        record = self._event()
        if b'"event_id"' in record.value:
            self._recent = [*self._recent[-99:], record]
        return record

    def _event(self) -> Written:
        rng, n = self._rng, self._n
        user = f"u{min(rng.randrange(USERS), rng.randrange(USERS))}"  # some are busy, most are not
        event: dict[str, object] = {
            "user_id": user,
            "action": rng.choice(ACTIONS),
            "item_id": f"i{rng.randrange(ITEMS)}",
        }
        if rng.random() < 0.03:
            event = {"user_id": user, "action": "query", "text": f"looking for {rng.randrange(9)}"}
        if rng.random() < 0.97:
            late_ms = rng.choice([0, 0, 0, 0, 600_000, 86_400_000 * 40])
            event["event_time"] = START_MS + n * 200 - late_ms
        if rng.random() < 0.5:
            event["dwell_ms"] = rng.randrange(60_000)
        if rng.random() < 0.3:
            event["event_id"] = f"e{n}"
        if rng.random() < 0.2:
            event["context"] = {"device": rng.choice(["phone", "desk"])}
        if event["action"] == "impression":
            # Of lists that Penchant did not make: what it made itself depends on timing. An id is in use for a moment only.
            event |= {"slot": rng.randrange(20), "recommendation_id": f"list-{n - n % 40}"}
        elif event["action"] in {"click", "cart", "purchase"}:
            if rng.random() < 0.3:
                event |= {"recommendation_id": f"list-{n - n % 40}", "slot": rng.randrange(20)}
            if event["action"] == "purchase":
                event["value"] = rng.choice([5, 9.5, -5])  # a negative one is a refund
        return Written(None if rng.random() < 0.01 else user.encode(), json.dumps(event).encode())

    def _garbage(self) -> Written:
        rng, n = self._rng, self._n
        user = f"u{rng.randrange(USERS)}"
        value = rng.choice(
            [
                b"\x00\xffgarbage %d" % n,
                b'{"number": %d}' % n,
                json.dumps({"user_id": user, "action": f"smell {n}", "item_id": "i1"}).encode(),
                json.dumps({"user_id": user, "action": "view", "text": f"{n}"}).encode(),
                json.dumps({"user_id": f"not {user}", "action": "view", "item_id": f"i{n}"}).encode() + b" trailing",
                json.dumps({"user_id": user, "action": "view", "item_id": "i1", "event_time": f"day {n}"}).encode(),
            ]
        )
        return Written(rng.choice([user.encode(), user.encode(), None]), value, is_garbage=True)


class Load:
    """A thread that writes an `EventStream` to the events topic, also while the broker is away (the client keeps it)."""

    def __init__(self, topics: Topics, seed: int, events_per_s: float) -> None:
        self._topics, self._stream, self._rate = topics, EventStream(seed), events_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.written = 0
        self.refused: list[str] = []
        """Records that the client gave up."""
        self.garbage: set[bytes] = set()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write no more; returns when the broker has acknowledged everything.

        Raises:
            AssertionError: it has not within the deadline.
        """
        self._stop.set()
        self._thread.join(timeout_s)
        left = self._topics.producer.flush(timeout_s)
        assert left == 0, f"{left} events were not acknowledged within {timeout_s:g} s"
        assert not self.refused, f"{len(self.refused)} events were refused: {self.refused[0]}"

    def _run(self) -> None:
        producer, topic = self._topics.producer, self._topics.settings.topic_events
        started = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - started) * self._rate)
            while self.written < due and not self._stop.is_set():
                record = next(self._stream)
                if record.is_garbage:
                    self.garbage.add(record.value)
                producer.produce(topic, record.value, record.key, on_delivery=self._on_delivery)
                self.written += 1
            producer.poll(POLL_S)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused.append(error.str())
