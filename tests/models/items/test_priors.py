"""models/items/priors.py: one pass that may be interrupted finds what sorting everything would."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import ItemRecord, pack_record

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.co_occurrence import moment_bins
from models.items.index import ItemIndex
from models.items.priors import PriorsInTheMaking, compute_priors
from models.items.record import ENTRY_DAYS, MOMENT_SMOOTHING, MOMENT_STARTS, MOMENTS, TREND_DAYS
from models.items.rows import DAY_MS, TREND_UNIT
from models.items.stats import ItemStatistics
from models.vocabulary import EXPERTS, NEWCOMER_CONTEXTS

NOW_MS = 1_700_000_000_000


def _sums(count: int, n: int) -> tuple[float, ...]:
    """Different ones for each time constant, some of them none."""
    return tuple(float((count * (t + 2)) % 5) for t in range(n))


def world(counts: list[int], days: list[int], missing: set[int]) -> tuple[Catalog, ItemStatistics]:
    index = ItemIndex()
    items = {str(n): CatalogItem(str(n), "t", available=n not in missing) for n in range(len(counts))}
    catalog, stats = Catalog.empty(index).apply(items), ItemStatistics(index, 4)
    for n, (count, age) in enumerate(zip(counts, days, strict=True)):
        if count:  # some rows at the end may not exist
            moments = tuple((n + b) % 5 for b in range(MOMENTS))
            record = ItemRecord(
                count, 0, NOW_MS - age * DAY_MS, _sums(count, 6), _sums(count + n % 2, 3), moments=moments
            )
            stats.put([n], [pack_record(record)])
    return catalog, stats


@settings(deadline=None)
@given(
    st.data(), st.integers(1, 30), st.integers(0, 6), st.integers(0, 4), st.integers(1, 31), st.sampled_from(EXPERTS)
)
def test_what_leads_is_what_sorting_puts_first_however_the_items_are_cut(
    data: st.DataObject, n: int, each: int, new: int, items_a_step: int, followed: str
) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    days = data.draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n))
    missing = data.draw(st.sets(st.integers(0, n - 1)))
    catalog, stats = world(counts, days, missing)
    allowed = [j for j in range(n) if j not in missing]

    def decayed(at: int, constant_days: float, width: int) -> list[float]:
        return [
            _sums(count + (j % 2 if width == 3 else 0), width)[at] * exp(-max(age, 0) / constant_days) if count else 0.0
            for j, (count, age) in enumerate(zip(counts, days, strict=True))
        ]

    values = {"popularity": [float(count) for count in counts]}
    values |= zip(EXPERTS[1:7], (decayed(t, days_, 6) for t, days_ in enumerate(TREND_DAYS)), strict=True)
    values |= zip(EXPERTS[7:], (decayed(t, days_, 3) for t, days_ in enumerate(ENTRY_DAYS)), strict=True)

    def leading(values: list[float]) -> list[int]:
        return sorted(allowed, key=lambda j: (-values[j], -counts[j], item_hash(str(j))))[:each]

    untouched = [j for j in allowed if counts[j] == 0]
    expected = {
        *leading(values["trend_week"]),
        *leading(values["popularity"]),
        *untouched[len(untouched) - min(new, len(untouched)) :],
    }
    making, made = PriorsInTheMaking(catalog, stats, each, new, NOW_MS, EXPERTS.index(followed)), None
    while made is None:
        made = making.step(items_a_step)
    assert made.candidates.tolist() == sorted(expected)
    for name, row, all_ in zip(EXPERTS, made.leaders.tolist(), made.with_leaders, strict=True):
        assert [j for j in row if j >= 0] == leading(values[name])
        assert all_.tolist() == sorted({*expected, *leading(values[name])})
    whole = compute_priors(catalog, stats, candidates_each=each, new_items=new, now_ms=NOW_MS)
    assert whole.candidates.tolist() == made.candidates.tolist()

    def more_than_usual(j: int, b: int) -> float:
        usual = MOMENT_SMOOTHING * made.moment_shares[b]
        happened = (j + b) % 5 if counts[j] else 0
        return (happened + usual) / (counts[j] * made.moment_shares[b] + usual)

    unit = 1.0 if followed == "popularity" else TREND_UNIT
    (bins,) = moment_bins(np.array([NOW_MS]), np.zeros(1, np.uint8))
    rows = [[j for j in row if j >= 0] for row in made.in_context.tolist()]
    for row, b in zip(rows, (*bins[:2], *range(MOMENT_STARTS[2] + 1, MOMENTS)), strict=True):
        if made.moment_shares[b] <= 0.0:  # nobody told such a thing
            assert row == []
            continue
        assert row == leading([(1.0 + v / unit) * more_than_usual(j, b) for j, v in enumerate(values[followed])])
    plain = set(made.with_leaders[EXPERTS.index(followed)].tolist())
    for context, of in zip(NEWCOMER_CONTEXTS, (rows[:1], rows[1:2], rows[2:]), strict=True):
        assert made.proposed(followed, context).tolist() == sorted(plain.union(*of))
    assert set(made.proposed(followed).tolist()) == plain
    other = EXPERTS[
        EXPERTS.index(followed) - 1
    ]  # whose lists for contexts are not made yet: its own leaders are proposed
    assert made.proposed(other, "hour").tolist() == made.proposed(other).tolist()
    assert made.proposed("sequence").tolist() == sorted(expected)


@pytest.mark.parametrize("bucket", [1, 7])
def test_what_leads_in_a_context_bucket_is_proposed_though_it_leads_nowhere_else(bucket: int) -> None:
    catalog, stats = world([50] * 6 + [3], [0] * 7, set())
    elsewhere, here = [0] * MOMENTS, [0] * MOMENTS
    elsewhere[MOMENT_STARTS[2] + 3], here[MOMENT_STARTS[2] + bucket] = 50, 3
    for n in range(7):
        moments = tuple(here if n == 6 else elsewhere)
        stats.put([n], [pack_record(ItemRecord(3 if n == 6 else 50, 0, NOW_MS, moments=moments))])
    made = compute_priors(catalog, stats, candidates_each=1, now_ms=NOW_MS)
    assert 6 not in made.proposed("popularity")
    assert 6 in made.proposed("popularity", "scene")
    assert made.in_context[1 + bucket, 0] == 6


def test_moment_shares_are_of_all_items_however_often_they_were_put() -> None:
    catalog, stats = world([3, 2, 0], [0, 0, 0], set())
    stats.put([0], [pack_record(ItemRecord(9, moments=(4, *[0] * (MOMENTS - 1))))])
    assert (stats.moment_totals == stats.moments.sum(axis=0)).all()
    shares = compute_priors(catalog, stats, candidates_each=1, now_ms=NOW_MS).moment_shares
    expected = stats.moments.sum(axis=0)[:8] / stats.moments[:, :8].sum()
    assert shares[:8] == pytest.approx(expected)
    assert np.isfinite(shares).all()
