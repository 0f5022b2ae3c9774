"""Probability of a click on an item that is shown, learned online from exposures and what became of them.

    p = sigmoid(a + b + sum over parts of (s + w_p) x_p + e_slot)

`s`, `a`: slope and intercept of `models.ranking.weights.Calibration`, so before the first example p is what that states. What
is learned are the differences `b`, `w`, `e` from it: by FTRL-Proximal (McMahan et al. 2013, "Ad Click Prediction: a View from
the Trenches", Algorithm 1 with lambda_1 = 0), one step per example in the order given. Its step sizes and its L2 term, which
pulls every difference but `b` to 0, let few examples move little: the prior gives way gradually, with no moment of switching
(measured in deploy/docs/clicks.md).

`e_slot` is what the place on the page is worth, whatever stands there (the position bias of Richardson et al. 2007, "Predicting
clicks", as an additive term). A list is published with each item's own rank as slot: p is the probability of a click if the
item is shown and looked at there.

A step depends on those before it: the same examples in the same order give the same bits, however they are cut into batches.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.compiled import compiled, compiled_part
from models.ranking.features import PARTS
from models.ranking.weights import Calibration

SLOTS: Final = 21
"""Slot 0 is an unknown place, 20 also stands for every later one."""

PART_LIMIT: Final = 30.0
"""Parts are cut off here: what is beyond says no more, and one absurd example must not undo what thousands taught."""

SCORE_LIMIT: Final = 1e6
"""Parts of the largest floats add up to infinity, and 0 times that to no number."""

LOGIT_LIMIT: Final = 35.0
"""Beyond, 1 - p is 0 in float64 and nothing would be learned from a surprise."""

ALPHA_BIAS: Final = 1.0
ALPHA_SLOT: Final = 0.2
ALPHA_PART: Final = 0.05
"""Step sizes; a part is several units large, so its weight needs less. Chosen on simulated clicks;
deploy/docs/clicks.md says how little they matter."""

BETA: Final = 1.0
L2: Final = 1.0
"""lambda_2 of weights and slots; 0 for the bias, for the overall rate has no reason to be near the prior."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BBHddQQ")
_CRC: Final = struct.Struct("<I")


class ClickModel(NamedTuple):
    """One state; immutable by convention, `learn` gives the next one. Coordinates: bias, parts, slots."""

    prior: Calibration
    z: F8
    """(1 + P + SLOTS,) float64: FTRL's sums of adjusted gradients."""
    squares: F8
    """(1 + P + SLOTS,) float64: sums of squared gradients."""
    n_examples: int = 0
    n_clicks: int = 0

    @classmethod
    def start(cls, prior: Calibration, parts: int = len(PARTS)) -> Self:
        """Nothing learned: p is the prior's.

        Raises:
            ValueError: the prior is not finite.
        """
        if not np.isfinite(prior).all():
            raise ValueError(f"the prior of a click model must be finite, not {tuple(prior)}")
        size = 1 + parts + SLOTS
        return cls(Calibration(*map(float, prior)), np.zeros(size), np.zeros(size))

    @property
    def parts(self) -> int:
        """P: how many parts a score has."""
        return len(self.z) - 1 - SLOTS

    def predict(self, parts: F8, slot: I8) -> F8:
        """(n,) float64: p of each.

        Args:
            parts: (n, P) float64, in the order of `models.ranking.features.PARTS`.
            slot: (n,) int64: place in the list from 1; 0 = unknown.

        Raises:
            ValueError: wrong shapes, a part that is not finite, a negative slot.
        """
        parts, slot = self._checked(parts, slot)
        out = np.empty(len(slot))
        _predict(self.z, self.squares, *self.prior, parts, slot, out)
        return out

    def learn(self, parts: F8, slot: I8, clicked: NDArray[np.bool_]) -> Self:
        """The state after these n examples, in their order.

        Args:
            parts, slot: as for `predict`.
            clicked: (n,) bool.

        Raises:
            ValueError: as `predict`; nothing is learned then.
        """
        parts, slot = self._checked(parts, slot)
        clicked = np.asarray(clicked, np.bool_)
        if clicked.shape != slot.shape:
            raise ValueError(f"{len(slot)} examples have outcomes of shape {clicked.shape}")
        z, squares = self.z.copy(), self.squares.copy()
        _learn(z, squares, *self.prior, parts, slot, clicked)
        return self._replace(
            z=z,
            squares=squares,
            n_examples=self.n_examples + len(slot),
            n_clicks=self.n_clicks + int(clicked.sum()),
        )

    def weights(self) -> F8:
        """(1 + P + SLOTS,) float64: the differences `b`, `w`, `e` as they are now."""
        return np.array([_difference(self.z, self.squares, i, self.parts) for i in range(len(self.z))])

    def to_bytes(self) -> bytes:
        """Little endian, version 1: u8 version, u8 P, u16 slots, f64 slope, f64 intercept, u64 examples, u64 clicks,
        f64x(1+P+slots) z, as many squares, u32 CRC-32 (zlib) of all before. 504 bytes for P = 7; equal states, equal bytes.
        """
        head = _HEAD.pack(_VERSION, self.parts, SLOTS, *self.prior, self.n_examples, self.n_clicks)
        body = head + self.z.astype("<f8").tobytes() + self.squares.astype("<f8").tobytes()
        return body + _CRC.pack(crc32(body))

    @classmethod
    def from_bytes(cls, value: bytes, parts: int = len(PARTS)) -> Self:
        """A state as `to_bytes` wrote it.

        Raises:
            ValueError: damaged, of a version that this release does not know, or of scores with other parts: start anew.
        """
        if len(value) < _HEAD.size + _CRC.size or crc32(value[:-4]) != _CRC.unpack(value[-4:])[0]:
            raise ValueError("the stored click model is damaged")
        version, stored, slots, slope, intercept, examples, clicks = _HEAD.unpack_from(value)
        if (version, stored, slots) != (_VERSION, parts, SLOTS):
            raise ValueError(
                f"a click model of version {version} with {stored} parts and {slots} slots is not known here"
            )
        size = 1 + parts + SLOTS
        if len(value) != _HEAD.size + 16 * size + _CRC.size:
            raise ValueError("the stored click model is damaged")
        numbers = np.frombuffer(value, "<f8", 2 * size, _HEAD.size).astype(np.float64)
        return cls(Calibration(slope, intercept), numbers[:size].copy(), numbers[size:].copy(), examples, clicks)

    def _checked(self, parts: F8, slot: I8) -> tuple[F8, I8]:
        parts, slot = np.ascontiguousarray(parts, np.float64), np.ascontiguousarray(slot, np.int64)
        if slot.ndim != 1 or parts.shape != (len(slot), self.parts):
            raise ValueError(f"parts of shape {parts.shape} and slots of shape {slot.shape}, for {self.parts} parts")
        if not np.isfinite(parts).all():
            raise ValueError("the parts of a score must be finite numbers")
        if len(slot) and slot.min() < 0:
            raise ValueError("slots are counted from 1; 0 is an unknown place")
        return parts, slot


