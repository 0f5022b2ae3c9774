"""Which letters a person means."""

from __future__ import annotations

from typing import NamedTuple

from stream.dead_letters.letter import Letter, Place


class Selection(NamedTuple):
    """Those that everything said here is true of; an empty one means all."""

    reasons: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    """Topics."""
    keys: frozenset[bytes] = frozenset()
    since_ms: int | None = None
    """Refused then or later."""
    until_ms: int | None = None
    """Refused before."""
    places: frozenset[Place] = frozenset()

    def takes(self, letter: Letter) -> bool:
        """Whether it is one of them."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.sources or letter.source.topic in self.sources)
            and (not self.keys or letter.key in self.keys)
            and (self.since_ms is None or letter.refused_ms >= self.since_ms)
            and (self.until_ms is None or letter.refused_ms < self.until_ms)
            and (not self.places or letter.place in self.places)
        )

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()
