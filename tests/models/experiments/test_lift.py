"""The lift of one arm over another: means and variances against plain NumPy, and intervals that agree."""

from __future__ import annotations

import numpy as np
import pytest

from models.experiments.boundary import boundary, tuned
from models.experiments.lift import TUNED_AT_OUTCOMES, lift, moments

HALVES = 0.5, 0.5


def people(seed=0, n=4000, planted=0.0):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.0, 1.0, n)
    shown = rng.poisson(8 * rate) + 1
    clicks = rng.binomial(shown, np.minimum(0.1 * (1 + planted) * (0.5 + rng.random(n)), 1.0))
    return clicks.astype(float), shown.astype(float), rng.poisson(3 * rate).astype(float)


def test_the_interval_of_counts_is_the_boundary_over_the_people():
    (a, _, _), (b, _, _) = people(1), people(2, 3000)
    found = lift(moments(a), moments(b), HALVES)

    n = 7000
    variance = a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)
    half = boundary(n * n * variance, tuned(4 * TUNED_AT_OUTCOMES, 0.05), 0.05) / n
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert found.high - found.difference == pytest.approx(half)
    assert found.difference - found.low == pytest.approx(half)
    assert found.explained == 0.0


def test_a_rate_has_the_variance_of_the_delta_method():
    (a, ea, _), (b, eb, _) = people(3), people(4)
    found = lift(moments(a, ea), moments(b, eb), HALVES)

    variance = sum((c - c.sum() / e.sum() * e).var(ddof=1) / len(c) / e.mean() ** 2 for c, e in ((a, ea), (b, eb)))
    scale = 8000 * (ea.sum() + eb.sum()) / 8000
    half = boundary(variance * scale**2, tuned(4 * TUNED_AT_OUTCOMES, 0.05), 0.05) / scale
    assert found.control == pytest.approx(a.sum() / ea.sum())
    assert found.high - found.difference == pytest.approx(half, rel=1e-9)


def test_what_was_before_narrows_the_interval_and_is_taken_off_both_arms():
    (a, _, xa), (b, _, xb) = people(5), people(6)
    plain, adjusted = lift(moments(a), moments(b), HALVES), lift(moments(a, None, xa), moments(b, None, xb), HALVES)

    together = sum(np.sum((x - x.mean()) * (y - y.mean())) for x, y in ((xa, a), (xb, b)))
    theta = together / sum(np.sum((x - x.mean()) ** 2) for x in (xa, xb))
    assert adjusted.difference == pytest.approx(b.mean() - a.mean() - theta * (xb.mean() - xa.mean()))
    assert adjusted.explained > 0.2
    assert adjusted.high - adjusted.low < plain.high - plain.low


@pytest.mark.parametrize("planted", [-0.3, -0.05, 0.0, 0.05, 0.4])
def test_relative_and_absolute_intervals_agree_on_whether_there_is_a_difference(planted):
    for seed in range(8):
        (a, ea, xa), (b, eb, xb) = people(seed, 30_000), people(100 + seed, 30_000, planted)
        found = lift(moments(a, ea, xa), moments(b, eb, xb), HALVES)
        is_found = found.low > 0 or found.high < 0
        assert is_found == (found.relative_low > 0 or found.relative_high < 0) == (found.p < 0.05)
        assert found.relative_low < found.relative < found.relative_high
        assert found.relative_low < planted < found.relative_high
        if abs(planted) >= 0.3:
            assert is_found


def test_values_are_measured_in_their_own_unit():
    (a, _, _), (b, _, _) = people(7), people(8)
    plain, money = lift(moments(a), moments(b), HALVES), lift(moments(100 * a), moments(100 * b), HALVES, 100.0**2)

    assert money.relative_low == pytest.approx(plain.relative_low)
    assert money.high == pytest.approx(100 * plain.high)
    assert money.p == pytest.approx(plain.p)


def test_many_looks_at_once_are_those_one_by_one():
    pairs = [(moments(*people(n)), moments(*people(50 + n))) for n in range(4)]
    together = lift(
        *(
            type(each[0])(*(np.stack(column) for column in zip(*each, strict=True)))
            for each in zip(*pairs, strict=True)
        ),
        HALVES,
    )
    for n, (a, b) in enumerate(pairs):
        alone = lift(a, b, HALVES)
        for found, expected in zip(together, alone, strict=True):
            assert found[n] == pytest.approx(float(expected))


def test_of_nobody_or_nothing_nothing_is_said():
    some = moments(people(1)[0])
    for a, b in ((moments([]), some), (some, moments([1.0])), (moments([0.0, 0.0]), moments([0.0, 0.0]))):
        assert np.isnan(lift(a, b, HALVES).difference)
