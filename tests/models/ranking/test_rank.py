"""models/ranking and models/items/priors.py, against a slow oracle."""

from math import exp, log, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import ItemRecord, pack_record

from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from models.items.priors import compute_priors
from models.items.rows import DAY_MS
from models.items.stats import ItemStatistics
from models.ranking import rank as ranking
from models.ranking.features import FEATURES, PART_OF, PARTS, SCALES, Question, items_of
from models.ranking.few_items import ADDED, lists_of_few, with_added
from models.ranking.moment import Moments
from models.ranking.newcomers import followed, with_list
from models.ranking.rank import RankingParams, SequenceScores, rank, score_all
from models.ranking.weights import Calibration, default_weights, from_json, make_weights, named, to_json, user_weights
from models.vocabulary import COLD_START, EXPERTS, INTEREST, NEWCOMER_CONTEXTS, POPULAR

NOW = 1_699_990_000_000
BINS = (6, 9, 17)
PLAIN = named({"always": {"co_fast": 1.0, "co_forward": 0.5}}, {"popularity": 1.0})


DECAYED = {
    "trend_hour": (1 / 8, 1 / 24), "trend_6_hours": (1 / 7, 1 / 4), "trend_day": (1 / 4, 1), "trend_week": (1 / 2, 7),
    "trend_2_months": (1, 60), "trend_year": (2, 365), "entry_3_days": (1 / 9, 3), "entry_month": (1 / 5, 30),
    "entry_year": (1 / 3, 365),
}  # fmt: skip
"""Of each decayed count: what it is as a share of the item's count, and its time constant in days."""


def _decayed(count):
    """Trends, entries."""
    shares = [count * share for share, _ in DECAYED.values()]
    return tuple(shares[:6]), tuple(shares[6:])


def age_of(place):
    """s: a basket of three within an hour, then older and older; from the sixth place on beyond what `co_hour` counts."""
    return 900.0 * place**2


