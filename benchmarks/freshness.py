"""What fresh interests are worth: hit rate of the next item when a user's own events are known 0 s, 1 min, 1 h or 1 day late.

Everything else is as fresh as it can be: item statistics, trends and the time of the question. Each delay learns weights of its
own from the past, as a slower system would. Full ranking of everything known, the serving code, questions spread over the last
fifth of the events. Default: the sample of the demo (a shop whose baskets share one minute); any other file by `--events`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.plots import freshness as draw
from models.evaluation.contract import Known, Stream
from models.learning.weight_fit import learn
from models.ranking.features import SESSION_GAP_S
from models.ranking.weights import RankingWeights, default_weights
from stream.analysis.data import read_data
from stream.analysis.replayed import ChoiceSampler, ReplayedWorker, UserInputs, evenly
from stream.analysis.texts import with_text
from stream.files.mapping import parse_mapping
from stream.params import decode_limits
from stream.settings import Settings, load_settings
from stream.state.record import States

DELAYS_S: Final = {"0 s": 0, "1 min": 60, "1 h": 3600, "1 day": 86_400}
SAMPLE: Final = Path(__file__).parents[1] / "stream" / "sample"
SAMPLE_EVENTS: Final = "user_id=CustomerID,item_id=StockCode,action=:purchase,event_time=InvoiceDate"
SAMPLE_ITEMS: Final = "item_id=StockCode,title=Description,price=UnitPrice"
WARM_UP: Final = 0.8
LEARN_FROM: Final = 0.5

_Hits = NDArray[np.bool_]


class Late(NamedTuple):
    """States that events reach after a while."""

    delay_ms: int
    states: States
    choosing: ChoiceSampler


class _World:
    """A stream, its statistics as they are, and states as they are known after each delay."""

    def __init__(self, settings: Settings, stream: Stream, known: Known, choices: int) -> None:
        self.stream = stream
        self.replayed = ReplayedWorker(settings, stream, known)
        self._late = {
            name: Late(
                1000 * delay_s,
                States(known.n_users),
                ChoiceSampler(self.replayed, stream, known, choices, np.random.default_rng(0)),
            )
            for name, delay_s in DELAYS_S.items()
        }
        self._applied = dict.fromkeys(DELAYS_S, 0)

    def inputs(self, name: str, at: int) -> tuple[ChoiceSampler, UserInputs]:
        """What a system that is so late would be asked just before event `at`."""
        late = self._late[name]
        self.replayed.advance(at)
        now_ms = int(self.stream.time_ms[at])
        # Known is what happened before `at` in the stream and at least the delay ago.
        until = min(at, int(np.searchsorted(self.stream.time_ms, now_ms - late.delay_ms, side="right")))
        if until > self._applied[name]:
            self.replayed.apply_to(late.states, slice(self._applied[name], until))
            self._applied[name] = until
        return late.choosing, self.replayed.inputs(int(self.stream.user[at]), now_ms, states=late.states)


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    settings = load_settings()
    data = read_data(
        options.events,
        parse_mapping(options.map),
        options.items,
        parse_mapping(options.items_map, "item"),
        strengths=settings.strengths(),
        limits=decode_limits(settings),
        now_ms=time.time_ns() // 1_000_000,
        reading={"timezone": options.timezone, "time_unit": "auto", "time_pattern": None},
    )
    work = Path(".penchant") / "evaluation"
    work.mkdir(parents=True, exist_ok=True)
    known, _ = with_text(settings, data.known, work)
    figures, is_start = _measure(_World(settings, data.stream, known, options.choices), options)
    draw({name: _interval(hits) for name, hits in figures.items()})
    found: dict[str, float] = {"questions": float(len(is_start))}
    for name, hits in figures.items():
        label = name.replace(" ", "_")
        found[f"hr_at_10_after_{label}"] = float(hits.mean())
        found[f"hr_at_10_at_session_start_after_{label}"] = float(hits[is_start].mean()) if is_start.any() else 0.0
    return found


def _measure(world: _World, options: argparse.Namespace) -> tuple[dict[str, _Hits], _Hits]:
    firsts = np.flatnonzero(world.stream.first)
    learned = firsts[int(LEARN_FROM * len(firsts)) : int(WARM_UP * len(firsts))]
    asked = evenly(firsts[int(WARM_UP * len(firsts)) :], options.questions)
    first = next(iter(DELAYS_S))
    for at in world.inputs(first, int(learned[0]))[0].sample(learned).tolist():
        for name in DELAYS_S:
            choosing, inputs = world.inputs(name, at)
            choosing.note(at, inputs)
    weights: dict[str, RankingWeights] = {
        name: learn(world.inputs(name, int(asked[0]))[0].choices(), default_weights()) for name in DELAYS_S
    }
    hits = {name: np.zeros(len(asked), np.bool_) for name in DELAYS_S}
    is_start = np.zeros(len(asked), np.bool_)
    for row, at in enumerate(asked.tolist()):
        for name in DELAYS_S:
            choosing, inputs = world.inputs(name, at)
            hits[name][row] = choosing.rank_of_chosen(inputs, at, weights[name]) <= 10
            if name == first:
                is_start[row] = inputs.question.idle_s[0] >= SESSION_GAP_S
    return hits, is_start


def _interval(hits: _Hits) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    return float(hits.mean()), float(1.96 * hits.std() / np.sqrt(len(hits)))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run freshness", description=__doc__)
    parser.add_argument("--events", type=Path, default=SAMPLE / "events.csv.gz")
    parser.add_argument("--items", type=Path, default=SAMPLE / "items.csv.gz")
    parser.add_argument("--map", default=SAMPLE_EVENTS)
    parser.add_argument("--items-map", default=SAMPLE_ITEMS)
    parser.add_argument("--timezone", default="Europe/London")
    parser.add_argument("--choices", type=int, default=1500, help="learned from, within sessions and at their starts")
    parser.add_argument("--questions", type=int, default=4000)
    return parser.parse_args(arguments)
