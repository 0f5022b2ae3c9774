"""The check of balance: a closed form, no alarms by chance, one where people are missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.experiments.balance import ALARM_BELOW, CONCENTRATION, balance_p


def test_the_bayes_factor_of_two_arms_is_the_one_of_a_beta_binomial():
    n1, n2, w = 700, 300, CONCENTRATION / 2
    shares = np.linspace(1e-6, 1 - 1e-6, 400_001)
    log_beta = 2 * math.lgamma(w) - math.lgamma(2 * w)
    log_density = (w - 1) * (np.log(shares) + np.log1p(-shares)) - log_beta
    log_ratio = n1 * np.log(shares / 0.5) + n2 * np.log((1 - shares) / 0.5)
    factor = np.trapezoid(np.exp(log_density + log_ratio), shares)

    assert balance_p([n1, n2], [0.5, 0.5]) == pytest.approx(1 / factor, rel=1e-4)


def test_people_that_come_as_meant_never_alarm_though_it_is_looked_at_after_each_hundred():
    rng = np.random.default_rng(1)
    shares = [0.2, 0.3, 0.5]
    lowest = []
    for _ in range(300):
        counts = np.cumsum(rng.multinomial(100, shares, size=100), axis=0)
        lowest.append(min(balance_p(each, shares) for each in counts.tolist()))

    assert np.mean(np.array(lowest) < 0.05) < 0.05
    assert min(lowest) > ALARM_BELOW


def test_missing_people_alarm():
    assert balance_p([10_000, 9_000], [0.5, 0.5]) < ALARM_BELOW
    assert balance_p([10_000, 9_990], [0.5, 0.5]) == 1.0
    assert balance_p([0, 0], [0.5, 0.5]) == 1.0


def test_shares_belong_to_the_arms():
    for counts, shares in (([1, 2], [1.0]), ([1, 2], [0.5, 0.4])):
        with pytest.raises(ValueError, match="as many shares"):
            balance_p(counts, shares)
