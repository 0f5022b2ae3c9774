"""How much each feature counts: one table for all users, with rows that are added where a simple condition holds.

    w(u) = table[0] + sum of table[g] over the gates that are open for u        score(u, j) = w(u) . features(u, j)

Gates look at how long the history is and how long it has been idle. Users without usable history have weights of their own,
`cold`: learned weights hurt newcomers (design notes, "Relevance"), so these stay counts unless an evaluation shows better.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.calendar import DAY_S
from models.ranking.features import FEATURES, PART_OF, PARTS, SESSION_GAP_S

FEW = 5
"""Items of history with fewer of which somebody is hardly known."""

GATES = ("always", "history_below_5", "history_5_to_19", "idle_30_min", "idle_1_day")
"""Rows of the table."""


class Calibration(NamedTuple):
    """probability = 1 / (1 + exp(-(slope * score + intercept))) that a listed item is the user's next."""

    slope: float = 1.0
    intercept: float = -8.0


class RankingWeights(NamedTuple):
    """One version of the weights; immutable by convention."""

    table: F8
    """(G, F) float64."""
    cold: F8
    """(F,) float64: of users without usable history."""
    calibration: Calibration
    version: str
    """Of the numbers: the same ones have the same version."""
    cold_expert: str = "popularity"
    """Whose list `cold` makes where it is not the version's own: of `models.vocabulary.NEWCOMER_LISTS`."""
    cold_context: str = ""
    """What that list is made for: of `models.vocabulary.NEWCOMER_CONTEXTS`; empty: for nothing."""
    added: float = 0.0
    """Weight with which the count of `cold_expert` is added to the scores of users with fewer than `FEW` usable items."""

    @property
    def wanted(self) -> NDArray[np.bool_]:
        """(F,) bool: features that count for anybody."""
        counts: NDArray[np.bool_] = np.any(self.table != 0.0, axis=0) | (self.cold != 0.0)
        counts[FEATURES.index(self.cold_expert)] |= self.added != 0.0
        return counts


class _Wire(msgspec.Struct, frozen=True):
    features: list[str]
    gates: dict[str, list[float]]
    cold: list[float]
    calibration: Calibration


def make_weights(table: F8, cold: F8, calibration: Calibration) -> RankingWeights:
    """Weights with their version.

    Raises:
        ValueError: wrong shapes, or numbers that are not finite.
    """
    table, cold = np.array(table, np.float64), np.array(cold, np.float64)
    if table.shape != (len(GATES), len(FEATURES)) or cold.shape != (len(FEATURES),):
        raise ValueError(f"ranking weights have shapes {table.shape}, {cold.shape} for {len(GATES)} x {len(FEATURES)}")
    numbers = np.concatenate([table.ravel(), cold, np.array(calibration, np.float64)])
    if not np.isfinite(numbers).all():
        raise ValueError("ranking weights must be finite numbers")
    names = "\x00".join((*FEATURES, *GATES))
    version = blake2b(names.encode() + numbers.astype("<f8").tobytes(), digest_size=6).hexdigest()
    table.flags.writeable = cold.flags.writeable = False
    return RankingWeights(table, cold, Calibration(*map(float, calibration)), version)


def scaled(weights: RankingWeights, factors: Mapping[str, float]) -> RankingWeights:
    """The same weights with these parts (of `models.ranking.features.PARTS`) counting so many times as much; parts that are not
    named stay. Their version is their own."""
    times = np.array([factors.get(PARTS[part], 1.0) for part in PART_OF])
    made = make_weights(weights.table * times, weights.cold * times, weights.calibration)
    return made._replace(cold_expert=weights.cold_expert, cold_context=weights.cold_context, added=weights.added)