class World:
    """Items "0", "1", .. with dense indices 0, 1, ..; `links[i]` are the neighbours of i with their weights."""

    def __init__(self, items, counts=(), links=None, missing=(), width=8, categories=()):
        self.index = ItemIndex()
        self.hashes = [item_hash(str(n)) for n in range(items)]
        self.index.intern(np.array(self.hashes, np.uint64))
        self.categories = dict(enumerate(categories))
        listed = {
            str(n): CatalogItem(str(n), "t", tuple(self.categories.get(n, "")), available=n not in missing)
            for n in range(items)
        }
        self.catalog = Catalog.empty(self.index).apply(listed)
        self.stats = ItemStatistics(self.index, width)
        self.counts, self.links, self.moments = dict(enumerate(counts)), links or {}, {}
        for n in sorted({*self.counts, *self.links}):
            near = {self.hashes[other]: weight for other, weight in self.links.get(n, {}).items()}
            count = self.counts.get(n, 0)
            self.moments[n] = tuple((n * b) % 7 for b in range(23))
            record = ItemRecord(
                count, NOW - n * DAY_MS, NOW - DAY_MS * n, *_decayed(count), neighbours=near,
                forwards={each: weight / 2 for each, weight in near.items()}, moments=self.moments[n],
            )  # fmt: skip
            self.stats.put([n], [pack_record(record)])
        self.recommendable = set(range(items)) - set(missing)

    def question(self, history, gains=None, excluded=None, idle_s=0.0):
        history = np.array(history, np.int32).reshape(len(history), -1)
        gains = np.ones(history.shape) if gains is None else np.array(gains, float).reshape(history.shape)
        excluded = np.array([[]] * len(history) if excluded is None else excluded, np.int32)
        users = len(history)
        moment = np.full(users, NOW), np.full(users, idle_s), np.tile(np.array(BINS), (users, 1))
        ages_s = np.tile(np.array([age_of(q) for q in range(history.shape[1])]), (users, 1))
        return Question(history, gains, excluded.reshape(users, -1), *moment, ages_s)

    def rank(self, history, gains=None, excluded=None, weights=PLAIN, top_k=3, each=50, limit=300, **options):
        priors = compute_priors(self.catalog, self.stats, candidates_each=each, now_ms=NOW, followed=followed(weights))
        inputs = self.question(history, gains, excluded, options.pop("idle_s", 0.0))
        params = RankingParams(top_k, limit, weights, options.pop("feedback", (0.0, 0.0, 0.0)))
        options["moments"] = Moments() if options.pop("bounded", False) else None
        return rank(inputs, catalog=self.catalog, stats=self.stats, priors=priors, params=params, **options)

    def oracle(self, history, gains, excluded, weights, each=50, limit=300, idle_s=0.0, bounded=False):
        """One user: item -> (score, parts, share of each item of the history) of every candidate, from the formulas."""
        count = lambda item: self.counts.get(item, 0)  # noqa: E731
        norm = lambda item: 1 / sqrt(count(item) + 10)  # noqa: E731

        def leading(value):
            order = sorted(self.recommendable, key=lambda j: (-value(j), -count(j), self.hashes[j]))
            return set(order[:each])

        used = {q: h for q, (h, g) in enumerate(zip(history, gains, strict=True)) if h >= 0 and g}
        terms = {}  # (scale, item) -> share of each place
        for s, (decay, places) in enumerate(SCALES):
            counted = {q: abs(gains[q]) * decay**q for q in used if q < places}
            if FEATURES[s] == "co_hour":
                counted = {q: abs(gains[q]) * exp(-age_of(q) / 3600) for q in used if age_of(q) <= 6 * 3600}
                counted = counted if idle_s < 1800 else {}
            total = sum(counted.values())
            for q, h in used.items():
                for j, link in self.links.get(h, {}).items():
                    if q in counted:
                        c = link / 2 if s == len(SCALES) - 1 else link
                        share = np.sign(gains[q]) * counted[q] / total * c * norm(h) * norm(j)
                        terms.setdefault((s, j), {})[q] = share
        near = {j for _, j in terms} & self.recommendable - set(excluded)
        sums = {(s, j): sum(shares.values()) for (s, j), shares in terms.items()}
        nearest = sorted(near, key=lambda j: (-sum(sums.get((s, j), 0.0) for s in range(len(SCALES))), self.hashes[j]))[
            :limit
        ]
        trend_of = lambda j: count(j) / 2 * exp(-j / 7)  # noqa: E731
        candidates = ({*nearest} | leading(trend_of) | leading(count)) & self.recommendable - set(excluded)
        w = user_weights(weights, np.array([len(used)]), np.array([idle_s]))[0]
        scored = {}
        for j in candidates:
            x = dict.fromkeys(FEATURES, 0.0)
            shares = [0.0] * len(history)
            for s in range(len(SCALES)):
                # Below the limit an item that is only proposed has no sums.
                total = sums.get((s, j), 0.0) if j in near else 0.0
                x[FEATURES[s]] = log1p(abs(total) / 1e-4) * (1 if total >= 0 else -1)
                for q, share in terms.get((s, j), {}).items():
                    slope = x[FEATURES[s]] / total if total else 1e4
                    shares[q] += w[s] * slope * share
            by_place = self.affinity(used, gains, j, count)
            x["category"] = sum(by_place.values())
            for q, share in by_place.items():
                shares[q] += w[FEATURES.index("category")] * share
            x |= self.impersonal(j, count(j))
            parts = dict.fromkeys(PARTS, 0.0)
            for f, name in enumerate(FEATURES):
                parts[PARTS[PART_OF[f]]] += w[f] * x[name]
            scored[j] = sum(parts.values()), parts, shares
        return scored

    def affinity(self, used, gains, j, count):
        """Place -> what it brings to the feature `category` of j."""
        told = {item for item, categories in self.categories.items() if categories}
        names = sorted({name for categories in self.categories.values() for name in categories})
        total = sum(count(item) for item in told)
        brought = {}
        for q, h in used.items():
            for name in names if {h, j} <= told else ():
                r = (sum(count(item) for item in told if name in self.categories[item]) + 1) / (total + 20)
                both = ((name in self.categories[h]) - r) * ((name in self.categories[j]) - r) / (r * (1 - r) + 0.01)
                brought[q] = brought.get(q, 0.0) + np.sign(gains[q]) * both / 20 / (len(used) + 10)
        return brought

    def impersonal(self, j, count):
        told = j in self.moments
        everything = [sum(moments[b] for moments in self.moments.values()) for b in range(23)]
        x = {}
        for name, b, group in zip(("hour", "weekday", "scene"), BINS, ((0, 8), (8, 15), (15, 23)), strict=True):
            share = everything[b] / max(1, sum(everything[slice(*group)]))
            here = self.moments[j][b] if told else 0
            x[name] = log((here + 20 * share) / ((count + 20) * share)) if share else 0.0
        for name, (share, days) in DECAYED.items():
            x[name] = log1p(count * share * exp(-j / days) / 0.02)
        age = log1p(24 * j) if told else 0.0
        return x | {"popularity": log1p(count), "age": age, "new": float(count < 5)}


