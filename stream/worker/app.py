"""The composition root: everything a worker is made of is put together here, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final
from wsgiref.simple_server import WSGIServer

from models.encoder.opening import EncoderChoice
from stream.errors import InvariantError, PenchantError
from stream.kafka.engine.engine import Engine, HandleChunk
from stream.kafka.engine.fetching import Chunk
from stream.kafka.engine.table import StoreOptions
from stream.kafka.group import members_of, named, shared_topics
from stream.kafka.log_ends import LogEnds
from stream.kafka.log_rules import Logs, another_changelog, what_is_wrong
from stream.kafka.logs import TopicLogs
from stream.kafka.producer import RecordProducer
from stream.kafka.replica import TopicReplica, read_whole
from stream.kafka.transactions import PartitionWriters
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.params import batcher_options, encoder_choice
from stream.privacy.signing import check_signing
from stream.settings import Settings
from stream.settings.serve import is_loopback
from stream.storage.disk import check_room
from stream.storage.rocks import DataDirectory, PartitionStores
from stream.texts.serving import Texts, open_texts
from stream.tracing.export import traces_of
from stream.worker.awaited_texts import AwaitedTexts
from stream.worker.collector import keep_for_life, young_only
from stream.worker.commit import Committer
from stream.worker.compiling import Compiling
from stream.worker.dead_letters import DeadLetters
from stream.worker.expiry import ErasureExpiry, ItemExpiry, UserExpiry
from stream.worker.followed_models import FollowedModels
from stream.worker.journal.beginning import begin_journal
from stream.worker.journal.recording import RecordedTracker
from stream.worker.journal.writer import JournalWriter
from stream.worker.lifecycle import EXIT_GRACE_S, Lifecycle, exit_at_last, exit_now
from stream.worker.log import log_to_stderr
from stream.worker.machine import tell_of_machine
from stream.worker.parts import WorkerParts
from stream.worker.probes import ProbeLimits, Probes
from stream.worker.stale_lists import StaleLists
from stream.worker.tracker import Tracker
from stream.worker.vitals import VitalSigns
from stream.worker.watchdog import Limits, Watchdog
from stream.worker.which_log import WhichLog
from stream.worker.worker import Worker

logger = logging.getLogger(__name__)

FLUSH_S: Final = 1.0
"""Between two times that the journal goes to the disk."""

SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may run Python while others wait for their turn. Python's own 5 ms is what an event would wait for while a
commit's thread writes, again and again: on its way to a list it changes threads some four times."""

ASK_AT_END_S: Final = 3.0
"""How long the broker is asked whether it was the topics that stopped the worker."""


