"""Which letters were sent again: said on the dead-letter topic itself, in the transaction that sends them.

A mark lies in the partition of its letters and behind them, so it is there for as long as they are, whatever deletes records.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from stream.dead_letters.letter import IDENTITY_BYTES, Letter

KIND: Final = "replayed"
MARK_HEADERS: Final = (("kind", KIND.encode()), ("schema_version", b"1"))
"""Without a `reason`: whoever reads letters passes it over."""


class Mark(NamedTuple):
    """One record that tells of letters of its partition."""

    partition: int
    identities: tuple[bytes, ...]


def marks_for(letters: Iterable[Letter]) -> list[Mark]:
    """One a partition."""
    by_partition: dict[int, list[bytes]] = {}
    for letter in letters:
        by_partition.setdefault(letter.place.partition, []).append(letter.identity)
    return [Mark(partition, tuple(found)) for partition, found in sorted(by_partition.items())]


def mark_value(mark: Mark) -> bytes:
    """As it stands on the topic."""
    told = {"schema_version": 1, "kind": KIND, "letters": [identity.hex() for identity in mark.identities]}
    return json.dumps(told, separators=(",", ":")).encode()


def marked_in(message: Any) -> Sequence[bytes]:
    """Identities that a record of the dead-letter topic marks; none where it is no mark, or one of another version."""
    headers = message.headers() or ()
    if not all(each in headers for each in MARK_HEADERS):
        return ()
    try:
        found = [bytes.fromhex(each) for each in json.loads(message.value())["letters"]]
    except (ValueError, TypeError, KeyError):
        return ()
    return [each for each in found if len(each) == IDENTITY_BYTES]
