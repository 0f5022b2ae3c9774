"""What the topic of rules says, record by record: key `rule/ID` or `placement/NAME`, no value = it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stream.errors import UsageError
from stream.rules.conditions import Condition, parse
from stream.rules.live_placement import Refusal, placement_from_json
from stream.rules.rule import RULES_MAX, Rule, from_json, to_json
from stream.settings.placements import PlacementSettings

RULE: Final = "rule/"
PLACEMENT: Final = "placement/"

REFUSED_MAX: Final = 1_000
"""Remembered, so that they can be taken away."""


class RuleBook:
    """All rules by now. A record that is no rule is refused and changes nothing: the rule of before stays."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        """`refusal`: what this worker's settings do not allow a placement."""
        self._refusal = refusal
        self.rules: dict[str, Rule] = {}
        """By id."""
        self.conditions: dict[str, Condition] = {}
        """Of those that have one."""
        self.placements: dict[str, PlacementSettings] = {}
        """By name: what is otherwise than in the settings."""
        self.refused: list[str] = []
        """Why records were refused; whoever tells of it clears it."""
        self.refused_keys: set[str] = set()
        """Of records that are on the topic and do not count."""
        self.version = 0
        """How often something changed."""

    def keys(self) -> list[bytes]:
        """Of the records that count."""
        names = [f"{RULE}{rule_id}" for rule_id in self.rules] + [f"{PLACEMENT}{name}" for name in self.placements]
        return [name.encode() for name in names]

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """One record; of a key that a later release knows nothing is taken up."""
        name = (key or b"").decode(errors="replace")
        self.refused_keys.discard(name)
        try:
            if name.startswith(RULE):
                self._add_rule(name.removeprefix(RULE), value)
            elif name.startswith(PLACEMENT):
                self._add_placement(name.removeprefix(PLACEMENT), value)
        except UsageError as error:
            self.refused.append(error.message)
            if len(self.refused_keys) < REFUSED_MAX:
                self.refused_keys.add(name)

    def _add_rule(self, rule_id: str, value: bytes | None) -> None:
        if value is None:
            if self.rules.pop(rule_id, None) is not None:
                self.conditions.pop(rule_id, None)
                self.version += 1
            return
        rule = from_json(rule_id, value)
        condition = None if rule.where is None else parse(rule_id, rule.where)
        if rule_id not in self.rules and len(self.rules) >= RULES_MAX:
            raise UsageError(f"rule {rule_id!r}: there are {RULES_MAX} rules already.", "remove some")
        if self.rules.get(rule_id) == rule:
            return
        self.rules[rule_id] = rule
        self.conditions.pop(rule_id, None)
        if condition is not None:
            self.conditions[rule_id] = condition
        self.version += 1

    def _add_placement(self, name: str, value: bytes | None) -> None:
        if value is None:
            self.version += self.placements.pop(name, None) is not None
            return
        changed = placement_from_json(name, value)
        why = None if self._refusal is None else self._refusal(name, changed)
        if why is not None:
            raise UsageError(f"{why}.", "see deploy/docs/placements.md")
        if self.placements.get(name) != changed:
            self.placements[name] = changed
            self.version += 1

    def replace(self, rules: Mapping[str, Rule]) -> None:
        """Have these rules and no others."""
        for gone in set(self.rules) - set(rules):
            self.add(f"{RULE}{gone}".encode(), None)
        for rule_id, rule in rules.items():
            self.add(f"{RULE}{rule_id}".encode(), to_json(rule))
