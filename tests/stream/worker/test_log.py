"""Log lines that repeat: bounded, counted."""

from __future__ import annotations

import ast
import datetime as dt
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from places import ROOT

from stream.worker.log import INTERVAL_S, KEPT_MAX, LINES_MAX, RepeatFilter, json_formatter


def line(name: str = "aiokafka", lineno: int = 1, message: str = "no node %d", argument: int = 1) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "conn.py", lineno, message, (argument,), None)


def test_a_line_comes_once_in_a_while_and_then_says_how_many_were_left_out() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])
    assert [repeats.filter(line(argument=i)) for i in range(100)] == [True] + [False] * 99
    now[0] = INTERVAL_S
    again = line(argument=7)
    assert repeats.filter(again)
    assert again.getMessage() == "no node 7 (and 99 like it before)"


def test_other_lines_pass_and_of_our_own_those_that_say_something_else() -> None:
    repeats = RepeatFilter(lambda: 0.0)
    assert all(repeats.filter(line(lineno=n)) for n in range(10))
    assert all(repeats.filter(line("stream.worker.app", argument=n)) for n in range(10))
    assert not repeats.filter(line("stream.worker.app", argument=3))


def test_memory_is_bounded() -> None:
    repeats = RepeatFilter(lambda: 0.0)
    for n in range(2 * KEPT_MAX):
        repeats.filter(line(lineno=n))
    assert len(repeats._seen) == KEPT_MAX


def test_a_place_has_no_more_than_so_many_lines_in_a_while_however_they_differ() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])
    assert sum(repeats.filter(line("stream.refresh.quarantine", argument=n)) for n in range(1000)) == LINES_MAX
    assert repeats.filter(line("stream.refresh.quarantine", lineno=2)), "another place has lines of its own"
    now[0] = INTERVAL_S
    again = line("stream.refresh.quarantine", argument=2000)
    assert repeats.filter(again)
    assert again.getMessage() == f"no node 2000 (and {1000 - LINES_MAX} of other wording)"


def test_a_line_of_json_says_what_to_do_apart_and_which_process_it_is() -> None:
    record = line("stream.worker.gauges", message="only %d GiB are free. Fix: make room")
    assert RepeatFilter().filter(record)
    said = json.loads(json_formatter({"process": "worker"}).format(record))
    assert dt.datetime.fromisoformat(said.pop("timestamp")).tzinfo is not None
    assert said == {
        "event": "only 1 GiB are free.",
        "fix": "make room",
        "level": "error",
        "logger": "stream.worker.gauges",
        "process": "worker",
    }


def test_a_line_of_json_says_how_many_were_left_out() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])
    assert [repeats.filter(line()) for _ in range(5)] == [True] + [False] * 4
    now[0] = INTERVAL_S
    again = line()
    assert repeats.filter(again)
    assert json.loads(json_formatter({}).format(again))["left_out"] == 4


def test_a_traceback_in_json_is_one_line_and_shows_no_values() -> None:
    password = "hunter2"
    try:
        raise ValueError(f"refused after {len(password)} characters")
    except ValueError:
        record = logging.LogRecord("stream.x", logging.ERROR, "x.py", 1, "a bug", (), sys.exc_info())
    text = json_formatter({}).format(record)
    assert "\n" not in text
    assert json.loads(text)["exception"][0]["exc_value"] == "refused after 7 characters"
    assert "hunter2" not in text


OF_OTHERS = {
    ("awaited_texts.py", "lists are made without text until the encoder answers: %s"),
    ("lifecycle.py", "stopping: %s: "),
    ("vitals.py", "%s"),
}
"""Lines whose argument is an error of ours or a sentence that says what to do."""


def test_every_line_that_warns_says_what_to_do() -> None:
    silent = {
        (path.name, words)
        for top in ("stream", "models")
        for path in (ROOT / top).rglob("*.py")
        for words in warnings_of(path)
        if "Fix: " not in words and "othing to do" not in words
    }
    assert silent == OF_OTHERS


def warnings_of(path: Path) -> Iterator[str]:
    """The texts in each call of `logger.warning` and above."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        of = call.func.value
        if isinstance(of, ast.Name) and of.id == "logger" and call.func.attr in {"warning", "error", "exception"}:
            yield "".join(c.value for c in ast.walk(call) if isinstance(c, ast.Constant) and isinstance(c.value, str))
