"""The tracker on real RocksDB stores: exactly the good events arrive in state, and nobody is shown what must not be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from item_records import ItemRecord, pack_record
from kafka_records import NOW_MS, Record, event_record, garbage_values
from sequential_reference import Event, Reference
from tracker_harness import item_value, lists_of, opened, replicated, shop_with_history, users

from models.hashing import item_hash
from models.ranking.few_items import is_judge
from models.vocabulary import ACTIONS, EXPERTS
from stream.errors import SettingsError
from stream.metrics import Metrics
from stream.outcomes.newcomers import NEWCOMERS_KEY
from stream.outcomes.strategy_totals import record_key
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.refresh.renewal import LEARNED_LATE_S
from stream.settings import Settings
from stream.state.record import RING, dwell_code
from stream.wire.codes import context_bucket, event_id_hash
from stream.wire.records import ExpertStats, FollowerStats, NewcomerStats, StrategyStats, encode
from stream.worker.tracker import Tracker


@pytest.fixture
def harness(tmp_path):
    with opened(tmp_path) as made:
        yield made


# --- exactly the good events arrive ---

good = st.fixed_dictionaries(
    {
        "action": st.sampled_from(ACTIONS),
        "item_id": st.integers(0, 12).map(lambda n: f"item-{n}"),
        "event_time": st.integers(NOW_MS - 10**11, NOW_MS),
    },
    optional={
        "dwell_ms": st.integers(0, 10**7),
        "slot": st.integers(0, 40),
        "context": st.fixed_dictionaries({"device": st.sampled_from(["phone", "desk"])}),
        "event_id": st.sampled_from(["e1", "e2", "e3"]),
        "surprise": st.booleans(),
    },
)
topics = st.lists(
    st.tuples(st.just("good"), users, good) | st.tuples(st.just("bad"), st.sampled_from([b"u", None]), garbage_values),
    min_size=1,
    max_size=60,
)


def reference_event(offset, user, fields):
    item = item_hash(fields["item_id"])
    return Event(
        user, offset, fields["event_time"], item, fields["action"],
        context_bucket(fields["context"]) if "context" in fields else 0,
        int(dwell_code(np.array([fields.get("dwell_ms", 0)]))[0]),
        event_id_hash(fields["event_id"]) if "event_id" in fields else 0, fields.get("slot", 0),
    )  # fmt: skip


def check_state_is_the_good_events(path, topic, sizes, repeat):
    """Through chunks, commits and reloads: state, counts and refusals are what the topic's good events say."""
    strengths = dict(zip(ACTIONS, Settings().strengths(), strict=True))
    reference = Reference(strengths)
    records = []
    for offset, (kind, who, what) in enumerate(topic):
        records.append(Record(offset, who, what) if kind == "bad" else event_record(offset, who, **what))
        if kind == "good":
            reference.apply(reference_event(offset, who, what))
    with opened(path) as harness:
        stored, refused, start, turn = {}, [], 0, 0
        while start < len(records):
            size = sizes[turn % len(sizes)]
            intake = harness.chunk(records[start : start + size])
            refused += [r.record.offset for r in intake.refused]
            if turn % 2:
                stored |= zip(*harness.commit(trim=turn % 4 == 1), strict=True)
            start, turn = start + size, turn + 1
        stored |= zip(*harness.commit(trim=True), strict=True)
        expected = {user.encode(): reference.pack(user) for user in reference.users}
        assert stored == dict(harness.users.store.items()) == expected
        assert refused == [n for n, (kind, *_) in enumerate(topic) if kind == "bad"]
        actions = Counter(what["action"] for kind, _, what in topic if kind == "good")
        assert {a: harness.count("events", action=a) for a in ACTIONS if a in actions} == actions
        assert (harness.count("events_repeated"), harness.count("events_fenced")) == (reference.repeats, 0)
        # After a crash a part of the topic comes again; nothing is counted twice, and its users are due again.
        harness.waiting()
        again = harness.chunk(records[:repeat])
        assert dict(zip(*harness.commit(), strict=True)) == {}
        assert harness.count("events_fenced") == len(again.keys)
        assert {user for user, _ in harness.waiting()} == {key.decode() for key in again.keys}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(topics, st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 60))
def test_of_garbage_and_good_events_exactly_the_good_ones_arrive_in_state(topic, sizes, repeat):
    with TemporaryDirectory() as path:
        check_state_is_the_good_events(Path(path), topic, sizes, repeat)


