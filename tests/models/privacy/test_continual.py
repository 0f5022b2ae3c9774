"""Sums that grow are told exactly without noise, and with less noise than either simple way has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.privacy.continual import UNIT, encoded, factor, weighting


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_without_noise_the_totals_are_the_totals(releases, n, seed):
    new = np.random.default_rng(seed).integers(0, 100, (releases, n))
    of = factor(releases)
    told = np.stack([encoded(new[: t + 1], of) for t in range(releases)])
    found = weighting(np.ones(releases), of).of_noised @ told
    assert np.allclose(found, new.sum(axis=0), atol=1e-6)
    faded = 0.5 ** np.arange(releases)[::-1]
    assert np.allclose(weighting(faded, of).of_noised @ told, faded @ new, atol=1e-6)


@pytest.mark.parametrize("releases", [8, 32, 128])
def test_the_last_total_is_less_noisy_than_by_noising_each_total_or_each_part(releases):
    """Standard deviation, for one that is added once: apart sqrt(T), parts sqrt(T) too; here about 1 + ln(T) / pi."""
    of = factor(releases)
    noise = of.norm * weighting(np.ones(releases), of).noise
    assert noise < 1.1 + np.log(releases) / np.pi < np.sqrt(releases)


def test_the_first_release_alone_has_the_noise_of_one():
    of = factor(1)
    assert of.norm == UNIT
    assert weighting(np.ones(1), of).noise * UNIT == pytest.approx(1.0)


def test_what_weighs_more_is_told_more_exactly_by_as_much():
    one, three = (weighting(np.ones(4), factor(4, weight)).noise for weight in (1.0, 3.0))
    assert one / three == pytest.approx(3.0, rel=1e-2)


def test_the_norm_is_what_one_in_the_first_release_changes_everything_by():
    of = factor(6)
    new = np.zeros((6, 1), np.int64)
    new[0] = 1
    changed = [float(encoded(new[: t + 1], of)[0]) for t in range(6)]
    assert of.norm == pytest.approx(np.linalg.norm(changed))
