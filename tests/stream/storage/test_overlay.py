"""The overlay: one multi-get for what is missing, and no change ever falls between two snapshots."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.state.record import NEVER, States, pack, unpack
from stream.storage.overlay import MIN_ROWS, Overlay


class FakeStore:
    """A `PartitionStore` in a dict that remembers what it was asked for."""

    def __init__(self, values=()):
        self.values = dict(values)
        self.asked = []

    def get_many(self, keys):
        self.asked.append(list(keys))
        return [self.values.get(key) for key in keys]

    def write(self, snapshot):
        self.values.update(zip(snapshot.keys, snapshot.values, strict=True))


def state(fence):
    states = States(1)
    states.fence[0] = fence
    return pack(states, np.array([0]))[0]


def fence(value):
    states = States(1)
    unpack(states, np.array([0]), [value])
    return int(states.fence[0])


def change(overlay, key, fence):
    rows = overlay.rows([key])
    overlay.states.fence[rows] = fence
    overlay.mark_dirty(rows)


def test_missing_users_are_loaded_with_one_multi_get_and_known_ones_are_not_asked_for():
    store = FakeStore({b"a": state(5), b"c": state(7)})
    overlay = Overlay(store, States)
    rows = overlay.rows([b"a", b"b", b"a", b"c", b"b"])
    assert store.asked == [[b"a", b"b", b"c"]]
    assert rows.tolist() == [0, 1, 0, 2, 1]
    assert overlay.states.fence[rows].tolist() == [5, NEVER, 5, 7, NEVER]
    overlay.rows([b"c", b"a"])
    assert store.asked == [[b"a", b"b", b"c"]]
    overlay.rows([b"a", b"d", b"d"])
    assert store.asked[1:] == [[b"d"]]
    assert overlay.keys_of(np.array([2, 3, 0])) == [b"c", b"d", b"a"]


def test_no_users_are_asked_for_nothing():
    store = FakeStore()
    assert Overlay(store, States).rows([]).tolist() == []
    assert store.asked == []


def test_more_users_than_there_is_room_for_make_room():
    overlay = Overlay(FakeStore({b"0": state(3)}), States)
    rows = overlay.rows([b"%d" % n for n in range(5 * MIN_ROWS)])
    assert rows.tolist() == list(range(5 * MIN_ROWS))
    assert overlay.states.fence[:2].tolist() == [3, NEVER]
    overlay.mark_dirty(rows[-1:])
    assert overlay.snapshot().keys == [b"%d" % (5 * MIN_ROWS - 1)]
    assert overlay.nbytes == 5 * MIN_ROWS * States.row_bytes


def test_a_snapshot_holds_those_changed_since_the_last_one_and_only_them():
    overlay = Overlay(FakeStore(), States)
    overlay.rows([b"read"])
    change(overlay, b"a", 1)
    change(overlay, b"b", 2)
    assert overlay.n_dirty == 2
    first = overlay.snapshot()
    assert {key: fence(value) for key, value in zip(*first, strict=True)} == {b"a": 1, b"b": 2}
    assert overlay.n_dirty == 0
    assert overlay.snapshot() == ([], [])


def test_a_change_between_the_snapshot_and_its_write_is_in_the_next_snapshot():
    store = FakeStore()
    overlay = Overlay(store, States)
    change(overlay, b"a", 1)
    snapshot = overlay.snapshot()
    change(overlay, b"a", 2)
    store.write(snapshot)
    overlay.trim(0)
    assert overlay.states.fence[overlay.rows([b"a"])].tolist() == [2]
    assert fence(snapshot.values[0]) == 1
    assert [fence(value) for value in overlay.snapshot().values] == [2]


def test_trim_forgets_everyone_only_above_the_bound_and_when_nobody_is_dirty():
    store = FakeStore()
    overlay = Overlay(store, States)
    change(overlay, b"a", 1)
    overlay.trim(0)
    assert overlay.nbytes == States.row_bytes
    store.write(overlay.snapshot())
    overlay.trim(States.row_bytes)
    assert overlay.nbytes == States.row_bytes
    overlay.trim(States.row_bytes - 1)
    assert overlay.nbytes == 0
    assert overlay.states.fence[overlay.rows([b"a"])].tolist() == [1]


def test_trim_keeps_those_used_last_and_everyone_dirty():
    store = FakeStore()
    overlay = Overlay(store, States)
    for n in range(8):
        change(overlay, b"%d" % n, n)
    store.write(overlay.snapshot())
    change(overlay, b"0", 100)
    overlay.rows([b"5"])
    overlay.rows([b"2"])
    overlay.trim(4 * States.row_bytes)
    assert overlay.nbytes == 3 * States.row_bytes
    before = len(store.asked)
    assert overlay.states.fence[overlay.rows([b"0", b"2", b"5"])].tolist() == [100, 2, 5]
    assert len(store.asked) == before
    assert overlay.states.fence[overlay.rows([b"7"])].tolist() == [7]
    assert overlay.snapshot().keys == [b"0"]


def test_a_stored_state_that_is_corrupt_has_no_row_and_the_others_have_theirs():
    good = state(7)
    overlay = Overlay(FakeStore({b"a": b"\x01junk", b"c": good, b"e": b""}), States)
    for _ in range(2):
        rows = overlay.rows([b"b", b"a", b"c", b"e", b"a"])
        assert (rows >= 0).tolist() == [True, False, True, False, False]
        assert overlay.states.fence[rows[[0, 2]]].tolist() == [NEVER, 7]
        assert {each.user: each.value for each in overlay.unreadable.take()} == {b"a": b"\x01junk", b"e": b""}
    overlay.mark_dirty(rows[rows >= 0])
    assert overlay.snapshot().keys == [b"b", b"c"]


steps = st.lists(
    st.tuples(st.just("change"), st.integers(0, 4))
    | st.tuples(st.just("read"), st.integers(0, 4))
    | st.sampled_from([("snapshot",), ("write",), ("trim",)]),
    max_size=60,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(steps)
def test_no_change_is_ever_lost_however_changes_commits_and_trims_interleave(steps):
    store, pending, truth = FakeStore(), None, {}
    overlay = Overlay(store, States)
    for number, step in enumerate(steps):
        match step:
            case ("change", user):
                change(overlay, b"%d" % user, number)
                truth[b"%d" % user] = number
            case ("read", user):
                rows = overlay.rows([b"%d" % user])
                assert overlay.states.fence[rows].tolist() == [truth.get(b"%d" % user, NEVER)]
            case ("snapshot",) if pending is None:
                pending = overlay.snapshot()
            case ("write",) if pending is not None:
                store.write(pending)
                pending = None
            case ("trim",) if pending is None:  # the commit trims when its snapshot is written, not before
                overlay.trim(0)
    if pending is not None:
        store.write(pending)
    store.write(overlay.snapshot())
    assert {key: fence(value) for key, value in store.values.items()} == truth
