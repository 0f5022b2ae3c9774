"""What goes wrong for one user costs that user: no other's list, no state, no worker."""

from __future__ import annotations

import json
from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka_records import event_record
from tracker_harness import lists_of, opened, shop_with_history

from models.ranking import rank as ranking
from models.reasons.contributions import COMPLETENESS_GAP_MAX
from stream.errors import StorageError
from stream.refresh.quarantine import Quarantine, Quarantined
from stream.state.ledger import LEDGER_PREFIX

ORDINARY = [
    ["view"] * 10 + ["dislike"],
    ["click"] + ["view"] * 5 + ["dislike"],
    ["view"] * 15 + ["click"] + ["dislike"] * 2,
]


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path) as harness:
        shop_with_history(harness)
        yield harness


def quarantined(shop):
    return {
        cause: shop.count("quarantined", cause=cause)
        for cause in ("state", "ledger", "list", "reasons")
        if shop.count("quarantined", cause=cause)
    }


@pytest.mark.parametrize("actions", ORDINARY, ids=len)
def test_gains_that_cancel_are_an_ordinary_list_with_reasons(shop, actions):
    shop.events(*[("bob", action, "i0") for action in actions])
    shop.waiting()
    bob, ann = lists_of(shop, "bob", "ann")
    assert bob.list.length == ann.list.length > 0
    assert bob.reasons.gap == 0.0
    assert quarantined(shop) == {}


actions = st.lists(
    st.tuples(
        st.sampled_from(["view", "click", "like", "dislike", "cart", "purchase", "refund", "impression"]),
        st.sampled_from(["i0", "i1", "i2", "nowhere"]),
        st.sampled_from([None, 0, 1, 30_000, 2**62]),
    ),
    min_size=1,
    max_size=80,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(actions, min_size=1, max_size=3))
def test_whatever_people_do_with_three_items_their_reasons_add_up(tmp_path_factory, people):
    with opened(tmp_path_factory.mktemp("shop")) as shop:
        shop_with_history(shop)
        names = [f"p{n}" for n in range(len(people))]
        for name, done in zip(names, people, strict=True):
            start = shop.next_offset
            shop.chunk(
                [
                    event_record(start + n, name, action=action, item_id=item, dwell_ms=dwell)
                    for n, (action, item, dwell) in enumerate(done)
                ]
            )
        shop.waiting()
        for published in lists_of(shop, *names):
            assert published.reasons.gap <= COMPLETENESS_GAP_MAX
        assert quarantined(shop) == {}


def spoil(monkeypatch, change, user=1):
    """Make the ranking of the second user of each batch of two or more wrong."""

    def spoiled(*args, **kwargs):
        ranked = ranking.rank(*args, **kwargs)
        return change(ranked, user) if len(ranked.items) > user else ranked

    monkeypatch.setattr("stream.refresh.refresher.rank", spoiled)


@pytest.mark.parametrize("wrong", [1.001, np.nan])
def test_a_list_whose_reasons_do_not_add_up_goes_out_without_them(shop, monkeypatch, wrong):
    def change(ranked, user):
        contributions = ranked.contributions.copy()
        contributions[user] *= wrong
        return ranked._replace(contributions=contributions)

    before = lists_of(shop, "v0", "ann", "v1")
    spoil(monkeypatch, change)
    for _ in range(2):
        v0, ann, v1 = lists_of(shop, "v0", "ann", "v1")
        assert [v0.list.length, ann.list.length, v1.list.length] == [each.list.length for each in before]
        assert v0.reasons is not None
        assert v1.reasons is not None
        assert ann.reasons is None
        assert not ann.list.record.explained
    assert quarantined(shop) == {"reasons": 2}
    (told,) = shop.tracker.refresher.quarantine.take()  # once, however often
    assert (told.user, told.cause) == (b"ann", "reasons")
    evidence = json.loads(told.evidence)
    assert evidence["user_id"] == "ann"
    row = shop.users.overlay.rows([b"ann"])
    assert [b64decode(evidence["state"])] == shop.users.overlay.states.pack(row)


def test_a_score_that_is_no_number_is_no_list(shop, monkeypatch):
    def change(ranked, user):
        scores = ranked.scores.copy()
        scores[user, 1] = np.nan
        return ranked._replace(scores=scores)

    spoil(monkeypatch, change)
    v0, ann, v1 = lists_of(shop, "v0", "ann", "v1")
    assert ann is None
    assert v0.list.length == v1.list.length > 0
    assert quarantined(shop) == {"list": 1}


