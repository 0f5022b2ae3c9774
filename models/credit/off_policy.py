"""What a strategy's click rate would be if it always filled a slot, from the clicks of a policy that drew it at random.

Where a place was filled by a strategy with probability p (its propensity), the exposure speaks for 1 / p exposures of a world
in which that strategy always fills the place. Three estimates of the click rate in that world:

- IPS, inverse propensity scoring: Horvitz & Thompson 1952 (JASA 47), section 3; unbiased where every p of the strategy is > 0.
- SNIPS, self-normalised: Swaminathan & Joachims 2015 (NeurIPS), section 4; a little biased, of far smaller variance.
- Doubly robust: Dudík, Langford & Li 2011 (ICML), equation 1; unbiased like IPS, and of small variance as far as its model of
  the click rate, here a smoothed rate of the strategy in the slot, is right.

A cell is a strategy in a slot and a context. All three, and their intervals, need of a cell only sums over its exposures, so
partitions, days and contexts add up. `models.credit.policy_value` has the same for single events of any logged policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.arrays import F8, I8

Z: Final = 1.959963984540054
"""Normal quantile of a 95 % interval."""

PRIOR_EXPOSURES: Final = 20.0
"""Strength of the Beta prior that draws a strategy's click rate in a slot to that of the slot, in exposures."""


class CellSums(NamedTuple):
    """Sums of m cells; arrays of one shape (m,). The sums of the partitions of a cell are added by `add_up`."""

    strategy: I8
    slot: I8
    context: I8
    exposures: F8
    clicks: F8
    inverse_propensity: F8
    """Sum over exposures of 1 / p; the next of 1 / p ** 2."""
    inverse_propensity_squared: F8
    clicks_inverse_propensity: F8
    """Sum over clicked exposures of 1 / p; the next of 1 / p ** 2."""
    clicks_inverse_propensity_squared: F8


class Bounded(NamedTuple):
    """Estimates with the bounds of their 95 % intervals, (m,) each; NaN where there is nothing to estimate from.

    The bounds lie in [0, 1]. Values are as they come, as clipped ones would be biased: one outside [0, 1] says that there are
    too few exposures.
    """

    value: F8
    low: F8
    high: F8


class Estimates(NamedTuple):
    """Of every cell."""

    ips: Bounded
    snips: Bounded
    doubly_robust: Bounded
    effective: F8
    """(m,) Exposures that a sample without weights would need for as much certainty (Kish 1965)."""
    overlap: F8
    """(m,) Sum of 1 / p over all exposures of slot and context; 1 on average. Far below: places that this strategy could not
    fill are among them, and IPS counts them as not clicked."""


def sums_of(
    strategy: ArrayLike, slot: ArrayLike, context: ArrayLike, clicked: ArrayLike, propensity: ArrayLike
) -> CellSums:
    """Sums of the cells of n exposures.

    Args:
        strategy, slot, context: (n,) int codes.
        clicked: (n,) bool.
        propensity: (n,) float, 0 < p <= 1.

    Raises:
        ValueError: a propensity is not in (0, 1].
    """
    p = np.asarray(propensity, np.float64)
    if not np.all((p > 0) & (p <= 1)):
        raise ValueError("a propensity is not in (0, 1]")
    c, weight = np.asarray(clicked, np.float64), 1.0 / p
    who, where, when = (np.asarray(each, np.int64) for each in (strategy, slot, context))
    single = CellSums(who, where, when, np.ones_like(p), c, weight, weight**2, c * weight, c * weight**2)
    return add_up([single])


def add_up(parts: Sequence[CellSums]) -> CellSums:
    """The cells of all parts, each once, ordered by strategy, slot and context."""
    if not parts:
        empty, none = np.zeros(0, np.int64), np.zeros(0)
        return CellSums(empty, empty, empty, none, none, none, none, none, none)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    codes, place = _unique(np.stack(columns[:3], axis=1).astype(np.int64))
    added = (np.bincount(place, each, len(codes)).astype(np.float64) for each in columns[3:])
    return CellSums(*codes.T, *added)


