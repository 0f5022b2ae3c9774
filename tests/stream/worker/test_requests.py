"""stream/worker/requests.py: after an erasure everything is as if the person had never been there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from erasure_world import Log, World, assert_same, event, random_log, request
from kafka_records import NOW_MS


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
