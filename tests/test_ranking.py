"""models/ranking.py and models/priors.py, against a slow oracle that reads like the formula"""

from math import exp, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import ItemRecord, pack_record

from models import ranking
from models.catalog import Catalog, CatalogItem
from models.hashing import item_hash
from models.item_index import ItemIndex
from models.item_rows import DAY_MS
from models.item_stats import ItemStatistics
from models.ranking import COLD_START, INTEREST, PARTS, POPULAR, Calibration, RankingParams, compute_priors, rank

NOW = 1_700_000_000_000
PARAMS = RankingParams(top_k=3)


class World:
    """Items "0", "1", .. with dense indices 0, 1, ..; `links[i]` are the neighbours of i with their weights."""

    def __init__(self, items, counts=(), links=None, missing=(), width=8):
        self.index = ItemIndex()
        self.hashes = [item_hash(str(n)) for n in range(items)]
        self.index.intern(np.array(self.hashes, np.uint64))
        listed = {str(n): CatalogItem(str(n), "t", available=n not in missing) for n in range(items)}
        self.catalog = Catalog.empty(self.index).apply(listed)
        self.stats = ItemStatistics(self.index, width)
        self.counts, self.links = dict(enumerate(counts)), links or {}
        for n in sorted({*self.counts, *self.links}):
            near = {self.hashes[other]: weight for other, weight in self.links.get(n, {}).items()}
            count = self.counts.get(n, 0)
            self.stats.put(
                [n], [pack_record(ItemRecord(count, NOW, NOW - DAY_MS * n, (0.0, count / 2, 0.0), neighbours=near))]
            )
        self.recommendable = set(range(items)) - set(missing)

    def rank(self, history, weights=None, excluded=None, params=PARAMS, candidates_each=50):
        history = np.asarray(history, np.int32)
        weights = np.ones(history.shape) if weights is None else np.array(weights, float).reshape(history.shape)
        excluded = np.array([[]] * len(history) if excluded is None else excluded, np.int32)
        priors = compute_priors(self.catalog, self.stats, candidates_each=candidates_each, now_ms=NOW)
        return rank(history, weights, excluded, catalog=self.catalog, stats=self.stats, priors=priors, params=params)

    def oracle(self, history, weights, excluded, params=PARAMS, candidates_each=50):
        """One user, all candidates: item -> (score, parts, share of each item of the history), from the formula."""

        def unit(values):
            logs = {j: log1p(values(j)) for j in self.recommendable}
            largest = max(logs.values(), default=0.0)
            return {j: value / largest if largest else value for j, value in logs.items()}

        def leading(prior):
            order = sorted(self.recommendable, key=lambda j: (-prior[j], -count(j), self.hashes[j]))
            return set(order[:candidates_each])

        def count(item):
            return self.counts.get(item, 0)

        trend = unit(lambda j: count(j) / 2 * exp(-j / 7))
        popularity = unit(count)
        used = {h: w for h, w in zip(history, weights, strict=True) if h >= 0 and w}
        near = {j for h in used for j in self.links.get(h, {})}
        candidates = (near | leading(trend) | leading(popularity)) & self.recommendable - set(excluded)
        scored = {}
        for j in candidates:
            shares = {
                h: params.weight_co_occurrence * w * self.links.get(h, {}).get(j, 0.0)
                / sqrt(count(h) + 10) / sqrt(count(j) + 10)
                for h, w in used.items()
            }  # fmt: skip
            parts = {
                "co_occurrence": sum(shares.values()),
                "interest": 0.0,
                "trend": params.weight_trend * trend[j],
                "popularity": params.weight_popularity * popularity[j] / (1 + len(used)),
            }
            scored[j] = sum(parts.values()), parts, [shares.get(h, 0.0) for h in history]
        return scored


# --- by hand