def warm_up() -> None:
    """Have the loops compiled before there is a click that waits for them."""
    parts, slot = np.zeros((1, len(PARTS))), np.ones(1, np.int64)
    ClickModel.start(Calibration()).learn(parts, slot, np.zeros(1, np.bool_)).predict(parts, slot)


@compiled
def _difference(z: F8, squares: F8, i: int, parts: int) -> float:
    """What FTRL-Proximal's closed form gives for coordinate i: -z / ((beta + sqrt n) / alpha + lambda_2)."""
    if i == 0:
        return float(-z[i] / ((BETA + np.sqrt(squares[i])) / ALPHA_BIAS))
    alpha = ALPHA_PART if i <= parts else ALPHA_SLOT
    return float(-z[i] / ((BETA + np.sqrt(squares[i])) / alpha + L2))


@compiled_part
def _logit(w: F8, slope: float, intercept: float, x: F8, slot: int) -> float:
    """The prior's score is the sum of the parts in their order, as a score is; only a part's difference sees it cut off."""
    score, learned = 0.0, w[0] + w[1 + len(x) + min(slot, SLOTS - 1)]
    for p in range(len(x)):
        score += x[p]
        learned += w[1 + p] * min(max(x[p], -PART_LIMIT), PART_LIMIT)
    score = min(max(score, -SCORE_LIMIT), SCORE_LIMIT)
    logit = slope * score + intercept + learned
    return float(min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT))


@compiled_part
def _sigmoid(logit: float) -> float:
    return float(0.5 * (1.0 + np.tanh(0.5 * logit)))  # without overflow, and as `models.ranking.rank` computes it


@compiled
def _predict(z: F8, squares: F8, slope: float, intercept: float, parts: F8, slot: I8, out: F8) -> None:
    w = np.empty(len(z))
    for i in range(len(z)):
        w[i] = _difference(z, squares, i, parts.shape[1])
    for r in range(len(slot)):
        out[r] = _sigmoid(_logit(w, slope, intercept, parts[r], slot[r]))


@compiled
def _learn(z: F8, squares: F8, slope: float, intercept: float, parts: F8, slot: I8, clicked: NDArray[np.bool_]) -> None:
    n_parts = parts.shape[1]
    w = np.empty(len(z))
    for i in range(len(z)):
        w[i] = _difference(z, squares, i, n_parts)
    for r in range(len(slot)):
        gradient = _sigmoid(_logit(w, slope, intercept, parts[r], slot[r])) - (1.0 if clicked[r] else 0.0)
        _step(z, squares, w, 0, gradient, n_parts)
        for p in range(n_parts):
            x = min(max(parts[r, p], -PART_LIMIT), PART_LIMIT)
            _step(z, squares, w, 1 + p, gradient * x, n_parts)
        _step(z, squares, w, 1 + n_parts + min(slot[r], SLOTS - 1), gradient, n_parts)


@compiled_part
def _step(z: F8, squares: F8, w: F8, i: int, gradient: float, parts: int) -> None:
    """One coordinate: sigma = (sqrt(n + g^2) - sqrt n) / alpha, z += g - sigma w, n += g^2."""
    if gradient == 0.0:
        return
    alpha = ALPHA_BIAS if i == 0 else ALPHA_PART if i <= parts else ALPHA_SLOT
    more = squares[i] + gradient * gradient
    z[i] += gradient - (np.sqrt(more) - np.sqrt(squares[i])) / alpha * w[i]
    squares[i] = more
    w[i] = _difference(z, squares, i, parts)
