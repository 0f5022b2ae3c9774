"""A promise that means nothing is refused before anything is counted."""

from __future__ import annotations

import math

import pytest

from models.privacy.bounds import (
    PrivacyBoundsError,
    checked_contribution,
    checked_promise,
    checked_releases,
)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 51.0, math.inf, -math.inf, math.nan, 1e-9])
def test_an_epsilon_that_promises_nothing_or_everything_is_refused_by_name(epsilon):
    with pytest.raises(PrivacyBoundsError, match="epsilon"):
        checked_promise(epsilon, 1e-6)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_delta_that_is_no_chance_is_refused_by_name(delta):
    with pytest.raises(PrivacyBoundsError, match="delta"):
        checked_promise(1.0, delta)


@pytest.mark.parametrize("bounds", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-3, 1, 1)])
def test_nobody_can_count_for_less_than_one(bounds):
    with pytest.raises(PrivacyBoundsError, match="at least 1"):
        checked_contribution(*bounds)


@pytest.mark.parametrize("releases", [0, -1, 10_001])
def test_a_horizon_has_a_number_of_releases_that_is_known(releases):
    with pytest.raises(PrivacyBoundsError, match="releases"):
        checked_releases(releases)


def test_what_means_something_is_kept():
    assert checked_promise(4.0, 1e-6) == (4.0, 1e-6)
    assert checked_contribution(20, 25, 16) == (20, 25, 16)
    assert checked_releases(3) == 3
