"""One episode of all input in CI, with a clock and an administrator; and that a failure is made smaller without losing it."""

from __future__ import annotations

import time
from pathlib import Path

import adversary
import pytest
from adversary import Script, play, scripts, shrink
from hostile_administrators import ADMINISTRATORS
from hostile_moves import MOVES
from kafka_server import KafkaServer

LONG = {move.__name__ for move in ADMINISTRATORS} - {"a_clock_that_is_set", "offsets_are_set_back"}
"""Each of which takes a start of a worker or two; `tests/system` has most of them one by one."""


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_no_move_stops_a_worker_or_costs_a_good_user_anything(kafka: KafkaServer, tmp_path: Path) -> None:
    moves = sorted(MOVES.keys() - LONG)
    assert play(Script(1, tuple(moves)), kafka, tmp_path) == []


def test_every_move_comes_before_any_comes_again() -> None:
    made = [move for script in scripts(3)[: 10 * len(MOVES)] for move in script.moves]
    for at in range(0, len(MOVES) * 10, len(MOVES)):
        assert sorted(made[at : at + len(MOVES)]) == sorted(MOVES)
    assert scripts(3)[:5] == scripts(3)[:5] != scripts(4)[:5]


def test_what_fails_is_made_as_small_as_it_still_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(script: Script, *_: object) -> list[str]:
        return ["both of them"] if {"junk", "giants"} <= set(script.moves) else []

    monkeypatch.setattr(adversary, "play", fails)
    none: object = None
    smaller = shrink(Script(1, tuple(sorted(MOVES))), none, tmp_path, time.monotonic() + 60)  # type: ignore[arg-type]
    assert smaller.moves == ("giants", "junk")
