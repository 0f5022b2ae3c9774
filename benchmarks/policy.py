"""Whether what is logged of exploration tells the truth, and what exploration brings and costs, where the truth is known.

    python -m benchmarks.policy [--seeds 100] [--json FILE]

`benchmarks.policy_world` has people, items and clicks with known probabilities; its lists are made by the product's
`models.page.compose` and logged with their propensities.

1. Of every seed a log of some lists per person is made, and IPS, SNIPS and doubly robust estimates of what other settings would
   have been clicked at the explored places are compared with the truth, of which the log knows nothing: how often is it in the
   95 % interval? Two truths: `these`, the mean over the very lists of the log, whose statistics learn meanwhile; and `such`,
   over other people of the same world, with statistics that stand still (intervals have to cover the chance of who came).
2. The same people are shown lists round after round with and without exploration: when has a new item 100 exposures, how
   many clicks does that cost, how much of NDCG@10 by the true probabilities?
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.policy_world import SLOTS, ClickWorld, Evidence, People, Shown, Size, chances, learned
from models.arrays import F8, I8
from models.credit.policy_value import PolicyValue, doubly_robust, ips, snips
from models.page.explore import ExploreParams

LOGGED: Final = ExploreParams(slots=2, from_place=4, rate=0.5)
TARGETS: Final[dict[str, ExploreParams]] = {
    "as logged": LOGGED,
    "rate 0": LOGGED._replace(rate=0.0),
    "rate .2": LOGGED._replace(rate=0.2),
    "rate 1": LOGGED._replace(rate=1.0),
    "temperature .5": LOGGED._replace(temperature=0.5),
    "temperature 3": LOGGED._replace(temperature=3.0),
}
EXPLORING: Final[dict[str, ExploreParams]] = {
    "1 place from 11": ExploreParams(slots=1, from_place=11),
    "1 place from 8": ExploreParams(slots=1, from_place=8),
    "1 place from 8, rate .5": ExploreParams(slots=1, from_place=8, rate=0.5),
    "2 places from 4, rate .5": LOGGED,
}
"""Of part 2."""

ROUNDS: Final = 10
"""Lists of a person in a log."""

OTHER_PEOPLE: Final = 10_000
"""Over whom the truth of `such` is a mean."""

PRIOR_EXPOSURES: Final = 20.0
"""Strength of what is thought of an item's clicks beforehand, in the model of the doubly robust estimates."""

FEW_NEW: Final = Size(new_items=40)
"""Of part 2."""

ENOUGH: Final = 100
"""Exposures after which an item stands by itself: the default of `explore.max_exposures`."""


class Log(NamedTuple):
    """r explored places of lists that were seen."""

    person: I8
    item: I8
    propensity: F8
    clicked: F8
    pool: I8
    """(r, 1 + m) what could have stood there: first what would have without exploration; -1 pads."""
    at: I8
    """(r,) which of those did."""
    target: dict[str, F8]
    """(r, 1 + m) with which probability it would have, by settings."""
    truth: F8
    """(r, 1 + m) click probabilities, which no estimate sees."""


