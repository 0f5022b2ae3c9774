"""A run before it begins: which pairs to draw from, which questions decide, how many steps, how fast. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.errors import ModelError
from models.training.encoder.evaluation import Task, make_task
from models.training.encoder.pairs import EngagedPairs, Neighbourhood, co_engaged, next_queries
from models.training.encoder.settings import FinetuneSettings
from models.training.engagements import Engagements, between, split


class Corpus(NamedTuple):
    """What to learn from."""

    texts: list[str]
    """Distinct and clean; an item's number in the engagements is its text's place here."""
    events: Engagements
    old: Engagements | None = None
    """Of an earlier task that must not be forgotten."""


class Plan(NamedTuple):
    """Pairs to draw from and questions to ask."""

    pairs: EngagedPairs
    validation: Task
    test: Task
    old_pairs: EngagedPairs | None
    old_test: Task | None

    @property
    def asked(self) -> NDArray[np.int32]:
        """Every text that has to be encoded to answer the test questions."""
        tasks = [self.test, *([self.old_test] if self.old_test else [])]
        return np.unique(np.concatenate([task.candidates for task in tasks]))


def plan(corpus: Corpus, near: Neighbourhood, settings: FinetuneSettings) -> Plan:
    """Windows, pairs and questions.

    Raises:
        ModelError: the events are too few, or all of one time.
    """
    events, old = corpus.events, corpus.old
    windows = split(events.time_ms, settings.validation_share, settings.test_share)
    if windows is None:
        raise ModelError("the events cannot be split into past, validation and test.", "give events of a longer time")

    def task(of: Engagements, start_ms: int, end_ms: int | None, name: str) -> Task:
        queries = next_queries(of, near, start_ms, end_ms)
        if not queries.item.size:
            raise ModelError(f"no user has two items near each other in the {name} window.", "give more events")
        return make_task(queries, len(corpus.texts), settings.max_queries, settings.max_candidates, settings.seed)

    def pairs(of: Engagements, end_ms: int, name: str) -> EngagedPairs:
        found = co_engaged(between(of, None, end_ms), near)
        if not found.weight.size:
            raise ModelError(f"no user has two items near each other in the {name} window.", "give more events")
        return found

    old_pairs, old_test = None, None
    if old is not None:
        edges = split(old.time_ms, settings.validation_share, settings.test_share)
        if edges is None:
            raise ModelError("the old events cannot be split in time.", "give old events of a longer time")
        # Old events may overlap the new: what lies in a window that is asked about is not trained on.
        old_pairs = pairs(old, min(edges.test_ms, windows.validation_ms), "old training")
        old_test = task(old, edges.test_ms, None, "old test")
    return Plan(
        pairs(events, windows.validation_ms, "training"),
        task(events, windows.validation_ms, windows.test_ms, "validation"),
        task(events, windows.test_ms, None, "test"),
        old_pairs,
        old_test,
    )


def steps_of(n_pairs: int, settings: FinetuneSettings, world: int) -> int:
    """Optimizer steps of a whole run."""
    return max(1, math.ceil(settings.epochs * n_pairs / (settings.batch * settings.accumulate * world)))


def learning_rate(step: int, steps: int, settings: FinetuneSettings) -> float:
    """Of step 0, 1, ..: up in a line during the warm-up, then down in a line, never quite 0."""
    warmup = max(1, math.ceil(settings.warmup_share * steps))
    up, down = (step + 1) / warmup, (steps - step) / max(1, steps - warmup + 1)
    return settings.learning_rate * min(1.0, up, down)
