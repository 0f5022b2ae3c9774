"""People, items and clicks whose probabilities are known, shown lists that the product composes: what a log of exploration is.

The click model: somebody looks at a place with a probability that falls with the place, and clicks what they look at with
sigmoid(base + appetite of the person + taste . item + quality of the item). Scores know a noisy copy of taste . item and, like
the product's, how many clicks an item has had, so that items without any stay where nobody sees them. What was shown and
clicked becomes evidence after every round, in which each person gets one list.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I4, I8
from models.items.sketches import SKETCH_DIMS
from models.page.compose import Composed, ComposeParams, Pool, compose
from models.page.draws import draw_key
from models.page.explore import EVEN_SHARE, POOL_MAX, ExploreParams, explored_places
from models.page.placing import no_placing
from models.ranking.features import ItemArrays

SLOTS: Final = 20
CANDIDATES: Final = 60
"""Best items that a list is composed of: the setting `pool`."""

_TASTES: Final = 6
_BASE: Final = -3.5
_POPULARITY: Final = 0.4
"""Of the logarithm of an item's clicks, in the score."""


class Size(NamedTuple):
    """How much there is."""

    people: int = 300
    items: int = 400
    new_items: int = 100
    """Of these, the last ones: nobody has seen them yet."""


class Evidence(NamedTuple):
    """What is known of n items."""

    exposures: I8
    clicks: I8


class Shown(NamedTuple):
    """Lists of one round, u users with `SLOTS` places each; e explored places of which each draws from m items."""

    items: I4
    """(u, SLOTS)."""
    propensity: NDArray[np.float32]
    is_drawn: NDArray[np.bool_]
    """(u, SLOTS): by exploration, not by its score."""
    places: I8
    """(e,) that explore, from 0."""
    kept: I4
    """(u, e) what would stand there without exploration."""
    pool: I4
    """(u, e, m) what may be drawn there; -1 pads."""
    worth: F8
    """(u, e, m) -inf pads."""


class People(NamedTuple):
    """u people of a world."""

    taste: F8
    """(u, D)."""
    appetite: F8
    """(u,) how readily somebody clicks."""
    seen_by_scores: F8
    """(u, n) the part of a score that is their taste, with its error."""


class ClickWorld:
    """Items whose clicks are known, and people on demand."""

    def __init__(self, seed: int, size: Size) -> None:
        self._rng = np.random.default_rng(seed)
        self.seed, self.size = seed, size
        n = size.items
        self.vectors = self._rng.normal(0.0, 1.0 / np.sqrt(_TASTES), (n, _TASTES))
        self.quality = self._rng.normal(0.0, 0.5, n)
        self.examined = 1.0 / (1.0 + np.arange(SLOTS)) ** 0.5
        """(SLOTS,) how probably somebody looks at a place."""
        self._statistics = _statistics(n)

    def people(self, number: int) -> People:
        """Some more people."""
        taste = self._rng.normal(0.0, 1.5, (number, _TASTES))
        error = self._rng.normal(0.0, 0.7, (number, self.size.items))
        return People(taste, self._rng.normal(0.0, 0.7, number), taste @ self.vectors.T + error)

    def first_evidence(self) -> Evidence:
        """What became known before: each item but the new ones was shown some thousand times."""
        n, new = self.size.items, self.size.new_items
        exposures = self._rng.integers(200, 5_000, n)
        rate = 0.5 / (1.0 + np.exp(-(_BASE + self.quality)))
        clicks = self._rng.binomial(exposures, rate)
        exposures[n - new :] = clicks[n - new :] = 0
        return Evidence(exposures, clicks)

    def scores(self, people: People, evidence: Evidence) -> F8:
        """(u, n)."""
        return people.seen_by_scores + _POPULARITY * np.log1p(evidence.clicks)

    def click_probability(self, people: People, items: NDArray[np.integer], places: NDArray[np.integer]) -> F8:
        """Of (u, ..) items at `places`, of the same shape or one that spreads to it; 0 of -1."""
        affinity = np.einsum("ud,u...d->u...", people.taste, self.vectors[np.maximum(items, 0)])
        appetite = people.appetite.reshape(-1, *(1,) * (items.ndim - 1))
        wanted = 1.0 / (1.0 + np.exp(-(_BASE + appetite + affinity + self.quality[np.maximum(items, 0)])))
        found: F8 = np.where(items >= 0, self.examined[places] * wanted, 0.0)
        return found

    def show(self, people: People, evidence: Evidence, explore: ExploreParams, round_: int) -> Shown:
        """A list for each of them, by `models.page.compose`, and what its explored places could have held."""
        scores = self.scores(people, evidence)
        best, best_scores = _best(scores, CANDIDATES)
        places = np.array(explored_places(explore, SLOTS), np.int64)
        users = len(scores)
        listed = best[:, :SLOTS]
        eligible, worth = self._eligible(scores, evidence, explore, listed)
        key = [draw_key(str(self.seed), str(u), round_, "home") for u in range(users)]
        pool = Pool(
            best, best_scores, best_scores, np.zeros_like(best_scores), np.full(users, 99), eligible, worth,
            np.array(key, np.uint64), np.full((users, 1), -1, np.int32), np.zeros((users, 0), np.int32),
        )  # fmt: skip
        made = self._compose(pool, explore)
        return Shown(
            made.items,
            made.propensity,
            made.is_explored,
            places,
            listed[:, places],
            *_dealt(eligible, worth, len(places)),
        )

    def clicked(self, people: People, shown: Shown) -> NDArray[np.bool_]:
        """(u, SLOTS) what they do."""
        chance = self.click_probability(people, shown.items, np.arange(SLOTS))
        done: NDArray[np.bool_] = self._rng.random(chance.shape) < chance
        return done

    def _compose(self, pool: Pool, explore: ExploreParams) -> Composed:
        sketch = np.zeros((0, SKETCH_DIMS), np.float32)
        return compose(pool, ComposeParams(SLOTS, explore=explore), no_placing(), self._statistics, sketch)

    def _eligible(self, scores: F8, evidence: Evidence, explore: ExploreParams, listed: I4) -> tuple[I4, F8]:
        """(u, E) the best of what is little known and not in the list anyway, as `models.page.ranked` proposes them."""
        if not explore.slots:
            return np.full((len(scores), 1), -1, np.int32), np.zeros((len(scores), 1))
        may = evidence.exposures < explore.max_exposures
        bonus = np.where(may, explore.optimism / np.sqrt(1.0 + evidence.exposures), -np.inf)
        worth = scores + bonus
        np.put_along_axis(worth, listed, -np.inf, axis=1)
        eligible, best = _best(worth, POOL_MAX)
        return np.where(np.isfinite(best), eligible, -1).astype(np.int32), best


