"""What is known of an item for a user, as numbers that a weighted sum turns into a score.

With the user's distinct items h_1 (newest), h_2, .., their gains g_q, a scale's decay d over its first L places, and
N(x) = (count[x] + 10)^-1/2, for candidate j:

    near_s(j) = sum_q g_q d^(q-1) C[h_q, j] N(h_q) N(j) / sum_q |g_q| d^(q-1)        q <= L
    co_s(j)   = sign(near) log(1 + |near| / 1e-4)

Item-based nearest neighbours with cosine normalisation (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004) at several
time scales; `co_forward` is the same of F, what follows what. `co_hour` fades by time, not by place: in place of d^(q-1) stands
exp(-a_q / 1 h), a_q being how much older h_q is than the newest behaviour, so all of one basket count alike and an earlier one
next to nothing. It says nothing at the start of a session, where there is no basket yet. The logarithm is outside the sum, so
each past item's share of it is its share of the sum: exact in total, and said so in deploy/docs/ranking.md.

Every feature is 0 where nothing is known, so a score is what was learned about the item and nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I4, I8
from models.calendar import HOUR_MS
from models.compiled import compiled, compiled_part
from models.items.catalog import Catalog
from models.items.categories import CATEGORIES_EACH
from models.items.facts import NEW_BELOW
from models.items.record import MOMENT_SMOOTHING, MOMENT_STARTS, NEVER_MS
from models.items.rows import ENTRY_MS, TREND_MS, TREND_UNIT
from models.items.stats import ItemStatistics

SCALES = ((0.5, 8), (0.8, 8), (0.9, 20), (0.98, 64), (1.0, 64), (0.8, 8))
"""(decay, places) of the co-occurrence features; the last one is of what follows what, the one before it also fades by time."""

FORWARD = len(SCALES) - 1
HOUR = FORWARD - 1

FEATURES = (
    "co_burst",
    "co_fast",
    "co_mid",
    "co_slow",
    "co_hour",
    "co_forward",
    "text_points",
    "text_recent",
    "category",
    "sequence",
    "hour",
    "weekday",
    "scene",
    "trend_hour",
    "trend_6_hours",
    "trend_day",
    "trend_week",
    "trend_2_months",
    "trend_year",
    "popularity",
    "entry_3_days",
    "entry_month",
    "entry_year",
    "age",
    "new",
)
"""Columns, in the order in which they are computed."""

PARTS = ("co_occurrence", "interest", "sequence", "context", "trend", "popularity", "age")
"""Named sums of features; they are added up to the score in this order."""

PART_OF = (0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6)
"""Position in `PARTS` of each feature."""

FOR_NEWCOMERS = ("trend_hour", "trend_6_hours", "trend_year", "entry_3_days", "entry_month", "entry_year")
"""Features that only order lists of people without history (`models.ranking.newcomers`): in weights learned for everybody they
made ml-latest-small worse, NDCG@10 .0661 instead of .0666, since they say of an untouched item only that it is untouched."""

PERSONAL = ("co_occurrence", "interest", "sequence")
"""Parts that the person's own behaviours caused."""

TEXT = FEATURES.index("text_points")
CATEGORY = FEATURES.index("category")
SEQUENCE = FEATURES.index("sequence")
CONTEXT = FEATURES.index("hour")
TREND = FEATURES.index("trend_hour")
POPULARITY = FEATURES.index("popularity")
ENTRY = FEATURES.index("entry_3_days")
AGE = FEATURES.index("age")

COUNT_SMOOTHING = 10.0
NEAR_UNIT = 1e-4

SESSION_GAP_S = 1800.0
"""Idle for longer than this: another session."""

HOUR_S = HOUR_MS / 1000.0
HOURS = 6.0
"""Beyond so many, `co_hour` would count a past item 400 times less than the newest one: it counts nothing."""

_DECAYS = np.array([decay for decay, _ in SCALES])
_PLACES = np.array([places for _, places in SCALES])


class ItemArrays(NamedTuple):
    """Everything about all items that scoring reads, (n,) by dense index where not said."""

    hashes: NDArray[np.uint64]
    recommendable: NDArray[np.bool_]
    count: F8  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    first_seen_ms: I8
    trend: F8
    """(n, len(TREND_DAYS))."""
    entry: F8
    """(n, len(ENTRY_DAYS))."""
    trend_ms: I8
    moments: I8
    """(n, MOMENTS)."""
    neighbour_row: I4
    """The row of the three arrays below that is the item's; row 0 is empty."""
    neighbours: I4
    """(m, W), -1 pads at the end of a row."""
    weights: F8
    """(m, W): C."""
    forwards: F8
    """(m, W): F."""
    categories: NDArray[np.int16] = np.zeros((0, CATEGORIES_EACH), np.int16)
    """(n or fewer, `CATEGORIES_EACH`): `models.items.categories.ItemCategories.of`; items beyond are in none."""


class Question(NamedTuple):
    """Of whom a ranking is asked for, and when; u users."""

    history: I4
    """(u, H) int32 dense indices, newest first, distinct; -1 pads and unknown items may stand anywhere."""
    gains: F8
    """(u, H) float64; 0 makes an item unusable, negative ones push its neighbours down."""
    excluded: I4
    """(u, X) int32 dense indices, padded with -1: what must not be listed."""
    now_ms: I8
    """(u,) int64: the moment asked about, in event time."""
    idle_s: F8
    """(u,) float64: how long before it the user's newest behaviour was, s."""
    bins: I8
    """(u, 3) int64: bins of `models.items.record.MOMENTS` that this moment falls in; -1 where it is not known."""
    ages_s: F8
    """(u, H) float64: how much older each place's newest behaviour is than the user's newest one, s; 0 where empty."""

    def take(self, users: slice | I8) -> Question:
        """Of these users."""
        return Question(
            self.history[users],
            self.gains[users],
            self.excluded[users],
            self.now_ms[users],
            self.idle_s[users],
            self.bins[users],
            self.ages_s[users],
        )