def test_a_neighbour_of_the_history_comes_first_with_the_score_of_the_formula():
    world = World(4, counts=[6, 15, 0, 26], links={0: {2: 3.0}, 1: {2: 1.0, 3: 5.0}})
    ranked = world.rank([[0, 1]], [[0.75, 0.25]], [[0, 1]], RankingParams(3, weight_trend=0, weight_popularity=0))
    assert ranked.items.tolist() == [[2, 3, -1]]
    of_2 = [0.75 * 3 / 4 / sqrt(10), 0.25 * 1 / 5 / sqrt(10)]
    of_3 = [0.0, 0.25 * 5 / 5 / 6]
    assert ranked.contributions[0, :2] == pytest.approx(np.array([of_2, of_3]), rel=1e-12)
    assert ranked.scores[0] == pytest.approx([sum(of_2), sum(of_3), 0.0], rel=1e-12)
    assert ranked.strategy[0, :2].tolist() == [INTEREST, INTEREST]


def test_a_user_without_history_gets_what_is_popular():
    ranked = World(4, counts=[1, 30, 5, 80]).rank([[-1, -1]])
    assert ranked.items.tolist() == [[3, 1, 2]]
    assert ranked.strategy.tolist() == [[COLD_START] * 3]
    assert not ranked.contributions.any()


def test_a_history_that_leads_nowhere_gives_popular_items_named_as_such():
    ranked = World(3, counts=[5, 30, 80]).rank([[0, -1]], excluded=[[0]])
    assert ranked.items.tolist() == [[2, 1, -1]]
    assert ranked.strategy[0, :2].tolist() == [POPULAR, POPULAR]


def test_history_the_index_or_the_statistics_do_not_know_is_harmless():
    world = World(3, counts=[5, 30, 80])
    world.index.intern(np.array([77], np.uint64))
    assert world.rank([[3, -1]]).items.tolist() == [[2, 1, 0]]


def test_popularity_counts_less_the_more_history_there_is():
    world = World(4, counts=[9, 9, 9, 9])
    parts = world.rank([[-1, -1], [0, -1], [0, 1]]).parts["popularity"][:, 0]
    assert parts == pytest.approx([0.02, 0.02 / 2, 0.02 / 3])


def test_a_dislike_pushes_its_neighbours_down():
    world = World(3, counts=[1, 1, 1], links={0: {1: 1.0}})
    ranked = world.rank([[0]], [[-1.0]], [[0]])
    assert ranked.items.tolist() == [[2, 1, -1]]
    assert ranked.parts["co_occurrence"][0, 1] < 0
    assert ranked.strategy[0, :2].tolist() == [POPULAR, POPULAR]


def test_an_empty_catalogue_recommends_nothing():
    index = ItemIndex()
    catalog, stats = Catalog.empty(index), ItemStatistics(index, 4)
    priors = compute_priors(catalog, stats, candidates_each=50, now_ms=NOW)
    nothing = np.full((2, 3), -1, np.int32)
    for _ in range(2):
        ranked = rank(nothing, np.zeros((2, 3)), nothing, catalog=catalog, stats=stats, priors=priors, params=PARAMS)
        assert ranked.items.tolist() == [[-1] * 3] * 2
        assert not ranked.scores.any()
        index.intern(np.array([4, 5], np.uint64))
        stats.put([0], [pack_record(ItemRecord(3, neighbours={5: 1.0}))])
        nothing[0, 0] = 0


def test_no_users_give_no_lists():
    ranked = World(3).rank(np.zeros((0, 2)), excluded=np.zeros((0, 2)))
    assert ranked.items.shape == (0, 3)
    assert ranked.contributions.shape == (0, 3, 2)


def test_equal_scores_go_to_the_higher_count_and_then_to_the_lower_hash():
    flat = RankingParams(6, weight_trend=0, weight_popularity=0)
    low_to_high = sorted(range(6), key=World(6).hashes.__getitem__)
    often = low_to_high[3:5]
    world = World(6, counts=[2 if n in often else 1 for n in range(6)])
    by_hash = often + [n for n in low_to_high if n not in often]
    assert world.rank([[-1]], params=flat).items.tolist() == [by_hash]
    assert (
        world.rank([[-1]], params=RankingParams(2, weight_trend=0, weight_popularity=0)).items[0].tolist()
        == by_hash[:2]
    )


