"""Outcomes from events to durable records: through the tracker, the commit and a crash; and what strategies earned in all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka_records import NOW_MS
from outcome_shop import Shop, replicated

from stream.outcomes.crediting import OUTCOME, SEEN_ITEM, Credited
from stream.outcomes.publish import outcome_id
from stream.outcomes.strategy_totals import NUMBERS, SLOTS, TOTAL_MAX, TOTALS_PREFIX, Cell, StrategyTotals
from stream.state.ledger import CREDIT, LEDGER_PREFIX, PATH
from stream.state.update import EventColumns
from stream.storage.rocks import DataDirectory
from stream.wire.records import encode, strategy_stats_decoder

LIST = "0" * 31 + "b"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "data")
    yield made
    made.stores.close_all()
    made.directory.close()


async def test_a_click_on_what_was_published_is_credited_to_the_list_and_its_place(shop: Shop) -> None:
    shop.happens({"action": "view", "user": "bob"})
    published = shop.publishes()
    item = published.list.record.items[-1]
    shop.happens({"action": "click", "user": "bob", "item_id": item.item_id})
    await shop.committer.commit()

    (outcome,) = shop.outcomes
    (credit,) = outcome.credits
    assert outcome.outcome_id == outcome_id(shop.settings.topic_events, 0, 1)
    assert (outcome.user_id, outcome.item_id, outcome.action, outcome.evidence) == (
        "bob",
        item.item_id,
        "click",
        "list",
    )
    assert (credit.recommendation_id, credit.rank) == (published.list.record.recommendation_id, item.rank)
    assert (credit.strategy, credit.credit, outcome.unattributed) == (item.strategy, 1.0, 0.0)
    assert (
        shop.metrics.registry.get_sample_value("penchant_outcomes_total", {"action": "click", "evidence": "list"}) == 1
    )


async def test_reasons_name_the_strategy_and_the_propensity_of_their_place(shop: Shop) -> None:
    shop.happens({"action": "view"})
    published = shop.publishes()
    places = [(i.item_id, i.strategy, i.propensity) for i in published.list.record.items]

    assert places == [(r.item_id, r.strategy, r.propensity) for r in published.reasons.record.places]


async def test_outcomes_ledgers_and_totals_are_in_the_transaction_of_their_users_states(shop: Shop) -> None:
    shop.happens(
        {"action": "impression", "recommendation_id": LIST, "slot": 3}, {"action": "purchase", "value": 5.0, "slot": 3}
    )
    await shop.committer.commit()

    (transaction,) = [step for step in shop.broker.steps if step[0] == "transaction"]
    settings = shop.settings
    assert transaction[1:] == (
        (settings.changelog_topic, b"ann"),
        (settings.changelog_topic, LEDGER_PREFIX + b"ann"),
        (settings.changelog_topic, TOTALS_PREFIX + b"4/3/0"),
        (settings.topic_item_deltas, b"cup"),
        (settings.topic_attributions, b"ann"),
        (settings.topic_strategy_stats, b"unknown/3/0/0"),
    )
    (stats,) = shop.strategies.values()
    assert (stats.exposures, stats.clicks, stats.purchases, stats.value) == (1, 0, 1.0, 5.0)


async def test_what_a_crash_undoes_was_never_published_and_comes_once_when_it_is_read_again(shop: Shop) -> None:
    seen = {"action": "impression", "recommendation_id": LIST, "slot": 1}
    bought = {"action": "purchase", "value": 5.0}
    shop.happens(seen, bought)
    await shop.committer.commit()
    shop.happens(bought, {"action": "click"})  # applied, then the worker is killed
    shop.restart()
    assert len(shop.outcomes) == 1

    shop.happens(seen, bought, bought, {"action": "click"}, start=0)  # read again from an earlier offset
    await shop.committer.commit()
    shop.restart()
    shop.now_ms += 1000
    shop.happens({"action": "refund"})
    await shop.committer.commit()

    assert [(o.action, o.value) for o in shop.outcomes] == [
        ("purchase", 5.0),
        ("purchase", 5.0),
        ("click", None),
        ("refund", -5.0),
    ]
    assert len({o.outcome_id for o in shop.outcomes}) == 4
    assert shop.outcomes[3].reverses == shop.outcomes[1].outcome_id
    stats = shop.strategies[b"unknown/1/0/0"]
    assert (stats.exposures, stats.clicks, stats.purchases, stats.value) == (1, 1, 1.0, 5.0)


async def test_a_failed_transaction_leaves_nothing_of_the_outcomes_in_the_store(shop: Shop) -> None:
    shop.happens({"action": "impression", "recommendation_id": LIST}, {"action": "click"})
    shop.broker.fail_write = True
    with pytest.raises(Exception, match="refused"):
        await shop.committer.commit()

    assert list(shop.store.items()) == []


async def test_a_list_that_was_published_is_remembered_after_a_restart(shop: Shop) -> None:
    shop.happens({"action": "view"})
    published = shop.publishes()
    await shop.committer.commit()
    shop.restart()

    shop.happens({"action": "click", "recommendation_id": published.list.record.recommendation_id})
    await shop.committer.commit()

    (outcome,) = shop.outcomes
    assert outcome.evidence == "named"
    held = {i.item_id: (i.rank, i.strategy) for i in published.list.record.items}
    assert (outcome.credits[0].rank, outcome.credits[0].strategy) == held.get("cup", (0, "unknown"))


async def test_with_the_rule_none_nothing_is_credited_and_nothing_remembered(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "data", outcome_rule="none")
    shop.happens({"action": "click", "recommendation_id": LIST})
    shop.publishes()
    await shop.committer.commit()

    assert shop.outcomes == []
    assert [key for key, _ in shop.store.items()] == [b"ann"]
    shop.stores.close_all()
    shop.directory.close()


# --- bad input --------------------------------------------------------------------------------------------------------


async def test_a_purchase_with_a_negative_value_is_a_refund_and_no_sign_of_interest(shop: Shop) -> None:
    shop.happens({"action": "purchase", "value": 7.0}, {"action": "purchase", "value": -7.0})
    await shop.committer.commit()

    bought, refund = shop.outcomes
    assert (refund.action, refund.reverses, refund.value, refund.unattributed) == (
        "refund",
        bought.outcome_id,
        -7.0,
        -1.0,
    )
    assert int(shop.users.overlay.states.n_ring[0]) == 1


async def test_a_negative_value_of_a_click_stays_what_it_is(shop: Shop) -> None:
    shop.happens({"action": "click", "value": -1.0, "recommendation_id": LIST})
    await shop.committer.commit()

    assert (shop.outcomes[0].action, shop.outcomes[0].value) == ("click", -1.0)
    assert shop.strategies[b"unknown/0/0/0"].value == 0.0


async def test_the_same_event_sent_twice_is_one_outcome(shop: Shop) -> None:
    shop.happens(*[{"action": "purchase", "event_id": "e1", "value": 5.0}] * 2)
    await shop.committer.commit()

    assert len(shop.outcomes) == 1


async def test_an_item_that_left_the_catalogue_is_credited_like_any_other(shop: Shop) -> None:
    shop.happens({"action": "impression", "recommendation_id": LIST})
    shop.tracker.replicate_items([replicated(b"cup", None)], 0.0)
    shop.happens({"action": "click"})
    await shop.committer.commit()

    assert (shop.outcomes[0].item_id, len(shop.outcomes[0].credits)) == ("cup", 1)


async def test_a_first_event_that_is_an_outcome_is_unattributed(shop: Shop) -> None:
    shop.happens({"action": "purchase", "user": "new"})
    await shop.committer.commit()

    assert (shop.outcomes[0].credits, shop.outcomes[0].unattributed, shop.outcomes[0].evidence) == ((), 1.0, "none")


@pytest.mark.parametrize("slot", [-5, 0, 255, 256, 2**40])
@pytest.mark.parametrize("recommendation_id", ["", "x" * 100_000, "用", "\x00", LIST.upper()])
async def test_strange_names_and_slots_are_taken(shop: Shop, recommendation_id: str, slot: int) -> None:
    shop.happens({"action": "click", "recommendation_id": recommendation_id, "slot": slot})
    await shop.committer.commit()

    (outcome,) = shop.outcomes
    assert [(len(c.recommendation_id), c.rank) for c in outcome.credits] == (
        [(32, min(max(slot, 0), 255))] if recommendation_id else []
    )


async def test_an_event_said_to_be_from_tomorrow_is_credited_as_of_then(shop: Shop) -> None:
    shop.happens({"action": "impression", "recommendation_id": LIST})
    shop.happens({"action": "click", "event_time": NOW_MS + 86_000_000}, {"action": "click", "event_time": NOW_MS + 1})
    await shop.committer.commit()

    assert [len(o.credits) for o in shop.outcomes] == [1, 1]


# --- totals -----------------------------------------------------------------------------------------------------------


def seen(*places: tuple[int, int, int, float]) -> Any:
    return np.array([(*place, 0) for place in places], SEEN_ITEM)


def columns(n: int = 1) -> EventColumns:
    zeros = np.zeros(n, np.int64)
    return EventColumns(zeros, zeros, zeros + NOW_MS, *(zeros.astype(k) for k in ("u8", "u1", "u1", "u1", "u4", "u1")))


def nothing(exposures: Any, clicks: Any) -> Credited:
    return Credited(np.zeros(0, OUTCOME), np.zeros((0, PATH), CREDIT), exposures, clicks, np.zeros(0, np.int64))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    directory = DataDirectory(tmp_path, 1 << 20, 1 << 20)
    stores = directory.stores("users")
    yield stores[0]
    stores.close_all()
    directory.close()


places = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 7), st.sampled_from([1.0, 0.5, 0.25])), max_size=30
)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=4))
def test_totals_are_sums_over_all_chunks(chunks: list[tuple[list[Any], list[Any]]]) -> None:
    class Empty:
        def items_with_prefix(self, prefix: bytes) -> list[Any]:
            return []

    totals = StrategyTotals(Empty())  # type: ignore[arg-type]
    for exposures, clicks in chunks:
        totals.add(nothing(seen(*exposures), seen(*clicks)), columns())

    for cell in totals.cells():
        shown = [p for exposures, _ in chunks for *c, p in exposures if Cell(c[0], min(c[1], SLOTS), c[2]) == cell]
        clicked = [p for _, clicks in chunks for *c, p in clicks if Cell(c[0], min(c[1], SLOTS), c[2]) == cell]
        expected = {
            "exposures": len(shown),
            "clicks": len(clicked),
            "inverse_propensity": sum(1 / p for p in shown),
            "inverse_propensity_squared": sum(1 / p**2 for p in shown),
            "clicks_inverse_propensity": sum(1 / p for p in clicked),
            "clicks_inverse_propensity_squared": sum(1 / p**2 for p in clicked),
        }
        found = dict(zip(NUMBERS, totals.of(cell).tolist(), strict=True))
        assert found == pytest.approx(dict.fromkeys(NUMBERS, 0.0) | expected)


def test_totals_come_back_from_the_store_and_only_what_changed_is_written(store: Any) -> None:
    totals = StrategyTotals(store)
    totals.add(nothing(seen((0, 1, 0, 0.5), (1, 2, 3, 1.0)), seen((0, 1, 0, 0.5))), columns())
    stored, records = totals.take_changed(7)
    store.write(stored, 0)

    again = StrategyTotals(store)
    again.add(nothing(seen((1, 2, 3, 1.0)), seen()), columns())

    assert [(r.strategy, r.slot, r.context, r.partition) for r in records] == [
        ("interest", 1, 0, 7),
        ("popular", 2, 3, 7),
    ]
    assert again.of(Cell(0, 1, 0)).tolist() == totals.of(Cell(0, 1, 0)).tolist()
    assert [(r.strategy, r.exposures) for r in again.take_changed(7)[1]] == [("popular", 2)]
    assert again.take_changed(7) == ([], [])


@pytest.mark.parametrize("value", [b"", b"\x90", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_broken_total_begins_anew(store: Any, value: bytes) -> None:
    store.write([(TOTALS_PREFIX + b"0/1/0", value)], 0)
    totals = StrategyTotals(store)
    totals.add(nothing(seen((0, 1, 0, 1.0)), seen()), columns())
    assert [(r.strategy, r.exposures) for r in totals.take_changed(7)[1]] == [("interest", 1)]


def test_totals_that_are_no_numbers_any_more_heal_and_stay_within_bounds(store: Any) -> None:
    broken = [math.inf, math.nan, -math.inf, *[1e308] * (len(NUMBERS) - 3), math.inf]
    store.write([(TOTALS_PREFIX + b"0/1/0", msgspec.msgpack.encode(broken))], 0)
    totals = StrategyTotals(store)
    totals.add(nothing(seen((0, 1, 0, 1.0)), seen()), columns())
    assert np.abs(totals.of(Cell(0, 1, 0))).max() <= TOTAL_MAX
    stored, (record,) = totals.take_changed(7)
    assert strategy_stats_decoder.decode(encode(record)).strategy == "interest"
    store.write(stored, 0)
    assert StrategyTotals(store).of(Cell(0, 1, 0)).tolist() == totals.of(Cell(0, 1, 0)).tolist()
