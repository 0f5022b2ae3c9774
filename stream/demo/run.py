"""`penchant demo`: a broker, a worker and a year of real purchases, on one machine, at the pace that it can keep.

Everything that is told at the end was read from the published topics; nothing is taken from the worker's memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

from confluent_kafka import Producer
from rich.console import Console

from stream.demo.observer import Observer, wall_clock_ms
from stream.demo.pace import REPLAY_S, Pace, list_age_s
from stream.demo.screen import in_background, screen
from stream.demo.serve import ServeProcess, serve_port
from stream.demo.shop import BAD_RECORDS, Shop
from stream.demo.shoppers import Shoppers, choose_shoppers, titles_of
from stream.demo.steps import Steps
from stream.demo.summary import print_serving, print_summary, problems_of
from stream.demo.throttle import Throttle
from stream.demo.view import View
from stream.demo.worker import WorkerProcess, demo_settings
from stream.errors import DeliveryError, PenchantError
from stream.files.feed import ReplayReport, produce
from stream.files.reading import FileRecord
from stream.files.replay import load_items, producer_config
from stream.files.stopping import StoppableProducer, StopRequest, stop_signals
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.retention import RetentionGuard
from stream.kafka.specs import topic_specs
from stream.params import decode_limits, encoder_choice
from stream.settings import Settings

PARTITIONS: Final = 4

STALLED_S: Final = 120.0
"""A worker that gets no further for so long has failed. However slow a machine is, something moves in this time."""

_LONGEST_S: Final = 3600.0
"""No wait is longer, whatever moves."""

_POLL_S: Final = 0.25
_METRICS_S: Final = 10.0
INTERRUPTED: Final = 130


def run_demo(
    settings: Settings,
    *,
    serve: bool,
    seconds: int | None,
    lang: str,
    shop: Shop | None = None,
    console: Console | None = None,
    began: float | None = None,
    data_dir: Path | None = None,
    end_s: float | None = None,
) -> int:
    """Show the whole of Penchant; the exit code: 0, 1 if anything was lost or never answered, 130 after Ctrl-C.

    `seconds` is how long the shop's year takes on a machine that keeps up; on others time runs slower. With `serve` everything
    stays up afterwards until Ctrl-C or SIGTERM. `began` is when `make demo` did, in seconds of the wall clock. `data_dir` is
    where the worker's state is for as long as it lives. `end_s` is how long the replay lasts at most, wherever the year is.

    Raises:
        PenchantError: the worker died, or did not get ready; the message says where its log is and quotes its end.
        UsageError: the embedded broker cannot run here, or a file cannot be read.
    """
    console = console or Console(highlight=False)
    before_s = 0.0 if began is None else max(0.0, time.time() - began)
    started = time.monotonic() - before_s
    steps = Steps(console, lambda: time.monotonic() - started)
    with stop_signals() as stop:
        try:
            with ExitStack() as running:
                replay_s = seconds or REPLAY_S
                demo = _Demo(
                    settings,
                    steps,
                    console,
                    shop or Shop(),
                    lang,
                    replay_s,
                    running,
                    stop,
                    data_dir,
                    end_s,
                    serve=serve,
                )
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
    replay_began: float | None = None
    behind_records: float = 0.0
    n_vectors: float = 0.0
    slow: str = ""


class _Demo:
    def __init__(
        self,
        settings: Settings,
        steps: Steps,
        console: Console,
        shop: Shop,
        lang: str,
        seconds: float,
        running: ExitStack,
        stop: StopRequest,
        data_dir: Path | None,
        end_s: float | None,
        *,
        serve: bool,
    ) -> None:
        self._end_s, self._n_sent = end_s, 0
        self._console, self._steps, self._shop, self._stop = console, steps, shop, stop
        self._progress = _Progress()
        self._running, self._data_dir = running, data_dir
        self._serve: ServeProcess | None = None
        self._serve_port = serve_port() if serve else 0
        if serve:
            console.print(f"The explorer, once the worker runs: http://127.0.0.1:{self._serve_port}/", soft_wrap=True)
        steps.tell("reading a year of a shop")
        began = time.monotonic()
        self._records, items = shop.read(decode_limits(settings), wall_clock_ms())
        reading_s = time.monotonic() - began
        stop.check()
        steps.tell("starting a broker and a worker on this machine")
        self._broker = running.enter_context(EmbeddedBroker({spec.name: PARTITIONS for spec in topic_specs(settings)}))
        self._settings = demo_settings(settings, self._broker.bootstrap_servers, list_age_s(reading_s))
        self._worker = running.enter_context(WorkerProcess(self._settings, data_dir))
        self._titles = titles_of(items)
        self._first_ms, self._last_ms = self._records[0].time_ms, max(record.time_ms for record in self._records)
        self._pace = Pace(self._first_ms, self._last_ms, seconds)
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
        self._wait_until_ready()
        if self._serve_port:
            self._start_serving()
        with screen(self._console, self._view), in_background(self._poll_worker):
            report = self._produce()
            if report.interrupted:
                raise KeyboardInterrupt
            if report.failed:
                raise DeliveryError(f"{report.failed} events were not accepted by the broker: {report.first_failure}")
            self._settle()
        figures = self._observer.finish()
        lost_inside = self._worker.metric("penchant_records_lost_total", timeout_s=_METRICS_S)
        if self._n_sent < len(self._records):
            share = self._n_sent / len(self._records)
            self._console.print(
                f"Ended after {self._end_s:.0f} s of replay, as --seconds says: {share:.0%} of the purchases."
            )
        problems = problems_of(figures, self._observer.lost(), lost_inside)
        print_summary(self._console, figures, report, self._steps.elapsed_s, problems)
        if not problems:
            return 0
        self._worker.keep_log = True
        self._console.print(f"The worker's log: {self._worker.log}", markup=False, soft_wrap=True)
        return 1

    def serve(self) -> None:
        """Keep everything up until Ctrl-C."""
        self._observer.stop()  # nothing is counted any more, and reading costs a part of a core
        url = self._worker.metrics_url
        serve_url = "" if self._serve is None else self._serve.url
        print_serving(self._console, self._settings, url, serve_url, PARTITIONS, self._watched[0], self._titles)
        with suppress(KeyboardInterrupt):
            while True:
                self._stop.check()
                self._worker.check()
                if self._serve is not None:
                    self._serve.check()
                time.sleep(0.2)
        self._console.print("Stopping ...")

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
        """Send the bad records, some to each partition: their dead letters come once the worker reads all of them.

        Raises:
            PenchantError: it does not get ready.
        """
        for (key, value), partition in zip(BAD_RECORDS, cycle(range(PARTITIONS)), strict=False):
            self._producer.produce(self._settings.topic_events, value, key, partition)
        self._producer.flush(10.0)

        try:
            self._wait_until(self._is_ready, lambda: (self._worker.compiling(), self._progress.n_vectors))
        except TimeoutError:
            raise PenchantError(f"the worker did not get ready. {self._worker.log_end()}") from None

    def _start_serving(self) -> None:
        """Once the worker has compiled what both need; from the first list on it follows everything.

        Raises:
            PenchantError: it does not get ready.
        """
        own = {"serve_host": "127.0.0.1", "serve_port": self._serve_port}
        serve = ServeProcess(self._settings.model_copy(update=own), self._data_dir)
        self._serve = self._running.enter_context(serve)
        try:
            self._wait_until(self._serves, lambda: serve.log.stat().st_size)
        except TimeoutError:
            raise PenchantError(f"`penchant serve` did not get ready. {serve.log_end()}") from None

    def _serves(self) -> bool:
        assert self._serve is not None, "it was started"
        self._steps.tell("penchant serve starts")
        self._serve.check()
        return self._serve.is_ready()

    def _is_ready(self) -> bool:
        """Whether the worker reads all partitions, knows the catalogue and understands its texts; tells how far it is."""
        compiling = self._worker.compiling()
        if (
            compiling
            or sum(self._observer.figures().refused.values()) < len(BAD_RECORDS)
            or (self._worker.metric("penchant_catalog_items") or 0) < len(self._titles)
        ):
            self._steps.tell(f"the worker starts: {compiling}" if compiling else "the worker starts")
            return False
        if encoder_choice(self._settings) is None:
            return True
        self._steps.tell("the worker reads the items' texts")
        self._progress.n_vectors = self._worker.metric("penchant_item_vectors") or 0.0
        return self._progress.n_vectors > 0 and self._worker.metric("penchant_item_vectors_waiting") == 0

    def _produce(self) -> ReplayReport:
        self._progress.phase, self._progress.replay_began = "replaying", time.monotonic()
        return produce(
            StoppableProducer(self._producer, self._stop),
            self._settings.topic_events,
            self._until_the_end(),
            delivery_timeout_s=self._settings.delivery_timeout_s,
            hold_back=self._hold_back,
        )

    def _until_the_end(self) -> Iterator[FileRecord]:
        for record in self._records:
            if self._has_ended():
                return
            self._n_sent += 1
            yield record

    def _has_ended(self) -> bool:
        began = self._progress.replay_began
        return self._end_s is not None and began is not None and time.monotonic() - began >= self._end_s

    def _settle(self) -> None:
        self._progress.phase = "the last answers come in"

        def settled() -> bool:
            read = self._observer.progress(self._settings.topic_events)
            figures = self._observer.figures()
            owed = figures.waiting_users + figures.missing_reasons + figures.missing_refusals + figures.missing_outcomes
            return read >= self._n_sent + len(BAD_RECORDS) and not owed

        # What is missing then is told in the summary.
        with suppress(TimeoutError):
            self._wait_until(settled, self._observer.records)

    def _wait_until(self, condition: Callable[[], bool], progress: Callable[[], Hashable]) -> None:
        """Raises TimeoutError once `progress` has not changed for `STALLED_S`."""
        began = changed = time.monotonic()
        last = progress()
        while not condition():
            self._stop.check()
            self._worker.check()
            now, latest = time.monotonic(), progress()
            if latest != last:
                last, changed = latest, now
            if now - changed > STALLED_S or now - began > _LONGEST_S:
                raise TimeoutError
            time.sleep(0.1)

    # -- the pace ----------------------------------------------------------------------------------------------------------

    def _hold_back(self, record: FileRecord) -> bool:
        """Whether the shop's time has not come to this record yet, or the embedded broker might drop what was not read."""
        self._worker.check()
        progress, now = self._progress, time.monotonic()
        if self._has_ended():
            return not self._throttle.may_send()
        if not self._pace.has_come(record.time_ms):
            self._pace.look(now, self._observer.waiting_s(), progress.behind_records)
            if progress.replay_began is not None:
                progress.slow = self._pace.note(now - progress.replay_began) or progress.slow
            if not self._pace.has_come(record.time_ms):
                return True
        if not self._throttle.may_send():
            return True
        progress.shop_time_ms = record.time_ms
        return False

    def _poll_worker(self, stop: threading.Event) -> None:
        """How far the worker has durably come, and how far behind it is with items; without an answer nothing changes."""
        while not stop.wait(_POLL_S):
            with suppress(PenchantError):
                self._throttle.reached(max(0, sum(self._guard.committed().values()) - len(BAD_RECORDS)))
            behind = self._worker.metric("penchant_lag_records", f'topic="{self._settings.topic_item_deltas}"')
            if behind is not None:
                self._progress.behind_records = behind

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
            None if progress.replay_began is None else self._pace.left_s,
            progress.shop_time_ms,
            figures.events / elapsed if elapsed > 1 else 0.0,
            figures,
            cards,
            self._titles,
            progress.slow,
        )
