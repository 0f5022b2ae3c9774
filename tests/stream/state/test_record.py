"""Packed state: what goes in comes out, within 2,048 bytes, and the bytes of version 1 stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GOLDEN
from sequential_reference import Event
from update_events import NOW_MS, apply_in_chunks, random_events, reference_of

from models.vocabulary import ACTIONS
from stream.errors import CorruptStateError
from stream.state.record import (
    BEHAVIOUR_BYTES,
    BINS,
    BOUGHT,
    EXPOSURES,
    HEADER,
    MAX_PACKED_BYTES,
    MIGRATIONS,
    NEVER,
    POINTS,
    RING,
    States,
    dwell_code,
    dwell_ms_of,
    pack,
    unpack,
)

FIXED = settings(derandomize=True, deadline=None, max_examples=60)
STATE_V1 = GOLDEN / "state-v1.hex"


def packed(states, row=0):
    return pack(states, np.array([row]))[0]


def loaded(value, row=0, capacity=1):
    states = States(capacity)
    unpack(states, np.array([row]), [value])
    return states


def golden_states():
    """Facts that fill every section, written by hand so that no rounding of exp2 decides about the bytes."""
    states = States(1)
    states.fence[0], states.events[0], states.first_s[0] = 2**40 + 7, 300, 1_700_000_000
    states.last_ms[0], states.older_s[0] = 1_700_009_999_123, 1_700_000_500
    states.n_ring[0], states.n_exposures[0], states.n_points[0], states.n_bought[0] = 3, 2, 2, 2
    states.item[0, :3] = 2**64 - 1, 1, 0x0123_4567_89AB_CDEF
    states.time_ms[0, :3] = 1_700_000_000_001, 2**48 - 1, 1_600_000_000_000
    states.kind[0, :3] = ACTIONS.index("query"), ACTIONS.index("purchase") | 0x10 | 7 << 5, 0x10
    states.dwell[0, :3], states.event_id[0, :3] = (0, 255, 17), (0, 2**24 - 1, 0x00BEEF)
    states.exposed_item[0, :2], states.exposed_s[0, :2] = (2**32 - 1, 5), (1_700_000_001, 1_700_000_002)
    states.exposed_slot[0, :2], states.exposed_strategy[0, :2] = (0, 255), (255, 1)
    states.exposed_context[0, :2] = 0, 128
    states.point[0, 0] = (0xFEDC_BA98_7654_3210, 1.5, -0.25, 1_700_000_400, 65_535)
    states.point[0, 1] = (3, 0.0625, 0.0, 1_700_000_500, 1)
    states.histogram[0] = np.arange(BINS) / 4
    states.bought[0, :2] = 0xFFFF, 1
    return states


@FIXED
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 300), users=st.integers(1, 3), items=st.integers(1, 60))
def test_what_is_packed_is_what_is_unpacked(seed, n, users, items):
    states = States(users)
    apply_in_chunks(states, random_events(seed, n, users, items, ids=9), [n])
    values = pack(states, np.arange(users))
    again = States(users)
    for row, value in enumerate(values):
        unpack(again, np.array([row]), [value])
    assert pack(again, np.arange(users)) == values
    for row in range(users):
        for name in ("fence", "events", "first_s", "last_ms", "older_s", "n_points", "point", "histogram"):
            assert np.array_equal(getattr(again, name)[row], getattr(states, name)[row]), name
        for mine, theirs in zip(ring_of(again, row), ring_of(states, row), strict=True):
            assert np.array_equal(mine, theirs)


def ring_of(states, row):
    slots, lengths = states.by_arrival(np.array([row]))
    slots = slots[0, : lengths[0]]
    return [getattr(states, name)[row, slots] for name in ("item", "time_ms", "kind", "dwell", "event_id")]


@FIXED
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 200), cut=st.integers(1, 200))
def test_the_same_facts_give_the_same_bytes_whatever_slots_they_lie_in(seed, n, cut):
    events = random_events(seed, n, 1, 30)
    at_once, reloaded = States(1), States(5)
    apply_in_chunks(at_once, events, [n])
    apply_in_chunks(reloaded, events[:cut], [n])
    # Loading puts the oldest behaviour into slot 0, so from here on the two lie differently.
    reloaded = loaded(packed(reloaded), row=0, capacity=5)
    apply_in_chunks(reloaded, events[cut:], [n])
    assert packed(reloaded) == packed(at_once)
    elsewhere = loaded(packed(at_once), row=4, capacity=5)
    assert packed(elsewhere, 4) == packed(at_once)


def test_records_come_in_the_order_of_the_rows_asked_for():
    states = States(3)
    apply_in_chunks(states, random_events(3, 200, 3, 20), [200])
    one_by_one = [packed(states, row) for row in (2, 0, 1, 0)]
    assert pack(states, np.array([2, 0, 1, 0])) == one_by_one
    assert pack(states, np.array([], np.int64)) == []


def test_the_bound_of_2048_bytes_is_reached_and_never_passed():
    actions = ("purchase", "impression")
    events = [
        Event(0, i, NOW_MS + i * 60_000, (i + 1) << 46 | i, actions[i % 2], 7, 255, i + 1, 255) for i in range(600)
    ]
    states, sizes = States(1), []
    for start in range(0, len(events), 10):
        apply_in_chunks(states, events[start : start + 10], [10])
        sizes.append(len(packed(states)))
    assert max(sizes) == sizes[-1] == MAX_PACKED_BYTES == 2048
    assert sizes == sorted(sizes)


def test_only_used_slots_are_stored():
    states = States(1)
    apply_in_chunks(states, [Event(0, 1, NOW_MS, 5, "view")], [1])
    assert len(packed(states)) == HEADER.size + BEHAVIOUR_BYTES == 55


def test_the_bytes_of_version_1_are_those_of_the_golden_file():
    golden = bytes.fromhex(STATE_V1.read_text())
    assert packed(golden_states()) == golden
    assert packed(loaded(golden)) == golden


def test_the_golden_file_says_what_was_put_into_it():
    states, expected = loaded(bytes.fromhex(STATE_V1.read_text())), golden_states()
    for name in expected.columns._fields:
        assert np.array_equal(getattr(states, name), getattr(expected, name)), name


def test_the_layout_is_the_one_that_the_reference_writes():
    events = random_events(11, 500, 1, 60, ids=3)
    states = States(1)
    apply_in_chunks(states, events, [77])
    assert packed(states) == reference_of(events).pack(0)


VALID = packed(golden_states())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        VALID[: HEADER.size - 1],
        VALID[:-1],
        VALID + b"\x00",
        b"\x00" + VALID[1:],
        b"\x02" + VALID[1:],
        b"\xff" + VALID[1:],
        b"123",
        *(VALID[:at] + bytes([VALID[at] + 1]) + VALID[at + 1 :] for at in (2, 3, 4, 5)),
        VALID[:2] + b"\xff" + VALID[3:] + bytes(252 * BEHAVIOUR_BYTES),
    ],
    ids=repr,
)
def test_bytes_that_no_version_wrote_are_refused_and_leave_the_row_empty(value):
    states = States(1)
    with pytest.raises(CorruptStateError, match="a stored state"):
        unpack(states, np.array([0]), [value])
    assert packed(states) == packed(States(1))


@pytest.mark.parametrize(
    ("place", "bound", "width"), [(2, RING, 19), (3, EXPOSURES, 11), (4, POINTS, 22), (5, BOUGHT, 2)]
)
def test_more_than_a_section_may_hold_is_refused_though_the_length_agrees(place, bound, width):
    empty = packed(States(1))
    for count, refused in ((bound, False), (bound + 1, True)):
        value = empty[:place] + bytes([count]) + empty[place + 1 :] + bytes(count * width)
        if refused:
            with pytest.raises(CorruptStateError):
                loaded(value)
        else:
            assert packed(loaded(value)) == value


def test_a_record_of_an_older_version_is_brought_up_to_date_when_it_is_read(monkeypatch):
    """No older version was ever stored, so one is made up: version 0 had no bytes for the flags and padding."""

    def from_version_0(value):
        return b"\x01\x00" + value[1:5] + b"\x00\x00" + value[5:]

    monkeypatch.setitem(MIGRATIONS, 0, from_version_0)
    old = b"\x00" + VALID[2:6] + VALID[8:]
    states = States(3)
    unpack(states, np.array([2, 0]), [old, VALID])
    assert pack(states, np.array([2, 0])) == [VALID, VALID]


@FIXED
@given(st.binary(max_size=120).map(lambda tail: b"\x01" + tail) | st.binary(max_size=2100))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(value):
    try:
        states = loaded(value)
    except CorruptStateError:
        return
    assert len(packed(states)) == len(value)


@pytest.mark.parametrize("cut", range(len(VALID)))
def test_every_truncation_is_refused(cut):
    with pytest.raises(CorruptStateError):
        loaded(VALID[:cut])


def test_growing_keeps_what_is_there_and_adds_empty_rows():
    states = States(2)
    apply_in_chunks(states, random_events(5, 300, 2, 40), [300])
    before = pack(states, np.arange(2))
    states.grow(5)
    assert states.capacity == 5
    assert pack(states, np.arange(2)) == before
    assert states.fence[2:].tolist() == [NEVER] * 3
    assert pack(states, np.arange(2, 5)) == pack(States(3), np.arange(3))


@FIXED
@given(st.integers(1, 6_200_000))
def test_a_dwell_time_comes_back_within_its_error_bound(dwell_ms):
    code = dwell_code(np.array([dwell_ms]))
    off = abs(float(dwell_ms_of(code)[0]) - dwell_ms)
    assert code[0] > 0
    assert off <= max(0.022 * (dwell_ms + 100), 3.5)


def test_dwell_codes_grow_with_the_time_and_end_at_1_7_hours():
    assert dwell_code(np.array([-5, 0])).tolist() == [0, 0]
    assert dwell_ms_of(np.array([0], np.uint8))[0] == 0
    codes = dwell_code(np.array([1, 100, 1000, 30_000, 5_000_000, 10**9, 2**62])).tolist()
    assert codes == sorted(codes)
    assert codes[-2:] == [255, 255]
    assert 1.7 * 3_600_000 < dwell_ms_of(np.array([255], np.uint8))[0] < 1.8 * 3_600_000


def test_rows_stay_where_they_are_while_room_is_made_for_others():
    states = States(2)
    states.item[1], states.fence[1] = 7, 3
    before = states.columns
    states.grow(4096)
    assert states.capacity == 4096
    assert all(np.shares_memory(old, new) for old, new in zip(before, states.columns, strict=True))
    assert (states.item[1] == 7).all()
    assert states.fence[:3].tolist() == [NEVER, 3, NEVER]
    assert (states.fence[2:] == NEVER).all()
    assert not states.item[2:].any()
