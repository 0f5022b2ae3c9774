"""Everything that `penchant report fairness` says, as one object of JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.calendar import DAY_MS
from models.evaluation.bootstrap import Interval, Resamples
from models.evaluation.fairness import total_variation
from models.evaluation.measures import gini
from stream.analysis.fairness.collected import Collected
from stream.analysis.fairness.exposure import GroupExposure, could_be_listed, group_exposure, item_exposure
from stream.analysis.fairness.item_groups import ItemGroups, item_groups
from stream.analysis.fairness.service import Service, of_people, service
from stream.analysis.fairness.tables import NO_LIST, Tables, tables
from stream.analysis.fairness.user_groups import UserGroups, user_groups

WEEK_MS: Final = 7 * DAY_MS
SEED: Final = 1


class ReportOptions(NamedTuple):
    """What a report is to be made of."""

    patience: float = 0.85
    """Probability that who looks at a place looks at the next one, too."""
    new_days: float = 30.0
    supplier: str | None = None
    categories: tuple[str, ...] = ()


def figures(collected: Collected, asked: ReportOptions) -> dict[str, Any]:
    """The report, without what was read. Numbers that do not exist are None.

    Args:
        collected: at least one list.
        asked: how to read it.

    Raises:
        UsageError: a field or category that is asked for is not in the catalogue.
    """
    found = tables(collected)
    parted = item_groups(
        found, new_ms=round(DAY_MS * asked.new_days), supplier=asked.supplier, categories=asked.categories
    )
    weeks = _weeks(found)
    people = user_groups(found, weeks.of_taken)
    shown = {name: group_exposure(found, each, asked.patience) for name, each in parted.items()}
    each_person = of_people(found, asked.patience)
    served = {name: service(found, each, each_person) for name, each in people.items()}
    resamples = Resamples(np.arange(len(found.people), dtype=np.int32), SEED)
    return {
        "patience": asked.patience,
        "new_days": asked.new_days,
        "people": len(found.people),
        "lists": len(found.listed),
        "choices": int((found.taken_list != NO_LIST).sum()),
        "items": _items(found, asked.patience),
        "exposure": {name: _exposure(found, parted[name], exposure, resamples) for name, exposure in shown.items()},
        "service": {name: _service(people[name], sums, resamples) for name, sums in served.items()},
        "weeks": _by_week(found, parted, weeks, asked.patience),
    }


# --- items


def _items(found: Tables, patience: float) -> dict[str, Any]:
    """Of all items that could be listed: how many have a place at all, and how alike their exposure is."""
    return _spread(item_exposure(found, patience), could_be_listed(found))


def _spread(exposure: F8, could: I8) -> dict[str, Any]:
    of_items = exposure[could]
    has = bool(of_items.sum() > 0.0)
    return {
        "could_be_listed": len(could),
        "listed": int((of_items > 0.0).sum()),
        "coverage": float((of_items > 0.0).mean()) if len(could) else None,
        "gini": gini(of_items) if has else None,
    }


def _exposure(found: Tables, groups: ItemGroups, of: GroupExposure, resamples: Resamples) -> dict[str, Any]:
    g = len(groups.names)
    table = np.concatenate(of, axis=1)
    said = _drawn(lambda sums: _shares(sums.reshape(3, g)), table, resamples)
    could = could_be_listed(found)
    last_ms = np.full(len(could), int(found.list_ms.max()))
    of_catalogue = groups.of(could, last_ms).sum(axis=0) / max(1, len(could))
    rows = [
        {
            "group": name,
            "of_catalogue": float(of_catalogue[n]),
            "exposure": said[n],
            "answered": said[g + n],
            "deserved": said[2 * g + n],
            "ratio": said[3 * g + n],
        }
        for n, name in enumerate(groups.names)
        if of_catalogue[n] or said[n]["value"]
    ]
    return {"unfairness": said[4 * g], "groups": rows}


def _shares(sums: F8) -> F8:
    """Of (3, g) sums: each as shares, the second over the third, and by how much those two differ together."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = sums / sums.sum(axis=1, keepdims=True)
        ratio = shares[1] / shares[2]
    return np.concatenate((shares.ravel(), ratio, [total_variation(shares[1], shares[2])]))


