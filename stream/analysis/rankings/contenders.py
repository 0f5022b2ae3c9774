"""What `penchant evaluate` can judge, by name: baselines, what needs torch, and what follows the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from models.evaluation.baselines import BASELINES
from models.evaluation.contract import Factory
from models.ranking.features import PARTS
from models.training.two_tower import two_tower
from stream.analysis.rankings.penchant import of_candidates, serving, with_default_weights, without
from stream.analysis.rankings.sequence import SequenceAlone
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
    **{f"penchant_without_{part}": without(part) for part in PARTS},
}
"""Judged only if they are named: what the choice of candidates costs, and what each part brings."""


OTHERS: Final[dict[str, Factory]] = BASELINES | {"two_tower": two_tower}
"""What Penchant has to beat; the last one is trained with torch, and says so where that is missing."""


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
