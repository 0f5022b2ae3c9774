"""What goes wrong in a chaos run, and when: a function of the seed alone, so a failing run can be run again.

"When" is counted in events written, not in seconds, and about half of the steps also wait until the workers have committed
something since the last step: else a slow machine would see nothing but rebalances. The other half wait for nothing, so that
kills fall into recoveries and rebalances as well.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

Action = Literal["kill", "wipe", "kill all", "restart", "pause", "freeze", "wake", "broker", "join", "leave"]

WORKERS = ("a", "b", "c")

_WEIGHTS: dict[Action, int] = {
    "kill": 34,
    "wipe": 12,
    "kill all": 4,
    "restart": 10,
    "pause": 8,
    "freeze": 12,
    "broker": 8,
    "join": 8,
    "leave": 6,
}

ACTIONS: tuple[Action, ...] = tuple(_WEIGHTS)
"""What may be chosen; a `wake` follows from a `freeze`."""


class Step(NamedTuple):
    """One thing that is done to the system. A `wake` belongs to the round of its `freeze`."""

    round: int
    at_event: int
    """Done once so many events have been written."""
    after_work: bool
    """And not before something was committed since the last step (within a deadline)."""
    action: Action
    target: str
    """A worker, or the broker."""
    down_s: float
    """How long what was killed stays dead, or what was paused stays so; 0 for the rest."""


def make_schedule(
    seed: int, rounds: int, events_per_s: float, session_timeout_s: float, actions: Collection[Action] = ACTIONS
) -> list[Step]:
    """`rounds` steps (wakes not counted). The same arguments give the same steps.

    One worker, "a", runs from the beginning. Frozen workers sleep for longer than their session, so that their partitions
    have been given away when they wake.
    """
    rng = random.Random(f"schedule {seed}")
    running, frozen = {WORKERS[0]}, dict[str, tuple[int, int]]()  # frozen: (event to wake at, round)
    steps: list[Step] = []
    at = int(4 * events_per_s)
    for number in range(1, rounds + 1):
        at += int(events_per_s * _gap_s(rng))
        steps.extend(_wakes(running, frozen, at))
        action = _choose(rng, running, frozen, actions)
        after_work = rng.random() < 0.5 and bool(running)
        target, down_s = "broker", rng.choice([0.0, 0.0, 0.5, 2.0])
        if action == "kill all":
            target = "+".join(sorted(running))
        elif action == "join":
            target, down_s = min(set(WORKERS) - running - set(frozen)), 0.0
            running.add(target)
        elif action != "broker":
            target = rng.choice(sorted(running))
        if action == "leave":
            running.discard(target)
        if action == "pause":
            down_s = round(rng.uniform(0.2, 0.8) * session_timeout_s, 1)
        if action == "freeze":
            down_s = round(session_timeout_s + rng.uniform(0.5, 5.0), 1)
            running.discard(target)
            frozen[target] = at + int(down_s * events_per_s), number
        if action in ("restart", "leave"):
            down_s = 0.0
        steps.append(Step(number, at, after_work, action, target, down_s))
    steps.extend(_wakes(running, frozen, at + int(60 * events_per_s)))
    return steps


def kills(steps: list[Step]) -> int:
    """SIGKILLs of the schedule, of workers and of the broker."""
    return sum(len(s.target.split("+")) for s in steps if s.action in ("kill", "wipe", "kill all", "broker"))


def _gap_s(rng: random.Random) -> float:
    return rng.choices([rng.uniform(0.05, 0.7), rng.uniform(1, 4), rng.uniform(4, 9)], [4, 4, 2])[0]


def _wakes(running: set[str], frozen: dict[str, tuple[int, int]], before: int) -> Iterator[Step]:
    for worker, (at, number) in sorted(frozen.items(), key=lambda item: item[1]):
        if at <= before:
            del frozen[worker]
            running.add(worker)
            yield Step(number, at, False, "wake", worker, 0.0)


def _choose(
    rng: random.Random, running: set[str], frozen: dict[str, tuple[int, int]], actions: Collection[Action]
) -> Action:
    possible = dict(_WEIGHTS)
    if not running:
        return "broker" if len(frozen) == len(WORKERS) or "join" not in actions else "join"
    if len(running) + len(frozen) == len(WORKERS):
        possible.pop("join")
    elif len(running) == 1:
        possible["join"] *= 4  # who would take over?
    if len(running) < 2:
        for needs_two in ("leave", "kill all"):
            possible.pop(needs_two)
    possible = {action: weight for action, weight in possible.items() if action in actions} or possible
    return rng.choices(list(possible), list(possible.values()))[0]
