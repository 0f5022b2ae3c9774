"""How a worker ends before it has begun."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

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