# --- by hand


def test_a_neighbour_of_the_history_comes_first_with_the_score_of_the_formula():
    world = World(4, counts=[6, 15, 0, 26], links={0: {2: 3.0}, 1: {2: 1.0, 3: 5.0}})
    fast = named({"always": {"co_fast": 2.0}}, {})
    ranked = world.rank([[0, 1]], [[3.0, 1.0]], [[0, 1]], fast)
    assert ranked.items.tolist() == [[2, 3, -1]]
    newer, older = 3 / (3 + 0.8), 0.8 / (3 + 0.8)
    of_2 = np.array([newer * 3 / 4 / sqrt(10), older * 1 / 5 / sqrt(10)])
    of_3 = np.array([0.0, older * 5 / 5 / 6])
    assert ranked.scores[0] == pytest.approx([2 * log1p(1e4 * of_2.sum()), 2 * log1p(1e4 * of_3.sum()), 0.0], rel=1e-12)
    expected = ranked.scores[0, :2, None] * np.array([of_2 / of_2.sum(), of_3 / of_3.sum()])
    assert ranked.contributions[0, :2] == pytest.approx(expected, rel=1e-12)
    assert ranked.strategy[0, :2].tolist() == [INTEREST, INTEREST]


def test_a_user_without_history_gets_what_is_popular():
    ranked = World(4, counts=[1, 30, 5, 80]).rank([[-1, -1]])
    assert ranked.items.tolist() == [[3, 1, 2]]
    assert ranked.strategy.tolist() == [[COLD_START] * 3]
    assert not ranked.contributions.any()


def test_newcomers_get_the_list_of_the_expert_that_serves_and_nobody_else_does():
    world = World(9, counts=[1, 30, 5, 80, 20, 10, 8, 3, 0], links={1: {5: 2.0}})
    for name in EXPERTS:
        served = with_list(PLAIN, name)
        bounded, plain = (world.rank([[-1, -1]], weights=served, each=3, bounded=each) for each in (True, False))
        share, days = DECAYED.get(name, (1.0, 1e9))
        wanted = sorted(range(9), key=lambda j: (-world.counts[j] * share * exp(-j / days), -world.counts[j]))[:3]
        assert bounded.items.tolist() == plain.items.tolist() == [wanted], name
        assert plain.strategy.tolist() == [[COLD_START] * 3]
        part = "trend" if name.startswith("trend") else "popularity"
        assert plain.parts[part].tolist() == plain.scores.tolist()
        warm = world.rank([[1, -1]], weights=served, excluded=[[1]])
        assert warm.items.tolist() == world.rank([[1, -1]], weights=PLAIN, excluded=[[1]]).items.tolist()


@pytest.mark.parametrize("context", NEWCOMER_CONTEXTS)
def test_the_list_of_newcomers_made_for_a_context_is_the_exact_best_of_all_items_and_changes_nobody_elses(context):
    world = World(40, counts=[1 + (7 * n) % 31 for n in range(40)], links={1: {5: 2.0}})
    differs = 0
    for name in EXPERTS:
        served = with_list(PLAIN, name, context)
        bounded, plain = (world.rank([[-1, -1]], weights=served, each=3, bounded=each) for each in (True, False))
        of = [world.impersonal(j, world.counts[j]) for j in range(40)]
        scores = [x[name] + x[context] for x in of]
        wanted = sorted(range(40), key=lambda j: (-scores[j], -world.counts[j], world.hashes[j]))[:3]
        assert bounded.items.tolist() == plain.items.tolist() == [wanted], name
        assert plain.scores[0] == pytest.approx([scores[j] for j in wanted], rel=1e-12)
        assert plain.parts["context"][0] == pytest.approx([of[j][context] for j in wanted], rel=1e-12)
        assert (sum(plain.parts.values()) == plain.scores).all()
        differs += wanted != world.rank([[-1, -1]], weights=with_list(PLAIN, name), each=3).items[0].tolist()
        warm = world.rank([[1, -1]], weights=served, excluded=[[1]])
        assert warm.items.tolist() == world.rank([[1, -1]], weights=PLAIN, excluded=[[1]]).items.tolist()
    assert differs > 3


