"""The watchdog: what counts as stuck, what does not, and that a stuck process ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from worker_process import Topics

from stream.errors import SettingsError, StuckError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.kafka.types import TopicPartition
from stream.settings import load_settings
from stream.worker.watchdog import TURN_MAX_S, Limits, Position, Vitals, Watch, Watchdog

LIMITS = Limits(commit_age_s=60, stall_s=30, rebalance_timeout_s=20)
ZERO, ONE = TopicPartition("events", 0), TopicPartition("events", 1)
SERVING = Vitals(serving=True, rebalancing=False)
TIMEOUT_S = 60.0


class Clock:
    """Drives a `Watch` second by second; what is alive changes each second."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.watch = Watch(limits)
        self.seconds = 0

    def run(self, seconds: int, vitals: Vitals, *alive: str) -> str | None:
        """The first verdict within `seconds`; the fields in `alive` count on."""
        for _ in range(seconds):
            self.seconds += 1
            why = self.watch.observe(1.0, replace(vitals, **dict.fromkeys(alive, self.seconds)))
            if why is not None:
                return why
        return None


def test_an_idle_worker_is_not_stuck() -> None:
    vitals = replace(SERVING, positions={ZERO: Position(7, 0)})
    assert Clock().run(10_000, vitals, "beats", "commits") is None


def test_a_worker_that_commits_nothing_is_stuck() -> None:
    clock = Clock()
    assert clock.run(60, SERVING, "beats") is None
    assert clock.run(2, SERVING, "beats") == "no commit was completed for 60 s"


def test_no_commit_is_expected_before_the_first_recovery_has_ended() -> None:
    recovering = Vitals(recovering=True, rebalancing=False)
    clock = Clock()
    assert clock.run(10_000, recovering, "beats", "recovered_chunks") is None
    assert clock.run(59, SERVING, "beats") is None, "the time before counts as well"


def test_a_loop_that_does_not_turn_is_stuck() -> None:
    why = Clock().run(32, SERVING, "commits")
    assert why == "the event loop has not turned for 30 s"


def test_a_partition_that_is_behind_and_does_not_move_is_stuck_whatever_the_others_do() -> None:
    clock = Clock()
    for second in range(200):
        positions = {ZERO: Position(second, 5), ONE: Position(40, 3)}
        why = clock.run(1, replace(SERVING, positions=positions), "beats", "commits")
        if why is not None:
            break
    assert why == "events partition 1 is 3 records behind and none was applied for 30 s"


def test_back_pressure_that_lets_a_chunk_through_now_and_then_is_progress() -> None:
    clock = Clock()
    for chunk in range(50):
        vitals = replace(SERVING, positions={ZERO: Position(chunk, 10_000)})
        assert clock.run(29, vitals, "beats", "commits") is None


def test_a_recovery_that_makes_progress_is_left_alone_and_one_that_does_not_is_stuck() -> None:
    recovering = replace(SERVING, recovering=True, positions={ZERO: Position(7, 100)})
    clock = Clock()
    assert clock.run(1000, recovering, "beats", "commits", "recovered_chunks") is None
    why = clock.run(32, replace(recovering, recovered_chunks=1000), "beats", "commits")
    assert why == "the recovery of local state has made no progress for 30 s"


def test_after_a_recovery_partitions_have_all_the_time_again() -> None:
    recovering = replace(SERVING, recovering=True, positions={ZERO: Position(7, 100)})
    clock = Clock()
    assert clock.run(1000, recovering, "beats", "commits", "recovered_chunks") is None
    assert clock.run(29, replace(recovering, recovering=False), "beats", "commits") is None


def test_a_rebalance_has_its_own_timeout_on_top() -> None:
    rebalancing = replace(SERVING, rebalancing=True, rebalances=1, positions={ZERO: Position(7, 100)})
    clock = Clock()
    assert clock.run(50, rebalancing, "beats", "commits") is None
    why = clock.run(2, rebalancing, "beats", "commits")
    assert why is not None
    assert "no partitions were assigned" in why
    assert Clock().run(1000, rebalancing, "beats", "commits", "rebalances") is None, "each begins anew"


def test_a_suspended_machine_comes_back_without_being_taken_for_stuck() -> None:
    clock = Clock()
    vitals = replace(SERVING, positions={ZERO: Position(7, 100)})
    assert clock.run(5, vitals, "beats", "commits") is None
    assert clock.watch.observe(100_000.0, replace(vitals, beats=5, commits=5)) is None
    assert clock.run(20, vitals, "beats", "commits") is None, f"it counts for more than {TURN_MAX_S} s"