def test_exactly_the_good_ones_of_a_long_topic_arrive_in_state(tmp_path):
    rng = np.random.default_rng(3)
    garbage = [None, b"", b"\xff", b"{}", b"[" * 3000, b'{"user_id":"u","action":"view"}', b"not json"]
    topic = []
    for _ in range(3000):
        if rng.random() < 0.2:
            topic.append(("bad", (b"u", None)[rng.integers(2)], garbage[rng.integers(len(garbage))]))
            continue
        fields = {
            "action": ACTIONS[rng.integers(8)],
            "item_id": f"item-{rng.integers(200)}",
            "event_time": NOW_MS - int(rng.integers(10**10)),
            "event_id": f"e{rng.integers(20)}",
            "dwell_ms": int(rng.integers(60_000)),
        }
        topic.append(("good", f"u{min(int(rng.geometric(0.3)), 9)}", fields))
    check_state_is_the_good_events(tmp_path, topic, [250, 7, 1000], 500)


# --- what must not be shown ---


def shop(harness, *, items=6):
    """A catalogue whose items are all bought together by others, so that each recommends all."""
    ids = [f"item-{n}" for n in range(items)]
    harness.catalogue(*ids)
    harness.events(*((f"other-{u}", "click", i) for u in range(3) for i in ids))
    harness.share_statistics()
    harness.refresh()
    return ids


def test_users_ranked_while_statistics_were_far_behind_get_another_list_once_they_are_not(harness):
    harness.catalogue("cup", "pot")
    harness.events(("ann", "purchase", "cup"), ("ann", "purchase", "pot"), ("bob", "click", "cup"))
    harness.refresh()
    assert harness.waiting() == []
    harness.share_statistics()
    assert sorted(harness.waiting()) == [("ann", "refresh"), ("bob", "refresh")]
    harness.refresh("bob")
    harness.share_statistics()
    assert harness.waiting() == [], "the statistics are up to date: nobody is ranked early any more"


def test_users_with_room_in_their_list_get_another_when_items_are_added(harness):
    harness.events(("ann", "view", "cup"))
    assert harness.refresh() == {"ann": []}
    harness.catalogue("cup", "pot")
    assert harness.waiting() == [("ann", "catalog")]


def test_lists_do_not_age_where_nothing_is_learned_any_more(harness):
    harness.catalogue("cup", "pot")
    harness.events(("ann", "view", "cup"))
    harness.refresh()
    tracker, age_s = harness.tracker, harness.settings.list_max_age_s
    learned_at = harness.now_ms / 1000
    assert tracker.requeue_aged(learned_at) == 0
    tracker.lists.remember((0, b"ann"), (), learned_at + LEARNED_LATE_S + 1)
    assert tracker.requeue_aged(learned_at + 9 * age_s) == 0

    harness.catalogue("cup", "pot", "bowl")
    assert tracker.requeue_aged(learned_at + 9 * age_s) == 1


def test_a_list_that_has_become_old_is_made_again_and_says_whether_it_changed(harness):
    harness.catalogue("cup", "pot")
    harness.events(("ann", "view", "cup"))
    harness.refresh()
    tracker, made_at = harness.tracker, harness.now_ms / 1000
    assert tracker.requeue_aged(made_at + harness.settings.list_max_age_s) == 0
    assert tracker.requeue_aged(made_at + harness.settings.list_max_age_s + 1) == 1
    for expected in (False, True):
        (due,) = tracker.queue.next_batch(9).due
        assert due.trigger == ("catalog" if expected else "refresh")
        (published,) = tracker.refresh(0, [due], harness.now_ms, made_at)
        assert published.changed == expected
        harness.remove("pot")


def test_what_others_engaged_with_together_is_recommended(harness):
    ids = shop(harness)
    harness.events(("u", "click", "item-0"))
    assert set(harness.refresh()["u"]) == set(ids)


def test_a_bought_item_is_not_recommended(harness):
    ids = shop(harness)
    harness.events(("u", "purchase", "item-0"), ("u", "click", "item-1"))
    assert set(harness.refresh()["u"]) == {*ids} - {"item-0"}


def test_a_bought_item_is_recommended_where_repeats_are_wanted(tmp_path):
    with opened(tmp_path, repeat_purchases=True) as harness:
        ids = shop(harness)
        harness.events(("u", "purchase", "item-0"))
        assert set(harness.refresh()["u"]) == set(ids)