@pytest.mark.parametrize("added", ADDED)
def test_what_newcomers_get_is_added_for_people_with_few_items_and_their_scores_stay_exact_sums(added):
    world = World(40, counts=[1 + (7 * n) % 31 for n in range(40)], links={1: {5: 2.0, 6: 3.0, 7: 1.0}})
    weights = named({"always": {"co_fast": 1.0, "age": 0.1}, "history_below_5": {"age": -0.3}}, {"popularity": 1.0})
    served = with_added(with_list(weights, "trend_day"), added)
    asked = {"history": [[1, 2, -1]], "excluded": [[1, 2]], "top_k": 3}
    bounded, made = (world.rank(**asked, weights=served, each=40, bounded=each) for each in (True, False))
    usual = world.oracle([1, 2, -1], [1.0] * 3, [1, 2], weights, each=40)
    scores = {
        j: (score + added * world.impersonal(j, world.counts[j])["trend_day"]) / (1 + added)
        for j, (score, _, _) in usual.items()
    }
    wanted = sorted(scores, key=lambda j: (-scores[j], -world.counts[j], world.hashes[j]))[:3]
    assert bounded.items.tolist() == made.items.tolist() == [wanted]
    assert made.scores[0] == pytest.approx([scores[j] for j in wanted], rel=1e-12)
    assert (sum(made.parts.values()) == made.scores).all()
    assert made.contributions.sum(axis=2) == pytest.approx(made.parts["co_occurrence"] + made.parts["interest"])
    many = {"history": [[1, 2, 3, 4, 8]], "excluded": [[1]], "top_k": 9}
    for same in (many, many | {"history": [[-1] * 5]}):  # who has five, and who has none
        plain, with_it = (world.rank(**same, weights=each) for each in (with_list(weights, "trend_day"), served))
        assert plain.items.tolist() == with_it.items.tolist()
        assert plain.scores.tolist() == with_it.scores.tolist()


def test_the_lists_that_people_with_few_items_judge_are_those_that_would_be_served():
    world = World(60, counts=[1 + (7 * n) % 31 for n in range(60)], links={1: {5: 2.0, 6: 3.0, 7: 1.0}, 3: {9: 1.0}})
    weights = with_list(named({"always": {"co_fast": 1.0, "age": 0.1}}, {"popularity": 1.0}), "trend_2_months")
    question = world.question([[1, 2], [3, -1]], excluded=[[1, 2], [3, -1]])
    priors = compute_priors(world.catalog, world.stats, candidates_each=50, now_ms=NOW, followed=followed(weights))
    items = items_of(world.catalog, world.stats)
    judged = lists_of_few(question, items, priors, RankingParams(10, 300, weights), weights, None, None)
    for row, added in enumerate((0.0, *ADDED)):
        params = RankingParams(10, 300, with_added(weights, added))
        served = rank(question, catalog=world.catalog, stats=world.stats, priors=priors, params=params)
        assert judged[:, row].tolist() == served.items.tolist()
    assert len({tuple(each) for each in judged[0].tolist()}) > 2


def test_a_history_that_leads_nowhere_gives_popular_items_named_as_such():
    weights = named({"always": {"co_fast": 1.0, "popularity": 0.1}}, {})
    ranked = World(3, counts=[5, 30, 80]).rank([[0, -1]], excluded=[[0]], weights=weights)
    assert ranked.items.tolist() == [[2, 1, -1]]
    assert ranked.strategy[0, :2].tolist() == [POPULAR, POPULAR]


def test_history_the_index_or_the_statistics_do_not_know_is_harmless():
    world = World(3, counts=[5, 30, 80])
    world.index.intern(np.array([77], np.uint64))
    weights = named({"always": {"popularity": 1.0}}, {"popularity": 1.0})
    assert world.rank([[3, -1]], weights=weights).items.tolist() == [[2, 1, 0]]


def test_a_dislike_pushes_its_neighbours_down():
    world = World(3, counts=[1, 1, 1], links={0: {1: 1.0}})
    ranked = world.rank([[0]], [[-1.0]], [[0]])
    assert ranked.items.tolist() == [[2, 1, -1]]
    assert ranked.parts["co_occurrence"][0, 1] < 0
    assert ranked.contributions[0, 1, 0] == pytest.approx(ranked.parts["co_occurrence"][0, 1])
    assert ranked.strategy[0, :2].tolist() == [POPULAR, POPULAR]