class Application:
    """A worker, wired. `await run()` serves until SIGTERM, SIGINT or a crash."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.directory = DataDirectory(settings.data_dir, settings.block_cache_bytes, settings.write_buffer_bytes)
        self._log_ends, self._readable_ends = LogEnds(settings), LogEnds(settings, readable=True)
        self._topic_logs = TopicLogs(settings)
        self._kept_ms: dict[str, int] = {}
        self._writers = PartitionWriters(settings, self._log_ends.bounds_of, self.metrics.worker.throttled.inc)
        self.engine = Engine(settings)
        self._journal = None if settings.journal_dir is None else begin_journal(settings, settings.journal_dir)
        self.tracker = (
            Tracker(settings, self.metrics)
            if self._journal is None
            else RecordedTracker(settings, self.metrics, self._journal.add)
        )
        producer = RecordProducer(settings, self.metrics.worker.throttled.inc)
        self._traces = traces_of(settings.otlp_endpoint, settings.trace_share, penchant_group=settings.group_id)
        self._committer = Committer(
            settings,
            self.metrics,
            self.tracker,
            producer,
            lambda: self.engine.consumer,
            self._writers.write,
            self._traces,
        )
        self.lifecycle = Lifecycle(self.engine, settings.shutdown_timeout_s, self._abandon)
        user_stores, item_stores = self.directory.stores("users"), self.directory.stores("items")
        parts = WorkerParts(
            settings,
            self.metrics,
            self.tracker,
            self._committer,
            producer,
            DeadLetters(settings, self.metrics, producer),
            self.directory,
            user_stores,
            item_stores,
            self.engine,
            self._replicas_caught_up,
            self._traces,
            kept_ms=self._kept_of,
            which_log=WhichLog(settings, self._topic_logs, self._log_ends),
        )
        self.worker = Worker(parts)
        self._parts, self._stale_lists = parts, StaleLists(parts, self.worker.wake)
        self._models = FollowedModels(settings, self.tracker, self.metrics.work.models_refused.inc, self.worker.wake)
        self._replicas = self._make_replicas()
        self._signs = VitalSigns(
            settings,
            self.metrics,
            self.engine,
            self.tracker,
            self._committer,
            self._readable_ends,
            self._topic_logs,
            self._follow_topics,
            self.lifecycle.fatal_soon,
        )
        self._watchdog = Watchdog(
            Limits(settings.watchdog_commit_age_s, settings.watchdog_stall_s, settings.rebalance_timeout_s),
            self._signs.vitals,
            self._signs.sample,
            self.lifecycle.fatal,
            settings.shutdown_timeout_s + EXIT_GRACE_S,
            self.metrics.worker.stalled.set,
        )
        self._probes = Probes(
            self._signs.vitals,
            lambda: self._watchdog.fired,
            lambda: self.lifecycle.is_stopping,
            self._replicas_caught_up,
            lambda: self.tracker.refresher.quarantine.share,
            ProbeLimits(settings.quarantined_max_share, settings.ready_max_lag_records, settings.watchdog_commit_age_s),
        )
        tell_of_machine(self.metrics, settings, "worker", settings.data_dir, self._probes.why_not_ready)
        self._texts: AwaitedTexts | None = None
        self._compiling_placement: asyncio.Task[None] | None = None
        self._wire_engine(user_stores, item_stores)
        self.on_stopping: Callable[[], None] | None = None
        """Called once, when the worker begins to stop."""
        self.on_stopped_early: Callable[[], None] | None = None
        """Called last where it was stopped before it had joined its group."""

    # --- wiring ---

    def _make_replicas(self) -> list[TopicReplica]:
        settings, fatal, throttled = self.settings, self.lifecycle.fatal, self.metrics.worker.throttled.inc
        return [
            TopicReplica(settings, settings.topic_items, self._replicate_items, fatal, self._known_items, throttled),
            TopicReplica(settings, settings.topic_item_stats, self._replicate_stats, fatal, on_throttled=throttled),
            TopicReplica(settings, settings.topic_models, self._models.replicate, fatal, on_throttled=throttled),
            TopicReplica(
                settings, settings.topic_rules, self._replicate_rules, fatal, self._known_rules, on_throttled=throttled
            ),
            TopicReplica(
                settings,
                settings.topic_strategy_stats,
                self.tracker.replicate_strategies,
                fatal,
                on_throttled=throttled,
            ),
        ]

    def _wire_engine(self, user_stores: PartitionStores, item_stores: PartitionStores) -> None:
        settings, engine, chunks = self.settings, self.engine, self.worker.chunks
        engine.add_agent("track", settings.topic_events, self._telling(chunks.handle_events))
        engine.add_agent("items", settings.topic_item_deltas, self._telling(chunks.handle_deltas))
        engine.add_table(
            "users", settings.changelog_topic, self._store_options("users", settings.topic_events, user_stores)
        )
        engine.add_table(
            "items", settings.topic_item_stats, self._store_options("items", settings.topic_item_deltas, item_stores)
        )
        engine.add_task(self._serve)

    def _store_options(self, table: str, source: str, stores: PartitionStores) -> StoreOptions:
        return StoreOptions(
            stores,
            self._log_ends.bounds_of,
            self.lifecycle.fatal,
            source,
            self._writers.claim,
            self._writers.release,
            self.metrics.work.restored.labels(table).inc,
            self._why_ahead,
        )

    def _why_ahead(self, changelog: str) -> PenchantError | None:
        # The embedded broker has everything in memory: a new one begins with nothing, and so does whoever tries it out.
        return None if self._topic_logs.is_embedded else another_changelog(self.settings, changelog)

    def _abandon(self) -> None:
        """After a failure nothing more is committed."""
        self._committer.abandon()
        self.engine.consumer.on_revoke = None

    # --- running ---

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            PenchantError: what stopped it, if it was not asked to.
        """
        started = time.monotonic()
        self.lifecycle.stop_on_signals()
        # Before what takes long: a port that is taken is to be told at once.
        self._probes.began()
        if self.settings.receipt_private_key is not None or self.settings.request_public_keys:
            check_signing()
        server = self._open_endpoint()
        is_prepared = False
        try:
            is_prepared = await self.lifecycle.unless_stopped(self._prepare())
        finally:
            if not is_prepared:
                if self.on_stopping is not None:
                    self.on_stopping()  # what is open is closed within a deadline, too
                await self._close()
                _close_endpoint(server)
        if not is_prepared:
            self._raise_failure()
            if self.on_stopped_early is not None:
                self.on_stopped_early()
            return
        try:
            self.engine.consumer.on_revoke = self.worker.revoke
            self._watchdog.start()
            starting = asyncio.ensure_future(self.engine.start())
            starting.add_done_callback(lambda done: self._started(done, time.monotonic() - started))
            await self.lifecycle.until_stopped()  # which may come before it has started
            starting.cancel()
        finally:
            if self.on_stopping is not None:
                self.on_stopping()
            try:
                await self.lifecycle.shut_down(self._close, self.worker.end_usual_commits)
            finally:
                self._watchdog.close()
            _close_endpoint(server)
        self._raise_failure()
        if (why := self._committer.failure) is not None:  # Faust says nothing of what fails while it stops
            raise InvariantError(f"the last commit failed and is made again at the next start: {why!r}") from why
        logger.info("stopped: committed; %s", _left(self.worker.left_lists))

    def _raise_failure(self) -> None:
        settings = self.settings
        if self.lifecycle.may_be_the_topics and (wrong := self._wrong_topics()) is not None:
            raise wrong from self.lifecycle.failure
        self.lifecycle.raise_failure(settings.group_id, lambda: named(members_of(settings)))

    def _open_endpoint(self) -> WSGIServer | None:
        settings, token = self.settings, self.settings.metrics_token
        if settings.metrics_port and token is None and not is_loopback(settings.metrics_host):
            logger.warning(
                "the metrics on %s:%d are open to whoever reaches them. Fix: set metrics_token, or let a network policy decide",
                *(settings.metrics_host, settings.metrics_port),
            )
        shown = None if token is None else token.get_secret_value()
        return self.metrics.serve(settings.metrics_host, settings.metrics_port, self._probes.by_path, shown)

    def _kept_of(self, topic: str) -> int | None:
        return self._kept_ms.get(topic)

    async def _prepare(self) -> None:
        """Everything that can be refused or takes long, before the worker joins its group."""
        check_room(self.settings.data_dir, self.settings.write_buffer_bytes)
        logs = await asyncio.to_thread(self._ask_topics)
        partitions = logs[self.settings.topic_events].partitions
        self._kept_ms = {name: log.kept_ms for name, log in logs.items() if log.kept_ms is not None}
        # The embedded broker writes the markers that end a transaction without a checksum.
        check_crcs = not self._topic_logs.is_embedded
        self.engine.configure(partitions=partitions, check_crcs=check_crcs)
        if check_crcs and (shared := await asyncio.to_thread(shared_topics, self.settings)) is not None:
            raise shared
        choice = encoder_choice(self.settings) if self.settings.recommend else None
        compiling = Compiling(self.tracker.stages(texts=choice is not None))
        compiling.start()
        try:
            await asyncio.to_thread(self._models.load_own)
            if choice is not None:
                self._texts = AwaitedTexts(
                    partial(self._open_texts, choice), self.tracker, self.metrics.texts, self._vectors_swapped
                )
                await self._texts.open()
            await compiling.finished()
        finally:
            await compiling.stop()
        await self._read_what_all_know()
        keep_for_life()
        logger.info("starting: %d partitions, data in %s", partitions, self.settings.data_dir)

    def _ask_topics(self) -> Logs:
        """As they are; blocking.

        Raises:
            TopicsError: a worker cannot go on with them.
        """
        logs = self._topic_logs.ask()
        if (wrong := what_is_wrong(self.settings, logs)) is not None:
            raise wrong
        return logs

    def _wrong_topics(self) -> PenchantError | None:
        """Asked at the end: to a client a topic that was deleted is a refusal like any other."""
        briefly = self.settings.model_copy(
            update={"connect_timeout_s": min(ASK_AT_END_S, self.settings.connect_timeout_s)}
        )
        try:
            return what_is_wrong(self.settings, TopicLogs(briefly).ask())
        except PenchantError:
            return None

    async def _read_what_all_know(self) -> None:
        """Catalogue, statistics and models, while the partitions are still another's, who makes their lists meanwhile."""
        with young_only():
            for replica in self._replicas:
                replica.start()
            await read_whole(self._replicas, self.settings.delivery_timeout_s)
            # Before the first list, which may hold nothing that rules forbid.
            if self._compiling_placement is not None:
                await self._compiling_placement
            while self.tracker.is_looking_at_rules:
                self.tracker.look_at_rules(time.monotonic())
                await asyncio.sleep(0)
        # Or a list made again in the first second after a start comes out as if no strategy had earned anything.
        self.tracker.weigh_strategies()

    async def _open_texts(self, choice: EncoderChoice) -> Texts:
        return await open_texts(
            choice,
            partial(batcher_options, self.settings),
            self.directory,
            self.metrics.texts,
            catalog=lambda: self.tracker.knowledge.catalog,
            catalog_is_read=self._replicas_caught_up,
            on_swap=self._vectors_swapped,
            vectors_max_bytes=self.settings.vectors_max_bytes,
            vector_ttl_days=self.settings.text_vector_ttl_days,
            keeps_query_texts=self.settings.keep_query_texts,
            on_query_ready=self._query_ready,
        )

    def _started(self, starting: asyncio.Future[Any], seconds: float) -> None:
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            logger.info("started in %.1f s", seconds)
        else:
            self.lifecycle.fatal_soon(error)

    async def _serve(self) -> None:
        """Runs inside Faust: an exception in any of these stops the worker."""
        self._signs.vitals.serving_since_s = time.monotonic()
        self._signs.vitals.serving = True
        async with self._told():
            await asyncio.gather(
                self.worker.refresh_forever(),
                self.worker.commit_forever(),
                self.worker.measure_forever(self._signs.lag),
                self._signs.watch_log_ends(),
                *([] if self._texts is None else [self._texts.run()]),
                *([] if self._journal is None else [self._flush_forever(self._journal)]),
                *([self._stale_lists.look_forever()] if self.settings.recommend else []),
                ErasureExpiry(self._parts).look_forever(),
                *([UserExpiry(self._parts).look_forever()] if self.settings.user_ttl_days else []),
                *([ItemExpiry(self._parts).look_forever()] if self.settings.unknown_item_ttl_days else []),
            )

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What is raised here on purpose is told in one line; Faust would tell it with a traceback."""
        try:
            yield
        except PenchantError as error:
            await self.lifecycle.fatal(error)
            raise

    def _telling(self, handle: HandleChunk) -> HandleChunk:
        async def handle_told(tp: TopicPartition, chunk: Chunk, generation: int) -> None:
            async with self._told():
                await handle(tp, chunk, generation)

        return handle_told

    async def _close(self) -> None:
        for replica in self._replicas:
            with suppress(AttributeError):  # one that was never started
                await replica.stop()
        if self._texts is not None:
            await self._texts.close()
        self._log_ends.close()
        self._readable_ends.close()
        self.directory.close()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)

    async def _flush_forever(self, journal: JournalWriter) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            journal.flush()
            self.metrics.worker.journal_bytes.set(journal.written_bytes)

    # --- what all workers know ---

    def _replicate_items(self, records: Any) -> None:
        self.tracker.replicate_items(records, time.monotonic())
        self.worker.wake()

    def _replicate_stats(self, records: Any) -> None:
        self.tracker.replicate_stats(records, time.monotonic())
        self.worker.wake()

    def _replicate_rules(self, records: Any) -> None:
        self.tracker.replicate_rules(records, time.monotonic())
        if self._compiling_placement is None and self.tracker.placement_is_to_be_compiled:
            self._compiling_placement = asyncio.ensure_future(self._compile_placement())
        self.worker.wake()

    async def _compile_placement(self) -> None:
        try:
            await asyncio.to_thread(self.tracker.compile_placement)
        except Exception as error:  # noqa: BLE001  (a task's edge: lists without the rules would be wrong)
            self.lifecycle.fatal_soon(error)
            return
        self.tracker.use_placements()
        self.tracker.look_at_rules(time.monotonic())
        self.worker.wake()

    def _known_rules(self) -> list[bytes]:
        return self.tracker.refresher.pages.rules.book.keys()

    def _known_items(self) -> list[bytes]:
        """Of the catalogue."""
        return [item_id.encode() for item_id in self.tracker.knowledge.catalog.item_ids()]

    def _follow_topics(self, logs: Logs, anew: Collection[str]) -> None:
        for replica in self._replicas:
            replica.follow_partitions(logs[replica.topic].partitions)
            if replica.topic in anew:
                replica.begin_anew()

    def _replicas_caught_up(self) -> bool:
        """Whether catalogue, item statistics, models and what strategies earned have been read to their ends."""
        return all(replica.caught_up.is_set() for replica in self._replicas)

    def _vectors_swapped(self) -> None:
        self.tracker.renewal.everyone("model", time.monotonic())
        self.worker.wake()

    def _query_ready(self, partition: int, user: bytes) -> None:
        users = self.tracker.users.get(partition)
        if users is not None and users.knows(user):  # else they were erased meanwhile
            self.tracker.queue.add(partition, user, "refresh", time.monotonic())
            self.worker.wake()


def _left(lists: int) -> str:
    return "0 lists left to make" if not lists else f"{lists} lists left to whoever has the partitions next"


def _close_endpoint(server: WSGIServer | None) -> None:
    if server is not None:
        server.shutdown()
        server.server_close()


def run_worker(settings: Settings) -> None:
    """Serve until stopped; what `penchant worker` calls.

    Raises:
        PenchantError: what stopped it.
    """
    log_to_stderr(settings.log_level, settings.log_format, process="worker", group_id=settings.group_id)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    application = Application(settings)
    application.on_stopping = lambda: exit_at_last(
        lambda: application.lifecycle.failure, settings.shutdown_timeout_s + EXIT_GRACE_S
    )
    application.on_stopped_early = exit_now
    try:
        asyncio.run(application.run())
    except PenchantError:
        raise
    except KeyboardInterrupt:
        return