@pytest.mark.parametrize("repeat_purchases", [False, True])
def test_a_purchase_older_than_the_ring_is_remembered_through_a_restart(tmp_path, repeat_purchases):
    with opened(tmp_path, repeat_purchases=repeat_purchases) as harness:
        ids = shop(harness)
        harness.events(("u", "purchase", "item-0"), ("u", "purchase", "item-3"))
        harness.events(*(("u", "view", f"item-{1 + n % 2}") for n in range(3 * RING)))
        harness.events(("v", "view", "item-1"))
        harness.commit(trim=True)
        assert harness.users.overlay.nbytes == 0
        lists = harness.refresh("u", "v")
        assert set(lists["u"]) == ({*ids} if repeat_purchases else {*ids} - {"item-0", "item-3"})
        assert set(lists["v"]) == {*ids}


def test_an_old_purchase_of_an_item_that_was_unknown_then_is_honoured_when_it_is_known(harness):
    shop(harness)
    harness.events(("u", "purchase", "late"), *(("u", "view", "item-1") for _ in range(RING)))
    harness.refresh("u")
    harness.catalogue("late", "later")
    listed = harness.refresh("u")["u"]
    assert "later" in listed
    assert "late" not in listed


def test_a_disliked_item_is_not_recommended(harness):
    ids = shop(harness)
    harness.events(("u", "dislike", "item-2"), ("u", "click", "item-1"))
    assert set(harness.refresh()["u"]) == {*ids} - {"item-2"}


@pytest.mark.parametrize("how", ["removed", "unavailable"])
def test_a_withdrawn_item_is_not_recommended_and_who_had_it_in_their_list_is_due(harness, how):
    ids = shop(harness)
    harness.events(("u", "click", "item-0"), ("bought-it", "purchase", "item-4"), ("never-listed", "view", "item-0"))
    harness.refresh()
    harness.tracker.lists._lists.pop((0, b"never-listed"))
    if how == "removed":
        harness.remove("item-4")
    else:
        harness.catalogue("item-4", available=False)
    assert sorted(harness.waiting()) == [(u, "catalog") for u in ("other-0", "other-1", "other-2", "u")]
    assert set(harness.refresh("u")["u"]) == {*ids} - {"item-4"}
    harness.catalogue("item-4")
    assert set(harness.refresh("u")["u"]) == set(ids)


def test_removing_what_nobody_was_shown_makes_nobody_due(harness):
    shop(harness)
    harness.remove("never heard of")
    harness.catalogue("new", available=False)
    assert harness.waiting() == []


def test_users_of_a_partition_that_went_away_are_not_made_due(harness):
    shop(harness)
    harness.tracker.forget([0], [0])
    harness.remove("item-1")
    assert harness.waiting() == []
    assert (harness.tracker.users, harness.tracker.items) == ({}, {})


def test_a_new_item_becomes_recommendable(harness):
    shop(harness)
    harness.events(("u", "click", "item-0"))
    assert "new" not in harness.refresh()["u"]
    harness.catalogue("new")
    assert "new" in harness.refresh("u")["u"]


def test_an_item_that_the_catalogue_does_not_know_is_kept_in_state_and_counted_and_recommended_once_known(harness):
    harness.catalogue("known")
    harness.events(("a", "click", "ghost"), ("a", "click", "known"), ("a", "query", "ghost"), ("a", "view", "ghost"))
    assert harness.count("events_unknown_item") == 2
    assert harness.users.overlay.states.item[0, :2].tolist() == [item_hash("ghost"), item_hash("known")]
    harness.share_statistics()
    harness.events(("u", "click", "known"))
    assert harness.refresh()["u"] == ["known"]
    harness.catalogue("ghost")
    assert harness.refresh("u")["u"] == ["ghost", "known"]


def test_a_list_says_which_offset_it_reflects_and_keeps_its_id_when_it_is_made_again(harness):
    shop(harness)
    harness.events(("u", "click", "item-0"), ("v", "click", "item-0"))
    due = harness.tracker.queue.next_batch(9).due
    first, second = (harness.tracker.refresh(0, due, now, 0.0)[0].list.record for now in (NOW_MS, NOW_MS + 1))
    assert first.source.offset == harness.next_offset - 2
    assert first.recommendation_id == second.recommendation_id
    harness.events(("u", "click", "item-1"))
    third = harness.tracker.refresh(0, harness.tracker.queue.next_batch(9).due, NOW_MS, 0.0)[0].list.record
    assert third.recommendation_id != first.recommendation_id


def test_a_user_nobody_knows_gets_what_is_popular(harness):
    ids = shop(harness)
    assert set(harness.refresh("stranger")["stranger"]) == set(ids)


# --- catalogue and statistics records ---


