"""A rule as people write it, in a file of tables `[rules.ID]` or as JSON on the topic of rules."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stream.errors import InputFileError, UsageError
from stream.files.toml_tables import read_toml
from stream.settings.faults import first_fault
from stream.settings.placements import PlacementName
from stream.wire.times import parse_time_ms

Kind = Literal["filter", "deny", "boost", "pin", "cap", "promote"]

RULES_MAX: Final = 200
"""Rules of an installation, at most."""

ITEMS_MAX: Final = 10_000
"""Items that a rule names, at most."""

ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_.-]{0,63}$"

_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "filter": (),
    "deny": (),
    "boost": ("add",),
    "pin": ("place",),
    "cap": ("by", "most"),
    "promote": ("least",),
}
"""Fields that a kind has beside which items it means; no other kind has them."""

_OWN: Final = ("add", "place", "by", "most", "least")


class Rule(BaseModel):
    """What a shop wants of its lists. `where` and `items` say which items it means: those for which both hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind
    where: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    """A condition in SQL over the columns of the catalogue, see `stream.rules.conditions`."""
    items: Annotated[tuple[str, ...], Field(max_length=ITEMS_MAX)] = ()
    """Ids."""
    add: Annotated[float, Field(ge=-20, le=20)] | None = None
    """`boost`: added to the score."""
    place: Annotated[int, Field(ge=1, le=200)] | None = None
    """`pin`: from 1."""
    by: Annotated[str, Field(pattern=r"^(category|language|attributes\.[A-Za-z0-9_]{1,64})$")] | None = None
    """`cap`: what items have in common."""
    most: Annotated[int, Field(ge=1, le=200)] | None = None
    """`cap`: so many with the same, at most."""
    least: Annotated[int, Field(ge=1, le=200)] | None = None
    """`promote`: so many places, at least."""
    placement: PlacementName | None = None
    """Where it counts; None: everywhere."""
    arm: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}/[a-z0-9_-]{1,64}$")] | None = None
    """`EXPERIMENT/ARM`: for people in this arm only; None: for all."""
    valid_from: str | None = None
    """RFC 3339."""
    valid_until: str | None = None
    hours: tuple[Annotated[int, Field(ge=0, le=23)], Annotated[int, Field(ge=1, le=24)]] | None = None
    """Of the day, UTC: from the first until the second; from 22 until 6 is night."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of people, always the same ones."""
    note: str = Field("", max_length=500)
    """For whoever reads it."""

    @field_validator("valid_from", "valid_until")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None and parse_time_ms(value) is None:
            raise ValueError("must be a time with an offset, such as 2026-12-01T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needed = _NEEDS[self.kind]
        for name in _OWN:
            if (getattr(self, name) is not None) != (name in needed):
                raise ValueError(f"a {self.kind} {'needs' if name in needed else 'has no'} `{name}`")
        if self.kind == "pin" and (self.where is not None or len(self.items) != 1):
            raise ValueError('a pin names one item: `items = ["ID"]`, and has no `where`')
        if self.kind not in ("pin", "cap") and self.where is None and not self.items:
            raise ValueError(f"a {self.kind} needs `where` or `items`")
        if self.kind == "cap" and (self.where is not None or self.items):
            raise ValueError("a cap is of all items: it has neither `where` nor `items`")
        if self.valid_from and self.valid_until and self.from_ms >= self.until_ms:
            raise ValueError("`valid_until` is not after `valid_from`")
        return self

    @cached_property
    def from_ms(self) -> int:
        """From when it counts."""
        return _ms(self.valid_from, 0)

    @cached_property
    def until_ms(self) -> int:
        """When it counts no more."""
        return _ms(self.valid_until, 1 << 62)

    def is_valid_at(self, now_ms: int) -> bool:
        """Whether it counts at this time."""
        if not self.from_ms <= now_ms < self.until_ms:
            return False
        if self.hours is None:
            return True
        hour, (first, last) = now_ms // 3_600_000 % 24, self.hours
        return first <= hour < last if first < last else hour >= first or hour < last


def _ms(value: str | None, otherwise: int) -> int:
    found = None if value is None else parse_time_ms(value)
    return otherwise if found is None else found


def rule_of(rule_id: str, given: Any) -> Rule:
    """A rule of plain values.

    Raises:
        UsageError: it is none; one line that names the rule and the field.
    """
    try:
        return Rule.model_validate(given)
    except ValidationError as error:
        field, reason = first_fault(error, "no such field")
        raise UsageError(
            f"rule {rule_id[:64]!r}: {f'`{field}`: ' if field else ''}{reason}.", "see deploy/docs/rules.md"
        ) from None


def read_tables(path: Path) -> tuple[dict[str, Rule], dict[str, Any]]:
    """Rules of a TOML file, tables `[rules.ID]`, and what its tables `[placements.NAME]` hold, as it stands there.

    Raises:
        InputFileError: it cannot be read, or has something else in it.
        UsageError: one of them is no rule.
    """
    tables = read_toml(path)
    rules, placements = tables.get("rules", {}), tables.get("placements", {})
    is_table = isinstance(rules, dict) and isinstance(placements, dict)
    if not is_table or set(tables) - {"rules", "placements"} or not (rules or placements):
        raise InputFileError(
            f"{path} has to hold tables [rules.ID] or [placements.NAME] and nothing else.", "see deploy/docs/rules.md"
        )
    if len(rules) > RULES_MAX:
        raise InputFileError(f"{path} has {len(rules)} rules.", f"have {RULES_MAX} at most")
    return {checked_id(rule_id): rule_of(rule_id, given) for rule_id, given in rules.items()}, placements


def checked_id(rule_id: str) -> str:
    """The id, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not re.fullmatch(ID_PATTERN, rule_id):
        raise UsageError(
            f"rule {rule_id[:64]!r}: an id is 1 to 64 of a-z, 0-9, `_`, `.`, `-`, and begins with a letter or digit.",
            "give it another id",
        )
    return rule_id


def to_json(rule: Rule) -> bytes:
    """As it stands on the topic: fields that say something."""
    return json.dumps(rule.model_dump(exclude_defaults=True), ensure_ascii=False).encode()


def from_json(rule_id: str, value: bytes) -> Rule:
    """A rule of the topic.

    Raises:
        UsageError: it is none.
    """
    try:
        given = json.loads(value)
    except (ValueError, RecursionError):
        raise UsageError(f"rule {rule_id[:64]!r} is no JSON.", "publish it with `penchant rules apply`") from None
    return rule_of(checked_id(rule_id), given)
