"""The composition root of `penchant serve`: everything it is made of is put together here, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import uvloop

from models.encoder.opening import EncoderChoice
from models.hashing import item_hash
from stream.errors import CorruptStateError, InvariantError, PenchantError
from stream.kafka.follower import LogFollower
from stream.kafka.log_ends import LogEnds
from stream.kafka.log_rules import Logs, what_is_wrong
from stream.kafka.logs import TopicLogs
from stream.kafka.replica import Replicated, TopicReplica, read_whole
from stream.metrics import Metrics
from stream.params import batcher_options, encoder_choice
from stream.serve.answers import NowAnswer, Ready
from stream.serve.followed.lists import LastLists
from stream.serve.followed.people import FollowedPeople
from stream.serve.followed.reasons import LastReasons
from stream.serve.followed.table import FollowedTable
from stream.serve.http.app import http_app
from stream.serve.http.server import Server
from stream.serve.items import ItemDesk
from stream.serve.links import Links
from stream.serve.lists import ListDesk
from stream.serve.now import Now, window
from stream.serve.people import PeopleDesk
from stream.serve.producer import EventProducer
from stream.serve.ranker import Ranker
from stream.serve.rules import RuleDesk
from stream.serve.shelf import Shelf
from stream.serve.told import Teller
from stream.serve.whys import WhyDesk
from stream.settings import Settings
from stream.settings.placements import HOME
from stream.state.edits import remembered
from stream.state.record import States
from stream.storage.rocks import DataDirectory
from stream.texts.serving import Texts, open_texts
from stream.wire.pseudonyms import KeyRing
from stream.worker.awaited_texts import AwaitedTexts
from stream.worker.collector import keep_for_life, young_only
from stream.worker.compiling import Compiling
from stream.worker.followed_models import FollowedModels
from stream.worker.log import log_to_stderr
from stream.worker.machine import tell_of_machine
from stream.worker.tracker import Tracker

logger = logging.getLogger(__name__)

LANGUAGES: Final = "en,zh"
"""Of reasons that are made here: the pages speak both."""

LOOK_EVERY_S: Final = 1.0
SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may run Python while others wait: requests wait for the threads that follow topics."""

AWAY_AFTER_S: Final = 6.0
"""Without an answer of the broker for so long answers are stale, and say so."""

ASK_S: Final = 4.0
REQUESTS_S: Final = 10.0
"""Of the rate of requests."""

_MEMORY_SHARE: Final = 2


class Desks(NamedTuple):
    """Who answers what."""

    lists: ListDesk
    whys: WhyDesk
    people: PeopleDesk
    items: ItemDesk
    rules: RuleDesk


