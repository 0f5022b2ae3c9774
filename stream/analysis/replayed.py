"""A worker without Kafka: events go in one after another, and at any moment it can be asked what it would rank.

State, item statistics and ranking are the worker's own code, so what is learned or judged here is what serves. Only the clock
differs: a question is asked at the time of the event that follows, and statistics have no delay.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.calendar import HOUR_MS
from models.evaluation.contract import Known, Stream
from models.evaluation.questions import gaps
from models.hashing import item_hash, query_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.co_occurrence import batch_deltas, moment_bins
from models.items.index import ItemIndex
from models.items.near import NO_LIMIT
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, Priors, compute_priors
from models.items.rows import ItemRows
from models.items.stats import ItemStatistics
from models.items.vectors import ItemVectors
from models.learning.choices import ChoiceLog, Choices, sample_candidates, together
from models.ranking.everything import everything, score_everything
from models.ranking.features import SESSION_GAP_S, ItemArrays, Question, items_of
from models.ranking.few_items import (
    are_few,
    better_with_added,
    is_judge,
    lists_with_added,
    newcomer_weights,
)
from models.ranking.newcomers import (
    Choice,
    choose,
    gains,
    gains_in_context,
    no_evidence,
    remember,
    remember_few,
    with_choice,
    with_list,
)
from models.ranking.place_vectors import past_of_items
from models.ranking.rank import RankingParams, SequenceScores, score_all, usable_places, weights_of
from models.ranking.semantics import Semantics, semantics
from models.ranking.weights import FEW, RankingWeights, default_weights
from models.reasons.removal import Past
from models.reasons.what_if import RankingInputs
from models.sequence.expectation import expectation
from models.sequence.model import SequenceModel
from models.vocabulary import EXPERTS, SEQUENCE
from stream.params import interest_params, update_params
from stream.refresh.question import behaviours_of, first_engagements, ranking_question
from stream.settings import Settings
from stream.state.record import States, dwell_code
from stream.state.update import Changes, EventColumns, apply_events

CHUNK = 2000
"""Events learned at once where nothing is asked in between."""

PRIORS_EVERY = 50
"""Events between two looks at what leads; a worker takes at most a second."""

ONLY = 0
"""Of everything there is one partition."""


class UserInputs(NamedTuple):
    """What a ranking is asked of one user."""

    question: Question
    text: Semantics | None
    sequence: SequenceScores | None = None


class ReplayedWorker:
    """Events `[0, applied)` of a stream have been applied."""

    def __init__(self, settings: Settings, stream: Stream, known: Known) -> None:
        self._settings, self._stream = settings, stream
        self.index = ItemIndex()
        hashes = np.array([item_hash(item_id) for item_id in known.item_ids], np.uint64)
        self.number = self.index.intern(hashes)
        """(n_items,) int32: dense index of each item of the stream."""
        catalogue = {
            item_id: item or CatalogItem(item_id, item_id)
            for item_id, item in zip(known.item_ids, known.catalogue, strict=True)
        }
        self.catalog = Catalog.empty(self.index).apply(catalogue)
        self.stats = ItemStatistics(self.index, settings.neighbours_max)
        self._rows = ItemRows(settings.neighbours_max)
        self._rows.add([None] * len(self.index))
        self.states = States(known.n_users)
        self._params, self._interest = update_params(settings), interest_params(settings)
        self._columns = _columns(stream, hashes, known)
        self.vectors = None if known.text_vectors is None else _vectors(self.number, known.text_vectors)
        self.sequence: SequenceModel | None = None
        """What names the items that are likely to follow; may be replaced between two questions."""
        self.applied = 0
        self._priors: Priors | None = None
        self._priors_at = 0
        self._of_newcomers: tuple[tuple[str, int], NDArray[np.int32]] | None = None
        self.newcomers = no_evidence()
        """What first choices said of the lists that newcomers, and people with few items, could have had."""
        self.weights = default_weights()
        """What ranks, for what is judged between two questions; may be replaced."""
        firsts = np.flatnonzero(stream.first)
        self._entries = np.sort(firsts[np.unique(stream.user[firsts], return_index=True)[1]])
        """(e,) positions of the events that bring newcomers."""
        self._judged = self._of_few(firsts, known)
        """(f,) positions of the events by which those who have few items judge."""

    def advance(self, to: int) -> None:
        """Apply the events before `to`."""
        while self.applied < to:
            next_judged = int(np.searchsorted(self._judged, self.applied))
            lists = None
            if next_judged < len(self._judged) and self._judged[next_judged] == self.applied:
                lists, next_judged = self._lists_of_few(self.applied), next_judged + 1
            # A newcomer judges what leads, which may not be much older than a worker's would be.
            ahead = self._entries[np.searchsorted(self._entries, self.applied) :]
            until_next = int(ahead[0]) - self.applied if len(ahead) else CHUNK
            most = min(CHUNK, max(until_next, PRIORS_EVERY))
            if next_judged < len(self._judged):
                most = min(most, int(self._judged[next_judged]) - self.applied)
            first = self.applied
            self._apply(slice(first, min(to, first + most)))
            if lists is not None:
                taken = self.number[self._stream.item[first : first + 1]].astype(np.int64)
                self.newcomers = remember_few(self.newcomers, lists[0], better_with_added(lists[1], taken))

    def _of_few(self, firsts: NDArray[np.int64], known: Known) -> NDArray[np.int64]:
        """First engagements of those who judge, after their first and before they have more than a few items."""
        user = self._stream.user[firsts]
        order = np.argsort(user, kind="stable")
        starts = np.searchsorted(user[order], np.arange(known.n_users))
        had = np.empty(len(firsts), np.int64)
        had[order] = np.arange(len(firsts)) - starts[user[order]]
        judges = np.array([is_judge(user_id.encode()) for user_id in known.user_ids], np.bool_)
        few: NDArray[np.int64] = firsts[(had > 0) & (had < FEW) & judges[user]]
        return few

    def _lists_of_few(self, at: int) -> tuple[str, NDArray[np.int32]] | None:
        """Name of the list that is added, and (1, 1 + `ADDED`, k) what the user of event `at` could have had just before it.
        None: nothing is known of them, or nothing is added while newcomers get what the sequence model expects."""
        choice, now_ms = self._choice(), int(self._stream.time_ms[at])
        weights = with_list(self.weights, choice.name, choice.context)
        priors = self.priors(now_ms)
        inputs = self.inputs(int(self._stream.user[at]), now_ms)
        question, items = inputs.question, self.items()
        if choice.name == SEQUENCE or not len(are_few(usable_places(question, items, inputs.text))):
            return None
        question = question._replace(excluded=question.history)
        every = everything(question, items, priors.moment_shares, inputs.text, inputs.sequence, priors.categories)
        candidates = np.setdiff1d(every.candidates, question.history)
        own = weights_of(question, items, weights, inputs.text)[0]
        lists = lists_with_added(
            every.features[:, candidates].T, candidates, own, newcomer_weights(weights), items.count[candidates],
            items.hashes[candidates],
        )  # fmt: skip
        return choice.name, lists[None]

    def _apply(self, events: slice) -> None:
        changes = apply_events(self.states, self._columns.take(np.arange(events.start, events.stop)), self._params)
        self._judge(changes)
        self.applied = events.stop
        if not (len(changes.first_item) or len(changes.exposed_item) or len(changes.clicked_item)):
            return
        items, deltas = batch_deltas(
            changes.first_item,
            changes.first_time_ms,
            changes.first_context,
            changes.first_is_entry,
            changes.first_history,
            self._settings.pair_decay,
            self._settings.forward_decay,
            exposed=changes.exposed_item,
            clicked=changes.clicked_item,
            source_partition=ONLY,
            source_offset=self.applied - 1,
        )
        at = self.index.lookup(items).astype(np.int64)
        self._rows.apply_columns(at, deltas)
        self.stats.put_columns(at, self._rows.records(at))

    def _judge(self, changes: Changes) -> None:
        entered = changes.first_is_entry
        if not entered.any():
            return
        times_ms = changes.first_time_ms[entered]
        priors = self.priors(int(times_ms[0]))
        taken = self.index.lookup(changes.first_item[entered]).astype(np.int64)
        in_context = gains_in_context(priors, taken, moment_bins(times_ms, changes.first_context[entered]))
        gained = gains(priors, self._expected_of_newcomers(times_ms), taken)
        self.newcomers = remember(self.newcomers, gained, EXPERTS[priors.followed], in_context)

    def _expected_of_newcomers(self, times_ms: NDArray[np.int64]) -> NDArray[np.int32]:
        """(k,) what the sequence model expects of somebody without history; empty without one."""
        if self.sequence is None:
            return np.zeros(0, np.int32)
        of = self.sequence.model_version, int(times_ms[0]) // HOUR_MS  # a model may know the calendar
        if self._of_newcomers is None or self._of_newcomers[0] != of:
            nobody, row = States(1), np.zeros(1, np.int64)
            history = first_engagements(nobody, row, self.sequence.length)
            found = expectation(self.sequence, *history, times_ms[:1], self.index)
            self._of_newcomers = of, found.items[0]
        return self._of_newcomers[1]

    def with_choice(self, weights: RankingWeights) -> RankingWeights:
        """These weights, as they would serve now: newcomers get the list that those before them took from."""
        return with_choice(weights, self._choice())

    def _choice(self) -> Choice:
        return choose([self.newcomers], has_sequence=self.sequence is not None)

    def inputs(
        self,
        user: int,
        now_ms: int,
        excluded: NDArray[np.int32] | None = None,
        strengths: NDArray[np.float64] | None = None,
        states: States | None = None,
    ) -> UserInputs:
        """What would be asked of this user now.

        Args:
            user: number.
            now_ms: the moment.
            excluded: (x,) int32 dense indices.
            strengths: others than the settings'.
            states: others than those of everything applied, such as what was known a while ago.
        """
        rows, states = np.array([user], np.int64), self.states if states is None else states
        params = self._params if strengths is None else self._params._replace(strengths=strengths)
        behaviours = behaviours_of(states, rows, params)
        out = np.empty((1, 0), np.int32) if excluded is None else excluded[None, :]
        _, question = ranking_question(
            states, rows, behaviours, self._settings.history_window, self.index, out, np.array([now_ms])
        )
        return UserInputs(question, self._semantics(question), self._expected(states, rows, question))

    def past(self, user: int, now_ms: int) -> Past:
        """What a ranking reads of this user now; their own recent items are not to be listed."""
        rows = np.array([user], np.int64)
        behaviours = behaviours_of(self.states, rows, self._params)
        nothing = np.empty((1, 0), np.int32)
        _, question = ranking_question(
            self.states, rows, behaviours, self._settings.history_window, self.index, nothing, np.array([now_ms])
        )
        texts = None if self.vectors is None else past_of_items(question.history, self.vectors)
        return Past(question._replace(excluded=question.history), texts)

    def ranking_inputs(self, now_ms: int, params: RankingParams) -> RankingInputs:
        """What lists are made of beside the user."""
        return RankingInputs(self.catalog, self.stats, self.priors(now_ms), params, self._interest, self.vectors)

    def apply_to(self, states: States, events: slice) -> None:
        """Apply events to other states; statistics stay as they are."""
        columns = self._columns.take(np.arange(events.start, events.stop))
        apply_events(states, columns, self._params)

    def items(self) -> ItemArrays:
        """What is known of all items."""
        return items_of(self.catalog, self.stats)

    def priors(self, now_ms: int) -> Priors:
        """What leads, a few events ago at most."""
        if self._priors is None or self.applied - self._priors_at >= PRIORS_EVERY:
            self._priors_at = self.applied
            self._priors = compute_priors(
                self.catalog,
                self.stats,
                candidates_each=PRIOR_CANDIDATES,
                new_items=NEW_CANDIDATES,
                now_ms=now_ms,
                followed=self._followed(),
            )
        return self._priors

    def _followed(self) -> int:
        """Position in `EXPERTS` of the list that is made for contexts too."""
        name = self._choice().name
        return EXPERTS.index(name) if name in EXPERTS else 0

    def scores(
        self, inputs: UserInputs, weights: RankingWeights, *, candidates_only: bool = False
    ) -> NDArray[np.float64]:
        """(n_items,) float64: the score of every item of the stream; -inf for what is excluded, or is no candidate."""
        priors = self.priors(int(inputs.question.now_ms[0]))
        weights = self.with_choice(weights)
        if candidates_only:
            scores = score_all(
                inputs.question,
                catalog=self.catalog,
                stats=self.stats,
                priors=priors,
                weights=weights,
                semantics=inputs.text,
                sequence=inputs.sequence,
                neighbours_limit=self._settings.neighbours_scored,
            )[0]
        else:
            scores = score_everything(
                inputs.question,
                self.items(),
                priors.moment_shares,
                weights,
                inputs.text,
                inputs.sequence,
                priors.categories,
            )
        own: NDArray[np.float64] = scores[self.number]
        return own

    def note(
        self, inputs: UserInputs, chosen: int, open_: NDArray[np.bool_], log: ChoiceLog, rng: np.random.Generator
    ) -> None:
        """Keep the choice of item number `chosen` among those that are `open_` (n by dense index), if it teaches anything."""
        items, now_ms = self.items(), int(inputs.question.now_ms[0])
        priors = self.priors(now_ms)
        every = everything(
            inputs.question, items, priors.moment_shares, inputs.text, inputs.sequence, priors.categories
        )
        candidates = every.candidates
        candidates = candidates[open_[candidates]]
        at = np.flatnonzero(candidates == self.number[chosen])
        if not len(at):
            return
        x = every.features[:, candidates].T
        rows = sample_candidates(x, int(at[0]), rng)
        if rows is not None:
            history = int(usable_places(inputs.question, items, inputs.text)[0])
            log.add(x[rows].astype(np.float32), history, float(inputs.question.idle_s[0]))

    def _expected(self, states: States, rows: NDArray[np.int64], question: Question) -> SequenceScores | None:
        if self.sequence is None:
            return None
        history = first_engagements(states, rows, self.sequence.length)
        return expectation(self.sequence, *history, question.now_ms, self.index)

    def _semantics(self, question: Question) -> Semantics | None:
        if self.vectors is None:
            return None
        return semantics(
            past_of_items(question.history, self.vectors),
            question.gains,
            question.ages_s,
            self.vectors,
            self.catalog.recommendable,
            self._interest,
            NO_LIMIT,
        )


def _columns(stream: Stream, hashes: NDArray[np.uint64], known: Known) -> EventColumns:
    queries = np.array([query_hash(text) for text in known.texts] or [0], np.uint64)
    about = np.where(stream.item >= 0, hashes[stream.item], queries[np.maximum(stream.text, 0)])
    return EventColumns(
        row=stream.user.astype(np.int64),
        offset=np.arange(stream.n_events),
        time_ms=stream.time_ms,
        item=about,
        action=stream.action,
        context=stream.context,
        dwell=dwell_code(stream.dwell_ms),
        event_id=stream.event_id,
        slot=stream.slot,
    )


def _vectors(number: NDArray[np.int32], text_vectors: NDArray[np.float32]) -> ItemVectors:
    vectors = ItemVectors("evaluation", text_vectors.shape[1])
    there = np.any(text_vectors != 0, axis=1)
    vectors.put(number[there], text_vectors[there])
    return vectors


T = TypeVar("T")


class Strata(NamedTuple, Generic[T]):
    """Of choices within a session, and of those that start one.

    Starts are few where baskets are long, and a home page is for them: sampled evenly, they would be drowned out.
    """

    within: T
    starting: T


class ChoiceSampler:
    """Samples what users of a stream chose, from everything they could have."""

    def __init__(
        self, replayed: ReplayedWorker, stream: Stream, known: Known, limit: int, rng: np.random.Generator
    ) -> None:
        """`limit` choices of each stratum are kept, the newest."""
        self._replayed, self._stream, self._known, self._rng = replayed, stream, known, rng
        self._limit = limit
        self._logs = Strata(ChoiceLog(limit), ChoiceLog(limit))
        self._seen = np.maximum.accumulate(stream.item) + 1  # items have numbers in the order of their first appearance
        self._gap_ms = gaps(stream.user, stream.time_ms)
        firsts = np.flatnonzero(stream.first)
        self._order = firsts[np.argsort(stream.user[firsts], kind="stable")]
        self._starts = np.searchsorted(stream.user[self._order], np.arange(known.n_users + 1))

    def __len__(self) -> int:
        """Choices kept."""
        return sum(map(len, self._logs))

    def sample(self, firsts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of these first engagements to note, ascending: at most `limit` of each stratum, evenly spread."""
        is_start = self._gap_ms[firsts] >= 1000.0 * SESSION_GAP_S
        parts = Strata(firsts[~is_start], firsts[is_start])
        return np.sort(np.concatenate([evenly(part, self._limit) for part in parts]))

    def inputs(self, at: int, strengths: NDArray[np.float64] | None = None, *, without_had: bool = False) -> UserInputs:
        """Of the user of event `at`, just before it; `without_had`: what they had is excluded."""
        self._replayed.advance(at)
        user, now_ms = int(self._stream.user[at]), int(self._stream.time_ms[at])
        excluded = self._replayed.number[self._had(at)] if without_had else None
        return self._replayed.inputs(user, now_ms, excluded, strengths)

    def note(self, at: int, inputs: UserInputs | None = None) -> None:
        """Keep the choice that event `at` is."""
        inputs = self.inputs(at) if inputs is None else inputs
        log = self._logs[int(inputs.question.idle_s[0] >= SESSION_GAP_S)]
        self._replayed.note(inputs, int(self._stream.item[at]), self.open_at(at), log, self._rng)

    def choices(self) -> Choices:
        """All that are kept."""
        return together([log.choices() for log in self._logs])

    def rank_of_chosen(self, inputs: UserInputs, at: int, weights: RankingWeights) -> float:
        """From 1, half of the ties before it: where the item of event `at` stands among all that could be chosen."""
        scores = self._replayed.scores(inputs, weights)
        open_ = self.open_at(at)[self._replayed.number]
        chosen = int(self._stream.item[at])
        if not open_[chosen]:
            return float(open_.sum() + 1)
        others = scores[open_]
        return float(1 + (others > scores[chosen]).sum() + 0.5 * ((others == scores[chosen]).sum() - 1))

    def open_at(self, at: int) -> NDArray[np.bool_]:
        """(n,) bool by dense index: what the user of event `at` could choose, the evaluation's own rule."""
        stream, known = self._stream, self._known
        there = known.listed_from_ms <= stream.time_ms[at]
        there[: int(self._seen[at - 1]) if at else 0] = True
        there[self._had(at)] = False
        open_ = np.zeros(len(self._replayed.index), np.bool_)
        open_[self._replayed.number[there]] = True
        return open_

    def _had(self, at: int) -> NDArray[np.int32]:
        """Numbers of the items that the user of event `at` had before it."""
        user = int(self._stream.user[at])
        mine = self._order[self._starts[user] : self._starts[user + 1]]
        had: NDArray[np.int32] = self._stream.item[mine[: np.searchsorted(mine, at)]]
        return had


def evenly(positions: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """At most `limit` of them, evenly spread."""
    return positions[:: max(1, -(-len(positions) // limit))]
