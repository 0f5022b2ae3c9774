"""How a worker ends before it has begun."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import StuckError
from stream.worker import lifecycle
from stream.worker.lifecycle import Lifecycle


async def test_a_preparation_that_loses_a_cancellation_is_cancelled_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(lifecycle, "CANCEL_AGAIN_S", 0.01)
    engine: Any = SimpleNamespace()
    worker, lost = Lifecycle(engine, 1.0, lambda: None), 0

    async def preparing() -> None:
        nonlocal lost
        worker.stop()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost += 1
        await asyncio.Event().wait()

    assert not await asyncio.wait_for(worker.unless_stopped(preparing()), 30)
    assert lost == 1


async def test_a_stop_that_takes_too_long_is_a_failure_told_before_the_stores_are_closed() -> None:
    order: list[str] = []

    async def committing() -> None:
        await asyncio.Event().wait()

    async def close() -> None:
        order.append("closed")

    engine: Any = SimpleNamespace(stop=committing)
    worker = Lifecycle(engine, 0.01, lambda: order.append("abandoned"))
    await asyncio.wait_for(worker.shut_down(close), 30)
    assert order == ["abandoned", "closed"]
    with pytest.raises(StuckError, match="did not stop within"):
        worker.raise_failure("group", lambda: "nobody")


@pytest.mark.parametrize("failed", [False, True])
async def test_what_comes_before_leaving_is_left_out_where_something_has_failed(failed: bool) -> None:
    order: list[str] = []

    def step(name: str) -> Any:
        async def run() -> None:
            order.append(name)

        return run

    engine: Any = SimpleNamespace(stop=step("left"))
    worker = Lifecycle(engine, 30.0, lambda: None)
    if failed:
        await worker.fatal(StuckError("it is stuck"))
    await worker.shut_down(step("closed"), step("usual commits ended"))
    assert order == [*([] if failed else ["usual commits ended"]), "left", "closed"]
