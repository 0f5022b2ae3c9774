"""models/page/ranked: the lists of a placement beside those of the ranking; exact sums, whatever rules and fatigue add."""

from __future__ import annotations

import numpy as np
import pytest
from ranking_world import HASHES, ITEMS, NOW_MS, world

from models.items.priors import compute_priors
from models.items.sketches import SKETCH_DIMS
from models.page.compose import ComposeParams
from models.page.explore import ExploreParams
from models.page.fatigue import Exposed, FatigueParams
from models.page.placing import BY_EXPLORE, BY_RULES, no_placing
from models.page.ranked import PageItems, PageParams, PageUsers, bonus_of_unknown, rank_page
from models.ranking.features import Question
from models.ranking.moment import Moments
from models.ranking.rank import RankingParams, rank
from models.vocabulary import EXPLORE

USERS, SLOTS = 5, 6


def question(rng, users=USERS, excluded=(-1,)):
    history = np.stack([rng.permutation(ITEMS)[:4] for _ in range(users)]).astype(np.int32)
    history[0] = -1  # a newcomer
    return Question(
        history, np.where(history >= 0, 1.0, 0.0), np.tile(np.array(excluded, np.int32), (users, 1)),
        np.full(users, NOW_MS), np.full(users, 60.0), np.tile(np.array([6, 9, 0]), (users, 1)),
        np.tile(np.array([0.0, 60.0, 3600.0, 90_000.0]), (users, 1)),
    )  # fmt: skip


def nobody_saw(users=USERS):
    return PageUsers(
        Exposed(np.zeros((users, 3), np.uint32), np.zeros((users, 3), np.uint32)),
        np.arange(users, dtype=np.uint64),
        np.zeros((users, 0), np.int32),
    )


def of_items(placing=None, also=(), bonus=None):
    return PageItems(
        placing or no_placing(),
        np.full(ITEMS, -1.0, np.float32) if bonus is None else bonus,
        np.array(also, np.int32),
        np.zeros((0, SKETCH_DIMS), np.float32),
    )


class Shop:
    def __init__(self, seed, allowed=None):
        rng = np.random.default_rng(seed)
        self.catalog, self.stats = world(rng)
        if allowed is not None:
            self.catalog = self.catalog.only(allowed)
        self.asked = question(rng)
        self.known = {
            "catalog": self.catalog,
            "stats": self.stats,
            "priors": compute_priors(self.catalog, self.stats, candidates_each=ITEMS, now_ms=NOW_MS),
        }

    def plain(self, k=SLOTS):
        return rank(self.asked, params=RankingParams(top_k=k), **self.known)

    def page(self, params, items=None, users=None, **more):
        return rank_page(
            self.asked, params=RankingParams(top_k=SLOTS), page=params, of_items=items or of_items(),
            of_users=users or nobody_saw(), **self.known, **more,
        )  # fmt: skip


def sums(ranked):
    total = np.zeros(ranked.scores.shape)
    for values in ranked.parts.values():
        total = total + values
    return total


@pytest.mark.parametrize("slots", [2, SLOTS])
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_without_rules_it_is_the_list_of_the_ranking_to_the_bit(seed, bounded, slots):
    shop = Shop(seed)
    params, moments = PageParams(ComposeParams(slots), pool=9), Moments() if bounded else None

    page, plain = shop.page(params, moments=moments), shop.plain(slots)

    assert page.ranked.items.tolist() == plain.items.tolist()
    for name in ("scores", "strategy", "probability", "contributions"):
        assert np.array_equal(getattr(page.ranked, name), getattr(plain, name)), name
    assert page.ranked.parts.keys() == plain.parts.keys()
    assert all(np.array_equal(page.ranked.parts[name], plain.parts[name]) for name in plain.parts)


@pytest.mark.parametrize("slots", [2, SLOTS])
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_boosts_of_any_item_are_a_part_and_the_order_is_that_of_the_sums(seed, bounded, slots):
    shop, rng = Shop(seed), np.random.default_rng(seed)
    boost = np.where(rng.random(ITEMS) < 0.4, rng.normal(0.0, 5.0, ITEMS), 0.0).astype(np.float32)
    placing = no_placing()._replace(boost=boost, boosted_by=np.where(boost != 0, 0, -1).astype(np.int16))

    page = shop.page(
        PageParams(ComposeParams(slots), pool=slots + 1), of_items(placing), moments=Moments() if bounded else None
    )

    every = shop.plain(ITEMS)
    for u in range(USERS):
        n = (every.items[u] >= 0).sum()
        total = every.scores[u, :n] + boost[every.items[u, :n]]
        best = every.items[u, :n][np.argsort(-total, kind="stable")][:slots]
        assert page.ranked.items[u, : len(best)].tolist() == best.tolist()
    there = page.ranked.items >= 0
    assert np.array_equal(page.ranked.parts["rules"][there], boost[page.ranked.items[there]].astype(float))
    assert np.array_equal(page.ranked.scores, sums(page.ranked))
    assert (page.composed.moved_by >= BY_RULES).any()


