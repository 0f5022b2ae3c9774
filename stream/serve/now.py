"""How Penchant does now, by what its topics tell: rates, freshness, lag, hits, dead letters.

Events and dead letters are read only while somebody watches, from then on: nobody else asks for them here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from models.vocabulary import ACTIONS, CART, CLICK, LIKE, PURCHASE, VIEW
from stream.kafka.log_ends import log_bounds
from stream.kafka.replica import POLL_S, Replicated, replicated
from stream.serve.answers import NowAnswer, PartitionNow, Window
from stream.serve.followed.lists import Arrived
from stream.settings import Settings

logger = logging.getLogger(__name__)

WINDOW_S: Final = 30.0
UNWATCHED_S: Final = 20.0
"""After nobody has asked for so long, events are read no more."""

REMEMBERED: Final = 50_000
JUDGED_AFTER_S: Final = 3.0
"""An engagement is judged when its state should be here, which says whether it was the first with the item."""

JUDGED_PLACES: Final = 10
ENGAGING: Final = frozenset(ACTIONS[code] for code in (VIEW, CLICK, LIKE, CART, PURCHASE))


class _Event(msgspec.Struct, frozen=True, gc=False):
    user_id: str
    action: str
    item_id: str | None = None


class Seen(NamedTuple):
    """An engagement that is to be judged."""

    at: float
    """When it was read, by a monotonic clock."""
    user: bytes
    item_id: str
    listed: bool
    """Whether it stood in the first places of the list that they had then."""


class Ends(NamedTuple):
    """How the partitions of the events stand."""

    end: dict[int, int]
    committed: dict[int, int]


_events = msgspec.json.Decoder(_Event)

ListedItems = Callable[[bytes], tuple[int, Sequence[str]] | None]
"""Of a user: the offset that their list reflects, and its items."""

IsFirst = Callable[[bytes, str], bool]
"""Whether a user's newest behaviour with an item is their first."""


