"""Learning the ranking's weights from what people chose next.

With p the softmax probability of the chosen item among its candidates, the loss of a choice is

    (1 - p^a) / a,  a = 0.4

which tends to cross-entropy as a goes to 0 (generalised cross-entropy, Zhang and Sabuncu, NeurIPS 2018, eq. 6): choices that
nothing explains pull less. Features are scaled to unit deviation, rows of the gates are pulled towards 0 more than the first
one, and Adam (Kingma and Ba, ICLR 2015) takes full-batch steps, so the same examples give the same weights.

Choices say something about noise, too. So rows are pulled towards the built-in weights, harder, if that ranks choices better
that they were not learned from; and below `FEW` choices, where hours and weekdays cost more than they brought, a part's
weights are learned only if that explains such choices better (`plan_of`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8
from models.learning.choices import Choices
from models.ranking.features import FEATURES, FOR_NEWCOMERS, PART_OF, PARTS, POPULARITY, TREND
from models.ranking.weights import Calibration, RankingWeights, default_weights, make_weights, open_gates, user_weights

ROBUSTNESS = 0.4
"""a in the loss."""

LISTED = 20
"""The calibration is of the best so many of each choice."""

MIN_NEWCOMERS = 200
"""Choices of users without history from which on other weights than counts are considered for them."""

FEW = 2_000
"""Below so many choices each part has to show that its weights are better learned than built in."""

FOLDS = 5
"""Choices are held out in so many turns, so that every one is judged once by weights that did not see it."""

SURE = 5.0
"""Standard errors by which something else has to be better for newcomers than counts."""

_IMPERSONAL = np.array([PARTS[part] in ("context", "trend", "popularity", "age") for part in PART_OF])


class FitOptions(NamedTuple):
    """How to learn."""

    steps: int = 300
    learning_rate: float = 0.05
    l2: float = 1e-4
    gate_l2: float = 3e-4
    near_built_in: bool = False
    """Weights are pulled towards the built-in ones, not towards 0."""


_HALVINGS = 40

_TRIAL = FitOptions(steps=100)
"""A third of the steps shows as well which parts are noise."""

_FREE = np.isin(FEATURES, ("text_points", "text_recent", "age", "new"))
"""Not pulled towards the built-in weights: what is near by text, old or new differs most from one catalogue to another. Pulled
as well, they kept items that nobody had touched out of the lists of ml-latest-small (HR@20 .011 instead of .027), and brought
nothing (deploy/docs/measured/evaluation.md)."""

_NEAR_BUILT_IN = tuple(FitOptions(l2=l2, gate_l2=3e-3, near_built_in=True) for l2 in (1e-3, 3e-3))
"""Pulls that are tried."""


class Plan(NamedTuple):
    """How to learn from choices."""

    parts: tuple[str, ...]
    """Those that are learned; the others keep the built-in weights."""
    options: FitOptions


def learn(
    choices: Choices,
    start: RankingWeights,
    parts: tuple[str, ...] = PARTS,
    options: FitOptions | None = None,
    *,
    newcomers: bool = False,
) -> RankingWeights:
    """Everything that choices tell: the table, the calibration, and on request the newcomers' weights.

    Args:
        choices: oldest first.
        start: what serves until now; it stays as it is where nothing can be learned.
        parts: the others get weight 0. Of few choices not all of these are learned, see `plan_of`.
        options: of the fit.
        newcomers: learn weights for users without history too, see `newcomer_weights`.
    """
    warm = choices.take(choices.history > 0)
    weights = start
    if len(warm.real):
        not_learned = np.where(features_of_parts(parts), default_weights().table, 0.0)
        plan = plan_of(warm, parts, options)
        weights = fit(warm, start, features_of_parts(plan.parts), plan.options, not_learned)
    if newcomers:
        cold = newcomer_weights(choices.take(choices.history == 0), start.cold, options)
        weights = make_weights(weights.table, cold, weights.calibration)
    return make_weights(weights.table, weights.cold, calibrate(choices, weights))


def fit(
    choices: Choices,
    start: RankingWeights,
    features: NDArray[np.bool_] | None = None,
    options: FitOptions | None = None,
    not_learned: F8 | None = None,
) -> RankingWeights:
    """Weights of the table that explain choices of users with a history; `cold` and calibration stay those of `start`.

    Args:
        choices: at least one.
        start: where to start from.
        features: (F,) bool: which are learned. None = those that vary.
        options: how.
        not_learned: (G, F) what the others get; None = 0. What does not vary gets 0 in any case.
    """
    gates = open_gates(choices.history, choices.idle_s).astype(np.float32)
    options = options or FitOptions()
    centre = default_weights().table if options.near_built_in else None
    table = _descend(choices, gates, start.table, features, options, not_learned, centre)
    return make_weights(table, start.cold, start.calibration)


def plan_of(choices: Choices, parts: tuple[str, ...] = PARTS, options: FitOptions | None = None) -> Plan:
    """What to learn from these choices, and how strongly to hold on to the built-in weights.

    Weights are learned from all folds but one, and rank the choices of that one: freely, and with pulls of two strengths
    towards the built-in weights. The pull that is best in NDCG@10 is taken if it is better than none by more than a standard
    error. Of fewer than `FEW` choices, those held out are also explained with one part's weights replaced by the built-in
    ones; only parts without which the loss is larger, in the mean over all choices, are learned. Learning starts from the
    built-in weights, not from what serves, which may have seen these choices.

    Args:
        choices: of users with a history.
        parts: the others have weight 0 throughout.
        options: of the fit that is planned.
    """
    options = options or FitOptions()
    if len(choices.real) < FOLDS:
        return Plan((), options)
    are_few = len(choices.real) < FEW
    free = _held_out(choices, parts, _TRIAL, are_few=are_few)
    plan, most = Plan(free.parts, options), 0.0
    for pull in _NEAR_BUILT_IN:
        near = _held_out(choices, parts, pull._replace(steps=_TRIAL.steps), are_few=are_few)
        better = near.ndcg - free.ndcg
        if better.mean() > max(most, better.std() / np.sqrt(len(better))):
            most = float(better.mean())
            plan = Plan(near.parts, pull._replace(steps=options.steps, learning_rate=options.learning_rate))
    return plan


def newcomer_weights(choices: Choices, start: F8, options: FitOptions | None = None) -> F8:
    """(F,) weights of users without history: counts, unless something else is clearly better on the newest half.

    Contenders are each single count or trend and a fit of all that is impersonal on the older half. "Clearly" means by
    more than `SURE` standard errors of the mean difference in NDCG@10, paired by choice.
    """
    older, newer = np.array_split(np.arange(len(choices.real)), 2)
    if len(choices.real) < MIN_NEWCOMERS:
        return start
    counts = _single(POPULARITY)
    fitted = _descend(
        choices.take(older), np.ones((len(older), 1), np.float32), counts[None, :], _IMPERSONAL, options or FitOptions()
    )[0]
    contenders = [counts, *(_single(t) for t in range(TREND, POPULARITY)), fitted]
    held_out = choices.take(newer)
    gains = np.stack([_ndcg(held_out, weights) for weights in contenders])
    better = gains - gains[0]
    error = better.std(axis=1) / np.sqrt(len(newer))
    sure = better.mean(axis=1) - SURE * error
    best = int(np.argmax(np.where(sure > 0, better.mean(axis=1), 0.0)))
    chosen: F8 = contenders[best]
    return chosen


def features_of_parts(parts: tuple[str, ...]) -> NDArray[np.bool_]:
    """(F,) bool: which features belong to these parts and count for users with a history."""
    return np.array([PARTS[part] in parts for part in PART_OF]) & ~np.isin(FEATURES, FOR_NEWCOMERS)


def calibrate(choices: Choices, weights: RankingWeights) -> Calibration:
    """Slope and intercept of the probability that a listed item is the next one (Platt, 1999), by Newton's method
    with steps that are halved until they help.

    The best `LISTED` candidates of each choice stand for its list.
    """
    if not len(choices.real):
        return weights.calibration
    scores = np.where(choices.real, _scores(choices, weights), -np.inf)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :LISTED]
    listed = np.take_along_axis(scores, best, axis=1)
    x, y = listed[np.isfinite(listed)], (best == 0)[np.isfinite(listed)].astype(np.float64)
    design = np.stack((x - x.mean(), np.ones_like(x)), axis=1)
    target = (y * y.sum() + 1.0) / (y.sum() + 2.0) if y.sum() else y  # Platt's smoothed targets
    beta = np.array([0.0, np.log(max(y.mean(), 1e-6) / max(1.0 - y.mean(), 1e-6))])
    for _ in range(25):
        p = 0.5 * (1.0 + np.tanh(0.5 * (design @ beta)))  # the sigmoid, without overflow
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (target - p))
        before = _unlikelihood(design @ beta, target)
        for _ in range(_HALVINGS):  # where few scores tell nearly all, a whole step goes far beyond
            if _unlikelihood(design @ (beta + step), target) <= before:
                break
            step *= 0.5
        beta += step
        if np.abs(step).max() < 1e-10:
            break
    slope = max(float(beta[0]), 1e-3)  # a higher score never means a lower probability
    return Calibration(slope, float(beta[1] - slope * x.mean()))


def loss(choices: Choices, weights: RankingWeights) -> float:
    """Mean robust loss."""
    return float(_losses(choices, weights).mean())


def ndcg(choices: Choices, weights: RankingWeights) -> F8:
    """(e,) float64: NDCG@10 of each choice among its candidates."""
    return _gain(_scores(choices, weights), choices.real)


class _HeldOut(NamedTuple):
    """What weights said of choices that they were not learned from."""

    ndcg: F8
    """(e,)."""
    parts: tuple[str, ...]
    """Those whose built-in weights explain these choices worse than the learned ones."""


def _held_out(choices: Choices, parts: tuple[str, ...], options: FitOptions, *, are_few: bool) -> _HeldOut:
    """Of many choices two folds are enough, and nothing is said of parts."""
    built_in, used = default_weights(), features_of_parts(parts)
    worse, gains = dict.fromkeys(parts, 0.0), np.zeros(len(choices.real))
    folds = FOLDS if are_few else 2
    fold = np.arange(len(choices.real)) % folds
    for held_out in range(folds):
        learned = fit(choices.take(fold != held_out), built_in, used, options)
        judged = choices.take(fold == held_out)
        gains[fold == held_out] = ndcg(judged, learned)
        best = _losses(judged, learned).sum()
        for part in parts if are_few else ():
            replaced = np.where(features_of_parts((part,)), built_in.table, learned.table)
            worse[part] += _losses(judged, make_weights(replaced, learned.cold, learned.calibration)).sum() - best
    return _HeldOut(gains, tuple(part for part in parts if worse[part] > 0.0) if are_few else parts)


def _unlikelihood(logits: F8, target: F8) -> float:
    """Cross-entropy of targets in [0, 1]."""
    return float((np.logaddexp(0.0, logits) - target * logits).sum())


def _losses(choices: Choices, weights: RankingWeights) -> F8:
    """(e,) float64: robust loss of each choice."""
    p = np.exp(_log_softmax(_scores(choices, weights), choices.real)[:, 0])
    losses: F8 = (1.0 - p**ROBUSTNESS) / ROBUSTNESS
    return losses


def _single(feature: int) -> F8:
    weights = np.zeros(len(FEATURES))
    weights[feature] = 1.0
    return weights


def _ndcg(choices: Choices, weights: F8) -> F8:
    return _gain(choices.features @ weights, choices.real)


def _gain(scores: NDArray[Any], real: NDArray[np.bool_]) -> F8:
    above = (real & (scores > scores[:, :1])).sum(axis=1)
    equal = (real & (scores == scores[:, :1])).sum(axis=1) - 1
    rank = 1.0 + above + 0.5 * equal
    return np.where(rank <= 10, 1.0 / np.log2(rank + 1.0), 0.0)


def _scores(choices: Choices, weights: RankingWeights) -> F8:
    w = user_weights(weights, choices.history, choices.idle_s)
    scores: F8 = (choices.features @ w[:, :, None])[:, :, 0]
    return scores


def _descend(
    choices: Choices,
    gates: F4,
    start: F8,
    features: NDArray[np.bool_] | None,
    options: FitOptions,
    not_learned: F8 | None = None,
    centre: F8 | None = None,
) -> F8:
    """(G, F) table, from `start`, pulled towards `centre` (None: towards 0); gates (e, G)."""
    scale = _deviation(choices)
    varies = scale > 0
    used = varies if features is None else varies & features
    scale = np.where(varies, scale, 1.0)
    x = (choices.features * np.where(varies, 1.0 / scale, 0.0).astype(np.float32)).astype(np.float32)
    held = np.zeros_like(start) if not_learned is None else not_learned
    table = np.where(varies, np.where(used, start, held) * scale, 0.0)
    towards = np.zeros_like(table) if centre is None else centre * scale
    pull = np.full(table.shape, options.gate_l2)
    pull[0] = options.l2
    if centre is not None:
        freely = FitOptions()
        pull[:, _FREE], towards[:, _FREE] = freely.gate_l2, 0.0
        pull[0, _FREE] = freely.l2
    mean, square = np.zeros_like(table), np.zeros_like(table)
    for step in range(1, options.steps + 1):
        gradient = _gradient(x, choices.real, gates, table) + pull * (table - towards)
        gradient[:, ~used] = 0.0
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = options.learning_rate * min(1.0, 2.0 * (1.0 - step / (options.steps + 1)))
        table -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return table / scale


def _gradient(x: F4, real: NDArray[np.bool_], gates: F4, table: F8) -> F8:
    """(G, F): of the mean loss."""
    w = gates @ table.astype(np.float32)
    p = np.exp(_log_softmax((x @ w[:, :, None])[:, :, 0], real))
    own = p[:, 0] ** ROBUSTNESS
    pull = p * own[:, None]
    pull[:, 0] -= own
    per_choice = (pull[:, None, :].astype(np.float32) @ x)[:, 0, :]
    gradient: F8 = (gates.T @ per_choice).astype(np.float64) / len(x)
    return gradient


def _log_softmax(scores: NDArray[Any], real: NDArray[np.bool_]) -> NDArray[Any]:
    scores = np.where(real, scores, -np.inf)
    scores = scores - scores.max(axis=1, keepdims=True)
    logged: NDArray[Any] = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return logged


def _deviation(choices: Choices) -> F8:
    """(F,): how much each feature varies among the candidates of a choice."""
    n = choices.real.sum(axis=1)[:, None].astype(np.float64)
    real = choices.real.astype(np.float32)
    mean = (real[:, None, :] @ choices.features)[:, 0].astype(np.float64) / n
    square = (real[:, None, :] @ choices.features**2)[:, 0].astype(np.float64) / n
    deviation: F8 = np.sqrt(np.maximum(square - mean**2, 0.0).mean(axis=0))
    return deviation