@pytest.mark.parametrize("seed", range(4))
def test_fatigue_is_a_part_and_lowers_the_probability_too(seed):
    shop = Shop(seed)
    first = shop.plain().items[:, 0]
    shown = np.zeros((USERS, 3), np.uint32)
    shown[:] = (HASHES[first] >> np.uint64(32)).astype(np.uint32)[:, None]
    users = nobody_saw()._replace(exposed=Exposed(shown, np.full((USERS, 3), NOW_MS // 1000, np.uint32)))

    page = shop.page(PageParams(ComposeParams(SLOTS), FatigueParams(50.0), pool=ITEMS), users=users)

    assert not (page.ranked.items == first[:, None])[:, :3].any()
    assert np.array_equal(page.ranked.scores, sums(page.ranked))
    at = page.ranked.items == first[:, None]
    assert (page.ranked.parts["fatigue"][at] == -150.0).all()
    assert (page.ranked.probability[at] < 1e-9).all()
    assert (page.ranked.parts["fatigue"][~at] == 0.0).all()


def test_what_is_forbidden_is_never_listed_and_lists_are_full_all_the_same():
    allowed = np.arange(ITEMS) % 2 == 0
    shop = Shop(3, allowed)

    page = shop.page(PageParams(ComposeParams(SLOTS)))

    assert allowed[page.ranked.items[page.ranked.items >= 0]].all()
    assert (page.ranked.items >= 0).sum() >= 4 * USERS


def test_pins_are_scored_as_all_else_and_keep_their_place():
    shop = Shop(4)
    worst = int(shop.plain(ITEMS).items[1][shop.plain(ITEMS).items[1] >= 0][-1])
    placing = no_placing()._replace(
        pin_place=np.array([1]), pin_item=np.array([worst], np.int32), pin_rule=np.array([0])
    )

    page = shop.page(PageParams(ComposeParams(SLOTS), pool=SLOTS), of_items(placing, also=[worst]))

    row = page.ranked.items[1].tolist()
    assert row.index(worst) == 1
    every = shop.plain(ITEMS)
    assert page.ranked.scores[1, 1] == every.scores[1][every.items[1].tolist().index(worst)]
    assert np.allclose(page.ranked.contributions[1, 1], every.contributions[1][every.items[1].tolist().index(worst)])


def test_what_is_explored_says_so_and_is_the_same_again():
    shop = Shop(5)
    params = PageParams(ComposeParams(SLOTS, explore=ExploreParams(2, 2, rate=1.0, min_history=1)), pool=SLOTS)
    items = of_items(bonus=np.ones(ITEMS, np.float32))

    one, two = shop.page(params, items), shop.page(params, items)

    explored = one.composed.moved_by == BY_EXPLORE
    assert explored[1:].any()
    assert not explored[0].any()  # the newcomer
    assert (one.ranked.strategy[explored] == EXPLORE).all()
    assert (one.ranked.strategy[~explored] != EXPLORE).all()
    assert (one.composed.propensity[explored] < 1.0).all()
    assert np.array_equal(one.ranked.items, two.ranked.items)
    assert np.array_equal(one.composed.propensity, two.composed.propensity)


def test_explorable_is_what_is_little_known_or_new():
    rng = np.random.default_rng(0)
    catalog, stats = world(rng)
    published = np.full(ITEMS, -1)
    published[0], published[1] = NOW_MS - 3_600_000, NOW_MS - 100 * 3_600_000

    found = bonus_of_unknown(
        ExploreParams(max_exposures=10, optimism=3.0), stats, published, catalog.recommendable, NOW_MS
    )

    may = [(stats.count[n] < 10) or n == 0 for n in range(ITEMS)]
    expected = np.where(may, 3.0 / np.sqrt(1.0 + stats.count[:ITEMS]), -1.0)
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_passes_are_put_together():
    rng = np.random.default_rng(1)
    shop = Shop(1)
    shop.asked = question(rng, users=130)

    page = rank_page(
        shop.asked, params=RankingParams(top_k=SLOTS), page=PageParams(ComposeParams(SLOTS)), of_items=of_items(),
        of_users=nobody_saw(130), **shop.known,
    )  # fmt: skip

    assert page.ranked.items.tolist() == shop.plain().items.tolist()
