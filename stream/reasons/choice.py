"""What is said of each place of many lists, chosen in one compiled pass: as `stream.reasons.sentence.reason`, for arrays.

Beside the choice, places of a list of which the same is said are found, so that a sentence is put together once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.items.facts import ALL_FACTS, NEW
from models.ranking.rank import FEEDBACK, SPLIT
from models.vocabulary import ACTIONS
from stream.reasons.ago import CODES
from stream.reasons.language import CLAIMS
from stream.reasons.sentence import LEAST_SHARE, MAX_CAUSES, claim_of

STRONGEST: Final = 8
"""Causes of a place looked at, strongest first."""

_NONE: Final = CLAIMS.index("none")

NAMED: Final = -1
"""For a claim: behaviours are named instead."""

OWN_ITEM: Final = -2
"""For a claim: the one behaviour that is named is with the item itself."""

OF_ONE_TITLE: Final = len(ACTIONS) * CODES
"""Numbers of `Told.said` that a title has."""


class Told(NamedTuple):
    """What can be told of n causes, strongest first within a place, (n,) each."""

    value: NDArray[np.float64]
    """What it added to the score."""
    title: NDArray[np.int64]
    """The same number for the same title; -1: it is nothing to be told."""
    said: NDArray[np.int64]
    """The same number where the same words are said of it: title, and below `OF_ONE_TITLE` action and time."""
    item: NDArray[np.int64]
    """What the behaviour was with: the same number for the same item."""


class Choice(NamedTuple):
    """What is said of f places."""

    named: NDArray[np.int64]
    """(f, MAX_CAUSES): the causes to name, -1 pads."""
    claim: NDArray[np.int64]
    """(f,): place in `CLAIMS`, or `NAMED`, or `OWN_ITEM`."""
    reason: NDArray[np.int64]
    """(f,): number within the list of what is said, from 0."""
    is_first: NDArray[np.bool_]
    """(f,): the first place of its list of which that is said."""


def choose(
    told: Told,
    bounds: NDArray[np.int64],
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    parts: NDArray[np.float64],
    names: tuple[str, ...],
    facts: NDArray[np.uint8],
    is_explored: NDArray[np.bool_],
    told_of_place: NDArray[np.int64] | None = None,
) -> Choice:
    """What to say of f places of some lists.

    Args:
        told: the causes of all places.
        bounds: (f + 1,): a place's causes are those from its bound to the next one's.
        user: (f,) ascending: whose list the place is in.
        item: (f,): the item of the place, numbered as in `told`.
        parts: (f, p) of the scores.
        names: of the p parts; of equal parts the first is named.
        facts: (f,) bits of `models.items.facts`.
        is_explored: (f,): places that were given to learn.
        told_of_place: (f,) place in `CLAIMS` of what has to be said whatever the parts are, -1 = nothing; None: of no place.
    """
    others = [i for i, name in enumerate(names) if name not in SPLIT and name != FEEDBACK]
    personal = parts[:, [i for i, name in enumerate(names) if name in SPLIT]].sum(axis=1)
    impersonal = parts[:, others]
    part, most = impersonal.argmax(axis=1), impersonal.max(axis=1, initial=0.0)
    part = np.where(most > 0.0, part, len(others))
    claim = _claims((*(names[i] for i in others), ""))[part, facts]
    claim[is_explored] = np.where(facts[is_explored] & NEW, CLAIMS.index("new"), CLAIMS.index("explore"))
    if told_of_place is not None:
        claim = np.where(told_of_place >= 0, told_of_place, claim)
        is_explored = is_explored | (told_of_place >= 0)
    # Where nothing may be said of others, the next best reason that is true is what the person did themselves.
    may_name = ~is_explored & ((most <= 0.0) | (personal >= most) | ((claim == _NONE) & (personal > 0.0)))
    f = len(user)
    made = Choice(np.full((f, MAX_CAUSES), -1), claim, np.zeros(f, np.int64), np.zeros(f, np.bool_))
    _name(told.value, told.title, told.item, item, bounds, may_name, made.named, made.claim)
    _number(told.said, user, *made)
    return made


def _claims(parts: tuple[str, ...]) -> NDArray[np.int64]:
    """(parts, facts): what may be said of each part with each set of facts."""
    table = _TABLES.get(parts)
    if table is None:
        rows = [[CLAIMS.index(claim_of(part, facts)) for facts in range(ALL_FACTS + 1)] for part in parts]
        table = _TABLES[parts] = np.array(rows, np.int64)
    return table


_TABLES: dict[tuple[str, ...], NDArray[np.int64]] = {}


@compiled
def _name(
    value: NDArray[np.float64],
    title: NDArray[np.int64],
    item: NDArray[np.int64],
    own: NDArray[np.int64],
    bounds: NDArray[np.int64],
    may_name: NDArray[np.bool_],
    named: NDArray[np.int64],
    claim: NDArray[np.int64],
) -> None:
    """The same item viewed and bought is one reason: each title once. An item is no reason for itself beside others; where it
    is the strongest it is the only one.
    """
    for f in range(len(may_name)):
        n, looked_at, least = 0, 0, 0.0
        for i in range(bounds[f], bounds[f + 1] if may_name[f] else bounds[f]):
            if title[i] < 0 or value[i] <= 0.0:
                continue
            if looked_at == STRONGEST or n == MAX_CAUSES or value[i] < least:
                break
            looked_at += 1
            if item[i] == own[f]:
                if n == 0:
                    named[f, 0], claim[f] = i, OWN_ITEM
                    break
                continue
            is_new = True
            for j in range(n):
                is_new = is_new and title[named[f, j]] != title[i]
            if is_new:
                least = value[i] * LEAST_SHARE if n == 0 else least
                named[f, n] = i
                n += 1
        if n:
            claim[f] = NAMED


@compiled
def _number(
    said: NDArray[np.int64],
    user: NDArray[np.int64],
    named: NDArray[np.int64],
    claim: NDArray[np.int64],
    reason: NDArray[np.int64],
    is_first: NDArray[np.bool_],
) -> None:
    begin = numbers = 0
    for f in range(len(user)):
        if f and user[f] != user[f - 1]:
            begin, numbers = f, 0
        is_first[f] = True
        for other in range(begin, f):
            is_same = is_first[other] and claim[other] == claim[f]
            for j in range(MAX_CAUSES):
                mine, theirs = named[f, j], named[other, j]
                is_same = is_same and (mine < 0) == (theirs < 0)
                if is_same and mine >= 0:
                    if claim[f] == OWN_ITEM:  # its title is not said
                        is_same = said[mine] % OF_ONE_TITLE == said[theirs] % OF_ONE_TITLE
                    else:
                        is_same = said[mine] == said[theirs]
            if is_same:
                is_first[f], reason[f] = False, reason[other]
                break
        if is_first[f]:
            reason[f] = numbers
            numbers += 1