def test_the_limits_can_be_switched_off() -> None:
    vitals = replace(SERVING, positions={ZERO: Position(7, 100)})
    assert Clock(Limits(0, 0, 20)).run(10_000, vitals) is None


def test_the_limits_must_leave_room_for_the_deadlines_inside() -> None:
    with pytest.raises(SettingsError, match="watchdog_stall_s must be more than delivery_timeout_s"):
        load_settings(watchdog_stall_s=20, delivery_timeout_s=20)
    assert load_settings(watchdog_stall_s=0).watchdog_stall_s == 0


async def test_it_ends_the_process_when_even_the_orderly_end_hangs() -> None:
    said: list[BaseException] = []
    ended, code = threading.Event(), []

    async def stop(error: BaseException) -> None:
        said.append(error)

    def exit_(status: int) -> None:
        code.append(status)
        ended.set()

    vitals = replace(SERVING)
    limits = Limits(commit_age_s=0.05, stall_s=0, rebalance_timeout_s=1)
    dog = Watchdog(limits, vitals, lambda: None, stop, grace_s=0.05, exit_=exit_, turn_s=0.01)
    dog.start()
    assert await asyncio.to_thread(ended.wait, TIMEOUT_S)
    dog.close()
    assert code == [1]
    assert isinstance(said[0], StuckError)


async def test_a_blocked_loop_is_noticed_from_outside() -> None:
    ended = threading.Event()

    async def stop(error: BaseException) -> None:
        raise AssertionError("the loop is blocked")

    limits = Limits(commit_age_s=0, stall_s=0.05, rebalance_timeout_s=1)
    dog = Watchdog(
        limits, replace(SERVING), lambda: None, stop, grace_s=0.01, exit_=lambda status: ended.set(), turn_s=0.01
    )
    dog.start()
    assert ended.wait(TIMEOUT_S)  # not awaited: nothing else runs on the loop
    dog.close()


WORKER = """
import asyncio, sys, time
from stream.worker import chunks, commit, vitals
{injected}
from stream.cli.main import main
sys.argv = ["penchant", "worker"]
main()
"""

HUNG_COMMIT = """
commit_offsets = commit.Committer._commit_offsets
async def hang(self, changes):
    if changes:
        await asyncio.get_running_loop().create_future()
    await commit_offsets(self, changes)
commit.Committer._commit_offsets = hang
"""

BLOCKED_LOOP = """
sample = vitals.VitalSigns.sample
def block(self):
    sample(self)
    if self.vitals.serving:
        time.sleep(10**6)
vitals.VitalSigns.sample = block
"""

HUNG_AGENT = """
async def hang(self, tp, chunk, generation):
    await asyncio.get_running_loop().create_future()
chunks.ChunkHandler.handle_events = hang
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("injected", "limit", "reason"),
    [
        (HUNG_COMMIT, "COMMIT_AGE", "no commit was completed for"),
        (BLOCKED_LOOP, "STALL", "the event loop has not turned for"),
        (HUNG_AGENT, "STALL", "records behind and none was applied for"),
    ],
    ids=["hung commit", "blocked loop", "hung agent"],
)
def test_a_stuck_worker_exits_with_code_1_and_says_why(
    embedded: Any, tmp_path: Path, injected: str, limit: str, reason: str
) -> None:
    topics = Topics("127.0.0.1:1", "watchdog")
    broker: EmbeddedBroker = embedded({spec.name: 2 for spec in topic_specs(topics.settings)})
    topics = Topics(broker.bootstrap_servers, "watchdog")
    topics.produce(topics.settings.topic_events, [(b"u", b'{"user_id":"u","item_id":"i","action":"view"}')])
    environment = {f"PENCHANT_{name.upper()}": str(value) for name, value in
                   {name: getattr(topics.settings, name) for name in topics.settings.model_fields_set}.items()}  # fmt: skip
    environment |= {
        "PENCHANT_DATA_DIR": str(tmp_path / "data"),
        "PENCHANT_DELIVERY_TIMEOUT_S": "2",
        "PENCHANT_WATCHDOG_COMMIT_AGE_S": "0",
        "PENCHANT_WATCHDOG_STALL_S": "0",
        f"PENCHANT_WATCHDOG_{limit}_S": "4",
        "PENCHANT_SHUTDOWN_TIMEOUT_S": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", WORKER.format(injected=injected)],
        env=environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-4000:]
    lines = [line for line in done.stderr.splitlines() if "stuck: " in line]
    assert len(lines) == 1, done.stderr[-4000:]
    assert reason in lines[0], done.stderr[-4000:]
