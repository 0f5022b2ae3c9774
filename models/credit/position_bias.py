"""How much less a place is looked at than the first one: examination probability by slot, relative to slot 1.

The position-based model (Craswell et al. 2008, WSDM): a click needs that the slot is examined and that the item attracts, and
the two are independent, so the click rate of an item in a slot is theta(slot) a(item), theta(1) = 1. Three estimates of theta:

- `randomised`: click rates by slot, where chance decided which item stood where.
- `weighted`: the same with weights 1 / propensity, where chance decided with known, unequal probabilities.
- `harvested`: where the same items were shown in several slots for whatever reason (intervention harvesting, Agarwal et al.
  2019, WSDM, section 4): clicks of an item are divided over its slots in proportion to impressions times theta.

All work on the logarithm of theta, with normal intervals there, and with a normal prior around 0: a slot with few clicks is
drawn to "no bias", so that nothing is corrected for what is not known. Clicks are taken as independent; those of one person
are not quite, so intervals are somewhat too narrow.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.credit.off_policy import Z

PRIOR_SD: Final = 1.0
"""Of the logarithm of theta; 95 % within a factor of 7 of no bias."""

_HALF: Final = 0.5
"""Added to clicks so that a slot without any has a logarithm (Haldane 1956, Anscombe 1956)."""

_BLOCK: Final = 65_536
_STEPS_MAX: Final = 100
_TOLERANCE: Final = 1e-10


class Counts(NamedTuple):
    """Impressions summed by item and slot; arrays of one shape (m,)."""

    item: I8
    slot: I8
    """From 1."""
    shown: F8
    clicks: F8
    weight: F8
    """Sum of 1 / propensity over impressions; the next over clicks, and over both of 1 / propensity ** 2."""
    clicks_weight: F8
    weight_squared: F8
    clicks_weight_squared: F8


class Bias(NamedTuple):
    """Theta by slot, (k,) each, with a 95 % interval; slot 1 is 1 by definition."""

    theta: F8
    low: F8
    high: F8
    shown: F8
    clicks: F8
    """What this method could learn from: impressions and clicks by slot."""


def count(item: I8, slot: I8, clicked: NDArray[np.bool_], propensity: F8) -> Counts:
    """Impressions (n,) each, summed. `slot` from 1, 0 < propensity <= 1.

    Raises:
        ValueError: a slot below 1, or a propensity not in (0, 1].
    """
    if len(slot) and (slot.min() < 1 or not np.all((propensity > 0) & (propensity <= 1))):
        raise ValueError("a slot is below 1, or a propensity not in (0, 1]")
    weight, c = 1.0 / propensity, clicked.astype(np.float64)
    pairs, place = np.unique(np.stack((item, slot), axis=1), axis=0, return_inverse=True)
    columns = (np.ones_like(weight), c, weight, c * weight, weight**2, c * weight**2)
    sums = (np.bincount(place.reshape(-1), each, len(pairs)).astype(np.float64) for each in columns)
    return Counts(*pairs.astype(np.int64).reshape(-1, 2).T, *sums)


def randomised(counts: Counts, slots: int) -> Bias:
    """Click rates by slot against that of slot 1. Only of impressions whose place was drawn evenly."""
    shown, clicks = by_slot(counts, counts.shown, slots), by_slot(counts, counts.clicks, slots)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (clicks + _HALF) / (shown + 2 * _HALF)
        # Of log(rate) by the delta method.
        variance = np.where(shown > 0, 1 / (clicks + _HALF) - 1 / (shown + 2 * _HALF), np.inf)
    return _against_first(np.log(rate), variance, shown, clicks)


def weighted(counts: Counts, slots: int) -> Bias:
    """Self-normalised click rates by slot with weights 1 / propensity, against that of slot 1."""
    shown, clicks = by_slot(counts, counts.shown, slots), by_slot(counts, counts.clicks, slots)
    s1, s2 = by_slot(counts, counts.weight, slots), by_slot(counts, counts.weight_squared, slots)
    c1, c2 = by_slot(counts, counts.clicks_weight, slots), by_slot(counts, counts.clicks_weight_squared, slots)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(shown > 0, s1 / shown, 1.0)
        # Half a click of average weight, as above.
        clicked, squares = c1 + _HALF * mean, c2 + _HALF * mean**2
        total = s1 + 2 * _HALF * mean
        rate = clicked / total
        spread = squares * (1 - 2 * rate) + rate**2 * (s2 + 2 * _HALF * mean**2)
        variance = np.where(shown > 0, np.maximum(spread, 0.0) / clicked**2, np.inf)
    return _against_first(np.log(rate), variance, shown, clicks)


def harvested(counts: Counts, slots: int) -> Bias:
    """The log-additive model of item and slot, fitted by Newton's method.

    Clicks of an item and slot are Poisson with mean shown * a(item) * theta(slot). Given an item's clicks, which slots they
    fell in no longer depends on a(item), so items need no estimates, and an item shown in one slot only says nothing.
    """
    clicked = np.isin(counts.item, counts.item[counts.clicks > 0]) & (counts.slot <= slots)
    item = np.unique(counts.item[clicked], return_inverse=True)[1].reshape(-1)
    slot, shown, clicks = counts.slot[clicked] - 1, counts.shown[clicked], counts.clicks[clicked]
    several = (np.bincount(item) > 1)[item] if len(item) else np.zeros(0, np.bool_)
    item, slot, shown, clicks = item[several], slot[several], shown[several], clicks[several]
    log_theta = np.zeros(slots)
    precision = np.eye(slots - 1) / PRIOR_SD**2
    for _ in range(_STEPS_MAX):
        slope, information = _derivatives(item, slot, shown, clicks, log_theta)
        precision = information[1:, 1:] + np.eye(slots - 1) / PRIOR_SD**2
        step = np.linalg.solve(precision, slope[1:] - log_theta[1:] / PRIOR_SD**2)
        # The likelihood is concave; a bounded step keeps the first ones from overshooting.
        log_theta[1:] += np.clip(step, -1.0, 1.0)
        if not len(step) or np.abs(step).max() < _TOLERANCE:
            break
    variance = np.append(0.0, np.diag(np.linalg.inv(precision)))
    used = [np.bincount(slot, each, slots).astype(np.float64) for each in (shown, clicks)]
    return _bias(log_theta, variance, used[0], used[1])


def corrected(clicked: NDArray[np.bool_] | F8, slot: I8, theta: F8, group: I8, groups: int) -> tuple[F8, F8, F8]:
    """Click rates per group as if everything had stood in slot 1: clicks weighted by 1 / theta of their slot.

    Inverse propensity weighting by examination, Joachims, Swaminathan & Schnabel 2017 (WSDM), section 4.

    Args:
        clicked, slot, group: (n,) of each impression; slots from 1 to the length of `theta`.
        theta: (k,).

    Returns:
        (groups,) rate, variance of the rate with theta taken as known, and impressions; NaN without impressions.
    """
    weight = np.asarray(clicked, np.float64) / theta[slot - 1]
    shown = np.bincount(group, minlength=groups).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.bincount(group, weight, groups) / shown
        variance = (np.bincount(group, weight**2, groups) / shown - rate**2) / shown
    return rate, variance, shown


def by_slot(counts: Counts, values: F8, slots: int) -> F8:
    """(slots,) `values` summed by slot; those beyond are left out."""
    inside = counts.slot <= slots
    sums: F8 = np.bincount(counts.slot[inside] - 1, values[inside], slots).astype(np.float64)
    return sums


def _derivatives(item: I8, slot: I8, shown: F8, clicks: F8, log_theta: F8) -> tuple[F8, F8]:
    """Slope (k,) and Fisher information (k, k) of the multinomial likelihood of an item's clicks over its slots."""
    slots, items = len(log_theta), int(item.max()) + 1 if len(item) else 0
    expected = shown * np.exp(log_theta[slot])
    share = expected / np.bincount(item, expected, items)[item]
    of_item = np.bincount(item, clicks, items)[item]
    slope = np.bincount(slot, clicks - of_item * share, slots).astype(np.float64)
    information = np.diag(np.bincount(slot, of_item * share, slots).astype(np.float64))
    # Sum over items of clicks * share * share' by blocks of items, so that memory does not grow with items * slots.
    for start in range(0, items, _BLOCK):
        inside = (item >= start) & (item < start + _BLOCK)
        dense = np.zeros((min(_BLOCK, items - start), slots))
        dense[item[inside] - start, slot[inside]] = share[inside] * np.sqrt(of_item[inside])
        information -= dense.T @ dense
    return slope, information


def _against_first(log_rate: F8, variance: F8, shown: F8, clicks: F8) -> Bias:
    difference, spread = log_rate - log_rate[0], variance + variance[0]
    # Posterior under the prior; an infinite variance leaves the prior.
    of_theta = 1.0 / (1.0 / PRIOR_SD**2 + 1.0 / spread)
    log_theta = np.nan_to_num(difference) * of_theta / spread
    log_theta[0] = of_theta[0] = 0.0
    return _bias(log_theta, of_theta, shown, clicks)


def _bias(log_theta: F8, variance: F8, shown: F8, clicks: F8) -> Bias:
    margin = Z * np.sqrt(variance)
    return Bias(np.exp(log_theta), np.exp(log_theta - margin), np.exp(log_theta + margin), shown, clicks)
