"""What nobody has had to do with for long is forgotten, by the commit of everything else; nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from item_records import unpack_record
from kafka_records import NOW_MS, Record, event_record
from outcome_shop import Shop
from tracker_harness import Harness, opened, replicated

from models.calendar import DAY_MS
from stream.state.ledger import LEDGER_PREFIX
from stream.state.owed import OWED_PREFIX
from stream.worker import expiry
from stream.worker.expiry import ItemExpiry, UserExpiry


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(expiry, "REST_S", 0.0)
    monkeypatch.setattr(expiry, "KEYS_AT_ONCE", 7)
    with opened(tmp_path, unknown_item_ttl_days=30) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(expiry, "REST_S", 0.0)
    monkeypatch.setattr(expiry, "KEYS_AT_ONCE", 7)
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
    looking = asyncio.ensure_future(UserExpiry(parts).look_forever())
    for _ in range(200):
        await asyncio.sleep(0)
    looking.cancel()


def users_of(shop: Shop) -> set[str]:
    return {key.decode() for key, _ in shop.store.items() if key < b"\xf5"}


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


def engaged(harness: Harness, at_ms: int, *items: str) -> None:
    """One user with all of them, each once, then; and what a commit does."""
    start = harness.next_offset
    harness.chunk(
        [event_record(start + n, f"u{start}", item_id=item, event_time=at_ms) for n, item in enumerate(items)]
    )
    deltas = harness.tracker.take(harness.users).deltas
    harness.items.apply([Record(start, key, value) for key, value in deltas])
    commit_items(harness)


def commit_items(harness: Harness) -> dict[bytes, bytes | None]:
    written = dict(harness.items.take().values)
    harness.items.store.write(written.items(), 1)
    harness.tracker.replicate_stats([replicated(key, value) for key, value in written.items()], 0.0)
    return written


async def look_at_items(harness: Harness, caught_up: bool = True) -> None:
    parts: Any = SimpleNamespace(
        tracker=harness.tracker, settings=harness.settings, replicas_caught_up=lambda: caught_up
    )
    looking = asyncio.ensure_future(ItemExpiry(parts).look_forever())
    for _ in range(200):
        await asyncio.sleep(0)
    looking.cancel()


def known_counts(harness: Harness) -> dict[str, float]:
    """By id, of all items that a worker has statistics of."""
    knowledge = harness.tracker.knowledge
    counts = zip(knowledge.index.hashes.tolist(), knowledge.stats.count.tolist(), strict=False)
    return {str(knowledge.names.id_of(hashed)): count for hashed, count in counts if count}


async def test_statistics_of_items_that_no_catalogue_has_and_nobody_wants_any_more_are_forgotten(
    harness: Harness,
) -> None:
    harness.catalogue("cup", "pan")
    junk = [f"junk{n}" for n in range(20)]
    engaged(harness, NOW_MS - 31 * DAY_MS, "cup", "pan", "junk-wanted", *junk)
    engaged(harness, NOW_MS, "cup", "junk-wanted")
    await look_at_items(harness)
    assert commit_items(harness) == dict.fromkeys(each.encode() for each in junk)
    assert known_counts(harness) == {"cup": 2, "pan": 1, "junk-wanted": 2}
    assert {key for key, _ in harness.items.store.items()} == {b"cup", b"pan", b"junk-wanted"}
    assert harness.metrics.registry.get_sample_value("penchant_unknown_item_statistics") == 1

    engaged(harness, NOW_MS, "junk3")  # and is new when it comes back
    assert unpack_record(dict(harness.items.store.items())[b"junk3"]).count == 1


async def test_a_withdrawn_item_expires_once_the_catalogue_has_it_no_more(harness: Harness) -> None:
    harness.catalogue("cup")
    engaged(harness, NOW_MS - 40 * DAY_MS, "cup")
    engaged(harness, NOW_MS, "pan")
    harness.tracker.replicate_items([replicated(b"cup", None)], 0.0)
    await look_at_items(harness)
    assert commit_items(harness) == {b"cup": None}


async def test_nothing_expires_before_the_catalogue_has_been_read_or_its_time_has_come(harness: Harness) -> None:
    engaged(harness, NOW_MS - 60 * DAY_MS, "cup")
    engaged(harness, NOW_MS - 31 * DAY_MS, "pan")
    await look_at_items(harness)
    engaged(harness, NOW_MS, "pan")
    harness.items.looked_for_expiry_s = float("-inf")
    await look_at_items(harness, caught_up=False)
    assert commit_items(harness) == {}
