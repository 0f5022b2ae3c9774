"""Logged lists and what people did with them, from files: which places could be drawn, were, were seen and were clicked.

Lists are records of `interest.recommendations` or of reasons (`interest.attributions`), one JSON object a line. Everything but
their explored places is forgotten at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from models.arrays import F8, I8
from models.credit.exploration_rate import TOLERANCE, Tried
from models.vocabulary import EXPLORE, STRATEGIES
from stream.errors import InputFileError
from stream.files.formats import open_table
from stream.files.reading import BadRow, FileRecord
from stream.wire.decode import Rejected
from stream.wire.reasons import Reasons, RecommendationAttribution, check_indices, item_places
from stream.wire.records import Attribution, OutcomeAttribution, Recommendation, event_decoder

_EXPLORE: Final = STRATEGIES[EXPLORE]


class Place(NamedTuple):
    """A place of a list that could be drawn."""

    rank: int
    propensity: float
    is_drawn: bool


class LoggedList(NamedTuple):
    """A list, by what could be drawn in it."""

    user_id: str
    places: dict[str, Place]
    """By item."""


class Log(NamedTuple):
    """What two files say together."""

    kept: F8
    """Propensities of the places of all lists that kept their item, and of those that were drawn."""
    drawn: F8
    by_place: Tried
    """Each place that could be drawn and was seen; 1 = clicked."""
    by_list: Tried
    """Each list of which something was seen and that has such a place; clicks in all of it."""
    counts: dict[str, int]


def read_lists(path: Path) -> tuple[dict[str, LoggedList], dict[str, int]]:
    """Lists by `recommendation_id`, and how many lines were what. A list that is there twice counts once.

    Raises:
        InputFileError: the file cannot be read, or holds no list.
    """
    lists: dict[str, LoggedList] = {}
    counts = {"lists": 0, "lists_repeated": 0, "lines_refused": 0, "lines_of_outcomes": 0}
    with open_table(path) as table:
        if not table.rows_are_dicts:
            raise InputFileError(f"{path} is no file of lists.", "give records of the topic of lists as JSON lines")
        for _, row, _ in table.rows:
            found = None if isinstance(row, Rejected) else _record(row)
            if found is None:
                counts["lines_refused"] += 1
            elif isinstance(found, OutcomeAttribution):
                counts["lines_of_outcomes"] += 1
            elif found.recommendation_id in lists and not isinstance(found, RecommendationAttribution):
                counts["lists_repeated"] += 1
            else:
                _add(lists, found)
    counts["lists"] = len(lists)
    if not lists:
        raise InputFileError(
            f"{path} holds no list.", "give records of the topic of lists, or of reasons, as JSON lines"
        )
    return lists, counts


def _record(row: dict[str, Any]) -> Recommendation | Attribution | None:
    try:
        if "kind" not in row:
            return msgspec.convert(row, Recommendation)
        found: Attribution = msgspec.convert(row, Attribution)
        if isinstance(found, Reasons):
            check_indices(found)
    except msgspec.ValidationError:
        return None
    return found


def _add(lists: dict[str, LoggedList], record: Recommendation | Reasons | RecommendationAttribution) -> None:
    into = lists.setdefault(record.recommendation_id, LoggedList(record.user_id, {}))
    for place in record.items if isinstance(record, Recommendation) else item_places(record):
        is_drawn = place.strategy == _EXPLORE
        if 0.0 < place.propensity <= 1.0 and (is_drawn or place.propensity < 1.0 - TOLERANCE):
            into.places[place.item_id] = Place(place.rank, place.propensity, is_drawn)


def collect(
    lists: dict[str, LoggedList], counts: dict[str, int], events: Iterable[FileRecord | BadRow], action: str
) -> Log:
    """What was seen of these lists, and what became of it.

    Only an `impression` that names list and item says that a place was seen; `action` counts if it names both too. One that
    names another user's list is passed over.
    """
    seen: dict[str, set[str]] = {}
    done: dict[str, set[str]] = {}
    counts = counts | {"events": 0, "events_refused": 0, "events_of_unknown_lists": 0}
    for name, item_id, is_seen in _named(events, action, lists, counts):
        (seen if is_seen else done).setdefault(name, set()).add(item_id)
    people: dict[str, int] = {}
    by_place: list[tuple[int, int, int, float]] = []
    by_list: list[tuple[int, int, int, float]] = []
    for name, items in seen.items():
        own = lists[name]
        if not own.places:
            continue
        who, clicks = people.setdefault(own.user_id, len(people)), done.get(name, set()) & items
        by_list.append((who, sum(p.is_drawn for p in own.places.values()), len(own.places), float(len(clicks))))
        by_place += [(who, int(own.places[i].is_drawn), 1, float(i in clicks)) for i in own.places.keys() & items]
    all_places = [place for each in lists.values() for place in each.places.values()]
    counts |= {
        "people": len(people),
        "lists_seen": len(seen),
        "lists_seen_that_explore": len(by_list),
        "places_seen": len(by_place),
        "places_drawn": sum(row[1] for row in by_place),
        "without_impression": sum(len(items - seen.get(name, set())) for name, items in done.items()),
    }
    return Log(
        np.array([p.propensity for p in all_places if not p.is_drawn]),
        np.array([p.propensity for p in all_places if p.is_drawn]),
        _tried(by_place),
        _tried(by_list),
        counts,
    )


def _named(
    events: Iterable[FileRecord | BadRow], action: str, lists: dict[str, LoggedList], counts: dict[str, int]
) -> Iterator[tuple[str, str, bool]]:
    """`(list, item, whether it is an impression)` of what counts."""
    for row in events:
        counts["events"] += 1
        if isinstance(row, BadRow):
            counts["events_refused"] += 1
            continue
        event = event_decoder.decode(row.value)
        if event.action not in {"impression", action} or event.recommendation_id is None or event.item_id is None:
            continue
        own = lists.get(event.recommendation_id)
        if own is None or own.user_id != event.user_id:
            counts["events_of_unknown_lists"] += 1
            continue
        yield event.recommendation_id, event.item_id, event.action == "impression"


def _tried(rows: list[tuple[int, int, int, float]]) -> Tried:
    columns = np.array(rows, np.float64).reshape(-1, 4)

    def whole(n: int) -> I8:
        return columns[:, n].astype(np.int64)

    return Tried(whole(0), whole(1), whole(2), columns[:, 3])
