"""Lists of a placement: what would be ranked, composed, and said exactly of what is listed in the end.

A pool of each user's best items is scored without splitting anything among behaviours; rules, fatigue and the draws need no
more. What is listed then is scored once more with everything that is told of it: the same numbers, and what each past item
brought to them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4, I8
from models.compiled import compiled
from models.items.catalog import Catalog
from models.items.index import NO_INDEX
from models.items.priors import Priors
from models.items.stats import ItemStatistics
from models.page.compose import Composed, ComposeParams, Pool, compose
from models.page.explore import POOL_MAX, ExploreParams
from models.page.fatigue import Exposed, FatigueParams, fatigue_of
from models.page.placing import Placing
from models.ranking.features import Question, items_of
from models.ranking.moment import Moments
from models.ranking.pooling import PoolArrays
from models.ranking.rank import (
    RankedBatch,
    RankingParams,
    Scoring,
    SequenceScores,
    asked,
    best_of,
    joined,
    listed,
    moment_of,
    parted,
)
from models.ranking.semantics import Semantics
from models.vocabulary import EXPLORE

RULES_PART, FATIGUE_PART = "rules", "fatigue"
"""Names of the parts that a placement adds to a score, in this order behind all others."""


class PageParams(NamedTuple):
    """How the lists of a placement are made."""

    compose: ComposeParams
    fatigue: FatigueParams = FatigueParams()
    pool: int = 60
    """Best items that are looked at, at least as many as are listed."""


class PageItems(NamedTuple):
    """What a placement knows of items, by dense index."""

    placing: Placing
    bonus: F4
    """(n,) what an item's being little known adds when it may be explored, see `bonus_of_unknown`; below 0: it may not."""
    also: I4
    """(m,) proposed to everyone beside the candidates of the ranking: what is pinned, and the best of what is promoted,
    boosted or to be explored."""
    sketch: F4
    """(n, SKETCH_DIMS), see `models.items.sketches`."""
    has_boosts: bool = False
    """Scores have the part `rules`, whatever rules count for these users."""


class PageUsers(NamedTuple):
    """What a placement knows of u users beside the ranking's question."""

    exposed: Exposed
    key: NDArray[np.uint64]
    """(u,) of the draws."""
    asked: I4
    """(u, slots) or (u, 0), as of `models.page.compose.Pool`."""

    def take(self, users: slice | I8) -> PageUsers:
        """Of these users."""
        return PageUsers(
            Exposed(self.exposed.item[users], self.exposed.time_s[users]), self.key[users], self.asked[users]
        )


class RankedPage(NamedTuple):
    """Lists of u users."""

    ranked: RankedBatch
    """In the order in which they are shown. Parts are those of the ranking, and `rules` and `fatigue` where the placement has
    such."""
    composed: Composed


def evidence_of(stats: ItemStatistics, items: int) -> F8:
    """(items,) how often each was shown, or taken for the first time, whichever is more."""
    evidence = np.zeros(items)
    known = min(items, stats.size)
    evidence[:known] = np.maximum(stats.exposures[:known], stats.count[:known])
    return evidence


def bonus_of_unknown(
    params: ExploreParams, stats: ItemStatistics, published_ms: I8, recommendable: NDArray[np.bool_], now_ms: int
) -> F4:
    """(n,) float32: `optimism / sqrt(1 + evidence)` of items of which little is known, or that came last; -1 of all others.

    `published_ms` (n,), below 0 where it is not known.
    """
    evidence = evidence_of(stats, len(recommendable))
    age_ms = now_ms - published_ms
    is_new = (published_ms >= 0) & (age_ms >= 0) & (age_ms < params.max_age_h * 3_600_000.0)
    may = recommendable & ((evidence < params.max_exposures) | is_new)
    return np.where(may, params.optimism / np.sqrt(1.0 + evidence), -1.0).astype(np.float32)


