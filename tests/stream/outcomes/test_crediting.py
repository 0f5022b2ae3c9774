"""Which recommendation earned an outcome: by hand, and against `outcome_reference` on random histories."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome_reference import HOUR_MS, UNKNOWN, Outcome, Published, Reference, Told

from models.credit import shares as credit_rules
from models.credit.compiled_shares import divide
from models.vocabulary import ACTIONS, EVIDENCE, RULES
from stream.errors import CorruptStateError
from stream.outcomes.crediting import Credited, Lists, Referrals, concerns_lists, credit, credit_params, note_lists
from stream.state.ledger import LEDGER_VERSION, LISTS, MAX_PACKED_BYTES, PURCHASES, TOUCHES, Ledgers
from stream.state.update import EventColumns
from stream.wire.codes import list_id_of

NOW_MS = 1_767_225_600_000
WINDOWS_H = {"click": 1.0, "cart": 2.0, "purchase": 3.0}
WINDOWS_MS = {action: int(hours * HOUR_MS) for action, hours in WINDOWS_H.items()}
CLICK, CART, PURCHASE, REFUND, IMPRESSION = (
    ACTIONS.index(name) for name in ("click", "cart", "purchase", "refund", "impression")
)


def item_hash_of(item: int) -> int:
    return item << 32 | 7  # the lower half is not looked at


def columns_of(events: list[Told]) -> tuple[EventColumns, Referrals]:
    columns = EventColumns(
        row=np.array([e.user for e in events], np.int64),
        offset=np.array([e.offset for e in events], np.int64),
        time_ms=np.array([e.time_ms for e in events], np.int64),
        item=np.array([item_hash_of(e.item) for e in events], np.uint64),
        action=np.array([ACTIONS.index(e.action) for e in events], np.uint8),  # type: ignore[arg-type]
        context=np.array([e.context for e in events], np.uint8),
        dwell=np.zeros(len(events), np.uint8),
        event_id=np.array([e.event_id for e in events], np.uint32),
        slot=np.array([e.slot for e in events], np.uint8),
    )
    ids = np.array([(0, e.list_id) for e in events], np.uint64).reshape(-1, 2)
    return columns, Referrals(ids, np.array([np.nan if e.value is None else e.value for e in events], float))


class World:
    """Ledgers, packed and unpacked between two chunks, as a commit and a restart would."""

    def __init__(self, users: int = 1, rule: str = "last_touch", half_life_h: float = 1.0) -> None:
        params = credit_params(rule, WINDOWS_H, half_life_h)
        assert params is not None
        self.params, self.users = params, users
        self.ledgers = Ledgers(users)
        self.outcomes: list[Outcome] = []
        self.exposures: list[tuple[int, int, int]] = []
        self.clicks: list[tuple[int, int, int]] = []

    def publish(self, *lists: Published) -> None:
        for each in lists:
            made = Lists(
                np.array([each.user]), np.array([(0, each.list_id)], np.uint64),
                np.array([[item_hash_of(item) for item in each.items]], np.uint64),
                np.array([each.strategies], np.uint8), np.array([each.propensities], np.float32),
            )  # fmt: skip
            note_lists(self.ledgers.columns, made, each.at_ms)

    def apply(self, *events: Told) -> Credited:
        columns, referrals = columns_of(list(events))
        told = concerns_lists(columns, self.params)
        columns, referrals = columns.take(told), referrals.take(told)
        before = self.ledgers.pack(np.arange(self.users))
        credited = credit(self.ledgers.columns, columns, referrals, self.params)
        after = self.ledgers.pack(np.arange(self.users))
        unchanged = [u for u in range(self.users) if before[u] == after[u]]
        assert not set(range(self.users)) - set(unchanged) - set(credited.rows.tolist())
        self.outcomes += outcomes_of(credited, columns)
        for found, seen in ((self.exposures, credited.exposures), (self.clicks, credited.clicks)):
            found.extend((strategy, rank, context) for strategy, rank, context, *_ in seen.tolist())
        return credited

    def restart(self) -> None:
        packed = self.ledgers.pack(np.arange(self.users))
        self.ledgers = Ledgers(self.users)
        self.ledgers.unpack(np.arange(self.users), packed)


def outcomes_of(credited: Credited, columns: EventColumns) -> list[Outcome]:
    made = []
    for outcome, touches in zip(credited.outcomes.tolist(), credited.credits.tolist(), strict=True):
        event, evidence, value, reverses, unattributed, n = outcome
        told = [
            (low, rank, strategy, context, ms, propensity)
            for _, low, rank, strategy, context, ms, _, propensity in touches[:n]
        ]
        made.append(
            Outcome(
                int(columns.offset[event]), EVIDENCE[evidence], tuple(told), tuple(share for *_, share, _ in touches[:n]),
                unattributed, None if np.isnan(value) else value, None if reverses < 0 else reverses,
            )
        )  # fmt: skip
    return made


def published(list_id: int, at_ms: int, *items: int, user: int = 0) -> Published:
    return Published(user, list_id, at_ms, items, tuple(i % 4 for i in range(len(items))), (0.5,) * len(items))


def last_credits(world: World) -> dict[int, float]:
    outcome = world.outcomes[-1]
    earned: dict[int, float] = {}
    for touch, share in zip(outcome.touches, outcome.shares, strict=True):
        earned[touch[0]] = earned.get(touch[0], 0.0) + share
    return earned


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_an_event_that_names_its_recommendation_credits_it_with_the_place_the_list_had() -> None:
    world = World()
    world.publish(published(11, NOW_MS, 5, 6, 7))

    world.apply(Told(1, 0, NOW_MS + 1000, 6, "click", list_id=11, slot=9))

    assert world.outcomes == [Outcome(1, "named", ((11, 2, 1, 0, NOW_MS + 1000, 0.5),), (1.0,), 0.0, None, None)]
    assert world.exposures == world.clicks == [(1, 2, 0)]


def test_a_recommendation_nobody_remembers_is_credited_by_its_name_with_the_slot_the_event_says() -> None:
    world = World()

    world.apply(Told(1, 0, NOW_MS, 6, "purchase", list_id=99, slot=4, value=10.0))

    assert world.outcomes == [Outcome(1, "named", ((99, 4, UNKNOWN, 0, NOW_MS, 1.0),), (1.0,), 0.0, 10.0, None)]


def test_impressions_count_before_published_lists_and_other_items_do_not_count() -> None:
    world = World()
    world.publish(published(11, NOW_MS, 5, 6), published(12, NOW_MS + 10, 6, 5))
    world.apply(
        Told(1, 0, NOW_MS + 20, 6, "impression", list_id=11), Told(2, 0, NOW_MS + 30, 5, "impression", list_id=12)
    )

    world.apply(Told(3, 0, NOW_MS + 40, 6, "click"))

    assert world.outcomes[-1].evidence == "impression"
    assert last_credits(world) == {11: 1.0}


def test_an_impression_without_a_name_is_of_the_newest_list_with_the_item() -> None:
    world = World()
    world.publish(published(11, NOW_MS, 5, 6), published(12, NOW_MS + 10, 6), published(13, NOW_MS + 500, 6))

    world.apply(Told(1, 0, NOW_MS + 20, 6, "impression"), Told(2, 0, NOW_MS + 40, 6, "click"))

    assert last_credits(world) == {12: 1.0}


def test_an_impression_of_what_no_list_held_is_none_of_a_recommendation() -> None:
    world = World()

    world.apply(Told(1, 0, NOW_MS, 6, "impression"), Told(2, 0, NOW_MS + 40, 6, "click"))

    assert world.exposures == []
    assert world.outcomes == [Outcome(2, "none", (), (), 1.0, None, None)]


def test_published_lists_are_the_last_resort_and_only_where_nobody_reports_impressions() -> None:
    world = World(users=2)
    for user in (0, 1):
        world.publish(published(11, NOW_MS, 5, 6, user=user))
    world.apply(Told(1, 1, NOW_MS + 1, 5, "impression", list_id=11))

    world.apply(Told(2, 0, NOW_MS + 2, 6, "click"), Told(3, 1, NOW_MS + 2, 6, "click"))

    assert [(o.evidence, len(o.touches)) for o in world.outcomes] == [("list", 1), ("none", 0)]
    assert world.clicks == []  # nobody has seen it for certain, so it is no exposure and no clicked one


def test_what_a_click_was_credited_to_earns_the_purchase_when_the_list_is_long_gone() -> None:
    world = World()
    world.publish(published(11, NOW_MS, 5, 6))
    world.apply(Told(1, 0, NOW_MS + 1, 6, "click"))
    world.publish(*(published(20 + i, NOW_MS + 10 + i, 1, 2) for i in range(LISTS)))

    world.apply(Told(2, 0, NOW_MS + 100, 6, "purchase", value=3.0))

    assert (world.outcomes[-1].evidence, last_credits(world)) == ("list", {11: 1.0})


@pytest.mark.parametrize(("action", "hours"), [("click", 1), ("cart", 2), ("purchase", 3)])
def test_a_touch_earns_until_the_end_of_the_window_of_the_action(action: str, hours: int) -> None:
    for late_ms, touches in ((0, 1), (1, 0)):
        world = World()
        world.apply(Told(1, 0, NOW_MS, 6, "impression", list_id=11))
        world.apply(Told(2, 0, NOW_MS + hours * HOUR_MS + late_ms, 6, action))
        assert len(world.outcomes[-1].touches) == touches


def test_an_outcome_from_before_its_exposure_is_not_credited_to_it() -> None:
    world = World()
    world.publish(published(12, NOW_MS + 50, 6))
    world.apply(Told(1, 0, NOW_MS + 100, 6, "impression", list_id=11))

    world.apply(Told(2, 0, NOW_MS, 6, "click"))

    assert world.outcomes == [Outcome(2, "none", (), (), 1.0, None, None)]


def test_an_exposure_counts_once_and_is_clicked_once_however_often_it_is_reported() -> None:
    world = World()

    world.apply(*(Told(n, 0, NOW_MS + n, 6, "impression", list_id=11) for n in range(3)))
    world.apply(*(Told(n, 0, NOW_MS + n, 6, "click", list_id=11) for n in range(3, 6)))

    assert len(world.exposures) == len(world.clicks) == 1
    assert len(world.outcomes) == 3


def test_each_rule_divides_four_touches_as_the_field_has_it() -> None:
    expected = {
        "last_touch": (0.0, 0.0, 0.0, 1.0),
        "first_touch": (1.0, 0.0, 0.0, 0.0),
        "linear": (0.25, 0.25, 0.25, 0.25),
        "position_based": (0.4, 0.1, 0.1, 0.4),
        "time_decay": (1 / 15, 2 / 15, 4 / 15, 8 / 15),
    }
    for rule, shares in expected.items():
        world = World(rule=rule, half_life_h=0.25)
        at = [NOW_MS + n * HOUR_MS // 4 for n in range(4)]
        world.apply(*(Told(n, 0, at[n], 6, "impression", list_id=11 + n) for n in range(4)))
        world.apply(Told(9, 0, at[3] + 5, 6, "purchase"))
        assert world.outcomes[-1].shares == pytest.approx(shares), rule


@given(st.sampled_from(range(len(RULES))), st.lists(st.integers(0, 10**12), max_size=9), st.floats(1.0, 1e9))
def test_shares_sum_to_one(rule: int, touch_ms: list[int], half_life_ms: float) -> None:
    touches = np.array(sorted(touch_ms), np.int64)
    shares = divide(rule, touches, half_life_ms)

    if touch_ms:
        assert shares.tolist() == pytest.approx(
            credit_rules.shares(RULES[rule], touches, int(touches[-1]), half_life_ms).tolist(), abs=1e-12
        )
    assert sum(shares) == pytest.approx(1.0 if touch_ms else 0.0, abs=1e-12)
    assert all(0.0 <= share <= 1.0 for share in shares)


def test_a_list_that_is_looked_at_is_remembered_while_many_others_go_out() -> None:
    world = World()
    world.publish(published(11, NOW_MS, 5, 6))
    world.apply(Told(1, 0, NOW_MS + 1, 5, "impression", list_id=11))
    world.publish(*(published(20 + i, NOW_MS + 10 + i, 1, 2) for i in range(4 * LISTS)))

    world.apply(Told(2, 0, NOW_MS + 100, 6, "click", list_id=11))

    assert world.outcomes[-1].touches == ((11, 2, 1, 0, NOW_MS + 100, 0.5),)


def test_lists_seen_long_ago_leave_room_for_new_ones() -> None:
    world = World()
    for i in range(2 * LISTS):
        world.publish(published(20 + i, NOW_MS + i, 5, 6))
        world.apply(Told(i, 0, NOW_MS + i, 5, "impression", list_id=20 + i))
    world.publish(*(published(50 + i, NOW_MS + 50 + i, 5, 6) for i in range(2)))

    world.apply(Told(99, 0, NOW_MS + 100, 6, "click", list_id=50))

    assert world.outcomes[-1].touches[-1][:3] == (50, 2, 1)


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_refund_takes_back_the_credits_and_the_value_of_the_newest_purchase_of_the_item_once() -> None:
    world = World(rule="linear")
    world.apply(
        Told(1, 0, NOW_MS, 6, "impression", list_id=11),
        Told(2, 0, NOW_MS + 1, 6, "purchase", value=10.0),
        Told(3, 0, NOW_MS + 2, 6, "purchase", list_id=12, value=20.0),
        Told(4, 0, NOW_MS + 3, 7, "purchase", value=30.0),
    )
    world.restart()

    world.apply(Told(5, 0, NOW_MS + 9, 6, "refund"), Told(6, 0, NOW_MS + 9, 6, "refund", value=8.0))
    world.apply(Told(7, 0, NOW_MS + 9, 6, "refund"))

    bought, again, _, first, second, none = world.outcomes
    assert (first.reverses, first.value, first.shares, first.unattributed) == (3, -20.0, (-0.5, -0.5), 0.0)
    assert first.touches == again.touches
    assert (second.reverses, second.value, second.touches) == (2, -8.0, bought.touches)
    assert none == Outcome(7, "none", (), (), -1.0, None, None)


def test_a_refund_sent_twice_with_the_same_event_id_takes_back_one_purchase() -> None:
    world = World()
    world.apply(*(Told(n, 0, NOW_MS, 6, "purchase", value=1.0) for n in range(2)))

    world.apply(Told(3, 0, NOW_MS + 1, 6, "refund", event_id=5), Told(4, 0, NOW_MS + 2, 6, "refund", event_id=5))

    assert [o.reverses for o in world.outcomes] == [None, None, 1]


def test_a_refund_from_before_the_purchase_takes_nothing_back() -> None:
    world = World()
    world.apply(Told(1, 0, NOW_MS, 6, "purchase", value=1.0), Told(2, 0, NOW_MS - 1, 6, "refund"))

    assert [o.reverses for o in world.outcomes] == [None, None]


# --- against the reference --------------------------------------------------------------------------------------------

told_events = st.builds(
    Told,
    st.just(0),
    st.integers(0, 1),
    st.integers(0, 4 * HOUR_MS).map(lambda late_ms: NOW_MS + late_ms),
    st.integers(1, 4),
    st.sampled_from(["impression", "click", "cart", "purchase", "refund", "view"]),
    st.sampled_from([0, 0, 0, 11, 12, 13, 99]),
    st.integers(0, 30),
    st.integers(0, 7),
    st.none() | st.floats(0.0, 100.0),
    st.sampled_from([0, 0, 1, 2]),
)
lists = st.builds(
    lambda user, list_id, at_ms, items, seed: Published(
        user, list_id, NOW_MS + at_ms, tuple(items), tuple((seed + i) % 4 for i in range(len(items))),
        tuple(0.25 + 0.5 * ((seed + i) % 2) for i in range(len(items))),
    ),
    st.integers(0, 1), st.integers(11, 24), st.integers(0, 4 * HOUR_MS), st.permutations([1, 2, 3, 4]).map(lambda p: p[:3]),
    st.integers(0, 3),
)  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.lists(told_events | lists, max_size=150), st.sampled_from(RULES), st.lists(st.integers(1, 30), min_size=1))
def test_every_history_is_credited_as_the_reference_says_however_it_is_cut(
    steps: list[Told | Published], rule: str, sizes: list[int]
) -> None:
    world, reference = World(users=2, rule=rule), Reference(rule, WINDOWS_MS, HOUR_MS)
    cuts, chunk = itertools.cycle(sizes), []
    size = next(cuts)
    for offset, step in enumerate(steps):
        if isinstance(step, Published):
            world.apply(*chunk)
            chunk = []
            world.publish(step)
            reference.publish(step)
            continue
        event = step._replace(offset=offset)
        reference.apply(event)
        chunk.append(event)
        if len(chunk) >= size:
            world.apply(*chunk)
            world.restart()
            chunk, size = [], next(cuts)
    world.apply(*chunk)

    assert [o[:3] + o[4:] for o in world.outcomes] == [o[:3] + o[4:] for o in reference.outcomes]
    for found, expected in zip(world.outcomes, reference.outcomes, strict=True):
        assert found.shares == pytest.approx(expected.shares)
        whole = -1.0 if found.unattributed < 0 or any(share < 0 for share in found.shares) else 1.0
        assert sum(found.shares) + found.unattributed == pytest.approx(whole, abs=1e-12)
    assert (world.exposures, world.clicks) == (reference.exposures, reference.clicks)


def test_a_long_history_of_one_user_is_credited_as_the_reference_says() -> None:
    rng = np.random.default_rng(5)
    world, reference = World(rule="time_decay"), Reference("time_decay", WINDOWS_MS, HOUR_MS)
    names = ["impression"] * 6 + ["click", "cart", "purchase", "refund"]
    for n in range(4000):
        at_ms = NOW_MS + n * 4000
        if n % 7 == 0:
            each = published(1000 + n, at_ms, *rng.permutation(30)[:20].tolist())
            world.publish(each)
            reference.publish(each)
        # Of lists that went out lately: some are remembered, because they are new or were seen, some are not any more.
        list_id = 0 if rng.random() < 0.5 else 1000 + 7 * max(0, n // 7 - int(rng.integers(14)))
        event = Told(
            n, 0, at_ms - int(rng.integers(3)) * 60_000, int(rng.integers(30)), names[rng.integers(10)], list_id
        )
        world.apply(event)
        reference.apply(event)

    assert [o[:3] + o[4:] for o in world.outcomes] == [o[:3] + o[4:] for o in reference.outcomes]
    assert (world.exposures, world.clicks) == (reference.exposures, reference.clicks)
    assert world.ledgers.columns.n_touches[0] == TOUCHES
    assert world.ledgers.columns.n_purchases[0] == PURCHASES
    assert len(world.ledgers.pack(np.arange(1))[0]) == MAX_PACKED_BYTES


# --- the packed ledger ------------------------------------------------------------------------------------------------


def test_an_empty_ledger_is_four_bytes_and_what_is_no_ledger_is_refused() -> None:
    ledgers = Ledgers(1)
    assert ledgers.pack(np.arange(1)) == [bytes((LEDGER_VERSION, 0, 0, 0))]
    for broken in (b"", b"\x01", bytes((9, 0, 0, 0)), bytes((1, 1, 0, 0)), bytes((1, 200, 0, 0)) + bytes(200 * 204)):
        with pytest.raises(CorruptStateError):
            Ledgers(1).unpack(np.arange(1), [broken])


def test_what_is_packed_is_what_was_there() -> None:
    world = World(users=2)
    world.publish(published(11, NOW_MS, 5, 6), published(12, NOW_MS, 6))
    world.apply(
        Told(1, 0, NOW_MS, 6, "purchase", value=2.5), Told(2, 0, NOW_MS, 5, "impression", list_id=12, context=3)
    )
    packed = world.ledgers.pack(np.arange(2))

    grown = Ledgers(1)
    grown.grow(4)
    grown.unpack(np.array([3, 1]), packed)

    assert grown.pack(np.array([3, 1])) == packed
    assert grown.take(np.array([3]), 2).pack(np.arange(1)) == packed[:1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000000000010000000000000002", (1, 2)),
        ("F" * 32, None),  # capitals are not how Penchant writes them
        ("email-42", None),
        ("\ud800", None),
    ],
)
def test_ids_of_penchant_are_their_own_bits_and_others_are_hashed(text: str, expected: tuple[int, int] | None) -> None:
    found = list_id_of(text)

    assert found == expected if expected else all(0 < half < 2**64 for half in found)


def test_ledgers_stay_where_they_are_while_room_is_made_for_others() -> None:
    ledgers = Ledgers(2)
    ledgers.columns.n_lists[1] = 3
    before = ledgers.columns
    ledgers.grow(4096)
    assert ledgers.capacity == 4096
    assert all(np.shares_memory(old, new) for old, new in zip(before, ledgers.columns, strict=True))
    assert ledgers.columns.n_lists[:3].tolist() == [0, 3, 0]
