"""The composition root: everything a worker is made of is put together here, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from models.sequence.model import SequenceModel
from stream.errors import (
    EXIT_FAILED,
    EXIT_USAGE,
    BrokerUnreachableError,
    InvariantError,
    PenchantError,
    TopicsError,
    UsageError,
)
from stream.kafka.engine.errors import translated
from stream.kafka.engine.faust_app import make_faust_app
from stream.kafka.engine.table import StoreOptions
from stream.kafka.engine.transport import ChunkConsumer
from stream.kafka.producer import RecordProducer
from stream.kafka.replica import TopicReplica
from stream.kafka.topics import LogEnds, check_topics, is_embedded
from stream.kafka.transactions import PartitionWriters
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.params import batcher_options, encoder_choice
from stream.refresh.sequence import load_version, open_sequence
from stream.refresh.versions import RankerModel, SequenceVersion, current, read_weights
from stream.settings import Settings
from stream.storage.rocks import DataDirectory
from stream.texts.serving import Texts, open_texts
from stream.worker.commit import Committer
from stream.worker.log import RepeatFilter
from stream.worker.tracker import Tracker
from stream.worker.watchdog import Limits, Position, Vitals, Watchdog
from stream.worker.worker import Worker

logger = logging.getLogger(__name__)

RECOVERY_BUFFER_CHUNKS = 2
"""Chunks of changelog applied together; 1 means something else to Faust (it never pauses the changelog again)."""

EXIT_GRACE_S = 5.0
"""How long after `shutdown_timeout_s` the process may still need to end."""

NOISY = ("faust", "mode", "aiokafka", "stream.kafka.engine")
"""Loggers of Faust and below; the services of ours that it runs log under our modules' names."""

WATCH_ENDS_S = 10.0