def rank_page(
    question: Question,
    *,
    catalog: Catalog,
    stats: ItemStatistics,
    priors: Priors,
    params: RankingParams,
    page: PageParams,
    of_items: PageItems,
    of_users: PageUsers,
    semantics: Semantics | None = None,
    sequence: SequenceScores | None = None,
    explained: NDArray[np.bool_] | None = None,
    moments: Moments | None = None,
) -> RankedPage:
    """Lists of `page.compose.slots` places for each of u users; see `models.ranking.rank.rank` for what is not said here.

    Args:
        question: who, with what history, and when.
        catalog: of which only what the rules allow is recommendable.
        stats, priors, params: as for `rank`; the length of the lists is the placement's.
        page: how they are composed.
        of_items, of_users: what the placement knows.
        semantics, sequence, explained, moments: as for `rank`.
    """
    items = items_of(catalog, stats)
    moment = moment_of(moments, question, items, priors, params.weights)
    wanted = np.ones(len(question.history), np.bool_) if explained is None else explained
    scratch = None if moments is None else moments.scratch
    ranked, composed = [], []
    for users, some in parted(question, semantics, sequence):
        also = np.broadcast_to(of_items.also, (len(some[0].history), len(of_items.also)))
        ask = asked(*some, items, priors, params, moment, scratch, also)
        pool = _pool(ask, params, page, of_items, of_users.take(users))
        found = compose(pool, page.compose, of_items.placing, items, of_items.sketch)
        told, found = _told(ask, params, page, of_items, of_users.take(users), found, wanted[users])
        ranked.append(told)
        composed.append(found)
    if len(composed) == 1:
        return RankedPage(ranked[0], composed[0])
    return RankedPage(joined(ranked), Composed._make(np.concatenate(each) for each in zip(*composed, strict=True)))


def _pool(ask: Scoring, params: RankingParams, page: PageParams, of_items: PageItems, of_users: PageUsers) -> Pool:
    """What each list is composed of."""
    users, placing = len(ask.question.history), of_items.placing
    nobody = np.zeros(users, np.bool_)
    slots = page.compose.slots
    draws = POOL_MAX if page.compose.explore.slots else 0
    best = best_of(ask, max(page.pool, slots), slots, params, placing.boost, of_items.bonus, draws)
    items, scores = best.items, best.scores
    if placing.boost.any():  # beside what leads without, or nobody knows what was passed
        items, scores = _beside(items, scores, listed(ask, slots, params, nobody))
    promoted = _by_index(placing.promoted, ask.found.item, np.int16(-1))
    # Each has one place at least, so more of them than places can never have theirs.
    for rule in np.flatnonzero(placing.least)[:slots].tolist():
        some = listed(ask.only(promoted == rule), int(placing.least[rule]), params, nobody)
        items, scores = _beside(items, scores, some)
    fatigue = _fatigue(items, ask, page.fatigue, of_users.exposed)
    eligible, worth = _eligible(ask, page, best, of_users.exposed)
    adjusted = scores + _by_index(placing.boost, items, np.float32(0.0)) + fatigue
    return Pool(
        items, adjusted, scores, fatigue, ask.usable, eligible, worth, of_users.key, ask.question.excluded,
        of_users.asked,
    )  # fmt: skip


def _beside(items: I4, scores: F8, more: RankedBatch) -> tuple[I4, F8]:
    """The pool (u, P) and what of `more` is not in it yet, best first."""
    is_in = np.any(more.items[:, :, None] == items[:, None, :], axis=2)
    all_items = np.concatenate((items, np.where(is_in, NO_INDEX, more.items)), axis=1)
    all_scores = np.concatenate((scores, more.scores), axis=1)
    order = np.argsort(np.where(all_items >= 0, -all_scores, np.inf), axis=1, kind="stable")
    return np.take_along_axis(all_items, order, 1), np.take_along_axis(all_scores, order, 1)


