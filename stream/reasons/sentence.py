"""The reason for a recommendation as a sentence. Only what the numbers say, nothing else.

A sentence is about the part that raised the score most. The person's own behaviours (the parts `co_occurrence` and
`interest`) are named, with when they happened; every other part is called what it is, and only as strongly as the facts of
the item allow (`models.items.facts`). Without anything that raised the score nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.items.facts import LATELY, MANY_PEOPLE, NEW, SOMEBODY, THIS_WEEK
from models.vocabulary import Action
from stream.reasons.ago import UNTOLD
from stream.reasons.language import Language, all_quotes

MAX_CAUSES = 3
"""Behaviours named in a sentence: the ones that contributed most. (`say` compares the times of so many.)"""

LEAST_SHARE = 0.2
"""A further behaviour is named if it contributed at least so much of what the first one did."""

MAX_TITLE = 60
"""Characters of a title; a longer one is cut and ends with …"""

_JOINERS = "\u200c\u200d"  # without them words of some scripts, and some emoji, fall apart


class Cause(NamedTuple):
    """One behaviour and what it added to the score."""

    action: Action
    title: str
    """As `title_of` makes it."""
    contribution: float
    when: int = UNTOLD
    """Code of `stream.reasons.ago`."""


def title_of(text: str) -> str:
    """`text` as it stands between quotes: on one line, nothing that a screen would obey, not too long, never empty."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)
    if len(text) > MAX_TITLE or "  " in text:
        text = " ".join(text.split())
    if len(text) > MAX_TITLE:
        text = text[: MAX_TITLE - 1].rstrip() + "…"
    return text.translate(all_quotes()).strip() or "…"


ABOUT_OTHERS = ("sequence", "context")
"""Parts that are said as what others often do, whenever enough of them did."""

OWN = "own"
"""As a claim: the one cause is a behaviour with the item itself."""


def say(language: Language, causes: Sequence[Cause], claim: str) -> str:
    """The sentence of what `stream.reasons.choice` chose: some causes, the strongest first, or else a claim."""
    if claim == OWN:
        return language.own[causes[0][0]][causes[0][3]]
    if claim:
        return language.claims[claim]
    told = language.causes
    pieces = language.because[len(causes) - 1]
    said = pieces[0]
    once, same = 0, language.same_time
    shared = same[causes[0][3]]
    if same[causes[-1][3]] == shared == same[causes[len(causes) // 2][3]]:
        once = len(causes) if language.is_shared_time_last else 1  # said once
        if len(causes) > 1 and len({cause[0] for cause in causes}) == 1:
            return _say_together(language, causes)
    n = 1
    for action, title, _, when in causes:
        before, after = told[action][UNTOLD if once and n != once else when]
        said += f"{before}{title}{after}{pieces[n]}"
        n += 1
    return said


def _say_together(language: Language, causes: Sequence[Cause]) -> str:
    """Of behaviours that differ in their titles only: one verb."""
    action, _, _, when = causes[0]
    before, after = language.causes[action][when]
    titles = causes[0][1]
    for (_, title, _, _), between in zip(causes[1:], language.joins[len(causes) - 1], strict=True):
        titles += f"{between}{title}"
    start, end = language.because[0]
    return f"{start}{before}{titles}{after}{end}"


def claim_of(part: str, facts: int) -> str:
    """What may be said of the largest impersonal part, "" for none above 0: a key of `stream.reasons.language.CLAIMS`."""
    if part == "rules" or (part in ABOUT_OTHERS and facts & SOMEBODY):
        return part
    if part == "trend" and facts & (THIS_WEEK | LATELY):
        return "trend_this_week" if facts & THIS_WEEK else "trend"
    if part in ("trend", "popularity") and facts & SOMEBODY:
        return "popularity_many" if part == "popularity" and facts & MANY_PEOPLE else "popularity"
    if part == "age" and not facts & NEW:
        return "age"
    return "new" if facts & NEW else "none"