# --- people


_MEASURES: Final = (
    "choices", "ndcg@10", "hit_rate@10", "ndcg_difference", "people",
    "listed_popularity", "taken_popularity", "popularity_lift", "divergence", "divergence_of_mean",
)  # fmt: skip


def _service(groups: UserGroups, of: Service, resamples: Resamples) -> list[dict[str, Any]]:
    g = len(groups.names)
    table = np.concatenate(of, axis=1)
    said = _drawn(lambda sums: _served(sums.reshape(len(of), g)), table, resamples)
    rows = []
    for n, name in enumerate(groups.names):
        row = {measure: said[m * g + n] for m, measure in enumerate(_MEASURES)}
        choices, people = (round(row[name]["value"] or 0) for name in ("choices", "people"))
        if choices or people:
            rows.append({"group": name, **row, "choices": choices, "people": people})
    return rows


def _served(sums: F8) -> F8:
    """Of the (9, g) sums of `Service`: `_MEASURES`, flat."""
    choices, ndcg, hits, people, listed, taken, calibrated, divergence, of_mean = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (ndcg.sum() - ndcg) / (choices.sum() - choices)
        return np.concatenate(
            (
                choices, ndcg / choices, hits / choices, ndcg / choices - others, people,
                listed / people, taken / people, listed / taken - 1.0, divergence / calibrated, of_mean / calibrated,
            )
        )  # fmt: skip


def _drawn(statistic: Any, table: F8, resamples: Resamples) -> list[dict[str, float | None]]:
    """`statistic` of the sums of a table (u, c) over people, with intervals over people."""
    with np.errstate(all="ignore"):
        values = statistic(table.sum(axis=0))
        intervals = resamples.of(lambda drawn: statistic(drawn @ table))
    return [_told(value, interval) for value, interval in zip(values.tolist(), intervals, strict=True)]


def _told(value: float, interval: Interval) -> dict[str, float | None]:
    of = {"value": value, "low": interval.low, "high": interval.high}
    return {name: float(number) if np.isfinite(number) else None for name, number in of.items()}


# --- weeks


class Weeks(NamedTuple):
    """Counted from the first list, by the newest event that a list knows."""

    of_list: I8
    of_taken: I8
    """(e,) that of the list which was there; of what was taken without one the first."""


def _weeks(found: Tables) -> Weeks:
    of_list = (found.list_ms - found.list_ms.min()) // WEEK_MS
    return Weeks(of_list, np.where(found.taken_list == NO_LIST, 0, of_list[found.taken_list]))


def _by_week(found: Tables, parted: Mapping[str, ItemGroups], weeks: Weeks, patience: float) -> list[dict[str, Any]]:
    """How exposure shifts; quality by week is a group of `service`."""
    could, rows = could_be_listed(found), []
    for week in np.unique(weeks.of_list).tolist():
        lists = np.flatnonzero(weeks.of_list == week)
        row: dict[str, Any] = {
            "week": week + 1,
            "lists": len(lists),
            **_spread(item_exposure(found, patience, lists), could),
        }
        del row["could_be_listed"]
        for name in ("age", "popularity", "supplier"):
            if name in parted:
                row[name] = _shares_of_lists(found, parted[name], lists, patience)
        rows.append(row)
    return rows


def _shares_of_lists(found: Tables, groups: ItemGroups, lists: I8, patience: float) -> dict[str, float]:
    some = found._replace(
        listed=found.listed[lists], list_user=found.list_user[lists], list_ms=found.list_ms[lists],
        taken_list=np.full(len(found.taken_list), NO_LIST),
    )  # fmt: skip
    shown = group_exposure(some, groups, patience).shown.sum(axis=0)
    return dict(zip(groups.names, (shown / shown.sum()).tolist(), strict=True))


def names_of(report: Mapping[str, Any]) -> Sequence[str]:
    """Ways in which items are parted, in the order of the report."""
    return list(report["exposure"])
