"""Which items a user sees, with scores that are sums of named parts and exact shares of every past item.

For user u with history h_1 (newest) .. h_H, weights w_q (`models.interest.recent_items`), and candidate j:

    co_occurrence = weight_co_occurrence * sum_q w_q C[h_q, j] N(h_q) N(j),   N(x) = (count[x] + 10)^-1/2
    interest      = weight_interest * sum_v w(v) cos(v, j)     (`models.semantics`; where there are text vectors)
    trend         = weight_trend * trend[j]
    popularity    = weight_popularity * popularity[j] / (1 + number of items in the history)
    score         = co_occurrence + interest + trend + popularity

Item-based nearest neighbours with cosine normalisation (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004), the
counts smoothed and the pairs decayed by position. Both personal parts are linear in the history, so each past item's share of
them is a term of the sum and nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalog import Catalog
from models.item_index import NO_INDEX
from models.item_stats import ItemStatistics
from models.priors import Priors, compute_priors
from models.semantics import Semantics

__all__ = ["PARTS", "Calibration", "Priors", "RankedBatch", "RankingParams", "compute_priors", "rank"]

PARTS = ("co_occurrence", "interest", "trend", "popularity")
"""Keys of `RankedBatch.parts`, in the order in which they are added up to the score."""

PERSONAL = ("co_occurrence", "interest")
"""Parts that behaviours caused; `RankedBatch.contributions` are theirs."""

INTEREST, POPULAR, COLD_START = 0, 1, 2
"""Codes in `RankedBatch.strategy`; the wire's `STRATEGIES` has the same positions."""

_COUNT_SMOOTHING = 10.0
# Users are ranked in passes whose arrays stay in the cache and in malloc's heap: half the time of one big pass.
_PASS_TERMS = 1 << 16
_PASS_USERS = 64

_F8 = NDArray[np.float64]
_I8 = NDArray[np.int64]


class Calibration(NamedTuple):
    """probability = 1 / (1 + exp(-(slope * score + intercept))).

    The defaults are NOT calibrated: a fixed guess, 5 % at score 0, that grows with the score and says nothing about
    true click rates until it is fitted to outcomes.
    """

    slope: float = 4.0
    intercept: float = -2.9444389791664403  # log(0.05 / 0.95)


UNCALIBRATED = Calibration()


@dataclass(frozen=True, slots=True)
class RankingParams:
    """How to rank. The weights are per part; see the module."""

    top_k: int = 20
    weight_co_occurrence: float = 1.0
    weight_trend: float = 0.02
    weight_popularity: float = 0.02
    calibration: Calibration = UNCALIBRATED
    weight_interest: float = 0.05

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")


class RankedBatch(NamedTuple):
    """Lists of u users, best first. After the last item of a list: item -1, and 0 in everything else."""

    items: NDArray[np.int32]
    """(u, k) int32 dense indices."""
    scores: _F8
    """(u, k) float64: bit for bit the parts added in the order of `PARTS`."""
    parts: dict[str, _F8]
    """(u, k) float64 each."""
    strategy: NDArray[np.uint8]
    """(u, k) uint8: `COLD_START` for users without usable history, else `INTEREST` if the personal parts are > 0, else
    `POPULAR`."""
    probability: _F8
    """(u, k) float64, see `Calibration`."""
    contributions: _F8
    """(u, k, H) float64: what each item of the history brought to the score; sums to the `PERSONAL` parts over H (1e-12)."""


class _Terms(NamedTuple):
    """Terms of all users' co-occurrence sums, t in number, by user, then place in the history."""

    user: _I8
    place: _I8
    item: NDArray[np.int32]
    value: _F8
    """w_q C[h_q, item] N(h_q)."""

    def within(self, number: NDArray[np.int32]) -> _Terms:
        """Those whose item has a number."""
        kept = number[self.item] >= 0
        if kept.all():
            return self
        return _Terms(self.user[kept], self.place[kept], self.item[kept], self.value[kept])


class _Listed(NamedTuple):
    """The filled places of all lists, f in number, by user, then rank."""

    user: _I8
    column: _I8
    candidate: _I8


