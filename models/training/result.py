"""How a run ended: by how much the trained model is better, whether it was kept, and the report that says so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from models.arrays import F8
from models.strict_json import strict_json


class TrainingResult(NamedTuple):
    """What a run returns."""

    kept: bool
    report: dict[str, Any]
    """Plain JSON values: losses, looks, and figures of the trained model and of what it had to beat."""


def gain_and_error(before: F8, after: F8) -> tuple[float, float]:
    """Mean difference of paired values and its standard error."""
    difference = after - before
    error = float(difference.std(ddof=1) / math.sqrt(difference.size)) if difference.size > 1 else 0.0
    return float(difference.mean()), error


def write_report(report: dict[str, Any], path: Path) -> None:
    """As JSON for people and programs."""
    path.write_text(strict_json(report, indent=1) + "\n", encoding="utf-8")
