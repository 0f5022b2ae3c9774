"""Which items a user sees, with scores that are sums of named parts and exact shares of every past item.

    score(u, j) = sum over features f of w_f(u) x_f(u, j)          (`models.ranking.features`, `models.ranking.weights`)
                = sum over parts, each the sum of its features

What behaviours caused is split among them: the `interest` part is linear in the past items, so each one's share is a term of a
sum; a co-occurrence feature is the logarithm of such a sum, and a past item's share of it is its share of the sum. Nothing is
approximated. What the sequence model adds is personal too, but no sum over behaviours: it is named, not split here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled
from models.items.catalog import Catalog
from models.items.categories import CategoryShares
from models.items.index import NO_INDEX
from models.items.priors import Priors
from models.items.stats import ItemStatistics
from models.ranking.affinity import affinities
from models.ranking.candidates import Candidates, GatherScratch, Proposed, gather
from models.ranking.features import (
    CATEGORY,
    FEATURES,
    PARTS,
    PERSONAL,
    ItemArrays,
    Question,
    fill_features,
    items_of,
)
from models.ranking.listing import Bounds, ListArrays, bounds_of, list_best
from models.ranking.moment import ItemMoment, Moments
from models.ranking.placed import Placed
from models.ranking.pooling import PoolArrays, fill_pool
from models.ranking.semantics import Semantics, TextArrays, no_text
from models.ranking.weights import RankingWeights, default_weights, user_weights
from models.vocabulary import COLD_START, INTEREST, POPULAR

__all__ = ["PARTS", "PERSONAL", "RankedBatch", "RankingParams", "SequenceScores", "rank", "score_all"]

SPLIT = ("co_occurrence", "interest")
"""Parts that `RankedBatch.contributions` divide among past items."""

FEEDBACK = "feedback"
"""Last part of a score, where there is any: what the strategy of the place has earned (`models.credit.strategy_feedback`)."""

TOP_K_MAX = 255

_PASS_USERS = 64


@dataclass(frozen=True, slots=True)
class RankingParams:
    """How to rank."""

    top_k: int = 20
    neighbours_limit: int = 300
    """Neighbours of the history that are scored, per user; the nearest."""
    weights: RankingWeights = field(default_factory=default_weights)
    feedback: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Added to the score of an item that is listed as `INTEREST`, `POPULAR`, `COLD_START`."""

    def __post_init__(self) -> None:
        if not 1 <= self.top_k <= TOP_K_MAX:
            raise ValueError(f"top_k must be 1 to {TOP_K_MAX}, not {self.top_k}")


class SequenceScores(NamedTuple):
    """What the sequence model expects of u users."""

    items: I4
    """(u, m) int32 dense indices, -1 pads."""
    values: F4
    """(u, m) float32, each >= 0: how much more likely than the last one named, as a difference of logarithms."""

    def take(self, users: slice | I8) -> SequenceScores:
        """Of these users."""
        return SequenceScores(self.items[users], self.values[users])


class RankedBatch(NamedTuple):
    """Lists of u users, best first. After the last item of a list: item -1, and 0 in everything else."""

    items: I4
    """(u, k) int32 dense indices."""
    scores: F8
    """(u, k) float64: bit for bit the parts added in the order of `PARTS`."""
    parts: dict[str, F8]
    """(u, k) float64 each."""
    strategy: NDArray[np.uint8]
    """(u, k) uint8: `COLD_START` for users without usable history, else `INTEREST` if the personal parts are > 0, else
    `POPULAR`."""
    probability: F8
    """(u, k) float64, see `models.ranking.weights.Calibration`."""
    contributions: F8
    """(u, k, H) float64: what each item of the history brought to the score; sums to the `SPLIT` parts over H (1e-12)."""
    placed: Placed | None = None
    """None: places are those of the scores."""


