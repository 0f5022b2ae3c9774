"""Which list newcomers get, and for what of their moment: what those before them took most from, if that is sure."""

from __future__ import annotations

import numpy as np
import pytest

from models.items.priors import Priors
from models.items.record import MOMENT_STARTS
from models.ranking.evidence import NONE
from models.ranking.features import FEATURES
from models.ranking.few_items import ADDED
from models.ranking.newcomers import (
    choose,
    followed,
    gains,
    gains_in_context,
    no_evidence,
    remember,
    remember_few,
    with_choice,
    with_list,
)
from models.ranking.weights import default_weights, make_weights, user_weights
from models.vocabulary import EXPERTS, NEWCOMER_CONTEXTS, NEWCOMER_LISTS, SEQUENCE

LISTS, CONTEXTS = len(NEWCOMER_LISTS), len(NEWCOMER_CONTEXTS)
MONTH = EXPERTS.index("entry_month")
HOUR, WEEKDAY, SCENE = range(CONTEXTS)
NOTHING = np.zeros(0, np.int32)


def priors(leaders: np.ndarray, in_context: np.ndarray, bins: tuple[int, int] = (3, 9), at: int = 0) -> Priors:
    nothing = np.zeros(0, np.int32)
    common = nothing, (nothing,) * len(EXPERTS), leaders, np.ones(23), 0, 0, 0
    return Priors(*common, followed=at, bins=np.array(bins), in_context=in_context)


def told(n: int, lists: dict[int, float], contexts: dict[int, float] | None = None, of: str = "popularity"):
    """What n newcomers say of whom each takes the first item of a list, or of a context's list and not of the plain one, which
    is `of`."""
    rng = np.random.default_rng(3)
    gained, better = np.zeros((n, LISTS)), np.zeros((n, CONTEXTS))
    for at, rate in lists.items():
        gained[:, at] = rng.random(n) < rate
    for at, rate in (contexts or {}).items():
        better[:, at] = rng.random(n) < rate
    return remember(no_evidence(), gained, of, better)


def test_every_list_and_context_is_a_feature() -> None:
    assert set(NEWCOMER_LISTS) <= set(FEATURES)
    assert set(NEWCOMER_CONTEXTS) <= set(FEATURES)


def test_what_was_taken_is_worth_its_place_in_each_list() -> None:
    leaders = np.full((len(EXPERTS), 12), -1, np.int32)
    leaders[0, :3], leaders[1, :12], leaders[2, 0] = (5, 6, 7), np.arange(12), 6
    at = priors(leaders, np.full((9, 1), -1, np.int32))
    found = gains(at, np.array([8, 11], np.int32), np.array([6, 11, -1, 99]))
    assert found.shape == (4, LISTS)
    assert found[0, :3] == pytest.approx([1 / np.log2(3), 1 / np.log2(8), 1.0])
    assert not found[0, 3:].any()
    assert found[1].tolist() == pytest.approx([0.0] * (LISTS - 1) + [1 / np.log2(3)])  # second of the sequence model's
    assert not found[2:].any()  # nobody knows the others
    assert not gains(at, NOTHING, np.array([11]))[0, -1]


def test_a_list_made_for_a_context_is_judged_beside_the_same_list_where_the_context_is_known() -> None:
    leaders = np.full((len(EXPERTS), 3), -1, np.int32)
    leaders[2] = 1, 2, 3
    in_context = np.full((9, 3), -1, np.int32)
    in_context[0], in_context[1], in_context[2 + 4] = (3, 2, 1), (2, 1, 3), (9, 1, 2)  # the hour, the weekday, bucket 5
    at = priors(leaders, in_context, at=2)
    scene = MOMENT_STARTS[2]
    bins = np.array([(3, 9, scene + 5), (4, 9, scene), (3, 8, scene + 6), (3, 9, scene + 5)])
    better = gains_in_context(at, np.array([3, 2, 1, 9]), bins)
    second, third = 1 / np.log2(3), 0.5
    assert better[0].tolist() == pytest.approx([1 - third, third - third, 0 - third])
    assert better[1].tolist() == pytest.approx([0.0, 1 - second, 0.0])  # another hour, and nothing told of the place
    assert better[2].tolist() == pytest.approx(
        [third - 1, 0.0, 0.0]
    )  # another weekday, and a place of which nothing is known
    assert better[3].tolist() == pytest.approx([0.0, 0.0, 1.0])


def test_without_evidence_newcomers_get_all_time_counts() -> None:
    choice = choose([no_evidence()], has_sequence=True)
    assert (choice.name, choice.context, choice.lists.judgements) == ("popularity", "", 0.0)


def test_the_best_of_those_that_are_surely_better_is_followed() -> None:
    choice = choose([told(600, {0: 0.1, MONTH: 0.5, 2: 0.3})], has_sequence=True)
    assert (choice.name, choice.context) == ("entry_month", "")
    assert choice.lists.better[MONTH] == pytest.approx(0.4, abs=0.1)


