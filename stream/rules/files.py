"""A file of what a shop wants of its lists, checked as a worker with these settings checks it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stream.errors import UsageError
from stream.rules.conditions import parse
from stream.rules.live_placement import placement_from, refusal_by
from stream.rules.rule import Rule, read_tables
from stream.settings import Settings
from stream.settings.placements import PlacementSettings


class Wanted(NamedTuple):
    """What the file says."""

    rules: dict[str, Rule]
    """By id."""
    placements: dict[str, PlacementSettings]
    """By name: what is to be otherwise than in the settings."""


def read_wanted(path: Path, settings: Settings) -> Wanted:
    """Everything in a TOML file of tables `[rules.ID]` and `[placements.NAME]`.

    Raises:
        InputFileError: it cannot be read, or has something else in it.
        UsageError: a rule or a placement that no worker with these settings would take.
    """
    rules, tables = read_tables(path)
    for rule_id, rule in rules.items():
        if rule.where is not None:
            parse(rule_id, rule.where)
        if rule.arm is not None and rule.arm not in settings.arms():
            there_are = ", ".join(settings.arms()) or "none"
            raise UsageError(
                f"rule {rule_id!r}: there is no arm {rule.arm} in penchant.toml; there are: {there_are}.",
                "see deploy/docs/experiments.md",
            )
    placements, why_not = {}, refusal_by(settings)
    for name, given in tables.items():
        placements[name] = placement_from(name, given)
        if (why := why_not(name, placements[name])) is not None:
            raise UsageError(f"{why}.", "see deploy/docs/placements.md")
    return Wanted(rules, placements)