class Application:
    """A worker, wired. `await run()` serves until SIGTERM, SIGINT or a crash."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._directory = DataDirectory(settings.data_dir, settings.block_cache_bytes, settings.write_buffer_bytes)
        self._log_ends = LogEnds(settings)
        self._producer = RecordProducer(settings)
        self._writers = PartitionWriters(settings)
        self.tracker = Tracker(settings, self.metrics)
        self.faust = make_faust_app(settings)
        user_stores, item_stores = self._directory.stores("users"), self._directory.stores("items")
        self._committer = Committer(
            settings, self.metrics, self.tracker, self._producer, lambda: self._consumer, self._writers.write
        )
        self._replicas = [
            TopicReplica(settings, settings.topic_items, self._replicate_items, self.fatal),
            TopicReplica(settings, settings.topic_item_stats, self._replicate_stats, self.fatal),
            TopicReplica(settings, settings.topic_models, self._replicate_models, self.fatal),
            TopicReplica(
                settings, settings.topic_strategy_stats, self.tracker.serving.replicate_strategies, self.fatal
            ),
        ]
        self.worker = Worker(
            settings,
            self.metrics,
            self.tracker,
            self._committer,
            self._producer,
            user_stores,
            item_stores,
            consumer=lambda: self._consumer,
            generation=lambda: int(self.faust.consumer_generation_id),
            replicas_caught_up=self._replicas_caught_up,
        )
        self._events = self.faust.topic(settings.topic_events, value_type=bytes, key_type=bytes)
        self._deltas = self.faust.topic(settings.topic_item_deltas, value_type=bytes, key_type=bytes)
        self._tables = [
            self._table("users", settings.topic_events, settings.changelog_topic, user_stores),
            self._table("items", settings.topic_item_deltas, settings.topic_item_stats, item_stores),
        ]
        self.faust.agent(self._events, name="track", concurrency=1)(self._track)
        self.faust.agent(self._deltas, name="items", concurrency=1)(self._items)
        self.faust.task(self._start_inside)
        self._vitals = Vitals()
        self._behind: dict[TopicPartition, int] = {}
        self._watchdog = Watchdog(
            Limits(settings.watchdog_commit_age_s, settings.watchdog_stall_s, settings.rebalance_timeout_s),
            self._vitals,
            self._sample_vitals,
            self.fatal,
            settings.shutdown_timeout_s + EXIT_GRACE_S,
            self.metrics.worker.stalled.set,
        )
        self._texts: Texts | None = None
        self._own_sequence: SequenceModel | None = None
        self._sequence_version: SequenceVersion | None = None
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self.on_stopping: Callable[[], None] | None = None
        """Called once, when the worker begins to stop."""

    # --- running ---

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            PenchantError: what stopped it, if it was not asked to.
        """
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_for, number)
        partitions = (await asyncio.to_thread(check_topics, self.settings))[self.settings.topic_events].partitions
        self.faust.conf.topic_partitions = partitions
        # The embedded broker writes the markers that end a transaction without a checksum.
        self.faust.conf.broker_check_crcs = not await asyncio.to_thread(is_embedded, self.settings)
        logger.info("compiling what is not compiled yet: on a new machine half a minute or more, else nothing")
        await asyncio.to_thread(self.tracker.warm_up)
        await asyncio.to_thread(self._load_models)
        choice = encoder_choice(self.settings)
        if choice is not None and self.settings.recommend:
            self._texts = self.tracker.knowledge.texts = await open_texts(
                choice,
                partial(batcher_options, self.settings),
                self._directory,
                self.metrics.texts,
                catalog=lambda: self.tracker.knowledge.catalog,
                catalog_is_read=self._replicas_caught_up,
                on_swap=self._vectors_swapped,
                on_query_ready=self._query_ready,
                on_down=self.fatal,
            )
        server = self.metrics.serve(self.settings.metrics_host, self.settings.metrics_port)
        logger.info("starting: %d partitions, data in %s", partitions, self.settings.data_dir)
        try:
            self._consumer.on_revoke = self.worker.revoke
            self._watchdog.start()
            starting = asyncio.ensure_future(self.faust.start())
            starting.add_done_callback(lambda done: self._started(done, time.monotonic() - started))
            await self._until_stopped()  # which may come before it has started
            starting.cancel()
        finally:
            if self.on_stopping is not None:
                self.on_stopping()
            try:
                await self._shut_down()
            except (Exception, asyncio.CancelledError) as error:
                if self._failure is None:
                    raise
                # Faust's remains of a lost membership; the reason is the failure that came first.
                logger.warning("while stopping: %s: %s", type(error).__name__, error)
            finally:
                self._watchdog.close()
            if server is not None:
                server.shutdown()
                server.server_close()
        if self._failure is not None:
            if (ours := translated(self._failure)) is not None:
                raise ours from self._failure
            raise self._failure

    def _started(self, starting: asyncio.Future[Any], seconds: float) -> None:
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            logger.info("started in %.1f s", seconds)
        else:
            self._stopping = asyncio.ensure_future(self.fatal(error))

    def _stop_for(self, number: signal.Signals) -> None:
        logger.info("%s: draining and committing", number.name)
        self.stop()

    def stop(self) -> None:
        """Drain, commit and return from `run`."""
        self._stop.set()

    @property
    def failure(self) -> BaseException | None:
        """Why the worker stops, if nobody asked it to."""
        return self._failure

    async def fatal(self, error: BaseException) -> None:
        """Stop because of a bug or a lost guarantee; nothing more is committed."""
        if self._failure is None:
            self._failure = error
            logger.error("stopping: %s: %s", type(error).__name__, error)
            if not logger.isEnabledFor(logging.DEBUG):
                for name in NOISY:  # its threads and tasks end in tracebacks then, which say nothing of the cause
                    logging.getLogger(name).setLevel(logging.CRITICAL)
        self._committer.abandon()
        self._consumer.on_revoke = None
        self._stop.set()

    async def _until_stopped(self) -> None:
        """Returns as soon as the worker is to stop, for whatever reason."""
        crashed = asyncio.ensure_future(self.faust._crashed.wait())
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([crashed, stopped], return_when=asyncio.FIRST_COMPLETED)
        for waiter in (crashed, stopped):
            waiter.cancel()
        if self.faust._crashed.is_set():
            reason = self.faust.crash_reason or InvariantError("Faust stopped without giving a reason")
            if isinstance(
                reason, asyncio.CancelledError
            ):  # what aiokafka makes of a commit when it loses its membership
                reason = InvariantError("a commit was cancelled: this worker is no longer a member of its group")
            await self.fatal(reason)

    async def _shut_down(self) -> None:
        try:
            await asyncio.wait_for(self.faust.stop(), self.settings.shutdown_timeout_s)
        except TimeoutError:
            logger.error(
                "did not stop within %g s; what was not committed is read again", self.settings.shutdown_timeout_s
            )
        finally:
            for replica in self._replicas:
                with suppress(AttributeError):  # one that was never started
                    await replica.stop()
            if self._texts is not None:
                await self._texts.close()
            self._log_ends.close()
            self._directory.close()

    async def _start_inside(self) -> None:
        """Runs as a Faust task: an exception in any of these stops the worker."""
        for replica in self._replicas:
            replica.start()
        self._vitals.serving = True
        await asyncio.gather(
            self.worker.refresh_forever(),
            self.worker.commit_forever(),
            self.worker.measure_forever(self._lag),
            self._watch_log_ends(),
            *([] if self._texts is None else [self._texts.run()]),
        )

    # --- Faust's side ---

    async def _track(self, stream: Any) -> None:
        async for chunk in stream:
            message = stream.current_event.message
            await self.worker.handle_events(message.tp, chunk, message.generation_id)

    async def _items(self, stream: Any) -> None:
        async for chunk in stream:
            message = stream.current_event.message
            await self.worker.handle_deltas(message.tp, chunk, message.generation_id)

    def _replicate_items(self, records: Any) -> None:
        self.tracker.replicate_items(records, time.monotonic())
        self.worker.wake()

    def _replicate_stats(self, records: Any) -> None:
        self.tracker.replicate_stats(records, time.monotonic())
        self.worker.wake()

    def _replicate_models(self, records: Any) -> None:
        for kind, model in current((record.key, record.value) for record in records).items():
            if kind == "ranker":
                self.tracker.use_ranker(model if isinstance(model, RankerModel) else None, time.monotonic())
            else:
                self._sequence_version = model if isinstance(model, SequenceVersion) else None
                self._loading = asyncio.ensure_future(self._load_sequence(self._sequence_version))
        self.worker.wake()

    def _vectors_swapped(self) -> None:
        self.tracker.renewal.everyone("model", time.monotonic())
        self.worker.wake()

    def _query_ready(self, partition: int, user: bytes) -> None:
        if partition in self.tracker.users:
            self.tracker.queue.add(partition, user, "refresh", time.monotonic())
            self.worker.wake()

    async def _load_sequence(self, version: SequenceVersion | None) -> None:
        """In a thread, so that lists go on being made; only the version that is still wanted then serves."""
        model = self._own_sequence
        if version is not None:
            model = await asyncio.to_thread(load_version, version, self.metrics.work.models_refused.inc)
            if model is None:
                return
        if version is self._sequence_version:
            self.tracker.use_sequence(model, time.monotonic())
            self.worker.wake()

    def _load_models(self) -> None:
        """What the settings name; the models topic may name others later."""
        if self.settings.ranking_weights is not None:
            self.tracker.serving.start_with(read_weights(self.settings.ranking_weights))
        if self.settings.sequence_model is not None:
            self._own_sequence = open_sequence(self.settings.sequence_model)
            self.tracker.serving.use_sequence(self._own_sequence)

    def _replicas_caught_up(self) -> bool:
        """Whether catalogue, item statistics, models and what strategies earned have been read to their ends."""
        return all(replica.caught_up.is_set() for replica in self._replicas)

    @property
    def _consumer(self) -> ChunkConsumer:
        consumer: ChunkConsumer = self.faust.consumer
        return consumer

    def _next_offsets(self) -> dict[TopicPartition, int]:
        """Offset from which each partition that this worker owns is still to be applied."""
        applied = {
            TopicPartition(self.settings.topic_events, p): users.next_offset for p, users in self.tracker.users.items()
        }
        applied |= {
            TopicPartition(self.settings.topic_item_deltas, p): items.next_offset
            for p, items in self.tracker.items.items()
        }
        offsets = {}
        for tp in self._consumer.owned((self.settings.topic_events, self.settings.topic_item_deltas)):
            next_offset = applied.get(tp)
            if next_offset is None:  # nothing has come since the partition was assigned
                next_offset = self._consumer.committed_offset(tp)
            offsets[tp] = next_offset or 0
        return offsets

    def _lag(self) -> dict[TopicPartition, int]:
        """Records not yet applied, of every partition this worker owns."""
        return {tp: max(0, (self._consumer.log_end(tp) or 0) - offset) for tp, offset in self._next_offsets().items()}

    # --- the watchdog's ---

    def _sample_vitals(self) -> None:
        vitals, consumer = self._vitals, self._consumer
        if self._failure is None and (error := consumer.group_error()) is not None:
            self._stopping = asyncio.ensure_future(self.fatal(error))
        vitals.commits = self._committer.last_completed_s
        vitals.recovered_chunks = sum(table.data.recovered_chunks for table in self._tables)
        vitals.rebalancing = consumer.joining
        vitals.rebalances = self.faust.rebalancing_count
        vitals.recovering = (
            self.faust.rebalancing and not consumer.joining
        )  # to Faust a rebalance ends with the recovery
        self.metrics.input.fetched_bytes.set(consumer.unapplied_bytes())
        vitals.positions = {tp: Position(at, self._behind.get(tp, 0)) for tp, at in self._next_offsets().items()}

    async def _watch_log_ends(self) -> None:
        """Find out which partitions are behind. The broker is asked: a fetch that has died sees no new end of the log."""
        interval_s = min(WATCH_ENDS_S, self.settings.watchdog_stall_s / 4) or WATCH_ENDS_S
        before: dict[TopicPartition, int] = {}
        wrong = 0
        while True:
            await asyncio.sleep(interval_s)
            wrong = await self._check_topics(wrong)
            offsets = self._next_offsets()
            unmoved = [tp for tp, offset in offsets.items() if before.get(tp) == offset]
            self._behind = await asyncio.to_thread(self._records_behind, {tp: offsets[tp] for tp in unmoved})
            before = offsets

    async def _check_topics(self, wrong: int) -> int:
        """Times in a row that a topic was missing or had the wrong partition count. Faust would go on without it, for ever."""
        try:
            await asyncio.to_thread(check_topics, self.settings)
        except TopicsError:
            if wrong:  # a broker that has just started may not know them all yet
                raise
            return wrong + 1
        except BrokerUnreachableError:
            return wrong
        return 0

    def _records_behind(self, offsets: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        behind = {}
        try:
            for tp, offset in offsets.items():
                low, high = self._log_ends.bounds(tp.topic, tp.partition)
                behind[tp] = max(0, high - max(low, offset))
        except BrokerUnreachableError:  # then it is not this worker that is stuck; a commit will tell if that lasts
            return {}
        return behind

    def _table(self, name: str, source: str, changelog: str, stores: Any) -> Any:
        return self.faust.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            changelog_topic=self.faust.topic(changelog, key_type=bytes, value_type=bytes),
            recovery_buffer_size=RECOVERY_BUFFER_CHUNKS,
            standby_buffer_size=1,
            options={
                "penchant": StoreOptions(
                    stores,
                    self._log_ends,
                    self.fatal,
                    source,
                    self._writers.claim,
                    self._writers.release,
                    self.metrics.work.restored.labels(name).inc,
                )
            },
        )


def run_worker(settings: Settings) -> None:
    """Serve until stopped; what `penchant worker` calls.

    Raises:
        PenchantError: what stopped it.
    """
    _log_to_stderr(settings.log_level)
    application = Application(settings)
    application.on_stopping = lambda: _exit_at_last(application, settings.shutdown_timeout_s + EXIT_GRACE_S)
    try:
        asyncio.run(application.run())
    except PenchantError:
        raise
    except KeyboardInterrupt:
        return


def _exit_at_last(application: Application, after_s: float) -> None:
    """End the process if it has not ended by then.

    What is left of Faust and aiokafka when a worker has lost its group can wait for ever for a thread that has died: such a
    worker serves nobody, and because it lives no supervisor starts another. What it committed is durable, so this is no
    worse than a SIGKILL.
    """

    def end() -> None:
        failure = application.failure
        sys.stderr.write(f"penchant: {failure or 'stopped'} (did not end by itself within {after_s:g} s)\n")
        sys.stderr.flush()
        os._exit(EXIT_USAGE if isinstance(failure, UsageError) else EXIT_FAILED)

    timer = threading.Timer(after_s, end)
    timer.daemon = True
    timer.start()


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RepeatFilter())
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
