"""Whether a rewritten sentence says what the template says: the same titles, behaviours and times, and nothing beside.

A closed world: outside its quotes a sentence may only be made of the stretches that `vocabulary.py` beside this knows, and
which behaviour and which time belongs to which title must come out the same as in the template. What cannot be read is refused:
the template is always there, and always true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from stream.reasons.language import Language
from stream.reasons.rewriting.vocabulary import CJK, TITLE, Piece, Vocabulary, vocabulary
from stream.reasons.sentence import title_of

MAX_SENTENCE: Final = 400
"""Characters of a rewritten sentence, whatever the template has; every template has fewer."""

GROWTH, MORE = 1.5, 20
"""And `GROWTH` times the template's characters plus `MORE`."""

Refusal = Literal[
    "it is empty or too long",
    "it is not one plain line",
    "it does not quote the same titles in the same order, and only those",
    "it has markup or a link",
    "it has a number that the template has not",
    "it is in another language",
    "it names another item",
    "it says what the template does not",
    "it changes what was done, or when",
]

_JOINERS: Final = "\u200c\u200d"  # `title_of` leaves them in titles
_MARKUP: Final = re.compile(r"[<>\[\]{}|`*_#\\/@=&]|://|www\.", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d+")
_OTHER_QUOTES: Final = re.compile('["«»„‟‹›“”「」『』《》〈〉＂]')


class Told(NamedTuple):
    """What a sentence claims."""

    causes: tuple[tuple[str, str], ...]
    """`(action, text of its time or "")`, one a title, in their order."""
    claims: tuple[str, ...]


def is_faithful(rewritten: str, template: str, titles: Iterable[str], language: Language) -> Refusal | None:
    """None if `rewritten` may stand instead of `template`, else why not.

    Args:
        rewritten: the sentence to check; nothing is assumed of it.
        template: the sentence of `stream.reasons.sentence.say`.
        titles: of the other items that the person sees; none may be mentioned that the template does not mention.
        language: of both.
    """
    if rewritten == template:
        return None
    if not rewritten.strip() or len(rewritten) > min(GROWTH * len(template) + MORE, MAX_SENTENCE):
        return "it is empty or too long"
    if not all(c.isprintable() or c in _JOINERS for c in rewritten):
        return "it is not one plain line"
    words = vocabulary(language.code)
    quoted, outside = cut(rewritten, words)
    template_quoted, template_outside = cut(template, words)
    if quoted != template_quoted or _OTHER_QUOTES.search(outside):
        return "it does not quote the same titles in the same order, and only those"
    return _refusal_outside(outside, template_outside, titles) or _refusal_of_claims(outside, template_outside, words)


def cut(sentence: str, words: Vocabulary) -> tuple[list[str], str]:
    """What stands between quotes, and the sentence with `TITLE` for each of those."""
    opening, closing = re.escape(words.opening), re.escape(words.closing)
    pattern = re.compile(f"{opening}([^{opening}{closing}]*){closing}")
    return pattern.findall(sentence), pattern.sub(TITLE, sentence)


def _refusal_outside(outside: str, template: str, titles: Iterable[str]) -> Refusal | None:
    """What is wrong to see, whatever it means; outside of the quotes."""
    if _MARKUP.search(outside):
        return "it has markup or a link"
    if set(_DIGITS.findall(outside)) - set(_DIGITS.findall(template)):
        return "it has a number that the template has not"
    if bool(CJK.search(outside)) != bool(CJK.search(template)):
        return "it is in another language"
    if any(_mentions(outside, title) and not _mentions(template, title) for title in titles):
        return "it names another item"
    return None


def _mentions(outside: str, title: str) -> bool:
    name = title_of(title).casefold()
    at = outside.casefold().find(name)
    if at < 0:
        return False
    return re.search(_bounded(name), outside.casefold()) is not None


@lru_cache(maxsize=4096)
def _bounded(name: str) -> str:
    """A title "Tea" is not mentioned by "instead"; scripts without spaces have no such bounds."""
    ends = [r"\b" if each.isalnum() and not CJK.match(each) else "" for each in (name[0], name[-1])]
    return f"{ends[0]}{re.escape(name)}{ends[1]}"


def _refusal_of_claims(outside: str, template: str, words: Vocabulary) -> Refusal | None:
    pieces = list(words.pieces(outside))
    if None in pieces:
        return "it says what the template does not"
    said, meant = told(pieces), told(list(words.pieces(template)))
    if said is None or meant is None or said.claims != meant.claims:
        return "it says what the template does not" if said is not None else "it changes what was done, or when"
    without_times = tuple((action, "") for action, _ in meant.causes)
    if said.causes not in {meant.causes, without_times}:
        return "it changes what was done, or when"
    return None


def told(pieces: Sequence[Piece | None]) -> Told | None:
    """What the stretches of a sentence claim together; None where a title or a time stands alone, or could be of two."""
    causes: list[tuple[str, str]] = []
    first_of: dict[int, int] = {}
    for at, piece in enumerate(pieces):
        if piece is None:
            return None
        if piece.kind == "cause":
            first_of[at] = len(causes)
            causes += [(piece.value, "")] * piece.titles
    for at, piece in enumerate(pieces):
        if piece is not None and piece.kind == "time":
            owner = _owner(pieces, at, first_of)
            if owner is None or causes[owner][1]:
                return None
            causes[owner] = (causes[owner][0], piece.value)
    return Told(tuple(causes), tuple(piece.value for piece in pieces if piece is not None and piece.kind == "claim"))


def _owner(pieces: Sequence[Piece | None], at: int, first_of: dict[int, int]) -> int | None:
    """Which title the time at `at` is told of: the one right before it, or else the next one."""
    after = at + 1
    while after < len(pieces) and _is(pieces[after], "subject"):
        after += 1
    before = pieces[at - 1] if at else None
    if before is not None and before.kind == "cause":
        return None if after in first_of else first_of[at - 1] + before.titles - 1
    while after < len(pieces) and (_is(pieces[after], "subject") or _is(pieces[after], "connecting", (",", "，"))):
        after += 1
    return first_of.get(after)


def _is(piece: Piece | None, kind: str, values: tuple[str, ...] = ()) -> bool:
    return piece is not None and piece.kind == kind and (not values or piece.value in values)
