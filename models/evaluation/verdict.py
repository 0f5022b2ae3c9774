"""Where Penchant is ahead of the best baseline, level with it or behind it, slice by slice, and that in a sentence. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.evaluation.bootstrap import Interval, Part, Resamples

METRIC: Final = "ndcg@10"
MODEL: Final = "penchant"
"""Whose verdict it is."""

ALL: Final = "all"
JUDGED: Final[dict[str, str]] = {
    ALL: "all questions",
    "users_without_history": "newcomers",
    "users_under_5": "users with under 5 items",
    "users_not_in_warm_up": "users not in the warm-up",
    "session_start": "session starts",
    "session_start_returning": "session starts of returning users",
    "session_within": "questions within a session",
    "items_1_to_4": "items that 1 to 4 users had",
    "items_unseen": "items in no event before",
}
"""Slices of the verdict, in the order in which they are shown, and what a sentence calls them."""

FEWEST_QUESTIONS: Final = 200
FEWEST_USERS: Final = 20
"""With fewer, intervals over users are too narrow (Cameron, Gelbach and Miller 2008); with one user they have no width."""

NO_BASELINE: Final = "No baseline took part, so there is nothing that these figures could be ahead of."

_ROUNDING: Final = 1e-12  # sums of differences that cancel leave so little

Mark = Literal["ahead", "level", "behind", "too few"]
"""Whether the interval of the difference lies above 0, around it or below it; `too few`: not to be judged."""


class Row(NamedTuple):
    """A slice. Figures are NaN where it has no questions."""

    part: str
    questions: int
    users: int
    value: float
    """Of the model that is judged."""
    best: str | None
    """The baseline with the highest mean in this slice, the first of equals; None where there are no questions."""
    best_value: float
    difference: float
    interval: Interval
    mark: Mark


def judge_slices(
    own: F8,
    baselines: Mapping[str, F8],
    parts: Mapping[str, NDArray[np.bool_]],
    user: NDArray[np.int32],
    seed: int,
) -> list[Row]:
    """A row for every one of `JUDGED`.

    The best baseline is chosen by the very questions that it is compared by, and its luck there counts as skill: the
    difference is too small rather than too large.

    Args:
        own: (q,) the metric of each question, of the model that is judged.
        baselines: the same of each baseline; without any there are no rows.
        parts: (q,) masks by name.
        user: (q,) whose question each is.
        seed: of the draws; with that of the other intervals, the same draws.
    """
    if not baselines:
        return []
    best = {part: max(baselines, key=lambda name: _mean(baselines[name][parts[part]])) for part in JUDGED}
    drawn = [Part(parts[part], (own - baselines[name])[None, :]) for part, name in best.items()]
    intervals = [found for (found,) in Resamples(user, seed).intervals(drawn)]
    return [
        _row(part, own[mask], name, baselines[name][mask], user[mask], interval)
        for (part, name), mask, interval in zip(best.items(), (each.mask for each in drawn), intervals, strict=True)
    ]


def sentence(rows: Sequence[Row]) -> str:
    """`Penchant is ahead of the best baseline in 6 of 8 slices, level in 1 (..); behind recency_popularity for newcomers.`"""
    if not rows:
        return "No baseline took part, so there is nothing to be ahead of."
    ahead, level, behind, few = ([row for row in rows if row.mark == mark] for mark in get_args(Mark))
    judged = len(rows) - len(few)
    if not judged:
        return f"Too few to judge by: no slice has {FEWEST_QUESTIONS} questions by {FEWEST_USERS} users."
    said = f"Penchant is ahead of the best baseline in {len(ahead)} of {judged} slice{'s' * (judged != 1)}"
    if level:
        said += f", level in {len(level)} ({_listed([JUDGED[row.part] for row in level])})"
    if behind:
        said += f"; {_behind(behind)}"
    return f"{said}." + (f" Too few to judge: {_listed([JUDGED[row.part] for row in few])}." if few else "")


def as_json(baselines: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """The verdict as plain JSON values; without baselines it has no rows, and the sentence says so."""
    return {
        "model": MODEL,
        "metric": METRIC,
        "baselines": list(baselines),
        "sentence": sentence(rows),
        "rows": [
            {
                "slice": row.part,
                "questions": row.questions,
                "users": row.users,
                "value": _number(row.value),
                "best": row.best,
                "best_value": _number(row.best_value),
                "difference": {"mean": _number(row.difference), "interval": [_number(edge) for edge in row.interval]},
                "mark": row.mark,
            }
            for row in rows
        ],
    }


def _row(part: str, own: F8, best: str, baseline: F8, user: NDArray[np.int32], interval: Interval) -> Row:
    """Of the questions of one slice."""
    users = int(np.unique(user).size)
    return Row(
        part=part,
        questions=own.size,
        users=users,
        value=_mean(own),
        best=best if own.size else None,
        best_value=_mean(baseline),
        difference=_mean(own - baseline),
        interval=interval,
        mark=_mark(own.size, users, interval),
    )


def _mark(questions: int, users: int, interval: Interval) -> Mark:
    if questions < FEWEST_QUESTIONS or users < FEWEST_USERS:
        return "too few"
    if interval.low > _ROUNDING:
        return "ahead"
    return "behind" if interval.high < -_ROUNDING else "level"


def _behind(rows: Sequence[Row]) -> str:
    """`behind a for newcomers and session starts; behind b for items in no event before`: each baseline once."""
    parts: dict[str, list[str]] = {}
    for row in rows:
        parts.setdefault(str(row.best), []).append(JUDGED[row.part])
    return "; ".join(f"behind {name} for {_listed(each)}" for name, each in parts.items())


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _mean(values: F8) -> float:
    return float(values.mean()) if values.size else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
