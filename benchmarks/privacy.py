"""What differential privacy of item statistics costs: NDCG@10 by epsilon on two data sets, and what attackers still find out.

    make bench NAME=privacy ARGS="--data ../shared/data [--questions 600] [--repeats 3] [--plot FILE.svg]"

Penchant ranks with the statistics that were released (`penchant_private` of `penchant evaluate rankings`) and, for comparison,
with exact ones of the moment, with the weights that Penchant comes with in both cases, and without a sequence model. The noise
is the system's, so it has no seed: each epsilon is released `--repeats` times, and the interval is over users (bootstrap) with
the repeats averaged.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from benchmarks.privacy_attack import TARGETS, World, knows_all_but_one, reads_lists
from benchmarks.privacy_plot import plot
from benchmarks.retail_events import usable_events, usable_items
from models.arrays import F8
from models.evaluation.bootstrap import Part, Resamples
from models.evaluation.contract import Contender, Known, Setup, Stream
from models.evaluation.protocol import run as judge
from models.evaluation.questions import Questions, questions, warm_up_end
from models.privacy.bounds import checked_contribution, checked_promise
from models.privacy.contribution import Engagements
from models.privacy.release import Budget
from stream.analysis.rankings.penchant import Penchant
from stream.analysis.rankings.private import PrivatePenchant, ReleaseOptions
from stream.analysis.texts import with_text
from stream.cli.inputs import input_files
from stream.settings import Settings, load_settings

EPSILONS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
DELTA: Final = 1e-6
DATA: Final = Path(__file__).parents[2] / "shared" / "data"
WARM_UP: Final = 0.8


class DataSet(NamedTuple):
    """What is asked, and of what."""

    stream: Stream
    known: Known
    end: int
    asked: Questions
    ends_ms: tuple[int, ...]


def run(arguments: Sequence[str]) -> dict[str, float]:
    """The figures.

    Raises:
        ValueError: the data are not where `--data` says.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.privacy", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sets", default="online-retail,ml-latest-small")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    figures: dict[str, float] = {}
    settings = load_settings()
    with tempfile.TemporaryDirectory() as directory:
        for name in options.sets.split(","):
            data = _read(name, options.data, Path(directory), settings, options.questions)
            figures |= {
                f"{name} {figure}": value for figure, value in _figures(data, settings, options.repeats).items()
            }
    if options.plot is not None:
        plot(figures, options.plot)
    return figures


def _read(name: str, folder: Path, work: Path, settings: Settings, limit: int) -> DataSet:
    events, items, map_, shuffle = {"online-retail": _retail, "ml-latest-small": _movies}[name](folder / name, work)
    data = input_files(events, items, map_, "", "UTC", "auto", None).read(settings, shuffle)
    known, _ = with_text(settings, data.known, work)
    end = warm_up_end(data.stream, WARM_UP)
    begin_ms, last_ms = int(data.stream.time_ms[end]), int(data.stream.time_ms[-1])
    ends_ms = tuple(begin_ms - 1 + number * (last_ms - begin_ms) // 3 for number in range(3))
    return DataSet(data.stream, known, end, questions(data.stream, known, end).evenly(limit), ends_ms)


def _retail(folder: Path, work: Path) -> tuple[Path, Path, str, int | None]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing. Fix: --data FOLDER that holds it")
    events, items = work / "sales.csv", work / "items.csv"
    usable_events(pl.read_csv(folder / "online_retail.csv.zst", infer_schema=False)).write_csv(events)
    usable_items(pl.read_csv(folder / "items.tsv", separator="\t", quote_char=None, infer_schema=False)).write_csv(
        items
    )
    return events, items, "", 1


def _movies(folder: Path, work: Path) -> tuple[Path, Path, str, int | None]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing. Fix: --data FOLDER that holds it")
    items = work / "movies.jsonl"
    with items.open("w") as file:
        for row in pl.read_csv(folder / "movies.csv", infer_schema=False).iter_rows(named=True):
            genres = [each for each in row["genres"].split("|") if not each.startswith("(")]
            file.write(json.dumps({"item_id": row["movieId"], "title": row["title"], "categories": genres}) + "\n")
    return folder / "ratings.csv", items, "user_id=userId,item_id=movieId,action=:like,event_time=timestamp", None


def _figures(data: DataSet, settings: Settings, repeats: int) -> dict[str, float]:
    contribution = checked_contribution(settings.dp_items, settings.dp_pairs, settings.dp_pair_window)
    resamples = Resamples(data.asked.user, 0)
    exact = _gains(data, Penchant(settings, Setup(), learned=False))
    figures = _with_interval("exact ndcg", exact, resamples)
    kept = ReleaseOptions(None, contribution, data.ends_ms, settings.dp_near_items)
    bounded = PrivatePenchant(settings, Setup(), kept)
    figures |= _compared("bounded, no noise", _gains(data, bounded), exact, resamples)
    world = _world(bounded)
    targets = np.unique(world.engagements.user)
    rng = np.random.default_rng(0)
    chosen = rng.choice(targets, min(TARGETS, len(targets)), replace=False)
    figures["exact reader auc"], figures["exact reader auc error"] = reads_lists(world, None, chosen, rng)
    figures["exact knower auc"], _ = knows_all_but_one(world, bounded.replayed.budget, chosen, rng)
    for epsilon in EPSILONS:
        promise = checked_promise(epsilon, DELTA)
        made = [PrivatePenchant(settings, Setup(), kept._replace(promise=promise)) for _ in range(repeats)]
        gains = np.mean([_gains(data, each) for each in made], axis=0)
        figures |= _compared(f"epsilon {epsilon:g}", gains, exact, resamples)
        budget: Budget = made[0].replayed.budget
        figures[f"epsilon {epsilon:g} knower auc"], figures[f"epsilon {epsilon:g} knower auc error"] = (
            knows_all_but_one(world, budget, chosen, rng)
        )
        figures[f"epsilon {epsilon:g} reader auc"], figures[f"epsilon {epsilon:g} reader auc error"] = reads_lists(
            world, budget, chosen, rng
        )
        print(
            json.dumps({each: value for each, value in figures.items() if f"epsilon {epsilon:g} " in each}), flush=True
        )
    return figures


def _gains(data: DataSet, contender: Contender) -> F8:
    """(q,) NDCG@10 of each question."""
    rank = judge(contender, data.stream, data.known, data.asked, data.end).rank
    return np.where(data.asked.known & (rank <= 10.0), 1.0 / np.log2(1.0 + rank), 0.0)


def _with_interval(name: str, values: F8, resamples: Resamples) -> dict[str, float]:
    ((interval,),) = resamples.intervals([Part(np.ones(len(values), np.bool_), values[None])])
    return {name: float(values.mean()), f"{name} low": interval.low, f"{name} high": interval.high}


def _compared(name: str, values: F8, exact: F8, resamples: Resamples) -> dict[str, float]:
    lost = {f"{name} lost": 1.0 - float(values.mean()) / float(exact.mean())}
    return (
        _with_interval(f"{name} ndcg", values, resamples)
        | lost
        | _with_interval(f"{name} minus exact", values - exact, resamples)
    )


def _world(of: PrivatePenchant) -> World:
    replayed: Any = of.replayed
    engagements: Engagements = replayed.engagements
    return World(engagements, replayed.pairs, len(replayed.hashes))
