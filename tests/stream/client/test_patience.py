"""What is asked again: what was refused with a moment, and what changes nothing and reached nobody; never past the deadline."""

from __future__ import annotations

import pytest

from stream.client.patience import LONGEST_PAUSE_S, Patience


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_told_when_to_come_back_comes_back_then(status: int) -> None:
    assert Patience("POST", now_s=100, timeout_s=5).after_answer(status, "2", now_s=101) == 2.0


@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 413, 500, 502, 504])
def test_other_answers_are_answers(status: int) -> None:
    assert Patience("GET", now_s=0, timeout_s=5).after_answer(status, "0", now_s=0) is None


@pytest.mark.parametrize("moment", [None, "", "soon", "nan", "inf", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_refusal_that_does_not_say_when_in_seconds_is_an_answer(moment: str | None) -> None:
    assert Patience("GET", now_s=0, timeout_s=5).after_answer(429, moment, now_s=0) is None


def test_nobody_waits_past_the_deadline() -> None:
    patience = Patience("GET", now_s=0, timeout_s=5)

    assert patience.after_answer(429, "3", now_s=1.9) == 3.0
    assert patience.after_answer(429, "3", now_s=2.1) is None
    assert patience.left_s(4) == 1
    assert patience.left_s(7) > 0, "httpx would take 0 for an error of its own"


def test_pauses_grow_while_nobody_takes_the_connection_and_end_with_the_deadline() -> None:
    patience, now_s, pauses = Patience("GET", now_s=0, timeout_s=5), 0.0, []
    while (pause_s := patience.after_no_connection(now_s)) is not None:
        pauses.append(pause_s)
        now_s += pause_s

    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert max(pauses) == LONGEST_PAUSE_S
    assert 4 <= now_s < 5


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_changes_something_is_not_sent_again_by_itself(method: str) -> None:
    assert Patience(method, now_s=0, timeout_s=5).after_no_connection(0) is None  # type: ignore[arg-type]
