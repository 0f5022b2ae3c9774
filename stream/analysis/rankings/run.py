"""Contenders in processes: each writes what became of its questions to the work directory, and is not run again.

A finished contender is a file named by everything that could change it: the data, the options, the settings, the contender and
Penchant's own source. So an interrupted evaluation goes on where it was, and a changed program starts anew.
"""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, NamedTuple
from zipfile import BadZipFile

import numpy as np

import models
import stream
from models.evaluation.contract import Known, Setup, Stream, UnavailableError
from models.evaluation.protocol import Answers, run_reranked
from models.evaluation.questions import Questions
from models.evaluation.report import Result
from models.evaluation.verdict import MODEL
from stream.analysis.rankings.contenders import factory
from stream.errors import InvariantError
from stream.settings import Settings

OnStep = Callable[[str, int, int], None]
"""Called with a contender's name, events done and events in all."""

_POLL_S: Final = 0.5


class Task(NamedTuple):
    """What every contender of an evaluation gets."""

    stream: Stream
    known: Known
    asked: Questions
    end: int
    seed: int
    settings: Settings
    work_dir: Path
    fingerprint: str
    """Of data, options and settings; see `fingerprint`."""
    reach: tuple[float, ...] = ()
    """Amounts of popularity, above 0, that are taken off Penchant's scores beside its own pass."""

    def amounts(self, name: str) -> tuple[float, ...]:
        """Of this contender: 0 first, which is the contender as it is."""
        return (0.0, *self.reach) if name == MODEL else (0.0,)


class Skipped(NamedTuple):
    """A contender that did not take part, and why."""

    why: str


def fingerprint(**parts: Any) -> str:
    """Of anything JSON can say (other values by their text), and of Penchant's source."""
    digest = sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for package in (models, stream):
        root = Path(package.__path__[0])
        for path in sorted((*root.rglob("*.py"), *root.rglob("*.json"))):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def judge(names: tuple[str, ...], task: Task, jobs: int, on_step: OnStep) -> dict[str, Result | Skipped]:
    """Every contender's result, in the order of `names`.

    Args:
        names: of `stream.analysis.rankings.contenders`.
        task: the same for all.
        jobs: how many contenders run at a time; with 1 in this process.
        on_step: of every contender; a finished one has one call with equal numbers.

    Raises:
        InvariantError: a contender failed; what the others have finished is kept.
    """
    found: dict[str, Result | Skipped] = {}
    for name in names:
        result = load_result(_path(name, task), task.asked.at.size)
        if result is not None:
            found[name] = result
            on_step(name, 1, 1)
    left = [name for name in names if name not in found]
    if jobs == 1 or len(left) < 2:
        for name in left:
            found[name] = _judge_one(name, task, partial(on_step, name))
    else:
        found |= _in_processes(left, task, jobs, on_step)
    return {name: found[name] for name in names}


def _judge_one(name: str, task: Task, on_step: Callable[[int, int], None]) -> Result | Skipped:
    started_s = time.perf_counter()
    try:
        contender = factory(name, task.settings)(Setup(task.seed))
        amounts = task.amounts(name)
        first, *others = run_reranked(
            contender, task.stream, task.known, task.asked, task.end, amounts, on_step=on_step
        )
    except UnavailableError as reason:
        return Skipped(str(reason))
    reranked = dict(zip(amounts[1:], others, strict=True))
    result = Result(first, dict(getattr(contender, "chosen", {})), time.perf_counter() - started_s, reranked)
    save_result(result, _path(name, task))
    return result


# --- processes


class _Running(NamedTuple):
    name: str
    process: BaseProcess
    said: Connection


def _in_processes(names: list[str], task: Task, jobs: int, on_step: OnStep) -> dict[str, Result | Skipped]:
    found: dict[str, Result | Skipped] = {}
    waiting, running = list(names), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(0), task))
            wait([each.said for each in running], timeout=_POLL_S)
            for each in list(running):
                outcome = _listen(each, on_step, task)
                if outcome is not None:
                    each.process.join()
                    running.remove(each)
                    found[each.name] = outcome
    finally:
        for each in running:
            each.process.terminate()
            each.process.join()
    return found


def _start(name: str, task: Task) -> _Running:
    context = get_context("spawn")  # a fork would copy locks that encoder and BLAS threads hold
    listener, speaker = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, task, speaker), name=f"evaluate {name}")
    process.start()
    speaker.close()
    return _Running(name, process, listener)


def _work(name: str, task: Task, speaker: Connection) -> None:
    """In its own process: says ("step", done, total) now and then, and last how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends us
    try:
        result = _judge_one(name, task, lambda done, total: speaker.send(("step", done, total)))
    except Exception:  # noqa: BLE001  (this is the process's edge: the parent raises it)
        speaker.send(("failed", traceback.format_exc()))
    else:
        speaker.send(("skipped", result.why) if isinstance(result, Skipped) else ("finished",))


def _listen(running: _Running, on_step: OnStep, task: Task) -> Result | Skipped | None:
    """The outcome, if there is one by now."""
    try:
        while running.said.poll():
            kind, *rest = running.said.recv()
            if kind == "step":
                on_step(running.name, *rest)
            elif kind == "skipped":
                return Skipped(*rest)
            elif kind == "failed":
                raise InvariantError(f"{running.name} failed: {rest[0]}")
            else:
                result = load_result(_path(running.name, task), task.asked.at.size)
                assert result is not None, "it has just been written"
                return result
    except EOFError:
        running.process.join()
        raise InvariantError(
            f"{running.name} ended with code {running.process.exitcode} (out of memory?); fewer --jobs need less"
        ) from None
    return None


# --- files


def _path(name: str, task: Task) -> Path:
    mark = " ".join((task.fingerprint, name, *map(repr, task.amounts(name)[1:])))
    return task.work_dir / f"{name}-{sha256(mark.encode()).hexdigest()[:32]}.npz"


def save_result(result: Result, path: Path) -> None:
    """Whole or not at all."""
    every = (result.answers, *result.reranked.values())
    columns: Mapping[str, Any] = {
        f"{number}.{column}": getattr(each, column) for number, each in enumerate(every) for column in _COLUMNS
    }
    told = {
        "chosen": result.chosen,
        "seconds": result.seconds,
        "own_lists": [each.own_lists for each in every],
        "reranked": list(result.reranked),
    }
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, told=np.array(json.dumps(told)), **columns)
    os.replace(part, path)


def load_result(path: Path, questions: int) -> Result | None:
    """What `save_result` wrote; None if there is no such file or it is not whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            told = json.loads(str(stored["told"]))
            answers, *others = (
                Answers(**{column: stored[f"{number}.{column}"] for column in _COLUMNS}, own_lists=own_lists)
                for number, own_lists in enumerate(told["own_lists"])
            )
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None
    reranked = dict(zip(told["reranked"], others, strict=True))
    return Result(answers, told["chosen"], told["seconds"], reranked) if answers.rank.size == questions else None


_COLUMNS: Final = tuple(name for name in Answers._fields if name != "own_lists")