def test_what_came_after_counts_apart_from_what_came_together():
    world = World(3, counts=[1, 1, 1], links={0: {1: 1.0, 2: 1.0}})
    forward = {world.hashes[1]: 1.0}
    both = {world.hashes[1]: 1.0, world.hashes[2]: 1.0}
    world.stats.put([0], [pack_record(ItemRecord(1, neighbours=both, forwards=forward))])
    ranked = world.rank([[0]], excluded=[[0]])
    assert ranked.items.tolist() == [[1, 2, -1]]
    assert ranked.scores[0, 0] > ranked.scores[0, 1] > 0


HOURLY = named({"always": {"co_hour": 2.0}}, {})


def test_what_was_bought_within_the_hour_counts_by_its_age_whatever_its_place():
    world = World(8, counts=[1] * 8, links={0: {6: 1.0}, 3: {6: 1.0, 7: 1.0}, 5: {7: 8.0}})
    history = [0, -1, -1, 3, -1, 5]
    ranked = world.rank([history], excluded=[[0, 3, 5]], weights=HOURLY, top_k=2)
    newest, older = 1.0, exp(-age_of(3) / 3600)
    of_6, of_7 = (newest + older) / (newest + older) / 11, older / (newest + older) / 11
    assert ranked.items.tolist() == [[6, 7]]
    assert ranked.scores[0] == pytest.approx([2 * log1p(1e4 * of_6), 2 * log1p(1e4 * of_7)], rel=1e-12)
    shares = ranked.contributions[0] / ranked.scores[0, :, None]
    assert shares[0, [0, 3]] == pytest.approx([newest / (newest + older), older / (newest + older)], rel=1e-12)
    assert shares[1] == pytest.approx([0, 0, 0, 1, 0, 0], abs=1e-12)  # place 5 is more than six hours older


@pytest.mark.parametrize(("idle_s", "counts"), [(0.0, True), (1799.0, True), (1800.0, False), (1e6, False)])
def test_the_last_hour_says_nothing_at_the_start_of_a_session(idle_s, counts):
    world = World(3, counts=[1] * 3, links={0: {2: 1.0}})
    ranked = world.rank([[0]], excluded=[[0]], weights=HOURLY, idle_s=idle_s)
    assert (ranked.scores[0, 0] > 0.0) == counts


def test_an_empty_catalogue_recommends_nothing():
    index = ItemIndex()
    catalog, stats = Catalog.empty(index), ItemStatistics(index, 4)
    priors = compute_priors(catalog, stats, candidates_each=50, now_ms=NOW)
    nothing = np.full((2, 3), -1, np.int32)
    for _ in range(2):
        inputs = Question(
            nothing,
            np.ones((2, 3)),
            nothing,
            np.zeros(2, np.int64),
            np.zeros(2),
            np.zeros((2, 3), np.int64),
            np.zeros((2, 3)),
        )
        ranked = rank(inputs, catalog=catalog, stats=stats, priors=priors, params=RankingParams(3))
        assert ranked.items.tolist() == [[-1] * 3] * 2
        assert not ranked.scores.any()
        index.intern(np.array([4, 5], np.uint64))
        stats.put([0], [pack_record(ItemRecord(3, neighbours={5: 1.0}))])
        nothing[0, 0] = 0


def test_no_users_give_no_lists():
    world = World(3)
    inputs = Question(*(column[:0] for column in world.question([[0, 1]])))
    priors = compute_priors(world.catalog, world.stats, candidates_each=5, now_ms=NOW)
    ranked = rank(inputs, catalog=world.catalog, stats=world.stats, priors=priors, params=RankingParams(3))
    assert ranked.items.shape == (0, 3)
    assert ranked.contributions.shape == (0, 3, 2)


@pytest.mark.parametrize("bounded", [False, True])
def test_equal_scores_go_to_the_higher_count_and_then_to_the_lower_hash(bounded):
    flat = named({}, {})
    low_to_high = sorted(range(6), key=World(6).hashes.__getitem__)
    often = low_to_high[3:5]
    world = World(6, counts=[2 if n in often else 1 for n in range(6)])
    by_hash = often + [n for n in low_to_high if n not in often]
    assert world.rank([[-1]], weights=flat, top_k=6, bounded=bounded).items.tolist() == [by_hash]
    assert world.rank([[-1]], weights=flat, top_k=2, bounded=bounded).items[0].tolist() == by_hash[:2]


