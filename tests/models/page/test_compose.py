"""models/page: caps, diversity, promotions, pins and draws, against plain Python; propensities against what happens."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.items.sketches import SKETCH_DIMS, projection, sketches
from models.page.compose import ComposeParams, Pool, compose
from models.page.draws import draw_key
from models.page.explore import EVEN_SHARE, ExploreParams, explored_places
from models.page.fatigue import FatigueParams, fatigue_of
from models.page.placing import BY_DIVERSITY, BY_EXPLORE, BY_FATIGUE, BY_RULES, GROUPS, NOT_MOVED, Placing, no_placing
from models.ranking.features import ItemArrays

N = 40


def statistics(n=N, neighbours=None):
    near = np.full((n + 1, 8), -1, np.int32)
    weights = np.zeros((n + 1, 8))
    for i, row in (neighbours or {}).items():
        for k, (j, weight) in enumerate(row.items()):
            near[i + 1, k], weights[i + 1, k] = j, weight
    nothing = np.zeros((n, 1))
    return ItemArrays(
        np.arange(1, n + 1, dtype=np.uint64) << np.uint64(32), np.ones(n, bool), np.zeros(n), np.zeros(n, np.int64), nothing,
        nothing, np.zeros(n, np.int64), np.zeros((n, 1), np.int64), np.arange(1, n + 1, dtype=np.int32), near, weights,
        weights,
    )  # fmt: skip


def pool(
    scores, items=None, plain=None, fatigue=None, history=9, eligible=(), worth=(), key=1, excluded=(-1,), asked=()
):
    """Of one user; items as they were ranked."""
    scores = np.array([scores], float)
    items = np.arange(scores.shape[1]) if items is None else items
    return Pool(
        np.array([items], np.int32), scores, scores if plain is None else np.array([plain], float),
        np.zeros_like(scores) if fatigue is None else np.array([fatigue], float), np.array([history]),
        np.array([eligible], np.int32).reshape(1, -1), np.array([worth], float).reshape(1, -1),
        np.array([key], np.uint64), np.array([excluded], np.int32),
        np.array([asked], np.int32).reshape(1, -1),
    )  # fmt: skip


def rules(**changes) -> Placing:
    n = no_placing()
    kinds = {name: getattr(n, name).dtype for name in n._fields}
    return n._replace(**{name: np.array(values, kinds[name]) for name, values in changes.items()})


def groups_of(by_item, n=N):
    groups = np.full((n, GROUPS), -1, np.int32)
    for item, codes in by_item.items():
        groups[item, : len(codes)] = codes
    return groups


NO_TEXT = np.zeros((0, SKETCH_DIMS), np.float32)


def listed(of, params, placing=None, sketch=NO_TEXT, stats=None):
    return compose(of, params, placing or no_placing(), stats or statistics(), sketch)


def test_without_anything_it_is_the_order_of_the_scores():
    found = listed(pool([5, 4, 3, 2, 1]), ComposeParams(3))

    assert found.items.tolist() == [[0, 1, 2]]
    assert found.moved_by.tolist() == [[NOT_MOVED] * 3]
    assert found.propensity.tolist() == [[1.0] * 3]
    assert not found.promoted.any()


def test_a_short_pool_makes_a_short_list():
    found = listed(pool([5, 4, 0], items=[7, 3, -1]), ComposeParams(4))

    assert found.items.tolist() == [[7, 3, -1, -1]]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_no_cap_is_passed_and_the_list_is_what_plain_python_makes(seed):
    rng = np.random.default_rng(seed)
    size, slots = int(rng.integers(1, 30)), int(rng.integers(1, 12))
    items = rng.permutation(N)[:size]
    scores = np.sort(rng.normal(size=size))[::-1]
    by_item = {i: rng.permutation(5)[: rng.integers(0, GROUPS + 1)].tolist() for i in range(N)}
    cap = rng.integers(0, 4, 5)
    placing = rules(groups=groups_of(by_item), cap=cap, capped_by=np.arange(5))

    found = listed(pool(scores, items=items), ComposeParams(slots), placing)

    counted, expected = Counter(), []
    for item in items.tolist():
        if len(expected) < slots and all(counted[g] < cap[g] for g in by_item[item]):
            expected.append(item)
            counted.update(by_item[item])
    assert found.items[0].tolist() == expected + [-1] * (slots - len(expected))
    for g in range(5):
        assert counted[g] <= cap[g]


def mmr_by_hand(scores, like, slots, diversity):
    quality = (scores - scores.min()) / max(np.ptp(scores), 1e-12)
    chosen = []
    while len(chosen) < min(slots, len(scores)):
        left = [i for i in range(len(scores)) if i not in chosen]
        chosen.append(
            max(
                left,
                key=lambda i: (
                    (1 - diversity) * quality[i] - diversity * max((like[i, c] for c in chosen), default=0.0),
                    -i,
                ),
            )
        )
    return chosen


def dpp_by_hand(scores, like, slots, diversity):
    """Greedy by determinants, without a Cholesky factor."""
    quality = (scores - scores.min()) / max(np.ptp(scores), 1e-12)
    alpha = 2 * (1 - diversity) / diversity
    chosen = []
    while len(chosen) < min(slots, len(scores)):

        def gain(i):
            s = like[np.ix_([*chosen, i], [*chosen, i])]
            return 2 * alpha * (quality[[*chosen, i]].sum()) + np.log(max(np.linalg.det(s), 1e-300))

        chosen.append(max((i for i in range(len(scores)) if i not in chosen), key=gain))
    return chosen


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("seed", range(12))
def test_diversity_is_what_its_formula_says(method, seed):
    rng = np.random.default_rng(seed)
    vectors = np.abs(rng.normal(size=(N, 96))).astype(np.float32) - 0.5
    sketch = sketches(vectors, projection(96))
    scores = np.sort(rng.normal(size=15))[::-1]
    like = np.maximum(sketch[:15] @ sketch[:15].T, 0.0).astype(float)
    np.fill_diagonal(like, 1.0)
    by_hand = mmr_by_hand if method == "mmr" else dpp_by_hand

    found = listed(pool(scores), ComposeParams(8, 0.5, method), sketch=sketch)

    expected = by_hand(scores, like, 8, 0.5)
    assert found.items[0].tolist() == expected
    moved = [by == BY_DIVERSITY for by in found.moved_by[0].tolist()]
    assert moved == [i != min(set(range(15)) - set(expected[:k])) for k, i in enumerate(expected)]


def test_without_text_items_are_alike_that_the_same_people_have():
    stats = statistics(neighbours={0: {1: 9.0, 2: 0.1}})

    found = listed(pool([1.0, 0.99, 0.98, 0.0]), ComposeParams(2, 0.5), stats=stats)

    assert found.items.tolist() == [[0, 2]]
    assert found.moved_by.tolist() == [[NOT_MOVED, BY_DIVERSITY]]


def test_sketches_keep_cosines():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(200, 384)).astype(np.float32)
    vectors[100:] = vectors[:100] + 0.5 * vectors[100:]
    made = sketches(vectors, projection(384))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    error = (made[:100] * made[100:]).sum(axis=1) - (unit[:100] * unit[100:]).sum(axis=1)

    assert np.abs(error).mean() < 0.1
    assert np.allclose(np.linalg.norm(made, axis=1), 1.0, atol=1e-5)
    assert not sketches(np.zeros((1, 384), np.float32), projection(384)).any()


def test_a_boost_moves_up_and_says_so_and_so_do_those_that_it_passed():
    boost = np.zeros(N, np.float32)
    boost[3] = 10.0
    placing = rules(boost=boost, boosted_by=np.where(boost > 0, 2, -1), least=[0, 0, 0])

    found = listed(pool([5, 4, 3, 12], plain=[5, 4, 3, 2]), ComposeParams(4), placing)

    assert found.items.tolist() == [[3, 0, 1, 2]]
    assert found.moved_by.tolist() == [[BY_RULES + 2] * 4]


def test_fatigue_moves_down_and_says_so():
    found = listed(pool([1, 4, 3], plain=[5, 4, 3], fatigue=[-4, 0, 0]), ComposeParams(3))

    assert found.items.tolist() == [[1, 2, 0]]
    assert found.moved_by.tolist() == [[BY_FATIGUE] * 3]


def test_a_promotion_has_its_places_and_they_are_labelled():
    promoted = np.full(N, -1)
    promoted[[6, 7, 8]] = 0
    placing = rules(promoted=promoted, least=[2])

    found = listed(pool(np.arange(10.0, 0, -1)), ComposeParams(5), placing)

    assert found.items.tolist() == [[0, 1, 2, 7, 6]]
    assert found.promoted.tolist() == [[False, False, False, True, True]]
    assert found.moved_by[0, 3:].tolist() == [BY_RULES, BY_RULES]


def test_what_is_listed_anyway_is_no_promotion():
    promoted = np.full(N, -1)
    promoted[0] = 0
    found = listed(pool([3, 2, 1]), ComposeParams(2), rules(promoted=promoted, least=[1]))

    assert found.items.tolist() == [[0, 1]]
    assert not found.promoted.any()


@pytest.mark.parametrize(
    ("places", "items", "expected"),
    [
        ([0], [9], [9, 0, 1, 2]),
        ([2], [0], [1, 2, 0, 3]),
        ([0, 3], [9, 0], [9, 1, 2, 0]),
        ([1], [-1], [0, 1, 2, 3]),
        ([9], [8], [0, 1, 2, 3]),
    ],
)
def test_pins(places, items, expected):
    placing = rules(pin_place=places, pin_item=items, pin_rule=[0] * len(places))

    found = listed(pool(np.arange(12.0, 0, -1)), ComposeParams(4), placing)

    assert found.items[0].tolist() == expected
    for place, item in zip(places, items, strict=True):
        if item in expected:
            assert found.moved_by[0, place] == BY_RULES


def test_nobody_is_shown_a_pin_that_is_excluded_for_them():
    placing = rules(pin_place=[0], pin_item=[9], pin_rule=[0])

    assert listed(pool([2, 1], excluded=[9]), ComposeParams(2), placing).items.tolist() == [[0, 1]]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_lists_are_sets_whatever_rules_say(seed):
    rng = np.random.default_rng(seed)
    size, slots = int(rng.integers(0, 20)), int(rng.integers(1, 12))
    promoted = rng.integers(-1, 2, N)
    pins = int(rng.integers(0, 4))
    placing = rules(
        groups=groups_of({i: [int(rng.integers(0, 3))] for i in range(N)}), cap=rng.integers(1, 5, 3), capped_by=[0, 1, 0],
        promoted=promoted, least=rng.integers(0, 4, 2), pin_place=np.sort(rng.permutation(10)[:pins]),
        pin_item=rng.permutation(N)[:pins], pin_rule=np.zeros(pins),
    )  # fmt: skip
    eligible = rng.permutation(N)[: int(rng.integers(0, 20))]
    params = ComposeParams(slots, float(rng.choice([0.0, 0.5])), explore=ExploreParams(3, 2, 0.9))
    of = pool(
        np.sort(rng.normal(size=size))[::-1], items=rng.permutation(N)[:size], eligible=eligible,
        worth=np.sort(rng.normal(size=len(eligible)))[::-1], key=int(rng.integers(2**63)),
    )  # fmt: skip

    first, again = listed(of, params, placing), listed(of, params, placing)

    used = first.items[0][first.items[0] >= 0]
    assert len(np.unique(used)) == len(used)
    assert (first.items[0][len(used) :] == -1).all()
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first.propensity > 0).all()
    explored = first.moved_by[0] == BY_EXPLORE
    assert np.isin(first.items[0][explored], eligible).all()
    assert (first.propensity[0][~explored] > 1.0 - 0.9 - 1e-6).all()


# --- exploration ---


def test_explored_places_are_spread_from_the_first_one_on():
    assert explored_places(ExploreParams(2, 4), 20) == (3, 11)
    assert explored_places(ExploreParams(0), 20) == ()
    assert explored_places(ExploreParams(9, 4), 5) == (3, 4)
    assert explored_places(ExploreParams(1, 30), 20) == ()


def test_propensities_are_how_often_it_happens():
    explore = ExploreParams(2, 2, rate=0.6, temperature=0.7, min_history=0)
    eligible, worth = [20, 21, 22, 23, 24], np.array([2.0, 1.5, 1.0, 0.0, -1.0])
    seen, said = Counter(), {}
    draws = 20_000
    for key in range(draws):
        of = pool([9, 8, 7, 6], eligible=eligible, worth=worth, key=key * 7919 + 1)
        found = listed(of, ComposeParams(4, explore=explore))
        for place in (1, 2):
            outcome = (place, int(found.items[0, place]))
            seen[outcome] += 1
            said[outcome] = float(found.propensity[0, place])

    places = explored_places(explore, 4)
    assert places == (1, 2)
    for place in places:
        assert math.isclose(sum(p for (at, _), p in said.items() if at == place), 1.0, abs_tol=1e-6)
    for outcome, p in said.items():
        assert abs(seen[outcome] / draws - p) < 4 * math.sqrt(p * (1 - p) / draws), outcome
    assert said[1, 1] == pytest.approx(0.4)  # what would stand there anyway
    dealt = [20, 22, 24]  # in turns
    weights = np.exp(np.array([2.0, 1.0, -1.0]) / 0.7)
    expected = 0.6 * ((1 - EVEN_SHARE) * weights / weights.sum() + EVEN_SHARE / 3)
    assert [said[1, item] for item in dealt] == pytest.approx(expected.tolist(), rel=1e-5)


def test_probabilities_that_are_asked_are_those_of_what_could_have_been_drawn():
    explore = ExploreParams(2, 2, rate=0.6, temperature=0.7, min_history=0)
    params = ComposeParams(4, explore=explore)
    eligible, worth = [20, 21, 22, 23, 24], [1.0, 0.4, 0.2, -0.5, -2.0]

    def made(key, asked):
        of = pool([9.0, 8.0, 7.0, 6.0], eligible=eligible, worth=worth, key=key, asked=asked)
        return listed(of, params)

    plain = listed(pool([9.0, 8.0, 7.0, 6.0], eligible=eligible, worth=worth), params)
    assert plain.of_asked.shape == (1, 0)
    for at in range(4):
        chances = {}
        for item in [*range(4), *eligible, -1]:
            asked = [-1] * 4
            asked[at] = item
            chances[item] = float(made(1, asked).of_asked[0, at])
        assert sum(chances.values()) == pytest.approx(1.0)
        assert chances[-1] == 0.0
        # What stands there says the same of itself.
        for key in range(60):
            found = made(key, [-1] * 4)
            assert chances[int(found.items[0, at])] == pytest.approx(float(found.propensity[0, at]))
    of = pool([9.0, 8.0], eligible=eligible, worth=worth, history=0, asked=(1, 1))
    newcomer = listed(of, ComposeParams(2, explore=ExploreParams(2, 1)))
    assert newcomer.of_asked[0].tolist() == [0.0, 1.0]


def test_other_places_do_not_depend_on_the_draws():
    explore = ExploreParams(1, 3, min_history=0)
    params = ComposeParams(4, explore=explore)
    made = [listed(pool([9, 8, 7, 6], eligible=[20, 21], worth=[1, 1], key=k), params) for k in range(50)]
    lists = {tuple(np.delete(each.items[0], 2).tolist()) for each in made}

    assert lists == {(0, 1, 3)}


def test_nobody_with_little_history_is_explored_upon():
    explore = ExploreParams(2, 1, min_history=5)
    made = [
        listed(pool([2, 1], eligible=[20], worth=[9], key=k, history=h), ComposeParams(2, explore=explore))
        for h in (4, 5)
        for k in range(20)
    ]

    assert not any((each.moved_by == BY_EXPLORE).any() for each in made[:20])
    assert all((each.propensity == 1.0).all() for each in made[:20])
    assert any((each.moved_by == BY_EXPLORE).any() for each in made[20:])


def test_places_of_rules_are_not_explored():
    explore = ExploreParams(3, 1, min_history=0)
    placing = rules(pin_place=[0], pin_item=[9], pin_rule=[0])
    for k in range(30):
        found = listed(
            pool([3, 2, 1], eligible=[20, 21], worth=[9, 9], key=k), ComposeParams(3, explore=explore), placing
        )
        assert found.items[0, 0] == 9
        assert found.propensity[0, 0] == 1.0


def test_a_key_says_all_that_a_draw_depends_on():
    one = ("s", "u", 7, "home")
    differing = (one, ("t", *one[1:]), ("s", "v", 7, "home"), ("s", "u", 8, "home"), (*one[:3], "cart"))
    assert len({draw_key(*each) for each in differing}) == len(differing)
    assert draw_key("s", "u", 7, "home") == 7_222_486_088_269_324_760  # the same on every machine and in every release


# --- fatigue ---


def test_fatigue_by_hand():
    hashes = np.array([[5, 6, 0]], np.uint64) << np.uint64(32)
    shown = np.array([[5, 5, 6, 0]], np.uint32)
    times = np.array([[1000, 900, 2000, 0]], np.uint32)
    out = np.ones((1, 3))

    fatigue_of(shown, times, hashes, np.array([1000]), FatigueParams(0.8, 100.0), out)

    assert out.tolist() == [[-(0.8 + 0.4), -0.8, 0.0]]
