"""What `penchant evaluate` can judge, by name: baselines, what needs torch, and what follows the settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from models.evaluation.baselines import BASELINES
from models.evaluation.contract import Factory
from models.evaluation.verdict import MODEL
from models.ranking.features import PARTS
from models.sequence.graph import KINDS
from models.training.two_tower import two_tower
from stream.analysis.rankings.penchant import of_candidates, serving, with_architecture, with_default_weights, without
from stream.analysis.rankings.private import serving_releases
from stream.analysis.rankings.sequence import ARCHITECTURE, SequenceAlone, alone
from stream.errors import UsageError
from stream.settings import Settings

OWN: Final[dict[str, Callable[[Settings], Factory]]] = {
    "penchant": serving,
    "penchant_defaults": with_default_weights,
    "sequence": lambda _: SequenceAlone,
}
"""Contenders that follow the settings: Penchant's ranking as it serves. They stand before the baselines."""

VARIANTS: Final[dict[str, Callable[[Settings], Factory]]] = {
    "penchant_candidates": of_candidates,
    "penchant_private": serving_releases,
    **{f"penchant_without_{part}": without(part) for part in PARTS},
    **{f"penchant_{kind}": with_architecture(kind) for kind in KINDS if kind != ARCHITECTURE},
    **{f"sequence_{kind}": alone(kind) for kind in KINDS if kind != ARCHITECTURE},
}
"""Judged only if they are named: what the choice of candidates costs, what statistics under differential privacy
cost, what each part brings, and each architecture of the sequence model."""


OTHERS: Final[dict[str, Factory]] = BASELINES | {"two_tower": two_tower}
"""What Penchant has to beat; the last one is trained with torch, and says so where that is missing."""


REACH: Final = "_reach_"
"""Between a contender's name and the amount of popularity that was taken off its scores."""


def names() -> tuple[str, ...]:
    """All of them, in the order of the report."""
    return (*OWN, *VARIANTS, *OTHERS)


def factory(name: str, settings: Settings) -> Factory:
    """What makes the contender of this name."""
    own = (OWN | VARIANTS).get(name)
    return OTHERS[name] if own is None else own(settings)


def parse_names(text: str) -> tuple[str, ...]:
    """`a,b` -> names, each once, in the order of the report; empty text: all.

    Raises:
        UsageError: there is no such contender.
    """
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    for unknown in sorted(wanted - set(names())):
        raise UsageError(f"--models: there is no model {unknown[:40]!r}.", f"choose from {', '.join(names())}")
    return tuple(name for name in names() if name in wanted or not (wanted or name in VARIANTS))


def parse_amounts(text: str, names: tuple[str, ...]) -> tuple[float, ...]:
    """`0.1,0.2` -> amounts of `--reach`, ascending, each once.

    Raises:
        UsageError: one of them is no number above 0, or Penchant is not among the contenders.
    """
    found = set()
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            amount = float(part)
        except ValueError:
            amount = math.nan
        if not 0 < amount <= _MOST:
            raise UsageError(
                f"--reach: {part[:40]!r} is no amount.", f"give numbers above 0, {_MOST:g} at most: 0.1,0.2"
            )
        found.add(float(f"{amount:g}"))  # as it is called in the report
    if found and MODEL not in names:
        raise UsageError(f"--reach is about {MODEL}, which is not among --models.", f"add {MODEL} to --models")
    return tuple(sorted(found))


_MOST: Final = 100.0
