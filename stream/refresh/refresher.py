"""A batch of users of one partition -> their fresh lists with reasons: ask, rank, publish, explain; `outgoing` remembers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I4, I8
from models.items.co_occurrence import moment_bins
from models.items.facts import item_facts
from models.items.index import NO_INDEX
from models.items.priors import compute_priors
from models.items.vectors import ItemVectors
from models.ranking.affinity import warm_up as warm_up_categories
from models.ranking.features import Question, items_of
from models.ranking.few_items import is_judge
from models.ranking.moment import Moments
from models.ranking.newcomers import followed
from models.ranking.place_vectors import NO_VECTOR, PastTexts
from models.ranking.rank import PARTS, RankedBatch, RankingParams, SequenceScores, rank
from models.ranking.recent import RecentItems
from models.ranking.semantics import Semantics, semantics
from models.ranking.weights import scaled
from models.reasons.removal import Past
from models.reasons.what_if import RankingInputs, SequencePast, WhatIf
from models.vocabulary import QUERY, SEQUENCE
from stream.errors import PenchantError
from stream.metrics import Metrics
from stream.params import interest_params, update_params
from stream.partitions.users import UserPartition
from stream.reasons.language import languages_named
from stream.reasons.phrases import phrases_of
from stream.refresh.counterfactuals import what_would_change, with_counterfactual
from stream.refresh.exclusions import Exclusions
from stream.refresh.few_items import FewItemLists
from stream.refresh.knowledge import Knowledge
from stream.refresh.list_checks import ListChecks
from stream.refresh.lists import LastLists
from stream.refresh.outgoing import MadeLists, OutgoingLists, PlacementLists
from stream.refresh.page import Arm, Narrowed, Page
from stream.refresh.pages import Pages
from stream.refresh.publish import ListHeader, Published, build_records, model_versions
from stream.refresh.quarantine import Quarantine
from stream.refresh.question import Behaviours, behaviours_of, first_engagements, ranking_question
from stream.refresh.queue import Due
from stream.refresh.reasons import SentenceContext
from stream.refresh.rows import rows_of
from stream.refresh.serving import Serving
from stream.settings import Settings
from stream.state.record import RING, States
from stream.wire.records import EventSource, ModelVersions, encode
from stream.wire.times import parse_timezone

logger = logging.getLogger(__name__)

NOTHING: Final = np.zeros(0, np.int32)


class Asking(NamedTuple):
    """What the ranking is asked of a batch of u users, and what the question was made of."""

    rows: I8
    """(u,) of the partition's states."""
    behaviours: Behaviours
    recent: RecentItems
    question: Question
    past_texts: PastTexts | None
    """Of the recent items and queries; None without an encoder."""
    text: Semantics | None


class Request(NamedTuple):
    """What a request wants otherwise than a person's list is."""

    narrowed: Narrowed | None = None
    """Only these items; None: all."""
    excluded: I4 = NOTHING
    """(x,) dense indices of items that may not be listed."""
    moment_ms: int | None = None
    """Ranked as at this event time; None: as now."""
    factors: Mapping[str, float] = MappingProxyType({})
    """By part: how many times as much it counts."""
    context: int | None = None
    """Bucket of where the person is; None: where their newest behaviour was."""
    top_k: int | None = None
    """Places; None: as many as the settings say. A placement with `slots` has its own number."""
    is_explained: bool = True


class Requested(NamedTuple):
    """One list that a request asked for."""

    published: Published
    """As it would be; nobody published it."""
    ranked: RankedBatch
    asking: Asking
    params: RankingParams
    """What ranked it."""


def is_explained(key: bytes, share: float) -> bool:
    """Whether a user is among this share of all: always the same ones, and more of them for a larger share."""
    return share >= 1.0 or crc32(key) < share * 2**32