def rank(
    question: Question,
    *,
    catalog: Catalog,
    stats: ItemStatistics,
    priors: Priors,
    params: RankingParams,
    semantics: Semantics | None = None,
    sequence: SequenceScores | None = None,
    explained: NDArray[np.bool_] | None = None,
    moments: Moments | None = None,
) -> RankedBatch:
    """The best `params.top_k` items for each of u users.

    Candidates are what `models.ranking.candidates` gathers, without `question.excluded` and what `catalog` does not recommend.
    Items of the history are candidates like others: exclude them if they must not come back. Of equal scores the item with the
    higher count comes first, then the one with the lower hash. A user's list does not depend on the others.

    Args:
        question: who, with what history, and when.
        catalog, stats: over the same `ItemIndex`.
        priors: of these or of a somewhat older catalogue and statistics.
        params: weights and the length of the lists.
        semantics: the same users' interests by text; None where there is no encoder.
        sequence: what the sequence model expects of the same users; None where there is none.
        explained: (u,) bool: of whom the contributions are wanted; those of others stay 0. None: of everyone.
        moments: kept between calls, makes them cheaper; the lists are the same. Its tables may be a second old, and as old as
            `priors`: an item whose statistics have just jumped may be missed for that long.
    """
    items = items_of(catalog, stats)
    moment = moment_of(moments, question, items, priors, params.weights)
    wanted = np.ones(len(question.history), np.bool_) if explained is None else explained
    scratch = None if moments is None else moments.scratch
    return joined(
        [
            listed(asked(*some, items, priors, params, moment, scratch), params.top_k, params, wanted[users])
            for users, some in parted(question, semantics, sequence)
        ]
    )


def best_of(ask: Scoring, size: int, slots: int, params: RankingParams, boost: F4, bonus: F4, draws: int) -> PoolArrays:
    """The best `size` candidates of each user by score and (n,) float32 `boost`, of which the first `slots` are exactly the
    best ones in order; and the best `draws` others of those that may be drawn, by score, boost and (n,) float32 `bonus`: see
    `models.ranking.pooling.fill_pool`."""
    users = len(ask.question.history)
    pool = PoolArrays(
        np.full((users, size), NO_INDEX, np.int32),
        np.zeros((users, size)),
        np.full((users, draws), NO_INDEX, np.int32),
        np.zeros((users, draws)),
    )
    fill_pool(
        ask.question, ask.items, ask.found, ask.text, ask.weights, ask.feedback, ask.moment_shares, params.weights.wanted,
        ask.bounds, slots, boost, bonus, pool,
    )  # fmt: skip
    return pool


def moment_of(
    moments: Moments | None, question: Question, items: ItemArrays, priors: Priors, weights: RankingWeights
) -> ItemMoment | None:
    """What is the same for all who ask now; None where nothing is kept, or nobody asks."""
    if moments is None or not len(question.history):
        return None
    latest = int(question.now_ms.argmax())
    return moments.at(
        items,
        priors.moment_shares,
        weights,
        int(question.now_ms[latest]),
        question.bins[latest, :2],
        priors.stats_version,
    )


def parted(
    question: Question, semantics: Semantics | None, sequence: SequenceScores | None
) -> Iterator[tuple[slice, tuple[Question, Semantics | None, SequenceScores | None]]]:
    """Users are ranked in passes whose arrays stay in the cache, at least one: which users, and what is asked of them."""
    for start in range(0, max(len(question.history), 1), _PASS_USERS):
        users = slice(start, start + _PASS_USERS)
        text = None if semantics is None else semantics.take(users)
        yield users, (question.take(users), text, None if sequence is None else sequence.take(users))


def score_all(
    question: Question,
    *,
    catalog: Catalog,
    stats: ItemStatistics,
    priors: Priors,
    weights: RankingWeights,
    semantics: Semantics | None = None,
    sequence: SequenceScores | None = None,
    neighbours_limit: int | None = None,
) -> F8:
    """(u, n) float64: the score of every item by dense index as `rank` computes it, -inf for what may not be listed.

    With `neighbours_limit` also for what `rank` would not score.
    """
    items = items_of(catalog, stats)
    scored = (
        full_scope(items)
        if neighbours_limit is None
        else (neighbours_limit, priors.proposed(weights.cold_expert, weights.cold_context))
    )
    candidates, x = features_of(question, items, priors, scored, semantics, sequence)
    scores = np.full((len(question.history), len(items.count)), -np.inf)
    user = np.repeat(np.arange(len(question.history)), np.diff(candidates.start))
    scores[user, candidates.item] = np.einsum("cf,cf->c", x, weights_of(question, items, weights, semantics)[user])
    return scores