def test_catalogue_records_that_are_garbage_are_counted_and_cost_no_other(harness):
    records = [
        replicated(b"a", item_value("a")),
        replicated(b"x", b"\xff"),
        replicated(b"x", b"{}"),
        replicated(b"other", item_value("x")),
        replicated(None, item_value("x")),
        replicated(b"x", item_value("x", available="no")),
        replicated(None, None),
        replicated(b"", None),
        replicated(b"\xff\xfe", None),
        replicated(b"b", item_value("b", published_at="2026-01-01T00:00:00Z")),
    ]
    harness.tracker.replicate_items(records, 0.0)
    assert harness.tracker.knowledge.catalog.size == 2
    assert set(harness.refresh("u")["u"]) == {"a", "b"}
    reasons = {"not_json": 1, "schema": 2, "key_mismatch": 2}
    assert {reason: harness.count("items_rejected", reason=reason) for reason in reasons} == reasons


def test_the_last_record_of_an_item_counts(harness):
    value = item_value("a")
    harness.tracker.replicate_items([replicated(b"a", None), replicated(b"a", value)], 0.0)
    assert harness.tracker.knowledge.catalog.size == 1
    harness.tracker.replicate_items([replicated(b"a", value), replicated(b"a", None)], 0.0)
    assert harness.tracker.knowledge.catalog.size == 0


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=40)), max_size=9))
def test_no_catalogue_record_raises(pairs):
    tracker = Tracker(Settings(), Metrics())
    tracker.replicate_items([replicated(key, value) for key, value in pairs], 0.0)
    assert tracker.knowledge.catalog.size == 0


@pytest.mark.parametrize("value", [b"", b"\xff", b"{}", pack_record(ItemRecord(3))[:-1] + b"\x00"])
def test_statistics_that_are_garbage_are_passed_over_and_the_others_are_not(harness, value):
    good = pack_record(ItemRecord(3))
    harness.tracker.replicate_stats([replicated(b"a", value), replicated(b"b", good), replicated(b"\xff", good)], 0.0)
    assert harness.metrics.registry.get_sample_value("penchant_statistics_items") == 1
    assert harness.count("statistics_refused") == 2
    harness.tracker.replicate_stats([replicated(b"a", good)], 0.0)
    assert harness.metrics.registry.get_sample_value("penchant_statistics_items") == 2


def test_statistics_records_without_key_or_value_are_passed_over(harness):
    record = pack_record(ItemRecord(3))
    harness.tracker.replicate_stats([replicated(None, record), replicated(b"a", None), replicated(b"b", record)], 0.0)
    assert harness.metrics.registry.get_sample_value("penchant_statistics_items") == 1


# --- item deltas ---


def test_deltas_that_come_again_change_no_statistics(harness):
    harness.events(("a", "click", "x"), ("a", "click", "y"))
    deltas = harness.users.take_deltas(0.9, 0.6, harness.tracker.knowledge.names)
    assert harness.users.take_deltas(0.9, 0.6, harness.tracker.knowledge.names) == []
    records = [Record(n, key, value) for n, (key, value) in enumerate(deltas)]
    harness.items.apply(records)
    first = harness.items.take().stored
    harness.items.apply(records)
    assert sorted(zip(*harness.items.take().stored, strict=True)) == sorted(zip(*first, strict=True))
    assert sorted(first.keys) == [b"x", b"y"]
    assert harness.items.take().stored.keys == []


def test_item_statistics_that_were_trimmed_are_read_from_the_store(harness):
    harness.events(("a", "click", "x"))
    harness.share_statistics()
    harness.events(("b", "click", "x"))
    deltas = harness.users.take_deltas(0.9, 0.6, harness.tracker.knowledge.names)
    fresh = ItemPartition(harness.items.store, 100)
    fresh.store.write([(b"x", pack_record(ItemRecord(41)))], 0)
    fresh.apply([Record(0, key, value) for key, value in deltas])
    fresh.trim(0)
    (value,) = fresh.take().stored.values
    fresh.store.write([(b"x", value)], 1)
    fresh.trim(0)
    harness.tracker.replicate_stats([replicated(b"x", value)], 0.0)
    assert harness.tracker.knowledge.stats.count[harness.tracker.knowledge.index.lookup([item_hash("x")])].tolist() == [
        42
    ]


# --- reasons for some, and what would change a list ---


