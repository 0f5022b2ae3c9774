"""Test, then learn: one pass of one contender over the stream, every question ranked against the whole known catalogue.

Prequential evaluation (Dawid 1984; Gama, Sebastião and Rodrigues 2013) with full ranking: sampled candidates can order models
wrongly (Krichene and Rendle 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.evaluation.contract import Answer, Contender, Known, Stream
from models.evaluation.questions import Histories, Questions, histories
from models.evaluation.reach import without_popularity

LISTED: Final = 20
"""Items kept of each list."""
NOVELTY_AT: Final = 10


class Answers(NamedTuple):
    """What became of q questions."""

    rank: NDArray[np.float64]
    """(q,) 1 + candidates above the target + half of those that tie with it; all candidates if nobody knew the target."""
    candidates: NDArray[np.int32]
    """(q,) Items ranked, the target included."""
    listed: NDArray[np.int32]
    """(q, LISTED) What would be shown, best first, padded with -1; never the target where nobody knew it."""
    novelty: NDArray[np.float64]
    """(q,) Mean self-information of the first `NOVELTY_AT` listed: -log2 of the share of users who had the item by then."""
    probability: NDArray[np.float32]
    """(q, LISTED) Stated for the items of `listed`; NaN where there is none."""
    own_lists: bool
    """The lists are the contender's own, not the best by score."""


def run(
    contender: Contender,
    stream: Stream,
    known: Known,
    asked: Questions,
    end: int,
    stop: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Answers:
    """Warm up on events `[0, end)`, then ask and learn through to `stop` (the end of the stream if None).

    Args:
        contender: fresh.
        stream, known: the data.
        asked: questions at positions in `[end, stop)`.
        end: the warm-up mark.
        stop: events from here on are neither asked about nor learned.
        on_step: called with (events done, events in all), not more often than a hundred times.

    Raises:
        ValueError: a score is NaN or an answer has the wrong length.
        UnavailableError: from the contender.
    """
    return run_reranked(contender, stream, known, asked, end, (0.0,), stop, on_step)[0]


def run_reranked(
    contender: Contender,
    stream: Stream,
    known: Known,
    asked: Questions,
    end: int,
    amounts: Sequence[float],
    stop: int | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Answers]:
    """As `run`, with each of these amounts of popularity taken off the same answers (`reach.without_popularity`)."""
    stop = stream.n_events if stop is None else stop
    contender.warm_up(stream, known, end)
    had = histories(stream, known.n_users)
    count = np.bincount(stream.item[:end][stream.first[:end]], minlength=known.n_items).astype(np.int64)
    keeps = [_Keep(asked.at.size, known.n_items) for _ in amounts]
    step = max(1, (stop - end) // 100)
    place, next_at = 0, _position(asked, 0)
    for at in range(end, stop):
        if at == next_at:
            answer = contender.ask(at)
            for keep, amount in zip(keeps, amounts, strict=True):
                reranked = without_popularity(answer, amount, count)
                keep.judge(reranked, asked, place, had, known.listed_from_ms, count)
            place += 1
            next_at = _position(asked, place)
        contender.learn(at)
        if stream.first[at]:
            count[stream.item[at]] += 1
        if on_step is not None and (at - end) % step == 0:
            on_step(at - end, stop - end)
    if on_step is not None:
        on_step(stop - end, stop - end)
    return [keep.answers() for keep in keeps]


def _position(asked: Questions, place: int) -> int:
    return int(asked.at[place]) if place < asked.at.size else -1


class _Keep:
    """Judges answers one by one and keeps what is left of them."""

    def __init__(self, n: int, n_items: int) -> None:
        self._rank = np.zeros(n)
        self._candidates = np.zeros(n, np.int32)
        self._listed = np.full((n, LISTED), -1, np.int32)
        self._novelty = np.zeros(n)
        self._probability = np.full((n, LISTED), np.nan, np.float32)
        self._mark = np.full(n_items, -1, np.int64)
        self._own_lists = False

    def judge(
        self,
        answer: Answer,
        asked: Questions,
        place: int,
        had: Histories,
        listed_from_ms: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> None:
        if answer.scores.shape != self._mark.shape:
            raise ValueError(f"{answer.scores.shape} scores for {self._mark.size} items")
        start = had.starts[asked.user[place]]
        listed = self._listed[place]
        rank, candidates, wrong = _judge(
            answer.scores,
            asked.item[place],
            asked.known[place],
            asked.seen_items[place],
            asked.time_ms[place],
            listed_from_ms,
            had.values[start : start + asked.history[place]],
            self._mark,
            place,
            listed,
        )
        if wrong:
            raise ValueError("a score is NaN")
        self._rank[place], self._candidates[place] = rank, candidates
        if answer.listed is not None:
            self._own_lists = True
            own = answer.listed[:LISTED]
            listed[:] = -1
            listed[: own.size] = own
        self._novelty[place] = _self_information(listed[:NOVELTY_AT], count, int(asked.seen_users[place]))
        if answer.probability is not None:
            real = listed >= 0
            self._probability[place, real] = answer.probability[listed[real]]

    def answers(self) -> Answers:
        return Answers(self._rank, self._candidates, self._listed, self._novelty, self._probability, self._own_lists)


@compiled
def _judge(
    scores: NDArray[np.float64],
    target: int,
    target_known: bool,
    seen_items: int,
    time_ms: int,
    listed_from_ms: NDArray[np.int64],
    had: NDArray[np.int32],
    mark: NDArray[np.int64],
    number: int,
    listed: NDArray[np.int32],
) -> tuple[float, int, bool]:
    """`(rank, candidates, whether a score is NaN)`; writes the best candidates to `listed`, equals by item number.

    `mark` is scratch space that `number` has not been written to before.
    """
    for item in had:
        mark[item] = number
    best = np.empty(len(listed))
    filled, above, equal, candidates = 0, 0, 0, 0
    own = scores[target]
    for j in range(len(scores)):
        if j >= seen_items and listed_from_ms[j] > time_ms:
            continue
        if mark[j] == number:
            continue
        score = scores[j]
        if np.isnan(score):
            return 0.0, 0, True
        candidates += 1
        above += score > own
        equal += score == own
        if filled == len(listed) and score <= best[filled - 1]:
            continue
        place = filled if filled < len(listed) else filled - 1
        filled = min(filled + 1, len(listed))
        while place > 0 and best[place - 1] < score:
            best[place], listed[place] = best[place - 1], listed[place - 1]
            place -= 1
        best[place], listed[place] = score, j
    if not target_known:
        return float(candidates + 1), candidates + 1, False
    return 1.0 + above + 0.5 * (equal - 1), candidates, False


@compiled
def _self_information(listed: NDArray[np.int32], count: NDArray[np.int64], users: int) -> float:
    """Mean of -log2((users who had it + 1) / (users + 1)) over the items listed; 0 for an empty list."""
    total, n = 0.0, 0
    for item in listed:
        if item >= 0:
            total -= np.log2((count[item] + 1.0) / (users + 1.0))
            n += 1
    return total / n if n else 0.0
