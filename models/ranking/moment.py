"""What is the same for whoever asks, at one moment: the impersonal part of every item's score, in single precision.

A candidate is chosen by it; what is then listed is computed anew, exactly (`models.ranking.choosing`). So it may be a moment
old: `MAX_AGE_MS`, or more for a large catalogue, since making it costs about 0.2 us an item.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from models.arrays import F4, F8, I8
from models.compiled import compiled
from models.items.record import MOMENT_STARTS
from models.ranking.features import CONTEXT, FEATURES, ItemArrays, fill_impersonal, moment_feature
from models.ranking.weights import RankingWeights, weight_classes

MAX_AGE_MS: Final = 1000
ITEMS_PER_MS: Final = 100
"""A catalogue of so many items more may be so much older: making the table then takes a fiftieth of the time."""

SCENES: Final = 7
"""Context buckets 1 to 7; 0 says nothing."""


class ItemMoment(NamedTuple):
    """Of n items at `moment_ms`."""

    moment_ms: int
    good_for_ms: int
    """How much later a question may be."""
    bins: I8
    """(2,) int64: hour and weekday, as `Question.bins`."""
    base: F4
    """(C, n) float32: weighted sum of the impersonal features but the scene's, by class of user weights."""
    scene: F4
    """(`SCENES` + 1, n) float32: feature `scene` of each item in each bucket."""


class Moments:
    """Keeps the last one."""

    def __init__(self) -> None:
        self._last: ItemMoment | None = None
        self._made_of: tuple[object, ...] = ()

    def at(self, items: ItemArrays, moment_shares: F8, weights: RankingWeights, now_ms: int, bins: I8) -> ItemMoment:
        """Of this moment, or of one a little earlier.

        Args:
            items: as `items_of` gives them.
            moment_shares: `Priors.moment_shares`.
            weights: of the ranking.
            now_ms: event time.
            bins: (2,) hour and weekday of `now_ms`.
        """
        last, made_of = self._last, (weights.version, len(items.count), *bins.tolist())
        if last is None or made_of != self._made_of or not 0 <= now_ms - last.moment_ms <= last.good_for_ms:
            last = item_moment(items, moment_shares, weights, now_ms, bins)
            self._last, self._made_of = last, made_of
        return last


def item_moment(items: ItemArrays, moment_shares: F8, weights: RankingWeights, now_ms: int, bins: I8) -> ItemMoment:
    """Of exactly this moment; arguments as of `Moments.at`."""
    classes = weight_classes(weights)
    n = len(items.count)
    good_for_ms = max(MAX_AGE_MS, n // ITEMS_PER_MS)
    made = ItemMoment(
        now_ms, good_for_ms, bins, np.zeros((len(classes), n), np.float32), np.zeros((SCENES + 1, n), np.float32)
    )
    _fill(items, moment_shares, classes, now_ms, bins, made.base, made.scene)
    return made


@compiled
def _fill(items: ItemArrays, moment_shares: F8, classes: F8, now_ms: int, bins: I8, base: F4, scene: F4) -> None:
    x = np.zeros(len(FEATURES))
    without_scene = np.array([bins[0], bins[1], -1])
    count, moments, trend = items.count, items.moments, items.trend
    trend_ms, first_seen_ms = items.trend_ms, items.first_seen_ms
    for j in range(len(count)):
        fill_impersonal(
            x, count[j], moments[j], trend[j], trend_ms[j], first_seen_ms[j], now_ms, without_scene, moment_shares
        )
        for c in range(len(classes)):
            total = 0.0
            for f in range(CONTEXT, len(x)):
                total += classes[c, f] * x[f]
            base[c, j] = total
        for s in range(1, SCENES + 1):
            b = MOMENT_STARTS[2] + s
            scene[s, j] = moment_feature(moments[j, b], count[j], b, moment_shares)
