"""models/ranking/everything.py: columns of all items say what rows of candidates say."""

from __future__ import annotations

import numpy as np
import pytest

from models.items.priors import Priors
from models.items.record import MOMENTS, NEVER_MS
from models.ranking.everything import everything, scores_of
from models.ranking.features import ItemArrays, Question
from models.ranking.rank import SequenceScores, features_of, full_scope, weights_of
from models.ranking.weights import default_weights
from models.vocabulary import EXPERTS

NOW_MS = 1_700_000_000_000
SHARES = np.append(0.0, np.full(MOMENTS - 1, 1 / 8))


def items(n: int, seed: int) -> ItemArrays:
    rng = np.random.default_rng(seed)
    near = np.stack([rng.permutation(n)[:4] for _ in range(n)]).astype(np.int32)
    near[:, 2:] = -1
    first_ms = np.where(rng.random(n) < 0.2, NEVER_MS, NOW_MS - rng.integers(-(10**8), 10**10, n))
    return ItemArrays(
        np.arange(n, dtype=np.uint64) + 1, rng.random(n) < 0.8, rng.integers(0, 50, n).astype(float), first_ms,
        rng.random((n, 6)) * 9, rng.random((n, 3)), NOW_MS - rng.integers(-(10**6), 10**9, n), rng.integers(0, 9, (n, MOMENTS)),
        rng.permutation(n).astype(np.int32), near, rng.random((n, 4)) * 5, rng.random((n, 4)),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [(6, 9, 17), (0, 8, 15), (-1, 14, -1)])
def test_features_candidates_and_scores_are_those_of_the_ranking_that_serves(seed, bins):
    n, rng = 60, np.random.default_rng(seed)
    known = items(n, seed)
    question = Question(
        np.array([[3, 7, -1, 50]], np.int32), np.array([[1.0, -2.0, 1.0, 0.5]]), np.array([[3, 9, -1]], np.int32),
        np.array([NOW_MS]), np.array([float(10**seed)]), np.array([bins]),
        np.array([[0.0, 600.0, 0.0, 5000.0]]),
    )  # fmt: skip
    expected = SequenceScores(np.array([[5, -1, 8]], np.int32), rng.random((1, 3)).astype(np.float32))
    nothing = np.empty(0, np.int32)
    priors = Priors(nothing, (nothing,) * len(EXPERTS), nothing[:, None], SHARES, 0, 0, 0)
    found, x = features_of(question, known, priors, full_scope(known), None, expected)

    every = everything(question, known, SHARES, None, expected)

    assert every.candidates.tolist() == found.item.tolist()
    np.testing.assert_allclose(every.features[:, found.item].T, x, rtol=1e-12, atol=1e-12)
    weights = weights_of(question, known, default_weights(), None)[0]
    scores = scores_of(every, weights)
    np.testing.assert_allclose(scores[found.item], x @ weights, rtol=1e-12, atol=1e-12)
    assert np.isneginf(np.delete(scores, found.item)).all()


def test_items_that_nothing_tells_apart_tie():
    alike = ItemArrays(*(np.repeat(column[:1], 37, axis=0) for column in items(37, 1)[:7]), *items(37, 1)[7:])
    alike = alike._replace(recommendable=np.ones(37, np.bool_))
    nobody = Question(
        np.array([[-1]], np.int32), np.zeros((1, 1)), np.empty((1, 0), np.int32), np.array([NOW_MS]), np.zeros(1),
        np.array([(6, 9, 17)]), np.zeros((1, 1)),
    )  # fmt: skip
    scores = scores_of(everything(nobody, alike, SHARES), default_weights().cold)
    assert np.unique(scores).size == 1