def main(arguments: Sequence[str]) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(prog="policy", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=200, help="of part 2")
    parser.add_argument("--part-2-seeds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"coverage": {}, "new items": []}
    for truth in ("these", "such"):
        found["coverage"][truth] = coverage(range(options.seeds), Size(), truth)
        _say_coverage(truth, found["coverage"][truth], options.seeds)
    for seed in range(options.part_2_seeds):
        found["new items"].append(new_items(seed, FEW_NEW, options.rounds))
    _say_new_items(found["new items"])
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


# --- part 1


def coverage(seeds: Sequence[int], size: Size, truth: str) -> dict[str, dict[str, dict[str, float]]]:
    """By settings and estimate: seeds whose interval holds the truth, with people as the unit and without; mean of truth,
    bias and half width."""
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for seed in seeds:
        world = ClickWorld(seed, size)
        people, evidence = world.people(size.people), world.first_evidence()
        log = log_of(world, people, evidence, learns=truth == "these")
        others = {} if truth == "these" else _values_for_others(world, evidence)
        for name in TARGETS:
            real = others.get(name, float((log.target[name] * log.truth).sum(axis=1).mean()))
            by_people, by_event = estimates(log, name), estimates(log, name, by_people=False)
            for kind, value in by_people.items():
                low, high = value.interval
                plain = by_event[kind].interval
                held = low <= real <= high, plain[0] <= real <= plain[1]
                rows.setdefault((name, kind), []).append(
                    (*held, real, value.value - real, (high - low) / 2, value.effective)
                )
    names = ("covered", "covered_by_event", "truth", "bias", "half_width", "effective")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (name, kind), each in rows.items():
        columns = np.array(each, float)
        sums = [*columns[:, :2].sum(axis=0), *columns[:, 2:].mean(axis=0)]
        found.setdefault(name, {})[kind] = dict(zip(names, map(float, sums), strict=True))
    return found


def estimates(log: Log, name: str, *, by_people: bool = True) -> dict[str, PolicyValue]:
    """What the settings `name` would have been clicked, from what was logged."""
    rows = np.arange(len(log.at))
    target = log.target[name]
    logged, cluster = target[rows, log.at], log.person if by_people else None
    q = _click_model(log)
    return {
        "ips": ips(log.clicked, logged, log.propensity, cluster=cluster),
        "snips": snips(log.clicked, logged, log.propensity, cluster=cluster),
        "doubly robust": doubly_robust(
            log.clicked, logged, log.propensity, q[rows, log.at], (target * q).sum(axis=1), cluster=cluster
        ),
    }


def log_of(world: ClickWorld, people: People, evidence: Evidence, *, learns: bool, rounds: int = ROUNDS) -> Log:
    """What is logged of `rounds` lists a person at the places that explore.

    Raises:
        RuntimeError: a list's propensity is not what the formula says.
    """
    parts = []
    for round_ in range(rounds):
        shown = world.show(people, evidence, LOGGED, round_)
        done = world.clicked(people, shown)
        parts.append(_rows(world, people, shown, done))
        if learns:
            evidence = learned(evidence, shown, done)
    person, item, propensity, clicked, pool, at, truth = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("person", "item", "propensity", "clicked", "pool", "at", "truth")
    )
    target = {name: np.concatenate([part.target[name] for part in parts]) for name in TARGETS}
    return Log(person, item, propensity, clicked, pool, at, target, truth)


def _rows(world: ClickWorld, people: People, shown: Shown, clicked: F8 | Any) -> Log:
    users, places = shown.kept.shape
    pool = np.concatenate((shown.kept[:, :, None], shown.pool), axis=2)
    item, propensity = shown.items[:, shown.places], shown.propensity[:, shown.places].astype(float)
    at = np.argmax(pool == item[:, :, None], axis=2)
    target = {}
    for name, settings in TARGETS.items():
        kept, drawn = chances(shown, settings)
        target[name] = np.concatenate((kept[:, :, None], drawn), axis=2).reshape(users * places, -1)
    said = target["as logged"][np.arange(users * places), at.ravel()]
    if not np.allclose(said, propensity.ravel(), rtol=1e-5, atol=0.0):
        raise RuntimeError("a logged propensity is not what the formula of the draws says")
    truth = world.click_probability(people, pool, np.broadcast_to(shown.places[:, None], pool.shape))
    return Log(
        np.repeat(np.arange(users), places), item.ravel().astype(np.int64), propensity.ravel(),
        clicked[:, shown.places].ravel().astype(float), pool.reshape(users * places, -1).astype(np.int64), at.ravel(),
        target, truth.reshape(users * places, -1),
    )  # fmt: skip


def _values_for_others(world: ClickWorld, evidence: Evidence) -> dict[str, float]:
    """Click probability of an explored place by settings, over other people."""
    people = world.people(OTHER_PEOPLE)
    shown = world.show(people, evidence, LOGGED, 0)
    of_kept = world.click_probability(people, shown.kept, np.broadcast_to(shown.places, shown.kept.shape))
    of_pool = world.click_probability(people, shown.pool, np.broadcast_to(shown.places[:, None], shown.pool.shape))
    found = {}
    for name, settings in TARGETS.items():
        kept, drawn = chances(shown, settings)
        found[name] = float((kept * of_kept + (drawn * of_pool).sum(axis=2)).mean())
    return found


def _click_model(log: Log) -> F8:
    """(r, 1 + m) expected clicks: of an item its smoothed rate among the other half of people (cross-fitting: Chernozhukov et
    al., Econometrics Journal 2018), so that no row's model has seen the row's own click."""
    q = np.zeros(log.pool.shape)
    n = int(log.pool.max()) + 1
    half = log.person % 2
    for own in (0, 1):
        other, mine = half != own, half == own
        seen = np.bincount(log.item[other], minlength=n)
        clicks = np.bincount(log.item[other], log.clicked[other], minlength=n)
        mean = float(log.clicked[other].mean())
        rate = (clicks + PRIOR_EXPOSURES * mean) / (seen + PRIOR_EXPOSURES)
        q[mine] = rate[np.maximum(log.pool[mine], 0)]
    return q


