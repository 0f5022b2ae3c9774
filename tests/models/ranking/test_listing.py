"""Bounds spare work and nothing else: with text, feedback, a sequence model and any weights the lists are the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import ItemRecord, pack_record

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from models.items.priors import compute_priors
from models.items.stats import ItemStatistics
from models.items.vectors import ItemVectors
from models.ranking.features import TEXT, Question
from models.ranking.moment import MAX_AGE_MS, Moments
from models.ranking.place_vectors import past_of_items
from models.ranking.rank import RankingParams, SequenceScores, rank
from models.ranking.semantics import InterestParams, semantics
from models.ranking.weights import Calibration, default_weights, make_weights

NOW, DIMS, USERS, PLACES = 1_700_000_000_000, 6, 5, 12
INTERESTS = InterestParams(points=4, candidates=40, half_lives_s=(3600.0, 360_000.0))


class World:
    """Items of which some have statistics, neighbours and vectors, some nothing."""

    def __init__(self, rng, n, alike):
        ids = [f"{each}" for each in range(n)]
        self.hashes = np.array([item_hash(each) for each in ids], np.uint64)
        self.index = ItemIndex()
        self.index.intern(self.hashes)
        self.catalog = Catalog.empty(self.index).apply(
            {each: CatalogItem(each, "t", categories_of(rng, n), available=bool(rng.random() < 0.95)) for each in ids}
        )
        self.stats = ItemStatistics(self.index, 20)
        told = np.flatnonzero(rng.random(n) < 0.8)
        self.stats.put(told, [self.record(rng, n) for _ in told])
        rows = rng.normal(size=(n, DIMS)).astype(np.float32) * (1.0 - alike) + 1.0
        there = np.flatnonzero(rng.random(n) < 0.9).astype(np.int32)
        self.vectors = ItemVectors("m", DIMS)
        self.vectors.put(there, rows[there] / np.linalg.norm(rows[there], axis=1, keepdims=True))

    def record(self, rng, n):
        count = int(rng.integers(0, 200))
        near = {int(self.hashes[j]): float(rng.choice([0.5, 1.0, rng.random()])) for j in rng.integers(0, n, 20)}
        return pack_record(
            ItemRecord(
                count, NOW - int(rng.integers(10**10)), NOW - int(rng.integers(10**9)),
                tuple(count * rng.random(6)), tuple(count * rng.random(3)), neighbours=near,
                forwards={each: weight / 2 for each, weight in near.items()},
                moments=tuple(rng.integers(0, 9, 23).tolist()),
            )
        )  # fmt: skip


def categories_of(rng, n):
    """Of many items none is in two; of few all are in up to four of twelve."""
    return tuple(f"c{each}" for each in rng.integers(0, 12, rng.integers(0, 5) if n < 600 else 1).tolist())


def weights_of(rng, kind):
    table, cold = np.array(default_weights().table), np.array(default_weights().cold)
    if kind != "served":
        table, cold = rng.normal(size=table.shape), rng.normal(size=cold.shape)
    if kind == "text":
        table[:, TEXT : TEXT + 3] = rng.normal(size=(len(table), 3)) * 1000.0
    if kind == "nothing but text":
        table[:, :TEXT], table[:, TEXT + 3 :] = 0.0, 0.0
    return make_weights(table, cold, Calibration())


def question_of(rng, n, excludes):
    history = np.stack([rng.permutation(np.arange(-PLACES, n))[:PLACES] for _ in range(USERS)]).clip(-1)
    gains = rng.choice([1.0, 4.0, -2.0, 0.0], history.shape, p=[0.5, 0.2, 0.2, 0.1])
    excluded = history if excludes else np.full((USERS, 1), -1)
    moment = np.full(USERS, NOW), rng.choice([0.0, 2000.0, 1e6], USERS), np.tile((6, 9, 17), (USERS, 1))
    ages_s = np.sort(rng.random(history.shape), axis=1) * rng.choice([1e4, 1e6])
    return Question(history.astype(np.int32), gains, excluded.astype(np.int32), *moment, ages_s)


def earlier(question, ms):
    return question._replace(now_ms=question.now_ms - ms)


def sequence_of(rng, n):
    return SequenceScores(
        np.stack([rng.permutation(n)[: min(8, n)] for _ in range(USERS)]).astype(np.int32),
        (rng.random((USERS, min(8, n))) * 5).astype(np.float32),
    )


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 30, 300, 600]),
    st.sampled_from([0.0, 0.9, 0.999, 1.0]),
    st.sampled_from(["served", "any", "text", "nothing but text"]),
    st.sampled_from([(0.0, 0.0, 0.0), (0.3, -0.2, 0.1), (-50.0, 50.0, 0.0)]),
    st.sampled_from([1, 20, 255]),
    st.booleans(),
    st.sampled_from([0, MAX_AGE_MS, MAX_AGE_MS + 1]),
)
def test_lists_are_the_same_with_bounds_and_without(seed, n, alike, kind, feedback, top_k, has_sequence, age_ms):
    rng = np.random.default_rng(seed)
    world, weights = World(rng, n, alike), weights_of(rng, kind)
    question = question_of(rng, n, excludes=bool(rng.integers(2)))
    past = past_of_items(question.history, world.vectors)
    text = semantics(past, question.gains, question.ages_s, world.vectors, world.catalog.recommendable, INTERESTS)
    known = {
        "catalog": world.catalog, "stats": world.stats, "params": RankingParams(top_k, 300, weights, feedback),
        "priors": compute_priors(world.catalog, world.stats, candidates_each=100, new_items=9, now_ms=NOW),
        "semantics": text, "sequence": sequence_of(rng, n) if has_sequence else None,
    }  # fmt: skip
    moments = Moments()
    rank(earlier(question, age_ms), moments=moments, **known)
    bounded, exact = rank(question, moments=moments, **known), rank(question, **known)
    assert bounded.items.tolist() == exact.items.tolist()
    assert (bounded.scores == exact.scores).all()
    assert np.isfinite(exact.scores).all()
    assert (exact.scores == sum(exact.parts.values())).all()
    split = exact.parts["co_occurrence"] + exact.parts["interest"]
    np.testing.assert_allclose(exact.contributions.sum(axis=2), split, rtol=1e-9, atol=1e-9)
    for row, scores in zip(exact.items, exact.scores, strict=True):
        listed = scores[row >= 0].tolist()
        assert listed == sorted(listed, reverse=True)
