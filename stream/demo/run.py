"""`penchant demo`: a broker, a worker and a year of real purchases, on one machine, in about a minute.

Everything that is told at the end was read from the published topics; nothing is taken from the worker's memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final

from confluent_kafka import Producer
from rich.console import Console

from stream.demo.observer import Observer, wall_clock_ms
from stream.demo.screen import in_background, screen
from stream.demo.shoppers import Shoppers, choose_shoppers, titles_of
from stream.demo.summary import print_serving, print_summary, problems_of
from stream.demo.throttle import Throttle
from stream.demo.view import View
from stream.demo.worker import WorkerProcess, free_port
from stream.errors import DeliveryError, InputFileError, PenchantError
from stream.files.feed import ReplayReport, produce
from stream.files.mapping import Mapping
from stream.files.reading import BadRow, FileRecord, read_events, read_items
from stream.files.replay import load_items, producer_config
from stream.files.sample import EVENTS, ITEM_MAPPING, ITEMS, MAPPING, TIMEZONE
from stream.files.stopping import StoppableProducer, StopRequest, stop_signals
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.retention import RetentionGuard
from stream.kafka.topics import topic_specs
from stream.params import decode_limits
from stream.settings import Settings

REPLAY_S: Final = 60
PARTITIONS: Final = 4

START_DEADLINE_S: Final = 300.0
"""A first start on a machine compiles the loops: half a minute, on a slow or busy one several times that."""

SETTLE_DEADLINE_S: Final = 60.0
_PROGRESS_POLL_S: Final = 0.25
_COMMIT_INTERVAL_S: Final = 0.1
_LIST_MAX_AGE_S: Final = 2.0
_SHUTDOWN_S: Final = 5.0

INTERRUPTED: Final = 130

BAD_RECORDS: Final[tuple[tuple[bytes, bytes | None], ...]] = (
    (b"garbage", b"\xff\xfe\x00 these bytes are no JSON"),
    (b"dancer", b'{"user_id":"dancer","action":"dance","item_id":"85123A"}'),
    (b"alice", b'{"user_id":"bob","action":"purchase","item_id":"85123A"}'),
    (b"nothing", b""),
    (b"undecided", b'{"user_id":"undecided","action":"purchase"}'),
    (b"future", b'{"user_id":"future","action":"view","item_id":"85123A","event_time":"3000-01-01T00:00:00Z"}'),
)
"""Key and value of records that the demo sends on purpose, so that the dead-letter topic has something to show."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Whose purchases are replayed."""

    events: Path = EVENTS
    items: Path = ITEMS
    mapping: Mapping = MAPPING
    item_mapping: Mapping = ITEM_MAPPING
    timezone: str = TIMEZONE


def run_demo(
    settings: Settings,
    *,
    serve: bool,
    seconds: int | None,
    lang: str,
    shop: Shop | None = None,
    console: Console | None = None,
) -> int:
    """Show the whole of Penchant; the exit code: 0, 1 if anything was lost or never answered, 130 after Ctrl-C.

    `seconds` is how long the shop's year takes. With `serve` everything stays up afterwards until Ctrl-C or SIGTERM.

    Raises:
        PenchantError: the worker died, or did not get ready; the message says where its log is and quotes its end.
        UsageError: the embedded broker cannot run here, or a file cannot be read.
    """
    console = console or Console(highlight=False)
    console.print("[bold cyan]Penchant[/] demo: starting a broker and a worker on this machine ...")
    with stop_signals() as stop:
        try:
            with ExitStack() as running:
                demo = _Demo(settings, console, shop or Shop(), lang, seconds or REPLAY_S, running, stop)
                code = demo.replay()
                if serve:
                    demo.serve()
                return code
        except KeyboardInterrupt:
            console.print("Stopped; nothing is left running.")
            return INTERRUPTED


@dataclass(slots=True)
class _Progress:
    """What the threads know; each field has one writer."""

    phase: str = "starting"
    shop_time_ms: int | None = None
    started: float = field(default_factory=time.monotonic)
    replay_began: float | None = None


