"""What one worker does with events and item deltas: the application's decisions, apart from Faust and from the clock.

Everything here runs on the event loop and never awaits, so a chunk is applied whole or not at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.items.co_occurrence import moment_bins
from models.items.warm_up import warm_up as warm_up_items
from models.learning.click_model import warm_up as warm_up_clicks
from models.ranking.newcomers import gains, gains_in_context
from models.ranking.newcomers import warm_up as warm_up_newcomers
from models.ranking.weights import RankingWeights, default_weights
from models.sequence.model import SequenceModel
from models.vocabulary import CLICK, EXPERTS, IMPRESSION, QUERY
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.outcomes.crediting import warm_up as warm_up_crediting
from stream.params import credit_params, decode_limits, ranking_params, update_params
from stream.partitions.contributions import PartitionContributions
from stream.partitions.event_times import FOREVER_MS
from stream.partitions.items import ItemPartition
from stream.partitions.standing import PartitionStanding
from stream.partitions.taken import Taken
from stream.partitions.users import TakenOut, UserPartition
from stream.refresh.knowledge import Knowledge, TextSource
from stream.refresh.lists import LastLists
from stream.refresh.publish import Published
from stream.refresh.queue import Due, RefreshQueue
from stream.refresh.refresher import Refresher
from stream.refresh.renewal import Renewal
from stream.refresh.serving import Serving
from stream.refresh.versions import RankerModel
from stream.settings import Settings
from stream.state.contributions import OPEN_PREFIX
from stream.state.ledger import LEDGER_PREFIX
from stream.state.owed import OWED_PREFIX, pack_mark
from stream.state.update import Changes, apply_events, warm_up
from stream.storage.rocks import PartitionStore
from stream.wire.decode import QUARANTINED, Rejected
from stream.worker.compiling import Stage
from stream.worker.intake import Intake, read_chunk
from stream.worker.refused_items import RefusedItems

logger = logging.getLogger(__name__)

RULE_SLICES: Final = 10
"""Of items looked at for new rules at a time, a second: some 50 ms."""

UNREADABLE_STATE = Rejected(QUARANTINED, "what is stored for this user cannot be read; it was left as it is")


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Tracker:
    """The partitions of one worker, what it knows beside them, and the queue of users to refresh."""

    def __init__(self, settings: Settings, metrics: Metrics, lists: LastLists | None = None) -> None:
        """`lists`: last lists; default: none are known."""
        self._settings, self._metrics = settings, metrics
        self._limits, self._update = decode_limits(settings), update_params(settings)
        self._crediting = credit_params(settings)
        self.knowledge = Knowledge(
            self._limits,
            settings.neighbours_max,
            metrics,
            settings.unknown_items_max,
            settings.statistics_max_bytes,
            settings.sensitive_categories,
        )
        self.serving = Serving(
            ranking_params(settings, default_weights()),
            settings.strategy_feedback_max,
            metrics,
            settings.newcomer_lists,
        )
        self.lists = LastLists() if lists is None else lists
        self.queue = RefreshQueue()
        self.renewal = Renewal(self.queue, self.lists, self.knowledge, settings.refresh_queue_max_users)
        self.refresher = Refresher(settings, metrics, self.knowledge, self.serving, self.lists)
        self.refused_items = RefusedItems()
        self.wall_ms: Callable[[], int] = _wall_ms
        """The wall clock."""
        self.users: dict[int, UserPartition] = {}
        self.items: dict[int, ItemPartition] = {}

    def stages(self, *, texts: bool) -> list[Stage]:
        """What runs compiled, `texts` with interests by text: to be compiled before there is a chunk that waits for it."""
        credit = self._crediting
        return [
            Stage("states of people", partial(warm_up, self._update)),
            *([] if credit is None else [Stage("outcomes of lists", partial(warm_up_crediting, credit))]),
            Stage("item statistics", warm_up_items),
            Stage("newcomers", warm_up_newcomers),
            *([Stage("clicks", warm_up_clicks)] if self._settings.learn_clicks else []),
            Stage("lists", self.refresher.warm_up),
            *([Stage("lists by text", self.refresher.warm_up_texts)] if texts else []),
        ]

    def warm_up(self) -> None:
        """Compile what runs compiled, which may take some seconds the first time on a machine."""
        for stage in self.stages(texts=True):
            stage.compile_()

    # --- events ---

    def read(self, users: UserPartition, records: Sequence[Any], now_ms: int = FOREVER_MS) -> Intake:
        """Decode a chunk of events, none of which is later than the wall clock `now_ms` allows, and load their users.

        Events of users whose stored state cannot be read are refused: nothing may be written over it.
        """
        with self._metrics.work.stage_seconds.labels("decode").time():
            intake = read_chunk(records, self._limits.at(now_ms), self.knowledge.names)
        if intake.requests:  # they part the chunk: what is before each is applied before it
            return intake
        for name, n in intake.mended.items():
            self._metrics.input.mended.labels(name).inc(n)
        rows = users.overlay.rows(intake.keys)
        intake = intake._replace(columns=intake.columns._replace(row=rows))
        unreadable = rows < 0
        if unreadable.any():
            self.refresher.quarantine.note_unreadable(users)
            intake = intake.refusing(unreadable, records, UNREADABLE_STATE)
        return self._without_withheld(users, intake)

    def apply(self, users: UserPartition, intake: Intake, now: float, now_ms: int = FOREVER_MS) -> Changes:
        """Apply events, as `read` has just returned them, to the users' states and queue those users for refresh."""
        texts = self.knowledge.texts
        with self._metrics.work.stage_seconds.labels("update").time():
            columns = intake.columns._replace(offset=intake.columns.offset + users.base_offset)
            intake = intake._replace(columns=columns)
            changes = apply_events(users.overlay.states, columns, self._update)
            users.overlay.mark_dirty(changes.rows)
            told_ms = users.times.told(columns.time_ms, intake.timestamp_ms, now_ms)
            changes = changes._replace(first_time_ms=told_ms[changes.first_event])
            self.knowledge.heard_of(int(told_ms.max(initial=0)))
            if self._settings.recommend:
                self._note_newcomers(users, changes)
                self._note_few(users, intake, changes)
                counted = self._counted(users, intake, changes)
                if users.contributions is not None:
                    _note_contributions(users.contributions, intake, changes, counted)
                changes = _bounded(changes, counted)
                users.collect(changes)
                if texts is not None and intake.queries:
                    texts.queries.asked(users.partition, intake.queries)
                # Users of skipped events are queued too: the crash that makes them come again may have lost their list.
                self.queue.add_events(
                    users.partition, intake.keys, columns.row, columns.offset, columns.time_ms, intake.timestamp_ms, now
                )
                self._credit(users, intake, changes)
                if self._settings.learn_clicks:
                    users.clicks.happened(intake.keys, columns, intake.referrals, changes.applied)
        self._count(intake, changes)
        self._judge(users.partition, intake, changes)
        return changes

    def _note_newcomers(self, users: UserPartition, changes: Changes) -> None:
        """What people without history chose judges the lists that they could have had."""
        entered, knowledge = changes.first_is_entry, self.knowledge
        priors = knowledge.last_priors
        if priors is None or not entered.any():
            return
        newest_ms = int(changes.first_time_ms[entered].max())
        taken = knowledge.index.lookup(changes.first_item[entered]).astype(np.int64)
        bins = moment_bins(changes.first_time_ms[entered], changes.first_context[entered])
        expected = self.serving.sequences.expected_of_newcomers(
            newest_ms, knowledge.index, knowledge.catalog.recommendable, knowledge.vectors
        )
        gained, in_context = gains(priors, expected, taken), gains_in_context(priors, taken, bins)
        users.outcomes.newcomers.came(gained, EXPERTS[priors.followed], in_context, newest_ms)

    def _note_few(self, users: UserPartition, intake: Intake, changes: Changes) -> None:
        """What people with few items chose judges the lists that they could have had."""
        lists = self.refresher.few_items
        chosen = np.flatnonzero(~changes.first_is_entry)
        if not len(lists) or not len(chosen):
            return
        who = [(users.partition, intake.keys[event]) for event in changes.first_event[chosen].tolist()]
        taken = self.knowledge.index.lookup(changes.first_item[chosen]).astype(np.int64)
        name = self.serving.without_added.cold_expert
        better = lists.judged(who, taken, name)
        if len(better):
            users.outcomes.newcomers.chose_with_few(name, better, int(changes.first_time_ms[chosen].max()))

    def _without_withheld(self, users: UserPartition, intake: Intake) -> Intake:
        """Without events of people who have asked that they are not used."""
        if not len(users.standing) and not users.standing.n_erased:
            return intake
        withheld = users.standing.withheld(intake.keys, intake.columns.offset + users.base_offset)
        for why, events in withheld.items():
            self._metrics.input.withheld.labels(why).inc(int(events.sum()))
        return intake.without(np.logical_or.reduce(list(withheld.values()))) if withheld else intake

    def _counted(self, users: UserPartition, intake: Intake, changes: Changes) -> NDArray[np.bool_]:
        """(m,) which first engagements are not beyond what one user may say of items in a day."""
        who = [intake.keys[event] for event in changes.first_event.tolist()]
        counted = users.influence.counted(who, changes.first_time_ms)
        if not counted.all():
            self._metrics.input.engagements_uncounted.inc(int((~counted).sum()))
        return counted

    def _credit(self, users: UserPartition, intake: Intake, changes: Changes) -> None:
        """Which recommendations earned what these events are."""
        if self._crediting is None:
            return
        with self._metrics.work.stage_seconds.labels("credit").time():
            outcomes = users.outcomes.apply(
                intake.keys,
                intake.columns,
                intake.referrals,
                changes.applied,
                self._crediting,
                self._settings.topic_events,
                self.knowledge.name_of,
                users.contributions,
            )
        for action, evidence in ((outcome.action, outcome.evidence) for outcome in outcomes):
            self._metrics.output.outcomes.labels(action, evidence).inc()

    def _count(self, intake: Intake, changes: Changes) -> None:
        metrics, catalog, index = self._metrics.input, self.knowledge.catalog, self.knowledge.index
        for action, n in intake.actions.items():
            metrics.events.labels(action).inc(n)
        metrics.fenced.inc(changes.n_fenced)
        metrics.repeats.inc(changes.n_repeats)
        items, counts = np.unique(intake.columns.item[intake.columns.action != QUERY], return_counts=True)
        known = [catalog.item(at) is not None for at in index.lookup(items).tolist()]
        metrics.unknown_items.inc(int(counts[~np.array(known, bool)].sum()))

    def _judge(self, partition: int, intake: Intake, changes: Changes) -> None:
        """Whether what users engaged with for the first time stood in the list they had: the live prequential figure."""
        if not len(self.lists) or not len(changes.first_item):
            return
        users = [(partition, intake.keys[event]) for event in changes.first_event.tolist()]
        hits, misses = self.lists.hits(users, self.knowledge.index.lookup(changes.first_item).tolist())
        self._metrics.work.prequential.labels("hit").inc(hits)
        self._metrics.work.prequential.labels("miss").inc(misses)

    # --- what all workers know ---

    def replicate_items(self, records: Sequence[Replicated], now: float) -> None:
        """Catalogue records; users whose last list they make stale are queued."""
        changes, rules = self.knowledge.replicate_items(records, self.refused_items.note), self.refresher.pages.rules
        forbidden: list[int] = []
        sensitive = self.knowledge.sensitive if self.refresher.pages.has_minors else None
        if sensitive is not None or not rules.is_empty:
            rows = self.knowledge.index.lookup(self.knowledge.hashes_of(changes)).astype(np.int64)
        if sensitive is not None:
            forbidden += rows[sensitive.are(rows)].tolist()
        if not rules.is_empty:
            rules.items_changed(rows)
            self._look_at_rules(now)  # with every batch of a catalogue, not at all of it in one go
            rows = rows[rows >= 0]
            forbidden += rows[rules.forbidden(rows)].tolist()
        self.renewal.of_items(changes, now, forbidden)

    def replicate_stats(self, records: Sequence[Replicated], now: float) -> None:
        """Statistics records; users ranked while these were far behind are queued once they are not."""
        columns = self.knowledge.replicate_stats(records, self._settings.topic_item_stats)
        for partition, users in self.users.items():
            own = columns.fence_offset[columns.fence_partition == partition]
            users.reflected(int(own.max(initial=-1)))
        self.renewal.early(self._unreflected(), now)

    def replicate_rules(self, records: Sequence[Replicated], now: float) -> None:
        """Records of the topic of rules; lists follow once it is known which items each rule means."""
        book = self.refresher.pages.rules.book
        for record in records:
            book.add(record.key, record.value)
        for why in book.refused:
            logger.error("a rule is not used, the one of before stays: %s. Fix: publish it mended", why)
            self._metrics.work.rules_refused.inc()
        book.refused.clear()
        self._look_at_rules(now)

    @property
    def placement_is_to_be_compiled(self) -> bool:
        """There are rules that wait for it."""
        return self._settings.recommend and self.refresher.pages.are_to_be_compiled

    def compile_placement(self) -> None:
        """What makes lists by rules, where the settings have no placement: seconds the first time on a machine, so from another
        thread, while lists go on being made. To be followed by `use_placements`."""
        # With what nobody changes meanwhile.
        Tracker(self._settings, Metrics()).refresher.warm_up_page(texts=self.knowledge.texts is not None)

    def use_placements(self) -> None:
        """Rules and placements of the topic count from here on."""
        self.refresher.pages.is_compiled = True

    @property
    def is_looking_at_rules(self) -> bool:
        """Of some it is not known yet which items they mean."""
        return self.refresher.pages.are_looking_at_rules

    def look_at_rules(self, now: float, slices: int = 1) -> None:
        """Look at some items more for rules that are new, and whether time has changed any; everybody whose list may differ is
        queued."""
        self._look_at_rules(now, slices)

    def _look_at_rules(self, now: float, slices: int = 1) -> None:
        pages = self.refresher.pages
        for _ in range(slices):
            pages.look_at_rules(self.wall_ms())
            if pages.rules.is_ready:
                break
        if pages.take_news():
            self.renewal.everyone("model", now)
            self.renewal.withdrawals += 1  # so that those are found whose lists are not known
        for rule_id, why in pages.rules.errors.items():
            logger.error(
                "rule %r: %s; such items are not meant by it, and forbidden if it forbids. Fix: publish it mended",
                *(rule_id, why),
            )
            self._metrics.work.rules_refused.inc()
        pages.rules.errors.clear()
        self._metrics.work.rules.set(len(pages.rules.ids))

    def look_at_all_rules(self, now: float) -> None:
        """For a command, which has nothing else to do."""
        while self.is_looking_at_rules:
            self.look_at_rules(now)

    def replicate_strategies(self, records: Sequence[Replicated]) -> None:
        """What strategies earned; `weigh_strategies` has ranking take it into account."""
        self.serving.replicate_strategies(records)

    def weigh_strategies(self) -> None:
        """Rank by what strategies have earned by now, from the next batch on."""
        self.serving.weigh_strategies()

    def use_texts(self, texts: TextSource) -> None:
        """Rank by texts from the next batch on."""
        self.knowledge.texts = texts

    def start_with(self, weights: RankingWeights) -> None:
        """Rank with these while nobody publishes others."""
        self.serving.start_with(weights)

    def use_for_arm(self, experiment: str, arm: str, weights: RankingWeights) -> None:
        """Rank with these for people in this arm."""
        self.serving.use_for_arm(experiment, arm, weights)

    def use_ranker(self, model: RankerModel | None, now: float) -> None:
        """Rank with this version from the next batch on; None: withdrawn, back to what the worker started with."""
        if self.serving.use_ranker(model):
            self.renewal.everyone("model", now)

    def use_sequence(self, model: SequenceModel | None, now: float) -> None:
        """Expect with this model from the next batch on."""
        if self.serving.use_sequence(model):
            self.renewal.everyone("model", now)

    # --- lists ---

    def requeue_aged(self, now: float) -> int:
        """Queue users whose list is older than `list_max_age_s`, some at a time; how many."""
        return self.renewal.aged(now, self._settings.list_max_age_s)

    def refresh(self, partition: int, due: Sequence[Due], now_ms: int, now: float) -> list[Published | None]:
        """Fresh lists for users of one partition, with their reasons, in the order of `due`; None: it cannot be made, or is not
        to be."""
        users = self.users[partition]
        # Who asked that nothing of theirs is used comes here all the same: by stored lists, by marks of lists that are owed.
        wanted = [users.standing.of(d.key) is None for d in due]
        asked = [d for d, is_wanted in zip(due, wanted, strict=True) if is_wanted]
        made = iter(self.refresher.refresh(users, asked, now_ms, now))
        self.renewal.note_early(partition, [d.key for d in asked], self._unreflected())
        return [next(made) if is_wanted else None for is_wanted in wanted]

    def _unreflected(self) -> int:
        """Engagements applied here that the statistics do not include yet."""
        return sum(users.unreflected for users in self.users.values())

    # --- people's requests ---

    def erase(self, users: UserPartition, user: bytes) -> TakenOut:
        """Forget a person as of now, see `UserPartition.erase`."""
        out = users.erase(user, self._settings.pair_window)
        self.drop_list(users.partition, user)
        return out

    def rectify(self, users: UserPartition, user: bytes, item: int) -> tuple[TakenOut, dict[str, int]]:
        """Strike the item of this hash out of what is known of a person; what was taken out, and how many behaviours and
        engagements were struck out.

        Raises:
            CorruptStateError: what is stored cannot be read; nothing has been changed then.
        """
        found = users.rectify(user, item, self._update)
        self.lists.drop((users.partition, user))
        return found

    def drop_list(self, partition: int, user: bytes) -> None:
        """No list of theirs is remembered or to be made."""
        self.queue.drop(partition, user)
        self.lists.drop((partition, user))
        self.refresher.few_items.drop((partition, user))

    # --- partitions ---

    def store_of(self, partition: int, store: PartitionStore) -> PartitionStore:
        """What the users of a partition are read from; whoever writes down what is read asks."""
        del partition
        return store

    def new_users(self, partition: int, store: PartitionStore) -> UserPartition:
        """A partition as these settings have it, of what is in its store."""
        settings = self._settings
        decays = settings.pair_decay, settings.forward_decay
        # No list is made of these two, so whoever writes down what is read need not.
        keeps = settings.keep_contributions
        has_some = keeps or bool(store.items_with_prefix(OPEN_PREFIX, None, 1))  # of when it was switched on
        contributions = PartitionContributions(store, decays, keeps=keeps) if has_some else None
        return UserPartition(
            partition,
            self.store_of(partition, store),
            settings.engagements_max_per_user_day,
            contributions,
            PartitionStanding(store),
        )

    def open_users(self, users: UserPartition) -> None:
        """Their partition is this worker's from here on."""
        self.users[users.partition] = users

    @property
    def nbytes(self) -> int:
        """Memory of users changed or read since the last commit, in bytes."""
        return sum(users.nbytes for users in self.users.values())

    def take(self, users: UserPartition) -> Taken:
        """What the next commit writes of a partition."""
        settings = self._settings
        learned_until_ms = self.knowledge.newest_ms if settings.learn_clicks else None
        expired = users.take_expired()
        for user in expired:
            if users.contributions is not None:
                users.contributions.erase(user)  # by this commit, too; what they added stays in the sums
        taken = users.take(
            settings.pair_decay,
            settings.forward_decay,
            self.knowledge.names,
            learned_until_ms,
            self.serving.params.weights.calibration,
            self.knowledge.counted,
        )
        if learned_until_ms is not None and users.clicks.model is not None:
            self._metrics.output.click_examples.labels(users.partition).set(users.clicks.model.n_examples)
        marks = self.queue.take_marks(users.partition)
        owed = [(OWED_PREFIX + key, None if since_ms is None else pack_mark(since_ms)) for key, since_ms in marks]
        self._metrics.work.expired_users.inc(len(expired))
        for user in expired:
            self.lists.drop((users.partition, user))
            self.refresher.few_items.drop((users.partition, user))
        gone: list[tuple[bytes, bytes | None]] = [
            (prefix + user, None) for user in expired for prefix in (b"", LEDGER_PREFIX, OWED_PREFIX)
        ]
        due: list[tuple[bytes, bytes | None]] = [*taken.marks, *owed, *self.refused_items.take_marks(users), *gone]
        taken = taken._replace(marks=due, expired=expired)
        # Not alone: a partition without events would write one with every commit.
        return taken._replace(marks=[*taken.marks, *users.take_log_mark()]) if taken.changes_store else taken

    def forget(self, user_partitions: Sequence[int], item_partitions: Sequence[int]) -> None:
        """Drop what is in memory of partitions that were revoked; disk and changelog have all that was committed."""
        gone = set(user_partitions)
        for partition in gone:
            self.users.pop(partition, None)
            self.queue.forget(partition)
        self.renewal.forget(gone)
        self.lists.forget(gone)
        self.refresher.few_items.forget(gone)
        for partition in item_partitions:
            self.items.pop(partition, None)


def _bounded(changes: Changes, counted: NDArray[np.bool_]) -> Changes:
    """Without first engagements that do not count for items."""
    if counted.all():
        return changes
    return changes._replace(
        first_item=changes.first_item[counted],
        first_time_ms=changes.first_time_ms[counted],
        first_event=changes.first_event[counted],
        first_context=changes.first_context[counted],
        first_is_entry=changes.first_is_entry[counted],
        first_history=changes.first_history[counted],
    )


def _note_contributions(
    contributions: PartitionContributions, intake: Intake, changes: Changes, counted: NDArray[np.bool_]
) -> None:
    """Who has added what to the statistics of items."""
    if len(changes.first_event):
        contributions.engaged(intake.keys, changes, counted)
    action = intake.columns.action
    seen = np.flatnonzero(changes.applied & ((action == IMPRESSION) | (action == CLICK)))
    if len(seen):
        keys = [intake.keys[i] for i in seen.tolist()]
        contributions.seen(keys, intake.columns.item[seen], action[seen] == CLICK)
