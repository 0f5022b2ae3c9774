"""What is to be said of one place, one step after another in plain Python: what `stream.reasons.choice` must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.items.facts import NEW
from models.ranking.rank import FEEDBACK, SPLIT
from stream.reasons.language import ACTIONS_TOLD, languages
from stream.reasons.sentence import LEAST_SHARE, MAX_CAUSES, OWN, Cause, claim_of, say
from stream.wire.reasons import Explanation


def explain(
    causes: Sequence[Cause],
    parts: Mapping[str, float],
    facts: int = 0,
    is_explored: bool = False,
    own: str | None = None,
) -> Explanation:
    """Why an item is listed, in the two languages of the wire.

    Args:
        causes: behaviours of the person, the strongest first; those that did not raise the score are passed over.
        parts: the parts of the score; of equal ones the first is named.
        facts: bits of `models.items.facts`.
        is_explored: the place was given to learn about the item, whatever its score.
        own: title of the item of the place.
    """
    return both_languages(*reason(causes, parts, facts, is_explored, own))


def both_languages(chosen: Sequence[Cause], claim: str) -> Explanation:
    """What `reason` chose, in the two languages of the wire."""
    return Explanation(say(languages()["en"], chosen, claim), say(languages()["zh"], chosen, claim))


def reason(
    causes: Sequence[Cause],
    parts: Mapping[str, float],
    facts: int,
    is_explored: bool,
    own: str | None = None,
    told: str = "",
) -> tuple[list[Cause], str]:
    """`(behaviours to name, "")`, or `([], claim)` with a key of `stream.reasons.language.CLAIMS`; as `explain`."""
    if told:  # of how the item came to its place, whatever its score
        return [], told
    if is_explored:
        return [], "new" if facts & NEW else "explore"
    most, part = 0.0, ""
    personal = 0.0
    for name, value in parts.items():
        if name in SPLIT:
            personal += value
        elif value > most and name != FEEDBACK:  # it says nothing of the item
            most, part = value, name
    claim = claim_of(part, facts)
    if causes and (not part or personal >= most or (claim == "none" and personal > 0.0)):
        chosen = _to_name(causes, own)
        if chosen:
            return chosen, OWN if chosen[0].title == own else ""
    return [], claim


def _to_name(causes: Sequence[Cause], own: str | None) -> list[Cause]:
    """The same item viewed and bought is one reason, and no item is one for itself beside others."""
    chosen: list[Cause] = []
    named: set[str] = set()
    least = 0.0
    for cause in causes:
        action, title, contribution, _ = cause
        if contribution <= 0.0 or contribution < least:
            break
        if title == own and action in ACTIONS_TOLD:
            if not chosen:
                return [cause]
        elif title not in named and action in ACTIONS_TOLD:
            if not chosen:
                least = contribution * LEAST_SHARE
            named.add(title)
            chosen.append(cause)
            if len(chosen) == MAX_CAUSES:
                break
    return chosen
