"""What a worker answers when it is asked whether it lives and whether it is ready."""

from __future__ import annotations

import asyncio
import time

import pytest

from stream.worker import probes
from stream.worker.probes import Probes
from stream.worker.watchdog import Vitals


def made(vitals: Vitals, *, stuck: bool = False, stopping: bool = False, read: bool = True, bad: float = 0.0) -> Probes:
    return Probes(vitals, lambda: stuck, lambda: stopping, lambda: read, lambda: bad, 0.05)


def serving() -> Vitals:
    return Vitals(serving=True, rebalancing=False)


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