def learned(evidence: Evidence, shown: Shown, clicked: NDArray[np.bool_]) -> Evidence:
    """What is known after a round."""
    n = len(evidence.exposures)
    return Evidence(
        evidence.exposures + np.bincount(shown.items.ravel(), minlength=n),
        evidence.clicks + np.bincount(shown.items[clicked], minlength=n),
    )


def chances(shown: Shown, explore: ExploreParams) -> tuple[F8, F8]:
    """What these settings do at the explored places: (u, e) probability of what is kept, (u, e, m) of each item of the pool.

    In plain NumPy by the formula of `models.page.explore`; `benchmarks.policy` compares it with every logged propensity.
    """
    some = np.isfinite(shown.worth)
    m = some.sum(axis=2, keepdims=True)
    top = np.max(shown.worth, axis=2, keepdims=True, where=some, initial=-1e300)
    weight = np.where(some, np.exp((np.where(some, shown.worth, top) - top) / explore.temperature), 0.0)
    total = np.maximum(weight.sum(axis=2, keepdims=True), 1e-300)
    p = np.where(some, (1.0 - EVEN_SHARE) * weight / total + EVEN_SHARE / np.maximum(m, 1), 0.0)
    rate = np.where(m[:, :, 0] > 0, explore.rate, 0.0)
    return 1.0 - rate, rate[:, :, None] * p


def _best(scores: F8, number: int) -> tuple[I4, F8]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :number]
    return order.astype(np.int32), np.take_along_axis(scores, order, 1)


def _dealt(eligible: I4, worth: F8, places: int) -> tuple[I4, F8]:
    """Pools of the places: what is eligible is dealt out in turns."""
    if not places:
        return np.zeros((len(eligible), 0, 0), np.int32), np.zeros((len(eligible), 0, 0))
    size = -(-eligible.shape[1] // places)
    pool = np.full((len(eligible), places, size), -1, np.int32)
    dealt = np.full(pool.shape, -np.inf)
    for s in range(places):
        own = eligible[:, s::places]
        pool[:, s, : own.shape[1]] = own
        dealt[:, s, : own.shape[1]] = np.where(own >= 0, worth[:, s::places], -np.inf)
    return pool, dealt


def _statistics(n: int) -> ItemArrays:
    """Of items that have nothing in common, since nothing here asks for likeness."""
    nothing = np.zeros((n, 1))
    return ItemArrays(
        np.arange(1, n + 1, dtype=np.uint64) << np.uint64(32), np.ones(n, np.bool_), np.zeros(n), np.zeros(n, np.int64),
        nothing, nothing, np.zeros(n, np.int64), np.zeros((n, 1), np.int64), np.arange(1, n + 1, dtype=np.int32),
        np.full((n + 1, 1), -1, np.int32), np.zeros((n + 1, 1)), np.zeros((n + 1, 1)),
    )  # fmt: skip
