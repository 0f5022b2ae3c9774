"""Off-policy estimates: closed forms by hand, no bias and honest intervals in simulation, and the Open Bandit Dataset."""

from __future__ import annotations

import csv
import io
import math

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import shared

from models.credit import off_policy, policy_value
from models.credit.off_policy import PRIOR_EXPOSURES, Z, add_up, estimates, over_contexts, sums_of

OBD = shared("shared/data/obd-small")


def exposures(n: int, seed: int, rates=(0.3, 0.1), chances=(0.25, 0.75)):
    """(strategy, clicked, propensity) of one slot that a policy fills by these chances."""
    rng = np.random.default_rng(seed)
    strategy = rng.choice(len(rates), n, p=chances)
    return strategy, rng.random(n) < np.array(rates)[strategy], np.array(chances)[strategy]


def of_one_slot(strategy, clicked, propensity):
    zeros = np.zeros(len(strategy), np.int64)
    return sums_of(strategy, zeros + 1, zeros, clicked, propensity)


# --- closed forms


def test_four_exposures_by_hand() -> None:
    # Strategy 0: p = .5 clicked, p = .25 not; strategy 1: p = .5 not, p = .75 clicked.
    found = estimates(of_one_slot([0, 0, 1, 1], [True, False, False, True], [0.5, 0.25, 0.5, 0.75]))

    assert found.ips.value[0] == pytest.approx(2 / 4)
    assert found.snips.value[0] == pytest.approx(2 / (2 + 4))
    q = (1 + PRIOR_EXPOSURES * 2.5 / 5) / (2 + PRIOR_EXPOSURES)  # the slot: 2 of 4, and half a click of one
    assert found.doubly_robust.value[0] == pytest.approx(q + (2 - q * 6) / 4)
    assert found.effective[0] == pytest.approx(6**2 / (4 + 16))
    assert found.overlap[0] == pytest.approx(6 / 4)
    # The interval of IPS: variance (2² / 4 - .5²) / 4 and n = 1.8 in Wilson's form.
    n, variance = 1.8, (4 / 4 - 0.25) / 4
    centre, spread = 0.5 + Z**2 / (2 * n), Z * math.sqrt(variance + Z**2 / (4 * n**2))
    assert found.ips.low[0] == pytest.approx(max(0.0, (centre - spread) / (1 + Z**2 / n)))
    assert found.ips.high[0] == pytest.approx(min(1.0, (centre + spread) / (1 + Z**2 / n)))


def test_the_variances_are_those_of_the_exposures_one_by_one() -> None:
    strategy, clicked, p = exposures(500, seed=1)
    sums = of_one_slot(strategy, clicked, p)
    found, q = estimates(sums), off_policy.click_rates(sums)[0]

    weight = np.where(strategy == 0, 1 / p, 0.0)
    ips_values, robust_values = weight * clicked, q + weight * (clicked - q)
    snips_value = (weight @ clicked) / weight.sum()
    expected = (
        (ips_values.mean(), ips_values.var() / 500),
        (snips_value, np.sum((weight * (clicked - snips_value)) ** 2) / weight.sum() ** 2),
        (robust_values.mean(), robust_values.var() / 500),
    )
    for each, (value, variance) in zip(found[:3], expected, strict=True):
        again = off_policy.bounded(np.array([value]), np.array([variance]), found.effective[:1])
        assert (each.value[0], each.low[0], each.high[0]) == pytest.approx([x[0] for x in again])


def test_a_strategy_that_always_fills_the_slot_has_its_plain_click_rate_and_wilsons_interval() -> None:
    found = estimates(of_one_slot([0] * 50, [True] * 7 + [False] * 43, [1.0] * 50))

    v, n = 7 / 50, 50
    centre, spread = v + Z**2 / (2 * n), Z * math.sqrt(v * (1 - v) / n + Z**2 / (4 * n**2))
    for each in found[:2]:
        assert each.value[0] == pytest.approx(v)
        assert each.low[0] == pytest.approx((centre - spread) / (1 + Z**2 / n))
        assert each.high[0] == pytest.approx((centre + spread) / (1 + Z**2 / n))
    assert found.doubly_robust.value[0] == pytest.approx(v)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans()), min_size=1, max_size=60))
def test_with_propensity_1_and_one_strategy_a_slot_all_three_are_the_click_rate(rows) -> None:
    slot, clicked = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    found = estimates(sums_of(slot * 0, slot, slot * 0, clicked, np.ones(len(rows))))

    for place, each in enumerate(np.unique(slot)):
        rate = clicked[slot == each].mean()
        assert [e.value[place] for e in found[:3]] == pytest.approx([rate] * 3)