class Now:
    """Gathers figures. Thread-safe."""

    def __init__(self, settings: Settings, listed: ListedItems, is_first: IsFirst) -> None:
        self._settings, self._listed, self._is_first = settings, listed, is_first
        self._lock = threading.Lock()
        self._lists: deque[float] = deque(maxlen=REMEMBERED)
        self._events: deque[float] = deque(maxlen=REMEMBERED)
        self._fresh: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        """When, and how long it took, ms."""
        self._timestamps: dict[tuple[int, int], int] = {}
        self._pending: deque[Seen] = deque(maxlen=REMEMBERED)
        self._lags: deque[tuple[float, dict[int, int]]] = deque(maxlen=15)
        self._refused: Counter[str] = Counter()
        self._hits = self._misses = self._explored = self._places = 0
        self._ends = Ends({}, {})
        self._asked = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # --- what comes in ---

    def lists_arrived(self, lists: Sequence[Arrived]) -> None:
        """Lists that have just been read."""
        now = time.monotonic()
        with self._lock:
            for each in lists:
                self._lists.append(now)
                self._places += each.places
                self._explored += each.explored
                key = (each.source.partition, each.source.offset)
                happened_ms = self._timestamps.pop(key, None) if each.trigger == "event" else None
                if happened_ms is not None:
                    self._fresh.append((now, float(max(0, each.timestamp_ms - happened_ms))))

    def _took(self, record: Replicated) -> None:
        now = time.monotonic()
        try:
            event = _events.decode(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            event = None
        with self._lock:
            self._events.append(now)
            self._timestamps[record.partition, record.offset] = record.timestamp_ms
            while len(self._timestamps) > REMEMBERED:
                del self._timestamps[next(iter(self._timestamps))]
        if event is None or event.item_id is None or event.action not in ENGAGING:
            return
        user = event.user_id.encode()
        found = self._listed(user)
        if found is not None and found[0] < record.offset:
            with self._lock:
                self._pending.append(Seen(now, user, event.item_id, event.item_id in found[1][:JUDGED_PLACES]))

    def _judge(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = []
            while self._pending and now - self._pending[0].at > JUDGED_AFTER_S:
                due.append(self._pending.popleft())
        for each in due:
            if self._is_first(each.user, each.item_id):
                with self._lock:
                    self._hits += each.listed
                    self._misses += not each.listed

    # --- watching ---

    def watch(self) -> None:
        """Somebody looks: events are read for a while."""
        self._asked = time.monotonic()
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="now", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(5.0)

    def _run(self) -> None:
        try:
            self._read()
        except KafkaException as error:
            logger.warning(
                "reading events for the page of figures: %s. Fix: see `penchant doctor`", error.args[0].str()
            )
        finally:
            with self._lock:
                self._thread = None

    def _read(self) -> None:
        settings = self._settings
        config = settings.client_config("now") | {
            "group.id": settings.group_id,  # never joined: only asked how far it has come
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
        }
        consumer, asking = Consumer(config), Consumer(config)
        try:
            where = []
            for topic in (settings.topic_events, settings.topic_dead_letter):
                found = consumer.list_topics(topic, timeout=settings.connect_timeout_s).topics[topic].partitions
                where += [(topic, p) for p in sorted(found)]
            ends = {at: high for at, (_, high) in log_bounds(asking, where, settings.connect_timeout_s).items()}
            consumer.assign([TopicPartition(*at, high) for at, high in ends.items()])
            partitions, asked = [p for topic, p in where if topic == settings.topic_events], 0.0
            while not self._stop.is_set() and time.monotonic() - self._asked < UNWATCHED_S:
                for message in consumer.consume(500, POLL_S):
                    if message.topic() == settings.topic_dead_letter:
                        self._letter(message)
                    elif (record := replicated(message)) is not None:
                        self._took(record)
                self._judge()
                if time.monotonic() - asked > 1.0:
                    asked = time.monotonic()
                    self._ask_ends(asking, partitions)
        finally:
            consumer.close()
            asking.close()

    def _letter(self, message: Message) -> None:
        # Without a reason it is no letter, but what `penchant dead-letter replay` notes there.
        reason = next((value for name, value in message.headers() or () if name == "reason"), None)
        if message.error() is not None or reason is None:
            return
        with self._lock:
            self._refused[reason.decode(errors="replace")] += 1

    def _ask_ends(self, consumer: Consumer, partitions: Sequence[int]) -> None:
        topic, timeout_s = self._settings.topic_events, self._settings.connect_timeout_s
        bounds = log_bounds(consumer, [(topic, p) for p in partitions], timeout_s)
        answers = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=timeout_s)
        end = {p: bounds[topic, p][1] for p in partitions}
        committed = {a.partition: max(a.offset, bounds[topic, a.partition][0]) for a in answers}
        with self._lock:
            self._ends = Ends(end, committed)
            self._lags.append((time.monotonic(), {p: max(0, end[p] - committed[p]) for p in partitions}))

    # --- what is told ---

    def answer(
        self,
        *,
        lists: int,
        items: int,
        commit_age_ms: int | None,
        ready: bool,
        why_not: str,
        stale: bool,
        requests_per_s: float = 0.0,
        request_p99_ms: float | None = None,
    ) -> NowAnswer:
        """The figures."""
        now = time.monotonic()
        with self._lock:
            fresh = [took for at, took in self._fresh if now - at <= WINDOW_S]
            ends, lags = self._ends, list(self._lags)
            return NowAnswer(
                at=time.time_ns() // 1_000_000,
                events_per_s=_rate(self._events, now),
                lists_per_s=_rate(self._lists, now),
                freshness=window(fresh, WINDOW_S),
                lag=sum(lags[-1][1].values()) if lags else 0,
                partitions=tuple(_partition(p, ends, lags) for p in sorted(ends.end)),
                last_commit_ms=commit_age_ms,
                hits=self._hits,
                misses=self._misses,
                explored_places=self._explored,
                places=self._places,
                refused=dict(self._refused),
                lists=lists,
                items=items,
                ready=ready,
                why_not=why_not,
                stale=stale,
                requests_per_s=requests_per_s,
                request_p99_ms=request_p99_ms,
            )


def window(values_ms: Sequence[float], seconds: float) -> Window:
    """Two quantiles of durations, as they are, not by buckets."""
    if not values_ms:
        return Window(seconds, 0, None, None)
    p50, p99 = np.quantile(values_ms, (0.5, 0.99)).tolist()
    return Window(seconds, len(values_ms), p50, p99)


def _rate(times: deque[float], now: float) -> float:
    """A second, over the last `WINDOW_S / 6`, so that it follows what happens."""
    span_s = WINDOW_S / 6
    return sum(1 for at in times if now - at <= span_s) / span_s


def _partition(partition: int, ends: Ends, lags: Sequence[tuple[float, dict[int, int]]]) -> PartitionNow:
    lag = lags[-1][1].get(partition, 0) if lags else 0
    slope = 0.0
    if len(lags) > 1 and lags[-1][0] > lags[0][0]:
        slope = (lag - lags[0][1].get(partition, 0)) / (lags[-1][0] - lags[0][0])
    return PartitionNow(partition, lag, slope, ends.committed.get(partition, 0))