def test_without_any_statistics_there_are_still_candidates_and_the_newest_items_are_among_them():
    world = World(40)
    lowest = sorted(range(40), key=world.hashes.__getitem__)[:3]
    assert world.rank([[-1]], each=5).items[0].tolist() == lowest
    priors = compute_priors(world.catalog, world.stats, candidates_each=0, new_items=4, now_ms=NOW)
    assert priors.candidates.tolist() == [36, 37, 38, 39]


def test_probability_is_the_documented_sigmoid_of_the_score():
    weights = make_weights(PLAIN.table, PLAIN.cold, Calibration(2.0, -1.0))
    ranked = World(3, counts=[1, 2, 3]).rank([[-1]], weights=weights)
    assert ranked.probability == pytest.approx(1 / (1 + np.exp(-(2 * ranked.scores - 1))), rel=1e-12)


def test_a_list_has_at_least_one_place():
    with pytest.raises(ValueError, match="top_k"):
        RankingParams(top_k=0)


def test_items_met_after_the_priors_were_computed_are_ranked():
    world = World(3, counts=[9, 3, 1])
    priors = compute_priors(world.catalog, world.stats, candidates_each=50, now_ms=NOW)
    catalog = world.catalog.apply({"new": CatalogItem("new", "t")})
    world.stats.put([0], [pack_record(ItemRecord(9, neighbours={item_hash("new"): 4.0}))])
    params = RankingParams(3, weights=PLAIN)
    ranked = rank(world.question([[0]]), catalog=catalog, stats=world.stats, priors=priors, params=params)
    assert catalog.id_of(int(ranked.items[0, 0])) == "new"


def test_only_the_nearest_neighbours_are_scored_and_what_the_sequence_model_names():
    links = {0: {n: float(n) for n in range(1, 8)}}
    world = World(9, counts=[1] * 9, links=links)
    assert world.rank([[0]], excluded=[[0]], each=0, limit=2, top_k=9).items[0].tolist() == [7, 6, *[-1] * 7]
    expects = SequenceScores(np.array([[8, 1, 0, -1]], np.int32), np.array([[9.0, 0.5, 7.0, 0.0]], np.float32))
    weights = named({"always": {"co_fast": 1.0, "sequence": 1.0}}, {})
    ranked = world.rank([[0]], excluded=[[0]], each=0, limit=2, top_k=9, weights=weights, sequence=expects)
    assert sorted(ranked.items[0].tolist()) == sorted([8, 7, 6, 1, *[-1] * 5])
    by_item = dict(zip(ranked.items[0].tolist(), ranked.parts["sequence"][0].tolist(), strict=True))
    assert (by_item[8], by_item[1], by_item[7]) == (9.0, 0.5, 0.0)


def test_gates_add_their_weights_for_short_histories_and_long_idleness():
    table = {
        "always": {"popularity": 1.0},
        "history_below_5": {"popularity": 10.0},
        "history_5_to_19": {"popularity": 20.0},
        "idle_30_min": {"popularity": 100.0},
        "idle_1_day": {"popularity": 1000.0},
    }
    weights = named(table, {"popularity": 0.5})
    history, idle_s = np.array([0, 1, 4, 5, 19, 20, 20, 20]), np.array([9e9, 0, 0, 0, 0, 1799, 1800, 86_400])
    popularity = user_weights(weights, history, idle_s)[:, FEATURES.index("popularity")]
    assert popularity.tolist() == [0.5, 11, 11, 21, 21, 1, 101, 1101]


def test_weights_survive_json_have_a_version_of_their_numbers_and_refuse_what_is_wrong():
    assert to_json(from_json(to_json(PLAIN))) == to_json(PLAIN)
    assert from_json(to_json(PLAIN)).version == PLAIN.version != named({}, {}).version
    assert default_weights().version
    for wrong in (
        b"",
        b"{}",
        to_json(PLAIN).replace(b"co_fast", b"co_slim"),
        to_json(PLAIN).replace(b"[1.0", b"[2,1.0"),
    ):
        with pytest.raises(ValueError, match="ranking weights"):
            from_json(wrong)
    with pytest.raises(ValueError, match="finite"):
        make_weights(PLAIN.table * np.nan, PLAIN.cold, Calibration())
    with pytest.raises(ValueError, match="shapes"):
        make_weights(PLAIN.table[:2], PLAIN.cold, Calibration())