def test_without_any_statistics_there_are_still_candidates():
    world = World(40)
    lowest = sorted(range(40), key=world.hashes.__getitem__)[:3]
    assert world.rank([[-1]], candidates_each=5).items[0].tolist() == lowest


def test_probability_is_the_documented_sigmoid_of_the_score():
    params = RankingParams(3, calibration=Calibration(2.0, -1.0))
    ranked = World(3, counts=[1, 2, 3]).rank([[-1]], params=params)
    assert ranked.probability == pytest.approx(1 / (1 + np.exp(-(2 * ranked.scores - 1))), rel=1e-12)


def test_a_list_has_at_least_one_place():
    with pytest.raises(ValueError, match="top_k"):
        RankingParams(top_k=0)


def test_priors_are_between_0_and_1_and_the_leader_has_1():
    world = World(4, counts=[9, 3, 0, 500], missing={3})
    priors = compute_priors(world.catalog, world.stats, candidates_each=2, now_ms=NOW + 3 * DAY_MS)
    assert priors.popularity.tolist() == [1.0, log1p(3) / log1p(9), 0.0, 0.0]
    aged = [log1p(4.5 * exp(-3 / 7)), log1p(1.5 * exp(-4 / 7))]
    assert priors.trend == pytest.approx([1.0, aged[1] / aged[0], 0.0, 0.0])
    assert priors.candidates.tolist() == [0, 1]
    assert (priors.stats_version, priors.catalog_version) == (world.stats.version, 1)


def test_items_met_after_the_priors_were_computed_are_ranked_without_them():
    world = World(3, counts=[9, 3, 1])
    priors = compute_priors(world.catalog, world.stats, candidates_each=50, now_ms=NOW)
    catalog = world.catalog.apply({"new": CatalogItem("new", "t")})
    world.stats.put([0], [pack_record(ItemRecord(9, neighbours={item_hash("new"): 4.0}))])
    history, nothing = np.array([[0]], np.int32), np.zeros((1, 0), np.int32)
    ranked = rank(history, np.ones((1, 1)), nothing, catalog=catalog, stats=world.stats, priors=priors, params=PARAMS)
    assert catalog.id_of(int(ranked.items[0, 0])) == "new"
    assert ranked.parts["popularity"][0, 0] == 0.0


# --- laws


@st.composite
def cases(draw):
    items = draw(st.integers(1, 14))
    some = st.integers(0, items - 1)
    link = st.dictionaries(some, st.sampled_from([0.5, 1.0, 1.9, 7.25]), max_size=8)
    world = World(
        items,
        draw(st.lists(st.integers(0, 40), max_size=items)),
        draw(st.dictionaries(some, link, max_size=items)),
        draw(st.frozensets(some, max_size=4)),
    )
    users, width = draw(st.integers(1, 6)), draw(st.integers(0, 5))
    maybe = st.integers(-1, items - 1)
    history = [draw(st.permutations(range(-4, items)))[:width] for _ in range(users)]
    history = [[max(h, -1) for h in row] + [-1] * (width - len(row)) for row in history]
    weights = [draw(st.lists(st.sampled_from([-0.5, 0.0, 0.25, 1.0]), min_size=width, max_size=width)) for _ in history]
    excluded = [draw(st.lists(maybe, min_size=3, max_size=3)) for _ in history]
    params = RankingParams(draw(st.integers(1, 6)), 1.5, draw(st.sampled_from([0.0, 0.02])), 0.3)
    return world, history, weights, excluded, params, draw(st.sampled_from([0, 1, 3, 50]))


@settings(deadline=None, max_examples=200)
@given(cases())
def test_it_agrees_with_the_oracle(case):
    world, history, weights, excluded, params, each = case
    ranked = world.rank(history, weights, excluded, params, each)
    for n in range(len(history)):
        _check(ranked, n, world.oracle(history[n], weights[n], excluded[n], params, each))


