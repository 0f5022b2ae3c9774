"""What is released is what was counted and noise of the size that the account was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.privacy import noise, release
from models.privacy.bounds import Contribution, Promise
from models.privacy.continual import encoded, factor
from models.privacy.release import Estimates, Series, budget, exact_budget, of_release, sensitivity

BOUNDS = Contribution(3, 4, 16)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 8), st.lists(st.integers(0, 7), max_size=3), st.lists(st.integers(0, 7), max_size=4))
def test_whatever_a_person_does_within_the_bounds_changes_the_told_integers_by_at_most_the_sensitivity(t, items, pairs):
    """Each of theirs is a series of its own, that a release counts once."""
    of_items, of_pairs = factor(t), factor(t, 2.0)
    changed = [
        encoded(np.eye(t, dtype=np.int64)[min(at, t - 1)][: row + 1, None], of)[0] ** 2
        for of, releases in ((of_items, items), (of_pairs, pairs))
        for at in releases
        for row in range(t)
    ]
    assert np.sqrt(float(sum(changed))) <= sensitivity(BOUNDS, of_items, of_pairs) * (1 + 1e-12)


def test_the_bound_is_reached_by_who_does_everything_in_the_first_release():
    of_items, of_pairs = factor(5), factor(5, 2.0)
    everything = np.sqrt(BOUNDS.items * of_items.norm**2 + BOUNDS.pairs * of_pairs.norm**2)
    assert sensitivity(BOUNDS, of_items, of_pairs) == pytest.approx(everything)


def test_the_account_is_asked_for_this_promise_and_this_sensitivity(monkeypatch):
    asked = []
    monkeypatch.setattr(release, "scale_for", lambda *arguments: asked.append(arguments) or 5.0)
    made = budget(Promise(4.0, 1e-6), BOUNDS, 6, 2.0)
    assert asked == [(Promise(4.0, 1e-6), made.sensitivity)]
    assert made.sensitivity == sensitivity(BOUNDS, factor(6), factor(6, 2.0))
    assert made.scale == 5.0


def test_more_releases_and_more_of_a_person_cost_more_noise():
    pytest.importorskip("opendp", reason="needs the extra privacy (OpenDP)")
    few = budget(Promise(4.0, 1e-6), BOUNDS, 2)
    assert budget(Promise(4.0, 1e-6), BOUNDS, 8).scale > few.scale
    assert budget(Promise(4.0, 1e-6), Contribution(3, 8, 16), 2).scale > few.scale
    assert noise.epsilon_of(few.scale, few.sensitivity, 1e-6) <= 4.0


def test_every_release_is_noised_once_and_anew_with_the_scale(monkeypatch):
    drawn = []

    def fake(values, scale):
        drawn.append((values.tolist(), scale))
        return values + 1000 * len(drawn)

    monkeypatch.setattr(release, "noised", fake)
    series = Series(2, factor(2), 7.0)
    series.release(np.array([1, 0]))
    series.release(np.array([0, 2]))
    assert drawn == [([256, 0], 7.0), ([128, 512], 7.0)]
    first = series.total().value
    assert (series.total().value == first).all(), "looking again draws nothing"
    assert len(drawn) == 2


def test_after_the_last_release_of_the_horizon_there_is_none():
    series = Series(1, factor(1), 0.0)
    series.release(np.array([1]))
    with pytest.raises(ValueError, match="all 1 releases"):
        series.release(np.array([1]))


def test_the_bounds_alone_are_told_as_they_are():
    exact = exact_budget(BOUNDS, 3)
    series = Series(2, exact.items, exact.scale)
    for row in ([1, 0], [2, 5], [0, 1]):
        series.release(np.array(row))
    assert np.allclose(series.total().value, [3, 6])
    assert series.total().noise == 0.0
    assert exact.promise.epsilon == float("inf")


def test_totals_are_as_noisy_as_they_say():
    """The system's randomness: bounds of six standard deviations."""
    pytest.importorskip("opendp", reason="needs the extra privacy (OpenDP)")
    n, t = 4000, 4
    series = Series(n, factor(t), 2000.0)
    for _ in range(t):
        series.release(np.ones(n, np.int64))
    total = series.total()
    assert abs(total.value.mean() - t) < 6 * total.noise / np.sqrt(n)
    assert abs(((total.value - t) ** 2).mean() / total.noise**2 - 1) < 6 * np.sqrt(2 / n)


def test_what_rests_below_the_noise_is_nothing():
    assert Estimates(np.array([-3.0, 1.0, 2.0, 5.0]), 1.0).above_noise(2.0).tolist() == [0.0, 0.0, 0.0, 3.0]


def test_of_a_release_is_counted_what_came_in_it():
    assert of_release(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 1, 4).tolist() == [0, 1, 1, 0]
