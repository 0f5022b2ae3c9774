"""What the topic of rules says, record by record: key `rule/ID`, no value = the rule is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stream.errors import UsageError
from stream.rules.conditions import Condition, parse
from stream.rules.rule import RULES_MAX, Rule, from_json, to_json

RULE: Final = "rule/"


class RuleBook:
    """All rules by now. A record that is no rule is refused and changes nothing: the rule of before stays."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        """By id."""
        self.conditions: dict[str, Condition] = {}
        """Of those that have one."""
        self.refused: list[str] = []
        """Why records were refused; whoever tells of it clears it."""
        self.version = 0
        """How often something changed."""

    def add(self, key: bytes | None, value: bytes | None) -> None:
        """One record."""
        name = (key or b"").decode(errors="replace")
        if not name.startswith(RULE):
            return  # of a later release
        rule_id = name.removeprefix(RULE)
        if value is None:
            if self.rules.pop(rule_id, None) is not None:
                self.conditions.pop(rule_id, None)
                self.version += 1
            return
        try:
            rule = from_json(rule_id, value)
            condition = None if rule.where is None else parse(rule_id, rule.where)
            if rule_id not in self.rules and len(self.rules) >= RULES_MAX:
                raise UsageError(f"rule {rule_id!r}: there are {RULES_MAX} rules already.", "remove some")
        except UsageError as error:
            self.refused.append(error.message)
            return
        if self.rules.get(rule_id) == rule:
            return
        self.rules[rule_id] = rule
        self.conditions.pop(rule_id, None)
        if condition is not None:
            self.conditions[rule_id] = condition
        self.version += 1

    def replace(self, rules: Mapping[str, Rule]) -> None:
        """Have these and no others."""
        for gone in set(self.rules) - set(rules):
            self.add(f"{RULE}{gone}".encode(), None)
        for rule_id, rule in rules.items():
            self.add(f"{RULE}{rule_id}".encode(), to_json(rule))
