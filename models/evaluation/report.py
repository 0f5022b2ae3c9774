"""All figures of an evaluation as one JSON-able dictionary. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.evaluation.bootstrap import Interval, Part, Resamples
from models.evaluation.calibration import area_under_roc, expected_calibration_error, log_loss, outcomes, reliability
from models.evaluation.contract import Known, Stream
from models.evaluation.measures import (
    DIVERSITY_AT,
    diversity_by_audience,
    diversity_by_vectors,
    list_hits,
    per_question,
    spread,
)
from models.evaluation.protocol import Answers
from models.evaluation.questions import Questions, audiences
from models.evaluation.reach import Weeks, weekly_coverage, weeks
from models.evaluation.slices import slices
from models.evaluation.verdict import ALL, METRIC, MODEL, as_json, judge_slices

REFERENCE: Final = "co_occurrence_tuned"
"""Every contender's difference is to this one: the strongest simple method we know."""

WITH_INTERVAL: Final = ("hr@10", "hr@20", "ndcg@10", "ndcg@20", "mrr")
OWN_LISTS: Final = ("list_hr@10", "list_hr@20", "list_ndcg@10", "list_ndcg@20")


class Result(NamedTuple):
    """What one contender did."""

    answers: Answers
    chosen: dict[str, Any]
    """What it chose on the warm-up part."""
    seconds: float
    """Of the whole pass, warm-up included."""
    reranked: Mapping[float, Answers] = MappingProxyType({})
    """The same pass with so much popularity taken off the scores."""


def make_report(
    results: Mapping[str, Result],
    stream: Stream,
    known: Known,
    asked: Questions,
    end: int,
    seed: int,
    baselines: Collection[str],
) -> dict[str, Any]:
    """The report but for `data` and `skipped`; figures that do not exist are None.

    Args:
        results: by contender, in the order in which they are to be shown.
        stream, known: the data.
        asked: the q > 0 questions.
        end: the warm-up mark.
        seed: of the bootstrap.
        baselines: contenders that Penchant is to be ahead of, whether they took part or not.
    """
    before = _before(stream, end)
    possible, asked_weeks = _possible(known, asked), weeks(asked, stream, known)
    values = {name: _values(result, known, asked, before) for name, result in results.items()}
    parts = {ALL: np.ones(asked.at.size, np.bool_), **slices(asked, stream, end)}
    wanted = _wanted(values)
    rows = np.stack([_row(values, each) for each in wanted])
    drawn = Resamples(asked.user, seed).intervals([Part(mask, rows) for mask in parts.values()])
    figures = {
        part: _figures(values, wanted, rows, mask, intervals)
        for (part, mask), intervals in zip(parts.items(), drawn, strict=True)
    }
    models = {
        name: {
            **figures[ALL]["models"][name],
            **_whole_run(result, asked, possible, asked_weeks),
            "chosen": result.chosen,
            "seconds": round(result.seconds, 3),
        }
        for name, result in results.items()
    }
    return {
        "verdict": _verdict(values, parts, asked, seed, baselines),
        "minus_penchant": _minus_penchant(values, asked, seed),
        "models": models,
        "slices": {part: each["models"] for part, each in figures.items() if part != ALL},
        "differences": {part: each["differences"] for part, each in figures.items()},
        "questions": {part: int(mask.sum()) for part, mask in parts.items()},
        "weeks": int(asked_weeks.items.size),
    }


def _verdict(
    values: Mapping[str, Mapping[str, F8]],
    parts: Mapping[str, NDArray[np.bool_]],
    asked: Questions,
    seed: int,
    baselines: Collection[str],
) -> dict[str, Any] | None:
    """None where Penchant did not take part."""
    if MODEL not in values:
        return None
    rivals = {name: each[METRIC] for name, each in values.items() if name in baselines}
    return as_json(list(rivals), judge_slices(values[MODEL][METRIC], rivals, parts, asked.user, seed))


def _minus_penchant(values: Mapping[str, Mapping[str, F8]], asked: Questions, seed: int) -> dict[str, Any]:
    """Paired, over all questions: what another ranking, or more reach, would cost or bring."""
    others = [name for name in values if name != MODEL]
    if MODEL not in values or not others:
        return {}
    rows = np.stack([values[name][METRIC] - values[MODEL][METRIC] for name in others])
    (intervals,) = Resamples(asked.user, seed).intervals([Part(np.ones(asked.at.size, np.bool_), rows)])
    return {
        name: {METRIC: {"mean": _mean(row), "interval": [_number(edge) for edge in interval]}}
        for name, row, interval in zip(others, rows, intervals, strict=True)
    }