def test_a_list_that_cannot_be_made_is_one_users(shop, monkeypatch):
    """Whatever the error: the batch is made again without the one whom it belongs to, and nothing is noted twice."""
    real = shop.tracker.refresher.ask
    poison = int(shop.users.overlay.rows([b"ann"])[0])

    def ask(states, rows, now_ms):
        if poison in rows.tolist():
            raise ZeroDivisionError("of ann's")
        return real(states, rows, now_ms)

    monkeypatch.setattr(shop.tracker.refresher, "ask", ask)
    names = ["v0", "v1", "ann", "v2", "w0"]
    made = lists_of(shop, *names)
    assert [name for name, each in zip(names, made, strict=True) if each is None] == ["ann"]
    assert quarantined(shop) == {"list": 1}
    (told,) = shop.tracker.refresher.quarantine.take()
    assert told.detail == "ZeroDivisionError: of ann's"
    monkeypatch.undo()
    assert lists_of(shop, "ann")[0].list.length > 0, "tried again with the next event"


def test_a_store_that_cannot_be_read_is_everybodys_matter(shop, monkeypatch):
    def broken(*_):
        raise StorageError("the disk is gone")

    monkeypatch.setattr(shop.tracker.refresher, "ask", broken)
    with pytest.raises(StorageError):
        lists_of(shop, "ann", "v0")


def stored(shop, key, value):
    shop.users.store.write([(key, value)], None)


def test_a_state_that_cannot_be_read_is_left_as_it_is_and_its_events_are_refused(shop):
    stored(shop, b"eve", b"\x09of a later release")
    records = [event_record(900 + n, user) for n, user in enumerate(("eve", "ann", "eve", "zoe"))]
    kept = shop.tracker.read(shop.users, records)
    assert kept.keys == [b"ann", b"zoe"]
    assert [(letter.record.offset, letter.why.reason) for letter in kept.refused] == [
        (900, "quarantined"),
        (902, "quarantined"),
    ]
    assert sum(kept.actions.values()) == 2
    shop.tracker.apply(shop.users, kept, 0.0)
    shop.waiting()
    eve, ann = lists_of(shop, "eve", "ann")
    assert eve is None
    assert ann.list.length > 0
    shop.commit()
    assert shop.users.store.get_many([b"eve"]) == [b"\x09of a later release"]
    (told,) = shop.tracker.refresher.quarantine.take()  # of three times
    assert (told.user, told.cause, told.evidence) == (b"eve", "state", b"\x09of a later release")


def test_a_ledger_that_cannot_be_read_costs_its_user_the_credit_alone(shop):
    stored(shop, LEDGER_PREFIX + b"eve", b"\x09of a later release")
    shop.events(("eve", "click", "i0"), ("ann", "click", "i1"))
    shop.waiting()
    eve, ann = lists_of(shop, "eve", "ann")
    assert min(eve.list.length, ann.list.length) > 0
    shop.events(("eve", "click", "i0"), ("ann", "click", ann.list.record.items[0].item_id))
    taken = shop.users.outcomes.take()
    users = {key for key, _ in taken.attributions}
    assert b"ann" in users
    assert b"eve" not in users
    assert LEDGER_PREFIX + b"eve" not in taken.stored.keys
    shop.waiting()
    lists_of(shop, "eve")
    assert quarantined(shop)["ledger"] >= 1


def named(start, n):
    return [b"u%d" % k for k in range(start, start + n)]


def test_the_share_is_of_the_users_of_the_last_lists_and_falls_again(shop):
    quarantine = Quarantine(shop.metrics)
    quarantine.asked_for(named(0, 50))
    quarantine.add(Quarantined(b"u1", "list", "-", b""))
    assert quarantine.share == 0.0, "of too few to say"
    quarantine.asked_for(named(50, 50))
    for user in named(0, 10):
        quarantine.add(Quarantined(user, "list", "-", b""))
    assert quarantine.share == 0.1
    for n in range(1, 5):
        quarantine.asked_for(named(1000 * n, 1000))
    assert quarantine.share == 0.0


def test_one_user_who_is_quarantined_again_and_again_is_one(shop):
    """A bot whose stored state cannot be read sends an event with every chunk: that is no reason to stop a rollout."""
    quarantine = Quarantine(shop.metrics)
    quarantine.asked_for(named(0, 200))
    for _ in range(5_000):
        quarantine.add(Quarantined(b"bot", "state", "-", b""))
    assert quarantine.share == 1 / 201


def test_where_all_lists_fail_again_and_again_all_users_are_bad(shop):
    quarantine = Quarantine(shop.metrics)
    for _ in range(40):
        users = named(0, 150)
        quarantine.asked_for(users)
        for user in users:
            quarantine.add(Quarantined(user, "list", "-", b""))
    assert quarantine.share == 1.0
