"""What lists must not tell of people, nor show to some."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

PATTERN_MAX = 200
PATTERNS_MAX = 1_000


class SafetySettings(BaseModel):
    """What lists must not tell of people, nor show to some."""

    sensitive_categories: tuple[str, ...] = Field(
        (),
        description="Categories of which nothing is told and that minors are not shown: patterns such as `Health*`; see "
        "deploy/docs/fairness.md",
    )

    @field_validator("sensitive_categories")
    @classmethod
    def _patterns_mean_something(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > PATTERNS_MAX:
            raise ValueError(f"there are {len(value)} patterns, {PATTERNS_MAX} at most can be")
        for pattern in value:
            if not pattern.strip() or len(pattern) > PATTERN_MAX or not pattern.isprintable():
                raise ValueError(f"{pattern[:40]!r} is no pattern of 1 to {PATTERN_MAX} printable characters")
            if not pattern.strip("*? "):
                raise ValueError(f"{pattern!r} would mean every category")
        return value
