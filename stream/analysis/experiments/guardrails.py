"""What else an arm does to lists: whether they become alike, narrow or late. Pure; of the last list of each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.hashing import item_hash
from stream.analysis.experiments.lists import LastList


def guardrails(lists: Mapping[str, LastList], categories: Mapping[int, int]) -> dict[str, dict[str, Any]]:
    """By arm. Of each arm as many lists count as the smallest one has, the same ones every time: what is counted once only
    (`items`) would grow with their number.

    Args:
        lists: by person.
        categories: by an item's hash, a bit for each of its categories.
    """
    by_arm: dict[str, list[tuple[int, LastList]]] = {}
    for user, each in lists.items():
        by_arm.setdefault(each.arm, []).append((item_hash(user), each))
    compared = min(map(len, by_arm.values()), default=0)
    return {arm: _of_arm([each for _, each in sorted(of)[:compared]], categories) for arm, of in sorted(by_arm.items())}


def _of_arm(lists: Sequence[LastList], categories: Mapping[int, int]) -> dict[str, Any]:
    held = [np.frombuffer(each.items, np.uint64) for each in lists]
    places = sum(map(len, held))
    _, shown = np.unique(np.concatenate(held), return_counts=True)
    n = len(lists)
    pairs = n * (n - 1)
    late_s = np.array([each.late_ms for each in lists if each.late_ms is not None], np.float64) / 1000
    kinds = [_kinds(each.tolist(), categories) for each in held if len(each)]
    return {
        "lists": n,
        "places": places / n,
        "items": len(shown),
        # Of a list's places, how many another person's list has, too.
        "in_common": float((shown * (shown - 1.0)).sum() / pairs / (places / n)) if pairs and places else None,
        "categories": float(np.mean(kinds)) if kinds and categories else None,
        "late_s_median": float(np.median(late_s)) if len(late_s) else None,
        "late_s_95": float(np.quantile(late_s, 0.95)) if len(late_s) else None,
    }


def _kinds(items: Sequence[int], categories: Mapping[int, int]) -> int:
    """Distinct categories of a list."""
    found = 0
    for item in items:
        found |= categories.get(item, 0)
    return found.bit_count()