# --- part 2


class _Run(NamedTuple):
    """Rounds of lists of the same people."""

    reached: F8
    """(new,) rounds until a new item had `ENOUGH` exposures; the number of rounds of one that never had."""
    clicks: F8
    """(rounds,)."""
    ndcg: F8
    """(rounds,)."""


def new_items(
    seed: int, size: Size, rounds: int, settings: Mapping[str, ExploreParams] = EXPLORING
) -> dict[str, dict[str, float]]:
    """The same people and items with exploration by each of `settings`, and without: how much sooner, and what it costs.

    Medians over new items. One that has not `ENOUGH` exposures at the end counts as if it had them then, so `times_sooner` is
    at least what it says.
    """
    without = _run(seed, size, rounds, ExploreParams(slots=0))
    first = slice(0, max(1, rounds // 10))
    found = {}
    for name, params in settings.items():
        run = _run(seed, size, rounds, params)
        found[name] = {
            "rounds": float(np.median(run.reached)),
            "rounds_without": float(np.median(without.reached)),
            "times_sooner": float(np.median(without.reached) / np.median(run.reached)),
            "reached": float((run.reached < rounds).mean()),
            "reached_without": float((without.reached < rounds).mean()),
            "clicks_change": _change(run.clicks, without.clicks),
            "clicks_change_first_tenth": _change(run.clicks[first], without.clicks[first]),
            "ndcg@10_change": _change(run.ndcg, without.ndcg),
            "ndcg@10_change_first_tenth": _change(run.ndcg[first], without.ndcg[first]),
        }
    return found


def _run(seed: int, size: Size, rounds: int, explore: ExploreParams) -> _Run:
    world = ClickWorld(seed, size)
    people, evidence = world.people(size.people), world.first_evidence()
    run = _Run(np.full(size.new_items, rounds, float), np.zeros(rounds), np.zeros(rounds))
    for round_ in range(rounds):
        shown = world.show(people, evidence, explore, round_)
        clicked = world.clicked(people, shown)
        evidence = learned(evidence, shown, clicked)
        has = evidence.exposures[-size.new_items :] >= ENOUGH
        np.minimum(run.reached, np.where(has, round_ + 1, rounds), out=run.reached)
        run.clicks[round_], run.ndcg[round_] = clicked.sum(), _ndcg(world, people, shown)
    return run


def _change(values: F8, without: F8) -> float:
    return float(values.sum() / without.sum() - 1.0)


def _ndcg(world: ClickWorld, people: People, shown: Shown) -> float:
    """NDCG@10 with true click probabilities, place aside, as gains."""
    everything = np.broadcast_to(np.arange(world.size.items), (len(people.taste), world.size.items))
    gain = world.click_probability(people, everything, np.zeros_like(everything))
    discount = 1.0 / np.log2(2.0 + np.arange(10))
    got = (np.take_along_axis(gain, shown.items[:, :10].astype(np.int64), 1) * discount).sum(axis=1)
    best = (-np.sort(-gain, axis=1)[:, :10] * discount).sum(axis=1)
    return float((got / best).mean())


def _say_coverage(truth: str, found: dict[str, dict[str, dict[str, float]]], seeds: int) -> None:
    sys.stdout.write(f"truth of {truth} lists, {seeds} seeds, {SLOTS} places, {LOGGED.slots} explored\n")
    sys.stdout.write("settings         estimate       covered  by event   truth     bias  half width  effective\n")
    for name, kinds in found.items():
        for kind, row in kinds.items():
            sys.stdout.write(
                f"{name:16} {kind:14} {row['covered']:7.0f} {row['covered_by_event']:9.0f} {row['truth']:7.4f} "
                f"{row['bias']:+8.5f} {row['half_width']:11.4f} {row['effective']:10.0f}\n"
            )


def _say_new_items(found: list[dict[str, dict[str, float]]]) -> None:
    for name in found[0] if found else ():
        sys.stdout.write(f"{name}, {len(found)} seeds: mean [least, most]\n")
        for figure in found[0][name]:
            each = np.array([row[name][figure] for row in found])
            sys.stdout.write(f"  {figure:28} {each.mean():+9.4f} [{each.min():+.4f}, {each.max():+.4f}]\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