def test_the_first_place_says_what_would_change_it_and_without_that_it_does_change(tmp_path):
    with opened(tmp_path, counterfactual_users=1.0) as harness:
        shop_with_history(harness)
        (published,) = lists_of(harness, "ann")
        found = published.reasons.record.counterfactual
        assert found is not None
        assert found.exact
        leader = published.list.record.items[0].item_id
        assert found.replacement not in {None, leader}
        # Somebody who has done the same but for that, and is not shown what she is not shown either.
        left = [e for e in (("bea", "purchase", "i0"), ("bea", "click", "i2")) if e[2] not in found.removed]
        harness.events(*left)
        harness.waiting()
        (other,) = lists_of(harness, "bea")
        shown = [i.item_id for i in other.list.record.items if i.item_id not in found.removed]
        assert shown[0] == found.replacement


@pytest.mark.parametrize(("codes", "expected"), [("en,zh", {"en", "zh"}), ("zh", {"zh"})])
def test_sentences_are_written_in_the_languages_of_the_settings(tmp_path, codes, expected):
    with opened(tmp_path, explanation_languages=codes) as harness:
        shop_with_history(harness)
        (published,) = lists_of(harness, "ann")
        assert published.reasons.record.reasons
        assert all(set(each) == expected for each in published.reasons.record.reasons)


def test_a_worker_does_not_start_in_a_language_that_there_is_not(tmp_path):
    with pytest.raises(SettingsError, match="explanation_languages"), opened(tmp_path, explanation_languages="en,tlh"):
        pass


def test_without_the_setting_nobody_pays_for_it(tmp_path):
    with opened(tmp_path) as harness:
        shop_with_history(harness)
        (published,) = lists_of(harness, "ann")
        assert published.reasons.record.places
        assert published.reasons.record.counterfactual is None
        assert harness.metrics.registry.get_sample_value(
            "penchant_stage_duration_seconds_count", {"stage": "counterfactual"}
        ) in {None, 0.0}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_users_gets_reasons_always_the_same_ones_and_everyone_the_same_list(tmp_path, share):
    users = [f"u{n}" for n in range(200)]
    with opened(tmp_path / "some", explained_users=share) as some, opened(tmp_path / "all") as everyone:
        found = []
        for harness in (some, everyone):
            shop_with_history(harness)
            harness.events(*((user, "click", f"i{n % 4}") for n, user in enumerate(users)))
            harness.waiting()
            found.append(lists_of(harness, *users))
        for one, other in zip(*found, strict=True):
            assert [(i.item_id, i.score) for i in one.list.record.items] == [
                (i.item_id, i.score) for i in other.list.record.items
            ]
        told = {one.list.record.user_id for one in found[0] if one.reasons is not None}
        assert told == {one.list.record.user_id for one in found[0] if one.list.record.explained}
        assert abs(len(told) / 200 - share) < 0.1
        assert told == {one.list.record.user_id for one in lists_of(some, *users) if one.reasons is not None}


def test_what_strategies_earned_is_a_part_of_the_scores_once_it_is_weighed(tmp_path):
    def stats(strategy, clicks):
        return StrategyStats(strategy, 1, 0, 0, 1000, clicks, 0.0, 0.0, 0.0, 1000.0, 1000.0, clicks, clicks)

    records = [stats("interest", 500), stats("popular", 10)]
    with opened(tmp_path) as harness:
        shop_with_history(harness)
        harness.tracker.serving.replicate_strategies([replicated(record_key(each), encode(each)) for each in records])
        (before,) = lists_of(harness, "ann")
        harness.tracker.serving.weigh_strategies()
        (after,) = lists_of(harness, "ann")
        assert "feedback" not in before.list.record.items[0].parts
        by_strategy = {i.strategy: i.parts["feedback"] for i in after.list.record.items}
        assert by_strategy["interest"] == 0.2
        assert all(sum(i.parts.values()) == i.score for i in after.list.record.items)
        assert harness.metrics.registry.get_sample_value("penchant_strategy_feedback", {"strategy": "popular"}) == -0.2


@pytest.mark.parametrize(
    ("action", "repeat", "comes_back"), [("purchase", False, False), ("dislike", False, False), ("dislike", True, True)]
)
def test_what_was_disliked_stays_away_when_it_has_left_the_ring(tmp_path, action, repeat, comes_back):
    with opened(tmp_path, repeat_purchases=repeat) as harness:
        shop_with_history(harness)
        harness.events(("zoe", action, "i1"))
        harness.events(*[("zoe", "click", "i0")] * (RING + 5))
        harness.waiting()
        listed = harness.refresh("zoe")["zoe"]
        assert ("i1" in listed) == comes_back


def newcomers_who_take(harness, item, n, start=0):
    for k in range(n):
        harness.events((f"new{start + k}", "click", item))
        harness.share_statistics()
        harness.refresh(f"new{start + k}")


