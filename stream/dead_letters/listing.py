"""What a list of letters shows: counts of all, and of the newest what fits on a line. Memory is bounded by what is shown."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stream.dead_letters.letter import Letter, Place, Source, why_no_record
from stream.dead_letters.selection import Selection


class Line(NamedTuple):
    """A letter without its value. The newest is the greatest."""

    refused_ms: int
    place: Place
    reason: str
    detail: str
    source: Source
    key: bytes | None
    n_bytes: int
    was_replayed: bool
    no_record: str | None
    """Why it cannot be sent again."""


class Totals:
    """Of all letters that were selected."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self.replayed = 0

    def add(self, line: Line) -> None:
        """One more."""
        self.by_reason[line.reason] += 1
        self.replayed += line.was_replayed

    @property
    def letters(self) -> int:
        """How many there are."""
        return self.by_reason.total()


def lines(letters: Iterable[Letter], selection: Selection, replayed: set[bytes], totals: Totals) -> Iterator[Line]:
    """Those selected, as they come; `totals` counts them."""
    for letter in letters:
        if selection.takes(letter):
            line = line_of(letter, letter.identity in replayed)
            totals.add(line)
            yield line


def line_of(letter: Letter, was_replayed: bool) -> Line:
    """The letter without its value."""
    return Line(
        letter.refused_ms,
        letter.place,
        letter.reason,
        letter.detail,
        letter.source,
        letter.key,
        letter.n_bytes,
        was_replayed,
        why_no_record(letter),
    )


def newest(found: Iterable[Line], most: int) -> list[Line]:
    """The newest first."""
    return heapq.nlargest(most, found, key=lambda line: (line.refused_ms, line.place))