def test_no_click_at_all_leaves_an_interval_above_0() -> None:
    found = estimates(of_one_slot([0] * 30 + [1] * 30, [False] * 60, [0.5] * 60))

    assert found.ips.value[0] == found.ips.low[0] == 0.0
    assert found.ips.high[0] == pytest.approx(Z**2 / 30 / (1 + Z**2 / 30))
    assert 0.05 < found.snips.high[0] < 0.2


def test_a_cell_without_exposures_has_no_estimate_and_breaks_no_other() -> None:
    empty = sums_of([1], [1], [0], [False], [1.0])._replace(
        exposures=np.zeros(1), inverse_propensity=np.zeros(1), inverse_propensity_squared=np.zeros(1)
    )
    found = estimates(add_up([of_one_slot([0], [True], [1.0]), empty]))

    assert found.ips.value[0] == 1.0
    assert np.isnan([each.value[1] for each in found[:3]]).all()
    assert np.isnan([each.high[1] for each in found[:3]]).all()


def test_no_cells_are_no_estimates() -> None:
    assert len(estimates(add_up([])).ips.value) == 0


@pytest.mark.parametrize("wrong", [0.0, -0.5, 1.5, float("nan")])
def test_a_propensity_that_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="propensity"):
        of_one_slot([0], [True], [wrong])


# --- laws

_ROWS = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(1, 2), st.integers(0, 1), st.booleans(), st.sampled_from((0.1, 0.25, 0.5, 1.0))
    ),
    min_size=1,
    max_size=80,
)


@given(_ROWS, st.integers(1, 5))
def test_sums_added_over_partitions_are_the_sums_over_all(rows, partitions) -> None:
    parts = [sums_of(*zip(*rows[n::partitions], strict=True)) for n in range(partitions) if rows[n::partitions]]

    for added, at_once in zip(add_up(parts), sums_of(*zip(*rows, strict=True)), strict=True):
        np.testing.assert_allclose(added, at_once, rtol=1e-12)


@given(_ROWS)
def test_bounds_are_probabilities_around_the_value(rows) -> None:
    for each in estimates(sums_of(*zip(*rows, strict=True)))[:3]:
        assert np.all((each.low >= 0) & (each.high <= 1) & (each.low <= each.high))
        inside = np.clip(each.value, 0.0, 1.0)
        assert np.all((each.low <= inside + 1e-12) & (inside <= each.high + 1e-12))


