"""Lengths of time, and where the week begins: all times are UTC, counted from 1970-01-01."""

from __future__ import annotations

from typing import Final

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
DAY_S: Final = 86_400

EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""
