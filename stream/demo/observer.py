"""Follows the published topics live, in a thread of its own, and keeps the tally of what they say.

It reads every partition from its first record and compares offsets: a record that the broker dropped before it was read is
counted as lost, never passed over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.demo.tally import Figures, Purchase, Tally
from stream.errors import InvariantError, PenchantError
from stream.kafka.log_ends import PASSING, LogEnds
from stream.params import decode_limits
from stream.settings import Settings
from stream.wire.records import Recommendation

GRACE_MS: Final = 1_000
"""A record's timestamp is when it was handed to a producer; it may arrive this much later than others."""

_BATCH: Final = 1_000
_POLL_S: Final = 0.1
"""Longest wait for the answer which record of a partition is the oldest."""


class Audience(Protocol):
    """Whoever wants to see single records as they arrive. Called under the observer's lock: be quick."""

    def bought(self, purchase: Purchase) -> None: ...
    def listed(self, recommendation: Recommendation) -> None: ...
    def reasoned(self, key: bytes, value: bytes) -> None: ...


class Observer:
    """Use as a context: reading starts at `with` and stops at its end. An error in the thread is raised by `figures`."""

    def __init__(self, settings: Settings, partitions: int, audience: Audience, clock_ms: Callable[[], int]) -> None:
        self._settings, self._audience, self._clock_ms = settings, audience, clock_ms
        self._tally = Tally(decode_limits(settings))
        topics = (
            settings.topic_events,
            settings.topic_recommendations,
            settings.topic_attributions,
            settings.topic_dead_letter,
        )
        self._expected = {(topic, p): 0 for topic in topics for p in range(partitions)}
        self._lost: dict[str, int] = {}
        self._newest_ms: dict[tuple[str, int], int] = {}
        self._at_end: set[tuple[str, int]] = set()
        self._stop = threading.Event()
        self._error: Exception | None = None
        self.lock = threading.Lock()
        """Held while the audience is called."""
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Read no further. May be called again."""
        self._stop.set()
        self._thread.join(5.0)

    def figures(self) -> Figures:
        """What has been counted.

        Raises:
            PenchantError: reading failed.
        """
        self.check()
        with self.lock:
            return self._tally.figures()

    def check(self) -> None:
        """Raises what stopped the reading, if anything did."""
        if self._error is None:
            return
        if isinstance(self._error, PenchantError):
            raise self._error
        raise InvariantError(f"the published topics could not be followed: {self._error}") from self._error

    def lost(self) -> Mapping[str, int]:
        """Records that were gone before they were read, by topic; empty when all is well."""
        with self.lock:
            return dict(self._lost)

    def progress(self, topic: str) -> int:
        """Records of `topic` read so far (offsets passed)."""
        with self.lock:
            return sum(offset for (name, _), offset in self._expected.items() if name == topic)

    def waiting_s(self) -> float:
        """How long whoever waits for a list has waited for longest, s; 0 where nobody does.

        Raises:
            PenchantError: reading failed.
        """
        self.check()
        with self.lock:
            since_ms = self._tally.waiting_since_ms()
        return 0.0 if since_ms is None else max(0.0, (self._clock_ms() - since_ms) / 1000)

    def records(self) -> int:
        """Records of all topics read so far."""
        with self.lock:
            return sum(self._expected.values())

    def finish(self) -> Figures:
        """The final figures: what still waited for older records is counted now."""
        with self.lock:
            self._tally.advance(1 << 62)
        return self.figures()

    # -- the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001  (the thread's edge: `check` raises it where it is seen)
            self._error = error

    def _follow(self) -> None:
        consumer = Consumer(
            self._settings.client_config("observer")
            | {
                "group.id": f"{self._settings.group_id}-observer",  # required by librdkafka; never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",  # after a loss: go on at what is left, and count the gap
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
        # Not asked of the consumer that reads: a question would wait behind its fetch, 100 ms where nothing comes.
        ends = LogEnds(self._settings)
        try:
            consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for topic, p in self._expected])
            while not self._stop.is_set():
                messages = consumer.consume(_BATCH, _POLL_S)
                with self.lock:
                    for message in messages:
                        self._take(message, ends)
                    self._tally.advance(self._complete_until_ms())
        finally:
            consumer.close()
            ends.close()

    def _take(self, message: Message, ends: LogEnds) -> None:
        at = (message.topic(), message.partition())
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(at)
            elif error.fatal() or error.code() not in PASSING:
                raise KafkaException(error)
            return
        missing = message.offset() - self._expected[at]
        if missing > 0 and at[0] == self._settings.topic_attributions:
            # Outcomes come in transactions, whose markers take offsets: lost is what lies before the oldest record.
            oldest, _ = ends.bounds(*at)
            missing = min(message.offset(), oldest) - self._expected[at]
        if missing > 0:
            self._lost[at[0]] = self._lost.get(at[0], 0) + missing
        self._expected[at] = message.offset() + 1
        self._at_end.discard(at)
        self._newest_ms[at] = message.timestamp()[1]
        self._count(message)

    def _count(self, message: Message) -> None:
        topic, settings = message.topic(), self._settings
        timestamp_ms, key, value = message.timestamp()[1], message.key(), message.value()
        if topic == settings.topic_events:
            purchase = self._tally.event(message.partition(), message.offset(), timestamp_ms, key, value)
            if purchase is not None and purchase.item_id is not None:
                self._audience.bought(purchase)
        elif topic == settings.topic_recommendations:
            listed = self._tally.recommendation(timestamp_ms, key, value)
            if listed is not None:
                self._audience.listed(listed)
        elif topic == settings.topic_attributions:
            self._tally.attribution(value)
            if value is not None:
                self._audience.reasoned(key, value)
        else:
            reason = dict(message.headers() or ()).get("reason")
            if reason is not None:  # without one it is no letter, but what `penchant dead-letter replay` notes there
                self._tally.dead_letter(reason.decode())

    def _complete_until_ms(self) -> int:
        """Records older than this have been read: each partition up to its newest record, or its end."""
        ordered = [
            at for at in self._expected if at[0] in (self._settings.topic_events, self._settings.topic_recommendations)
        ]
        if all(at in self._at_end for at in ordered):
            return self._clock_ms() - GRACE_MS
        # A partition at its end may have got records meanwhile, which wait behind what was just read.
        newest = max((self._newest_ms.get(at, 0) for at in ordered), default=0)
        return min(newest if at in self._at_end else self._newest_ms.get(at, 0) for at in ordered) - GRACE_MS


def wall_clock_ms() -> int:
    """The clock of Kafka timestamps."""
    return time.time_ns() // 1_000_000
