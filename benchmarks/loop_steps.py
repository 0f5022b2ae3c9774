"""`penchant worker`, whose event loop's steps are timed: what stands still for how long while one of them runs.

    PENCHANT_.. python -m benchmarks.loop_steps OUT

A step is whatever the loop runs without looking at anything else: a callback, or a coroutine up to its next await. OUT gets a
line of JSON for each that took longer than `NOTED_MS`, and marks at the beginning and the end of the reading of catalogue,
statistics and models. `cpu_ms` is the loop's thread alone; the rest of `wall_ms` it waited, for Python's lock or a core.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

READ_BEGINS, READ_ENDS = "read begins", "read ends"
NOTED_MS = 5.0


class Step(msgspec.Struct, frozen=True):
    """One line of OUT; `at` is monotonic, s, when it ended: clocks of two processes on one machine agree."""

    at: float
    what: str
    wall_ms: float = 0.0
    cpu_ms: float = 0.0


def main() -> None:
    """The process."""
    out = Path(sys.argv[1]).open("a", encoding="utf-8")  # noqa: SIM115  (as long as the process lives)
    _time_steps(out)
    _mark_reading(out)
    sys.argv = ["penchant", "worker"]
    from stream.cli.main import main as penchant  # noqa: PLC0415  (after the loop is prepared)

    penchant()


def read_steps(out: Path, since: float = 0.0) -> list[Step]:
    """Of a process that may still run, from this moment on; a line that is only half there is left out."""
    if not out.exists():
        return []
    lines = out.read_bytes().split(b"\n")[:-1]
    steps = [msgspec.json.decode(line, type=Step) for line in lines]
    return [step for step in steps if step.at >= since]


def moment(steps: Sequence[Step], what: str) -> float | None:
    """When a mark was made last; None: not yet."""
    return max((step.at for step in steps if step.what == what), default=None)


def longest(steps: Sequence[Step], since: float, until: float) -> list[Step]:
    """Those that ended in a time, the one that used the processor longest first; without marks."""
    inside = [step for step in steps if since <= step.at <= until and step.wall_ms]
    return sorted(inside, key=lambda step: -step.cpu_ms)


def _write(out: TextIO, step: Step) -> None:
    out.write(msgspec.json.encode(step).decode() + "\n")
    out.flush()


def _time_steps(out: TextIO) -> None:
    run: Callable[[Any], None] = asyncio.events.Handle._run

    def timed(handle: Any) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        run(handle)
        wall_ms = 1000 * (time.perf_counter() - wall)
        # Faust reads in a thread of its own, which has another loop.
        if wall_ms > NOTED_MS and threading.current_thread() is threading.main_thread():
            cpu_ms = 1000 * (time.thread_time() - cpu)
            _write(out, Step(time.monotonic(), _name(handle), wall_ms, cpu_ms))

    asyncio.events.Handle._run = timed  # type: ignore[assignment, method-assign]


def _name(handle: Any) -> str:
    callback = getattr(handle, "_callback", None)  # None by the time that a handle was cancelled
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return " > ".join(_awaiting(task.get_coro()))
    return str(getattr(callback, "__qualname__", callback))[:100]


def _awaiting(coroutine: Any) -> Iterator[str]:
    """What waits for what, from the outermost on, where the step ended."""
    while (name := getattr(coroutine, "__qualname__", None)) is not None:
        yield str(name)
        coroutine = getattr(coroutine, "cr_await", None)


def _mark_reading(out: TextIO) -> None:
    from stream.worker import app  # noqa: PLC0415  (it takes a second: the process is timed from its start)

    read_whole: Callable[..., Awaitable[None]] = vars(app)["read_whole"]

    async def marked(*arguments: Any) -> None:
        _write(out, Step(time.monotonic(), READ_BEGINS))
        await read_whole(*arguments)
        _write(out, Step(time.monotonic(), READ_ENDS))

    vars(app)["read_whole"] = marked


if __name__ == "__main__":
    main()