def _fatigue(items: I4, ask: Scoring, params: FatigueParams, exposed: Exposed) -> F8:
    """(u, k) of these (u, k) items."""
    taken_off = np.zeros(items.shape)
    if params.weight:
        hashes = _by_index(ask.items.hashes, items, np.uint64(0))
        fatigue_of(exposed.item, exposed.time_s, hashes, ask.question.now_ms // 1000, params, taken_off)
    return taken_off


def _eligible(ask: Scoring, page: PageParams, best: PoolArrays, exposed: Exposed) -> tuple[I4, F8]:
    """What may be drawn for each user, best first, and what it is worth: its score, and a bonus for what is not known."""
    if not best.drawn.shape[1]:
        return best.drawn, best.drawn_scores
    worth = best.drawn_scores + _fatigue(best.drawn, ask, page.fatigue, exposed)
    if not page.fatigue.weight:
        return best.drawn, worth
    order = np.argsort(np.where(best.drawn >= 0, -worth, np.inf), axis=1, kind="stable")
    return np.take_along_axis(best.drawn, order, 1), np.take_along_axis(worth, order, 1)


def _told(
    ask: Scoring,
    params: RankingParams,
    page: PageParams,
    of_items: PageItems,
    of_users: PageUsers,
    composed: Composed,
    explained: NDArray[np.bool_],
) -> tuple[RankedBatch, Composed]:
    """Everything that is said of what is listed, in the order of the lists."""
    chosen = np.zeros(len(ask.found.item), np.bool_)
    _mark(ask.found.start, ask.found.item, composed.items, np.zeros(len(ask.items.count), np.bool_), chosen)
    exact = listed(ask.only(chosen), composed.items.shape[1], params, explained)
    # What is listed was scored, so each item is found; one of a pin that no candidate was would be left out.
    same = (composed.items[:, :, None] == exact.items[:, None, :]) & (composed.items[:, :, None] >= 0)
    at, is_there = same.argmax(axis=2), same.any(axis=2)
    if not np.array_equal(is_there, composed.items >= 0):
        kept = np.argsort(~is_there, axis=1, kind="stable")
        moved = (np.take_along_axis(each, kept, 1) for each in composed[:-1])
        composed = Composed._make((*moved, composed.of_asked))
        is_there, at = np.take_along_axis(is_there, kept, 1), np.take_along_axis(at, kept, 1)
        composed = composed._replace(items=np.where(is_there, composed.items, NO_INDEX).astype(np.int32))

    users, k = at.shape
    flat = (at + k * np.arange(users)[:, None]).ravel()
    is_full = bool(is_there.all())

    def taken(values: F8) -> F8:
        found: F8 = values.reshape(-1)[flat].reshape(users, k)
        return found if is_full else np.where(is_there, found, 0.0)

    parts = {name: taken(values) for name, values in exact.parts.items()}
    base = taken(exact.scores)
    fatigue = _fatigue(composed.items, ask, page.fatigue, of_users.exposed)
    score = base
    boost = of_items.placing.boost
    if of_items.has_boosts or boost.any():
        parts[RULES_PART] = np.where(is_there, _by_index(boost, composed.items, np.float32(0.0)), 0.0)
        score = score + parts[RULES_PART]
    if page.fatigue.weight:
        parts[FATIGUE_PART] = fatigue
        score = score + fatigue
    # What a shop adds to a score says nothing of a person, what they passed over does.
    calibration = params.weights.calibration
    logit = calibration.slope * (base + fatigue) + calibration.intercept
    probability = np.where(is_there, 0.5 * (1.0 + np.tanh(0.5 * logit)), 0.0)
    strategy = np.where(is_there, exact.strategy.reshape(-1)[flat].reshape(users, k), 0)
    strategy = np.where(composed.is_explored, EXPLORE, strategy).astype(np.uint8)
    contributions = exact.contributions.reshape(users * k, -1)[flat].reshape(users, k, -1)
    if not is_full:
        contributions = np.where(is_there[:, :, None], contributions, 0.0)
    return RankedBatch(composed.items, score, parts, strategy, probability, contributions), composed


def _by_index(values: NDArray[Any], at: NDArray[Any], otherwise: np.generic) -> NDArray[Any]:
    """`values` of the items `at`, of any shape; `otherwise` of -1 and of what lies beyond."""
    if not len(values):
        return np.full(at.shape, otherwise)
    inside = (at >= 0) & (at < len(values))
    return np.where(inside, values[np.where(inside, at, 0)], otherwise)


@compiled
def _mark(start: I8, item: I4, wanted: I4, is_wanted: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> None:
    """Which of the (c,) candidates stand among their user's (u, k) wanted items; (n,) `is_wanted` is scratch, and all False."""
    for u in range(len(wanted)):
        for j in wanted[u]:
            if 0 <= j < len(is_wanted):
                is_wanted[j] = True
        for c in range(start[u], start[u + 1]):
            chosen[c] = is_wanted[item[c]]
        for j in wanted[u]:
            if 0 <= j < len(is_wanted):
                is_wanted[j] = False
