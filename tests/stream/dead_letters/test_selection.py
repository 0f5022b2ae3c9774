"""A selection takes what everything said is true of."""

from __future__ import annotations

import pytest
from dead_letters import NOW_MS, letter

from stream.dead_letters.letter import Place
from stream.dead_letters.selection import Selection

LETTERS = [
    letter(0),
    letter(1, reason="not_json", key=b"bob"),
    letter(2, topic="interest.items", key=None),
    letter(3, partition=1),
]


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), {0, 1, 2, 3}),
        (Selection(reasons=frozenset({"schema"})), {0, 2, 3}),
        (Selection(reasons=frozenset({"schema", "not_json"}), keys=frozenset({b"bob", b"ann"})), {0, 1, 3}),
        (Selection(sources=frozenset({"interest.items"})), {2}),
        (Selection(since_ms=NOW_MS + 1, until_ms=NOW_MS + 3), {1, 2}),
        (Selection(places=frozenset({Place(1, 3), Place(0, 3), Place(0, 0)})), {0, 3}),
        (Selection(keys=frozenset({b"nobody"})), set()),
    ],
)
def test_it_takes(selection, taken) -> None:
    assert {each.place.offset for each in LETTERS if selection.takes(each)} == taken
    assert selection.is_all == (selection == Selection())
