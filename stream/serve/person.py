"""What is known of a person, as they would be told: behaviours, interests by text with a place each, what is older."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from models.hashing import item_hash
from models.vocabulary import ACTIONS
from stream.refresh.refresher import Asking
from stream.serve.answers import (
    Behaviour,
    Earned,
    Edge,
    InterestPicture,
    OlderInterest,
    PersonAnswer,
    Point,
)
from stream.serve.ranker import Ranker
from stream.state import edits
from stream.state.record import BIN_CONTEXT, BIN_TOTAL, BIN_WEEKDAY, EXPOSURES
from stream.wire.records import OutcomeAttribution

COLUMNS: Final = 3
ROWS: Final = 4

NOTHING: Final = InterestPicture((), ())


def picture(asking: Asking, ranker: Ranker) -> InterestPicture:
    """Interests by text of the person who was just asked about."""
    text = asking.text
    if text is None:
        return NOTHING
    graph, items = text.graph, asking.recent.items[0].tolist()
    times_ms = asking.behaviours.time_ms[0]
    position = asking.recent.position[0]
    found: list[tuple[int, Point]] = []
    """Places in the graph, and points."""
    for place, column in enumerate(graph.medoid[0].tolist()):
        if column < 0:
            continue
        members = [h for h in np.flatnonzero(graph.group[0] == place).tolist() if items[h]]
        of_members = np.isin(position, members)
        since = int(times_ms[of_members].min()) if of_members.any() else 0
        name = ranker.name_of(items[column])
        found.append(
            (
                place,
                Point(
                    name,
                    ranker.title_of(name),
                    float(graph.weight[0, place]),
                    tuple(ranker.name_of(items[h]) for h in members),
                    since,
                    0,
                    0,
                ),
            )
        )
    cells = cells_of([(point.since, point.item_id) for _, point in found])
    points = tuple(
        Point(p.item_id, p.title, p.weight, p.members, p.since, cell % COLUMNS, cell // COLUMNS)
        for (_, p), cell in zip(found, cells, strict=True)
    )
    edges = tuple(
        Edge(a, b, float(graph.edge[0, one, other]))
        for a, (one, _) in enumerate(found)
        for b, (other, _) in enumerate(found)
        if a < b and graph.edge[0, one, other] > 0.0
    )
    return InterestPicture(points, edges)


def cells_of(points: Iterable[tuple[int, str]]) -> list[int]:
    """A cell of the grid for each point `(since, id)`: of its id, so that it never moves; where that is taken, the next free
    one, the older point first."""
    named = list(points)
    taken: dict[int, int] = {}
    for i in sorted(range(len(named)), key=lambda i: named[i]):
        wanted = item_hash(named[i][1]) % (COLUMNS * ROWS)
        for step in range(COLUMNS * ROWS):
            cell = (wanted + step) % (COLUMNS * ROWS)
            if cell not in taken.values():
                taken[i] = cell
                break
        else:
            taken[i] = wanted
    return [taken[i] for i in range(len(named))]


def behaviours_of(ranker: Ranker) -> tuple[Behaviour, ...]:
    """Those of the person in the row, oldest first."""
    found = []
    for each in edits.remembered(ranker.states):
        name = ranker.name_of(each.item)
        is_query = ranker.is_query(each.action)
        item = None if is_query else ranker.catalogue_item(name)
        found.append(
            Behaviour(
                each.key,
                ACTIONS[each.action],
                name,
                name if item is None else item.title,
                each.time_ms,
                item is not None,
                each.context,
                round(each.dwell_ms),
                each.is_first,
            )
        )
    return tuple(found)


def person_answer(
    user_id: str, partition: int, asking: Asking, ranker: Ranker, outcomes: Iterable[OutcomeAttribution], *, known: bool
) -> PersonAnswer:
    """The person in the row, who was just asked about."""
    states = ranker.states
    histogram = states.histogram[0].astype(float)
    has_older = int(states.older_s[0]) > 0 and histogram[BIN_TOTAL] > 0
    shares = histogram / histogram[BIN_TOTAL] if has_older else histogram
    older = []
    for point in states.point[0, : int(states.n_points[0])]:
        if ranker.is_withheld(int(point["item"])):
            continue
        name = ranker.name_of(int(point["item"]))
        older.append(
            OlderInterest(
                name,
                ranker.title_of(name),
                float(point["long"]),
                int(point["count"]),
                int(point["last_s"]) * 1000,
            )
        )
    return PersonAnswer(
        user_id=user_id,
        known=known,
        events=int(states.events[0]),
        first_seen=int(states.first_s[0]) * 1000,
        last_seen=int(states.last_ms[0]),
        partition=partition,
        offset=ranker.offset,
        behaviours=behaviours_of(ranker),
        interests=picture(asking, ranker),
        older=tuple(sorted(older, key=lambda each: -each.weight)),
        hours=tuple(shares[:BIN_WEEKDAY].tolist()) if has_older else (),
        weekdays=tuple(shares[BIN_WEEKDAY:BIN_CONTEXT].tolist()) if has_older else (),
        impressions=int(min(states.n_exposures[0], EXPOSURES)),
        earned=tuple(earned_of(outcomes, ranker)),
    )


def earned_of(outcomes: Iterable[OutcomeAttribution], ranker: Ranker) -> list[Earned]:
    """What lists of the person earned, a credit each."""
    return [
        Earned(
            each.item_id,
            ranker.title_of(each.item_id),
            each.action,
            each.event_time,
            credit.recommendation_id,
            credit.rank,
            credit.strategy,
            credit.credit,
        )
        for each in outcomes
        for credit in each.credits
        if credit.credit
    ]
