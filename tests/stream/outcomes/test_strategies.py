"""What strategies earned reaches the ranking: by hand, as a law, and through the topic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.credit.off_policy import CellSums, sums_of
from models.credit.strategy_feedback import PRIOR_CLICKS, strategy_feedback
from models.vocabulary import STRATEGIES
from stream.outcomes.strategies import Strategies, with_estimates
from stream.outcomes.strategy_totals import record_key
from stream.wire.records import StrategyStats, encode


def sums(*cells: tuple[int, int, int, float, float]) -> CellSums:
    """`(strategy, slot, context, exposures, clicks)`, nothing left to chance."""
    strategy, slot, context, shown, clicked = (np.array(column, float) for column in zip(*cells, strict=True))
    codes = (each.astype(np.int64) for each in (strategy, slot, context))
    return CellSums(*codes, shown, clicked, shown, shown, clicked, clicked)


def test_a_strategy_with_more_clicks_than_its_slots_lead_to_expect_is_raised_and_the_other_lowered() -> None:
    added = strategy_feedback(sums((0, 1, 0, 1000, 300), (1, 1, 0, 1000, 100)), 5, 5.0)

    assert added[0] == pytest.approx(math.log((300 + PRIOR_CLICKS) / (200 + PRIOR_CLICKS)))
    assert added[1] == pytest.approx(math.log((100 + PRIOR_CLICKS) / (200 + PRIOR_CLICKS)))
    assert added[2:].tolist() == [0.0, 0.0, 0.0]


def test_a_strategy_that_is_always_on_top_is_not_raised_for_that() -> None:
    top, below = (0, 1, 0, 1000, 300), (1, 9, 0, 1000, 10)

    assert strategy_feedback(sums(top, below), 5, 5.0).tolist() == [0.0] * 5


def test_it_is_bounded_and_switched_off_by_a_bound_of_nothing() -> None:
    cells = sums((0, 1, 0, 10**6, 500_000), (1, 1, 0, 10**6, 0))

    assert strategy_feedback(cells, 5, 0.2)[:2].tolist() == [0.2, -0.2]
    assert strategy_feedback(cells, 5, 0.0).tolist() == [0.0] * 5


def test_unknown_slots_and_lists_of_others_are_passed_over() -> None:
    cells = sums((0, 0, 0, 1000, 900), (1, 1, 0, 1000, 100), (4, 1, 0, 1000, 900))

    assert strategy_feedback(cells, 5, 5.0).tolist() == [0.0] * 5


def test_what_is_drawn_does_not_change_what_the_others_are_worth() -> None:
    shown = [(0, 8, 0, 1000, 300), (1, 8, 0, 1000, 100)]
    drawn = CellSums(*(np.array([each]) for each in (3, 8, 0, 500.0, 10.0, 8e3, 2e5, 160.0, 3e3)))
    alone, beside = sums(*shown), sums(*shown, (3, 8, 0, 0, 0))
    beside = CellSums(*(np.concatenate((own[:2], other)) for own, other in zip(beside, drawn, strict=True)))

    assert strategy_feedback(beside, 5, 5.0).tolist() == strategy_feedback(alone, 5, 5.0).tolist()


cells = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2), st.booleans(), st.sampled_from([1.0, 0.5, 0.1])),
    max_size=60,
)


@given(cells, st.floats(0.0, 1.0))
def test_nothing_goes_beyond_the_bound_and_nobody_who_was_not_shown_is_moved(seen: list[Any], bound: float) -> None:
    columns = list(zip(*seen, strict=True)) if seen else [[]] * 5
    added = strategy_feedback(sums_of(*columns), 5, bound)

    assert (np.abs(added) <= bound).all()
    assert all(added[code] == 0.0 for code in range(5) if code not in {s for s, *_ in seen})


# --- the topic --------------------------------------------------------------------------------------------------------


def record(strategy: Any, clicks: int, partition: int = 0, slot: int = 1) -> StrategyStats:
    return StrategyStats(strategy, slot, 0, partition, 1000, clicks, 0.0, 0.0, 0.0, 1000.0, 1000.0, clicks, clicks)


def test_partitions_add_up_and_a_newer_record_replaces_its_older_one() -> None:
    known = Strategies()
    records = [record("interest", 1), record("interest", 300), record("interest", 100, 1), record("popular", 50)]
    known.replicate([(record_key(each), encode(each)) for each in records])

    found = known.sums()

    assert found.strategy.tolist() == [0, 1]
    assert found.clicks.tolist() == [400.0, 50.0]
    assert known.feedback(1.0)[0] > 0 > known.feedback(1.0)[1]


def test_what_is_no_record_is_passed_over_and_a_tombstone_removes(caplog: pytest.LogCaptureFixture) -> None:
    known = Strategies()
    good = record("interest", 300)
    known.replicate([(b"a", b"junk"), (None, b"{}"), (record_key(good), encode(good)), (b"b", b"\xff")])
    assert "passed over" in caplog.text
    assert known.sums().clicks.tolist() == [300.0]

    known.replicate([(record_key(good), None)])

    assert known.sums().clicks.tolist() == []


def test_what_is_drawn_has_no_estimates_of_its_own_and_is_among_the_exposures_of_the_others() -> None:
    kept = StrategyStats("interest", 4, 0, 0, 500, 100, 0.0, 0.0, 0.0, 1000.0, 2000.0, 200.0, 400.0)
    drawn = StrategyStats("explore", 4, 0, 0, 500, 50, 0.0, 0.0, 0.0, 8000.0, 200_000.0, 800.0, 20_000.0)

    found = with_estimates([kept, drawn], {0, 1})

    assert found[0].ips.value == pytest.approx(0.2)  # 100 of 500 of half of the exposures
    assert found[1].ips is found[1].snips is found[1].doubly_robust is None


def test_estimates_without_chance_are_the_click_rate_and_shares_of_it() -> None:
    records = [record("interest", 300), record("popular", 100)]

    (changed,) = with_estimates(records, {0})

    assert changed.snips is not None
    assert changed.snips.value == pytest.approx(0.3)
    assert changed.snips.low < 0.3 < changed.snips.high
    assert changed.ips is not None
    assert changed.ips.value == pytest.approx(0.15)  # of all exposures of the slot: half were not this strategy's
    assert STRATEGIES.index("interest") == 0
