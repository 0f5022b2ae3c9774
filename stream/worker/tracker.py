"""What one worker does with events and item deltas: the application's decisions, apart from Faust and from the clock.

Everything here runs on the event loop and never awaits, so a chunk is applied whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_MS
from models.items.catalog import Catalog, CatalogItem
from models.items.co_occurrence import batch_deltas
from models.items.facts import item_facts
from models.items.index import NO_INDEX, ItemIndex
from models.items.names import ItemNames
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, Priors, compute_priors
from models.items.record import pack_deltas
from models.items.rows import ItemRows
from models.items.stats import ItemStatistics
from models.items.vectors import ItemVectors
from models.ranking.features import Asked
from models.ranking.rank import PARTS, RankedBatch, rank
from models.ranking.recent import RecentItems
from models.ranking.semantics import Semantics, semantics
from models.ranking.weights import RankingWeights, default_weights
from models.reasons.contributions import COMPLETENESS_GAP_MAX, attribute, completeness_gap
from models.reasons.removal import Past
from models.reasons.what_if import RankingInputs, SequencePast
from models.sequence.model import SequenceModel
from models.vocabulary import PURCHASE, QUERY, STRATEGIES
from stream.errors import CorruptStateError, InvariantError
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.outcomes.crediting import Lists
from stream.outcomes.crediting import warm_up as warm_up_crediting
from stream.outcomes.strategies import Strategies
from stream.params import credit_params, decode_limits, interest_params, ranking_params, update_params
from stream.partitions.partitions import ItemPartition, UserPartition
from stream.refresh.counterfactuals import person_of, what_would_change, with_counterfactual
from stream.refresh.publish import Listed, Published, Telling, build_records, model_versions
from stream.refresh.question import Behaviours, ages_s, asked_of, behaviours_of, first_engagements
from stream.refresh.queue import Due, RefreshQueue
from stream.refresh.sequence import Sequences
from stream.refresh.versions import RankerModel, weights_of
from stream.settings import Settings
from stream.state.record import BOUGHT, RING, States
from stream.state.update import Changes, apply_events, warm_up
from stream.texts.queries import QueryVectors
from stream.wire.codes import list_id_of
from stream.wire.decode import Rejected, decode_item
from stream.wire.records import EventSource, Trigger
from stream.wire.times import parse_time_ms, parse_timezone
from stream.worker.intake import Intake, read_chunk

PRIORS_MAX_AGE_MS = 1000
"""How old trend and popularity may be when statistics keep changing."""

REPLAYED_AFTER_MS = 30 * DAY_MS
"""A newest event so long ago means that a past is replayed: sentences then tell times as of that event."""

REMEMBERED_LISTS = 100_000
"""Users whose last list this worker remembers, to replace it when an item in it is withdrawn or it has become old."""

AGED_AT_ONCE = 1_000

JUDGED_AT = 10
"""Places of a list in which an engagement counts as a hit."""


FAR_BEHIND = 0.1
"""Share of all engagements, missing from the statistics, from which on lists are made again when they are there."""


class TextSource(Protocol):
    """Vectors of items and queries, of one model version each."""

    @property
    def items(self) -> ItemVectors:
        """Those that serve now."""
        ...

    @property
    def queries(self) -> QueryVectors: ...

    def changed(self, indices: Iterable[int]) -> None:
        """The items with these dense indices are new, changed or gone."""
        ...


def is_explained(key: bytes, share: float) -> bool:
    """Whether a user is among this share of all: always the same ones, and more of them for a larger share."""
    return share >= 1.0 or crc32(key) < share * 2**32


def goes_out(published: Published, due: Due) -> bool:
    """Whether a list is sent: one that nobody's event asked for only if it differs from the last one."""
    return published.changed or due.trigger == "event"


class _LastList(NamedTuple):
    items: tuple[int, ...]
    """Dense indices."""
    made_at: float


