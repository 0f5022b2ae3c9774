"""The fixed rules and the learned ones, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.credit.paths import Path, divided, markov_shares, shapley_shares
from models.credit.shares import shares
from models.vocabulary import RULES

HOUR_MS = 3_600_000
TOUCHES = np.array([0, 2, 3, 4], np.int64) * HOUR_MS


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("last_touch", [0, 0, 0, 1]),
        ("first_touch", [1, 0, 0, 0]),
        ("linear", [0.25, 0.25, 0.25, 0.25]),
        ("position_based", [0.4, 0.1, 0.1, 0.4]),
        # Two half-lives, one, a half and none before the last: 1/4, 1/2, 2^-.5 and 1 with a half-life of 2 h.
        ("time_decay", np.array([0.25, 0.5, 0.5**0.5, 1.0]) / (1.75 + 0.5**0.5)),
    ],
)
def test_four_touches_by_hand(rule: str, expected) -> None:
    assert shares(rule, TOUCHES, 5 * HOUR_MS, 2 * HOUR_MS) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("rule", RULES)
def test_one_touch_earns_all_and_none_nothing(rule: str) -> None:
    assert shares(rule, TOUCHES[:1], HOUR_MS, HOUR_MS).tolist() == [1.0]
    assert shares(rule, TOUCHES[:0], HOUR_MS, HOUR_MS).tolist() == []


def test_two_touches_share_evenly_by_position() -> None:
    assert shares("position_based", TOUCHES[:2], HOUR_MS, HOUR_MS).tolist() == [0.5, 0.5]


def test_touches_of_years_ago_do_not_vanish_under_decay() -> None:
    assert shares("time_decay", TOUCHES[:2], 10**13, 1).sum() == pytest.approx(1.0)


def test_a_touch_after_the_outcome_counts_as_of_its_moment() -> None:
    assert shares("time_decay", TOUCHES[2:], 3 * HOUR_MS, HOUR_MS).tolist() == [0.5, 0.5]


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="no rule 'u_shaped'"):
        shares("u_shaped", TOUCHES, 0, 1)


@given(
    st.sampled_from(RULES), st.lists(st.integers(0, 2**41), max_size=10), st.integers(0, 2**41), st.integers(1, 2**40)
)
def test_shares_are_none_negative_and_sum_to_1(rule, touches, outcome_ms, half_life_ms) -> None:
    found = shares(rule, np.array(sorted(touches), np.int64), outcome_ms, half_life_ms)

    assert np.all(found >= 0)
    assert found.sum() == pytest.approx(1.0 if touches else 0.0)


# --- learned: strategies A = 0, B = 1, C = 2

A, B, C = 0, 1, 2


def test_removal_effects_by_hand() -> None:
    # A B converts, A is lost. Start -> A; A -> B 1/2, lost 1/2; B -> converts. Conversion: 1/2.
    # Without A nothing converts, without B neither: effects 1 and 1.
    assert markov_shares([Path((A, B), 1), Path((A,), 0, 1)], 3) == pytest.approx([0.5, 0.5, 0.0])


def test_removal_effects_by_hand_where_there_is_another_way() -> None:
    # A B converts, B converts, C is lost, C A is lost.
    # Start -> A 1/4, B 1/4, C 1/2; A -> B 1/2, lost 1/2; B -> converts; C -> A 1/2, lost 1/2.
    # B: 1; A: 1/2; C: 1/4. Conversion: 1/8 + 1/4 + 1/8 = 1/2.
    # Without A: 1/4, effect 1/2. Without B: 0, effect 1. Without C: 3/8, effect 1/4.
    paths = [Path((A, B), 1), Path((B,), 1), Path((C,), 0, 1), Path((C, A), 0, 1)]

    assert markov_shares(paths, 4) == pytest.approx(np.array([0.5, 1.0, 0.25, 0.0]) / 1.75)


def test_a_strategy_that_repeats_is_a_loop_of_the_chain() -> None:
    # A A B converts: A -> A 1/2, B 1/2. Every conversion passes both.
    assert markov_shares([Path((A, A, B), 3)], 2) == pytest.approx([0.5, 0.5])


def test_shapley_values_by_hand() -> None:
    # 6 conversions of A alone, 2 of A and B, 3 of A, B and C: A 6 + 1 + 1, B 1 + 1, C 1.
    paths = [Path((A,), 6, 10), Path((B, A), 2), Path((A, B, C, B), 3), Path((C,), 0, 5)]

    assert shapley_shares(paths, 5) == pytest.approx(np.array([8, 2, 1, 0, 0]) / 11)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 5)),
        min_size=1,
        max_size=8,
    )
)
def test_learned_shares_sum_to_1_and_what_is_on_no_path_gets_none(rows) -> None:
    paths = [Path(tuple(codes), converted, lost) for codes, converted, lost in rows]
    converted = any(path.conversions for path in paths)

    for found in (markov_shares(paths, 5), shapley_shares(paths, 5)):
        assert np.all(found >= -1e-12)
        assert found.sum() == pytest.approx(1.0 if converted else 0.0)
        assert found[4] == 0.0
    # Zhao et al.: the Shapley value of this game divides each path evenly among its strategies.
    evenly = np.zeros(5)
    for path in paths:
        for each in set(path.strategies):
            evenly[each] += path.conversions / len(set(path.strategies))
    assert shapley_shares(paths, 5) * evenly.sum() == pytest.approx(evenly)


def test_paths_counted_together_are_paths_one_by_one() -> None:
    one_by_one = [Path((A, B), 1), Path((A, B), 1), Path((A, B), 0, 1), Path((B,), 0, 1)]
    together = [Path((A, B), 2, 1), Path((B,), 0, 1)]

    assert markov_shares(one_by_one, 2) == pytest.approx(markov_shares(together, 2))
    assert shapley_shares(one_by_one, 2) == pytest.approx(shapley_shares(together, 2))


def test_no_conversion_leaves_nothing_to_share() -> None:
    paths = [Path((A, B), 0, 3), Path((), 2)]

    assert markov_shares(paths, 2).tolist() == [0.0, 0.0]
    assert shapley_shares(paths, 2).tolist() == [0.0, 0.0]


def test_an_outcome_is_divided_in_proportion_or_evenly() -> None:
    assert divided([A, B, A], np.array([0.2, 0.6])) == pytest.approx([0.2, 0.6, 0.2])
    assert divided([A, B], np.array([0.0, 0.0, 1.0])) == pytest.approx([0.5, 0.5])
    assert len(divided([], np.array([1.0]))) == 0


def test_too_many_strategies_for_exact_values_are_refused() -> None:
    with pytest.raises(ValueError, match="16 strategies"):
        shapley_shares([], 17)