def features_of(
    question: Question,
    items: ItemArrays,
    priors: Priors,
    candidates: tuple[int, I4],
    semantics: Semantics | None,
    sequence: SequenceScores | None,
    wanted: NDArray[np.bool_] | None = None,
) -> tuple[Candidates, F8]:
    """Candidates of every user and their (c, F) float64 features, of which decayed counts that are not `wanted` (F,) are 0;
    `candidates` as `full_scope` or `served_scope` gives them."""
    limit, common = candidates
    found = gather(question, items, _proposed(len(question.history), common, semantics, sequence), limit)
    if wanted is None or wanted[CATEGORY]:
        found = _with_categories(found, question, items, priors.categories)
    x = np.zeros((len(found.item), len(FEATURES)))
    every = np.ones(len(FEATURES), np.bool_) if wanted is None else wanted
    _all_features(x, question, items, found, _text(found, semantics), priors.moment_shares, every)
    return found, x


def full_scope(items: ItemArrays) -> tuple[int, I4]:
    """For `features_of`: every item that may be listed."""
    return len(items.count), np.flatnonzero(items.recommendable).astype(np.int32)


def served_scope(priors: Priors, params: RankingParams) -> tuple[int, I4]:
    """For `features_of`: what `rank` scores."""
    return params.neighbours_limit, priors.proposed(params.weights.cold_expert, params.weights.cold_context)


def weights_of(question: Question, items: ItemArrays, weights: RankingWeights, semantics: Semantics | None) -> F8:
    """(u, F) float64: the weights of the features for each user."""
    return user_weights(weights, usable_places(question, items, semantics), question.idle_s)


def usable_places(question: Question, items: ItemArrays, semantics: Semantics | None) -> I8:
    """(u,) int64: of how many places of each history anything is known: statistics of the item, or a vector of the text."""
    known = (question.history >= 0) & (question.history < len(items.count)) & (question.gains != 0.0)
    if semantics is not None:
        known |= semantics.weights != 0.0
    usable: I8 = known.sum(axis=1)
    return usable


def _proposed(users: int, common: I4, semantics: Semantics | None, sequence: SequenceScores | None) -> Proposed:
    nobody = np.full((users, 0), NO_INDEX, np.int32)
    return Proposed(
        common,
        nobody if semantics is None else semantics.candidates,
        nobody if sequence is None else sequence.items,
        np.zeros((users, 0), np.float32) if sequence is None else sequence.values,
    )


def _with_categories(
    found: Candidates, question: Question, items: ItemArrays, categories: CategoryShares
) -> Candidates:
    of = affinities(question.history, question.gains, found.start, found.item, items.categories, categories)
    return found._replace(category=of)


def _text(found: Candidates, semantics: Semantics | None) -> F4:
    """(c, 2) float32: the text features of all candidates."""
    if semantics is None:
        return np.zeros((len(found.item), 2), np.float32)
    return semantics.scores(found.start, found.item)


class Scoring(NamedTuple):
    """Everything that lists of u users are made of, c candidates in all."""

    question: Question
    items: ItemArrays
    found: Candidates
    text: TextArrays
    weights: F8
    """(u, F)."""
    feedback: F8
    """(u, 2) what is added to a score without and with something personal."""
    moment_shares: F8
    categories: CategoryShares
    bounds: Bounds
    usable: I8
    """(u,) of how many places of each history anything is known."""

    def only(self, kept: NDArray[np.bool_]) -> Scoring:
        """With these candidates alone, (c,) bool."""
        before = np.append(0, np.cumsum(kept))
        found = self.found
        found = Candidates(
            before[found.start], found.item[kept], found.near[kept], found.sequence[kept], found.category[kept]
        )
        return self._replace(found=found, text=self.text._replace(row=self.text.row[kept]))


