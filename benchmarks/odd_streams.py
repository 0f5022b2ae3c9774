"""Streams that a ranking may break on, as files for `penchant evaluate rankings`, or judged at once.

    python -m benchmarks.odd_streams OUT_DIRECTORY [--events 20000] [--seed 0] [--judge]

Written: NAME.csv of each. Judged: each through `penchant evaluate rankings` against counts, recent counts and co-occurrence;
a table with the verdict of each, and verdicts.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from typer.testing import CliRunner

from stream.cli.main import app

MODELS: Final = "penchant,popularity,recency_popularity,co_occurrence_tuned"

START_S: Final = 1_700_000_000
DAYS: Final = 60
DAY_S: Final = 86_400
GROUPS: Final = 12
ITEMS_PER_GROUP: Final = 40
SESSION_ITEMS: Final = 4
"""In the mean."""
FAITHFUL: Final = 0.8
"""Chance that an item is of the group that its session is about."""


class Behaviour(NamedTuple):
    """(n,) each, in order of time."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time_s: NDArray[np.int64]


def shoppers(events: int, users: int, seed: int) -> Behaviour:
    """People with two tastes each, in sessions; of a group, earlier items are liked more (Zipf)."""
    rng = np.random.default_rng(seed)
    tastes = rng.integers(0, GROUPS, (users, 2))
    lengths = 1 + rng.poisson(SESSION_ITEMS - 1, events)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), events)) + 1]
    sessions = len(lengths)
    who = rng.integers(0, users, sessions)
    about = tastes[who, rng.integers(0, 2, sessions)]
    start = np.sort(rng.integers(0, DAYS * DAY_S, sessions)) + START_S
    session = np.repeat(np.arange(sessions), lengths)[:events]
    place = np.arange(len(session)) - np.searchsorted(session, session)
    group = np.where(rng.random(events) < FAITHFUL, about[session], rng.integers(0, GROUPS, events))
    zipf = 1.0 / np.arange(1, ITEMS_PER_GROUP + 1)
    within = rng.choice(ITEMS_PER_GROUP, events, p=zipf / zipf.sum())
    return _in_order(who[session], group * ITEMS_PER_GROUP + within, start[session] + 60 * place)


def one_user(events: int, seed: int) -> Behaviour:
    """Everything is done by one."""
    return shoppers(events, 1, seed)


def one_item(events: int, seed: int) -> Behaviour:
    """Everybody does the same."""
    found = shoppers(events, events // 20, seed)
    return found._replace(item=np.zeros_like(found.item))


def first_visits(events: int, seed: int) -> Behaviour:
    """Nobody comes twice."""
    found = shoppers(events, events // 20, seed)
    return found._replace(user=np.arange(events))


def backwards(events: int, seed: int) -> Behaviour:
    """The newest line first: every event is later than all that were before it in the file."""
    return Behaviour(*(column[::-1] for column in shoppers(events, events // 20, seed)))


def bot(events: int, seed: int) -> Behaviour:
    """Nine events of ten are one user's, who takes everything in turn."""
    people = shoppers(events // 10, max(events // 200, 30), seed)
    mechanical = events - len(people.user)
    time_s = np.linspace(START_S, START_S + DAYS * DAY_S, mechanical).astype(np.int64)
    everything = np.arange(mechanical) % (GROUPS * ITEMS_PER_GROUP)
    return _in_order(
        np.concatenate((people.user, np.full(mechanical, -1))),
        np.concatenate((people.item, everything)),
        np.concatenate((people.time_s, time_s)),
    )


def season(events: int, seed: int) -> Behaviour:
    """In the last fifth of the time everybody wants things that nobody had wanted before."""
    found = shoppers(events, events // 20, seed)
    rng = np.random.default_rng((seed, 1))
    late = found.time_s > START_S + int(0.8 * DAYS * DAY_S)
    seasonal = late & (rng.random(events) < 0.7)
    return found._replace(item=np.where(seasonal, found.item + GROUPS * ITEMS_PER_GROUP, found.item))


STREAMS: Final[dict[str, Callable[[int, int], Behaviour]]] = {
    each.__name__: each for each in (one_user, one_item, first_visits, backwards, bot, season)
}


def write(found: Behaviour, path: Path) -> None:
    """As a file whose columns Penchant reads by name."""
    pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in found.user.tolist()],
            "item_id": [f"i{n}" for n in found.item.tolist()],
            "action": ["click"] * len(found.user),
            "event_time": found.time_s,
        }
    ).write_csv(path)


def judge(path: Path, work_dir: Path) -> dict[str, Any]:
    """The report of `penchant evaluate rankings`.

    Raises:
        RuntimeError: it ended with another code than 0.
    """
    report = path.with_suffix(".json")
    result = CliRunner().invoke(
        app,
        ["evaluate", "rankings", str(path), "--models", MODELS, "--json", str(report), "--work-dir", str(work_dir)],
    )
    if result.exit_code:
        raise RuntimeError(f"{path.name}: exit code {result.exit_code}: {result.output} {result.exception!r}")
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


def _in_order(user: NDArray[np.int64], item: NDArray[np.int64], time_s: NDArray[np.int64]) -> Behaviour:
    order = np.argsort(time_s, kind="stable")
    return Behaviour(user[order], item[order], time_s[order])


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0, or 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="odd_streams", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    verdicts = dict[str, Any]()
    for name, make in STREAMS.items():
        path = options.out / f"{name}.csv"
        write(make(options.events, options.seed), path)
        if options.judge:
            report = judge(path, options.out / "work")
            verdicts[name] = report["verdict"]
            sys.stdout.write(f"{name}: {verdicts[name]['sentence']}\n")
            for row in verdicts[name]["rows"]:
                if row["questions"]:
                    sys.stdout.write(
                        f"    {row['slice']:24} {row['questions']:6} {row['value']:.4f}  {row['best_value']:.4f}"
                        f" {row['best']}  {row['mark']}\n"
                    )
    if options.judge:
        (options.out / "verdicts.json").write_text(json.dumps(verdicts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