def test_of_weights_of_an_older_release_what_is_missing_counts_nothing():
    old = b'{"features":["co_fast"],"gates":{"always":[2.0]},"cold":[0.0],"calibration":[1.0,-3.0]}'
    assert (
        from_json(old).version
        == make_weights(2 * named({"always": {"co_fast": 1}}, {}).table, PLAIN.cold * 0, Calibration(1, -3)).version
    )


# --- laws

EVERY = make_weights(
    np.random.default_rng(3).normal(size=PLAIN.table.shape),
    np.random.default_rng(4).normal(size=PLAIN.cold.shape),
    Calibration(),
)


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
        categories=draw(st.lists(st.frozensets(st.sampled_from("abc"), max_size=3), max_size=items)),
    )
    users, width = draw(st.integers(1, 6)), draw(st.integers(0, 10))
    maybe = st.integers(-1, items - 1)
    history = [draw(st.permutations(range(-4, items)))[:width] for _ in range(users)]
    history = [[max(h, -1) for h in row] + [-1] * (width - len(row)) for row in history]
    gains = [draw(st.lists(st.sampled_from([-0.5, 0.0, 0.25, 1.0]), min_size=width, max_size=width)) for _ in history]
    excluded = [draw(st.lists(maybe, min_size=3, max_size=3)) for _ in history]
    options = {
        "weights": draw(st.sampled_from([PLAIN, EVERY])), "each": draw(st.sampled_from([0, 1, 3, 50])),
        "limit": draw(st.sampled_from([300, 300, 2, 0])), "idle_s": draw(st.sampled_from([0.0, 1e4, 1e6])),
        "bounded": draw(st.booleans()),
    }  # fmt: skip
    return world, history, gains, excluded, draw(st.integers(1, 6)), options


@settings(deadline=None, max_examples=200)
@given(cases())
def test_it_agrees_with_the_oracle(case):
    world, history, gains, excluded, top_k, options = case
    ranked = world.rank(history, gains, excluded, top_k=top_k, **options)
    for n in range(len(history)):
        _check(ranked, n, world.oracle(history[n], gains[n], excluded[n], **options))