def test_people_without_history_get_the_list_that_those_before_them_took_most_from(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue(*(f"i{n}" for n in range(30)))
        harness.events(*((f"old{k}", "click", f"own{k}") for k in range(100)))
        for n in range(15):  # everybody has engaged with these, but nobody began with them
            harness.events(*((f"old{k}", "click", f"i{n}") for k in range(100 - n)))
        harness.share_statistics()
        harness.refresh("old0")
        newcomers_who_take(harness, "i29", 60)
        assert harness.refresh("nobody")["nobody"][0] != "i29"
        stats = harness.users.outcomes.take().strategies
        harness.tracker.serving.replicate_strategies([replicated(*each) for each in stats])
        harness.tracker.serving.weigh_strategies()
        assert harness.refresh("nobody")["nobody"][0] == "i29"
        (made,) = lists_of(harness, "nobody")
        assert made.list.record.model.newcomers.startswith("entry_")
        assert {i.strategy for i in made.list.record.items} == {"cold_start"}
        value = harness.metrics.registry.get_sample_value
        expert = made.list.record.model.newcomers
        assert value("penchant_newcomer_list", {"expert": expert}) == 1
        assert value("penchant_newcomer_list", {"expert": "popularity"}) == 0
        assert value("penchant_newcomer_gain", {"expert": expert}) > 2 * value(
            "penchant_newcomer_gain_error", {"expert": expert}
        )
        assert value("penchant_newcomers") > 30


def told(harness, *events):
    """Events `(user, action, item, device)`."""
    start = harness.next_offset
    harness.chunk(
        [
            event_record(start + n, user, action=action, item_id=item, context={"device": device})
            for n, (user, action, item, device) in enumerate(events)
        ]
    )


def newcomers_by_device(harness, n):
    """Who comes with a phone takes one thing first, who comes with a desk another."""
    for k in range(n):
        device = ("phone", "desk")[k % 2]
        told(harness, (f"new{k}", "click", f"for-{device}", device))
        harness.share_statistics()
        harness.refresh(f"new{k}")
        for key, value in harness.users.outcomes.take().strategies:
            harness.tracker.serving.replicate_strategies([replicated(key, value)])
        harness.tracker.serving.weigh_strategies()


def test_newcomers_get_the_list_of_their_device_where_newcomers_of_each_device_take_something_else(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue("for-phone", "for-desk", *(f"i{n}" for n in range(30)))
        told(harness, *((f"old{k}", "click", f"i{k % 30}", ("phone", "desk")[k % 2]) for k in range(60)))
        harness.share_statistics()
        harness.refresh("old0")
        value = harness.metrics.registry.get_sample_value
        newcomers_by_device(harness, 24)
        told(harness, ("on-phone", "impression", "i1", "phone"), ("on-desk", "impression", "i1", "desk"))
        early = harness.refresh("on-phone", "on-desk")
        assert early["on-phone"] == early["on-desk"]  # so few say nothing
        assert value("penchant_newcomer_context", {"made_for": "scene"}) == 0
        newcomers_by_device(harness, 120)
        firsts = {user: listed[0] for user, listed in harness.refresh("on-phone", "on-desk").items()}
        assert firsts == {"on-phone": "for-phone", "on-desk": "for-desk"}
        (made,) = lists_of(harness, "on-desk")
        record = made.list.record
        assert (record.model.newcomers_for, record.items[0].strategy) == ("scene", "cold_start")
        for item in record.items:
            assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-12)
        assert record.items[0].parts["context"] > 0.2
        assert harness.refresh("nobody")["nobody"][:2] != []  # of whom no device is known: the list made for none
        assert lists_of(harness, "nobody")[0].list.record.items[0].parts["context"] == 0.0
        assert value("penchant_newcomer_context", {"made_for": "scene"}) == 1
        gain, error = (
            value(f"penchant_newcomer_context_{name}", {"made_for": "scene"}) for name in ("gain", "gain_error")
        )
        assert gain > 2 * error > 0.0


def test_lists_for_contexts_are_made_of_the_list_that_serves_though_nothing_else_has_changed(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue("i1", "i2")
        harness.events(("a", "click", "i1"))
        harness.share_statistics()
        harness.refresh("a")
        knowledge = harness.tracker.knowledge
        assert knowledge.last_priors.followed == EXPERTS.index("popularity")
        harness.tracker.serving.replicate_strategies(
            [
                replicated(
                    b"newcomers/0", encode(NewcomerStats(0, 200.0, 150.0, {"trend_day": ExpertStats(100.0, 60.0)}))
                )
            ]
        )
        harness.tracker.serving.weigh_strategies()
        harness.refresh("a")
        assert knowledge.last_priors.followed == EXPERTS.index("trend_day")


def test_lists_say_nothing_of_contexts_while_none_serves(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue("i1")
        (made,) = lists_of(harness, "nobody")
        assert b"newcomers_for" not in made.list.value


THINGS = 50


def shop_where_first_items_say_little(harness):
    """Many things, each with a dozen that go with it; but whoever comes takes something hot next."""
    near = [[f"near{k}-{n}" for n in range(12)] for k in range(THINGS)]
    harness.catalogue("hot", *(f"base{k}" for k in range(THINGS)), *(item for items in near for item in items))
    for old in range(3 * THINGS):
        k = old % THINGS
        harness.events((f"old{old}", "click", f"base{k}"), *((f"old{old}", "click", item) for item in near[k]))
    harness.share_statistics()


def with_one_item_who_take_next(harness, item, n, start=0):
    """Persons who take one of the things, get a list, and take this, which others begin with."""
    for k in range(start, start + n):
        harness.events((f"few{k}", "click", f"base{k % THINGS}"), (f"new{k}", "click", item))
        harness.share_statistics()
        harness.refresh(f"few{k}")
        harness.events((f"few{k}", "click", item))
        harness.share_statistics()
    for key, value in harness.users.outcomes.take().strategies:
        harness.tracker.serving.replicate_strategies([replicated(key, value)])
    harness.tracker.serving.weigh_strategies()


def list_of(harness, user):
    """As it is sent, among those of all who are due."""
    return next(made.list for made in lists_of(harness, user) if made.list.record.user_id == user)


def place_of(item_id, record):
    """From 0."""
    return [item.item_id for item in record.items].index(item_id)


def judges(n):
    """How many of the first n persons with one item judge."""
    return sum(is_judge(f"few{k}".encode()) for k in range(n))


def test_people_with_few_items_get_what_newcomers_get_added_where_they_take_it(tmp_path, monkeypatch):
    monkeypatch.setattr("models.ranking.few_items.JUDGES", 3)
    with opened(tmp_path) as harness:
        shop_where_first_items_say_little(harness)
        value = harness.metrics.registry.get_sample_value
        with_one_item_who_take_next(harness, "hot", 40)
        evidence = harness.users.outcomes.newcomers.evidence.few.evidence
        assert evidence.n == pytest.approx(judges(40), rel=0.02)
        assert harness.tracker.serving.params.weights.added == 0.0  # so few say nothing
        harness.events(("one", "click", "base3"))
        before = list_of(harness, "one")
        assert b"few_items_added" not in before.value
        assert place_of("hot", before.record) > 3
        name = harness.tracker.serving.params.weights.cold_expert
        n = next(n for n in range(41, 400) if judges(n) > judges(40) + 34)  # who say enough of the list that serves
        with_one_item_who_take_next(harness, "hot", n - 40, start=40)
        assert harness.tracker.serving.params.weights.cold_expert == name
        harness.refresh()
        record = list_of(harness, "one").record
        assert record.model.few_items_added == harness.tracker.serving.params.weights.added > 0.0
        assert place_of("hot", record) <= 1  # beside the own item
        for item in record.items:
            assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-12)
        assert {item.strategy for item in record.items} <= {"interest", "popular"}
        assert value("penchant_few_items_added") == record.model.few_items_added
        assert value("penchant_few_items_judgements") > 30
        name = f"{record.model.few_items_added:g}"
        gain, error = (value(f"penchant_few_items_{each}", {"added": name}) for each in ("gain", "gain_error"))
        assert gain > 2 * error


def test_people_with_few_items_who_take_what_goes_with_their_item_get_nothing_added(tmp_path, monkeypatch):
    monkeypatch.setattr("models.ranking.few_items.JUDGES", 2)
    with opened(tmp_path) as harness:
        shop_where_first_items_say_little(harness)
        for k in range(120):
            harness.events((f"few{k}", "click", f"base{k % THINGS}"))
            harness.share_statistics()
            listed = harness.refresh(f"few{k}")[f"few{k}"]
            harness.events((f"few{k}", "click", listed[0]))
        for key, stats in harness.users.outcomes.take().strategies:
            harness.tracker.serving.replicate_strategies([replicated(key, stats)])
        harness.tracker.serving.weigh_strategies()
        assert harness.users.outcomes.newcomers.evidence.few.evidence.n > 30
        assert harness.tracker.serving.params.weights.added == 0.0


def test_one_with_few_items_judges_a_list_once_however_often_events_come_and_after_a_restart(tmp_path):
    with opened(tmp_path) as harness:
        shop_where_first_items_say_little(harness)
        user = next(f"few{k}" for k in range(99) if is_judge(f"few{k}".encode()))
        other = next(f"few{k}" for k in range(99) if not is_judge(f"few{k}".encode()))
        harness.events((user, "click", "base1"), (other, "click", "base1"))
        harness.refresh(user, other)
        assert len(harness.tracker.refresher.few_items) == 1
        again = [event_record(harness.next_offset, user, action="click", item_id="hot")]
        harness.chunk(again)
        harness.chunk(again)
        harness.events((user, "click", "near2-3"), (other, "click", "hot"))  # of another moment than the list was
        told = harness.users.outcomes.newcomers.evidence.few.evidence
        assert told.n == 1.0
        stored = harness.users.outcomes.take().stored
        harness.users.store.write(zip(*stored, strict=True), None)
        read = UserPartition(0, harness.stores[0][0]).outcomes.newcomers.evidence.few.evidence
        assert [np.asarray(each).tolist() for each in read] == [np.asarray(each).tolist() for each in told]
        harness.refresh(user)
        harness.tracker.forget([0], [])
        assert len(harness.tracker.refresher.few_items) == 0


def test_which_list_newcomers_get_can_be_set(tmp_path):
    with opened(tmp_path, newcomer_lists="trend_day") as harness:
        harness.catalogue(*(f"i{n}" for n in range(3)))
        harness.events(("a", "click", "i1"))
        (made,) = lists_of(harness, "nobody")
        assert made.list.record.model.newcomers == "trend_day"
        harness.tracker.serving.weigh_strategies()
        assert lists_of(harness, "nobody")[0].list.record.model.newcomers == "trend_day"


def test_a_list_set_by_hand_is_made_for_nothing_and_added_for_nobody_whatever_is_said(tmp_path):
    with opened(tmp_path, newcomer_lists="trend_day") as harness:
        sure = ExpertStats(100.0, 60.0)
        told = FollowerStats("trend_hour", 200.0, 150.0, {"hour": sure})
        stats = NewcomerStats(
            0,
            200.0,
            150.0,
            {"trend_hour": sure},
            0,
            contexts=told,
            few_items=FollowerStats("trend_hour", 200.0, 150.0, {"2": sure}),
        )
        harness.tracker.serving.replicate_strategies([replicated(b"newcomers/0", encode(stats))])
        harness.tracker.serving.weigh_strategies()
        weights = harness.tracker.serving.params.weights
        assert (weights.cold_expert, weights.cold_context, weights.added) == ("trend_day", "", 0.0)
    with opened(tmp_path / "followed") as harness:
        harness.tracker.serving.replicate_strategies([replicated(b"newcomers/0", encode(stats))])
        harness.tracker.serving.weigh_strategies()
        weights = harness.tracker.serving.params.weights
        assert (weights.cold_expert, weights.cold_context, weights.added) == ("trend_hour", "hour", 2.0)


def test_a_newcomer_is_judged_once_however_often_the_events_come(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue("i1", "i2")
        harness.refresh("nobody")
        records = [event_record(n, f"u{n}", action="click", item_id="i1") for n in range(5)]
        harness.chunk(records)
        told = harness.users.outcomes.newcomers.evidence.lists.n
        harness.chunk(records)
        harness.chunk([event_record(9, "u0", action="click", item_id="i2")])
        assert harness.users.outcomes.newcomers.evidence.lists.n == told == pytest.approx(5, rel=0.02)


def test_what_newcomers_said_is_there_after_a_restart_and_garbage_begins_anew(tmp_path):
    with opened(tmp_path) as harness:
        harness.catalogue("i1", "i2")
        harness.refresh("nobody")
        harness.events(*((f"u{n}", "click", "i1") for n in range(5)))
        stored = harness.users.outcomes.take().stored
        harness.users.store.write(zip(*stored, strict=True), None)
        before = harness.users.outcomes.newcomers.evidence
        again = UserPartition(0, harness.stores[0][0]).outcomes.newcomers
        for one, other in ((again.evidence.lists, before.lists), (again.evidence.contexts[1], before.contexts[1])):
            assert [np.asarray(each).tolist() for each in one] == [np.asarray(each).tolist() for each in other]
        assert again.evidence.contexts.name == before.contexts.name == "popularity"
        assert again.take_changed() is None
        harness.users.store.write([(NEWCOMERS_KEY, b"{")], None)
        assert UserPartition(0, harness.stores[0][0]).outcomes.newcomers.evidence.lists.n == 0.0