class ServeApplication:
    """One process that is asked, wired. `await run()` serves until SIGTERM, SIGINT or a failure."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings = settings.model_copy(update={"explanation_languages": LANGUAGES})
        self.metrics = Metrics()
        self.tracker = Tracker(settings, self.metrics)
        memory_bytes = settings.serve_memory_bytes // _MEMORY_SHARE
        self._directory = DataDirectory(settings.serve_data_dir, memory_bytes, memory_bytes)
        self._failure: BaseException | None = None
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._log_ends = LogEnds(settings.model_copy(update={"delivery_timeout_s": ASK_S}), readable=True)
        self._answered = time.monotonic()
        self._reasons = LastReasons(self._table("reasons"))
        self._people = FollowedPeople(self._table("people"), self._reasons.forget)
        self.now = Now(settings, self._listed_items, self._is_first)
        self._lists = {
            placement: LastLists(
                self._table(f"lists-{placement}"), self.now.lists_arrived if placement == HOME else _ignored
            )
            for placement in (HOME, *settings.placement_topics())
        }
        topics = {HOME: settings.topic_recommendations} | settings.placement_topics()
        self._followers = [
            *(LogFollower(settings, topics[name], taker, self._failed) for name, taker in self._lists.items()),
            LogFollower(settings, settings.topic_attributions, self._reasons, self._failed),
            LogFollower(settings, settings.changelog_topic, self._people, self._failed),
        ]
        self._models = FollowedModels(settings, self.tracker, self.metrics.work.models_refused.inc, _nothing)
        self._replicas = self._make_replicas()
        self._texts: AwaitedTexts | None = None
        self._compiling_placement: asyncio.Task[None] | None = None
        self.links = Links(
            secrets.token_bytes(32)
            if settings.serve_link_secret is None
            else settings.serve_link_secret.get_secret_value().encode(),
            settings.serve_link_days,
        )
        keys = settings.pseudonym_keys
        self._ring = None if keys is None else KeyRing.parse(keys.get_secret_value())
        self._shelf = Shelf(self.tracker.knowledge)
        self.is_compiled = False
        self._judged = States(1)
        tell_of_machine(self.metrics, settings, "serve", settings.serve_data_dir, lambda: self.why_not)

    def _table(self, name: str) -> FollowedTable:
        return FollowedTable(self._directory.stores(name))

    def _make_replicas(self) -> list[TopicReplica]:
        settings, tracker = self.settings, self.tracker
        return [
            TopicReplica(settings, settings.topic_items, self._replicate_items, self._fatal, self._known_items),
            TopicReplica(settings, settings.topic_item_stats, self._replicate_stats, self._fatal),
            TopicReplica(settings, settings.topic_models, self._models.replicate, self._fatal),
            TopicReplica(settings, settings.topic_rules, self._replicate_rules, self._fatal, self._known_rules),
            TopicReplica(settings, settings.topic_strategy_stats, tracker.replicate_strategies, self._fatal),
        ]

    def person_of(self, user_id: str) -> str:
        """The id that events have, of one that a question names: a pseudonym, where there are keys for it. Whoever is
        known by an older key keeps that pseudonym."""
        if self._ring is None:
            return user_id
        known = (each for each in self._ring.all_of(user_id) if self._people.knows(each.encode()))
        return next(known, None) or self._ring.pseudonym(user_id)

    # --- running ---

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            PenchantError: what stopped it, if it was not asked to.
        """
        self._loop = asyncio.get_running_loop()
        settings = self.settings
        logs = await asyncio.to_thread(self._ask_topics)
        self.producer = EventProducer(settings)
        self.desks = self._make_desks(logs[settings.topic_events].partitions)
        self._http = http_app(self)
        self._server = Server(settings, self._http)
        serving = asyncio.ensure_future(self._server.serve(self._began))
        working = asyncio.ensure_future(self._work())
        working.add_done_callback(self._work_ended)
        try:
            await serving
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError, PenchantError):
                await working
            await self._close()
        if self._failure is not None:
            raise self._told(self._failure)

    def _ask_topics(self) -> Logs:
        logs = TopicLogs(self.settings).ask()
        if (wrong := what_is_wrong(self.settings, logs)) is not None:
            raise wrong
        return logs

    def _make_desks(self, partitions: int) -> Desks:
        settings, tracker = self.settings, self.tracker
        ranker, shelf, home = Ranker(settings, tracker, self._people), self._shelf, self._lists[HOME]
        lists = ListDesk(
            settings, ranker, shelf, self._lists, self._reasons, self._people, partitions, lambda: self.is_stale
        )
        teller = Teller(settings, tracker.knowledge)
        return Desks(
            lists,
            WhyDesk(settings, tracker, ranker, shelf, lists.partition_of),
            PeopleDesk(settings, tracker, ranker, home, self._reasons, self._people, teller, lists.partition_of),
            ItemDesk(tracker, shelf, home),
            RuleDesk(settings, tracker, ranker, home, self._people, lists.partition_of),
        )

    async def _work(self) -> None:
        """Follow the topics, and everything that has to be done beside."""
        choice = encoder_choice(self.settings)
        compiling = Compiling(self.tracker.stages(texts=choice is not None))
        compiling.start()
        try:
            await asyncio.to_thread(self._models.load_own)
            if choice is not None:
                self._texts = AwaitedTexts(
                    partial(self._open_texts, choice), self.tracker, self.metrics.texts, _nothing
                )
                await self._texts.open()
            with young_only():
                for replica in self._replicas:
                    replica.start()
                for follower in self._followers:
                    follower.start()
                await compiling.finished()
                await read_whole(self._replicas, self.settings.delivery_timeout_s)
        finally:
            await compiling.stop()
        self.tracker.weigh_strategies()
        self.is_compiled = True
        keep_for_life()
        await asyncio.gather(self._look_forever(), *([] if self._texts is None else [self._texts.run()]))

    async def _look_forever(self) -> None:
        while True:
            if self.tracker.is_looking_at_rules or not self.tracker.refresher.pages.rules.is_empty:
                self.tracker.look_at_rules(time.monotonic(), 10)
            self.tracker.weigh_strategies()
            await self._ask_ends()
            is_ready = self.why_not is None
            self.metrics.http.ready.set(is_ready)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ask_ends(self) -> None:
        where = [(each.topic, p) for each in self._followers for p in each.positions]
        try:
            bounds = await asyncio.to_thread(self._log_ends.bounds_of, where)
        except PenchantError as error:
            logger.debug("no broker answers: %s", error)
            return
        self._answered = time.monotonic()
        for each in self._followers:
            behind = sum(
                max(0, bounds[each.topic, p][1] - at) for p, at in each.positions.items() if (each.topic, p) in bounds
            )
            self.metrics.http.lag.labels(each.topic).set(behind)

    async def _open_texts(self, choice: EncoderChoice) -> Texts:
        return await open_texts(
            choice,
            partial(batcher_options, self.settings),
            self._directory,
            self.metrics.texts,
            catalog=lambda: self.tracker.knowledge.catalog,
            catalog_is_read=self._replicas[0].caught_up.is_set,
            on_swap=_nothing,
            vectors_max_bytes=self.settings.vectors_max_bytes,
            vector_ttl_days=self.settings.text_vector_ttl_days,
            keeps_query_texts=self.settings.keep_query_texts,
            on_query_ready=lambda *_: None,
        )

    async def _close(self) -> None:
        self.now.close()
        await asyncio.to_thread(self.producer.close)
        for replica in self._replicas:
            with suppress(AttributeError):  # one that was never started
                await replica.stop()
        for follower in self._followers:
            await asyncio.to_thread(follower.stop)
        if self._texts is not None:
            await self._texts.close()
        self._log_ends.close()
        self._directory.close()

    # --- failing ---

    async def _fatal(self, error: BaseException) -> None:
        self._fail(error)

    def _failed(self, error: BaseException) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        if self._server is not None:
            self._server.stop()

    def _work_ended(self, work: asyncio.Future[None]) -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            self._fail(error)

    @staticmethod
    def _told(error: BaseException) -> PenchantError:
        if isinstance(error, PenchantError):
            return error
        told = InvariantError(f"{type(error).__name__}: {error}")
        told.__cause__ = error
        return told

    # --- what all processes know ---

    def _replicate_items(self, records: list[Replicated]) -> None:
        self.tracker.replicate_items(records, time.monotonic())
        self._shelf.changed(record.key.decode(errors="replace") for record in records if record.key)

    def _replicate_stats(self, records: Any) -> None:
        self.tracker.replicate_stats(records, time.monotonic())

    def _replicate_rules(self, records: Any) -> None:
        self.tracker.replicate_rules(records, time.monotonic())
        if self._compiling_placement is None and self.tracker.placement_is_to_be_compiled:
            self._compiling_placement = asyncio.ensure_future(self._compile_placement())

    async def _compile_placement(self) -> None:
        try:
            await asyncio.to_thread(self.tracker.compile_placement)
        except Exception as error:  # noqa: BLE001  (a task's edge: lists without the rules would be wrong)
            self._fail(error)
            return
        self.tracker.use_placements()
        self.tracker.look_at_rules(time.monotonic())

    def _known_rules(self) -> list[bytes]:
        return self.tracker.refresher.pages.rules.book.keys()

    def _known_items(self) -> list[bytes]:
        return [item_id.encode() for item_id in self.tracker.knowledge.catalog.item_ids()]

    # --- what is asked of the whole ---

    @property
    def is_stopping(self) -> bool:
        """Whether it ends."""
        return self._server is not None and self._server.is_stopping

    @property
    def is_stale(self) -> bool:
        """No broker has answered lately."""
        return time.monotonic() - self._answered > AWAY_AFTER_S

    @property
    def why_not(self) -> str | None:
        """Why it does not answer as it should; None: it does."""
        if not self.is_compiled:
            return "starting: compiling, and reading the catalogue and the statistics"
        behind = [each.topic for each in self._followers if not each.has_caught_up.is_set()]
        if behind:
            return f"reading {', '.join(behind)}"
        if self.tracker.is_looking_at_rules or (
            self._compiling_placement is not None and not self._compiling_placement.done()
        ):
            return "looking which items rules mean"
        return "no broker answers" if self.is_stale else None

    @property
    def may_answer(self) -> bool:
        """Whether lists may be asked for: once everything was read, or earlier where the settings allow it."""
        if self.settings.serve_stale and self.is_compiled:
            return True
        return self.is_compiled and all(each.has_caught_up.is_set() for each in self._followers)

    def ready(self) -> Ready:
        """For a load balancer."""
        why_not = self.why_not
        return Ready(why_not is None, why_not or "")

    def now_answer(self) -> NowAnswer:
        """How everything does."""
        self.now.watch()
        why_not, arrived = self.why_not, self._people.arrived
        age_ms = round((time.monotonic() - arrived) * 1000) if arrived else None
        at = time.monotonic()
        took_ms = [ms for when, ms in self._http.recent if at - when <= REQUESTS_S]
        return self.now.answer(
            lists=self._lists[HOME].count(),
            items=self.tracker.knowledge.catalog.size,
            commit_age_ms=age_ms,
            ready=why_not is None,
            why_not=why_not or "",
            stale=self.is_stale,
            requests_per_s=len(took_ms) / REQUESTS_S,
            request_p99_ms=window(took_ms, REQUESTS_S).p99_ms,
        )

    def _listed_items(self, user: bytes) -> tuple[int, list[str]] | None:
        record = self._lists[HOME].get(user)
        return None if record is None else (record.source.offset, [item.item_id for item in record.items])

    def _is_first(self, user: bytes, item_id: str) -> bool:
        try:
            self._people.load(user, self._judged)
        except CorruptStateError:
            return False
        wanted = item_hash(item_id)
        return any(each.is_first for each in remembered(self._judged)[-5:] if each.item == wanted)

    def _began(self, address: str) -> None:
        logger.info("serving on %s", address)


def _nothing() -> None:
    """Nobody is to be told."""


def _ignored(_: object) -> None:
    """Of other placements no figures are kept."""


def run_serve(settings: Settings) -> None:
    """Serve until stopped; what `penchant serve` calls.

    Raises:
        PenchantError: what stopped it.
    """
    log_to_stderr(settings.log_level, settings.log_format, process="serve", group_id=settings.group_id)
    application = ServeApplication(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run: Coroutine[Any, Any, None] = application.run()
    with suppress(KeyboardInterrupt):
        uvloop.run(run)
