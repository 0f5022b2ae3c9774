"""What placements cost and bring: one pass over a data set, every question answered by several placements.

    python -m benchmarks.placements EVENTS [--items ITEMS] [--map FIELD=COLUMN,..] [--max-questions 2000]

Weights are learned as `penchant evaluate rankings` learns them, and the lists are those of the serving code. Of each placement:
NDCG@10 of its lists and the difference to the list without one (95 %, over users), mean distance of the items of a list by text
(`diversity@10`), share of the items shown at all (`coverage@10`), and how many items that nobody had had were shown. With
fatigue, one of the first ten items was seen three times: how often it is not among them any more (`fell_out`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.calendar import HOUR_MS
from models.evaluation.bootstrap import Part, Resamples
from models.evaluation.contract import Setup
from models.evaluation.measures import diversity_by_vectors
from models.evaluation.questions import questions, warm_up_end
from models.items.sketches import SKETCH_DIMS
from models.page.draws import draw_key
from models.page.fatigue import Exposed
from models.page.placing import no_placing
from models.page.ranked import PageItems, PageUsers, bonus_of_unknown, rank_page
from models.ranking.rank import RankingParams
from stream.analysis.rankings.penchant import Penchant
from stream.analysis.texts import with_text
from stream.cli.inputs import input_files
from stream.refresh.explorable import least_known
from stream.refresh.page import page_params
from stream.settings import load_settings
from stream.settings.placements import HOME, PlacementSettings

PLACEMENTS: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "mmr .1": {"diversity": 0.1},
    "mmr .3": {"diversity": 0.3},
    "mmr .5": {"diversity": 0.5},
    "dpp .3": {"diversity": 0.3, "diversity_method": "dpp"},
    "dpp .5": {"diversity": 0.5, "diversity_method": "dpp"},
    "dpp .7": {"diversity": 0.7, "diversity_method": "dpp"},
    "fatigue .5": {"fatigue": 0.5},
    "fatigue 1": {"fatigue": 1.0},
    "fatigue 2": {"fatigue": 2.0},
    "explore 1 of 20": {"explore": {"slots": 1, "from_place": 8}},
    "explore 2 of 20": {"explore": {"slots": 2, "from_place": 4}},
}
LISTED: Final = 20
SEEN: Final = 3
"""Times that an item of the first ten of the list without a placement was seen, for the placements with fatigue; each place in
its turn."""
LONG_HISTORY: Final = 30
"""Items; of people with fewer a list has little else to offer."""


def main(arguments: Sequence[str]) -> int:
    """Exit code 0."""
    parser = argparse.ArgumentParser(prog="placements", description=__doc__)
    parser.add_argument("events", type=Path)
    parser.add_argument("--items", type=Path)
    parser.add_argument("--map", default="")
    parser.add_argument("--max-questions", type=int, default=2_000)
    parser.add_argument("--shuffle-minutes", type=int)
    parser.add_argument("--work-dir", type=Path, default=Path("placements"))
    options = parser.parse_args(arguments)
    options.work_dir.mkdir(parents=True, exist_ok=True)
    settings = load_settings()
    files = input_files(options.events, options.items, options.map, "", "UTC", "auto", None)
    data = files.read(settings, options.shuffle_minutes)
    known, _ = with_text(settings, data.known, options.work_dir)
    stream, end = data.stream, warm_up_end(data.stream, 0.8)
    asked = questions(stream, known, end).evenly(options.max_questions)
    contender = Penchant(settings, Setup(0))
    contender.warm_up(stream, known, end)
    placements = {name: PlacementSettings.model_validate(given) for name, given in PLACEMENTS.items()}
    listed = {name: np.full((len(asked.at), LISTED), -1, np.int32) for name in placements}
    row = 0
    for at in range(end, stream.n_events):
        if row < len(asked.at) and asked.at[row] == at:
            _answer(contender, placements, at, row, listed)
            row += 1
        contender.learn(at)
    _report(placements, listed, asked, known.text_vectors, options.work_dir)
    return 0


def _answer(
    contender: Penchant,
    placements: dict[str, PlacementSettings],
    at: int,
    row: int,
    listed: dict[str, NDArray[np.int32]],
) -> None:
    """Every placement's list for the question at event `at`, as numbers of the stream."""
    inputs = contender.choosing.inputs(at, without_had=True)
    replayed = contender.replayed
    open_ = contender.choosing.open_at(at)
    catalog = replayed.catalog.only(open_)
    now_ms = int(inputs.question.now_ms[0])
    priors = replayed.priors(now_ms)
    weights = replayed.with_choice(contender.weights)
    params = RankingParams(LISTED, 300, weights)
    stream_number = np.full(len(replayed.index), -1, np.int32)
    stream_number[replayed.number] = np.arange(len(replayed.number), dtype=np.int32)
    vectors = replayed.vectors
    sketch = np.zeros((0, SKETCH_DIMS), np.float32) if vectors is None else vectors.sketches.rows(vectors, 10**9)
    counts = np.zeros(len(open_))
    counts[: replayed.stats.size] = replayed.stats.count[: len(open_)]
    seen = np.zeros((1, SEEN), np.uint32)
    for name, settings in placements.items():
        page = page_params(settings, LISTED)
        explore = page.compose.explore
        bonus = bonus_of_unknown(explore, replayed.stats, np.full(len(open_), -1), open_, now_ms)
        unknown = np.flatnonzero(bonus >= 0.0) if explore.slots else np.zeros(0, np.int64)
        least = least_known(unknown, replayed.stats.exposures, counts, replayed.index.hashes, now_ms // HOUR_MS)
        users = PageUsers(
            Exposed(seen if settings.fatigue else np.zeros_like(seen), np.full((1, SEEN), now_ms // 1000, np.uint32)),
            np.array([draw_key("", str(row), at, HOME)], np.uint64),
            np.zeros((1, 0), np.int32),
        )
        items = PageItems(no_placing(), bonus, least, sketch)
        made = rank_page(
            inputs.question,
            catalog=catalog,
            stats=replayed.stats,
            priors=priors,
            params=params,
            page=page,
            of_items=items,
            of_users=users,
            semantics=inputs.text,
            sequence=inputs.sequence,
        )
        best = made.ranked.items[0]
        if name == "none" and best[row % 10] >= 0:
            seen[:] = np.uint32(replayed.index.hashes[best[row % 10]] >> np.uint64(32))
        listed[name][row] = np.where(best >= 0, stream_number[np.maximum(best, 0)], -1)


def _report(
    placements: dict[str, PlacementSettings],
    listed: dict[str, NDArray[np.int32]],
    asked: Any,
    vectors: NDArray[np.float32] | None,
    work_dir: Path,
) -> None:
    gain = 1.0 / np.log2(2.0 + np.arange(10))
    ndcg = {name: ((each[:, :10] == asked.item[:, None]) * gain).sum(axis=1) for name, each in listed.items()}
    everyone = np.ones(len(asked.at), np.bool_)
    differences = [ndcg[name] - ndcg["none"] for name in placements]
    intervals = Resamples(asked.user, 0).intervals([Part(everyone, np.stack(differences))])[0]
    figures = {}
    sys.stdout.write(f"{len(asked.at)} questions by {len(np.unique(asked.user))} users\n")
    for name, interval, difference in zip(placements, intervals, differences, strict=True):
        first = listed[name][:, :10]
        shown = np.unique(first[first >= 0])
        untouched = sum(int((row[row >= 0] >= items).sum()) for row, items in zip(first, asked.seen_items, strict=True))
        was_seen = listed["none"][np.arange(len(asked.at)), np.arange(len(asked.at)) % 10]
        stays = (first == was_seen[:, None]).any(axis=1)
        long = (asked.history >= LONG_HISTORY) & (was_seen >= 0)
        distance = np.nan if vectors is None else float(np.nanmean(diversity_by_vectors(listed[name], vectors)))
        figures[name] = {
            "ndcg@10": float(ndcg[name].mean()),
            "difference": float(difference.mean()),
            "low": interval.low,
            "high": interval.high,
            "diversity@10": distance,
            "coverage@10": len(shown) / int(asked.seen_items.max()),
            "untouched_shown": untouched,
            **({"fell_out": float(1.0 - stays[long].mean())} if placements[name].fatigue else {}),
        }
        sys.stdout.write(f"{name:16} {json.dumps({key: round(value, 4) for key, value in figures[name].items()})}\n")
    (work_dir / "placements.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