def user_weights(weights: RankingWeights, history: NDArray[np.int64], idle_s: F8) -> F8:
    """(u, F) float64: the weights of users with so many usable items (u,), idle for so long (u,), s."""
    open_ = open_gates(history, idle_s)
    warm = np.einsum("ug,gf->uf", open_.astype(np.float64), weights.table)
    if weights.added:
        few = history < FEW
        warm[few, FEATURES.index(weights.cold_expert)] += weights.added
        warm[few] /= 1.0 + weights.added  # the order is the same, and scores stay as large as those that are calibrated
    return np.where((history > 0)[:, None], warm, weights.cold)


def weight_classes(weights: RankingWeights) -> F8:
    """(C, F) float64: every combination of gates that can be open, and last what newcomers get; see `weight_class`."""
    history = np.repeat((1, 5, 20), 3)
    idle_s = np.tile((0.0, SESSION_GAP_S, float(DAY_S)), 3)
    return user_weights(weights, np.append(history, 0), np.append(idle_s, 0.0))


def weight_class(history: NDArray[np.int64], idle_s: F8) -> NDArray[np.int64]:
    """(u,) int64: row of `weight_classes` of users with so many usable items, idle for so long."""
    length = np.searchsorted((5, 20), history, side="right")
    idle = np.searchsorted((SESSION_GAP_S, DAY_S), idle_s, side="right")
    return np.where(history > 0, 3 * length + idle, 9)


def open_gates(history: NDArray[np.int64], idle_s: F8) -> NDArray[np.bool_]:
    """(u, G) bool: which rows of the table count for users with so many usable items, idle for so long."""
    return np.stack(
        (
            np.ones(len(history), np.bool_),
            history < FEW,
            (history >= FEW) & (history < 20),
            idle_s >= SESSION_GAP_S,
            idle_s >= DAY_S,
        ),
        axis=1,
    )


def to_json(weights: RankingWeights) -> bytes:
    """UTF-8 JSON, every feature and gate named."""
    gates = {gate: row.tolist() for gate, row in zip(GATES, weights.table, strict=True)}
    return msgspec.json.encode(_Wire(list(FEATURES), gates, weights.cold.tolist(), weights.calibration))


def from_json(value: bytes) -> RankingWeights:
    """Weights as `to_json` wrote them; features and gates that are not in it count 0, as those of an older release are.

    Raises:
        ValueError: it is not such JSON, or names features or gates that this release does not know.
    """
    try:
        wire = msgspec.json.decode(value, type=_Wire)
    except msgspec.MsgspecError as error:
        raise ValueError(f"ranking weights: {error}") from None
    unknown = [*(set(wire.features) - set(FEATURES)), *(set(wire.gates) - set(GATES))]
    if unknown:
        raise ValueError(f"ranking weights: {', '.join(sorted(unknown))} not known to this release")
    if any(len(row) != len(wire.features) for row in (*wire.gates.values(), wire.cold)):
        raise ValueError("ranking weights: a row is not as long as there are features")
    at = [FEATURES.index(name) for name in wire.features]
    table, cold = np.zeros((len(GATES), len(FEATURES))), np.zeros(len(FEATURES))
    for gate, row in wire.gates.items():
        table[GATES.index(gate), at] = row
    cold[at] = wire.cold
    return make_weights(table, cold, wire.calibration)


def named(table: dict[str, dict[str, float]], cold: dict[str, float], **options: Any) -> RankingWeights:
    """Weights from the names of gates and features; what is not named counts 0."""
    rows = np.zeros((len(GATES), len(FEATURES)))
    for gate, row in table.items():
        for name, value in row.items():
            rows[GATES.index(gate), FEATURES.index(name)] = value
    newcomers = np.array([cold.get(name, 0.0) for name in FEATURES])
    return make_weights(rows, newcomers, options.pop("calibration", Calibration()))


def default_weights() -> RankingWeights:
    """The weights that serve until others are learned; how they were found stands in deploy/docs/ranking.md."""
    return from_json(files("models.ranking").joinpath("default_weights.json").read_bytes())
