"""A withdrawn item leaves every list, also of people who have done nothing since the worker started."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from outcome_shop import Shop, replicated

from models.items.catalog import Catalog, CatalogItem
from models.items.index import ItemIndex
from stream.partitions.users import UserPartition
from stream.refresh.stored_lists import ByHalfHash, newest_lists
from stream.rules.active import is_in_share
from stream.settings.placements import PlacementSettings
from stream.state.ledger import LEDGER_PREFIX, PLACES
from stream.worker import stale_lists
from stream.worker.stale_lists import StaleLists


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(stale_lists, "REST_S", 0.0)
    monkeypatch.setattr(stale_lists, "IDLE_S", 0.01)
    made = Shop(tmp_path / "data")
    yield made
    made.stores.close_all()
    made.directory.close()


async def with_lists(shop: Shop, users: int) -> dict[str, list[str]]:
    """So many users have a durable list; the worker is then another one."""
    lists = {}
    for n in range(users):
        shop.happens({"action": "view", "user": f"u{n}"})
        published = shop.publishes().list.record
        lists[published.user_id] = [place.item_id for place in published.items]
    await shop.committer.commit()
    shop.restart()
    return lists


async def look(shop: Shop) -> dict[str, str]:
    """Who is due after everything was looked through, and why."""
    parts: Any = SimpleNamespace(tracker=shop.tracker, settings=shop.settings, replicas_caught_up=lambda: True)
    looking = asyncio.ensure_future(StaleLists(parts, lambda: None).look_forever())
    async with asyncio.timeout(30):
        while shop.users.looked_through != shop.tracker.renewal.withdrawals:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    looking.cancel()
    due: dict[str, str] = {}
    while (batch := shop.tracker.queue.next_batch(1000)) is not None:
        due |= {each.key.decode(): each.trigger for each in batch.due}
    return due


async def test_after_a_restart_lists_with_a_withdrawn_item_are_made_again_and_no_others(shop: Shop) -> None:
    lists = await with_lists(shop, 450)  # more than two slices
    assert await look(shop) == {}
    shop.tracker.replicate_items([replicated(b"cup", None)], 0.0)
    stale = {user for user, items in lists.items() if "cup" in items}
    assert await look(shop) == dict.fromkeys(stale, "catalog")
    assert len(stale) > 0


async def test_what_was_withdrawn_while_nobody_served_is_found_when_a_partition_is_opened(shop: Shop) -> None:
    lists = await with_lists(shop, 5)
    shop.tracker.replicate_items([replicated(b"pan", b'{"item_id":"pan","title":"p","available":false}')], 0.0)
    shop.tracker.lists.forget([0])
    assert set(await look(shop)) == {user for user, items in lists.items() if "pan" in items}


async def test_lists_with_what_a_rule_forbids_their_user_are_made_again(shop: Shop) -> None:
    lists = await with_lists(shop, 40)
    await look(shop)
    shop.tracker.lists.forget([0])
    shop.tracker.compile_placement()
    shop.tracker.use_placements()
    shop.tracker.replicate_rules([replicated(b"rule/no", b'{"kind":"deny","items":["cup"],"share":0.5}')], 0.0)
    shop.tracker.queue.forget(0)
    meant = {user for user, items in lists.items() if "cup" in items and is_in_share(user.encode(), "no", 0.5)}
    assert 0 < len(meant) < len(lists)
    assert await look(shop) == dict.fromkeys(meant, "catalog")


@pytest.mark.parametrize(("slots", "remembered"), [(1, 2), (PLACES + 1, 0)])
async def test_a_list_of_a_placement_is_remembered_with_its_own_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int, remembered: int
) -> None:
    monkeypatch.setattr(stale_lists, "REST_S", 0.0)
    made = Shop(tmp_path / "other", placements={"home": PlacementSettings.model_validate({"slots": slots})})
    await with_lists(made, 2)
    await look(made)
    assert len(made.tracker.lists) == remembered
    if remembered:
        made.tracker.queue.add(0, b"u1", "refresh", 0.0)
        assert not made.publishes().changed
    made.stores.close_all()
    made.directory.close()


async def test_of_several_placements_every_list_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_lists, "REST_S", 0.0)
    monkeypatch.setattr(stale_lists, "IDLE_S", 0.01)
    cart = PlacementSettings.model_validate({"slots": 2})
    made = Shop(tmp_path / "other", placements={"cart": cart, "home": PlacementSettings.model_validate({"slots": 1})})
    lists = await with_lists(made, 3)
    (first,) = {item for items in lists.values() for item in items}  # home has one of the two, and was noted last
    other = {"cup": b"pan", "pan": b"cup"}[first]
    made.tracker.replicate_items([replicated(other, None)], 0.0)
    assert await look(made) == dict.fromkeys(lists, "catalog")
    made.stores.close_all()
    made.directory.close()


async def test_where_items_are_withdrawn_all_the_time_each_partition_has_its_turn(shop: Shop) -> None:
    class Restless(StaleLists):
        def _look_at(self, *args: Any) -> None:
            super()._look_at(*args)
            shop.tracker.renewal.withdrawals += 1

    second = shop.tracker.users[1] = UserPartition(1, shop.stores[1])
    parts: Any = SimpleNamespace(tracker=shop.tracker, settings=shop.settings, replicas_caught_up=lambda: True)
    looking = asyncio.ensure_future(Restless(parts, lambda: None).look_forever())
    async with asyncio.timeout(30):
        while second.looked_through is None or shop.users.looked_through is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        before = shop.users.looked_through, second.looked_through
        while shop.users.looked_through == before[0] or second.looked_through == before[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    looking.cancel()


async def test_lists_are_remembered_again_so_that_they_age_and_are_not_sent_for_nothing(shop: Shop) -> None:
    await with_lists(shop, 3)
    await look(shop)
    assert len(shop.tracker.lists) == 3
    shop.now_ms += 1000
    shop.tracker.queue.add(0, b"u1", "refresh", 0.0)
    (made,) = shop.tracker.refresh(0, shop.tracker.queue.next_batch(9).due, shop.now_ms, 0.0)  # type: ignore[union-attr]
    assert made is not None
    assert not made.changed
    assert set(shop.tracker.lists) == {(0, b"u0"), (0, b"u1"), (0, b"u2")}


async def test_a_ledger_that_cannot_be_read_is_passed_over(shop: Shop) -> None:
    await with_lists(shop, 2)
    for n, junk in enumerate((b"", b"\x01", b"\x01\x06\x00\x00", b"\xff" * 7)):
        shop.store.write([(LEDGER_PREFIX + b"x%d" % n, junk)], None)
    shop.tracker.replicate_items([replicated(b"cup", None), replicated(b"pan", None)], 0.0)
    shop.tracker.lists.forget([0])
    assert set(await look(shop)) == {"u0", "u1"}


def test_of_items_that_share_half_a_hash_the_one_that_may_be_recommended_counts() -> None:
    index = ItemIndex()
    catalog = Catalog.empty(index).apply({f"i{n}": CatalogItem(f"i{n}", "t", available=n % 2 == 0) for n in range(50)})
    known = ByHalfHash(catalog)
    halves = (index.hash_of(np.arange(50)) >> np.uint64(32)).astype(np.uint32)
    assert known.indices_of(halves).tolist() == list(range(50))
    assert known.is_stale(np.arange(50)[:, None], np.ones((50, 1), bool)).tolist() == [n % 2 == 1 for n in range(50)]
    assert known.indices_of(np.array([7], np.uint32)).tolist() == [-1]
    nothing = ByHalfHash(Catalog.empty(ItemIndex()))
    assert nothing.is_stale(nothing.indices_of(halves[:, None]), np.ones((50, 1), bool)).all()


def test_of_no_ledgers_there_are_no_lists() -> None:
    assert newest_lists([]).who == []
