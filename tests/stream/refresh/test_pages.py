"""Several placements through the tracker: lists of each, what is sent of which, rules and settings that change one of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kafka_records import NOW_MS, event_record
from msgspec import UNSET
from tracker_harness import lists_of, opened, replicated, shop_with_history

from models.ranking.features import FEATURES
from models.ranking.weights import default_weights, make_weights
from stream.kafka.specs import topic_specs
from stream.rules.rule import rule_of, to_json
from stream.settings.experiments import ExperimentSettings
from stream.settings.placements import PlacementSettings
from stream.state.record import EXPOSURES
from stream.wire.records import encode


def placements(**of_each):
    made = {name: PlacementSettings.model_validate(given) for name, given in of_each.items()}
    return {"placements": made, "encoder_model": "none"}


PEOPLE = ("ann", *(f"v{n}" for n in range(6)), *(f"w{n}" for n in range(6)))
TWO = placements(cart={"slots": 3}, detail={})


@pytest.fixture
def shop(tmp_path, request):
    with opened(tmp_path, **getattr(request, "param", TWO)) as harness:
        shop_with_history(harness)
        yield harness


def lists(shop, *users):
    return [
        {"home": made.list.record} | {each.placement: each.list.record for each in made.others}
        for made in lists_of(shop, *users)
    ]


def items(record):
    return [item.item_id for item in record.items]


def say(shop, **changes):
    """Of rules by id, of placements by `placement_NAME`."""
    if not shop.tracker.refresher.pages.is_compiled:
        shop.tracker.compile_placement()
        shop.tracker.use_placements()
    records = []
    for name, given in changes.items():
        if name.startswith("placement_"):
            key = name.replace("_", "/")
            value = None if given is None else json.dumps(given).encode()
        else:
            key, value = f"rule/{name}", None if given is None else to_json(rule_of(name, given))
        records.append(replicated(key.encode(), value))
    shop.tracker.replicate_rules(records, 0.0)
    shop.tracker.look_at_all_rules(0.0)


# --- several ---


def test_each_placement_has_its_list_and_home_is_as_without_others(tmp_path, shop):
    (found,) = lists(shop, "ann")

    assert {name: len(record.items) for name, record in found.items()} == {"home": 7, "cart": 3, "detail": 7}
    assert items(found["cart"]) == items(found["home"])[:3]
    assert items(found["detail"]) == items(found["home"])
    assert (found["cart"].placement, found["detail"].placement) == ("cart", "detail")
    assert len({record.recommendation_id for record in found.values()}) == 3
    with opened(tmp_path / "alone", encoder_model="none") as alone:
        shop_with_history(alone)
        ((plain,),) = [lists(alone, "ann")]
    assert encode(plain["home"]) == encode(found["home"])
    assert found["home"].placement is UNSET
    topics = [spec.name for spec in topic_specs(shop.settings)]
    assert {"interest.recommendations.cart", "interest.recommendations.detail"} < set(topics)


def test_each_has_reasons_and_is_remembered_in_the_ledger_home_last(shop):
    (made,) = lists_of(shop, "ann")

    for each in made.others:
        assert each.reasons.record.recommendation_id == each.list.list_id
        assert [place.item_id for place in each.reasons.record.places] == items(each.list.record)
    columns = shop.users.outcomes.ledgers.states.columns
    (row,) = shop.users.outcomes.ledgers.rows([b"ann"])
    assert columns.n_lists[row] == 3
    ids = [f"{one['id0']:016x}{one['id1']:016x}" for one in columns.lists[row, :3]]
    assert ids == [*(each.list.list_id for each in made.others), made.list.list_id]


def test_what_is_not_due_to_an_event_goes_out_where_it_differs(shop):
    lists(shop, "ann")
    (made,) = lists_of(shop, "ann")
    assert made.others == ()
    assert not made.changed
    say(shop, first={"kind": "pin", "items": ["i7"], "place": 1, "placement": "cart"})
    (made,) = lists_of(shop, "ann")

    assert [each.placement for each in made.others] == ["cart"]
    assert not made.changed
    assert items(made.others[0].list.record)[0] == "i7"
    assert items(made.list.record)[0] != "i7"


def test_an_item_that_is_withdrawn_leaves_the_list_of_a_placement(shop):
    say(shop, first={"kind": "pin", "items": ["i7"], "place": 1, "placement": "cart"},
        none={"kind": "deny", "items": ["i7"], "placement": "home"})  # fmt: skip
    (found,) = lists(shop, "ann")
    assert "i7" in items(found["cart"])
    assert "i7" not in items(found["home"])
    shop.waiting()
    shop.remove("i7")

    assert ("ann", "catalog") in shop.waiting()


# --- live ---


def test_a_placement_is_changed_while_workers_run_and_is_as_before_when_that_is_taken_back(shop):
    (before,) = lists(shop, "ann")
    while shop.waiting():
        pass
    say(shop, placement_cart={"slots": 2}, placement_home={"slots": 5, "diversity": 0.2})
    assert {trigger for _, trigger in shop.waiting()} == {"model"}
    (found,) = lists(shop, "ann")
    assert {name: len(record.items) for name, record in found.items()} == {"home": 5, "cart": 2}
    assert found["home"].placement == "home"

    say(shop, placement_cart=None, placement_home=None)
    (found,) = lists(shop, "ann")
    assert [encode(item) for item in found["home"].items] == [encode(item) for item in before["home"].items]
    assert len(found["cart"].items) == 3


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("placement_shelf", {"slots": 2}, "no placement 'shelf' in penchant.toml"),
        ("placement_cart", {"slots": 2, "explore": {"slots": 1}}, "'cart' has 2 places, so 1 that explore"),
        ("placement_cart", {"topic": "x"}, "`topic` cannot be changed"),
        ("placement_cart", {"slots": 0}, "slots"),
        ("placement_cart", [], "cart"),
    ],
)
def test_what_cannot_be_is_refused_and_the_one_of_before_stays(shop, caplog, name, given, says):
    say(shop, placement_cart={"slots": 2})
    say(shop, **{name: given})

    (found,) = lists(shop, "ann")
    assert len(found["cart"].items) == 2
    assert says in caplog.text
    assert shop.count("rules_refused") == 1


def test_arms_are_changed_from_what_the_placement_is_now(tmp_path):
    arms = {"arms": {"a": 0.5, "b": 0.5}, "changes": {"b": {"cart": {"diversity": 0.9}}}}
    experiment = {"x": ExperimentSettings.model_validate(arms)}
    with opened(tmp_path, **placements(cart={"slots": 3}), experiments=experiment) as shop:
        shop_with_history(shop)
        say(shop, placement_cart={"slots": 2})
        found = lists(shop, *(f"v{n}" for n in range(6)))
        arms_seen = {next(iter(made["cart"].experiments.values())) for made in found}
        assert arms_seen == {"a", "b"}
        assert {len(made["cart"].items) for made in found} == {2}


def test_explored_places_have_to_fit_in_every_arm_as_it_would_be(tmp_path, caplog):
    arms = {"arms": {"a": 0.5, "b": 0.5}, "changes": {"b": {"cart": {"explore": {"slots": 1, "from_place": 5}}}}}
    experiment = {"x": ExperimentSettings.model_validate(arms)}
    with opened(tmp_path, **placements(cart={"slots": 6}), experiments=experiment) as shop:
        say(shop, placement_cart={"slots": 5})
        assert shop.count("rules_refused") == 0
        say(shop, placement_cart={"slots": 4})
        assert shop.count("rules_refused") == 1


def two_arms(**more):
    arms = {"arms": {"a": 0.5, "b": 0.5}} | more
    return {"experiments": {"x": ExperimentSettings.model_validate(arms)}, "encoder_model": "none"}


def test_arms_may_have_weights_of_their_own(tmp_path):
    """Of popularity alone in arm b; in the other one lists are as without the experiment but for their arm."""
    served, popular = default_weights(), np.zeros(len(FEATURES))
    popular[FEATURES.index("popularity")] = 1.0
    table = np.zeros_like(served.table)
    table[0] = popular
    only = make_weights(table, popular, served.calibration)
    with opened(tmp_path / "plain", encoder_model="none") as plain:
        shop_with_history(plain)
        before = {each["home"].user_id: each["home"] for each in lists(plain, *PEOPLE)}
    with opened(tmp_path, **two_arms()) as shop:
        shop_with_history(shop)
        shop.tracker.use_for_arm("x", "b", only)
        found = {each["home"].user_id: each["home"] for each in lists(shop, *PEOPLE)}
    arms = {user: record.experiments["x"] for user, record in found.items()}
    assert set(arms.values()) == {"a", "b"}
    for user, record in found.items():
        if arms[user] == "a":
            assert items(record) == items(before[user])
            assert record.model == before[user].model
        else:
            assert record.model.ranker == only.version
            assert all(item.score == pytest.approx(item.parts["popularity"]) for item in record.items)
    assert len({record.recommendation_id for record in found.values()}) == len(found)


def test_a_rule_may_count_in_one_arm(tmp_path):
    with opened(tmp_path, **two_arms()) as shop:
        shop_with_history(shop)
        say(shop, no={"kind": "deny", "items": ["i2"], "arm": "x/b"})
        found = [each["home"] for each in lists(shop, *PEOPLE)]
        allowed = {key: shop.tracker.refresher.pages.home.allowed(key, shop.tracker.refresher.pages.seen(shop.now_ms))
                   for key in (record.user_id.encode() for record in found)}  # fmt: skip
    has_it = {arm: ["i2" in items(record) for record in found if record.experiments["x"] == arm] for arm in "ab"}
    assert any(has_it["a"])
    assert not any(has_it["b"])
    for record in found:
        assert (allowed[record.user_id.encode()] is None) == (record.experiments["x"] == "a")


# --- rules of one placement ---


def test_a_rule_counts_where_it_says_or_everywhere(shop):
    say(
        shop,
        here={"kind": "deny", "items": ["i1"], "placement": "cart"},
        all={"kind": "deny", "items": ["i2"]},
    )
    (found,) = lists(shop, "ann")

    assert "i1" not in items(found["cart"])
    assert "i1" in items(found["home"])
    assert not any("i2" in items(record) for record in found.values())


def test_a_filter_is_left_out_only_where_it_leaves_too_few(shop):
    say(shop, few={"kind": "filter", "where": "item_id IN ('i1', 'i3', 'i4', 'i5')"})
    (found,) = lists(shop, "ann")

    assert found["cart"].relaxed is UNSET
    assert set(items(found["cart"])) <= {"i1", "i3", "i4", "i5"}
    assert found["home"].relaxed == ("rule:few",)


def test_news_of_rules_is_not_lost_where_a_list_is_made_first(shop):
    say(shop, up={"kind": "deny", "items": ["i1"], "valid_from": "2020-01-01T00:00:00Z"})
    lists(shop, "ann", "v1")
    while shop.waiting():
        pass
    pages = shop.tracker.refresher.pages
    pages.rules.book.add(b"rule/up", None)
    lists(shop, "ann")  # looks at the rules, too
    shop.tracker.look_at_rules(0.0)

    assert ("v1", "model") in shop.waiting()


# --- fatigue ---

USERS, ITEMS, ROUNDS = 40, 12, 530
WEIGHT, HALF_LIFE_H = 0.4, 6.0


@pytest.mark.timeout(300)
def test_no_list_of_10_000_reads_what_is_stale(tmp_path):
    """Beside plain Python: exposures that nothing answered, the last 32, each half after its half-life."""
    home = PlacementSettings(fatigue=WEIGHT, fatigue_half_life_h=HALF_LIFE_H, slots=ITEMS)
    rng = np.random.default_rng(11)
    seen = {f"u{n}": [] for n in range(USERS)}
    done = {f"u{n}": set() for n in range(USERS)}
    lists = stale = tired = 0
    with opened(tmp_path, placements={"home": home}, encoder_model="none") as shop:
        shop.catalogue(*(f"i{n}" for n in range(ITEMS)))
        at_ms = NOW_MS
        for _ in range(ROUNDS):
            records = []
            for _ in range(int(rng.integers(0, 60))):
                user, item = f"u{rng.integers(USERS)}", f"i{rng.integers(ITEMS)}"
                action = "impression" if rng.random() < 0.93 else "view"
                at_ms += int(rng.integers(0, 120_000))
                records.append(
                    event_record(
                        shop.next_offset + len(records), user, action=action, item_id=item, event_time=at_ms,
                        timestamp=at_ms,
                    )
                )  # fmt: skip
                if action == "impression":
                    seen[user].append((item, at_ms))
                else:
                    done[user].add(item)
            if records:
                shop.chunk(records)
            if rng.random() < 0.3:
                shop.commit(trim=bool(rng.random() < 0.5))
            users = list(rng.permutation(USERS)[: rng.integers(1, USERS + 1)])
            for user in users:
                shop.tracker.queue.add(0, f"u{user}".encode(), "refresh", 0.0)
            batch = shop.tracker.queue.next_batch(USERS)
            for made in shop.tracker.refresh(0, batch.due, at_ms + 1, 0.0):
                record = made.list.record
                lists += 1
                expected = fatigue_of(seen[record.user_id], done[record.user_id], at_ms)
                for item in record.items:
                    stale += abs(item.parts["fatigue"] - expected.get(item.item_id, 0.0)) > 1e-6
                    tired += item.parts["fatigue"] < 0.0

    assert lists > 10_000
    assert tired > 10_000
    assert stale == 0


def fatigue_of(seen, done, now_ms):
    """By item; times are whole seconds, as the state keeps them."""
    found = {}
    for item, at_ms in seen[-EXPOSURES:]:
        if item not in done:
            age_h = max(0, now_ms // 1000 - at_ms // 1000) / 3600.0
            found[item] = found.get(item, 0.0) - WEIGHT * 2.0 ** (-age_h / HALF_LIFE_H)
    return found
