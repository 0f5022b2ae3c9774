"""Facts of items are proven by their statistics: never claimed where the events do not bear them out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import ItemRecord, pack_record

from models.hashing import item_hash
from models.items.facts import LATELY, MANY_PEOPLE, NEW, SOMEBODY, THIS_WEEK, item_facts
from models.items.index import ItemIndex
from models.items.record import TREND_DAYS
from models.items.stats import ItemStatistics

DAY_MS = 86_400_000
NOW_MS = 1_767_225_600_000


def facts_of(ages_days, idle_days=0.0, others_min=0):
    """Of one item engaged with so many days before its newest engagement, which was `idle_days` ago."""
    index = ItemIndex()
    index.intern(np.array([item_hash("a")], np.uint64))
    stats = ItemStatistics(index, 4)
    if ages_days:
        newest = NOW_MS - int(idle_days * DAY_MS)
        trend = tuple(sum(np.exp(-age / days) for age in ages_days) for days in TREND_DAYS)
        first = newest - int(max(ages_days) * DAY_MS)
        stats.put([0], [pack_record(ItemRecord(len(ages_days), first, newest, trend))])
    else:
        stats.cover(1)
    return int(item_facts(np.array([[0, -1]], np.int32), stats, NOW_MS, others_min)[0, 0])


def test_an_item_nobody_touched_is_new_and_nothing_else():
    assert facts_of([]) == NEW


def test_one_that_five_wanted_today_is_popular_this_week_and_not_new():
    assert facts_of([0, 0, 0.1, 0.1, 0.2]) == THIS_WEEK | LATELY | SOMEBODY


def test_one_that_a_crowd_wanted_a_month_ago_is_not_popular_this_week():
    assert facts_of([0.0] * 500, idle_days=30) == LATELY | MANY_PEOPLE | SOMEBODY


def test_one_that_somebody_wanted_years_ago_is_neither_new_nor_wanted_lately():
    assert facts_of([0.0, 1.0], idle_days=700) == SOMEBODY


def test_ten_others_are_eleven_people_because_the_reader_may_be_one_of_them():
    assert facts_of([0.0] * 10, others_min=10) == 0
    assert facts_of([0.0] * 11, others_min=10) == LATELY | SOMEBODY, "within a week is a lower bound: 11 are not proven"
    assert facts_of([0.0] * 12, others_min=10) == THIS_WEEK | LATELY | SOMEBODY
    assert facts_of([0.0] * 11 + [300.0] * 11, idle_days=20, others_min=10) == MANY_PEOPLE | SOMEBODY


def test_of_few_others_nothing_is_told_however_popular_twenty_are():
    assert facts_of([0.0] * 30, others_min=30) == 0
    assert facts_of([0.0] * 32, others_min=30) == THIS_WEEK | LATELY | MANY_PEOPLE | SOMEBODY


def test_no_item_has_no_facts():
    stats = ItemStatistics(ItemIndex(), 4)
    assert item_facts(np.array([-1], np.int32), stats, NOW_MS).tolist() == [0]


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.lists(st.floats(0, 400), min_size=1, max_size=60), st.floats(0, 100))
def test_what_is_claimed_is_so(ages, idle):
    ages = [age - min(ages) for age in ages]
    facts = facts_of(ages, idle)
    true_ages = [age + idle for age in ages]
    assert not facts & THIS_WEEK or sum(age <= 7.001 for age in true_ages) >= 3
    assert not facts & LATELY or min(true_ages) <= 60.001
    assert not facts & NEW or (len(ages) < 5 and max(true_ages) <= 30.001)
    assert bool(facts & MANY_PEOPLE) == (len(ages) >= 20)