class Refresher:
    """Makes lists of what is known and what serves. Everything is decided here, nothing is sent."""

    def __init__(
        self, settings: Settings, metrics: Metrics, knowledge: Knowledge, serving: Serving, lists: LastLists
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._knowledge, self._serving = knowledge, serving
        self._outgoing = OutgoingLists(settings, metrics, knowledge, lists)
        self._exclusions = Exclusions(knowledge.index, repeat_purchases=settings.repeat_purchases)
        self._update, self._interest = update_params(settings), interest_params(settings)
        self._zone = parse_timezone(settings.explanation_timezone)
        self._languages = languages_named(settings.explanation_languages)
        self._phrases = phrases_of(self._languages)
        self._moments = Moments()
        self.few_items = FewItemLists()
        """What people with few items could have had."""
        self.pages = Pages(settings, knowledge, metrics)
        self.quarantine = Quarantine(metrics)
        self._checks = ListChecks(self.quarantine, metrics, serving)

    def warm_up(self) -> None:
        """Compile what runs compiled: a list for nobody, of nothing."""
        warm_up_categories()
        self._warm_up(None, placed=self.pages.is_configured)

    def warm_up_page(self, *, texts: bool) -> None:
        """The same of a placement that only rules make, `texts` also by text."""
        self._warm_up(None, placed=True)
        if texts:
            self._warm_up(self._meaning_of_nobody(), placed=True)

    def warm_up_texts(self) -> None:
        """The same by text."""
        self._warm_up(self._meaning_of_nobody(), placed=self.pages.is_configured)

    def _meaning_of_nobody(self) -> Semantics:
        window, ones = self._settings.history_window, np.eye(2, dtype=np.float32)
        vectors, allowed = ItemVectors("", 2), np.ones(2, np.bool_)
        allowed.setflags(write=False)  # as a catalogue's
        vectors.put(np.arange(2, dtype=np.int32), ones)
        past = PastTexts(np.full((1, window), NO_VECTOR), np.zeros((0, 2), np.float32))
        past.row[0, 0] = 0
        gains, ages = np.ones((1, window)), np.zeros((1, window))
        semantics(past, gains, ages, vectors, allowed, self._interest)
        vectors.put(np.ones(1, np.int32), ones[1:])  # what is near to the other one has to be compared with this
        return semantics(past, gains, ages, vectors, allowed, self._interest)

    def _warm_up(self, text: Semantics | None, *, placed: bool) -> None:
        knowledge, states = self._knowledge, States(1)
        row, moment_ms = np.zeros(1, np.int64), np.zeros(1, np.int64)
        behaviours = behaviours_of(states, row, self._update)
        excluded = np.full((1, 1), NO_INDEX, np.int32)
        recent, question = ranking_question(
            states, row, behaviours, self._settings.history_window, knowledge.index, excluded, moment_ms
        )
        priors = compute_priors(knowledge.catalog, knowledge.stats, candidates_each=1, new_items=1, now_ms=0)
        ranked = rank(
            question,
            catalog=knowledge.catalog,
            stats=knowledge.stats,
            priors=priors,
            params=self._serving.params,
            semantics=text,
            moments=Moments(),
        )
        if placed:
            self.pages.warm_up(question, self._serving.params, priors, text)
        nobody = ListHeader("-", EventSource(self._settings.topic_events, 0, 0), 0, "refresh")
        telling = SentenceContext(np.zeros(ranked.items.shape, np.uint8), 0, self._zone, self._phrases)
        build_records(
            [nobody],
            ranked,
            recent,
            behaviours,
            knowledge.naming,
            0,
            self._settings.contributions_max,
            [model_versions(self._serving.params.weights.version)],
            telling,
        )

    def refresh(self, users: UserPartition, due: Sequence[Due], now_ms: int, now: float) -> list[Published | None]:
        """Fresh lists, in the order of `due`; None for a user who is quarantined, whose list cannot be made.

        Args:
            users: their partition.
            due: who.
            now_ms: the wall clock.
            now: a monotonic clock, s.

        Raises:
            PenchantError: not one user's matter: the store cannot be read, say.
        """
        keys = [d.key for d in due]
        self.quarantine.asked_for(keys)
        rows = users.overlay.rows(keys)
        self.quarantine.note_unreadable(users)
        readable = np.flatnonzero(rows >= 0)
        made: list[Published | None] = [None] * len(due)
        found = self._lists_of_rows(users, rows[readable], [due[i] for i in readable.tolist()], now_ms, now)
        for i, each in zip(readable.tolist(), found, strict=True):
            made[i] = each
        return made

    def _lists_of_rows(
        self, users: UserPartition, rows: I8, due: Sequence[Due], now_ms: int, now: float
    ) -> list[Published | None]:
        """As `refresh`. Whatever goes wrong costs the one user of whom it goes wrong: without that one it is tried again."""
        if not due:
            return []
        try:
            made = self._make(users, rows, due, now_ms)
        except (PenchantError, MemoryError):
            raise
        except Exception as error:  # of which nothing was kept: a batch is remembered when it is whole
            if len(due) > 1:
                half = len(due) // 2
                return [
                    *self._lists_of_rows(users, rows[:half], due[:half], now_ms, now),
                    *self._lists_of_rows(users, rows[half:], due[half:], now_ms, now),
                ]
            logger.debug("a list cannot be made", exc_info=error)
            self._checks.cannot_be_made(users, rows[0], due[0].key, f"{type(error).__name__}: {error}")
            return [None]
        # What is remembered becomes durable; an error in here is no user's alone.
        return self._outgoing.remember(users, due, made, now_ms, now)

    def _make(self, users: UserPartition, rows: I8, due: Sequence[Due], now_ms: int) -> MadeLists:
        stage, pages, keys = self._metrics.work.stage_seconds, self.pages, [d.key for d in due]
        pages.look_at_rules(now_ms)
        with stage.labels("rank").time():
            asking = self.ask(users.overlay.states, rows, now_ms)
            explained = np.array([is_explained(d.key, self._settings.explained_users) for d in due], np.bool_)
            sequence = self._expected(users, asking)
            self._note_few(users.partition, asking, keys, sequence, now_ms)
        home = self._make_for(pages.home, users, asking, due, explained, sequence, now_ms)
        others = [self._make_for(page, users, asking, due, explained, sequence, now_ms) for page in pages.others]
        self._explain(users.overlay.states, asking, due, home.ranked, home.published, now_ms)
        return MadeLists(home, others)

    def _make_for(
        self,
        page: Page,
        users: UserPartition,
        asking: Asking,
        due: Sequence[Due],
        explained: NDArray[np.bool_],
        sequence: SequenceScores | None,
        now_ms: int,
    ) -> PlacementLists:
        stage, keys, rows = self._metrics.work.stage_seconds, [d.key for d in due], asking.rows
        if page.has_rows:  # their titles come from the reasons
            explained = np.ones(len(due), np.bool_)
        with stage.labels("rank").time():
            ranked = self._rank(page, users, asking, keys, explained, sequence, now_ms)
        sound = self._checks.sound(users, rows, keys, ranked)
        with stage.labels("publish").time():
            published = self._publish(users, asking, due, explained, ranked, now_ms)
            complete = self._checks.complete(users, rows, keys, ranked, published, sound)
            if not complete.all():
                published = self._publish(users, asking, due, explained & complete, ranked, now_ms)
            if page.has_rows:
                published = [self._with_rows(each) for each in published]
        return PlacementLists(page.name, ranked, published, sound)

    # --- requests ---

    def requested(
        self, page: Page, states: States, rows: I8, who: ListHeader, now_ms: int, request: Request
    ) -> Requested:
        """One list, of the user `rows` (1,), by the code that makes all others; nothing of it is remembered or counted.

        Probabilities are those that the weights are calibrated on.
        """
        knowledge, key = self._knowledge, who.user_id.encode()
        self.pages.look_at_rules(now_ms)
        asking = self.ask(states, rows, now_ms, request.moment_ms)
        if len(request.excluded):
            excluded = np.concatenate([asking.question.excluded, request.excluded[None, :]], axis=1)
            asking = asking._replace(question=asking.question._replace(excluded=excluded))
        if request.context is not None:
            bins = moment_bins(asking.question.now_ms, np.full(1, request.context, np.uint8))
            asking = asking._replace(question=asking.question._replace(bins=bins))
        sequence = self._serving.sequences.expected(
            states,
            rows,
            asking.question.now_ms,
            knowledge.index,
            None if asking.text is None else asking.text.vectors,
        )
        arms = page.arms_of([key])
        of_arms = {arm: _as_wanted(params, request) for arm, params in self._serving.of_arms.items()}
        params = _as_wanted(self._serving.params, request)
        explained = np.array([request.is_explained], np.bool_)
        # What is kept between lists was made with the weights of all others.
        moments = None if request.factors or request.moment_ms is not None else self._moments
        if page.is_active:
            ranked = page.rank(
                asking.question,
                params,
                page.users_of(states, rows, asking.behaviours, [who.user_id]),
                [key],
                semantics=asking.text,
                sequence=sequence,
                explained=explained,
                moments=moments,
                now_ms=now_ms,
                seen=self.pages.seen(now_ms),
                of_arms=of_arms,
                narrowed=request.narrowed,
            )
        else:
            catalog, priors = page.what_may(None, (), now_ms, followed(params.weights), request.narrowed)
            ranked = rank(
                asking.question,
                catalog=catalog,
                stats=knowledge.stats,
                priors=priors,
                params=params,
                semantics=asking.text,
                sequence=sequence,
                explained=explained,
                moments=moments,
            )
        (published,) = self._records([who], asking, ranked, now_ms, request.moment_ms)
        used = params if arms is None else of_arms.get(arms[0], params)
        return Requested(published, ranked, asking, used)

    # --- ask ---

    def ask(self, states: States, rows: I8, now_ms: int, moment_ms: int | None = None) -> Asking:
        """The question for the ranking about the users `rows` (u,), as now, or as at the event time `moment_ms`."""
        knowledge = self._knowledge
        behaviours = self._behaviours(states, rows)
        # The newest event's time, not the clock's: a replayed year is ranked as it was then.
        asked_ms = knowledge.stream_time_ms(now_ms) if moment_ms is None else moment_ms
        moments_ms = np.full(len(rows), asked_ms)
        excluded = self._exclusions.excluded(states, rows, behaviours)
        recent, question = ranking_question(
            states, rows, behaviours, self._settings.history_window, knowledge.index, excluded, moments_ms
        )
        past = knowledge.past_texts(recent, question.history)
        text = self._semantics(recent.gains, question.ages_s, past)
        return Asking(rows, behaviours, recent, question, past, text)

    def _behaviours(self, states: States, rows: I8) -> Behaviours:
        behaviours = behaviours_of(states, rows, self._update)
        item, gain = behaviours.item, behaviours.gain
        queried = (behaviours.action == QUERY) & (item != 0)
        texts = self._knowledge.texts
        if texts is not None and queried.any():
            # What the encoder has not seen says nothing.
            known = texts.queries.get(item[queried].tolist())
            gain[queried] = [self._settings.strength_query if each in known else 0.0 for each in item[queried].tolist()]
        return behaviours

    def _semantics(self, gains: F8, ages: F8, past: PastTexts | None) -> Semantics | None:
        """The users' interests by text; None where nothing has a vector."""
        of_items = self._knowledge.vectors
        if past is None or of_items is None:
            return None
        allowed = self._knowledge.catalog.recommendable
        return semantics(past, gains, ages, of_items, allowed, self._interest)

    # --- rank ---

    def ranking_inputs(self, now_ms: int, key: bytes) -> RankingInputs:
        """What the lists of this user are made of beside the person."""
        knowledge, arms = self._knowledge, self.pages.home.arms_of([key])
        return RankingInputs(
            knowledge.catalog,
            knowledge.stats,
            knowledge.priors(now_ms, followed(self._serving.params.weights)),
            self._serving.params_of(None if arms is None else arms[0]),
            self._interest,
            knowledge.vectors,
        )

    def _expected(self, users: UserPartition, asking: Asking) -> SequenceScores | None:
        with self._metrics.work.stage_seconds.labels("sequence").time():
            return self._serving.sequences.expected(
                users.overlay.states,
                asking.rows,
                asking.question.now_ms,
                self._knowledge.index,
                None if asking.text is None else asking.text.vectors,
            )

    def _rank(
        self,
        page: Page,
        users: UserPartition,
        asking: Asking,
        keys: Sequence[bytes],
        explained: NDArray[np.bool_],
        sequence: SequenceScores | None,
        now_ms: int,
    ) -> RankedBatch:
        knowledge, question = self._knowledge, asking.question
        if page.is_active:
            ranked = page.rank(
                question,
                self._serving.params,
                page.users_of(users.overlay.states, asking.rows, asking.behaviours, [key.decode() for key in keys]),
                keys,
                semantics=asking.text,
                sequence=sequence,
                explained=explained,
                moments=self._moments,
                now_ms=now_ms,
                seen=self.pages.seen(now_ms),
                of_arms=self._serving.of_arms,
            )
        else:
            ranked = rank(
                question,
                catalog=knowledge.catalog,
                stats=knowledge.stats,
                priors=knowledge.priors(now_ms, followed(self._serving.params.weights)),
                params=self._serving.params,
                semantics=asking.text,
                sequence=sequence,
                explained=explained,
                moments=self._moments,
            )
        return self._with_click_probability(users, ranked)

    def _note_few(
        self, partition: int, asking: Asking, keys: Sequence[bytes], sequence: SequenceScores | None, now_ms: int
    ) -> None:
        """Who has few items judges lists that they could have had by what they take next; not whose arm ranks otherwise."""
        serving, arms = self._serving, self.pages.home.arms_of(keys)
        judges = np.array([is_judge(key) for key in keys], np.bool_)
        if arms is not None:
            judges &= np.array([arm not in serving.of_arms for arm in arms], np.bool_)
        rows, weights = np.flatnonzero(judges), serving.without_added
        if weights.cold_expert == SEQUENCE or not len(rows):
            return
        self.few_items.note(
            [(partition, keys[row]) for row in rows.tolist()],
            asking.question.take(rows),
            items_of(self._knowledge.catalog, self._knowledge.stats),
            self._knowledge.priors(now_ms, followed(weights)),
            serving.params,
            weights,
            None if asking.text is None else asking.text.take(rows),
            None if sequence is None else sequence.take(rows),
        )

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

    # --- publish ---

    def _publish(
        self,
        users: UserPartition,
        asking: Asking,
        due: Sequence[Due],
        explained: NDArray[np.bool_],
        ranked: RankedBatch,
        now_ms: int,
    ) -> list[Published]:
        listed = [
            self._listed(users, row, d)._replace(is_explained=told)
            for row, d, told in zip(asking.rows.tolist(), due, explained.tolist(), strict=True)
        ]
        return self._records(listed, asking, ranked, now_ms)

    def _records(
        self,
        listed: Sequence[ListHeader],
        asking: Asking,
        ranked: RankedBatch,
        now_ms: int,
        moment_ms: int | None = None,
    ) -> list[Published]:
        knowledge = self._knowledge
        told_at_ms = knowledge.sentence_time_ms(now_ms) if moment_ms is None else moment_ms
        encoder = None if asking.text is None else asking.text.vectors.model_version
        return build_records(
            listed,
            ranked,
            asking.recent,
            asking.behaviours,
            knowledge.naming,
            now_ms,
            self._settings.contributions_max,
            self._versions_of(ranked, encoder),
            SentenceContext(
                item_facts(ranked.items, knowledge.stats, told_at_ms, self._settings.reasons_min_others),
                told_at_ms,
                self._zone,
                self._phrases,
            ),
        )

    def _versions_of(self, ranked: RankedBatch, encoder: str | None) -> list[ModelVersions]:
        """Of each user's list; most have the same."""
        serving, placed = self._serving, ranked.placed
        arms: Sequence[Arm] = placed.arms if placed is not None and placed.arms else (None,) * len(ranked.items)
        made: dict[Arm, ModelVersions] = {}
        for arm in dict.fromkeys(arms):
            weights = serving.params_of(arm).weights
            made[arm] = model_versions(
                weights.version,
                encoder,
                serving.sequences.model_version,
                weights.cold_expert,
                weights.cold_context,
                weights.added,
            )
        return [made[arm] for arm in arms]

    def _with_rows(self, made: Published) -> Published:
        if made.reasons is None:
            return made
        record = made.list.record
        rows = rows_of(record, made.reasons, self._languages, self._knowledge.title_of)
        return made._replace(list=made.list._replace(value=encode(msgspec.structs.replace(record, rows=rows))))

    def _listed(self, users: UserPartition, row: int, due: Due) -> ListHeader:
        states = users.overlay.states
        fence = int(states.fence[row])
        event_time_ms = due.event_time_ms
        if due.last_offset != fence:
            newest = int(states.n_ring[row]) - 1
            event_time_ms = int(states.time_ms[row, newest % RING] if newest >= 0 else states.last_ms[row])
        source = EventSource(self._settings.topic_events, users.partition, fence)
        return ListHeader(due.key.decode(), source, event_time_ms, due.trigger)

    # --- explain ---

    def _explain(
        self,
        states: States,
        asking: Asking,
        due: Sequence[Due],
        ranked: RankedBatch,
        published: list[Published],
        now_ms: int,
    ) -> None:
        """What would change the lists of some of these users, in place; not where more than scores put the leader there."""
        share = self._settings.counterfactual_users
        chosen = [i for i, d in enumerate(due) if share and is_explained(d.key, share)]
        if not chosen:
            return
        knowledge = self._knowledge
        with self._metrics.work.stage_seconds.labels("counterfactual").time():
            for i in chosen:
                if knowledge.speaks_of_sensitive(ranked.items[i, :1]):
                    continue
                if published[i].reasons is None or (ranked.placed is not None and ranked.placed.moved_by[i, 0]):
                    continue
                inputs = self.ranking_inputs(now_ms, due[i].key)
                person, places = self.what_if(states, asking, i, inputs), asking.recent.items[i]
                try:
                    found = what_would_change(
                        person,
                        places,
                        int(ranked.items[i, 0]),
                        knowledge.index,
                        knowledge.name_of,
                        knowledge.speaks_of_sensitive,
                    )
                except ArithmeticError as error:  # an extra: the list and its reasons are as good without
                    logger.warning(
                        "user %r: what would change the list is not known: %s. Nothing to do: it is published without",
                        *(due[i].key[:64], error),
                    )
                else:
                    published[i] = with_counterfactual(published[i], found)

    def what_if(self, states: States, asking: Asking, user: int, inputs: RankingInputs) -> WhatIf:
        """One user of a batch, whose list can be made as if they had met fewer items."""
        model, one = self._serving.sequences.model, slice(user, user + 1)
        texts = None if asking.past_texts is None else asking.past_texts.take(one)
        sequence = None
        if model is not None:
            history = first_engagements(states, asking.rows[one], model.length)
            sequence = SequencePast(model, history, asking.recent.items[user])
        return WhatIf(Past(asking.question.take(one), texts), inputs, sequence)


def _as_wanted(params: RankingParams, request: Request) -> RankingParams:
    top_k = params.top_k if request.top_k is None else request.top_k
    weights = scaled(params.weights, request.factors) if request.factors else params.weights
    return replace(params, top_k=top_k, weights=weights)
