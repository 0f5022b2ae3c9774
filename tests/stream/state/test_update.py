"""stream/state/update.py against tests/support/sequential_reference.py: the same bits, however the topic is cut into chunks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequential_reference import Event, First
from update_events import NOW_MS, PARAMS, WINDOW, apply_in_chunks, columns_of, random_events, reference_of

from stream.state.record import BOUGHT, EXPOSURES, MAX_PACKED_BYTES, POINTS, RING, States, pack, unpack
from stream.state.update import apply_events

FIXED = settings(derandomize=True, deadline=None, max_examples=60)


def firsts_of(changes):
    return Counter(
        First(item, time_ms, tuple(history), is_entry)
        for c in changes
        for item, time_ms, history, is_entry in zip(
            c.first_item.tolist(),
            c.first_time_ms.tolist(),
            c.first_history.tolist(),
            c.first_is_entry.tolist(),
            strict=True,
        )
    )


def check_same(states, changes, reference, users):
    packed = pack(states, np.arange(users))
    assert packed == [reference.pack(user) for user in range(users)]
    assert firsts_of(changes) == Counter(reference.firsts)
    assert sum(c.n_applied for c in changes) == reference.applied
    assert sum(c.n_fenced for c in changes) == reference.fenced
    assert sum(c.n_repeats for c in changes) == reference.repeats
    assert Counter(i for c in changes for i in c.exposed_item.tolist()) == Counter(reference.exposed)
    assert Counter(i for c in changes for i in c.clicked_item.tolist()) == Counter(reference.clicked)


@FIXED
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 260),
    users=st.integers(1, 4),
    items=st.integers(1, 40),
    ids=st.sampled_from([0, 1, 5, 1000]),
    sizes=st.lists(st.integers(1, 260), min_size=1, max_size=4),
)
def test_any_chunking_gives_what_one_event_at_a_time_gives(seed, n, users, items, ids, sizes):
    events = random_events(seed, n, users, items, ids)
    states = States(users)
    check_same(states, apply_in_chunks(states, events, sizes), reference_of(events), users)


@pytest.mark.parametrize("sizes", [[6000], [1000], [1, 63, 2, 64, 65, 127, 500], [33]])
def test_heavy_users_of_a_long_run_have_the_same_bits_and_never_outgrow_their_bounds(sizes):
    users = 12
    events = random_events(7, 6000, users, 300, ids=4, span_days=900)
    states = States(users)
    reference = reference_of(events)
    check_same(states, apply_in_chunks(states, events, sizes), reference, users)
    heavy = reference.users[0]
    assert heavy.events > 2000
    assert reference.repeats > 0
    assert (len(heavy.ring), len(heavy.exposures), len(heavy.points)) == (RING, EXPOSURES, POINTS)
    assert 0 < len(heavy.bought) <= BOUGHT
    assert max(len(value) for value in pack(states, np.arange(users))) <= MAX_PACKED_BYTES


@FIXED
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 250), stores=st.lists(st.integers(1, 100), max_size=4))
def test_state_that_was_stored_and_loaded_between_chunks_goes_on_alike(seed, n, stores):
    events = random_events(seed, n, 3, 20, ids=8)
    states, changes = States(3), []
    for start, end in zip([0, *np.cumsum(stores)], [*np.cumsum(stores), n], strict=True):
        part = events[int(start) : int(end)]
        changes += apply_in_chunks(states, part, [len(part) or 1])
        loaded = States(3)
        for row, value in enumerate(pack(states, np.arange(3))):
            unpack(loaded, np.array([row]), [value])
        states = loaded
    check_same(states, changes, reference_of(events[: max(n, 0)]), 3)


@FIXED
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 200), again=st.integers(1, 200), size=st.integers(1, 200))
def test_events_that_come_again_change_nothing(seed, n, again, size):
    events = random_events(seed, n, 3, 20, ids=4)
    states = States(3)
    apply_in_chunks(states, events, [n])
    before = pack(states, np.arange(3))
    changes = apply_in_chunks(states, events[:again], [size])
    assert pack(states, np.arange(3)) == before
    assert sum(c.n_fenced for c in changes) == len(events[:again])
    assert all(len(c.rows) == c.n_applied == c.n_repeats == len(c.first_item) == 0 for c in changes)
    assert not any(c.applied.any() for c in changes)


@FIXED
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 150), back=st.integers(1, 150))
def test_a_chunk_that_overlaps_the_last_one_applies_only_what_is_new(seed, n, back):
    events = random_events(seed, n, 3, 20, ids=4)
    cut = n // 2
    states = States(3)
    first = apply_in_chunks(states, events[:cut], [n])
    second = apply_in_chunks(states, events[max(0, cut - back) :], [n])
    reference = reference_of(events)
    reference.fenced = cut - max(0, cut - back)
    check_same(states, first + second, reference, 3)


def test_a_chunk_tells_which_users_and_events_were_new():
    known = [Event(1, 10, NOW_MS, 5, "view", event_id=9)]
    states = States(4)
    apply_in_chunks(states, known, [1])
    chunk = [
        Event(1, 10, NOW_MS, 5, "view", event_id=9),  # fenced
        Event(1, 11, NOW_MS, 5, "view", event_id=9),  # repeats the one before
        Event(3, 12, NOW_MS, 5, "view", event_id=9),  # another user's
        Event(1, 13, NOW_MS, 5, "click", event_id=9),  # another action
        Event(1, 14, NOW_MS, 6, "view", event_id=9),  # another item
        Event(1, 15, NOW_MS, 5, "impression", event_id=9),  # impressions are not looked at
    ]
    changes = apply_events(states, columns_of(chunk), PARAMS)
    assert (changes.n_fenced, changes.n_repeats, changes.n_applied) == (1, 1, 4)
    assert changes.applied.tolist() == [False, False, True, True, True, True]
    assert changes.rows.tolist() == [1, 3]
    assert states.fence.tolist() == [-1, 15, -1, 12]


def test_a_repeat_moves_the_fence_so_that_it_is_not_counted_again():
    states = States(1)
    repeat = [Event(0, offset, NOW_MS, 5, "view", event_id=9) for offset in (1, 2)]
    assert apply_events(states, columns_of(repeat), PARAMS).n_repeats == 1
    assert apply_events(states, columns_of(repeat), PARAMS).n_fenced == 2


def test_an_event_id_is_forgotten_with_the_behaviour_that_had_it():
    filler = [Event(0, 10 + i, NOW_MS, 100 + i, "view") for i in range(RING)]
    first, again = (Event(0, offset, NOW_MS, 5, "view", event_id=9) for offset in (1, 1000))
    for remembered, repeats in ((filler[: RING - 1], 1), (filler, 0)):
        states = States(1)
        changes = apply_in_chunks(states, [first, *remembered, again], [7])
        assert sum(c.n_repeats for c in changes) == repeats


def test_an_empty_chunk_changes_nothing():
    states = States(2)
    before = pack(states, np.arange(2))
    changes = apply_events(states, columns_of([]), PARAMS)
    assert (changes.n_applied, changes.n_fenced, changes.n_repeats) == (0, 0, 0)
    assert changes.first_history.shape == (0, WINDOW)
    assert pack(states, np.arange(2)) == before


def test_only_interest_in_an_item_makes_a_first_engagement_and_a_history():
    chunk = [
        Event(0, i, NOW_MS + i, item, action)
        for i, (item, action) in enumerate(
            [(1, "view"), (2, "dislike"), (3, "query"), (1, "purchase"), (4, "impression"), (2, "like"), (5, "cart")]
        )
    ]
    changes = apply_events(States(1), columns_of(chunk), PARAMS)
    assert changes.first_item.tolist() == [1, 2, 5]
    assert [row[:3] for row in changes.first_history.tolist()] == [[0, 0, 0], [1, 0, 0], [2, 1, 0]]
    assert changes.exposed_item.tolist() == [4]


def test_events_that_come_late_push_each_other_out_and_nothing_newer():
    fresh = [Event(0, i, NOW_MS + i, 1000 + i, "view") for i in range(RING)]
    late = [Event(0, RING + i, NOW_MS - 10_000_000 + i, 5000 + i, "purchase") for i in range(3 * RING)]
    states = States(1)
    apply_in_chunks(states, fresh + late, [50])
    remembered = set(states.item[0].tolist())
    assert remembered == {event.item for event in fresh[1:]} | {late[-1].item}
    assert states.last_ms[0] == fresh[-1].time_ms


def test_of_equal_times_the_first_that_came_leaves_first():
    events = [Event(0, i, NOW_MS, 1000 + i, "view") for i in range(RING + 5)]
    states = States(1)
    apply_in_chunks(states, events, [7])
    slots, _ = states.by_arrival(np.zeros(1, np.int64))
    assert states.item[0, slots[0]].tolist() == [event.item for event in events[5:]]


def test_what_was_bought_long_ago_is_no_first_engagement_and_what_was_seen_is():
    filler = [Event(0, 10 + i, NOW_MS + i, (1000 + i) << 48, "view") for i in range(2 * RING)]
    for action, is_first in (("purchase", False), ("view", True)):
        first = Event(0, 1, NOW_MS - 10, 7 << 48, action)
        again = Event(0, 1000, NOW_MS + 10_000, 7 << 48, "cart")
        states = States(1)
        apply_in_chunks(states, [first, *filler], [9])
        changes = apply_events(states, columns_of([again]), PARAMS)
        assert (changes.first_item.tolist() == [7 << 48]) == is_first