class _Demo:
    def __init__(
        self,
        settings: Settings,
        console: Console,
        shop: Shop,
        lang: str,
        seconds: float,
        running: ExitStack,
        stop: StopRequest,
    ) -> None:
        self._console, self._shop, self._seconds, self._stop = console, shop, seconds, stop
        self._progress = _Progress()
        names = {spec.name: PARTITIONS for spec in topic_specs(settings)}
        self._broker = running.enter_context(EmbeddedBroker(names))
        self._settings = settings.model_copy(
            update={
                "bootstrap_servers": self._broker.bootstrap_servers,
                "security_protocol": "PLAINTEXT",
                "metrics_host": "127.0.0.1",
                "metrics_port": free_port(),
                "shutdown_timeout_s": _SHUTDOWN_S,
                # A day passes in a sixth of a second: what is fresh after a second in a shop would be a week old here.
                "commit_interval_s": _COMMIT_INTERVAL_S,
                "list_max_age_s": _LIST_MAX_AGE_S,
            }
        )
        self._worker = running.enter_context(WorkerProcess(self._settings))
        self._records, items = self._read_shop()
        self._titles = titles_of(items)
        self._first_ms, self._last_ms = self._records[0].time_ms, max(record.time_ms for record in self._records)
        self._watched = choose_shoppers(self._records)
        self._shoppers = Shoppers(self._watched, lang == "zh")
        self._observer = running.enter_context(Observer(self._settings, PARTITIONS, self._shoppers, wall_clock_ms))
        guard = RetentionGuard(
            self._settings.bootstrap_servers, [self._settings.topic_events], self._settings.group_id, 5.0
        )
        self._guard = running.enter_context(guard)
        self._producer = Producer(producer_config(self._settings))
        self._throttle = Throttle([len(record.key) + len(record.value) for record in self._records])

    # -- the run ---------------------------------------------------------------------------------------------------------

    def replay(self) -> int:
        """Everything from loading the catalogue to the summary; the exit code."""
        self._load_catalogue()
        self._stop.check()
        self._greet()
        with screen(self._console, self._view), in_background(self._poll_committed):
            self._wait_until_ready()
            report = self._produce()
            if report.interrupted:
                raise KeyboardInterrupt
            if report.failed:
                raise DeliveryError(f"{report.failed} events were not accepted by the broker: {report.first_failure}")
            self._settle()
        figures = self._observer.finish()
        lost_inside = self._worker.metric("penchant_records_lost_total")
        problems = problems_of(figures, self._observer.lost(), lost_inside)
        elapsed_s = time.monotonic() - self._progress.started
        print_summary(self._console, figures, report, elapsed_s, problems)
        return 1 if problems else 0

    def serve(self) -> None:
        """Keep everything up until Ctrl-C."""
        url = self._worker.metrics_url
        print_serving(self._console, self._settings, url, PARTITIONS, self._watched[0], self._titles)
        with suppress(KeyboardInterrupt):
            while True:
                self._stop.check()
                self._worker.check()
                time.sleep(0.2)
        self._console.print("Stopping ...")

    def _read_shop(self) -> tuple[list[FileRecord], list[FileRecord]]:
        limits, now_ms = decode_limits(self._settings), wall_clock_ms()
        zone = self._shop.timezone
        events = read_events(self._shop.events, self._shop.mapping, limits=limits, now_ms=now_ms, timezone=zone)
        items = read_items(self._shop.items, self._shop.item_mapping, limits=limits, now_ms=now_ms, timezone=zone)
        records = [row for row in events if not isinstance(row, BadRow)]
        if not records:
            raise InputFileError(f"{self._shop.events} holds no event that can be used.", "name another file")
        return records, [row for row in items if not isinstance(row, BadRow)]

    def _load_catalogue(self) -> None:
        shop = self._shop
        report = load_items(
            shop.items,
            shop.item_mapping,
            settings=self._settings,
            limits=decode_limits(self._settings),
            timezone=shop.timezone,
        )
        if report.failed:
            raise DeliveryError(f"{report.failed} items were not accepted by the broker: {report.first_failure}")

    def _greet(self) -> None:
        users = len({record.key for record in self._records})
        self._console.print(f"{len(self._records):,} purchases, {users:,} customers, {len(self._titles):,} items.")
        self._console.print(
            f"Kafka protocol at {self._settings.bootstrap_servers}; worker: process {self._worker.pid}."
        )

    def _wait_until_ready(self) -> None:
        """Send the bad records, some to each partition: their dead letters come once the worker reads all of them."""
        self._progress.phase = "the worker starts (a first time compiles for a minute)"
        for (key, value), partition in zip(BAD_RECORDS, cycle(range(PARTITIONS)), strict=False):
            self._producer.produce(self._settings.topic_events, value, key, partition)
        self._producer.flush(10.0)

        def ready() -> bool:
            items = self._worker.metric("penchant_catalog_items")
            refused = sum(self._observer.figures().refused.values())
            return refused >= len(BAD_RECORDS) and items is not None and items >= len(self._titles)

        self._wait(ready, START_DEADLINE_S, "did not get ready")

    def _produce(self) -> ReplayReport:
        self._progress.phase, self._progress.replay_began = "replaying", time.monotonic()
        return produce(
            StoppableProducer(self._producer, self._stop),
            self._settings.topic_events,
            self._records,
            speed=max(1e-3, (self._last_ms - self._first_ms) / 1000 / self._seconds),
            delivery_timeout_s=self._settings.delivery_timeout_s,
            hold_back=self._hold_back,
        )

    def _settle(self) -> None:
        self._progress.phase = "the last answers come in"

        def settled() -> bool:
            read = self._observer.progress(self._settings.topic_events)
            figures = self._observer.figures()
            owed = figures.waiting_users + figures.missing_reasons + figures.missing_refusals
            return read >= len(self._records) + len(BAD_RECORDS) and not owed

        # What is missing then is told in the summary.
        with suppress(TimeoutError):
            self._wait_or_time_out(settled, SETTLE_DEADLINE_S)

    def _wait(self, condition: Callable[[], bool], deadline_s: float, failure: str) -> None:
        try:
            self._wait_or_time_out(condition, deadline_s)
        except TimeoutError:
            raise PenchantError(f"the worker {failure} within {deadline_s:g} s. {self._worker.log_end()}") from None

    def _wait_or_time_out(self, condition: Callable[[], bool], deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        while not condition():
            self._stop.check()
            self._worker.check()
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.1)

    # -- back-pressure ---------------------------------------------------------------------------------------------------

    def _hold_back(self, record: FileRecord) -> bool:
        """Whether the worker is so far behind that the embedded broker might drop what it has not read."""
        self._observer.check()
        self._worker.check()
        if not self._throttle.may_send():
            return True
        self._progress.shop_time_ms = record.time_ms
        return False

    def _poll_committed(self, stop: threading.Event) -> None:
        """How far the worker has durably come; without an answer from the broker it counts as not further."""
        while not stop.wait(_PROGRESS_POLL_S):
            with suppress(PenchantError):
                self._throttle.reached(max(0, sum(self._guard.committed().values()) - len(BAD_RECORDS)))

    # -- the screen ------------------------------------------------------------------------------------------------------

    def _view(self) -> View:
        progress, now = self._progress, time.monotonic()
        with self._observer.lock:
            cards = self._shoppers.cards(now)
        span = max(1, self._last_ms - self._first_ms)
        done = 0.0 if progress.shop_time_ms is None else (progress.shop_time_ms - self._first_ms) / span
        elapsed = 0.0 if progress.replay_began is None else now - progress.replay_began
        figures = self._observer.figures()
        return View(
            progress.phase,
            done,
            self._throttle.sent,
            len(self._records),
            None if progress.replay_began is None else max(0.0, self._seconds * (1 - done)),
            progress.shop_time_ms,
            figures.events / elapsed if elapsed > 1 else 0.0,
            figures,
            cards,
            self._titles,
        )
