"""How fast the demo's time runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stream.demo.pace import (
    BEHIND_MAX_RECORDS,
    BEHIND_RECORDS,
    FRESH_S,
    LATE_S,
    LIST_AGE_S,
    READING_S,
    TOLD_AFTER_S,
    TURN_MAX_S,
    Pace,
    list_age_s,
)
from stream.demo.steps import STILL_S, Steps

SECOND_MS = 1_000


@pytest.fixture
def pace() -> Pace:
    """A hundred seconds of a shop, ten of them in a second at full speed, at which it has been running."""
    made = Pace(0, 100 * SECOND_MS, replay_s=10.0, share=1.0)
    made.look(0.0, 0.0, 0.0)
    return made


def passes(pace: Pace, seconds: float, waiting_s: float = 0.0, behind: float = 0.0, since: float = 0.0) -> None:
    turns = round(seconds / 0.1)
    for turn in range(1, turns + 1):
        pace.look(since + turn * seconds / turns, waiting_s, behind)


def test_where_nobody_waits_long_time_runs_at_full_speed(pace: Pace):
    passes(pace, 2.0, waiting_s=FRESH_S, behind=BEHIND_RECORDS)

    assert pace.has_come(round(19.99 * SECOND_MS))
    assert not pace.has_come(round(20.01 * SECOND_MS))
    assert pace.left_s == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("waiting_s", "behind"), [((FRESH_S + LATE_S) / 2, 0.0), (0.0, (BEHIND_RECORDS + BEHIND_MAX_RECORDS) / 2)]
)
def test_the_longer_somebody_waits_or_the_more_records_do_the_slower_it_runs(
    pace: Pace, waiting_s: float, behind: float
):
    passes(pace, 2.0, waiting_s, behind)

    assert pace.has_come(round(9.99 * SECOND_MS))
    assert not pace.has_come(round(10.01 * SECOND_MS))


def test_it_stands_still_until_the_list_is_there_and_then_begins_slowly(pace: Pace):
    passes(pace, 60.0, waiting_s=LATE_S)
    assert not pace.has_come(1)

    passes(pace, 1.0, since=60.0)
    assert pace.has_come(1)
    assert not pace.has_come(SECOND_MS)

    passes(pace, 30.0, since=61.0)
    assert pace.share > 0.9


def test_what_is_left_and_how_long_a_slow_machine_takes_are_told_by_how_it_went_lately(pace: Pace):
    passes(pace, 20.0, waiting_s=LATE_S - (LATE_S - FRESH_S) / 100)

    assert pace.share == pytest.approx(0.01, abs=0.005)
    assert pace.left_s == pytest.approx(9.4 / 0.0113, rel=0.1)
    assert pace.note(TOLD_AFTER_S - 1) == ""
    assert pace.note(20.0) == f"this machine takes about {round((20.0 + pace.left_s) / 60)} minutes for the year"


def test_a_machine_that_keeps_up_is_told_nothing(pace: Pace):
    passes(pace, 5.0)

    assert pace.note(TOLD_AFTER_S) == ""


def test_a_machine_that_slept_does_not_catch_up(pace: Pace):
    pace.look(3_600.0, 0.0, 0.0)

    assert not pace.has_come(round((10 * TURN_MAX_S + 0.01) * SECOND_MS))


def test_lists_of_a_slow_machine_may_become_older():
    assert list_age_s(READING_S / 2) == LIST_AGE_S
    assert list_age_s(READING_S * 3) == pytest.approx(LIST_AGE_S * 3)


def test_a_step_is_told_once_and_again_while_it_goes_on_and_on():
    at = iter((1.4, 1.5, 2.0, 2.0 + STILL_S / 2, 2.0 + STILL_S))
    console = Console(file=io.StringIO(), width=80)
    steps = Steps(console, lambda: next(at))

    for step in ("reading", "reading", "compiling [1]", "compiling [1]", "compiling [1]"):
        steps.tell(step)

    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == ["   1 s  reading", "   2 s  compiling [1]", f"{2 + STILL_S:4.0f} s  compiling [1] (still)"]
