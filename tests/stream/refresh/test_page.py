"""The placement `home` through the tracker: what lists say of their places, what is remembered, and what stays the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from kafka_records import NOW_MS, event_record
from msgspec import UNSET
from text_source import InstantTexts
from tracker_harness import lists_of, opened, replicated, shop_with_history

from models.experiments.assignment import HOLDOUT, Experiment, arm_of
from models.vocabulary import STRATEGIES
from stream.refresh.explorable import PROPOSED, least_known
from stream.rules.active import is_in_share
from stream.rules.rule import rule_of, to_json
from stream.settings.experiments import ExperimentSettings
from stream.settings.placements import PlacementSettings
from stream.wire.records import encode

EXPLORE = {"slots": 2, "from_place": 2, "min_history": 1}


def home(**settings):
    return {"placements": {"home": PlacementSettings(**settings)}, "encoder_model": "none"}


@pytest.fixture
def shop(tmp_path, request):
    with opened(tmp_path, **getattr(request, "param", {})) as harness:
        yield harness


def records(harness, *users):
    return [made.list.record for made in lists_of(harness, *users)]


def test_without_a_placement_nothing_is_said_of_one(shop):
    shop_with_history(shop)
    (made,) = lists_of(shop, "ann")

    assert b"placement" not in made.list.value
    assert b"moved_by" not in made.list.value
    assert b'"propensity":1.0,' in made.list.value
    assert b"propensity" not in made.reasons.value


def test_a_placement_without_anything_makes_the_same_list_and_says_which_it_is(tmp_path):
    found = []
    for name, settings in (("plain", {}), ("home", home())):
        with opened(tmp_path / name, **settings) as shop:
            shop_with_history(shop)
            found.append(records(shop, "ann", "new"))

    for plain, placed in zip(*found, strict=True):
        assert [encode(item) for item in plain.items] == [encode(item) for item in placed.items]
        assert placed.placement == "home"


@pytest.mark.parametrize("shop", [home(explore=EXPLORE, slots=4)], indirect=True)
def test_what_is_explored_has_its_propensity_in_list_ledger_and_reasons(shop):
    shop_with_history(shop)
    shop.catalogue(*(f"new{n}" for n in range(6)), published_at=NOW_MS - 1000)

    (made,) = lists_of(shop, "ann")

    record = made.list.record
    explored = [item for item in record.items if item.strategy == "explore"]
    assert explored
    for item in explored:
        assert item.moved_by == "explore"
        assert 0 < item.propensity < 1
        assert item.rank >= 2
    assert {item.propensity for item in record.items if item.strategy != "explore"} == {1.0}
    reasons = {place.item_id: place for place in made.reasons.record.places}
    for item in explored:
        place = reasons[item.item_id]
        assert place.propensity == pytest.approx(item.propensity, abs=1e-6)
        assert place.moved_by == "explore"
        assert made.reasons.record.reasons[place.reason]["en"] in (
            "New, and we are curious whether you like it.",
            "We are curious whether you like it.",
        )
    ledgers = shop.users.outcomes.ledgers
    (kept,) = ledgers.states.columns.places[ledgers.rows([b"ann"]), 0].tolist()
    assert [round(place[2], 6) for place in kept[:4]] == [round(item.propensity, 6) for item in record.items]


@pytest.mark.parametrize("shop", [home(explore=EXPLORE, slots=4)], indirect=True)
def test_a_list_made_again_draws_the_same_and_one_after_a_new_event_draws_anew(shop):
    shop_with_history(shop)
    shop.catalogue(*(f"new{n}" for n in range(50)))

    first, again = records(shop, "ann")[0], records(shop, "ann")[0]
    drawn = set()
    for n in range(12):
        shop.events(("ann", "view", f"i{n % 3}"))
        drawn.add(tuple(item.item_id for item in records(shop, "ann")[0].items if item.strategy == "explore"))

    assert [encode(item) for item in first.items] == [encode(item) for item in again.items]
    assert len(drawn) > 3


@pytest.mark.parametrize("shop", [home(explore=EXPLORE | {"min_history": 3}, slots=4)], indirect=True)
def test_newcomers_and_people_with_little_history_see_no_explored_place(shop):
    shop_with_history(shop)
    shop.catalogue(*(f"new{n}" for n in range(6)))

    for record in records(shop, "ann", "nobody"):
        assert all(item.strategy != "explore" and item.propensity == 1.0 for item in record.items)


@pytest.mark.parametrize("shop", [home(fatigue=5.0)], indirect=True)
def test_what_was_seen_and_not_taken_falls_and_its_reason_says_so(shop):
    shop_with_history(shop)
    (before,) = records(shop, "ann")
    seen = before.items[0].item_id
    start = shop.next_offset
    shop.chunk([event_record(start + n, "ann", action="impression", item_id=seen) for n in range(3)])

    (made,) = lists_of(shop, "ann")

    after = made.list.record
    place = next(item for item in after.items if item.item_id == seen)
    assert place.rank > 1
    assert place.parts["fatigue"] == pytest.approx(-15.0, rel=1e-3)
    assert place.moved_by == "fatigue"
    reason = next(each for each in made.reasons.record.places if each.item_id == seen)
    assert made.reasons.record.reasons[reason.reason] == {
        "en": "Lower than before: you have been shown it often.",
        "zh": "您已多次看到它，所以排得靠后一些。",
    }
    assert sum(place.parts.values()) == pytest.approx(place.score, abs=1e-12)


@pytest.mark.parametrize("shop", [home(fatigue=5.0)], indirect=True)
def test_nobody_is_tired_of_what_they_took(shop):
    shop_with_history(shop)
    start = shop.next_offset
    shop.chunk([event_record(start + n, "ann", action="impression", item_id="i3") for n in range(3)])
    shop.events(("ann", "click", "i3"))

    (record,) = records(shop, "ann")

    assert all(item.parts["fatigue"] == 0.0 for item in record.items)


@pytest.mark.parametrize("shop", [home(diversity=0.9, slots=3)], indirect=True)
def test_diversity_moves_and_says_so(shop):
    shop_with_history(shop)

    (record,) = records(shop, "ann")

    assert "diversity" in {item.moved_by for item in record.items}
    assert len({item.item_id for item in record.items}) == 3


def test_publication_times_are_known_by_index(shop):
    shop.catalogue("a", published_at=NOW_MS)
    shop.catalogue("b")
    shop.tracker.replicate_items([replicated(b"a", None)], 0.0)
    shop.catalogue("c", published_at=NOW_MS - 5)
    known = shop.tracker.knowledge
    rows = known.index.lookup(known.hashes_of(["a", "b", "c"]))

    assert known.published_ms[rows].tolist() == [-1, -1, NOW_MS - 5]


def test_the_least_known_are_proposed():
    rng = np.random.default_rng(0)
    n = 3 * PROPOSED
    exposures, count = rng.integers(0, 50, n), rng.integers(0, 50, n).astype(float)
    hashes = rng.permutation(n).astype(np.uint64)

    found = least_known(np.arange(n), exposures, count, hashes, 5)

    evidence = np.maximum(exposures, count)
    assert sorted(evidence[found]) == sorted(evidence)[:PROPOSED]
    nothing = np.zeros(n)
    hours = [frozenset(least_known(np.arange(n), nothing, nothing, hashes, hour).tolist()) for hour in range(40)]
    assert len(set(hours)) == 40
    assert len(frozenset().union(*hours)) > 0.8 * n


# --- rules ---


def say(shop, **rules):
    if not shop.tracker.refresher.pages.is_compiled:
        shop.tracker.compile_placement()
        shop.tracker.use_placements()
    records = [
        replicated(f"rule/{name}".encode(), None if given is None else to_json(rule_of(name, given)))
        for name, given in rules.items()
    ]
    shop.tracker.replicate_rules(records, 0.0)


def test_a_rule_makes_a_placement_of_its_own_and_without_rules_lists_are_as_before(shop):
    shop_with_history(shop)
    (before,) = lists_of(shop, "ann")
    first = before.list.record.items[0].item_id
    say(shop, no={"kind": "deny", "items": [first]})
    (record,) = records(shop, "ann")
    assert record.placement == "home"
    assert first not in {item.item_id for item in record.items}
    say(shop, no=None)
    (after,) = lists_of(shop, "ann")
    assert b"placement" not in after.list.value
    assert [i.item_id for i in after.list.record.items] == [i.item_id for i in before.list.record.items]


def test_where_rules_count_lists_for_contexts_are_those_of_the_list_that_serves(shop):
    shop_with_history(shop)
    say(shop, no={"kind": "deny", "items": ["i7"]})
    pages, now_ms = shop.tracker.refresher.pages, NOW_MS
    page = pages.home
    scope = page._rules.scope(("no",), pages.seen(now_ms), page.params.compose.slots)
    made = [page.what_may(scope.allowed, scope.rules, now_ms, followed)[1] for followed in (0, 0, 3)]
    assert made[1] is made[0]  # of a moment ago
    assert [each.followed for each in made] == [0, 0, 3]


def test_a_boost_is_a_part_a_promotion_is_labelled_and_both_say_which_rule_it_was(shop):
    shop_with_history(shop)
    plain = [item.item_id for item in records(shop, "ann")[0].items]
    shop.catalogue(*(f"x{n}" for n in range(30)), categories=["x"])
    promote = {"kind": "promote", "where": "array_contains(categories, 'x')", "least": 17}
    say(shop, up={"kind": "boost", "items": [plain[2]], "add": 20.0}, ad=promote)

    (made,) = lists_of(shop, "ann")

    record = made.list.record
    assert record.items[0].item_id == plain[2]
    assert record.items[0].moved_by == "rule:up"
    assert record.items[0].parts["rules"] == 20.0
    assert all(sum(item.parts.values()) == pytest.approx(item.score, abs=1e-9) for item in record.items)
    promoted = [item for item in record.items if item.promoted is True]
    assert promoted
    assert {item.moved_by for item in promoted} == {"rule:ad"}
    assert sum(item.item_id.startswith("x") for item in record.items) >= 17
    reasons = {place.item_id: place for place in made.reasons.record.places}
    for item in promoted:
        assert reasons[item.item_id].promoted
        said = made.reasons.record.reasons[reasons[item.item_id].reason]
        assert said == {"en": "Promoted by the shop.", "zh": "商家推广。"}
    assert made.reasons.record.reasons[reasons[plain[2]].reason]["en"] == "Chosen by the shop."


def test_people_of_a_share_get_theirs_and_all_others_the_others_in_one_batch(shop):
    shop_with_history(shop)
    up = {"kind": "boost", "items": ["i6"], "add": 9.0, "share": 0.4}
    say(shop, half={"kind": "deny", "items": ["i1"], "share": 0.5}, up=up)
    people = [f"p{n}" for n in range(40)]

    made = {record.user_id: record for record in records(shop, *people)}

    assert list(made) == people
    for user, record in made.items():
        listed = [item.item_id for item in record.items]
        assert ("i1" not in listed) == is_in_share(user.encode(), "half", 0.5)
        assert (listed[0] == "i6") == is_in_share(user.encode(), "up", 0.4)
        assert "rules" in record.items[0].parts
        alone = records(shop, user)[0]
        assert [encode(item) for item in alone.items] == [encode(item) for item in record.items]


@pytest.mark.parametrize("shop", [home(slots=4)], indirect=True)
def test_filters_that_leave_too_little_are_named(shop):
    shop_with_history(shop)
    say(shop, a={"kind": "filter", "items": ["i4", "i5", "i6", "i7", "i3"]}, b={"kind": "filter", "items": ["i4"]})

    (record,) = records(shop, "ann")

    assert record.relaxed == ("rule:b",)
    assert {item.item_id for item in record.items} <= {"i3", "i4", "i5", "i6", "i7"}


def test_rules_that_change_have_lists_made_anew_and_items_that_change_do_not(shop):
    shop_with_history(shop)
    lists_of(shop, "ann")
    shop.waiting()
    say(shop, no={"kind": "deny", "where": "price > 5"})
    assert shop.waiting() == [("ann", "model")]
    shop.catalogue("i7", price=3.0)
    shop.tracker.queue.next_batch(100)
    shop.tracker.look_at_rules(0.0)
    assert shop.waiting() == []


def test_an_item_that_comes_to_be_denied_leaves_the_lists_that_hold_it(shop):
    shop_with_history(shop)
    say(shop, no={"kind": "deny", "where": "price > 5"})
    held = {user: {item.item_id for item in records(shop, user)[0].items} for user in ("ann", "u1", "u2")}
    assert "i7" in held["ann"]
    shop.waiting()
    before = shop.tracker.renewal.withdrawals
    shop.catalogue("i7", price=9.0)
    assert sorted(shop.waiting()) == sorted((user, "catalog") for user, items in held.items() if "i7" in items)
    assert shop.tracker.renewal.withdrawals == before + 1  # so that lists that are not known are looked through


@pytest.mark.parametrize("by_text", [False, True])
@pytest.mark.parametrize("where", ["by rules alone", "in the settings"])
def test_nothing_is_compiled_once_a_worker_makes_lists(tmp_path, where, by_text):
    placed = {"diversity": 0.3, "fatigue": 0.5, "explore": EXPLORE, "slots": 4}
    with opened(tmp_path, **(home(**placed) if where == "in the settings" else {"encoder_model": "none"})) as shop:
        shop.tracker.warm_up()
        if by_text:
            InstantTexts(shop.tracker.knowledge)
        shop.tracker.compile_placement()
        shop.tracker.use_placements()
        before = compiled_for()
        shop_with_history(shop)
        shop.catalogue(*(f"new{n}" for n in range(6)), categories=["x"])
        shop.chunk([event_record(shop.next_offset, "ann", action="impression", item_id="i3")])
        say(
            shop, no={"kind": "deny", "where": "price > 5"}, cap={"kind": "cap", "by": "category", "most": 3},
            up={"kind": "boost", "items": ["i4"], "add": 1.0, "share": 0.5},
            ad={"kind": "promote", "items": ["new3"], "least": 1},
            pin={"kind": "pin", "items": ["i5"], "place": 2},
        )  # fmt: skip
        assert all(record.placement == "home" for record in records(shop, "ann", "u2", "nobody"))
        assert {name: n for name, n in compiled_for().items() if n != before.get(name, n)} == {}


def compiled_for():
    """For how many types of arguments each compiled function of ours was compiled."""
    found = {}
    for module in [each for name, each in sys.modules.items() if name.startswith(("models.", "stream."))]:
        for each in vars(module).values():
            if hasattr(each, "signatures") and hasattr(each, "py_func"):
                found[f"{each.py_func.__module__}.{each.py_func.__name__}"] = len(each.signatures)
    return found


@pytest.mark.parametrize("shop", [home(fatigue=0.5, explore=EXPLORE, slots=4)], indirect=True)
def test_before_there_are_items_lists_are_empty(shop):
    shop.chunk([event_record(0, "ann", action="impression", item_id="i3")])

    (record,) = records(shop, "ann")

    assert record.items == ()


def test_a_record_that_is_no_rule_is_counted_and_the_worker_goes_on(shop):
    shop_with_history(shop)
    shop.tracker.replicate_rules(
        [replicated(b"rule/x", b"{"), replicated(b"rule/y", b'{"kind":"deny","where":"1;2"}')], 0.0
    )

    assert shop.count("rules_refused") == 2
    assert records(shop, "ann")[0].items
    assert shop.metrics.registry.get_sample_value("penchant_rules") == 0


def test_a_pin_is_shown_to_everybody_but_who_has_bought_it(shop):
    shop_with_history(shop)
    say(shop, pin={"kind": "pin", "items": ["i0"], "place": 2})

    for_ann, for_new = records(shop, "ann", "new")

    assert for_new.items[1].item_id == "i0"
    assert for_new.items[1].moved_by == "rule:pin"
    assert "i0" not in {item.item_id for item in for_ann.items}  # she bought it


@pytest.mark.parametrize("shop", [home(explore=EXPLORE | {"max_exposures": 3, "max_age_h": 0}, slots=4)], indirect=True)
def test_places_by_strategy_and_what_may_be_explored_or_has_graduated_are_counted(shop):
    shop_with_history(shop)
    shop.catalogue(*(f"new{n}" for n in range(6)))
    output, work = shop.metrics.output, shop.metrics.work

    (record,) = records(shop, "ann")

    explored = sum(item.strategy == "explore" for item in record.items)
    assert output.places.labels("explore")._value.get() == explored == 2
    assert sum(output.places.labels(name)._value.get() for name in STRATEGIES) == len(record.items)
    may, graduated = work.explorable._value.get(), work.graduated._value.get()
    assert may >= 6
    assert graduated == 0

    start = shop.next_offset
    shop.chunk([event_record(start + n, f"u{n}", action="impression", item_id="new3") for n in range(3)])
    shop.share_statistics()
    lists_of(shop, "ann")

    assert work.graduated._value.get() == 1
    assert work.explorable._value.get() == may - 1


# --- experiments ---


PEOPLE = [f"p{n}" for n in range(40)]
DIVERSE = {"diversity": 0.9, "fatigue": 5.0}


def experiment(changes, base=None, **fields):
    settings = ExperimentSettings.model_validate({"arms": {"control": 0.5, "treatment": 0.5}, **fields} | changes)
    return {"experiments": {"diverse": settings}, "encoder_model": "none"} | (base or {})


def with_history(shop, people=PEOPLE):
    shop_with_history(shop)
    for n, user in enumerate(people):
        shop.events((user, "view", f"i{n % 3}"))


def test_each_arm_has_the_lists_of_its_placement_in_one_batch_and_the_record_says_which(tmp_path):
    found = {}
    treated = {"changes": {"treatment": {"home": DIVERSE}}}
    for name, settings in (
        ("both", experiment(treated, share=0.7, holdout=0.2)),
        ("plain", home(fatigue=0.0)),
        ("diverse", home(**DIVERSE)),
    ):
        with opened(tmp_path / name, **settings) as shop:
            with_history(shop)
            found[name] = {record.user_id: record for record in records(shop, *PEOPLE)}
            if name == "both":
                alone = [records(shop, user)[0] for user in PEOPLE]

    asked = Experiment("diverse", "diverse", 0.7, (("control", 0.5), ("treatment", 0.5)), "control", 0.2)
    arms = {user: arm_of(asked, user.encode()) for user in PEOPLE}
    assert set(arms.values()) == {None, "control", "treatment", HOLDOUT}
    assert list(found["both"]) == PEOPLE
    differ = 0
    for user, record in found["both"].items():
        assert record.experiments == (UNSET if arms[user] is None else {"diverse": arms[user]})
        listed = [item.item_id for item in record.items]
        as_in = found["diverse" if arms[user] == "treatment" else "plain"][user]
        assert listed == [item.item_id for item in as_in.items]
        assert [item.moved_by for item in record.items] == [item.moved_by for item in as_in.items]
        # Whoever is in the batch, each list has the same parts.
        assert all("fatigue" in item.parts for item in record.items)
        differ += listed != [item.item_id for item in found["plain"][user].items]
    assert differ > 5
    for one, record in zip(alone, found["both"].values(), strict=True):
        assert [encode(item) for item in one.items] == [encode(item) for item in record.items]
        assert one.experiments == record.experiments


def test_without_experiments_lists_do_not_speak_of_them(tmp_path):
    with opened(tmp_path, **home()) as shop:
        shop_with_history(shop)
        (made,) = lists_of(shop, "ann")
        assert b"experiments" not in made.list.value


def test_an_arm_may_explore_while_the_other_does_not(tmp_path):
    changes = {"changes": {"treatment": {"home": {"explore": {"slots": 2, "from_place": 2}}}}}
    base = {"placements": {"home": PlacementSettings.model_validate({"slots": 4, "explore": {"min_history": 1}})}}
    with opened(tmp_path, **experiment(changes, base)) as shop:
        with_history(shop)
        shop.catalogue(*(f"new{n}" for n in range(20)), published_at=NOW_MS - 1000)
        made = records(shop, *PEOPLE)

    by_arm = {"control": set(), "treatment": set()}
    for record in made:
        assert record.placement == "home"
        by_arm[record.experiments["diverse"]].add(any(item.strategy == "explore" for item in record.items))
    assert by_arm == {"control": {False}, "treatment": {True}}


def test_rules_and_arms_go_together(tmp_path):
    with opened(tmp_path, **experiment({"changes": {"treatment": {"home": {"diversity": 0.9}}}})) as shop:
        with_history(shop)
        say(shop, half={"kind": "deny", "items": ["i1"], "share": 0.5})
        made = records(shop, *PEOPLE)

    groups = set()
    for record in made:
        is_denied = is_in_share(record.user_id.encode(), "half", 0.5)
        listed = [item.item_id for item in record.items]
        assert "i1" not in listed or not is_denied
        groups.add((record.experiments["diverse"], is_denied))
    assert len(groups) == 4
