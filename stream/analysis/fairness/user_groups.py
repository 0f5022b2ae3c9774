"""People parted into groups whom lists may serve better or worse: by device, activity, language, history. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from models.arrays import I8
from stream.analysis.fairness.tables import Tables

GROUPS_MAX: Final = 8
"""Devices and languages: the most frequent ones."""

FEW: Final = 5
NOT_KNOWN: Final = "not known"
_OTHERS: Final = "others"
_HISTORY: Final = ("nothing before", f"1 to {FEW - 1} items before", f"{FEW} items and more")


class UserGroups(NamedTuple):
    """One way to part people."""

    names: tuple[str, ...]
    of_user: I8
    """(u,) group of each person, by the last list where it changes."""
    of_taken: I8
    """(e,) group of who took something, at that moment."""


def user_groups(found: Tables, weeks: I8) -> dict[str, UserGroups]:
    """By name; `weeks` (e,) is the week of what was taken, counted from 0. Those that the topics have a field for."""
    everybody = np.zeros(len(found.people), np.int64)
    users = {
        "everybody": (("everybody",), everybody),
        "device": _named([_most(person.devices) for person in found.people]),
        "activity": _by_activity(np.array([person.events for person in found.people], np.int64)),
        "language": _named(_languages(found)),
    }
    groups = {
        name: UserGroups(each[0], each[1], each[1][found.taken_user])
        for name, each in users.items()
        if each is not None
    }
    groups["history"] = UserGroups(_HISTORY, _history(_taken_by_last_list(found)), _history(found.taken_before))
    week = tuple(f"week {n + 1}" for n in range(int(weeks.max(initial=-1)) + 1))
    return groups | ({"week": UserGroups(week, everybody, weeks)} if len(week) > 1 else {})


def _history(taken: I8) -> I8:
    return np.digitize(taken, (1, FEW))


def _taken_by_last_list(found: Tables) -> I8:
    last_ms = np.zeros(len(found.people), np.int64)
    np.maximum.at(last_ms, found.list_user, found.list_ms)
    known = found.taken_ms <= last_ms[found.taken_user]
    return np.bincount(found.taken_user[known], minlength=len(found.people))


def _by_activity(events: I8) -> tuple[tuple[str, ...], I8] | None:
    """Fifths of the people by how many events they have; equal ones stand in one fifth."""
    if not events.any():
        return None
    ascending = np.sort(events)
    fifth = np.searchsorted(ascending, events, side="left") * 5 // len(events)
    names = ("least active fifth", "second fifth", "third fifth", "fourth fifth", "most active fifth")
    return names, np.minimum(fifth, 4)


def _languages(found: Tables) -> list[str | None]:
    """That most of what each person took is in."""
    counts: list[Counter[str]] = [Counter() for _ in found.people]
    for user, row in zip(found.taken_user.tolist(), found.taken_item.tolist(), strict=True):
        item = found.items[row]
        if item is not None and item.language:
            counts[user][item.language] += 1
    return [_most(each) for each in counts]


def _most(counts: Counter[str]) -> str | None:
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _named(names: list[str | None]) -> tuple[tuple[str, ...], I8] | None:
    there = Counter(name for name in names if name is not None)
    if not there:
        return None
    chosen = [name for name, _ in sorted(there.items(), key=lambda each: (-each[1], each[0]))[:GROUPS_MAX]]
    numbers = {name: n for n, name in enumerate(chosen)}
    codes = [len(chosen) + 1 if name is None else numbers.get(name, len(chosen)) for name in names]
    return (*chosen, _OTHERS, NOT_KNOWN), np.array(codes, np.int64)