def rank(
    history: NDArray[np.int32],
    weights: _F8,
    excluded: NDArray[np.int32],
    *,
    catalog: Catalog,
    stats: ItemStatistics,
    priors: Priors,
    params: RankingParams,
    semantics: Semantics | None = None,
) -> RankedBatch:
    """The best `params.top_k` items for each of u users.

    Candidates are the neighbours of the history, `priors.candidates` and what is near by text, without `excluded` and what
    `catalog` does not recommend. Items of the history are candidates like others: exclude them if they must not come back.
    Of equal scores the item with the higher count comes first, then the one with the lower hash. A user's list does not
    depend on the others.

    Args:
        history: (u, H) int32 dense indices, newest first, distinct; -1 pads and unknown items may stand anywhere.
        weights: (u, H) float64; 0 makes an item unusable, negative ones push its neighbours down.
        excluded: (u, X) int32 dense indices, padded with -1.
        catalog, stats: over the same `ItemIndex`.
        priors: of these or of a somewhat older catalogue and statistics.
        params: weights and the length of the lists.
        semantics: the same users' interests by text; None where there is no encoder.
    """
    users, places = history.shape
    step = min(max(_PASS_TERMS // max(places * stats.neighbours.shape[1], 1), 1), _PASS_USERS)
    passes = [slice(start, start + step) for start in range(0, max(users, 1), step)]
    batches = [
        _rank(
            history[p],
            weights[p],
            excluded[p],
            catalog,
            stats,
            priors,
            params,
            None if semantics is None else semantics.take(p),
        )
        for p in passes
    ]
    return batches[0] if len(batches) == 1 else _joined(batches)


def _rank(
    history: NDArray[np.int32],
    weights: _F8,
    excluded: NDArray[np.int32],
    catalog: Catalog,
    stats: ItemStatistics,
    priors: Priors,
    params: RankingParams,
    semantics: Semantics | None,
) -> RankedBatch:
    usable = (history >= 0) & (weights != 0.0)
    terms = _terms(history, weights, usable, stats)
    near = np.full((history.shape[0], 0), NO_INDEX, np.int32) if semantics is None else semantics.candidates
    universe = _universe(terms, catalog, stats, priors, near)
    # In the order in which equal scores are listed, so that candidates come in that order too.
    universe = universe[np.lexsort((catalog.index.hash_of(universe), -_at(stats.count, universe)))]
    users, width = history.shape[0], universe.size
    number = np.full(max(stats.size, catalog.recommendable.size), NO_INDEX, np.int32)  # dense index -> column
    number[universe] = np.arange(width, dtype=np.int32)
    terms = terms.within(number)
    cell = terms.user * width + number[terms.item]  # of the users x universe table
    candidate = _candidates(
        cell, users, width, number[priors.candidates], _numbers(number, near), _numbers(number, excluded)
    )
    user, column = np.divmod(candidate, width)
    count = _at(stats.count, universe)
    norm = _norm(count)
    # Item by item first and then user by user: fewer operations, the same numbers whatever the batch.
    co_occurrence = np.bincount(cell, weights=terms.value, minlength=users * width)[candidate] * norm[column]
    popularity = (params.weight_popularity * _at(priors.popularity, universe))[column]
    parts = {
        "co_occurrence": params.weight_co_occurrence * co_occurrence,
        "interest": np.zeros(candidate.size)
        if semantics is None
        else params.weight_interest * semantics.scores(universe)[user, column].astype(np.float64),
        "trend": (params.weight_trend * _at(priors.trend, universe))[column],
        "popularity": popularity / (1.0 + usable.sum(axis=1))[user],
    }
    listed = _best(user, _score(parts), users, params.top_k)

    rank_of = np.full(users * width, NO_INDEX, np.int32)
    rank_of[candidate[listed.candidate]] = listed.column
    shown = np.flatnonzero(rank_of[cell] >= 0)
    share = params.weight_co_occurrence * (terms.value * norm[number[terms.item]])
    contributions = np.zeros((users, params.top_k, history.shape[1]))
    contributions[terms.user[shown], rank_of[cell[shown]], terms.place[shown]] = share[shown]
    items = universe[column[listed.candidate]]
    parts = {name: values[listed.candidate] for name, values in parts.items()}
    if semantics is not None:
        items, parts, contributions = _exactly(listed, items, parts, contributions, semantics, params)
    return _filled(listed, items, parts, usable.any(axis=1), contributions, calibration=params.calibration)


def _exactly(
    listed: _Listed,
    items: _I8,
    parts: dict[str, _F8],
    contributions: _F8,
    semantics: Semantics,
    params: RankingParams,
) -> tuple[_I8, dict[str, _F8], _F8]:
    """Single precision chose what is listed; what is said of it, and its order, is the exact sum of its contributions."""
    places = np.full(contributions.shape[:2], NO_INDEX, np.int32)
    places[listed.user, listed.column] = items
    by_text = params.weight_interest * semantics.contributions(places)
    parts = parts | {"interest": by_text.sum(axis=2)[listed.user, listed.column]}
    order = np.lexsort((listed.column, -_score(parts), listed.user))
    both = np.zeros_like(contributions)
    both[listed.user, listed.column] = (contributions + by_text)[listed.user, listed.column][order]
    return items[order], {name: values[order] for name, values in parts.items()}, both


def _terms(history: NDArray[np.int32], weights: _F8, usable: NDArray[np.bool_], stats: ItemStatistics) -> _Terms:
    user, place = np.nonzero(usable & (history < stats.size))
    known = history[user, place]
    neighbours = stats.neighbours[known]
    value = stats.neighbour_weights[known]
    value *= (weights[user, place] * _norm(stats.count[known]))[:, None]
    real = np.flatnonzero(neighbours >= 0)
    owner = real // max(neighbours.shape[1], 1)
    return _Terms(user[owner], place[owner], neighbours.reshape(-1)[real], value.reshape(-1)[real])


def _universe(terms: _Terms, catalog: Catalog, stats: ItemStatistics, priors: Priors, near: NDArray[np.int32]) -> _I8:
    """Everything that may be listed for any of the users."""
    proposed = np.zeros(max(stats.size, catalog.recommendable.size), np.bool_)
    proposed[terms.item] = True
    proposed[priors.candidates] = True
    proposed[near[near >= 0]] = True
    proposed[: catalog.recommendable.size] &= catalog.recommendable
    proposed[catalog.recommendable.size :] = False
    return np.flatnonzero(proposed)


def _numbers(number: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.int32]:
    """`number[items]`, -1 where an item is -1 or beyond the end."""
    inside = (items >= 0) & (items < number.size)
    return np.where(inside, number[np.where(inside, items, 0)], NO_INDEX) if number.size else np.full_like(items, -1)


def _candidates(
    cell: _I8,
    users: int,
    width: int,
    common: NDArray[np.int32],
    near: NDArray[np.int32],
    excluded: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Cells of the users x universe table that may be listed, ascending.

    `cell` are neighbours; `common` (c,), `near` (u, n) and `excluded` (u, X) are columns, -1 = not in the table.
    """
    is_open = np.zeros((users, width), np.bool_)
    is_open.reshape(-1)[cell] = True
    is_open[:, common[common >= 0]] = True
    user, place = np.nonzero(near >= 0)
    is_open[user, near[user, place]] = True
    user, place = np.nonzero(excluded >= 0)
    is_open[user, excluded[user, place]] = False
    return np.flatnonzero(is_open)


def _best(user: _I8, score: _F8, users: int, top_k: int) -> _Listed:
    """The best `top_k` candidates of each user (ascending). Of equal scores the earlier candidate wins.

    Cut at the k-th score first, with the earliest of those equal to it, so that only what is listed has to be sorted.
    """
    sizes = np.bincount(user, minlength=users)
    starts = np.cumsum(sizes) - sizes
    best = np.arange(user.size)
    longest = int(sizes.max(initial=0))
    if longest > top_k:
        table = np.full((users, longest), -np.inf)
        table[user, best - starts[user]] = score
        bar = np.partition(table, longest - top_k, axis=1)[:, longest - top_k]
        above = score > bar[user]
        equal = score == bar[user]
        room = top_k - np.bincount(user[above], minlength=users)
        earlier = np.cumsum(equal) - equal  # equals before each, of all users
        before = np.append(earlier, earlier[-1:])[starts]
        best = np.flatnonzero(above | (equal & (earlier - before[user] < room[user])))
    best = best[np.lexsort((-score[best], user[best]))]
    sizes = np.bincount(user[best], minlength=users)
    column = np.arange(best.size) - (np.cumsum(sizes) - sizes)[user[best]]
    return _Listed(user[best], column, best)


def _filled(
    listed: _Listed,
    items: _I8,
    parts: dict[str, _F8],
    warm: NDArray[np.bool_],
    contributions: _F8,
    *,
    calibration: Calibration,
) -> RankedBatch:
    """Put what is known of the listed places, (f,) each, into padded lists."""
    score = _score(parts)
    logit = calibration.slope * score + calibration.intercept
    probability = 0.5 * (1.0 + np.tanh(0.5 * logit))  # the sigmoid, without overflow
    personal = np.where(parts["co_occurrence"] + parts["interest"] > 0.0, INTEREST, POPULAR)
    strategy = np.where(warm[listed.user], personal, COLD_START)

    def padded(values: NDArray[Any], dtype: type[np.generic], padding: int = 0) -> NDArray[Any]:
        lists = np.full(contributions.shape[:2], padding, dtype)
        lists[listed.user, listed.column] = values
        return lists

    return RankedBatch(
        padded(items, np.int32, NO_INDEX),
        padded(score, np.float64),
        {name: padded(values, np.float64) for name, values in parts.items()},
        padded(strategy, np.uint8),
        padded(probability, np.float64),
        contributions,
    )


def _joined(batches: list[RankedBatch]) -> RankedBatch:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    parts = {name: np.concatenate([batch.parts[name] for batch in batches]) for name in PARTS}
    return RankedBatch(
        joined("items"), joined("scores"), parts, joined("strategy"), joined("probability"), joined("contributions")
    )


def _score(parts: dict[str, _F8]) -> _F8:
    return parts["co_occurrence"] + parts["interest"] + parts["trend"] + parts["popularity"]


def _norm(count: _F8) -> _F8:
    """N(x): (count + 10)^-1/2."""
    return 1.0 / np.sqrt(count + _COUNT_SMOOTHING)


def _at(values: _F8, index: NDArray[np.int64]) -> _F8:
    """`values[index]`, 0 beyond the end: the index grows while statistics and priors are older."""
    inside = index < values.size
    return np.where(inside, values[np.where(inside, index, 0)], 0.0) if values.size else np.zeros(index.shape)
