"""Which questions are asked, and what all contenders' answers to them are worth: a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.questions import Questions, questions, warm_up_end
from models.evaluation.report import Result, make_report
from stream.analysis.data import Data
from stream.analysis.rankings.contenders import OTHERS, REACH
from stream.analysis.rankings.run import OnStep, Task, fingerprint, judge
from stream.analysis.texts import with_text
from stream.errors import UsageError
from stream.settings import Settings


def judge_rankings(
    settings: Settings,
    data: Data,
    names: tuple[str, ...],
    work_dir: Path,
    *,
    warm_up: float,
    seed: int,
    jobs: int,
    max_questions: int | None = None,
    reach: tuple[float, ...] = (),
    on_step: OnStep = lambda *_: None,
) -> dict[str, Any]:
    """The report of `models.evaluation.report` with its `data` and `skipped`, as plain JSON values.

    Args:
        settings: those of the worker.
        data: the events and the catalogue.
        names: of contenders, from `stream.analysis.rankings.contenders`.
        work_dir: where finished contenders and vectors of texts are kept.
        warm_up: share of the first engagements that is not asked about.
        seed: of contenders and intervals.
        jobs: contenders at a time.
        max_questions: asked at most, evenly spread; every event is learned all the same. None: all.
        reach: amounts of popularity, above 0, that are taken off Penchant's scores: each is one more model of the report.
        on_step: as `judge`'s.

    Raises:
        UsageError: nothing is left to ask about, or no contender could take part.
    """
    stream = data.stream
    end = warm_up_end(stream, warm_up)
    possible = questions(stream, data.known, end)
    asked = possible if max_questions is None else possible.evenly(max_questions)
    if not asked.at.size:
        raise UsageError("No first engagement is left to ask about.", "give more events, or a smaller --warm-up")
    known, encoder = with_text(settings, data.known, work_dir, on_step)
    mark = fingerprint(
        data=data.sha256,
        columns=[sha256(column.tobytes()).hexdigest() for column in stream],
        text=encoder,
        end=end,
        asked=sha256(asked.at.tobytes()).hexdigest(),
        seed=seed,
        settings=settings.model_dump(mode="json"),
    )
    results = judge(names, Task(stream, known, asked, end, seed, settings, work_dir, mark, reach), jobs, on_step)
    done = dict(_one_by_one({name: each for name, each in results.items() if isinstance(each, Result)}))
    skipped = {name: each.why for name, each in results.items() if not isinstance(each, Result)}
    if not done:
        raise UsageError(f"No model could take part: {'; '.join(skipped.values())}.", "choose other --models")
    report = make_report(done, stream, known, asked, end, seed, OTHERS)
    return {**report, "skipped": skipped, "data": _described(data, asked, possible, end)}


def _one_by_one(results: Mapping[str, Result]) -> Iterator[tuple[str, Result]]:
    """Each contender, and after it what became of it with popularity taken off."""
    for name, result in results.items():
        yield name, result
        for amount, answers in result.reranked.items():
            yield f"{name}{REACH}{amount:g}", Result(answers, {**result.chosen, "reach": amount}, result.seconds)


def _described(data: Data, asked: Questions, possible: Questions, end: int) -> dict[str, Any]:
    return {
        **data.counts,
        "refused_by_reason": data.refused,
        "warm_up_events": end,
        "questions": int(asked.at.size),
        "possible_questions": int(possible.at.size),
        "asked_users": int(np.unique(asked.user).size),
        "sha256": data.sha256,
    }
