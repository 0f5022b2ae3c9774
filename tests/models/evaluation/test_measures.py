"""Every figure of an evaluation beside its formula written out, beside scikit-learn and ranx where they are installed."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from evaluation_streams import make_known, make_stream, random_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.bootstrap import Part, Resamples
from models.evaluation.calibration import (
    area_under_roc,
    expected_calibration_error,
    log_loss,
    outcomes,
    reliability,
)
from models.evaluation.contract import NEVER_MS
from models.evaluation.measures import (
    diversity_by_audience,
    diversity_by_vectors,
    gini,
    list_hits,
    per_question,
    spread,
)
from models.evaluation.protocol import LISTED, Answers
from models.evaluation.questions import audiences, questions
from models.evaluation.slices import slices


def answers_of(scores, target):
    """(q, n) distinct scores -> Answers; the target is ranked among all n."""
    order = np.argsort(-scores, axis=1)
    rank = 1.0 + np.argmax(order == target[:, None], axis=1)
    q, n = scores.shape
    listed = np.full((q, LISTED), -1, np.int32)
    listed[:, : min(n, LISTED)] = order[:, :LISTED]
    return Answers(rank, np.full(q, n, np.int32), listed, np.zeros(q), np.full((q, LISTED), np.nan, np.float32), False)


@pytest.fixture
def ranked():
    rng = np.random.default_rng(5)
    scores = rng.permuted(np.tile(np.arange(40.0), (200, 1)), axis=1)
    target = rng.integers(0, 40, 200)
    found = per_question(answers_of(scores, target), np.ones(200, bool), np.zeros(200))
    return scores, target, found


@pytest.mark.parametrize("k", [10, 20])
def test_metrics_are_their_textbook_formulas_over_the_whole_ranking(ranked, k):
    scores, target, found = ranked
    for q in range(len(target)):
        relevant = [float(j == target[q]) for j in np.argsort(-scores[q])]
        top = relevant[:k]
        ideal = sum(r / math.log2(2 + n) for n, r in enumerate(sorted(relevant, reverse=True)[:k]))
        precision, recall = sum(top) / k, sum(top) / sum(relevant)
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert found[f"ndcg@{k}"][q] == pytest.approx(sum(r / math.log2(2 + n) for n, r in enumerate(top)) / ideal)
        assert found[f"hr@{k}"][q] == float(any(top))
        assert found[f"precision@{k}"][q] == pytest.approx(precision)
        assert found[f"recall@{k}"][q] == pytest.approx(recall)
        assert found[f"f1@{k}"][q] == pytest.approx(f1)
        assert found["mrr"][q] == pytest.approx(1 / (1 + relevant.index(1.0)))
        below = sum(scores[q][j] < scores[q][target[q]] for j in range(40))
        assert found["auc"][q] == pytest.approx(below / 39)


def test_metrics_are_those_of_scikit_learn(ranked):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, target, found = ranked
    truth = np.eye(40)[target]
    for q in range(len(target)):
        assert found["ndcg@10"][q] == pytest.approx(metrics.ndcg_score(truth[q : q + 1], scores[q : q + 1], k=10))
        assert found["auc"][q] == pytest.approx(metrics.roc_auc_score(truth[q], scores[q]))
    assert found["mrr"].mean() == pytest.approx(metrics.label_ranking_average_precision_score(truth, scores))


def test_metrics_are_those_of_ranx(ranked):
    ranx = pytest.importorskip("ranx")
    scores, target, found = ranked
    truth = ranx.Qrels({f"q{q}": {str(item): 1} for q, item in enumerate(target)})
    given = ranx.Run({f"q{q}": {str(j): float(s) for j, s in enumerate(row)} for q, row in enumerate(scores)})
    names = {
        "hit_rate@10": "hr@10",
        "ndcg@20": "ndcg@20",
        "mrr": "mrr",
        "precision@10": "precision@10",
        "f1@10": "f1@10",
    }
    theirs = ranx.evaluate(truth, given, list(names))
    for name, ours in names.items():
        assert found[ours].mean() == pytest.approx(theirs[name])


def test_a_half_tied_target_counts_at_its_mean_place_and_one_that_nobody_knew_not_at_all():
    scores = np.zeros((2, 4))
    answers = answers_of(scores, np.array([0, 0]))._replace(rank=np.array([10.5, 1.0]))
    found = per_question(answers, np.array([True, False]), np.zeros(2))

    assert (found["hr@10"].tolist(), found["hr@20"].tolist()) == ([0.0, 0.0], [1.0, 0.0])
    assert found["ndcg@20"][0] == pytest.approx(1 / math.log2(11.5))
    assert found["mrr"].tolist() == pytest.approx([1 / 10.5, 0.0])


def test_lists_of_the_contenders_own_are_judged_by_place():
    answers = answers_of(np.zeros((2, 3)), np.array([0, 0]))
    answers.listed[:] = -1
    answers.listed[0, :3] = [7, 5, 3]

    found = list_hits(answers, np.array([5, 5], np.int32))

    assert found["list_hr@10"].tolist() == [1.0, 0.0]
    assert found["list_ndcg@10"].tolist() == pytest.approx([1 / math.log2(3), 0.0])


def test_gini_is_0_where_all_are_alike_and_nearly_1_where_one_has_everything():
    assert gini(np.array([3, 3, 3])) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    counts = np.array([1, 4, 2, 9])
    differences = np.abs(counts[:, None] - counts).sum() / (2 * 16 * counts.mean())
    assert gini(counts) == pytest.approx(differences)


def test_coverage_counts_the_items_that_stood_in_a_list():
    listed = np.full((2, LISTED), -1, np.int32)
    listed[0, :2], listed[1, :2] = [0, 1], [0, 2]

    assert spread(listed, np.arange(4, dtype=np.int32), 1).coverage == 0.25
    assert spread(listed, np.arange(4, dtype=np.int32), 2).coverage == 0.75


def test_diversity_is_the_mean_distance_of_the_pairs_of_a_list():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4] = 0  # nothing is known of it
    listed = np.full((3, LISTED), -1, np.int32)
    listed[0, :LISTED] = rng.permutation(30)[:LISTED]
    listed[1, :3] = [4, 7, 8]
    listed[2, :1] = [7]

    found = diversity_by_vectors(listed, vectors)

    for row in (0, 1):
        items = [j for j in listed[row, :10] if j >= 0 and j != 4]
        expected = np.mean([1 - vectors[a] @ vectors[b] for a, b in combinations(items, 2)])
        assert found[row] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(found[2])


def test_diversity_by_audience_is_the_cosine_of_who_had_the_items():
    stream = random_stream(4, n=200, users=9, items=15, queries=0)
    audience = audiences(stream, 15)
    users = [set(audience.values[audience.starts[j] : audience.starts[j + 1]].tolist()) for j in range(15)]
    rng = np.random.default_rng(1)
    listed = np.full((6, LISTED), -1, np.int32)
    for row in range(6):
        listed[row, : row + 1] = rng.permutation(15)[: row + 1]

    found = diversity_by_audience(listed, audience)

    assert np.isnan(found[0])
    for row in range(1, 6):
        pairs = list(combinations(listed[row, : row + 1].tolist(), 2))
        cosines = [len(users[a] & users[b]) / math.sqrt(len(users[a]) * len(users[b])) for a, b in pairs]
        assert found[row] == pytest.approx(1 - np.mean(cosines))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.integers(1, 9))
def test_area_under_roc_is_the_share_of_pairs_in_the_right_order(seed, levels):
    rng = np.random.default_rng(seed)
    score, clicked = rng.integers(0, levels, 40) / levels, rng.random(40) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in score[clicked] for b in score[~clicked]]

    found = area_under_roc(score, clicked)

    assert math.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_calibration_by_hand():
    stated, clicked = np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, True, True, True])

    bins = reliability(stated, clicked, bins=2)

    assert (bins.stated.tolist(), bins.observed.tolist(), bins.pairs.tolist()) == ([0.1, 0.9], [0.5, 1.0], [2, 2])
    assert expected_calibration_error(bins) == pytest.approx((0.4 + 0.1) / 2)
    assert log_loss(stated, clicked) == pytest.approx(-(math.log(0.9) + math.log(0.1) + 2 * math.log(0.9)) / 4)
    assert math.isfinite(log_loss(np.array([0.0, 1.0]), np.array([True, False])))


def test_only_what_is_shown_has_an_outcome():
    listed = np.full((1, LISTED), -1, np.int32)
    listed[0, :12] = np.arange(12)
    probability = np.linspace(0, 1, LISTED, dtype=np.float32)[None, :].copy()
    probability[0, 3] = np.nan

    stated, clicked = outcomes(listed, probability, np.array([2], np.int32))

    assert (stated.size, np.flatnonzero(clicked).tolist()) == (9, [2])


def test_intervals_cover_the_normal_approximation_and_those_of_no_difference_are_nothing():
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(2000, dtype=np.int32), 3)
    values = rng.normal(0.3, 1.0, 2000)[user]
    mask = np.ones(6000, bool)

    (metric, nothing), (few, _) = Resamples(user, 7).intervals(
        [Part(mask, np.stack((values, values - values))), Part(user < 2, np.stack((values, values)))]
    )

    half = 1.96 * values[::3].std() / math.sqrt(2000)
    assert metric == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)
    assert nothing == (0.0, 0.0)
    assert few == pytest.approx(sorted((values[0], values[3])))
    assert metric.high - metric.low > 1.5 * 2 * 1.96 * values.std() / math.sqrt(
        6000
    )  # a user's questions are not independent


def test_the_interval_of_a_slice_without_questions_is_none():
    (found,) = Resamples(np.zeros(3, np.int32), 0).intervals([Part(np.zeros(3, bool), np.ones((1, 3)))])

    assert all(math.isnan(edge) for edge in found[0])


def test_slices_are_what_they_are_called():
    day = 86_400_000
    stream = make_stream([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 3, 4], time_ms=[0, 1, 2, day, 40 * day, 40 * day + 1])
    known = make_known(stream, listed_from_ms=[NEVER_MS, NEVER_MS, NEVER_MS, NEVER_MS, 0])
    asked = questions(stream, known, 2)

    found = {name: mask.tolist() for name, mask in slices(asked, stream, 2).items()}

    assert found == {
        "users_under_5": [True, True, True, True],
        "users_without_history": [False, True, False, True],
        "users_not_in_warm_up": [False, True, True, True],
        "items_under_5": [True, True, True, True],
        "items_1_to_4": [False, True, False, False],
        "items_unseen": [False, False, False, True],
        "items_unknown": [True, False, True, False],
        "session_start": [False, True, True, True],
        "session_start_returning": [False, False, True, False],
        "session_within": [True, False, False, False],
        "month:1970-01": [True, True, False, False],
        "month:1970-02": [False, False, True, True],
    }
