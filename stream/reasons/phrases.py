"""Languages as bytes: everything that `stream.reasons.sentence.say` puts together, as it stands inside a JSON string.

A sentence is then a few pieces copied one after the other (`stream.refresh.sentence_bytes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.vocabulary import ACTIONS
from stream.reasons.ago import CODES
from stream.reasons.language import ACTIONS_OWN, ACTIONS_TOLD, CLAIMS, Language
from stream.reasons.sentence import MAX_CAUSES


class Phrases(NamedTuple):
    """Of L languages. Whole numbers are numbers of texts."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]
    """(t + 1,): text i lies in `data` between ends i and i + 1."""
    key: NDArray[np.int64]
    """(L,): the language's code, as it begins its sentence in an object."""
    because: NDArray[np.int64]
    """(L, MAX_CAUSES, MAX_CAUSES + 1): by number of causes less one, what stands before, between and after them."""
    before: NDArray[np.int64]
    """(L, actions, CODES): what stands before a title."""
    after: NDArray[np.int64]
    """(L, actions, CODES)"""
    claims: NDArray[np.int64]
    """(L, claims)"""
    joins: NDArray[np.int64]
    """(L, MAX_CAUSES, MAX_CAUSES): by number of titles less one, what stands before each of them but the first."""
    own: NDArray[np.int64]
    """(L, actions, CODES): whole sentences."""
    same_time: NDArray[np.int64]
    """(L, CODES): as of `Language`, no texts."""
    is_shared_time_last: NDArray[np.bool_]
    """(L,)"""

    @property
    def longest_bytes(self) -> int:
        """Most bytes of a text."""
        return int(np.diff(self.ends).max(initial=0))


def phrases_of(languages: Sequence[Language]) -> Phrases:
    """Of these languages, in their order."""
    texts: dict[str, int] = {"": 0}

    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    def said(language: Language, side: int) -> list[list[int]]:
        return [
            [number(each[side]) for each in language.causes[action]] if action in ACTIONS_TOLD else [0] * CODES
            for action in ACTIONS
        ]

    def because(language: Language) -> list[list[int]]:
        return [
            [number(piece) for piece in pieces] + [0] * (MAX_CAUSES + 1 - len(pieces)) for pieces in language.because
        ]

    def joins(language: Language) -> list[list[int]]:
        return [
            [0, *(number(piece) for piece in pieces)] + [0] * (MAX_CAUSES - 1 - len(pieces))
            for pieces in language.joins
        ]

    def own(language: Language) -> list[list[int]]:
        return [
            [number(text) for text in language.own[action]] if action in ACTIONS_OWN else [0] * CODES
            for action in ACTIONS
        ]

    made = {
        "because": [because(each) for each in languages],
        "before": [said(each, 0) for each in languages],
        "after": [said(each, 1) for each in languages],
        "claims": [[number(each.claims[claim]) for claim in CLAIMS] for each in languages],
        "joins": [joins(each) for each in languages],
        "own": [own(each) for each in languages],
    }
    shapes = {
        "because": (MAX_CAUSES, MAX_CAUSES + 1),
        "before": (len(ACTIONS), CODES),
        "after": (len(ACTIONS), CODES),
        "claims": (len(CLAIMS),),
        "joins": (MAX_CAUSES, MAX_CAUSES),
        "own": (len(ACTIONS), CODES),
    }
    written = [msgspec.json.encode(text)[1:-1] for text in texts]
    keys = [b"%b:" % msgspec.json.encode(each.code) for each in languages]
    ends = np.append(0, np.cumsum([len(each) for each in (*written, *keys)]))
    return Phrases(
        np.frombuffer(b"".join((*written, *keys)), np.uint8),
        ends.astype(np.int64),
        len(written) + np.arange(len(keys)),
        same_time=np.array([each.same_time for each in languages], np.int64).reshape(len(keys), CODES),
        is_shared_time_last=np.array([each.is_shared_time_last for each in languages], np.bool_),
        **{name: np.array(numbers, np.int64).reshape(len(keys), *shapes[name]) for name, numbers in made.items()},
    )
