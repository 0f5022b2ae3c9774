"""Contenders judged by each user's last item: a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F8
from models.evaluation.baselines import BASELINES
from models.evaluation.bootstrap import Interval, Part, Resamples
from models.evaluation.contract import Contender, Setup, UnavailableError
from models.evaluation.last_items import FEWEST, LastItems, Ties, last_items, per_question, ranks
from models.sequence.graph import KINDS
from models.training.sequence.last_items import SequenceOfLastItems
from models.training.sequence.settings import SequenceSettings
from stream.analysis.data import Data
from stream.errors import UsageError

SEQUENCE: Final = KINDS
"""Architectures of the sequence model."""

REFERENCE: Final = "co_occurrence_tuned"
"""What the differences are to."""

OTHERS: Final = {name: make for name, make in BASELINES.items() if name != "recency_popularity"}
"""Those that read no clock: a last item has no "now"."""

NAMES: Final = (*OTHERS, *SEQUENCE)
USUAL: Final = ("popularity", REFERENCE, *SEQUENCE)

KNOWN, NOT_KNOWN, NOT_READ = "known", "not known", "not read"
"""What a contender knows of when the last item was had."""

OnStep = Callable[[str, int, int], None]


class _Judged(NamedTuple):
    name: str
    query_time: str
    figures: dict[str, F8]
    chosen: dict[str, Any]
    seconds: float


def parse_models(text: str) -> tuple[str, ...]:
    """`a,b` -> names, each once, in the order of the report; empty text: `USUAL`.

    Raises:
        UsageError: there is no such contender.
    """
    wanted = {part.strip() for part in text.split(",") if part.strip()} or set(USUAL)
    for unknown in sorted(wanted - set(NAMES)):
        raise UsageError(f"--models: there is no model {unknown[:40]!r} here.", f"choose from {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in wanted)


def cut_of(data: Data, ties: Ties) -> LastItems:
    """The events as they are judged.

    Raises:
        UsageError: nobody has had enough items.
    """
    cut = last_items(data.stream, data.known, ties)
    if cut is None:
        raise UsageError(
            f"No user has had {FEWEST} items: one to learn from, one for validation, one to ask for.",
            "give events of a longer time, or check which column is user_id (--map)",
        )
    return cut


def judge_last_items(
    cut: LastItems,
    names: tuple[str, ...],
    settings: SequenceSettings,
    seed: int,
    on_step: OnStep = lambda *_: None,
) -> dict[str, Any]:
    """Figures with intervals of every contender; one that can read the query time is there with it and without.

    Args:
        cut: from `cut_of`, with vectors of texts where there are any.
        names: of `NAMES`.
        settings: of the sequence model, whatever its architecture.
        seed: of contenders and intervals.
        on_step: told (what, done, of how many).

    Returns:
        Plain JSON values: `questions`, `items`, `models` (rows), `skipped`.

    Raises:
        UsageError: no contender could take part.
    """
    judged, skipped = [], {}
    for name in names:
        try:
            judged += list(_judged(cut, name, settings, seed, on_step))
        except UnavailableError as error:
            skipped[name] = str(error)
    if not judged:
        raise UsageError(f"No model could take part: {'; '.join(skipped.values())}.", "choose other --models")
    users = cut.stream.user[cut.test_at :]
    return {
        "questions": int(users.size),
        "items": cut.known.n_items,
        "learned_from": cut.validation_at,
        "models": _rows(judged, Resamples(users, seed)),
        "skipped": skipped,
    }


def _judged(cut: LastItems, name: str, settings: SequenceSettings, seed: int, on_step: OnStep) -> Iterator[_Judged]:
    kind = next((each for each in SEQUENCE if each == name), None)
    if kind is None:
        yield _answered(cut, name, NOT_READ, OTHERS[name](Setup(seed)), on_step)
        return
    for query_time in (KNOWN, NOT_KNOWN):
        what = f"{name}, query time {query_time}"
        contender = SequenceOfLastItems(
            cut,
            settings._replace(architecture=kind),
            query_time=query_time == KNOWN,
            on_epoch=lambda done, most, what=what: on_step(what, done, most),  # type: ignore[misc]
        )
        yield _answered(cut, name, query_time, contender, lambda *_: None)


def _answered(cut: LastItems, name: str, query_time: str, contender: Contender, on_step: OnStep) -> _Judged:
    started = time.monotonic()
    contender.warm_up(cut.stream, cut.known, cut.test_at)
    rank = ranks(contender, cut)
    on_step(name, 1, 1)
    chosen: dict[str, Any] = getattr(contender, "chosen", {})
    return _Judged(name, query_time, per_question(rank), chosen, time.monotonic() - started)


def _rows(judged: list[_Judged], resamples: Resamples) -> list[dict[str, Any]]:
    reference = next((each for each in judged if each.name == REFERENCE), None)
    rows = []
    for each in judged:
        untimed = next((o for o in judged if o.name == each.name and o.query_time == NOT_KNOWN), None)
        rows.append(
            {
                "model": each.name,
                "query_time": each.query_time,
                **{metric: float(values.mean()) for metric, values in each.figures.items()},
                "intervals": dict(
                    zip(each.figures, map(list, _intervals(list(each.figures.values()), resamples)), strict=True)
                ),
                f"minus_{REFERENCE}": None if each is reference else _minus(each, reference, resamples),
                "minus_query_time_not_known": _minus(each, untimed, resamples) if each.query_time == KNOWN else None,
                "chosen": each.chosen,
                "seconds": each.seconds,
            }
        )
    return rows


def _minus(one: _Judged, other: _Judged | None, resamples: Resamples) -> dict[str, Any] | None:
    """Paired differences by metric."""
    if other is None:
        return None
    differences = {metric: values - other.figures[metric] for metric, values in one.figures.items()}
    found = _intervals(list(differences.values()), resamples)
    return {
        metric: {"mean": float(values.mean()), "interval": list(interval)}
        for (metric, values), interval in zip(differences.items(), found, strict=True)
    }


def _intervals(values: list[F8], resamples: Resamples) -> list[Interval]:
    every = np.ones(values[0].size, np.bool_)
    return resamples.intervals([Part(every, np.stack(values))])[0]
