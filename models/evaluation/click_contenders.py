"""What states the probability of a click while examples come: Penchant's model and what it must be better than."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from models.arrays import F8, I8
from models.learning.click_examples import Examples
from models.learning.click_model import SLOTS, ClickModel
from models.ranking.weights import Calibration

SLOT_SMOOTHING = 100.0
"""Exposures of a slot at which its own rate counts as much as the overall one."""


class ClickContender(Protocol):
    """Asked about exposures in the order of time, told of examples as they are decided."""

    def predict(self, parts: F8, slot: I8) -> F8:
        """(k,) float64 in (0, 1) for (k, P) parts and (k,) slots."""

    def learn(self, examples: Examples) -> None:
        """What has been decided since."""


class Learned:
    """`penchant_online`: what serves."""

    def __init__(self, prior: Calibration) -> None:
        self.model = ClickModel.start(prior)

    def predict(self, parts: F8, slot: I8) -> F8:
        """See `ClickContender`."""
        return self.model.predict(parts, slot)

    def learn(self, examples: Examples) -> None:
        """See `ClickContender`."""
        self.model = self.model.learn(*examples)


class Stated(Learned):
    """`calibration`: the prior and nothing learned."""

    def learn(self, examples: Examples) -> None:
        """Nothing."""


class ScoreOnly:
    """`score_only`: sigmoid(a score + b), both learned online by the same algorithm (Platt scaling, without slots)."""

    def __init__(self, prior: Calibration) -> None:
        self.model = ClickModel.start(prior, parts=1)

    def predict(self, parts: F8, slot: I8) -> F8:
        """See `ClickContender`."""
        return self.model.predict(parts.sum(axis=1, keepdims=True), np.zeros_like(slot))

    def learn(self, examples: Examples) -> None:
        """See `ClickContender`."""
        score = examples.parts.sum(axis=1, keepdims=True)
        self.model = self.model.learn(score, np.zeros_like(examples.slot), examples.clicked)


class GlobalRate:
    """`global_rate`: clicks per exposure so far, (clicks + 1/2) / (exposures + 1)."""

    def __init__(self) -> None:
        self._exposures, self._clicks = 0, 0

    def rate(self) -> float:
        """Now."""
        return (self._clicks + 0.5) / (self._exposures + 1.0)

    def predict(self, parts: F8, slot: I8) -> F8:
        """See `ClickContender`."""
        del parts
        return np.full(len(slot), self.rate())

    def learn(self, examples: Examples) -> None:
        """See `ClickContender`."""
        self._exposures += len(examples.slot)
        self._clicks += int(examples.clicked.sum())


class SlotRate(GlobalRate):
    """`slot_rate`: the same by slot, drawn to the overall rate while a slot has few exposures."""

    def __init__(self) -> None:
        super().__init__()
        self._shown, self._hit = np.zeros(SLOTS), np.zeros(SLOTS)

    def predict(self, parts: F8, slot: I8) -> F8:
        """See `ClickContender`."""
        del parts
        rate = (self._hit + SLOT_SMOOTHING * self.rate()) / (self._shown + SLOT_SMOOTHING)
        stated: F8 = rate[np.minimum(slot, SLOTS - 1)]
        return stated

    def learn(self, examples: Examples) -> None:
        """See `ClickContender`."""
        super().learn(examples)
        slot = np.minimum(examples.slot, SLOTS - 1)
        self._shown += np.bincount(slot, minlength=SLOTS)
        self._hit += np.bincount(slot, weights=examples.clicked, minlength=SLOTS)
