"""stream/worker/requests.py: after an erasure everything is as if the person had never been there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from erasure_world import Log, World, assert_same, event, random_log, request
from kafka_records import NOW_MS

from stream.kafka.engine.fetching import Chunk
from stream.privacy.asking import new_request, request_bytes
from stream.state.contributions import OPEN_PREFIX, closed_key
from stream.state.owed import OWED_PREFIX, pack_mark


def run(path: Path, records, crash_after: int | None = None, every: int = 90, **given) -> World:
    """Read all of them with a commit now and then; `crash_after`: one commit, then lost and read again from before it."""
    world = World(path, **given)
    done = 0
    while done < len(records):
        world.read(records[done : done + every])
        done += every
        world.commit()
        if crash_after is not None and done > crash_after:
            world.read(records[done : done + 25])  # never committed
            world.crash()
            done, crash_after = max(0, done - 3 * every), None
    return world


@pytest.mark.parametrize("seed", range(12))
def test_after_erasures_states_totals_and_statistics_are_those_of_a_run_without_the_people(
    tmp_path: Path, seed: int
) -> None:
    chosen, log = random.Random(seed), random_log(seed)
    gone = {f"user-{n}" for n in chosen.sample(range(30), 9)}
    for n, user in enumerate(sorted(gone)):
        log.add(user, request(user, "erase", f"r{n}"), NOW_MS + 10**9)
    erased = run(tmp_path / "erased", log, crash_after=chosen.randrange(650) if seed % 2 else None)
    never = run(tmp_path / "never", log.without(gone))
    assert_same(erased, never)
    assert {receipt.request_id for receipt in erased.receipts} == {f"r{n}" for n in range(9)}
    erased.close()
    never.close()


def test_it_can_fail(tmp_path: Path) -> None:
    log = random_log(1)
    log.add("user-3", request("user-3", "erase", "r"), NOW_MS + 10**9)
    kept = run(tmp_path / "kept", log, keep_contributions=False)
    never = run(tmp_path / "never", log.without({"user-3"}))
    with pytest.raises(AssertionError):
        assert_same(kept, never)
    assert not kept.receipts[0].exact
    assert b"user-3" not in b" ".join(kept.people())
    kept.close()
    never.close()


@pytest.mark.parametrize("seed", range(4))
def test_erasures_amid_the_events_of_all_and_twice_and_with_new_events_of_the_same_people(
    tmp_path: Path, seed: int
) -> None:
    chosen, log, expected = random.Random(seed), Log(), Log()
    source = random_log(100 + seed)
    since: dict[str, int] = {}
    for n, record in enumerate(source):
        user = record.key.decode()
        log.add(user, record.value, record.timestamp)
        if n % 23 == 11:
            who = f"user-{chosen.randrange(30)}"
            log.add(who, request(who, "erase", f"r{n}"), record.timestamp)
            since[who] = len(log)
    expected = [
        record
        for record in log
        if record.offset >= since.get(record.key.decode(), 0) and b'"request"' not in record.value
    ]
    erased = run(tmp_path / "erased", log, crash_after=chosen.randrange(500), every=37)
    never = run(tmp_path / "never", expected, every=41)
    assert_same(erased, never)
    erased.close()
    never.close()
    assert event  # the writer of the log


def ask(world: World, log: Log, user: str, kind: str, request_id: str = "r", **more) -> None:
    log.add(user, request(user, kind, request_id, **more), NOW_MS + 10**9)
    world.read(log[-1:])
    world.commit()


@pytest.fixture
def shop(tmp_path: Path):
    log = random_log(5)
    world = World(tmp_path / "shop")
    world.read(log)
    world.commit()
    yield world, log
    world.close()


def test_who_is_restricted_keeps_what_is_held_has_no_list_and_is_not_used(shop) -> None:
    world, log = shop
    held, sums = world.people()[b"user-3"], world.statistics().keys()
    ask(world, log, "user-3", "restrict")
    log.add("user-3", event("user-3", "click", "item-1", NOW_MS + 10**9), NOW_MS + 10**9)
    world.read(log[-1:])
    world.commit()
    assert world.people()[b"user-3"] == held
    assert world.statistics().keys() == sums
    assert ("interest.recommendations", b"user-3", None) in world.sent
    world.crash()
    ask(world, log, "user-3", "release", "r2")
    log.add("user-3", event("user-3", "click", "item-1", NOW_MS + 10**9), NOW_MS + 10**9)
    world.read(log[-1:])
    world.commit()
    assert world.people()[b"user-3"] != held


def test_who_objects_is_erased_and_has_no_profile_until_released(shop) -> None:
    world, log = shop
    ask(world, log, "user-3", "object")
    for n in range(3):
        log.add("user-3", event("user-3", "click", f"item-{n}", NOW_MS + 10**9), NOW_MS + 10**9)
    world.read(log[-3:])
    world.commit()
    world.crash()
    assert b"user-3" not in world.people()
    never = run(world.path.parent / "never", log.without({"user-3"}))
    others = {key: value for key, value in world.people().items() if not key.endswith(b"user-3")}
    assert others == never.people()
    never.close()


def test_an_item_that_is_rectified_is_as_if_the_person_had_never_met_it_in_sums_and_state(shop, tmp_path: Path) -> None:
    world, log = shop
    met = [r for r in log if r.key == b"user-3" and b'"item-1"' in r.value]
    assert met
    before = world.statistics()[b"item-1"]
    ask(world, log, "user-3", "rectify", item_id="item-1")
    after = world.statistics()[b"item-1"]
    (receipt,) = world.receipts
    assert receipt.removed["behaviours"] > 0
    assert after["count"] == before["count"] - receipt.removed["engagements"]
    never = run(tmp_path / "without-the-item", [r for r in log if r not in met and b'"request"' not in r.value])
    mine, theirs = world.statistics()[b"item-1"], never.statistics()[b"item-1"]
    for name in ("count", "exposures", "clicks"):
        assert mine[name] == theirs[name]
    never.close()


def test_a_request_must_be_signed_where_keys_are_named(tmp_path: Path) -> None:
    signing = pytest.importorskip("stream.privacy.signing")
    pytest.importorskip("cryptography")
    pair, other = signing.new_key_pair(), signing.new_key_pair()
    world, log = (
        World(tmp_path / "s", request_public_keys=pair.public, receipt_private_key=pair.private),
        random_log(6),
    )
    world.read(log)
    for key, done in ((None, 0), (other.private, 0), (pair.private, 1)):
        asked = new_request("user-3", "erase")
        log.add("user-3", request_bytes(asked, key), NOW_MS + 10**9)
        world.read(log[-1:])
        world.commit()
        assert len(world.receipts) == done
    assert [why.reason for _, why in world.letters] == ["bad_signature"] * 2
    assert signing.is_signed(world.receipts[0], [pair.public])
    world.close()


def test_who_is_unknown_or_erased_twice_gets_a_receipt_of_nothing(shop) -> None:
    world, log = shop
    ask(world, log, "nobody", "erase", "r1")
    ask(world, log, "user-3", "erase", "r2")
    ask(world, log, "user-3", "erase", "r3")
    assert [bool(receipt.removed) for receipt in world.receipts] == [False, True, False]
    assert all(receipt.person != "user-3" for receipt in world.receipts)


def test_a_person_of_another_partition_is_asked_for_there(shop) -> None:
    world, log = shop
    log.add("nobody", request("nobody", "erase", "r1"), NOW_MS)
    world.read([log[-1]._replace(key=None)])
    world.commit()
    assert world.receipts == []
    assert world.sent[-1] == ("interest.events", b"nobody", log[-1].value)


def test_what_a_receipt_cannot_promise_it_says(tmp_path: Path) -> None:
    log = random_log(7)
    world = World(tmp_path / "small", neighbours_max=8)
    world.read(log)
    world.commit()
    ask(world, log, "user-3", "erase")
    (receipt,) = world.receipts
    assert not receipt.exact
    assert receipt.waiting["neighbours_trimmed"]
    assert {held.where for held in receipt.still_held} >= {"interest.events", "backups"}
    world.close()


def test_old_events_that_are_read_again_do_not_bring_anybody_back(shop) -> None:
    world, log = shop
    ask(world, log, "user-3", "erase")
    before = world.people()
    world.users.next_offset = 0
    world.read(log)
    world.commit()
    assert world.people() == before
    assert world.users.standing.n_erased == 1
    world.users.standing.forget_before(10**9)
    assert world.users.standing.n_erased == 0


def reopened(world: World, **given) -> World:
    """The same directory, by a worker with other settings."""
    world.close()
    return World(world.path, **given)


def test_what_was_written_down_is_taken_out_and_deleted_after_it_was_switched_off(tmp_path: Path) -> None:
    log = random_log(3)
    log.add("user-3", request("user-3", "erase", "r"), NOW_MS + 10**9)
    world = World(tmp_path / "off")
    world.read(log[:-1])
    world.commit()
    world = reopened(world, keep_contributions=False)
    world.read(log[-1:])
    world.commit()
    never = run(tmp_path / "never", log.without({"user-3"}))
    assert_same(world, never)
    assert not world.receipts[0].exact
    world.close()
    never.close()


def test_a_receipt_says_that_not_all_was_written_down_where_it_was_off_for_a_time(tmp_path: Path) -> None:
    log = random_log(3)
    world = World(tmp_path / "gap")
    world.read(log[:200])
    world.commit()
    world = reopened(world, keep_contributions=False)
    world.read(log[200:400])
    world.commit()
    world.read(log[400:450])
    world.commit()
    world = reopened(world)
    world.read(log[450:])
    world.commit()
    ask(world, log, "user-3", "erase")
    assert "not_written_down" in world.receipts[-1].waiting
    world.close()


def test_where_it_was_always_off_nothing_is_written_down(tmp_path: Path) -> None:
    world = World(tmp_path / "off", keep_contributions=False)
    assert world.users.contributions is None
    world.close()


def test_nothing_is_left_of_who_expires_if_the_worker_crashes_right_after(shop) -> None:
    world, _ = shop
    world.users.expire(b"user-3")
    world.commit()
    world.crash()
    assert not any(b"user-3" in key for key in world.people())


def test_who_is_erased_again_before_the_first_erasure_is_in_the_store_gets_a_receipt_of_nothing(shop) -> None:
    world, log = shop
    for request_id in ("r1", "r2"):
        log.add("user-3", request("user-3", "erase", request_id), NOW_MS + 10**9)
        world.read(log[-1:])
        if request_id == "r1":
            first = world.tracker.take(world.users)  # its snapshot is taken, and nothing of it written yet
    world.users.store.write(first.values, None)
    world.commit()
    (receipt,) = world.receipts
    assert receipt.exact
    assert receipt.waiting == {}


@pytest.mark.parametrize("rectified", [False, True])
def test_a_long_history_that_comes_at_once_fits_the_changelog_and_can_be_taken_out(
    tmp_path: Path, rectified: bool
) -> None:
    chosen, log = random.Random(1), random_log(9)
    for n in range(3_000):  # in no order of time, so that the items before each are written out
        late_ms = chosen.randrange(5 * 86_400_000)
        more = {"event_id": f"a{n}"}
        log.add("avid", event("avid", "view", f"thing-{n}", NOW_MS + 10**8 - late_ms, **more), NOW_MS + 10**8)
        log.add("avid", event("avid", "impression", f"item-{n % 25}", NOW_MS + 10**8, event_id=f"s{n}"), NOW_MS + 10**8)
    world = World(tmp_path / "avid", neighbours_max=1000)
    world.read(log, 1_000)
    world.commit()
    if rectified:
        ask(world, log, "avid", "rectify", item_id="thing-5")
    assert max(len(value) for value in world.people().values()) < 500_000
    never = run(tmp_path / "never", log.without({"avid"}), neighbours_max=1000)
    ask(world, log, "avid", "erase", "r2")
    assert_same(world, never)
    world.close()
    never.close()


def lists_of(world: World, user: str, trigger: str = "refresh") -> list[object]:
    """What comes of somebody who is queued for a list."""
    world.tracker.queue.add(0, user.encode(), trigger, 0.0)
    batch = world.tracker.queue.next_batch(10)
    assert batch is not None
    made = world.tracker.refresh(0, batch.due, NOW_MS, 0.0)
    return [each for due, each in zip(batch.due, made, strict=True) if due.key == user.encode()]


@pytest.mark.parametrize("kind", ["restrict", "object"])
def test_no_list_is_made_for_who_asked_that_none_is_however_they_came_to_be_queued(shop, kind: str) -> None:
    world, log = shop
    while world.tracker.queue.next_batch(1000) is not None:
        pass
    assert lists_of(world, "user-3") != [None]
    ask(world, log, "user-3", kind)
    assert lists_of(world, "user-3") == [None]  # by a list in the store, or a mark
    world.crash()
    assert lists_of(world, "user-3") == [None]
    assert lists_of(world, "user-4") != [None]


@pytest.mark.parametrize("kind", ["rectify", "release"])
def test_a_request_of_somebody_unknown_makes_no_list(shop, kind: str) -> None:
    world, log = shop
    while world.tracker.queue.next_batch(1000) is not None:
        pass
    log.add("nobody", request("nobody", kind, "r", **({"item_id": "item-1"} if kind == "rectify" else {})), NOW_MS)
    world.read(log[-1:])
    assert world.tracker.queue.next_batch(1000) is None


def test_a_mark_of_a_list_that_is_owed_goes_with_who_is_erased_before_it_was_read(shop) -> None:
    world, log = shop
    world.users.store.write([(OWED_PREFIX + b"user-3", pack_mark(NOW_MS))], None)
    world.crash()  # the new owner reads the request before it reads the marks
    ask(world, log, "user-3", "erase")
    assert not any(b"user-3" in key for key in world.people())


def test_ids_of_too_many_bytes_are_no_ids(shop) -> None:
    world, log = shop
    ask(world, log, "\u00e9" * 65, "restrict")
    ask(world, log, "user-3", "rectify", item_id="\u00e9" * 65)
    assert [why.reason for _, why in world.letters] == ["schema"] * 2
    assert world.receipts == []


def test_more_requests_than_are_carried_out_at_once_leave_the_rest_of_the_chunk_for_later(tmp_path: Path) -> None:
    log = random_log(8, n_users=200)
    for n in range(120):
        log.add(f"user-{n}", request(f"user-{n}", "erase", f"r{n}"), NOW_MS + 10**9)
        log.add(f"user-{n}", event(f"user-{n}", "click", "item-1", NOW_MS + 10**9), NOW_MS + 10**9)
    world = World(tmp_path / "many")
    left = world.chunks._apply(world.users, Chunk(list(log), len(log), 0))
    assert left is not None
    assert left.start_offset == world.users.next_offset == left.records[0].offset
    assert len(left.records) == 2 * 70
    world.commit()
    world.read(left.records, 1000)
    world.commit()
    never = run(
        tmp_path / "never",
        [r for r in log if int(r.key.decode()[5:]) >= 120 or (r.offset >= 600 and r.value.find(b"request") < 0)],
    )
    assert_same(world, never)
    world.close()
    never.close()


def test_a_correction_that_is_read_again_does_not_mean_what_came_after_it(shop) -> None:
    world, log = shop
    ask(world, log, "user-3", "rectify", item_id="item-1")
    again = log[-1]
    log.add("user-3", event("user-3", "click", "item-1", NOW_MS + 2 * 10**9), NOW_MS + 2 * 10**9)
    world.read(log[-1:])
    world.commit()
    before = world.people(), world.statistics()[b"item-1"]["count"]
    world.read([again])
    world.commit()
    assert (world.people(), world.statistics()[b"item-1"]["count"]) == before


def test_what_somebody_added_and_cannot_be_read_goes_with_them_and_the_receipt_says_so(shop) -> None:
    world, log = shop
    closed = closed_key(b"user-3", 0)
    world.users.store.write([(OPEN_PREFIX + b"user-3", b"no record"), (closed, b"neither")], None)
    world.crash()
    ask(world, log, "user-3", "erase")
    (receipt,) = world.receipts
    assert not receipt.exact
    assert "not_written_down" in receipt.waiting
    assert [key for key, _ in world.users.store.items() if b"user-3" in key] == []


def test_who_is_unknown_leaves_no_mark_however_many_ask(shop) -> None:
    world, log = shop
    for n in range(3):
        ask(world, log, f"nobody-{n}", "erase", f"r{n}")
    assert world.users.standing.n_erased == 0
    assert len(world.receipts) == 3