def asked(
    question: Question,
    semantics: Semantics | None,
    sequence: SequenceScores | None,
    items: ItemArrays,
    priors: Priors,
    params: RankingParams,
    moment: ItemMoment | None,
    scratch: GatherScratch | None,
    also: I4 | None = None,
) -> Scoring:
    """Candidates of u users and all that scores them; `also` (u, m) int32 are candidates beside those that are found."""
    users = len(question.history)
    limit, common = served_scope(priors, params)
    proposed = _proposed(users, common, semantics, sequence)
    if also is not None:
        proposed = proposed._replace(near=np.concatenate((proposed.near, also), axis=1))
    found = gather(question, items, proposed, limit, scratch)
    if params.weights.wanted[CATEGORY]:
        found = _with_categories(found, question, items, priors.categories)
    usable = usable_places(question, items, semantics)
    weights = user_weights(params.weights, usable, question.idle_s)
    # By whether the personal parts are above 0: what an item of a user is listed as depends on that alone.
    interest, popular, cold = params.feedback
    feedback = np.where((usable > 0)[:, None], (popular, interest), (cold, cold))
    text = no_text(len(found.item)) if semantics is None else semantics.arrays(found.item)
    bounds = bounds_of(moment, question, usable, weights)
    return Scoring(
        question, items, found, text, weights, feedback, priors.moment_shares, priors.categories, bounds, usable
    )


def listed(ask: Scoring, k: int, params: RankingParams, explained: NDArray[np.bool_]) -> RankedBatch:
    """The best k candidates of each user; contributions of those who are `explained` (u,)."""
    users, places = ask.question.history.shape
    found = ListArrays(
        np.full((users, k), NO_INDEX, np.int32),
        np.zeros((users, k, len(PARTS) + 1)),
        np.zeros((users, k, places)),
    )
    list_best(
        ask.question, ask.items, ask.found, ask.text, ask.weights, ask.feedback, ask.moment_shares, ask.categories,
        params.weights.wanted, ask.bounds, explained, found,
    )  # fmt: skip
    return _to_batch(found, ask.usable > 0, params)


def _personal(parts: F8) -> F8:
    """(u, k) of (u, k, P + 1)."""
    return sum((parts[..., PARTS.index(name)] for name in PERSONAL), np.zeros(parts.shape[:2]))


def _score(parts: F8) -> F8:
    """The parts, (.., P), added in their order."""
    score = parts[..., 0].copy()
    for p in range(1, parts.shape[-1]):
        score += parts[..., p]
    return score


def _to_batch(listed: ListArrays, warm: NDArray[np.bool_], params: RankingParams) -> RankedBatch:
    filled = listed.items >= 0
    score = _score(listed.parts)
    calibration = params.weights.calibration
    logit = calibration.slope * score + calibration.intercept
    probability = 0.5 * (1.0 + np.tanh(0.5 * logit))  # the sigmoid, without overflow
    strategy = np.where(warm[:, None], np.where(_personal(listed.parts) > 0.0, INTEREST, POPULAR), COLD_START)
    names = (*PARTS, FEEDBACK) if any(params.feedback) else PARTS
    return RankedBatch(
        listed.items,
        score,
        {name: np.ascontiguousarray(listed.parts[..., p]) for p, name in enumerate(names)},
        np.where(filled, strategy, 0).astype(np.uint8),
        np.where(filled, probability, 0.0),
        listed.contributions,
    )


def joined(batches: list[RankedBatch]) -> RankedBatch:
    """One batch of all; with equal lengths of lists, and the same parts."""
    if len(batches) == 1:
        return batches[0]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    parts = {name: np.concatenate([batch.parts[name] for batch in batches]) for name in batches[0].parts}
    return RankedBatch(
        column("items"), column("scores"), parts, column("strategy"), column("probability"), column("contributions")
    )


@compiled
def _all_features(
    x: F8,
    question: Question,
    items: ItemArrays,
    found: Candidates,
    text: F4,
    moment_shares: F8,
    wanted: NDArray[np.bool_],
) -> None:
    for u in range(len(question.history)):
        for c in range(found.start[u], found.start[u + 1]):
            fill_features(
                x[c], items, found.item[c], found.near[c], text[c], found.category[c], found.sequence[c], question.now_ms[u],
                question.bins[u], moment_shares, wanted,
            )  # fmt: skip