def _check(ranked, n, oracle):
    """User n's list holds as many of the oracle's best as fit, each with the oracle's numbers."""
    best = sorted((score for score, _, _ in oracle.values()), reverse=True)[: ranked.items.shape[1]]
    length = len(best)
    assert ranked.scores[n, :length] == pytest.approx(best, abs=1e-9)
    assert ranked.items[n, length:].tolist() == [-1] * (ranked.items.shape[1] - length)
    for place, item in enumerate(ranked.items[n, :length].tolist()):
        score, parts, shares = oracle[item]
        assert ranked.scores[n, place] == pytest.approx(score, abs=1e-9)
        assert {name: ranked.parts[name][n, place] for name in PARTS} == pytest.approx(parts, abs=1e-9)
        assert ranked.contributions[n, place].tolist() == pytest.approx(shares, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(cases())
def test_a_batch_gives_the_same_bits_as_its_users_one_by_one(case):
    world, history, gains, excluded, top_k, options = case
    batch = world.rank(history, gains, excluded, top_k=top_k, **options)
    for n in range(len(history)):
        one = slice(n, n + 1)
        alone = world.rank(history[one], gains[one], excluded[one], top_k=top_k, **options)
        for name in ("items", "scores", "strategy", "probability", "contributions"):
            assert getattr(alone, name)[0].tobytes() == getattr(batch, name)[n].tobytes(), name
        for name in PARTS:
            assert alone.parts[name][0].tobytes() == batch.parts[name][n].tobytes(), name


@settings(deadline=None)
@given(cases())
def test_lists_are_ordered_distinct_allowed_and_their_numbers_add_up(case):
    world, history, gains, excluded, top_k, options = case
    ranked = world.rank(history, gains, excluded, top_k=top_k, **options)
    assert (ranked.scores == sum(ranked.parts[name] for name in PARTS)).all()
    total = ranked.contributions.sum(axis=2)
    split = ranked.parts["co_occurrence"] + ranked.parts["interest"]
    np.testing.assert_allclose(total, split, rtol=1e-9, atol=1e-12)
    for n, row in enumerate(ranked.items.tolist()):
        items = [item for item in row if item >= 0]
        assert row == items + [-1] * (len(row) - len(items))
        assert len(set(items)) == len(items)
        assert set(items) <= world.recommendable - set(excluded[n])
        assert (np.diff(ranked.scores[n, : len(items)]) <= 0).all()
        assert not ranked.scores[n, len(items) :].any()


@settings(deadline=None)
@given(cases(), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_what_strategies_earned_is_a_part_of_the_score_of_their_places(case, feedback):
    world, history, gains, excluded, top_k, options = case
    ranked = world.rank(history, gains, excluded, top_k=top_k, feedback=feedback, **options)
    assert (ranked.scores == sum(ranked.parts.values())).all()
    listed = ranked.items >= 0
    if any(feedback):
        expected = np.where(listed, np.array(feedback)[ranked.strategy], 0.0)
        assert ranked.parts["feedback"].tolist() == expected.tolist()
    for n, row in enumerate(listed):
        scores = ranked.scores[n][row].tolist()
        assert scores == sorted(scores, reverse=True)


def test_a_strategy_that_earned_more_moves_up_within_the_list_and_changes_nobodys_contributions():
    world = World(6, counts=[5, 6, 7, 8, 9, 10], links={0: {1: 3.0, 2: 1.0}})
    before = world.rank([[0]], excluded=[[0]], top_k=5)
    strategies = before.strategy[0].tolist()
    assert set(strategies) == {0, 1}  # something personal and something popular
    after = world.rank([[0]], excluded=[[0]], top_k=5, feedback=(-50.0, 50.0, 0.0))
    assert after.strategy[0].tolist() == sorted(strategies, reverse=True)
    assert sorted(after.items[0].tolist()) == sorted(before.items[0].tolist())
    by_item = dict(zip(before.items[0].tolist(), before.contributions[0].tolist(), strict=True))
    assert by_item == dict(zip(after.items[0].tolist(), after.contributions[0].tolist(), strict=True))


@settings(deadline=None)
@given(cases())
def test_scoring_everything_gives_what_is_listed_the_same_score(case):
    world, history, gains, excluded, top_k, options = case
    options |= {"limit": 300, "each": 50}
    ranked = world.rank(history, gains, excluded, top_k=top_k, **options)
    inputs = world.question(history, gains, excluded, options["idle_s"])
    priors = compute_priors(world.catalog, world.stats, candidates_each=1, now_ms=NOW)
    scores = score_all(inputs, catalog=world.catalog, stats=world.stats, priors=priors, weights=options["weights"])
    for n, row in enumerate(ranked.items.tolist()):
        listed = [item for item in row if item >= 0]
        assert ranked.scores[n, : len(listed)] == pytest.approx(scores[n, listed], abs=1e-9)
        assert np.isneginf(scores[n, [each for each in excluded[n] if each >= 0]]).all()


def test_users_ranked_in_several_passes_are_the_same_as_in_one(monkeypatch):
    rng = np.random.default_rng(7)
    links = {
        n: {int(j): float(w) for j, w in zip(rng.integers(0, 50, 6), rng.random(6), strict=True)} for n in range(50)
    }
    world = World(50, rng.integers(0, 99, 50).tolist(), links)
    history = np.stack([rng.choice(50, 5, replace=False) for _ in range(150)])
    whole = world.rank(history, excluded=history)
    monkeypatch.setattr(ranking, "_PASS_USERS", 7)
    split = world.rank(history, excluded=history)
    for name in ("items", "scores", "strategy", "probability", "contributions"):
        assert getattr(split, name).tobytes() == getattr(whole, name).tobytes()


@pytest.mark.parametrize("bounded", [False, True])
def test_large_random_batches_agree_with_the_oracle(bounded):
    rng = np.random.default_rng(11)
    links = {
        n: {int(j): float(w) for j, w in zip(rng.choice(300, 30, replace=False), rng.random(30), strict=True)}
        for n in range(300)
    }
    world = World(300, rng.integers(0, 500, 300).tolist(), links, missing=set(range(0, 300, 9)), width=30)
    history = np.stack([rng.choice(300, 12, replace=False) for _ in range(40)])
    gains = rng.normal(size=history.shape)
    options = {"weights": EVERY, "each": 25, "limit": 60}
    ranked = world.rank(history, gains, history, top_k=20, bounded=bounded, **options)
    for n in range(40):
        _check(ranked, n, world.oracle(history[n].tolist(), gains[n].tolist(), history[n].tolist(), **options))
