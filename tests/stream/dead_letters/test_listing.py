"""The newest are shown first, however many there are; all are counted."""

from __future__ import annotations

from dead_letters import letter

from stream.dead_letters.listing import Totals, lines, newest
from stream.dead_letters.selection import Selection


def test_the_newest_first_and_all_counted() -> None:
    letters = [letter(n, partition=n % 3, reason="schema" if n % 2 else "not_json") for n in (5, 1, 9, 3, 8, 2)]
    totals = Totals()
    replayed = {letters[1].identity}

    shown = newest(lines(letters, Selection(), replayed, totals), 2)

    assert [line.place.offset for line in shown] == [9, 8]
    assert (totals.letters, totals.replayed, dict(totals.by_reason)) == (6, 1, {"schema": 4, "not_json": 2})


def test_what_is_not_selected_is_not_counted() -> None:
    totals = Totals()
    found = list(lines([letter(1), letter(2, reason="empty")], Selection(reasons=frozenset({"empty"})), set(), totals))
    assert [line.reason for line in found] == ["empty"]
    assert totals.letters == 1
