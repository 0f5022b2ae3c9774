"""The reason for a recommendation as a sentence, in English and Chinese. Only what the numbers say, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
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
    "query": ("searched for", "搜索了"),
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
    parts `co_occurrence` and `interest`), those that lowered it included, is at least every impersonal part, or if there is
    no other reason.
    """
    trend, popularity = parts.get("trend", 0.0), parts.get("popularity", 0.0)
    impersonal = max(trend, popularity)
    if causes and (impersonal <= 0 or parts.get("co_occurrence", 0.0) + parts.get("interest", 0.0) >= impersonal):
        raising = [cause for cause in causes if cause[2] > 0 and cause[0] in _VERBS]
        if raising:
            raising.sort(key=_CONTRIBUTION, reverse=True)
            return _because(raising)
    if impersonal <= 0:
        return _NO_EVIDENCE
    return _PARTS["trend" if trend >= popularity else "popularity"]


_CONTRIBUTION = itemgetter(2)


def _because(causes: Sequence[Cause]) -> Explanation:
    """Names the strongest, of causes strongest first; the same item viewed and bought is one reason."""
    action, title, _ = causes[0]
    english, chinese = _VERBS[action]
    said_en, said_zh = f"Because you {english} “{title}”", f"因为您{chinese}「{title}」"
    named = {title}
    for action, title, _ in causes[1:]:
        if len(named) == MAX_CAUSES:
            break
        if title not in named:
            named.add(title)
            english, chinese = _VERBS[action]
            said_en += f" and {english} “{title}”"
            said_zh += f"，并{chinese}「{title}」"
    return Explanation(said_en + ".", said_zh + "。")
