"""The baselines of `penchant evaluate`: what holds for every one of them, then each beside its formula."""

from __future__ import annotations

import math
from collections import defaultdict
from importlib.util import find_spec

import numpy as np
import pytest
from evaluation_streams import Fixed, make_known, make_stream, random_stream

from models.evaluation.baselines import pair_counts
from models.evaluation.baselines.content import TextMean, Window
from models.evaluation.baselines.ease import item_weights
from models.evaluation.baselines.implicit_factors import fold_in
from models.evaluation.baselines.pair_counts import PairCounts, Recipe
from models.evaluation.baselines.recency_popularity import DAY_MS, DecayedCounts
from models.evaluation.baselines.user_cf import Hood, UserNeighbours
from models.evaluation.contract import Setup, UnavailableError
from models.evaluation.history import UserPrefix
from models.evaluation.protocol import run
from models.evaluation.questions import questions, warm_up_end
from models.evaluation.tuning import choose
from models.training.two_tower import examples
from stream.analysis.rankings.contenders import OTHERS


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def judged(name, stream, known, end, stop=None):
    asked = questions(stream, known, end, stop)
    try:
        return run(OTHERS[name](Setup(1)), stream, known, asked, end, stop)
    except UnavailableError as reason:
        assert "pip install" in str(reason)  # noqa: PT017
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", OTHERS)
def test_what_happens_later_changes_no_answer(name):
    stream = random_stream(11, n=400, users=15, items=30)
    known = make_known(stream)
    known = known._replace(text_vectors=unit(np.random.default_rng(0).normal(size=(known.n_items, 6))))
    end, stop = warm_up_end(stream, 0.5), 330
    rng = np.random.default_rng(2)
    other = {field: getattr(stream, field).copy() for field in ("user", "item")}
    later = rng.permutation(np.arange(stop, 400))
    changed = make_stream(
        np.concatenate((other["user"][:stop], other["user"][later])),
        np.concatenate((other["item"][:stop], other["item"][later])),
        stream.time_ms,
        np.concatenate((stream.positive[:stop], rng.random(400 - stop) < 0.5)),
    )
    assert (changed.item[:stop] == stream.item[:stop]).all()

    first, second = judged(name, stream, known, end, stop), judged(name, changed, known, end, stop)

    assert first.rank.tolist() == second.rank.tolist()
    assert first.listed.tolist() == second.listed.tolist()


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_seed_gives_the_same_answers_and_few_data_are_no_fault(name):
    stream = random_stream(3, n=40, users=4, items=6)
    known = make_known(stream)
    known = known._replace(text_vectors=unit(np.ones((known.n_items, 4))))

    for share in (0.0, 0.5):
        end = warm_up_end(stream, share)
        assert judged(name, stream, known, end).rank.tolist() == judged(name, stream, known, end).rank.tolist()


def histories_at(stream, at):
    """Items of each user before `at`, newest first."""
    had = defaultdict(list)
    for n in range(at):
        if stream.first[n]:
            had[int(stream.user[n])].insert(0, int(stream.item[n]))
    return had


def asked_scores(contender, stream, known, end):
    """(event, scores) of every question."""
    asked, found = questions(stream, known, end), []

    def remember(at):
        found.append((at, contender.ask(at).scores.copy()))
        return found[-1][1]

    class Both(Fixed):
        def warm_up(self, *given):
            contender.warm_up(*given)

        def learn(self, at):
            contender.learn(at)

    run(Both(remember), stream, known, asked, end)
    return found


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    "recipe", [Recipe(0.9, 50, 0.8, 8, 10.0), Recipe(0.7, 3, 0.5, 2, 0.0), Recipe(1.0, 10_000, 1.0, 5, 1.0)]
)
def test_pair_counts_are_the_recipe_written_out(recipe, dense, monkeypatch):
    monkeypatch.setattr(pair_counts, "DENSE_ITEMS", 10_000 if dense else 0)
    stream = random_stream(5, n=250, users=8, items=20)
    known = make_known(stream)

    for at, scores in asked_scores(PairCounts("pairs", recipe), stream, known, 120):
        pairs, count, had = np.zeros((known.n_items,) * 2), np.zeros(known.n_items), defaultdict(list)
        for n in range(at):
            if stream.first[n]:
                user, b = int(stream.user[n]), int(stream.item[n])
                for q, h in enumerate(had[user][: recipe.write_window]):
                    pairs[h, b] += recipe.write_decay**q
                    pairs[b, h] += recipe.write_decay**q
                had[user].insert(0, b)
                count[b] += 1
        newest = had[int(stream.user[at])][: recipe.read_window]
        if not newest:
            assert scores.tolist() == count.tolist()
            continue
        expected = np.zeros(known.n_items)
        for q, h in enumerate(newest):
            with np.errstate(invalid="ignore", divide="ignore"):
                expected += recipe.read_decay**q * np.nan_to_num(
                    pairs[h] / np.sqrt((count[h] + recipe.smoothing) * (count + recipe.smoothing))
                )
        assert scores == pytest.approx(expected, rel=1e-5)


def test_decayed_counts_order_items_as_the_sum_of_halves_does_even_over_a_century():
    rng = np.random.default_rng(8)
    n = 200
    times = np.sort(rng.integers(0, 100 * 365, n)) * DAY_MS
    stream = make_stream(np.arange(n), rng.integers(0, 12, n), times)
    known = make_known(stream)

    for at, scores in asked_scores(DecayedCounts(30.0), stream, known, 100):
        age = (times[at] - times[:at]) / (30.0 * DAY_MS)
        expected = np.bincount(stream.item[:at], weights=0.5**age, minlength=known.n_items)
        kept = expected > 1e-150
        assert scores[kept] / scores.max() == pytest.approx(expected[kept] / expected.max(), rel=1e-9)


