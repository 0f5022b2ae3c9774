"""Compiling before the start: what is compiled, what is told, and that it ends when it is to end."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from models.compiled import CompilingStopped, compiled
from stream.worker.compiling import Compiling, Stage, compile_stages


def test_each_stage_is_told_as_it_begins_with_the_time_so_far(caplog: pytest.LogCaptureFixture):
    at = iter((0.0, 1.0, 5.0, 9.0))
    done: list[str] = []
    stages = [Stage("states", lambda: done.append("states")), Stage("lists", lambda: done.append("lists"))]

    with caplog.at_level(logging.INFO):
        compile_stages(stages, lambda: False, lambda: next(at))

    assert done == ["states", "lists"]
    assert caplog.messages == [
        "compiling 1 of 2: states (1 s so far)",
        "compiling 2 of 2: lists (5 s so far)",
        "compiled in 9.0 s",
    ]


@compiled
def never_compiled(values):
    return values.sum()


def test_a_compiler_that_is_asked_to_stop_stops_between_two_passes():
    asked = iter((False, False))

    def compile_() -> None:
        never_compiled._cache.disable()  # type: ignore[attr-defined]
        never_compiled(np.ones(3))

    with pytest.raises(CompilingStopped):
        compile_stages([Stage("all", compile_)], lambda: next(asked, True))

    assert never_compiled.signatures == []  # type: ignore[attr-defined]


async def test_what_a_stage_raises_is_raised_where_it_is_awaited():
    def fail() -> None:
        raise ValueError("no")

    compiling = Compiling([Stage("all", fail)])
    compiling.start()

    with pytest.raises(ValueError, match="no"):
        await asyncio.wait_for(compiling.finished(), 10)


async def test_stopping_keeps_the_stages_that_have_not_begun_from_beginning():
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(10)

    @compiled
    def other(values):
        return values.min()

    compiling = Compiling([Stage("one", wait), Stage("two", lambda: other(np.ones(1)))])
    compiling.start()
    assert await asyncio.to_thread(begun.wait, 10)
    stopping = asyncio.ensure_future(compiling.stop())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(stopping, 10)

    with pytest.raises(CompilingStopped):
        await asyncio.wait_for(compiling.finished(), 10)


EVERYTHING = """
import sys, tempfile
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from numba.core.registry import CPUDispatcher
from models.items.vectors import ItemVectors
from tracker_harness import lists_of, opened, shop_with_history

def signatures():
    modules = [each for name, each in sys.modules.items() if name.startswith(("models.", "stream."))]
    found = {id(f): f for module in modules for f in vars(module).values() if isinstance(f, CPUDispatcher)}
    return {(f.py_func.__qualname__, str(signature)) for f in found.values() for signature in f.signatures}

def give_vectors(knowledge):
    vectors, size = ItemVectors("model", 3), knowledge.catalog.size
    vectors.put(np.arange(size, dtype=np.int32), np.eye(3, dtype=np.float32)[np.arange(size) % 3])
    queries = SimpleNamespace(model_version="model", get=lambda _: {})
    knowledge.texts = SimpleNamespace(items=vectors, queries=queries, changed=lambda _: None)

texts = sys.argv[1] == "texts"
with tempfile.TemporaryDirectory() as path, opened(Path(path)) as harness:
    for stage in harness.tracker.stages(texts=texts):
        stage.compile_()
    before = signatures()
    shop_with_history(harness)
    if texts:
        give_vectors(harness.tracker.knowledge)
    assert lists_of(harness, "ann")
    print(sorted(name for name, _ in signatures() - before))
"""


@pytest.mark.parametrize("texts", ["texts", "no texts"])
def test_after_the_stages_nothing_is_left_to_compile_for_events_lists_and_reasons(texts: str):
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING, texts],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