def _values(result: Result, known: Known, asked: Questions, before: Any) -> dict[str, F8]:
    listed = result.answers.listed
    if known.text_vectors is not None:
        diversity = diversity_by_vectors(listed, known.text_vectors)
    elif (vectors := category_vectors(known)) is not None:
        diversity = diversity_by_vectors(listed, vectors)
    else:
        diversity = diversity_by_audience(listed, before)
    found = per_question(result.answers, asked.known, diversity)
    if result.answers.own_lists:
        found |= list_hits(result.answers, asked.item)
    return found


def category_vectors(known: Known) -> NDArray[np.float32] | None:
    """(n_items, categories) unit vectors of the categories; None where no item has one."""
    names = {name for item in known.catalogue if item is not None for name in item.categories}
    if not names or len(names) > _MAX_CATEGORIES:
        return None
    place = {name: number for number, name in enumerate(sorted(names))}
    vectors = np.zeros((known.n_items, len(names)), np.float32)
    for row, item in enumerate(known.catalogue):
        if item is not None:
            vectors[row, [place[name] for name in item.categories]] = 1.0
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(length, 1e-9)
    return vectors


_MAX_CATEGORIES: Final = 2048  # more are tags or names, and would take too much memory


def _before(stream: Stream, end: int) -> Any:
    """Audiences as of the warm-up mark."""
    earlier = stream._replace(first=stream.first & (np.arange(stream.n_events) < end))
    return audiences(earlier, int(stream.item.max(initial=-1)) + 1)


def _possible(known: Known, asked: Questions) -> NDArray[np.int32]:
    """Items that were candidates at the last question, those its user had included."""
    last = -1
    seen = np.arange(known.n_items) < asked.seen_items[last]
    return np.flatnonzero(seen | (known.listed_from_ms <= asked.time_ms[last])).astype(np.int32)


class _Wanted(NamedTuple):
    """A row that gets an interval: a metric of a contender, or its difference to the reference."""

    model: str
    metric: str
    difference: bool


def _wanted(values: Mapping[str, Mapping[str, F8]]) -> list[_Wanted]:
    found = []
    reference = values.get(REFERENCE, {})
    for name, metrics in values.items():
        for metric in (*WITH_INTERVAL, *OWN_LISTS):
            if metric in metrics:
                found.append(_Wanted(name, metric, False))
                if name != REFERENCE and metric in reference:
                    found.append(_Wanted(name, metric, True))
    return found


def _row(values: Mapping[str, Mapping[str, F8]], wanted: _Wanted) -> F8:
    own = values[wanted.model][wanted.metric]
    return own - values[REFERENCE][wanted.metric] if wanted.difference else own


def _figures(
    values: Mapping[str, Mapping[str, F8]],
    wanted: list[_Wanted],
    rows: F8,
    mask: NDArray[np.bool_],
    intervals: list[Interval],
) -> dict[str, Any]:
    """Means and intervals over the questions of a slice, and those of the differences to the reference."""
    models: dict[str, Any] = {}
    for name, metrics in values.items():
        means = {metric: _mean(each[mask]) for metric, each in metrics.items()}
        models[name] = {"questions": int(mask.sum()), **means, "intervals": {}}
    differences: dict[str, Any] = {}
    for each, row, interval in zip(wanted, rows, intervals, strict=True):
        pair = [_number(interval.low), _number(interval.high)]
        if each.difference:
            differences.setdefault(each.model, {})[each.metric] = {"mean": _mean(row[mask]), "interval": pair}
        else:
            models[each.model]["intervals"][each.metric] = pair
    return {"models": models, "differences": differences}


def _whole_run(result: Result, asked: Questions, possible: NDArray[np.int32], asked_weeks: Weeks) -> dict[str, Any]:
    """What is no mean over questions."""
    listed = result.answers.listed
    share = spread(listed, possible, DIVERSITY_AT)
    found: dict[str, Any] = {
        "coverage@10": _number(share.coverage),
        "weekly_coverage@10": weekly_coverage(listed, asked_weeks, DIVERSITY_AT),
        "gini@10": _number(share.gini),
    }
    probability, clicked = outcomes(listed, result.answers.probability, asked.item)
    if probability.size:
        bins = reliability(probability, clicked)
        found["probability"] = {
            "auc": _number(area_under_roc(probability, clicked)),
            "log_loss": _number(log_loss(probability, clicked)),
            "ece": _number(expected_calibration_error(bins)),
            "pairs": int(clicked.size),
            "clicks": int(clicked.sum()),
            "reliability": {
                "stated": bins.stated.tolist(),
                "observed": bins.observed.tolist(),
                "pairs": bins.pairs.tolist(),
            },
        }
    return found


def _mean(values: F8) -> float | None:
    real = values[~np.isnan(values)]
    return float(real.mean()) if real.size else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
