"""Faithfulness of the reasons, measured on events: questions are asked as they would have been live, and their lists made
again without what an explanation names.

What is taken out is a place of the history, as if that item had never been met (`models.reasons.removal`); the score read
again is that of the item that led. Every explainer orders the same places and is judged by the same scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import Known, Stream
from models.evaluation.faithfulness import (
    Curves,
    order_masks,
)
from models.evaluation.questions import warm_up_end
from models.hashing import item_hash
from models.ranking.features import SEQUENCE
from models.ranking.rank import SPLIT, RankedBatch
from models.ranking.weights import RankingWeights
from models.reasons.counterfactual import counterfactual
from models.reasons.removal import Past, used_places
from models.reasons.what_if import SequencePast, WhatIf
from models.sequence.leave_one_out import LeftOut
from models.sequence.model import SequenceModel
from stream.analysis.reasons.audit import Audit, Audited, gradients_audit, sequence_audit, shapley_audit
from stream.analysis.reasons.stability import Perturbed, perturb
from stream.analysis.replayed import ReplayedWorker
from stream.errors import UsageError
from stream.params import ranking_params
from stream.refresh.question import first_engagements
from stream.settings import Settings

EXPLAINERS: Final = ("penchant", "leave_one_out", "random", "recency", "popularity")

WITH_SEQUENCE: Final = ("sequence_leave_one_out", "penchant_and_sequence")
"""Orders that a sequence model adds: by what its part loses without each item, and by that and our contribution together. An
order may be by any number; the two do not add up to the score and are not said to."""

LEAST_HISTORY: Final = 6
"""Items of a history below which five of them are all of it."""

FLIP_WITHIN: Final = 10
"""Items that an explainer may name to have another item lead."""

NO_AUDIT: Final = Audit()

BUDGET: Final = 300
"""Rankings per question in search of a counterfactual, beyond those along the contributions."""


class Judged(NamedTuple):
    """One question."""

    user: int
    history: int
    gap: float
    """Largest difference between a score and the sum of its contributions and impersonal parts, over the list."""
    is_stable: bool
    """Made twice, list and contributions are the same bits."""
    counterfactual: tuple[int, bool] | None
    """Its size and whether no smaller one exists; None: none was found."""
    curves: dict[str, Curves]
    flips: dict[str, int | None]
    """Items named by each explainer until another one leads, None: not within `FLIP_WITHIN`."""
    perturbed: dict[str, Perturbed | None]
    left_out: LeftOut | None
    """What the sequence model expects of the leader without each event; None without a model."""
    audited: dict[str, Audited]


def sample(stream: Stream, known: Known, warm_up: float, wanted: int, seed: int) -> NDArray[np.int64]:
    """(q,) positions of first engagements after the warm-up by users with enough history, drawn evenly, ascending.

    Raises:
        UsageError: there are none.
    """
    end = warm_up_end(stream, warm_up)
    before = np.zeros(known.n_users, np.int64)
    open_ = []
    for at in np.flatnonzero(stream.first).tolist():
        user = int(stream.user[at])
        if at >= end and before[user] >= LEAST_HISTORY:
            open_.append(at)
        before[user] += 1
    if not open_:
        raise UsageError(
            f"No question is left by a user with {LEAST_HISTORY} items before.",
            "give more events, or a smaller --warm-up",
        )
    chosen = np.random.default_rng(seed).choice(np.array(open_), min(wanted, len(open_)), replace=False)
    return np.sort(chosen)


def place_by_text(model: SequenceModel, known: Known, encoder: str) -> None:
    """Give items that training has not seen a place by their text vectors, if `encoder` is the one that the model knows."""
    if known.text_vectors is not None and model.text_model == encoder:
        model.items.put(np.array(list(map(item_hash, known.item_ids)), np.uint64), known.text_vectors)


def judge_questions(
    settings: Settings,
    stream: Stream,
    known: Known,
    at: NDArray[np.int64],
    weights: RankingWeights,
    seed: int,
    on_step: Callable[[int, int], None] = lambda *_: None,
    sequence: SequenceModel | None = None,
    audit: Audit = NO_AUDIT,
) -> list[Judged]:
    """Every question at positions `at` (ascending) whose leader the past speaks for."""
    replayed = ReplayedWorker(settings, stream, known)
    params = ranking_params(settings, weights)
    judged = []
    for n, position in enumerate(at.tolist()):
        replayed.advance(position)
        user, now_ms = int(stream.user[position]), int(stream.time_ms[position])
        past = replayed.past(user, now_ms)
        read = None if sequence is None else _sequence_past(replayed, past, user, sequence)
        person = WhatIf(past, replayed.ranking_inputs(now_ms, params), read)
        found = _judge(person, replayed.stats.count, np.random.default_rng((seed, position)), audit)
        if found is not None:
            judged.append(found._replace(user=user))
        on_step(n + 1, len(at))
    return judged


def _sequence_past(replayed: ReplayedWorker, past: Past, user: int, model: SequenceModel) -> SequencePast:
    history = first_engagements(replayed.states, np.array([user], np.int64), model.length)
    return SequencePast(model, history, replayed.index.hash_of(past.question.history[0]))


def _judge(person: WhatIf, counts: NDArray[np.float64], rng: np.random.Generator, audit: Audit) -> Judged | None:
    ranked, places = person.rank(), used_places(person.past)
    leader = int(ranked.items[0, 0])
    width = person.past.question.history.shape[1]
    if leader < 0 or len(places) < LEAST_HISTORY:
        return None
    scores = _Scores(person, places, leader, width)
    everything = np.ones(len(places), np.bool_)
    whole, empty, *singles = scores.of(np.vstack([~everything, everything, np.eye(len(places), dtype=np.bool_)]))
    if whole <= empty:
        return None
    left_out = person.left_out(leader)
    ours = ranked.contributions[0, 0, places]
    orders = {
        "penchant": np.argsort(-ours, kind="stable"),
        "leave_one_out": np.argsort(np.array(singles), kind="stable"),
        "random": rng.permutation(len(places)),
        "recency": np.arange(len(places)),
        "popularity": np.argsort(-counts[np.maximum(person.past.question.history[0, places], 0)], kind="stable"),
    }
    if left_out is not None:
        seen = _seen(person, left_out, places)
        orders["sequence_leave_one_out"] = np.argsort(-seen, kind="stable")
        orders["penchant_and_sequence"] = np.argsort(-ours - seen, kind="stable")
    masks = {name: order_masks(order) for name, order in orders.items()}
    read = scores.of(np.vstack([mask for pair in masks.values() for mask in pair])).reshape(len(orders), 2, -1)
    found = counterfactual(ranked, places, person.leads, BUDGET)
    return Judged(
        -1,
        len(places),
        completeness_gap(ranked),
        _same(ranked, person.rank()),
        None if found is None else (len(found.removed), found.exact),
        {name: Curves(*read[n]) for n, name in enumerate(orders)},
        {name: _flip(person, places[order], leader) for name, order in orders.items()},
        perturb(person, ranked, places, rng),
        left_out,
        _audited(
            person, ranked, left_out, scores, {"penchant": ours, "leave_one_out": whole - np.array(singles)}, audit, rng
        ),
    )


def _seen(person: WhatIf, left_out: LeftOut, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """(p,) what each place changes in the sequence part when left out, in units of the score. For an order, not for a sum."""
    assert person.sequence is not None
    difference = dict(zip(left_out.items.tolist(), left_out.differences[:, 0].tolist(), strict=True))
    weight = float(person.weights()[SEQUENCE])
    return np.array([weight * difference.get(each, 0.0) for each in person.sequence.places[places].tolist()])


def _audited(
    person: WhatIf,
    ranked: RankedBatch,
    left_out: LeftOut | None,
    scores: _Scores,
    explainers: dict[str, NDArray[np.float64]],
    audit: Audit,
    rng: np.random.Generator,
) -> dict[str, Audited]:
    leader, found = int(ranked.items[0, 0]), {}
    if "shapley" in audit.methods:
        found["shapley"] = shapley_audit(lambda present: scores.of(~present), explainers, audit.samples, rng)
        if left_out is not None and len(left_out.items):
            found["shapley_of_sequence"] = sequence_audit(person, left_out, leader, audit.samples, rng)
    if "integrated_gradients" in audit.methods:
        found["integrated_gradients"] = gradients_audit(person, ranked, leader)
    return found


def completeness_gap(ranked: RankedBatch) -> float:
    """Largest |score - what its contributions and impersonal parts add up to| of the first user's list."""
    filled = ranked.items[0] >= 0
    told = ranked.contributions[0].sum(axis=1)
    told = told + sum((values[0] for name, values in ranked.parts.items() if name not in SPLIT), np.zeros(len(told)))
    return float(np.max(np.abs(ranked.scores[0] - told)[filled], initial=0.0))


class _Scores:
    """Scores of the leader with places taken out; each set is read once."""

    def __init__(self, person: WhatIf, places: NDArray[np.int64], leader: int, width: int) -> None:
        self._person, self._places, self._leader, self._width = person, places, leader, width

    def of(self, removed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(m,) for (m, p) bool."""
        distinct, where = np.unique(removed, axis=0, return_inverse=True)
        rows = np.zeros((len(distinct), self._width), np.bool_)
        rows[:, self._places] = distinct
        read: NDArray[np.float64] = self._person.scores(rows, self._leader)[where.reshape(-1)]
        return read


def _flip(person: WhatIf, order: NDArray[np.int64], leader: int) -> int | None:
    sets = [tuple(order[:size].tolist()) for size in range(1, min(FLIP_WITHIN, len(order)) + 1)]
    changed = np.flatnonzero(person.leads(sets) != leader)
    return int(changed[0]) + 1 if len(changed) else None


def _same(one: RankedBatch, other: RankedBatch) -> bool:
    return (
        one.items.tobytes() == other.items.tobytes()
        and one.scores.tobytes() == other.scores.tobytes()
        and one.contributions.tobytes() == other.contributions.tobytes()
    )