def over_contexts(sums: CellSums) -> CellSums:
    """The same with all contexts taken together, as context 0."""
    return add_up([sums._replace(context=np.zeros_like(sums.context))])


def estimates(sums: CellSums) -> Estimates:
    """IPS, SNIPS and doubly robust estimates of every cell; each cell must be there once, see `add_up`.

    Variances are those of means of independent exposures; the interval is Wilson's (1927), generalised to weights by the
    effective number of exposures, so that it does not collapse to a point without clicks; with p = 1 it is Wilson's own.
    """
    of_all = _of_group((sums.slot, sums.context), sums.exposures)
    n, s1, s2 = sums.exposures, sums.inverse_propensity, sums.inverse_propensity_squared
    c1, c2 = sums.clicks_inverse_propensity, sums.clicks_inverse_propensity_squared
    q = click_rates(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(n > 0, 1.0, np.nan)
        effective = seen * s1**2 / s2
        ips = seen * c1 / of_all
        snips = seen * c1 / s1
        correction = (c1 - q * s1) / of_all
        robust = seen * (q + correction)
        ips_variance = (c2 / of_all - ips**2) / of_all
        # Delta method: the sum of (w (c - value)) ** 2 over the squared sum of w; c ** 2 = c.
        snips_variance = (c2 * (1 - 2 * snips) + snips**2 * s2) / s1**2
        robust_variance = ((c2 * (1 - 2 * q) + q**2 * s2) / of_all - correction**2) / of_all
        overlap = s1 / of_all
    return Estimates(
        bounded(ips, ips_variance, effective),
        bounded(snips, snips_variance, effective),
        bounded(robust, robust_variance, effective),
        np.where(n > 0, effective, 0.0),
        np.where(of_all > 0, overlap, 0.0),
    )


def click_rates(sums: CellSums) -> F8:
    """(m,) The model of the doubly robust estimate: posterior mean of the click rate of a strategy in a slot, all contexts.

    Beta prior of `PRIOR_EXPOSURES` exposures with the rate of the slot, itself smoothed by half a click (Jeffreys).
    """
    shown, clicked = sums.exposures, sums.clicks
    slot_rate = (_of_group((sums.slot,), clicked) + 0.5) / (_of_group((sums.slot,), shown) + 1.0)
    own = (sums.strategy, sums.slot)
    return (_of_group(own, clicked) + PRIOR_EXPOSURES * slot_rate) / (_of_group(own, shown) + PRIOR_EXPOSURES)


def bounded(value: F8, variance: F8, effective: F8) -> Bounded:
    """Wilson's interval around `value` (m,) for a variance and an effective number of exposures, cut to [0, 1].

    Wilson: (v + z² / 2n ± z √(v (1 - v) / n + z² / 4n²)) / (1 + z² / n), where v (1 - v) / n is the variance and n the
    effective number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        half = Z**2 / (2 * effective)
        spread = Z * np.sqrt(np.maximum(variance, 0.0) + half**2 / Z**2)
        low, high = ((value + half + sign * spread) / (1 + 2 * half) for sign in (-1.0, 1.0))
    return Bounded(value, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


def _of_group(codes: tuple[I8, ...], values: F8) -> F8:
    """(m,) The sum of `values` over all cells that share these codes, at each of them."""
    if not len(values):
        return np.zeros(0)
    found, place = _unique(np.stack(codes, axis=1))
    sums: F8 = np.bincount(place, values, len(found)).astype(np.float64)[place]
    return sums


def _unique(rows: I8) -> tuple[I8, I8]:
    """`(distinct rows in order, (m,) which of them each row is)`."""
    found, place = np.unique(rows, axis=0, return_inverse=True)
    return found, place.reshape(-1)