class Tracker:
    """Interest state, catalogue, item statistics and the queue of users to refresh, of one worker."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._limits, self._update = decode_limits(settings), update_params(settings)
        self._crediting, self._interest = credit_params(settings), interest_params(settings)
        self._zone = parse_timezone(settings.explanation_timezone)
        self._own_weights = default_weights()
        self._ranking = ranking_params(settings, self._own_weights)
        self._strategies = Strategies()
        self._strategies_changed = False
        self.names = ItemNames()
        self.index = ItemIndex()
        self.catalog = Catalog.empty(self.index)
        self.stats = ItemStatistics(self.index, settings.neighbours_max)
        self.queue = RefreshQueue()
        self.users: dict[int, UserPartition] = {}
        self.items: dict[int, ItemPartition] = {}
        self._priors: Priors | None = None
        self._priors_made_ms = 0
        self._newest_ms = 0
        self._engagements = 0.0
        self._ranked_early: dict[tuple[int, bytes], None] = {}
        self._fingerprints: tuple[NDArray[np.uint16], NDArray[np.int64]] | None = None
        self._lists: dict[tuple[int, bytes], _LastList] = {}
        self.sequences = Sequences(metrics)
        self.texts: TextSource | None = None
        """None: ranked without text."""

    def warm_up(self) -> None:
        """Compile what runs compiled, which may take some seconds the first time on a machine."""
        warm_up(self._update)
        if self._crediting is not None:
            warm_up_crediting(self._crediting)
        one, none = np.ones(1, np.uint64), np.empty(0, np.uint64)
        _, deltas = batch_deltas(
            one,
            np.ones(1, np.int64),
            np.zeros(1, np.uint8),
            one[:, None] + one,
            1.0,
            1.0,
            exposed=none,
            clicked=none,
            source_partition=0,
            source_offset=0,
        )
        rows = ItemRows(1)
        rows.apply(rows.add([None]), pack_deltas(deltas)[:1])
        self._warm_up_ranking()

    def _warm_up_ranking(self) -> None:
        """A list for nobody, of nothing."""
        states, row, moment_ms = States(1), np.zeros(1, np.int64), np.zeros(1, np.int64)
        behaviours = behaviours_of(states, row, self._update)
        excluded = np.full((1, 1), NO_INDEX, np.int32)
        recent, asked = asked_of(
            states, row, behaviours, self._settings.history_window, self.index, excluded, moment_ms
        )
        priors = compute_priors(self.catalog, self.stats, candidates_each=1, new_items=1, now_ms=0)
        ranked = rank(asked, catalog=self.catalog, stats=self.stats, priors=priors, params=self._ranking)
        attribute(ranked.contributions, recent.position, behaviours.gain, self._settings.contributions_max)

    # --- events ---

    def read(self, records: Sequence[Any]) -> Intake:
        """Decode a chunk of events."""
        with self._metrics.work.stage_seconds.labels("decode").time():
            return read_chunk(records, self._limits, self.names)

    def apply(self, users: UserPartition, intake: Intake, now: float) -> Changes:
        """Apply decoded events to the users' states and queue those users for refresh."""
        with self._metrics.work.stage_seconds.labels("update").time():
            rows = users.overlay.rows(intake.keys)
            columns = intake.columns._replace(row=rows)
            changes = apply_events(users.overlay.states, columns, self._update)
            users.overlay.mark_dirty(changes.rows)
            self._newest_ms = max(self._newest_ms, int(columns.time_ms.max(initial=0)))
            if self._settings.recommend:
                users.collect(changes)
                if self.texts is not None and intake.queries:
                    self.texts.queries.asked(users.partition, intake.queries)
                # Users of skipped events are queued too: the crash that makes them come again may have lost their list.
                self.queue.add_events(
                    users.partition, intake.keys, rows, columns.offset, columns.time_ms, intake.timestamp_ms, now
                )
                self._credit(users, intake, changes)
                if self._settings.learn_clicks:
                    users.clicks.happened(intake.keys, columns, intake.referrals, changes.applied)
        self._count(intake, changes)
        self._judge(users.partition, intake, changes)
        return changes

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
                self._name_of,
            )
        for action, evidence in ((outcome.action, outcome.evidence) for outcome in outcomes):
            self._metrics.output.outcomes.labels(action, evidence).inc()

    def _count(self, intake: Intake, changes: Changes) -> None:
        metrics = self._metrics
        for action, n in intake.actions.items():
            metrics.input.events.labels(action).inc(n)
        metrics.input.fenced.inc(changes.n_fenced)
        metrics.input.repeats.inc(changes.n_repeats)
        items, counts = np.unique(intake.columns.item[intake.columns.action != QUERY], return_counts=True)
        known = [self.catalog.item(index) is not None for index in self.index.lookup(items).tolist()]
        metrics.input.unknown_items.inc(int(counts[~np.array(known, bool)].sum()))

    def _judge(self, partition: int, intake: Intake, changes: Changes) -> None:
        """Whether what users engaged with for the first time stood in the list they had: the live prequential figure."""
        if not self._lists or not len(changes.first_item):
            return
        asked = self.index.lookup(changes.first_item).tolist()
        hits = misses = 0
        for event, item in zip(changes.first_event.tolist(), asked, strict=True):
            last = self._lists.get((partition, intake.keys[event]))
            if last is not None:
                hit = item != NO_INDEX and item in last.items[:JUDGED_AT]
                hits, misses = hits + hit, misses + (not hit)
        self._metrics.work.prequential.labels("hit").inc(hits)
        self._metrics.work.prequential.labels("miss").inc(misses)

    # --- catalogue and statistics ---

    def replicate_items(self, records: list[Replicated], now: float) -> None:
        """Catalogue records: a new snapshot; users whose last list it makes stale are queued."""
        changes: dict[str, CatalogItem | None] = {}
        for record in records:
            if record.value is None:
                if record.key:
                    changes[record.key.decode(errors="replace")] = None
                continue
            item = decode_item(record.key, record.value, self._limits)
            if isinstance(item, Rejected):
                self._metrics.input.items_rejected.labels(item.reason).inc()
                continue
            published = item.published_at
            changes[item.item_id] = CatalogItem(
                item_id=item.item_id,
                title=item.title,
                categories=item.categories,
                description=item.description,
                language=item.language,
                media_text=item.media_text,
                available=item.available,
                price=item.price,
                published_at_ms=parse_time_ms(published) if isinstance(published, str) else published,
            )
        for item_id in changes:
            self.names.hash_of(item_id)
        self.catalog = self.catalog.apply(changes)
        self._metrics.worker.catalog_items.set(self.catalog.size)
        self._requeue_changed(changes, now)
        if self.texts is not None:
            hashes = np.array([self.names.hash_of(item_id) for item_id in changes], np.uint64)
            self.texts.changed(self.index.lookup(hashes).tolist())

    def replicate_stats(self, records: list[Replicated], now: float) -> None:
        """Statistics records: into the arrays; users ranked while these were far behind are queued once they are not."""
        latest = {record.key: record.value for record in records if record.key and record.value is not None}
        try:
            hashes = np.array([self.names.hash_of(key.decode()) for key in latest], np.uint64)
            columns = self.stats.put(self.index.intern(hashes), list(latest.values()))
        except ValueError as error:
            raise CorruptStateError(f"topic {self._settings.topic_item_stats}: {error}") from error
        self._metrics.worker.stats_items.set(self.stats.size)
        self._engagements = float(self.stats.count.sum())
        self._newest_ms = max(self._newest_ms, int(columns.trend_ms.max(initial=0)))
        for partition, users in self.users.items():
            own = columns.fence_offset[columns.fence_partition == partition]
            users.reflected(int(own.max(initial=-1)))
        if self._ranked_early and not self._statistics_far_behind():
            for partition, key in self._ranked_early:
                self.queue.add(partition, key, "refresh", now)
            self._ranked_early.clear()

    def start_with(self, weights: RankingWeights) -> None:
        """Rank with these until the models topic names others."""
        self._own_weights = weights
        self._ranking = replace(self._ranking, weights=weights)

    def replicate_strategies(self, records: list[Replicated]) -> None:
        """What strategies earned; `weigh_strategies` has ranking take it into account."""
        self._strategies.replicate((record.key, record.value) for record in records)
        self._strategies_changed = True

    def weigh_strategies(self) -> None:
        """Rank by what strategies have earned by now, from the next batch on. Once a second is enough: every commit of every
        partition says something new, and each time all cells are added up."""
        if not self._strategies_changed:
            return
        self._strategies_changed = False
        feedback = self._strategies.feedback(self._settings.strategy_feedback_max)
        for strategy, added in zip(STRATEGIES, feedback.tolist(), strict=True):
            self._metrics.output.strategy_feedback.labels(strategy).set(added)
        interest, popular, cold_start, *_ = feedback.tolist()
        self._ranking = replace(self._ranking, feedback=(interest, popular, cold_start))

    def use_ranker(self, model: RankerModel | None, now: float) -> None:
        """Rank with this version from the next batch on; None: withdrawn, back to what the worker started with."""
        self._use_weights(self._own_weights if model is None else weights_of(model), now)

    def use_sequence(self, model: SequenceModel | None, now: float) -> None:
        """Expect with this model from the next batch on."""
        before = self.sequences.model_version
        self.sequences.serve(model)
        if self.sequences.model_version != before:
            self.requeue_all("model", now)

    def requeue_all(self, trigger: Trigger, now: float) -> None:
        """Every user whose list is known gets another one."""
        for partition, key in self._lists:
            self.queue.add(partition, key, trigger, now)

    def _requeue_changed(self, changes: dict[str, CatalogItem | None], now: float) -> None:
        """Queue users whose last list holds an item that was withdrawn, or has room for one that was added."""
        withdrawn = [item_id for item_id, item in changes.items() if item is None or not item.available]
        hashes = np.array([self.names.hash_of(item_id) for item_id in withdrawn], np.uint64)
        stale = set(self.index.lookup(hashes).tolist()) - {NO_INDEX}
        if len(withdrawn) < len(changes):
            stale.add(NO_INDEX)  # an empty place
        for (partition, key), last in self._lists.items():
            if not stale.isdisjoint(last.items):
                self.queue.add(partition, key, "catalog", now)

    def requeue_aged(self, now: float) -> int:
        """Queue users whose list is older than `list_max_age_s`, oldest first, some at a time; how many."""
        max_age_s = self._settings.list_max_age_s
        aged = []
        if max_age_s:
            for user, last in islice(self._lists.items(), AGED_AT_ONCE):
                if now - last.made_at <= max_age_s:
                    break
                aged.append(user)
        for partition, key in aged:
            self.queue.add(partition, key, "refresh", now)
        return len(aged)

    # --- refresh ---

    def asked(
        self, users: UserPartition, rows: NDArray[np.int64], now_ms: int
    ) -> tuple[Behaviours, RecentItems, Asked]:
        """What the ranking is asked for these users: their behaviours, their recent items, the question."""
        behaviours = self._behaviours(users, rows)
        # The newest event's time, not the clock's: a replayed year is ranked as it was then.
        moment_ms = np.full(len(rows), self._stream_time_ms(now_ms))
        excluded = self._excluded(users, rows, behaviours)
        recent, asked = asked_of(
            users.overlay.states, rows, behaviours, self._settings.history_window, self.index, excluded, moment_ms
        )
        return behaviours, recent, asked

    def ranking_inputs(self, now_ms: int) -> RankingInputs:
        """What lists are made of beside the person, for `models.reasons.what_if`."""
        vectors = None if self.texts is None or not self.texts.items.size else self.texts.items
        return RankingInputs(
            self.catalog, self.stats, self._current_priors(now_ms), self._ranking, self._interest, vectors
        )

    def refresh(self, partition: int, due: Sequence[Due], now_ms: int, now: float) -> list[Published]:
        """Fresh lists for users of one partition, with their reasons, in the order of `due`."""
        users = self.users[partition]
        with self._metrics.work.stage_seconds.labels("rank").time():
            rows = users.overlay.rows([d.key for d in due])
            behaviours, recent, asked = self.asked(users, rows, now_ms)
            past_vectors = self.past_vectors(recent, asked.history)
            text = self._semantics(behaviours, recent, past_vectors)
            with self._metrics.work.stage_seconds.labels("sequence").time():
                vectors = None if text is None else text.vectors
                sequence = self.sequences.expected(users.overlay.states, rows, asked.now_ms, self.index, vectors)
            ranking = self._ranking
            explained = np.array([is_explained(d.key, self._settings.explained_users) for d in due], np.bool_)
            ranked = rank(
                asked,
                catalog=self.catalog,
                stats=self.stats,
                priors=self._current_priors(now_ms),
                params=ranking,
                semantics=text,
                sequence=sequence,
                explained=explained,
            )
            ranked = self._with_click_probability(users, ranked)
        with self._metrics.work.stage_seconds.labels("publish").time():
            listed = [
                self._listed(users, row, d)._replace(is_explained=told)
                for row, d, told in zip(rows.tolist(), due, explained.tolist(), strict=True)
            ]
            told_at_ms = self._told_at_ms(now_ms)
            encoder = None if text is None else text.vectors.model_version
            model = model_versions(ranking.weights.version, encoder, self.sequences.model_version)
            published = build_records(
                listed,
                ranked,
                recent,
                behaviours,
                self.catalog,
                self._name_of,
                now_ms,
                self._settings.contributions_max,
                model,
                Telling(item_facts(ranked.items, self.stats, told_at_ms), told_at_ms, self._zone),
            )
        for i, (d, indices) in enumerate(zip(due, ranked.items.tolist(), strict=True)):
            if not self._remember_list(partition, d.key, tuple(indices), now):
                published[i] = published[i]._replace(changed=False)
        self._assert_complete(published)
        self._add_counterfactuals(
            users, published, due, rows, Past(asked, ages_s(behaviours, recent), past_vectors), recent, now_ms
        )
        self._note_lists(users, due, ranked, published, now_ms)
        if self._statistics_far_behind() and len(self._ranked_early) < self._settings.refresh_queue_max_users:
            self._ranked_early.update(((partition, d.key), None) for d in due)
        return published

    def _assert_complete(self, published: Sequence[Published]) -> None:
        """The reasons of a batch add up to its scores.

        Raises:
            InvariantError: they do not; nothing of it may go out.
        """
        reasons = [reason for each in published for reason in each.attributions]
        gap = completeness_gap(np.array([r.residual for r in reasons]), np.array([r.score for r in reasons]))
        self._metrics.output.completeness_gap.observe(gap)
        if not gap <= COMPLETENESS_GAP_MAX:
            raise InvariantError(f"contributions and score of a list are {gap:g} of the score apart")

    def _note_lists(
        self, users: UserPartition, due: Sequence[Due], ranked: RankedBatch, published: Sequence[Published], now_ms: int
    ) -> None:
        """Remember what goes out, for the outcomes that it may earn."""
        out = [i for i, (each, d) in enumerate(zip(published, due, strict=True)) if goes_out(each, d)]
        if not out:
            return
        keys, named = [due[i].key for i in out], [published[i].recommendation.recommendation_id for i in out]
        lengths = np.array([len(published[i].recommendation.items) for i in out])
        items, at_ms = self.index.hash_of(ranked.items[out]), self._stream_time_ms(now_ms)
        if self._settings.learn_clicks:
            parts = np.stack([ranked.parts[name][out] for name in PARTS], axis=2).astype(np.float32)
            users.clicks.published(
                keys,
                named,
                [hashes[:n] for hashes, n in zip(items, lengths.tolist(), strict=True)],
                [of[:n] for of, n in zip(parts, lengths.tolist(), strict=True)],
                at_ms,
            )
        if self._crediting is None:
            return
        ids = [list_id_of(each) for each in named]
        listed = np.arange(ranked.items.shape[1]) < lengths[:, None]
        lists = Lists(
            np.zeros(len(out), np.int64),
            np.array(ids, np.uint64),
            items,
            ranked.strategy[out],
            listed.astype(np.float32),
        )
        users.outcomes.note(keys, lists, at_ms)

    def learn_clicks(self, users: UserPartition) -> list[tuple[bytes, bytes]]:
        """Learn from what was shown and clicked by now; what to write of it."""
        if not self._settings.learn_clicks:
            return []
        learned = users.clicks.learn(self._newest_ms, self._ranking.weights.calibration)
        if learned and users.clicks.model is not None:
            self._metrics.output.click_examples.labels(users.partition).set(users.clicks.model.n_examples)
        return learned

    def _with_click_probability(self, users: UserPartition, ranked: RankedBatch) -> RankedBatch:
        """The probability of a click, where clicks have been learned from; else what the weights are calibrated on."""
        if not self._settings.learn_clicks or users.clicks.model is None:
            return ranked
        filled = ranked.items >= 0
        rank_ = np.nonzero(filled)[1] + 1
        found = users.clicks.probability(np.stack([ranked.parts[name][filled] for name in PARTS], axis=1), rank_)
        if found is None:
            return ranked
        probability = np.zeros(ranked.items.shape)
        probability[filled] = found
        return ranked._replace(probability=probability)

    def _statistics_far_behind(self) -> bool:
        """A first start over a full topic applies events much faster than what they say about items comes round."""
        unreflected = sum(users.unreflected for users in self.users.values())
        return unreflected > FAR_BEHIND * self._engagements

    def _behaviours(self, users: UserPartition, rows: NDArray[np.int64]) -> Behaviours:
        behaviours = behaviours_of(users.overlay.states, rows, self._update)
        item, gain = behaviours.item, behaviours.gain
        queried = (behaviours.action == QUERY) & (item != 0)
        if self.texts is not None and queried.any():
            # What the encoder has not seen says nothing.
            known = self.texts.queries.get(item[queried].tolist())
            gain[queried] = [self._settings.strength_query if each in known else 0.0 for each in item[queried].tolist()]
        return behaviours

    def past_vectors(self, recent: RecentItems, history: NDArray[np.int32]) -> NDArray[np.float32] | None:
        """(u, H, dims) float32 of the users' items and queries, zeros where there is none; None without an encoder."""
        if self.texts is None or not self.texts.items.size:
            return None
        items = self.texts.items
        vectors = items.get(history)
        user, place = np.nonzero((history < 0) & (recent.items != 0))
        if len(user) and self.texts.queries.model_version == items.model_version:
            hashes = recent.items[user, place].tolist()
            known = self.texts.queries.get(hashes)
            for u, h, each in zip(user.tolist(), place.tolist(), hashes, strict=True):
                if each in known:
                    vectors[u, h] = known[each].vector
        return vectors

    def _semantics(
        self, behaviours: Behaviours, recent: RecentItems, vectors: NDArray[np.float32] | None
    ) -> Semantics | None:
        """The users' interests by text; None where nothing has a vector."""
        if self.texts is None or vectors is None:
            return None
        return semantics(
            vectors,
            recent.gains,
            ages_s(behaviours, recent),
            self.texts.items,
            self.catalog.recommendable,
            self._interest,
        )

    def _add_counterfactuals(
        self,
        users: UserPartition,
        published: list[Published],
        due: Sequence[Due],
        rows: NDArray[np.int64],
        past: Past,
        recent: RecentItems,
        now_ms: int,
    ) -> None:
        """What would change the lists of some of these users, in place."""
        share = self._settings.counterfactual_users
        chosen = [i for i, d in enumerate(due) if share and is_explained(d.key, share)]
        if not chosen:
            return
        inputs, model = self.ranking_inputs(now_ms), self.sequences.model
        states = users.overlay.states
        with self._metrics.work.stage_seconds.labels("counterfactual").time():
            for i in chosen:
                sequence = None
                if model is not None:
                    history = first_engagements(states, rows[i : i + 1], model.length)
                    sequence = SequencePast(model, history, recent.items[i])
                person = person_of(past, i, inputs, sequence)
                found = what_would_change(person, recent.items[i], self.index, self._name_of)
                published[i] = with_counterfactual(published[i], found)

    def _name_of(self, hashed: int) -> str | None:
        """Id of an item, or text of a query."""
        name = self.names.id_of(hashed)
        if name is None and self.texts is not None:
            query = self.texts.queries.get([hashed]).get(hashed)
            name = None if query is None else query.text
        return name

    def _excluded(self, users: UserPartition, rows: NDArray[np.int64], behaviours: Behaviours) -> NDArray[np.int32]:
        """Dense indices that each user must not be shown, (u, x), -1 pads: bought (unless repeats are wanted), disliked."""
        out = behaviours.gain < 0
        if not self._settings.repeat_purchases:
            out |= (behaviours.action == PURCHASE) & (behaviours.item != 0)
        excluded = self.index.lookup(np.where(out, behaviours.item, np.uint64(0)))
        if self._settings.repeat_purchases:
            return excluded
        return np.concatenate([excluded, self._bought_before(users, rows)], axis=1)

    def _bought_before(self, users: UserPartition, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Items whose fingerprint is among those of purchases older than the ring; may name others with the same one."""
        states = users.overlay.states
        lengths = np.minimum(states.n_bought[rows], BOUGHT)
        if not lengths.any():
            return np.empty((len(rows), 0), np.int32)
        user, place = np.nonzero(np.arange(BOUGHT) < lengths[:, None])
        prints, order = self._fingerprint_index()
        wanted = states.bought[rows[user], place]
        begin, end = np.searchsorted(prints, wanted), np.searchsorted(prints, wanted, side="right")
        count = end - begin
        user = np.repeat(user, count)
        found = order[np.repeat(begin - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))]
        per_user = np.bincount(user, minlength=len(rows))
        column = np.arange(len(user)) - np.repeat(np.cumsum(per_user) - per_user, per_user)
        excluded = np.full((len(rows), int(per_user.max(initial=0))), -1, np.int32)
        excluded[user, column] = found
        return excluded

    def _fingerprint_index(self) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Fingerprints of all items, ascending, and the dense index of each."""
        if self._fingerprints is None or len(self._fingerprints[1]) != len(self.index):
            hashes = self.index.hash_of(np.arange(len(self.index)))
            prints = (hashes >> np.uint64(48)).astype(np.uint16)
            order = np.argsort(prints, kind="stable")
            self._fingerprints = prints[order], order
        return self._fingerprints

    def _current_priors(self, now_ms: int) -> Priors:
        priors = self._priors
        changed = priors is None or (priors.stats_version, priors.catalog_version) != (
            self.stats.version,
            self.catalog.version,
        )
        # A withdrawn item is caught when ranking; statistics may be a moment old, or every batch would recompute them. One
        # item costs about 0.5 us, so this keeps it to a twentieth of the time however large the catalogue.
        max_age_ms = max(PRIORS_MAX_AGE_MS, len(self.index) // 100)
        if priors is None or (changed and now_ms - self._priors_made_ms >= max_age_ms):
            priors = self._priors = compute_priors(
                self.catalog,
                self.stats,
                candidates_each=PRIOR_CANDIDATES,
                new_items=NEW_CANDIDATES,
                now_ms=self._stream_time_ms(now_ms),
            )
            self._priors_made_ms = now_ms
        return priors

    def _stream_time_ms(self, now_ms: int) -> int:
        """The newest event's time, or now where that has not come yet."""
        return min(now_ms, self._newest_ms)

    def _told_at_ms(self, now_ms: int) -> int:
        """What "yesterday" is seen from: now, or the newest event where a long past is replayed."""
        moment_ms = self._stream_time_ms(now_ms)
        return moment_ms if now_ms - moment_ms > REPLAYED_AFTER_MS else now_ms

    def _use_weights(self, weights: RankingWeights, now: float) -> None:
        """Rank with these from the next batch on; every list that is known is made again."""
        if weights.version != self._ranking.weights.version:
            self._ranking = replace(self._ranking, weights=weights)
            self.requeue_all("model", now)

    def _listed(self, users: UserPartition, row: int, due: Due) -> Listed:
        states = users.overlay.states
        fence = int(states.fence[row])
        trigger: Trigger = due.trigger
        event_time_ms = due.event_time_ms
        if due.last_offset != fence:
            newest = int(states.n_ring[row]) - 1
            event_time_ms = int(states.time_ms[row, newest % RING] if newest >= 0 else states.last_ms[row])
        source = EventSource(self._settings.topic_events, users.partition, fence)
        because = "" if trigger == "event" else f"{trigger}:{self.catalog.version}:{self.stats.version}"
        return Listed(due.key.decode(), source, event_time_ms, trigger, because)

    def _remember_list(self, partition: int, key: bytes, indices: tuple[int, ...], now: float) -> bool:
        """Whether the list differs from the user's last; the order of `_lists` is the order in which they were made."""
        last = self._lists.pop((partition, key), None)
        self._lists[partition, key] = _LastList(indices, now)
        if len(self._lists) > REMEMBERED_LISTS:
            self._lists.pop(next(iter(self._lists)))
        return last is None or last.items != indices

    # --- partitions ---

    def forget(self, user_partitions: Sequence[int], item_partitions: Sequence[int]) -> None:
        """Drop what is in memory of partitions that were revoked; disk and changelog have all that was committed."""
        for partition in user_partitions:
            self.users.pop(partition, None)
            self.queue.forget(partition)
        gone = set(user_partitions)
        self._ranked_early = {user: None for user in self._ranked_early if user[0] not in gone}
        self._lists = {user: last for user, last in self._lists.items() if user[0] not in gone}
        for partition in item_partitions:
            self.items.pop(partition, None)
