"""States as if: the same as if what is struck out had never come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vocabulary import ACTIONS, CLICK, DISLIKE, IMPRESSION, PURCHASE, QUERY, REFUND, VIEW
from stream.params import update_params
from stream.settings.load import SettingsAsGiven
from stream.state.edits import as_of, click, named, newest_ms, remembered, strike
from stream.state.record import States
from stream.state.update import EventColumns, apply_events

PARAMS = update_params(SettingsAsGiven())

EVENTS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([VIEW, CLICK, PURCHASE, DISLIKE, QUERY]), st.integers(0, 5)),
    min_size=1,
    max_size=30,
)


def applied(events) -> States:
    """Of `(item, action, seconds later)`."""
    states, n = States(1), len(events)
    times = 1_700_000_000_000 + 1000 * np.cumsum([later for _, _, later in events])
    zeros = np.zeros(n, np.uint8)
    columns = EventColumns(
        np.zeros(n, np.int64),
        np.arange(n),
        times.astype(np.int64),
        np.array([item << 40 for item, _, _ in events], np.uint64),
        np.array([action for _, action, _ in events], np.uint8),
        zeros,
        zeros,
        zeros.astype(np.uint32),
        zeros,
    )
    apply_events(states, columns, PARAMS)
    return states


def ring(states: States):
    return [each._replace(key="") for each in remembered(states)]


@given(EVENTS, st.sets(st.integers(0, 29)))
def test_what_is_struck_out_might_as_well_never_have_come(events, which):
    states = applied(events)
    behaviours = remembered(states)
    struck = {behaviours[at].key for at in which if at < len(behaviours)}
    strike(states, struck, PARAMS)
    kept, seconds = [], 0
    for at, (item, action, later) in enumerate(events):
        seconds += later
        if behaviours[at].key not in struck:
            kept.append((item, action, seconds - sum(each[2] for each in kept)))
    if not kept:
        assert ring(states) == []
        assert newest_ms(states) == 0
        return
    expected = applied(kept)
    assert ring(states) == ring(expected)
    assert states.last_ms[0] == expected.last_ms[0]
    assert states.events[0] == expected.events[0]


@given(EVENTS, st.integers(0, 150))
def test_as_of_a_moment_only_what_had_happened_by_then_is_left(events, seconds):
    states = applied(events)
    moment_ms = 1_700_000_000_000 + 1000 * seconds
    wanted = [each for each in ring(states) if each.time_ms <= moment_ms]
    as_of(states, moment_ms, PARAMS)
    assert [each._replace(is_first=False) for each in ring(states)] == [
        each._replace(is_first=False) for each in wanted
    ]


def test_the_next_behaviour_with_an_item_is_the_first_once_the_first_is_struck_out():
    states = applied([(1, CLICK, 0), (2, CLICK, 1), (1, PURCHASE, 1), (1, CLICK, 1)])
    assert [each.is_first for each in remembered(states)] == [True, True, False, False]
    strike(states, {remembered(states)[0].key}, PARAMS)
    assert [each.is_first for each in remembered(states)] == [True, True, False]


def test_equal_behaviours_have_keys_of_their_own():
    states = applied([(1, CLICK, 0), (1, CLICK, 0), (1, CLICK, 0)])
    keys = [each.key for each in remembered(states)]
    assert len(set(keys)) == 3
    strike(states, {keys[1]}, PARAMS)
    assert len(remembered(states)) == 2


def test_a_click_is_added_after_everything_else():
    states = applied([(1, PURCHASE, 0)])
    click(states, np.array([7 << 40], np.uint64), newest_ms(states), PARAMS)
    last = remembered(states)[-1]
    assert (last.item, ACTIONS[last.action], last.is_first) == (7 << 40, "click", True)
    assert last.time_ms == remembered(states)[0].time_ms


def test_of_more_than_the_ring_holds_the_rest_stays():
    states = applied([(1 + at % 6, CLICK, 1) for at in range(80)])
    before = states.histogram[0].copy()
    strike(states, {remembered(states)[-1].key}, PARAMS)
    assert len(remembered(states)) == 63
    assert (states.histogram[0] == before).all()


def test_impressions_after_the_moment_are_gone():
    states = applied([(1, IMPRESSION, 0), (2, IMPRESSION, 10), (3, CLICK, 1)])
    as_of(states, 1_700_000_005_000, PARAMS)
    assert states.n_exposures[0] == 1
    assert states.last_ms[0] == 1_700_000_000_000


def test_names_mean_a_behaviour_or_all_about_an_item():
    behaviours = remembered(applied([(1, CLICK, 0), (2, CLICK, 1), (1, CLICK, 1)]))
    struck, unknown = named(behaviours, ["one", behaviours[1].key, "other"], [1 << 40, 0, 9 << 40])
    assert struck == {each.key for each in behaviours}
    assert unknown == ["other"]


def shown(states: States, time_ms: int, action: int = IMPRESSION) -> None:
    """One thing more at this time, which is no behaviour."""
    one, zeros = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    columns = EventColumns(
        one, states.fence[:1] + 1, one + time_ms, one.astype(np.uint64) + 7, zeros + action, zeros, zeros,
        zeros.astype(np.uint32), zeros,
    )  # fmt: skip
    apply_events(states, columns, PARAMS)


@pytest.mark.parametrize("action", [IMPRESSION, REFUND])
def test_who_was_there_last_stays_so_whatever_is_struck_out(action: int):
    # How long somebody is idle chooses their weights; exposures have seconds, refunds leave nothing else.
    states = applied([(1, CLICK, 0), (2, CLICK, 5)])
    last_ms = 1_700_000_009_876
    shown(states, last_ms, action)
    strike(states, {remembered(states)[0].key}, PARAMS)
    assert states.last_ms[0] == last_ms
    as_of(states, last_ms, PARAMS)
    assert states.last_ms[0] == last_ms
    as_of(states, last_ms - 1, PARAMS)
    assert states.last_ms[0] < last_ms