@given(_ROWS)
def test_contexts_taken_together_are_as_if_none_was_told(rows) -> None:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    together = over_contexts(sums_of(*columns))
    columns[2] = columns[2] * 0

    for one, other in zip(together, sums_of(*columns), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


# --- simulation


def test_estimates_are_unbiased_and_95_of_100_intervals_hold_the_truth() -> None:
    rate, runs, n = 0.06, 3000, 600
    parts = []
    rng = np.random.default_rng(7)
    # Each run is a context of its own, so that one call estimates them all.
    for run in range(runs):
        chance = rng.choice((0.2, 0.5), n)
        mine = rng.random(n) < chance
        clicked = rng.random(n) < np.where(mine, rate, 0.02)
        parts.append(
            sums_of(
                np.where(mine, 0, 1),
                np.ones(n, np.int64),
                np.full(n, run),
                clicked,
                np.where(mine, chance, 1.0 - chance),
            )
        )
    sums = add_up(parts)
    found, first = estimates(sums), sums.strategy == 0

    for name in ("ips", "snips", "doubly_robust"):
        each = getattr(found, name)
        error = each.value[first].std() / math.sqrt(runs)
        assert abs(each.value[first].mean() - rate) < 4 * error, name
        covered = np.mean((each.low[first] <= rate) & (rate <= each.high[first]))
        assert 0.935 <= covered <= 0.975, (name, covered)


def test_self_normalising_and_the_model_take_variance_away() -> None:
    strategy, clicked, p = exposures(4000, seed=3, rates=(0.6, 0.5), chances=(0.05, 0.95))
    found = estimates(of_one_slot(strategy, clicked, p))

    width = {name: float((getattr(found, name).high - getattr(found, name).low)[0]) for name in found._fields[:3]}
    assert width["snips"] < 0.8 * width["ips"]
    assert width["doubly_robust"] < 0.8 * width["ips"]


# --- per event


def test_the_events_forms_are_the_cells_forms() -> None:
    strategy, clicked, p = exposures(300, seed=2)
    sums = of_one_slot(strategy, clicked, p)
    found, q = estimates(sums), np.full(300, off_policy.click_rates(sums)[0])
    reward, target = clicked.astype(float), (strategy == 0).astype(float)

    assert policy_value.ips(reward, target, p).value == pytest.approx(found.ips.value[0])
    assert policy_value.snips(reward, target, p).value == pytest.approx(found.snips.value[0])
    assert policy_value.doubly_robust(reward, target, p, q, q).value == pytest.approx(found.doubly_robust.value[0])
    assert policy_value.ips(reward, target, p).effective == pytest.approx(found.effective[0])


def test_a_weight_is_cut_to_the_largest_allowed() -> None:
    reward, target, p = np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([0.01, 0.5])

    assert policy_value.ips(reward, target, p).value == pytest.approx((100 + 2) / 2)
    assert policy_value.ips(reward, target, p, weight_max=10).value == pytest.approx((10 + 2) / 2)
    error = policy_value.ips(reward, target, p, weight_max=10).standard_error
    assert error == pytest.approx(4 / math.sqrt(2))  # deviations of 4 from the mean 6


def test_a_policy_that_was_never_logged_has_no_self_normalised_value() -> None:
    nothing = np.zeros(2)
    assert math.isnan(policy_value.snips(np.ones(2), nothing, np.ones(2)).value)
    with pytest.raises(ValueError, match="logged propensity"):
        policy_value.ips(np.ones(2), nothing, np.zeros(2))


# --- the Open Bandit Dataset: 10,000 impressions each, 46 to 69 clicks


def logs(policy: str, campaign: str):
    """(item, position from 0, clicked, propensity)."""
    if OBD is None:
        pytest.skip("no obd-small beside the repository")
    packed = (OBD / f"{policy}_{campaign}.csv.zst").read_bytes()
    rows = list(csv.DictReader(io.StringIO(bytes(cramjam.zstd.decompress(packed)).decode())))

    def column(name, kind):
        return np.array([kind(row[name]) for row in rows])

    return (
        column("item_id", int),
        column("position", int) - 1,
        column("click", float),
        column("propensity_score", float),
    )


def action_distribution(campaign: str, positions: int = 3):
    """(items, positions) How often Thompson sampling shows which item where, from its own logs."""
    item, position, _, _ = logs("bts", campaign)
    items = int(item.max()) + 1
    counts = np.bincount(item * positions + position, minlength=items * positions).reshape(items, positions)
    return counts / counts.sum(axis=0)


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_thompson_sampling_valued_from_random_logs_is_what_obp_says(campaign: str) -> None:
    item, position, click, p = logs("random", campaign)
    target = action_distribution(campaign)
    pi = target[item, position]
    rate = np.array([(click[item == each].sum() + 1) / (np.sum(item == each) + 100) for each in range(len(target))])
    q_target = (target * rate[:, None]).sum(axis=0)[position]
    mine = (
        policy_value.ips(click, pi, p),
        policy_value.snips(click, pi, p),
        policy_value.doubly_robust(click, pi, p, rate[item], q_target),
    )

    weight = pi / p
    closed = (
        np.mean(weight * click),
        (weight @ click) / weight.sum(),
        np.mean(q_target + weight * (click - rate[item])),
    )
    assert [each.value for each in mine] == pytest.approx(closed, rel=1e-12)
    on_policy = logs("bts", campaign)[2].mean()
    for each in mine:
        low, high = each.interval
        assert low <= on_policy <= high  # of little weight: the interval is as wide as the value
    obp = pytest.importorskip("obp.ope", reason="obp is not installed; the closed forms were compared")
    given_ = {
        "reward": click,
        "action": item,
        "position": position,
        "pscore": p,
        "action_dist": np.tile(target, (len(item), 1, 1)),
        "estimated_rewards_by_reg_model": np.tile(rate[:, None], (len(item), 1, target.shape[1])),
    }
    theirs = [
        each.estimate_policy_value(**given_)
        for each in (
            obp.InverseProbabilityWeighting(),
            obp.SelfNormalizedInverseProbabilityWeighting(),
            obp.DoublyRobust(),
        )
    ]
    assert [each.value for each in mine] == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_the_random_policy_valued_from_thompson_samplings_logs_is_a_wide_guess(campaign: str) -> None:
    item, _, click, p = logs("bts", campaign)
    items = int(item.max()) + 1
    uniform = np.full(len(item), 1 / items)

    plain, cut = policy_value.ips(click, uniform, p), policy_value.snips(click, uniform, p, weight_max=20)
    truth = logs("random", campaign)[2].mean()
    assert plain.value == pytest.approx(np.mean(click / p) / items, rel=1e-12)
    assert plain.effective < cut.effective < len(item)
    assert cut.interval[0] <= truth <= cut.interval[1]
