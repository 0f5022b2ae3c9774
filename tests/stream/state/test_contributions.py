"""stream/state/contributions.py: what a person has added is written down completely, and comes out as it went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import GOLDEN

from stream.errors import CorruptStateError
from stream.state import contributions as state
from stream.state.contributions import Engaged, added, closed_key, none, pack, split, unpack, user_of_closed, withdrawn

DECAYS = (0.9, 0.5)


def engaged(n: int, histories: list[list[int]]) -> list[Engaged]:
    return [
        Engaged(1 + k, 1000 + k, k % 8, k == 0, k % 3 != 0, history)
        for k, history in zip(range(n), histories, strict=True)
    ]


histories = st.lists(st.lists(st.integers(1, 2**64 - 1), max_size=64), max_size=20)


@given(histories, st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans()), max_size=9))
def test_records_come_back_as_they_were(given_histories, seen) -> None:
    made = added(none(DECAYS), engaged(len(given_histories), given_histories), seen, [(1, 2, 3, 4, 0.5)])
    again = unpack(pack(made))
    for before, after in zip(made[:4], again[:4], strict=True):
        np.testing.assert_array_equal(before, after)
    assert again[4:] == made[4:]


@given(histories)
def test_items_before_an_engagement_come_out_whether_they_were_the_last_ones_or_not(given_histories) -> None:
    made = added(none(DECAYS), engaged(len(given_histories), given_histories), [], [])
    counted = [h for k, h in enumerate(given_histories) if k % 3 != 0]
    out = withdrawn([made], 64)
    assert [[int(x) for x in row if x] for row in out.history] == counted


def test_the_usual_history_takes_no_room() -> None:
    usual = [[*range(k, 0, -1)] for k in range(10)]
    assert len(added(none(DECAYS), engaged(10, usual), [], []).given) == 0
    odd = [*usual[:-1], [3, 1]]
    assert len(added(none(DECAYS), engaged(10, odd), [], []).given) == 1


def test_long_records_are_closed_and_say_the_same_together() -> None:
    last: list[int] = []
    open_, closed = none(DECAYS), []
    everything = none(DECAYS)
    for k in range(3000):
        one = [Engaged(k + 1, k, 0, k == 0, True, last[:64] if k % 7 else [*last[:20], *last[21:40]])]
        last = [k + 1, *last][:64]
        everything = added(everything, one, [(k, True)], [])
        more, open_ = split(added(open_, one, [(k, True)], []), DECAYS)
        closed += more
    assert open_.closed == len(closed) > 5
    assert open_.nbytes < 20_000
    parts, whole = withdrawn([*closed, open_], 64), withdrawn([everything], 64)
    for mine, theirs in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_other_decays_close_what_was_added_with_the_old_ones() -> None:
    made = added(none(DECAYS), engaged(3, [[], [1], [2, 1]]), [], [])
    closed, left = split(made, (0.8, 0.4))
    assert closed == [made]
    assert (left.decays, left.closed, left.entries) == ((0.8, 0.4), 1, 0)
    out = withdrawn([*closed, added(left, engaged(1, [[9]]), [], [])], 64)
    assert out.decays.tolist() == [[0.9, 0.5]] * 2


def test_without_an_item_nothing_of_it_is_left() -> None:
    made = added(none(DECAYS), engaged(4, [[], [1], [2, 1], [3, 2, 1]]), [(2, True), (3, False)], [])
    left = withdrawn([state.without([made], 2, DECAYS)], 64)
    assert 2 not in left.items.tolist()
    assert left.history.tolist()[-1][:2] == [1, 0] or 3 in left.items.tolist()


def test_keys_of_closed_records_name_their_person_whatever_the_id_holds() -> None:
    for user in (b"u", b"a\x00b", b"x" * 128):
        assert user_of_closed(closed_key(user, 7)) == user
    assert closed_key(b"ab", 1) != closed_key(b"a", 1)


def golden() -> state.Contributions:
    made = added(none(DECAYS), engaged(3, [[], [1], [7, 1]]), [(5, True), (6, False)], [(1, 2, 3, 4, 0.5)])
    return made._replace(closed=2, is_incomplete=True)


def test_version_1_is_read_and_written_as_it_was() -> None:
    stored = bytes.fromhex("".join((GOLDEN / "contributions_v1.hex").read_text().split()))
    assert pack(golden()) == stored
    assert withdrawn([unpack(stored)], 64).item.tolist() == withdrawn([golden()], 64).item.tolist()


@pytest.mark.parametrize("value", [b"", b"\x02", pack(none(DECAYS))[:-1], b"\x09" + pack(none(DECAYS))[1:]])
def test_other_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(CorruptStateError):
        unpack(value)
