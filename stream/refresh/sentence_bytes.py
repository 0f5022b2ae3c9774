"""Sentences of many lists as JSON, in one compiled pass: what msgspec would write of what `stream.reasons.sentence` says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.compiled import compiled, compiled_part
from stream.reasons.ago import UNTOLD
from stream.reasons.choice import NAMED, OWN_ITEM
from stream.reasons.phrases import Phrases
from stream.reasons.sentence import MAX_CAUSES
from stream.refresh.json_bytes import BRACE, COMMA, END, QUOTE, Bytes, Slices, put, put_between

_OF_ONE = 8
"""Bytes of a sentence that are no text."""


class SaidOf(NamedTuple):
    """Of m behaviours that may be named."""

    title: Bytes
    """Where titles are."""
    start: I8
    """(m,) of the behaviour's title, and its end."""
    end: I8
    action: NDArray[np.uint8]
    when: I8
    """(m,) code of `stream.reasons.ago`."""


def sentences_json(phrases: Phrases, said: SaidOf, claim: I8, named: I8, starts: I8) -> Slices:
    """The elements of `Reasons.reasons` of u lists.

    Args:
        phrases: the languages.
        said: of behaviours.
        claim: (s,) what each sentence claims, or `NAMED`, or `OWN_ITEM`.
        named: (s, MAX_CAUSES) behaviours that it names, -1 pads.
        starts: (u + 1,) the first sentence of each list.
    """
    longest = int((said.end - said.start).max(initial=0))
    of_one = phrases.longest_bytes * (3 * MAX_CAUSES + 2) + longest * MAX_CAUSES + _OF_ONE
    buffer, ends = np.empty(len(claim) * (len(phrases.key) * of_one + 2), np.uint8), np.zeros(len(starts), np.int64)
    _write(buffer, ends, starts, *phrases, *said, claim, named)
    return Slices(buffer[: ends[-1]].tobytes(), ends.tolist())


@compiled
def _write(
    buffer: Bytes,
    list_ends: I8,
    starts: I8,
    data: Bytes,
    ends: I8,
    key: I8,
    because: I8,
    before: I8,
    after: I8,
    claims: I8,
    joins: I8,
    own: I8,
    same_time: I8,
    is_shared_time_last: NDArray[np.bool_],
    title: Bytes,
    title_start: I8,
    title_end: I8,
    action: NDArray[np.uint8],
    when: I8,
    claim: I8,
    named: I8,
) -> None:
    at = 0
    for u in range(len(starts) - 1):
        for s in range(starts[u], starts[u + 1]):
            if s > starts[u]:
                buffer[at] = COMMA
                at += 1
            buffer[at] = BRACE
            at += 1
            n = 0
            while n < named.shape[1] and named[s, n] >= 0:
                n += 1
            for language in range(len(key)):
                if language:
                    buffer[at] = COMMA
                    at += 1
                at = put(buffer, at, data, ends, key[language])
                buffer[at] = QUOTE
                at += 1
                if claim[s] == OWN_ITEM:
                    b = named[s, 0]
                    at = put(buffer, at, data, ends, own[language, action[b], when[b]])
                elif claim[s] != NAMED:
                    at = put(buffer, at, data, ends, claims[language, claim[s]])
                elif _is_one_verb(action, same_time[language], when, named[s], n):
                    b = named[s, 0]
                    at = put(buffer, at, data, ends, because[language, 0, 0])
                    at = put(buffer, at, data, ends, before[language, action[b], when[b]])
                    at = put_between(buffer, at, title, title_start[b], title_end[b])
                    at = _put_others(
                        buffer, at, data, ends, joins[language, n - 1], title, title_start, title_end, named[s], n
                    )
                    at = put(buffer, at, data, ends, after[language, action[b], when[b]])
                    at = put(buffer, at, data, ends, because[language, 0, 1])
                else:
                    once = _said_once(same_time[language], when, named[s], n, is_shared_time_last[language])
                    at = put(buffer, at, data, ends, because[language, n - 1, 0])
                    for i in range(n):
                        b = named[s, i]
                        told = when[b] if once < 0 or once == i else UNTOLD
                        at = put(buffer, at, data, ends, before[language, action[b], told])
                        at = put_between(buffer, at, title, title_start[b], title_end[b])
                        at = put(buffer, at, data, ends, after[language, action[b], told])
                        at = put(buffer, at, data, ends, because[language, n - 1, i + 1])
                buffer[at] = QUOTE
                at += 1
            buffer[at] = END
            at += 1
        list_ends[u + 1] = at


@compiled_part
def _put_others(
    buffer: Bytes, at: int, data: Bytes, ends: I8, joins: I8, title: Bytes, start: I8, end: I8, named: I8, n: int
) -> int:
    """The titles behind the first."""
    for i in range(1, n):
        at = put(buffer, at, data, ends, joins[i])
        at = put_between(buffer, at, title, start[named[i]], end[named[i]])
    return at


@compiled_part
def _is_one_verb(action: NDArray[np.uint8], same_time: I8, when: I8, named: I8, n: int) -> bool:
    """Whether several behaviours differ in their titles only."""
    for i in range(1, n):
        if action[named[i]] != action[named[0]] or same_time[when[named[i]]] != same_time[when[named[0]]]:
            return False
    return n > 1


@compiled_part
def _said_once(same_time: I8, when: I8, named: I8, n: int, is_last: bool) -> int:
    """Which cause says the time that all have in common; -1: each says its own."""
    for i in range(1, n):
        if same_time[when[named[i]]] != same_time[when[named[0]]]:
            return -1
    return n - 1 if is_last else 0
