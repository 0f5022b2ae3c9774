"""Users who have done nothing for long are forgotten, by the commit of everything else; nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka_records import NOW_MS
from outcome_shop import Shop

from stream.state.ledger import LEDGER_PREFIX
from stream.state.owed import OWED_PREFIX
from stream.worker import expiry
from stream.worker.expiry import Expiry

DAY_MS = 86_400_000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(expiry, "REST_S", 0.0)
    monkeypatch.setattr(expiry, "USERS_AT_ONCE", 7)
    made = Shop(tmp_path / "data", user_ttl_days=30)
    yield made
    made.stores.close_all()
    made.directory.close()


async def passed(shop: Shop, days: int) -> None:
    """So many users `old-N` have a list, and then only `new-N` come; the worker is another one meanwhile."""
    for n in range(20):
        shop.happens({"action": "click", "user": f"old-{n}"})
        shop.publishes()
    await shop.committer.commit()
    shop.restart()
    shop.now_ms = NOW_MS + days * DAY_MS
    for n in range(3):
        shop.happens({"action": "click", "user": f"new-{n}"})
        shop.publishes()
    await shop.committer.commit()


async def look_once(shop: Shop) -> None:
    parts: Any = SimpleNamespace(tracker=shop.tracker, settings=shop.settings)
    looking = asyncio.ensure_future(Expiry(parts).look_forever())
    for _ in range(200):
        await asyncio.sleep(0)
    looking.cancel()


def users_of(shop: Shop) -> set[str]:
    return {key.decode() for key, _ in shop.store.items() if key < b"\xf8"}


async def test_who_has_done_nothing_for_long_is_forgotten_with_everything(shop: Shop) -> None:
    await passed(shop, 31)
    before = users_of(shop)
    assert {f"old-{n}" for n in range(20)} <= before
    await look_once(shop)
    shop.broker.values.clear()
    await shop.committer.commit()
    assert users_of(shop) == {f"new-{n}" for n in range(3)}
    assert not [key for key, _ in shop.store.items() if key.startswith((LEDGER_PREFIX + b"old", OWED_PREFIX + b"old"))]
    gone = {(topic, key) for topic, key, value in shop.broker.values if value is None}
    assert (shop.settings.changelog_topic, b"old-3") in gone
    assert (shop.settings.changelog_topic, LEDGER_PREFIX + b"old-3") in gone
    assert (shop.settings.topic_recommendations, b"old-3") in gone
    assert not any(b"new" in key for _, key in gone)
    assert shop.metrics.registry.get_sample_value("penchant_users_expired_total") == 20


async def test_nobody_is_forgotten_before_the_time(shop: Shop) -> None:
    await passed(shop, 29)
    await look_once(shop)
    await shop.committer.commit()
    assert len(users_of(shop)) == 23


async def test_who_comes_back_before_the_commit_stays_as_they_were(shop: Shop) -> None:
    await passed(shop, 31)
    await look_once(shop)
    shop.happens({"action": "click", "user": "old-5", "item_id": "pan"})
    await shop.committer.commit()
    assert users_of(shop) == {"old-5", *(f"new-{n}" for n in range(3))}
    row = shop.users.overlay.rows([b"old-5"])
    assert int(shop.users.overlay.states.events[row][0]) == 2


async def test_who_comes_back_after_it_is_new(shop: Shop) -> None:
    await passed(shop, 31)
    await look_once(shop)
    await shop.committer.commit()
    shop.happens({"action": "click", "user": "old-5", "item_id": "pan"})
    row = shop.users.overlay.rows([b"old-5"])
    assert int(shop.users.overlay.states.events[row][0]) == 1
