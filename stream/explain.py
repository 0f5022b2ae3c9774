"""The reason for a recommendation as a sentence, in English and Chinese. Only what the numbers say, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stream.events import Action, Explanation

MAX_CAUSES = 2
"""Behaviours named in a sentence: the ones that contributed most."""

_VERBS: dict[Action, tuple[str, str]] = {
    "view": ("viewed", "浏览了"),
    "click": ("clicked", "点击了"),
    "like": ("liked", "喜欢了"),
    "cart": ("put in your cart", "加购了"),
    "purchase": ("bought", "购买了"),
}

_PARTS: dict[str, Explanation] = {
    "trend": Explanation("Popular with others these days.", "近期很多人感兴趣。"),
    "popularity": Explanation("Popular with others overall.", "一直受到很多人欢迎。"),
}
_NO_EVIDENCE = Explanation("New here: nobody has told us about it yet.", "新上架，暂时还没有相关行为数据。")


class Cause(NamedTuple):
    """One behaviour and what it added to the score."""

    action: Action
    title: str
    contribution: float


def explain(causes: Sequence[Cause], parts: Mapping[str, float]) -> Explanation:
    """A sentence about the largest part of the score.

    `causes` are the strongest ones. Those that raised the score are named if what all behaviours contributed together (the
    `co_occurrence` part), those that lowered it included, is at least every impersonal part, or if there is no other reason.
    """
    raising = sorted((c for c in causes if c.contribution > 0 and c.action in _VERBS), key=lambda c: -c.contribution)
    name, impersonal = max(((n, parts.get(n, 0.0)) for n in _PARTS), key=lambda part: part[1])
    personal = parts.get("co_occurrence", 0.0)
    if raising and (impersonal <= 0 or personal >= impersonal):
        return _because(_distinct(raising)[:MAX_CAUSES])
    return _PARTS[name] if impersonal > 0 else _NO_EVIDENCE


def _because(causes: Sequence[Cause]) -> Explanation:
    english = " and ".join(f"{_VERBS[c.action][0]} “{c.title}”" for c in causes)
    chinese = "，并".join(f"{_VERBS[c.action][1]}「{c.title}」" for c in causes)
    return Explanation(f"Because you {english}.", f"因为您{chinese}。")


def _distinct(causes: Sequence[Cause]) -> list[Cause]:
    """The strongest cause per title, of causes strongest first: the same item viewed and bought is one reason."""
    strongest: dict[str, Cause] = {}
    for cause in causes:
        strongest.setdefault(cause.title, cause)
    return list(strongest.values())
