"""Log lines that repeat: bounded, counted."""

from __future__ import annotations

import logging

from stream.worker.log import INTERVAL_S, KEPT_MAX, RepeatFilter


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