def _check(ranked, n, oracle):
    """User n's list holds as many of the oracle's best as fit, each with the oracle's numbers."""
    best = sorted((score for score, _, _ in oracle.values()), reverse=True)[: ranked.items.shape[1]]
    length = len(best)
    assert ranked.scores[n, :length] == pytest.approx(best, abs=1e-12)
    assert ranked.items[n, length:].tolist() == [-1] * (ranked.items.shape[1] - length)
    for place, item in enumerate(ranked.items[n, :length].tolist()):
        score, parts, shares = oracle[item]
        assert ranked.scores[n, place] == pytest.approx(score, abs=1e-12)
        assert {name: ranked.parts[name][n, place] for name in PARTS} == pytest.approx(parts, abs=1e-12)
        assert ranked.contributions[n, place].tolist() == pytest.approx(shares, abs=1e-12)


@settings(deadline=None)
@given(cases())
def test_a_batch_gives_the_same_bits_as_its_users_one_by_one(case):
    world, history, weights, excluded, params, each = case
    batch = world.rank(history, weights, excluded, params, each)
    for n in range(len(history)):
        alone = world.rank(history[n : n + 1], weights[n : n + 1], excluded[n : n + 1], params, each)
        for name in ("items", "scores", "strategy", "probability", "contributions"):
            assert getattr(alone, name)[0].tobytes() == getattr(batch, name)[n].tobytes(), name
        for name in PARTS:
            assert alone.parts[name][0].tobytes() == batch.parts[name][n].tobytes(), name


@settings(deadline=None)
@given(cases())
def test_lists_are_ordered_distinct_allowed_and_their_numbers_add_up(case):
    world, history, weights, excluded, params, each = case
    ranked = world.rank(history, weights, excluded, params, each)
    assert (ranked.scores == sum(ranked.parts[name] for name in PARTS)).all()
    total = ranked.contributions.sum(axis=2)
    np.testing.assert_allclose(total, ranked.parts["co_occurrence"], rtol=0, atol=1e-12)
    for n, row in enumerate(ranked.items.tolist()):
        items = [item for item in row if item >= 0]
        assert row == items + [-1] * (len(row) - len(items))
        assert len(set(items)) == len(items)
        assert set(items) <= world.recommendable - set(excluded[n])
        assert (np.diff(ranked.scores[n, : len(items)]) <= 0).all()
        assert not ranked.scores[n, len(items) :].any()


def test_users_ranked_in_several_passes_are_the_same_as_in_one(monkeypatch):
    rng = np.random.default_rng(7)
    links = {
        n: {int(j): float(w) for j, w in zip(rng.integers(0, 50, 6), rng.random(6), strict=True)} for n in range(50)
    }
    world = World(50, rng.integers(0, 99, 50).tolist(), links)
    history = np.stack([rng.choice(50, 5, replace=False) for _ in range(150)])
    whole = world.rank(history, excluded=history)
    monkeypatch.setattr(ranking, "_PASS_TERMS", 7 * 5 * 8)
    split = world.rank(history, excluded=history)
    for name in ("items", "scores", "strategy", "probability", "contributions"):
        assert getattr(split, name).tobytes() == getattr(whole, name).tobytes()


def test_large_random_batches_agree_with_the_oracle():
    rng = np.random.default_rng(11)
    links = {
        n: {int(j): float(w) for j, w in zip(rng.choice(300, 30, replace=False), rng.random(30), strict=True)}
        for n in range(300)
    }
    world = World(300, rng.integers(0, 500, 300).tolist(), links, missing=set(range(0, 300, 9)), width=30)
    history = np.stack([rng.choice(300, 12, replace=False) for _ in range(40)])
    weights = rng.normal(size=history.shape)
    params = RankingParams(top_k=20)
    ranked = world.rank(history, weights, history, params, 25)
    for n in range(40):
        _check(ranked, n, world.oracle(history[n].tolist(), weights[n].tolist(), history[n].tolist(), params, 25))
