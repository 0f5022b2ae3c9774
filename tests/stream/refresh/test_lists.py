"""Last lists: as many as are remembered, in the order in which they were made."""

from __future__ import annotations

import gc

from stream.refresh import lists
from stream.refresh.lists import LastLists


def test_of_too_many_the_oldest_are_forgotten_and_one_made_again_is_the_newest(monkeypatch):
    monkeypatch.setattr(lists, "REMEMBERED_LISTS", 3)
    last = LastLists()
    news = [last.remember((0, key), (1, 2), at) for at, key in enumerate([b"a", b"b", b"c", b"a"])]
    assert news == [[True], [True], [True], [False]]
    assert list(last) == [(0, b"b"), (0, b"c"), (0, b"a")]
    assert last.remember((1, b"d"), (7,), 4.0) == [True]
    assert list(last) == [(0, b"c"), (0, b"a"), (1, b"d")]
    assert last.aged(3.5) == [(0, b"c"), (0, b"a")]
    assert list(last.holding([7])) == [(1, b"d")]
    last.forget([0])
    assert list(last) == [(1, b"d")]


def test_lists_of_other_placements_are_compared_and_found_each_by_itself():
    last, ann = LastLists(), (0, b"ann")
    assert last.remember(ann, (1, 2), 0.0, ((3,), (4, 5))) == [True] * 3
    assert last.remember(ann, (1, 2), 1.0, ((3,), (5, 4))) == [False, False, True]
    assert [list(last.holding([item])) for item in (2, 3, 4, 6)] == [[ann], [ann], [ann], []]
    # What was restored from a ledger says nothing of the other placements, nor which one it is of.
    last.forget([0])
    last.restore(ann, (1, 2), 2.0)
    assert last.remember(ann, (1, 2), 3.0, ((3,), (5, 4))) == [True] * 3


def test_python_looks_for_garbage_in_no_list():
    last = LastLists()
    last.remember((0, b"a"), (1, 2), 0.0, ((3,), (4,)))
    assert not any(gc.is_tracked(each) for each in last._lists.values())