def test_what_the_sequence_model_expects_of_nobody_is_one_of_the_lists_while_there_is_one() -> None:
    evidence = told(600, {MONTH: 0.3, LISTS - 1: 0.6}, {HOUR: 0.5}, "entry_month")
    assert choose([evidence], has_sequence=True).name == SEQUENCE
    assert choose([evidence], has_sequence=True).context == ""  # it is made for nothing
    without = choose([evidence], has_sequence=False)
    assert (without.name, without.context) == ("entry_month", "hour")


def test_the_list_that_serves_is_made_for_a_context_only_if_that_is_surely_better() -> None:
    assert choose([told(600, {}, {SCENE: 0.1, WEEKDAY: 0.05})], has_sequence=False).context == "scene"
    assert choose([told(29, {}, {SCENE: 1.0})], has_sequence=False).contexts.way == NONE
    rng, evidence, served = np.random.default_rng(0), no_evidence(), 0
    for _ in range(2000):
        better = rng.choice([-1.0, 0.0, 1.0], (1, CONTEXTS))
        evidence = remember(evidence, np.zeros((1, LISTS)), "popularity", better)
        served += choose([evidence], has_sequence=False).context != ""
    assert served < 50


def test_partitions_add_up() -> None:
    part = told(25, {MONTH: 0.6}, {HOUR: 0.9}, "entry_month")
    assert choose([part], has_sequence=False).name == "popularity"  # too few say it
    choice = choose([part] * 3, has_sequence=False)
    assert (choice.name, choice.context) == ("entry_month", "hour")
    assert choice.lists.better == pytest.approx(part.lists.better / part.lists.n)
    assert choose([], has_sequence=False).lists.judgements == 0.0


def test_what_was_said_of_another_list_than_the_one_that_serves_says_nothing() -> None:
    better = np.ones((200, len(ADDED)))
    said = told(600, {MONTH: 0.5}, {HOUR: 0.9})  # of popularity, which serves no more
    said = remember_few(said, "popularity", better)
    choice = choose([said], has_sequence=False)
    assert (choice.name, choice.context, choice.added) == ("entry_month", "", 0.0)
    anew = remember_few(
        remember(said, np.zeros((1, LISTS)), "entry_month", np.zeros((1, CONTEXTS))), "entry_month", better[:1]
    )
    assert (anew.contexts.evidence.n, anew.few.evidence.n) == (1.0, 1.0)  # learned anew
    mixed = choose([said, remember_few(no_evidence(), "entry_month", better)], has_sequence=False)
    assert (mixed.name, mixed.added) == ("entry_month", 0.5)


def test_a_list_orders_the_items_of_people_without_history_and_changes_nobody_elses() -> None:
    weights = default_weights()
    assert with_list(weights, "popularity") is weights
    served = with_list(weights, "entry_month")
    cold, warm = user_weights(served, np.array([0, 3]), np.zeros(2))
    assert np.flatnonzero(cold).tolist() == [FEATURES.index("entry_month")]
    assert warm.tolist() == user_weights(weights, np.array([3]), np.zeros(1))[0].tolist()
    assert (served.version, served.cold_expert, served.cold_context) == (weights.version, "entry_month", "")
    assert served.wanted[FEATURES.index("entry_month")]
    assert not weights.wanted[FEATURES.index("entry_month")]
    assert (followed(served), followed(with_list(weights, SEQUENCE))) == (MONTH, 0)


@pytest.mark.parametrize("name", ["popularity", "trend_day"])
def test_made_for_a_context_the_list_is_in_order_of_its_count_times_how_much_more_than_usual(name: str) -> None:
    weights = default_weights()
    served = with_list(weights, name, "weekday")
    assert served.cold[FEATURES.index(name)] == served.cold[FEATURES.index("weekday")] > 0.0
    assert np.count_nonzero(served.cold) == 2
    assert (served.cold_expert, served.cold_context) == (name, "weekday")
    assert not weights.cold[FEATURES.index("weekday")]


def test_what_people_with_few_items_said_is_chosen_apart_and_never_adds_what_a_model_expects() -> None:
    rng = np.random.default_rng(2)
    better = (rng.random((400, len(ADDED))) < (0.1, 0.5, 0.2)).astype(float)
    evidence = remember_few(told(600, {MONTH: 0.3, LISTS - 1: 0.6}, {HOUR: 0.5}, "entry_month"), "entry_month", better)
    choice = choose([evidence], has_sequence=False)
    assert (choice.name, choice.context, choice.added) == ("entry_month", "hour", 2.0)
    served = with_choice(default_weights(), choice)
    assert (served.cold_expert, served.cold_context, served.added) == ("entry_month", "hour", 2.0)
    assert with_choice(default_weights(), choose([evidence], has_sequence=True)).added == 0.0
    assert choose([remember_few(no_evidence(), "popularity", better[:29])], has_sequence=False).added == 0.0


def test_learned_weights_of_newcomers_are_not_mixed_with_a_context_that_nobody_judged_with_them() -> None:
    weights = default_weights()
    cold = weights.cold.copy()
    cold[FEATURES.index("age")] = -1.0
    learned = make_weights(weights.table, cold, weights.calibration)
    assert with_list(learned, "popularity", "hour") is learned
    assert np.count_nonzero(with_list(learned, "trend_day", "hour").cold) == 2