def items_of(catalog: Catalog, stats: ItemStatistics) -> ItemArrays:
    """Views of a catalogue and of statistics over the same index, as long as that is."""
    size = len(catalog.index)
    stats.cover(size)
    recommendable = np.zeros(size, np.bool_)
    recommendable[: catalog.recommendable.size] = catalog.recommendable
    return ItemArrays(
        catalog.index.hashes,
        recommendable,
        stats.count[:size],
        stats.first_seen_ms[:size],
        stats.trend[:size],
        stats.entry[:size],
        stats.trend_ms[:size],
        stats.moments[:size],
        stats.neighbour_row[:size],
        stats.neighbours,
        stats.neighbour_weights,
        stats.neighbour_forwards,
        catalog.categories.of[:size],
    )


@compiled
def norm(count: float) -> float:
    """N(x) of an item engaged with so often."""
    return float(1.0 / np.sqrt(count + COUNT_SMOOTHING))


@compiled
def place_weights(question: Question, u: int, known: int, out: F8) -> None:
    """Fill (H, S) `out`: what each place of user u's history counts at each scale, before C; 0 where it is unusable.

    `known` items have statistics.
    """
    places = question.history.shape[1]
    for s in range(len(_DECAYS)):
        total, decayed = 0.0, 1.0
        for q in range(places):
            out[q, s] = 0.0
            if q < _PLACES[s]:
                h = question.history[u, q]
                if 0 <= h < known and question.gains[u, q] != 0.0:
                    out[q, s] = question.gains[u, q] * decayed
                    if s == HOUR:
                        out[q, s] *= _within_hours(question.ages_s[u, q], question.idle_s[u])
                    total += abs(out[q, s])
                decayed *= _DECAYS[s]
        if total > 0.0:
            for q in range(places):
                out[q, s] /= total


@compiled_part
def _within_hours(age_s: float, idle_s: float) -> float:
    """What `co_hour` counts of a past item so much older than the newest behaviour, which is `idle_s` old."""
    if idle_s >= SESSION_GAP_S or age_s > HOURS * HOUR_S:
        return 0.0
    return float(np.exp(-max(age_s, 0.0) / HOUR_S))


@compiled
def fill_features(
    x: F8,
    items: ItemArrays,
    j: int,
    near: F8,
    text: NDArray[np.float32],
    category: float,
    sequence: float,
    now_ms: int,
    bins: I8,
    moment_shares: F8,
    wanted: NDArray[np.bool_],
) -> None:
    """Fill (F,) `x` for one candidate: `near` (S,) are its sums at each scale, `text` (2,) its text features,
    `category` of `models.ranking.affinity`. Of `wanted` (F,) see `fill_impersonal`."""
    for s in range(len(near)):
        logged = np.log1p(abs(near[s]) / NEAR_UNIT)
        x[s] = logged if near[s] >= 0.0 else -logged
    x[TEXT], x[TEXT + 1] = text[0], text[1]
    x[CATEGORY] = category
    x[SEQUENCE] = sequence
    fill_impersonal(
        x, items.count[j], items.moments[j], items.trend[j], items.entry[j], items.trend_ms[j], items.first_seen_ms[j],
        now_ms, bins, moment_shares, wanted,
    )  # fmt: skip


@compiled_part
def fill_impersonal(
    x: F8,
    count: float,
    moments: I8,
    trend: F8,
    entry: F8,
    trend_ms: int,
    first_ms: int,
    now_ms: int,
    bins: I8,
    moment_shares: F8,
    wanted: NDArray[np.bool_],
) -> None:
    """Fill the features from `CONTEXT` on of (F,) `x`: those of one item that are the same for whoever asks, but the scene.

    Decayed counts cost an exponential and a logarithm each: those that are not `wanted` (F,) stay as they are.
    """
    for g in range(3):
        x[CONTEXT + g] = 0.0
        if bins[g] >= 0:
            x[CONTEXT + g] = moment_feature(moments[bins[g]], count, bins[g], moment_shares)
    since_ms = max(now_ms - trend_ms, 0)
    for t in range(len(TREND_MS)):
        if wanted[TREND + t]:
            x[TREND + t] = np.log1p(trend[t] * np.exp(-since_ms / TREND_MS[t]) / TREND_UNIT)
    x[POPULARITY] = np.log1p(count)
    for t in range(len(ENTRY_MS)):
        if wanted[ENTRY + t]:
            x[ENTRY + t] = np.log1p(entry[t] * np.exp(-since_ms / ENTRY_MS[t]) / TREND_UNIT)
    x[AGE] = 0.0 if first_ms == NEVER_MS else np.log1p(max(now_ms - first_ms, 0) / HOUR_MS)
    x[AGE + 1] = 1.0 if count < NEW_BELOW else 0.0


@compiled_part
def moment_feature(happened: int, count: float, b: int, moment_shares: F8) -> float:
    """How much more of an item's engagements than of all fell into bin b, as a logarithm; 0 where nothing is known."""
    if b == MOMENT_STARTS[2] or moment_shares[b] <= 0.0:
        return 0.0
    expected = (count + MOMENT_SMOOTHING) * moment_shares[b]
    return float(np.log((happened + MOMENT_SMOOTHING * moment_shares[b]) / expected))
