"""models/credit/exploration_rate: by hand, and against people whose clicks are known."""

from __future__ import annotations

import numpy as np
import pytest

from models.credit.exploration_rate import EFFECTIVE_MIN, Tried, rate_of, value_of_rate


def tried(person, drawn, places, reward) -> Tried:
    return Tried(np.array(person), np.array(drawn), np.array(places), np.array(reward, float))


def test_six_places_by_hand() -> None:
    # Logged at a rate of 1/4; judged at 1/2: what was drawn counts 2, what was kept 2/3.
    found = value_of_rate(tried([0, 1, 2, 3, 4, 5], [1, 1, 0, 0, 0, 0], [1] * 6, [1, 0, 1, 1, 0, 0]), 0.25, 0.5)

    assert found.ips.value == pytest.approx((2 + 2 * 2 / 3) / 6)
    assert found.snips.value == pytest.approx((2 + 2 * 2 / 3) / (2 * 2 + 4 * 2 / 3))
    assert found.doubly_robust.value == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)  # half of drawn, half of kept were clicked
    assert found.difference.value == pytest.approx(0.5 - 0.5)
    assert found.effective == pytest.approx((20 / 3) ** 2 / (2 * 4 + 4 * 4 / 9))
    assert found.rewarded == 3


def test_a_lists_weight_is_the_product_over_its_places() -> None:
    found = value_of_rate(tried([0, 1, 2], [2, 1, 0], [2, 2, 2], [1, 1, 1]), 0.5, 0.8)

    assert found.ips.value == pytest.approx((1.6**2 + 1.6 * 0.4 + 0.4**2) / 3)
    assert found.doubly_robust.value == pytest.approx(1.0)


def test_the_same_rate_is_what_was_logged() -> None:
    rng = np.random.default_rng(1)
    reward = (rng.random(500) < 0.2).astype(float)
    found = value_of_rate(Tried(np.arange(500) % 90, rng.integers(0, 2, 500), np.ones(500, int), reward), 0.5, 0.5)

    assert found.ips.value == found.snips.value == pytest.approx(reward.mean())
    assert found.difference.value == pytest.approx(0.0, abs=0.03)
    assert found.why_not is None


def test_lists_of_one_person_are_no_independent_sample() -> None:
    rng = np.random.default_rng(2)
    drawn, reward = rng.integers(0, 2, 300), np.repeat(rng.integers(0, 2, 30), 10).astype(float)
    apart = value_of_rate(Tried(np.arange(300), drawn, np.ones(300, int), reward), 0.5, 0.7)
    together = value_of_rate(Tried(np.arange(300) // 10, drawn, np.ones(300, int), reward), 0.5, 0.7)

    assert together.ips.value == apart.ips.value
    assert together.ips.standard_error > 2 * apart.ips.standard_error
    assert together.effective <= 30
    assert f"fewer than {EFFECTIVE_MIN:.0f}" in together.why_not


def test_without_clicks_nothing_is_said() -> None:
    found = value_of_rate(tried(range(200), [0, 1] * 100, [1] * 200, [0] * 200), 0.5, 0.6)

    assert found.why_not == "0 clicks that count, fewer than 10"


def test_what_the_log_never_did_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="no place kept"):
        value_of_rate(tried([0], [1], [1], [1]), 1.0, 0.5)
    with pytest.raises(ValueError, match="nothing was tried"):
        value_of_rate(tried([], [], [], []), 0.5, 0.5)


def test_the_rate_of_a_log() -> None:
    assert rate_of(np.array([0.75, np.float32(0.75)]), np.array([0.2, 0.25])) == 0.25
    assert rate_of(np.full(3, float(np.float32(0.8))), np.zeros(0)) == 0.2
    assert rate_of(np.zeros(0), np.array([1.0, 0.4])) == 1.0
    with pytest.raises(ValueError, match=r"more than one rate, 0\.25 to 0\.5"):
        rate_of(np.array([0.75, 0.5]), np.zeros(0))
    with pytest.raises(ValueError, match="more than one rate"):
        rate_of(np.array([0.75]), np.array([0.4]))


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("kind", ["ips", "snips", "doubly_robust"])
def test_intervals_hold_the_truth(kind: str, rate: float) -> None:
    """400 people with appetites of their own, four places each: 40 logs."""
    held, logged = 0, 0.4
    for seed in range(40):
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(400), 4)
        appetite = rng.beta(1.0, 3.0, 400)[person]
        drawn = (rng.random(1600) < logged).astype(int)
        click = (rng.random(1600) < appetite * np.where(drawn, 0.4, 1.0)).astype(float)
        low, high = getattr(value_of_rate(Tried(person, drawn, np.ones(1600, int), click), logged, rate), kind).interval
        held += low <= 0.25 * (rate * 0.4 + 1.0 - rate) <= high

    assert held >= 35  # of 95 % intervals fewer hold in one of 300 cases