def test_user_neighbours_are_the_cosine_written_out():
    stream = random_stream(6, n=260, users=10, items=20)
    known = make_known(stream)

    for at, scores in asked_scores(UserNeighbours(Hood(3, 5)), stream, known, 130):
        had = histories_at(stream, at)
        user = int(stream.user[at])
        newest = had[user][:5]
        if not newest:
            continue
        near = {
            v: len(set(newest) & set(items)) / math.sqrt(len(newest) * len(items))
            for v, items in had.items()
            if v != user and set(newest) & set(items)
        }
        kept = sorted(near.values(), reverse=True)[:3]
        if len(kept) == 3 and sum(s == kept[-1] for s in near.values()) > 1:
            continue  # equals at the edge: either may stand there
        expected = np.zeros(known.n_items)
        for v, similarity in near.items():
            if similarity in kept:
                expected[had[v]] += similarity
        assert scores == pytest.approx(expected)


@pytest.mark.parametrize(("users", "items"), [(30, 8), (8, 30)])
def test_ease_weights_are_the_closed_form_from_either_side(users, items):
    rng = np.random.default_rng(1)
    ones = rng.random((users, items)) < 0.4
    ones[:, 0] = True
    user, item = np.nonzero(ones)
    x = ones.astype(float)
    inverse = np.linalg.inv(x.T @ x + 5.0 * np.eye(items))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)

    found = item_weights(user.astype(np.int32), item, items, 5.0)

    assert found == pytest.approx(expected, abs=1e-5)


def test_folding_in_solves_the_weighted_least_squares_of_the_user():
    rng = np.random.default_rng(4)
    items, alpha, penalty = rng.normal(size=(20, 5)), 7.0, 0.5
    had = [2, 3, 11]
    confidence = np.ones(20)
    confidence[had] = alpha
    wanted = np.zeros(20)
    wanted[had] = 1.0
    left = np.vstack((np.sqrt(confidence)[:, None] * items, math.sqrt(penalty) * np.eye(5)))
    expected = np.linalg.lstsq(left, np.concatenate((np.sqrt(confidence) * wanted, np.zeros(5))), rcond=None)[0]

    found = fold_in(items[had], items.T @ items + penalty * np.eye(5), alpha)

    assert found == pytest.approx(expected)


def test_folding_in_is_what_implicit_does():
    pytest.importorskip("implicit")
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(9)
    matrix = csr_matrix((rng.random((40, 25)) < 0.2).astype(np.float32))
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=6, regularization=0.3, alpha=5.0, iterations=30, num_threads=1, random_state=1, use_cg=False
        )
        model.fit(matrix, show_progress=False)
    factors = np.asarray(model.item_factors)

    for user in range(5):
        had = factors[matrix[user].indices]
        ours = fold_in(had, factors.T @ factors + 0.3 * np.eye(6, dtype=np.float32), 5.0)
        assert ours == pytest.approx(model.recalculate_user(user, matrix[user]), rel=1e-3, abs=1e-4)


def test_content_scores_by_the_decayed_mean_of_what_is_particular_in_the_texts():
    stream = make_stream([0, 0, 1, 1, 0], [0, 1, 2, 3, 2])
    vectors = unit(np.array([[1, 0, 1], [1, 0.9, 0], [1, -1, 0], [1, 0, -1.0]]))
    known = make_known(stream)._replace(text_vectors=vectors)
    moved = unit(vectors - vectors.mean(axis=0))

    scores = dict(asked_scores(TextMean(Window(0.5, 8)), stream, known, 4))[4]

    assert scores == pytest.approx(moved @ (moved[1] + 0.5 * moved[0]), abs=1e-6)


def test_content_says_what_it_lacks():
    stream = random_stream(1, n=40)
    known = make_known(stream)

    with pytest.raises(UnavailableError, match="--items"):
        run(OTHERS["content"](Setup()), stream, known, questions(stream, known, 20), 20)


def test_the_default_stays_unless_another_option_is_clearly_better():
    stream = random_stream(7, n=3000, users=60, items=40, queries=0)
    known = make_known(stream)
    rng = np.random.default_rng(0)
    target = np.eye(known.n_items)[stream.item]
    noise = [rng.random((stream.n_events, known.n_items)) for _ in range(3)]
    tables = {"default": noise[0], "as good": noise[1], "better": noise[2] + 0.5 * target}

    def choice(*names):
        return choose(lambda name: Fixed(lambda at: tables[name][at]), names, stream, known, 1000)

    assert choice("default", "better").best == 1
    assert choice("better", "default").best == 0
    assert choice("default", "default").best == 0
    assert len(choice("default", "as good", "better").ndcg) == 3
    assert choice("default").best == 0


def test_every_baseline_is_called_by_its_name():
    called = {name: make(Setup()).name for name, make in OTHERS.items() if name != "two_tower" or find_spec("torch")}

    assert called == {name: name for name in called}
    assert len(called) >= len(OTHERS) - 1


def test_two_towers_learn_from_what_each_user_had_before_newest_first():
    stream = make_stream([0, 0, 1, 0, 1], [0, 1, 2, 3, 0])
    past = UserPrefix(stream, make_known(stream), 5)

    found = examples(past.by_user, past.length, 4)

    assert found.target.tolist() == [1, 3, 0]
    assert [[item for item in row if item < 4] for row in found.history.tolist()] == [[0], [1, 0], [2]]
