"""How often experiments raise a false alarm though they are looked at hourly, and what they find.

    python -m benchmarks.experiments [--runs 1000] [--people 4000] [--found-runs 250] [--found-people 150000] [--json FILE]

Simulated people come in over 14 days, by a fair coin into two arms, and see and click things until the end: exposures by a
rate of their own (gamma, mean 0.5 a day, as different as exponential), clicks by a probability of their own (beta, mean
.1). Before the experiment they clicked at the same rates for 14 days: the covariate of CUPED. Every hour, at 336 looks, the
served code (`models.experiments`) is asked. A run alarms if it ever says "different", or "out of balance"."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F8, I8
from models.experiments.balance import ALARM_BELOW, balance_p
from models.experiments.lift import Moments, lift

DAYS: Final = 14
LOOKS: Final = 24 * DAYS
EXPOSURES_A_DAY: Final = 0.5
CLICK: Final = 2.0, 18.0
"""Beta of the probabilities of a click."""

PEOPLE_MIN: Final = 100
"""Of an arm, before anything is said: as the report."""

NAIVE_Z: Final = 1.96
HALVES: Final = 0.5, 0.5


class Looks(NamedTuple):
    """Of one run, (LOOKS,) each."""

    per_person: tuple[Moments, Moments]
    """Clicks per person, without what was before; of control and treatment."""
    adjusted: tuple[Moments, Moments]
    """The same with it."""
    rate: tuple[Moments, Moments]
    """Clicks per exposure, with it."""


class World(NamedTuple):
    """What really happened: n people, and m exposures by person and time."""

    arm: I8
    """(n,) 1: treated."""
    arrives: F8
    """(n,) days."""
    before: F8
    """(n,) clicks before the experiment."""
    shown: I8
    """(n,) exposures; those of a person stand together."""
    who: I8
    """(m,) of the people."""
    at: F8
    """(m,) days."""
    clicked: F8
    """(m,) 1 or 0."""


def world(seed: int, people: int, planted: float = 0.0, treated: float = 0.5) -> World:
    """One experiment; `planted`: by how much the treatment multiplies clicks, less 1; `treated`: share that truly gets it."""
    rng = np.random.default_rng(seed)
    arm = (rng.random(people) < treated).astype(np.int64)
    arrives = rng.random(people) * DAYS
    a_day = rng.gamma(1.0, EXPOSURES_A_DAY, people)
    clicks = rng.beta(*CLICK, people)
    before = rng.poisson(a_day * DAYS * clicks).astype(np.float64)
    shown = rng.poisson(a_day * (DAYS - arrives))
    who = np.repeat(np.arange(people), shown)
    at = arrives[who] + rng.random(len(who)) * (DAYS - arrives[who])
    at = at[np.lexsort((at, who))]
    clicked = (rng.random(len(who)) < clicks[who] * (1.0 + planted * arm[who])).astype(np.float64)
    return World(arm, arrives, before, shown, who, at, clicked)


def looks_at(happened: World) -> Looks:
    """What is known of it at the end of each hour."""
    arm, arrives, before, shown, who, at, clicked = happened
    people = len(arm)
    start = np.cumsum(shown) - shown
    e = (np.arange(len(who)) - start[who]).astype(np.float64)
    total = np.cumsum(clicked) - clicked
    first = total[np.minimum(start, max(len(total) - 1, 0))] if len(total) else np.zeros(people)
    c = total - first[who]
    x = before[who]
    hour, comes = (at * 24).astype(np.int64), (arrives * 24).astype(np.int64)
    per_person, adjusted, rate = [], [], []
    for each in (0, 1):
        of, here = arm[who] == each, arm == each
        n, sum_x, sum_xx = (_so_far(comes[here], w[here]) for w in (np.ones(people), before, before * before))
        sum_c, sum_cc, sum_cx = (_so_far(hour[of], w[of]) for w in (clicked, clicked * (2 * c + 1), clicked * x))
        sum_e, sum_ee = (_so_far(hour[of], w[of]) for w in (np.ones(len(who)), 2 * e + 1))
        sum_ce, sum_ex = (_so_far(hour[of], w[of]) for w in (clicked * (e + 1) + c, x))
        zero = np.zeros(LOOKS)
        per_person.append(Moments(n, sum_c, n, zero, sum_cc, n, zero, sum_c, zero, zero))
        adjusted.append(Moments(n, sum_c, n, sum_x, sum_cc, n, sum_xx, sum_c, sum_cx, sum_x))
        rate.append(Moments(n, sum_c, sum_e, sum_x, sum_cc, sum_ee, sum_xx, sum_ce, sum_cx, sum_ex))
    return Looks((per_person[0], per_person[1]), (adjusted[0], adjusted[1]), (rate[0], rate[1]))


def first_found(arms: tuple[Moments, Moments]) -> int | None:
    """The look at which 0 first is outside of the interval; None: never."""
    found = lift(*arms, HALVES)
    return _first(((found.low > 0) | (found.high < 0)) & _enough(arms))


def naive_ever(arms: tuple[Moments, Moments]) -> bool:
    """Whether a plain z-test at 5 %, looked at as often, ever says that there is a difference."""
    with np.errstate(all="ignore"):
        mean = [each.c / each.people for each in arms]
        variance = [(each.cc / each.people - m * m) / each.people for each, m in zip(arms, mean, strict=True)]
        is_out = np.abs(mean[1] - mean[0]) > NAIVE_Z * np.sqrt(variance[0] + variance[1])
    return _first(is_out & _enough(arms)) is not None


def unbalanced_at(arms: tuple[Moments, Moments]) -> int | None:
    """The look at which the check of balance first alarms."""
    counts = np.stack([each.people for each in arms], axis=1).tolist()
    return next((n for n, each in enumerate(counts) if balance_p(each, HALVES) < ALARM_BELOW), None)


def false_alarms(runs: int, people: int) -> dict[str, Any]:
    """Of A/A experiments: the share that ever alarms, with its 95 % interval (Wilson)."""
    ever = {"clicks": 0, "clicks, CUPED": 0, "click rate, CUPED": 0, "balance": 0, "plain z-test": 0}
    for seed in range(runs):
        looks = looks_at(world(seed, people))
        ever["clicks"] += first_found(looks.per_person) is not None
        ever["clicks, CUPED"] += first_found(looks.adjusted) is not None
        ever["click rate, CUPED"] += first_found(looks.rate) is not None
        ever["balance"] += unbalanced_at(looks.per_person) is not None
        ever["plain z-test"] += naive_ever(looks.per_person)
    return {name: {"share": n / runs, "interval": wilson(n, runs)} for name, n in ever.items()}


def planted(runs: int, people: int, by: float) -> dict[str, Any]:
    """Of experiments with a true lift: how many find it, when, and how wrong the intervals ever are."""
    found: dict[str, dict[str, Any]] = {}
    at: dict[str, list[tuple[float, float]]] = {"clicks": [], "clicks, CUPED": [], "click rate, CUPED": []}
    ever_missed = dict.fromkeys(at, 0)
    wrong_way = dict.fromkeys(at, 0)
    for seed in range(runs):
        looks = looks_at(world(1_000_000 + seed, people, by))
        for name, arms in zip(at, looks, strict=True):
            said = lift(*arms, HALVES)
            missed = ((said.relative_low > by) | (said.relative_high < by)) & _enough(arms)
            ever_missed[name] += bool(missed.any())
            first = first_found(arms)
            if first is not None:
                at[name].append(
                    (float(arms[0].people[first] + arms[1].people[first]), float(arms[0].c[first] + arms[1].c[first]))
                )
                wrong_way[name] += bool(said.difference[first] < 0)
    for name, moments_ in at.items():
        people_at, clicks_at = (sorted(each) for each in zip(*moments_, strict=True)) if moments_ else ([], [])
        found[name] = {
            "found": len(moments_) / runs,
            "wrong_way": wrong_way[name] / runs,
            "interval_ever_missed": ever_missed[name] / runs,
            "people_median": _of_all(people_at, runs, 0.5),
            "clicks_median": _of_all(clicks_at, runs, 0.5),
            "clicks_80_percent": _of_all(clicks_at, runs, 0.8),
        }
    return found


def unbalanced(runs: int, people: int, treated: float) -> dict[str, Any]:
    """Of experiments whose treatment gets another share of people than meant: how many are flagged, and at how many people."""
    at = []
    for seed in range(runs):
        looks = looks_at(world(2_000_000 + seed, people, 0.0, treated))
        first = unbalanced_at(looks.per_person)
        if first is not None:
            at.append(float(sum(arm.people[first] for arm in looks.per_person)))
    return {"flagged": len(at) / runs, "people_median": _of_all(sorted(at), runs, 0.5)}


def wilson(n: int, runs: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, share = NAIVE_Z, n / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs))
    return max(middle - half, 0.0), middle + half


def main(arguments: Sequence[str]) -> int:
    """Exit code 0: no more false alarms than promised, within what 1,000 runs can tell."""
    parser = argparse.ArgumentParser(prog="experiments", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--found-runs", type=int, default=250)
    parser.add_argument("--found-people", type=int, default=150_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    figures = {
        "a/a": false_alarms(options.runs, options.people),
        "a/a of many people": false_alarms(options.runs, 10 * options.people),
        "planted +5 %": planted(options.found_runs, options.found_people, 0.05),
        "planted 52 of 100 treated": unbalanced(options.found_runs, options.found_people // 4, 0.52),
    }
    print(json.dumps(figures, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(figures), encoding="utf-8")
    alarms = (figures["a/a"], figures["a/a of many people"])
    measured = [each for of in alarms for name, each in of.items() if name != "plain z-test"]
    return int(any(each["interval"][0] > 0.05 for each in measured))


def _so_far(look: I8, weight: F8) -> F8:
    found: F8 = np.cumsum(np.bincount(look, weight, LOOKS)[:LOOKS])
    return found


def _enough(arms: tuple[Moments, Moments]) -> Any:
    return (arms[0].people >= PEOPLE_MIN) & (arms[1].people >= PEOPLE_MIN)


def _first(is_so: Any) -> int | None:
    at = np.flatnonzero(is_so)
    return int(at[0]) if len(at) else None


def _of_all(found: list[float], runs: int, share: float) -> float | None:
    """The number that this share of all runs had found by; None: fewer ever did."""
    needed = math.ceil(share * runs)
    return found[needed - 1] if len(found) >= needed > 0 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
