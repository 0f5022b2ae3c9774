"""The rows of a page: the items of one list, each once, under titles that are true of every item in their row. Pure.

A title says no more than the sentence of each of its items says: "Because you bought X" holds items whose strongest cause is
that purchase, and whose sentence names it; "Popular this week" those of which just that is said. What would be alone
in its row goes to one that says less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import UNSET

from models.vocabulary import ACTIONS, QUERY, Action
from stream.reasons.choice import NAMED, OWN_ITEM
from stream.reasons.language import CLAIMS, ROW_TITLES, Language
from stream.reasons.sentence import Cause, say, title_of
from stream.refresh.reasons import WrittenReasons
from stream.wire.reasons import PlaceReason, Reasons
from stream.wire.records import Recommendation, Row

LEAST_ITEMS: Final = 2
"""Of a row that names a behaviour."""

ENDS: Final = ".。"
"""Of a sentence, which a title has not."""

TEXT_PART: Final = "interest"
OTHERS_PART: Final = "co_occurrence"


class _Kind(NamedTuple):
    """What a row says."""

    says: str
    """A name of `ROW_TITLES` or `CLAIMS`, or `because`."""
    action: Action | None = None
    """`because`: what was done with what."""
    because: str | None = None


_MORE: Final = _Kind("more")

_CLAIMED: Final = frozenset(CLAIMS) - {"none", "fatigue", "age", "new", "explore", "withheld"}
"""Claims that are titles as they are."""


def rows_of(
    record: Recommendation, written: WrittenReasons, languages: Sequence[Language], title: Callable[[str], str]
) -> tuple[Row, ...]:
    """Each item of the list in one row.

    Args:
        record: the list.
        written: its reasons.
        languages: of the titles.
        title: of an item by its id.
    """
    reasons = written.record
    kinds = [
        _kind(reasons, claim, named)
        for claim, named in zip(written.claim.tolist(), written.named.tolist(), strict=True)
    ]
    by_name = [kind for kind in kinds if kind.because is not None]
    rows: dict[_Kind, list[int]] = {}
    for at, (kind, place) in enumerate(zip(kinds, reasons.places, strict=True)):
        is_alone = kind.because is not None and by_name.count(kind) < LEAST_ITEMS
        rows.setdefault(_by_part(place, reasons.part_names) if is_alone else kind, []).append(at)
    clicks = [item.probability for item in record.items]
    order = sorted(rows.items(), key=lambda row: (row[0] == _MORE, -sum(clicks[at] for at in row[1]), row[1][0]))
    return tuple(
        Row(
            {language.code: _title(language, kind, title) for language in languages},
            tuple(record.items[at].item_id for at in places),
            UNSET if kind.because is None else kind.because,
        )
        for kind, places in order
    )


def _kind(reasons: Reasons, claim: int, named: int) -> _Kind:
    if claim == OWN_ITEM:
        return _Kind("again")
    if claim == NAMED:
        behaviour = reasons.behaviours[named]
        return _Kind("because", behaviour.action, behaviour.item_id)
    says = CLAIMS[claim]
    return _Kind(says) if says in _CLAIMED or says in ROW_TITLES else _MORE


def _by_part(place: PlaceReason, names: Sequence[str]) -> _Kind:
    """Of an item that owes most to what the person did."""
    parts = dict(zip(names, place.parts, strict=True))
    others, text = parts.get(OTHERS_PART, 0.0), parts.get(TEXT_PART, 0.0)
    if max(others, text) <= 0.0:
        return _MORE
    return _Kind("people") if others >= text else _Kind("interests")


def _title(language: Language, kind: _Kind, title: Callable[[str], str]) -> str:
    if kind.because is not None and kind.action is not None:
        name = kind.because if kind.action == ACTIONS[QUERY] else title(kind.because)
        return say(language, [Cause(kind.action, title_of(name), 0.0)], "").rstrip(ENDS)
    if kind.says in language.rows:
        return language.rows[kind.says]
    return language.claims[kind.says].rstrip(ENDS)
