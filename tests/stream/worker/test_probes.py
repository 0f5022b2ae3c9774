"""What a worker answers when it is asked whether it lives and whether it is ready."""

from __future__ import annotations

import asyncio
import time

import pytest

from stream.worker import probes
from stream.worker.probes import ProbeLimits, Probes
from stream.worker.watchdog import Vitals

LIMITS = ProbeLimits(quarantined_share=0.05, lag_records=1000, commit_age_s=60.0)
NOW_S = 500.0


def made(
    vitals: Vitals,
    *,
    stuck: bool = False,
    stopping: bool = False,
    read: bool = True,
    bad: float = 0.0,
    limits: ProbeLimits = LIMITS,
) -> Probes:
    return Probes(vitals, lambda: stuck, lambda: stopping, lambda: read, lambda: bad, limits, lambda: NOW_S)


def serving() -> Vitals:
    return Vitals(serving=True, rebalancing=False, commits=NOW_S - 1)


def behind(lag_records: int) -> Vitals:
    return Vitals(serving=True, rebalancing=False, lag_records=lag_records)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (made(serving()), None),
        (made(Vitals()), "joining its group, or starting"),
        (made(Vitals(serving=True, rebalancing=True)), "joining its group again"),
        (made(Vitals(serving=True, rebalancing=False, recovering=True)), "recovering the state of its partitions"),
        (made(Vitals(rebalancing=False)), "recovering the state of its partitions"),
        (made(serving(), read=False), "reading the catalogue and the statistics"),
        (made(serving(), stopping=True), "stopping"),
        (made(serving(), bad=0.05), None),
        (made(serving(), bad=0.07), "7% of the users of the last lists are quarantined"),
        (made(behind(1000)), None),
        (made(behind(1001)), "1001 records behind, more than ready_max_lag_records (1000)"),
        (made(behind(1001), limits=LIMITS._replace(lag_records=0)), None),
    ],
)
def test_a_worker_is_ready_when_it_reads_events_and_makes_lists(asked: Probes, why: str | None) -> None:
    assert why == asked.why_not_ready()


async def test_a_worker_lives_while_its_event_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LOOP_WAIT_S", 0.05)
    asked = made(Vitals())
    assert asked.why_not_alive() is None, "nothing runs yet"
    asked.began()
    assert await asyncio.to_thread(asked.why_not_alive) is None
    stuck = asyncio.get_running_loop().run_in_executor(None, asked.why_not_alive)
    time.sleep(0.3)  # noqa: ASYNC251  (the loop does not turn: that is the point)
    assert await stuck == "the event loop has not turned for 0.05 s"


def test_a_worker_whose_loop_has_ended_or_whose_watchdog_has_barked_does_not_live() -> None:
    asked = made(serving())

    async def begin() -> None:
        asked.began()

    asyncio.run(begin())
    assert asked.why_not_alive() == "the event loop has ended"
    assert made(serving(), stuck=True).why_not_alive() == "stuck: the watchdog is ending it"


def test_a_worker_has_started_once_it_has_recovered_and_what_comes_later_changes_nothing() -> None:
    vitals = Vitals()
    asked = made(vitals)
    assert asked.why_not_started() == "joining its group, or starting"
    vitals.rebalancing = False
    assert asked.why_not_started() == "recovering the state of its partitions"
    vitals.serving = True
    assert asked.why_not_started() is None
    vitals.rebalancing = True
    assert asked.why_not_started() is None
    assert asked.why_not_ready() == "joining its group again"


@pytest.mark.parametrize(
    ("vitals", "why"),
    [
        (Vitals(serving=True, commits=NOW_S - 60), None),
        (Vitals(serving=True, commits=NOW_S - 61), "no commit was completed for 61 s"),
        (Vitals(serving=True, commits=NOW_S - 300, serving_since_s=NOW_S - 2), None),
        (Vitals(serving=False, commits=NOW_S - 300), None),
    ],
)
def test_a_worker_lives_while_commits_advance(vitals: Vitals, why: str | None) -> None:
    assert made(vitals).why_not_alive() == why
    assert made(vitals, limits=LIMITS._replace(commit_age_s=0)).why_not_alive() is None
